use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::{Disk, SimDisk, SimSettings};

const FORMAT: FrameFormat = FrameFormat { magic: *b"SAWYRTST", version: 1, marked_since: None };

/// A file on a simulated disk, with every payload in a group of its own.
fn file_of(number: u64, payloads: &[Vec<u8>]) -> Vec<u8> {
    bytes_of(number, &payloads.iter().map(|payload| vec![payload.clone()]).collect::<Vec<_>>())
}

fn bytes_of(number: u64, groups: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let disk = SimDisk::new(1, SimSettings::default());
    let path = Path::new("log");
    let mut writer = FrameWriter::create(&disk, &FORMAT, path, number, true).unwrap();
    for group in groups {
        let parts: Vec<[&[u8]; 2]> =
            group.iter().map(|payload| payload.split_at(payload.len() / 2).into()).collect();
        let frames = writer.append(&parts).unwrap();
        writer.sync().unwrap();
        for (frame, payload) in frames.iter().zip(group) {
            assert_eq!(frame.read(writer.file()).unwrap().as_ref(), Some(payload));
        }
    }
    assert_eq!((writer.len(), writer.number()), (writer.file().len().unwrap(), number));
    let len = writer.len() as usize;
    crate::read_all(&disk, path, len as u64).unwrap()
}

fn put(bytes: &[u8]) -> Box<dyn File> {
    let disk = SimDisk::new(1, SimSettings::default());
    let mut file = disk.create(Path::new("log")).unwrap();
    file.append(bytes).unwrap();
    file
}

/// Payloads, damaged bytes, torn bytes.
fn read(bytes: &[u8], number: u64, check: Check) -> (Vec<Vec<u8>>, u64, u64) {
    let file = put(bytes);
    let scanned = scan(&*file, &FORMAT, number, check).unwrap();
    let mut damaged: u64 = scanned.damaged.iter().map(|gap| gap.end - gap.start).sum();
    let mut payloads = Vec::new();
    for frame in &scanned.frames {
        match frame.read(&*file).unwrap() {
            Some(payload) => payloads.push(payload),
            None => damaged += frame.end() - frame.start,
        }
    }
    (payloads, damaged, scanned.torn_bytes)
}

#[test]
fn finds_frames_larger_and_smaller_than_the_window() {
    let payloads: Vec<Vec<u8>> = [0, 1, 200_000, 65_500, 3, 70_000].map(|len| vec![0xf5; len]).to_vec();
    for check in [Check::All, Check::LastGroup] {
        assert_eq!(read(&file_of(7, &payloads), 7, check), (payloads.clone(), 0, 0));
    }
}

#[test]
fn a_log_inside_a_log_is_not_taken_for_frames() {
    let inner = file_of(1, &[b"inner".to_vec()]);
    let mut bytes = file_of(1, &[inner, b"last".to_vec()]);
    bytes[HEADER_BYTES * 2 - 1] ^= 1; // the header of the outer first frame
    let (payloads, damaged, torn) = read(&bytes, 1, Check::All);
    assert_eq!((payloads, torn), (vec![b"last".to_vec()], 0));
    assert!(damaged > HEADER_BYTES as u64);
}

#[test]
fn another_version_is_told() {
    let newer = FrameFormat { version: 2, ..FORMAT };
    let scanned = scan(&*put(&newer.encode(3)), &FORMAT, 3, Check::All).unwrap();
    assert_eq!(scanned.unknown_version, Some(2));
}

#[test]
fn what_is_wrong_in_the_last_group_is_torn_and_before_it_damaged() {
    let bytes = bytes_of(1, &[vec![vec![1; 10], vec![2; 10]], vec![vec![3; 10], vec![4; 10]]]);
    let frame = HEADER_BYTES + 10;
    let second = HEADER_BYTES + 2 * frame;
    for check in [Check::All, Check::LastGroup] {
        let flipped = |at: usize| {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            let (payloads, damaged, torn) = read(&bytes, 1, check);
            (payloads.len(), damaged, torn)
        };
        let frame = frame as u64;
        assert_eq!(flipped(HEADER_BYTES), (3, frame, 0));
        assert_eq!(flipped(HEADER_BYTES * 2), (3, frame, 0), "a payload before the last group");
        assert_eq!(flipped(second), (3, 0, frame));
        assert_eq!(flipped(bytes.len() - 1), (3, 0, frame));
    }
}

