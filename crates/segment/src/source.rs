//! Where the bytes of a segment come from: anything that gives ranges of bytes.
//!
//! Owns: [`ReadAt`], and reading a range together with its checksum.
//! Does not own: files; whoever has them adapts them.
//! Invariant: nothing is allocated for a range that does not lie within the source.

use std::cell::Cell;
use std::io;
use std::sync::Arc;

use crate::bytes::checksum;
use crate::error::{Place, Result, SegmentError};
use crate::shapes::Home;

/// Bytes that can be read from any place, by several threads at once.
pub trait ReadAt: Send + Sync {
    /// How many bytes there are.
    fn len(&self) -> u64;

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` when there are fewer; anything else that reading gives.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl ReadAt for [u8] {
    fn len(&self) -> u64 {
        self.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let range = start.and_then(|start| self.get(start..start.checked_add(buf.len())?));
        buf.copy_from_slice(range.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn len(&self) -> u64 {
        ReadAt::len(self.as_slice())
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_exact_at(buf, offset)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for Arc<T> {
    fn len(&self) -> u64 {
        ReadAt::len(&**self)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buf, offset)
    }
}

thread_local! {
    static READ: Cell<u64> = const { Cell::new(0) };
}

/// How many bytes this thread has read from all sources: the difference over a call is what the call read.
pub(crate) fn bytes_read_by_thread() -> u64 {
    READ.get()
}

/// A range of bytes with the checksum that was noted for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) checksum: u32,
}

/// The source of a segment, and whether checksums are compared.
#[derive(Clone)]
pub(crate) struct Bytes {
    pub(crate) source: Arc<dyn ReadAt>,
    /// Off in tests of damage only: what lies behind the checksums has to survive any bytes too.
    pub(crate) verify: bool,
}

impl Bytes {
    /// Reads a range that lies within the source.
    pub(crate) fn read(&self, offset: u64, len: u64, place: Place) -> Result<Vec<u8>> {
        let eof =
            || SegmentError::Read { place: place.at(offset), source: io::ErrorKind::UnexpectedEof.into() };
        let end = offset.checked_add(len).ok_or_else(eof)?;
        if end > self.source.len() {
            return Err(eof());
        }
        let mut bytes = vec![0; usize::try_from(len).map_err(|_| eof())?];
        let read = self.source.read_exact_at(&mut bytes, offset);
        read.map_err(|source| SegmentError::Read { place: place.at(offset), source })?;
        READ.set(READ.get().wrapping_add(len));
        Ok(bytes)
    }

    /// Reads a range and compares its checksum.
    pub(crate) fn read_checked(&self, stored: Stored, place: Place) -> Result<Vec<u8>> {
        let bytes = self.read(stored.offset, stored.len, place)?;
        self.check(&bytes, stored.checksum, place.at(stored.offset))?;
        Ok(bytes)
    }

    /// Compares a checksum.
    pub(crate) fn check(&self, bytes: &[u8], expected: u32, place: Place) -> Result<()> {
        if self.verify {
            let found = checksum(bytes);
            if found != expected {
                return Err(SegmentError::Checksum { place, expected, found });
            }
        }
        Ok(())
    }
}

/// The part of a segment that one column's bulky bytes take.
#[derive(Clone, Copy)]
pub(crate) struct Data<'a> {
    pub(crate) bytes: &'a Bytes,
    pub(crate) offset: u64,
    pub(crate) place: Place,
    /// Whose bytes they are, for what lies elsewhere.
    pub(crate) home: Option<Home<'a>>,
}

impl Data<'_> {
    /// Reads a frame, by its place within the column's bytes.
    pub(crate) fn frame(&self, offset: u64, len: u64, checksum: u32) -> Result<Vec<u8>> {
        let offset = self.offset.saturating_add(offset);
        self.bytes.read_checked(Stored { offset, len, checksum }, self.place)
    }

    /// Reads bytes that their checksum follows.
    pub(crate) fn page(&self, offset: u64, len: u64) -> Result<Vec<u8>> {
        let offset = self.offset.saturating_add(offset);
        let mut bytes = self.bytes.read(offset, len + size_of::<u32>() as u64, self.place)?;
        let found = bytes.split_off(len as usize);
        let expected = u32::from_le_bytes(found.try_into().expect("four bytes were read"));
        self.bytes.check(&bytes, expected, self.place.at(offset))?;
        Ok(bytes)
    }
}
