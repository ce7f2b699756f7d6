//! GELF 1.1: messages of Graylog's libraries and of docker's driver, and the pieces that they are sent in over UDP.
//!
//! Owns: joining pieces, unpacking, which of an object's names mean what.
//! Does not own: sockets, clocks (`input`).
//! Invariant: pieces that wait are bounded in number, bytes and time; a datagram that is none is a record as it is.

use std::collections::{HashMap, VecDeque};
use std::io::Read;

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use sawyer_model::Timestamp;

use crate::structured::{Dialect, Objects};
use crate::text::{Decoded, decode};

#[cfg(test)]
mod tests;

/// What a piece begins with.
const PIECE: [u8; 2] = [0x1e, 0x0f];

/// How long a piece's head is: magic, id of its message, its number, how many there are.
const PIECE_HEAD_BYTES: usize = 12;

/// Most pieces of a message, by the specification.
const PIECES_MAX: u8 = 128;

/// How long pieces wait for the others, by the specification.
pub const PIECES_WAIT_SECS: i64 = 5;

/// Most messages of which pieces wait; the oldest makes room. Beyond it somebody sends rubbish.
const WAITING_MAX: usize = 1024;

/// Most bytes of pieces that wait; the oldest makes room.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// Longest message once unpacked. What packs to less than a datagram and unpacks to more than this is an attack.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Joins pieces of messages.
#[derive(Debug, Default)]
pub struct Pieces {
    waiting: HashMap<(u64, [u8; 8]), Waiting>,
    /// By arrival of the first piece; may name some that are gone.
    order: VecDeque<(u64, [u8; 8])>,
    bytes: usize,
    lost: u64,
}

#[derive(Debug)]
struct Waiting {
    since: Timestamp,
    pieces: Vec<Option<Box<[u8]>>>,
    missing: u8,
}

impl Pieces {
    /// Takes a datagram; gives the message that is whole with it. `sender` keeps apart who uses the same ids.
    pub fn push<'d>(
        &mut self,
        datagram: &'d [u8],
        sender: u64,
        now: Timestamp,
    ) -> Option<std::borrow::Cow<'d, [u8]>> {
        self.expire(now);
        let Some((head, piece)) = datagram.split_first_chunk::<PIECE_HEAD_BYTES>() else {
            return Some(datagram.into());
        };
        if head[..2] != PIECE {
            return Some(datagram.into());
        }
        let (number, count) = (head[10], head[11]);
        if count == 0 || count > PIECES_MAX || number >= count {
            return Some(datagram.into());
        }
        let id: [u8; 8] = *head[2..].first_chunk().unwrap_or(&[0; 8]);
        let key = (sender, id);
        let order = &mut self.order;
        let waiting = self.waiting.entry(key).or_insert_with(|| {
            order.push_back(key);
            Waiting { since: now, pieces: vec![None; usize::from(count)], missing: count }
        });
        let place = waiting.pieces.get_mut(usize::from(number))?;
        if place.is_none() {
            *place = Some(piece.into());
            waiting.missing -= 1;
            self.bytes += piece.len();
        }
        if waiting.missing > 0 {
            self.make_room();
            return None;
        }
        let whole = self.remove(key)?;
        let message: Vec<u8> = whole.pieces.into_iter().flatten().flat_map(<[u8]>::into_vec).collect();
        Some(message.into())
    }

    /// How many messages were given up since this was asked last, because not all of their pieces came in time.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// Gives up what has waited too long.
    pub fn expire(&mut self, now: Timestamp) {
        while let Some(key) = self.order.front() {
            let since = self.waiting.get(key).map(|waiting| waiting.since);
            let old = since.is_none_or(|since| now.since(since).as_secs() >= PIECES_WAIT_SECS as u64);
            if !old {
                return;
            }
            self.give_up();
        }
    }

    fn make_room(&mut self) {
        while self.bytes > WAITING_BYTES_MAX || self.waiting.len() > WAITING_MAX {
            self.give_up();
        }
        if self.order.len() > 4 * WAITING_MAX {
            let waiting = &self.waiting;
            self.order.retain(|key| waiting.contains_key(key));
        }
    }

    /// Gives up the oldest.
    fn give_up(&mut self) {
        let Some(key) = self.order.pop_front() else { return };
        self.lost += u64::from(self.remove(key).is_some());
    }

    fn remove(&mut self, key: (u64, [u8; 8])) -> Option<Waiting> {
        let gone = self.waiting.remove(&key)?;
        self.bytes -= gone.pieces.iter().flatten().map(|piece| piece.len()).sum::<usize>();
        Some(gone)
    }
}

/// Reads messages.
#[derive(Debug, Default)]
pub struct GelfReader {
    unpacked: Vec<u8>,
    text: String,
}

impl GelfReader {
    /// Adds the record of a message, packed or not, which is at this place of its source.
    pub fn read(&mut self, message: &[u8], place: u64, objects: &mut Objects) {
        let Self { unpacked, text } = self;
        unpacked.clear();
        let bytes = match unpack(message, unpacked) {
            None => message,
            Some(true) => &unpacked[..],
            Some(false) => {
                return objects.keep(&message[..message.len().min(MESSAGE_BYTES_MAX)], None, place);
            }
        };
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let decoded = decode(bytes, text);
        let invalid = matches!(decoded, Decoded::Replaced(_)).then(|| bytes.to_vec());
        objects.read(decoded.text(), Dialect::Gelf, None, place, invalid);
    }
}

/// Unpacks gzip or zlib; none if it is neither, false if it is not whole or becomes too long.
fn unpack(message: &[u8], out: &mut Vec<u8>) -> Option<bool> {
    let limit = MESSAGE_BYTES_MAX as u64 + 1;
    let read = match message {
        [0x1f, 0x8b, ..] => MultiGzDecoder::new(message).take(limit).read_to_end(out),
        [0x78, second, ..] if (0x7800 | u16::from(*second)).is_multiple_of(31) => {
            ZlibDecoder::new(message).take(limit).read_to_end(out)
        }
        _ => return None,
    };
    Some(read.is_ok() && out.len() <= MESSAGE_BYTES_MAX)
}
