//! What the simulated disk keeps, what it may lose, and that it catches code which relies on more.

#![allow(clippy::unwrap_used, reason = "helpers of tests may do what tests may")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use sawyer_disk::{
    Disk, EntryOrder, ErrorKind, Fault, File, Result, SimDisk, SimSettings, TEMPORARY_SUFFIX, read_all,
    write_atomic,
};

const OLD: &[u8] = &[b'o'; 700];
const NEW: &[u8] = &[b'n'; 1900];

fn sim(seed: u64) -> SimDisk {
    SimDisk::new(seed, SimSettings::default())
}

/// A way to replace the content of a file.
type Replace = fn(&dyn Disk, &Path, &[u8]) -> Result<()>;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    Old,
    New,
    Wrong,
    /// The replacement had returned `Ok`, and yet the new content was not there.
    Undone,
}

/// Replaces OLD by NEW and loses the power at every operation and after the last, over many seeds.
fn crash_everywhere(replace: Replace, entry_order: EntryOrder) -> BTreeSet<Found> {
    let path = Path::new("d/state");
    let settings = SimSettings { entry_order, ..SimSettings::default() };
    let mut found = BTreeSet::new();
    for seed in 0..400 {
        for cut_at in 1.. {
            let disk = SimDisk::new(seed, settings);
            disk.create_dir_all(Path::new("d")).unwrap();
            write_atomic(&disk, path, OLD).unwrap();
            disk.cut_power_at(disk.counts().operations + cut_at);
            let done = replace(&disk, path, NEW).is_ok();
            let content = read_all(&disk.power_loss(), path, 1 << 20).unwrap_or_default();
            found.insert(match (content.as_slice(), done) {
                (NEW, _) => Found::New,
                (OLD, false) => Found::Old,
                (OLD, true) => Found::Undone,
                _ => Found::Wrong,
            });
            if done {
                break;
            }
        }
    }
    found
}

#[test]
fn write_atomic_gives_old_or_new_at_every_crash_point() {
    for order in [EntryOrder::Any, EntryOrder::PerDirectory] {
        let found = crash_everywhere(write_atomic, order);
        assert_eq!(found, BTreeSet::from([Found::Old, Found::New]), "{order:?}");
    }
}

#[test]
fn replacement_without_syncing_the_content_is_caught() {
    fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
        let temporary = path.with_extension("tmp");
        disk.create(&temporary)?.append(bytes)?;
        disk.rename(&temporary, path)?;
        disk.sync_dir(path.parent().unwrap())
    }
    assert!(crash_everywhere(replace, EntryOrder::PerDirectory).contains(&Found::Wrong));
}

#[test]
fn replacement_without_syncing_the_directory_is_caught() {
    fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
        let temporary = path.with_extension("tmp");
        let mut file = disk.create(&temporary)?;
        file.append(bytes)?;
        file.sync_data()?;
        disk.rename(&temporary, path)
    }
    assert!(crash_everywhere(replace, EntryOrder::PerDirectory).contains(&Found::Undone));
}

#[test]
fn replacement_in_place_is_caught() {
    fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
        let mut file = disk.open_append(path)?;
        file.truncate(0)?;
        file.append(bytes)?;
        file.sync_data()
    }
    assert!(crash_everywhere(replace, EntryOrder::PerDirectory).contains(&Found::Wrong));
}

#[test]
fn removal_before_rename_is_caught() {
    fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
        let temporary = path.with_extension("tmp");
        let mut file = disk.create(&temporary)?;
        file.append(bytes)?;
        file.sync_data()?;
        disk.remove_file(path)?;
        disk.rename(&temporary, path)?;
        disk.sync_dir(path.parent().unwrap())
    }
    assert!(crash_everywhere(replace, EntryOrder::PerDirectory).contains(&Found::Wrong));
}

#[test]
fn synced_file_without_synced_name_may_vanish_and_with_it_never() {
    let run = |seed: u64, sync_name: bool| {
        let disk = sim(seed);
        let mut file = disk.create(Path::new("a")).unwrap();
        file.append(OLD).unwrap();
        file.sync_data().unwrap();
        if sync_name {
            disk.sync_dir(Path::new("")).unwrap();
        }
        match read_all(&disk.power_loss(), Path::new("a"), 1 << 20) {
            Ok(bytes) => {
                assert_eq!(bytes, OLD, "seed={seed}");
                true
            }
            Err(error) => {
                assert!(error.is_not_found(), "seed={seed}");
                false
            }
        }
    };
    let kept_unsynced = (0..300).filter(|seed| run(*seed, false)).count();
    assert!((30..270).contains(&kept_unsynced), "kept {kept_unsynced} of 300");
    assert_eq!((0..300).filter(|seed| run(*seed, true)).count(), 300);
}

