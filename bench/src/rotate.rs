//! Writes logs and rotates them, as fast as told, as container runtime and kubelet do it together.
//!
//! Owns: writers with sequence numbers, rotation (rename, compression of older ones, removal of the oldest, a log that
//! is opened anew a little later), copying and cutting as logrotate does it, and numbers of files that are used again.
//! Does not own: who reads.
//! Invariant: every number of a file is written once, whole, in order.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use sawyer_model::Timestamp;
use sawyer_telemetry::Clock;

use crate::sawyer::pause;

/// How logs are rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As the kubelet: renamed, then made anew.
    Rename,
    /// The same, and the new file has the inode of an older one that was removed.
    RenameReuse,
    /// As logrotate's `copytruncate`.
    CopyTruncate,
}

/// What is written, and how it is rotated.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many files.
    pub files: usize,
    /// Lines in a second, of each file.
    pub lines_per_second: u64,
    /// For how long.
    pub time: Duration,
    /// Length beyond which a file is rotated.
    pub bytes_max: u64,
    /// How often lengths are looked at.
    pub check: Duration,
    /// Files that are kept of each log, the live one among them.
    pub keep: usize,
    /// How long the writer goes on in the renamed file.
    pub reopen: Duration,
    /// How.
    pub way: Way,
}

/// What was written of one file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// Lines.
    pub lines: u64,
    /// Times that it was rotated.
    pub rotations: u64,
    /// Files that were compressed.
    pub compressed: u64,
    /// Files that were removed, being too many.
    pub removed: u64,
    /// New files that have the inode of an older one.
    pub reused: u64,
    /// Lines that were written after a copy was made and before the file was cut.
    pub lines_cut: u64,
}

/// Writes into `folder` until the time is over; gives what was written. Blocks.
///
/// # Errors
/// If a file cannot be written.
pub fn run(folder: &Path, load: Load) -> Result<Vec<Written>> {
    let threads: Vec<_> = (0..load.files)
        .map(|number| {
            let log = Log::open(folder, number)?;
            Ok(std::thread::spawn(move || one(log, load)))
        })
        .collect::<Result<_>>()?;
    threads.into_iter().map(|thread| thread.join().expect("a writer panicked")).collect()
}

fn one(log: Log, load: Load) -> Result<Written> {
    let log = Arc::new(log);
    let ended = Arc::new(AtomicBool::new(false));
    let rotator = {
        let (log, ended) = (Arc::clone(&log), Arc::clone(&ended));
        std::thread::spawn(move || -> Result<Written> {
            let mut written = Written::default();
            let mut inodes = HashSet::new();
            while !ended.load(Ordering::SeqCst) {
                pause(load.check);
                if log.length()? > load.bytes_max {
                    log.rotate(&load, &mut written, &mut inodes)?;
                }
            }
            Ok(written)
        })
    };
    let lines = log.write(&load);
    ended.store(true, Ordering::SeqCst);
    let written = rotator.join().expect("a rotator panicked")?;
    Ok(Written { lines: lines?, ..written })
}

/// One log of a container.
struct Log {
    folder: PathBuf,
    number: usize,
    open: Mutex<Open>,
}

struct Open {
    file: File,
    lines: u64,
}

impl Log {
    fn open(folder: &Path, number: usize) -> Result<Self> {
        let pod = format!("load_writer-{number}_0000000{number}-1111-4222-8333-44445555666{number}/app");
        let folder = folder.join(pod);
        fs::create_dir_all(&folder).context("make folders")?;
        let file = open(&folder.join("0.log"))?;
        Ok(Self { folder, number, open: Mutex::new(Open { file, lines: 0 }) })
    }

    fn live(&self) -> PathBuf {
        self.folder.join("0.log")
    }

    fn length(&self) -> Result<u64> {
        Ok(fs::metadata(self.live()).context("look at a log")?.len())
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, load: &Load) -> Result<u64> {
        let total = load.lines_per_second * load.time.as_secs();
        let began = Instant::now();
        let (mut next, mut text) = (0, String::new());
        while next < total {
            let due = (began.elapsed().as_secs_f64() * load.lines_per_second as f64) as u64;
            let due = due.min(total).min(next + 2000);
            if due <= next {
                pause(Duration::from_millis(1));
                continue;
            }
            text.clear();
            let (seconds, nanos) = now();
            for number in next..due {
                let nanos = (nanos + (number - next) * 100) % 1_000_000_000;
                writeln!(
                    text,
                    "{seconds}.{nanos:09}Z stdout F SEQ-{:02}-{number:010}- level=info ms={} msg=\"order of user {} \
                     was taken\" trace={:016x} pad=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                    self.number,
                    number % 977,
                    number % 7919,
                    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
                )
                .expect("a string takes everything");
            }
            let mut open = self.lock();
            open.file.write_all(text.as_bytes()).context("write a log")?;
            open.lines = due;
            next = due;
        }
        Ok(next)
    }

