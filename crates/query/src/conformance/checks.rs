//! Every question of the trait, held against the reference.

use std::time::Duration;

use sawyer_model::{Record, RecordId, SourceId, Timestamp, Value};

use super::naive::{self, Naive, bucket, counts, position, sorted, values_of};
use super::{budgets, pages};
use crate::search::{
    Budget, Histogram, HistogramRequest, Order, PatternsRequest, Search, SearchRequest, Selection,
    SummaryRequest, TopValues, ValuesRequest, each_page,
};
use crate::sketch::QUANTILE_ERROR;
use crate::{Context, kql};

/// Conditions of every kind.
const QUERIES: &[&str] = &[
    "",
    "error",
    "level: error",
    "message: \"timeout of\"",
    "code >= 1 and code < 3",
    "not pod: p1",
    "tags: *",
    "pod: p* and (level: a or message: 결제)",
    "code: 200 or tags: true",
    "message =~ \"c[aä]rt 1[78]\"",
    "message: *anna*",
    "nothing: here",
    "not level: *",
    "tags: {name: a and count: 2}",
    "not level: {name: *}",
];

/// Fields of which values are asked.
const FIELDS: &[&str] = &["level", "tags", "pod", "code", "message", "trace", "request", "either", "nowhere"];

/// Asks everything. `told` is said with whatever is wrong.
pub fn check(engine: &dyn Search, naive: &Naive, now: Timestamp, told: &str) {
    let near = now.saturating_sub(Duration::from_secs(100_000));
    for (at, query) in QUERIES.iter().enumerate() {
        let predicate = kql::compile(query, &Context::default()).expect("it is KQL");
        for (start, end) in [(Timestamp::MIN, Timestamp::MAX), (near, now)] {
            let selection = Selection { predicate: predicate.clone(), start, end };
            let told = format!("{told}: `{query}` from {start} to {end}");
            let records = naive.select(&selection);
            check_pages(engine, &records, &selection, &told);
            // Some of the queries say as much about these as all do.
            if at % 3 == 0 {
                pages::check_lines(engine, &records, &selection, &told);
                pages::check_without_originals(engine, &records, &selection, &told);
            }
            if at % 4 == 0 {
                let rows = naive.len() as u64;
                budgets::check_pages(engine, &records, &selection, rows, &told);
            }
            check_counts(engine, &records, &selection, now, &told);
            // Each field with some of the queries; all with all would take long and say no more.
            for field in FIELDS.iter().skip(at % 3).step_by(3) {
                check_values(engine, &records, &selection, field, &told);
                check_summary(engine, &records, &selection, field, &told);
            }
            check_patterns(engine, &records, &selection, &told);
            let found = engine.fields(&selection, &Budget::unlimited()).expect("it is answered");
            assert_eq!(found.fields, naive::fields(&records), "{told}");
            assert_eq!(found.rows, records.len() as u64, "{told}");
        }
    }
    check_totals(engine, naive, told);
    budgets::check(engine, naive, told);
    for record in naive.records().iter().step_by(7) {
        check_id(engine, naive, RecordId { source: record.source, start: record.range.start }, told);
    }
    check_id(engine, naive, RecordId { source: SourceId(99), start: 0 }, told);
}

/// Asks for a record by its id.
pub fn check_id(engine: &dyn Search, naive: &Naive, id: RecordId, told: &str) {
    let found = engine.record(id, &Budget::unlimited()).expect("it is answered").map(sorted);
    match &found {
        Some(found) => assert!(naive.with_id(id).any(|known| known == found), "{told}: {id}: {found:?}"),
        None => assert_eq!(naive.with_id(id).count(), 0, "{told}: {id} is not found"),
    }
}

