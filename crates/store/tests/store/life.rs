//! The life of a store: threads, followers, retention, merging, settings.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use sawyer_config::{Document, Problems, Setting};
use sawyer_disk::{Disk, Fault, RealDisk, SimDisk, SimSettings};
use sawyer_model::{Batch, ErrorKind, Record, RecordId, SeqRange, SourceId, Timestamp};
use sawyer_query::search::{Budget, Order, Search, SearchRequest, Selection};
use sawyer_query::upkeep::Upkeep;
use sawyer_query::{Context, Predicate, kql};
use sawyer_segment::Segment;
use sawyer_store::{Store, StorePlan, StoreSettings, StoreStats};
use sawyer_telemetry::{Clock, Metrics};

use sawyer_testkit::Dice;

use crate::common::{batch_of, clock, everything, open, plan, plan_of, record, records};

fn id(record: &Record) -> RecordId {
    RecordId { source: record.source, start: record.range.start }
}

fn some_records(clock: &Clock, source: u128, first: u64, count: u64) -> Vec<Record> {
    let mut dice = Dice::new(first);
    (first..first + count).map(|n| record(clock, &mut dice, source, n * 10, n * 10 + 10)).collect()
}

#[test]
fn many_threads_store_each_record_once() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(folder.path()).unwrap());
    let plan = plan_of("memory_max: 1MiB\nseal_interval: 20ms\nfree_min: 0\nsearch_threads: 2\n");
    let metrics = Metrics::new();
    let store = Store::open(Arc::clone(&disk), plan.clone(), Clock::system(), &metrics).unwrap();
    std::thread::scope(|scope| {
        for source in 0..6u128 {
            let store = &store;
            scope.spawn(move || {
                let clock = Clock::system();
                for n in 0..40 {
                    let batch = Arc::new(batch_of(&some_records(&clock, source, n * 20, 20)));
                    assert_eq!(store.append(Arc::clone(&batch)).unwrap().stored, 20);
                    // Sent again, as after a lost answer.
                    assert_eq!(store.append(batch).unwrap().stored, 0);
                    let (count, stats) = store.count(&everything(), &Budget::unlimited()).unwrap();
                    assert!(count >= (n + 1) * 20 && !stats.partial);
                }
            });
        }
    });
    assert_eq!(records(&store).len(), 6 * 40 * 20);
    let (tell, told) = mpsc::channel();
    store.append_with(Arc::new(batch_of(&some_records(&clock(), 9, 0, 5))), move |answer| {
        tell.send(answer.map(|appended| appended.stored)).unwrap();
    });
    assert_eq!(told.recv().unwrap().unwrap(), 5);
    let started = Instant::now();
    store.close();
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(store.append(Arc::default()).unwrap_err().kind(), ErrorKind::Closed);
    let store = Store::open(disk, plan, Clock::system(), &metrics).unwrap();
    let ids: BTreeSet<RecordId> = records(&store).iter().map(id).collect();
    assert_eq!((ids.len(), records(&store).len()), (4805, 4805));
    let text = metrics.text();
    let stored = text.lines().find(|line| line.starts_with("sawyer_store_records_total")).unwrap();
    assert!(stored.ends_with(" 4805"), "{stored}");
}

#[test]
fn followers_hear_every_batch_once_it_can_be_found() {
    let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
    let store = open(&disk, &plan(), &clock).unwrap();
    let heard = Arc::new(AtomicUsize::new(0));
    let ear = Arc::clone(&heard);
    store.follow(Box::new(move |batch| ear.fetch_add(batch.len(), Ordering::Relaxed) + batch.len() < 30));
    let first = Arc::new(batch_of(&some_records(&clock, 1, 0, 20)));
    store.append(Arc::clone(&first)).unwrap();
    store.append(first).unwrap();
    assert_eq!(heard.load(Ordering::Relaxed), 20, "what was there before is not told");
    // Half of it is new, and after that the follower wants no more.
    store.append(Arc::new(batch_of(&some_records(&clock, 1, 10, 20)))).unwrap();
    store.append(Arc::new(batch_of(&some_records(&clock, 2, 0, 20)))).unwrap();
    assert_eq!(heard.load(Ordering::Relaxed), 30);
}

