//! Takes records of a copy into a store that is open.
//!
//! Owns: which records of a copy are brought, and adopting them: a segment, or what a file of the copy's log holds of a
//! day, is written here without what is not wanted, and then named by the catalogue.
//! Does not own: making copies (`backup`), writing segments (`seal`, `compact`).
//! Invariant: a record that the store holds is not brought again, and one that was brought is not taken again from its
//! source: its range is committed in the same step of the catalogue.
//!
//! What the store holds decides, not the ranges of sources: these also say of records that were removed that they had
//! been taken. So they are not asked; they are added to. A range of a record that lies in the write-ahead log is never
//! among those that are added, because a restart would then take that record for a repetition.

mod index;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sawyer_disk::{Disk, read_all};
use sawyer_model::{Error, ErrorKind, RecordRef, Timestamp};
use sawyer_query::search::{Budget, SearchStats};
use sawyer_query::upkeep::{RestoreReport, RestoreRequest};
use sawyer_segment::{EncodeSettings, Rows, Segment, Unreadable, encode_rows_to};

use self::index::Index;
use crate::Store;
use crate::catalogue::{CATALOGUE_FILE, Catalogue, Found, SegmentEntry, load};
use crate::divide::{days_told, divide};
use crate::engine::Engine;
use crate::error::StoreError;
use crate::keeper::segment_path;
use crate::memory::{Generation, Held};
use crate::policy::{self, Classes};
use crate::retention::{is_old, share, size_max};
use crate::seal::{WriteError, entry_of};
use crate::sealed::{Handles, Sealed};
use crate::sources::{Bounds, Forgotten, Source, Sources, without};
use crate::wal::{self, WAL_DIR};

/// Memory for what is read of the copy more than once.
const CACHE_BYTES_MAX: usize = 16 << 20;

/// Longest file of the copy's log that is read: it is read whole.
const WAL_FILE_BYTES_MAX: u64 = 4 << 30;

/// How often a part is tried because new records of its sources came in meanwhile.
const ROUNDS_MAX: usize = 1000;

/// A part of a copy.
struct Part {
    path: PathBuf,
    entry: SegmentEntry,
    segment: Segment,
}

/// A copy that is being restored.
struct Restoring<'a> {
    engine: &'a Engine,
    request: &'a RestoreRequest,
    budget: &'a Budget,
    now: Timestamp,
    /// What the copy remembers of its sources.
    sources: Sources,
    /// What would be brought so far, if it is only told.
    planned: Room,
    report: RestoreReport,
}

/// Bytes that records take.
#[derive(Debug, Default)]
struct Room {
    bytes: u64,
    /// Those of each class; empty where the size of none is bounded.
    classes: Vec<u64>,
}

/// A part on its way into the store.
struct Arrival<'a> {
    part: &'a Part,
    index: Index<'a>,
    /// For each block the rows that are to be brought.
    wanted: Vec<Rows>,
    /// Segments of the store of which it is known what they hold of these.
    seen: HashSet<u64>,
    /// The segment with these rows, which no catalogue names yet.
    written: Option<Arc<Sealed>>,
}

/// Why a part was not brought.
enum Failed {
    /// It cannot be read; the others can be brought all the same.
    Part(Error),
    /// Nothing more can be brought.
    All(Error),
}

impl Failed {
    /// An error of reading a part: of the part, unless nobody waits any more.
    fn reading(error: Error) -> Self {
        if error.kind() == ErrorKind::Closed { Self::All(error) } else { Self::Part(error) }
    }

    fn ended() -> Self {
        Self::All(Error::new(ErrorKind::Closed, "restoring was ended before it was done"))
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::All(error.into())
    }
}

impl Store {
    /// Brings records of a copy (see [`crate::backup`]) that are of the selection and not in the store; or only says
    /// what it would bring. Files of the copy that are damaged are told, and the rest is brought. Searches and writes go on
    /// meanwhile. What was brought before an error stays; called again it goes on.
    ///
    /// # Errors
    /// `NotFound` if there is no store in `from`, `Corrupt` or `Invalid` if its catalogue cannot be read, `Conflict` if
    /// retention would have to remove other records to make room, `Retry` if the disk is full or fails, `Closed` after
    /// cancellation or at the budget's end.
    pub fn restore(
        &self,
        from: &Arc<dyn Disk>,
        request: &RestoreRequest,
        budget: &Budget,
    ) -> Result<RestoreReport, Error> {
        let engine = &*self.engine;
        let mut restoring = Restoring {
            engine,
            request,
            budget,
            now: engine.clock.now(),
            sources: Sources::default(),
            planned: Room::default(),
            report: RestoreReport::default(),
        };
        let ended = restoring.run(from);
        let Restoring { report, .. } = restoring;
        ended.map_err(|error| match (request.confirmed, report.records) {
            (true, records @ 1..) => {
                let message = format!("restoring ended early, the same again goes on: records={records}");
                Error::new(error.kind(), message).because(error)
            }
            _ => error,
        })?;
        Ok(report)
    }
}

