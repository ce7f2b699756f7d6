//! Looks at a data folder from outside, also while a process has it open.
//!
//! Owns: [`Inspection`]: reading everything once, and what the store is made of.
//! Does not own: opening a store for use (`open`).
//! Invariant: nothing is written, and no lock is taken. A segment that a merge replaced meanwhile is no damage: what
//! replaced it is read instead.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use sawyer_disk::{Disk, read_all};
use sawyer_model::{Error, ErrorKind, Timestamp};

use crate::catalogue::{Catalogue, Found, SegmentEntry, load};
use crate::error::{Result, StoreError};
use crate::keeper::segment_path;
use crate::problems::set_aside;
use crate::sealed::{Handles, Sealed};
use crate::wal::{self, WAL_DIR};

/// Longest file of the log that is read at once.
const WAL_FILE_BYTES_MAX: u64 = 4 << 30;

/// How often the catalogue is read again because segments were replaced.
const ROUNDS_MAX: usize = 100;

/// A data folder that is looked at. See the head of the module.
#[derive(Debug)]
pub struct Inspection {
    disk: Arc<dyn Disk>,
    handles: Arc<Handles>,
}

/// What was found when everything was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Segments that are whole.
    pub segments: u64,
    /// Records in them.
    pub records: u64,
    /// Batches in the write-ahead log that are not sealed.
    pub log_batches: u64,
    /// Bytes at the end of the log that a write left which was not finished; they are no damage.
    pub torn_bytes: u64,
    /// Files in the quarantine, and how many bytes each has: damaged ones, and what was cut off the log.
    pub set_aside: Vec<(String, u64)>,
    /// Files that are damaged or missing, and how.
    pub problems: Vec<(String, String)>,
}

/// What a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub id: u64,
    /// Bytes of its file.
    pub bytes: u64,
    /// Bytes of the values of its records, before encoding.
    pub raw_bytes: u64,
    /// How many records.
    pub records: u64,
    /// Earliest and latest timestamp.
    pub times: (Timestamp, Timestamp),
}

