//! Making a segment of records.
//!
//! Owns: the order of the rows, where blocks end, the bytes from header to tail.
//! Does not own: how columns are kept (`column`), which segments are made of what (`store`).
//! Invariant: equal records in equal batches make equal bytes.

mod block;
mod sort;

use sawyer_model::{Batch, Error, NameId, RecordRef, ValueRef};

use self::block::BlockBuilder;
use self::sort::Sorted;
use crate::bytes::{Put, checksum};
use crate::column::ELEMENTS_MAX;
use crate::error::SegmentError;
use crate::layout::{BLOCK_ROWS_MAX, BlockInfo, Directory, Footer, MAGIC, Summary, VERSION, put_tail};
use crate::names::NameTable;
use crate::source::Stored;

/// Most bytes of values in a block of several records: what is made of a block has to fit into one batch.
pub const BLOCK_BYTES_MAX: u64 = 256 << 20;

const _: () =
    assert!(BLOCK_BYTES_MAX < sawyer_model::limits::BATCH_TEXT_BYTES_MAX as u64, "a block fits into a batch");

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
        Self { block_rows_max: BLOCK_ROWS_MAX, block_bytes_max: 2 << 20, filter_bits_per_token: 12 }
    }
}

/// Makes a segment of all records of these batches, ordered by stream, then time, then source and place in it.
///
/// # Errors
/// `Invalid` if there are more records than 32 bits can count, or a list of more than 67 million elements.
pub fn encode(batches: &[&Batch], settings: &EncodeSettings) -> Result<Encoded, Error> {
    let sorted = Sorted::of(batches)?;
    let mut writer = Writer::new(settings);
    for row in &sorted.rows {
        let record = batches[row.batch as usize].get(row.record as usize);
        writer.push(batches, row, record)?;
    }
    Ok(writer.finish(sorted))
}

/// A segment that is being made.
struct Writer {
    settings: EncodeSettings,
    bytes: Vec<u8>,
    names: NameTable,
    /// For each batch and each of its names, the number of the name here.
    known_names: Vec<Vec<u32>>,
    block: BlockBuilder,
    blocks: Vec<(BlockInfo, Directory)>,
    /// For each source, the first and last block with records of it.
    source_blocks: Vec<Option<(u32, u32)>>,
}

/// Not yet looked up.
const UNKNOWN: u32 = u32::MAX;

impl Writer {
    fn new(settings: &EncodeSettings) -> Self {
        let block_rows_max = settings.block_rows_max.clamp(1, BLOCK_ROWS_MAX);
        let block_bytes_max = settings.block_bytes_max.min(BLOCK_BYTES_MAX);
        let mut bytes = MAGIC.to_vec();
        bytes.put_u8(VERSION);
        Self {
            settings: EncodeSettings { block_rows_max, block_bytes_max, ..*settings },
            bytes,
            names: NameTable::default(),
            known_names: Vec::new(),
            block: BlockBuilder::default(),
            blocks: Vec::new(),
            source_blocks: Vec::new(),
        }
    }

    fn push(
        &mut self,
        batches: &[&Batch],
        row: &sort::Row,
        record: RecordRef<'_>,
    ) -> Result<(), SegmentError> {
        let mut bytes = ROW_BYTES;
        for (_, value) in record.own_fields_by_id() {
            bytes += raw_bytes(value);
            if matches!(value, ValueRef::List(list) if list.len() > ELEMENTS_MAX) {
                return Err(SegmentError::Invalid("a list of more elements than a segment can hold"));
            }
        }
        let full = self.block.rows() >= self.settings.block_rows_max
            || self.block.raw_bytes() + bytes > self.settings.block_bytes_max;
        if full && self.block.rows() > 0 {
            self.finish_block();
        }
        self.note_source(row.source as usize);
        self.block.begin(record.head(), row.stream, row.source);
        for (name, value) in record.own_fields_by_id() {
            let name = self.name(batches, row.batch as usize, name);
            self.block.field(name, value);
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

    fn name(&mut self, batches: &[&Batch], batch: usize, name: NameId) -> u32 {
        if self.known_names.len() < batches.len() {
            self.known_names = batches.iter().map(|batch| vec![UNKNOWN; batch.name_count()]).collect();
        }
        let known = &mut self.known_names[batch][name.index()];
        if *known == UNKNOWN {
            *known = self.names.number(batches[batch].name(name));
        }
        *known
    }

    fn finish_block(&mut self) {
        let bits = self.settings.filter_bits_per_token;
        self.blocks.push(self.block.finish(&self.names, bits, &mut self.bytes));
    }

    fn finish(mut self, sorted: Sorted) -> Encoded {
        if self.block.rows() > 0 {
            self.finish_block();
        }
        let (names, final_numbers) = self.names.sorted();
        let mut footer =
            Footer { names, streams: sorted.streams, sources: sorted.sources, ..Footer::default() };
        for (mut info, directory) in self.blocks {
            let offset = self.bytes.len();
            directory.put(&mut self.bytes, |name| final_numbers[name as usize]);
            let stored = &self.bytes[offset..];
            info.directory =
                Stored { offset: offset as u64, len: stored.len() as u64, checksum: checksum(stored) };
            footer.blocks.push(info);
        }
        let blocks_of = |blocks: Option<(u32, u32)>| blocks.expect("every source has a row");
        footer.source_blocks = self.source_blocks.into_iter().map(blocks_of).map(|(a, b)| a..=b).collect();
        let stored = footer.encode();
        self.bytes.extend_from_slice(&stored);
        put_tail(&mut self.bytes, &stored);
        let summary = footer.summary(self.bytes.len() as u64);
        Encoded { bytes: self.bytes, summary }
    }
}

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

/// Bytes that a value takes, for the bounds of blocks.
pub(crate) fn raw_bytes(value: ValueRef<'_>) -> u64 {
    /// Of a value that is not text.
    const NUMBER_BYTES: u64 = 8;
    match value {
        ValueRef::Str(text) | ValueRef::Json(text) => text.len() as u64 + 1,
        ValueRef::List(list) => NUMBER_BYTES + list.iter().map(raw_bytes).sum::<u64>(),
        _ => NUMBER_BYTES,
    }
}

/// Refuses what a number of 32 bits cannot count.
fn count_32(count: usize) -> Result<u32, SegmentError> {
    u32::try_from(count).map_err(|_| SegmentError::Invalid("a segment of more than 2^32 things"))
}
