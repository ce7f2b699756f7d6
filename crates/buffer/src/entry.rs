//! Entries: what lies in the buffer, and the head that stands before each payload.
//!
//! Owns: lanes, the layout of an entry in its frame (`docs/FORMATS.md`, "Buffer").
//! Does not own: what a payload means; frames around entries (`disk::frames`).
//! Invariant: a head is believed only if its own checksum fits, so that it can be read without its payload.

use bytes::Bytes;
use sawyer_disk::frames::{Frame, FrameFormat, HEADER_BYTES};
use sawyer_model::Timestamp;

/// Files of entries.
pub(crate) const ENTRY_FORMAT: FrameFormat =
    FrameFormat { magic: *b"SAWYRBUF", version: 2, marked_since: Some(2) };

/// Length of the head of an entry.
pub(crate) const HEAD_BYTES: usize = 32;

/// Bytes that an entry takes beside payload and note.
pub(crate) const OVERHEAD_BYTES: usize = HEADER_BYTES + HEAD_BYTES;

/// Longest reason of a dead letter; the rest is cut. Reasons are short names that tell kinds apart.
const REASON_BYTES_MAX: usize = 200;

/// Longest detail of a dead letter; the rest is cut. Answers of targets can be pages long, and the first lines tell.
const DETAIL_BYTES_MAX: usize = 4096;

/// Largest payload. One entry is read and sent as a whole, so this is memory; whoever makes batches makes them
/// far smaller.
pub const PAYLOAD_BYTES_MAX: usize = 256 << 20;

/// Where an entry waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Leaves before all others.
    Urgent,
    /// Leaves in its order.
    Normal,
    /// Never leaves by itself: the target refused it for good. Looked at, sent again or removed by people.
    Dead,
}

impl Lane {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Urgent, Self::Normal, Self::Dead];

    /// Its name, also that of its folder.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Normal => "normal",
            Self::Dead => "dead",
        }
    }

    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Normal => 0,
            Self::Urgent => 1,
            Self::Dead => 2,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.code() == code)
    }
}

/// Why an entry is a dead letter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Note {
    /// A short name, such as `mapper_parsing_exception`; the same for the same cause, so that it can be counted.
    pub reason: String,
    /// What the target said about this one.
    pub detail: String,
}

impl Note {
    /// A note; overlong text is cut.
    #[must_use]
    pub fn new(reason: &str, detail: &str) -> Self {
        Self { reason: cut(reason, REASON_BYTES_MAX), detail: cut(detail, DETAIL_BYTES_MAX) }
    }

    pub(crate) fn len(&self) -> usize {
        self.reason.len() + self.detail.len()
    }
}

fn cut(text: &str, bytes_max: usize) -> String {
    text[..text.floor_char_boundary(bytes_max)].to_owned()
}

/// What is known about an entry without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) seq: u64,
    /// When it was put in.
    pub(crate) at: Timestamp,
    pub(crate) records: u32,
    /// Where it was before it became a dead letter; else where it is.
    pub(crate) origin: Lane,
    pub(crate) reason_len: u16,
    pub(crate) detail_len: u16,
}

impl Head {
    pub(crate) fn note_len(&self) -> usize {
        usize::from(self.reason_len) + usize::from(self.detail_len)
    }

    pub(crate) fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(&self.seq.to_le_bytes());
        head[8..16].copy_from_slice(&self.at.nanos().to_le_bytes());
        head[16..20].copy_from_slice(&self.records.to_le_bytes());
        head[20] = self.origin.code();
        head[22..24].copy_from_slice(&self.reason_len.to_le_bytes());
        head[24..26].copy_from_slice(&self.detail_len.to_le_bytes());
        let crc = crc32c::crc32c(&head[..28]);
        head[28..].copy_from_slice(&crc.to_le_bytes());
        head
    }

    /// The head at the start of these bytes, if it is one and its entry has room in a frame of this length.
    pub(crate) fn decode(bytes: &[u8], frame_payload_len: u32) -> Option<Self> {
        let head: &[u8; HEAD_BYTES] = bytes.first_chunk()?;
        if head[28..] != crc32c::crc32c(&head[..28]).to_le_bytes() {
            return None;
        }
        let u64_at = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
        let u16_at = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
        let head = Self {
            seq: u64_at(0),
            at: Timestamp::from_nanos(u64_at(8).cast_signed()),
            records: u32::from_le_bytes(head[16..20].try_into().expect("four bytes")),
            origin: Lane::from_code(head[20])?,
            reason_len: u16_at(22),
            detail_len: u16_at(24),
        };
        (HEAD_BYTES + head.note_len() <= frame_payload_len as usize).then_some(head)
    }
}

/// Note and payload of an entry, out of the whole payload of its frame.
pub(crate) fn split(head: &Head, mut framed: Bytes) -> (Note, Bytes) {
    let mut text = framed.split_to(HEAD_BYTES + head.note_len()).split_off(HEAD_BYTES);
    let reason = text.split_to(usize::from(head.reason_len));
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (Note { reason: lossy(&reason), detail: lossy(&text) }, framed)
}

/// Where an entry lies on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Number of the file.
    pub(crate) file: u64,
    pub(crate) frame: Frame,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        let at = Timestamp::from_nanos(-5);
        Head { seq: 7, at, records: 9, origin: Lane::Urgent, reason_len: 2, detail_len: 3 }
    }

    #[test]
    fn a_head_is_read_back() {
        let bytes = head().encode();
        assert_eq!(Head::decode(&bytes, 37), Some(head()));
        assert_eq!(Head::decode(&bytes, 36), None, "the note has no room");
        assert_eq!(Head::decode(&bytes[..31], 37), None);
        for bit in 0..HEAD_BYTES * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::decode(&bytes, 37), None, "bit={bit}");
        }
    }

    #[test]
    fn note_and_payload_are_told_apart() {
        let framed = [&head().encode()[..], b"no", b"way", b"payload"].concat();
        let (note, payload) = split(&head(), Bytes::from(framed));
        assert_eq!((note, &payload[..]), (Note::new("no", "way"), &b"payload"[..]));
    }

    #[test]
    fn overlong_notes_are_cut_at_a_character() {
        let note = Note::new(&"é".repeat(200), &"x".repeat(5000));
        assert_eq!((note.reason.len(), note.detail.len()), (200, 4096));
    }
}
