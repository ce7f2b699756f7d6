//! Reading entries from files.
//!
//! Owns: finding the entries of a file of an earlier process, reading ahead, telling damage.
//! Does not own: which entry is next (`state`).
//! Invariant: no payload leaves the buffer without its checksum having been compared after the last time it was
//! on disk; what does not fit is skipped, counted and told, and the rest goes on.

use std::sync::Arc;

use bytes::Bytes;
use sawyer_disk::frames::{Check, Frame, scan};
use sawyer_disk::{Disk, File};
use sawyer_model::Fate;

use crate::damage::Damage;
use crate::engine::{Engine, path_of};
use crate::entry::{ENTRY_FORMAT, HEAD_BYTES, Head, Lane, Place, split};
use crate::error::{BufferError, Result};
use crate::lane::{Content, Entry, FileIndex};

/// Bytes that are read at once, if entries are smaller than that. They are in memory until they are taken.
const READ_AHEAD_BYTES: u64 = 1 << 20;

/// How often an entry or a file that cannot be read is tried. Then it is left until the next start, so that a
/// bad place on a disk does not hold up all others.
const READ_FAILURES_MAX: u8 = 3;

/// Numbers left out behind a last file that cannot be read, so that none of its entries' is used twice.
const UNKNOWN_NUMBERS: u64 = 1 << 32;

impl Engine {
    /// A handle for reading a file.
    pub(crate) fn reader(
        &self,
        disk: &Arc<dyn Disk>,
        lane: Lane,
        number: u64,
    ) -> sawyer_disk::Result<Arc<dyn File>> {
        if let Some(open) = self.state().lane(lane).files.get(&number).and_then(|file| file.open.clone()) {
            return Ok(open);
        }
        let file: Arc<dyn File> = Arc::from(disk.open_read(&path_of(lane, number))?);
        if let Some(index) = self.state().lane_mut(lane).files.get_mut(&number) {
            index.open = Some(Arc::clone(&file));
        }
        Ok(file)
    }

    /// Finds out what is in a file, if that is not known.
    pub(crate) fn scan(&self, lane: Lane, number: u64) -> Result<(), sawyer_disk::Error> {
        let _one = self.reads.lock();
        let unscanned = |file: &FileIndex| file.unscanned_bytes.is_some();
        let Some(disk) = &self.disk else { return Ok(()) };
        if !self.state().lane(lane).files.get(&number).is_some_and(unscanned) {
            return Ok(());
        }
        let file = self.reader(disk, lane, number)?;
        let scanned = scan(&*file, &ENTRY_FORMAT, number, Check::LastGroup)?;
        let mut entries = Vec::with_capacity(scanned.frames.len());
        for frame in scanned.frames {
            match read_head(&*file, &frame)? {
                Some(head) => entries.push(entry_of(head, number, frame)),
                None => {
                    self.tell_damage(lane, number, frame.start..frame.end(), None, "no entry can be read");
                }
            }
        }
        for gap in scanned.damaged {
            self.tell_damage(lane, number, gap, None, "these bytes are no entry");
        }
        self.meters.torn_bytes.inc_by(scanned.torn_bytes);
        self.state().lane_mut(lane).scanned(number, entries);
        Ok(())
    }

    /// A file could not be read. Says whether the others can go on.
    pub(crate) fn note_scan_failure(&self, lane: Lane, number: u64, error: &sawyer_disk::Error) -> bool {
        let mut state = self.state();
        let Some(file) = state.lane_mut(lane).files.get_mut(&number) else { return true };
        file.scan_failures += 1;
        let given_up = file.scan_failures >= READ_FAILURES_MAX;
        drop(state);
        if given_up {
            self.set_file_aside(lane, number, error);
        }
        given_up
    }

    /// Leaves a file as it is until the next start.
    pub(crate) fn set_file_aside(&self, lane: Lane, number: u64, error: &sawyer_disk::Error) {
        let mut state = self.state();
        let index = state.lane_mut(lane);
        index.scanned(number, Vec::new());
        let is_last = index.files.last_key_value().is_some_and(|(last, _)| *last == number);
        if is_last {
            index.next_seq += UNKNOWN_NUMBERS;
        }
        if let Some(file) = index.files.get_mut(&number) {
            file.aside = true;
        }
        drop(state);
        let reason = format!("it cannot be read and is left until the next start: {error}");
        self.tell_damage(lane, number, 0..0, None, &reason);
    }