#[test]
fn retention_counts_from_when_records_were_seen() {
    let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
    let plan = plan_of("memory_max: 1MiB\nretention: 3d\nfree_min: 0\n");
    let store = open(&disk, &plan, &clock).unwrap();
    let mut old = some_records(&clock, 1, 0, 10);
    for record in &mut old {
        record.timestamp = record.timestamp.saturating_sub(Duration::from_secs(300 * 86_400));
    }
    store.append(Arc::new(batch_of(&old))).unwrap();
    for day in 1..6u32 {
        clock.advance(Duration::from_secs(86_400));
        store.run_once().unwrap();
        let there = records(&store).iter().filter(|record| record.source == SourceId(1)).count();
        assert_eq!(there, if day <= 3 { 10 } else { 0 }, "day={day}");
        store.append(Arc::new(batch_of(&some_records(&clock, 2, u64::from(day) * 5, 5)))).unwrap();
    }
    // What was removed is not stored again when it is sent again, as long as its source is remembered.
    assert_eq!(store.append(Arc::new(batch_of(&old))).unwrap().stored, 0);
    clock.advance(Duration::from_secs(11 * 86_400));
    store.append(Arc::new(batch_of(&some_records(&clock, 3, 0, 1)))).unwrap();
    store.seal_now().unwrap();
    assert_eq!(store.append(Arc::new(batch_of(&old))).unwrap().stored, 10);
}

#[test]
fn the_store_stays_within_its_size() {
    let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
    let plan =
        plan_of("memory_max: 1MiB\nsize_max: 1MiB\nfree_min: 0\nmerged_bytes_max: 1MiB\nseal_interval: 1s\n");
    let store = open(&disk, &plan, &clock).unwrap();
    let (mut newest, mut dice) = (Timestamp::MIN, Dice::new(1));
    for n in 0..30 {
        clock.advance(Duration::from_secs(600));
        let mut records = some_records(&clock, 1, n * 600, 600);
        for record in &mut records {
            let noise: String = (0..20).map(|_| format!("{:016x}", dice.below(u64::MAX))).collect();
            record.fields.push(("noise".into(), noise.into()));
        }
        newest = records.iter().map(|record| record.timestamp).max().unwrap();
        store.append(Arc::new(batch_of(&records))).unwrap();
        store.run_once().unwrap();
        assert!(store.totals().bytes < 1_500_000, "{:?}", store.totals());
    }
    let totals = store.totals();
    assert!(totals.records < 30 * 600 && totals.records > 600, "{totals:?}");
    assert_eq!(totals.newest, Some(newest));
    assert_eq!(store.problems(), []);
}

#[test]
fn merging_makes_few_segments_of_many() {
    let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
    let plan = plan_of("memory_max: 1MiB\nfree_min: 0\nseal_interval: 1s\n");
    let store = open(&disk, &plan, &clock).unwrap();
    let mut total = 0;
    for n in 0..60 {
        clock.advance(Duration::from_secs(2));
        let sent: Vec<Record> = some_records(&clock, 1, n * 5, 5)
            .into_iter()
            .map(|record| Record { timestamp: clock.now(), ..record })
            .collect();
        total += sent.len();
        store.append(Arc::new(batch_of(&sent))).unwrap();
        store.run_once().unwrap();
    }
    for _ in 0..10 {
        store.run_once().unwrap();
    }
    assert!(store.totals().segments <= 16, "{:?}", store.totals());
    assert_eq!(records(&store).len(), total);
    let files = disk.read_dir(std::path::Path::new("segments")).unwrap();
    assert_eq!(files.len() as u64, store.totals().segments, "nothing is left over");
}

#[test]
fn a_segment_that_cannot_be_read_does_not_stop_the_merging_of_others() {
    let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
    let plan = plan_of("memory_max: 1MiB\nfree_min: 0\nseal_interval: 1s\n");
    let store = open(&disk, &plan, &clock).unwrap();
    let folder = std::path::Path::new("segments");
    let mut bad = None;
    for n in 0..40 {
        let sent: Vec<Record> = some_records(&clock, 1, n * 5, 5)
            .into_iter()
            .map(|record| Record { timestamp: clock.now(), ..record })
            .collect();
        store.append(Arc::new(batch_of(&sent))).unwrap();
        store.seal_now().unwrap();
        if n == 2 {
            let path = folder.join(&disk.read_dir(folder).unwrap()[0].name);
            disk.fail_reads_of(&path, Some(Fault::Io));
            bad = Some(path);
        }
        clock.advance(Duration::from_secs(2));
        store.run_once().unwrap();
    }
    assert!(store.totals().segments <= 17, "{:?}", store.totals());
    assert_eq!(store.problems(), [], "it may be readable again");
    let bad = bad.unwrap();
    assert!(disk.exists(&bad).unwrap());
    // It is merged as soon as it can be read.
    disk.fail_reads_of(&bad, None);
    for _ in 0..30 {
        clock.advance(Duration::from_secs(3 * 3600));
        store.run_once().unwrap();
    }
    assert!(!disk.exists(&bad).unwrap(), "{:?}", store.totals());
    assert_eq!((records(&store).len(), store.totals().segments), (200, 1));
}

