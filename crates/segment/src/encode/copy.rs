//! Copying a block from another segment as it is.
//!
//! Owns: what has to be changed in it: the numbers of names, streams and sources.
//! Does not own: which blocks are copied (`merge`).
//! Invariant: a block is copied only after all its checksums were compared, so damage does not travel.

use sawyer_model::Error;

use super::Writer;
use super::groups::{Known, PortionBytes};
use crate::bytes::checksum;
use crate::column::kind;
use crate::error::{Place, Result};
use crate::heads::{put_source_numbers, put_stream_runs};
use crate::layout::{BlockInfo, Directory, GroupPortion, PartEntry, part};
use crate::segment::Segment;
use crate::segment::parts::Window;
use crate::text::{TextCursor, Texts};

/// A block as it is in another segment, and the numbers it gets.
pub(super) struct Copied {
    bytes: Vec<u8>,
    info: BlockInfo,
    directory: Directory,
    /// The sources of its rows.
    sources: Vec<u32>,
    /// The texts of fields that are not kept in the block, by the number of the name there.
    texts: Vec<(u32, Elsewhere)>,
}

/// Texts that lie in a group.
enum Elsewhere {
    /// They are read, because their group is small.
    Texts(Texts),
    /// They stay as they are, with the shapes of their group.
    AsTheyAre(PortionBytes),
}

/// The numbers that streams and sources of a segment get.
pub(super) struct Numbers<'a> {
    pub(super) stream: &'a dyn Fn(usize) -> Option<u32>,
    pub(super) source: &'a dyn Fn(usize) -> Option<u32>,
}

impl Copied {
    /// Reads a block; none if its numbers do not let it be copied. Groups of so many bytes of text are kept, if their
    /// shapes were learned.
    pub(super) fn read(
        segment: &Segment,
        block: usize,
        numbers: &Numbers<'_>,
        kept_bytes_min: Option<u64>,
    ) -> Result<Option<Self>> {
        let packing = segment.packing();
        let info = &segment.footer.blocks[block];
        segment.check_columns(block)?;
        let streams: Option<Vec<(u32, u32)>> = segment
            .read_streams(block, false)?
            .iter()
            .map(|(stream, rows)| Some(((numbers.stream)(stream)?, rows.len() as u32)))
            .collect();
        let sources: Option<Vec<u32>> = segment
            .read_sources(block, false)?
            .into_iter()
            .map(|source| (numbers.source)(source as usize))
            .collect();
        let (Some(streams), Some(sources)) = (streams, sources) else { return Ok(None) };
        let (Some(first), Some(last)) = (streams.first(), streams.last()) else { return Ok(None) };
        if !streams.is_sorted_by(|a, b| a.0 < b.0) {
            return Ok(None);
        }
        let known = segment.directory(block)?;
        let texts = texts_elsewhere(segment, block, known, kept_bytes_min)?;
        let columns_end = known.parts.first().map_or(info.bytes, |part| part.range.start);
        let mut bytes = segment.bytes.read(info.offset, columns_end, Place::in_block("columns", block))?;
        let mut directory = Directory { columns: known.columns.clone(), parts: Vec::new() };
        for entry in &known.parts {
            let start = bytes.len();
            match entry.kind {
                part::STREAMS => put_stream_runs(&mut bytes, &streams),
                part::SOURCES => {
                    let numbers: Vec<i64> = sources.iter().map(|source| i64::from(*source)).collect();
                    put_source_numbers(packing, &mut bytes, &numbers);
                }
                part::TIMESTAMPS | part::OBSERVED | part::ARRIVALS | part::RANGES | part::FILTER => {
                    let stored = segment.stored(block, &entry.range, entry.checksum);
                    let place = Place::in_block("part", block);
                    bytes.extend_from_slice(&segment.bytes.read_checked(stored, place)?);
                }
                _ => continue,
            }
            directory.parts.push(PartEntry {
                kind: entry.kind,
                range: start as u64..bytes.len() as u64,
                checksum: checksum(&bytes[start..]),
            });
        }
        let streams = first.0 as usize..=last.0 as usize;
        let info = BlockInfo { streams, bytes: bytes.len() as u64, ..info.clone() };
        Ok(Some(Self { bytes, info, directory, sources, texts }))
    }
}

/// The texts of a block that lie in groups.
fn texts_elsewhere(
    segment: &Segment,
    block: usize,
    directory: &Directory,
    kept_bytes_min: Option<u64>,
) -> Result<Vec<(u32, Elsewhere)>> {
    let mut found = Vec::new();
    let mut window = Window::default();
    for entry in &directory.columns {
        let Some((group, portion)) = segment.footer.portion(entry.name, block) else { continue };
        let column = segment.read_column(block, entry, &mut window)?;
        if entry.mask != 1 << kind::STR || !column.values.strs().is_shaped() {
            continue;
        }
        let known = &segment.footer.groups[group];
        if known.text_bytes > 0 && kept_bytes_min.is_some_and(|least| known.text_bytes >= least) {
            found.push((entry.name, Elsewhere::AsTheyAre(PortionBytes::read(segment, group, portion)?)));
            continue;
        }
        let (data, mut cursor) = (segment.data_once(block, entry), TextCursor::default());
        let mut texts = Texts::default();
        for at in 0..entry.count {
            texts.push(column.values.strs().get(&column.head, at, data, &mut cursor)?);
        }
        found.push((entry.name, Elsewhere::Texts(texts)));
    }
    Ok(found)
}

impl PortionBytes {
    /// Reads what a block has in a group; its checksums were compared before.
    fn read(segment: &Segment, group: usize, portion: &GroupPortion) -> Result<Self> {
        let place = Place::of("texts");
        let raw_data_start = portion.raw_head.offset.saturating_add(portion.raw_head.len);
        Ok(Self {
            group,
            packed: segment.bytes.read_checked(portion.packed, place)?,
            raw_head: segment.bytes.read_checked(portion.raw_head, place)?,
            raw_data: segment.bytes.read(raw_data_start, portion.raw_data_len, place)?,
        })
    }
}

impl<E: From<Error>> Writer<'_, E> {
    /// Adds a block of another segment behind what there is.
    pub(super) fn add_copied(&mut self, slot: usize, segment: &Segment, copied: Copied) -> Result<(), E> {
        if self.block.rows() > 0 {
            self.finish_block()?;
        }
        let Copied { bytes, mut info, mut directory, mut sources, texts } = copied;
        self.groups.begin_block(self.blocks.len() as u32);
        for column in &mut directory.columns {
            column.name = self.names.number(segment.name(column.name));
        }
        sources.dedup();
        sources.into_iter().for_each(|source| self.note_source(source as usize));
        info.offset = self.written + self.bytes.len() as u64;
        self.bytes.extend_from_slice(&bytes);
        self.note_classes(info.offset, &directory);
        self.blocks.push((info, directory));
        for (name, texts) in texts {
            let name = self.names.number(segment.name(name));
            match texts {
                Elsewhere::Texts(texts) => self.groups.add(name, &texts),
                Elsewhere::AsTheyAre(portion) => {
                    let known = Known { slot, segment, name };
                    self.groups.keep(known, &portion, self.written, &mut self.bytes).map_err(Error::from)?;
                }
            }
        }
        self.hand_over()?;
        self.write_groups(self.settings.group_bytes_max)
    }
}
