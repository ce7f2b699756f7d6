//! Reading the parts of blocks.
//!
//! Owns: which bytes are read for a part, and the place that an error names.
//! Invariant: the head of a column is read together with its small neighbours, so that a block of thousands of
//! small columns takes few reads.

use std::ops::Range;
use std::sync::Arc;

use sawyer_model::{SeqRange, Timestamp};

use super::Segment;
use crate::bits::Rows;
use crate::bytes::Reader;
use crate::cache::Kept;
use crate::column::Column;
use crate::error::{Damage, Decoded, Place, Result};
use crate::heads::{self, StreamRuns};
use crate::layout::{ColumnEntry, Directory, Group, part};
use crate::shapes::{Home, SHAPES_BYTES_MAX, Shapes};
use crate::source::{Data, Stored};
use crate::zip;

/// Heads of neighbouring columns are read together up to about this many bytes.
const WINDOW_BYTES: u64 = 64 << 10;

/// Bytes of a block that were read ahead.
#[derive(Debug, Default)]
pub(crate) struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Segment {
    /// The directory of a block.
    pub(crate) fn directory(&self, block: usize) -> Result<&Directory> {
        if let Some(directory) = self.directories[block].get() {
            return Ok(directory);
        }
        let info = &self.footer.blocks[block];
        let place = Place::in_block("directory", block);
        let bytes = self.bytes.read_checked(info.directory, place)?;
        let directory =
            Directory::parse(&mut Reader::new(&bytes), info.bytes, info.rows, self.footer.names.len());
        let directory = directory.map_err(place.at(info.directory.offset).damaged())?;
        Ok(self.directories[block].get_or_init(|| directory))
    }

    /// Reads a part of a block; its bytes are kept if `keep` says so.
    pub(crate) fn read_part<T>(
        &self,
        block: usize,
        kind: u8,
        keep: bool,
        parse: impl FnOnce(&[u8]) -> Decoded<T>,
    ) -> Result<T> {
        let bytes = self.part_bytes(block, kind, keep)?;
        parse(&bytes).map_err(Place::in_block(part_name(kind), block).damaged())
    }

    /// Reads the bytes of a part of a block.
    pub(super) fn read_part_bytes(&self, block: usize, kind: u8) -> Result<Vec<u8>> {
        let place = Place::in_block(part_name(kind), block);
        let missing = || place.damaged()(Damage::expected("the part to be there"));
        let entry = self.directory(block)?.part(kind).ok_or_else(missing)?;
        self.bytes.read_checked(self.stored(block, &entry.range, entry.checksum), place)
    }

    pub(crate) fn read_timestamps(&self, block: usize, keep: bool) -> Result<Vec<Timestamp>> {
        let rows = self.footer.blocks[block].rows;
        self.read_part(block, part::TIMESTAMPS, keep, |bytes| heads::parse_timestamps(bytes, rows))
    }

    /// Which rows of a block lie between which neighbouring edges, without looking at every row; says whether that
    /// can be told. The first edge comes no later than any row, and the last one after all.
    pub(crate) fn rows_between(
        &self,
        block: usize,
        edges: &[Timestamp],
        call: &mut dyn FnMut(usize, Range<usize>),
    ) -> Result<bool> {
        let info = &self.footer.blocks[block];
        if info.streams.start() != info.streams.end() {
            return Ok(false);
        }
        // The rows of one stream ascend in time.
        let first = edges.partition_point(|edge| edge <= info.timestamps.start());
        let within = edges[first..].partition_point(|edge| edge <= info.timestamps.end());
        if first == 0 || first + within == edges.len() {
            return Ok(false);
        }
        let wanted: Vec<i64> = edges[first..first + within].iter().map(|edge| edge.nanos()).collect();
        let below = self
            .read_part(block, part::TIMESTAMPS, true, |bytes| heads::rows_below(bytes, info.rows, &wanted))?;
        let mut counted = 0;
        for (bucket, end) in below.into_iter().chain([info.rows]).enumerate() {
            let end = end.max(counted).min(info.rows);
            call(first - 1 + bucket, counted..end);
            counted = end;
        }
        Ok(true)
    }

    pub(crate) fn read_observed(&self, block: usize, keep: bool) -> Result<Vec<Timestamp>> {
        if self.directory(block)?.part(part::ARRIVALS).is_some() {
            let rows = self.footer.blocks[block].rows;
            return self.read_part(block, part::ARRIVALS, keep, |bytes| heads::parse_arrivals(bytes, rows));
        }
        let timestamps = self.read_timestamps(block, keep)?;
        self.read_part(block, part::OBSERVED, keep, |bytes| heads::parse_observed(bytes, &timestamps))
    }

    /// The timestamps of some rows, in their order.
    pub(crate) fn pick_timestamps(&self, block: usize, wanted: &Rows, keep: bool) -> Result<Vec<Timestamp>> {
        self.read_part(block, part::TIMESTAMPS, keep, |bytes| heads::pick_timestamps(bytes, wanted))
    }

    /// The times of arrival of some rows, which have these timestamps.
    pub(crate) fn pick_observed(
        &self,
        block: usize,
        wanted: &Rows,
        timestamps: &[Timestamp],
        keep: bool,
    ) -> Result<Vec<Timestamp>> {
        let is_alone = self.directory(block)?.part(part::ARRIVALS).is_some();
        let kind = if is_alone { part::ARRIVALS } else { part::OBSERVED };
        let mut observed =
            self.read_part(block, kind, keep, |bytes| heads::pick_timestamps(bytes, wanted))?;
        if !is_alone {
            for (observed, timestamp) in observed.iter_mut().zip(timestamps) {
                *observed = Timestamp::from_nanos(timestamp.nanos().wrapping_add(observed.nanos()));
            }
        }
        Ok(observed)
    }

    /// The numbers of the sources of some rows.
    pub(crate) fn pick_sources(&self, block: usize, wanted: &Rows, keep: bool) -> Result<Vec<u32>> {
        let sources = self.footer.sources.len();
        self.read_part(block, part::SOURCES, keep, |bytes| heads::pick_sources(bytes, wanted, sources))
    }

    /// The ranges of some rows.
    pub(crate) fn pick_ranges(&self, block: usize, wanted: &Rows, keep: bool) -> Result<Vec<SeqRange>> {
        self.read_part(block, part::RANGES, keep, |bytes| heads::pick_ranges(bytes, wanted))
    }

    pub(crate) fn read_streams(&self, block: usize, keep: bool) -> Result<StreamRuns> {
        let info = &self.footer.blocks[block];
        let (rows, streams) = (info.rows, self.footer.streams.len());
        if keep && info.streams.start() == info.streams.end() {
            return Ok(StreamRuns::one(*info.streams.start(), rows));
        }
        self.read_part(block, part::STREAMS, keep, |bytes| StreamRuns::parse(bytes, rows, streams))
    }

    /// The numbers of the sources of the rows.
    pub(crate) fn read_sources(&self, block: usize, keep: bool) -> Result<Vec<u32>> {
        let (rows, sources) = (self.footer.blocks[block].rows, self.footer.sources.len());
        self.read_part(block, part::SOURCES, keep, |bytes| heads::parse_sources(bytes, rows, sources))
    }

    pub(crate) fn read_ranges(&self, block: usize, keep: bool) -> Result<Vec<SeqRange>> {
        let rows = self.footer.blocks[block].rows;
        self.read_part(block, part::RANGES, keep, |bytes| heads::parse_ranges(bytes, rows))
    }

    /// Reads the head of a column. Columns are cheapest in order, with one window.
    pub(crate) fn read_column(
        &self,
        block: usize,
        entry: &ColumnEntry,
        window: &mut Window,
    ) -> Result<Column> {
        let info = &self.footer.blocks[block];
        let place = Place::in_block("head of column", block).column(entry.name);
        if !window.has(&entry.head) {
            let len = window.bytes_for(&entry.head).min(info.bytes - entry.head.start);
            let bytes = self.bytes.read(info.offset + entry.head.start, len, place)?;
            *window = Window { start: entry.head.start, bytes };
        }
        let head = window.get(&entry.head).to_vec();
        self.bytes.check(&head, entry.head_checksum, place.at(info.offset + entry.head.start))?;
        let column = Column::parse(head, info.rows, info.raw_bytes)
            .map_err(place.at(info.offset + entry.head.start).damaged())?;
        if column.presence.count() != entry.count || column.values.mask() != entry.mask {
            return Err(place.damaged()(Damage::expected("what the directory says")));
        }
        Ok(column)
    }

    /// The bulky bytes of a column.
    pub(crate) fn data(&self, block: usize, entry: &ColumnEntry) -> Data<'_> {
        Data {
            bytes: &self.bytes,
            offset: self.footer.blocks[block].offset + entry.data.start,
            place: Place::in_block("column", block).column(entry.name),
            home: Some(Home { segment: self, block, name: entry.name, keep: true }),
        }
    }

    /// What a group of blocks keeps once for its texts.
    pub(crate) fn shapes(&self, group: usize) -> Result<Arc<Kept<Shapes>>> {
        self.cache.get_or_read(&self.shapes[group], Shapes::memory_bytes, || self.read_shapes(group))
    }

    fn read_shapes(&self, group: usize) -> Result<Shapes> {
        let Group { shapes: stored, ref portions, .. } = self.footer.groups[group];
        let rows = portions.iter().map(|portion| self.footer.blocks[portion.block as usize].rows).sum();
        let place = Place::of("shapes of texts").at(stored.offset);
        let bytes = self.bytes.read_checked(stored, place)?;
        let read = |bytes: &[u8]| {
            let mut reader = Reader::new(bytes);
            let len = reader.at_most(SHAPES_BYTES_MAX, "shapes within bounds")?;
            Shapes::parse(&zip::unzip(&mut reader, len)?)
        };
        let shapes = if bytes.is_empty() { Ok(Shapes::none()) } else { read(&bytes) };
        shapes.map(|shapes| shapes.for_blocks(portions.len(), rows)).map_err(place.damaged())
    }

    pub(crate) fn stored(&self, block: usize, range: &Range<u64>, checksum: u32) -> Stored {
        let offset = self.footer.blocks[block].offset + range.start;
        Stored { offset, len: range.end - range.start, checksum }
    }
}

impl Window {
    /// How many bytes to read for a head that the window does not have: its own, and the more besides the more
    /// heads were read in order.
    fn bytes_for(&self, range: &Range<u64>) -> u64 {
        let len = self.bytes.len() as u64;
        let follows = (self.start..=self.start + len).contains(&range.start);
        let ahead = if follows { (len * 2).min(WINDOW_BYTES) } else { 0 };
        ahead.max(range.end - range.start)
    }

    fn has(&self, range: &Range<u64>) -> bool {
        range.start >= self.start && range.end <= self.start + self.bytes.len() as u64
    }

    fn get(&self, range: &Range<u64>) -> &[u8] {
        &self.bytes[(range.start - self.start) as usize..(range.end - self.start) as usize]
    }
}

pub(super) fn part_name(kind: u8) -> &'static str {
    match kind {
        part::STREAMS => "streams",
        part::TIMESTAMPS => "timestamps",
        part::OBSERVED | part::ARRIVALS => "times of arrival",
        part::SOURCES => "sources",
        part::RANGES => "ranges",
        part::FILTER => "filter",
        _ => "part",
    }
}
