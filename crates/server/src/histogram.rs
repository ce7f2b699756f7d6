//! `/histogram`: counts over time, in buckets that a calendar would use.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Unit, Zoned};
use sawyer_model::{Timestamp, Value};
use sawyer_query::search::{Histogram, HistogramRequest};
use serde_json::json;

use crate::Api;
use crate::ask::{stats_json, value_json};
use crate::error::ApiError;
use crate::params::Params;

/// Buckets of an answer that does not say how many; intervals are round, so it is about that many.
const BUCKETS_DEFAULT: usize = 60;

/// Most buckets of one answer; more could not be drawn.
const BUCKETS_MAX: usize = 5000;

/// Values of `by` that are counted apart.
const BY_LIMIT: usize = 10;

/// A length of buckets that a calendar knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interval {
    Fixed { nanos: i64 },
    Days(i64),
    Weeks(i64),
}

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// What is chosen from when only a number of buckets is asked for, shortest first.
const ROUND: [Interval; 24] = {
    const fn fixed(nanos: i64) -> Interval {
        Interval::Fixed { nanos }
    }
    [
        fixed(SECOND / 1000),
        fixed(SECOND / 100),
        fixed(SECOND / 10),
        fixed(SECOND),
        fixed(2 * SECOND),
        fixed(5 * SECOND),
        fixed(10 * SECOND),
        fixed(15 * SECOND),
        fixed(30 * SECOND),
        fixed(MINUTE),
        fixed(2 * MINUTE),
        fixed(5 * MINUTE),
        fixed(10 * MINUTE),
        fixed(15 * MINUTE),
        fixed(30 * MINUTE),
        fixed(HOUR),
        fixed(2 * HOUR),
        fixed(3 * HOUR),
        fixed(6 * HOUR),
        fixed(12 * HOUR),
        Interval::Days(1),
        Interval::Days(2),
        Interval::Weeks(1),
        Interval::Weeks(4),
    ]
};

pub(crate) async fn histogram(State(api): State<Api>, params: Params) -> Result<impl IntoResponse, ApiError> {
    let selection = api.selection(&params)?;
    let zone = match params.text("time_zone") {
        None => TimeZone::UTC,
        Some(name) => TimeZone::get(name).map_err(|_| {
            ApiError::invalid(format!("time_zone: expected an IANA name such as Asia/Seoul, found `{name}`"))
        })?,
    };
    let (start, end) = (selection.start, selection.end);
    let interval = match params.text("interval") {
        Some(text) => Interval::parse(text)?,
        None => Interval::round(start, end, params.number("buckets", BUCKETS_DEFAULT, (1, BUCKETS_MAX))?),
    };
    let edges = interval.edges(start, end, &zone)?;
    let by = params.text("by").map(str::to_owned);
    let request = HistogramRequest { selection, edges: edges.clone(), by: by.clone(), by_limit: BY_LIMIT };
    let answer = api.answer_to(&params, move |api, budget| api.0.search.histogram(&request, budget)).await?;
    let around = json!({
        "interval": interval.to_string(),
        "interval_ms": interval.nanos() / 1_000_000,
        "stats": stats_json(&answer.stats),
    });
    Ok(([(header::CONTENT_TYPE, "application/json")], render(&answer, by.is_some(), &edges, &around)))
}

/// The answer; there may be thousands of buckets, so no tree is made of them.
fn render(answer: &Histogram, by: bool, edges: &[Timestamp], around: &serde_json::Value) -> String {
    const IN_MEMORY: &str = "writing to memory does not fail";
    let apart = apart(answer);
    let mut body = String::from("{\"buckets\":[");
    for (at, (start, count)) in edges.iter().zip(&answer.counts).enumerate() {
        body.push_str(if at == 0 { "{" } else { ",{" });
        if by {
            body.push_str("\"by\":{");
            let of_bucket =
                apart.iter().map(|(key, counts)| (key, counts.iter().map(|of| of[at]).sum::<u64>()));
            for (nth, (key, count)) in of_bucket.filter(|(_, count)| *count > 0).enumerate() {
                let comma = if nth == 0 { "" } else { "," };
                write!(body, "{comma}{key}:{count}").expect(IN_MEMORY);
            }
            body.push_str("},");
        }
        write!(body, "\"count\":{count},\"start\":\"{start}\"}}").expect(IN_MEMORY);
    }
    // The object's own opening brace is not wanted a second time.
    body.push_str("],");
    body.push_str(&around.to_string()[1..]);
    body
}

/// What is counted apart under each key, as JSON writes the key: a number and a text that is written like it are under one.
fn apart(answer: &Histogram) -> Vec<(String, Vec<&[u64]>)> {
    let mut apart: BTreeMap<String, Vec<&[u64]>> = BTreeMap::new();
    let values = answer.by.iter().map(|(value, counts)| (key(value), counts));
    let rest = [("_other", &answer.other), ("_missing", &answer.missing)]
        .map(|(name, counts)| (name.to_owned(), counts));
    for (key, counts) in values.chain(rest).filter(|(_, counts)| !counts.is_empty()) {
        apart.entry(key).or_default().push(counts);
    }
    apart.into_iter().map(|(key, counts)| (serde_json::Value::from(key).to_string(), counts)).collect()
}

