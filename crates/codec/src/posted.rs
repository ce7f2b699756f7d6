//! What any program can post: JSON objects in some order, or lines of text.
//!
//! Owns: where one record ends and the next begins. Does not own: what names mean (`pushed`).
//! Invariant: every byte of a body belongs to a record or is white space or punctuation between two; what is no JSON is
//! kept as text and marked.

use crate::json::walk;
use crate::pushed::{Intake, Name, Refused, Said};

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One object, an array of objects, or an object on each line.
    Json,
    /// A record on each line.
    Text,
}

/// What came of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Posted {
    /// Records that were taken.
    pub accepted: u64,
    /// Those among them that were not the JSON that they should have been.
    pub malformed: u64,
}

/// A body that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostedError {
    /// It has nothing in it.
    #[error("the body is empty")]
    Empty,
    /// It, or a record in it, is too large.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Reads a body.
///
/// # Errors
/// If it is empty or too large; nothing of it may be used then.
pub fn read(body: &[u8], form: Form, intake: &mut Intake) -> Result<Posted, PostedError> {
    read_with(body, form, intake, &|_| {}, None)
}

/// Reads a body whose records all have what `add` adds to the fields. With a name, each has that and its number as its own.
///
/// # Errors
/// As of [`read`].
pub(crate) fn read_with(
    body: &[u8],
    form: Form,
    intake: &mut Intake,
    add: &dyn Fn(&mut Intake),
    name: Option<Name<'_>>,
) -> Result<Posted, PostedError> {
    let mut reader = Reader { intake, add, name, posted: Posted::default() };
    match form {
        Form::Text => reader.text(body)?,
        Form::Json => reader.json(body)?,
    }
    if reader.posted.accepted == 0 { Err(PostedError::Empty) } else { Ok(reader.posted) }
}

struct Reader<'a> {
    intake: &'a mut Intake,
    add: &'a dyn Fn(&mut Intake),
    name: Option<Name<'a>>,
    posted: Posted,
}

impl Reader<'_> {
    fn text(&mut self, body: &[u8]) -> Result<(), Refused> {
        for line in body.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.iter().all(u8::is_ascii_whitespace) {
                self.write_text(line, false)?;
            }
        }
        Ok(())
    }

    fn json(&mut self, body: &[u8]) -> Result<(), Refused> {
        // One value over all of the body; lines of JSON are none.
        if let Some(value) = str::from_utf8(body).ok().and_then(|text| walk::check(text).ok()) {
            if value.is_array() {
                return value.elements().try_for_each(|element| self.write(element.text()));
            }
            return self.write(value.text());
        }
        for line in body.split(|byte| *byte == b'\n') {
            let line = line.trim_ascii();
            match str::from_utf8(line) {
                Ok("") => {}
                Ok(line) => self.write(line)?,
                Err(_) => self.write_text(line, true)?,
            }
        }
        Ok(())
    }

    /// A record of JSON; anything but an object is text.
    fn write(&mut self, text: &str) -> Result<(), Refused> {
        self.intake.begin();
        if self.intake.flatten(text).is_err() {
            return self.write_text(text.as_bytes(), true);
        }
        (self.add)(self.intake);
        self.put(Said { original: Some(text), ..Said::default() })?;
        Ok(())
    }

    fn write_text(&mut self, line: &[u8], malformed: bool) -> Result<(), Refused> {
        self.intake.begin();
        (self.add)(self.intake);
        self.put(Said { message: Some(line), malformed, ..Said::default() })?;
        self.posted.malformed += u64::from(malformed);
        Ok(())
    }

    fn put(&mut self, said: Said<'_>) -> Result<(), Refused> {
        let id = self.name.map(|name| format!("{}/{}", name.id, self.posted.accepted));
        let name = self.name.zip(id.as_deref()).map(|(name, id)| Name { id, ..name });
        self.intake.write(&Said { name, ..said })?;
        self.posted.accepted += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pushed::Trust;
    use crate::pushed::tests::{intake, shown};

    fn read_all(body: &[u8], form: Form) -> Result<(Posted, String), PostedError> {
        let mut intake = intake(Trust::Claimed, &[]);
        read(body, form, &mut intake).map(|posted| (posted, shown(intake)))
    }

    fn messages(body: &[u8], form: Form) -> (u64, Vec<String>) {
        let (posted, shown) = read_all(body, form).unwrap();
        let messages = shown.lines().filter_map(|line| line.trim().strip_prefix("message = "));
        (posted.malformed, messages.map(str::to_owned).collect())
    }

    #[test]
    fn every_form_of_json_gives_its_objects() {
        let wanted = vec![r#""a""#.to_owned(), r#""b""#.to_owned()];
        let bodies = [
            "{\"msg\":\"a\"}\n{\"msg\":\"b\"}",
            "\r\n{\"msg\":\"a\"}\r\n\n{\"msg\":\"b\"}\r\n",
            "[{\"msg\":\"a\"},\n {\"msg\":\"b\"}]",
        ];
        for body in bodies {
            assert_eq!(messages(body.as_bytes(), Form::Json), (0, wanted.clone()), "{body}");
        }
        assert_eq!(messages(b"{\n  \"msg\": \"a\"\n}", Form::Json).1, [r#""a""#]);
    }

    #[test]
    fn what_is_no_json_is_kept_and_marked() {
        let (malformed, found) = messages(b"{\"msg\":\"a\"}\nnot json\n7\n\xff", Form::Json);
        assert_eq!((malformed, found.len()), (3, 4));
        let (posted, shown) = read_all(b"[1,{\"msg\":\"x\"}]", Form::Json).unwrap();
        assert_eq!((posted.accepted, posted.malformed), (2, 1));
        assert_eq!(shown.matches(r#"sawyer.mark = "malformed""#).count(), 1);
    }

    #[test]
    fn lines_of_text_are_records() {
        assert_eq!(
            messages(b"one\r\n\n two\n", Form::Text),
            (0, vec![r#""one""#.to_owned(), r#"" two""#.to_owned()])
        );
        assert_eq!(read_all(b" \n", Form::Text), Err(PostedError::Empty));
        assert_eq!(read_all(b"[]", Form::Json), Err(PostedError::Empty));
    }

    proptest! {
        #[test]
        fn any_bytes_are_kept(body in prop::collection::vec(any::<u8>(), 1..200), json: bool) {
            let form = if json { Form::Json } else { Form::Text };
            let blank = body.iter().all(u8::is_ascii_whitespace);
            let read = read_all(&body, form);
            let empty_array = body.trim_ascii().first() == Some(&b'[') && body.trim_ascii().last() == Some(&b']');
            prop_assert!(read.is_ok() || blank || empty_array);
        }
    }
}
