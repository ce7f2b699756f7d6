//! An exclusive lock on a file of the operating system (`flock`).
//!
//! Invariant: the file is never removed; else two processes could each hold the lock of "the" file.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::FILE_MODE;
use crate::{Error, ErrorKind, Lock, Result};

/// More than any process id has digits; a foreign file is not read further.
const PID_BYTES_MAX: u64 = 20;

/// Closing the file gives the lock back, so the operating system does it if the process dies.
#[derive(Debug)]
struct RealLock {
    _file: fs::File,
}

impl Lock for RealLock {}

pub(super) fn acquire(path: PathBuf) -> Result<Box<dyn Lock>> {
    let opened = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(&path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) => return Err(Error::from_io(error, "lock", path)),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            return Err(Error::new(ErrorKind::Locked { pid: holder(&file) }, "lock", path));
        }
        Err(fs::TryLockError::Error(error)) => return Err(Error::from_io(error, "lock", path)),
    }
    // The lock is held whether or not the number can be written: a full disk must not keep Sawyer from starting.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(Box::new(RealLock { _file: file }))
}

/// The process id that the holder wrote down; `None` if there is none to be read.
fn holder(file: &fs::File) -> Option<u32> {
    let mut text = String::new();
    file.take(PID_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
