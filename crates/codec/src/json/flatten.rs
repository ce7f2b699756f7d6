//! Objects into dotted fields.
//!
//! Owns: names of nested values, what becomes of arrays, numbers and deep parts.
//! Does not own: the tokens (`scan`), what the fields mean.
//! Invariant: recursion is bounded by [`NESTING_DEPTH_MAX`], names by [`NAME_BYTES_MAX`].
//!
//! | JSON | fields |
//! |---|---|
//! | `{"a":{"b":1}}` | `a.b` = 1 |
//! | `{"a":[1,"x"]}` | `a` = list of 1, x |
//! | `{"a":[{"b":1},{"b":2}]}` | `a` = the array as it is written, `a.b` = list of 1, 2 |
//! | `{"a":{}}`, or anything nested deeper than is flattened | `a` = the value as it is written |
//! | `{"":1}` | `_empty` = 1 |
//!
//! Integers that neither an `i64` nor an `f64` can hold exactly, and numbers beyond an `f64`, stay text.

use sawyer_model::ValueRef;
use sawyer_model::limits::{NAME_BYTES_MAX, NESTING_DEPTH_MAX};

use super::scan::{Expected, Scanner, Text, unescape};
use super::{JsonError, read_number};
use crate::fields::FieldSink;

/// The name that a field with the empty name gets: a record cannot have a field without a name.
pub const EMPTY_NAME: &str = "_empty";

/// Buffers that are used again for each line.
#[derive(Debug, Default)]
pub struct Scratch {
    path: String,
    bytes: Vec<u8>,
}

impl Scratch {
    /// A buffer for whoever resolves escapes.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

/// Reads a text that is one JSON object and gives its fields to `sink`, in order.
///
/// # Errors
/// Where it is no JSON object; fields read before that place have been given to the sink.
pub fn flatten(text: &str, scratch: &mut Scratch, sink: &mut impl FieldSink) -> Result<(), JsonError> {
    scratch.path.clear();
    let scanner = Scanner::new(text.as_bytes());
    let mut flattener = Flattener { text, scanner, scratch, sink, arrays: 0 };
    flattener.document().map_err(|expected| flattener.scanner.error(expected))
}

struct Flattener<'a, 's, S> {
    text: &'a str,
    scanner: Scanner<'a>,
    scratch: &'s mut Scratch,
    sink: &'s mut S,
    /// How many arrays of objects are open: their fields are derived.
    arrays: usize,
}

impl<S: FieldSink> Flattener<'_, '_, S> {
    fn document(&mut self) -> Result<(), Expected> {
        if self.scanner.token() != Some(b'{') {
            return Err("`{`");
        }
        self.object(0)?;
        match self.scanner.token() {
            None => Ok(()),
            Some(_) => Err("the end of the line"),
        }
    }

    /// The members of an object whose own name is the path.
    fn object(&mut self, depth: usize) -> Result<(), Expected> {
        let start = self.scanner.at;
        self.scanner.at += 1;
        if self.scanner.token() == Some(b'}') {
            self.scanner.at += 1;
            if depth > 0 {
                self.whole(start);
            }
            return Ok(());
        }
        let base = self.scratch.path.len();
        loop {
            if self.scanner.token() != Some(b'"') {
                return Err("a name in quotes");
            }
            let key = self.scanner.string()?;
            self.push_name(key, depth);
            self.scanner.expect(b':', "`:`")?;
            self.value(depth + 1)?;
            self.scratch.path.truncate(base);
            if self.scanner.separator(b'}', "`,` or `}`")? {
                return Ok(());
            }
        }
    }

    fn push_name(&mut self, key: Text, depth: usize) {
        let raw = &self.text[key.start..key.end];
        let path = &mut self.scratch.path;
        if depth > 0 {
            path.push('.');
        } else if raw.is_empty() {
            path.push_str(EMPTY_NAME);
        }
        if key.escaped {
            self.scratch.bytes.clear();
            unescape(raw.as_bytes(), &mut self.scratch.bytes);
            path.push_str(&String::from_utf8_lossy(&self.scratch.bytes));
        } else {
            path.push_str(raw);
        }
        if path.len() > NAME_BYTES_MAX {
            let mut end = NAME_BYTES_MAX;
            while !path.is_char_boundary(end) {
                end -= 1;
            }
            path.truncate(end);
        }
    }