fn key(value: &Value) -> String {
    match value_json(value) {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}

impl Interval {
    fn parse(text: &str) -> Result<Self, ApiError> {
        let wrong = || {
            ApiError::invalid(format!(
                "interval: expected a length such as `30s`, `5m`, `1h`, `1d` or `1w`, found `{text}`"
            ))
        };
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (count, unit) = text.split_at(digits);
        let count: i64 = count.parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
        let nanos = match unit {
            "ms" => SECOND / 1000,
            "s" => SECOND,
            "m" => MINUTE,
            "h" => HOUR,
            "d" => return Ok(Self::Days(count.min(36_500))),
            "w" => return Ok(Self::Weeks(count.min(5_200))),
            _ => return Err(wrong()),
        };
        Ok(Self::Fixed { nanos: count.checked_mul(nanos).ok_or_else(wrong)? })
    }

    /// The shortest round interval that makes at most `buckets` of a range.
    fn round(start: Timestamp, end: Timestamp, buckets: usize) -> Self {
        let least = end.since(start).as_nanos() / buckets as u128;
        let fits = ROUND.into_iter().find(|interval| interval.nanos() as u128 >= least);
        fits.unwrap_or(Self::Weeks(i64::try_from(least / (7 * DAY) as u128).unwrap_or(i64::MAX) + 1))
    }

    /// Its usual length; a day with a change of clocks is an hour off.
    fn nanos(self) -> i64 {
        match self {
            Self::Fixed { nanos } => nanos,
            Self::Days(count) => count.saturating_mul(DAY),
            Self::Weeks(count) => count.saturating_mul(7 * DAY),
        }
    }

    /// Edges that cover a range, aligned to the calendar of a time zone.
    fn edges(self, start: Timestamp, end: Timestamp, zone: &TimeZone) -> Result<Vec<Timestamp>, ApiError> {
        let count = end.since(start).as_nanos() / self.nanos().max(1) as u128;
        if count > BUCKETS_MAX as u128 {
            return Err(ApiError::invalid(format!(
                "interval: makes {count} buckets; at most {BUCKETS_MAX} are answered"
            )));
        }
        let first = self.floor(start, zone);
        let mut edges = vec![first];
        for n in 1.. {
            let edge = self.step(first, n, zone);
            // A time at the end of what can be told makes no progress.
            if edge <= edges[edges.len() - 1] {
                break;
            }
            edges.push(edge);
            if edge >= end {
                break;
            }
        }
        if edges.len() == 1 {
            edges.push(first.saturating_add(Duration::from_nanos(1)));
        }
        Ok(edges)
    }

    /// The last edge at or before a time.
    fn floor(self, time: Timestamp, zone: &TimeZone) -> Timestamp {
        let local = time.to_jiff().to_zoned(zone.clone());
        match self {
            Self::Fixed { nanos } => {
                // Days start at the local midnight, so that `3h` gives 00:00, 03:00 …
                let offset = i64::from(local.offset().seconds()) * SECOND;
                let shifted = time.nanos().saturating_add(offset);
                Timestamp::from_nanos(time.nanos().saturating_sub(shifted.rem_euclid(nanos)))
            }
            Self::Days(count) => midnight(&local, days_since_epoch(local.date()).rem_euclid(count), time),
            Self::Weeks(count) => {
                let since_monday = i64::from(local.date().weekday().since(Weekday::Monday));
                let weeks = (days_since_epoch(local.date()) - since_monday).div_euclid(7);
                midnight(&local, since_monday + 7 * weeks.rem_euclid(count), time)
            }
        }
    }

    /// The edge `n` intervals after the first one.
    fn step(self, first: Timestamp, n: i64, zone: &TimeZone) -> Timestamp {
        let days = match self {
            Self::Fixed { nanos } => {
                return Timestamp::from_nanos(first.nanos().saturating_add(nanos.saturating_mul(n)));
            }
            Self::Days(count) => count * n,
            Self::Weeks(count) => count * n * 7,
        };
        let later = first.to_jiff().to_zoned(zone.clone()).checked_add(Span::new().days(days));
        later.map_or(Timestamp::MAX, |later| from_zoned(&later).unwrap_or(Timestamp::MAX))
    }
}

fn days_since_epoch(date: Date) -> i64 {
    let since = date.since((Unit::Day, Date::constant(1970, 1, 1)));
    since.map_or(0, |span| i64::from(span.get_days()))
}

fn midnight(local: &Zoned, days_back: i64, fallback: Timestamp) -> Timestamp {
    let day = local.date().checked_sub(Span::new().days(days_back));
    let start = day.and_then(|day| day.to_zoned(local.time_zone().clone()));
    start.ok().and_then(|start| from_zoned(&start)).unwrap_or(fallback)
}

fn from_zoned(time: &Zoned) -> Option<Timestamp> {
    i64::try_from(time.timestamp().as_nanosecond()).ok().map(Timestamp::from_nanos)
}

impl std::fmt::Display for Interval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Weeks(count) => write!(f, "{count}w"),
            Self::Days(count) => write!(f, "{count}d"),
            Self::Fixed { nanos } if nanos % HOUR == 0 => write!(f, "{}h", nanos / HOUR),
            Self::Fixed { nanos } if nanos % MINUTE == 0 => write!(f, "{}m", nanos / MINUTE),
            Self::Fixed { nanos } if nanos % SECOND == 0 => write!(f, "{}s", nanos / SECOND),
            Self::Fixed { nanos } => write!(f, "{}ms", nanos / (SECOND / 1000)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(interval: &str, start: &str, end: &str, zone: &str) -> String {
        let zone = TimeZone::get(zone).unwrap();
        let (start, end) = (Timestamp::parse(start).unwrap(), Timestamp::parse(end).unwrap());
        let edges = Interval::parse(interval).unwrap().edges(start, end, &zone).unwrap();
        edges.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn buckets_begin_where_a_calendar_does() {
        insta::assert_snapshot!(check("3h", "2026-11-20T01:10:00Z", "2026-11-20T05:00:00Z", "UTC"), @"2026-11-20T00:00:00Z 2026-11-20T03:00:00Z 2026-11-20T06:00:00Z");
        insta::assert_snapshot!(check("1d", "2026-11-20T01:10:00Z", "2026-11-21T05:00:00Z", "Asia/Seoul"), @"2026-11-19T15:00:00Z 2026-11-20T15:00:00Z 2026-11-21T15:00:00Z");
        insta::assert_snapshot!(check("1w", "2026-11-20T01:10:00Z", "2026-11-24T00:00:00Z", "UTC"), @"2026-11-16T00:00:00Z 2026-11-23T00:00:00Z 2026-11-30T00:00:00Z");
    }

    #[test]
    fn a_day_with_a_change_of_clocks_is_one_bucket() {
        insta::assert_snapshot!(check("1d", "2026-10-24T22:30:00Z", "2026-10-26T12:00:00Z", "Europe/Berlin"), @"2026-10-24T22:00:00Z 2026-10-25T23:00:00Z 2026-10-26T23:00:00Z");
    }

    #[test]
    fn a_number_of_buckets_becomes_a_round_interval() {
        let start = Timestamp::parse("2026-11-20T00:00:00Z").unwrap();
        let told = [1, 60, 3600, 7200, 86_400, 30 * 86_400, 3650 * 86_400].map(|seconds| {
            Interval::round(start, start.saturating_add(Duration::from_secs(seconds)), 60).to_string()
        });
        assert_eq!(told, ["100ms", "1s", "1m", "2m", "30m", "12h", "9w"]);
    }

    #[test]
    fn values_that_are_written_alike_are_counted_together() {
        let edges = [0, 60, 120].map(Timestamp::from_secs);
        let stats = sawyer_query::search::SearchStats::default();
        let by = vec![
            (Value::from("5"), vec![2, 0]),
            (Value::Int(5), vec![1, 0]),
            (Value::from("a \"b\""), vec![0, 3]),
            (Value::Timestamp(Timestamp::from_secs(60)), vec![0, 1]),
        ];
        let answer = Histogram { counts: vec![4, 4], by, missing: vec![1, 0], other: Vec::new(), stats };
        let around = json!({"interval": "1m"});
        insta::assert_snapshot!(render(&answer, true, &edges, &around), @r#"{"buckets":[{"by":{"5":3,"_missing":1},"count":4,"start":"1970-01-01T00:00:00Z"},{"by":{"1970-01-01T00:01:00Z":1,"a \"b\"":3},"count":4,"start":"1970-01-01T00:01:00Z"}],"interval":"1m"}"#);
        insta::assert_snapshot!(render(&answer, false, &edges, &around), @r#"{"buckets":[{"count":4,"start":"1970-01-01T00:00:00Z"},{"count":4,"start":"1970-01-01T00:01:00Z"}],"interval":"1m"}"#);
    }

    #[test]
    fn extremes_end() {
        let all = Interval::round(Timestamp::MIN, Timestamp::MAX, 60);
        let edges = all.edges(Timestamp::MIN, Timestamp::MAX, &TimeZone::UTC).unwrap();
        assert!((2..100).contains(&edges.len()), "{}", edges.len());
        assert!(
            Interval::parse("1ms").unwrap().edges(Timestamp::EPOCH, Timestamp::MAX, &TimeZone::UTC).is_err()
        );
        for wrong in ["", "5", "m", "0s", "-1s", "5 minutes", "99999999999999999999h"] {
            assert!(Interval::parse(wrong).is_err(), "{wrong}");
        }
    }
}
