//! The disk on a directory of the operating system.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests may do what tests may")]

use std::fs;
use std::io::{BufRead, BufReader, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use sawyer_disk::{Disk, EntryKind, ErrorKind, RealDisk, read_all, write_atomic};

/// Set to the path of a directory, it makes `second_process_is_told_who_holds_the_lock` play the first process.
const HOLD_LOCK_IN: &str = "SAWYER_TEST_HOLD_LOCK_IN";

fn disk() -> (tempfile::TempDir, RealDisk) {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(directory.path().join("data/sawyer")).unwrap();
    (directory, disk)
}

/// System calls of this thread that wrote, so far.
fn write_calls() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/io").unwrap();
    text.lines().find_map(|line| line.strip_prefix("syscw: ")).unwrap().parse().unwrap()
}

#[test]
fn append_is_one_system_call() {
    let (_directory, disk) = disk();
    let mut file = disk.create(Path::new("a")).unwrap();
    let bytes = vec![1; 3 << 20];
    let before = write_calls();
    file.append(&bytes).unwrap();
    assert_eq!(write_calls() - before, 1);
    let before = write_calls();
    file.append_vectored(&[IoSlice::new(b"head"), IoSlice::new(&bytes), IoSlice::new(b"tail")]).unwrap();
    assert_eq!(write_calls() - before, 1);
    assert_eq!(file.len().unwrap(), (6 << 20) + 8);
}

#[test]
fn more_parts_than_the_system_takes_at_once_are_all_written() {
    let (_directory, disk) = disk();
    let bytes: Vec<u8> = (0..5000_u32).flat_map(u32::to_le_bytes).collect();
    let empty = [IoSlice::new(&[]); 2000];
    let parts: Vec<IoSlice<'_>> =
        empty.iter().copied().chain(bytes.chunks(4).map(IoSlice::new)).chain(empty).collect();
    let mut file = disk.create(Path::new("a")).unwrap();
    file.append_vectored(&parts).unwrap();
    file.append_vectored(&empty).unwrap();
    assert_eq!(read_all(&disk, Path::new("a"), 1 << 20).unwrap(), bytes);
}

#[test]
fn appends_at_the_end_after_opening_again() {
    let (_directory, disk) = disk();
    let path = Path::new("wal/0001.log");
    disk.create_dir_all(Path::new("wal")).unwrap();
    disk.open_append(path).unwrap().append(b"one").unwrap();
    let mut file = disk.open_append(path).unwrap();
    file.append(b"two").unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(Path::new("wal")).unwrap();
    file.truncate(4).unwrap();
    file.append(b"three").unwrap();
    assert_eq!(read_all(&disk, path, 100).unwrap(), b"onetthree");
    assert_eq!(fs::read(disk.root().join(path)).unwrap(), b"onetthree");
    let mut buffer = [0; 3];
    file.read_exact_at(&mut buffer, 4).unwrap();
    assert_eq!(&buffer, b"thr");
    assert_eq!(file.read_exact_at(&mut buffer, 7).unwrap_err().kind(), ErrorKind::EndOfFile);
    assert_eq!(file.truncate(100).unwrap_err().kind(), ErrorKind::Other);
}

#[test]
fn one_reader_serves_many_threads() {
    let (_directory, disk) = disk();
    let bytes: Vec<u8> = (0..1 << 16).map(|at: u32| at.to_le_bytes()[0]).collect();
    write_atomic(&disk, Path::new("a"), &bytes).unwrap();
    let file = disk.open_read(Path::new("a")).unwrap();
    std::thread::scope(|scope| {
        for start in 0..4_u64 {
            let (file, bytes) = (&file, &bytes);
            scope.spawn(move || {
                for offset in (start..60_000).step_by(997) {
                    let mut buffer = [0; 100];
                    file.read_exact_at(&mut buffer, offset).unwrap();
                    let at = usize::try_from(offset).unwrap();
                    assert_eq!(buffer, bytes[at..at + 100]);
                }
            });
        }
    });
}

#[test]
fn errors_name_operation_and_path() {
    let (_directory, disk) = disk();
    let error = disk.open_read(Path::new("none")).unwrap_err();
    assert_eq!(error.to_string(), format!("open {}: not found", disk.root().join("none").display()));
    assert!(std::error::Error::source(&error).is_some());
    assert_eq!(
        disk.open_read(Path::new("../x")).unwrap_err().to_string(),
        "open ../x: expected a relative path inside the disk"
    );
}

