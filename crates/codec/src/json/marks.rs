//! Where strings end, found for a whole line at once.
//!
//! Owns: a byte for each byte of a line that says whether a string can hold it as it is.
//! Does not own: what stands there (`scan`).
//! Invariant: behind the line everything is marked, so that a search ends.
//!
//! To look at each string by itself costs several times as much: most are shorter than what vectors take at once.

use super::scan::is_special;

/// Bytes that are looked at together; the compiler makes vectors of them.
const CHUNK_BYTES: usize = 32;

/// Bytes of marks that a search takes at once.
const STEP_BYTES: usize = 16;

/// The marks of one line. Kept from line to line.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    marks: Vec<u8>,
}

impl Marks {
    /// Looks at a line.
    pub(crate) fn read(&mut self, line: &[u8]) {
        let len = line.len();
        if self.marks.len() < len + STEP_BYTES {
            self.marks.resize(len + STEP_BYTES, 0);
        }
        let (marks, behind) = self.marks.split_at_mut(len);
        behind[..STEP_BYTES].fill(u8::MAX);
        let chunks = line.as_chunks::<CHUNK_BYTES>().0.iter();
        for (marks, chunk) in marks.as_chunks_mut().0.iter_mut().zip(chunks) {
            mark(chunk, marks);
        }
        // The last bytes overlap those before, so that none is looked at by itself.
        match (line.last_chunk::<CHUNK_BYTES>(), marks.last_chunk_mut()) {
            (Some(chunk), Some(marks)) => mark(chunk, marks),
            _ => marks.iter_mut().zip(line).for_each(|(mark, byte)| *mark = special(*byte)),
        }
    }

    /// The first byte from `at` on that is a quote, a backslash or a control character; the line's length or more if
    /// there is none. `at` lies within the line that was read last, or at its end.
    #[inline]
    pub(crate) fn next(&self, mut at: usize) -> usize {
        while let Some(step) = self.marks[at..].first_chunk::<STEP_BYTES>() {
            let step = u128::from_le_bytes(*step);
            if step != 0 {
                return at + (step.trailing_zeros() / 8) as usize;
            }
            at += STEP_BYTES;
        }
        self.marks.len()
    }
}

#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "two iterators side by side are not always made vectors of")]
fn mark(chunk: &[u8; CHUNK_BYTES], marks: &mut [u8; CHUNK_BYTES]) {
    for at in 0..CHUNK_BYTES {
        marks[at] = special(chunk[at]);
    }
}

/// All bits for a byte that cannot stand in a string as it is, else none.
#[inline(always)]
fn special(byte: u8) -> u8 {
    if is_special(byte) { u8::MAX } else { 0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn marks_what_one_finds_by_looking(
            lines in prop::collection::vec("[ -~]{0,90}|[\"\\\\\u{0}-\u{20}a결]{0,70}", 1..5),
        ) {
            let mut marks = Marks::default();
            for line in lines {
                let bytes = line.as_bytes();
                marks.read(bytes);
                for at in 0..=bytes.len() {
                    let known = bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
                    let known = known.map_or(bytes.len(), |place| at + place);
                    prop_assert_eq!(marks.next(at).min(bytes.len()), known, "{:?} from {}", line, at);
                }
            }
        }
    }
}
