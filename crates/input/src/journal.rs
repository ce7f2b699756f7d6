//! The systemd journal, read from its files.
//!
//! Owns: finding journal files, following them through rotation, which entries are left out.
//! Does not own: the format of the files and what their fields mean (`codec`).
//! Invariant: an entry is known by its number in the journal's sequence, whichever file it lies in; an entry that
//! cannot be read costs itself alone.
//!
//! journald numbers all entries of a machine in one sequence and spreads them over files: one for the system, one
//! for each user, archived ones. So progress is a set of numbers, and each file is read from the first number of
//! its own that is not durable yet.

mod adopt;
mod file;
mod machine;
mod missed;
mod reader;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sawyer_codec::journal::Entry;
use sawyer_config::{At, Problems, Setting, Settings, settings};
use sawyer_model::{Error, ErrorKind};
use sawyer_pipeline::{Context, Input, InputPlan, Kind, Outlet, Running, Stop};
use tokio::runtime::Handle;

use self::reader::Reader;
use crate::offsets::{Found, Offsets};
use crate::positions::{self, Collector, Cursor, CursorImportSettings};
use crate::tail::flight::Flight;
use crate::tail::{ReadFrom, glob, on_thread, warn_damaged};

settings! {
    /// Reads the systemd journal from its files, without any program or library of systemd.
    pub struct JournalSettings {
        /// Folders with journal files, or with one folder of them for each machine.
        pub folders: Vec<PathBuf> = ["/var/log/journal", "/run/log/journal"].map(PathBuf::from).into(),
        /// Only entries of these units, with `*` and `?`: what they say, and what systemd says of them, as `journalctl -u`
        /// shows it. All, and those of no unit, if left out.
        pub units: Vec<String> = Vec::new(),
        /// No entries of these units, nor of systemd about them.
        pub exclude_units: Vec<String> = Vec::new(),
        /// Where to start in the journal that is there at the first start.
        pub read_from: ReadFrom = ReadFrom::Beginning,
        /// Cursors of other collectors, to go on from at the first start: what they passed on is not read again.
        pub import: Vec<CursorImportSettings> = Vec::new(),
        /// How often the folders are looked through, in case the system did not tell of a change.
        #[range(Duration::from_millis(100)..=Duration::from_secs(600))]
        pub sweep_interval: Duration = Duration::from_secs(10),
        /// How long the progress in a journal is kept after its files are gone.
        #[range(Duration::from_secs(3600)..=Duration::from_secs(3650 * 86_400))]
        pub forget_after: Duration = Duration::from_secs(7 * 86_400),
        /// The node's name for entries of this machine. By default `$NODE_NAME`, else the machine's host name.
        pub node: Option<String>,
        /// The cluster's name, for the field `cluster`. None by default.
        pub cluster: Option<String>,
        /// Whether the folders are paths of the node, to be looked for below `--host-root`.
        pub on_host: bool = true,
    }
}

/// The kind `journal`.
pub(crate) fn kind() -> Kind<Box<dyn InputPlan>> {
    Kind {
        name: "journal",
        reference: JournalSettings::reference,
        read: Box::new(|at, problems| read(at, problems).map(|plan| plan as _)),
    }
}

fn read(at: &At<'_>, problems: &mut Problems) -> Option<Box<JournalPlan>> {
    JournalSettings::read(at, problems).map(|settings| Box::new(JournalPlan(settings)))
}

#[derive(Debug)]
struct JournalPlan(JournalSettings);

impl JournalSettings {
    /// Whether an entry is wanted.
    fn wants(&self, entry: &Entry) -> bool {
        if self.units.is_empty() && self.exclude_units.is_empty() {
            return true;
        }
        let units: Vec<&str> = units_of(entry).collect();
        let one_of = |patterns: &[String]| {
            units.iter().any(|unit| patterns.iter().any(|pattern| glob::matches(pattern, unit)))
        };
        (self.units.is_empty() || one_of(&self.units)) && !one_of(&self.exclude_units)
    }
}

/// The units that an entry is of or about. What has no `_` in front anybody may write, so it counts only from those of whom
/// `journalctl` believes it: systemd itself, and root.
fn units_of(entry: &Entry) -> impl Iterator<Item = &str> {
    let is = |name: &str, value: &[u8]| entry.get(name) == Some(value);
    let (by_systemd, by_root) = (is("_PID", b"1"), is("_UID", b"0"));
    let names = [
        ("_SYSTEMD_UNIT", true),
        ("_SYSTEMD_USER_UNIT", true),
        ("UNIT", by_systemd),
        ("OBJECT_SYSTEMD_UNIT", by_root),
        ("COREDUMP_UNIT", by_root),
    ];
    names
        .into_iter()
        .filter(|(_, counts)| *counts)
        .filter_map(|(name, _)| str::from_utf8(entry.get(name)?).ok())
}

impl InputPlan for JournalPlan {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Input>, Error> {
        let (mut offsets, found) = Offsets::open(&context.state, context.clock.now()).map_err(|error| {
            Error::new(ErrorKind::Retry, "read the progress of earlier runs").because(error)
        })?;
        offsets.keep_books(context.metrics.ledger(), &context.name);
        warn_damaged(&found, context);
        let first_start = found == Found::Nothing;
        let mut settings = self.0;
        let cursors = if first_start { import(&mut settings, context) } else { Vec::new() };
        Ok(Box::new(Journal { settings, context: context.clone(), offsets, first_start, cursors }))
    }
}

/// The cursors of others, and who wrote each. Where they cannot be read, all is read from its beginning: rather twice than
/// not at all.
fn import(settings: &mut JournalSettings, context: &Context) -> Vec<(Collector, Cursor)> {
    let mut cursors = Vec::new();
    for CursorImportSettings { from, path, job } in &settings.import {
        let read = |path: &Path| positions::read_cursors(*from, path, job.as_deref());
        match positions::import(context, *from, path, read) {
            Some(read) => cursors.extend(read.into_iter().map(|cursor| (*from, cursor))),
            None => settings.read_from = ReadFrom::Beginning,
        }
    }
    cursors
}

/// A journal input that is open and does not run yet.
struct Journal {
    settings: JournalSettings,
    context: Context,
    offsets: Offsets,
    first_start: bool,
    cursors: Vec<(Collector, Cursor)>,
}

impl Input for Journal {
    fn run(self: Box<Self>, to: Outlet, stop: Stop) -> Running {
        Box::pin(async move {
            let reader = Reader::new(*self, stop.clone())
                .map_err(|error| Error::new(ErrorKind::Retry, "make an event descriptor").because(error))?;
            let waker = reader.waker();
            let flight = Flight::new(Handle::current(), to, waker.clone());
            on_thread(stop, waker, move || reader.run(flight)).await
        })
    }
}
