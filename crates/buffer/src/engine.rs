//! The buffer without threads: everything happens when it is called, in the order of the calls.
//!
//! Owns: one turn of the work (let in, write, sync, tell, remove), and the books of taken entries.
//! Does not own: when a turn is made (`buffer`), what lies where (`state`, `lane`).
//! Invariant: whoever put something in is told so only when it is as safe as the policy says.
//!
//! Order of locks: `writer`, then `reads`, then `state`; never the other way.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use sawyer_disk::{Disk, Lock};
use sawyer_model::{Error, Fates, RangeSet, SeqRange, Timestamp};
use sawyer_telemetry::{Clock, Ledger, Metrics};
use tokio::sync::{Notify, oneshot, watch};

use crate::acks::{ACKS_DIR, AckLog, DoneSets, number_of};
use crate::damage::DamageLog;
use crate::entry::{ENTRY_FORMAT, Head, Lane, PAYLOAD_BYTES_MAX};
use crate::error::{BufferError, Result};
use crate::lane::{Content, Entry, LaneIndex};
use crate::meters::Meters;
use crate::settings::{BufferKind, BufferPlan, OnFull, SyncPolicy};
use crate::signal::Signal;
use crate::state::{Admission, Needless, Pending, State};
use crate::write::Writer;

/// The file whose lock keeps others out.
const LOCK_FILE: &str = "lock";

const SUFFIX: &str = ".buf";

/// How much later than it was made an acknowledgement is synced, at most: entries acknowledged in this time are
/// delivered again after a loss of power (not after the death of the process).
const ACKS_SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// How much later than they ended it is written down of records that went past the lanes. A crash forgets them on the
/// books, and nothing else.
const PASSED_SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// How long after a refused write the next is tried, if nothing else happens.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// How long nothing may fail before trouble is said to be over. While a full buffer is emptied, what is removed makes
/// room for a little of what waits, again and again; that is one trouble, and not one each time.
const CALM_TIME: Duration = Duration::from_secs(10);

/// Shortest wait between two turns that nobody asked for.
const WAIT_MIN: Duration = Duration::from_millis(5);

/// How often old entries are looked for.
const AGE_INTERVAL: Duration = Duration::from_secs(1);

/// A buffer.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) name: String,
    pub(crate) disk: Option<Arc<dyn Disk>>,
    pub(crate) plan: BufferPlan,
    pub(crate) clock: Clock,
    pub(crate) meters: Meters,
    ledger: Ledger,
    pub(crate) damage: DamageLog,
    state: Mutex<State>,
    writer: Mutex<Writer>,
    /// Held while a file is read for its entries.
    pub(crate) reads: Mutex<()>,
    /// Something may be taken.
    pub(crate) ready: Notify,
    /// There is work for a turn.
    pub(crate) work: Signal,
    /// Whether only what is in danger is to be let in.
    pub(crate) spills: watch::Sender<bool>,
    /// How often a full disk has kept something out.
    pub(crate) kept_out: watch::Sender<u64>,
    trouble: Mutex<Trouble>,
    _lock: Option<Box<dyn Lock>>,
}

/// What was said already, so that it is said once.
#[derive(Debug, Default)]
struct Trouble {
    full: bool,
    failing: bool,
    /// When something failed last.
    last: Timestamp,
    /// Something was written since.
    written: bool,
}

impl Trouble {
    /// Something failed.
    fn again(&mut self, now: Timestamp) {
        (self.last, self.written) = (now, false);
    }

    fn calm_in(&self, now: Timestamp) -> Option<Duration> {
        (self.written && (self.full || self.failing)).then(|| CALM_TIME.saturating_sub(now.since(self.last)))
    }
}

/// The path of a file of entries.
pub(crate) fn path_of(lane: Lane, number: u64) -> PathBuf {
    Path::new(lane.name()).join(format!("{number:020}{SUFFIX}"))
}