impl Restoring<'_> {
    fn run(&mut self, from: &Arc<dyn Disk>) -> Result<(), Error> {
        let catalogue = match load(&**from)? {
            Found::Whole(catalogue) => catalogue,
            Found::Half(catalogue) => {
                self.tell(
                    Path::new(CATALOGUE_FILE),
                    "one of its two copies is damaged; the other one was used",
                );
                catalogue
            }
            Found::Nothing => {
                let message = format!("there is no copy of a store here: {CATALOGUE_FILE} is missing");
                return Err(Error::new(ErrorKind::NotFound, message));
            }
        };
        let Catalogue { segments, wal_first, sources, .. } = catalogue;
        self.sources = sources;
        let handles = Arc::new(Handles::new(CACHE_BYTES_MAX));
        for entry in &segments {
            let path = segment_path(entry.id);
            if !self.may_have_some(entry) {
                continue;
            }
            match Sealed::open(from, &handles, *entry) {
                Ok(Sealed { entry, segment, .. }) => self.restore_part(&Part { path, entry, segment })?,
                Err(error) => self.tell(&path, &error.chain()),
            }
        }
        self.restore_log(&**from, wal_first)
    }

    /// What the copy's log holds beyond its segments.
    fn restore_log(&mut self, from: &dyn Disk, first: u64) -> Result<(), Error> {
        let entries = from.read_dir(Path::new(WAL_DIR));
        let entries = entries.map_err(StoreError::disk("list the write-ahead log of the copy"))?;
        for number in entries.iter().filter_map(|entry| wal::number_of(&entry.name)) {
            if number < first {
                continue;
            }
            let path = wal::path_of(number);
            match read_all(from, &path, WAL_FILE_BYTES_MAX) {
                Ok(bytes) => self.restore_log_file(&path, number, &bytes)?,
                Err(error) => self.tell(&path, &Error::from(StoreError::disk("read a log")(error)).chain()),
            }
        }
        Ok(())
    }

    /// What a file of the log holds, without what was taken before; so much at a time as this store seals at once.
    fn restore_log_file(&mut self, path: &Path, number: u64, bytes: &[u8]) -> Result<(), Error> {
        let frames = wal::read_frames(bytes, number);
        if let Some(version) = frames.unknown_version {
            self.tell(path, &format!("it is of a newer version: version={version}"));
        }
        if frames.damaged_bytes > 0 {
            self.tell(path, &format!("damaged_bytes={}; what is whole was used", frames.damaged_bytes));
        }
        let mut generation = Generation::default();
        for payload in &frames.payloads {
            match sawyer_segment::decode_batch(&bytes[payload.clone()]) {
                Ok(batch) => {
                    let mut trial = self.sources.try_out();
                    let duplicates = trial.take(&batch).duplicates;
                    let changed = trial.into_changed();
                    let seen = batch.iter().map(RecordRef::observed).max();
                    self.sources.keep(changed, seen.unwrap_or(self.now));
                    let batch = if duplicates.is_empty() { batch } else { without(&batch, &duplicates) };
                    generation.push(&Arc::new(batch), self.now);
                }
                Err(error) => self.tell(path, &error.chain()),
            }
            if generation.bytes() >= self.engine.plan.seal_bytes() {
                self.restore_batches(path, &std::mem::take(&mut generation))?;
            }
        }
        self.restore_batches(path, &generation)
    }

    fn restore_batches(&mut self, path: &Path, generation: &Generation) -> Result<(), Error> {
        for (partition, share) in divide(generation.held(), &days_told(&self.engine.plan, self.now)) {
            let (batches, rows) = share.of(generation.held());
            // It is written again soon.
            let settings = EncodeSettings { shapes: false, ..EncodeSettings::default() };
            let mut bytes = Vec::new();
            let summary = encode_rows_to::<Error>(&batches, &rows, &settings, &mut |piece| {
                bytes.extend_from_slice(piece);
                Ok(())
            })?;
            let entry = entry_of(0, &summary, partition);
            let segment = Segment::open(Arc::new(bytes))?;
            if self.may_have_some(&entry) {
                self.restore_part(&Part { path: path.to_owned(), entry, segment })?;
            }
        }
        Ok(())
    }

    fn may_have_some(&self, entry: &SegmentEntry) -> bool {
        let selection = &self.request.selection;
        entry.time_min < selection.end && entry.time_max >= selection.start
    }

    fn tell(&mut self, path: &Path, message: &str) {
        self.report.problems.push((path.display().to_string(), message.to_owned()));
    }

    fn restore_part(&mut self, part: &Part) -> Result<(), Error> {
        match self.bring(part) {
            Ok(()) => Ok(()),
            Err(Failed::Part(error)) => {
                self.tell(&part.path, &error.chain());
                Ok(())
            }
            Err(Failed::All(error)) => Err(error),
        }
    }

    fn bring(&mut self, part: &Part) -> Result<(), Failed> {
        self.go_on()?;
        // What a merge would copy as it is has to be sound as well.
        part.segment.verify().map_err(Failed::Part)?;
        let mut wanted = self.select(part)?;
        self.leave_out_due(part, &mut wanted)?;
        let index = Index::of(&part.segment, &wanted).map_err(Failed::Part)?;
        let mut arrival = Arrival { part, index, wanted, seen: HashSet::new(), written: None };
        let brought = self.adopt_what_is_new(&mut arrival);
        if let Some(left) = arrival.written {
            self.engine.keeper.lock().discard(&left);
        }
        brought
    }

    fn go_on(&self) -> Result<(), Failed> {
        match self.budget.take(0) {
            Ok(true) if !self.engine.is_stopping() => Ok(()),
            Ok(_) => Err(Failed::ended()),
            Err(error) => Err(Failed::All(error)),
        }
    }

    /// For each block the rows of the selection.
    fn select(&self, part: &Part) -> Result<Vec<Rows>, Failed> {
        let blocks = 0..part.segment.blocks().len();
        let select = |block| {
            self.go_on()?;
            let mut stats = SearchStats::default();
            let rows = part.segment.scan(block, &self.request.selection, self.budget, &mut stats);
            if stats.partial {
                return Err(Failed::ended());
            }
            rows.map_err(Failed::reading)
        };
        blocks.map(select).collect()
    }

    /// Until when a part of the copy is kept.
    fn kept_until(&self, part: &Part) -> Timestamp {
        let asked = self.request.keep.map_or(Timestamp::EPOCH, |keep| self.now.saturating_add(keep));
        part.entry.kept_until.max(asked)
    }

    /// Leaves out what retention would remove at once from a segment of what is wanted. That may leave a segment whose last
    /// record is older, so it is asked again.
    fn leave_out_due(&mut self, part: &Part, wanted: &mut [Rows]) -> Result<(), Failed> {
        let plan = &self.engine.plan;
        let mut left_out = Classes::default();
        loop {
            let observed_max = last_observed(&part.segment, wanted).map_err(Failed::reading)?;
            let entry = SegmentEntry { kept_until: self.kept_until(part), observed_max, ..part.entry };
            let mut old = Classes::default();
            (0..plan.classes())
                .filter(|class| is_old(&entry, plan.keep(*class), self.now))
                .for_each(|class| old.insert(class));
            if old == left_out {
                return Ok(());
            }
            for (block, wanted) in wanted.iter_mut().enumerate().filter(|(_, wanted)| !wanted.is_empty()) {
                let due = policy::rows_of(&part.segment, block, &plan.policies, old, self.budget);
                let mut due = due.map_err(Failed::reading)?;
                due.intersect(wanted);
                wanted.subtract(&due);
                self.report.expired += due.count() as u64;
            }
            left_out = old;
        }
    }

    /// Writes what the store does not hold, and adopts it unless that has changed meanwhile.
    fn adopt_what_is_new(&mut self, arrival: &mut Arrival<'_>) -> Result<(), Failed> {
        let engine = self.engine;
        for _ in 0..ROUNDS_MAX {
            self.go_on()?;
            let held = arrival.leave_out_held(self)?;
            self.report.present += held;
            if held > 0 {
                if let Some(written) = arrival.written.take() {
                    engine.keeper.lock().discard(&written);
                }
                self.leave_out_due(arrival.part, &mut arrival.wanted)?;
            }
            let records = arrival.records();
            if records == 0 {
                return Ok(());
            }
            let rows = self.rows_by_class(arrival)?;
            let about = Room::of(&arrival.part.entry, records, &rows);
            if !self.request.confirmed {
                self.report.records += records;
                self.report.bytes += about.bytes;
                self.planned.add(&about);
                return Ok(engine.check_room(&self.planned, false)?);
            }
            if arrival.written.is_none() {
                engine.check_room(&about, false)?;
                arrival.written = Some(self.write(arrival)?);
            }
            if let Some(written) = &arrival.written {
                engine.check_room(&Room::of(&written.entry, records, &rows), true)?;
            }
            let Some(segment) = arrival.written.take() else { continue };
            if engine.adopt(&segment, &self.brought(arrival), &arrival.seen)? {
                self.report.records += records;
                self.report.bytes += segment.entry.bytes;
                return Ok(());
            }
            arrival.written = Some(segment);
        }
        let message = "records of the same sources come in faster than they can be compared";
        Err(Failed::All(Error::new(ErrorKind::Retry, message)))
    }

    /// How many of the wanted rows are of each class, where that has to be known.
    fn rows_by_class(&self, arrival: &Arrival<'_>) -> Result<Vec<u64>, Failed> {
        let plan = &self.engine.plan;
        if (0..plan.classes()).all(|class| plan.class_bytes_max(class).is_none()) {
            return Ok(Vec::new());
        }
        let wanted = Some(&*arrival.wanted);
        let rows = policy::profile(&arrival.part.segment, wanted, &plan.policies, self.budget);
        rows.map_err(Failed::reading)?.ok_or_else(Failed::ended)
    }

    /// What the wanted rows account for, with when the copy last heard of their sources: one that this store does not know
    /// is not to drive out those that still send. It is remembered for half as long as others at least.
    fn brought(&self, arrival: &Arrival<'_>) -> Sources {
        let least = self.now.saturating_sub(self.engine.plan.source_idle_max / 2);
        let mut brought = Sources::default();
        for (id, ranges) in arrival.index.ranges(&arrival.wanted) {
            let last = self.sources.get(id).map_or(least, |source| source.last);
            brought.put(id, Source { ranges, last: last.min(self.now).max(least) });
        }
        brought
    }

    fn write(&self, arrival: &Arrival<'_>) -> Result<Arc<Sealed>, Failed> {
        let (engine, part) = (self.engine, arrival.part);
        let partition =
            crate::catalogue::Partition { kept_until: self.kept_until(part), ..part.entry.partition() };
        let old = engine.is_old(&part.entry);
        let written = engine.write_without(&[&part.segment], &arrival.removed(), partition, old);
        let written = written.map_err(|error| match error {
            WriteError::Input(Unreadable { error, .. }) => Failed::Part(error),
            error => error.into_store().into(),
        })?;
        let written = Arc::new(written);
        engine.sync_segments(std::slice::from_ref(&written))?;
        Ok(written)
    }
}

