//! Making a segment of records.
//!
//! Owns: the order of the rows, where blocks end, the bytes from header to tail.
//! Does not own: how columns are kept (`column`), which segments are made of what (`store`).
//! Invariant: equal records in equal batches make equal bytes.

mod block;
mod copy;
mod groups;
mod merge;
mod sort;

use std::sync::Arc;

use sawyer_model::{Batch, Error, ListRef, NameId, OwnPart, RecordRef, SourceId, Stream, ValueRef};

use self::block::BlockBuilder;
use self::groups::GroupsBuilder;
pub use self::merge::{Unreadable, merge, merge_without};
use self::sort::Sorted;
use crate::bits::Rows;
use crate::bytes::{Put, checksum};
use crate::column::ELEMENTS_MAX;
use crate::error::SegmentError;
use crate::ints::Packing;
use crate::layout::{BLOCK_ROWS_MAX, BlockInfo, Directory, Footer, MAGIC, Summary, VERSION, part, put_tail};
use crate::made::Row;
use crate::names::NameTable;
use crate::shapes::KeptAs;
use crate::source::Stored;
use crate::squeeze::{Class, Squeezer};
use crate::zip;

/// Most bytes of values in a block of several records: what is made of a block has to fit into one batch.
pub const BLOCK_BYTES_MAX: u64 = 256 << 20;

const _: () =
    assert!(BLOCK_BYTES_MAX < sawyer_model::limits::BATCH_TEXT_BYTES_MAX as u64, "a block fits into a batch");

/// What is squeezed is compressed so: on log text 8 % larger than by level 19, in a small part of the time.
const SQUEEZE_LEVEL: i32 = 9;
/// The same for segments of at most [`SMALL_BYTES_MAX`].
const SQUEEZE_LEVEL_SMALL: i32 = 19;
/// Half of what merging makes by default: less is merged with others of its day, so there are few of them.
const SMALL_BYTES_MAX: u64 = 48 << 20;

/// How a segment is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeSettings {
    /// Rows at which a block is closed, at most [`BLOCK_ROWS_MAX`]. Larger blocks have fewer heads and
    /// dictionaries; smaller ones are skipped more often.
    pub block_rows_max: usize,
    /// Most bytes of values in a block, at most [`BLOCK_BYTES_MAX`]. A larger record is a block of its own.
    pub block_bytes_max: u64,
    /// Bits that the filter of a block has for each of its tokens; none without a filter. 12 let about one of 200
    /// blocks pass that does not have the token.
    pub filter_bits_per_token: usize,
    /// Bytes of texts of one field at which a group is closed: what is alike in texts is kept once for a group. Larger
    /// groups are smaller altogether, and take as much memory while they are gathered.
    pub group_bytes_max: usize,
    /// Whether the texts of a group are kept by their shapes. To learn these takes longer than everything else, so it is
    /// left to the merge where there will be one.
    pub shapes: bool,
    /// Whether texts that are kept without shapes are compressed, if they are not to be written again soon.
    pub zipped: bool,
    /// By which level of zstd pieces are compressed, from -7 to 22. On log messages level 3 saves another 1.5 % at half the
    /// speed.
    pub zip_level: i32,
    /// Whether the segment is compressed as a whole: for what is old, because reading it takes longer the first time.
    pub squeeze: bool,
    /// By which level of zstd: from 1 to 22.
    pub squeeze_level: i32,
}

/// A segment that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The segment.
    pub bytes: Vec<u8>,
    /// What is in it.
    pub summary: Summary,
}

impl Default for EncodeSettings {
    fn default() -> Self {
        Self {
            block_rows_max: BLOCK_ROWS_MAX,
            block_bytes_max: 2 << 20,
            filter_bits_per_token: 12,
            group_bytes_max: 24 << 20,
            shapes: true,
            zipped: false,
            zip_level: 1,
            squeeze: false,
            squeeze_level: SQUEEZE_LEVEL,
        }
    }
}

impl EncodeSettings {
    /// For what is old, of so many bytes of values: as small as can be. Blocks are larger, so that what is in all of them is
    /// there less often. What is small is compressed as well as zstd can: of each day there is little of it, since what is
    /// small is merged.
    #[must_use]
    pub fn squeezing(raw_bytes: u64) -> Self {
        Self {
            squeeze: true,
            squeeze_level: if raw_bytes <= SMALL_BYTES_MAX { SQUEEZE_LEVEL_SMALL } else { SQUEEZE_LEVEL },
            block_bytes_max: 8 << 20,
            filter_bits_per_token: 10,
            ..Self::default()
        }
    }

