//! An open file of the operating system.
//!
//! Owns: the length at which the next append begins, and whether the handle is lost.
//! Invariant: between calls the file is `len` bytes long, or the handle is lost.

use std::fs;
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, ErrorKind, File, Result};

/// A file that is read, or read and appended to.
#[derive(Debug)]
pub(super) struct RealFile {
    file: fs::File,
    path: PathBuf,
    /// Length in bytes, kept by the one who appends; `None` on a handle for reading.
    len: Option<u64>,
    /// A sync or write failed, so that nothing may be built on this handle any more.
    lost: AtomicBool,
}

impl RealFile {
    pub(super) fn reading(file: fs::File, path: PathBuf) -> Self {
        Self { file, path, len: None, lost: AtomicBool::new(false) }
    }

    pub(super) fn appending(file: fs::File, path: PathBuf, len: u64) -> Self {
        Self { file, path, len: Some(len), lost: AtomicBool::new(false) }
    }

    fn error(&self, source: io::Error, operation: &'static str) -> Error {
        Error::from_io(source, operation, &self.path)
    }

    /// The present length, if this handle may write.
    fn writable_len(&self, operation: &'static str) -> Result<u64> {
        if self.lost.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Lost, operation, &self.path));
        }
        self.len.ok_or_else(|| Error::new(ErrorKind::ReadOnly, operation, &self.path))
    }

    /// Ends an append: counts it, or takes it back.
    fn finish_append(&mut self, written: io::Result<()>, start: u64, bytes: u64) -> Result<()> {
        let Err(source) = written else {
            self.len = Some(start + bytes);
            return Ok(());
        };
        let error = self.error(source, "append to");
        let taken_back = self.file.set_len(start).is_ok();
        if !(taken_back && error.is_full()) {
            self.lost.store(true, Ordering::Release);
        }
        Err(error)
    }
}

impl File for RealFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let start = self.writable_len("append to")?;
        let written = self.file.write_all(bytes);
        self.finish_append(written, start, bytes.len() as u64)
    }

    fn append_vectored(&mut self, parts: &[IoSlice<'_>]) -> Result<()> {
        let start = self.writable_len("append to")?;
        let bytes = parts.iter().map(|part| part.len()).sum();
        let written = write_all_vectored(&mut self.file, parts, bytes);
        self.finish_append(written, start, bytes as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(buffer, offset).map_err(|error| self.error(error, "read"))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        loop {
            match self.file.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done.map_err(|error| self.error(error, "read")),
            }
        }
    }

    fn len(&self) -> Result<u64> {
        match self.len {
            Some(len) => Ok(len),
            None => self.file.metadata().map(|m| m.len()).map_err(|error| self.error(error, "examine")),
        }
    }

    fn sync_data(&self) -> Result<()> {
        self.writable_len("sync")?;
        self.file.sync_data().map_err(|error| {
            self.lost.store(true, Ordering::Release);
            self.error(error, "sync")
        })
    }

    fn truncate(&mut self, len: u64) -> Result<()> {
        if len > self.writable_len("truncate")? {
            return Err(self.error(io::ErrorKind::InvalidInput.into(), "truncate"));
        }
        self.file.set_len(len).map_err(|error| {
            self.lost.store(true, Ordering::Release);
            self.error(error, "truncate")
        })?;
        self.len = Some(len);
        Ok(())
    }
}

/// Writes all parts (`bytes` in sum). Almost always one call; the list of parts is copied only if the kernel
/// takes less, or if there are more parts than it takes at once.
fn write_all_vectored(file: &mut fs::File, parts: &[IoSlice<'_>], bytes: usize) -> io::Result<()> {
    // Enough empty parts in front would make a call that writes nothing.
    let Some(first) = parts.iter().position(|part| !part.is_empty()) else { return Ok(()) };
    let parts = &parts[first..];
    let written = write_vectored(file, parts)?;
    if written == bytes {
        return Ok(());
    }
    let mut owned = parts.to_vec();
    let mut rest = owned.as_mut_slice();
    IoSlice::advance_slices(&mut rest, written);
    while !rest.is_empty() {
        let written = write_vectored(file, rest)?;
        IoSlice::advance_slices(&mut rest, written);
    }
    Ok(())
}

/// One `writev`, repeated if a signal came in between; taking nothing is an error, as it would go on for ever.
fn write_vectored(file: &mut fs::File, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    loop {
        match file.write_vectored(parts) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            done => return done,
        }
    }
}
