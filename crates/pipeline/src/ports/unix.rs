//! Sockets in the file system.
//!
//! Owns: making way for one, who may write to it, removing its path behind the last who holds it.
//! Invariant: a path is removed only as long as it leads to the socket that was made there.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sawyer_model::{Error, ErrorKind};

/// The path of a socket, which is removed with the last handle of it.
#[derive(Clone, Debug)]
pub struct UnixPath(Arc<Place>);

#[derive(Debug)]
struct Place {
    path: PathBuf,
    /// Device and inode of the socket.
    identity: (u64, u64),
}

impl Place {
    fn leads_there(&self) -> bool {
        self.path.symlink_metadata().is_ok_and(|now| (now.dev(), now.ino()) == self.identity)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.leads_there() {
            // Somebody may have removed it just now.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl UnixPath {
    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Whether whoever opens the path reaches the socket that was made there.
    pub(super) fn leads_there(&self) -> bool {
        self.0.leads_there()
    }

    /// Makes a socket that every program of the machine may write to, as they do to `/dev/log`.
    pub(super) fn bind<T>(
        path: &Path,
        bind: impl FnOnce(&Path) -> io::Result<T>,
    ) -> Result<(T, Self), Error> {
        make_way(path)?;
        let failed = |error| cannot(path, ErrorKind::Invalid, error);
        let socket = bind(path).map_err(failed)?;
        let made = path.symlink_metadata().map_err(failed)?;
        let place = Place { path: path.to_owned(), identity: (made.dev(), made.ino()) };
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).map_err(|error| {
            Error::new(ErrorKind::Invalid, format!("open {} to all", path.display())).because(error)
        })?;
        Ok((socket, Self(Arc::new(place))))
    }
}

/// Makes way for a socket: one that nobody listens at any more is removed.
fn make_way(path: &Path) -> Result<(), Error> {
    // Whatever else is wrong is told when it is made.
    let Ok(metadata) = path.symlink_metadata() else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        let what = io::Error::new(io::ErrorKind::AlreadyExists, "there is something that is no socket");
        return Err(cannot(path, ErrorKind::Conflict, what));
    }
    let asked = UnixDatagram::unbound().and_then(|socket| socket.connect(path));
    if asked.as_ref().map_err(io::Error::kind) != Err(io::ErrorKind::ConnectionRefused) {
        return Err(cannot(path, ErrorKind::Conflict, in_use("another program")));
    }
    fs::remove_file(path).map_err(|error| cannot(path, ErrorKind::Invalid, error))
}

pub(super) fn cannot(path: &Path, kind: ErrorKind, error: io::Error) -> Error {
    Error::new(kind, format!("listen at {}", path.display())).because(error)
}

pub(super) fn in_use(who: &str) -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, format!("{who} listens there"))
}