    pub(crate) fn packing(&self) -> Packing {
        if self.squeeze { Packing::Planes } else { Packing::Bits }
    }
}

/// Makes a segment of all records of these batches, ordered by stream, then time, then source and place in it.
///
/// # Errors
/// `Invalid` if there are more records than 32 bits can count, or a list of more than 67 million elements.
pub fn encode(batches: &[&Batch], settings: &EncodeSettings) -> Result<Encoded, Error> {
    let mut bytes = Vec::new();
    let summary = encode_to::<Error>(batches, settings, &mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(Encoded { bytes, summary })
}

/// As [`encode()`]; the bytes go to `sink`, piece by piece.
///
/// # Errors
/// Those of [`encode()`], and the sink's.
pub fn encode_to<E: From<Error>>(
    batches: &[&Batch],
    settings: &EncodeSettings,
    sink: Sink<'_, E>,
) -> Result<Summary, E> {
    let all: Vec<Rows> = batches.iter().map(|batch| Rows::all(batch.len())).collect();
    encode_rows_to(batches, &all, settings, sink)
}

/// As [`encode_to`], of the records in `wanted` only: for each batch a set. At least one must be in them.
///
/// # Errors
/// Those of [`encode_to`].
pub fn encode_rows_to<E: From<Error>>(
    batches: &[&Batch],
    wanted: &[Rows],
    settings: &EncodeSettings,
    sink: Sink<'_, E>,
) -> Result<Summary, E> {
    let sorted = Sorted::of(batches, wanted).map_err(Error::from)?;
    zip::with_level(settings.zip_level, || {
        let mut writer = Writer::new(settings, sink);
        for row in &sorted.rows {
            let batch = batches[row.batch as usize];
            let place = RowPlace { slot: row.batch as usize, stream: row.stream, source: row.source };
            writer.push(place, batch, batch.get(row.record as usize))?;
        }
        writer.finish(sorted.streams, sorted.sources)
    })
}

/// Takes the bytes of a segment, one piece after another.
pub type Sink<'a, E> = &'a mut dyn FnMut(&[u8]) -> Result<(), E>;

/// A segment that is being made.
struct Writer<'a, E> {
    settings: EncodeSettings,
    sink: Sink<'a, E>,
    /// What the sink does not have yet.
    bytes: Vec<u8>,
    /// What was handed over before.
    written: u64,
    /// Between it and the sink, if the segment is to be squeezed.
    squeezer: Option<Squeezer>,
    /// Of what class the bytes are, each up to where they end.
    classes: Vec<(usize, Class)>,
    names: NameTable,
    /// For each slot and each name of its batch, the number of the name here.
    known_names: Vec<Vec<u32>>,
    block: BlockBuilder,
    groups: GroupsBuilder,
    blocks: Vec<(BlockInfo, Directory)>,
    /// For each source, the first and last block with records of it.
    source_blocks: Vec<Option<(u32, u32)>>,
}

/// Where a record comes from, and its numbers in the segment.
#[derive(Clone, Copy)]
struct RowPlace {
    /// Stands for the batch it comes from.
    slot: usize,
    stream: u32,
    source: u32,
}

/// Not yet looked up.
const UNKNOWN: u32 = u32::MAX;

impl<'a, E: From<Error>> Writer<'a, E> {
    fn new(settings: &EncodeSettings, sink: Sink<'a, E>) -> Self {
        let block_rows_max = settings.block_rows_max.clamp(1, BLOCK_ROWS_MAX);
        let block_bytes_max = settings.block_bytes_max.min(BLOCK_BYTES_MAX);
        let mut bytes = MAGIC.to_vec();
        bytes.put_u8(VERSION);
        Self {
            settings: EncodeSettings { block_rows_max, block_bytes_max, ..*settings },
            sink,
            bytes,
            written: 0,
            squeezer: settings.squeeze.then(|| Squeezer::new(settings.squeeze_level)),
            classes: Vec::new(),
            names: NameTable::default(),
            known_names: Vec::new(),
            block: BlockBuilder::new(settings.squeeze),
            groups: GroupsBuilder::default(),
            blocks: Vec::new(),
            source_blocks: Vec::new(),
        }
    }

