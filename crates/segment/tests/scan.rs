//! What a scan finds is what asking every record finds.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

#[path = "support/generate.rs"]
mod generate;

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use sawyer_model::{Batch, Record, RecordRef, SeqRange, SourceId, Stream, Timestamp, Value, ValueRef};
use sawyer_query::kql::{RangeOp, WildcardText};
use sawyer_query::search::{Budget, Position, SearchStats, Selection};
use sawyer_query::{Context, FieldPattern, FieldTest, Predicate};
use sawyer_segment::{Cache, EncodeSettings, Rows, Segment, encode};

use self::generate::{batches, records, text};

fn segment_of(batches: &[Batch], settings: &EncodeSettings) -> Segment {
    let batches: Vec<&Batch> = batches.iter().collect();
    Segment::open(Arc::new(encode(&batches, settings).unwrap().bytes)).unwrap()
}

fn context() -> Context {
    Context { now: Timestamp::from_secs(1_700_000_000), ..Context::default() }
}

fn operand() -> BoxedStrategy<String> {
    prop_oneof![
        3 => prop::sample::select(vec![
            "error", "ERROR", "42", "200", "7", "timeout", "connection refused", "결제", "shop-1", "cart-2", "true", "null",
            "-1", "0.5", "NaN", "2023-11-14T22:13:20Z", "warn", "user", "carts", "", "took", "connection timeout after",
            "reset", "key", "id", "GET", "after 7", "10.1.7", "order", "refused or timeout", "page", "http 1.1", "000",
        ]).prop_map(str::to_owned),
        2 => text(),
    ]
    .boxed()
}

fn test() -> BoxedStrategy<FieldTest> {
    let wildcard =
        prop::collection::vec(prop::sample::select(vec!["", "e", "err", "cart-", "1", "결"]), 2..4);
    let op = prop::sample::select(vec![RangeOp::Gt, RangeOp::Gte, RangeOp::Lt, RangeOp::Lte]);
    prop_oneof![
        3 => operand().prop_map(|value| FieldTest::words(&value, &context())),
        2 => operand().prop_map(|value| FieldTest::phrase(&value, &context())),
        2 => operand().prop_map(|value| FieldTest::exact(&value)),
        1 => wildcard.prop_map(|pieces| FieldTest::wildcard(&WildcardText(pieces.into_iter().map(Into::into).collect()))),
        2 => (op, operand()).prop_map(|(op, value)| FieldTest::range(op, &value, &context())),
        1 => prop::sample::select(vec![
            "err", "^c", "[0-9]{2}", "o.*e", "(?i)ERROR", "after [0-9]+, re", "(timeout|refused) (after|7)", "took .*from 1",
            "[a-f]{2}-", "^GET /", "retry$", "ime+out", "order [0-9a-f]{3}", r"[0-9]{2}\.[0-9]|[a-f]{3}-", r"\bok\b", "7$",
            r"(?i)TIMEOUT.* [0-9]", "[^a-z0-9 ]", r"\d+ms", "^[a-z]+ [a-z]+ [0-9]",
        ])
            .prop_map(|pattern| FieldTest::regex(pattern).unwrap()),
        2 => (prop::sample::select(vec![
            "o", "err", "", "ne l", "결", "0", "imeou", "R ", "t after ", "ms, r", "s, retry", "007", "0.1.0", "-1", "/api",
            "1/b", "page=0", "K", "order a", "0x", "ok f", "시",
        ]), any::<bool>())
            .prop_map(|(part, fold)| FieldTest::contains(part, fold)),
    ]
    .boxed()
}

fn pattern() -> BoxedStrategy<FieldPattern> {
    prop_oneof![
        3 => Just(FieldPattern::name("error.message")),
        5 => prop::sample::select(vec![
            "message", "level", "trace_id", "http.status", "http", "n", "duration_ms", "_original", "pod", "namespace",
            "kubernetes.pod.name", "timestamp", "@timestamp", "observed", "labels", "labels.x", "nowhere", "log",
        ]).prop_map(FieldPattern::name),
        1 => prop::sample::select(vec!["*", "http.*", "_*", "*s*", "k8s.*", "t*"])
            .prop_map(|text| FieldPattern::wildcard(text.split('*'))),
    ]
    .boxed()
}

