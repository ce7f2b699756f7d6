//! Fluent Forward v1: what Fluentd, Fluent Bit, docker and the fluent loggers send.
//!
//! Owns: the frames of the protocol and its four modes, entries into records, the hand-shake's messages.
//! Does not own: sockets, hashing, waiting (`input`), MessagePack (`msgpack`).
//! Invariant: a frame that is whole can be read to its end whatever is in it: an entry that is none is kept as it is,
//! marked, and what cannot be read further is kept as one record. Unpacking holds one entry at a time.
//!
//! After the protocol's specification v1 (github.com/fluent/fluentd/wiki), and for what goes beyond it after what Fluent
//! Bit sends: entries of the form `[[time, {metadata}], body]`, groups of such entries, zstd, kinds of signals.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use sawyer_model::Timestamp;

use crate::msgpack::{Amiss, MsgpackError, Reader, Sizer, Token, event_time, write_json};
use crate::structured::{Dialect, Objects};

mod handshake;
mod pieces;

#[cfg(test)]
mod tests;

pub use handshake::{Ping, helo, pong, read_ping};
pub use pieces::Pieces;

/// Longest entry once unpacked; a longer one ends its chunk.
pub const ENTRY_BYTES_MAX: usize = 16 << 20;

/// What is kept of something that cannot be read.
const UNREADABLE_BYTES_MAX: usize = 64 << 10;

/// How much is unpacked at a time.
const WINDOW_BYTES: usize = 64 << 10;

/// A chunk becomes no larger than this, and no larger than so many times what it was; what lies beyond is not read.
const UNPACKED_BYTES_MAX: usize = 256 << 20;
const UNPACKED_TIMES_MAX: usize = 64;

/// After so many entries in a row that are none, what is left of a chunk is none either.
const UNREADABLE_ENTRIES_MAX: u32 = 1000;

/// Longest word on a group of entries, which is put into each of them.
const GROUP_BYTES_MAX: usize = 256 << 10;

/// Seconds by which Fluent Bit tells that a group of entries begins, and ends.
const GROUP_START: i64 = -1;
const GROUP_END: i64 = -2;

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// No MessagePack.
    #[error("read MessagePack")]
    Msgpack(#[from] MsgpackError),
    /// No frame of the protocol.
    #[error("expected {expected}")]
    Frame {
        /// What would have fitted.
        expected: &'static str,
    },
}

const fn expected(expected: &'static str) -> ForwardError {
    ForwardError::Frame { expected }
}

/// What a client sent.
#[derive(Debug)]
pub enum Frame<'a> {
    /// Nothing: it is still there.
    Heartbeat,
    /// Entries.
    Chunk(Chunk<'a>),
}

/// Entries that came together.
#[derive(Debug)]
pub struct Chunk<'a> {
    /// What the client calls their origin.
    pub tag: &'a [u8],
    /// By this the client wants to hear that they are durable.
    pub id: Option<&'a [u8]>,
    /// What they are, by Fluent Bit's numbers: 0 logs, 1 metrics, 2 traces.
    pub signal: i64,
    /// The bytes of the entries as they came: equal for equal chunks.
    pub bytes: &'a [u8],
    /// The entries.
    pub events: Events<'a>,
}

/// What a client says of a chunk.
#[derive(Clone, Copy, Debug, Default)]
struct Options<'a> {
    chunk: Option<&'a [u8]>,
    compressed: bool,
    signal: i64,
}

/// The entries of a chunk, taken one by one.
pub struct Events<'a> {
    left: Left<'a>,
    /// What the group that they belong to says of all of them: members of an object in JSON.
    group: Vec<u8>,
    json: Vec<u8>,
    index: u64,
    /// Where pieces of lines are joined, if they are.
    pieces: Option<Pieces>,
    /// Whether they may be: not what was let go of unjoined.
    joins: bool,
    /// How many of the last entries in a row were none.
    unreadable: u32,
}

