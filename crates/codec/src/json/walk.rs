//! Walks through JSON without building a tree: the members of an object, the elements of an array.
//!
//! Owns: where each value begins and ends. Does not own: what it means.
//! Invariant: takes memory for names with escapes only. What is walked through was checked before ([`check`]).

use std::borrow::Cow;

use super::JsonError;
use super::scan::{Scanner, Text, unescape};

/// A whole value in JSON, known to be valid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Json<'a>(&'a str);

/// Reads a text that is one value and nothing else.
pub(crate) fn check(text: &str) -> Result<Json<'_>, JsonError> {
    let (value, rest) = first(text)?;
    let mut scanner = Scanner::new(text.as_bytes());
    scanner.at = text.len() - rest.len();
    match scanner.token() {
        None => Ok(value),
        Some(_) => Err(scanner.error("the end")),
    }
}

/// Reads the value at the beginning of a text; gives it and what follows.
pub(crate) fn first(text: &str) -> Result<(Json<'_>, &str), JsonError> {
    let mut scanner = Scanner::new(text.as_bytes());
    scanner.token();
    let start = scanner.at;
    match scanner.skip(0) {
        Ok(_) => Ok((Json(&text[start..scanner.at]), &text[scanner.at..])),
        Err(expected) => Err(scanner.error(expected)),
    }
}

impl<'a> Json<'a> {
    /// As it is written.
    pub(crate) fn text(self) -> &'a str {
        self.0
    }

    pub(crate) fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    pub(crate) fn is_array(self) -> bool {
        self.0.starts_with('[')
    }

    pub(crate) fn is_null(self) -> bool {
        self.0 == "null"
    }

    pub(crate) fn bool(self) -> Option<bool> {
        match self.0 {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// The text of a string.
    pub(crate) fn string(self) -> Option<Cow<'a, str>> {
        let inside = self.0.strip_prefix('"')?.strip_suffix('"')?;
        if !inside.contains('\\') {
            return Some(Cow::Borrowed(inside));
        }
        let mut out = Vec::with_capacity(inside.len());
        unescape(inside.as_bytes(), &mut out);
        Some(Cow::Owned(String::from_utf8_lossy(&out).into_owned()))
    }

    /// The digits of a number, also where it is written as a string, as protobuf's JSON has it.
    pub(crate) fn digits(self) -> Option<&'a str> {
        let text = self.0.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(self.0);
        text.starts_with(|first: char| first == '-' || first.is_ascii_digit()).then_some(text)
    }

    /// The members of an object; of anything else, none.
    pub(crate) fn members(self) -> Members<'a> {
        Members(Inside::new(self, b'{'))
    }

    /// The elements of an array; of anything else, none.
    pub(crate) fn elements(self) -> Elements<'a> {
        Elements(Inside::new(self, b'['))
    }

    /// The member with this name; the last one if there are several.
    pub(crate) fn get(self, name: &str) -> Option<Json<'a>> {
        self.members().filter(|(known, _)| known == name).last().map(|(_, value)| value)
    }
}

struct Inside<'a> {
    text: &'a str,
    scanner: Scanner<'a>,
    ended: bool,
}

impl<'a> Inside<'a> {
    fn new(json: Json<'a>, open: u8) -> Self {
        let mut scanner = Scanner::new(json.0.as_bytes());
        let is = scanner.peek() == Some(open);
        scanner.at = 1;
        let ended = !is || matches!(scanner.token(), Some(b'}' | b']') | None);
        Self { text: json.0, scanner, ended }
    }

    fn value(&mut self) -> Option<Json<'a>> {
        self.scanner.token();
        let start = self.scanner.at;
        if self.scanner.skip(0).is_err() {
            self.ended = true;
            return None;
        }
        let value = Json(&self.text[start..self.scanner.at]);
        match self.scanner.token() {
            Some(b',') => self.scanner.at += 1,
            _ => self.ended = true,
        }
        Some(value)
    }

    fn name(&mut self) -> Option<Cow<'a, str>> {
        self.scanner.token();
        let Text { start, end, .. } = self.scanner.string().ok()?;
        self.scanner.expect(b':', "`:`").ok()?;
        Json(&self.text[start - 1..=end]).string()
    }
}

/// The members of an object.
pub(crate) struct Members<'a>(Inside<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, Json<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.ended {
            return None;
        }
        let name = self.0.name();
        if name.is_none() {
            self.0.ended = true;
        }
        Some((name?, self.0.value()?))
    }
}

/// The elements of an array.
pub(crate) struct Elements<'a>(Inside<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = Json<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.ended { None } else { self.0.value() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_and_elements_come_as_they_are_written() {
        let json = check(r#" {"a" : [1, {"b":"x"}, []] , "q\"": "\u0041", "n":"7"} "#).unwrap();
        let shown: Vec<String> =
            json.members().map(|(name, value)| format!("{name}={}", value.text())).collect();
        assert_eq!(shown, [r#"a=[1, {"b":"x"}, []]"#, r#"q"="\u0041""#, r#"n="7""#]);
        let elements: Vec<&str> = json.get("a").unwrap().elements().map(Json::text).collect();
        assert_eq!(elements, ["1", r#"{"b":"x"}"#, "[]"]);
        assert_eq!(json.get("q\"").unwrap().string().unwrap(), "A");
        assert_eq!(json.get("n").unwrap().digits(), Some("7"));
        assert_eq!(check("{}").unwrap().members().count(), 0);
        assert_eq!(check("[ ]").unwrap().elements().count(), 0);
        assert_eq!(check("7").unwrap().elements().count(), 0);
    }

    #[test]
    fn values_after_each_other_are_taken_one_by_one() {
        let (one, rest) = first(r#"{"a":1}{"b":2}"#).unwrap();
        assert_eq!((one.text(), rest), (r#"{"a":1}"#, r#"{"b":2}"#));
        assert_eq!(check(r#"{"a":1}{"b":2}"#).unwrap_err().column, 8);
        assert!(first("").is_err());
    }

    proptest! {
        #[test]
        fn agrees_with_serde(text in r#"[\[\]{}:,"a1 ]{0,24}"#) {
            let known = serde_json::from_str::<serde_json::Value>(&text);
            let read = check(&text);
            prop_assert_eq!(known.is_ok(), read.is_ok(), "{}", text);
            if let (Ok(known), Ok(read)) = (known, read) {
                let count = known.as_array().map_or(0, Vec::len);
                prop_assert_eq!(read.elements().count(), count);
            }
        }
    }
}