fn predicate() -> BoxedStrategy<Predicate> {
    let leaf = prop_oneof![
        6 => (pattern(), test()).prop_map(|(field, test)| Predicate::Field { field, test }),
        3 => test().prop_map(Predicate::AnyField),
        1 => pattern().prop_map(Predicate::Exists),
        1 => (pattern(), test()).prop_map(|(path, test)| Predicate::Nested {
            path: path.clone(),
            predicate: Box::new(Predicate::Field { field: FieldPattern::wildcard(["", "a"]), test }),
        }),
        1 => Just(Predicate::All),
        1 => Just(Predicate::None),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Predicate::And),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Predicate::Or),
            inner.prop_map(|part| Predicate::Not(Box::new(part))),
        ]
    })
    .boxed()
}

fn bounds() -> BoxedStrategy<(Timestamp, Timestamp)> {
    prop_oneof![
        2 => Just((Timestamp::MIN, Timestamp::MAX)),
        1 => (generate::time(), generate::time()).prop_map(|(a, b)| (a.min(b), a.max(b))),
    ]
    .boxed()
}

/// Scans all blocks; gives what was found and what should have been.
fn check(segment: &Segment, selection: &Selection) -> Result<usize, TestCaseError> {
    let mut found_count = 0;
    for block in 0..segment.blocks().len() {
        let batch = segment.decode_block(block).unwrap();
        let in_time = |time: Timestamp| selection.start <= time && time < selection.end;
        let naive: Vec<usize> = (0..batch.len())
            .filter(|row| {
                in_time(batch.get(*row).timestamp()) && selection.predicate.matches(batch.get(*row))
            })
            .collect();
        let mut stats = SearchStats::default();
        let rows = segment.scan(block, selection, &Budget::unlimited(), &mut stats).unwrap();
        prop_assert_eq!(
            rows.iter().collect::<Vec<_>>(),
            naive,
            "{:?} {:#?}",
            selection,
            batch.iter().map(RecordRef::to_record).collect::<Vec<_>>()
        );
        let again =
            segment.scan(block, selection, &Budget::unlimited(), &mut SearchStats::default()).unwrap();
        prop_assert_eq!(&again, &rows, "what was kept says the same: {:?}", selection);
        prop_assert!(rows.is_empty() || segment.may_match(block, selection).unwrap());
        prop_assert_eq!(stats.rows_matched, rows.count() as u64);
        let positions: Vec<Position> = rows.iter().map(|row| Position::of(batch.get(row))).collect();
        prop_assert_eq!(segment.positions(block, &rows).unwrap(), positions);
        found_count += rows.count();
    }
    Ok(found_count)
}