    /// Reads an entry that was taken, and some of those behind it. None if it is damaged; then it is done.
    pub(crate) fn load(&self, lane: Lane, seq: u64) -> Result<Option<(Head, Content)>> {
        let Some(disk) = &self.disk else { return Ok(None) };
        let run = self.run_from(lane, seq);
        let Some((_, first)) = run.first().copied() else { return Ok(None) };
        let read = self.reader(disk, lane, first.file).and_then(|file| read_run(&*file, &run));
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => {
                self.note_read_failure(lane, seq, &error);
                return Err(BufferError::disk("read from the buffer")(error));
            }
        };
        let start = first.frame.payload().start;
        let mut found = None;
        for (at, place) in run {
            let payload = place.frame.payload();
            let range = (payload.start - start) as usize..(payload.end - start) as usize;
            let framed = (range.end <= bytes.len()).then(|| bytes.slice(range));
            match framed.and_then(|framed| open_frame(&place.frame, at, framed)) {
                Some(read) if at == seq => found = Some(read),
                Some((_, content)) => self.state().keep_read(lane, at, content),
                None if at == seq => self.lose_entry(lane, seq, "the checksum does not fit"),
                None => {}
            }
        }
        Ok(found)
    }

    /// Reads an entry that stays where it is.
    pub(crate) fn peek(&self, lane: Lane, seq: u64, place: Place) -> Result<Option<Content>> {
        let Some(disk) = &self.disk else { return Ok(None) };
        let read = self.reader(disk, lane, place.file).and_then(|file| read_run(&*file, &[(seq, place)]));
        let framed = read.map_err(BufferError::disk("read from the buffer"))?;
        let content = open_frame(&place.frame, seq, framed).map(|(_, content)| content);
        if content.is_none() {
            self.lose_entry(lane, seq, "the checksum does not fit");
        }
        Ok(content)
    }

    /// The places of an entry and of those waiting directly behind it, as far as they are worth one read.
    fn run_from(&self, lane: Lane, seq: u64) -> Vec<(u64, Place)> {
        let state = self.state();
        let index = state.lane(lane);
        let mut run: Vec<(u64, Place)> = Vec::new();
        for (at, entry) in index.entries.range(seq..) {
            let Some(place) = entry.place else { break };
            if let Some((_, first)) = run.first() {
                let last = run[run.len() - 1].1;
                let follows = place.file == last.file && place.frame.start == last.frame.end();
                let waits = entry.content.is_none() && entry.live.is_none() && index.waiting.contains(at);
                if !(follows && waits && place.frame.end() - first.frame.start <= READ_AHEAD_BYTES) {
                    break;
                }
            }
            run.push((*at, place));
        }
        run
    }

    fn note_read_failure(&self, lane: Lane, seq: u64, error: &sawyer_disk::Error) {
        let mut state = self.state();
        let index = state.lane_mut(lane);
        let Some(entry) = index.entries.get_mut(&seq) else { return };
        entry.read_failures += 1;
        let given_up = entry.read_failures >= READ_FAILURES_MAX;
        let (place, records) = (entry.place, entry.head.records);
        if given_up {
            index.aside += 1;
        } else {
            index.start_waiting(seq);
        }
        drop(state);
        if let Some(Place { file, frame }) = place.filter(|_| given_up) {
            let reason = format!("it cannot be read and is left until the next start: {error}");
            self.tell_damage(lane, file, frame.start..frame.end(), Some(records), &reason);
        }
    }

    /// An entry is not there any more.
    pub(crate) fn lose_entry(&self, lane: Lane, seq: u64, reason: &str) {
        let mut state = self.state();
        let lost = state.finish(lane, seq);
        if let Some(entry) = lost.as_ref().filter(|_| lane != Lane::Dead) {
            state.ends.add(Fate::Shed, "damaged", entry.head.records.into());
        }
        drop(state);
        if let Some(Entry { place: Some(Place { file, frame }), head, .. }) = lost {
            self.tell_damage(lane, file, frame.start..frame.end(), Some(head.records), reason);
        }
    }

    fn tell_damage(
        &self,
        lane: Lane,
        file: u64,
        range: std::ops::Range<u64>,
        records: Option<u32>,
        reason: &str,
    ) {
        self.meters.damaged.inc();
        let path = path_of(lane, file).display().to_string();
        let bytes = range.end - range.start;
        let damage = Damage { lane, path, offset: range.start, bytes, records, reason: reason.to_owned() };
        self.damage.add(&self.name, damage);
    }
}

fn read_head(file: &dyn File, frame: &Frame) -> sawyer_disk::Result<Option<Head>> {
    let mut head = [0; HEAD_BYTES];
    let wanted = HEAD_BYTES.min(frame.payload_len as usize);
    file.read_exact_at(&mut head[..wanted], frame.payload().start)?;
    Ok(Head::decode(&head[..wanted], frame.payload_len))
}

fn entry_of(head: Head, file: u64, frame: Frame) -> Entry {
    let place = Some(Place { file, frame });
    let bytes = frame.end() - frame.start;
    Entry { head, place, bytes, content: None, live: None, read_failures: 0, deliveries: 0 }
}

/// The bytes from the first payload of a run to its end, or as many as there are.
fn read_run(file: &dyn File, run: &[(u64, Place)]) -> sawyer_disk::Result<Bytes> {
    let (Some((_, first)), Some((_, last))) = (run.first(), run.last()) else { return Ok(Bytes::new()) };
    let start = first.frame.payload().start;
    let mut bytes = vec![0; (last.frame.end() - start) as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        let read = file.read_at(&mut bytes[filled..], start + filled as u64)?;
        if read == 0 {
            break;
        }
        filled += read;
    }
    bytes.truncate(filled);
    Ok(Bytes::from(bytes))
}

/// What is in a frame, if that is what was written.
fn open_frame(frame: &Frame, seq: u64, framed: Bytes) -> Option<(Head, Content)> {
    if !frame.fits(&framed) {
        return None;
    }
    let head = Head::decode(&framed, frame.payload_len).filter(|head| head.seq == seq)?;
    let (note, payload) = split(&head, framed);
    Some((head, Content { note, payload }))
}
