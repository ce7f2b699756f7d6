//! Reads the files of systemd's journal.
//!
//! Owns: the file format (systemd.io/JOURNAL_FILE_FORMAT): header, chains of entry arrays, entries, data objects,
//! compact and regular, compressed with zstd, LZ4 or XZ.
//! Does not own: finding files, waiting for changes, which file follows which (`input`), the fields of a record
//! ([`record`]).
//! Invariant: never panics and never loops, whatever the bytes; reads only, so a file may be written meanwhile.
//! A damaged entry costs itself alone.
//!
//! journald appends: objects are written first, then linked, and the number of entries in the header grows last.
//! So everything counted by the header can be read, and reading on after [`Journal::refresh`] finds what is new.

mod entry;
mod layout;
pub mod record;
mod values;

#[cfg(test)]
mod tests;

use std::io;

pub use entry::{Entry, EntryName, NoCursor, Unreadable};
pub use layout::{Header, State};

use layout::{ARRAY_HEAD_BYTES, HEADER_BYTES_MIN, OBJECT_ENTRY, OBJECT_ENTRY_ARRAY, Object, u32_at, u64_at};
use values::Values;

/// Most fields of one entry that are read; journald allows 1024.
const ENTRY_ITEMS_MAX: u64 = 4096;

/// Positioned reading; a file of the disk layer, or bytes in memory.
pub trait ReadAt {
    /// Fills the whole buffer from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where the file is shorter, else whatever went wrong.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(buffer.len());
        let part = self.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(part);
        Ok(())
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset)
    }
}

impl ReadAt for Vec<u8> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self[..].read_exact_at(buffer, offset)
    }
}

/// Why a journal cannot be read, or an entry of it.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Reading failed.
    #[error("read journal offset={offset}")]
    Read {
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// It is no journal file.
    #[error("expected a journal file (signature `LPKSHHRH`)")]
    Signature,
    /// It uses something newer than this reader.
    #[error("journal file needs unknown features flags={flags:#x}")]
    Features {
        /// The incompatible flags that are not known.
        flags: u32,
    },
    /// Something in it is not what it should be.
    #[error("damaged journal file: {what} offset={offset}")]
    Damaged {
        /// What is wrong.
        what: &'static str,
        /// Where.
        offset: u64,
    },
}

/// A journal file that is open.
#[derive(Debug)]
pub struct Journal<R> {
    bytes: R,
    header: Header,
    values: Values,
}

/// A place between two entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The entry array that has the next entry; 0 before the first exists.
    array: u64,
    /// Its place in that array.
    index: u64,
    /// Entries before it.
    passed: u64,
}

impl<R: ReadAt> Journal<R> {
    /// Reads and checks the header.
    ///
    /// # Errors
    /// If it is not a journal file that this reader understands.
    pub fn open(bytes: R) -> Result<Self, JournalError> {
        let header = read_header(&bytes)?;
        Ok(Self { bytes, header, values: Values::default() })
    }

    /// The header as it was read last.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Reads the header again: entries that were written since are found from then on.
    ///
    /// # Errors
    /// As [`Journal::open`]; and if another file is there now.
    pub fn refresh(&mut self) -> Result<(), JournalError> {
        let header = read_header(&self.bytes)?;
        if header.file_id != self.header.file_id {
            return Err(JournalError::Damaged { what: "another file is in its place", offset: 0 });
        }
        self.header = header;
        Ok(())
    }

    /// The place before the first entry.
    #[must_use]
    pub fn start(&self) -> Position {
        Position { array: self.header.entry_array, index: 0, passed: 0 }
    }

    /// The place before the first entry whose sequence number is greater than `seqnum`.
    ///
    /// # Errors
    /// If the chain of entry arrays cannot be followed. Where entries cannot be read, the place may lie earlier.
    pub fn after(&self, seqnum: u64) -> Result<Position, JournalError> {
        self.divide(|entry| entry.seqnum <= seqnum).map(|(position, _)| position)
    }

