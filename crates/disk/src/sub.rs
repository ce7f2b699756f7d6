//! A part of a disk as a disk of its own, for one component.
//!
//! Invariant: no path given to the part reaches anything outside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::path::check_inside;
use crate::{DirEntry, Disk, File, Lock, Metadata, Result, Space};

/// The directory `root` of another disk; made by [`Disk::sub`](trait.Disk.html#method.sub).
#[derive(Debug, Clone)]
pub struct SubDisk {
    disk: Arc<dyn Disk>,
    root: PathBuf,
}

impl SubDisk {
    /// The part of `disk` below `root`. Does no I/O.
    pub fn new(disk: Arc<dyn Disk>, root: impl Into<PathBuf>) -> Self {
        Self { disk, root: root.into() }
    }

    fn at(&self, path: &Path, operation: &'static str) -> Result<PathBuf> {
        check_inside(path, operation)?;
        // Joining "" would add a trailing slash, which some calls take for "must be a directory".
        Ok(if path.as_os_str().is_empty() { self.root.clone() } else { self.root.join(path) })
    }
}

impl Disk for SubDisk {
    fn open_read(&self, path: &Path) -> Result<Box<dyn File>> {
        self.disk.open_read(&self.at(path, "open")?)
    }

    fn create(&self, path: &Path) -> Result<Box<dyn File>> {
        self.disk.create(&self.at(path, "create")?)
    }

    fn create_log(&self, path: &Path) -> Result<Box<dyn File>> {
        self.disk.create_log(&self.at(path, "create")?)
    }

    fn open_append(&self, path: &Path) -> Result<Box<dyn File>> {
        self.disk.open_append(&self.at(path, "open")?)
    }

    fn metadata(&self, path: &Path) -> Result<Metadata> {
        self.disk.metadata(&self.at(path, "examine")?)
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<DirEntry>> {
        self.disk.read_dir(&self.at(path, "list")?)
    }

    fn create_dir_all(&self, path: &Path) -> Result<()> {
        self.disk.create_dir_all(&self.at(path, "create directory")?)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.disk.rename(&self.at(from, "rename")?, &self.at(to, "rename to")?)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.disk.remove_file(&self.at(path, "remove")?)
    }

    fn remove_dir_all(&self, path: &Path) -> Result<()> {
        self.disk.remove_dir_all(&self.at(path, "remove directory")?)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.disk.sync_dir(&self.at(path, "sync directory")?)
    }

    fn space(&self) -> Result<Space> {
        self.disk.space()
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>> {
        self.disk.lock(&self.at(path, "lock")?)
    }
}
