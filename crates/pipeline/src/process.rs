//! A program of the user's that is spoken to in lines: what `exec` inputs, steps and outputs have in common.
//!
//! Owns: starting it, its pipes, ending it. Does not own: what the lines mean.
//! Invariant: whatever the program does, memory stays bounded and no call waits longer than it says.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use sawyer_config::{At, Problems, settings};
use sawyer_telemetry::Seldom;

settings! {
    /// How to start a program.
    pub struct CommandSettings {
        /// The program and its arguments. No shell is involved; name one to use it: `[sh, -c, "…"]`.
        pub command: Vec<String>,
        /// Variables to add to the environment.
        pub environment: BTreeMap<String, String> = BTreeMap::new(),
        /// The folder to start it in. Sawyer's own by default.
        pub directory: Option<PathBuf>,
    }
}

impl CommandSettings {
    /// Reports what is wrong beyond the types.
    pub fn check(&self, at: &At<'_>, problems: &mut Problems) {
        if self.command.first().is_none_or(String::is_empty) {
            problems.push(&at.key("command"), "expected the name of a program, found nothing");
        }
    }
}

/// Longest line that is taken from a program; the rest of a longer one is thrown away and the line is refused.
pub const LINE_BYTES_MAX: usize = 32 << 20;

/// Lines that wait to be asked for; a program that prints more waits until they are taken.
const LINES_WAITING_MAX: usize = 4096;

/// How long a program may take to end after its input was closed, before it is killed.
const END_GRACE: Duration = Duration::from_secs(2);

/// A running program.
#[derive(Debug)]
pub struct Process {
    child: std::process::Child,
    stdin: Option<std::process::ChildStdin>,
    lines: mpsc::Receiver<Vec<u8>>,
    name: String,
}

/// What can go wrong with a program.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("start program `{name}`")]
    Start {
        /// Its name.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// It does not take its input.
    #[error("write to program `{name}`")]
    Write {
        /// Its name.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// It said nothing for too long.
    #[error("program `{name}` did not answer within {waited:?}")]
    Silent {
        /// Its name.
        name: String,
        /// How long.
        waited: Duration,
    },
    /// It ended.
    #[error("program `{name}` ended ({status})")]
    Ended {
        /// Its name.
        name: String,
        /// How, as the system tells it.
        status: String,
    },
}

impl Process {
    /// Starts the program. What it prints on standard error goes to Sawyer's log, some lines a second.
    ///
    /// # Errors
    /// [`ProcessError::Start`].
    pub fn start(settings: &CommandSettings) -> Result<Self, ProcessError> {
        let name = settings.command.first().cloned().unwrap_or_default();
        let mut command = Command::new(&name);
        command.args(settings.command.iter().skip(1)).envs(&settings.environment);
        if let Some(directory) = &settings.directory {
            command.current_dir(directory);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let start = |source| ProcessError::Start { name: name.clone(), source };
        let mut child = command.spawn().map_err(start)?;
        let (sender, lines) = mpsc::sync_channel(LINES_WAITING_MAX);
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || read_lines(stdout, |line| sender.send(line).is_ok()));
        }
        if let Some(stderr) = child.stderr.take() {
            let name = name.clone();
            thread::spawn(move || log_lines(&name, stderr));
        }
        let stdin = child.stdin.take();
        Ok(Self { child, stdin, lines, name })
    }

    /// Writes to its standard input.
    ///
    /// # Errors
    /// [`ProcessError::Write`] when it does not read any more.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ProcessError> {
        let closed = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let written = self.stdin.as_mut().ok_or_else(closed).and_then(|stdin| stdin.write_all(bytes));
        written.map_err(|source| ProcessError::Write { name: self.name.clone(), source })
    }

    /// The next line of its standard output, without the line feed.
    ///
    /// # Errors
    /// [`ProcessError::Silent`] if none comes within `wait`; [`ProcessError::Ended`] once it has closed its output.
    pub fn line(&mut self, wait: Duration) -> Result<Vec<u8>, ProcessError> {
        self.lines.recv_timeout(wait).map_err(|why| match why {
            mpsc::RecvTimeoutError::Timeout => ProcessError::Silent { name: self.name.clone(), waited: wait },
            mpsc::RecvTimeoutError::Disconnected => {
                ProcessError::Ended { name: self.name.clone(), status: self.end() }
            }
        })
    }

    /// Closes its input, waits a little, and kills it if it does not end; says how it ended.
    pub fn end(&mut self) -> String {
        self.stdin = None;
        let deadline = Instant::now() + END_GRACE;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.to_string(),
                Ok(None) if Instant::now() < deadline => {
                    // Its output is drained meanwhile, so that it is not stuck writing.
                    let _ = self.lines.recv_timeout(Duration::from_millis(10));
                    thread::yield_now();
                }
                _ => break,
            }
        }
        // It may have ended just now; then there is nothing to kill.
        let _ = self.child.kill();
        self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.end();
        }
    }
}