#[test]
fn nothing_is_torn_in_a_file_that_was_ended() {
    let marked = FrameFormat { version: 2, marked_since: Some(2), ..FORMAT };
    let disk = SimDisk::new(1, SimSettings::default());
    let mut writer = FrameWriter::create(&disk, &marked, Path::new("log"), 1, true).unwrap();
    writer.append(&[[vec![1u8; 10]]]).unwrap();
    writer.append(&[[vec![2u8; 10]], [vec![3; 10]]]).unwrap();
    let whole = crate::read_all(&disk, Path::new("log"), writer.len()).unwrap();
    writer.end().unwrap();
    let ended = crate::read_all(&disk, Path::new("log"), writer.len()).unwrap();
    let frame = (HEADER_BYTES + 10) as u64;
    // Frames, damaged bytes, torn bytes.
    let scanned = |bytes: &[u8], format: &FrameFormat| {
        let scanned = scan(&*put(bytes), format, 1, Check::All).unwrap();
        let damaged: u64 = scanned.damaged.iter().map(|gap| gap.end - gap.start).sum();
        (scanned.frames.len(), damaged, scanned.torn_bytes)
    };
    assert_eq!((scanned(&whole, &marked), scanned(&ended, &marked)), ((3, 0, 0), (3, 0, 0)));
    let last = whole.len() - 1;
    let flipped = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1;
        scanned(&bytes, &marked)
    };
    assert_eq!(flipped(&whole, last), (2, 0, frame));
    assert_eq!(flipped(&ended, last), (2, frame, 0));
    assert_eq!(flipped(&ended, last + 5), (3, 0, HEADER_BYTES as u64), "the mark itself");
    // The header of the file.
    assert_eq!(flipped(&ended, 9), (3, HEADER_BYTES as u64, 0));
    let mut first = ended.clone();
    first[..HEADER_BYTES].copy_from_slice(&FORMAT.encode(1));
    assert_eq!(scanned(&first, &marked), (4, 0, 0), "files of the version before have no mark");
}

#[test]
fn a_full_disk_leaves_the_file_good() {
    let disk = SimDisk::new(1, SimSettings { capacity_bytes: 200, ..SimSettings::default() });
    let mut writer = FrameWriter::create(&disk, &FORMAT, Path::new("log"), 1, true).unwrap();
    assert!(writer.append(&[[vec![1u8; 300]]]).unwrap_err().is_full());
    writer.append(&[[vec![2u8; 20]]]).unwrap();
    let scanned = scan(writer.file(), &FORMAT, 1, Check::All).unwrap();
    assert_eq!((scanned.frames.len(), scanned.torn_bytes), (1, 0));
}

proptest! {
    #[test]
    fn a_torn_tail_costs_only_what_was_torn(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
        cut in any::<prop::sample::Index>(),
        zeros in 0usize..60,
    ) {
        let whole = file_of(5, &payloads);
        let cut = cut.index(whole.len() + 1);
        let mut torn = whole[..cut].to_vec();
        torn.resize(cut + zeros, 0);
        let complete = (0..=payloads.len()).rev().find(|n| file_of(5, &payloads[..*n]).len() <= cut).unwrap_or(0);
        for check in [Check::All, Check::LastGroup] {
            let (read, damaged, _) = read(&torn, 5, check);
            // Zeros may happen to be what was cut.
            prop_assert!(read.len() >= complete && read.len() <= payloads.len());
            prop_assert_eq!(&read[..], &payloads[..read.len()]);
            prop_assert_eq!(damaged, 0);
        }
    }

    #[test]
    fn one_flipped_bit_costs_at_most_one_frame(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let mut bytes = file_of(5, &payloads);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let without: Vec<Vec<Vec<u8>>> = (0..payloads.len())
            .map(|n| [&payloads[..n], &payloads[n + 1..]].concat())
            .chain([payloads.clone()])
            .collect();
        for check in [Check::All, Check::LastGroup] {
            let (read, damaged, torn) = read(&bytes, 5, check);
            prop_assert!(damaged + torn > 0, "the damage is seen");
            prop_assert!(without.contains(&read));
        }
    }

    #[test]
    fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (payloads, damaged, torn) = read(&bytes, 1, Check::All);
        let told: usize = payloads.iter().map(|p| p.len() + HEADER_BYTES).sum();
        prop_assert!(told as u64 + damaged + torn <= bytes.len() as u64);
    }
}
