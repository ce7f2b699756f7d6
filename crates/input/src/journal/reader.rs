//! The thread that reads the journal.
//!
//! Invariant: memory is bounded by one batch, what [`Flight`] bounds, and one entry.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use sawyer_codec::journal::record::EntryWriter;
use sawyer_codec::journal::{Entry, JournalError};
use sawyer_model::{Batch, Error, RangeSet, SeqRange, SourceId, Stream, Value, names};
use sawyer_pipeline::{Context, Stop, node_name};
use sawyer_telemetry::{Counter, Gauge, Seldom};

use super::file::JournalFile;
use super::machine;
use super::missed::{Counters, Missed};
use super::{Journal, JournalSettings};
use crate::offsets::Offsets;
use crate::positions::{Collector, Cursor};
use crate::tail::flight::Flight;
use crate::tail::layout::{Scan, list};
use crate::tail::watch::{FileId, Signal, Waker, Watch};
use crate::tail::{FileStat, ReadFrom};

/// Text in a batch after which it is sent.
const BATCH_TEXT_BYTES: usize = 512 << 10;

/// Entries read from a file before others have their turn.
const TURN_ENTRIES: usize = 1000;

/// How long entries wait for others to make a batch, once the end of the journal was reached.
const LINGER: Duration = Duration::from_millis(50);

/// Pause after a batch was not taken, before it is read again.
const UNDELIVERED_PAUSE: Duration = Duration::from_secs(1);

/// How often the same kind of trouble is told of.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// How often journals are looked through for those to forget, in sweeps.
const FORGET_ROUNDS: u64 = 256;

/// Device and inode.
type Inode = (u64, u64);

pub(super) struct Reader {
    settings: JournalSettings,
    pub(super) context: Context,
    stop: Stop,
    pub(super) offsets: Offsets,
    pub(super) from_end: bool,
    /// How far others had come, until the first sweep has found all files.
    pub(super) cursors: Vec<(Collector, Cursor)>,
    node: Option<String>,
    /// The id of the machine whose node name is known.
    machine: Option<[u8; 16]>,
    waker: Waker,
    watch: Watch,
    pub(super) files: HashMap<Inode, JournalFile>,
    /// Files of which all is durable and to which nothing is added, by their state then.
    finished: BTreeMap<Inode, (u64, i64)>,
    streams: HashMap<SourceId, Arc<Stream>>,
    missed: HashMap<SourceId, Missed>,
    counters: Counters,
    next_id: FileId,
    round: u64,
    batch: Batch,
    entry: Entry,
    writer: EntryWriter,
    sweep_at: Instant,
    pause_until: Instant,
    trouble: Seldom,
    lines: Counter,
    missed_entries: Counter,
    files_gauge: Gauge,
}

impl Reader {
    pub(super) fn new(journal: Journal, stop: Stop) -> Result<Self, Errno> {
        let Journal { settings, context, offsets, first_start, cursors } = journal;
        let waker = Waker::new()?;
        let now = Instant::now();
        let labels = [("input", context.name.as_str())];
        let lines =
            context.metrics.counter("sawyer_input_lines", "Lines read, as they stand in files", &labels);
        let files_gauge = context.metrics.gauge("sawyer_input_files", "Files that are followed", &labels);
        Ok(Self {
            node: settings.node.clone().or_else(|| node_name(context.host_root.as_deref())),
            machine: None,
            from_end: first_start && settings.read_from == ReadFrom::End,
            watch: Watch::new(waker.clone()),
            waker,
            settings,
            stop,
            offsets,
            cursors,
            files: HashMap::new(),
            finished: BTreeMap::new(),
            streams: HashMap::new(),
            missed: HashMap::new(),
            counters: Counters::default(),
            next_id: 0,
            round: 0,
            batch: Batch::new(),
            entry: Entry::default(),
            writer: EntryWriter::default(),
            sweep_at: now,
            pause_until: now,
            trouble: Seldom::new(TELL_INTERVAL),
            lines,
            missed_entries: context.metrics.counter(
                "sawyer_input_journal_missed_entries",
                "Entries that were removed from the journal before they were read",
                &labels,
            ),
            files_gauge,
            context,
        })
    }

    pub(super) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    pub(super) fn run(mut self, mut flight: Flight) -> Result<(), Error> {
        let mut result = Ok(());
        while !self.stop.is_stopped() && result.is_ok() {
            result = self.round(&mut flight);
        }
        let last = std::mem::take(&mut self.batch);
        flight.close(last, &mut self.watch, &mut self.offsets, self.stop.is_stopped());
        self.save();
        result
    }