impl Room {
    /// What `records` of a segment take, of which `rows` are of each class.
    fn of(entry: &SegmentEntry, records: u64, rows: &[u64]) -> Self {
        Self { bytes: share(entry, records), classes: rows.iter().map(|rows| share(entry, *rows)).collect() }
    }

    fn add(&mut self, more: &Self) {
        self.bytes += more.bytes;
        self.classes.resize(more.classes.len(), 0);
        self.classes.iter_mut().zip(&more.classes).for_each(|(sum, more)| *sum += more);
    }
}

/// When the last of the wanted rows was first seen; the least time if there is none.
fn last_observed(segment: &Segment, wanted: &[Rows]) -> Result<Timestamp, Error> {
    let mut last = Timestamp::MIN;
    for (block, wanted) in wanted.iter().enumerate().filter(|(_, wanted)| !wanted.is_empty()) {
        let latest = *segment.blocks()[block].observed.end();
        if wanted.count() == wanted.len() {
            last = last.max(latest);
        } else if latest > last {
            let observed = segment.observed(block)?;
            last = wanted.iter().fold(last, |last, row| last.max(observed[row]));
        }
    }
    Ok(last)
}

impl Arrival<'_> {
    /// How many records are to be brought.
    fn records(&self) -> u64 {
        self.wanted.iter().map(|rows| rows.count() as u64).sum()
    }

    /// The rows that are not to be brought, as they are left out of a segment.
    fn removed(&self) -> [Vec<Rows>; 1] {
        let removed = self.wanted.iter().map(|wanted| {
            let mut removed = Rows::all(wanted.len());
            removed.subtract(wanted);
            removed
        });
        let removed: Vec<Rows> = removed.collect();
        if removed.iter().all(Rows::is_empty) { [Vec::new()] } else { [removed] }
    }

    /// Leaves out the records that the store holds, and says how many they are. Segments are looked at once.
    fn leave_out_held(&mut self, restoring: &Restoring<'_>) -> Result<u64, Failed> {
        if self.index.is_empty() {
            return Ok(0);
        }
        let engine = restoring.engine;
        let (held, segments) = {
            let live = engine.live.read();
            (live.held().cloned().collect::<Vec<Held>>(), live.segments.clone())
        };
        let before = self.records();
        for record in held.iter().flat_map(|held| held.batch.iter()) {
            for (block, row) in self.index.find(record.source(), record.range().start) {
                self.wanted[block].remove(row);
            }
        }
        for segment in segments {
            if self.wanted.iter().all(Rows::is_empty) {
                break;
            }
            if segment.is_damaged() || self.seen.contains(&segment.entry.id) {
                continue;
            }
            restoring.go_on()?;
            match self.index.held_by(&segment.segment) {
                Ok(rows) => rows.into_iter().for_each(|(block, row)| self.wanted[block].remove(row)),
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    // Nothing of it is found any more, so all of it may be brought.
                    engine.note_unreadable(&segment, &error);
                    engine.put_aside_damaged()?;
                    continue;
                }
                Err(error) => return Err(Failed::All(error)),
            }
            self.seen.insert(segment.entry.id);
        }
        Ok(before - self.records())
    }
}

