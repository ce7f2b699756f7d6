//! Joins what docker's driver `fluentd` cut: lines above 16 KiB, which come as records that say so.
//!
//! Owns: which records are pieces, the beginnings of lines that are held.
//! Does not own: records that are no pieces; when to stop waiting for the rest of a line (the input, by [`Pieces::rest`]).
//! Invariant: no byte of a piece is lost: it is in a line that is given out, or held; and no more than
//! [`HELD_BYTES_MAX`] are held.
//!
//! A piece has `partial_message`, the id of its line in `partial_id`, its number from 1 on in `partial_ordinal`, and says in
//! `partial_last` whether it is the last one (docker's source, `daemon/logger/fluentd/fluentd.go`).

use std::collections::VecDeque;

use sawyer_model::Timestamp;

use crate::join::LINE_BYTES_MAX;
use crate::msgpack::{Reader, Token};

/// Most that is held of all lines of a connection: some lines of the longest kind. More would let clients fill memory with
/// beginnings; less would tear lines of containers that write them at the same time.
const HELD_BYTES_MAX: usize = 4 * LINE_BYTES_MAX;

/// Most lines that are held: a container has two outputs, and one connection usually one container.
const HELD_LINES_MAX: usize = 64;

/// Beginnings of lines, from the oldest to the youngest.
#[derive(Debug, Default)]
pub struct Pieces {
    held: VecDeque<Held>,
}

#[derive(Debug)]
struct Held {
    id: Vec<u8>,
    /// The number of the next piece.
    next: u64,
    time: Timestamp,
    /// The record of the first piece.
    record: Vec<u8>,
    log: Vec<u8>,
}

/// What a record is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Nothing to be joined: it stays as it is.
    Whole,
    /// A piece, which is held.
    Held,
    /// The record of a line, which takes its place.
    Line(Timestamp, Vec<u8>),
}

/// What a record says of itself as a piece.
#[derive(Debug, Default)]
struct Said<'a> {
    partial: bool,
    id: &'a [u8],
    ordinal: u64,
    last: bool,
    log: &'a [u8],
}

impl Pieces {
    /// Takes a record, a map in MessagePack.
    pub(super) fn take(&mut self, record: &[u8], time: Timestamp) -> Taken {
        let Some(said) = read(record) else { return Taken::Whole };
        let known = self.held.iter().position(|held| held.id == said.id && held.next == said.ordinal);
        let Some(at) = known else {
            // Without its beginning a piece is a line of its own, and says what it is.
            return if said.ordinal == 1 && !said.last {
                self.begin(&said, record, time)
            } else {
                Taken::Whole
            };
        };
        let held = &mut self.held[at];
        held.log.extend_from_slice(said.log);
        held.next += 1;
        if said.last || held.log.len() >= LINE_BYTES_MAX {
            let held = self.held.remove(at).expect("it was found there");
            return Taken::Line(held.time, held.line(said.last));
        }
        self.give_out()
    }

    fn begin(&mut self, said: &Said<'_>, record: &[u8], time: Timestamp) -> Taken {
        let (id, log) = (said.id.to_vec(), said.log.to_vec());
        self.held.push_back(Held { id, next: 2, time, record: record.to_vec(), log });
        self.give_out()
    }

    /// Lets go of the oldest beginning if there are too many.
    fn give_out(&mut self) -> Taken {
        let bytes: usize = self.held.iter().map(|held| held.record.len() + held.log.len()).sum();
        if bytes <= HELD_BYTES_MAX && self.held.len() <= HELD_LINES_MAX {
            return Taken::Held;
        }
        let oldest = self.held.pop_front().expect("something is held");
        Taken::Line(oldest.time, oldest.line(false))
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Gives out all that is held, as entries one after the other: the rest of these lines will not come.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut entries = Vec::new();
        for held in std::mem::take(&mut self.held) {
            let nanos = held.time.nanos();
            // The protocol's times are 32 bits of seconds and 32 of nanoseconds.
            let secs = u32::try_from(nanos.div_euclid(1_000_000_000)).unwrap_or(0);
            let part = u32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or(0);
            entries.extend_from_slice(b"\x92\xd7\x00");
            entries.extend_from_slice(&secs.to_be_bytes());
            entries.extend_from_slice(&part.to_be_bytes());
            entries.extend_from_slice(&held.line(false));
        }
        entries
    }
}

impl Held {
    /// The record of the line: that of its first piece with all of the text; a whole one does not say any more that it is a
    /// piece.
    fn line(&self, whole: bool) -> Vec<u8> {
        let (mut members, mut count) = (Vec::new(), 0u32);
        for (key, name, value) in self::members(&self.record) {
            if whole && name.starts_with(b"partial_") {
                continue;
            }
            count += 1;
            members.extend_from_slice(key);
            if name == b"log" {
                members.push(0xdb);
                members.extend_from_slice(&u32::try_from(self.log.len()).unwrap_or(u32::MAX).to_be_bytes());
                members.extend_from_slice(&self.log);
            } else {
                members.extend_from_slice(value);
            }
        }
        [&[0xdf][..], &count.to_be_bytes(), &members].concat()
    }
}

/// What a record says, if it is a piece with a text.
fn read(record: &[u8]) -> Option<Said<'_>> {
    memchr::memmem::find(record, b"partial_message")?;
    let (mut said, mut has_log) = (Said::default(), false);
    for (_, name, value) in members(record) {
        let Ok(Token::Str(text)) = Reader::new(value).token() else { continue };
        match name {
            b"partial_message" => said.partial = text == b"true",
            b"partial_id" => said.id = text,
            b"partial_ordinal" => said.ordinal = str::from_utf8(text).ok()?.parse().ok()?,
            b"partial_last" => said.last = text == b"true",
            b"log" => (said.log, has_log) = (text, true),
            _ => {}
        }
    }
    (said.partial && !said.id.is_empty() && has_log).then_some(said)
}

/// The members of a map whose names are texts: the name as it stands there, the name, and the value as it stands there.
fn members(record: &[u8]) -> impl Iterator<Item = (&[u8], &[u8], &[u8])> {
    let mut reader = Reader::new(record);
    let count = if let Ok(Token::Map(count)) = reader.token() { count } else { 0 };
    (0..count).map_while(move |_| {
        let key = reader.skip().ok()?;
        let value = reader.skip().ok()?;
        let Ok(Token::Str(name)) = Reader::new(key).token() else { return Some((key, &b""[..], value)) };
        Some((key, name, value))
    })
}
