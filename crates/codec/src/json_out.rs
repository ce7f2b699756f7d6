//! Writes records as JSON objects, as the HTTP API, outputs, `exec` programs and the command line have them.
//!
//! Owns: the form of a record in JSON (docs/api.md): one flat object, dotted paths as keys.
//! Does not own: which records, and what stands between them.
//! Invariant: valid JSON on one line, whatever the record holds. `ndjson_in` reads it back.

use std::io::Write;

use sawyer_model::{Batch, RecordId, RecordRef, Timestamp, ValueRef, names};

use crate::json::{is_special, plain_bytes};
use crate::time::write_rfc3339;

mod batch;
mod head;
mod short;

#[cfg(test)]
mod tests;

pub use batch::{BatchWriter, Key, Naming, write_key};
pub use head::HeadWriter;

/// The key of a record's name.
pub const ID: &str = "_id";
/// The key of the list of fields whose text was cut.
pub const TRUNCATED: &str = "_truncated";

/// How a record is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Cut text values to this many bytes; cut fields are named in `_truncated`.
    pub text_bytes_max: Option<usize>,
    /// Leave `_original` and `_original_base64` out.
    pub without_original: bool,
}

/// Which records are written with the line as it was written, where their fields are not that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Original {
    /// All.
    Always,
    /// All but JSON objects.
    UnlessJson,
    /// None.
    Never,
}

impl Original {
    /// Those of records that have it in addition, and of those that are JSON objects among them.
    #[must_use]
    pub fn of(records: bool, objects: bool) -> Self {
        match (records, objects) {
            (false, _) => Self::Never,
            (true, false) => Self::UnlessJson,
            (true, true) => Self::Always,
        }
    }

    /// What becomes of the line as it was written under this key.
    #[must_use]
    pub fn key(self, key: &str) -> Key {
        match self {
            Self::Always => Key::Always(key.to_owned()),
            Self::UnlessJson => Key::UnlessObject(key.to_owned()),
            Self::Never => Key::Never,
        }
    }
}

impl Options {
    fn original(&self) -> Original {
        if self.without_original { Original::Never } else { Original::Always }
    }
}

/// Appends the record as one JSON object, without a newline.
pub fn write(record: RecordRef<'_>, options: &Options, out: &mut Vec<u8>) {
    let mut writer = Writer { options, out, truncated: Vec::new() };
    writer.out.extend_from_slice(b"{\"_id\":\"");
    write_id(record.id(), writer.out);
    writer.out.extend_from_slice(b"\",\"timestamp\":");
    writer.time(record.timestamp());
    writer.out.extend_from_slice(b",\"observed\":");
    writer.time(record.observed());
    for (name, value) in record.fields() {
        writer.field(name, value);
    }
    writer.finish();
}

/// Appends records of a batch as [`write`] does, a comma between two, as long as `goes_on` says so of what there is by
/// then; says how many.
pub fn write_list(
    batch: &Batch,
    options: &Options,
    out: &mut Vec<u8>,
    goes_on: impl Fn(&[u8]) -> bool,
) -> usize {
    let naming = AsTheyAre { original: options.original() };
    let mut writer = options.text_bytes_max.is_none().then(|| BatchWriter::new(batch, naming));
    for (at, record) in batch.iter().enumerate() {
        if at > 0 {
            if !goes_on(out) {
                return at;
            }
            out.push(b',');
        }
        match &mut writer {
            Some(writer) => write_by(writer, record, out),
            None => write(record, options, out),
        }
    }
    batch.len()
}

/// Appends records of a batch as [`write`] does, a line end behind each, as long as `goes_on` says so, which may take away
/// what was appended so far.
pub fn write_lines(
    batch: &Batch,
    options: &Options,
    out: &mut Vec<u8>,
    mut goes_on: impl FnMut(&mut Vec<u8>) -> bool,
) {
    let naming = AsTheyAre { original: options.original() };
    let mut writer = options.text_bytes_max.is_none().then(|| BatchWriter::new(batch, naming));
    for record in batch.iter() {
        match &mut writer {
            Some(writer) => write_by(writer, record, out),
            None => write(record, options, out),
        }
        out.push(b'\n');
        if !goes_on(out) {
            return;
        }
    }
}

/// Appends all records of a batch as [`write`] does, `behind` behind each, and where each ends.
pub fn write_all(
    batch: &Batch,
    without_original: bool,
    behind: &[u8],
    out: &mut Vec<u8>,
    ends: &mut Vec<usize>,
) {
    let original = Options { without_original, ..Options::default() }.original();
    write_each(batch, 0..batch.len(), original, out, &mut |out| {
        out.extend_from_slice(behind);
        ends.push(out.len());
    });
}

