//! The reading thread: whose turn it is, what is on its way, when to wait.
//!
//! Owns: the files that are followed, the batch that is being filled, the loop.
//! Does not own: looking for files ([`sweep`]), which of them goes first ([`danger`]), telling them apart ([`identify`]), reading them ([`turn`]).
//! Invariant: memory is bounded: one batch that is being filled, and what [`Flight`] bounds.

mod about;
mod account;
mod adopt;
mod danger;
mod identify;
mod rotate;
mod sweep;
mod turn;
mod unread;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use sawyer_codec::line::LineWriter;
use sawyer_model::{Batch, Error, Progress, SourceId};
use sawyer_pipeline::{Context, Stop};
use sawyer_telemetry::{Questions, Seldom};

use self::adopt::Adopted;
use self::danger::DANGER_INTERVAL;
pub(crate) use self::rotate::RotateSettings;
use super::content::Inode;
use super::file::{Phase, TailFile};
use super::flight::Flight;
use super::folders::Folders;
use super::layout::{Companion, Layout};
use super::lines::{Counts, Parts};
use super::meters::Meters;
use super::watch::{FileId, Signal, Waker, Watch};
use super::{ReadFrom, Tail, TailSettings};
use crate::offsets::{Offsets, Unread};
use crate::positions::Position;

/// Bytes read from a file in one turn. More would make others wait longer, less would cost more calls.
const CHUNK_BYTES: usize = 256 << 10;

/// Text in a batch after which it is sent.
const BATCH_TEXT_BYTES: usize = 512 << 10;

/// Streams in a batch after which it is sent: looking one up takes time in proportion.
const BATCH_STREAMS_MAX: usize = 256;

/// Turns between two looks at acknowledgements and events.
const TURNS_MAX: usize = 64;

/// How often files are looked at that were written a moment ago.
const TICK: Duration = Duration::from_millis(50);

/// Pause after a batch was not taken, before its lines are read again.
const UNDELIVERED_PAUSE: Duration = Duration::from_secs(1);

/// How often the same kind of trouble is told of.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

pub(super) struct Reader {
    layout: Box<dyn Layout>,
    settings: TailSettings,
    context: Context,
    stop: Stop,
    offsets: Offsets,
    /// Where other collectors were, and what that means for the files that are there at the first sweep.
    positions: Vec<Position>,
    adopted: HashMap<FileId, Adopted>,
    /// Whether files that are there now are to be read from their end.
    from_end: bool,
    /// What was not read before this start, or before a file was cut, until a look at everything tells what of it is there
    /// still.
    unread_before: Vec<Unread>,
    meters: Meters,
    waker: Waker,
    watch: Watch,
    /// What folders held at the last sweep, if their times can be trusted.
    known_folders: Option<Folders>,

    files: HashMap<FileId, TailFile>,
    by_inode: HashMap<Inode, FileId>,
    by_source: HashMap<SourceId, FileId>,
    /// The files of each log, from the oldest to the newest.
    groups: HashMap<Arc<str>, Vec<FileId>>,
    regroup: bool,
    next_id: FileId,
    round: u64,
    open_files: usize,
    open_files_max: usize,

    ready: VecDeque<FileId>,
    /// Turns so far.
    turns: u64,
    /// Files that are removed next and not safe, and when to look again.
    in_danger: usize,
    danger_at: Instant,
    warm: Vec<FileId>,
    /// Whether a file waits for something to be reported.
    retry_landed: bool,
    /// Files that are done, and still open until all of them is durable.
    closing: Vec<FileId>,

    batch: Batch,
    writer: LineWriter,
    buffer: Vec<u8>,
    chunk: Vec<u8>,
    counts: Counts,
    /// Lines of several files that are not durable yet.
    spanning: Vec<Parts>,

    /// What is told of reading to whoever waits for more.
    progress: Arc<Progress>,
    /// All files that wait for nothing but to be written to were at their end then.
    looked_at: Instant,
    sweep_at: Instant,
    tick_at: Instant,
    pause_until: Instant,
    save_trouble: Seldom,
    watch_trouble: Seldom,
    rotate_trouble: Seldom,
    account_trouble: Seldom,
    /// What others want to know of files.
    questions: Questions,
}

