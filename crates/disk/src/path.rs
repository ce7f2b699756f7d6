//! Which paths a disk takes.
//!
//! Invariant: a path that passes names the disk's root or something below it.

use std::path::{Component, Path};

use crate::{Error, ErrorKind, Result};

/// Refuses paths that are absolute or climb with `..`.
pub(crate) fn check_inside(path: &Path, operation: &'static str) -> Result<()> {
    let inside = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if inside { Ok(()) } else { Err(Error::new(ErrorKind::InvalidPath, operation, path)) }
}

/// As [`check_inside`], and refuses the root, which is no entry of any directory.
pub(crate) fn check_entry(path: &Path, operation: &'static str) -> Result<()> {
    check_inside(path, operation)?;
    if path.file_name().is_some() { Ok(()) } else { Err(Error::new(ErrorKind::InvalidPath, operation, path)) }
}

/// The directory that holds `path`; `""` for a name in the root.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new(""))
}