fn check_pages(engine: &dyn Search, records: &[&Record], selection: &Selection, told: &str) {
    for (order, limit) in [(Order::NewestFirst, 7), (Order::OldestFirst, 3), (Order::NewestFirst, 5_000)] {
        let mut wanted = records.to_vec();
        wanted.sort_by(|a, b| order.compare(position(a), position(b)));
        let (mut found, mut after) = (Vec::new(), None);
        // A few small pages say as much as all of them.
        let pages_max = if limit < 10 { 12 } else { usize::MAX };
        for _ in 0..pages_max {
            let request = SearchRequest { selection: selection.clone(), order, limit, after, original: true };
            let page = engine.search(&request, &Budget::unlimited()).expect("it is answered");
            assert!(page.records.len() <= limit && !page.stats.partial, "{told}");
            found.extend(page.records.iter().map(|record| sorted(record.to_record())));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        wanted.truncate(if after.is_some() { found.len() } else { usize::MAX });
        assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "{told}");
    }
    let request = SearchRequest {
        selection: selection.clone(),
        order: Order::OldestFirst,
        limit: 250,
        after: None,
        original: true,
    };
    let mut pages = 0;
    let mut count = |page: &crate::search::Page| {
        pages += page.records.len();
        true
    };
    let (next, _) =
        each_page(engine, &request, 40, &mut Budget::unlimited, &mut count).expect("it is answered");
    assert_eq!((pages, next.is_some()), (records.len().min(250), records.len() > 250), "{told}");
}

fn check_counts(engine: &dyn Search, records: &[&Record], selection: &Selection, now: Timestamp, told: &str) {
    let (count, stats) = engine.count(selection, &Budget::unlimited()).expect("it is answered");
    assert_eq!((count as usize, stats.rows_matched as usize), (records.len(), records.len()), "{told}");
    let edges: Vec<Timestamp> =
        [200_000u64, 50_000, 100, 7, 3, 0].map(|ago| now.saturating_sub(Duration::from_secs(ago))).to_vec();
    for by in [None, Some("level"), Some("tags")] {
        let (edges, by) = (edges.clone(), by.map(str::to_owned));
        let request = HistogramRequest { selection: selection.clone(), edges, by, by_limit: 2 };
        let found = engine.histogram(&request, &Budget::unlimited()).expect("it is answered");
        let wanted = naive_histogram(records, &request, &found);
        assert_eq!(found, wanted, "{told} by {:?}", request.by);
    }
}

fn naive_histogram(records: &[&Record], request: &HistogramRequest, found: &Histogram) -> Histogram {
    let buckets = request.edges.len() - 1;
    let zeros = vec![0; buckets];
    let mut histogram = Histogram { counts: zeros.clone(), stats: found.stats, ..Histogram::default() };
    if request.by.is_some() {
        (histogram.missing, histogram.other) = (zeros.clone(), zeros.clone());
        // Which values are the most frequent is held against `values`; here only their numbers.
        histogram.by = found.by.iter().map(|(value, _)| (value.clone(), zeros.clone())).collect();
    }
    for record in records {
        let Some(bucket) = bucket(&request.edges, record.timestamp) else { continue };
        histogram.counts[bucket] += 1;
        let Some(by) = &request.by else { continue };
        let values = values_of(record, by);
        histogram.missing[bucket] += u64::from(values.is_empty());
        for value in values {
            match histogram.by.iter_mut().find(|(known, _)| *known == value) {
                Some((_, counts)) => counts[bucket] += 1,
                None => histogram.other[bucket] += 1,
            }
        }
    }
    histogram
}