#[test]
fn a_search_goes_on_over_segments_that_are_merged_away() {
    let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
    let plan = plan_of("memory_max: 1MiB\nfree_min: 0\n");
    let store = open(&disk, &plan, &clock).unwrap();
    for n in 0..8 {
        let sent: Vec<Record> = some_records(&clock, 1, n * 5, 5)
            .into_iter()
            .map(|record| Record { timestamp: clock.now(), ..record })
            .collect();
        store.append(Arc::new(batch_of(&sent))).unwrap();
        store.seal_now().unwrap();
    }
    let (mut found, mut after) = (0, None);
    loop {
        let request = SearchRequest {
            selection: everything(),
            order: Order::OldestFirst,
            limit: 7,
            after,
            original: true,
        };
        let page = store.search(&request, &Budget::unlimited()).unwrap();
        found += page.records.len();
        store.run_once().unwrap();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((found, store.totals().segments), (40, 1));
}

#[test]
fn a_budget_ends_a_question() {
    let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
    let store = open(&disk, &plan(), &clock).unwrap();
    for n in 0..4 {
        store.append(Arc::new(batch_of(&some_records(&clock, n, 0, 100)))).unwrap();
        store.seal_now().unwrap();
    }
    let (count, stats) = store.count(&everything(), &Budget::new(None, 150)).unwrap();
    assert!(stats.partial && (1..=150).contains(&count), "{count} {stats:?}");
    let cancelled = Budget::unlimited();
    cancelled.cancel();
    assert_eq!(store.count(&everything(), &cancelled).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn segments_of_other_times_are_not_read() {
    let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
    let store = open(&disk, &plan(), &clock).unwrap();
    for n in 0..5 {
        clock.advance(Duration::from_secs(3600));
        let mut record = some_records(&clock, 1, n, 1).remove(0);
        record.timestamp = clock.now();
        store.append(Arc::new(batch_of(&[record]))).unwrap();
        store.seal_now().unwrap();
    }
    let start = clock.now().saturating_sub(Duration::from_secs(1800));
    let selection = Selection { predicate: Predicate::All, start, end: Timestamp::MAX };
    let (count, stats) = store.count(&selection, &Budget::unlimited()).unwrap();
    assert_eq!((count, stats.segments_read, stats.segments_skipped), (1, 1, 4));
}

#[test]
fn parts_of_sources_that_were_filtered_are_remembered_after_a_restart() {
    let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
    let store = open(&disk, &plan(), &clock).unwrap();
    let mut filtered = Batch::new();
    filtered.cover(SourceId(1), SeqRange::new(0, 1000));
    store.append(Arc::new(filtered)).unwrap();
    drop(store);
    for _ in 0..2 {
        let store = open(&disk, &plan(), &clock).unwrap();
        assert_eq!(store.append(Arc::new(batch_of(&some_records(&clock, 1, 0, 100)))).unwrap().stored, 0);
        store.seal_now().unwrap();
    }
}

#[test]
fn the_log_ends_where_segments_begin() {
    let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
    assert_eq!(open(&disk, &plan(), &clock).unwrap().stats(), StoreStats::default());
    let logs = || disk.read_dir(std::path::Path::new("wal")).unwrap().len();
    let store = open(&disk, &plan(), &clock).unwrap();
    for n in 0..3 {
        store.append(Arc::new(batch_of(&some_records(&clock, 1, n * 5, 5)))).unwrap();
        assert_eq!(logs(), 1);
        let stats = store.stats();
        assert_eq!((stats.unsealed, stats.records), (5, (n + 1) * 5));
        assert!(stats.wal_bytes > 0 && stats.memory_bytes > 0, "{stats:?}");
        clock.advance(Duration::from_secs(10));
        store.run_once().unwrap();
        assert_eq!(logs(), 0);
    }
    let stats = store.stats();
    assert_eq!((stats.unsealed, stats.wal_bytes, stats.sources, stats.problems), (0, 0, 1, 0));
    assert!(stats.segments > 0 && stats.raw_bytes > 0 && !stats.disk_full, "{stats:?}");
}

#[test]
fn the_same_seed_makes_the_same_bytes() {
    let run = || {
        let (disk, clock) = (SimDisk::new(5, SimSettings::default()), clock());
        let store = open(&disk, &plan(), &clock).unwrap();
        for n in 0..20 {
            store
                .append(Arc::new(batch_of(&some_records(&clock, n % 3, u64::try_from(n).unwrap() * 5, 5))))
                .unwrap();
            clock.advance(Duration::from_secs(3));
            store.run_once().unwrap();
        }
        drop(store);
        disk.counts()
    };
    assert_eq!(run(), run());
}

#[test]
fn settings_say_what_is_wrong() {
    let check = |yaml: &str| {
        let document = Document::parse("sawyer.yaml", yaml).unwrap();
        let mut problems = Problems::new();
        let at = document.at();
        let plan = StoreSettings::read(&at, &mut problems).and_then(|s| s.check(&at, &mut problems));
        problems.into_result(plan).err().map(|problems| problems.to_string())
    };
    assert_eq!(check("retention: 14d\n"), None);
    assert_eq!(
        check("size_max: 2MiB\n").as_deref(),
        Some(
            "sawyer.yaml:1:1: size_max: expected at least `memory_max` (64MiB), which the write-ahead log alone can take"
        )
    );
    assert_eq!(
        check("retension: 14d\n").as_deref(),
        Some("sawyer.yaml:1:1: retension: unknown key; did you mean `retention`?")
    );
    let _: StorePlan = StorePlan::default();
}

#[test]
fn a_thread_that_died_is_known_by_its_name() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1, SimSettings::default()));
    let store = Store::open(disk, plan(), clock(), &Metrics::new()).unwrap();
    assert_eq!(store.dead_threads(), Vec::<String>::new());
    store.append_with(Arc::new(batch_of(&some_records(&clock(), 1, 0, 5))), |_| {
        panic!("a fault in the program")
    });
    let deadline = Instant::now() + Duration::from_secs(60);
    while store.dead_threads() != ["store-write"] {
        assert!(Instant::now() < deadline, "{:?}", store.dead_threads());
        std::thread::yield_now();
    }
    store.close();
    assert_eq!(store.dead_threads(), Vec::<String>::new(), "closed, and not dead");
}

