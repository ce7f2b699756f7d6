//! A directory of the operating system as a [`Disk`].
//!
//! Owns: the calls, their flags and the modes of new files.
//! Does not own: what is durable when (see the head of the crate).
//! Invariant: an append that the kernel takes whole is one system call, and no byte is copied on the way to it; but to a
//! log (`log`), which goes past the kernel's cache.

mod file;
mod lock;
mod log;

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use self::file::RealFile;
use self::log::LogFile;
use crate::path::{check_entry, check_inside, parent};
use crate::{DirEntry, Disk, EntryKind, Error, File, Lock, Metadata, Result, Space};

/// Mode of new files before the umask: log lines can hold secrets, so nothing for others. A reader that runs as
/// neither the user nor the group of Sawyer gets no access.
const FILE_MODE: u32 = 0o640;
/// Mode of new directories before the umask; as [`FILE_MODE`].
const DIR_MODE: u32 = 0o750;

/// The files below a directory of the operating system.
#[derive(Debug, Clone)]
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// The disk whose root is the directory `root`, which is made (durably, with those above it) if missing.
    pub fn new(root: impl Into<PathBuf>) -> Result<Self> {
        let mut root = root.into();
        if root.as_os_str().is_empty() {
            root.push(".");
        }
        let operation = "create directory";
        let missing: Vec<&Path> =
            root.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.is_dir()).collect();
        for directory in missing.into_iter().rev() {
            make_dir(directory).map_err(|error| Error::from_io(error, operation, directory))?;
            let above = match parent(directory) {
                empty if empty.as_os_str().is_empty() => Path::new("."),
                above => above,
            };
            sync_dir_at(above).map_err(|error| Error::from_io(error, "sync directory", above))?;
        }
        Ok(Self { root })
    }

    /// The directory that is this disk's root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The full path of anything inside the disk, the root included.
    fn inside(&self, path: &Path, operation: &'static str) -> Result<PathBuf> {
        check_inside(path, operation)?;
        Ok(if path.as_os_str().is_empty() { self.root.clone() } else { self.root.join(path) })
    }

    /// The full path of an entry, so not of the root.
    fn entry(&self, path: &Path, operation: &'static str) -> Result<PathBuf> {
        check_entry(path, operation)?;
        Ok(self.root.join(path))
    }
}

impl Disk for RealDisk {
    fn open_read(&self, path: &Path) -> Result<Box<dyn File>> {
        let path = self.entry(path, "open")?;
        match open_for_reading(&path) {
            Ok(file) => Ok(Box::new(RealFile::reading(file, path))),
            Err(error) => Err(Error::from_io(error, "open", path)),
        }
    }

    fn create(&self, path: &Path) -> Result<Box<dyn File>> {
        let path = self.entry(path, "create")?;
        match append_options().create_new(true).open(&path) {
            Ok(file) => Ok(Box::new(RealFile::appending(file, path, 0))),
            Err(error) => Err(Error::from_io(error, "create", path)),
        }
    }

    fn create_log(&self, path: &Path) -> Result<Box<dyn File>> {
        let path = self.entry(path, "create")?;
        match LogFile::create(&path) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => Err(Error::from_io(error, "create", path)),
        }
    }

    fn open_append(&self, path: &Path) -> Result<Box<dyn File>> {
        let path = self.entry(path, "open")?;
        let opened = append_options().create(true).open(&path);
        match opened.and_then(|file| file.metadata().map(|metadata| (file, metadata.len()))) {
            Ok((file, len)) => Ok(Box::new(RealFile::appending(file, path, len))),
            Err(error) => Err(Error::from_io(error, "open", path)),
        }
    }

    fn metadata(&self, path: &Path) -> Result<Metadata> {
        let path = self.inside(path, "examine")?;
        match fs::metadata(&path) {
            Ok(metadata) => Ok(metadata_from(&metadata)),
            Err(error) => Err(Error::from_io(error, "examine", path)),
        }
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<DirEntry>> {
        let path = self.inside(path, "list")?;
        list(&path).map_err(|error| Error::from_io(error, "list", path))
    }

    fn create_dir_all(&self, path: &Path) -> Result<()> {
        check_inside(path, "create directory")?;
        let mut directory = self.root.clone();
        for part in path.components() {
            let above = directory.clone();
            directory.push(part);
            make_dir(&directory).map_err(|error| Error::from_io(error, "create directory", &directory))?;
            // Also when it was there: whoever made it may have died before this.
            sync_dir_at(&above).map_err(|error| Error::from_io(error, "sync directory", above))?;
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let from = self.entry(from, "rename")?;
        let to = self.entry(to, "rename to")?;
        fs::rename(&from, to).map_err(|error| Error::from_io(error, "rename", from))
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        let path = self.entry(path, "remove")?;
        fs::remove_file(&path).map_err(|error| Error::from_io(error, "remove", path))
    }

    fn remove_dir_all(&self, path: &Path) -> Result<()> {
        let path = self.entry(path, "remove directory")?;
        fs::remove_dir_all(&path).map_err(|error| Error::from_io(error, "remove directory", path))
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        let path = self.inside(path, "sync directory")?;
        sync_dir_at(&path).map_err(|error| Error::from_io(error, "sync directory", path))
    }

    fn space(&self) -> Result<Space> {
        let stat = rustix::fs::statvfs(&self.root)
            .map_err(|error| Error::from_io(error.into(), "measure space of", &self.root))?;
        Ok(Space {
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            available_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>> {
        lock::acquire(self.entry(path, "lock")?)
    }
}

/// Append mode, so that the kernel finds the end; readable, so that one handle serves a component that also
/// looks back.
fn append_options() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.read(true).append(true).mode(FILE_MODE);
    options
}

/// Opening a directory for reading succeeds, and only the first read would fail.
fn open_for_reading(path: &Path) -> io::Result<fs::File> {
    let file = fs::File::open(path)?;
    if file.metadata()?.is_dir() { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(file) }
}

fn make_dir(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(DIR_MODE).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if path.is_dir() {
                Ok(())
            } else {
                Err(io::ErrorKind::NotADirectory.into())
            }
        }
        made => made,
    }
}

fn sync_dir_at(path: &Path) -> io::Result<()> {
    let directory = fs::File::open(path)?;
    if !directory.metadata()?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    directory.sync_all()
}

fn list(path: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata_from(&metadata),
            // Removed since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        entries.push(DirEntry { name, kind: metadata.kind, len: metadata.len });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn metadata_from(metadata: &fs::Metadata) -> Metadata {
    if metadata.is_file() {
        Metadata { kind: EntryKind::File, len: metadata.len() }
    } else if metadata.is_dir() {
        Metadata { kind: EntryKind::Dir, len: 0 }
    } else {
        Metadata { kind: EntryKind::Other, len: 0 }
    }
}
