//! Replacing a whole small file, and reading one.
//!
//! Invariant: at every moment, also after a loss of power, the file holds its old or its new content whole.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::path::{check_entry, parent};
use crate::{Disk, Error, ErrorKind, Result};

/// What [`write_atomic`] puts behind the name of a file while it is being written. A file with this ending that
/// is found on start is a leftover of a crash and may be removed; the next write of the same path replaces it.
pub const TEMPORARY_SUFFIX: &str = ".tmp";

/// Puts `bytes` at `path`, replacing what was there: writes `path` + [`TEMPORARY_SUFFIX`], syncs it, renames it,
/// syncs the directory. When it returns `Ok`, the new content is durable.
///
/// After an error the old content is still there, except if only the last step (the sync of the directory)
/// failed: then the new one is visible, and a loss of power may bring back the old one. One writer per path.
pub fn write_atomic(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    check_entry(path, "write")?;
    let temporary = temporary_path(path);
    remove_if_there(disk, &temporary)?;
    if let Err(error) = write_synced(disk, &temporary, bytes).and_then(|()| disk.rename(&temporary, path)) {
        // On a full disk the leftover would hold space. If removing fails too, the first error says more.
        let _ = remove_if_there(disk, &temporary);
        return Err(error);
    }
    disk.sync_dir(parent(path))
}

/// The content of the file at `path`, which must not be longer than `bytes_max`
/// ([`ErrorKind::TooLarge`] if it is), so that a damaged or foreign file cannot take all memory.
pub fn read_all(disk: &dyn Disk, path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    let file = disk.open_read(path)?;
    let too_large = || Error::new(ErrorKind::TooLarge, "read", path);
    let len = file.len()?;
    if len > bytes_max {
        return Err(too_large());
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| too_large())?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

fn write_synced(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = disk.create(path)?;
    file.append(bytes)?;
    file.sync_data()
}

fn remove_if_there(disk: &dyn Disk, path: &Path) -> Result<()> {
    match disk.remove_file(path) {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

fn temporary_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(TEMPORARY_SUFFIX);
    PathBuf::from(name)
}
