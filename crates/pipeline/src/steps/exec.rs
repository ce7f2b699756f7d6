//! The step `exec`: a program of the user's works on the records.
//!
//! Owns: what is written to the program and what its answers mean; when it is started again.
//! Does not own: the program's pipes (`process`), the form of records in JSON (`codec`).
//! Invariant: every record comes out at most once, under its own name, in its place; what the program does or fails
//! to do holds nothing up for longer than the time-out allows.
//!
//! Records are written as one JSON object a line, as the HTTP API shows them. For each of them the program prints one
//! line, in the same order: a JSON object (the record's fields from now on) or `null` (drop it).

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use sawyer_codec::json_out;
use sawyer_codec::ndjson_in::{NdjsonHead, NdjsonReader, Sender};
use sawyer_config::{choice, settings};
use sawyer_model::{Batch, Error, Fate, LeftOut, RecordHead, RecordId, RecordRef, Transfer, names};
use sawyer_telemetry::{Clock, Counter, Seldom};

use super::{Condition, dropped, labels};
use crate::backoff::Backoff;
use crate::component::{Context, Kind, Step, StepPlan};
use crate::process::{CommandSettings, LINES_WAITING_MAX, Process, ProcessError};

#[cfg(test)]
mod tests;

/// Most records that are written before their answers are read. More would need a larger pipe in between; fewer would
/// wait more often.
const RECORDS_AHEAD_MAX: usize = 1000;

const _: () = assert!(RECORDS_AHEAD_MAX <= LINES_WAITING_MAX, "answers wait while records are still written");

/// Bytes that are written before answers are read; one record may be larger.
const BYTES_AHEAD_MAX: usize = 1 << 20;

/// Shortest and longest pause before a program that failed is started again.
const RESTART_PAUSE_MIN: Duration = Duration::from_millis(500);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(60);

/// How often failures are told in the log.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

choice! {
    /// What becomes of a record that the program did not work on.
    pub enum OnError {
        /// It goes on as it was, marked `step_failed` in `sawyer.mark`.
        Pass = "pass",
        /// It is dropped, and counted.
        Drop = "drop",
    }
}

settings! {
    /// Lets a program work on records. It reads one JSON object a line on its standard input, in the form in which
    /// the HTTP API shows records, and prints one line for each of them, in the same order: a JSON object, whose
    /// fields the record has from now on, or `null`, which drops the record. There is no way to make several records
    /// of one. The record's `observed` and stream (namespace, pod, container …) stay whatever it prints; a name of the
    /// stream that is given another value says so for this record only. An answer without an `_id` is to the record
    /// whose turn it is; one with another `_id` is to none, and the record counts as not worked on. The program has to
    /// flush its output after each line, at least when it waits for input. If it ends, it is started again, after a
    /// pause.
    pub struct ExecStepSettings {
        /// How long the program may take to read records, and to answer one, before it is killed and started again.
        #[range(Duration::from_millis(1)..=Duration::from_secs(3600))]
        pub timeout: Duration = Duration::from_secs(10),
        /// What becomes of records that the program did not work on: it failed, or its answer is none.
        pub on_error: OnError = OnError::Pass,
        /// Which records the program works on, in KQL; others go on as they are. All by default.
        pub when: Option<Condition>,
    }
}

/// The kind `exec`.
pub(super) fn kind() -> Kind<Box<dyn StepPlan>> {
    Kind {
        name: "exec",
        reference: CommandSettings::reference_beside::<ExecStepSettings>,
        read: Box::new(|at, problems| {
            let (settings, command) = CommandSettings::read_beside(at, problems)?;
            Some(Box::new(ExecPlan { settings, command }))
        }),
    }
}

#[derive(Debug)]
struct ExecPlan {
    settings: ExecStepSettings,
    command: CommandSettings,
}

