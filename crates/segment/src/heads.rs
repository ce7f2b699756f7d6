//! What is known of the rows of a block before their fields: stream, times, source and range.
//!
//! Owns: these parts of a block, gathered ([`HeadsBuilder`]) and read.
//! Invariant: each part can be read without the others, but for times of arrival, which are kept as differences
//! from the timestamps.

use sawyer_model::{SeqRange, Timestamp};

use crate::bits::Rows;
use crate::bytes::{Put, Reader};
use crate::error::{Damage, Decoded};
use crate::ints;
use crate::ints::{Ints, Packing};
use crate::layout::part;

/// Sources, each with the rows in a row that are of it.
const SOURCES_RUNS: u8 = 0;
/// A source for each row.
const SOURCES_EACH: u8 = 1;

/// With more runs than one in so many rows, there is a source for each row.
const ROWS_PER_RUN_MIN: usize = 3;

/// Ranges follow each other but for a few rows.
const RANGES_JUMPS: u8 = 0;
/// Each range has a start of its own.
const RANGES_STARTS: u8 = 1;

/// Each range begins so far behind the end of the one before.
const RANGES_GAPS: u8 = 2;

/// With more jumps than one in so many rows, starts are packed as integers.
const ROWS_PER_JUMP_MIN: usize = 3;

/// The heads of the rows of a block that is being made.
#[derive(Debug, Default)]
pub(crate) struct HeadsBuilder {
    /// Stream, and how many rows in a row are of it.
    runs: Vec<(u32, u32)>,
    timestamps: Vec<i64>,
    arrivals: Vec<i64>,
    sources: Vec<i64>,
    ranges: Vec<SeqRange>,
}

/// Which streams the rows of a block are of.
#[derive(Debug)]
pub(crate) struct StreamRuns {
    /// Stream, and the row behind its last one.
    runs: Vec<(u32, u32)>,
}

impl HeadsBuilder {
    /// Adds a row of a record; streams come in order.
    pub(crate) fn push(&mut self, head: sawyer_model::RecordHead, stream: u32, source: u32) {
        match self.runs.last_mut() {
            Some((last, rows)) if *last == stream => *rows += 1,
            _ => self.runs.push((stream, 1)),
        }
        let timestamp = head.timestamp.nanos();
        self.timestamps.push(timestamp);
        self.arrivals.push(head.observed.nanos());
        self.sources.push(i64::from(source));
        self.ranges.push(head.range);
    }

    pub(crate) fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// The first and last stream.
    pub(crate) fn streams(&self) -> std::ops::RangeInclusive<usize> {
        let stream = |run: Option<&(u32, u32)>| run.map_or(0, |(stream, _)| *stream as usize);
        stream(self.runs.first())..=stream(self.runs.last())
    }

    pub(crate) fn clear(&mut self) {
        self.runs.clear();
        self.timestamps.clear();
        self.arrivals.clear();
        self.sources.clear();
        self.ranges.clear();
    }

    pub(crate) fn put_streams(&self, out: &mut Vec<u8>) {
        put_stream_runs(out, &self.runs);
    }

    pub(crate) fn put_timestamps(&self, packing: Packing, out: &mut Vec<u8>) {
        ints::encode_as(packing, out, &self.timestamps);
    }

    /// Writes the times of arrival: as they are where that is shorter (what came in one request came at one time), else
    /// as differences from the timestamps. Says which part they are.
    pub(crate) fn put_observed(&self, packing: Packing, out: &mut Vec<u8>) -> u8 {
        if packing == Packing::Planes {
            // What came together compresses to next to nothing; delays differ as much as timestamps.
            ints::encode_as(packing, out, &self.arrivals);
            return part::ARRIVALS;
        }
        let start = out.len();
        ints::encode(out, &self.arrivals);
        let plain_len = out.len() - start;
        let pairs = self.arrivals.iter().zip(&self.timestamps);
        let delays: Vec<i64> = pairs.map(|(arrival, timestamp)| arrival.wrapping_sub(*timestamp)).collect();
        ints::encode(out, &delays);
        if plain_len < out.len() - start - plain_len {
            out.truncate(start + plain_len);
            return part::ARRIVALS;
        }
        out.drain(start..start + plain_len);
        part::OBSERVED
    }

