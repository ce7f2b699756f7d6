//! A place in bytes that are being read.
//!
//! Owns: taking fixed forms one after the other.
//! Does not own: what they mean.
//! Invariant: never reads past the end; `None` says that the form is not there.

/// Bytes and how many of them have been read.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    pub(crate) fn byte(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at + count)?;
        self.at += count;
        Some(taken)
    }

    /// Takes the word if it is there and says whether it was.
    pub(crate) fn word(&mut self, word: &[u8]) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    #[inline]
    pub(crate) fn digit(&mut self) -> Option<u32> {
        let digit = self.next()?.wrapping_sub(b'0');
        (digit < 10).then_some(u32::from(digit))
    }

    #[inline]
    pub(crate) fn digits2(&mut self) -> Option<u32> {
        Some(self.digit()? * 10 + self.digit()?)
    }

    #[inline]
    pub(crate) fn digits4(&mut self) -> Option<u32> {
        Some(self.digits2()? * 100 + self.digits2()?)
    }

    /// One digit or two.
    pub(crate) fn digits1or2(&mut self) -> Option<u32> {
        let first = self.digit()?;
        if self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Some(first * 10 + self.digit()?);
        }
        Some(first)
    }
}