impl StepPlan for ExecPlan {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Step>, Error> {
        let counter = |name, help| context.metrics.counter(name, help, &labels(context));
        Ok(Box::new(Exec {
            dropped: dropped(context, "program"),
            dropped_failed: dropped(context, "on_error"),
            failed: counter("sawyer_step_failed_records", "Records that a step could not work on"),
            restarts: counter("sawyer_step_program_starts", "Starts of a step's program"),
            name: context.name.clone(),
            clock: context.clock.clone(),
            program: Program::Paused { until: Instant::now() },
            backoff: Backoff::new(RESTART_PAUSE_MIN, RESTART_PAUSE_MAX),
            reader: NdjsonReader::default(),
            log: Seldom::new(LOG_INTERVAL),
            plan: *self,
        }))
    }
}

struct Exec {
    plan: ExecPlan,
    name: String,
    clock: Clock,
    program: Program,
    backoff: Backoff,
    reader: NdjsonReader,
    log: Seldom,
    dropped: Counter,
    dropped_failed: Counter,
    failed: Counter,
    restarts: Counter,
}

enum Program {
    Running(Process),
    /// It failed, or was never started.
    Paused {
        until: Instant,
    },
}

/// Why a record was not worked on.
#[derive(Debug, thiserror::Error)]
enum ExecError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("the program failed and is started again later")]
    Paused,
    #[error("an answer is neither a record in JSON nor `null`")]
    Answer(#[source] sawyer_codec::ndjson_in::NdjsonError),
    #[error(
        "an answer belongs to another record, so answers are out of step: expected={expected} found={found}"
    )]
    OutOfStep { expected: RecordId, found: RecordId },
}

/// The rules in the ledger.
static PROGRAM: LazyLock<Arc<str>> = LazyLock::new(|| "program".into());
static ON_ERROR: LazyLock<Arc<str>> = LazyLock::new(|| "on_error".into());

/// What became of a record.
enum Answer {
    /// It is the record at this place of the batch of answers.
    Changed(usize),
    Dropped,
    /// It passes unchanged, without a mark: the program had nothing to do with it.
    Untouched,
    Failed,
}

impl Step for Exec {
    fn apply(&mut self, mut transfer: Transfer, out: &mut Vec<Transfer>) {
        let batch = &*transfer.batch;
        let mut answers = Answers::default();
        let mut at = 0;
        while at < batch.len() {
            at = self.work_on_chunk(batch, at, &mut answers);
        }
        for (rule, which) in [(&*PROGRAM, false), (&*ON_ERROR, true)] {
            transfer.ack.note(Fate::Filtered, rule, &self.left_out(batch, &answers, which));
        }
        let batch = self.assemble(batch, &answers);
        out.push(Transfer { batch: batch.into(), ack: transfer.ack });
    }

    fn finish(&mut self, _out: &mut Vec<Transfer>) {
        self.program = Program::Paused { until: Instant::now() };
    }
}

/// The answers to a batch.
#[derive(Default)]
struct Answers {
    /// One for each record of the batch, in its order.
    list: Vec<Answer>,
    records: Batch,
}

impl Exec {
    /// Writes records from `start` on and reads the answers; gives the first record that was not written.
    fn work_on_chunk(&mut self, batch: &Batch, start: usize, answers: &mut Answers) -> usize {
        let mut lines = Vec::new();
        let mut asked = VecDeque::new();
        let mut end = start;
        while end < batch.len() && asked.len() < RECORDS_AHEAD_MAX && lines.len() < BYTES_AHEAD_MAX {
            let record = batch.get(end);
            if self.plan.settings.when.as_ref().is_none_or(|when| when.matches(record)) {
                json_out::write(record, &json_out::Options::default(), &mut lines);
                lines.push(b'\n');
                asked.push_back(end);
            }
            end += 1;
        }
        let mut written = if asked.is_empty() { Ok(()) } else { self.write(lines) };
        for at in start..end {
            if asked.front() != Some(&at) {
                answers.list.push(Answer::Untouched);
                continue;
            }
            asked.pop_front();
            let answer = match std::mem::replace(&mut written, Ok(())) {
                Ok(()) => self.read(batch.get(at), &mut answers.records),
                Err(error) => Err(error),
            };
            answers.list.push(answer.unwrap_or_else(|error| self.note(&error)));
        }
        end
    }