    #[inline]
    fn value(&mut self, depth: usize) -> Result<(), Expected> {
        match self.scanner.token() {
            Some(b'{') if depth >= NESTING_DEPTH_MAX => self.kept_whole(depth),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            _ => self.scalar(),
        }
    }

    fn scalar(&mut self) -> Result<(), Expected> {
        match self.scanner.token() {
            Some(b'"') => {
                let text = self.scanner.string()?;
                self.give_string(text);
            }
            Some(b'-' | b'0'..=b'9') => {
                let value = read_number(&mut self.scanner, self.text)?;
                self.give(value);
            }
            Some(b't') => {
                self.scanner.word("true")?;
                self.give(ValueRef::Bool(true));
            }
            Some(b'f') => {
                self.scanner.word("false")?;
                self.give(ValueRef::Bool(false));
            }
            Some(b'n') => {
                self.scanner.word("null")?;
                self.give(ValueRef::Null);
            }
            _ => return Err("a value"),
        }
        Ok(())
    }

    fn give(&mut self, value: ValueRef<'_>) {
        if self.arrays == 0 {
            self.sink.field(&self.scratch.path, value);
        } else {
            self.sink.derived(&self.scratch.path, value);
        }
    }

    fn give_string(&mut self, text: Text) {
        let raw = &self.text[text.start..text.end];
        if !text.escaped {
            return self.give(ValueRef::Str(raw));
        }
        let mut bytes = std::mem::take(&mut self.scratch.bytes);
        bytes.clear();
        unescape(raw.as_bytes(), &mut bytes);
        self.give(ValueRef::Str(&String::from_utf8_lossy(&bytes)));
        self.scratch.bytes = bytes;
    }

    /// Gives the text from `start` to here as it is written.
    fn whole(&mut self, start: usize) {
        let raw = &self.text[start..self.scanner.at];
        self.give(ValueRef::Json(raw));
    }

    fn kept_whole(&mut self, depth: usize) -> Result<(), Expected> {
        let start = self.scanner.at;
        self.scanner.skip(depth)?;
        self.whole(start);
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), Expected> {
        let start = self.scanner.at;
        let nested = self.scanner.skip(depth)?;
        if nested {
            self.whole(start);
            if depth < NESTING_DEPTH_MAX {
                let end = std::mem::replace(&mut self.scanner.at, start);
                self.arrays += 1;
                self.nested_elements(depth)?;
                self.arrays -= 1;
                self.scanner.at = end;
            }
            return Ok(());
        }
        self.scanner.at = start + 1;
        if self.arrays == 0 {
            self.sink.list(&self.scratch.path);
        } else {
            self.sink.derived_list(&self.scratch.path);
        }
        if self.scanner.token() == Some(b']') {
            self.scanner.at += 1;
            return Ok(());
        }
        loop {
            self.scalar()?;
            if self.scanner.separator(b']', "`,` or `]`")? {
                return Ok(());
            }
        }
    }

    /// The fields of the objects of an array that was found to be valid; its scalars are in the whole alone.
    fn nested_elements(&mut self, depth: usize) -> Result<(), Expected> {
        self.scanner.at += 1;
        loop {
            match self.scanner.token() {
                Some(b'{') if depth + 1 < NESTING_DEPTH_MAX => self.object_in_array(depth + 1)?,
                Some(b'[') if depth + 1 < NESTING_DEPTH_MAX && self.is_nested(depth + 1)? => {
                    self.nested_elements(depth + 1)?;
                }
                _ => self.scanner.skip(depth + 1).map(drop)?,
            }
            if self.scanner.separator(b']', "`,` or `]`")? {
                return Ok(());
            }
        }
    }

    /// An empty object in an array has no fields, and is in the whole already.
    fn object_in_array(&mut self, depth: usize) -> Result<(), Expected> {
        let start = self.scanner.at;
        self.scanner.at += 1;
        if self.scanner.token() == Some(b'}') {
            self.scanner.at += 1;
            return Ok(());
        }
        self.scanner.at = start;
        self.object(depth)
    }

    /// Whether the array here has arrays or objects in it.
    fn is_nested(&mut self, depth: usize) -> Result<bool, Expected> {
        let start = self.scanner.at;
        let nested = self.scanner.skip(depth);
        self.scanner.at = start;
        nested
    }
}
