//! What is kept of a block for the next question.
//!
//! Owns: which parts of a block have a slot in the cache. Does not own: the cache's bound (`cache`).
//! Invariant: whatever lies in a slot was compared with its checksum.

use std::sync::Arc;

use super::Segment;
use super::parts::Window;
use crate::cache::{Cache, Kept, Slot};
use crate::column::Column;
use crate::error::{Damage, Result};
use crate::layout::{ColumnEntry, Directory, part};
use crate::shapes::{Home, Index, Plain, Portion};
use crate::source::Data;

/// Slots for parts, by their kinds.
const PARTS: usize = part::ARRIVALS as usize + 1;

/// Where the parts of a block are found that were read before.
#[derive(Debug)]
pub(crate) struct BlockSlots {
    /// In the order of the directory, as those below.
    columns: Box<[Slot<Column>]>,
    texts: Box<[Slot<Portion>]>,
    /// Which of those texts have what, once they were asked.
    indexes: Box<[Slot<Index>]>,
    /// Of those texts the ones without a shape, once they were asked.
    plain: Box<[Slot<Plain>]>,
    parts: [Slot<Vec<u8>>; PARTS],
}

impl BlockSlots {
    fn of(directory: &Directory) -> Self {
        let count = directory.columns.len();
        Self {
            columns: (0..count).map(|_| Slot::default()).collect(),
            texts: (0..count).map(|_| Slot::default()).collect(),
            indexes: (0..count).map(|_| Slot::default()).collect(),
            plain: (0..count).map(|_| Slot::default()).collect(),
            parts: Default::default(),
        }
    }
}

impl Segment {
    fn slots(&self, block: usize) -> Result<&BlockSlots> {
        let directory = self.directory(block)?;
        Ok(self.slots[block].get_or_init(|| BlockSlots::of(directory)))
    }

    /// What is kept of all segments.
    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The bytes of a part of a block; kept if `keep` says so.
    pub(crate) fn part_bytes(&self, block: usize, kind: u8, keep: bool) -> Result<Arc<Kept<Vec<u8>>>> {
        let slots = self.slots(block)?;
        let slot = slots.parts.get(usize::from(kind));
        if let Some(kept) = slot.and_then(|slot| self.cache.get(slot)) {
            return Ok(kept);
        }
        let bytes = self.read_part_bytes(block, kind)?;
        let len = bytes.len();
        Ok(match slot {
            Some(slot) if keep => self.cache.keep(slot, bytes, len),
            _ => Kept::new(bytes),
        })
    }

    /// The head of a column; kept if `keep` says so.
    pub(crate) fn column(
        &self,
        block: usize,
        entry: &ColumnEntry,
        window: &mut Window,
        keep: bool,
    ) -> Result<Arc<Kept<Column>>> {
        let at = self.directory(block)?.columns.binary_search_by_key(&entry.name, |column| column.name);
        let slot = &self.slots(block)?.columns[at.expect("the entry is of this directory")];
        if let Some(kept) = self.cache.get(slot) {
            return Ok(kept);
        }
        let column = self.read_column(block, entry, window)?;
        let bytes = column.memory_bytes();
        Ok(if keep { self.cache.keep(slot, column, bytes) } else { Kept::new(column) })
    }

    /// The texts that a column has in a group of blocks.
    pub(crate) fn portion(&self, data: Data<'_>, home: Home<'_>, count: usize) -> Result<Arc<Kept<Portion>>> {
        let Home { block, name, keep, .. } = home;
        let at = self.directory(block)?.columns.binary_search_by_key(&name, |column| column.name).ok();
        let slots = self.slots(block)?;
        let slot = at.map(|at| &slots.texts[at]);
        if let Some(kept) = slot.and_then(|slot| self.cache.get(slot)) {
            kept.note_shapes_use(&self.cache);
            if kept.len() != count {
                return Err(data.place.damaged()(Damage::expected("texts of a group of blocks")));
            }
            return Ok(kept);
        }
        let portion = Portion::read(data, home, count)?;
        let bytes = portion.memory_bytes();
        Ok(match slot {
            Some(slot) if keep => self.cache.keep(slot, portion, bytes),
            _ => Kept::new(portion),
        })
    }

    /// The index of a portion, if there is one; made now if `make` says so and it can be kept, for it takes longer than to look
    /// at all texts.
    pub(crate) fn index(
        &self,
        data: Data<'_>,
        portion: &Portion,
        make: bool,
    ) -> Result<Option<Arc<Kept<Index>>>> {
        let Some(Home { block, name, .. }) = data.home else { return Ok(None) };
        let at = self.directory(block)?.columns.binary_search_by_key(&name, |column| column.name).ok();
        let slots = self.slots(block)?;
        let slot = at.map(|at| &slots.indexes[at]);
        let kept = slot.and_then(|slot| self.cache.get(slot)).filter(|kept| kept.len() == portion.len());
        if kept.is_some() || !make {
            return Ok(kept);
        }
        if slot.is_some_and(|slot| !self.cache.has_room(slot, Index::bytes_about(portion))) {
            return Ok(None);
        }
        let Some(index) = Index::of(portion) else { return Ok(None) };
        let bytes = index.memory_bytes();
        Ok(Some(match slot {
            Some(slot) => self.cache.keep(slot, index, bytes),
            None => Kept::new(index),
        }))
    }

    /// The texts without a shape that a column has in a group of blocks, of about so many bytes, if they were kept or `read`
    /// gives any that can be.
    pub(crate) fn plain(
        &self,
        home: Home<'_>,
        bytes: usize,
        read: impl FnOnce() -> Result<Option<Plain>>,
    ) -> Result<Option<Arc<Kept<Plain>>>> {
        let Home { block, name, keep, .. } = home;
        let at = self.directory(block)?.columns.binary_search_by_key(&name, |column| column.name).ok();
        let slots = self.slots(block)?;
        let slot = at.map(|at| &slots.plain[at]);
        if let Some(kept) = slot.and_then(|slot| self.cache.get(slot)) {
            return Ok(Some(kept));
        }
        if !keep || slot.is_none_or(|slot| !self.cache.has_room(slot, bytes)) {
            return Ok(None);
        }
        let Some(plain) = read()? else { return Ok(None) };
        let bytes = plain.memory_bytes();
        Ok(Some(match slot {
            Some(slot) if keep => self.cache.keep(slot, plain, bytes),
            _ => Kept::new(plain),
        }))
    }

    /// The filter of a block: the whole of it if it was read before, or may be kept.
    pub(crate) fn filter(&self, block: usize) -> Result<Option<Arc<Kept<Vec<u8>>>>> {
        let slot = &self.slots(block)?.parts[usize::from(part::FILTER)];
        if let Some(kept) = self.cache.get(slot) {
            return Ok(Some(kept));
        }
        let Some(entry) = self.directory(block)?.part(part::FILTER) else { return Ok(None) };
        if !self.cache.has_room(slot, (entry.range.end - entry.range.start) as usize) {
            return Ok(None);
        }
        self.part_bytes(block, part::FILTER, true).map(Some)
    }

    /// The bulky bytes of a column, for those who read them once.
    pub(crate) fn data_once(&self, block: usize, entry: &ColumnEntry) -> Data<'_> {
        let home = Home { segment: self, block, name: entry.name, keep: false };
        Data { home: Some(home), ..self.data(block, entry) }
    }
}