#[test]
fn names_keep_their_order_in_a_directory_only_if_told() {
    let later_alone = |entry_order| {
        (0..300).any(|seed| {
            let disk = SimDisk::new(seed, SimSettings { entry_order, ..SimSettings::default() });
            drop(disk.create(Path::new("1")).unwrap());
            drop(disk.create(Path::new("2")).unwrap());
            let found = disk.power_loss();
            found.exists(Path::new("2")).unwrap() && !found.exists(Path::new("1")).unwrap()
        })
    };
    assert!(later_alone(EntryOrder::Any));
    assert!(!later_alone(EntryOrder::PerDirectory));
}

#[test]
fn removed_file_may_come_back_until_the_directory_is_synced() {
    let comes_back = |sync: bool| {
        (0..300).any(|seed| {
            let disk = sim(seed);
            write_atomic(&disk, Path::new("a"), OLD).unwrap();
            disk.remove_file(Path::new("a")).unwrap();
            if sync {
                disk.sync_dir(Path::new("")).unwrap();
            }
            disk.power_loss().exists(Path::new("a")).unwrap()
        })
    };
    assert!(comes_back(false));
    assert!(!comes_back(true));
}

#[test]
fn syncing_the_last_of_several_moves_brings_them_all() {
    for (seed, entry_order) in (0..200).zip([EntryOrder::Any, EntryOrder::PerDirectory].into_iter().cycle()) {
        let disk = SimDisk::new(seed, SimSettings { entry_order, ..SimSettings::default() });
        disk.create_dir_all(Path::new("d")).unwrap();
        disk.create_dir_all(Path::new("e")).unwrap();
        write_atomic(&disk, Path::new("a"), OLD).unwrap();
        disk.rename(Path::new("a"), Path::new("d/b")).unwrap();
        disk.rename(Path::new("d/b"), Path::new("e/c")).unwrap();
        disk.sync_dir(Path::new("e")).unwrap();
        let found = disk.power_loss();
        let places = ["a", "d/b", "e/c"].map(|path| found.exists(Path::new(path)).unwrap());
        assert_eq!(places, [false, false, true], "seed={seed}");
    }
}

#[test]
fn unsynced_move_leaves_the_file_in_one_place() {
    let found: BTreeSet<[bool; 2]> = (0..200)
        .map(|seed| {
            let disk = sim(seed);
            disk.create_dir_all(Path::new("d")).unwrap();
            write_atomic(&disk, Path::new("a"), OLD).unwrap();
            disk.rename(Path::new("a"), Path::new("d/b")).unwrap();
            let found = disk.power_loss();
            ["a", "d/b"].map(|path| found.exists(Path::new(path)).unwrap())
        })
        .collect();
    assert_eq!(found, BTreeSet::from([[true, false], [false, true]]));
}

#[test]
fn made_directories_are_durable_at_once() {
    for seed in 0..100 {
        let disk = sim(seed);
        disk.create_dir_all(Path::new("a/b/c")).unwrap();
        assert!(disk.power_loss().exists(Path::new("a/b/c")).unwrap(), "seed={seed}");
    }
}

