//! A segment that is open for reading.
//!
//! Owns: [`Segment`]; its footer and the directories of blocks that were asked for stay in memory.
//! Does not own: what is kept of anything larger, and how much (`cache`); the pages of files are the system's.
//! Invariant: everything that is read is compared with its checksum before it is used.

mod fetch;
mod kept;
mod lines;
pub(crate) mod parts;
mod verify;

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::sync::{Arc, OnceLock};

use sawyer_model::{Batch, Error, Record, RecordId, SeqRange, SourceId, Stream, Timestamp};

use sawyer_query::search::Position;

pub use self::lines::Lines;
use crate::bits::Rows;
use crate::cache::{Cache, Slot};
use crate::column::kind;
use crate::error::{Place, Result, SegmentError};
use crate::ints::Packing;
use crate::layout::{
    BlockInfo, Directory, Footer, Group, HEADER_BYTES, MAGIC, Stats, Summary, TAIL_BYTES, VERSION, parse_tail,
};
use crate::scan::StreamTokens;
use crate::shapes::Shapes;
use crate::source::{Bytes, ReadAt};
use crate::squeeze::{self, Squeezed};

/// A segment that is open for reading, by as many threads as like.
pub struct Segment {
    pub(crate) bytes: Bytes,
    pub(crate) footer: Footer,
    /// The version that it was written in.
    pub(crate) version: u8,
    /// What it is read from, if it is compressed as a whole.
    squeezed: Option<Arc<Squeezed>>,
    summary: Summary,
    directories: Box<[OnceLock<Directory>]>,
    cache: Cache,
    slots: Box<[OnceLock<kept::BlockSlots>]>,
    pub(crate) stream_tokens: OnceLock<StreamTokens>,
    /// For each group of blocks.
    shapes: Box<[Slot<Shapes>]>,
}

/// A field that a block has, apart from those of its streams.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockField<'a> {
    /// Its name.
    pub name: &'a str,
    /// The names of the types of its values ([`sawyer_model::ValueRef::type_name`]), sorted.
    pub types: Vec<&'static str>,
    /// How many rows have it.
    pub count: usize,
    /// The least and greatest numbers among its values.
    pub stats: Stats,
}

impl Segment {
    /// Opens a segment: reads its header, tail and footer.
    ///
    /// # Errors
    /// `Corrupt` if it is not a segment or damaged, `Invalid` if a newer version made it, `Retry` if it cannot be
    /// read.
    pub fn open(source: Arc<dyn ReadAt>) -> Result<Self, Error> {
        Self::open_in(source, &Cache::default())
    }

    /// Opens a segment that shares a cache with others.
    ///
    /// # Errors
    /// As [`Segment::open`].
    pub fn open_in(source: Arc<dyn ReadAt>, cache: &Cache) -> Result<Self, Error> {
        Ok(Self::open_with(Bytes { source, verify: true }, cache.clone())?)
    }

    /// Opens a segment whose checksums are not compared: for tests of what lies behind them.
    ///
    /// # Errors
    /// As [`Segment::open`].
    #[doc(hidden)]
    pub fn open_unverified(source: Arc<dyn ReadAt>) -> Result<Self, Error> {
        Ok(Self::open_with(Bytes { source, verify: false }, Cache::default())?)
    }

    /// The bytes of the segment in a squeezed one: for tests of what lies behind its chunks.
    ///
    /// # Errors
    /// As [`Segment::open`].
    #[doc(hidden)]
    pub fn inside(source: Arc<dyn ReadAt>) -> Result<Vec<u8>, Error> {
        let squeezed = Squeezed::open(Bytes { source, verify: true }, &Cache::default())?;
        let source: Arc<dyn ReadAt> = Arc::new(squeezed);
        let len = source.len();
        Ok(Bytes { source, verify: true }.read(0, len, Place::of("segment"))?)
    }

    fn open_with(bytes: Bytes, cache: Cache) -> Result<Self> {
        let header = bytes.read(0, HEADER_BYTES as u64, Place::of("header"))?;
        match (&header[..MAGIC.len()] == squeeze::MAGIC, header[MAGIC.len()]) {
            (false, _) => Self::open_inside(bytes, cache),
            (true, squeeze::VERSION) => {
                let (file_len, verify) = (bytes.source.len(), bytes.verify);
                let squeezed = Arc::new(Squeezed::open(bytes, &cache)?);
                let source = Arc::clone(&squeezed) as Arc<dyn ReadAt>;
                let mut segment = Self::open_inside(Bytes { source, verify }, cache)?;
                segment.summary.bytes = file_len;
                segment.squeezed = Some(squeezed);
                Ok(segment)
            }
            (true, newer) => Err(SegmentError::Newer("squeezed segment", newer)),
        }
    }

