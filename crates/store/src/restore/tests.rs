use sawyer_disk::{SimDisk, SimSettings};
use sawyer_model::{Batch, RangeSet, RecordHead, SeqRange, SourceId, Stream};
use sawyer_telemetry::{Clock, Metrics};

use super::*;
use crate::StorePlan;
use crate::catalogue::Partition;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn batch(start: u64, end: u64) -> Batch {
    let mut batch = Batch::new();
    let stream = batch.add_stream(&Arc::new(Stream::default()));
    let range = SeqRange::new(start, end);
    batch.begin(RecordHead { timestamp: NOW, observed: NOW, source: SourceId(1), range }, stream);
    batch
}

/// A store with a record, and a segment beside it that no catalogue names.
fn with_arrival(disk: &SimDisk) -> (Store, Arc<Sealed>, Sources) {
    let plan = StorePlan { free_min: Some(0), ..StorePlan::default() };
    let store =
        Store::open_manual(Arc::new(disk.clone()), plan, Clock::manual(NOW), &Metrics::new()).unwrap();
    store.append(Arc::new(batch(0, 10))).unwrap();
    store.seal_now().unwrap();
    let brought = batch(10, 30);
    let settings = EncodeSettings::default();
    let written = store.engine.write_segment(Partition::of(NOW, NOW), |sink| {
        sawyer_segment::encode_to(&[&brought], &settings, sink)
    });
    let mut sources = Sources::default();
    let ranges = RangeSet::from_iter([SeqRange::new(10, 30)]);
    sources.put(SourceId(1), Source { ranges, last: NOW });
    (store, Arc::new(written.unwrap()), sources)
}

fn seen(engine: &Engine) -> HashSet<u64> {
    engine.live.read().segments.iter().map(|known| known.entry.id).collect()
}

#[test]
fn a_segment_that_cannot_be_adopted_leaves_no_file() {
    let disk = SimDisk::new(1, SimSettings::default());
    let (store, written, brought) = with_arrival(&disk);
    let engine = &store.engine;
    store.append(Arc::new(batch(12, 14))).unwrap();
    disk.set_read_only(true);
    engine.adopt(&written, &brought, &seen(engine)).unwrap_err();
    disk.set_read_only(false);
    drop(written);
    store.seal_now().unwrap();
    store.remove_superfluous();
    let files = disk.read_dir(Path::new(crate::keeper::SEGMENT_DIR)).unwrap();
    let files: HashSet<u64> = files.iter().filter_map(|file| crate::keeper::segment_of(&file.name)).collect();
    assert_eq!(files, seen(engine));
}

#[test]
fn nothing_is_adopted_beside_what_was_not_looked_at() {
    let (store, written, ranges) = with_arrival(&SimDisk::new(1, SimSettings::default()));
    let engine = &store.engine;
    assert!(!engine.adopt(&written, &ranges, &HashSet::new()).unwrap(), "a segment");
    store.append(Arc::new(batch(12, 14))).unwrap();
    assert!(!engine.adopt(&written, &ranges, &seen(engine)).unwrap(), "a record in memory");
    assert_eq!(store.stats().unsealed, 0, "it is sealed for the next time");
    store.append(Arc::new(batch(30, 40))).unwrap();
    assert!(engine.adopt(&written, &ranges, &seen(engine)).unwrap(), "one of the same source beside it");
    assert_eq!(store.stats().records, 4);
}
