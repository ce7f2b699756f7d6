//! Links below a mounted root.
//!
//! With the node's file system mounted at `/host`, a link to `/var/log/pods/…` means `/host/var/log/pods/…`; the
//! kernel would look in our own file system.
//!
//! Invariant: the result lies below the root, whatever links say.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Links followed for one path; more are taken for a circle, as the kernel does.
const LINKS_MAX: usize = 40;

/// Where `path`, a path of the node, leads once all links are followed: a path of the node again.
pub(crate) fn resolve(root: Option<&Path>, path: &Path) -> io::Result<PathBuf> {
    let root = root.unwrap_or(Path::new("/"));
    let mut todo: VecDeque<OsString> = parts(path);
    let mut done = PathBuf::from("/");
    let mut links = 0;
    while let Some(part) = todo.pop_front() {
        if part == ".." {
            done.pop();
            continue;
        }
        let here = root.join(done.strip_prefix("/").unwrap_or(&done)).join(&part);
        if !here.symlink_metadata()?.file_type().is_symlink() {
            done.push(part);
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::LOOP.raw_os_error()));
        }
        let target = here.read_link()?;
        if target.is_absolute() {
            done = PathBuf::from("/");
        }
        for part in parts(&target).into_iter().rev() {
            todo.push_front(part);
        }
    }
    Ok(done)
}

fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(part) => Some(part.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_stay_below_the_root() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("mnt/docker")).unwrap();
        fs::create_dir_all(at("var/log")).unwrap();
        fs::write(at("mnt/docker/a.log"), "x").unwrap();
        symlink("/mnt/docker", at("var/docker")).unwrap();
        symlink("../docker/a.log", at("var/log/b.log")).unwrap();
        symlink("/var/log/b.log", at("c.log")).unwrap();
        symlink("../../../../c.log", at("var/log/d.log")).unwrap();
        symlink("e.log", at("e.log")).unwrap();
        let resolved = |path: &str| resolve(Some(root.path()), Path::new(path));
        for path in ["/var/log/b.log", "/c.log", "/var/log/d.log", "/mnt/docker/a.log"] {
            assert_eq!(resolved(path).unwrap(), Path::new("/mnt/docker/a.log"), "{path}");
        }
        assert!(resolved("/e.log").is_err());
        assert_eq!(resolved("/nowhere").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
