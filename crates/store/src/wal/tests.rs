use proptest::prelude::*;
use sawyer_disk::{RealDisk, read_all};

use super::*;

fn file_of(number: u64, payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = file_header(number).to_vec();
    for payload in payloads {
        let offset = bytes.len() as u64;
        let header = frame_header(number, offset, offset, &Payload::from(Bytes::from(payload.clone())));
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(payload);
    }
    bytes
}

fn read(bytes: &[u8], number: u64) -> (Vec<Vec<u8>>, usize, usize) {
    let frames = read_frames(bytes, number);
    let payloads = frames.payloads.into_iter().map(|range| bytes[range].to_vec()).collect();
    (payloads, frames.damaged_bytes, frames.torn_bytes)
}

fn payloads(of: &[Vec<u8>]) -> Vec<Payload> {
    of.iter().map(|bytes| Payload::from(Bytes::from(bytes.clone()))).collect()
}

#[test]
fn what_was_appended_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(folder.path()).unwrap();
    disk.create_dir_all(Path::new(WAL_DIR)).unwrap();
    let mut file = WalFile::create(&disk, 7).unwrap();
    let (first, second) = (vec![b"one".to_vec(), b"two".to_vec()], vec![vec![0xf5; 5000]]);
    file.append(&payloads(&first)).unwrap();
    file.append(&payloads(&second)).unwrap();
    let bytes = read_all(&disk, &path_of(7), 1 << 20).unwrap();
    let (len, block) = (file.len() as usize, 4096);
    assert!(bytes.len() == len || bytes.len() == len.next_multiple_of(block), "{} bytes", bytes.len());
    assert!(bytes[len..].iter().all(|byte| *byte == 0));
    assert_eq!(read(&bytes, 7), ([first, second].concat(), 0, 0));
}

#[test]
fn names_are_numbers() {
    assert_eq!(path_of(42), Path::new("wal/00000000000000000042.wal"));
    assert_eq!(number_of("00000000000000000042.wal"), Some(42));
    for foreign in ["42.wal", "00000000000000000042.wal.tmp", "0000000000000000004x.wal", "lost+found"] {
        assert_eq!(number_of(foreign), None, "{foreign}");
    }
}

#[test]
fn reads_the_golden_file() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/wal-v2");
    let payloads = [b"first".to_vec(), vec![0xf5; 40]];
    let mut written = file_of(0x0102_0304, &payloads);
    let mark = end_mark(0x0102_0304, written.len() as u64);
    written.extend_from_slice(&mark);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &written).unwrap();
    }
    let golden = std::fs::read(path).unwrap();
    assert_eq!(golden, written);
    assert_eq!(read(&golden, 0x0102_0304), (payloads.to_vec(), 0, 0));
}

#[test]
fn reads_files_of_the_version_without_end_marks() {
    let golden = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/wal-v1")).unwrap();
    let payloads = vec![b"first".to_vec(), Vec::new(), vec![0xf5; 40]];
    assert_eq!(read(&golden, 0x0102_0304), (payloads, 0, 0));
}

#[test]
fn behind_an_end_mark_nothing_is_torn_and_nothing_in_doubt() {
    let whole = file_of(9, &[vec![1; 10], vec![2; 10]]);
    let mark = end_mark(9, whole.len() as u64);
    let marked = [&whole[..], &mark].concat();
    let told = |bytes: &[u8]| {
        let frames = read_frames(bytes, 9);
        (frames.payloads.len(), frames.damaged_bytes, frames.torn_bytes, frames.doubtful)
    };
    assert_eq!(told(&marked), (2, 0, 0, 0));
    assert_eq!(told(&whole), (2, 0, 0, 1), "each payload was written alone");
    let frame = HEADER_BYTES + 10;
    for at in 0..marked.len() {
        let mut bytes = marked.clone();
        bytes[at] ^= 0x20;
        let wanted = match at {
            _ if at < HEADER_BYTES => (2, HEADER_BYTES, 0, 0),
            _ if at < whole.len() => (1, frame, 0, 0),
            _ => (2, 0, HEADER_BYTES, 1),
        };
        assert_eq!(told(&bytes), wanted, "at={at}");
    }
    assert_eq!(told(&[&marked[..], &[7]].concat()), (2, 1, 0, 0), "nobody writes behind a mark");
}