    fn push(&mut self, place: RowPlace, batch: &Batch, record: RecordRef<'_>) -> Result<(), E> {
        let (mut bytes, mut odd_line) = (ROW_BYTES, false);
        // Texts are not looked at here.
        for (name, part) in record.own_parts() {
            bytes += match part {
                OwnPart::Str(ref place) | OwnPart::Json(ref place) => place.len() as u64 + 1,
                OwnPart::Value(value) => raw_bytes(value),
            };
            odd_line |= name == NameId::ORIGINAL && !matches!(part, OwnPart::Str(_));
            if matches!(part, OwnPart::Value(ValueRef::List(list)) if list.len() > ELEMENTS_MAX) {
                let error = SegmentError::Invalid("a list of more elements than a segment can hold");
                return Err(Error::from(error).into());
            }
        }
        let full = self.block.rows() >= self.settings.block_rows_max
            || self.block.raw_bytes() + bytes > self.settings.block_bytes_max
            || self.block.is_wide()
            || odd_line && !self.block.gathers_lines();
        if full && self.block.rows() > 0 {
            self.finish_block()?;
        }
        if odd_line {
            self.block.gather_lines();
        }
        self.note_source(place.source as usize);
        self.block.begin(record.head(), place.stream, place.source);
        let (mut line, mut fields_hash) = (None, 0u64);
        for (id, value) in record.own_fields_by_id() {
            let name = self.name(place.slot, batch, id);
            if id == NameId::ORIGINAL && !self.block.gathers_lines() {
                line = value.as_str();
                self.block.line_field(name);
            } else {
                self.block.field(name, value);
            }
            fields_hash = fields_hash.rotate_left(7).wrapping_add(u64::from(name) + 1).wrapping_mul(MIX);
        }
        if let Some(line) = line {
            self.block.line(Row { record, batch, slot: place.slot, fields_hash }, line);
        }
        self.block.add_raw_bytes(bytes);
        Ok(())
    }

    fn note_source(&mut self, source: usize) {
        let block = self.blocks.len() as u32;
        if self.source_blocks.len() <= source {
            self.source_blocks.resize(source + 1, None);
        }
        let (_, last) = self.source_blocks[source].get_or_insert((block, block));
        *last = block;
    }

    #[inline]
    fn name(&mut self, slot: usize, batch: &Batch, name: NameId) -> u32 {
        let known = self.known_names.get(slot).and_then(|known| known.get(name.index()));
        match known {
            Some(known) if *known != UNKNOWN => *known,
            _ => self.new_name(slot, batch, name),
        }
    }

    #[cold]
    fn new_name(&mut self, slot: usize, batch: &Batch, name: NameId) -> u32 {
        if self.known_names.len() <= slot {
            self.known_names.resize_with(slot + 1, Vec::new);
        }
        let known = &mut self.known_names[slot];
        if known.len() <= name.index() {
            known.resize(batch.name_count(), UNKNOWN);
        }
        let text = batch.name(name);
        let number = self.names.number(text);
        self.block.name(number, text);
        known[name.index()] = number;
        number
    }

    /// Forgets what is known of the names of the batch in this slot: another one follows.
    fn forget_slot(&mut self, slot: usize) {
        if let Some(known) = self.known_names.get_mut(slot) {
            known.clear();
        }
        self.block.forget_slot(slot);
    }

    fn finish_block(&mut self) -> Result<(), E> {
        let bits = self.settings.filter_bits_per_token;
        let start = self.written + self.bytes.len() as u64;
        self.groups.begin_block(self.blocks.len() as u32);
        let (mut info, directory) =
            self.block.finish(&self.names, bits, self.settings.packing(), &mut self.groups, &mut self.bytes);
        info.offset = start;
        self.note_classes(start, &directory);
        self.blocks.push((info, directory));
        self.hand_over()?;
        self.write_groups(self.settings.group_bytes_max)
    }

    /// Writes the groups that have so many bytes of text.
    fn write_groups(&mut self, bytes_min: usize) -> Result<(), E> {
        let kept = match (self.settings.shapes, self.settings.zipped) {
            (true, _) => KeptAs::ByShape,
            (false, true) => KeptAs::Zipped,
            (false, false) => KeptAs::ForNow,
        };
        // What is not put together need not wait for others.
        let bytes_min = if kept == KeptAs::ByShape { bytes_min } else { 0 };
        let packing = self.settings.packing();
        while self.groups.write(bytes_min, (kept, packing), self.written, &mut self.bytes) {
            self.classes.push((self.bytes.len(), Class::Texts));
            self.hand_over()?;
        }
        Ok(())
    }