/// Appends records of a batch as [`write`] does, the ones with these numbers. `done` is called behind each, and may take
/// away what was appended so far.
pub fn write_each(
    batch: &Batch,
    records: impl Iterator<Item = usize>,
    original: Original,
    out: &mut Vec<u8>,
    done: &mut dyn FnMut(&mut Vec<u8>),
) {
    let mut writer = BatchWriter::new(batch, AsTheyAre { original });
    for record in records.map(|at| batch.get(at)) {
        write_by(&mut writer, record, out);
        done(out);
    }
}

fn write_by(writer: &mut BatchWriter<'_, AsTheyAre>, record: RecordRef<'_>, out: &mut Vec<u8>) {
    writer.head(record, out);
    writer.fields(record, out);
    out.push(b'}');
}

struct AsTheyAre {
    original: Original,
}

impl Naming for AsTheyAre {
    fn key(&self, _batch: &Batch, name: &str) -> Key {
        match name {
            names::ORIGINAL => self.original.key(name),
            // Not even text, so no object.
            names::ORIGINAL_BASE64 if self.original == Original::Never => Key::Never,
            _ => Key::Always(name.to_owned()),
        }
    }
}

/// Whether a field is the line as it was written.
#[must_use]
pub fn is_original(name: &str) -> bool {
    matches!(name, names::ORIGINAL | names::ORIGINAL_BASE64)
}

/// Appends a value as JSON: a timestamp as a string, a float that is not finite as null.
pub fn write_value(value: ValueRef<'_>, out: &mut Vec<u8>) {
    Writer { options: &Options::default(), out, truncated: Vec::new() }.value(value);
}

/// Bytes that are looked at together.
const CHUNK_BYTES: usize = 32;

/// Bytes that are copied at once. So many may be written where the first of them is the last that counts.
const WORD_BYTES: usize = 8;

/// Appends a text as a JSON string.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    write_inside(text, out);
    out.push(b'"');
}

/// Appends a text as it stands between the quotes of a JSON string.
pub fn write_inside(text: &str, out: &mut Vec<u8>) {
    if is_plain(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
    } else {
        write_escaped(text, out);
    }
}

/// Whether all of a text can stand in a string as it is.
#[must_use]
#[inline]
pub fn is_plain(text: &[u8]) -> bool {
    // In bytes throughout, so it is done for all of a chunk at once.
    let has_none =
        |chunk: &[u8; CHUNK_BYTES]| chunk.iter().fold(0, |any, byte| any | u8::from(is_special(*byte))) == 0;
    // The last bytes overlap those before, so that none is looked at by itself.
    if let Some(last) = text.last_chunk::<CHUNK_BYTES>() {
        return has_none(last) && text.as_chunks::<CHUNK_BYTES>().0.iter().all(has_none);
    }
    let word_is_plain = |word: &[u8; WORD_BYTES]| plain_bytes(u64::from_le_bytes(*word)) == WORD_BYTES;
    match text.last_chunk::<WORD_BYTES>() {
        Some(last) => word_is_plain(last) && text.as_chunks::<WORD_BYTES>().0.iter().all(word_is_plain),
        None => !text.iter().any(|byte| is_special(*byte)),
    }
}

/// Appends a text with what needs it escaped, quickly also where that is much.
fn write_escaped(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    let bytes = text.as_bytes();
    // Most of what is escaped takes two bytes; what takes more makes room for itself.
    out.resize(start + 2 * bytes.len() + WORD_BYTES + 2, 0);
    let (mut from, mut to) = (0, start);
    while let Some(word) = bytes.get(from..from + WORD_BYTES) {
        // Copied whole: what is wrong of it is overwritten.
        out[to..to + WORD_BYTES].copy_from_slice(word);
        let plain = plain_bytes(u64::from_le_bytes(word.try_into().expect("eight bytes")));
        (from, to) = (from + plain, to + plain);
        if plain < WORD_BYTES {
            to = escape(bytes[from], bytes.len() - from, out, to);
            from += 1;
        }
    }
    for at in from..bytes.len() {
        if is_special(bytes[at]) {
            to = escape(bytes[at], bytes.len() - at, out, to);
        } else {
            out[to] = bytes[at];
            to += 1;
        }
    }
    out.truncate(to);
}

/// Writes a byte that cannot stand in a string as it is, the first of so many that are left; gives where the next one
/// goes.
fn escape(byte: u8, left: usize, out: &mut Vec<u8>, at: usize) -> usize {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        other => {
            let long = [b'\\', b'u', b'0', b'0', hex_digit(other >> 4), hex_digit(other & 15)];
            if out.len() < at + long.len() + 2 * left + WORD_BYTES {
                // Once is enough: now all that is left may be as long.
                out.resize(at + long.len() * left + 2 * WORD_BYTES, 0);
            }
            out[at..at + long.len()].copy_from_slice(&long);
            return at + long.len();
        }
    };
    out[at..at + 2].copy_from_slice(&[b'\\', short]);
    at + 2
}

struct Writer<'o, 'r> {
    options: &'o Options,
    out: &'o mut Vec<u8>,
    truncated: Vec<&'r str>,
}

