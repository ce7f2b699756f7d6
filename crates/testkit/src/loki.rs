//! A Loki for tests, written from Loki's `push.proto` and its documents alone.
//!
//! Owns: reading pushes, what Loki checks, what it answers. Does not own: how a client is made to fail (`peer`).
//! Invariant: it decodes with `prost`, and shares no code with what it tests.
//!
//! As Loki does, it stores what is right of a push and then answers 400 if something was wrong, and it drops an entry
//! with the same time and line as one that it has in the stream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prost::Message;

use crate::peer::{Received, Reply};

/// `PushRequest`
#[derive(Clone, PartialEq, Message)]
pub struct Push {
    /// The streams.
    #[prost(message, repeated, tag = "1")]
    pub streams: Vec<Stream>,
}

/// `StreamAdapter`
#[derive(Clone, PartialEq, Message)]
pub struct Stream {
    /// `{name="value", …}`
    #[prost(string, tag = "1")]
    pub labels: String,
    /// The entries.
    #[prost(message, repeated, tag = "2")]
    pub entries: Vec<Entry>,
}

/// `EntryAdapter`
#[derive(Clone, PartialEq, Message)]
pub struct Entry {
    /// The time.
    #[prost(message, optional, tag = "1")]
    pub time: Option<Time>,
    /// The line.
    #[prost(string, tag = "2")]
    pub line: String,
    /// Structured metadata.
    #[prost(message, repeated, tag = "3")]
    pub metadata: Vec<Pair>,
}

/// `google.protobuf.Timestamp`
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Time {
    /// Since 1970.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Beside them.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// `LabelPairAdapter`
#[derive(Clone, PartialEq, Message)]
pub struct Pair {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// An entry that was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Nanoseconds since 1970.
    pub nanos: i64,
    /// The line.
    pub line: String,
    /// Structured metadata.
    pub metadata: BTreeMap<String, String>,
}

/// What a tenant may push.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Entries from before this time are too old, in nanoseconds since 1970.
    pub oldest_nanos: i64,
    /// Bytes of the longest line.
    pub line_bytes_max: usize,
    /// Whether structured metadata are allowed.
    pub metadata: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { oldest_nanos: i64::MIN, line_bytes_max: 256 << 10, metadata: true }
    }
}

/// A Loki that remembers all.
#[derive(Clone, Debug, Default)]
pub struct Loki(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    rules: Rules,
    streams: BTreeMap<(String, String), Vec<Stored>>,
    seen: BTreeSet<(String, String, i64, String)>,
    repeated: usize,
}

impl Push {
    /// Reads the body of a push.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn decode_body(body: &[u8]) -> Self {
        let plain = snap::raw::Decoder::new().decompress_vec(body).expect("a block of snappy");
        Self::decode(&*plain).expect("a push as protobuf")
    }
}

impl Entry {
    /// Nanoseconds since 1970.
    #[must_use]
    pub fn nanos(&self) -> i64 {
        self.time.map_or(0, |time| time.seconds * 1_000_000_000 + i64::from(time.nanos))
    }
}

impl Loki {
    /// A Loki with other rules.
    #[must_use]
    pub fn with(rules: Rules) -> Self {
        let loki = Self::default();
        loki.lock().rules = rules;
        loki
    }

    /// Takes a push.
    ///
    /// # Panics
    /// If it has another form than Loki reads.
    #[must_use]
    pub fn answer(&self, request: &Received) -> Reply {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/loki/api/v1/push"));
        assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
        let tenant = request.header("x-scope-orgid").unwrap_or("fake").to_owned();
        let mut state = self.lock();
        let mut wrong = Vec::new();
        let push = Push::decode_body(&request.body);
        if !state.rules.metadata
            && let Some(stream) =
                push.streams.iter().find(|s| s.entries.iter().any(|e| !e.metadata.is_empty()))
        {
            let labels = &stream.labels;
            let text =
                format!("stream '{labels}' includes structured metadata, but this feature is disallowed.");
            return Reply::new(400, text);
        }
        for stream in push.streams {
            assert!(stream.labels.starts_with('{') && stream.labels.len() > 2, "{}", stream.labels);
            for entry in stream.entries {
                match state.rules.refusal(&stream.labels, &entry) {
                    Some(why) => wrong.push(why),
                    None => state.take(&tenant, &stream.labels, entry),
                }
            }
        }
        if wrong.is_empty() { Reply::new(204, "") } else { Reply::new(400, wrong.join("; ")) }
    }

