//! Reads files that others write and rotate, every line once.
//!
//! Owns: following files through rotation, compression, truncation and removal; progress and its acknowledgement.
//! Does not own: which files ([`layout`], implemented by `containers` and `files`), what lines mean (`codec`).
//! Invariant: a byte that was read is in exactly one of three places: in a batch that is on its way, held by a
//! joiner, or in the offsets as durable. Whatever falls out of the first two is read again.
//!
//! One thread reads for each input. It takes turns among the files that have something to read, a bounded chunk
//! at a time, so no file starves another; it waits for the pipelines when they are full and for acknowledgements
//! when too much is on its way. Files are told apart by what they contain, not by their names, so a rotated file
//! goes on where the live one was.

mod content;
pub(crate) mod encoding;
mod file;
pub(crate) mod flight;
pub(crate) mod folders;
pub(crate) mod glob;
pub(crate) mod layout;
pub(crate) mod lines;
mod meters;
mod reader;
pub(crate) mod resolve;
mod speaker;
pub(crate) mod watch;

pub(crate) use content::FileStat;

use std::time::Duration;

use sawyer_config::{ByteSize, choice, settings};
use sawyer_model::{Error, ErrorKind};
use sawyer_pipeline::{Context, Input, Outlet, Running, Stop};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use self::flight::Flight;
use self::layout::Layout;
use self::reader::Reader;
pub(crate) use self::reader::RotateSettings;
use self::watch::Waker;
use crate::offsets::{Found, Offsets};
use crate::positions::{self, ImportSettings, Position};

choice! {
    /// Where to start in files that are there when Sawyer starts for the first time.
    pub enum ReadFrom {
        /// At their beginning, rotated siblings included.
        Beginning = "beginning",
        /// At their end.
        End = "end",
    }
}

settings! {
    /// What all inputs that read files have in common.
    pub struct TailSettings {
        /// Longest line that is kept whole. Of longer ones head and tail are kept, with length and hash, and the
        /// record is marked `cut`. Larger bounds hold more memory.
        #[range(ByteSize::kib(1)..=ByteSize::mib(8))]
        pub line_max: ByteSize = ByteSize::mib(1),
        /// How often all folders are looked through, in case the system did not tell of a change. Changes that it
        /// tells of are seen at once.
        #[range(Duration::from_millis(100)..=Duration::from_secs(600))]
        pub sweep_interval: Duration = Duration::from_secs(10),
        /// How many files of a log there are, with the one that is written, before the oldest is removed: what the
        /// kubelet calls `containerLogMaxFiles`. What is not safe of the oldest is read first, and goes on into the
        /// buffers of outputs, as far as `spill_max` there, when these are full. The one that is written is no oldest one:
        /// with 1, only what is left of removed files counts.
        #[range(1..=1000)]
        pub files_kept: u32 = 5,
        /// Where to start in files that are there at the first start.
        pub read_from: ReadFrom = ReadFrom::Beginning,
        /// Leave out files that were last written longer ago than this when they are first seen. None by default.
        pub ignore_older: Option<Duration>,
        /// Positions of other collectors, to go on from at the first start: what they passed on is not read again.
        pub import: Vec<ImportSettings> = Vec::new(),
        /// How long the offsets of a file are kept after it is gone. A file that comes back later is read again.
        #[range(Duration::from_secs(3600)..=Duration::from_secs(3650 * 86_400))]
        pub forget_after: Duration = Duration::from_secs(7 * 86_400),
    }
}

/// A tail that is open and does not run yet.
pub(crate) struct Tail {
    layout: Box<dyn Layout>,
    settings: TailSettings,
    context: Context,
    offsets: Offsets,
    first_start: bool,
    positions: Vec<Position>,
}

impl Tail {
    /// Reads the offsets of earlier runs.
    pub(crate) fn open(
        layout: Box<dyn Layout>,
        mut settings: TailSettings,
        context: &Context,
    ) -> Result<Self, Error> {
        let now = context.clock.now();
        let (mut offsets, found) = Offsets::open(&context.state, now).map_err(|error| {
            Error::new(ErrorKind::Retry, "read the offsets of earlier runs").because(error)
        })?;
        offsets.keep_books(context.metrics.ledger(), &context.name);
        warn_damaged(&found, context);
        let first_start = found == Found::Nothing;
        let positions = if first_start { import(&mut settings, context) } else { Vec::new() };
        Ok(Self { layout, settings, context: context.clone(), offsets, first_start, positions })
    }

    fn report_places(&self) {
        for (place, there) in self.layout.places() {
            let place = place.display();
            if there {
                tracing::info!(input = self.context.name, "reads {place}");
            } else {
                tracing::info!(input = self.context.name, "{place} is not there; will look again");
            }
        }
    }
}

/// The positions of others. Where they cannot be read, all is read from its beginning: rather twice than not at all.
fn import(settings: &mut TailSettings, context: &Context) -> Vec<Position> {
    let mut positions = Vec::new();
    for ImportSettings { from, path } in &settings.import {
        match positions::import(context, *from, path, |path| positions::read(*from, path)) {
            Some(read) => positions.extend(read),
            None => settings.read_from = ReadFrom::Beginning,
        }
    }
    positions
}

impl Input for Tail {
    fn run(self: Box<Self>, to: Outlet, stop: Stop) -> Running {
        Box::pin(async move {
            self.report_places();
            let mut reader = Reader::new(*self, stop.clone())
                .map_err(|error| Error::new(ErrorKind::Retry, "make an event descriptor").because(error))?;
            let waker = reader.waker();
            let flight = Flight::new(Handle::current(), to, waker.clone()).minds_spill();
            let companion = reader.companion();
            let reading = on_thread(stop, waker, move || reader.run(flight));
            match companion {
                None => reading.await,
                Some(companion) => tokio::select! {
                    ended = reading => ended,
                    () = companion => Err(Error::new(ErrorKind::Bug, "whoever asks about the files has ended")),
                },
            }
        })
    }
}

/// Says that progress was lost, and what that means.
pub(crate) fn warn_damaged(found: &Found, context: &Context) {
    let Found::Damaged(why, aside) = found else { return };
    tracing::warn!(
        input = context.name,
        aside,
        "the offsets file cannot be used and was set aside, so all is read from its beginning; what the store has \
         already is not stored again: {why}"
    );
}

/// Runs a reader on a thread of its own, and wakes it when it is to stop.
pub(crate) async fn on_thread(
    stop: Stop,
    waker: Waker,
    work: impl FnOnce() -> Result<(), Error> + Send + 'static,
) -> Result<(), Error> {
    let (done, ended) = oneshot::channel();
    let thread = std::thread::Builder::new().name("sawyer-input".into());
    let spawned = thread.spawn(move || {
        // Nobody listens if the runtime is ending; then there is nothing to tell.
        let _ = done.send(work());
    });
    spawned.map_err(|error| Error::new(ErrorKind::Retry, "start a thread").because(error))?;
    let wake = async {
        stop.stopped().await;
        waker.wake();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = ended => {
            ended.unwrap_or_else(|_| Err(Error::new(ErrorKind::Bug, "the reading thread panicked")))
        }
        () = wake => Ok(()),
    }
}