    pub(crate) fn put_sources(&self, packing: Packing, out: &mut Vec<u8>) {
        put_source_numbers(packing, out, &self.sources);
    }

    pub(crate) fn put_ranges(&self, packing: Packing, out: &mut Vec<u8>) {
        let lens: Vec<i64> = self.ranges.iter().map(|r| r.end.wrapping_sub(r.start) as i64).collect();
        if packing == Packing::Planes {
            let mut end = 0;
            let gaps = self.ranges.iter().map(|range| {
                let gap = range.start.wrapping_sub(end) as i64;
                end = range.end;
                gap
            });
            out.put_u8(RANGES_GAPS);
            ints::encode_as(packing, out, &lens);
            return ints::encode_as(packing, out, &gaps.collect::<Vec<i64>>());
        }
        let mut next = None;
        let mut jumps = Vec::new();
        for (row, range) in self.ranges.iter().enumerate() {
            if next != Some(range.start) {
                jumps.push((row as u64, range.start));
            }
            next = Some(range.end);
        }
        if jumps.len() * ROWS_PER_JUMP_MIN > self.ranges.len() + ROWS_PER_JUMP_MIN {
            out.put_u8(RANGES_STARTS);
            ints::encode(out, &lens);
            let starts: Vec<i64> = self.ranges.iter().map(|range| range.start as i64).collect();
            ints::encode(out, &starts);
            return;
        }
        out.put_u8(RANGES_JUMPS);
        ints::encode(out, &lens);
        out.put_varint(jumps.len() as u64);
        let mut last = 0;
        for (row, start) in jumps {
            out.put_varint(row - last);
            out.put_varint(start);
            last = row;
        }
    }
}

/// Writes streams, ascending, each with how many rows are of it.
pub(crate) fn put_stream_runs(out: &mut Vec<u8>, runs: &[(u32, u32)]) {
    out.put_varint(runs.len() as u64);
    let mut last = 0;
    for (stream, rows) in runs {
        out.put_varint(u64::from(stream - last));
        out.put_varint(u64::from(*rows));
        last = *stream;
    }
}

/// Writes the numbers of the sources of all rows.
pub(crate) fn put_source_numbers(packing: Packing, out: &mut Vec<u8>, sources: &[i64]) {
    let runs = sources.chunk_by(|a, b| a == b);
    if runs.clone().count() * ROWS_PER_RUN_MIN > sources.len() + ROWS_PER_RUN_MIN {
        out.put_u8(SOURCES_EACH);
        return ints::encode_as(packing, out, sources);
    }
    out.put_u8(SOURCES_RUNS);
    out.put_varint(runs.clone().count() as u64);
    for run in runs {
        out.put_varint(run[0] as u64);
        out.put_varint(run.len() as u64);
    }
}

impl StreamRuns {
    /// Of a block all of whose rows are of one stream.
    pub(crate) fn one(stream: usize, rows: usize) -> Self {
        Self { runs: vec![(stream as u32, rows as u32)] }
    }

    pub(crate) fn parse(bytes: &[u8], rows: usize, stream_count: usize) -> Decoded<Self> {
        let mut reader = Reader::new(bytes);
        let mut runs = Vec::new();
        let (mut stream, mut end) = (0, 0);
        for _ in 0..reader.count()? {
            stream += reader.at_most(stream_count, "a stream of the segment")?;
            end += reader.at_most(rows - end, "no more rows than the block has")?;
            if stream >= stream_count {
                return Err(Damage::expected("a stream of the segment"));
            }
            runs.push((stream as u32, end as u32));
        }
        if end != rows {
            return Err(Damage::expected("a stream for each row"));
        }
        reader.end()?;
        Ok(Self { runs })
    }

