//! What a rule would have said over the past.
//!
//! Owns: the series of values against the threshold, and when it would have fired.
//! Invariant: the number of points and of series is bounded, whatever the rule.

use std::time::Duration;

use sawyer_model::{Error, ErrorKind, Timestamp};
use sawyer_query::Predicate;
use sawyer_query::search::{HistogramRequest, Selection};

use crate::measure::{Asker, Part};
use crate::rule::{Kind, Rule};
use crate::service::Alerts;

/// Values of one series.
const POINTS_MAX: u128 = 600;

/// Groups of which a series is shown.
const SERIES_MAX: usize = 5;

/// Longest time looked back on.
pub const PREVIEW_MAX: Duration = Duration::from_secs(31 * 86_400);

/// What a rule would have said.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    /// First moment.
    pub start: Timestamp,
    /// Last moment.
    pub end: Timestamp,
    /// Time between two moments.
    pub step: Duration,
    /// What has to be exceeded; of `absent`, where there must be more than nothing, none.
    pub limit: Option<f64>,
    /// The moments, at each of which the window ends.
    pub moments: Vec<Timestamp>,
    /// A series for each of the largest groups; without `group_by` one.
    pub series: Vec<Series>,
    /// Groups beyond those shown.
    pub groups_left_out: u64,
}

/// The values of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The values of `group_by`.
    pub labels: Vec<(String, String)>,
    /// A value for each moment; none where there was nothing to judge.
    pub values: Vec<Option<f64>>,
    /// When an alert would have fired: from, and until before.
    pub firing: Vec<(Timestamp, Timestamp)>,
}

impl Alerts {
    /// What a rule would have said over the time before now.
    ///
    /// # Errors
    /// `Invalid` if the time is too long, and what answers say.
    pub fn preview(&self, rule: &Rule, over: Duration) -> Result<Preview, Error> {
        if over > PREVIEW_MAX || over < rule.settings.window {
            let message = "over: expected a time from the rule's window to 31 days";
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let asker = self.asker();
        let end = rule.slot(self.now());
        let (step, per_window, count) = steps(rule, over);
        let moments: Vec<Timestamp> =
            (0..count).rev().map(|n| end.saturating_sub(step.saturating_mul(n))).collect();
        let start = moments.first().copied().unwrap_or(end);
        let first = start.saturating_sub(rule.settings.window);
        let predicate = rule.settings.query.at(end)?;
        let base = rule.settings.base.as_ref().map_or(Ok(Predicate::All), |base| base.at(end))?;
        let asked = match rule.kind {
            Kind::Ratio(_) => Predicate::and([base.clone(), predicate]),
            _ => predicate,
        };
        let (parts, beyond) = asker.parts(rule, &asked, first, end, f64::INFINITY)?;
        let groups_left_out = beyond + parts.len().saturating_sub(SERIES_MAX) as u64;
        // The edges between which records are counted: those of the windows and between them.
        let before = u32::try_from(per_window).unwrap_or(u32::MAX);
        let edges: Vec<Timestamp> =
            (0..count + before).rev().map(|n| end.saturating_sub(step.saturating_mul(n))).collect();
        let edges: Vec<Timestamp> = std::iter::once(edges[0].saturating_sub(step)).chain(edges).collect();
        let mut series = Vec::new();
        for part in parts.iter().take(SERIES_MAX) {
            series.push(self.series(&asker, rule, part, &base, &edges, per_window, &moments)?);
        }
        let limit = match rule.kind {
            Kind::Count(threshold) | Kind::Ratio(threshold) => Some(threshold.limit),
            Kind::Absence => None,
        };
        Ok(Preview { start, end, step, limit, moments, series, groups_left_out })
    }

    #[expect(clippy::too_many_arguments, reason = "all of it was worked out once for all series")]
    fn series(
        &self,
        asker: &Asker<'_>,
        rule: &Rule,
        part: &Part,
        base: &Predicate,
        edges: &[Timestamp],
        per_window: usize,
        moments: &[Timestamp],
    ) -> Result<Series, Error> {
        let matched = sums(&asker.histogram(&part.predicate, edges)?, per_window, moments.len());
        let values: Vec<Option<f64>> = match rule.kind {
            Kind::Ratio(_) => {
                let of_part = part.of(base);
                let totals = sums(&asker.histogram(&of_part, edges)?, per_window, moments.len());
                let part = |(matched, total): (u64, u64)| (total > 0).then(|| matched as f64 / total as f64);
                matched.into_iter().zip(totals).map(part).collect()
            }
            _ => matched.into_iter().map(|count| Some(count as f64)).collect(),
        };
        let firing = firing(rule, &values, moments);
        Ok(Series { labels: part.values.clone(), values, firing })
    }
}

/// The time between two moments, how many of it make a window, and how many moments there are.
fn steps(rule: &Rule, over: Duration) -> (Duration, usize, u32) {
    let window = rule.settings.window.as_nanos().max(1);
    let wanted = (window / rule.settings.interval.as_nanos().max(1)).max(1);
    // A window is a whole number of steps, so that counts of steps add up to those of windows.
    let fitting = (POINTS_MAX * window / over.as_nanos().max(1)).max(1);
    let per_window = wanted.min(fitting).min(POINTS_MAX);
    let step = u64::try_from(window / per_window).unwrap_or(u64::MAX).max(1);
    let count = (over.as_nanos() / u128::from(step)).clamp(1, POINTS_MAX * 2);
    (Duration::from_nanos(step), per_window as usize, u32::try_from(count).unwrap_or(1))
}

/// The sum of each window: of so many counts in a row.
fn sums(counts: &[u64], per_window: usize, moments: usize) -> Vec<u64> {
    let last = counts.len();
    let windows = (0..moments).rev().map(|n| {
        let end = last.saturating_sub(n);
        counts[end.saturating_sub(per_window)..end].iter().sum()
    });
    windows.collect()
}

/// When it would have fired, with `for` counted in.
fn firing(rule: &Rule, values: &[Option<f64>], moments: &[Timestamp]) -> Vec<(Timestamp, Timestamp)> {
    let met = |value: &Option<f64>| match (rule.kind, value) {
        (Kind::Count(threshold) | Kind::Ratio(threshold), Some(value)) => threshold.is_met(*value),
        (Kind::Absence, Some(value)) => *value == 0.0,
        (_, None) => false,
    };
    let (mut spans, mut since, mut open) = (Vec::new(), None, None);
    for (value, moment) in values.iter().zip(moments) {
        if met(value) {
            let since = *since.get_or_insert(*moment);
            if open.is_none() && moment.since(since) >= rule.settings.r#for {
                open = Some(*moment);
            }
        } else {
            since = None;
            spans.extend(open.take().map(|from| (from, *moment)));
        }
    }
    let end = moments.last().copied().unwrap_or(Timestamp::EPOCH);
    spans.extend(open.map(|from| (from, end)));
    spans
}

impl Asker<'_> {
    fn histogram(&self, predicate: &Predicate, edges: &[Timestamp]) -> Result<Vec<u64>, Error> {
        let (Some(start), Some(end)) = (edges.first(), edges.last()) else { return Ok(Vec::new()) };
        let selection = Selection { predicate: predicate.clone(), start: *start, end: *end };
        let request = HistogramRequest { selection, edges: edges.to_vec(), by: None, by_limit: 0 };
        let answer = self.search.histogram(&request, self.budget())?;
        if answer.stats.partial {
            return Err(Error::new(ErrorKind::Retry, "the query did not end in time; ask for less time"));
        }
        Ok(answer.counts)
    }
}