    fn round(&mut self, flight: &mut Flight) -> Result<(), Error> {
        if let Some(undelivered) = flight.land(&mut self.offsets)
            && !undelivered.is_empty()
            && !self.stop.is_stopped()
        {
            self.rewind(&undelivered);
        }
        flight.check(&self.stop)?;
        if Instant::now() >= self.sweep_at {
            self.sweep();
        }
        if self.offsets.save_due().is_some_and(|due| due <= Instant::now()) {
            self.save();
        }
        let more = self.read(flight);
        if !more || self.batch_is_full() {
            flight.send(&mut self.batch, &mut self.offsets);
        }
        let timeout = if more && self.may_read(flight) { Duration::ZERO } else { self.idle_time() };
        let mut signals = Vec::new();
        self.watch.wait(timeout, &mut signals);
        for signal in signals {
            match signal {
                Signal::Tree => self.sweep_at = self.sweep_at.min(Instant::now() + LINGER),
                Signal::File(id) => self.refresh(id),
            }
        }
        Ok(())
    }

    fn batch_is_full(&self) -> bool {
        self.batch.text_bytes() >= BATCH_TEXT_BYTES
    }

    fn may_read(&self, flight: &Flight) -> bool {
        !flight.is_full() && !self.batch_is_full() && Instant::now() >= self.pause_until
    }

    fn idle_time(&self) -> Duration {
        let now = Instant::now();
        let paused = Some(self.pause_until).filter(|until| *until > now);
        let until = paused.map_or(self.sweep_at, |until| until.min(self.sweep_at));
        let mut wait = until.saturating_duration_since(now);
        if let Some(due) = self.offsets.save_due() {
            wait = wait.min(due.saturating_duration_since(now));
        }
        wait
    }

    /// Reads some entries; says whether there are more. The file with the oldest entries goes first.
    fn read(&mut self, flight: &Flight) -> bool {
        let mut unread: Vec<(u64, Inode)> = Vec::new();
        for (inode, file) in &self.files {
            if !file.at_end {
                unread.push((file.header().head_seqnum, *inode));
            }
        }
        unread.sort_unstable();
        for (_, inode) in unread {
            let Some(mut file) = self.files.remove(&inode) else { continue };
            for _ in 0..TURN_ENTRIES {
                if file.at_end || !self.may_read(flight) {
                    break;
                }
                self.read_entry(&mut file);
            }
            if file.at_end && !file.waits() {
                file.ended_in = self.round;
            }
            if file.at_end && file.is_live() && !file.waits() {
                self.rest(&mut file);
            }
            self.files.insert(inode, file);
            if !self.may_read(flight) {
                return true;
            }
        }
        self.files.values().any(|file| !file.at_end)
    }

