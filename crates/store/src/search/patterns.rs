//! The most frequent patterns of the texts of a field.
//!
//! Owns: counting them, and the bound of what is counted. Does not own: what a pattern is (`query`).
//! Invariant: within the bound the answer does not depend on how the records lie in batches and blocks.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use sawyer_model::{Error, Value};
use sawyer_query::FieldPattern;
use sawyer_query::pattern::{gather, pattern_of};
use sawyer_query::search::{Budget, Order, Patterns, PatternsRequest, SearchStats};
use sawyer_segment::Rows;

use super::plan::Plan;
use super::run::Run;
use super::unit::Unit;
use crate::engine::Engine;

/// Patterns counted apart by one thread. Beyond it the rarest are dropped, and the answer is partial. A pattern takes
/// about 150 bytes, so this is 30 MB.
const PATTERNS_MAX: usize = 200_000;

/// Bytes of these; the same happens beyond it. A pattern may have 2 KB.
const PATTERN_BYTES_MAX: usize = 64 << 20;

#[derive(Default)]
struct Tally {
    counts: HashMap<String, u64>,
    bytes: usize,
    rows: u64,
    missing: u64,
    dropped: bool,
}

/// The most frequent patterns.
pub(super) fn patterns(
    engine: &Engine,
    request: &PatternsRequest,
    budget: &Budget,
) -> Result<Patterns, Error> {
    let plan = Plan::of(engine, &request.selection, Order::NewestFirst);
    let run = Run::new(engine, &plan, budget);
    let field = FieldPattern::name(&request.field);
    let step = |tally: &mut Tally, unit: &Unit, rows: &Rows| tally.add(unit, rows, &field);
    let mut all = Tally::default();
    for tally in run.fold(Tally::default, step)? {
        all.merge(tally);
    }
    let mut patterns = gather(all.counts.into_iter().collect::<BTreeMap<_, _>>());
    let distinct = patterns.len() as u64;
    patterns.truncate(request.limit);
    let stats = run.stats();
    let stats = SearchStats { partial: stats.partial || all.dropped, ..stats };
    Ok(Patterns { patterns, rows: all.rows, missing: all.missing, distinct, stats })
}

impl Tally {
    fn add(&mut self, unit: &Unit, rows: &Rows, field: &FieldPattern) -> Result<(), Error> {
        let missing = unit.count_values(
            rows,
            field,
            |value| matches!(value, Value::Str(_)),
            |value, count| {
                if let Value::Str(text) = value {
                    self.count(pattern_of(text), count);
                }
            },
        )?;
        self.rows += rows.count() as u64;
        self.missing += missing as u64;
        self.bound();
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        for (pattern, count) in other.counts {
            self.count(pattern, count);
        }
        self.rows += other.rows;
        self.missing += other.missing;
        self.dropped |= other.dropped;
        self.bound();
    }

    fn count(&mut self, pattern: String, count: u64) {
        match self.counts.entry(pattern) {
            Entry::Occupied(mut known) => *known.get_mut() += count,
            Entry::Vacant(new) => {
                self.bytes += new.key().len();
                new.insert(count);
            }
        }
    }

    fn bound(&mut self) {
        if self.counts.len() > PATTERNS_MAX || self.bytes > PATTERN_BYTES_MAX {
            let mut sorted: Vec<(String, u64)> = std::mem::take(&mut self.counts).into_iter().collect();
            sorted.sort_by(|a, b| (b.1, &a.0).cmp(&(a.1, &b.0)));
            sorted.truncate(PATTERNS_MAX / 2);
            let mut bytes = 0;
            let fits = sorted.iter().take_while(|(pattern, _)| {
                bytes += pattern.len();
                bytes <= PATTERN_BYTES_MAX / 2
            });
            sorted.truncate(fits.count());
            self.bytes = sorted.iter().map(|(pattern, _)| pattern.len()).sum();
            self.counts = sorted.into_iter().collect();
            self.dropped = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_patterns_are_bounded() {
        let mut tally = Tally::default();
        for n in 0..70_000u64 {
            let name: String = n.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect();
            tally.count(pattern_of(&format!("{name} {}", "x".repeat(1 << 10))), 1);
            tally.bound();
        }
        assert!(tally.dropped && tally.counts.len() >= PATTERN_BYTES_MAX / 2 / 1024);
        assert!(tally.bytes <= PATTERN_BYTES_MAX);
        assert_eq!(tally.bytes, tally.counts.keys().map(String::len).sum::<usize>());
    }
}
