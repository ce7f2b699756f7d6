//! Copies of a store, and looking at one from outside, while it is open and busy.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sawyer_disk::{Disk, RealDisk, SimDisk, SimSettings};
use sawyer_model::ErrorKind;
use sawyer_store::{Inspection, Store, backup};
use sawyer_telemetry::{Clock, Metrics};

use sawyer_testkit::Dice;

use crate::common::{batch_of, clock, open, plan, plan_of, record, records};

#[test]
fn a_copy_has_what_the_store_had() {
    let (disk, plan, clock) = (SimDisk::new(3, SimSettings::default()), plan(), clock());
    let mut dice = Dice::new(5);
    let store = open(&disk, &plan, &clock).unwrap();
    for round in 0..12u64 {
        let some: Vec<_> =
            (0..40).map(|n| record(&clock, &mut dice, 1, round * 40 + n, round * 40 + n + 1)).collect();
        store.append(Arc::new(batch_of(&some))).unwrap();
        clock.advance(Duration::from_secs(3));
        store.run_once().unwrap();
        let copy = SimDisk::new(round, SimSettings::default());
        let report = backup(&disk, &copy).unwrap();
        // What a copy was told to hold is there after a loss of power.
        let copy = copy.power_loss();
        let found = Inspection::open(Arc::new(copy.clone())).unwrap().verify().unwrap();
        assert_eq!((found.problems.len(), found.records), (0, report.records));
        let copied = open(&copy, &plan, &clock).unwrap();
        assert_eq!(records(&copied), records(&store));
        // The ranges came with it: what was stored is not stored again.
        assert_eq!(copied.append(Arc::new(batch_of(&some))).unwrap().stored, 0);
        assert_eq!(backup(&disk, &copy).unwrap_err().kind(), ErrorKind::Conflict);
    }
    let empty = SimDisk::new(9, SimSettings::default());
    assert_eq!(
        backup(&empty, &SimDisk::new(8, SimSettings::default())).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(Inspection::open(Arc::new(empty)).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_busy_store_can_be_copied_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(folder.path().join("store")).unwrap());
    let plan = plan_of("memory_max: 1MiB\nseal_interval: 10ms\nmerged_bytes_max: 256KiB\nfree_min: 0\n");
    let store = Store::open(Arc::clone(&disk), plan.clone(), Clock::system(), &Metrics::new()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (clock, mut dice, mut at) = (Clock::system(), Dice::new(1), 0);
            while !done.load(Ordering::Relaxed) && at < 6_000 {
                let some: Vec<_> =
                    (0..30).map(|n| record(&clock, &mut dice, 1, at + n, at + n + 1)).collect();
                store.append(Arc::new(batch_of(&some))).unwrap();
                at += 30;
            }
        });
        for round in 0..6 {
            let before = records(&store).len();
            let target = RealDisk::new(folder.path().join(format!("copy-{round}"))).unwrap();
            backup(&*disk, &target).unwrap();
            let found = Inspection::open(Arc::clone(&disk)).unwrap().verify().unwrap();
            assert_eq!(found.problems, []);
            let copy = Store::open_manual(Arc::new(target), plan.clone(), Clock::system(), &Metrics::new());
            let copied = records(&copy.unwrap());
            assert!(copied.len() >= before, "copied={} before={before}", copied.len());
            let mut starts: Vec<u64> = copied.iter().map(|record| record.range.start).collect();
            starts.sort_unstable();
            assert_eq!(starts, (0..starts.len() as u64).collect::<Vec<_>>());
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn damage_is_named_and_nothing_is_changed() {
    let (disk, plan, clock) = (SimDisk::new(3, SimSettings::default()), plan(), clock());
    let mut dice = Dice::new(5);
    let store = open(&disk, &plan, &clock).unwrap();
    let some: Vec<_> = (0..200).map(|n| record(&clock, &mut dice, 1, n, n + 1)).collect();
    store.append(Arc::new(batch_of(&some))).unwrap();
    store.seal_now().unwrap();
    drop(store);
    let folder = Path::new("segments");
    let segment = folder.join(&disk.read_dir(folder).unwrap()[0].name);
    disk.flip_bit(&segment, 40, 3).unwrap();
    let inspection = Inspection::open(Arc::new(disk.clone())).unwrap();
    let found = inspection.verify().unwrap();
    assert_eq!(found.problems.len(), 1);
    assert_eq!(found.problems[0].0, segment.display().to_string());
    assert!(disk.exists(&segment).unwrap());
    disk.remove_file(&segment).unwrap();
    let missing = inspection.verify().unwrap();
    assert_eq!(missing.problems.len(), 1, "{missing:?}");
}
