use std::sync::Arc;

use proptest::prelude::*;
use sawyer_disk::{SimDisk, SimSettings};
use sawyer_model::{SeqRange, SourceId};

use super::*;
use crate::sources::Source;

fn sample() -> Catalogue {
    let time = Timestamp::from_secs;
    let source = |last, ranges: &[(u64, u64)]| Source {
        ranges: ranges.iter().map(|(start, end)| SeqRange::new(*start, *end)).collect(),
        last: time(last),
    };
    let entry = |id, stray, kept| SegmentEntry {
        id,
        bytes: 4096 * id,
        rows: 100 * id,
        raw_bytes: 40_960 * id,
        time_min: time(-5),
        time_max: time(1_700_000_000),
        observed_min: time(1_700_000_001),
        observed_max: time(1_700_000_002),
        stray,
        kept_until: time(kept),
    };
    let mut sources = Sources::default();
    sources.put(SourceId(1), source(1_700_000_002, &[(0, 4096)]));
    sources.put(SourceId(u128::MAX - 1), source(-1, &[(0, 10), (20, u64::MAX)]));
    Catalogue {
        generation: 9,
        wal_first: 4,
        segment_next: 12,
        segments: vec![entry(3, false, 1_800_000_000), entry(11, true, 0)],
        sources,
    }
}

#[test]
fn reads_what_it_wrote() {
    let disk = SimDisk::new(1, SimSettings::default());
    assert!(matches!(load(&disk), Ok(Found::Nothing)));
    save(&disk, &sample()).unwrap();
    let Ok(Found::Whole(found)) = load(&disk.power_loss()) else { panic!("the catalogue is durable") };
    assert_eq!(found, sample());
}

#[test]
fn reads_the_golden_file() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/catalogue-v2");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, bytes::encode(&sample())).unwrap();
    }
    let golden = std::fs::read(path).unwrap();
    assert_eq!(bytes::decode(&golden), Ok((sample(), true)));
    assert_eq!(bytes::encode(&sample()), golden);
}

#[test]
fn reads_the_golden_file_of_version_1() {
    let golden = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/catalogue-v1")).unwrap();
    let mut wanted = sample();
    wanted.segments.iter_mut().for_each(|entry| entry.kept_until = Timestamp::EPOCH);
    assert_eq!(bytes::decode(&golden), Ok((wanted, true)));
}

#[test]
fn a_newer_version_is_not_damage() {
    let mut file = bytes::encode(&sample());
    let half = file.len() / 2;
    for at in [0, half] {
        file[at + 8] = 3;
        let crc = crc32c::crc32c(&file[at..at + 28]);
        file[at + 28..at + 32].copy_from_slice(&crc.to_le_bytes());
    }
    assert_eq!(bytes::decode(&file), Err(bytes::DecodeError::Newer(3)));
}

#[test]
fn records_far_from_their_time_are_kept_apart() {
    let noon = Timestamp::parse("2026-11-20T12:00:00Z").unwrap();
    let near = Partition::of(noon.saturating_sub(DAY / 2), noon);
    assert!(!near.stray);
    for far in [Timestamp::EPOCH, noon.saturating_add(DAY * 2), Timestamp::MIN, Timestamp::MAX] {
        assert_eq!(Partition::of(far, noon), Partition { stray: true, ..near });
    }
    assert!(!near.is_closed(noon.saturating_add(DAY)));
    assert!(near.is_closed(noon.saturating_add(DAY * 2)));
}

proptest! {
    #[test]
    fn any_flipped_bit_is_survived_and_seen(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut file = bytes::encode(&sample());
        let at = at.index(file.len());
        file[at] ^= 1 << bit;
        prop_assert_eq!(bytes::decode(&file), Ok((sample(), false)));
    }

    #[test]
    fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(bytes::decode(&bytes).is_err());
    }

    #[test]
    fn the_old_or_the_new_one_is_there_after_any_loss_of_power(seed in any::<u64>(), cut in 1u64..12) {
        let disk = SimDisk::new(seed, SimSettings::default());
        disk.cut_power_at(cut);
        let old = sample();
        let new = Catalogue { generation: 10, ..sample() };
        let saved_old = save(&disk, &old);
        let saved_new = save(&disk, &new);
        let disk: Arc<dyn Disk> = Arc::new(disk.power_loss());
        match load(&*disk) {
            Ok(Found::Whole(found)) => {
                prop_assert!(found == new || (found == old && saved_new.is_err()));
            }
            Ok(Found::Nothing) => prop_assert!(saved_old.is_err()),
            other => prop_assert!(false, "{other:?}"),
        }
    }
}
