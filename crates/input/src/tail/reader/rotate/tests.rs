use super::*;

fn folder_with(text: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    fs::write(&path, text).unwrap();
    (folder, path)
}

#[test]
fn a_file_that_was_begun_anew_is_not_freed() {
    let old = b"old line\n".repeat(100_000);
    let (_folder, path) = folder_with(&old);
    let (head, read) = (Head::of(&old), old.len() as u64);
    let freed = |new: &[u8]| {
        // The inode stays, as with a program that opens its file to truncate it.
        fs::write(&path, new).unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let freed = punch(&file, &head, read, HEAD_BYTES..HEAD_BYTES + 2 * PAGE_BYTES).unwrap();
        assert_eq!(freed, fs::read(&path).unwrap() != new);
        freed
    };
    assert!(freed(&old));
    assert!(!freed(&old[..old.len() / 2]));
    assert!(!freed(&b"new line\n".repeat(200_000)));
    assert!(freed(&old.repeat(2)));
}

#[test]
fn a_copy_that_fails_leaves_nothing_behind() {
    let (folder, path) = folder_with(b"line\n");
    let mut unreadable = OpenOptions::new().write(true).open(&path).unwrap();
    let to = folder.path().join("copy");
    copy(&mut unreadable, &to).unwrap_err();
    assert!(!to.exists());
}

#[test]
fn a_copy_never_goes_where_a_link_leads() {
    let (folder, path) = folder_with(b"line\n");
    let (to, victim) = (folder.path().join("copy"), folder.path().join("victim"));
    fs::write(&victim, "of somebody else").unwrap();
    std::os::unix::fs::symlink(&victim, &to).unwrap();
    copy(&mut File::open(&path).unwrap(), &to).unwrap();
    assert_eq!(fs::read(&to).unwrap(), b"line\n");
    assert_eq!(fs::read(&victim).unwrap(), b"of somebody else");
}