/// Records with names and no order leave a hole beside each: those that come and those on disk are bounded alike.
#[test]
fn places_that_are_forgotten_on_disk_are_forgotten_in_memory() {
    let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
    let store = open(&disk, &plan(), &clock).unwrap();
    let place = |n: u64| batch_of(&[record(&clock, &mut Dice::new(n), 1, n * 2, n * 2 + 1)]);
    let mut batch = place(10_005);
    (0..10_005).for_each(|n| batch.cover(SourceId(1), SeqRange::new(n * 2, n * 2 + 1)));
    store.append(Arc::new(batch)).unwrap();
    assert_eq!(store.append(Arc::new(place(0))).unwrap().stored, 0);
    store.seal_now().unwrap();
    let stored = |n| store.append(Arc::new(place(n))).unwrap().stored;
    assert_eq!([stored(10_005), stored(6), stored(5), stored(0)], [0, 0, 1, 1]);
}

#[test]
fn segments_too_large_to_be_merged_get_their_shapes_while_more_comes() {
    let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
    let plan = plan_of("memory_max: 1MiB\nmerged_bytes_max: 64KiB\nfree_min: 0\nseal_interval: 1h\n");
    let store = open(&disk, &plan, &clock).unwrap();
    let folder = std::path::Path::new("segments");
    let (mut sealed, mut sent) = (0, 0);
    for n in 0..8 {
        clock.advance(Duration::from_secs(1));
        // So many that they are sealed, and some that are in memory then.
        for (first, count) in [(0, 6000), (6000, 5)] {
            let more = some_records(&clock, 1, n * 6005 + first, count);
            let more: Vec<Record> =
                more.into_iter().map(|record| Record { timestamp: clock.now(), ..record }).collect();
            store.append(Arc::new(batch_of(&more))).unwrap();
            sent += count;
        }
        store.run_once().unwrap();
        store.remove_superfluous();
        let mut rows = 0;
        let names = disk.read_dir(folder).unwrap();
        for name in &names {
            let file = disk.open_read(&folder.join(&name.name)).unwrap();
            let mut bytes = vec![0; file.len().unwrap() as usize];
            file.read_exact_at(&mut bytes, 0).unwrap();
            let segment = Segment::open(Arc::new(bytes)).unwrap();
            assert!(!segment.is_hasty(), "{:?}", segment.summary());
            rows += segment.rows();
        }
        sealed += usize::from(!names.is_empty() && rows < sent);
    }
    assert!(sealed == 8, "there were segments, and records in memory, {sealed} times");
}