    /// The stream of a row.
    pub(crate) fn stream_of(&self, row: usize) -> usize {
        let at = self.runs.partition_point(|(_, end)| *end as usize <= row);
        self.runs[at].0 as usize
    }

    /// Each stream with its rows, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> + '_ {
        let starts = std::iter::once(0).chain(self.runs.iter().map(|(_, end)| *end as usize));
        self.runs.iter().zip(starts).map(|((stream, end), start)| (*stream as usize, start..*end as usize))
    }
}

/// Reads the timestamps of some rows.
pub(crate) fn pick_timestamps(bytes: &[u8], wanted: &Rows) -> Decoded<Vec<Timestamp>> {
    let mut reader = Reader::new(bytes);
    let ints = Ints::parse(&mut reader, wanted.len())?;
    reader.end()?;
    Ok(ints.pick(bytes, wanted).into_iter().map(Timestamp::from_nanos).collect())
}

/// Reads the numbers of the sources of some rows.
pub(crate) fn pick_sources(bytes: &[u8], wanted: &Rows, source_count: usize) -> Decoded<Vec<u32>> {
    let mut reader = Reader::new(bytes);
    if reader.u8()? != SOURCES_RUNS {
        let all = parse_sources(bytes, wanted.len(), source_count)?;
        return Ok(wanted.iter().map(|row| all[row]).collect());
    }
    let (mut sources, mut end) = (Vec::with_capacity(wanted.count()), 0);
    for _ in 0..reader.count()? {
        let source = reader.at_most(source_count, "a source of the segment")?;
        if source >= source_count {
            return Err(Damage::expected("a source of the segment"));
        }
        let start = end;
        end += reader.at_most(wanted.len() - end, "no more rows than the block has")?;
        sources.extend(std::iter::repeat_n(source as u32, wanted.count_within(start..end)));
    }
    reader.end()?;
    if end == wanted.len() { Ok(sources) } else { Err(Damage::expected("a source for each row")) }
}

/// Reads the ranges of some rows.
pub(crate) fn pick_ranges(bytes: &[u8], wanted: &Rows) -> Decoded<Vec<SeqRange>> {
    let mut reader = Reader::new(bytes);
    let mode = reader.u8()?;
    let lens = Ints::parse(&mut reader, wanted.len())?;
    let Some(len) = lens.constant().filter(|_| mode == RANGES_JUMPS) else {
        let all = parse_ranges(bytes, wanted.len())?;
        return Ok(wanted.iter().map(|row| all[row]).collect());
    };
    let range = |start: u64| SeqRange { start, end: start.wrapping_add(len as u64) };
    let mut ranges = Vec::with_capacity(wanted.count());
    let mut put = |rows: std::ops::Range<usize>, next: u64| {
        let start = |row: usize| next.wrapping_add(((row - rows.start) as u64).wrapping_mul(len as u64));
        ranges.extend(wanted.iter_within(rows.clone()).map(|row| range(start(row))));
    };
    let (mut from, mut next) = (0, 0);
    for _ in 0..reader.count()? {
        let jump = from + reader.at_most(wanted.len() - from, "a row of the block")?;
        put(from..jump, next);
        (from, next) = (jump, reader.varint()?);
    }
    put(from..wanted.len(), next);
    reader.end()?;
    Ok(ranges)
}

/// Reads the timestamps of `rows` rows.
pub(crate) fn parse_timestamps(bytes: &[u8], rows: usize) -> Decoded<Vec<Timestamp>> {
    Ok(parse_ints(bytes, rows)?.into_iter().map(Timestamp::from_nanos).collect())
}

/// For each of these ascending times how many of the rows come before it, if the rows ascend in time.
pub(crate) fn rows_below(bytes: &[u8], rows: usize, times: &[i64]) -> Decoded<Vec<usize>> {
    let mut reader = Reader::new(bytes);
    let ints = Ints::parse(&mut reader, rows)?;
    reader.end()?;
    Ok(ints.below(bytes, times))
}

