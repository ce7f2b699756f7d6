//! Whose records are kept how long: the classes into which policies divide them.
//!
//! Owns: policies, which class a record is of, and how many records of each class a segment has.
//! Does not own: what follows from that (`retention`).
//! Invariant: every record is of exactly one class: that of the first policy that holds for it, or the last one, of
//! which no policy speaks.

use std::time::Duration;

use sawyer_config::ByteSize;
use sawyer_model::{Error, ErrorKind, Timestamp};
use sawyer_query::search::{Budget, SearchStats, Selection};
use sawyer_query::{Context, Predicate, kql};
use sawyer_segment::{Rows, Segment};

use crate::settings::{PolicySettings, StorePlan};

/// Most policies: so many classes and one more are a set of 64 bits, and each costs a look at each segment.
pub(crate) const POLICIES_MAX: usize = 32;

/// A policy that was checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Policy {
    pub(crate) name: String,
    pub(crate) query: String,
    pub(crate) predicate: Predicate,
    pub(crate) keep: Duration,
    pub(crate) size_max: Option<u64>,
}

impl Policy {
    /// What settings mean; the error says what is wrong with the query.
    pub(crate) fn new(settings: &PolicySettings, retention: Duration) -> Result<Self, String> {
        let text = &settings.query;
        let at = |now| {
            let context = Context { now, ..Context::default() };
            let compiled = kql::compile(text, &context);
            compiled.map_err(|error| format!("{error}\n  {}", error.caret(text).replace('\n', "\n  ")))
        };
        let predicate = at(Timestamp::EPOCH)?;
        // A condition that changes with time would have to be asked of all records again and again.
        if at(Timestamp::from_secs(86_400 * 400))? != predicate {
            return Err("expected a condition without `now`; `keep` is about age".to_owned());
        }
        if predicate == Predicate::All {
            return Err("expected a condition; `retention` and the store's `size_max` are for all".to_owned());
        }
        Ok(Self {
            name: settings.name.clone(),
            query: text.clone(),
            predicate,
            keep: settings.keep.unwrap_or(retention),
            size_max: settings.size_max.map(ByteSize::bytes),
        })
    }
}

impl StorePlan {
    /// How long records of a class are kept.
    pub(crate) fn keep(&self, class: usize) -> Duration {
        self.policies.get(class).map_or(self.retention, |policy| policy.keep)
    }

    /// Most bytes of a class.
    pub(crate) fn class_bytes_max(&self, class: usize) -> Option<u64> {
        self.policies.get(class).and_then(|policy| policy.size_max)
    }

    /// How many classes there are.
    pub(crate) fn classes(&self) -> usize {
        self.policies.len() + 1
    }
}

/// A set of classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Classes(u64);

impl Classes {
    pub(crate) fn insert(&mut self, class: usize) {
        self.0 |= 1 << class;
    }

    pub(crate) fn contains(self, class: usize) -> bool {
        self.0 >> class & 1 == 1
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The rows of a block that are of these classes; `Closed` if the budget ran out.
pub(crate) fn rows_of(
    segment: &Segment,
    block: usize,
    policies: &[Policy],
    classes: Classes,
    budget: &Budget,
) -> Result<Rows, Error> {
    let mut wanted = Rows::none(segment.blocks()[block].rows);
    let whole = each_class(segment, block, policies, budget, &mut |class, rows| {
        if classes.contains(class) {
            wanted.unite(rows);
        }
    })?;
    if whole { Ok(wanted) } else { Err(Error::new(ErrorKind::Closed, "it took more than it may")) }
}

/// How many records of each class a segment has, or those that are `wanted` of it (a set for each block); none if the budget
/// ran out.
pub(crate) fn profile(
    segment: &Segment,
    wanted: Option<&[Rows]>,
    policies: &[Policy],
    budget: &Budget,
) -> Result<Option<Vec<u64>>, Error> {
    let mut counts = vec![0; policies.len() + 1];
    for block in 0..segment.blocks().len() {
        let wanted = wanted.map(|wanted| &wanted[block]);
        if wanted.is_some_and(Rows::is_empty) {
            continue;
        }
        let whole = each_class(segment, block, policies, budget, &mut |class, rows| {
            let mut rows = rows.clone();
            wanted.into_iter().for_each(|wanted| rows.intersect(wanted));
            counts[class] += rows.count() as u64;
        })?;
        if !whole {
            return Ok(None);
        }
    }
    Ok(Some(counts))
}

/// Calls for each class that has rows in a block; says whether the budget was enough.
fn each_class(
    segment: &Segment,
    block: usize,
    policies: &[Policy],
    budget: &Budget,
    call: &mut dyn FnMut(usize, &Rows),
) -> Result<bool, Error> {
    let mut left = Rows::all(segment.blocks()[block].rows);
    for (class, policy) in policies.iter().enumerate() {
        let predicate = policy.predicate.clone();
        let selection = Selection { predicate, start: Timestamp::MIN, end: Timestamp::MAX };
        let mut stats = SearchStats::default();
        let mut rows = segment.scan(block, &selection, budget, &mut stats)?;
        if stats.partial {
            return Ok(false);
        }
        rows.intersect(&left);
        left.subtract(&rows);
        call(class, &rows);
    }
    call(policies.len(), &left);
    Ok(true)
}
