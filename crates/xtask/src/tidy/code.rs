//! Rust source with comments and the contents of literals blanked out.
//!
//! Invariant: the result has the same lines as the source, and the same number of characters in each.

/// Replaces everything that is not code by spaces; quotes stay, so that a literal is still seen as one.
pub(super) fn code_only(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = Blank { chars: &chars, at: 0, code: String::with_capacity(source.len()) };
    while out.at < chars.len() {
        out.step();
    }
    out.code
}

struct Blank<'a> {
    chars: &'a [char],
    at: usize,
    code: String,
}

impl Blank<'_> {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn keep(&mut self) {
        self.code.push(self.peek(0));
        self.at += 1;
    }

    fn blank(&mut self, count: usize) {
        for _ in 0..count.min(self.chars.len() - self.at) {
            let c = self.chars[self.at];
            self.code.push(if c == '\n' { '\n' } else { ' ' });
            self.at += 1;
        }
    }

    fn step(&mut self) {
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => self.line_comment(),
            ('/', '*') => self.block_comment(),
            ('"', _) => self.string(),
            ('r', '"' | '#') if !self.inside_word() => self.raw_string(),
            ('\'', _) => self.quote(),
            _ => self.keep(),
        }
    }

    /// Whether the character before belongs to an identifier (`b` and `c` before `r"` do not count).
    fn inside_word(&self) -> bool {
        let before = |back: usize| self.at.checked_sub(back).and_then(|at| self.chars.get(at)).copied();
        let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        match before(1) {
            Some('b' | 'c') => word(before(2)),
            other => word(other),
        }
    }

    fn line_comment(&mut self) {
        while self.at < self.chars.len() && self.peek(0) != '\n' {
            self.blank(1);
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.chars.len() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                _ => {
                    self.blank(1);
                    continue;
                }
            }
            self.blank(2);
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.keep();
        while self.at < self.chars.len() && self.peek(0) != '"' {
            self.blank(if self.peek(0) == '\\' { 2 } else { 1 });
        }
        if self.at < self.chars.len() {
            self.keep();
        }
    }

    fn raw_string(&mut self) {
        let hashes = (1..).take_while(|&ahead| self.peek(ahead) == '#').count();
        if self.peek(1 + hashes) != '"' {
            return self.keep(); // a raw identifier: `r#type`
        }
        for _ in 0..hashes + 2 {
            self.keep();
        }
        while self.at < self.chars.len() {
            if self.peek(0) == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == '#') {
                for _ in 0..=hashes {
                    self.keep();
                }
                return;
            }
            self.blank(1);
        }
    }

    /// A character literal is blanked; a lifetime is code.
    fn quote(&mut self) {
        let is_literal = self.peek(1) == '\\' || self.peek(2) == '\'';
        self.keep();
        if !is_literal {
            return;
        }
        while self.at < self.chars.len() && self.peek(0) != '\'' {
            self.blank(if self.peek(0) == '\\' { 2 } else { 1 });
        }
        if self.at < self.chars.len() {
            self.keep();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::code_only;

    #[track_caller]
    fn check(source: &str, expected: &str) {
        let code = code_only(source);
        assert_eq!(code, expected);
        assert_eq!(code.lines().count(), source.lines().count());
    }

    #[test]
    fn blanks_comments_and_keeps_lines() {
        check("a // b {\nc", "a       \nc");
        check("a /* b /* c */\n d */ e", "a             \n      e");
    }

    #[test]
    fn blanks_strings() {
        check(r#"f("a\"{", b"}")"#, r#"f("    ", b" ")"#);
        check("r##\"a\"# {\"## x", "r##\"     \"## x");
        check("br\"{\" r#type", "br\" \" r#type");
    }

    #[test]
    fn tells_characters_from_lifetimes() {
        check("'{' '\\'' '\\u{1}' &'a str", "' ' '  ' '     ' &'a str");
    }

    #[test]
    fn ends_with_an_unfinished_literal() {
        check("\"abc\\", "\"    ");
        check("/* a", "    ");
    }
}
