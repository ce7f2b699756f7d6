//! A small workload to look at: `sawyer up --demo` writes what the pods of a web shop would.
//!
//! Owns: the files below the demo folder, in the kubelet's layout (`pods/<namespace>_<pod>_<uid>/<container>/0.log`,
//! CRI lines, rotation by size). Does not own: how they are collected; they are tailed like any other files.
//! An hour of history comes first, so that the first look has something to show; then it goes on live.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use sawyer_model::Timestamp;
use sawyer_telemetry::Clock;

mod service;

use service::{Line, SERVICES, Service, State};

/// How far the history reaches back.
const HISTORY: Duration = Duration::from_secs(3600);

/// Steps of the simulated time; each service speaks a few times within one.
const TICK: Duration = Duration::from_millis(500);

/// What the rows of one trace take together at most; they are a microsecond apart.
const TRACE_NANOS: u64 = 1_000_000;

/// Size at which a file is rotated.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Longest piece of a line in one CRI line; a longer one is split, as container runtimes do.
const PIECE_BYTES_MAX: usize = 16 << 10;

/// The workload and its open files.
pub(crate) struct Demo {
    clock: Clock,
    pods: Vec<Pod>,
    state: State,
    time: Timestamp,
}

struct Pod {
    service: &'static Service,
    name: String,
    path: PathBuf,
    file: File,
    written: u64,
}

impl Demo {
    /// Starts a workload below `folder`, which is made if need be; what an earlier one wrote stays, and its hour is not
    /// written again.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn start(folder: &Path, clock: Clock) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let now = clock.now();
        let time = now.saturating_sub(HISTORY).max(last_written(folder)?.min(now));
        let mut state = State::new(now.nanos().unsigned_abs());
        let mut pods = Vec::new();
        for service in SERVICES {
            for _ in 0..service.replicas {
                pods.push(Pod::create(folder, service, &mut state)?);
            }
        }
        Ok(Self { clock, pods, state, time })
    }

    /// Writes everything that was said since the last call.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn catch_up(&mut self) -> io::Result<()> {
        let now = self.clock.now();
        // Only steps that are over: nobody can have said something in the future.
        while self.time.saturating_add(TICK) <= now {
            self.tick()?;
            self.time = self.time.saturating_add(TICK);
        }
        Ok(())
    }

    fn tick(&mut self) -> io::Result<()> {
        self.state.turn(self.time);
        for pod in &mut self.pods {
            let lines = (pod.service.speak)(&mut self.state, pod.service, &pod.name, self.time);
            // A step less what the rows of a trace take, so that its last one is within the step, too.
            let mut jitters: Vec<u64> =
                lines.iter().map(|_| self.state.below(TICK.as_nanos() as u64 - TRACE_NANOS)).collect();
            jitters.sort_unstable();
            for (line, jitter) in lines.iter().zip(jitters) {
                pod.write(line, self.time.saturating_add(Duration::from_nanos(jitter)))?;
            }
        }
        Ok(())
    }

    /// How often [`Demo::catch_up`] is worth calling.
    pub(crate) const INTERVAL: Duration = TICK;
}

impl Pod {
    fn create(folder: &Path, service: &'static Service, state: &mut State) -> io::Result<Self> {
        let name = format!("{}-{}-{}", service.name, service.revision, state.suffix());
        let uid = state.uid();
        let path = folder.join(format!("{}_{name}_{uid}", service.namespace)).join(service.container);
        fs::create_dir_all(&path)?;
        let path = path.join("0.log");
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        Ok(Self { service, name, path, file, written: 0 })
    }

    fn write(&mut self, line: &Line, time: Timestamp) -> io::Result<()> {
        let mut text = Vec::with_capacity(line.text.len() + 64);
        for (n, row) in line.text.lines().enumerate() {
            // Lines of one trace are microseconds apart.
            let time = time.saturating_add(Duration::from_micros(n as u64));
            write_row(&mut text, row, line.stream, time);
        }
        self.file.write_all(&text)?;
        self.written += text.len() as u64;
        if self.written > FILE_BYTES_MAX {
            self.rotate(time)?;
        }
        Ok(())
    }

    fn rotate(&mut self, time: Timestamp) -> io::Result<()> {
        let stamp = time.to_jiff().strftime("%Y%m%d-%H%M%S").to_string();
        fs::rename(&self.path, self.path.with_file_name(format!("0.log.{stamp}")))?;
        self.file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        self.written = 0;
        Ok(())
    }
}

/// When a workload below this folder last wrote something, or the beginning of time.
fn last_written(folder: &Path) -> io::Result<Timestamp> {
    let mut last = Timestamp::EPOCH;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let about = entry.metadata()?;
            if about.is_dir() {
                folders.push(entry.path());
            } else {
                let since = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
                last = last.max(Timestamp::EPOCH.saturating_add(since));
            }
        }
    }
    Ok(last)
}

fn write_row(text: &mut Vec<u8>, row: &str, stream: &str, time: Timestamp) {
    let time = time.to_jiff();
    let mut rest = row;
    while rest.len() > PIECE_BYTES_MAX {
        let mut cut = PIECE_BYTES_MAX;
        while !rest.is_char_boundary(cut) {
            cut -= 1;
        }
        text.extend_from_slice(format!("{time:.9} {stream} P {}\n", &rest[..cut]).as_bytes());
        rest = &rest[cut..];
    }
    text.extend_from_slice(format!("{time:.9} {stream} F {rest}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_an_hour_of_cri_lines_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::parse("2026-11-20T10:00:00Z").unwrap());
        let mut demo = Demo::start(folder.path(), clock.clone()).unwrap();
        demo.catch_up().unwrap();
        let written: u64 = demo.pods.iter().map(|pod| pod.written).sum();
        assert!(written > 1 << 20, "{written}");
        for pod in &demo.pods {
            let text = fs::read_to_string(&pod.path).unwrap();
            let mut last = Timestamp::EPOCH;
            for line in text.lines() {
                let (time, rest) = line.split_once(' ').unwrap();
                let time = Timestamp::parse(time).unwrap();
                assert!(time <= clock.now(), "in the future: {line}");
                assert!(last < time.saturating_add(Duration::from_millis(1)), "out of order: {line}");
                last = time;
                assert!(rest.starts_with("stdout F ") || rest.starts_with("stderr F "), "{line}");
            }
        }
        clock.advance(Duration::from_secs(10));
        demo.catch_up().unwrap();
        assert!(demo.pods.iter().map(|pod| pod.written).sum::<u64>() > written);
    }

    #[test]
    fn started_again_it_does_not_write_the_same_hour_again() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::parse("2026-11-20T10:00:00Z").unwrap());
        let mut first = Demo::start(folder.path(), clock.clone()).unwrap();
        first.catch_up().unwrap();
        let stopped = UNIX_EPOCH + Duration::from_nanos(clock.now().nanos().unsigned_abs());
        for pod in &first.pods {
            pod.file.set_modified(stopped).unwrap();
        }
        clock.advance(Duration::from_secs(60));
        let mut second = Demo::start(folder.path(), clock.clone()).unwrap();
        second.catch_up().unwrap();
        let text = fs::read_to_string(&second.pods[0].path).unwrap();
        let first_time = text.split_once(' ').unwrap().0;
        assert!(first_time > "2026-11-20T10:00:00", "{first_time}");
        assert!(first_time < "2026-11-20T10:01:00", "{first_time}");
    }
}
