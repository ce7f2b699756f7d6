//! Which stream a record belongs to.
//!
//! Owns: the labels and how they are written. Does not own: what else is known of a record (`entry`).
//! Invariant: the same labels are always the same bytes, in the form in which Loki writes them itself, so that what it
//! says about a stream can be compared.

use std::collections::BTreeMap;

use sawyer_model::{RecordRef, ValueRef};

/// Labels of a stream, at most; Loki's default for `max_label_names_per_series`.
pub(super) const LABELS_MAX: usize = 15;

/// Bytes of a label's value, at most; Loki's default for `max_label_value_length`.
const VALUE_BYTES_MAX: usize = 2048;

/// Loki wants a label at least; a record with none of those that are wanted has this one.
const FALLBACK: &str = "{job=\"sawyer\"}";

/// The labels of all records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Labels(BTreeMap<String, Of>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Of {
    Text(String),
    Field(String),
}

impl Labels {
    /// Reads a list such as `[namespace, app=labels.app]`. The error says which entry is wrong, and why.
    pub(super) fn parse(
        fields: &[String],
        fixed: &BTreeMap<String, String>,
    ) -> Result<Self, (Option<usize>, String)> {
        let mut labels = BTreeMap::new();
        for (at, text) in fields.iter().enumerate() {
            let (label, field) = match text.split_once('=') {
                Some((label, field)) => (label.to_owned(), field),
                None => (label_of(text), text.as_str()),
            };
            let wrong = |why: String| (Some(at), why);
            if field.is_empty() || !is_label(&label) {
                let why = format!(
                    "expected a field, or a label and a field as in `app=labels.app`, found {text:?}"
                );
                return Err(wrong(why));
            }
            if labels.insert(label.clone(), Of::Field(field.to_owned())).is_some() {
                return Err(wrong(format!("there is a label `{label}` already")));
            }
        }
        for (label, value) in fixed {
            if !is_label(label) || value.is_empty() {
                return Err((None, format!("expected a label and a value, found {label:?} and {value:?}")));
            }
            labels.insert(label.clone(), Of::Text(cut(value).to_owned()));
        }
        if labels.len() > LABELS_MAX {
            let why = format!("Loki takes {LABELS_MAX} labels at most, and these are {}", labels.len());
            return Err((None, why));
        }
        Ok(Self(labels))
    }

    /// Whether a field is in a label.
    pub(super) fn has(&self, field: &str) -> bool {
        self.0.values().any(|of| matches!(of, Of::Field(name) if name == field))
    }

    /// Appends the labels of a record; says how many values were cut.
    pub(super) fn write(&self, record: RecordRef<'_>, out: &mut Vec<u8>) -> u64 {
        let (start, mut cuts) = (out.len(), 0);
        for (label, of) in &self.0 {
            let number;
            let value = match of {
                Of::Text(text) => text.as_str(),
                Of::Field(name) => match record.get(name) {
                    Some(ValueRef::Str(text)) => text,
                    Some(ValueRef::Int(value)) => {
                        number = value.to_string();
                        &number
                    }
                    Some(ValueRef::Bool(true)) => "true",
                    Some(ValueRef::Bool(false)) => "false",
                    _ => continue,
                },
            };
            if value.is_empty() {
                continue;
            }
            out.extend_from_slice(if out.len() == start { b"{" } else { b", " });
            out.extend_from_slice(label.as_bytes());
            out.extend_from_slice(b"=\"");
            let short = cut(value);
            cuts += u64::from(short.len() < value.len());
            write_quoted(short, out);
            out.push(b'"');
        }
        if out.len() == start {
            out.extend_from_slice(FALLBACK.as_bytes());
        } else {
            out.push(b'}');
        }
        cuts
    }
}

fn cut(value: &str) -> &str {
    &value[..value.floor_char_boundary(VALUE_BYTES_MAX)]
}

/// A text between quotes as Go writes it.
fn write_quoted(text: &str, out: &mut Vec<u8>) {
    if !text.bytes().any(|byte| matches!(byte, b'"' | b'\\') || byte < b' ' || byte == 0x7f) {
        return out.extend_from_slice(text.as_bytes());
    }
    for c in text.chars() {
        let mut buffer = [0; 4];
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            c if c.is_ascii_control() => out.extend_from_slice(format!("\\x{:02x}", c as u8).as_bytes()),
            c => out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes()),
        }
    }
}

/// A field's name as that of a label.
pub(super) fn label_of(field: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let label: String = field.chars().map(fit).collect();
    if label.starts_with(|c: char| c.is_ascii_digit()) { format!("_{label}") } else { label }
}

/// Whether a label may be called so; names that begin with `__` are Loki's own.
fn is_label(text: &str) -> bool {
    !text.is_empty() && !text.starts_with("__") && label_of(text) == text
}

#[cfg(test)]
mod tests {
    use sawyer_model::Value;

    use super::*;
    use crate::testing::{batch_of, record};

    fn parse(fields: &[&str], fixed: &[(&str, &str)]) -> Result<Labels, (Option<usize>, String)> {
        let fields: Vec<String> = fields.iter().map(|text| (*text).to_owned()).collect();
        let fixed = fixed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Labels::parse(&fields, &fixed)
    }

    fn written(labels: &Labels, fields: &[(&str, Value)]) -> (String, u64) {
        let mut record = record(0, "x");
        record.fields.extend(fields.iter().map(|(name, value)| ((*name).into(), value.clone())));
        let mut out = Vec::new();
        let cuts = labels.write(batch_of(&[record]).get(0), &mut out);
        (String::from_utf8(out).unwrap(), cuts)
    }

    #[test]
    fn are_sorted_and_quoted_as_loki_writes_them() {
        let labels =
            parse(&["pod", "namespace", "app=labels.app", "http.status"], &[("env", "prod")]).unwrap();
        let fields = [("labels.app", Value::from("a\"\\\n\u{1}결")), ("http.status", Value::Int(500))];
        let expected =
            r#"{app="a\"\\\n\x01결", env="prod", http_status="500", namespace="shop", pod="cart-1"}"#;
        assert_eq!(written(&labels, &fields), (expected.to_owned(), 0));
    }

    #[test]
    fn values_are_cut_and_there_is_always_one() {
        assert_eq!(written(&parse(&["nothing"], &[]).unwrap(), &[]).0, FALLBACK);
        let (text, cuts) =
            written(&parse(&["long"], &[]).unwrap(), &[("long", Value::from("é".repeat(2000)))]);
        assert_eq!((text.len(), cuts), (VALUE_BYTES_MAX + "{long=\"\"}".len(), 1));
    }

    #[test]
    fn wrong_ones_are_told() {
        let message = |fields: &[&str]| parse(fields, &[]).unwrap_err();
        assert_eq!(message(&["pod", "a=pod", "a.b", "a_b"]).1, "there is a label `a_b` already");
        assert_eq!(
            message(&["pod", "9=pod"]),
            (
                Some(1),
                "expected a field, or a label and a field as in `app=labels.app`, found \"9=pod\"".to_owned()
            )
        );
        let many: Vec<String> = (0..16).map(|at| format!("f{at}")).collect();
        let (_, why) = Labels::parse(&many, &BTreeMap::new()).unwrap_err();
        assert_eq!(why, "Loki takes 15 labels at most, and these are 16");
    }
}
