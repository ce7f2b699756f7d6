//! Writing a text so that KQL reads it as one unquoted value.

/// The text with everything escaped that has a meaning in KQL.
///
/// As Kibana's `escapeKuery`, but braces and each of several keywords in a row are escaped too. Two things are lost
/// when it is read, there and here: space around the text, because unquoted values are trimmed, and the `n` of an
/// escaped `not`, because `\\n` is a line break. [`quote`] has neither fault.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    let mut before = None;
    for (at, c) in text.char_indices() {
        match c {
            '\t' => escaped.push_str("\\t"),
            '\r' => escaped.push_str("\\r"),
            '\n' => escaped.push_str("\\n"),
            '\\' | '(' | ')' | ':' | '<' | '>' | '"' | '*' | '{' | '}' => escaped.extend(['\\', c]),
            _ => {
                if is_keyword(&text[at..], before) {
                    escaped.push('\\');
                }
                escaped.push(c);
            }
        }
        before = Some(c);
    }
    escaped
}

/// The text in quotes, so that KQL reads it as this value exactly, and on text fields as a phrase.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 8);
    quoted.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// Whether a keyword starts here. `and` and `or` need space on both sides, `not` only behind it.
fn is_keyword(rest: &str, before: Option<char>) -> bool {
    let starts = |word: &str| {
        rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
            && rest[word.len()..].starts_with(char::is_whitespace)
    };
    starts("not") || (before.is_some_and(char::is_whitespace) && (starts("and") || starts("or")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_escaped_where_they_would_be_read() {
        assert_eq!(escape("and b"), "and b");
        assert_eq!(escape("a and and b"), "a \\and \\and b");
        assert_eq!(escape("a OR b Not d"), "a \\OR b \\Not d");
        assert_eq!(escape("a not"), "a not");
        assert_eq!(escape("cannot x"), "can\\not x");
        assert_eq!(escape("a\nor\tb {c}"), "a\\n\\or\\tb \\{c\\}");
    }
}