    /// Writes lines to the program, which is started if it does not run.
    fn write(&mut self, lines: Vec<u8>) -> Result<(), ExecError> {
        if let Program::Paused { until } = self.program {
            if Instant::now() < until {
                return Err(ExecError::Paused);
            }
            match Process::start(&self.plan.command) {
                Ok(process) => self.program = Program::Running(process),
                Err(error) => return Err(self.pause(error.into())),
            }
            self.restarts.inc();
        }
        let Program::Running(process) = &mut self.program else { return Err(ExecError::Paused) };
        let written = process.write(lines, self.plan.settings.timeout);
        written.map_err(|error| self.pause(error.into()))
    }

    /// Reads the answer to a record.
    fn read(&mut self, asked: RecordRef<'_>, records: &mut Batch) -> Result<Answer, ExecError> {
        let Program::Running(process) = &mut self.program else { return Err(ExecError::Paused) };
        let line = match process.line(self.plan.settings.timeout) {
            Ok(line) => line,
            Err(error) => return Err(self.pause(error.into())),
        };
        self.backoff.worked();
        if line.trim_ascii() == b"null" {
            return Ok(Answer::Dropped);
        }
        let head = NdjsonHead {
            source: asked.source(),
            range: asked.range(),
            observed: asked.timestamp(),
            stream: records.add_stream(asked.stream()),
            sender: Sender::Step,
        };
        self.reader.read(&line, &head, records).map_err(ExecError::Answer)?;
        let at = records.len() - 1;
        let (expected, found) = (asked.id(), records.get(at).id());
        if expected != found {
            return Err(self.pause(ExecError::OutOfStep { expected, found }));
        }
        Ok(Answer::Changed(at))
    }

    /// Ends the program; it is started again after a while.
    fn pause(&mut self, error: ExecError) -> ExecError {
        self.program = Program::Paused { until: Instant::now() + self.backoff.failed() };
        error
    }

    /// Counts a record that was not worked on, and tells why from time to time.
    fn note(&mut self, error: &ExecError) -> Answer {
        self.failed.inc();
        if !matches!(error, ExecError::Paused)
            && let Some(held_back) = self.log.pass(self.clock.now())
        {
            let on_error = self.plan.settings.on_error;
            let error: &dyn std::error::Error = error;
            let cause = error.source().map(tracing::field::display);
            tracing::warn!(step = self.name, error, cause, held_back, %on_error, "work on records by a program");
        }
        Answer::Failed
    }

    /// What does not go on: because the program said so, or because it failed.
    fn left_out(&self, batch: &Batch, answers: &Answers, failed: bool) -> LeftOut {
        let mut all = LeftOut::default();
        let drops = self.plan.settings.on_error == OnError::Drop;
        for (record, answer) in batch.iter().zip(&answers.list) {
            let left_out = match answer {
                Answer::Dropped => !failed,
                Answer::Failed => failed && drops,
                Answer::Changed(_) | Answer::Untouched => false,
            };
            if left_out {
                all.add(record);
            }
        }
        all
    }

    /// The batch as it goes on.
    fn assemble(&self, batch: &Batch, answers: &Answers) -> Batch {
        let mut result = Batch::new();
        for covered in batch.covered() {
            result.cover(covered.source, covered.range);
        }
        for (record, answer) in batch.iter().zip(&answers.list) {
            match answer {
                Answer::Changed(at) => push_changed(&mut result, record, answers.records.get(*at)),
                Answer::Untouched => result.push_ref(record),
                Answer::Dropped => drop(self.dropped.inc()),
                Answer::Failed if self.plan.settings.on_error == OnError::Drop => {
                    self.dropped_failed.inc();
                }
                Answer::Failed => {
                    result.push_ref(record);
                    result.edit(result.len() - 1).mark(names::MARK_STEP_FAILED);
                }
            }
        }
        result
    }
}

/// Adds a record with the fields of an answer. What its stream says is not repeated as its own.
fn push_changed(batch: &mut Batch, record: RecordRef<'_>, answer: RecordRef<'_>) {
    let stream = batch.add_stream(record.stream());
    let head = RecordHead { timestamp: answer.timestamp(), ..record.head() };
    let mut writer = batch.begin(head, stream);
    for (name, value) in answer.own_fields() {
        if record.stream().get(name).is_none_or(|known| known.as_ref() != value) {
            writer.field(name, value);
        }
    }
}