#[test]
fn handle_is_lost_when_the_system_fails_to_sync() {
    // The system refuses to sync this device, which stands for a disk that fails to.
    let disk = RealDisk::new("/dev").unwrap();
    let mut file = disk.open_append(Path::new("null")).unwrap();
    assert_eq!(file.sync_data().unwrap_err().kind(), ErrorKind::Other);
    assert!(file.append(b"x").unwrap_err().is_lost());
    assert!(file.sync_data().unwrap_err().is_lost());
    assert!(file.truncate(0).unwrap_err().is_lost());
}

#[test]
fn handle_is_lost_when_a_half_append_cannot_be_taken_back() {
    let disk = RealDisk::new("/dev").unwrap();
    let mut file = disk.open_append(Path::new("full")).unwrap();
    assert!(file.append(b"x").unwrap_err().is_full());
    assert!(file.append(b"x").unwrap_err().is_lost());
}

#[test]
fn lock_is_refused_to_a_second_holder_in_the_same_process() {
    let (_directory, disk) = disk();
    let guard = disk.lock(Path::new("lock")).unwrap();
    let error = disk.lock(Path::new("lock")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked { pid: Some(std::process::id()) });
    drop(guard);
    disk.lock(Path::new("lock")).unwrap();
}

#[test]
fn second_process_is_told_who_holds_the_lock() {
    if let Some(root) = std::env::var_os(HOLD_LOCK_IN) {
        return hold_lock(PathBuf::from(root));
    }
    let (_directory, disk) = disk();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "second_process_is_told_who_holds_the_lock", "--nocapture"])
        .env(HOLD_LOCK_IN, disk.root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("lock held")));
    let error = disk.lock(Path::new("lock")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked { pid: Some(holder.id()) });
    assert!(error.to_string().ends_with(&format!(": held by process {}", holder.id())), "{error}");
    holder.kill().unwrap();
    holder.wait().unwrap();
    disk.lock(Path::new("lock")).unwrap();
}

/// Takes the lock, says so, and keeps it until killed (or until the other process is gone).
fn hold_lock(root: PathBuf) {
    let _guard = RealDisk::new(root).unwrap().lock(Path::new("lock")).unwrap();
    println!("lock held");
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().lines().next();
}

#[test]
fn lists_names_in_order_with_kinds_and_lengths() {
    let (_directory, disk) = disk();
    disk.create(Path::new("b")).unwrap().append(b"12345").unwrap();
    disk.create(Path::new("a")).unwrap();
    disk.create_dir_all(Path::new("c/d")).unwrap();
    std::os::unix::fs::symlink("b", disk.root().join("link")).unwrap();
    let entries = disk.read_dir(Path::new("")).unwrap();
    let entries: Vec<_> = entries.iter().map(|e| (e.name.as_str(), e.kind, e.len)).collect();
    let expected = [
        ("a", EntryKind::File, 0),
        ("b", EntryKind::File, 5),
        ("c", EntryKind::Dir, 0),
        ("link", EntryKind::Other, 0),
    ];
    assert_eq!(entries, expected);
}

#[test]
fn part_of_a_disk_lies_below_it() {
    let (_directory, disk) = disk();
    let root = disk.root().to_owned();
    let part = (Arc::new(disk) as Arc<dyn Disk>).sub("store");
    part.create_dir_all(Path::new("")).unwrap();
    write_atomic(part.as_ref(), Path::new("catalogue"), b"x").unwrap();
    part.sync_dir(Path::new("")).unwrap();
    assert_eq!(fs::read(root.join("store/catalogue")).unwrap(), b"x");
    assert_eq!(part.space().unwrap().total_bytes, RealDisk::new(root).unwrap().space().unwrap().total_bytes);
}

#[test]
fn others_get_no_access_to_new_files() {
    use std::os::unix::fs::PermissionsExt;
    let (_directory, disk) = disk();
    disk.create_dir_all(Path::new("d")).unwrap();
    drop(disk.create(Path::new("d/a")).unwrap());
    for path in ["", "d", "d/a"] {
        let mode = fs::metadata(disk.root().join(path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o007, 0, "{path}: {mode:o}");
    }
}
