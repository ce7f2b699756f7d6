//! A program of the user's that is spoken to in lines: what `exec` inputs, steps and outputs have in common.
//!
//! Owns: starting it, its pipes, ending it. Does not own: what the lines mean.
//! Invariant: whatever the program does, memory stays bounded and no call waits longer than it says.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use sawyer_config::{At, Problems, Reference, Setting, Settings, settings};
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
    /// Reads a component's own settings and, from the same map, how to start its program; checks the latter.
    pub fn read_beside<S: Settings>(at: &At<'_>, problems: &mut Problems) -> Option<(S, Self)> {
        let own = S::read_part(at, problems);
        let command = Self::read(&at.without(S::KEYS), problems);
        if let Some(command) = &command {
            command.check(at, problems);
        }
        own.zip(command)
    }

    /// The manual of a component whose settings are read by [`CommandSettings::read_beside`].
    #[must_use]
    pub fn reference_beside<S: Settings>() -> Reference {
        let mut reference = S::reference();
        reference.entries.splice(0..0, Self::reference().entries);
        reference
    }

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
pub const LINES_WAITING_MAX: usize = 4096;

/// How long a program may take to end after its input was closed, before it is killed.
const END_GRACE: Duration = Duration::from_secs(2);

/// How often it is looked whether the program has ended meanwhile.
const END_LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// A running program, in a process group of its own: what it started is killed with it.
#[derive(Debug)]
pub struct Process {
    child: std::process::Child,
    /// To the thread that writes to its input; none once that is closed.
    input: Option<mpsc::SyncSender<Vec<u8>>>,
    written: mpsc::Receiver<std::io::Result<()>>,
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
    /// It does not read its input.
    #[error("program `{name}` did not read its input within {waited:?}")]
    Stuck {
        /// Its name.
        name: String,
        /// How long.
        waited: Duration,
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
        Self::start_with(settings, Stdio::piped())
    }

    /// Starts a program of which nobody wants to read anything: what it prints is thrown away.
    ///
    /// # Errors
    /// [`ProcessError::Start`].
    pub fn start_unheard(settings: &CommandSettings) -> Result<Self, ProcessError> {
        Self::start_with(settings, Stdio::null())
    }

    fn start_with(settings: &CommandSettings, output: Stdio) -> Result<Self, ProcessError> {
        let name = settings.command.first().cloned().unwrap_or_default();
        let mut command = Command::new(&name);
        command.args(settings.command.iter().skip(1)).envs(&settings.environment);
        if let Some(directory) = &settings.directory {
            command.current_dir(directory);
        }
        command.stdin(Stdio::piped()).stdout(output).stderr(Stdio::piped()).process_group(0);
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
        let (input, to_write) = mpsc::sync_channel(1);
        let (tell, written) = mpsc::sync_channel(1);
        if let Some(stdin) = child.stdin.take() {
            thread::spawn(move || write_all(stdin, &to_write, &tell));
        }
        Ok(Self { child, input: Some(input), written, lines, name })
    }

    /// Writes to its standard input, and returns once all of it is in the pipe. After an error nothing more can be
    /// written.
    ///
    /// # Errors
    /// [`ProcessError::Ended`] when it has ended, and [`ProcessError::Write`] when it does not read any more;
    /// [`ProcessError::Stuck`] if it has not read enough within `wait`.
    pub fn write(&mut self, bytes: Vec<u8>, wait: Duration) -> Result<(), ProcessError> {
        let closed = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let taken = self.input.as_ref().is_some_and(|input| input.send(bytes).is_ok());
        let written = if taken { self.written.recv_timeout(wait) } else { Ok(Err(closed())) };
        let written = match written {
            Ok(written) => written,
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(closed()),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                self.input = None;
                return Err(ProcessError::Stuck { name: self.name.clone(), waited: wait });
            }
        };
        written.map_err(|source| {
            self.input = None;
            let name = self.name.clone();
            // Whoever reads that a pipe is broken wants to know why; a program that ended says it with its status.
            match self.status_within(if taken { END_GRACE } else { Duration::ZERO }) {
                Some(status) => ProcessError::Ended { name, status },
                None => ProcessError::Write { name, source },
            }
        })
    }

    /// How it ended, if it ends by itself in this time.
    fn status_within(&mut self, wait: Duration) -> Option<String> {
        let deadline = Instant::now() + wait;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status.to_string()),
                Ok(None) if Instant::now() < deadline => thread::park_timeout(END_LOOK_INTERVAL),
                _ => return None,
            }
        }
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

    /// Closes its input, waits a little, and kills it, and what it started, if it does not end; says how it ended.
    pub fn end(&mut self) -> String {
        self.input = None;
        let deadline = Instant::now() + END_GRACE;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.to_string(),
                Ok(None) if Instant::now() < deadline => {
                    // Its output is drained meanwhile, so that it is not stuck writing.
                    let end_of_output = Err(mpsc::RecvTimeoutError::Disconnected);
                    if self.lines.recv_timeout(END_LOOK_INTERVAL) == end_of_output {
                        thread::park_timeout(END_LOOK_INTERVAL);
                    }
                }
                _ => break,
            }
        }
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended just now; then there is nothing to kill.
            let _ = kill_process_group(pid, Signal::KILL);
        }
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

/// Writes what comes and tells about each piece, until an error or until nobody has more.
fn write_all(
    mut to: impl Write,
    pieces: &mpsc::Receiver<Vec<u8>>,
    tell: &mpsc::SyncSender<std::io::Result<()>>,
) {
    for piece in pieces {
        let written = to.write_all(&piece);
        let failed = written.is_err();
        if tell.send(written).is_err() || failed {
            return;
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
        process.write(b"one\ntwo\n".to_vec(), WAIT).unwrap();
        assert_eq!(process.line(WAIT).unwrap(), b"<one>");
        assert_eq!(process.line(WAIT).unwrap(), b"<two>");
        assert_eq!(process.end(), "exit status: 0");
    }

    #[test]
    fn tells_a_silent_program_from_one_that_ended() {
        let mut process = Process::start(&shell("read x; exit 3")).unwrap();
        assert!(matches!(process.line(Duration::from_millis(20)), Err(ProcessError::Silent { .. })));
        process.write(b"\n".to_vec(), WAIT).unwrap();
        let error = process.line(WAIT).unwrap_err();
        assert_eq!(error.to_string(), "program `sh` ended (exit status: 3)");
    }

    #[test]
    fn a_program_that_does_not_read_holds_nobody_up() {
        let mut process = Process::start(&shell("sleep 1000; cat")).unwrap();
        let error = process.write(vec![b'x'; 1 << 20], Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, ProcessError::Stuck { .. }), "{error}");
        let error = process.write(b"more".to_vec(), WAIT).unwrap_err();
        assert!(matches!(error, ProcessError::Write { .. }), "{error}");
    }

    #[test]
    fn who_writes_to_a_program_that_ended_is_told_how() {
        let mut process = Process::start(&shell("exit 3")).unwrap();
        let error = process.write(vec![b'x'; 1 << 20], WAIT).unwrap_err();
        assert_eq!(error.to_string(), "program `sh` ended (exit status: 3)");
    }

    #[test]
    fn what_a_program_started_ends_with_it() {
        let mut process = Process::start(&shell("sleep 1000 & wait; wait")).unwrap();
        assert_eq!(process.end(), "signal: 9 (SIGKILL)");
        // Its output is closed once nobody holds it any more.
        assert!(matches!(process.line(WAIT), Err(ProcessError::Ended { .. })));
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
