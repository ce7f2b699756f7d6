//! The grammar of KQL, by recursive descent.
//!
//! Owns: how literals combine, and the words of syntax errors. Does not own: literals (`scan`).
//! Invariant: reads each byte a bounded number of times. Kibana's grammar tries one rule after another from the
//! same place; here each choice is decided by the next character, because in that grammar a part that fails after
//! its first sign (a parenthesis, a colon, an operator) can never be read as anything else.

use super::ast::{Ast, Literal, LiteralValue, RangeOp, WildcardText};
use super::scan::{Scanner, is_space, is_special};
use super::{DEPTH_MAX, QUERY_BYTES_MAX};
use crate::QueryError;

/// Most bytes of the query that an error repeats.
const SNIPPET_BYTES_MAX: usize = 32;

/// Reads a query. An empty one is `*: *`.
///
/// # Errors
/// The first place where the text cannot go on as it does, and what could stand there.
pub fn parse(text: &str) -> Result<Ast, QueryError> {
    if text.len() > QUERY_BYTES_MAX {
        let message = format!("a query has at most {QUERY_BYTES_MAX} bytes, this one has {}", text.len());
        return Err(QueryError::new(text.floor_char_boundary(QUERY_BYTES_MAX), message));
    }
    let mut parser = Parser { scanner: Scanner::new(text), depth: 0, closing: Vec::new() };
    parser.scanner.skip_space();
    if parser.scanner.rest().is_empty() {
        let star =
            || Literal { value: LiteralValue::Wildcard(WildcardText(vec![String::new(); 2])), offset: 0 };
        return Ok(Ast::Is { field: star(), value: star() });
    }
    let ast = parser.or_query()?;
    parser.scanner.skip_space();
    if parser.scanner.rest().is_empty() { Ok(ast) } else { Err(parser.cannot_go_on()) }
}

struct Parser<'a> {
    scanner: Scanner<'a>,
    depth: usize,
    /// The signs that are open, innermost last.
    closing: Vec<char>,
}

type Parsed = Result<Ast, QueryError>;

