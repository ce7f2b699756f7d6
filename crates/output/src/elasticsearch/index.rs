//! Which index a record goes to.
//!
//! Invariant: it follows from the record alone, never from the time of sending, or a record that is sent again would
//! be stored again. A name is always one that Elasticsearch accepts.

use sawyer_codec::time::write_rfc3339;
use sawyer_model::{RecordRef, Timestamp, ValueRef};

use crate::naming::{Piece, date_len, pieces};

/// Bytes of the longest name that Elasticsearch accepts.
const NAME_BYTES_MAX: usize = 255;

/// Stands for a field that a record does not have.
const MISSING: &str = "none";

/// A name with places to fill in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IndexName(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// So many characters of `2026.11.20`.
    Date(usize),
    Field(String),
}

impl IndexName {
    /// Reads a name such as `logs-{namespace}-{date}`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let part = |piece| match piece {
            Piece::Text(text) => Part::Text(text.to_owned()),
            Piece::Place(place) => date_len(place).map_or_else(|| Part::Field(place.to_owned()), Part::Date),
        };
        let parts: Vec<Part> = pieces(text)?.into_iter().map(part).collect();
        for part in &parts {
            if let Part::Text(text) = part
                && let Some(wrong) = text.chars().find(|c| !is_allowed(*c))
            {
                return Err(format!("an index cannot have `{wrong}` in its name, found {text:?}"));
            }
        }
        match parts.first() {
            None => Err("expected the name of an index, such as \"sawyer-{date}\"".to_owned()),
            Some(Part::Text(text)) if text.starts_with(['-', '_', '+', '.']) => {
                Err(format!("the name of an index cannot begin so, found {text:?}"))
            }
            Some(_) => Ok(Self(parts)),
        }
    }

    /// The text that all names begin with.
    pub(super) fn prefix(&self) -> &str {
        match self.0.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    /// Whether there is nothing to fill in.
    pub(super) fn is_fixed(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// Writes the names of many records.
    pub(super) fn writer(&self) -> IndexWriter<'_> {
        let dated = !self.0.iter().any(|part| matches!(part, Part::Field(_)));
        IndexWriter { name: self, dated, last: None }
    }

    /// Appends the name of a record's index.
    fn write(&self, record: RecordRef<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Date(len) => write_date(record.timestamp(), *len, out),
                Part::Field(name) => write_field(record.get(name), start, out),
            }
        }
        out.truncate(start + NAME_BYTES_MAX);
    }
}

/// Writes names; one that follows from the day alone is made once a day.
pub(super) struct IndexWriter<'a> {
    name: &'a IndexName,
    dated: bool,
    last: Option<(i64, Vec<u8>)>,
}

impl IndexWriter<'_> {
    /// Appends the name of a record's index.
    pub(super) fn write(&mut self, record: RecordRef<'_>, out: &mut Vec<u8>) {
        const DAY_NANOS: i64 = 86_400 * 1_000_000_000;
        if !self.dated {
            return self.name.write(record, out);
        }
        let day = record.timestamp().nanos().div_euclid(DAY_NANOS);
        if self.last.as_ref().is_none_or(|(last, _)| *last != day) {
            let mut text = Vec::new();
            self.name.write(record, &mut text);
            self.last = Some((day, text));
        }
        out.extend_from_slice(self.last.as_ref().map_or(&[][..], |(_, text)| text));
    }
}

fn write_date(time: Timestamp, len: usize, out: &mut Vec<u8>) {
    let start = out.len();
    write_rfc3339(time, out);
    out.truncate(start + len);
    out[start..].iter_mut().filter(|byte| **byte == b'-').for_each(|byte| *byte = b'.');
}

fn write_field(value: Option<ValueRef<'_>>, start: usize, out: &mut Vec<u8>) {
    let number;
    let text = match value {
        Some(ValueRef::Str(text)) if !text.is_empty() => text,
        Some(ValueRef::Int(value)) => {
            number = value.to_string();
            &number
        }
        _ => MISSING,
    };
    for c in text.chars().flat_map(char::to_lowercase) {
        let first = out.len() == start;
        // Names are ASCII here, so that their length in bytes can be cut anywhere.
        let fits = c.is_ascii() && is_allowed(c) && !(first && matches!(c, '-' | '_' | '+' | '.'));
        out.push(if fits {
            c as u8
        } else if first {
            b'x'
        } else {
            b'_'
        });
    }
}

/// What Elasticsearch accepts in the name of an index, in lower case.
fn is_allowed(c: char) -> bool {
    !c.is_uppercase() && !c.is_control() && !"\\/*?\"<>| ,#:".contains(c) && !c.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{batch_of, record};
    use sawyer_model::Value;

    fn name(template: &str, fields: &[(&str, Value)]) -> String {
        let mut record = record(0, "x");
        record.fields.extend(fields.iter().map(|(name, value)| ((*name).into(), value.clone())));
        let mut out = Vec::new();
        IndexName::parse(template).unwrap().write(batch_of(&[record]).get(0), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn follows_from_the_record() {
        assert_eq!(name("sawyer-{date}", &[]), "sawyer-2026.11.20");
        assert_eq!(name("logs-{namespace}-{month}", &[]), "logs-shop-2026.11");
        assert_eq!(name("{year}-{team}-{n}", &[("n", Value::Int(7))]), "2026-none-7");
    }

    #[test]
    fn is_always_a_name_that_is_accepted() {
        assert_eq!(name("a-{t}", &[("t", Value::from("Shop/EU *결제"))]), "a-shop_eu____");
        assert_eq!(name("{t}", &[("t", Value::from("_x"))]), "xx");
        assert_eq!(name("{t}", &[("t", Value::from("é".repeat(300)))]).len(), NAME_BYTES_MAX);
    }

    #[test]
    fn refuses_what_is_no_name() {
        for (text, expected) in [
            ("", "expected the name of an index, such as \"sawyer-{date}\""),
            ("Logs", "an index cannot have `L` in its name, found \"Logs\""),
            ("logs-{date", "expected `}` after `{`, found \"logs-{date\""),
            ("logs-{}", "expected the name of a field between `{` and `}`"),
            ("_logs", "the name of an index cannot begin so, found \"_logs\""),
            ("a b", "an index cannot have ` ` in its name, found \"a b\""),
        ] {
            assert_eq!(IndexName::parse(text).unwrap_err(), expected);
        }
    }
}
