//! The questions of the table, each in as many variations as it takes to ask something else each time.
//!
//! Owns: which questions there are, and what they ask for. Does not own: how they are measured (`store`).

use anyhow::{Context, Result};
use sawyer_bench::kubernetes::{LOCK_PHRASE, RARE_PHRASE, UNIQUE_FIELD, WORDS};
use sawyer_bench::server::Server;
use serde_json::Value;

/// Later than any record.
const NEVER: &str = "2200-01-01T00:00:00Z";
/// How many traces and pods are asked for.
const SAMPLES: &str = "1000";
/// A variation looks at a span that begins so much later than that of the one before.
const SHIFT: jiff::SignedDuration = jiff::SignedDuration::from_millis(7001);

/// What is put into a question in place of each of these.
const WORD: &str = "{word}";
const PART: &str = "{part}";
const TRACE: &str = "{trace}";
const POD: &str = "{pod}";
const ID: &str = "{id}";
const RARE: &str = "{rare}";
const LOCK: &str = "{lock}";
const NUMBER: &str = "{number}";

/// One line of the table.
pub(crate) struct Query {
    pub(crate) name: &'static str,
    /// For the records that aims are for.
    pub(crate) aim_ms: f64,
    path: &'static str,
    /// Of a few parameters: what is asked for, with places to fill in.
    params: Vec<(&'static str, &'static str)>,
    span: Option<(jiff::Timestamp, jiff::Timestamp)>,
    samples: std::rc::Rc<Samples>,
}

/// What is asked of the server.
pub(crate) struct Question {
    pub(crate) path: String,
    pub(crate) params: Vec<(&'static str, String)>,
}

impl Query {
    /// Variation 0 is the one of the table; each other asks for something else, or in another span of time.
    pub(crate) fn variation(&self, number: usize) -> Question {
        let mut params: Vec<(&'static str, String)> =
            self.params.iter().map(|(name, value)| (*name, self.samples.fill(value, number))).collect();
        if let Some((start, end)) = self.span {
            let shift = SHIFT * i32::try_from(number).unwrap_or_default();
            params.push(("start", (start + shift).to_string()));
            params.push(("end", end.to_string()));
        }
        Question { path: self.samples.fill(self.path, number), params }
    }
}

/// What there is to ask for.
struct Samples {
    words: Vec<&'static str>,
    traces: Vec<String>,
    pods: Vec<String>,
    /// `_id`s of the oldest records.
    ids: Vec<String>,
    rare: Vec<String>,
    lock: Vec<String>,
}

impl Samples {
    fn fill(&self, text: &str, number: usize) -> String {
        fn nth<T: AsRef<str>>(of: &[T], number: usize) -> &str {
            of.get(number % of.len().max(1)).map_or("", AsRef::as_ref)
        }
        let word = nth(&self.words, number);
        let number_text = (number + 10).to_string();
        let places = [
            (WORD, word),
            (PART, &word[1..word.len() - 1]),
            (TRACE, nth(&self.traces, number)),
            (POD, nth(&self.pods, number)),
            (ID, nth(&self.ids, number)),
            (RARE, nth(&self.rare, number)),
            (LOCK, nth(&self.lock, number)),
            (NUMBER, &number_text),
        ];
        places.iter().fold(text.to_owned(), |text, (place, value)| text.replace(place, value))
    }
}

/// The words of messages, first the one that the table asks for.
fn words() -> Vec<&'static str> {
    let mut words = vec!["timeout"];
    words.extend(WORDS.split_whitespace().filter(|word| word.len() > 4 && *word != "timeout"));
    words
}

/// A phrase, and what is left of it without its last words, two at least.
fn phrases(phrase: &str) -> Vec<String> {
    let words: Vec<&str> = phrase.split(' ').collect();
    (2..=words.len()).rev().map(|count| words[..count].join(" ")).collect()
}

/// What the server's records have: where in time they lie, and what to ask for.
struct Data {
    hour: (jiff::Timestamp, jiff::Timestamp),
    /// From the oldest record to behind the newest.
    all: (jiff::Timestamp, jiff::Timestamp),
    samples: Samples,
}

fn look(server: &mut Server) -> Result<Data> {
    let mut ask = |query: &str, limit: &str, order: &str, end: &str| -> Result<Vec<Value>> {
        let params = [("query", query), ("limit", limit), ("start", "0"), ("end", end), ("order", order)];
        let answer: Value = serde_json::from_slice(&server.get("/api/v1/search", &params)?)?;
        Ok(answer["records"].as_array().context("an answer has records")?.clone())
    };
    let time = |records: &[Value]| -> Result<jiff::Timestamp> {
        let first = records.first().context("there are records")?;
        Ok(first["timestamp"].as_str().context("records have times")?.parse()?)
    };
    // The workload's clock walks: its last records may lie seconds after the present.
    let first = ask("", "100", "asc", NEVER)?;
    let (oldest, newest) = (time(&first)?, time(&ask("", "1", "desc", NEVER)?)?);
    let middle = oldest + oldest.duration_until(newest) / 2;
    let records = ask("trace_id: *", SAMPLES, "desc", &middle.to_string())?;
    let samples = Samples {
        words: words(),
        traces: distinct(&records, "trace_id"),
        pods: distinct(&records, "pod"),
        ids: distinct(&first, "_id"),
        rare: phrases(RARE_PHRASE),
        lock: phrases(LOCK_PHRASE),
    };
    Ok(Data {
        hour: (middle, middle + jiff::SignedDuration::from_hours(1)),
        all: (oldest, newest + jiff::SignedDuration::from_secs(1)),
        samples,
    })
}

/// The values of a field in the order in which they come, each once.
fn distinct(records: &[Value], field: &str) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    for value in records.iter().filter_map(|record| record[field].as_str()) {
        if !values.iter().any(|known| known == value) {
            values.push(value.to_owned());
        }
    }
    values
}