impl Parser<'_> {
    fn or_query(&mut self) -> Parsed {
        self.list("or", Ast::Or, |parser| parser.list("and", Ast::And, Self::not_query))
    }

    fn not_query(&mut self) -> Parsed {
        if self.scanner.take_not() { Ok(Ast::Not(Box::new(self.sub_query()?))) } else { self.sub_query() }
    }

    fn sub_query(&mut self) -> Parsed {
        if self.scanner.peek() == Some('(') {
            return self.enclosed(')', Self::or_query);
        }
        self.expression()
    }

    fn expression(&mut self) -> Parsed {
        let Some(literal) = self.literal() else {
            return Err(self.expected("a field name or a value"));
        };
        let end = self.scanner;
        self.scanner.skip_space();
        match self.scanner.peek() {
            Some(':') => self.after_colon(literal),
            Some('<' | '>') => self.range(literal),
            Some('"') if end.at == self.scanner.at => self.regex_or_value(literal),
            _ => {
                self.scanner = end;
                Ok(Ast::Is { field: no_field(literal.offset), value: literal })
            }
        }
    }

    fn after_colon(&mut self, field: Literal) -> Parsed {
        self.scanner.at += 1;
        self.scanner.skip_space();
        if self.scanner.peek() != Some('{') {
            return self.list_of_values(&field);
        }
        let query = Box::new(self.enclosed('}', Self::or_query)?);
        Ok(Ast::Nested { field, query })
    }

    fn range(&mut self, field: Literal) -> Parsed {
        let op = [("<=", RangeOp::Lte), (">=", RangeOp::Gte), ("<", RangeOp::Lt), (">", RangeOp::Gt)]
            .into_iter()
            .find(|(sign, _)| self.scanner.take(sign))
            .map(|(_, op)| op)
            .expect("the caller saw the sign");
        self.scanner.skip_space();
        match self.literal() {
            Some(value) => Ok(Ast::Range { field, op, value }),
            None => Err(self.expected("a value")),
        }
    }

    fn list_of_values(&mut self, field: &Literal) -> Parsed {
        if self.scanner.peek() == Some('(') {
            return self.enclosed(')', |parser| parser.or_values(field));
        }
        match self.literal() {
            Some(value) => Ok(Ast::Is { field: field.clone(), value }),
            None => Err(self.expected("a value")),
        }
    }

    fn or_values(&mut self, field: &Literal) -> Parsed {
        self.list("or", Ast::Or, |parser| {
            parser.list("and", Ast::And, |parser| {
                if parser.scanner.take_not() {
                    return Ok(Ast::Not(Box::new(parser.list_of_values(field)?)));
                }
                parser.list_of_values(field)
            })
        })
    }

    /// One part, or several with the word between them.
    fn list(
        &mut self,
        word: &str,
        join: impl FnOnce(Vec<Ast>) -> Ast,
        mut part: impl FnMut(&mut Self) -> Parsed,
    ) -> Parsed {
        let first = part(self)?;
        if !self.scanner.take_operator(word) {
            return Ok(first);
        }
        let mut parts = vec![first, part(self)?];
        while self.scanner.take_operator(word) {
            parts.push(part(self)?);
        }
        Ok(join(parts))
    }

    /// What stands between the sign at this place and the one that closes it.
    fn enclosed(&mut self, close: char, inner: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        if self.depth == DEPTH_MAX {
            let message = format!("a query nests at most {DEPTH_MAX} deep");
            return Err(QueryError::new(self.scanner.at, message));
        }
        self.depth += 1;
        self.closing.push(close);
        self.scanner.at += 1;
        self.scanner.skip_space();
        let ast = inner(self)?;
        self.scanner.skip_space();
        if self.scanner.peek() != Some(close) {
            return Err(self.cannot_go_on());
        }
        self.scanner.at += 1;
        self.closing.pop();
        self.depth -= 1;
        Ok(ast)
    }

    fn literal(&mut self) -> Option<Literal> {
        if self.scanner.peek() == Some('"') { self.scanner.quoted() } else { self.scanner.unquoted() }
    }

    /// A quote directly behind an unquoted literal: Kibana refuses it, so `=~` before it may mean something.
    fn regex_or_value(&mut self, mut field: Literal) -> Parsed {
        let Some(negated) = take_regex_sign(&mut field.value) else {
            return Ok(Ast::Is { field: no_field(field.offset), value: field });
        };
        match self.scanner.quoted() {
            Some(pattern) => Ok(Ast::Regex { field, pattern, negated }),
            None => Err(self.expected("a regular expression in quotes")),
        }
    }

    /// The error where a value, or a field's name, has to stand and does not.
    fn expected(&self, what: &str) -> QueryError {
        let at = self.scanner.at;
        if self.scanner.peek() == Some('"') {
            return QueryError::new(at, "this quote is never closed: expected another `\"`");
        }
        if self.scanner.at_not() {
            let message = if what == "a value"
                && self.scanner.text[..at].trim_end_matches(is_space).ends_with(':')
            {
                "expected a value, found `not`: write `not field: value`, `field: (not value)`, or quote it"
            } else {
                "expected a field name or a value, found `not`: one `not` cannot follow another"
            };
            return QueryError::new(at, message);
        }
        let before = self.scanner.text[..at].trim_end_matches(is_space);
        let hint = match self.scanner.peek() {
            Some('<' | '>') if before.ends_with(':') => {
                "; a comparison stands without the colon: `http.status > 500`"
            }
            _ => "",
        };
        QueryError::new(at, format!("expected {what}{}, found {}{hint}", self.after(), self.found()))
    }

    /// The error where one expression is complete and something else follows.
    fn cannot_go_on(&self) -> QueryError {
        let at = self.scanner.at;
        let expected = match self.closing.last() {
            Some(close) => format!("`and`, `or` or `{close}`"),
            None if self.scanner.rest().starts_with([')', '}']) => {
                return QueryError::new(at, format!("{} closes nothing: nothing is open here", self.found()));
            }
            None => "`and`, `or` or the end".to_owned(),
        };
        let hint = match self.scanner.peek() {
            Some(':') => {
                "; `and` or `or` stands between two conditions; a colon inside a value needs quotes around the \
                 value, or a backslash: `\\:`"
            }
            Some('"') => "; a quote inside a value needs a backslash: `\\\"`",
            Some('(') if self.follows_keyword() => "; a keyword needs a space before the parenthesis",
            Some('\\') => {
                "; a backslash stands before `\\():<>\"*{}`, `t`, `r`, `n`, `uXXXX` or a keyword only"
            }
            _ => "",
        };
        QueryError::new(at, format!("expected {expected}{}, found {}{hint}", self.after(), self.found()))
    }

    fn follows_keyword(&self) -> bool {
        let before = self.scanner.text[..self.scanner.at].to_ascii_lowercase();
        ["and", "or", "not"].into_iter().any(|word| {
            before
                .strip_suffix(word)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with([' ', '\t', '(', ')']))
        })
    }

    /// The last word before this place, for an error.
    fn after(&self) -> String {
        let before = self.scanner.text[..self.scanner.at].trim_end_matches(is_space);
        let word =
            before.rfind(is_space).map_or(before, |space| before[space..].trim_start_matches(is_space));
        if word.is_empty() {
            return String::new();
        }
        let cut = word.ceil_char_boundary(word.len().saturating_sub(SNIPPET_BYTES_MAX));
        format!(" after `{}{}`", if cut > 0 { "…" } else { "" }, &word[cut..])
    }

    /// What stands at this place, for an error.
    fn found(&self) -> String {
        let rest = self.scanner.rest();
        let Some(first) = rest.chars().next() else { return "the end of the query".to_owned() };
        if is_special(first) {
            return format!("`{first}`");
        }
        let word = rest.split(|c| is_space(c) || is_special(c)).next().unwrap_or(rest);
        let cut = word.floor_char_boundary(SNIPPET_BYTES_MAX);
        format!("`{}{}`", &word[..cut], if cut < word.len() { "…" } else { "" })
    }
}

fn no_field(offset: usize) -> Literal {
    Literal { value: LiteralValue::Null, offset }
}

/// Takes `=~` or `!~` off the end of a field's name; says whether it was the negated one.
fn take_regex_sign(field: &mut LiteralValue) -> Option<bool> {
    let last = match field {
        LiteralValue::Text { text, quoted: false } => text,
        LiteralValue::Wildcard(WildcardText(pieces)) => pieces.last_mut()?,
        _ => return None,
    };
    let negated = last.ends_with("!~");
    if !negated && !last.ends_with("=~") {
        return None;
    }
    last.truncate(last.len() - 2);
    last.truncate(last.trim_end_matches(is_space).len());
    if matches!(field, LiteralValue::Text { text, .. } if text.is_empty()) {
        *field = LiteralValue::Null;
    }
    Some(negated)
}