/// Hands over lines until the end, or until `take` wants no more. Overlong lines are left out.
fn read_lines(from: impl Read, mut take: impl FnMut(Vec<u8>) -> bool) {
    let mut from = BufReader::new(from);
    loop {
        let mut line = Vec::new();
        let read = from.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line);
        match read {
            Ok(0) | Err(_) => return,
            Ok(_) if line.len() > LINE_BYTES_MAX => {
                if skip_line(&mut from).is_err() {
                    return;
                }
            }
            Ok(_) => {
                if line.last() == Some(&b'\n') {
                    line.pop();
                }
                if !take(line) {
                    return;
                }
            }
        }
    }
}

fn skip_line(from: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let buffer = from.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(buffer.len(), |end| end + 1);
        from.consume(used);
        if end.is_some() {
            return Ok(());
        }
    }
}

/// Passes on a line of a program's standard error at most this often.
const STDERR_LOG_INTERVAL: Duration = Duration::from_secs(1);

fn log_lines(name: &str, from: impl Read) {
    let seldom = Seldom::new(STDERR_LOG_INTERVAL);
    let clock = sawyer_telemetry::Clock::system();
    read_lines(from, |line| {
        if let Some(held_back) = seldom.pass(clock.now()) {
            let line = String::from_utf8_lossy(&line);
            tracing::warn!(program = name, held_back, "{}", line.trim_end());
        }
        true
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> CommandSettings {
        CommandSettings {
            command: ["sh", "-c", script].map(str::to_owned).into(),
            environment: BTreeMap::new(),
            directory: None,
        }
    }

    #[test]
    fn speaks_in_lines_both_ways() {
        let mut process = Process::start(&shell("while read -r x; do echo \"<$x>\"; done")).unwrap();
        process.write(b"one\ntwo\n").unwrap();
        assert_eq!(process.line(WAIT).unwrap(), b"<one>");
        assert_eq!(process.line(WAIT).unwrap(), b"<two>");
        assert_eq!(process.end(), "exit status: 0");
    }

    #[test]
    fn tells_a_silent_program_from_one_that_ended() {
        let mut process = Process::start(&shell("read x; exit 3")).unwrap();
        assert!(matches!(process.line(Duration::from_millis(20)), Err(ProcessError::Silent { .. })));
        process.write(b"\n").unwrap();
        let error = process.line(WAIT).unwrap_err();
        assert_eq!(error.to_string(), "program `sh` ended (exit status: 3)");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let settings = CommandSettings { command: vec!["no-such-program".into()], ..shell("") };
        assert_eq!(Process::start(&settings).unwrap_err().to_string(), "start program `no-such-program`");
    }

    #[test]
    fn overlong_lines_are_left_out() {
        let mut text = vec![b'x'; LINE_BYTES_MAX + 10];
        text.extend(b"\nshort\n");
        let mut lines = Vec::new();
        read_lines(&text[..], |line| {
            lines.push(line);
            true
        });
        assert_eq!(lines, [b"short"]);
    }
}
