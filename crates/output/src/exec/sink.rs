//! Lines into a program, and its answers.
//!
//! Invariant: at most [`RECORDS_AHEAD_MAX`] records are unanswered, so that neither side waits for ever for the other.

use std::time::Duration;

use sawyer_codec::fields::FieldSink;
use sawyer_codec::json::{Scratch, flatten};
use sawyer_model::{Error, ErrorKind, ValueRef};
use sawyer_pipeline::process::{CommandSettings, LINES_WAITING_MAX, Process, ProcessError};

use super::settings::{Acknowledge, ExecOutputSettings};
use crate::lines::{Lines, Sink};

/// Most records that are written before their answers are read.
const RECORDS_AHEAD_MAX: usize = 1000;

/// How long answers of a program are waited for that takes no more records.
const LAST_ANSWERS_TIMEOUT: Duration = Duration::from_secs(1);

const _: () = assert!(RECORDS_AHEAD_MAX <= LINES_WAITING_MAX, "answers wait while records are still written");

pub(super) struct ExecSink {
    settings: ExecOutputSettings,
    command: CommandSettings,
    process: Option<Process>,
    scratch: Scratch,
}

/// What a line says of a record.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Taken,
    Refused(String),
    None,
}

impl ExecSink {
    pub(super) fn new(settings: ExecOutputSettings, command: CommandSettings) -> Self {
        Self { settings, command, process: None, scratch: Scratch::default() }
    }

    /// Writes what is left; stops at the first failure.
    fn try_write(&mut self, lines: &mut Lines) -> Result<(), Error> {
        let hears = self.settings.acknowledge == Acknowledge::Answered;
        let start = if hears { Process::start } else { Process::start_unheard };
        let process = match &mut self.process {
            Some(process) => process,
            none => none.insert(start(&self.command).map_err(failed)?),
        };
        while lines.done < lines.len() {
            let end = lines.len().min(lines.done + RECORDS_AHEAD_MAX);
            let written = process.write(lines.part(lines.done..end).to_vec(), self.settings.timeout);
            if !hears {
                written.map_err(failed)?;
                lines.done = end;
                continue;
            }
            // A program that ended in the middle has answered what came before.
            let timeout = if written.is_ok() { self.settings.timeout } else { LAST_ANSWERS_TIMEOUT };
            while lines.done < end {
                let line = match process.line(timeout) {
                    Ok(line) => line,
                    Err(error) => return Err(failed(written.err().unwrap_or(error))),
                };
                match answer(&line, &mut self.scratch) {
                    Answer::Taken => {}
                    Answer::Refused(why) => lines.refused.push((lines.done, why)),
                    Answer::None => return Err(no_answer(&line)),
                }
                lines.done += 1;
            }
        }
        Ok(())
    }
}

impl Sink for ExecSink {
    fn write(&mut self, lines: &mut Lines) -> Result<(), Error> {
        let written = self.try_write(lines);
        if written.is_err() {
            self.process = None;
        }
        written
    }

    fn close(&mut self) {
        self.process = None;
    }
}

fn failed(error: ProcessError) -> Error {
    Error::new(ErrorKind::Retry, "give records to a program").because(error)
}

fn no_answer(line: &[u8]) -> Error {
    const SHOWN_BYTES_MAX: usize = 100;
    let shown = String::from_utf8_lossy(&line[..line.len().min(SHOWN_BYTES_MAX)]).into_owned();
    Error::new(ErrorKind::Retry, format!("expected `ok` or a JSON object from the program, found {shown:?}"))
}

fn answer(line: &[u8], scratch: &mut Scratch) -> Answer {
    let line = line.trim_ascii();
    if line == b"ok" {
        return Answer::Taken;
    }
    let mut found = ErrorField::default();
    let object = str::from_utf8(line).is_ok_and(|line| flatten(line, scratch, &mut found).is_ok());
    match found.0 {
        _ if !object => Answer::None,
        Some(why) => Answer::Refused(why),
        None => Answer::Taken,
    }
}

/// What an object has under `error`.
#[derive(Default)]
struct ErrorField(Option<String>);

impl FieldSink for ErrorField {
    fn field(&mut self, name: &str, value: ValueRef<'_>) {
        if name != "error" && !name.starts_with("error.") || value == ValueRef::Null {
            return;
        }
        let text = value.as_str().map_or_else(|| format!("{value:?}"), str::to_owned);
        self.0.get_or_insert(text);
    }

    fn list(&mut self, _: &str) {}

    fn reset(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_ok_or_objects() {
        let of = |line: &str| answer(line.as_bytes(), &mut Scratch::default());
        let refused = |why: &str| Answer::Refused(why.into());
        assert_eq!(of("ok"), Answer::Taken);
        assert_eq!(of(" ok\r"), Answer::Taken);
        assert_eq!(of("{}"), Answer::Taken);
        assert_eq!(of(r#"{"status":"ok","error":null}"#), Answer::Taken);
        assert_eq!(of(r#"{"error":"too old","code":4}"#), refused("too old"));
        assert_eq!(of(r#"{"error":{"type":"x","reason":"y"}}"#), refused("x"));
        for line in ["", "OK then", "[]", "null", "{", "\u{0}"] {
            assert_eq!(of(line), Answer::None, "{line:?}");
        }
    }
}
