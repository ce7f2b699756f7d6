//! Records from a program of the user's: each line that it prints is one.
//!
//! Owns: reading its lines, starting it again.
//! Does not own: starting and ending a program (`pipeline::process`), what is in NDJSON (`codec`).
//! Invariant: the program waits when the pipelines are full. What it printed cannot be read again, so what was not
//! made durable is told and counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sawyer_codec::join::Joined;
use sawyer_codec::line::{LineHead, LineWriter};
use sawyer_codec::ndjson_in::{NdjsonHead, NdjsonReader, Sender};
use sawyer_config::{At, Problems, Reference, Setting, Settings, choice, settings};
use sawyer_model::{Ack, Batch, Error, ErrorKind, Outcome, SeqRange, SourceId, Stream, Value, names};
use sawyer_pipeline::process::{CommandSettings, Process, ProcessError};
use sawyer_pipeline::{Context, Input, InputPlan, Kind, Outlet, Running, Stop, node_name};
use sawyer_telemetry::Counter;
use tokio::runtime::Handle;

use crate::random;

choice! {
    /// What the program prints.
    pub enum ExecFormat {
        /// One JSON object a line. A line that is none is kept as text and marked `malformed`.
        Ndjson = "ndjson",
        /// Text; a line is a message.
        Text = "text",
    }
    /// What to do when the program ends.
    pub enum Restart {
        /// Start it again after `interval`.
        Always = "always",
        /// Leave it.
        Never = "never",
    }
}

settings! {
    /// Runs a program and takes the lines that it prints. With `restart: always` and an `interval`, a program that
    /// prints and ends is asked again and again.
    pub struct ExecSettings {
        /// What the lines are.
        pub format: ExecFormat = ExecFormat::Ndjson,
        /// What to do when the program ends.
        pub restart: Restart = Restart::Always,
        /// How long to wait before it is started again.
        #[range(Duration::from_millis(100)..=Duration::from_secs(86_400 * 7))]
        pub interval: Duration = Duration::from_secs(5),
    }
}

/// Records wait this long for others to make a batch.
const BATCH_WAIT: Duration = Duration::from_millis(100);

/// Text in a batch after which it is sent.
const BATCH_TEXT_BYTES: usize = 512 << 10;

/// The kind `exec`.
pub(crate) fn kind() -> Kind<Box<dyn InputPlan>> {
    Kind { name: "exec", reference, read: Box::new(|at, problems| read(at, problems).map(|plan| plan as _)) }
}

fn reference() -> Reference {
    let mut reference = ExecSettings::reference();
    let own = std::mem::replace(&mut reference.entries, CommandSettings::reference().entries);
    reference.entries.extend(own);
    reference
}

fn read(at: &At<'_>, problems: &mut Problems) -> Option<Box<ExecPlan>> {
    let command = CommandSettings::read_part(at, problems);
    let settings = ExecSettings::read(&at.without(CommandSettings::KEYS), problems);
    let (command, settings) = command.zip(settings)?;
    let before = problems.len();
    command.check(at, problems);
    (problems.len() == before).then(|| Box::new(ExecPlan { command, settings }))
}

#[derive(Debug)]
struct ExecPlan {
    command: CommandSettings,
    settings: ExecSettings,
}

impl InputPlan for ExecPlan {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Input>, Error> {
        let node = node_name(context.host_root.as_deref()).map(|node| (names::NODE, Value::from(node)));
        let source = (names::SOURCE, Value::from(format!("exec:{}", context.name)));
        let stream = Arc::new(Stream::new(node.into_iter().chain([source])));
        let labels = [("input", context.name.as_str())];
        let counter = |name, help| context.metrics.counter(name, help, &labels);
        Ok(Box::new(Exec {
            plan: *self,
            stream,
            lines: counter("sawyer_input_lines", "Lines read, as they stand in files"),
            malformed: counter("sawyer_input_malformed_lines", "Lines without the form of their file"),
            context: context.clone(),
        }))
    }
}

struct Exec {
    plan: ExecPlan,
    context: Context,
    stream: Arc<Stream>,
    lines: Counter,
    malformed: Counter,
}

impl Input for Exec {
    fn run(self: Box<Self>, to: Outlet, stop: Stop) -> Running {
        Box::pin(async move {
            let runtime = Handle::current();
            let exec = Arc::new(*self);
            loop {
                let (this, outlet, stop_run, handle) =
                    (Arc::clone(&exec), to.clone(), stop.clone(), runtime.clone());
                let run = tokio::task::spawn_blocking(move || this.run_once(&outlet, &stop_run, &handle));
                let ended = run.await.map_err(|panic| {
                    Error::new(ErrorKind::Bug, "the reading thread panicked").because(panic)
                })?;
                exec.report(ended, &stop)?;
                if stop.is_stopped() {
                    return Ok(());
                }
                if exec.plan.settings.restart == Restart::Never {
                    stop.stopped().await;
                    return Ok(());
                }
                tokio::select! {
                    () = stop.stopped() => return Ok(()),
                    () = tokio::time::sleep(exec.plan.settings.interval) => {}
                }
            }
        })
    }
}