/// Segments as they lie on a disk.
fn segments_of(disk: &SimDisk) -> Vec<Segment> {
    let folder = std::path::Path::new("segments");
    let read = |name: &sawyer_disk::DirEntry| {
        let file = disk.open_read(&folder.join(&name.name)).expect("it is there");
        let mut bytes = vec![0; file.len().expect("it is there") as usize];
        file.read_exact_at(&mut bytes, 0).expect("it is there");
        Segment::open(Arc::new(bytes)).expect("it is there")
    };
    disk.read_dir(folder).expect("it is there").iter().map(read).collect()
}

#[test]
fn what_is_old_is_squeezed_once_and_stays_what_it_was() {
    let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
    let plan = plan_of(
        "seal_interval: 5s\nmerged_bytes_max: 1MiB\nfree_min: 0\nretention: 100d\nsqueeze_after: 1d\n",
    );
    let metrics = Metrics::new();
    let store = Store::open_manual(Arc::new(disk.clone()), plan.clone(), clock.clone(), &metrics).unwrap();
    for n in 0..5 {
        store.append(Arc::new(batch_of(&some_records(&clock, 1, n * 1000, 1000)))).unwrap();
        store.seal_now().unwrap();
        clock.advance(Duration::from_secs(60));
    }
    let settle = || (0..20).for_each(|_| store.run_once().unwrap());
    settle();
    store.remove_superfluous();
    assert!(segments_of(&disk).iter().all(|segment| !segment.is_squeezed()));
    let (before, bytes) = (records(&store), store.totals().bytes);
    // The day in the middle of which it was is over, and so is the day after it, in which some may still come.
    clock.advance(Duration::from_secs(60 * 60 * 72));
    settle();
    store.remove_superfluous();
    let squeezed = segments_of(&disk);
    assert!(!squeezed.is_empty() && squeezed.iter().all(Segment::is_squeezed));
    assert!(store.totals().bytes < bytes, "{} and {bytes} before", store.totals().bytes);
    assert!(records(&store) == before, "the same records");
    assert_eq!(store.verify().problems, Vec::new());
    let merges = || metrics.numbers("sawyer_store_merges_total").iter().map(|(_, n)| *n).sum::<i64>();
    let once = merges();
    clock.advance(Duration::from_secs(60 * 60 * 72));
    settle();
    assert_eq!(merges(), once, "once");
    let errors = Selection {
        predicate: kql::compile("level: error", &kql::CompileOptions::default()).unwrap(),
        ..everything()
    };
    let deleted = store.delete(&errors, &Budget::unlimited()).unwrap();
    assert_eq!(records(&store).len() as u64, 5000 - deleted);
    assert!(deleted > 100);
    store.remove_superfluous();
    assert!(segments_of(&disk).iter().all(Segment::is_squeezed), "it stays so");
}

/// What is wanted are the long records among many short ones: a page of lines takes no more memory for that.
#[test]
fn pages_of_lines_are_bounded_whatever_their_records_are() {
    const BATCHES: u64 = 60;
    const LONG: u64 = 10;
    let (disk, clock) = (SimDisk::new(7, SimSettings::default()), clock());
    let store = open(&disk, &plan_of("free_min: 0"), &clock).unwrap();
    let mut dice = Dice::new(7);
    for batch in 0..BATCHES {
        let some = (0..110).map(|n| {
            let start = batch * 1000 + n;
            let mut record = record(&clock, &mut dice, 1, start, start + 1);
            let (level, bytes) = if n < LONG { ("error", 60 << 10) } else { ("info", 10) };
            record.fields =
                vec![("level".into(), level.into()), ("message".into(), "x".repeat(bytes).into())];
            record
        });
        store.append(Arc::new(batch_of(&some.collect::<Vec<_>>()))).unwrap();
    }
    let predicate = kql::compile("level: error", &Context::default()).unwrap();
    let selection = Selection { predicate, ..everything() };
    let (mut after, mut pages, mut all) = (None, 0, BTreeSet::new());
    loop {
        let (order, limit) = (Order::OldestFirst, 20_000);
        let request = SearchRequest { selection: selection.clone(), order, limit, after, original: true };
        let mut bytes = 0;
        let mut line = |line: &[u8]| {
            bytes += line.len();
            assert!(all.insert(line.to_owned()), "a record came twice");
            true
        };
        let part = store.lines(&request, &Budget::unlimited(), &mut line).unwrap().unwrap();
        assert!(bytes <= 33 << 20, "{bytes} bytes in a page");
        pages += 1;
        after = part.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((all.len() as u64, pages > 1), (BATCHES * LONG, true));
}
