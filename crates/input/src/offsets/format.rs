//! The bytes of the offsets file. The table is in docs/FORMATS.md, section "Offsets".
//!
//! Invariant: what decodes was written by [`encode`], whole; any other bytes give an error, not a panic.

use std::collections::HashMap;

use sawyer_model::{SeqRange, SourceId, Timestamp};
use sawyer_telemetry::{Books, SourceFates};

use super::{Head, Progress, Unread};

const MAGIC: &[u8; 7] = b"SAWYOFF";
const VERSION: u8 = 4;

/// The third version: without what became of the records of single sources.
const VERSION_3: u8 = 3;

/// The second version: without files that were not read, too.
const VERSION_2: u8 = 2;

/// The first version: without books, too.
const VERSION_1: u8 = 1;

/// Bytes before the checksum.
const HEAD_BYTES: usize = 8;
const SUPERSEDED: u16 = 1;
const GZIP: u16 = 1;
const LINKED: u16 = 2;

/// What an offsets file holds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Contents {
    pub(super) sources: HashMap<SourceId, Progress>,
    pub(super) books: Books,
    pub(super) fates: SourceFates,
    pub(super) unread: Vec<Unread>,
}

/// Most ranges that are kept of one source. What lies above the last is read again after a restart.
pub(super) const RANGES_MAX: usize = u16::MAX as usize;

/// Longest name of a group that is kept, in bytes; it has to fit its length.
const GROUP_BYTES_MAX: usize = u16::MAX as usize;

/// The file is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FormatError {
    /// Something else.
    #[error("it does not start as an offsets file does")]
    Magic,
    /// Of another time.
    #[error("version {0} is not known here; {VERSION_1} to {VERSION} are")]
    Version(u8),
    /// Flipped or missing bytes.
    #[error("the checksum does not fit")]
    Checksum,
    /// The checksum fits, and the rest does not.
    #[error("an entry does not fit its bounds")]
    Entry,
}

pub(super) fn encode(
    sources: &HashMap<SourceId, Progress>,
    books: &Books,
    fates: &SourceFates,
    unread: &[Unread],
) -> Vec<u8> {
    let mut sorted: Vec<_> = sources.iter().collect();
    sorted.sort_by_key(|(source, _)| **source);
    let mut out = Vec::with_capacity(32 + sorted.len() * 160);
    out.extend(MAGIC);
    out.push(VERSION);
    out.extend([0; 4]);
    out.extend((sorted.len() as u32).to_le_bytes());
    for (source, progress) in sorted {
        encode_entry(*source, progress, &mut out);
    }
    books.encode(&mut out);
    out.extend((unread.len() as u32).to_le_bytes());
    unread.iter().for_each(|unread| encode_unread(unread, &mut out));
    fates.encode(&mut out);
    with_checksum(out)
}

/// The bytes of a file with the checksum that they should have.
pub(super) fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some((head, body)) = bytes.split_at_mut_checked(HEAD_BYTES + 4) {
        head[HEAD_BYTES..].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
    }
    bytes
}

fn encode_entry(source: SourceId, progress: &Progress, out: &mut Vec<u8>) {
    out.extend(source.0.to_le_bytes());
    out.extend(progress.inode.0.to_le_bytes());
    out.extend(progress.inode.1.to_le_bytes());
    out.extend(progress.head.hash.to_le_bytes());
    out.extend(progress.seen.nanos().to_le_bytes());
    out.extend(progress.head.len.to_le_bytes());
    out.extend((if progress.superseded { SUPERSEDED } else { 0 }).to_le_bytes());
    let group = bounded(&progress.group);
    out.extend((group.len() as u16).to_le_bytes());
    let ranges: Vec<_> = progress.durable().take(RANGES_MAX).collect();
    out.extend((ranges.len() as u16).to_le_bytes());
    out.extend(group);
    for range in ranges {
        out.extend(range.start.to_le_bytes());
        out.extend(range.end.to_le_bytes());
    }
}

fn bounded(text: &str) -> &[u8] {
    &text.as_bytes()[..text.len().min(GROUP_BYTES_MAX)]
}