proptest! {
    #![proptest_config(generate::cases(400))]

    #[test]
    fn a_scan_finds_what_asking_every_record_finds(
        records in records(0..80), predicates in prop::collection::vec((predicate(), bounds()), 1..6),
        rows in 5usize..100, filtered: bool,
    ) {
        let filter_bits_per_token = if filtered { 12 } else { 0 };
        let settings = EncodeSettings {
            block_rows_max: rows,
            filter_bits_per_token,
            group_bytes_max: rows * 60,
            squeeze: rows.is_multiple_of(3),
            ..EncodeSettings::default()
        };
        let segment = segment_of(&batches(&records, 40), &settings);
        for (predicate, (start, end)) in &predicates {
            check(&segment, &Selection { predicate: predicate.clone(), start: *start, end: *end })?;
        }
        // The same is asked of other rows: what was kept is of all.
        for pair in predicates.windows(2).take(1) {
            let predicate = Predicate::And(pair.iter().map(|(predicate, _)| predicate.clone()).collect());
            let (start, end) = pair[1].1;
            check(&segment, &Selection { predicate, start, end })?;
        }
    }

    #[test]
    fn fields_that_are_left_out_are_not_there(records in records(0..80), rows in 5usize..100,
        wanted in prop::collection::vec(any::<bool>(), 100),
        left_out in prop::sample::subsequence(vec!["_original", "message", "level", "n", "trace_id"], 0..4),
    ) {
        let settings = EncodeSettings { block_rows_max: rows, group_bytes_max: rows * 60, ..EncodeSettings::default() };
        let segment = segment_of(&batches(&records, 40), &settings);
        // Lines as written are made of other fields, which have to be there for it.
        let left_out = if left_out.contains(&"_original") { left_out } else { Vec::new() };
        for block in 0..segment.blocks().len() {
            let all = segment.decode_block(block).unwrap();
            let rows: Rows = wanted.iter().copied().cycle().take(all.len()).collect();
            let positions = segment.positions(block, &rows).unwrap();
            let mut naive: Vec<Record> = rows.iter().map(|row| all.get(row).to_record()).collect();
            naive.iter_mut().for_each(|record| record.fields.retain(|(name, _)| !left_out.contains(&&**name)));
            for positions in [None, Some(&positions[..])] {
                let mut some = Batch::new();
                assert!(segment.fetch_within(block, &rows, positions, &left_out, usize::MAX, &mut some).unwrap());
                let found: Vec<Record> = some.iter().map(RecordRef::to_record).collect();
                prop_assert_eq!(format!("{found:?}"), format!("{naive:?}"));
            }
        }
    }

    #[test]
    fn a_value_is_found_by_its_own_text(records in records(1..60), at in any::<prop::sample::Index>(), exact: bool) {
        let segment = segment_of(&batches(&records, 40), &EncodeSettings::default());
        let record = &records[at.index(records.len())];
        for (name, value) in record.fields.iter().filter(|(name, _)| !name.starts_with('_')) {
            let Value::Str(text) = value else { continue };
            let test = if exact { FieldTest::exact(text) } else { FieldTest::phrase(text, &context()) };
            let predicate = Predicate::Field { field: FieldPattern::exactly(name), test };
            let selection = Selection { predicate, start: Timestamp::MIN, end: Timestamp::MAX };
            check(&segment, &selection)?;
        }
    }

    #[test]
    fn groups_are_the_values_of_the_rows(records in records(1..80), wanted in prop::collection::vec(any::<bool>(), 80),
        field in prop::sample::select(vec!["message", "error.message", "level", "few", "n", "pod", "timestamp", "observed", "labels.x", "nowhere"]),
    ) {
        let segment = segment_of(&batches(&records, 40), &EncodeSettings::default());
        let batch = segment.decode_block(0).unwrap();
        let rows: Rows = wanted.into_iter().take(batch.len()).collect();
        let groups = segment.groups(0, &rows, field).unwrap();
        let mut found: Vec<(u32, String)> =
            groups.rows.iter().map(|(row, value)| (*row, bits(groups.values[*value as usize].as_ref()))).collect();
        found.extend(groups.missing.iter().map(|row| (row as u32, "missing".to_owned())));
        found.sort();
        let mut naive = Vec::new();
        for row in rows.iter() {
            let mut values: Vec<String> = match batch.get(row).get(field) {
                None => vec!["missing".to_owned()],
                Some(ValueRef::List(list)) => list.iter().map(bits).collect(),
                Some(value) => vec![bits(value)],
            };
            values.sort();
            values.dedup();
            naive.extend(values.into_iter().map(|value| (row as u32, value)));
        }
        naive.sort();
        prop_assert_eq!(found, naive);
        let ranges = [0..rows.len() / 3, rows.len() / 3..rows.len()];
        let mut found: BTreeMap<(usize, String), u64> = BTreeMap::new();
        let counted = segment.count_codes(0, &rows, field, &ranges, &mut |value, counted| {
            let value = value.map_or_else(|| "missing".to_owned(), |value| bits(ValueRef::Str(value)));
            found.extend(counted.iter().map(|(range, count)| ((*range, value.clone()), *count)));
        });
        if counted.unwrap() {
            let mut naive: BTreeMap<(usize, String), u64> = BTreeMap::new();
            for row in rows.iter() {
                let value = batch.get(row).get(field).map_or_else(|| "missing".to_owned(), bits);
                *naive.entry((usize::from(row >= rows.len() / 3), value)).or_default() += 1;
            }
            prop_assert_eq!(found, naive);
        }
    }
}

