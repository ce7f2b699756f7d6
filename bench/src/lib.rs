//! How much does it cost? What the measurements share: the cost of a program that runs.
//!
//! Owns: reading what the kernel counts about a process. Each measurement is a program of its own in `src/bin`.
//! Does not own: judgement. A measurement prints figures; tests never depend on time.
//! Invariant: costs are CPU time and memory as the kernel counts them, and are told side by side with a yardstick
//! measured in the same run, because machines are shared.

pub mod cri;
pub mod kubernetes;
pub mod logs;
pub mod receiver;
pub mod rotate;
pub mod sawyer;
pub mod server;
pub mod sink;

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// What a process has cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// CPU time in user and kernel mode, of all its threads and of the children it waited for.
    pub cpu: Duration,
    /// The most memory it had in use at once (`VmHWM`), in bytes.
    pub memory_peak_bytes: u64,
}

impl Cost {
    /// What the process has cost so far (`proc_pid_stat(5)`, `proc_pid_status(5)`).
    ///
    /// # Errors
    /// If there is no such process.
    pub fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
            .with_context(|| format!("read the times of process {pid}"))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))
            .with_context(|| format!("read the memory of process {pid}"))?;
        let kilobytes = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        let cpu = cpu_of(&stat).context("read the times of a process in an unknown form")?;
        Ok(Self { cpu, memory_peak_bytes: kilobytes.unwrap_or(0_u64) * 1024 })
    }

    /// CPU time of the thread that asks, in nanoseconds as the scheduler counts them (`schedstat`).
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn of_thread() -> Result<Duration> {
        let stat = fs::read_to_string("/proc/thread-self/schedstat").context("read the time of a thread")?;
        let nanos = stat.split(' ').next().and_then(|first| first.parse().ok());
        nanos.map(Duration::from_nanos).context("read the time of a thread in an unknown form")
    }

    /// What it cost since `before`; the peak of memory stays as it is.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self { cpu: self.cpu.saturating_sub(before.cpu), ..self }
    }

    /// Megabytes (10⁶ bytes) of work for each second of CPU time.
    #[must_use]
    pub fn megabytes_per_cpu_second(self, bytes: u64) -> f64 {
        bytes as f64 / 1e6 / self.cpu.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// CPU time of the threads of a process that run at present, by their names, most first. Numbers at the end of a name do
/// not count.
///
/// # Errors
/// If there is no such process.
pub fn by_thread(pid: u32) -> Result<Vec<(String, Duration)>> {
    let mut found: Vec<(String, Duration)> = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may have ended meanwhile.
        let Ok(stat) = fs::read_to_string(task?.path().join("stat")) else { continue };
        let name =
            stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(") ")).map_or("", |(name, _)| name);
        let name = name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '-').to_owned();
        let cpu = cpu_of(&stat).context("read the times of a thread in an unknown form")?;
        match found.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += cpu,
            None => found.push((name, cpu)),
        }
    }
    found.sort_by_key(|(_, cpu)| std::cmp::Reverse(*cpu));
    Ok(found)
}

/// Ticks of the kernel in a second, as it tells times to programs (`USER_HZ`): 100 on every platform of today.
const TICKS_PER_SECOND: u64 = 100;

fn cpu_of(stat: &str) -> Option<Duration> {
    // The name stands in brackets and may hold anything, also brackets and spaces.
    let (_, rest) = stat.rsplit_once(") ")?;
    // Fields 14 to 17 of the line: utime, stime, cutime, cstime. `rest` begins with field 3.
    let ticks: u64 = rest.split(' ').skip(11).take(4).map(str::parse::<u64>).sum::<Result<_, _>>().ok()?;
    Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn times_are_read_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 150 25 10 5 20 0 1 0 9 1 1";
        assert_eq!(cpu_of(stat), Some(Duration::from_millis(1900)));
        assert_eq!(cpu_of("nothing"), None);
    }

    #[test]
    fn threads_are_told_by_their_names() {
        // Its name is there once it runs.
        let ((runs, begun), (stop, stopped)) = (mpsc::channel(), mpsc::channel::<()>());
        let named = std::thread::Builder::new().name("a thread-7".into()).spawn(move || {
            runs.send(()).unwrap();
            stopped.recv()
        });
        begun.recv().unwrap();
        let threads = by_thread(std::process::id()).unwrap();
        assert!(threads.iter().any(|(name, _)| name == "a thread"), "{threads:?}");
        drop(stop);
        assert!(named.unwrap().join().unwrap().is_err());
    }

    #[test]
    fn a_process_knows_its_own_cost() {
        let cost = Cost::of(std::process::id()).unwrap();
        assert!(cost.memory_peak_bytes > 0);
        let after = Cost { cpu: cost.cpu + Duration::from_secs(2), ..cost }.since(cost);
        assert_eq!(after.megabytes_per_cpu_second(10_000_000), 5.0);
    }
}