/// Why a run ended.
enum Ended {
    /// The program did, or could not be started.
    Program(ProcessError),
    /// Sawyer is stopping.
    Stopped,
    /// A pipeline did.
    Pipeline,
    /// The system has no random numbers.
    NoIdentity(std::io::Error),
}

impl Exec {
    fn report(&self, ended: Ended, stop: &Stop) -> Result<(), Error> {
        let input = &self.context.name;
        match ended {
            Ended::Stopped => {}
            Ended::Pipeline if stop.is_stopped() => {}
            Ended::Pipeline => return Err(Error::new(ErrorKind::Closed, "a pipeline has ended")),
            Ended::NoIdentity(error) => {
                return Err(Error::new(ErrorKind::Retry, "read random numbers").because(error));
            }
            Ended::Program(error @ ProcessError::Ended { .. }) => tracing::info!(input, "{error}"),
            Ended::Program(error) => {
                let error = Error::new(ErrorKind::Retry, "run the program").because(error);
                tracing::warn!(input, "{}", error.chain());
            }
        }
        Ok(())
    }

    fn run_once(&self, to: &Outlet, stop: &Stop, runtime: &Handle) -> Ended {
        let source = match random::source() {
            Ok(source) => source,
            Err(error) => return Ended::NoIdentity(error),
        };
        let mut process = match Process::start(&self.plan.command) {
            Ok(process) => process,
            Err(error) => return Ended::Program(error),
        };
        let mut run = Run::new(self, source);
        loop {
            let ended = match process.line(BATCH_WAIT) {
                Ok(line) => {
                    run.take(&line);
                    None
                }
                Err(ProcessError::Silent { .. }) => None,
                Err(error) => Some(Ended::Program(error)),
            };
            let ended = ended.or_else(|| stop.is_stopped().then_some(Ended::Stopped));
            if (ended.is_some() || run.is_due()) && !run.send(to, runtime) {
                return Ended::Pipeline;
            }
            if let Some(ended) = ended {
                return ended;
            }
        }
    }
}

/// One run of the program.
struct Run<'a> {
    exec: &'a Exec,
    source: SourceId,
    next: u64,
    batch: Batch,
    since: Instant,
    reader: NdjsonReader,
    writer: LineWriter,
}

impl<'a> Run<'a> {
    fn new(exec: &'a Exec, source: SourceId) -> Self {
        Self {
            exec,
            source,
            next: 0,
            batch: Batch::new(),
            since: Instant::now(),
            reader: NdjsonReader::default(),
            writer: LineWriter::default(),
        }
    }

    fn take(&mut self, line: &[u8]) {
        if self.batch.covered().is_empty() {
            self.since = Instant::now();
        }
        let range = SeqRange::new(self.next, self.next + 1);
        self.next += 1;
        self.exec.lines.inc();
        if line.iter().all(u8::is_ascii_whitespace) {
            return self.batch.cover(self.source, range);
        }
        let stream = self.batch.add_stream(&self.exec.stream);
        let observed = self.exec.context.clock.now();
        let mut malformed = false;
        if self.exec.plan.settings.format == ExecFormat::Ndjson {
            let head = NdjsonHead { source: self.source, range, observed, stream, sender: Sender::Program };
            if self.reader.read(line, &head, &mut self.batch).is_ok() {
                return;
            }
            malformed = true;
            self.exec.malformed.inc();
        }
        let head = LineHead { source: self.source, observed, stream, malformed };
        let whole =
            Joined { timestamp: observed, content: line.into(), range, covered: Vec::new(), cut: None };
        self.writer.write(&mut self.batch, head, &whole);
    }

    fn is_due(&self) -> bool {
        let waited = !self.batch.covered().is_empty() && self.since.elapsed() >= BATCH_WAIT;
        waited || self.batch.text_bytes() >= BATCH_TEXT_BYTES
    }

    /// Whether the pipelines still take something.
    fn send(&mut self, to: &Outlet, runtime: &Handle) -> bool {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return true;
        }
        let (name, metrics, count) =
            (self.exec.context.name.clone(), self.exec.context.metrics.clone(), batch.len());
        let ack = Ack::new(move |outcome| {
            if outcome == Outcome::Undelivered {
                let labels = [("input", name.as_str()), ("reason", "undelivered")];
                metrics.counter("sawyer_input_errors", "Things that went wrong while reading", &labels).inc();
                tracing::error!(
                    input = name,
                    records = count,
                    "records of a program were not made durable and are lost"
                );
            }
        });
        runtime.block_on(to.send(batch, ack)).is_ok()
    }
}