impl Engine {
    /// Opens the buffer in the folder that is the root of `disk`. Nothing is written but missing folders.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        plan: BufferPlan,
        clock: Clock,
        metrics: &Metrics,
        name: &str,
    ) -> Result<Arc<Self>> {
        let meters = Meters::new(metrics, name);
        let on_disk = plan.kind == BufferKind::Disk;
        let lock = if on_disk { Some(lock_folder(&*disk)?) } else { None };
        let (acks, (done, ends)) = if on_disk { AckLog::open(&*disk)? } else { Default::default() };
        let now = clock.now();
        let engine = Self {
            name: name.to_owned(),
            disk: on_disk.then_some(disk),
            plan,
            clock,
            meters,
            ledger: metrics.ledger().clone(),
            damage: DamageLog::default(),
            state: Mutex::new(State::new(Default::default(), ends)),
            writer: Mutex::new(Writer::new(acks, now)),
            reads: Mutex::new(()),
            ready: Notify::new(),
            work: Signal::default(),
            spills: watch::Sender::new(false),
            kept_out: watch::Sender::new(0),
            trouble: Mutex::new(Trouble::default()),
            _lock: lock,
        };
        for (lane, done) in Lane::ALL.into_iter().zip(done) {
            engine.open_lane(lane, done)?;
        }
        engine.meters.show(&engine.state());
        Ok(Arc::new(engine))
    }

    /// Finds the files of a lane, and reads the last of them, which tells the next number.
    fn open_lane(&self, lane: Lane, done: RangeSet) -> Result<()> {
        let mut index = LaneIndex { done, ..LaneIndex::default() };
        index.next_seq = index.done.iter().last().map_or(0, |range| range.end);
        if let Some(disk) = &self.disk {
            self.find_files(&**disk, lane, &mut index)?;
        }
        let last = index.files.last_key_value().map(|(number, _)| *number);
        let first = index.files.first_key_value().map_or(index.next_seq, |(number, _)| *number);
        // What lies in front of the first file was done, whoever remembers it.
        index.done.insert(SeqRange::new(0, first));
        *self.state().lane_mut(lane) = index;
        if let Some(last) = last
            && let Err(error) = self.scan(lane, last)
        {
            self.set_file_aside(lane, last, &error);
        }
        Ok(())
    }

    fn find_files(&self, disk: &dyn Disk, lane: Lane, index: &mut LaneIndex) -> Result<()> {
        let failed = BufferError::disk("look through the buffer");
        for entry in disk.read_dir(Path::new(lane.name())).map_err(&failed)? {
            let Some(number) = number_of(&entry.name, SUFFIX) else { continue };
            let path = path_of(lane, number);
            let file = disk.open_read(&path).map_err(&failed)?;
            // A file that cannot be read is noticed when its turn comes.
            if let Some(version) = ENTRY_FORMAT.version_of(&*file, number).unwrap_or_default()
                && !ENTRY_FORMAT.reads(version)
            {
                return Err(BufferError::Newer { path, version, expected: ENTRY_FORMAT.version });
            }
            index.add_unscanned(number, entry.len);
        }
        Ok(())
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Asks to be let in; the answer comes after a turn.
    pub(crate) fn push(
        &self,
        lane: Lane,
        origin: Lane,
        content: Content,
        records: u32,
    ) -> Result<oneshot::Receiver<Result<u64, Error>>> {
        let (done, told) = oneshot::channel();
        self.enqueue(
            lane,
            Pending { records, origin, content, live: None, out: false, needless: Needless::default(), done },
        )?;
        Ok(told)
    }

    /// The same for any entry.
    pub(crate) fn enqueue(&self, lane: Lane, pending: Pending) -> Result<()> {
        let bytes = pending.content.payload.len();
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(BufferError::TooLarge { bytes, max: PAYLOAD_BYTES_MAX });
        }
        let mut state = self.state();
        if state.closed || state.ended && lane != Lane::Dead {
            return Err(BufferError::Closed);
        }
        state.enqueue(lane, pending);
        drop(state);
        self.work.raise();
        Ok(())
    }

    /// Books records that went past the lanes.
    pub(crate) fn pass(&self, records: u32, fates: &Fates) {
        self.meters.passed_records.inc_by(records.into());
        let mut state = self.state();
        let first = !state.passed_unsaved;
        state.pass(records, fates);
        drop(state);
        if first {
            self.work.raise();
        }
    }

    /// Does all the work there is, and says when there will be more though nobody calls.
    pub(crate) fn turn(&self) -> Option<Duration> {
        let mut writer = self.writer.lock();
        self.state().expire(&self.plan, self.clock.now());
        while self.let_in(&mut writer) {}
        self.sync_if_due(&mut writer, false);
        self.remove_files();
        if self.save_acks(&mut writer, false).is_err_and(|error| error.is_full()) {
            self.end_idle_files(&mut writer);
            if self.remove_files() {
                let _ = self.save_acks(&mut writer, false); // It was told, and the next turn tries again.
            }
        }
        self.settle();
        self.note_calm();
        self.next_turn(&writer)
    }

    /// Counts what was shed, and shows the state.
    pub(crate) fn settle(&self) {
        let mut state = self.state();
        let shed = std::mem::take(&mut state.shed);
        self.meters.show(&state);
        let book = state.book();
        self.tell_spills(&state);
        drop(state);
        self.ledger.set_buffer(&self.name, book);
        for (lane, why, entry) in shed {
            self.meters.shed(lane, why, entry.head.records, entry.bytes);
        }
    }

    /// Tells whether only what is in danger is to be put in. By whoever holds the state, so that what is told last is
    /// true.
    pub(crate) fn tell_spills(&self, state: &State) {
        let spills = state.spills(&self.plan);
        self.spills.send_if_modified(|told| std::mem::replace(told, spills) != spills);
    }

    fn next_turn(&self, writer: &Writer) -> Option<Duration> {
        let state = self.state();
        let durable = self.plan.sync != SyncPolicy::Never;
        let now = self.clock.now();
        let until = |last: Timestamp, interval: Duration| interval.saturating_sub(now.since(last));
        let calm_in = self.trouble.lock().calm_in(now);
        let waits = [
            (state.has_pending() || state.has_unsaved(), RETRY_INTERVAL),
            (
                writer.has_unsynced() && self.plan.sync == SyncPolicy::Interval,
                until(writer.synced, self.plan.sync_interval),
            ),
            (writer.acks.is_dirty() && durable, until(writer.acks_synced, ACKS_SYNC_INTERVAL)),
            (state.passed_unsaved, until(writer.passed_saved, PASSED_SAVE_INTERVAL)),
            (self.plan.age_max.is_some(), AGE_INTERVAL),
            (calm_in.is_some(), calm_in.unwrap_or_default()),
        ];
        // A clock that stands still must not make the thread spin.
        waits.into_iter().filter(|(applies, _)| *applies).map(|(_, wait)| wait.max(WAIT_MIN)).min()
    }

    /// Lets in one group; says whether it is worth while to ask again.
    fn let_in(&self, writer: &mut Writer) -> bool {
        let admission = self.state().admit(&self.plan);
        match admission {
            Admission::Nobody => false,
            Admission::Scan(lane, file) => match self.scan(lane, file) {
                Ok(()) => true,
                Err(error) => self.note_scan_failure(lane, file, &error),
            },
            Admission::Group(lane, group) => self.commit(writer, lane, group),
        }
    }

    fn commit(&self, writer: &mut Writer, lane: Lane, group: Vec<Pending>) -> bool {
        let (first, now) = (self.state().lane(lane).next_seq, self.clock.now());
        let heads: Vec<Head> =
            group.iter().zip(first..).map(|(pending, seq)| head_of(pending, seq, now)).collect();
        let mut written = self.write_group(writer, lane, &heads, &group);
        if written.as_ref().is_err_and(|error| !error.is_full()) {
            self.meters.failures.inc();
            // The file was given up, so this is a new one.
            written = self.write_group(writer, lane, &heads, &group);
        }
        match written {
            Ok(places) => {
                self.note_success();
                self.publish(lane, heads, places, group);
                true
            }
            Err(error) if error.is_full() => {
                self.note_full(&error);
                self.state().put_back(lane, group);
                self.kept_out.send_modify(|times| *times += 1);
                self.make_space(writer, lane)
            }
            Err(error) => {
                self.note_failing(&error);
                let error = Error::from(BufferError::disk("write to the buffer")(error));
                for pending in group {
                    let _ = pending.done.send(Err(Error::new(error.kind(), error.chain())));
                }
                true
            }
        }
    }

    fn publish(
        &self,
        lane: Lane,
        heads: Vec<Head>,
        places: Vec<Option<crate::entry::Place>>,
        group: Vec<Pending>,
    ) {
        let mut state = self.state();
        let mut told = Vec::with_capacity(group.len());
        for ((head, place), pending) in heads.into_iter().zip(places).zip(group) {
            let bytes = pending.content.entry_bytes();
            let content = Some(pending.content);
            if lane != Lane::Dead {
                self.meters.pushed_records.inc_by(head.records.into());
                self.meters.pushed_bytes.inc_by(bytes);
            }
            let live = pending.live;
            let deliveries = u32::from(pending.out);
            let entry = Entry { head, place, bytes, content, live, read_failures: 0, deliveries };
            state.publish(&self.plan, lane, entry, pending.out);
            if lane == Lane::Normal && state.spills(&self.plan) {
                self.meters.spilled_records.inc_by(head.records.into());
            }
            told.push((head.seq, pending.out, pending.done));
        }
        // Before they go on: they would take the room of what is in danger.
        self.tell_spills(&state);
        drop(state);
        for (seq, out, done) in told {
            // Whoever stopped waiting does not need to know, and does not have what it would have taken.
            if done.send(Ok(seq)).is_err() && out {
                self.state().release(&self.plan, lane, seq, None);
            }
        }
        self.ready.notify_waiters();
    }

    /// Gets space back on a full disk; says whether there is any.
    fn make_space(&self, writer: &mut Writer, lane: Lane) -> bool {
        self.end_idle_files(writer);
        if self.remove_files() {
            return true;
        }
        let sheds = lane == Lane::Dead || self.plan.on_full == OnFull::ShedOldest;
        let from = if lane == Lane::Dead { Lane::Dead } else { Lane::Normal };
        if !sheds || !self.state().shed_oldest_file(from) {
            return false;
        }
        self.end_idle_files(writer);
        self.remove_files()
    }

    /// Writes down what is done, and syncs that if it is time or `all` is to be safe.
    fn save_acks(&self, writer: &mut Writer, all: bool) -> sawyer_disk::Result<()> {
        let mut state = self.state();
        let unsaved: DoneSets = Lane::ALL.map(|lane| std::mem::take(&mut state.lane_mut(lane).unsaved));
        // In one look with what is done, so that the two belong together.
        let (ends, whole) = (state.ends.clone(), Lane::ALL.map(|lane| state.lane(lane).done.clone()));
        let (now, any) = (self.clock.now(), unsaved.iter().any(|set| !set.is_empty()));
        let passed_due = any || all || is_due(writer.passed_saved, now, PASSED_SAVE_INTERVAL);
        let passed = passed_due && std::mem::take(&mut state.passed_unsaved);
        drop(state);
        let Some(disk) = &self.disk else { return Ok(()) };
        let durable = self.plan.sync != SyncPolicy::Never;
        if passed || unsaved.iter().any(|set| !set.is_empty()) {
            writer.passed_saved = now;
            let written = writer.acks.write(&**disk, || whole, &unsaved, &ends, durable);
            written.inspect_err(|error| self.note_acks_failure(error, &unsaved))?;
            if !self.state().has_pending() {
                self.note_success();
            }
        }
        let due = all || is_due(writer.acks_synced, now, ACKS_SYNC_INTERVAL);
        if durable && due && writer.acks.is_dirty() {
            writer.acks_synced = now;
            // The next file begins with everything.
            writer.acks.sync().inspect_err(|error| {
                let done = Lane::ALL.map(|lane| self.state().lane(lane).done.clone());
                self.note_acks_failure(error, &done);
            })?;
        }
        Ok(())
    }

    fn note_acks_failure(&self, error: &sawyer_disk::Error, unsaved: &DoneSets) {
        self.meters.failures.inc();
        if error.is_full() {
            self.note_full(error);
        } else {
            self.note_failing(error);
        }
        let mut state = self.state();
        state.passed_unsaved = true;
        for (lane, set) in Lane::ALL.into_iter().zip(unsaved) {
            for range in set.iter() {
                state.lane_mut(lane).unsaved.insert(range);
            }
        }
    }

    /// Lets nobody in or out any more, and brings everything to the disk.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.refuse_pending();
        drop(state);
        self.ready.notify_waiters();
        self.save();
        self.end_files(&mut self.writer.lock());
    }

    /// Brings everything to the disk.
    pub(crate) fn save(&self) {
        let mut writer = self.writer.lock();
        self.sync_if_due(&mut writer, true);
        self.remove_files();
        let _ = self.save_acks(&mut writer, true); // It was told, and what is forgotten is delivered again.
        self.settle();
    }

    fn note_full(&self, error: &sawyer_disk::Error) {
        self.meters.disk_full.set(1);
        let mut trouble = self.trouble.lock();
        trouble.again(self.clock.now());
        if !std::mem::replace(&mut trouble.full, true) {
            let on_full = self.plan.on_full;
            tracing::error!(output = self.name, %on_full, %error, "the disk of the buffer is full");
        }
    }

    pub(crate) fn note_failing(&self, error: &sawyer_disk::Error) {
        let mut trouble = self.trouble.lock();
        trouble.again(self.clock.now());
        if !std::mem::replace(&mut trouble.failing, true) {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::error!(output = self.name, %error, cause, "the buffer cannot be written");
        }
    }

    /// Whether one who waits to be let into a lane waits for space on a full disk, and nothing else is in the lane that
    /// could give any.
    pub(crate) fn is_stuck(&self, lane: Lane) -> bool {
        self.is_disk_full() && self.state().holds_one_back(lane)
    }

    /// Whether nothing was written since the disk was found to be full.
    pub(crate) fn is_disk_full(&self) -> bool {
        let trouble = self.trouble.lock();
        trouble.full && !trouble.written
    }

    fn note_success(&self) {
        let mut trouble = self.trouble.lock();
        if trouble.full {
            self.meters.disk_full.set(0);
        }
        trouble.written = true;
    }

    /// Tells that trouble is over, once it has been for a while.
    fn note_calm(&self) {
        let mut trouble = self.trouble.lock();
        if trouble.calm_in(self.clock.now()).is_some_and(|calm_in| calm_in.is_zero()) {
            *trouble = Trouble::default();
            tracing::info!(output = self.name, "the buffer can be written again");
        }
    }
}

fn lock_folder(disk: &dyn Disk) -> Result<Box<dyn Lock>> {
    let failed = BufferError::disk("make the folder of the buffer");
    disk.create_dir_all(Path::new("")).map_err(&failed)?;
    let lock = disk
        .lock(Path::new(LOCK_FILE))
        .map_err(|source| if source.is_locked() { BufferError::Locked { source } } else { failed(source) })?;
    for folder in Lane::ALL.map(Lane::name).into_iter().chain([ACKS_DIR]) {
        disk.create_dir_all(Path::new(folder)).map_err(&failed)?;
    }
    Ok(lock)
}

fn head_of(pending: &Pending, seq: u64, at: Timestamp) -> Head {
    let len = |text: &str| u16::try_from(text.len()).expect("notes are cut when they are made");
    Head {
        seq,
        at,
        records: pending.records,
        origin: pending.origin,
        reason_len: len(&pending.content.note.reason),
        detail_len: len(&pending.content.note.detail),
    }
}

/// Whether something done last at `last` is due again. A clock that was set back makes it due.
pub(crate) fn is_due(last: Timestamp, now: Timestamp, interval: Duration) -> bool {
    now < last || now.since(last) >= interval
}