impl Inspection {
    /// Looks at the folder that `disk` is.
    ///
    /// # Errors
    /// `NotFound` if there is no store, else what reading its catalogue gives.
    pub fn open(disk: Arc<dyn Disk>) -> Result<Self, Error> {
        let inspection = Self { disk, handles: Arc::default() };
        inspection.catalogue()?;
        Ok(inspection)
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    fn catalogue(&self) -> Result<Catalogue, Error> {
        match load(&*self.disk)? {
            Found::Whole(catalogue) | Found::Half(catalogue) => Ok(catalogue),
            Found::Nothing => Err(Error::new(ErrorKind::NotFound, "there is no store in this folder")),
        }
    }

    /// Its segments, oldest number first.
    ///
    /// # Errors
    /// What reading the catalogue gives.
    pub fn segments(&self) -> Result<Vec<SegmentInfo>, Error> {
        let info = |entry: &SegmentEntry| SegmentInfo {
            id: entry.id,
            bytes: entry.bytes,
            raw_bytes: entry.raw_bytes,
            records: entry.rows,
            times: (entry.time_min, entry.time_max),
        };
        let mut segments: Vec<SegmentInfo> = self.catalogue()?.segments.iter().map(info).collect();
        segments.sort_by_key(|segment| segment.id);
        Ok(segments)
    }

    /// How many bytes the columns of each name and the other parts of segments take, largest first.
    ///
    /// # Errors
    /// `Corrupt` if a segment is damaged; see [`Inspection::verify`].
    pub fn column_bytes(&self) -> Result<Vec<(String, u64)>, Error> {
        let mut sizes: BTreeMap<String, u64> = BTreeMap::new();
        self.each_segment(|entry| {
            for (name, bytes) in self.open_segment(entry)?.segment.column_bytes()? {
                *sizes.entry(name).or_default() += bytes;
            }
            Ok(())
        })?;
        let mut sizes: Vec<(String, u64)> = sizes.into_iter().collect();
        sizes.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        Ok(sizes)
    }

    /// Reads everything and compares it with its checksums and with the catalogue.
    ///
    /// # Errors
    /// What reading the catalogue gives. What is wrong with other files stands in the findings.
    pub fn verify(&self) -> Result<Findings, Error> {
        let mut findings = Findings::default();
        if let Found::Half(_) = load(&*self.disk)? {
            let message = "one of its two copies is damaged; the other one is whole".to_owned();
            findings.problems.push((crate::catalogue::CATALOGUE_FILE.to_owned(), message));
        }
        let (mut segments, mut records) = (0, 0);
        let mut problems = Vec::new();
        self.each_segment(|entry| {
            let whole = self.open_segment(entry).and_then(|segment| segment.segment.verify());
            match whole {
                Ok(()) => (segments, records) = (segments + 1, records + entry.rows),
                Err(error) if error.kind() == ErrorKind::NotFound => return Err(error),
                Err(error) => {
                    problems.push((segment_path(entry.id).display().to_string(), error.chain()));
                }
            }
            Ok(())
        })
        .or_else(|error| {
            // Still missing although the catalogue names it.
            if error.kind() != ErrorKind::NotFound {
                return Err(error);
            }
            problems.push(("segments".to_owned(), error.chain()));
            Ok(())
        })?;
        findings.problems.append(&mut problems);
        (findings.segments, findings.records) = (segments, records);
        self.verify_log(&mut findings)?;
        let aside = set_aside(&*self.disk).map_err(StoreError::disk("look into the quarantine"))?;
        findings.set_aside = aside.into_iter().map(|(path, len)| (path.display().to_string(), len)).collect();
        Ok(findings)
    }

    /// Calls for each segment of the catalogue once. Where one is missing the catalogue is read again: a merge may
    /// have replaced it.
    pub(crate) fn each_segment(
        &self,
        mut call: impl FnMut(&SegmentEntry) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut seen = BTreeSet::new();
        for round in 0.. {
            let catalogue = self.catalogue()?;
            let mut replaced = None;
            for entry in &catalogue.segments {
                if seen.contains(&entry.id) {
                    continue;
                }
                match call(entry) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        replaced.get_or_insert((entry.id, error));
                        continue;
                    }
                    Err(error) => return Err(error),
                }
                seen.insert(entry.id);
            }
            let Some((id, error)) = replaced else { return Ok(()) };
            if round == ROUNDS_MAX || self.catalogue()?.find(id).is_some() {
                return Err(error);
            }
        }
        Ok(())
    }

    pub(crate) fn open_segment(&self, entry: &SegmentEntry) -> Result<Sealed, Error> {
        Sealed::open(&self.disk, &self.handles, *entry)
    }

    fn verify_log(&self, findings: &mut Findings) -> Result<(), Error> {
        let entries = self.disk.read_dir(Path::new(WAL_DIR));
        let entries = entries.map_err(StoreError::disk("list the write-ahead log"))?;
        let first = self.catalogue()?.wal_first;
        for number in entries.iter().filter_map(|entry| wal::number_of(&entry.name)) {
            let path = wal::path_of(number);
            if number < first {
                continue;
            }
            let bytes = match read_all(&*self.disk, &path, WAL_FILE_BYTES_MAX) {
                Ok(bytes) => bytes,
                // It was sealed meanwhile.
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(StoreError::disk("read the write-ahead log")(error).into()),
            };
            let frames = wal::read_frames(&bytes, number);
            let mut tell = |message: String| findings.problems.push((path.display().to_string(), message));
            if let Some(version) = frames.unknown_version {
                tell(format!("it is of a newer version: version={version}"));
                continue;
            }
            if frames.damaged_bytes > 0 {
                tell(format!("damaged_bytes={}", frames.damaged_bytes));
            }
            for payload in &frames.payloads {
                match sawyer_segment::decode_batch(&bytes[payload.clone()]) {
                    Ok(_) => findings.log_batches += 1,
                    Err(error) => tell(error.chain()),
                }
            }
            findings.torn_bytes += frames.torn_bytes as u64;
        }
        Ok(())
    }
}
