//! Decoders of this crate that nobody but the fuzz targets asks by themselves.

pub use crate::positions::decoders as positions;
pub use crate::positions::{Cursor, Position};
use crate::tail::encoding::{Charset, Recoder};

/// Reads an offsets file and writes what was in it; none if it is none. The checksum is not compared.
#[must_use]
pub fn offsets_again(bytes: &[u8]) -> Option<Vec<u8>> {
    crate::offsets::again(bytes)
}

/// Text in another encoding than UTF-8.
#[derive(Debug)]
pub struct Encoded(Charset);

impl Encoded {
    /// In the encoding with this name of the WHATWG's; none for UTF-8, and for a name that is not known.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Charset::named(name).flatten().map(Self)
    }

    /// Where the lines in a file's first bytes end, each with its end.
    #[must_use]
    pub fn line_ends(&self, bytes: &[u8]) -> Vec<usize> {
        let (mut ends, mut at) = (Vec::new(), 0);
        while let Some((_, next)) = self.0.line_end(&bytes[at..], at as u64) {
            at += next;
            ends.push(at);
        }
        ends
    }

    /// Where the last line in a file's first bytes ends.
    #[must_use]
    pub fn last_line_end(&self, bytes: &[u8]) -> Option<usize> {
        self.0.last_line_end(bytes, 0)
    }

    /// The text of a line that comes in parts: as UTF-8, or where a part is no text of the encoding, that as it is.
    #[must_use]
    pub fn recode(&self, parts: &[&[u8]]) -> Vec<u8> {
        let (mut recoder, mut text) = (Recoder::default(), Vec::new());
        for (at, part) in parts.iter().enumerate() {
            text.extend_from_slice(recoder.recode(self.0, part, false, at + 1 == parts.len()));
        }
        text
    }
}
