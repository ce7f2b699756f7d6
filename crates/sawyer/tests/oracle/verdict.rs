//! What must have arrived.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

use sawyer_buffer::{Inspector, Lane};
use sawyer_disk::{Disk, RealDisk};
use sawyer_segment::decode_batch;
use sawyer_telemetry::Clock;

use crate::node::{self, PODS, expected, is_masked, is_poison, number_of};
use crate::run::{Arrival, Promise, Target};

/// How many numbers arrived.
pub(crate) fn distinct(arrived: &[Arrival]) -> usize {
    arrived.iter().map(|arrival| number_of(&arrival.line)).collect::<HashSet<_>>().len()
}

/// How many numbers of so many have to arrive; the others are dead letters.
pub(crate) fn wanted(promise: Promise, written: u64) -> u64 {
    if promise.refuses { (0..written).filter(|number| !is_poison(*number)).count() as u64 } else { written }
}

/// Every number arrived, unchanged, in the order and as often as promised.
pub(crate) fn give(target: &dyn Target, folder: &Path, written: u64) {
    let (arrived, promise) = (target.arrived(folder), target.promise());
    let mut times: BTreeMap<u64, usize> = BTreeMap::new();
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for Arrival { pod, line } in &arrived {
        let number = number_of(line);
        assert!(number < written, "nobody wrote {line:?}");
        assert_eq!(pod, node::pod(number), "{line:?} is of another container");
        match expected(number) {
            Some(expected) => assert_eq!(*line, expected, "number {number} has changed"),
            None => assert!(is_masked(number, line), "number {number} is not masked well: {line:?}"),
        }
        let seen = times.entry(number).or_default();
        *seen += 1;
        if *seen == 1 && promise.ordered {
            let before = last.insert(node::pod(number), number);
            assert!(before < Some(number), "{number} of {pod} arrived after {before:?}");
        }
    }
    let dead = dead_letters(target, folder);
    let missing: Vec<u64> =
        (0..written).filter(|number| !times.contains_key(number) && !dead.contains(number)).collect();
    assert!(missing.is_empty(), "{} numbers did not arrive: {missing:?}", missing.len());
    let refused: BTreeSet<u64> =
        (0..written).filter(|number| promise.refuses && is_poison(*number)).collect();
    assert_eq!(dead, refused, "dead letters are what was refused, and nothing else");
    assert!(PODS.iter().all(|pod| !promise.ordered || last.contains_key(pod)));
    let repeated = arrived.len() - times.len();
    assert!(!promise.once || repeated == 0, "{repeated} records are there twice");
    eprintln!(
        "{}: {written} written, {} arrived, {repeated} of them again, {} dead letters; on the way: {:?}",
        target.kind(),
        times.len(),
        dead.len(),
        target.happened()
    );
}

/// The numbers of the dead letters.
fn dead_letters(target: &dyn Target, folder: &Path) -> BTreeSet<u64> {
    let mut numbers = BTreeSet::new();
    if !target.is_remote() {
        return numbers;
    }
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(folder.join("data/state/outputs/out/buffer")).unwrap());
    let buffer = Inspector::open(disk, Clock::system()).unwrap();
    let waiting: u64 =
        buffer.summary().unwrap().iter().filter(|s| s.lane != Lane::Dead).map(|s| s.records).sum();
    assert_eq!(waiting, 0, "everything was delivered");
    for entry in buffer.entries(Lane::Dead).unwrap() {
        let batch = decode_batch(&buffer.content(Lane::Dead, entry.id).unwrap().payload).unwrap();
        assert!(entry.note.detail.contains("failed to parse"), "{}", entry.note.detail);
        numbers.extend(batch.iter().map(|record| number_of(record.message())));
    }
    numbers
}
