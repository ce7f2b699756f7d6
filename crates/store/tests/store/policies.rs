//! Retention by policies, against a naive reference and through losses of power.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use sawyer_disk::{Disk, SimDisk, SimSettings};
use sawyer_model::{Record, RecordId, Value};
use sawyer_query::search::{Budget, Search, Selection};
use sawyer_query::upkeep::Upkeep;
use sawyer_query::{Context, kql};
use sawyer_store::{Inspection, Store, StorePlan};
use sawyer_telemetry::{Clock, Metrics};

use sawyer_testkit::Dice;

use crate::common::{batch_of, clock, everything, fault, open, plan_of, record, records};

const DAY: Duration = Duration::from_secs(86_400);

const SETTINGS: &str = "memory_max: 1MiB\nseal_interval: 5s\nfree_min: 0\nsearch_threads: 1\nretention: 7d\n";
const POLICIES: &str = "policies:
- {name: errors, query: 'level: error', keep: 30d}
- {name: cart-0, query: 'pod: cart-0', keep: 1d}
";

fn id(record: &Record) -> RecordId {
    RecordId { source: record.source, start: record.range.start }
}

fn text<'a>(record: &'a Record, name: &str) -> &'a str {
    match record.get(name) {
        Some(Value::Str(text)) => text,
        _ => "",
    }
}

/// How long the policies keep a record.
fn keep_of(record: &Record) -> Duration {
    match (text(record, "level"), text(record, "pod")) {
        ("error", _) => DAY * 30,
        (_, "cart-0") => DAY,
        _ => DAY * 7,
    }
}

fn settle(store: &Store) {
    store.seal_now().expect("it is sealed");
    for _ in 0..40 {
        store.run_once().expect("it works");
    }
}

/// Everything that is young enough is there, nothing that is a day older than it is kept.
fn check(there: &[Record], all: &[Record], clock: &Clock, keep: impl Fn(&Record) -> Duration) {
    let found: BTreeSet<RecordId> = there.iter().map(id).collect();
    assert_eq!(found.len(), there.len(), "each is there once");
    for record in all {
        let age = clock.now().since(record.observed);
        let told = format!("{record:?} age={age:?}");
        if age <= keep(record) {
            assert!(found.contains(&id(record)), "gone too early: {told}");
        } else if age > keep(record) + DAY {
            assert!(!found.contains(&id(record)), "still there: {told}");
        }
    }
}

fn write(store: &Store, clock: &Clock, dice: &mut Dice, all: &mut Vec<Record>, count: u64) {
    let first = all.len() as u64;
    let some: Vec<Record> =
        (first..first + count).map(|n| record(clock, dice, 1, n * 10, n * 10 + 10)).collect();
    store.append(Arc::new(batch_of(&some))).expect("it is stored");
    all.extend(some);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn each_record_goes_when_its_policy_says(seed in 0u64..1_000_000) {
        let (disk, clock) = (SimDisk::new(seed, SimSettings::default()), clock());
        let (mut dice, mut all) = (Dice::new(seed), Vec::new());
        let plan = plan_of(&format!("{SETTINGS}{POLICIES}"));
        let mut store = open(&disk, &plan, &clock).expect("it opens");
        for _ in 0..30 {
            write(&store, &clock, &mut dice, &mut all, 1 + seed % 30);
            settle(&store);
            clock.advance(Duration::from_secs(dice.below(3 * 86_400)));
            if dice.below(6) == 0 {
                drop(store);
                store = open(&disk, &plan, &clock).expect("it opens again");
            }
            settle(&store);
            check(&records(&store), &all, &clock, keep_of);
        }
        prop_assert_eq!(store.problems(), []);
        prop_assert_eq!(store.verify().problems, []);
    }
}

