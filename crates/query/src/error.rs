//! What is wrong with a query, and where.
//!
//! Owns: the error of every language, and how it is drawn under the text.
//! Does not own: the words; each parser writes its own.
//! Invariant: `offset` is a byte offset into the text that was parsed, at most its length.

use unicode_segmentation::UnicodeSegmentation;

/// Characters that are drawn on either side of the place; a line of megabytes shows nobody where it is wrong.
const NEAR_MAX: usize = 100;

/// A query that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    /// Where, in bytes from the start of the text.
    pub offset: usize,
    /// What was expected, and what was found instead.
    pub message: String,
}

impl QueryError {
    /// An error at this byte of the text.
    #[must_use]
    pub fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into() }
    }

    /// The line of the text that is at fault, and under it a caret at the place:
    ///
    /// ```text
    /// level:
    ///       ^
    /// ```
    #[must_use]
    pub fn caret(&self, text: &str) -> String {
        let mut at = self.offset.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
        let (before, after) =
            (around(text[start..at].graphemes(true).rev()), around(text[at..end].graphemes(true)));
        let before: String = before.graphemes(true).rev().collect();
        let indent = before.graphemes(true).map(columns).sum();
        let mut drawn = before + &after;
        drawn.push('\n');
        drawn.extend(std::iter::repeat_n(' ', indent));
        drawn.push('^');
        drawn.replace(['\t', '\r'], " ")
    }
}

/// What is near the place, and a mark where more would follow.
fn around<'a>(graphemes: impl Iterator<Item = &'a str>) -> String {
    let mut near = String::new();
    for (n, grapheme) in graphemes.enumerate() {
        if n == NEAR_MAX {
            near.push('…');
            break;
        }
        near.push_str(grapheme);
    }
    near
}

/// How many columns a terminal gives to a character: two for those of East Asia, else one.
fn columns(grapheme: &str) -> usize {
    let wide = grapheme.chars().next().is_some_and(|c| {
        matches!(u32::from(c), 0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF
            | 0xFE30..=0xFE6F | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6 | 0x1F300..=0x1FAFF | 0x20000..=0x3FFFD)
    });
    if wide { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_place() {
        assert_eq!(QueryError::new(6, "").caret("level:"), "level:\n      ^");
        assert_eq!(QueryError::new(6, "").caret("a:b\nc::d\ne"), "c::d\n  ^");
        assert_eq!(QueryError::new(7, "").caret("결제:)"), "결제:)\n     ^");
        assert_eq!(QueryError::new(99, "").caret(""), "\n^");
    }

    #[test]
    fn of_a_long_line_the_place_is_drawn() {
        let text = format!("{}:{}", "가".repeat(70_000), "b".repeat(70_000));
        let drawn = QueryError::new(3 * 70_000, "").caret(&text);
        let line = format!("…{}:{}…", "가".repeat(NEAR_MAX), "b".repeat(NEAR_MAX - 1));
        assert_eq!(drawn, format!("{line}\n{}^", " ".repeat(1 + 2 * NEAR_MAX)));
    }
}