impl Reader {
    pub(super) fn new(tail: Tail, stop: Stop) -> Result<Self, Errno> {
        let Tail { layout, settings, context, offsets, first_start, positions } = tail;
        let waker = Waker::new()?;
        let wakes = waker.clone();
        let questions = Questions::new(move || wakes.wake());
        context.metrics.ledger().answers(&context.name, questions.clone());
        let now = Instant::now();
        Ok(Self {
            known_folders: layout.trusts_times().then(Folders::default),
            layout,
            positions,
            adopted: HashMap::new(),
            from_end: first_start && settings.read_from == ReadFrom::End,
            settings,
            stop,
            unread_before: offsets.unread().to_vec(),
            offsets,
            meters: Meters::new(&context),
            context,
            watch: Watch::new(waker.clone()),
            waker,
            files: HashMap::new(),
            by_inode: HashMap::new(),
            by_source: HashMap::new(),
            groups: HashMap::new(),
            regroup: false,
            next_id: 0,
            round: 0,
            open_files: 0,
            open_files_max: open_files_max(),
            ready: VecDeque::new(),
            turns: 0,
            in_danger: 0,
            danger_at: now,
            warm: Vec::new(),
            retry_landed: false,
            closing: Vec::new(),
            batch: Batch::new(),
            writer: LineWriter::default(),
            buffer: Vec::new(),
            chunk: vec![0; CHUNK_BYTES],
            counts: Counts::default(),
            spanning: Vec::new(),
            progress: Arc::new(Progress::new(now)),
            looked_at: now,
            sweep_at: now,
            tick_at: now,
            pause_until: now,
            save_trouble: Seldom::new(TELL_INTERVAL),
            watch_trouble: Seldom::new(TELL_INTERVAL),
            rotate_trouble: Seldom::new(TELL_INTERVAL),
            account_trouble: Seldom::new(TELL_INTERVAL),
            questions,
        })
    }

    pub(super) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// What has to run beside it.
    pub(super) fn companion(&mut self) -> Option<Companion> {
        self.layout.companion(self.waker.clone())
    }

    /// Reads until told to stop; then waits for what is on its way, so that it is not read again.
    pub(super) fn run(mut self, mut flight: Flight) -> Result<(), Error> {
        let mut result = Ok(());
        self.progress = Arc::clone(flight.progress());
        self.meters.nobody_reads();
        while !self.stop.is_stopped() && result.is_ok() {
            result = self.round(&mut flight);
        }
        self.questions.end();
        let last = std::mem::take(&mut self.batch);
        flight.close(last, &mut self.watch, &mut self.offsets, self.stop.is_stopped());
        self.save();
        self.meters.nobody_reads();
        result
    }

    fn round(&mut self, flight: &mut Flight) -> Result<(), Error> {
        self.land(flight);
        flight.check(&self.stop)?;
        self.answer();
        if self.layout.wants_scan() {
            self.sweep_soon();
        }
        let now = Instant::now();
        if now >= self.sweep_at {
            self.sweep();
        }
        if now >= self.tick_at && !self.warm.is_empty() {
            self.tick();
        }
        self.save_if_due();
        self.tell_danger(flight);
        let spills = flight.spill().is_on();
        let (mut turns, mut none_left) = (0, false);
        while turns < TURNS_MAX && self.may_read(flight) && !none_left {
            match self.next_ready(spills) {
                Some(id) => self.turn(id),
                None => none_left = true,
            }
            turns += 1;
        }
        self.meters.count(std::mem::take(&mut self.counts));
        if self.batch_is_full() || self.ready.is_empty() || none_left {
            flight.send(&mut self.batch, &mut self.offsets);
        }
        flight.tell_stalled();
        let busy = self.may_read(flight) && !self.ready.is_empty() && !none_left;
        let timeout = if busy { Duration::ZERO } else { self.idle_time(flight) };
        self.wait(timeout, flight);
        Ok(())
    }

    /// Waits for events, and says what that tells of files of which none come.
    fn wait(&mut self, timeout: Duration, flight: &Flight) {
        let all_sent = self.batch.covered().is_empty();
        if all_sent {
            self.progress.set_looked(self.looked_at, flight.sent());
        }
        // Of files that were written a moment ago nobody tells; they are looked at with every tick.
        let watched = self.warm.is_empty();
        let resting = watched && all_sent && !timeout.is_zero();
        if resting {
            self.progress.set_resting(true);
        }
        let mut signals = Vec::new();
        self.watch.wait(timeout, &mut signals);
        if watched {
            self.looked_at = Instant::now();
        }
        for signal in signals {
            match signal {
                Signal::File(id) => self.wake_file(id),
                Signal::Tree => self.sweep_soon(),
            }
        }
        if resting {
            self.progress.set_resting(false);
        }
    }

    fn may_read(&self, flight: &Flight) -> bool {
        !flight.is_full() && !self.batch_is_full() && Instant::now() >= self.pause_until
    }

    fn batch_is_full(&self) -> bool {
        self.batch.text_bytes() >= BATCH_TEXT_BYTES || self.batch.streams().len() >= BATCH_STREAMS_MAX
    }