#[test]
fn policies_hold_for_what_was_stored_before_and_a_preview_says_what_they_free() {
    let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
    let (mut dice, mut all) = (Dice::new(1), Vec::new());
    let before = plan_of(SETTINGS);
    let store = open(&disk, &before, &clock).expect("it opens");
    write(&store, &clock, &mut dice, &mut all, 600);
    settle(&store);
    clock.advance(DAY * 3);
    write(&store, &clock, &mut dice, &mut all, 600);
    settle(&store);
    assert_eq!(records(&store).len(), 1200);
    let wanted: BTreeSet<RecordId> =
        all.iter().filter(|r| keep_of(r) >= clock.now().since(r.observed)).map(id).collect();
    let preview =
        store.retention(Some(&format!("{SETTINGS}{POLICIES}")), &Budget::unlimited()).expect("it is told");
    let due: u64 = preview.policies.iter().map(|policy| policy.due_records).sum();
    assert_eq!(due as usize, 1200 - wanted.len(), "{preview:?}");
    assert_eq!(preview.policies[1].due_records, due, "only those of cart-0 are too old");
    assert_eq!(preview.policies.iter().map(|p| p.records).sum::<u64>(), 1200);
    assert_eq!((preview.segments_rewritten > 0, preview.partial), (true, false));
    let now = store.retention(None, &Budget::unlimited()).expect("it is told");
    assert_eq!((now.policies.len(), now.policies[0].due_records), (1, 0));
    drop(store);
    let after = plan_of(&format!("{SETTINGS}{POLICIES}"));
    let inspected = Inspection::open(Arc::new(disk.clone())).expect("there is a store");
    assert_eq!(inspected.retention(&after, clock.now()).expect("it is told").policies, preview.policies);
    let bytes = inspected.segments().expect("it is read").iter().map(|s| s.bytes).sum::<u64>();

    let metrics = Metrics::new();
    let store = Store::open_manual(Arc::new(disk.clone()), after, clock.clone(), &metrics).expect("it opens");
    settle(&store);
    assert_eq!(records(&store).iter().map(id).collect::<BTreeSet<_>>(), wanted);
    let freed = bytes - store.totals().bytes;
    let told = preview.policies[1].due_bytes;
    assert!(freed * 2 > told && freed < told * 2, "freed={freed} told={told}");
    let counted = format!("sawyer_store_policy_removed_records_total{{policy=\"cart-0\"}} {due}");
    assert!(metrics.text().lines().any(|line| line == counted), "{}", metrics.text());
    let nothing_due = store.retention(None, &Budget::unlimited()).expect("it is told");
    assert_eq!(nothing_due.policies.iter().map(|p| p.due_records).sum::<u64>(), 0);
}

#[test]
fn a_policy_with_a_size_loses_its_oldest_and_others_lose_nothing() {
    let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
    let policies =
        "policies: [{name: infos, query: 'level: info', size_max: 1MiB}]\nmerged_bytes_max: 2MiB\n";
    let store = open(&disk, &plan_of(&format!("{SETTINGS}{policies}")), &clock).expect("it opens");
    let (mut dice, mut all) = (Dice::new(1), Vec::new());
    for _ in 0..10 {
        clock.advance(Duration::from_secs(7_200));
        let first = all.len() as u64;
        let some: Vec<Record> = (first..first + 1500)
            .map(|n| {
                let mut record = record(&clock, &mut dice, 1, n, n + 1);
                let noise: String = (0..60).map(|_| format!("{:016x}", dice.below(u64::MAX))).collect();
                record.fields.push(("noise".into(), noise.into()));
                record
            })
            .collect();
        for some in some.chunks(500) {
            store.append(Arc::new(batch_of(some))).expect("it is stored");
        }
        all.extend(some);
        settle(&store);
    }
    let there: BTreeSet<RecordId> = records(&store).iter().map(id).collect();
    let infos: Vec<&Record> = all.iter().filter(|record| text(record, "level") == "info").collect();
    let kept = infos.iter().filter(|record| there.contains(&id(record))).count();
    assert!(kept > 500 && kept < infos.len(), "kept={kept} of {}", infos.len());
    assert_eq!(there.len() - kept, all.len() - infos.len());
    let report = store.retention(None, &Budget::unlimited()).expect("it is told");
    assert!(report.policies[0].bytes <= 1 << 20, "{report:?}");
    // Segments go oldest first, so the newest are all there, and of the oldest only some that were merged with later
    // ones, because they told quite another time.
    let part = infos.len() / 10;
    let left = |some: &[&Record]| some.iter().filter(|record| there.contains(&id(record))).count();
    assert_eq!(left(&infos[infos.len() - part..]), part);
    assert!(left(&infos[..part]) < part / 5, "left={}", left(&infos[..part]));
}

#[test]
fn a_loss_of_power_while_segments_are_trimmed_loses_nothing_else() {
    let plan = plan_of(&format!("{SETTINGS}{POLICIES}"));
    let (mut trimmed, mut failed) = (0, 0);
    for seed in 0..150 {
        let (mut disk, clock) = (SimDisk::new(seed, SimSettings::default()), clock());
        let (mut dice, mut all) = (Dice::new(seed), Vec::new());
        let store = open(&disk, &plan, &clock).expect("it opens");
        for _ in 0..3 {
            write(&store, &clock, &mut dice, &mut all, 20);
            store.seal_now().expect("it is sealed");
        }
        drop(store);
        clock.advance(DAY * 3);
        for _ in 0..3 {
            let done = disk.counts().operations;
            disk.cut_power_at(done + 1 + dice.below(60));
            disk.fail_operation(done + 1 + dice.below(40), fault(&mut dice));
            if let Ok(store) = open(&disk, &plan, &clock) {
                for _ in 0..4 {
                    failed += usize::from(store.run_once().is_err());
                }
            }
            disk = disk.power_loss();
        }
        let store = open(&disk, &plan, &clock).expect("it opens");
        check_all_staying(&store, &all);
        settle(&store);
        check(&records(&store), &all, &clock, keep_of);
        trimmed += usize::from(records(&store).len() < all.len());
        assert_eq!((store.problems(), store.verify().problems), (vec![], vec![]), "seed={seed}");
        let files = disk.read_dir(std::path::Path::new("segments")).expect("it can be listed").len();
        assert_eq!(files as u64, store.totals().segments, "seed={seed}");
    }
    assert!(trimmed > 140 && failed > 50, "trimmed={trimmed} failed={failed}");
}

