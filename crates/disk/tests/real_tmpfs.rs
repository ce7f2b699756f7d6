//! A disk that is really full.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests may do what tests may")]

use std::fs;
use std::io::IoSlice;
use std::path::Path;
use std::process::Command;

use sawyer_disk::{Disk, RealDisk, read_all, write_atomic};

/// A file system of 1 MiB in memory; gone when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(directory.path());
        assert!(mount.status().unwrap().success());
        Self(directory)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn full_disk_takes_nothing_and_recovers() {
    if !sawyer_testkit::may_use_root("mounts a tmpfs") {
        return;
    }
    let small = SmallDisk::mount();
    let disk = RealDisk::new(small.0.path()).unwrap();
    assert_eq!(disk.space().unwrap().total_bytes, 1 << 20);
    let (a, b) = (Path::new("a"), Path::new("b"));
    disk.create(a).unwrap().append(&[1; 600 << 10]).unwrap();
    let mut file = disk.create(b).unwrap();
    file.append(b"head").unwrap();
    assert!(file.append(&[2; 600 << 10]).unwrap_err().is_full());
    let parts = [IoSlice::new(&[2; 300 << 10]), IoSlice::new(&[2; 300 << 10])];
    assert!(file.append_vectored(&parts).unwrap_err().is_full());
    assert_eq!(fs::metadata(disk.root().join(b)).unwrap().len(), 4, "what was written is taken back");
    assert!(write_atomic(&disk, a, &[3; 600 << 10]).unwrap_err().is_full());
    assert_eq!(disk.read_dir(Path::new("")).unwrap().len(), 2, "no leftover");
    disk.remove_file(a).unwrap();
    file.append(&[2; 600 << 10]).unwrap();
    file.sync_data().unwrap();
    assert_eq!(read_all(&disk, b, 1 << 20).unwrap().len(), (600 << 10) + 4);
}
