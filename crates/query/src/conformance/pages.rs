//! Pages as lines, and pages without lines as written.

use sawyer_model::names::{ORIGINAL, ORIGINAL_BASE64};
use sawyer_model::{Record, RecordId, Value};
use serde_json::Value as Json;

use super::naive::{position, sorted};
use crate::search::{Budget, Order, Search, SearchRequest, Selection};

/// Lines of each page of this check.
const LINES: usize = 60;

/// Lines that are wanted where not all are.
const LINES_WANTED: usize = 3;

/// Holds the lines of an engine that makes them against the records that they have to be of.
pub(super) fn check_lines(engine: &dyn Search, records: &[&Record], selection: &Selection, told: &str) {
    for (order, original) in [(Order::NewestFirst, true), (Order::OldestFirst, false)] {
        let mut wanted = records.to_vec();
        wanted.sort_by(|a, b| order.compare(position(a), position(b)));
        let request =
            SearchRequest { selection: selection.clone(), order, limit: LINES, after: None, original };
        let mut found = Vec::new();
        let mut line = |line: &[u8]| {
            found.push(serde_json::from_slice::<Json>(line).expect("a line is JSON"));
            true
        };
        let Some(part) = engine.lines(&request, &Budget::unlimited(), &mut line) else { return };
        let part = part.expect("it is answered");
        assert_eq!((part.count, part.wanted), (found.len(), true), "{told}");
        let is_all = wanted.len() <= LINES;
        assert_eq!(part.next.is_none(), is_all, "{told}: {:?}", part.next);
        assert!(found.len() == wanted.len().min(LINES), "{told}: {} lines", found.len());
        for (line, record) in found.iter().zip(&wanted) {
            check_line(line, record, original, told);
        }
        check_interrupted(engine, &request, wanted.len(), told);
    }
}

fn check_line(line: &Json, record: &Record, original: bool, told: &str) {
    let id = RecordId { source: record.source, start: record.range.start };
    assert_eq!(line["_id"], id.to_string(), "{told}");
    assert_eq!(line["timestamp"], record.timestamp.to_string(), "{told}");
    for (name, value) in &record.fields {
        if name.starts_with('_') {
            assert!(original || line.get(&**name).is_none(), "{told}: {name} is not wanted in {line}");
            continue;
        }
        if let Value::Str(text) = value {
            assert_eq!(line[&**name], **text, "{told}: {name}");
        }
    }
}

/// Whoever wants no more lines gets none.
fn check_interrupted(engine: &dyn Search, request: &SearchRequest, records: usize, told: &str) {
    let mut lines = 0;
    let mut line = |_: &[u8]| {
        lines += 1;
        lines < LINES_WANTED
    };
    let part = engine.lines(request, &Budget::unlimited(), &mut line).expect("it made lines before");
    let wanted = part.expect("it is answered").wanted;
    assert_eq!((lines, wanted), (records.min(LINES_WANTED), records < LINES_WANTED), "{told}");
}

/// Without lines as written all else is the same.
pub(super) fn check_without_originals(
    engine: &dyn Search,
    records: &[&Record],
    selection: &Selection,
    told: &str,
) {
    let order = Order::NewestFirst;
    let without = |mut record: Record| {
        record.fields.retain(|(name, _)| ![ORIGINAL, ORIGINAL_BASE64].contains(&&**name));
        sorted(record)
    };
    let mut wanted: Vec<Record> = records.iter().map(|record| without((*record).clone())).collect();
    wanted.sort_by(|a, b| order.compare(position(a), position(b)));
    wanted.truncate(LINES);
    let request =
        SearchRequest { selection: selection.clone(), order, limit: LINES, after: None, original: false };
    let page = engine.search(&request, &Budget::unlimited()).expect("it is answered");
    let found: Vec<Record> = page.records.iter().map(|record| without(record.to_record())).collect();
    assert_eq!(found, wanted, "{told}: without lines as written");
}
