use sawyer_disk::{SimDisk, SimSettings};
use sawyer_model::{RecordHead, SeqRange, Stream};
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

#[test]
fn nothing_is_adopted_beside_what_was_not_looked_at() {
    let disk = Arc::new(SimDisk::new(1, SimSettings::default()));
    let plan = StorePlan { free_min: Some(0), ..StorePlan::default() };
    let store = Store::open_manual(disk, plan, Clock::manual(NOW), &Metrics::new()).unwrap();
    let engine = &store.engine;
    store.append(Arc::new(batch(0, 10))).unwrap();
    store.seal_now().unwrap();
    let brought = batch(10, 30);
    let settings = EncodeSettings::default();
    let written = engine.write_segment(Partition::of(NOW, NOW), |sink| {
        sawyer_segment::encode_to(&[&brought], &settings, sink)
    });
    let written = Arc::new(written.unwrap());
    let ranges = BTreeMap::from([(SourceId(1), RangeSet::from_iter([SeqRange::new(10, 30)]))]);
    let seen = |engine: &Engine| engine.live.read().segments.iter().map(|known| known.entry.id).collect();
    assert!(!engine.adopt(&written, &ranges, &HashSet::new()).unwrap(), "a segment");
    store.append(Arc::new(batch(12, 14))).unwrap();
    assert!(!engine.adopt(&written, &ranges, &seen(engine)).unwrap(), "a record in memory");
    assert_eq!(store.stats().unsealed, 0, "it is sealed for the next time");
    store.append(Arc::new(batch(30, 40))).unwrap();
    assert!(engine.adopt(&written, &ranges, &seen(engine)).unwrap(), "one of the same source beside it");
    assert_eq!(store.stats().records, 4);
}
