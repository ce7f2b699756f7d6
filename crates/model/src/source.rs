//! Where records come from: sources (what is read, with sequence numbers) and streams (who speaks).

use std::fmt::{self, Write};
use std::str::FromStr;

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::ranges::SeqRange;
use crate::value::Value;

/// The identity of something that is read in sequence: one file with one content, one journal, one client.
///
/// The same content has the same identity wherever it is found (renamed, compressed), and another content never
/// has, even under the same name or inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u128);

impl SourceId {
    /// The identity of what these parts name together. Parts are length-prefixed, so `["ab", "c"]` and
    /// `["a", "bc"]` differ.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = Xxh3::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(hasher.digest128())
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A record's name for all time: its source, and the first sequence number of the range that is its own.
/// Written as `<32 hex digits>-<hex digits>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// What it was read from.
    pub source: SourceId,
    /// Where in it the record starts.
    pub start: u64,
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}", self.source, self.start)
    }
}

/// The text is not a record id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a record id: 32 hexadecimal digits, `-`, hexadecimal digits")]
pub struct NotARecordId;

impl FromStr for RecordId {
    type Err = NotARecordId;

    fn from_str(text: &str) -> Result<Self, NotARecordId> {
        let (source, start) = text.split_once('-').ok_or(NotARecordId)?;
        if source.len() != 32 || source.starts_with('+') || start.starts_with('+') {
            return Err(NotARecordId);
        }
        let source = SourceId(u128::from_str_radix(source, 16).map_err(|_| NotARecordId)?);
        Ok(Self { source, start: u64::from_str_radix(start, 16).map_err(|_| NotARecordId)? })
    }
}

/// Who speaks: the fields that all records of a container's output (or of a unit, a client) share. They come from
/// the collector and are authoritative; a record's own fields cannot overrule them, except by a step that the
/// operator configured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stream {
    fields: Vec<(Box<str>, Value)>,
    fingerprint: u128,
}

impl Stream {
    /// A stream with these fields; of equal names the last one counts.
    #[must_use]
    pub fn new(fields: impl IntoIterator<Item = (impl Into<Box<str>>, Value)>) -> Self {
        let mut sorted: Vec<(Box<str>, Value)> = Vec::new();
        for (name, value) in fields {
            let name = name.into();
            match sorted.binary_search_by(|(known, _)| known.cmp(&name)) {
                Ok(at) => sorted[at].1 = value,
                Err(at) => sorted.insert(at, (name, value)),
            }
        }
        let mut text = String::new();
        for (name, value) in &sorted {
            let _ = write!(text, "{name:?}=");
            write_exactly(&mut text, value);
            text.push(';');
        }
        Self { fingerprint: xxh3_128(text.as_bytes()), fields: sorted }
    }

    /// The fields, sorted by name.
    #[must_use]
    pub fn fields(&self) -> &[(Box<str>, Value)] {
        &self.fields
    }

    /// The value of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        let at = self.fields.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        Some(&self.fields[at].1)
    }

    /// Equal for equal streams, everywhere and for all time.
    #[must_use]
    pub fn fingerprint(&self) -> u128 {
        self.fingerprint
    }

    /// A stream with some fields replaced or added.
    #[must_use]
    pub fn with(&self, fields: impl IntoIterator<Item = (impl Into<Box<str>>, Value)>) -> Self {
        let own = self.fields.iter().cloned();
        Self::new(own.chain(fields.into_iter().map(|(name, value)| (name.into(), value))))
    }
}

/// Writes a value so that different values differ, floats to the bit.
fn write_exactly(text: &mut String, value: &Value) {
    match value {
        Value::Float(float) => {
            let _ = write!(text, "Float({:x})", float.to_bits());
        }
        Value::List(values) => {
            text.push('[');
            for value in values {
                write_exactly(text, value);
                text.push(',');
            }
            text.push(']');
        }
        other => {
            let _ = write!(text, "{other:?}");
        }
    }
}

/// A part of a source that a batch accounts for, whatever became of the lines in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered {
    /// Which source.
    pub source: SourceId,
    /// Which part of it.
    pub range: SeqRange,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_ids_read_back() {
        let id = RecordId { source: SourceId(0xab), start: 41_712 };
        assert_eq!(id.to_string(), "000000000000000000000000000000ab-a2f0");
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in
            ["", "-", "ab-1", "000000000000000000000000000000ab", "000000000000000000000000000000ab-+1"]
        {
            assert_eq!(wrong.parse::<RecordId>(), Err(NotARecordId), "{wrong}");
        }
    }

    #[test]
    fn parts_of_a_source_do_not_run_together() {
        assert_ne!(SourceId::of(&[b"ab", b"c"]), SourceId::of(&[b"a", b"bc"]));
    }

    #[test]
    fn stream_order_does_not_matter() {
        let one = Stream::new([("pod", Value::from("a")), ("namespace", Value::from("b"))]);
        let other = Stream::new([("namespace", Value::from("b")), ("pod", Value::from("a"))]);
        assert_eq!(one, other);
        assert_eq!(one.get("pod"), Some(&Value::from("a")));
        assert_ne!(one.fingerprint(), one.with([("pod", Value::from("c"))]).fingerprint());
    }

    #[test]
    fn streams_that_differ_in_a_bit_are_not_the_same() {
        let of = |value: Value| Stream::new([("n", value)]).fingerprint();
        let lists =
            [vec![], vec![Value::Null], vec![Value::from("a"), Value::from("b")], vec![Value::from("a|b")]];
        let nans = [f64::NAN, f64::from_bits(f64::NAN.to_bits() | 1), 0.0, -0.0].map(Value::Float);
        let all: Vec<u128> =
            lists.map(Value::List).into_iter().chain(nans).chain([Value::Null]).map(of).collect();
        let different: std::collections::HashSet<&u128> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }
}