impl<'r> Writer<'_, 'r> {
    fn field(&mut self, name: &'r str, value: ValueRef<'_>) {
        if self.options.without_original && is_original(name) {
            return;
        }
        self.out.push(b',');
        write_string(name, self.out);
        self.out.push(b':');
        if self.value(value) {
            self.truncated.push(name);
        }
    }

    /// Writes a value; says whether something was cut.
    fn value(&mut self, value: ValueRef<'_>) -> bool {
        match value {
            ValueRef::Null => self.out.extend_from_slice(b"null"),
            ValueRef::Bool(true) => self.out.extend_from_slice(b"true"),
            ValueRef::Bool(false) => self.out.extend_from_slice(b"false"),
            ValueRef::Int(number) => {
                self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            }
            ValueRef::Float(number) => write_float(number, self.out),
            ValueRef::Timestamp(time) => self.time(time),
            ValueRef::Str(text) => return self.text(text),
            ValueRef::Json(text) if self.options.text_bytes_max.is_some_and(|max| text.len() > max) => {
                return self.text(text);
            }
            ValueRef::Json(text) => write_raw(text, self.out),
            ValueRef::List(list) => {
                let (mut cut, mut first) = (false, true);
                self.out.push(b'[');
                for value in list.iter() {
                    if !std::mem::take(&mut first) {
                        self.out.push(b',');
                    }
                    cut |= self.value(value);
                }
                self.out.push(b']');
                return cut;
            }
        }
        false
    }

    fn text(&mut self, text: &str) -> bool {
        let max = self.options.text_bytes_max.unwrap_or(usize::MAX);
        if text.len() <= max {
            write_string(text, self.out);
            return false;
        }
        let mut end = max;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        write_string(&text[..end], self.out);
        true
    }

    fn time(&mut self, time: Timestamp) {
        self.out.push(b'"');
        write_rfc3339(time, self.out);
        self.out.push(b'"');
    }

    fn finish(self) {
        if !self.truncated.is_empty() {
            self.out.extend_from_slice(b",\"_truncated\":[");
            for (at, name) in self.truncated.iter().enumerate() {
                if at > 0 {
                    self.out.push(b',');
                }
                write_string(name, self.out);
            }
            self.out.push(b']');
        }
        self.out.push(b'}');
    }
}

/// JSON as it was written, on one line: line ends in it are white space, because strings escape theirs.
fn write_raw(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(text.as_bytes());
    for byte in out[start..].iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
}

/// The shortest digits that read back as the same float, always with a point or an exponent. They are those of Rust's
/// `{:?}`: lines that are made from their fields again must not change.
fn write_float(number: f64, out: &mut Vec<u8>) {
    if !number.is_finite() {
        return out.extend_from_slice(b"null");
    }
    let Some((digits, places)) = short(number.abs()) else {
        return write!(out, "{number:?}").expect("writing to memory does not fail");
    };
    if number.is_sign_negative() {
        out.push(b'-');
    }
    let one = 10_u64.pow(places);
    out.extend_from_slice(itoa::Buffer::new().format(digits / one).as_bytes());
    // A one in front keeps the zeros behind the point; then the point takes its place.
    let point = out.len();
    out.extend_from_slice(itoa::Buffer::new().format(one + digits % one).as_bytes());
    out[point] = b'.';
    if places == 0 {
        out.push(b'0');
    }
}

/// A number that has few digits, as nearly all do that people write: the digits, and how many of them stand behind the
/// point. So few digits are the shortest if they are the number, and no others of their length are.
fn short(number: f64) -> Option<(u64, u32)> {
    /// Up to here numbers have at most fifteen digits with all places that are tried.
    const NUMBER_MAX: f64 = 1e9;
    const ONES: [f64; 7] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];
    if !(1e-4..NUMBER_MAX).contains(&number) {
        return None;
    }
    let digits_with = |one: f64| Some((number * one).round()).filter(|digits| digits / one == number);
    let (places, digits) = (0..).zip(ONES).find_map(|(places, one)| Some((places, digits_with(one)?)))?;
    Some((digits as u64, places))
}

/// Appends a record's name, without quotes.
pub fn write_id(id: RecordId, out: &mut Vec<u8>) {
    for byte in id.source.0.to_be_bytes() {
        out.extend_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
    }
    out.push(b'-');
    write_hex(id.start, out);
}

fn write_hex(number: u64, out: &mut Vec<u8>) {
    let digits = (64 - number.leading_zeros()).div_ceil(4).max(1);
    // All of them at once, those that count first.
    let number = number << (64 - digits * 4);
    let mut text = [0; 16];
    for (digit, at) in text.iter_mut().zip(1..) {
        *digit = hex_digit((number >> (64 - at * 4)) as u8 & 15);
    }
    out.extend_from_slice(&text);
    out.truncate(out.len() - (text.len() - digits as usize));
}

fn hex_digit(value: u8) -> u8 {
    let value = value & 15;
    value + if value < 10 { b'0' } else { b'a' - 10 }
}