/// Reads the times of arrival of rows with these timestamps.
pub(crate) fn parse_observed(bytes: &[u8], timestamps: &[Timestamp]) -> Decoded<Vec<Timestamp>> {
    let delays = parse_ints(bytes, timestamps.len())?;
    let observed = |(time, delay): (&Timestamp, i64)| Timestamp::from_nanos(time.nanos().wrapping_add(delay));
    Ok(timestamps.iter().zip(delays).map(observed).collect())
}

/// Reads the times of arrival of `rows` rows that stand by themselves.
pub(crate) fn parse_arrivals(bytes: &[u8], rows: usize) -> Decoded<Vec<Timestamp>> {
    parse_timestamps(bytes, rows)
}

/// Reads the numbers of the sources of `rows` rows.
pub(crate) fn parse_sources(bytes: &[u8], rows: usize, source_count: usize) -> Decoded<Vec<u32>> {
    let mut reader = Reader::new(bytes);
    let sources = match reader.u8()? {
        SOURCES_RUNS => {
            let mut sources = Vec::with_capacity(rows);
            for _ in 0..reader.count()? {
                let source = reader.at_most(u32::MAX as usize, "a source of the segment")? as i64;
                let more = reader.at_most(rows - sources.len(), "no more rows than the block has")?;
                sources.extend(std::iter::repeat_n(source, more));
            }
            sources
        }
        SOURCES_EACH => Ints::parse_and_decode(&mut reader, rows)?,
        other => return Err(Damage::unknown("form of sources", other)),
    };
    reader.end()?;
    if sources.len() != rows {
        return Err(Damage::expected("a source for each row"));
    }
    let known = |number: &i64| usize::try_from(*number).is_ok_and(|number| number < source_count);
    if !sources.iter().all(known) {
        return Err(Damage::expected("a source of the segment"));
    }
    Ok(sources.into_iter().map(|number| number as u32).collect())
}

/// Reads the ranges of `rows` rows.
pub(crate) fn parse_ranges(bytes: &[u8], rows: usize) -> Decoded<Vec<SeqRange>> {
    let mut reader = Reader::new(bytes);
    let mode = reader.u8()?;
    let lens = Ints::parse_and_decode(&mut reader, rows)?;
    let range = |start: u64, len: i64| SeqRange { start, end: start.wrapping_add(len as u64) };
    let mut ranges = Vec::with_capacity(rows);
    match mode {
        RANGES_STARTS => {
            let starts = Ints::parse_and_decode(&mut reader, rows)?;
            ranges.extend(starts.into_iter().zip(lens).map(|(start, len)| range(start as u64, len)));
        }
        RANGES_GAPS => {
            let mut end = 0u64;
            for (gap, len) in Ints::parse_and_decode(&mut reader, rows)?.into_iter().zip(lens) {
                let next = range(end.wrapping_add(gap as u64), len);
                end = next.end;
                ranges.push(next);
            }
        }
        RANGES_JUMPS => {
            let mut next = 0;
            let mut jump = 0;
            for _ in 0..reader.count()? {
                jump += reader.at_most(rows - jump, "a row of the block")?;
                for len in &lens[ranges.len()..jump.max(ranges.len())] {
                    ranges.push(range(next, *len));
                    next = next.wrapping_add(*len as u64);
                }
                next = reader.varint()?;
            }
            for len in &lens[ranges.len()..] {
                ranges.push(range(next, *len));
                next = next.wrapping_add(*len as u64);
            }
        }
        other => return Err(Damage::unknown("form of ranges", other)),
    }
    reader.end()?;
    Ok(ranges)
}

fn parse_ints(bytes: &[u8], count: usize) -> Decoded<Vec<i64>> {
    let mut reader = Reader::new(bytes);
    let values = Ints::parse_and_decode(&mut reader, count)?;
    reader.end()?;
    Ok(values)
}
