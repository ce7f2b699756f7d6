//! The texts of several blocks that are kept together.
//!
//! Owns: which fields have such groups, when a group is closed, and where it lies.
//! Does not own: how its texts are kept (`shapes`).
//! Invariant: every block whose column says so is in one group of the field.

use hashbrown::HashMap;
use sawyer_query::FieldKind;

use crate::bytes::{Put, checksum};
use crate::error::{Place, Result};
use crate::filter::HIDDEN;
use crate::ints::Packing;
use crate::layout::{Group, GroupPortion};
use crate::segment::Segment;
use crate::shapes::{KeptAs, Pending, WrittenGroup};
use crate::source::Stored;
use crate::text::Texts;
use crate::zip;

/// The groups of a segment that is being made.
#[derive(Default)]
pub(super) struct GroupsBuilder {
    /// By the number of the name.
    pending: Vec<(u32, Pending)>,
    written: Vec<Group>,
    /// For groups of inputs that are kept, by slot and number there, which of the written ones they are.
    kept: HashMap<(usize, usize), usize>,
    block: u32,
}

/// What a block of an input has in a group there.
pub(super) struct PortionBytes {
    pub(super) group: usize,
    pub(super) packed: Vec<u8>,
    pub(super) raw_head: Vec<u8>,
    pub(super) raw_data: Vec<u8>,
}

/// Where a portion comes from, and the number of the field's name here.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) slot: usize,
    pub(super) segment: &'a Segment,
    pub(super) name: u32,
}

/// Whether the texts of fields of this name are kept in groups: text that people read.
pub(super) fn has_groups(name: &str) -> bool {
    !name.starts_with(HIDDEN) && FieldKind::of(name) == FieldKind::Text
}

impl GroupsBuilder {
    /// Says which block the texts are of that follow.
    pub(super) fn begin_block(&mut self, block: u32) {
        self.block = block;
    }

    /// Adds the texts that a field has in the block.
    pub(super) fn add(&mut self, name: u32, texts: &Texts) {
        let at = self.pending.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            self.pending.push((name, Pending::default()));
            self.pending.len() - 1
        });
        self.pending[at].1.add(self.block, texts);
    }

    /// Appends the texts of the block as they are in an input, and the shapes of their group if they are the first of it.
    pub(super) fn keep(
        &mut self,
        from: Known<'_>,
        portion: &PortionBytes,
        written: u64,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let Known { slot, segment, name } = from;
        let group = match self.kept.get(&(slot, portion.group)) {
            Some(group) => *group,
            None => {
                let known = &segment.footer.groups[portion.group];
                let bytes = segment.bytes.read_checked(known.shapes, Place::of("shapes of texts"))?;
                let shapes = put(&bytes, written, out);
                let portions = Vec::new();
                let (text_bytes, packing) = (known.text_bytes, known.packing);
                self.written.push(Group { name, text_bytes, packing, shapes, portions });
                self.kept.insert((slot, portion.group), self.written.len() - 1);
                self.written.len() - 1
            }
        };
        let packed = put(&portion.packed, written, out);
        let raw_head = put(&portion.raw_head, written, out);
        put(&portion.raw_data, written, out);
        let raw_data_len = portion.raw_data.len() as u64;
        let portion = GroupPortion { block: self.block, packed, raw_head, raw_data_len };
        self.written[group].portions.push(portion);
        Ok(())
    }

    /// Appends a group that has so many bytes of text or more, if there is one, by shapes or as they are. `written` is where `out` starts.
    pub(super) fn write(
        &mut self,
        bytes_min: usize,
        (kept, packing): (KeptAs, Packing),
        written: u64,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(at) = self.pending.iter().position(|(_, pending)| pending.bytes() >= bytes_min) else {
            return false;
        };
        let (name, mut pending) = self.pending.remove(at);
        // None says that nobody has looked for shapes.
        let text_bytes = if kept == KeptAs::ByShape { pending.bytes() as u64 } else { 0 };
        let group = put_group(name, packing, &pending.write(kept, packing), written, out);
        self.written.push(Group { text_bytes, ..group });
        true
    }

    /// All groups, with the final numbers of names.
    pub(super) fn finish(&mut self, name_of: impl Fn(u32) -> u32) -> Vec<Group> {
        assert!(self.pending.is_empty(), "all groups were written");
        let written = std::mem::take(&mut self.written);
        written.into_iter().map(|group| Group { name: name_of(group.name), ..group }).collect()
    }
}

fn put_group(name: u32, packing: Packing, group: &WrittenGroup, written: u64, out: &mut Vec<u8>) -> Group {
    let mut shapes = Vec::new();
    if !group.shapes.is_empty() {
        shapes.put_varint(group.shapes.len() as u64);
        match packing {
            Packing::Bits => zip::put_zipped_well(&mut shapes, &group.shapes),
            Packing::Planes => zip::put_plain(&mut shapes, &group.shapes),
        }
    }
    let shapes = put(&shapes, written, out);
    let portions = group.portions.iter().map(|portion| {
        let packed = put(&portion.packed, written, out);
        let raw_head = put(&portion.raw_head, written, out);
        put(&portion.raw_data, written, out);
        let raw_data_len = portion.raw_data.len() as u64;
        GroupPortion { block: portion.block, packed, raw_head, raw_data_len }
    });
    let portions = portions.collect();
    Group { name, text_bytes: 0, packing, shapes, portions }
}

fn put(bytes: &[u8], written: u64, out: &mut Vec<u8>) -> Stored {
    let offset = written + out.len() as u64;
    out.extend_from_slice(bytes);
    Stored { offset, len: bytes.len() as u64, checksum: checksum(bytes) }
}