    fn read_entry(&mut self, file: &mut JournalFile) {
        match file.next(&mut self.entry) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return self.tell(&error, "an entry cannot be read"),
        }
        let (source, entry) = (file.source, &self.entry);
        let range = SeqRange::new(entry.seqnum, entry.seqnum.saturating_add(1));
        if let Some(missed) = self.missed.get_mut(&source) {
            missed.saw(range);
            self.counters.saw(missed.machine, range);
        }
        if self.offsets.get(source).is_some_and(|progress| progress.acked.contains(range)) {
            return;
        }
        self.lines.inc();
        if !self.settings.wants(entry) {
            return self.batch.cover(source, range);
        }
        let Some(stream) = self.streams.get(&source) else { return };
        let stream = self.batch.add_stream(stream);
        self.writer.write(&mut self.batch, entry, source, stream, self.context.clock.now());
    }

    /// Leaves a file that is at its end until journald adds to it.
    fn rest(&mut self, file: &mut JournalFile) {
        self.watch.add_file(file.file(), file.id);
        // What was added before the watch was there is seen now.
        if let Err(error) = file.refresh() {
            self.tell(&error, "a journal file cannot be read again");
        }
    }

    fn refresh(&mut self, id: FileId) {
        let Some((inode, mut file)) = self
            .files
            .iter()
            .find(|(_, file)| file.id == id)
            .map(|(inode, _)| *inode)
            .and_then(|inode| Some((inode, self.files.remove(&inode)?)))
        else {
            return;
        };
        match file.refresh() {
            Ok(true) => {}
            // It was touched and has no more entries, or is no longer added to.
            Ok(false) if file.is_live() && file.at_end => self.rest(&mut file),
            Ok(false) => {}
            Err(error) => self.tell(&error, "a journal file cannot be read again"),
        }
        self.files.insert(inode, file);
    }

    /// Looks for files, and lets go of those that are done.
    fn sweep(&mut self) {
        self.round += 1;
        self.files.values_mut().for_each(JournalFile::try_again);
        let mut scan = Scan::default();
        let folders: Vec<PathBuf> = self.settings.folders.iter().map(|folder| self.on_host(folder)).collect();
        if self.machine.is_none() {
            self.machine = machine::of_node(&self.context.on_host(Path::new("/etc/machine-id")), &folders);
        }
        let mut all_seen = true;
        for folder in &folders {
            for (name, path) in list(folder, &mut scan) {
                if is_journal(&name) {
                    all_seen &= self.see(&path);
                } else if path.is_dir() {
                    let inner = list(&path, &mut scan);
                    let journals = inner.iter().filter(|(name, _)| is_journal(name));
                    journals.for_each(|(_, path)| all_seen &= self.see(path));
                }
            }
        }
        for (path, error) in &scan.errors {
            let error = JournalError::Read { offset: 0, source: std::io::Error::from(error.kind()) };
            self.tell(&error, &format!("{} cannot be looked at", path.display()));
        }
        if self.round == 1 {
            self.adopt();
        }
        if all_seen && scan.errors.is_empty() {
            self.look_for_missed();
        }
        let new = self.watch.set_folders(&scan.folders, |_| false);
        self.let_go();
        if self.round == 1 {
            self.report();
        }
        if self.round.is_multiple_of(FORGET_ROUNDS) {
            self.offsets.forget(self.context.clock.now(), self.settings.forget_after);
            self.missed.retain(|source, _| self.offsets.get(*source).is_some());
        }
        self.files_gauge.set((self.files.len() + self.finished.len()) as i64);
        self.sweep_at = Instant::now() + if new { LINGER } else { self.settings.sweep_interval };
    }

    /// Counts the entries that were in no file any more when they were looked for, once each. Nobody waits for them then.
    fn look_for_missed(&mut self) {
        for (source, missed) in &mut self.missed {
            let of_machine = self.files.values().filter(|file| file.header().machine_id == missed.machine);
            let read_in = of_machine.map(|file| file.read_to_its_end_in(self.round));
            let all_read_in = read_in.min().unwrap_or(self.round);
            let (gone, counts) = missed.look(self.round, all_read_in);
            if gone.is_empty() {
                continue;
            }
            let progress = self.offsets.edit(*source);
            for range in &gone {
                progress.acked.insert(*range);
            }
            if !counts {
                continue;
            }
            let gone = self.counters.count(missed.machine, &gone);
            let Some((first, last)) = gone.first().zip(gone.last()) else { continue };
            let entries: u64 = gone.iter().map(|range| range.end - range.start).sum();
            self.missed_entries.inc_by(entries);
            let (first, last) = (first.start, last.end - 1);
            tracing::error!(
                input = self.context.name,
                entries,
                first,
                last,
                "entries were removed from the journal before they were read, or cannot be read; if it removes them, \
                 let it keep more (SystemMaxUse)"
            );
        }
    }

    fn on_host(&self, folder: &Path) -> PathBuf {
        if self.settings.on_host { self.context.on_host(folder) } else { folder.to_owned() }
    }

    fn report(&self) {
        let input = &self.context.name;
        for folder in &self.settings.folders {
            let folder = self.on_host(folder);
            if folder.is_dir() {
                tracing::info!(input, "reads {}", folder.display());
            } else {
                tracing::info!(input, "{} is not there; will look again", folder.display());
            }
        }
    }

    /// Looks at a file; says whether it is known now what is in it.
    fn see(&mut self, path: &Path) -> bool {
        let Ok(metadata) = path.metadata() else { return false };
        let stat = FileStat::from(&metadata);
        let known = match self.files.get_mut(&stat.inode) {
            Some(file) => {
                file.round = self.round;
                // In case the system did not tell; a file that was archived meanwhile is seen as such, too.
                file.refresh().map(|_| ())
            }
            None if self.finished.get(&stat.inode) == Some(&stat.state()) => Ok(()),
            None => self.open(path, stat.inode),
        };
        if let Some(file) = self.files.get(&stat.inode) {
            self.offsets.touch(file.source, self.context.clock.now());
        }
        match known {
            Ok(()) => return true,
            // It has just been made.
            Err(JournalError::Read { source, .. }) if source.kind() == std::io::ErrorKind::UnexpectedEof => {}
            Err(error) => self.tell(&error, &format!("{} cannot be read", path.display())),
        }
        false
    }

    fn open(&mut self, path: &Path, inode: Inode) -> Result<(), JournalError> {
        let mut file = JournalFile::open(path, self.next_id, self.round)?;
        self.next_id += 1;
        let source = file.source;
        let new = self.offsets.get(source).is_none();
        if new || self.round == 1 {
            let progress = self.offsets.edit(source);
            progress.group = "journal".into();
            progress.seen = self.context.clock.now();
        }
        let nothing = RangeSet::new();
        let acked = self.offsets.get(source).map_or(&nothing, |progress| &progress.acked);
        file.rewind(acked)?;
        if !self.missed.contains_key(&source) {
            self.go_on_from(source, file.header().machine_id);
        }
        let own = self.machine == Some(file.header().machine_id);
        let node = self.node.clone().filter(|_| own).map(|node| (names::NODE, Value::from(node)));
        let cluster = self.settings.cluster.clone().map(|cluster| (names::CLUSTER, Value::from(cluster)));
        let from = (names::SOURCE, Value::from("journal"));
        let stream = Stream::new(node.into_iter().chain(cluster).chain([from]));
        self.streams.entry(source).or_insert_with(|| Arc::new(stream));
        self.files.insert(inode, file);
        Ok(())
    }

    /// What is missing of a sequence is looked for behind what is durable of it now.
    pub(super) fn go_on_from(&mut self, source: SourceId, machine: [u8; 16]) {
        let acked = self.offsets.get(source).map(|progress| progress.acked.clone()).unwrap_or_default();
        acked.iter().for_each(|range| self.counters.saw(machine, range));
        self.missed.insert(source, Missed::new(machine, &acked));
    }

    /// Closes files that are at their end and to which nothing is added any more.
    fn let_go(&mut self) {
        let round = self.round;
        let done: Vec<Inode> = self
            .files
            .iter()
            .filter(|(_, file)| file.at_end && (file.round != round || !file.is_live()))
            .filter(|(_, file)| self.offsets.get(file.source).is_none_or(|progress| progress.in_flight == 0))
            .map(|(inode, _)| *inode)
            .collect();
        for inode in done {
            let Some(file) = self.files.remove(&inode) else { continue };
            if let (Ok(stat), true) = (file.stat(), file.round == round) {
                self.finished.insert(inode, stat.state());
            }
        }
        if self.finished.len() > self.files.len() + FINISHED_MAX {
            self.finished.clear();
        }
    }

    /// Reads journals again from where they are durable.
    fn rewind(&mut self, undelivered: &[SourceId]) {
        self.pause_until = Instant::now() + UNDELIVERED_PAUSE;
        // Files that were let go of may have what is missing.
        self.finished.clear();
        self.sweep_at = self.pause_until;
        self.rewind_files(undelivered);
    }

    /// Goes to what is not durable yet in the open files of these sources.
    pub(super) fn rewind_files(&mut self, sources: &[SourceId]) {
        let nothing = RangeSet::new();
        let mut troubles = Vec::new();
        for file in self.files.values_mut().filter(|file| sources.contains(&file.source)) {
            let acked = self.offsets.get(file.source).map_or(&nothing, |progress| &progress.acked);
            troubles.extend(file.rewind(acked).err());
        }
        for error in troubles {
            self.tell(&error, "a journal file cannot be read again");
        }
    }

    fn save(&mut self) {
        let now = self.context.clock.now();
        if let Err(error) = self.offsets.save()
            && let Some(held_back) = self.trouble.pass(now)
        {
            let (input, error) = (&self.context.name, &error as &dyn std::error::Error);
            tracing::warn!(
                input,
                held_back,
                error,
                "progress cannot be saved; a restart would read entries again"
            );
        }
    }

    pub(super) fn tell(&self, error: &JournalError, what: &str) {
        let labels = [("input", self.context.name.as_str()), ("reason", "damaged")];
        let help = "Things that went wrong while reading";
        self.context.metrics.counter("sawyer_input_errors", help, &labels).inc();
        if let Some(held_back) = self.trouble.pass(self.context.clock.now()) {
            tracing::warn!(input = self.context.name, held_back, "{what}: {error}");
        }
    }
}

/// Files that were let go of and are remembered, beyond those that are open. More are looked into again.
const FINISHED_MAX: usize = 4096;

/// `system.journal`, `user-1000.journal`, archived ones, and those that journald set aside as damaged (`~`).
fn is_journal(name: &str) -> bool {
    name.ends_with(".journal") || name.ends_with(".journal~")
}