    fn open_inside(bytes: Bytes, cache: Cache) -> Result<Self> {
        let len = bytes.source.len();
        let header = bytes.read(0, HEADER_BYTES as u64, Place::of("header"))?;
        let version = check_magic(&header)?;
        let tail_start = len.saturating_sub(TAIL_BYTES as u64);
        let tail = bytes.read(tail_start, TAIL_BYTES as u64, Place::of("tail"))?;
        let place = Place::of("tail").at(tail_start);
        let stored = parse_tail(&tail, len, version).map_err(place.damaged())?;
        let place = Place::of("footer");
        let footer = Footer::decode(&bytes.read_checked(stored, place)?, stored.offset, version);
        let footer = footer.map_err(place.at(stored.offset).damaged())?;
        let summary = footer.summary(len);
        Ok(Self::with(bytes, cache, summary, footer, version))
    }

    fn with(bytes: Bytes, cache: Cache, summary: Summary, footer: Footer, version: u8) -> Self {
        let directories = footer.blocks.iter().map(|_| OnceLock::new()).collect();
        let slots = footer.blocks.iter().map(|_| OnceLock::new()).collect();
        let shapes = footer.groups.iter().map(|_| Slot::default()).collect();
        let stream_tokens = OnceLock::new();
        let squeezed = None;
        Self { bytes, summary, footer, version, squeezed, directories, cache, slots, stream_tokens, shapes }
    }

    /// What is known of it as a whole.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Whether it was made in haste: texts lie in it as they are, and merging it, even alone, makes it smaller.
    #[must_use]
    pub fn is_hasty(&self) -> bool {
        let hasty = |group: &Group| {
            group.text_bytes == 0 && group.portions.iter().any(|portion| portion.raw_data_len > 0)
        };
        self.footer.groups.iter().any(hasty)
    }

    /// Whether it is as small as can be: compressed as a whole.
    #[must_use]
    pub fn is_squeezed(&self) -> bool {
        self.squeezed.is_some()
    }

    /// How its numbers are packed.
    pub(crate) fn packing(&self) -> Packing {
        if self.is_squeezed() { Packing::Planes } else { Packing::Bits }
    }

    /// How many of the file's bytes these bytes take, about.
    pub(crate) fn stored_bytes(&self, offset: u64, len: u64) -> f64 {
        self.squeezed.as_ref().map_or(len as f64, |squeezed| squeezed.stored_bytes(offset, len))
    }