#[test]
fn a_file_is_ended_as_its_reader_expects() {
    let folder = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(folder.path()).unwrap();
    disk.create_dir_all(Path::new(WAL_DIR)).unwrap();
    for durable in [false, true] {
        let mut file = WalFile::create(&disk, 3).unwrap();
        file.append(&payloads(&[vec![1; 10]])).unwrap();
        file.append(&payloads(&[vec![2; 10], vec![3; 10]])).unwrap();
        file.end(durable).unwrap();
        let mut bytes = read_all(&disk, &path_of(3), 1 << 20).unwrap();
        let second = HEADER_BYTES + (HEADER_BYTES + 10);
        bytes[second] ^= 1;
        assert_eq!(read(&bytes, 3), (vec![vec![1; 10], vec![3; 10]], HEADER_BYTES + 10, 0));
        assert_eq!(read_frames(&bytes, 3).doubtful, 0);
    }
    WalFile::create(&disk, 4).unwrap().end(true).unwrap();
    let empty = read_all(&disk, &path_of(4), 10_000).unwrap();
    assert!(empty[HEADER_BYTES..].iter().all(|byte| *byte == 0), "an empty one needs no mark");
}

#[test]
fn a_log_inside_a_log_is_not_taken_for_frames() {
    let inner = file_of(1, &[b"inner".to_vec()]);
    let mut bytes = file_of(1, &[inner, b"last".to_vec()]);
    bytes[HEADER_BYTES * 2 - 1] ^= 1; // the header of the outer first frame
    let (payloads, damaged, torn) = read(&bytes, 1);
    assert_eq!((payloads, torn), (vec![b"last".to_vec()], 0));
    assert!(damaged > HEADER_BYTES);
}

#[test]
fn a_newer_version_is_told() {
    let mut header = file_header(3);
    header[8] = 3;
    let crc = crc32c::crc32c(&header[..HEADER_BYTES - 4]);
    header[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(read_frames(&header, 3).unknown_version, Some(3));
}

#[test]
fn what_is_wrong_in_the_last_group_is_torn_and_before_it_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(folder.path()).unwrap();
    disk.create_dir_all(Path::new(WAL_DIR)).unwrap();
    let mut file = WalFile::create(&disk, 1).unwrap();
    file.append(&payloads(&[vec![1; 10], vec![2; 10]])).unwrap();
    let second = file.len() as usize;
    file.append(&payloads(&[vec![3; 10], vec![4; 10]])).unwrap();
    let bytes = read_all(&disk, &path_of(1), 1 << 20).unwrap();
    let flipped = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        let (payloads, damaged, torn) = read(&bytes, 1);
        (payloads.len(), damaged, torn)
    };
    assert_eq!(flipped(HEADER_BYTES), (3, HEADER_BYTES + 10, 0));
    assert_eq!(flipped(second), (3, 0, HEADER_BYTES + 10));
    let torn = bytes.len() - second - HEADER_BYTES - 10;
    assert_eq!(flipped(file.len() as usize - 1), (3, 0, torn));
}

#[test]
fn a_gap_in_the_last_group_is_told_apart_from_a_torn_end() {
    let folder = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(folder.path()).unwrap();
    disk.create_dir_all(Path::new(WAL_DIR)).unwrap();
    let mut file = WalFile::create(&disk, 1).unwrap();
    file.append(&payloads(&[vec![1; 10], vec![2; 10]])).unwrap();
    let bytes = read_all(&disk, &path_of(1), 1 << 20).unwrap();
    let told = |flipped: &[usize], end: &[u8]| {
        let mut bytes = [&bytes[..file.len() as usize], end].concat();
        flipped.iter().for_each(|at| bytes[*at] ^= 1);
        let frames = read_frames(&bytes, 1);
        (frames.payloads.len(), frames.torn_bytes, frames.torn_within, frames.damaged_bytes)
    };
    let frame = HEADER_BYTES + 10;
    let (first, second) = (HEADER_BYTES, HEADER_BYTES + frame);
    assert_eq!(told(&[], &[7; 5]), (2, 5, 0, 0));
    assert_eq!(told(&[second], &[]), (1, frame, 0, 0));
    assert_eq!(told(&[first], &[]), (1, frame, frame, 0));
    assert_eq!(told(&[first], &[0; 9]), (1, frame, frame, 0));
    assert_eq!(told(&[first], &[7; 5]), (1, frame + 5, frame, 0));
    assert_eq!(told(&[first, second], &[]), (0, 2 * frame, 0, 0));
}

