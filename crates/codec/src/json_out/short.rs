//! Appends short texts, of which records mostly are made, without a call and a loop for each.
//!
//! Owns: copying whole chunks of which only the beginning counts.
//! Invariant: what is appended is the text, whatever lies behind it in memory.

use crate::json::is_special;

/// Bytes that are copied at once.
const CHUNK_BYTES: usize = 32;

/// A text that is appended often, with room behind it so that it can be copied as a chunk.
#[derive(Clone, Debug)]
pub(super) struct Often {
    text: Vec<u8>,
    len: usize,
}

impl Often {
    pub(super) fn new(mut text: Vec<u8>) -> Self {
        let len = text.len();
        text.resize(len.max(CHUNK_BYTES), 0);
        Self { text, len }
    }

    /// Appends it.
    #[inline]
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self.text.first_chunk() {
            Some(chunk) if self.len <= CHUNK_BYTES => put_chunk(chunk, self.len, out),
            _ => out.extend_from_slice(&self.text),
        }
    }
}

/// Appends a short text with quotes, if it can stand in a string as it is and `from` has a chunk from its beginning on; says
/// whether it did.
#[inline]
pub(super) fn put_text(from: &[u8], len: usize, out: &mut Vec<u8>) -> bool {
    let Some(chunk) = from.first_chunk::<CHUNK_BYTES>().filter(|_| len <= CHUNK_BYTES) else { return false };
    if has_special(chunk, &COUNTS[len]) {
        return false;
    }
    out.push(b'"');
    put_chunk(chunk, len, out);
    out.push(b'"');
    true
}

/// For each length, which bytes of a chunk count.
static COUNTS: [[u8; CHUNK_BYTES]; CHUNK_BYTES + 1] = {
    let mut counts = [[0; CHUNK_BYTES]; CHUNK_BYTES + 1];
    let mut len = 0;
    while len <= CHUNK_BYTES {
        let mut at = 0;
        while at < len {
            counts[len][at] = 1;
            at += 1;
        }
        len += 1;
    }
    counts
};

/// Whether a byte that counts cannot stand in a string as it is. Without a branch for each, so that it is done for all of
/// the chunk at once.
#[inline]
fn has_special(chunk: &[u8; CHUNK_BYTES], counts: &[u8; CHUNK_BYTES]) -> bool {
    let both = chunk.iter().zip(counts);
    both.fold(0, |any, (byte, counts)| any | u8::from(is_special(*byte)) & counts) != 0
}

#[inline]
fn put_chunk(chunk: &[u8; CHUNK_BYTES], len: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(chunk);
    out.truncate(out.len() - (CHUNK_BYTES - len));
}
