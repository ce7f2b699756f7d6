//! What is answered when a budget is used up, or nobody waits any more.

use std::cmp::Ordering;
use std::time::Instant;

use sawyer_model::{Error, ErrorKind, Record, RecordId, Timestamp};

use super::naive::{Naive, position, sorted};
use crate::Predicate;
use crate::search::{
    Budget, HistogramRequest, Order, PatternsRequest, Search, SearchRequest, Selection, SummaryRequest,
    ValuesRequest,
};

/// What bounds the pages of a way through everything.
#[derive(Clone, Copy, Debug)]
enum Bound {
    Rows,
    /// Rows, and what was found is due at once.
    RowsAndDue,
    Bytes,
}

/// Whoever goes on where partial answers end gets every record once.
pub(super) fn check_pages(
    engine: &dyn Search,
    records: &[&Record],
    selection: &Selection,
    rows: u64,
    told: &str,
) {
    for (order, limit, bound) in [
        (Order::NewestFirst, 150, Bound::Rows),
        (Order::OldestFirst, 400, Bound::RowsAndDue),
        (Order::NewestFirst, 400, Bound::Bytes),
    ] {
        let told = format!("{told} {order:?} {bound:?}");
        let mut wanted = records.to_vec();
        wanted.sort_by(|a, b| order.compare(position(a), position(b)));
        let (mut found, mut after, mut most) = (Vec::new(), None, 1 + rows / 5);
        loop {
            let request = SearchRequest { selection: selection.clone(), order, limit, after, original: true };
            let page = engine.search(&request, &budget(bound, most)).expect("it is answered");
            assert!(page.records.len() <= limit, "{told}");
            found.extend(page.records.iter().map(|record| sorted(record.to_record())));
            let Some(next) = page.next else {
                assert!(!page.stats.partial, "{told}: nowhere to go on after a partial answer");
                break;
            };
            let went_on = after.is_none_or(|after| order.compare(next, after) == Ordering::Greater);
            assert!(went_on || page.records.is_empty() && after == page.next, "{told}: it goes back");
            // A budget may be too small to know even the first record; it is never with one for all.
            if page.records.is_empty() {
                let is_enough = !matches!(bound, Bound::Bytes) && most > rows;
                assert!(page.stats.partial && !is_enough, "{told}: nothing found, and no end");
                most = most.checked_mul(2).expect("so many bytes are enough");
            }
            after = page.next;
        }
        assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "{told}");
    }
}

fn budget(bound: Bound, most: u64) -> Budget {
    match bound {
        Bound::Rows => Budget::new(None, most),
        Bound::Bytes => Budget::with_bytes(None, u64::MAX, most),
        Bound::RowsAndDue => {
            let budget = Budget::new(None, most);
            budget.set_due(Instant::now());
            budget
        }
    }
}

/// A budget that is used up makes a partial answer, one that is cancelled an error.
pub(super) fn check(engine: &dyn Search, naive: &Naive, told: &str) {
    let budgets: [&dyn Fn() -> Budget; 3] =
        [&|| Budget::new(None, 0), &|| Budget::new(Some(Instant::now()), u64::MAX), &|| {
            Budget::with_bytes(None, u64::MAX, 0)
        }];
    for (at, budget) in budgets.iter().enumerate() {
        for (question, answer) in answers(engine, budget) {
            let (rows, partial) = answer.unwrap_or_else(|error| panic!("{told}: {question}: {error}"));
            let is_right = rows == 0 && partial != naive.is_empty();
            assert!(is_right, "{told}: {question} with budget {at}: rows={rows} partial={partial}");
        }
    }
    let half = naive.len() as u64 / 2;
    for (question, answer) in answers(engine, &|| Budget::new(None, half)) {
        let (rows, partial) = answer.unwrap_or_else(|error| panic!("{told}: {question}: {error}"));
        assert!(rows <= half && partial != naive.is_empty(), "{told}: {question}: rows={rows} of {half}");
    }
    if naive.is_empty() {
        return;
    }
    let cancelled = || {
        let budget = Budget::unlimited();
        budget.cancel();
        budget
    };
    for (question, answer) in answers(engine, &cancelled) {
        let kind = answer.map_err(|error| error.kind());
        assert_eq!(kind, Err(ErrorKind::Closed), "{told}: {question} goes on though it is cancelled");
    }
    let id = RecordId { source: sawyer_model::SourceId(0), start: 0 };
    let kind = engine.record(id, &cancelled()).map_err(|error| error.kind());
    assert_eq!(kind, Err(ErrorKind::Closed), "{told}: a record is looked for though nobody waits");
}

/// The records that an answer is about, and whether it is partial.
type Answer = Result<(u64, bool), Error>;

/// Every question to all records, each with a budget of its own.
fn answers(engine: &dyn Search, budget: &dyn Fn() -> Budget) -> Vec<(&'static str, Answer)> {
    let selection = Selection { predicate: Predicate::All, start: Timestamp::MIN, end: Timestamp::MAX };
    let (field, limit) = (String::from("level"), 10);
    let page = SearchRequest {
        selection: selection.clone(),
        order: Order::NewestFirst,
        limit: usize::MAX,
        after: None,
        original: true,
    };
    let histogram = HistogramRequest {
        selection: selection.clone(),
        edges: vec![Timestamp::MIN, Timestamp::MAX],
        by: Some(field.clone()),
        by_limit: limit,
    };
    let values = ValuesRequest { selection: selection.clone(), field: field.clone(), limit, prefix: None };
    let summary =
        SummaryRequest { selection: selection.clone(), field: field.clone(), percentiles: vec![50.0] };
    let patterns = PatternsRequest { selection: selection.clone(), field, limit };
    let mut answers: Vec<(&'static str, Answer)> = vec![
        ("search", engine.search(&page, &budget()).map(|a| (a.records.len() as u64, a.stats.partial))),
        ("count", engine.count(&selection, &budget()).map(|(count, stats)| (count, stats.partial))),
        ("histogram", engine.histogram(&histogram, &budget()).map(|a| (a.counts[0], a.stats.partial))),
        ("values", engine.values(&values, &budget()).map(|a| (a.rows, a.stats.partial))),
        ("summary", engine.summary(&summary, &budget()).map(|a| (a.rows, a.stats.partial))),
        ("patterns", engine.patterns(&patterns, &budget()).map(|a| (a.rows, a.stats.partial))),
        ("fields", engine.fields(&selection, &budget()).map(|a| (a.rows, a.stats.partial))),
    ];
    if let Some(part) = engine.lines(&page, &budget(), &mut |_| true) {
        answers.push(("lines", part.map(|a| (a.count as u64, a.stats.partial))));
    }
    answers
}