#[test]
fn content_behind_a_header_that_is_wrong_is_damage() {
    let whole = file_of(5, &[vec![1; 10]]);
    let told = |bytes: &[u8]| {
        let (payloads, damaged, torn) = read(bytes, 5);
        (payloads.len(), damaged, torn)
    };
    let noise: Vec<u8> = whole.iter().map(|byte| byte ^ 0x5a).collect();
    assert_eq!(told(&noise), (0, noise.len(), 0));
    assert_eq!(told(&file_of(6, &[vec![1; 10]])), (0, whole.len(), 0), "it is of another file");
    // A header that was being written, and room behind it.
    let mut begun = noise[..HEADER_BYTES].to_vec();
    assert_eq!(told(&begun), (0, 0, HEADER_BYTES));
    begun.resize(5000, 0);
    assert_eq!(told(&begun), (0, 0, 5000));
    assert_eq!(told(&[0; 5000]), (0, 0, 5000));
    assert_eq!(told(&noise[..20]), (0, 0, 20));
}

#[test]
fn zeros_up_to_the_end_of_a_block_are_room() {
    let whole = file_of(5, &[vec![1; 10]]);
    for (zeros, torn) in [(0, 0), (1, 0), (4095, 0), (4096, 4096), (5000, 5000)] {
        let mut bytes = whole.clone();
        bytes.resize(whole.len() + zeros, 0);
        assert_eq!(read(&bytes, 5), (vec![vec![1; 10]], 0, torn), "{zeros}");
    }
    assert_eq!(read(&[&whole[..], &[0, 0, 1, 0]].concat(), 5).2, 4);
}

proptest! {
    #[test]
    fn a_torn_tail_costs_only_what_was_torn(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
        cut in any::<prop::sample::Index>(),
        zeros in 0usize..60,
    ) {
        let whole = file_of(5, &payloads);
        let cut = cut.index(whole.len() + 1);
        let mut torn = whole[..cut].to_vec();
        torn.resize(cut + zeros, 0);
        let (read, damaged, _) = read(&torn, 5);
        let complete = (0..=payloads.len()).rev().find(|n| file_of(5, &payloads[..*n]).len() <= cut).unwrap_or(0);
        // Zeros may happen to be what was cut.
        prop_assert!(read.len() >= complete && read.len() <= payloads.len());
        prop_assert_eq!(&read[..], &payloads[..read.len()]);
        prop_assert_eq!(damaged, 0);
    }

    #[test]
    fn one_flipped_bit_costs_at_most_one_frame(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 1..6),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let mut bytes = file_of(5, &payloads);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let (read, damaged, torn) = read(&bytes, 5);
        let missing = payloads.len() - read.len();
        prop_assert!(missing <= 1);
        prop_assert!(damaged + torn > 0, "the damage is seen");
        let without: Vec<Vec<Vec<u8>>> = (0..payloads.len())
            .map(|n| [&payloads[..n], &payloads[n + 1..]].concat())
            .chain([payloads.clone()])
            .collect();
        prop_assert!(without.contains(&read));
    }

    #[test]
    fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (payloads, damaged, torn) = read(&bytes, 1);
        let told: usize = payloads.iter().map(|p| p.len() + HEADER_BYTES).sum();
        prop_assert!(told + damaged + torn <= bytes.len());
    }
}