fn check_values(engine: &dyn Search, records: &[&Record], selection: &Selection, field: &str, told: &str) {
    for (limit, prefix) in [(2, None), (100, None), (100, Some("ER"))] {
        let (mut counts, missing) = counts(records, field);
        if prefix.is_some() {
            counts.retain(
                |(value, _)| matches!(value, Value::Str(text) if text.to_lowercase().starts_with("er")),
            );
        }
        let request = ValuesRequest {
            selection: selection.clone(),
            field: field.into(),
            limit,
            prefix: prefix.map(str::to_owned),
        };
        let found = engine.values(&request, &Budget::unlimited()).expect("it is answered");
        let TopValues { values, rows, missing: without, distinct, .. } = &found;
        let told = format!("{told}: values of {field}");
        assert_eq!(
            (*rows, *without, *distinct),
            (records.len() as u64, missing, counts.len() as u64),
            "{told}"
        );
        assert_eq!(values.len(), counts.len().min(limit), "{told}");
        assert!(values.iter().all(|value| counts.contains(value)), "{told}: {values:?} of {counts:?}");
        assert!(values.is_sorted_by(|a, b| a.1 >= b.1), "{told}: {values:?}");
        let least = values.last().map_or(0, |(_, count)| *count);
        let mut left_out = counts.iter().filter(|value| !values.contains(value));
        assert!(left_out.all(|(_, count)| *count <= least), "{told}: {values:?} of {counts:?}");
    }
}

fn check_summary(engine: &dyn Search, records: &[&Record], selection: &Selection, field: &str, told: &str) {
    let percentiles = vec![0.0, 25.0, 50.0, 99.0, 100.0];
    let request = SummaryRequest {
        selection: selection.clone(),
        field: field.into(),
        percentiles: percentiles.clone(),
    };
    let found = engine.summary(&request, &Budget::unlimited()).expect("it is answered");
    let told = format!("{told}: summary of {field}");
    let (counts, missing) = counts(records, field);
    assert_eq!((found.rows, found.missing), (records.len() as u64, missing), "{told}");
    let error = (found.distinct as f64 - counts.len() as f64).abs();
    // Two of a few values may fall into the same register.
    assert!(
        error <= 1.0 + counts.len() as f64 * 0.04,
        "{told}: distinct={} of {}",
        found.distinct,
        counts.len()
    );
    let mut numbers: Vec<f64> = records
        .iter()
        .flat_map(|record| values_of(record, field))
        .filter_map(|value| match value {
            Value::Int(number) => Some(number as f64),
            Value::Float(number) => Some(number),
            _ => None,
        })
        .collect();
    numbers.sort_by(f64::total_cmp);
    assert_eq!(found.numbers, numbers.len() as u64, "{told}");
    assert_eq!((found.min, found.max), (numbers.first().copied(), numbers.last().copied()), "{told}");
    let (sum, size) = (numbers.iter().sum::<f64>(), numbers.iter().map(|n| n.abs()).sum::<f64>());
    assert!((found.sum - sum).abs() <= size * 1e-9, "{told}: sum={} of {sum}", found.sum);
    assert_eq!(found.percentiles.len(), percentiles.len(), "{told}");
    for (percent, found) in percentiles.iter().zip(&found.percentiles) {
        let Some(last) = numbers.len().checked_sub(1) else {
            assert_eq!(*found, None, "{told}");
            continue;
        };
        let wanted = numbers[(percent / 100.0 * last as f64).floor() as usize];
        let error = found.map_or(f64::INFINITY, |found| (found - wanted).abs());
        assert!(error <= wanted.abs() * (QUANTILE_ERROR + 1e-9), "{told}: p{percent} {found:?} of {wanted}");
    }
}

fn check_patterns(engine: &dyn Search, records: &[&Record], selection: &Selection, told: &str) {
    let (patterns, missing) = naive::patterns(records, "message");
    for limit in [3, 1000] {
        let request = PatternsRequest { selection: selection.clone(), field: "message".into(), limit };
        let found = engine.patterns(&request, &Budget::unlimited()).expect("it is answered");
        assert_eq!((found.rows, found.missing), (records.len() as u64, missing), "{told}");
        assert_eq!(found.distinct, patterns.len() as u64, "{told}");
        assert_eq!(found.patterns, patterns[..patterns.len().min(limit)], "{told}");
    }
}

fn check_totals(engine: &dyn Search, naive: &Naive, told: &str) {
    let totals = engine.totals();
    let times = naive.records().iter().map(|record| record.timestamp);
    assert_eq!(totals.records as usize, naive.len(), "{told}");
    assert_eq!((totals.oldest, totals.newest), (times.clone().min(), times.max()), "{told}");
}