impl Engine {
    /// Refuses what would make retention remove other records, or fill the disk; if it is `written`, the disk has it.
    fn check_room(&self, more: &Room, written: bool) -> Result<(), StoreError> {
        if !written {
            self.check_space(more.bytes as usize)?;
        }
        let logs = self.disk.read_dir(Path::new(WAL_DIR)).unwrap_or_default();
        let segments: u64 = self.live.read().segments.iter().map(|segment| segment.entry.bytes).sum();
        let bytes = segments + logs.iter().map(|entry| entry.len).sum::<u64>();
        let taken = if written { bytes + more.bytes } else { bytes };
        let bytes_max = size_max(&self.plan, taken, self.disk.space().ok());
        if bytes.saturating_add(more.bytes) > bytes_max {
            return Err(StoreError::NoRoom { bytes, more: more.bytes, bytes_max });
        }
        for (policy, (class, more)) in self.plan.policies.iter().zip(more.classes.iter().enumerate()) {
            let Some(bytes_max) = policy.size_max.filter(|_| *more > 0) else { continue };
            let bytes = self.bytes_of_class(class);
            if bytes.saturating_add(*more) > bytes_max {
                let policy = policy.name.clone();
                return Err(StoreError::NoRoomOfPolicy { policy, bytes, more: *more, bytes_max });
            }
        }
        Ok(())
    }

