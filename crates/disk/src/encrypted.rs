//! A disk whose files are encrypted.
//!
//! Owns: the header of an encrypted file (`docs/FORMATS.md`, "Encrypted files"), and which key it is of. Does not own: any
//! format inside, where keys come from.
//! Invariant: what a file says under its name, place and length is the same with encryption and without, so that whoever uses
//! a [`Disk`] needs to know nothing of it.
//!
//! Each file has a key of its own, made of one of the given keys and 32 random bytes in its header by HKDF-SHA256 (RFC 5869),
//! and is encrypted by AES-256 in counter mode (NIST SP 800-38A, 6.5), the counter being the place in the file; so any part is
//! read by itself, and bytes are appended without writing any again. It keeps what is on a disk that is stolen, copied or
//! thrown away from being read. It does not authenticate: whoever can write to the disk can change bits, which checksums
//! notice by chance only. Names and lengths of files are not hidden.

mod file;
mod key;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::{DirEntry, Disk, EntryKind, Error, ErrorKind, File, Lock, Metadata, Result, Space};
use crate::{read_all, write_atomic};

pub use key::{Key, KeyError, KeyId};

use file::{EncryptedFile, Head};

/// The file that says with which keys a folder is encrypted: their names, a line each.
const MARK: &str = "encrypted";

/// Most bytes of it.
const MARK_BYTES_MAX: u64 = 1 << 16;

/// A disk that encrypts new files by the first of its keys, and reads those of all of them and those that are not encrypted.
#[derive(Debug)]
pub struct EncryptedDisk {
    inner: Arc<dyn Disk>,
    keys: Arc<[Key]>,
    /// Whether the root remembers the first key.
    marked: Mutex<bool>,
}

impl EncryptedDisk {
    /// A disk with these keys, and without encryption if there are none. The disk's root remembers keys that were used.
    ///
    /// # Errors
    /// As [`EncryptedDisk::check`].
    pub fn open(inner: Arc<dyn Disk>, keys: Vec<Key>) -> Result<Arc<dyn Disk>> {
        Self::check(&*inner, Path::new(""), &keys)?;
        if keys.is_empty() {
            return Ok(inner);
        }
        Ok(Arc::new(Self { inner, keys: keys.into(), marked: Mutex::new(false) }))
    }

    /// The names of all keys that a folder was encrypted with, a line each.
    ///
    /// # Errors
    /// [`ErrorKind::NoKey`] if one of them is not among these, so that nothing takes what it cannot read for damage.
    pub fn check(disk: &dyn Disk, folder: &Path, keys: &[Key]) -> Result<String> {
        let mark = folder.join(MARK);
        let known = match read_all(disk, &mark, MARK_BYTES_MAX) {
            Err(error) if error.is_not_found() => String::new(),
            other => String::from_utf8_lossy(&other?).into_owned(),
        };
        let is_given = |line: &str| keys.iter().any(|key| key.id().to_string() == line);
        if known.lines().all(is_given) { Ok(known) } else { Err(Error::new(ErrorKind::NoKey, "open", mark)) }
    }

    /// Remembers the key before the first file is encrypted with it.
    fn mark(&self) -> Result<()> {
        let mut marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        if !*marked {
            let known = Self::check(&*self.inner, Path::new(""), &self.keys)?;
            let first = self.keys[0].id().to_string();
            if !known.lines().any(|line| line == first) {
                write_atomic(&*self.inner, Path::new(MARK), format!("{known}{first}\n").as_bytes())?;
            }
            *marked = true;
        }
        Ok(())
    }

    /// Makes a new, empty file an encrypted one.
    fn begin(&self, path: &Path, mut file: Box<dyn File>) -> Result<Box<dyn File>> {
        let head = Head::new(&self.keys[0]).map_err(|error| Error::from_io(error, "make a key for", path))?;
        file.append(&head.bytes())?;
        Ok(Box::new(EncryptedFile::new(file, head)?))
    }

    /// The length of the content of a file of so many bytes.
    fn content_len(&self, path: &Path, len: u64) -> Result<u64> {
        if len == 0 {
            return Ok(0);
        }
        let file = self.inner.open_read(path)?;
        Ok(len.saturating_sub(Head::read(path, &*file, &self.keys)?.len(len)))
    }
}

/// `create_log` is that of any disk: what pads a log's last block would be no zeros any more once it is decrypted.
impl Disk for EncryptedDisk {
    fn open_read(&self, path: &Path) -> Result<Box<dyn File>> {
        let file = self.inner.open_read(path)?;
        let head = Head::read(path, &*file, &self.keys)?;
        Ok(Box::new(EncryptedFile::new(file, head)?))
    }

    fn create(&self, path: &Path) -> Result<Box<dyn File>> {
        self.mark()?;
        let file = self.inner.create(path)?;
        self.begin(path, file).inspect_err(|_| {
            // The name is free again for whoever tries again; the first error says more than a second one.
            let _ = self.inner.remove_file(path);
        })
    }

    fn open_append(&self, path: &Path) -> Result<Box<dyn File>> {
        self.mark()?;
        let mut file = self.inner.open_append(path)?;
        match Head::read(path, &*file, &self.keys)? {
            Head::Cut => file.truncate(0)?,
            Head::None if file.is_empty()? => {}
            head => return Ok(Box::new(EncryptedFile::new(file, head)?)),
        }
        self.begin(path, file)
    }

    fn metadata(&self, path: &Path) -> Result<Metadata> {
        let found = self.inner.metadata(path)?;
        match found.kind {
            EntryKind::File => Ok(Metadata { len: self.content_len(path, found.len)?, ..found }),
            _ => Ok(found),
        }
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<DirEntry>> {
        let mut entries = self.inner.read_dir(path)?;
        // Ours, and nobody else's business.
        entries.retain(|entry| !path.as_os_str().is_empty() || entry.name != MARK);
        for entry in entries.iter_mut().filter(|entry| entry.kind == EntryKind::File) {
            let name =
                if path.as_os_str().is_empty() { PathBuf::from(&entry.name) } else { path.join(&entry.name) };
            // What went away meanwhile, or cannot be opened, is listed all the same.
            entry.len = self.content_len(&name, entry.len).unwrap_or(entry.len);
        }
        Ok(entries)
    }

    fn create_dir_all(&self, path: &Path) -> Result<()> {
        self.inner.create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.inner.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> Result<()> {
        self.inner.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.inner.sync_dir(path)
    }

    fn space(&self) -> Result<Space> {
        self.inner.space()
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>> {
        self.inner.lock(path)
    }
}
