//! Names that follow from a record: a log group, a stream, a topic, a key.
//!
//! Owns: templates such as `/sawyer/{namespace}` and `{pod|source|"none"}`, and how any template is taken apart.
//! Does not own: what a name may look like at a target ([`Rule`] says it), indices of Elasticsearch
//! (`elasticsearch::index`), tenants of Loki (`loki::template`).
//! Invariant: a name follows from the record alone, and is always one that the target accepts. What a line says in a
//! field cannot lead into another part of the name: `/` in a value is replaced.

use sawyer_codec::time::write_rfc3339;
use sawyer_model::{RecordRef, Timestamp, ValueRef};

/// Stands for a field that a record does not have.
const MISSING: &str = "none";

/// What a target accepts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// What it is, for messages.
    pub(crate) what: &'static str,
    /// Most bytes.
    pub(crate) bytes_max: usize,
    /// Whether a character may stand in it. Only ASCII is ever asked for.
    pub(crate) allows: fn(char) -> bool,
}

/// What a template is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Piece<'a> {
    /// Text, never empty.
    Text(&'a str),
    /// What stands between `{` and `}`, never empty.
    Place(&'a str),
}

/// Takes a template apart.
pub(crate) fn pieces(template: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (place, after) =
            after.split_once('}').ok_or_else(|| format!("expected `}}` after `{{`, found {template:?}"))?;
        if place.is_empty() {
            return Err("expected the name of a field between `{` and `}`".to_owned());
        }
        pieces.extend([Piece::Text(before), Piece::Place(place)]);
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    pieces.retain(|piece| !matches!(piece, Piece::Text("")));
    Ok(pieces)
}

/// How many characters of `2026.11.20` stand at a place for a date.
pub(crate) fn date_len(place: &str) -> Option<usize> {
    match place {
        "date" => Some("2026.11.20".len()),
        "month" => Some("2026.11".len()),
        "year" => Some("2026".len()),
        _ => None,
    }
}

/// A name with places to fill in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// So many characters of `2026.11.20`.
    Date(usize),
    /// The first of these fields that the record has, else the text.
    Field(Vec<String>, String),
}

impl Name {
    /// Reads a template.
    pub(crate) fn parse(text: &str, rule: &Rule) -> Result<Self, String> {
        let mut parts = Vec::new();
        for piece in pieces(text)? {
            parts.push(match piece {
                Piece::Text(text) => Part::Text(text.to_owned()),
                Piece::Place(place) => match date_len(place) {
                    Some(len) => Part::Date(len),
                    None => field(place)?,
                },
            });
        }
        for part in &parts {
            if let Part::Text(text) | Part::Field(_, text) = part
                && let Some(wrong) = text.chars().find(|c| !c.is_ascii() || !(rule.allows)(*c))
            {
                return Err(format!("{} cannot have `{wrong}` in its name, found {text:?}", rule.what));
            }
        }
        if parts.is_empty() {
            return Err(format!("expected the name of {}", rule.what));
        }
        Ok(Self(parts))
    }

    /// Appends the name for a record.
    pub(crate) fn write(&self, record: RecordRef<'_>, rule: &Rule, out: &mut String) {
        let start = out.len();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Date(len) => out.push_str(&date(record.timestamp())[..*len]),
                Part::Field(names, otherwise) => {
                    let found = names.iter().find_map(|name| text_of(record.get(name)?));
                    match found {
                        Some(value) => write_value(&value, rule, out),
                        None => out.push_str(otherwise),
                    }
                }
            }
        }
        // Names are ASCII, so they can be cut anywhere.
        out.truncate(start + rule.bytes_max);
    }

    /// The name for a record.
    pub(crate) fn of(&self, record: RecordRef<'_>, rule: &Rule) -> String {
        let mut out = String::new();
        self.write(record, rule, &mut out);
        out
    }
}

/// A place: fields in their order, and in quotes what stands for all of them.
fn field(place: &str) -> Result<Part, String> {
    let mut names = Vec::new();
    let mut otherwise = MISSING.to_owned();
    for name in place.split('|') {
        match name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(text) => otherwise = text.to_owned(),
            None if name.trim().is_empty() => {
                return Err("expected the name of a field between `{` and `}`".to_owned());
            }
            None => names.push(name.trim().to_owned()),
        }
    }
    Ok(Part::Field(names, otherwise))
}

fn text_of(value: ValueRef<'_>) -> Option<std::borrow::Cow<'_, str>> {
    match value {
        ValueRef::Str(text) if !text.is_empty() => Some(text.into()),
        ValueRef::Int(number) => Some(number.to_string().into()),
        ValueRef::Bool(truth) => Some(truth.to_string().into()),
        _ => None,
    }
}

fn write_value(value: &str, rule: &Rule, out: &mut String) {
    for c in value.chars() {
        let fits = c.is_ascii() && c != '/' && !c.is_control() && (rule.allows)(c);
        out.push(if fits { c } else { '_' });
    }
}

fn date(time: Timestamp) -> String {
    let mut out = Vec::new();
    write_rfc3339(time, &mut out);
    out.truncate("2026-11-20".len());
    String::from_utf8_lossy(&out).replace('-', ".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{batch_of, record};
    use sawyer_model::Value;

    const RULE: Rule = Rule {
        what: "a log group",
        bytes_max: 40,
        allows: |c| c.is_ascii_alphanumeric() || "._-/#".contains(c),
    };

    fn name(template: &str, fields: &[(&str, Value)]) -> String {
        let mut record = record(0, "x");
        record.fields.extend(fields.iter().map(|(name, value)| ((*name).into(), value.clone())));
        Name::parse(template, &RULE).unwrap().of(batch_of(&[record]).get(0), &RULE)
    }

    #[test]
    fn follows_from_the_record() {
        assert_eq!(name("/sawyer/{namespace}", &[]), "/sawyer/shop");
        assert_eq!(name("{team|namespace}/{n}", &[("n", Value::Int(7))]), "shop/7");
        assert_eq!(name("{team}-{team|\"-\"}", &[]), "none--");
        assert_eq!(name("{date}.{year}.{month}", &[]), "2026.11.20.2026.2026.11");
    }

    #[test]
    fn a_value_cannot_lead_elsewhere() {
        assert_eq!(name("/a/{t}", &[("t", Value::from("../b: 결제*"))]), "/a/.._b_____");
        assert_eq!(name("{t}", &[("t", Value::from("x".repeat(99)))]).len(), 40);
        assert_eq!(name("{t}", &[("t", Value::from(""))]), "none");
    }

    #[test]
    fn refuses_what_is_no_name() {
        for (text, expected) in [
            ("", "expected the name of a log group"),
            ("a b", "a log group cannot have ` ` in its name, found \"a b\""),
            ("{a|\"?\"}", "a log group cannot have `?` in its name, found \"?\""),
            ("logs-{date", "expected `}` after `{`, found \"logs-{date\""),
            ("logs-{}", "expected the name of a field between `{` and `}`"),
        ] {
            assert_eq!(Name::parse(text, &RULE).unwrap_err(), expected);
        }
    }
}