    /// How long nothing needs to be done, unless something happens.
    fn idle_time(&self, flight: &Flight) -> Duration {
        let now = Instant::now();
        let mut until = self.sweep_at;
        if !self.warm.is_empty() {
            until = until.min(self.tick_at);
        }
        if !self.ready.is_empty() && now < self.pause_until {
            until = until.min(self.pause_until);
        }
        if !self.ready.is_empty() || !flight.is_over() {
            until = until.min(now + DANGER_INTERVAL);
        }
        let mut wait = until.saturating_duration_since(now);
        if let Some(due) = self.offsets.save_due() {
            wait = wait.min(due.saturating_duration_since(now));
        }
        wait
    }

    /// Takes note of what was reported.
    fn land(&mut self, flight: &mut Flight) {
        let Some(undelivered) = flight.land(&mut self.offsets) else { return };
        let offsets = &self.offsets;
        self.spanning.retain(|parts| !parts.iter().all(|part| offsets.is_acked(*part)));
        if !undelivered.is_empty() && !self.stop.is_stopped() {
            self.meters.error("undelivered");
            self.pause_until = Instant::now() + UNDELIVERED_PAUSE;
            for source in self.with_carried(undelivered) {
                self.rewind(source);
            }
        }
        self.close_settled();
        if std::mem::take(&mut self.retry_landed) {
            self.retry();
        }
    }

    /// With the sources that hold parts of the same lines: their beginnings are in the files before, and are lost if
    /// only the newer one is read again, and there twice if only the older one is.
    fn with_carried(&self, sources: Vec<SourceId>) -> BTreeSet<SourceId> {
        let known = self.files.values().filter_map(|file| file.known.as_ref());
        let chains = known.map(|known| {
            let before = known.assembler.carried().map(|(source, _)| source);
            before.chain([known.source]).collect::<BTreeSet<_>>()
        });
        // What is whole by now may be on its way still.
        let whole = self.spanning.iter().map(|parts| parts.iter().map(|(source, _)| *source).collect());
        let mut chains: Vec<_> = chains.filter(|chain| chain.len() > 1).chain(whole).collect();
        let mut all = BTreeSet::from_iter(sources);
        // One that was taken may have another one's beginning.
        while let Some(at) = chains.iter().position(|chain| !chain.is_disjoint(&all)) {
            all.append(&mut chains.swap_remove(at));
        }
        all
    }

    /// Reads a source again from where it is durable.
    fn rewind(&mut self, source: SourceId) {
        let Some(id) = self.by_source.get(&source).copied() else { return };
        let watermark = self.offsets.get(source).map_or(0, crate::offsets::Progress::watermark);
        let line_max = self.settings.line_max.bytes() as usize;
        let Some(file) = self.files.get_mut(&id) else { return };
        let Some(known) = &mut file.known else { return };
        known.restart(watermark, line_max);
        // Newer files wait for it again: they may go on with what it holds at its end.
        file.caught_up = false;
        self.make_ready(id);
    }

    fn save_if_due(&mut self) {
        if self.offsets.save_due().is_some_and(|due| due <= Instant::now()) {
            self.save();
        }
    }

    fn save(&mut self) {
        self.tell_behind();
        self.note_unread();
        let now = self.context.clock.now();
        if let Err(error) = self.offsets.save() {
            self.meters.error("save_offsets");
            if let Some(held_back) = self.save_trouble.pass(now) {
                let (input, error) = (&self.context.name, &error as &dyn std::error::Error);
                tracing::warn!(
                    input,
                    held_back,
                    error,
                    "offsets cannot be saved; a restart would read lines again"
                );
            }
        }
    }

    fn tell_behind(&self) {
        self.meters.bytes_behind.set(self.files.values().map(TailFile::behind).sum::<u64>() as i64);
    }

    /// Gives a file its turn, if it does not have one yet.
    fn make_ready(&mut self, id: FileId) {
        let Some(file) = self.files.get_mut(&id) else { return };
        if file.phase != Phase::Ready {
            file.phase = Phase::Ready;
            if let Some(known) = &file.known {
                self.progress.set_behind(known.source, true);
            }
            self.ready.push_back(id);
        }
    }

    fn wake_file(&mut self, id: FileId) {
        if self.files.get(&id).is_some_and(|file| matches!(file.phase, Phase::Idle | Phase::Done)) {
            self.make_ready(id);
        }
    }
}

/// Files that are kept open at most: a part of what the process may open, as others need some too.
fn open_files_max() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    usize::try_from(limit.unwrap_or(4096) / 4).unwrap_or(4096).clamp(64, 4096)
}

#[cfg(test)]
mod tests;