    /// How many records it has.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.summary.rows
    }

    /// Its blocks, in order.
    #[must_use]
    pub fn blocks(&self) -> &[BlockInfo] {
        &self.footer.blocks
    }

    /// The streams of its records.
    #[must_use]
    pub fn streams(&self) -> &[Arc<Stream>] {
        &self.footer.streams
    }

    /// The sources of its records, ascending.
    #[must_use]
    pub fn sources(&self) -> &[SourceId] {
        &self.footer.sources
    }

    /// The names of all own fields of its records, ascending.
    pub fn field_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.footer.names.iter().map(|name| &**name)
    }

    /// The own fields of the records of a block, by name.
    ///
    /// # Errors
    /// `Corrupt` if the block is damaged, `Retry` if it cannot be read.
    ///
    /// # Panics
    /// As everywhere here, if there is no block with this number.
    pub fn fields(&self, block: usize) -> Result<Vec<BlockField<'_>>, Error> {
        let directory = self.directory(block)?;
        let field = |column: &crate::layout::ColumnEntry| BlockField {
            name: self.name(column.name),
            types: type_names(column.mask),
            count: column.count,
            stats: column.stats,
        };
        Ok(directory.columns.iter().map(field).collect())
    }

    /// The timestamps of the rows of a block. Rows are ordered by stream, and by time within a stream.
    ///
    /// # Errors
    /// As [`Segment::fields`].
    pub fn timestamps(&self, block: usize) -> Result<Vec<Timestamp>, Error> {
        Ok(self.read_timestamps(block, true)?)
    }

    /// The timestamps of some rows of a block, in their order.
    ///
    /// # Errors
    /// As [`Segment::fields`].
    ///
    /// # Panics
    /// If `rows` is not a set of rows of the block.
    pub fn timestamps_of(&self, block: usize, rows: &Rows) -> Result<Vec<Timestamp>, Error> {
        assert_eq!(rows.len(), self.footer.blocks[block].rows, "a set of rows of this block");
        Ok(self.pick_timestamps(block, rows, true)?)
    }

    /// Which rows of a block lie between which neighbouring edges, without looking at every row; says whether that
    /// can be told. The first edge comes no later than any row, and the last one after all.
    ///
    /// # Errors
    /// As [`Segment::fields`].
    pub fn bucket_rows(
        &self,
        block: usize,
        edges: &[Timestamp],
        call: &mut dyn FnMut(usize, Range<usize>),
    ) -> Result<bool, Error> {
        Ok(self.rows_between(block, edges, call)?)
    }

    /// The times of arrival of the rows of a block.
    ///
    /// # Errors
    /// As [`Segment::fields`].
    pub fn observed(&self, block: usize) -> Result<Vec<Timestamp>, Error> {
        Ok(self.read_observed(block, true)?)
    }

    /// Where a record lies: the number of the block, and the row.
    ///
    /// # Errors
    /// As [`Segment::fields`].
    pub fn find(&self, id: RecordId) -> Result<Option<(usize, usize)>, Error> {
        let Ok(source) = self.footer.sources.binary_search(&id.source) else { return Ok(None) };
        for block in self.footer.source_blocks[source].clone() {
            let block = block as usize;
            let sources = self.read_sources(block, true)?;
            if !sources.contains(&(source as u32)) {
                continue;
            }
            let ranges = self.read_ranges(block, true)?;
            let found = |(at, range): (&u32, &SeqRange)| *at as usize == source && range.start == id.start;
            if let Some(row) = sources.iter().zip(&ranges).position(found) {
                return Ok(Some((block, row)));
            }
        }
        Ok(None)
    }

    /// Between which blocks, those included, all records of a source lie; by its place in [`Segment::sources`].
    ///
    /// # Panics
    /// If there is no such source.
    #[must_use]
    pub fn blocks_of(&self, source: usize) -> RangeInclusive<usize> {
        let blocks = &self.footer.source_blocks[source];
        *blocks.start() as usize..=*blocks.end() as usize
    }

    /// Where some rows of a block come from, in their order: the places of their sources in [`Segment::sources`], and
    /// their ranges. What is read for it is not kept for others.
    ///
    /// # Errors
    /// As [`Segment::fields`].
    ///
    /// # Panics
    /// If `rows` is not a set of rows of the block.
    pub fn origins(&self, block: usize, rows: &Rows) -> Result<Vec<(usize, SeqRange)>, Error> {
        assert_eq!(rows.len(), self.footer.blocks[block].rows, "a set of rows of this block");
        let sources = self.pick_sources(block, rows, false)?;
        let ranges = self.pick_ranges(block, rows, false)?;
        Ok(sources.into_iter().map(|source| source as usize).zip(ranges).collect())
    }

    /// One record.
    ///
    /// # Errors
    /// As [`Segment::fields`].
    ///
    /// # Panics
    /// If the block does not have this row.
    pub fn record(&self, block: usize, row: usize) -> Result<Record, Error> {
        let mut rows = Rows::none(self.footer.blocks[block].rows);
        rows.insert(row);
        let mut batch = Batch::new();
        self.fetch(block, &rows, &mut batch)?;
        Ok(batch.get(0).to_record())
    }

    /// All records of a block, in the order of its rows. The fields of a record come in the order of their names.
    ///
    /// # Errors
    /// As [`Segment::fields`].
    pub fn decode_block(&self, block: usize) -> Result<Batch, Error> {
        let mut batch = Batch::new();
        self.fetch(block, &Rows::all(self.footer.blocks[block].rows), &mut batch)?;
        Ok(batch)
    }

    /// Where the rows of a block lie in the order of records.
    ///
    /// # Errors
    /// As [`Segment::fields`].
    ///
    /// # Panics
    /// If `rows` is not a set of rows of the block.
    pub fn positions(&self, block: usize, rows: &Rows) -> Result<Vec<Position>, Error> {
        assert_eq!(rows.len(), self.footer.blocks[block].rows, "a set of rows of this block");
        Ok(self.read_positions(block, rows, true)?)
    }

    fn read_positions(&self, block: usize, rows: &Rows, keep: bool) -> Result<Vec<Position>> {
        let timestamps = self.pick_timestamps(block, rows, keep)?;
        let (sources, ranges) = (self.pick_sources(block, rows, keep)?, self.pick_ranges(block, rows, keep)?);
        let position = |((timestamp, source), range): ((Timestamp, u32), SeqRange)| Position {
            timestamp,
            source: self.footer.sources[source as usize],
            start: range.start,
        };
        Ok(timestamps.into_iter().zip(sources).zip(ranges).map(position).collect())
    }

    pub(crate) fn name(&self, number: u32) -> &str {
        &self.footer.names[number as usize]
    }
}

fn check_magic(header: &[u8]) -> Result<u8> {
    let damaged = Place::of("header").damaged();
    if header[..MAGIC.len()] != *MAGIC {
        return Err(damaged(crate::error::Damage::expected("a segment")));
    }
    match header[MAGIC.len()] {
        version @ 1..=VERSION => Ok(version),
        newer if newer > VERSION => Err(SegmentError::Newer("segment", newer)),
        _ => Err(damaged(crate::error::Damage::expected("a version"))),
    }
}

/// The names of the types in a mask, sorted.
fn type_names(mask: u8) -> Vec<&'static str> {
    const NAMES: [(u8, &str); kind::COUNT as usize] = [
        (kind::BOOL, "boolean"),
        (kind::FLOAT, "float"),
        (kind::INT, "integer"),
        (kind::LIST, "list"),
        (kind::NULL, "null"),
        (kind::JSON, "objects"),
        (kind::STR, "string"),
        (kind::TIMESTAMP, "timestamp"),
    ];
    NAMES.iter().filter(|(kind, _)| mask >> kind & 1 == 1).map(|(_, name)| *name).collect()
}

impl Drop for Segment {
    fn drop(&mut self) {
        // What was kept of it is found by nobody any more.
        self.slots = Box::default();
        self.shapes = Box::default();
        self.cache.sweep();
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("summary", &self.summary).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
