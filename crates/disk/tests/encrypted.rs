//! What an encrypted disk hides, with which keys it can be read, and what is left of it after a loss of power.

#![allow(clippy::unwrap_used, reason = "helpers of tests may do what tests may")]

use std::path::Path;
use std::sync::Arc;

use sawyer_disk::{Disk, EncryptedDisk, ErrorKind, Fault, Key, SimDisk, SimSettings, read_all, write_atomic};

const SECRET: &[u8] = b"nobody is to read this, however often it stands there";

fn key(byte: u8) -> Key {
    Key::parse(&[byte; 32]).unwrap()
}

fn sim() -> SimDisk {
    SimDisk::new(1, SimSettings::default())
}

fn encrypted(disk: &SimDisk, keys: &[u8]) -> Arc<dyn Disk> {
    EncryptedDisk::open(Arc::new(disk.clone()), keys.iter().copied().map(key).collect()).unwrap()
}

fn content(disk: &dyn Disk, path: &str) -> Vec<u8> {
    read_all(disk, Path::new(path), 1 << 20).unwrap()
}

#[test]
fn nothing_of_the_content_is_on_the_disk_below() {
    let below = sim();
    let disk = encrypted(&below, &[1]);
    let mut file = disk.create(Path::new("a")).unwrap();
    (0..40).for_each(|_| file.append(SECRET).unwrap());
    write_atomic(&*disk, Path::new("b"), SECRET).unwrap();
    for name in ["a", "b"] {
        let stored = content(&below, name);
        assert!(!stored.windows(8).any(|part| SECRET.windows(8).any(|secret| secret == part)), "{name}");
        assert!(content(&*disk, name).starts_with(SECRET), "{name}");
    }
    // The same content twice is not the same twice, in a file and in two.
    assert_ne!(content(&below, "a")[128..128 + SECRET.len()], content(&below, "b")[128..]);
    let first = &content(&below, "a")[128..];
    assert_ne!(first[..SECRET.len()], first[SECRET.len()..2 * SECRET.len()]);
}

#[test]
fn a_key_that_is_missing_is_told_and_a_new_one_is_put_before_the_old() {
    let below = sim();
    write_atomic(&below, Path::new("plain"), b"from before").unwrap();
    write_atomic(&*encrypted(&below, &[1]), Path::new("old"), SECRET).unwrap();
    for keys in [vec![], vec![key(2)]] {
        let refused = EncryptedDisk::open(Arc::new(below.clone()), keys).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NoKey);
        assert!(refused.to_string().contains("encryption_at_rest"), "{refused}");
    }
    let disk = encrypted(&below, &[2, 1]);
    write_atomic(&*disk, Path::new("new"), SECRET).unwrap();
    assert_eq!(content(&*disk, "old"), SECRET);
    assert_eq!(content(&*disk, "new"), SECRET);
    assert_eq!(content(&*disk, "plain"), b"from before");
    let lengths: Vec<_> = disk.read_dir(Path::new("")).unwrap().iter().map(|entry| entry.len).collect();
    assert_eq!(lengths, [SECRET.len() as u64, SECRET.len() as u64, 11]);
    assert!(
        EncryptedDisk::open(Arc::new(below.clone()), vec![key(1)]).is_err(),
        "the newer one is needed, too"
    );
}

#[test]
fn looking_with_a_key_changes_nothing() {
    let below = sim();
    write_atomic(&below, Path::new("plain"), b"from before").unwrap();
    let disk = encrypted(&below, &[1]);
    assert_eq!(content(&*disk, "plain"), b"from before");
    assert_eq!(below.read_dir(Path::new("")).unwrap().len(), 1);
    assert!(EncryptedDisk::open(Arc::new(below), vec![]).is_ok());
}

#[test]
fn a_header_that_was_cut_has_nothing_behind_it_and_one_that_is_damaged_twice_is_none() {
    let below = sim();
    let disk = encrypted(&below, &[1]);
    write_atomic(&*disk, Path::new("whole"), SECRET).unwrap();
    let whole = content(&below, "whole");
    for len in 1..128 {
        let path = Path::new("cut");
        write_atomic(&below, path, &whole[..len]).unwrap();
        assert_eq!(disk.metadata(path).unwrap().len, 0, "{len}");
        assert_eq!(content(&*disk, "cut"), b"", "{len}");
        let file = disk.open_read(path).unwrap();
        assert_eq!(file.read_exact_at(&mut [0], 0).unwrap_err().kind(), ErrorKind::EndOfFile);
        let mut file = disk.open_append(path).unwrap();
        file.append(SECRET).unwrap();
        assert_eq!(content(&*disk, "cut"), SECRET, "{len}");
    }
    for byte in 0..128 {
        let mut damaged = whole.clone();
        damaged[byte] ^= 4;
        write_atomic(&below, Path::new("damaged"), &damaged).unwrap();
        assert_eq!(content(&*disk, "damaged"), SECRET, "{byte}: the other copy is whole");
        damaged[(byte + 64) % 128] ^= 4;
        write_atomic(&below, Path::new("damaged"), &damaged).unwrap();
        assert_eq!(content(&*disk, "damaged"), damaged, "{byte}");
    }
}

#[test]
fn a_name_is_free_again_if_a_file_could_not_be_begun() {
    let below = sim();
    let disk = encrypted(&below, &[1]);
    drop(disk.create(Path::new("first")).unwrap());
    // The operation after the one that makes the file.
    below.fail_operation(below.counts().operations + 2, Fault::Full);
    assert!(disk.create(Path::new("a")).is_err());
    disk.create(Path::new("a")).unwrap().append(SECRET).unwrap();
    assert_eq!(content(&*disk, "a"), SECRET);
}

/// A file that another implementation of the form made, which is Python's `cryptography`.
#[test]
fn the_form_stays() {
    let stored = include_bytes!("golden/encrypted");
    let below = sim();
    write_atomic(&below, Path::new("a"), stored).unwrap();
    assert_eq!(content(&*encrypted(&below, &[1]), "a"), SECRET);
}

#[test]
fn keys_are_bytes_or_digits() {
    let digits = "01".repeat(32);
    assert_eq!(Key::parse(format!("{digits}\n").as_bytes()).unwrap().id(), key(1).id());
    for wrong in ["", "01", &digits[1..], &digits.replace('0', "x")] {
        let error = Key::parse(wrong.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("64 hexadecimal digits") && !error.contains("01"), "{error}");
    }
}