/// What is left of them.
enum Left<'a> {
    /// A time and a record.
    One(Reader<'a>),
    /// So many entries.
    Listed(Reader<'a>, u32),
    /// Entries up to the end.
    Packed(Reader<'a>),
    /// Entries to be unpacked.
    Compressed(Box<Unpacking<'a>>),
    /// None.
    Nothing,
}

/// Entries that are unpacked as they are taken.
struct Unpacking<'a> {
    from: Box<dyn Read + Send + 'a>,
    window: Vec<u8>,
    start: usize,
    ended: bool,
    /// How many bytes it may still become.
    allowed: usize,
    packed: &'a [u8],
}

/// Reads a whole frame.
///
/// # Errors
/// What it is not. The next frame can be read all the same.
pub fn frame(bytes: &[u8]) -> Result<Frame<'_>, ForwardError> {
    let mut reader = Reader::new(bytes);
    let count = match reader.token()? {
        Token::Nil => return Ok(Frame::Heartbeat),
        Token::Array(count @ 2..=4) => count,
        _ => return Err(expected("a list of a tag and entries")),
    };
    let Token::Str(tag) = reader.token()? else { return Err(expected("a tag")) };
    let start = reader;
    let (events, body, taken) = match reader.token()? {
        Token::Array(entries) => {
            let listed = reader;
            let mut whole = start;
            (Left::Listed(listed, entries), whole.skip()?, 2)
        }
        Token::Str(packed) => (Left::Packed(Reader::new(packed)), packed, 2),
        Token::Int(_) | Token::Big(_) | Token::Float(_) | Token::Ext(..) if count >= 3 => {
            let mut whole = start;
            whole.skip()?;
            whole.skip()?;
            let length = whole.at() - start.at();
            (Left::One(start), &start.rest()[..length], 3)
        }
        _ => return Err(expected("entries, or a time and a record")),
    };
    let mut after = start;
    (1..taken).try_for_each(|_| after.skip().map(drop))?;
    let options = if count > taken { options(&mut after)? } else { Options::default() };
    let left = match events {
        Left::Packed(packed) if options.compressed => unpack(packed.rest()),
        left => left,
    };
    let events = Events::new(left);
    Ok(Frame::Chunk(Chunk { tag, id: options.chunk, signal: options.signal, bytes: body, events }))
}

fn options<'a>(reader: &mut Reader<'a>) -> Result<Options<'a>, ForwardError> {
    let mut options = Options::default();
    let count = match reader.token()? {
        Token::Nil => return Ok(options),
        Token::Map(count) => count,
        _ => return Err(expected("options")),
    };
    for _ in 0..count {
        let key = reader.token()?;
        let mut value = Reader::new(reader.skip()?);
        match (key, value.token()?) {
            (Token::Str(b"chunk"), Token::Str(id)) => options.chunk = Some(id),
            (Token::Str(b"compressed"), Token::Str(by)) => options.compressed = !matches!(by, b"" | b"text"),
            (Token::Str(b"fluent_signal"), Token::Int(signal)) => options.signal = signal,
            _ => {}
        }
    }
    Ok(options)
}

/// Clients name the compression, and some name another than it is; its first bytes do not lie.
fn unpack(packed: &[u8]) -> Left<'_> {
    let from: Box<dyn Read + Send + '_> = match packed {
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            match zstd::stream::read::Decoder::new(packed) {
                Ok(decoder) => Box::new(decoder),
                Err(_) => return Left::Packed(Reader::new(packed)),
            }
        }
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(packed)),
        // A client that says so and does not do so.
        _ => return Left::Packed(Reader::new(packed)),
    };
    let allowed = packed.len().saturating_mul(UNPACKED_TIMES_MAX).max(UNPACKED_BYTES_MAX);
    Left::Compressed(Box::new(Unpacking {
        from,
        window: Vec::new(),
        start: 0,
        ended: false,
        allowed,
        packed,
    }))
}

impl std::fmt::Debug for Events<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("index", &self.index).finish_non_exhaustive()
    }
}

