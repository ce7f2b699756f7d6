//! The name of a tenant, in which fields may stand.
//!
//! Invariant: it follows from the record alone, and is always one that Loki accepts.

use sawyer_model::{RecordRef, ValueRef};

use crate::naming::{Piece, pieces};

/// Bytes of the longest name that Loki accepts.
const TENANT_BYTES_MAX: usize = 150;

/// Stands for a field that a record does not have.
const MISSING: &str = "none";

/// A name with places to fill in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tenant(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(String),
}

impl Tenant {
    /// Reads a name such as `shop` or `team-{namespace}`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let part = |piece| match piece {
            Piece::Text(text) => Part::Text(text.to_owned()),
            Piece::Place(field) => Part::Field(field.to_owned()),
        };
        let parts: Vec<Part> = pieces(text)?.into_iter().map(part).collect();
        let wrong = parts.iter().find_map(|part| match part {
            Part::Text(text) => text.chars().find(|c| !is_allowed(*c)),
            Part::Field(_) => None,
        });
        match wrong {
            Some(wrong) => Err(format!("a tenant cannot have `{wrong}` in its name, found {text:?}")),
            None if parts.is_empty() || text.len() > TENANT_BYTES_MAX || matches!(text, "." | "..") => {
                Err(format!("expected a name of 1 to {TENANT_BYTES_MAX} characters, found {text:?}"))
            }
            None => Ok(Self(parts)),
        }
    }

    /// Appends the tenant of a record.
    pub(super) fn write(&self, record: RecordRef<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Field(name) => {
                    let text = record.get(name).and_then(ValueRef::as_str).filter(|text| !text.is_empty());
                    let fit = |c: char| if is_allowed(c) { c as u8 } else { b'_' };
                    out.extend(text.unwrap_or(MISSING).chars().map(fit));
                }
            }
        }
        out.truncate(start + TENANT_BYTES_MAX);
        if matches!(&out[start..], b"." | b"..") {
            out[start] = b'_';
        }
    }
}

/// What a tenant's name may have in it.
fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!-_.*'()".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{batch_of, record};

    fn tenant(text: &str) -> String {
        let mut out = Vec::new();
        Tenant::parse(text).unwrap().write(batch_of(&[record(0, "x")]).get(0), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn follows_from_the_record() {
        assert_eq!(tenant("shop"), "shop");
        assert_eq!(tenant("team-{namespace}"), "team-shop");
        assert_eq!(tenant("{nobody}"), "none");
        assert_eq!(tenant("{message}{message}"), "xx");
    }

    #[test]
    fn refuses_what_is_no_name() {
        for (text, expected) in [
            ("", "expected a name of 1 to 150 characters, found \"\""),
            ("..", "expected a name of 1 to 150 characters, found \"..\""),
            ("a b", "a tenant cannot have ` ` in its name, found \"a b\""),
            ("a|b", "a tenant cannot have `|` in its name, found \"a|b\""),
            ("{", "expected `}` after `{`, found \"{\""),
            ("{}", "expected the name of a field between `{` and `}`"),
        ] {
            assert_eq!(Tenant::parse(text).unwrap_err(), expected);
        }
    }
}