    /// What is stored, by tenant and labels, in the order of arrival.
    #[must_use]
    pub fn streams(&self) -> BTreeMap<(String, String), Vec<Stored>> {
        self.lock().streams.clone()
    }

    /// All lines.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lock().streams.values().flatten().map(|stored| stored.line.clone()).collect()
    }

    /// How many entries came again and were dropped.
    #[must_use]
    pub fn repeated(&self) -> usize {
        self.lock().repeated
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rules {
    /// Why Loki does not take an entry, in its words.
    fn refusal(&self, labels: &str, entry: &Entry) -> Option<String> {
        let nanos = entry.nanos();
        if nanos < self.oldest_nanos {
            let oldest = rfc3339(self.oldest_nanos);
            return Some(format!(
                "entry for stream '{labels}' has timestamp too old: {}, oldest acceptable timestamp is: {oldest}",
                rfc3339(nanos)
            ));
        }
        let (most, bytes) = (self.line_bytes_max, entry.line.len());
        (bytes > most).then(|| {
            format!(
                "Max entry size '{most}' bytes exceeded for stream '{labels}' while adding an entry with length \
                 '{bytes}' bytes"
            )
        })
    }
}

impl State {
    fn take(&mut self, tenant: &str, labels: &str, entry: Entry) {
        let nanos = entry.nanos();
        if !self.seen.insert((tenant.to_owned(), labels.to_owned(), nanos, entry.line.clone())) {
            self.repeated += 1;
            return;
        }
        let metadata = entry.metadata.into_iter().map(|pair| (pair.name, pair.value)).collect();
        let stored = Stored { nanos, line: entry.line, metadata };
        self.streams.entry((tenant.to_owned(), labels.to_owned())).or_default().push(stored);
    }
}

/// To the second, as Loki writes times in refusals.
fn rfc3339(nanos: i64) -> String {
    let seconds = nanos.div_euclid(1_000_000_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Howard Hinnant: chrono-compatible low-level date algorithms, civil_from_days.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the client `winston-loki` 6 sent for one line, with its header cut off.
    const WINSTON: &str = "4df04c0a4b0a297b6c6576656c3d22696e666f222c6a6f623d2273686f70222c636f6e7461696e6572\
        3d22617070227d121e0a0c08bf8aaad8061080a3deb503120e68656c6c6f2022eab2b0eca09c22";

    #[test]
    fn reads_what_another_client_sends() {
        let body: Vec<u8> = (0..WINSTON.len() / 2)
            .map(|at| u8::from_str_radix(&WINSTON[at * 2..at * 2 + 2], 16).unwrap())
            .collect();
        let push = Push::decode_body(&body);
        assert_eq!(push.streams.len(), 1);
        assert_eq!(push.streams[0].labels, r#"{level="info",job="shop",container="app"}"#);
        let [entry] = &push.streams[0].entries[..] else { panic!("{push:?}") };
        assert_eq!(entry.line, "hello \"결제\"");
        assert_eq!(entry.nanos() / 1_000_000_000, 1_795_851_583);
    }

    #[test]
    fn times_are_written_as_loki_does() {
        assert_eq!(rfc3339(1_795_176_000_999_999_999), "2026-11-20T12:00:00Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59Z");
        assert_eq!(rfc3339(951_782_400_000_000_000), "2000-02-29T00:00:00Z");
    }
}