fn bits(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Float(float) => format!("{:016x}", float.to_bits()),
        other => format!("{other:?}"),
    }
}

/// Blocks of a thousand lines, each with an id of its own.
fn lines() -> Segment {
    let stream = Arc::new(Stream::new([("pod", Value::from("cart-1")), ("namespace", Value::from("shop"))]));
    let line = |n: u64| Record {
        timestamp: Timestamp::from_millis(n as i64),
        observed: Timestamp::from_millis(n as i64 + 5),
        source: SourceId(1),
        range: SeqRange::new(n * 50, n * 50 + 50),
        stream: Arc::clone(&stream),
        fields: vec![
            ("message".into(), Value::from(format!("GET /carts/{n} took {} ms", n % 977))),
            (
                "trace_id".into(),
                Value::from(format!("{:032x}", u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c))),
            ),
            ("level".into(), Value::from(if n.is_multiple_of(100) { "error" } else { "info" })),
            ("duration_ms".into(), Value::from((n % 977) as i64)),
        ],
    };
    let records: Vec<Record> = (0..20_000).map(line).collect();
    let settings = EncodeSettings { block_rows_max: 1000, ..EncodeSettings::default() };
    segment_of(&batches(&records, 5000), &settings)
}

fn scan_all(segment: &Segment, predicate: &Predicate) -> SearchStats {
    let selection = Selection { predicate: predicate.clone(), start: Timestamp::MIN, end: Timestamp::MAX };
    let mut stats = SearchStats::default();
    for block in 0..segment.blocks().len() {
        segment.scan(block, &selection, &Budget::unlimited(), &mut stats).unwrap();
    }
    stats
}

#[test]
fn a_needle_is_looked_for_in_few_blocks() {
    let segment = lines();
    let id = segment.record(7, 123).unwrap();
    let id = id.get("trace_id").unwrap().as_str().unwrap();
    for predicate in [
        Predicate::AnyField(FieldTest::phrase(id, &context())),
        Predicate::field(FieldPattern::name("trace_id"), FieldTest::words(id, &context())),
    ] {
        let stats = scan_all(&segment, &predicate);
        assert_eq!(stats.rows_matched, 1);
        assert!(stats.rows_scanned <= 2000, "{}", stats.rows_scanned);
        assert!(stats.bytes_read * 4 < segment.summary().bytes, "{} bytes", stats.bytes_read);
    }
}

#[test]
fn numbers_out_of_reach_are_not_looked_for() {
    let segment = lines();
    let above = |n: &str| {
        let test = FieldTest::range(RangeOp::Gt, n, &context());
        scan_all(&segment, &Predicate::field(FieldPattern::name("duration_ms"), test))
    };
    assert_eq!(above("976").rows_matched, 0);
    assert_eq!(above("975").rows_matched, 20);
    assert!(above("1000").bytes_read < 100, "{}", above("1000").bytes_read);
}

#[test]
fn one_column_is_read_without_the_others() {
    let segment = lines();
    let errors = Predicate::field(FieldPattern::name("level"), FieldTest::words("error", &context()));
    let stats = scan_all(&segment, &errors);
    assert_eq!(stats.rows_matched, 200);
    assert!(
        stats.bytes_read * 4 < segment.summary().bytes,
        "{} of {}",
        stats.bytes_read,
        segment.summary().bytes
    );
}

#[test]
fn a_budget_ends_the_work() {
    let segment = lines();
    let selection = Selection { predicate: Predicate::All, start: Timestamp::MIN, end: Timestamp::MAX };
    let budget = Budget::new(None, 1500);
    let mut stats = SearchStats::default();
    assert_eq!(segment.scan(0, &selection, &budget, &mut stats).unwrap().count(), 1000);
    assert!(!stats.partial);
    assert!(segment.scan(1, &selection, &budget, &mut stats).unwrap().is_empty());
    assert!(stats.partial);
    budget.cancel();
    let error = segment.scan(1, &selection, &budget, &mut stats).unwrap_err();
    assert_eq!(error.kind(), sawyer_model::ErrorKind::Closed);
}