/// What came of taking one entry.
enum Taken<'a> {
    /// Its bytes.
    Entry(&'a [u8]),
    /// There are no more.
    End,
    /// What is left cannot be read; these are the bytes, or the first of them.
    Unreadable(&'a [u8]),
}

impl<'a> Events<'a> {
    fn new(left: Left<'a>) -> Self {
        Self { left, group: Vec::new(), json: Vec::new(), index: 0, pieces: None, joins: true, unreadable: 0 }
    }

    /// The entries that [`Pieces::rest`] gave.
    #[must_use]
    pub fn of_rest(entries: &'a [u8]) -> Self {
        Self { joins: false, ..Self::new(Left::Packed(Reader::new(entries))) }
    }

    /// Joins the pieces of lines from now on, with what is held of them.
    pub fn join(&mut self, pieces: Pieces) {
        self.pieces = Some(pieces).filter(|_| self.joins);
    }

    /// What is held of lines whose last piece did not come yet.
    pub fn pieces(&mut self) -> Pieces {
        self.pieces.take().unwrap_or_default()
    }
}

impl Events<'_> {
    /// How many entries were taken.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.index
    }

    /// Adds the records of entries until there are so many, or so much text; says whether there may be more. The first
    /// entry of the chunk is at the place `first` of its source.
    pub fn fill(
        &mut self,
        objects: &mut Objects,
        first: u64,
        records_max: usize,
        text_bytes_max: usize,
    ) -> bool {
        let mut taken = 0;
        while taken < records_max && objects.text_bytes() < text_bytes_max {
            taken += 1;
            let mut left = std::mem::replace(&mut self.left, Left::Nothing);
            let end = match left.take() {
                Taken::Entry(bytes) if self.unreadable >= UNREADABLE_ENTRIES_MAX => {
                    self.keep(bytes, objects, first);
                    true
                }
                Taken::Entry(bytes) => {
                    self.entry(bytes, objects, first);
                    false
                }
                Taken::End => true,
                Taken::Unreadable(bytes) => {
                    self.keep(bytes, objects, first);
                    true
                }
            };
            if end {
                return false;
            }
            self.left = left;
        }
        true
    }

    fn place(&mut self, first: u64) -> u64 {
        self.index += 1;
        first.saturating_add(self.index - 1)
    }

    fn entry(&mut self, bytes: &[u8], objects: &mut Objects, first: u64) {
        let mut amiss = Amiss::default();
        let read = self.read_entry(bytes, &mut amiss);
        self.unreadable = if read.is_err() { self.unreadable + 1 } else { 0 };
        match read {
            Err(_) => self.keep(bytes, objects, first),
            // It says something of others and is none itself.
            Ok(None) => objects.skip(self.place(first)),
            Ok(time) => {
                let place = self.place(first);
                let text = str::from_utf8(&self.json).unwrap_or("");
                objects.read(text, Dialect::Fluent, time, place, amiss.invalid);
            }
        }
    }

    /// Writes the record of an entry as JSON; gives its time, or none if it is no record.
    fn read_entry(&mut self, bytes: &[u8], amiss: &mut Amiss) -> Result<Option<Timestamp>, ForwardError> {
        let mut reader = Reader::new(bytes);
        let mut token = reader.token()?;
        // A single entry comes without the list around it.
        if matches!(token, Token::Array(2..)) {
            token = reader.token()?;
        }
        let mut metadata = None;
        if token == Token::Array(2) {
            token = reader.token()?;
            let map = Reader::new(reader.skip()?);
            let first = { map }.token()?;
            metadata = matches!(first, Token::Map(1..)).then_some(map);
        }
        let time = event_time(token).ok_or(expected("a time"))?;
        let Token::Map(_) = { reader }.token()? else { return Err(expected("an object")) };
        if let Some(mark) = group_mark(token) {
            self.group.clear();
            if mark == GROUP_START {
                write_json(&mut reader, &mut self.group, amiss)?;
                self.group.pop();
                self.group.remove(0);
                if self.group.len() > GROUP_BYTES_MAX {
                    self.group = Vec::new();
                    return Err(expected("a shorter word on a group"));
                }
            }
            return Ok(None);
        }
        let (mut time, joined) = (time, reader.rest());
        let line;
        if let Some(pieces) = &mut self.pieces {
            match pieces.take(joined, time) {
                pieces::Taken::Whole => {}
                pieces::Taken::Held => return Ok(None),
                pieces::Taken::Line(since, record) => {
                    (time, line) = (since, record);
                    reader = Reader::new(&line);
                }
            }
        }
        self.json.clear();
        write_json(&mut reader, &mut self.json, amiss)?;
        if let Some(mut metadata) = metadata {
            let mut text = b"\"metadata\":".to_vec();
            write_json(&mut metadata, &mut text, amiss)?;
            self.splice(&text);
        }
        if !self.group.is_empty() {
            let group = std::mem::take(&mut self.group);
            self.splice(&group);
            self.group = group;
        }
        Ok(Some(time))
    }

    /// Puts members at the end of the object in `json`.
    fn splice(&mut self, members: &[u8]) {
        self.json.pop();
        if self.json.len() > 1 {
            self.json.push(b',');
        }
        self.json.extend_from_slice(members);
        self.json.push(b'}');
    }

    /// Keeps what is no entry.
    fn keep(&mut self, bytes: &[u8], objects: &mut Objects, first: u64) {
        let place = self.place(first);
        objects.keep(&bytes[..bytes.len().min(UNREADABLE_BYTES_MAX)], None, place);
    }
}