    /// Names a segment that was brought, and commits what it `brought`; says no if there are segments that were not `seen`,
    /// or records in memory that this touches. Nobody commits meanwhile, so that it stays as it was found.
    fn adopt(
        &self,
        segment: &Arc<Sealed>,
        brought: &Sources,
        seen: &HashSet<u64>,
    ) -> Result<bool, StoreError> {
        let mut writer = self.writer.lock();
        let (held, unseen) = {
            let live = self.live.read();
            let unseen = |known: &Arc<Sealed>| !known.is_damaged() && !seen.contains(&known.entry.id);
            (live.held().cloned().collect::<Vec<Held>>(), live.segments.iter().any(unseen))
        };
        if unseen {
            return Ok(false);
        }
        let mut records = held.iter().flat_map(|held| held.batch.iter());
        if records.any(|record| {
            brought.get(record.source()).is_some_and(|own| own.ranges.intersects(record.range()))
        }) {
            // Sealed, they are in no log that a restart would read.
            drop(writer);
            self.freeze_if_due(true);
            self.seal_frozen().inspect_err(|_| self.keeper.lock().discard(segment))?;
            return Ok(false);
        }
        let (now, bounds) = (self.clock.now(), Bounds::of(&self.plan));
        let mut forgotten = Forgotten::default();
        let mut keeper = self.keeper.lock();
        let changed = keeper.change(&*self.disk, |catalogue| {
            catalogue.segments.push(segment.entry);
            catalogue.sources.merge(brought);
            forgotten = catalogue.sources.forget(now, &bounds);
        });
        changed.inspect_err(|_| keeper.discard_later(segment))?;
        self.live.write().add(Arc::clone(segment));
        drop(keeper);
        writer.committed.merge(brought);
        if forgotten != Forgotten::default() {
            self.forget_sources(&mut writer, now, &bounds);
        }
        self.counters.restored_records.inc_by(segment.entry.rows);
        drop(writer);
        self.work.wake();
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