    fn rotate(&self, load: &Load, written: &mut Written, inodes: &mut HashSet<u64>) -> Result<()> {
        let mut rotated = self.rotated()?;
        let excess = rotated.len().saturating_sub(load.keep.saturating_sub(2));
        for path in rotated.drain(..excess) {
            written.removed += 1;
            remove(&path, inodes)?;
        }
        for path in rotated.iter().filter(|path| path.extension().is_none_or(|end| end != "gz")) {
            compress(path)?;
            remove(path, inodes)?;
            written.compressed += 1;
        }
        let name = self.folder.join(format!("0.log.{}", stamp()));
        written.rotations += 1;
        if load.way == Way::CopyTruncate {
            fs::copy(self.live(), &name).context("copy a log")?;
            let copied = fs::read(&name).context("read a copy")?;
            let open = self.lock();
            open.file.set_len(0).context("cut a log")?;
            written.lines_cut += open.lines - last_number(&copied).map_or(0, |last| last + 1);
            return Ok(());
        }
        fs::rename(self.live(), &name).context("rename a log")?;
        pause(load.reopen);
        let mut open_now = self.lock();
        if load.way == Way::RenameReuse {
            written.reused += u64::from(self.make_with_old_inode(inodes)?);
        }
        open_now.file = open(&self.live())?;
        Ok(())
    }

    /// The rotated files, from the oldest to the newest.
    fn rotated(&self) -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(&self.folder).context("list a folder")?;
        let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
        let mut paths = paths.context("list a folder")?;
        paths.retain(|path| path.to_string_lossy().contains("/0.log."));
        paths.sort();
        Ok(paths)
    }

    /// Makes the live file such that it has an inode that a file of this log had before; says whether that worked.
    fn make_with_old_inode(&self, inodes: &HashSet<u64>) -> Result<bool> {
        let mut tries = Vec::new();
        let mut found = false;
        for number in 0..64 {
            let path = self.folder.join(format!("try-{number}"));
            let inode = open(&path)?.metadata().context("look at a file")?.ino();
            if inodes.contains(&inode) {
                fs::rename(&path, self.live()).context("rename a file")?;
                found = true;
                break;
            }
            tries.push(path);
        }
        for path in tries {
            fs::remove_file(&path).context("remove a file")?;
        }
        Ok(found)
    }
}

fn open(path: &Path) -> Result<File> {
    File::options().append(true).create(true).open(path).with_context(|| format!("open {}", path.display()))
}

fn remove(path: &Path, inodes: &mut HashSet<u64>) -> Result<()> {
    inodes.insert(fs::metadata(path).context("look at a file")?.ino());
    fs::remove_file(path).context("remove a file")
}

fn compress(path: &Path) -> Result<()> {
    let name = |end: &str| PathBuf::from(format!("{}{end}", path.display()));
    let mut encoder =
        GzEncoder::new(File::create(name(".tmp")).context("make a file")?, Compression::default());
    let mut file = File::open(path).context("open a file")?;
    std::io::copy(&mut file, &mut encoder).context("compress a file")?;
    encoder.finish().context("compress a file")?;
    fs::rename(name(".tmp"), name(".gz")).context("rename a file")
}

/// The number of the last whole line.
fn last_number(bytes: &[u8]) -> Option<u64> {
    let end = bytes.iter().rposition(|byte| *byte == b'\n')?;
    let text = String::from_utf8_lossy(&bytes[end.saturating_sub(4096)..end]).into_owned();
    let (_, rest) = text.rsplit_once("SEQ-")?;
    rest.split('-').nth(1)?.parse().ok()
}

/// The time as `2026-11-20T10:00:00`, and nanoseconds.
fn now() -> (String, u64) {
    let nanos = Clock::system().now().nanos();
    let time = Timestamp::from_secs(nanos.div_euclid(1_000_000_000)).to_string();
    (time.trim_end_matches('Z').to_owned(), nanos.rem_euclid(1_000_000_000).cast_unsigned())
}

/// What the kubelet puts behind a rotated file's name. A log is not rotated twice in a second.
fn stamp() -> String {
    let (time, _) = now();
    let digits: String = time.chars().filter(char::is_ascii_digit).collect();
    let (date, clock) = digits.split_at(8);
    format!("{date}-{clock}")
}