/// Whatever was trimmed or not, what stays is there.
fn check_all_staying(store: &Store, all: &[Record]) {
    let there: BTreeSet<RecordId> = records(store).iter().map(id).collect();
    for record in all.iter().filter(|record| keep_of(record) > DAY) {
        assert!(there.contains(&id(record)), "{record:?}");
    }
}

#[test]
fn what_is_deleted_is_gone_and_is_not_stored_again() {
    let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
    let (mut dice, mut all) = (Dice::new(1), Vec::new());
    let plan = plan_of(SETTINGS);
    let store = open(&disk, &plan, &clock).expect("it opens");
    for _ in 0..3 {
        write(&store, &clock, &mut dice, &mut all, 200);
        store.seal_now().expect("it is sealed");
    }
    write(&store, &clock, &mut dice, &mut all, 200);
    let predicate = kql::compile("level: error or pod: cart-1", &Context::default()).expect("it is KQL");
    let selection = Selection { predicate, ..everything() };
    let of_it = |r: &Record| text(r, "level") == "error" || text(r, "pod") == "cart-1";
    let deleted = store.delete(&selection, &Budget::unlimited()).expect("it is deleted");
    let wanted: BTreeSet<RecordId> = all.iter().filter(|record| !of_it(record)).map(id).collect();
    assert_eq!(deleted as usize, 800 - wanted.len());
    assert_eq!(store.append(Arc::new(batch_of(&all))).expect("it is taken").stored, 0);
    drop(store);
    let store = open(&disk, &plan, &clock).expect("it opens again");
    assert_eq!(records(&store).iter().map(id).collect::<BTreeSet<_>>(), wanted);
    assert_eq!(
        store.delete(&everything(), &Budget::unlimited()).expect("it is deleted"),
        wanted.len() as u64
    );
    assert_eq!((store.totals().records, store.totals().segments), (0, 0));
    assert_eq!(store.verify().problems, []);
}

#[test]
fn a_damaged_segment_does_not_hold_up_deleting_from_others() {
    let (disk, clock) = (SimDisk::new(1, SimSettings::default()), clock());
    let (mut dice, mut all) = (Dice::new(1), Vec::new());
    let store = open(&disk, &plan_of(SETTINGS), &clock).expect("it opens");
    write(&store, &clock, &mut dice, &mut all, 200);
    store.seal_now().expect("it is sealed");
    let folder = std::path::Path::new("segments");
    let files = disk.read_dir(folder).expect("it can be listed");
    let largest = files.iter().max_by_key(|file| file.len).expect("there is one");
    write(&store, &clock, &mut dice, &mut all, 200);
    store.seal_now().expect("it is sealed");
    for at in 64..largest.len {
        disk.flip_bit(&folder.join(&largest.name), at, 3).expect("it is there");
    }
    let predicate = kql::compile("level: error", &Context::default()).expect("it is KQL");
    let selection = Selection { predicate, ..everything() };
    let error = store.delete(&selection, &Budget::unlimited()).expect_err("one cannot be read");
    assert_eq!(error.kind(), sawyer_model::ErrorKind::Corrupt);
    store.run_once().expect("it is put aside");
    assert_eq!(store.problems().len(), 1);
    assert!(records(&store).len() > 100, "what was not chosen is there");
    assert_eq!(store.delete(&selection, &Budget::unlimited()).expect("nothing is in the way"), 0);
}

#[test]
fn policies_say_what_is_wrong_with_them() {
    let wrong = "policies:
- {name: a, query: 'level: debug'}
- {name: a, query: 'level: (', keep: 1d}
- {name: b, query: 'timestamp < now-7d', keep: 1d}
- {name: c, query: '', keep: 1d}
";
    let told = StorePlan::parse(wrong).expect_err("much is wrong").to_string();
    for part in
        ["`keep`, `size_max` or both", "no other policy has", "without `now`", "expected a condition;"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
}
