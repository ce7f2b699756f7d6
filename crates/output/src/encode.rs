//! Records as lines.
//!
//! Owns: the form `text`, which is for people. Does not own: the form `json` (`codec`).
//! Invariant: `json` gives one line a record. `text` gives no control characters but line feeds and tabs, so that a
//! log line cannot speak to a terminal.

use sawyer_codec::json_out;
use sawyer_config::choice;
use sawyer_model::{Batch, RecordRef, ValueRef, names};

use crate::deliver::one_by_one;

choice! {
    /// How records are written.
    pub enum LineFormat {
        /// One JSON object a line, as the HTTP API shows records.
        Json = "json",
        /// For people: time, level, namespace/pod/container, message. Further lines of a message are indented.
        Text = "text",
        /// As they were written, less what masks hide; nothing else.
        Lines = "lines",
    }
}

impl LineFormat {
    /// Appends a record with its line feed.
    pub(crate) fn write(self, record: RecordRef<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Json => json_out::write(record, &json_out::Options::default(), out),
            Self::Text => write_text(record, out),
            Self::Lines => {
                let line = text_of(record, names::ORIGINAL).unwrap_or_else(|| record.message());
                out.extend_from_slice(line.as_bytes());
            }
        }
        out.push(b'\n');
    }

    /// Appends all records of a batch, each with its line feed, and where each ends.
    pub(crate) fn write_all(self, batch: &Batch, out: &mut Vec<u8>, ends: &mut Vec<usize>) {
        match self {
            Self::Json => json_out::write_all(batch, false, b"\n", out, ends),
            Self::Text | Self::Lines => one_by_one(batch, out, ends, |record, out| self.write(record, out)),
        }
    }
}

fn write_text(record: RecordRef<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(record.timestamp().to_string().as_bytes());
    let level = text_of(record, names::LEVEL).unwrap_or("-");
    out.push(b' ');
    write_clean(&format!("{level:<5}"), out);
    let mut separator = b' ';
    for name in [names::NAMESPACE, names::POD, names::CONTAINER] {
        if let Some(text) = text_of(record, name) {
            out.push(std::mem::replace(&mut separator, b'/'));
            write_clean(text, out);
        }
    }
    if separator == b' ' {
        // Not of a container: what it was read from.
        out.push(b' ');
        write_clean(text_of(record, names::SOURCE).unwrap_or("-"), out);
    }
    out.push(b' ');
    write_clean(record.message(), out);
}

fn text_of<'a>(record: RecordRef<'a>, name: &str) -> Option<&'a str> {
    record.get(name).and_then(ValueRef::as_str)
}

/// Control characters are shown as escapes.
fn write_clean(text: &str, out: &mut Vec<u8>) {
    let mut buffer = [0; 4];
    for c in text.chars() {
        match c {
            '\n' => out.extend_from_slice(b"\n    "),
            '\t' => out.push(b'\t'),
            c if c.is_control() => c.escape_default().for_each(|c| out.push(c as u8)),
            c => out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{batch_of, record};
    use sawyer_model::Value;

    fn text(fields: &[(&str, &str)]) -> String {
        let mut record = record(0, "it works");
        for (name, value) in fields {
            record.fields.retain(|(known, _)| &**known != *name);
            record.fields.push(((*name).into(), Value::from(*value)));
        }
        let mut out = Vec::new();
        LineFormat::Text.write(batch_of(&[record]).get(0), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_for_people() {
        assert_eq!(text(&[]), "2026-11-20T12:00:00Z -     shop/cart-1/app it works\n");
        assert_eq!(text(&[("level", "error")]), "2026-11-20T12:00:00Z error shop/cart-1/app it works\n");
    }

    #[test]
    fn text_keeps_away_from_the_terminal() {
        let shown = text(&[("message", "a\n\tb\r\u{1b}[31mred\u{9b}결제"), ("level", "\u{7}")]);
        let expected =
            "2026-11-20T12:00:00Z \\u{7}     shop/cart-1/app a\n    \tb\\r\\u{1b}[31mred\\u{9b}결제\n";
        assert_eq!(shown, expected);
    }
}