/// A block of 16,000 records of 1,200 users, some of whom come often.
fn users() -> Segment {
    let stream = Arc::new(Stream::default());
    let line = |n: u64| Record {
        timestamp: Timestamp::from_millis(n as i64),
        observed: Timestamp::from_millis(n as i64),
        source: SourceId(1),
        range: SeqRange::new(n, n + 1),
        stream: Arc::clone(&stream),
        fields: vec![(
            "user".into(),
            Value::from(format!("user number {}", n % [400, 2000][n as usize % 2])),
        )],
    };
    let records: Vec<Record> = (0..16_000).map(line).collect();
    segment_of(&batches(&records, 16_000), &EncodeSettings::default())
}

#[test]
fn many_values_are_not_counted_in_many_ranges_by_one_table() {
    let segment = users();
    assert_eq!(segment.blocks().len(), 1);
    let rows = Rows::all(16_000);
    let count = |ranges: usize| {
        let width = 16_000 / ranges;
        let ranges: Vec<_> = (0..ranges).map(|range| range * width..(range + 1) * width).collect();
        let mut counted = 0;
        let told = segment.count_codes(0, &rows, "user", &ranges, &mut |_, count| {
            counted += count.iter().map(|(_, count)| count).sum::<u64>();
        });
        (told.unwrap(), counted)
    };
    assert_eq!(count(1), (true, 16_000));
    assert_eq!(count(50), (true, 16_000));
    assert_eq!(count(5000), (false, 0));
}

/// Texts of which no two are alike, though each in itself if it is said so: 1000 in each block.
fn odd_texts(hasty: bool, alike: bool, cache: &Cache) -> (Segment, usize) {
    let stream = Arc::new(Stream::default());
    let (mut text_bytes, mut number) = (0, 1u64);
    let records: Vec<Record> = (0..4000)
        .map(|n: u64| {
            let mut text = String::new();
            for _ in 0..300 {
                number = number.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                text.push_str(["at ", "in(", "x.", "o/", "Zk", "Na", "-"][(number >> 58) as usize % 7]);
            }
            let text = if alike { text.repeat(10) } else { text };
            text_bytes += text.len();
            Record {
                timestamp: Timestamp::from_millis(n as i64),
                observed: Timestamp::from_millis(n as i64),
                source: SourceId(1),
                range: SeqRange::new(n, n + 1),
                stream: Arc::clone(&stream),
                fields: vec![("message".into(), Value::from(format!("{text}{n}")))],
            }
        })
        .collect();
    let settings = EncodeSettings { block_rows_max: 1000, shapes: !hasty, ..EncodeSettings::default() };
    let batches = batches(&records, 4000);
    let batches: Vec<&Batch> = batches.iter().collect();
    let bytes = encode(&batches, &settings).unwrap().bytes;
    (Segment::open_in(Arc::new(bytes), cache).unwrap(), text_bytes)
}

#[test]
fn texts_without_a_shape_are_counted_as_they_are_when_they_are_asked() {
    for (hasty, alike) in [(true, false), (false, false), (false, true)] {
        let cache = Cache::new(1 << 30);
        let (segment, text_bytes) = odd_texts(hasty, alike, &cache);
        let mut batch = Batch::new();
        for block in 0..segment.blocks().len() {
            let mut rows = Rows::none(segment.blocks()[block].rows);
            rows.insert(7);
            segment.fetch(block, &rows, &mut batch).unwrap();
        }
        let fetched = cache.stats().bytes as usize;
        let asked = FieldTest::contains("no(t", true);
        scan_all(&segment, &Predicate::field(FieldPattern::name("message"), asked));
        let scanned = cache.stats().bytes as usize - fetched;
        assert!(fetched < text_bytes / 8, "{hasty} {alike}: {fetched} of {text_bytes}");
        assert!(scanned > text_bytes, "{hasty} {alike}: {scanned} of {text_bytes}");
        assert!(scanned < 2 * text_bytes, "{hasty} {alike}: {scanned} of {text_bytes}");
    }
}