/// Which mark of a group a time is, if it is one: Fluent Bit writes a negative number of seconds, which in the extension
/// is a large one.
fn group_mark(token: Token<'_>) -> Option<i64> {
    let secs = match token {
        Token::Int(secs) => secs,
        Token::Ext(_, bytes) => i64::from(i32::from_be_bytes(*bytes.first_chunk::<4>()?)),
        _ => return None,
    };
    matches!(secs, GROUP_START | GROUP_END).then_some(secs)
}

impl Left<'_> {
    fn take(&mut self) -> Taken<'_> {
        match self {
            Self::Nothing => Taken::End,
            Self::One(reader) => {
                let rest = reader.rest();
                let mut after = *reader;
                let whole =
                    after.skip().and_then(|_| after.skip()).map(|_| &rest[..after.at() - reader.at()]);
                *self = Self::Nothing;
                whole.map_or(Taken::Unreadable(rest), Taken::Entry)
            }
            Self::Listed(_, 0) => Taken::End,
            Self::Listed(reader, count) => {
                *count -= 1;
                take_from(reader)
            }
            Self::Packed(reader) if reader.rest().is_empty() => Taken::End,
            Self::Packed(reader) => take_from(reader),
            Self::Compressed(unpacking) => unpacking.take(),
        }
    }
}

fn take_from<'a>(reader: &mut Reader<'a>) -> Taken<'a> {
    let rest = reader.rest();
    reader.skip().map_or(Taken::Unreadable(rest), Taken::Entry)
}

impl Unpacking<'_> {
    fn take(&mut self) -> Taken<'_> {
        let mut sizer = Sizer::default();
        loop {
            match sizer.end(&self.window[self.start..]) {
                Ok(Some(length)) => {
                    let start = self.start;
                    self.start += length;
                    return Taken::Entry(&self.window[start..start + length]);
                }
                Ok(None) if self.ended && self.start == self.window.len() => return Taken::End,
                Ok(None) if !self.ended && self.window.len() - self.start <= ENTRY_BYTES_MAX => {}
                Ok(None) | Err(_) => return Taken::Unreadable(&self.window[self.start..]),
            }
            if self.more().is_err() {
                return Taken::Unreadable(self.packed);
            }
        }
    }

    /// Unpacks some more behind what was not taken yet.
    fn more(&mut self) -> std::io::Result<()> {
        if self.allowed == 0 {
            return Err(std::io::Error::other("it becomes too much"));
        }
        self.window.drain(..self.start);
        self.start = 0;
        let length = self.window.len();
        let step = WINDOW_BYTES.max(length);
        self.window.resize(length + step, 0);
        let mut filled = length;
        let done = loop {
            if filled == self.window.len() {
                break Ok(());
            }
            match self.from.read(&mut self.window[filled..]) {
                Ok(0) => {
                    self.ended = true;
                    break Ok(());
                }
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.window.truncate(filled);
        self.allowed = self.allowed.saturating_sub(filled - length);
        done
    }
}

/// The answer to a chunk that is durable.
#[must_use]
pub fn ack(chunk: &[u8]) -> Vec<u8> {
    let mut answer = vec![0x81, 0xa3, b'a', b'c', b'k'];
    handshake::push_str(&mut answer, chunk);
    answer
}
