//! Copies a data folder, also while a process has it open.
//!
//! Owns: [`backup`]. Does not own: restoring (`restore`). A copy is a data folder too, which can be opened as any other.
//! Invariant: a copy holds every record that was acknowledged before it was begun, once, with the ranges of all
//! sources: the catalogue did not change between its first and its last file. Without a catalogue it is none yet.

use std::path::Path;

use sawyer_disk::Disk;
use sawyer_model::{Error, ErrorKind};

use crate::catalogue::{CATALOGUE_FILE, Catalogue, Found, load, save};
use crate::error::{Result, StoreError};
use crate::keeper::{SEGMENT_DIR, segment_path};
use crate::problems::QUARANTINE_DIR;
use crate::wal::{self, WAL_DIR};

/// How often copying starts again because the catalogue changed. Segments are copied once, so that each time takes
/// less.
const ROUNDS_MAX: usize = 50;

/// Bytes that are copied at a time.
const PIECE_BYTES: u64 = 1 << 20;

/// What a copy holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// Segments.
    pub segments: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of them and of the write-ahead log.
    pub bytes: u64,
}

/// Copies the store in `from` to `to`, which has none. When it returns the copy is durable.
///
/// # Errors
/// `NotFound` if there is no store in `from`, `Conflict` if there is something in `to`, `Retry` if the disk is full
/// or fails, or the store changes faster than it can be copied. What was copied is then left for who asked to remove.
pub fn backup(from: &dyn Disk, to: &dyn Disk) -> Result<BackupReport, Error> {
    let failed = StoreError::disk("copy the store");
    to.create_dir_all(Path::new("")).map_err(failed)?;
    let there = to.read_dir(Path::new("")).map_err(StoreError::disk("look into the folder of the copy"))?;
    if !there.is_empty() {
        return Err(Error::new(ErrorKind::Conflict, "the folder of the copy has something in it"));
    }
    for folder in [WAL_DIR, SEGMENT_DIR, QUARANTINE_DIR] {
        to.create_dir_all(Path::new(folder)).map_err(StoreError::disk("make a folder of the copy"))?;
    }
    for _ in 0..ROUNDS_MAX {
        let catalogue = catalogue_of(from)?;
        let Some(bytes) = copy_all(from, to, &catalogue)? else { continue };
        if catalogue_of(from)?.generation != catalogue.generation {
            continue;
        }
        for folder in [WAL_DIR, SEGMENT_DIR] {
            to.sync_dir(Path::new(folder)).map_err(StoreError::disk("sync the copy"))?;
        }
        save(to, &catalogue)?;
        let records = catalogue.segments.iter().map(|segment| segment.rows).sum();
        return Ok(BackupReport { segments: catalogue.segments.len() as u64, records, bytes });
    }
    Err(Error::new(ErrorKind::Retry, "the store changes faster than it can be copied"))
}

fn catalogue_of(disk: &dyn Disk) -> Result<Catalogue, Error> {
    match load(disk)? {
        Found::Whole(catalogue) | Found::Half(catalogue) => Ok(catalogue),
        Found::Nothing => Err(Error::new(
            ErrorKind::NotFound,
            format!("there is no store here: {CATALOGUE_FILE} is missing"),
        )),
    }
}

/// Copies what a catalogue names, and the log behind it; none if something is gone.
fn copy_all(from: &dyn Disk, to: &dyn Disk, catalogue: &Catalogue) -> Result<Option<u64>> {
    let list = |disk: &dyn Disk, folder: &str| {
        disk.read_dir(Path::new(folder)).map_err(StoreError::disk("list what is copied"))
    };
    let mut bytes = 0;
    for segment in &catalogue.segments {
        let path = segment_path(segment.id);
        let copied = to.metadata(&path).is_ok_and(|copy| copy.len == segment.bytes);
        if !copied && copy(from, to, &path)?.is_none() {
            return Ok(None);
        }
        bytes += segment.bytes;
    }
    for copied in list(to, SEGMENT_DIR)? {
        let path = Path::new(SEGMENT_DIR).join(&copied.name);
        if !catalogue.segments.iter().any(|segment| segment_path(segment.id) == path) {
            to.remove_file(&path).map_err(StoreError::disk("remove what was merged meanwhile"))?;
        }
    }
    for copied in list(to, WAL_DIR)? {
        let removed = to.remove_file(&Path::new(WAL_DIR).join(&copied.name));
        removed.map_err(StoreError::disk("remove what was sealed meanwhile"))?;
    }
    for number in list(from, WAL_DIR)?.iter().filter_map(|entry| wal::number_of(&entry.name)) {
        if number >= catalogue.wal_first {
            let Some(copied) = copy(from, to, &wal::path_of(number))? else { return Ok(None) };
            bytes += copied;
        }
    }
    Ok(Some(bytes))
}

/// Copies a file as long as it is now; gives its length, none if it is gone.
fn copy(from: &dyn Disk, to: &dyn Disk, path: &Path) -> Result<Option<u64>> {
    let source = match from.open_read(path) {
        Ok(source) => source,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(StoreError::disk("read what is copied")(error)),
    };
    if to.exists(path).map_err(StoreError::disk("look for a copy"))? {
        to.remove_file(path).map_err(StoreError::disk("remove half a copy"))?;
    }
    let len = source.len().map_err(StoreError::disk("measure what is copied"))?;
    let mut target = to.create(path).map_err(StoreError::disk("make a copy"))?;
    let mut buffer = Vec::new();
    for start in (0..len).step_by(PIECE_BYTES as usize) {
        buffer.resize((len - start).min(PIECE_BYTES) as usize, 0);
        source.read_exact_at(&mut buffer, start).map_err(StoreError::disk("read what is copied"))?;
        target.append(&buffer).map_err(StoreError::disk("write a copy"))?;
    }
    target.sync_data().map_err(StoreError::disk("sync a copy"))?;
    Ok(Some(len))
}