fn encode_unread(unread: &Unread, out: &mut Vec<u8>) {
    for number in [unread.inode.0, unread.inode.1, unread.head.hash, unread.length, unread.unread] {
        out.extend(number.to_le_bytes());
    }
    let (group, path) = (bounded(&unread.group), bounded(&unread.path));
    let gzip = if unread.gzip { GZIP } else { 0 };
    let linked = if unread.linked { LINKED } else { 0 };
    for number in [unread.head.len, gzip | linked, group.len() as u16, path.len() as u16] {
        out.extend(number.to_le_bytes());
    }
    out.extend(group);
    out.extend(path);
}

fn decode_unread(reader: &mut Reader<'_>) -> Result<Unread, FormatError> {
    let inode = (reader.u64()?, reader.u64()?);
    let (hash, length, unread) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let head = Head { len: reader.u16()?, hash };
    let flags = reader.u16()?;
    let (gzip, linked) = (flags & GZIP != 0, flags & LINKED != 0);
    let (group_len, path_len) = (reader.u16()?, reader.u16()?);
    let mut text = |len: u16| Ok(String::from_utf8_lossy(reader.bytes(len as usize)?).into());
    let (group, path) = (text(group_len)?, text(path_len)?);
    Ok(Unread { group, path, inode, head, length, unread, gzip, linked })
}

pub(super) fn decode(bytes: &[u8]) -> Result<Contents, FormatError> {
    let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(FormatError::Magic)?;
    let [magic @ .., version] = head;
    if magic != MAGIC {
        return Err(FormatError::Magic);
    }
    if !(VERSION_1..=VERSION).contains(version) {
        return Err(FormatError::Version(*version));
    }
    let (checksum, body) = rest.split_first_chunk::<4>().ok_or(FormatError::Checksum)?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*checksum) {
        return Err(FormatError::Checksum);
    }
    let mut reader = Reader(body);
    let count = reader.u32()?;
    let mut sources = HashMap::new();
    for _ in 0..count {
        let (source, progress) = decode_entry(&mut reader)?;
        sources.insert(source, progress);
    }
    let books = match *version {
        VERSION_1 => Books::default(),
        _ => Books::decode(&mut reader.0).map_err(|_| FormatError::Entry)?,
    };
    let unread_count = if *version > VERSION_2 { reader.u32()? } else { 0 };
    let unread = (0..unread_count).map(|_| decode_unread(&mut reader)).collect::<Result<_, _>>()?;
    let fates = match *version > VERSION_3 {
        true => SourceFates::decode(&mut reader.0).map_err(|_| FormatError::Entry)?,
        false => SourceFates::default(),
    };
    let all = Contents { sources, books, fates, unread };
    if reader.0.is_empty() { Ok(all) } else { Err(FormatError::Entry) }
}

fn decode_entry(reader: &mut Reader<'_>) -> Result<(SourceId, Progress), FormatError> {
    let source = SourceId(u128::from_le_bytes(reader.array()?));
    let inode = (reader.u64()?, reader.u64()?);
    let hash = reader.u64()?;
    let seen = Timestamp::from_nanos(i64::from_le_bytes(reader.array()?));
    let len = reader.u16()?;
    let superseded = reader.u16()? & SUPERSEDED != 0;
    let group_len = reader.u16()?;
    let range_count = reader.u16()?;
    let group = String::from_utf8_lossy(reader.bytes(group_len as usize)?).into();
    let mut progress =
        Progress { inode, head: Head { len, hash }, seen, superseded, group, ..Progress::default() };
    for _ in 0..range_count {
        let (start, end) = (reader.u64()?, reader.u64()?);
        if start >= end {
            return Err(FormatError::Entry);
        }
        progress.acked.insert(SeqRange::new(start, end));
    }
    Ok((source, progress))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], FormatError> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(FormatError::Entry)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let (bytes, rest) = self.0.split_first_chunk::<N>().ok_or(FormatError::Entry)?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn u16(&mut self) -> Result<u16, FormatError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, FormatError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, FormatError> {
        self.array().map(u64::from_le_bytes)
    }
}
