//! The record on disk of what is done, so that it is not delivered again after a restart.
//!
//! Owns: the files in `acks/`: each begins with everything that is done, and goes on with what came later.
//! Does not own: what is done (`lane`).
//! Invariant: what it says is done is done. What it forgets, with the power or on a full disk, is delivered again.

use std::path::{Path, PathBuf};

use sawyer_disk::frames::{Check, FrameFormat, FrameWriter, HEADER_BYTES, scan};
use sawyer_disk::{Disk, read_all};
use sawyer_model::{RangeSet, SeqRange};

use crate::ends::Ends;
use crate::entry::Lane;
use crate::error::{BufferError, Result};

/// The folder of these files.
pub(crate) const ACKS_DIR: &str = "acks";

const FORMAT: FrameFormat = FrameFormat { magic: *b"SAWYRACK", version: 1, marked_since: None };
const SUFFIX: &str = ".ack";

/// A new file is begun behind this many bytes, so that reading all of it stays quick.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// A file longer than this was not written here.
const READ_BYTES_MAX: u64 = 64 << 20;

/// First byte of a frame that tells all that is done; it is the first of its file.
const WHOLE: u8 = 1;
/// First byte of a frame that tells what else is done.
const MORE: u8 = 0;

/// Bytes of one range: lane, first number, number behind the last.
const RANGE_BYTES: usize = 17;

/// What is done in each lane, in the order of [`Lane`].
pub(crate) type DoneSets = [RangeSet; 3];

/// What the record says: what is done, and how it ended.
pub(crate) type Done = (DoneSets, Ends);

/// The record that is being written.
#[derive(Debug, Default)]
pub(crate) struct AckLog {
    active: Option<FrameWriter>,
    next_number: u64,
    /// Older files, to be removed once there is a newer one.
    older: Vec<u64>,
    dirty: bool,
}

impl AckLog {
    /// Reads what is done, from the newest file that begins as it should.
    pub(crate) fn open(disk: &dyn Disk) -> Result<(Self, Done)> {
        let listed =
            disk.read_dir(Path::new(ACKS_DIR)).map_err(BufferError::disk("list acknowledgements"))?;
        let mut numbers: Vec<u64> =
            listed.iter().filter_map(|entry| number_of(&entry.name, SUFFIX)).collect();
        numbers.sort_unstable();
        let mut done = Done::default();
        for number in numbers.iter().rev() {
            if let Some(read) = read_file(disk, *number)? {
                done = read;
                break;
            }
        }
        let next_number = numbers.last().map_or(0, |last| last + 1);
        Ok((Self { next_number, older: numbers, ..Self::default() }, done))
    }

    /// Writes down what is done: `more` of it, or in a new file `whole`.
    ///
    /// After an error nothing is lost but time: the next call writes everything.
    pub(crate) fn write(
        &mut self,
        disk: &dyn Disk,
        whole: impl FnOnce() -> DoneSets,
        more: &DoneSets,
        ends: &Ends,
        durable: bool,
    ) -> sawyer_disk::Result<()> {
        if let Some(file) = self.active.as_mut().filter(|file| file.len() < FILE_BYTES_MAX) {
            let written = file.append(&[[encode(MORE, more, ends)]]);
            self.dirty = true;
            return written.map(drop).inspect_err(|_| self.active = None);
        }
        self.begin(disk, &whole(), ends, durable)
    }

    fn begin(
        &mut self,
        disk: &dyn Disk,
        whole: &DoneSets,
        ends: &Ends,
        durable: bool,
    ) -> sawyer_disk::Result<()> {
        let number = self.next_number;
        let path = path_of(number);
        let mut file = FrameWriter::create(disk, &FORMAT, &path, number, durable)?;
        let mut written = file.append(&[[encode(WHOLE, whole, ends)]]).map(drop);
        if durable {
            written = written.and_then(|()| file.sync());
        }
        if let Err(error) = written {
            // On a full disk the leftover would hold space; the first error says more than a second would.
            let _ = disk.remove_file(&path);
            return Err(error);
        }
        self.next_number += 1;
        self.older.push(number);
        self.active = Some(file);
        self.dirty = !durable;
        while self.older.len() > 1 {
            match disk.remove_file(&path_of(self.older[0])) {
                Err(error) if !error.is_not_found() => break,
                _ => self.older.remove(0),
            };
        }
        Ok(())
    }

    /// Makes durable what was written.
    pub(crate) fn sync(&mut self) -> sawyer_disk::Result<()> {
        if let Some(file) = self.active.as_ref().filter(|_| self.dirty) {
            file.sync().inspect_err(|_| self.active = None)?;
        }
        self.dirty = false;
        Ok(())
    }

    /// Whether there is something that a loss of power would take.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }
}

fn path_of(number: u64) -> PathBuf {
    Path::new(ACKS_DIR).join(format!("{number:020}{SUFFIX}"))
}

/// The number of a file by its name.
pub(crate) fn number_of(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// What a file tells; none if its beginning is not whole.
fn read_file(disk: &dyn Disk, number: u64) -> Result<Option<Done>> {
    let path = path_of(number);
    let failed = BufferError::disk("read acknowledgements");
    let file = disk.open_read(&path).map_err(&failed)?;
    if file.len().map_err(&failed)? > READ_BYTES_MAX {
        return Ok(None);
    }
    let scanned = scan(&*file, &FORMAT, number, Check::All).map_err(&failed)?;
    if let Some(version) = scanned.unknown_version {
        return Err(BufferError::Newer { path, version, expected: FORMAT.version });
    }
    if scanned.frames.first().is_none_or(|first| first.start != HEADER_BYTES as u64) {
        return Ok(None);
    }
    let bytes = read_all(disk, &path, READ_BYTES_MAX).map_err(&failed)?;
    let mut done = Done::default();
    for (at, frame) in scanned.frames.iter().enumerate() {
        let range = frame.payload();
        let payload = &bytes[range.start as usize..range.end as usize];
        let expected = if at == 0 { WHOLE } else { MORE };
        if payload.first() != Some(&expected) {
            return Ok(None);
        }
        decode(&payload[1..], &mut done);
    }
    Ok(Some(done))
}

fn encode(kind: u8, sets: &DoneSets, ends: &Ends) -> Vec<u8> {
    let mut bytes = vec![kind];
    for lane in Lane::ALL {
        for range in sets[lane as usize].iter() {
            bytes.push(lane.code());
            bytes.extend(range.start.to_le_bytes());
            bytes.extend(range.end.to_le_bytes());
        }
    }
    ends.encode(&mut bytes);
    bytes
}

fn decode(bytes: &[u8], (sets, ends): &mut Done) {
    for range in bytes.chunks_exact(RANGE_BYTES) {
        let number = |at: usize| u64::from_le_bytes(range[at..at + 8].try_into().expect("eight bytes"));
        let Some(lane) = Lane::from_code(range[0]) else {
            ends.decode(range[0], number(1), number(9));
            continue;
        };
        sets[lane as usize].insert(SeqRange::new(number(1), number(9)));
    }
}