/// All questions; `unique` is whether records have the field that is another in each.
pub(crate) fn queries(server: &mut Server, unique: bool) -> Result<Vec<Query>> {
    let Data { hour, all, samples } = look(server)?;
    let samples = std::rc::Rc::new(samples);
    let over = |name, aim_ms, path, params: &[(&'static str, &'static str)], span| Query {
        name,
        aim_ms,
        path,
        params: params.to_vec(),
        span,
        samples: samples.clone(),
    };
    let mut queries = vec![over("the oldest record, by its _id", 5.0, "/api/v1/records/{id}", &[], None)];
    for (name, aim_ms, path, params) in TABLE {
        let span = if name.starts_with("one hour") { hour } else { all };
        queries.push(over(name, *aim_ms, path, params, Some(span)));
    }
    if unique {
        let params = [("query", ""), ("field", UNIQUE_FIELD)];
        queries.push(over(
            "top 10 of a field of another value in each",
            100.0,
            "/api/v1/values",
            &params,
            Some(all),
        ));
    }
    Ok(queries)
}

/// A name, the aim in CPU milliseconds, where it is asked, and with what.
type Row = (&'static str, f64, &'static str, &'static [(&'static str, &'static str)]);

const SEARCH: &str = "/api/v1/search";
const COUNT: &str = "/api/v1/count";
const HISTOGRAM: &str = "/api/v1/histogram";
const VALUES: &str = "/api/v1/values";
const EXPORT: &str = "/api/v1/export";
/// How many records a page has.
const PAGE: (&str, &str) = ("limit", "100");
const MINUTE: (&str, &str) = ("interval", "1m");

const TABLE: &[Row] = &[
    ("needle: one trace id", 0.5, SEARCH, &[("query", "trace_id: {trace}"), PAGE]),
    ("rare phrase, 20 hits", 1.0, SEARCH, &[("query", "message: \"{rare}\""), PAGE]),
    ("phrase, 500 hits, count", 5.0, COUNT, &[("query", "message: \"{lock}\"")]),
    ("common word, newest 100", 5.0, SEARCH, &[("query", "message: {word}"), PAGE]),
    ("substring count", 60.0, COUNT, &[("query", "message =~ \"{part}\"")]),
    ("regex count with a literal", 70.0, COUNT, &[("query", "message =~ \"took [0-9]+ms .*{part}\"")]),
    (
        "regex count without a literal",
        150.0,
        COUNT,
        &[("query", "message =~ \"[0-9]{4}\\.[0-9]{2}|[a-f]{6}-|[x-z]{{number}}\"")],
    ),
    ("errors per minute", 2.0, HISTOGRAM, &[("query", "level: error"), MINUTE]),
    ("everything per minute", 1.0, HISTOGRAM, &[("query", ""), MINUTE]),
    ("everything per minute by level", 5.0, HISTOGRAM, &[("query", ""), MINUTE, ("by", "level")]),
    ("top 10 services where a word occurs", 5.0, VALUES, &[("query", "message: {word}"), ("field", "app")]),
    ("top 10 of a field of many values", 100.0, VALUES, &[("query", ""), ("field", "trace_id")]),
    ("word and level, newest 100", 5.0, SEARCH, &[("query", "message: {word} and level: error"), PAGE]),
    ("one hour: errors, newest 100", 2.0, SEARCH, &[("query", "level: error"), PAGE]),
    ("newest 100 of a pod", 0.5, SEARCH, &[("query", "pod: {pod}"), PAGE]),
    ("newest 100 of everything", 1.0, SEARCH, &[("query", ""), PAGE]),
    ("export of warnings and errors", 120.0, EXPORT, &[("query", "level: (warn or error)")]),
    (
        "export without lines as written",
        120.0,
        EXPORT,
        &[("query", "level: (warn or error)"), ("original", "false")],
    ),
];