/// One step of a writer with four files.
#[derive(Debug, Clone, Copy)]
enum Step {
    Append(usize, usize),
    Truncate(usize, usize),
    Sync(usize),
    Reopen(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let file = || 0..4_usize;
    prop_oneof![
        5 => (file(), 1..1300_usize).prop_map(|(file, len)| Step::Append(file, len)),
        1 => (file(), 0..3000_usize).prop_map(|(file, len)| Step::Truncate(file, len)),
        3 => file().prop_map(Step::Sync),
        1 => file().prop_map(Step::Reopen),
    ]
}

/// A file with what it should hold, and how much of that is promised.
struct Watched {
    file: Box<dyn File>,
    content: Vec<u8>,
    promised: usize,
}

impl Watched {
    fn take(&mut self, disk: &dyn Disk, step: Step, number: usize) -> Result<()> {
        match step {
            Step::Append(_, len) => {
                let bytes = vec![u8::try_from(number % 255).unwrap() + 1; len];
                self.file.append(&bytes)?;
                self.content.extend(bytes);
            }
            Step::Truncate(_, len) => {
                let len = len.min(self.content.len());
                // From here on either length may be found.
                self.promised = self.promised.min(len);
                self.file.truncate(len as u64)?;
                self.content.truncate(len);
            }
            Step::Sync(_) => {
                self.file.sync_data()?;
                self.promised = self.content.len();
            }
            Step::Reopen(name) => self.file = disk.open_append(Path::new(&name.to_string()))?,
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn synced_bytes_survive_a_loss_of_power_at_any_time(
        steps in proptest::collection::vec(step(), 1..40),
        cut_at in 6..50_u64,
        write_back_percent in 0..=100_u8,
        seed: u64,
    ) {
        let disk = SimDisk::new(seed, SimSettings { write_back_percent, ..SimSettings::default() });
        let mut files: Vec<Watched> = (0..4)
            .map(|name| disk.create(Path::new(&name.to_string())).unwrap())
            .map(|file| Watched { file, content: Vec::new(), promised: 0 })
            .collect();
        disk.sync_dir(Path::new("")).unwrap();
        disk.cut_power_at(cut_at);
        for (number, step) in steps.iter().enumerate() {
            let (Step::Append(at, _) | Step::Truncate(at, _) | Step::Sync(at) | Step::Reopen(at)) = *step;
            if files[at].take(&disk, *step, number).is_err() {
                break;
            }
        }
        prop_assert_eq!(disk.has_power(), steps_counted(&steps) + 5 < cut_at);
        let found = disk.power_loss();
        for (name, watched) in files.iter().enumerate() {
            let bytes = read_all(&found, Path::new(&name.to_string()), 1 << 20).unwrap();
            prop_assert!(bytes.len() >= watched.promised);
            prop_assert_eq!(&bytes[..watched.promised], &watched.content[..watched.promised]);
        }
    }

    #[test]
    fn death_of_the_process_loses_nothing_written(
        steps in proptest::collection::vec(step(), 1..40), seed: u64,
    ) {
        let disk = sim(seed);
        let mut files: Vec<Watched> = (0..4)
            .map(|name| disk.create(Path::new(&name.to_string())).unwrap())
            .map(|file| Watched { file, content: Vec::new(), promised: 0 })
            .collect();
        for (number, step) in steps.iter().enumerate() {
            let (Step::Append(at, _) | Step::Truncate(at, _) | Step::Sync(at) | Step::Reopen(at)) = *step;
            files[at].take(&disk, *step, number).unwrap();
        }
        let next = disk.kill_process();
        for (name, watched) in files.iter_mut().enumerate() {
            prop_assert_eq!(watched.file.append(b"x").unwrap_err().kind(), ErrorKind::PowerLost);
            let bytes = read_all(&next, Path::new(&name.to_string()), 1 << 20).unwrap();
            prop_assert_eq!(&bytes, &watched.content);
        }
    }
}

/// How many of the steps are operations; opening an existing file is none.
fn steps_counted(steps: &[Step]) -> u64 {
    steps.iter().filter(|step| !matches!(step, Step::Reopen(_))).count() as u64
}

/// Everything in the root directory.
fn dump(disk: &SimDisk) -> BTreeMap<String, Vec<u8>> {
    let entries = disk.read_dir(Path::new("")).unwrap().into_iter();
    entries
        .map(|entry| (entry.name.clone(), read_all(disk, Path::new(&entry.name), 1 << 20).unwrap()))
        .collect()
}

#[test]
fn same_seed_twice_gives_the_same_crash() {
    let run = |seed| {
        let disk = sim(seed);
        for name in 0..20 {
            let mut file = disk.create(Path::new(&format!("{name:02}"))).unwrap();
            for _ in 0..10 {
                file.append(&[7; 333]).unwrap();
            }
            if name % 3 == 0 {
                file.sync_data().unwrap();
            }
            if name % 5 == 0 {
                disk.sync_dir(Path::new("")).unwrap();
            }
        }
        (disk.counts(), dump(&disk.power_loss()), dump(&disk.power_loss()))
    };
    let outcomes: Vec<_> = (0..50).map(run).collect();
    assert_eq!(outcomes, (0..50).map(run).collect::<Vec<_>>());
    let distinct: BTreeSet<_> = outcomes.iter().map(|(_, first, _)| first).collect();
    assert!(distinct.len() > 40, "other seeds give other crashes");
    assert!(outcomes.iter().any(|(_, first, second)| first != second), "asking again gives another");
}

#[test]
fn full_disk_takes_nothing_and_recovers() {
    let disk = SimDisk::new(1, SimSettings { capacity_bytes: 1000, ..SimSettings::default() });
    let mut a = disk.create(Path::new("a")).unwrap();
    let mut b = disk.create(Path::new("b")).unwrap();
    a.append(&[1; 600]).unwrap();
    let error = b.append(&[2; 500]).unwrap_err();
    assert!(error.is_full());
    assert_eq!(error.to_string(), "append to b: disk is full");
    assert_eq!(b.len().unwrap(), 0);
    assert_eq!(disk.space().unwrap().available_bytes, 400);
    disk.remove_file(Path::new("a")).unwrap();
    assert!(b.append(&[2; 500]).unwrap_err().is_full(), "an open file keeps its space");
    drop(a);
    b.append(&[2; 500]).unwrap();
    b.sync_data().unwrap();
    disk.set_capacity(400);
    assert_eq!(disk.space().unwrap().available_bytes, 0);
    assert!(b.append(&[2; 1]).unwrap_err().is_full());
    disk.set_capacity(501);
    b.append(&[3; 1]).unwrap();
    assert_eq!(read_all(&disk, Path::new("b"), 501).unwrap().len(), 501);
}

#[test]
fn write_atomic_on_a_full_disk_keeps_the_old_and_leaves_nothing() {
    let disk = sim(1);
    write_atomic(&disk, Path::new("a"), OLD).unwrap();
    disk.set_capacity(1000);
    assert!(write_atomic(&disk, Path::new("a"), NEW).unwrap_err().is_full());
    assert_eq!(dump(&disk), BTreeMap::from([("a".to_owned(), OLD.to_vec())]));
    disk.set_capacity(10_000);
    write_atomic(&disk, Path::new("a"), NEW).unwrap();
    assert_eq!(dump(&disk), BTreeMap::from([("a".to_owned(), NEW.to_vec())]));
}

#[test]
fn write_atomic_replaces_a_leftover() {
    let disk = sim(1);
    disk.create(Path::new(&format!("a{TEMPORARY_SUFFIX}"))).unwrap().append(b"half").unwrap();
    write_atomic(&disk, Path::new("a"), NEW).unwrap();
    assert_eq!(dump(&disk), BTreeMap::from([("a".to_owned(), NEW.to_vec())]));
}

#[test]
fn handle_is_lost_after_a_failed_sync_and_the_bytes_stay_lost() {
    let lost = (0..200).filter(|seed| {
        let disk = sim(*seed);
        let path = Path::new("a");
        let mut file = disk.create(path).unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        file.append(NEW).unwrap();
        disk.fail_operation(disk.counts().operations + 1, Fault::Io);
        assert_eq!(file.sync_data().unwrap_err().kind(), ErrorKind::Other);
        assert!(file.sync_data().unwrap_err().is_lost(), "a retry would prove nothing");
        assert!(file.append(b"x").unwrap_err().is_lost());
        assert!(file.truncate(0).unwrap_err().is_lost());
        // Whoever reopens the file sees the bytes, and may sync it, and has nothing.
        assert_eq!(read_all(&disk, path, 1 << 20).unwrap(), NEW);
        disk.open_append(path).unwrap().sync_data().unwrap();
        read_all(&disk.power_loss(), path, 1 << 20).unwrap() != NEW
    });
    assert!(lost.count() > 100);
}

#[test]
fn told_faults_hit_their_operation_only() {
    let disk = sim(1);
    let mut file = disk.create(Path::new("a")).unwrap();
    disk.fail_operation(2, Fault::Full);
    assert!(file.append(b"one").unwrap_err().is_full());
    file.append(b"one").unwrap();
    assert_eq!(read_all(&disk, Path::new("a"), 10).unwrap(), b"one");
    disk.fail_read(disk.counts().reads + 1, Fault::Io);
    assert_eq!(read_all(&disk, Path::new("a"), 10).unwrap_err().kind(), ErrorKind::Other);
    assert_eq!(read_all(&disk, Path::new("a"), 10).unwrap(), b"one");
    disk.fail_operation(disk.counts().operations + 1, Fault::Io);
    assert_eq!(file.append(b"two").unwrap_err().kind(), ErrorKind::Other);
    assert!(file.append(b"two").unwrap_err().is_lost());
    disk.fail_operation(disk.counts().operations + 1, Fault::ReadOnly);
    assert!(disk.remove_file(Path::new("a")).unwrap_err().is_read_only());
    disk.remove_file(Path::new("a")).unwrap();
}

#[test]
fn read_only_disk_is_read_and_not_written() {
    let disk = sim(1);
    write_atomic(&disk, Path::new("a"), OLD).unwrap();
    disk.set_read_only(true);
    assert!(write_atomic(&disk, Path::new("a"), NEW).unwrap_err().is_read_only());
    assert!(disk.open_append(Path::new("a")).unwrap_err().is_read_only());
    assert!(disk.create_dir_all(Path::new("d")).unwrap_err().is_read_only());
    assert_eq!(read_all(&disk, Path::new("a"), 1000).unwrap(), OLD);
    disk.set_read_only(false);
    write_atomic(&disk, Path::new("a"), NEW).unwrap();
}

#[test]
fn flipped_bit_is_there_before_and_after_a_loss_of_power() {
    let disk = sim(1);
    write_atomic(&disk, Path::new("a"), &[0; 10]).unwrap();
    disk.flip_bit(Path::new("a"), 3, 4).unwrap();
    let damaged = [0, 0, 0, 16, 0, 0, 0, 0, 0, 0];
    assert_eq!(read_all(&disk, Path::new("a"), 10).unwrap(), damaged);
    assert_eq!(read_all(&disk.power_loss(), Path::new("a"), 10).unwrap(), damaged);
    assert_eq!(disk.flip_bit(Path::new("b"), 0, 0).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(disk.flip_bit(Path::new("a"), 10, 0).unwrap_err().kind(), ErrorKind::EndOfFile);
}

#[test]
fn lock_has_one_holder_and_ends_with_the_machine() {
    let disk = sim(1);
    let path = Path::new("lock");
    let guard = disk.lock(path).unwrap();
    let error = disk.lock(path).unwrap_err();
    assert_eq!(error.to_string(), format!("lock lock: held by process {}", std::process::id()));
    drop(guard);
    let _guard = disk.lock(path).unwrap();
    disk.power_loss().lock(path).unwrap();
    disk.kill_process().lock(path).unwrap();
}

#[test]
fn nothing_works_without_power() {
    let disk = sim(1);
    let mut file = disk.create(Path::new("a")).unwrap();
    disk.cut_power_at(2);
    assert_eq!(file.append(b"x").unwrap_err().kind(), ErrorKind::PowerLost);
    assert!(!disk.has_power());
    assert_eq!(file.len().unwrap_err().kind(), ErrorKind::PowerLost);
    assert_eq!(file.read_at(&mut [0], 0).unwrap_err().kind(), ErrorKind::PowerLost);
    assert_eq!(disk.create(Path::new("b")).unwrap_err().kind(), ErrorKind::PowerLost);
    assert_eq!(disk.read_dir(Path::new("")).unwrap_err().kind(), ErrorKind::PowerLost);
    assert_eq!(disk.space().unwrap_err().kind(), ErrorKind::PowerLost);
    assert!(disk.power_loss().has_power());
}

#[test]
fn part_of_a_disk_sees_nothing_outside_itself() {
    let whole: Arc<dyn Disk> = Arc::new(sim(1));
    let part = whole.sub("store").sub("wal");
    part.create_dir_all(Path::new("")).unwrap();
    write_atomic(part.as_ref(), Path::new("1"), b"one").unwrap();
    assert_eq!(read_all(whole.as_ref(), Path::new("store/wal/1"), 3).unwrap(), b"one");
    assert_eq!(part.read_dir(Path::new("")).unwrap().len(), 1);
    assert_eq!(part.open_read(Path::new("../x")).unwrap_err().kind(), ErrorKind::InvalidPath);
    assert_eq!(part.open_read(Path::new("2")).unwrap_err().path(), Path::new("store/wal/2"));
}

#[test]
fn file_larger_than_allowed_is_not_read() {
    let disk = sim(1);
    write_atomic(&disk, Path::new("a"), OLD).unwrap();
    assert_eq!(read_all(&disk, Path::new("a"), 699).unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(read_all(&disk, Path::new("a"), 700).unwrap(), OLD);
}