    /// Notes what is of which class in a block that starts here.
    fn note_classes(&mut self, start: u64, directory: &Directory) {
        let at = |offset: u64| (start - self.written + offset) as usize;
        let texts = directory.columns.last().map_or(0, |column| column.data.end);
        let filter = directory.part(part::FILTER).map(|part| part.range.clone());
        let heads = filter.as_ref().map_or(self.bytes.len(), |filter| at(filter.start));
        self.classes.extend([(at(0), Class::Heads), (at(texts), Class::Texts), (heads, Class::Heads)]);
        self.classes.extend(filter.map(|filter| (at(filter.end), Class::Plain)));
    }

    fn hand_over(&mut self) -> Result<(), E> {
        match &mut self.squeezer {
            None => (self.sink)(&self.bytes)?,
            Some(squeezer) => {
                let mut start = 0;
                for (end, class) in self.classes.drain(..).chain([(self.bytes.len(), Class::Heads)]) {
                    squeezer.add(class, &self.bytes[start..end], self.sink)?;
                    start = end;
                }
            }
        }
        self.classes.clear();
        self.written += self.bytes.len() as u64;
        self.bytes.clear();
        Ok(())
    }

    fn finish(mut self, streams: Vec<Arc<Stream>>, sources: Vec<SourceId>) -> Result<Summary, E> {
        if self.block.rows() > 0 {
            self.finish_block()?;
        }
        self.write_groups(0)?;
        let (names, final_numbers) = std::mem::take(&mut self.names).sorted();
        let groups = self.groups.finish(|name| final_numbers[name as usize]);
        let mut footer = Footer { names, streams, sources, groups, ..Footer::default() };
        for (mut info, directory) in std::mem::take(&mut self.blocks) {
            let offset = self.bytes.len();
            directory.put(&mut self.bytes, |name| final_numbers[name as usize]);
            let stored = &self.bytes[offset..];
            let (len, checksum) = (stored.len() as u64, checksum(stored));
            info.directory = Stored { offset: self.written + offset as u64, len, checksum };
            footer.blocks.push(info);
        }
        self.source_blocks.resize(footer.sources.len(), None);
        let blocks_of = |blocks: Option<(u32, u32)>| blocks.map_or(0..=0, |(first, last)| first..=last);
        footer.source_blocks = self.source_blocks.iter().copied().map(blocks_of).collect();
        let stored = footer.encode(self.settings.packing());
        self.bytes.extend_from_slice(&stored);
        put_tail(&mut self.bytes, &stored);
        self.hand_over()?;
        let bytes = match self.squeezer {
            None => self.written,
            Some(squeezer) => squeezer.finish(self.sink)?,
        };
        Ok(footer.summary(bytes))
    }
}

/// An odd number for mixing (the golden ratio).
const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

/// Raw bytes that count for a row beside its fields.
pub(crate) const ROW_BYTES: u64 = 48;

/// Bytes of the texts in a value.
pub(crate) fn text_bytes(value: ValueRef<'_>) -> u64 {
    match value {
        ValueRef::Str(text) | ValueRef::Json(text) => text.len() as u64,
        ValueRef::List(list) => list.iter().map(text_bytes).sum(),
        _ => 0,
    }
}

/// Of a value that is not text.
pub(crate) const NUMBER_BYTES: u64 = 8;

/// Bytes that a value takes, for the bounds of blocks.
#[inline(always)]
pub(crate) fn raw_bytes(value: ValueRef<'_>) -> u64 {
    match value {
        ValueRef::Str(text) | ValueRef::Json(text) => text.len() as u64 + 1,
        ValueRef::List(list) => list_bytes(list),
        _ => NUMBER_BYTES,
    }
}

/// The same for a list: those in it are no lists.
#[cold]
fn list_bytes(list: ListRef<'_>) -> u64 {
    let scalar = |value: ValueRef<'_>| match value {
        ValueRef::List(_) => NUMBER_BYTES,
        scalar => raw_bytes(scalar),
    };
    NUMBER_BYTES + list.iter().map(scalar).sum::<u64>()
}

/// Refuses what a number of 32 bits cannot count.
fn count_32(count: usize) -> Result<u32, SegmentError> {
    u32::try_from(count).map_err(|_| SegmentError::Invalid("a segment of more than 2^32 things"))
}