    /// The place before the first entry that was not `passed`, and the last one that was, where all entries up to some place
    /// were.
    ///
    /// # Errors
    /// If the chain of entry arrays cannot be followed. Where entries cannot be read, the place may lie earlier: they count as
    /// not passed, because nobody reads again what lies before it.
    pub fn divide(
        &self,
        passed: impl Fn(&EntryName) -> bool,
    ) -> Result<(Position, Option<EntryName>), JournalError> {
        let (mut position, mut last) = (self.start(), None);
        let mut is_passed = |array: &Array, index: u64| {
            let Some(name) = self.name_at(array, index) else { return false };
            let passed = passed(&name);
            if passed {
                last = Some(name);
            }
            passed
        };
        while position.array != 0 && position.passed < self.header.entry_count {
            let array = self.array(position.array)?;
            let count = array.capacity.min(self.header.entry_count - position.passed);
            let (mut low, mut high) = (0, count);
            if is_passed(&array, count - 1) {
                low = count;
            }
            while low < high {
                let middle = low + (high - low) / 2;
                if is_passed(&array, middle) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            if low < count || array.next == 0 {
                position = Position { index: low, passed: position.passed + low, ..position };
                break;
            }
            position = Position { array: array.next, index: 0, passed: position.passed + count };
        }
        Ok((position, last))
    }

    /// Reads the entry at `position` into `entry` and moves past it; `false` where there is none yet.
    ///
    /// # Errors
    /// If the entry cannot be read: the position has moved past it, and reading may go on. If the chain of
    /// entries itself is damaged, the position is at the end, and nothing more comes of this file.
    pub fn next(&mut self, position: &mut Position, entry: &mut Entry) -> Result<bool, JournalError> {
        if position.array == 0 {
            position.array = self.header.entry_array;
        }
        if position.array == 0 || position.passed >= self.header.entry_count {
            return Ok(false);
        }
        let offset = match self.advance(position) {
            Ok(offset) => offset,
            Err(error) => {
                position.passed = u64::MAX;
                return Err(error);
            }
        };
        self.read_entry(offset, entry)?;
        Ok(true)
    }

    /// The offset of the entry at the position, which moves past it.
    fn advance(&self, position: &mut Position) -> Result<u64, JournalError> {
        let mut array = self.array(position.array)?;
        if position.index >= array.capacity {
            if array.next == 0 {
                return Err(JournalError::Damaged {
                    what: "chain of entries ends early",
                    offset: array.offset,
                });
            }
            array = self.array(array.next)?;
            (position.array, position.index) = (array.offset, 0);
        }
        let offset = self.item(&array, position.index)?;
        position.index += 1;
        position.passed += 1;
        Ok(offset)
    }

    fn read_entry(&mut self, offset: u64, entry: &mut Entry) -> Result<(), JournalError> {
        let object = self.object(offset, OBJECT_ENTRY)?;
        let item_bytes = if self.header.compact { 4 } else { 16 };
        let items = object.size.saturating_sub(Entry::HEAD_BYTES as u64) / item_bytes;
        if items > ENTRY_ITEMS_MAX || object.size < Entry::HEAD_BYTES as u64 {
            return Err(JournalError::Damaged { what: "size of an entry", offset });
        }
        let mut raw = vec![0; Entry::HEAD_BYTES + (items * item_bytes) as usize];
        self.read(&mut raw, offset)?;
        entry.begin(&raw, self.header.seqnum_id);
        if entry.seqnum == 0 {
            return Err(JournalError::Damaged { what: "entry without a number", offset });
        }
        for item in raw[Entry::HEAD_BYTES..].chunks_exact(item_bytes as usize) {
            let data = if self.header.compact { u64::from(u32_at(item, 0)) } else { u64_at(item, 0) };
            match self.values.read(&self.bytes, &self.header, data) {
                Ok(value) => entry.add(value),
                Err(reason) => entry.unreadable.push(Unreadable { offset: data, reason }),
            }
        }
        Ok(())
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), JournalError> {
        read(&self.bytes, buffer, offset)
    }

    fn object(&self, offset: u64, kind: u8) -> Result<Object, JournalError> {
        let object = Object::read(&self.bytes, &self.header, offset)?;
        if object.kind != kind {
            return Err(JournalError::Damaged { what: "kind of an object", offset });
        }
        Ok(object)
    }

    fn array(&self, offset: u64) -> Result<Array, JournalError> {
        let object = self.object(offset, OBJECT_ENTRY_ARRAY)?;
        let mut head = [0; ARRAY_HEAD_BYTES];
        self.read(&mut head, offset)?;
        let item_bytes = if self.header.compact { 4 } else { 8 };
        let capacity = object.size.saturating_sub(ARRAY_HEAD_BYTES as u64) / item_bytes;
        let next = u64_at(&head, 16);
        // Later arrays lie further behind: without this a damaged chain could go in circles.
        if capacity == 0 || next != 0 && next <= offset {
            return Err(JournalError::Damaged { what: "chain of entries", offset });
        }
        Ok(Array { offset, next, capacity, item_bytes })
    }

    fn item(&self, array: &Array, index: u64) -> Result<u64, JournalError> {
        let mut raw = [0; 8];
        let offset = array.offset + ARRAY_HEAD_BYTES as u64 + index * array.item_bytes;
        self.read(&mut raw[..array.item_bytes as usize], offset)?;
        Ok(u64::from_le_bytes(raw))
    }

    /// The name of an entry of an array, if it can be read and has a number: without one it was not written to its end.
    fn name_at(&self, array: &Array, index: u64) -> Option<EntryName> {
        let offset = self.item(array, index).ok()?;
        self.object(offset, OBJECT_ENTRY).ok()?;
        let mut head = [0; Entry::HEAD_BYTES];
        self.read(&mut head, offset).ok()?;
        Some(EntryName::of(&head, self.header.seqnum_id)).filter(|name| name.seqnum != 0)
    }
}

/// An entry array.
struct Array {
    offset: u64,
    next: u64,
    capacity: u64,
    item_bytes: u64,
}

fn read(bytes: &impl ReadAt, buffer: &mut [u8], offset: u64) -> Result<(), JournalError> {
    bytes.read_exact_at(buffer, offset).map_err(|source| JournalError::Read { offset, source })
}

fn read_header(bytes: &impl ReadAt) -> Result<Header, JournalError> {
    let mut raw = [0; HEADER_BYTES_MIN];
    read(bytes, &mut raw, 0)?;
    Header::decode(&raw)
}
