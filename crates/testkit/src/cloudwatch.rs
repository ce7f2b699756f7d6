//! A CloudWatch Logs for tests, written from the API reference alone.
//!
//! Owns: groups, streams and events, the rules by which a request is refused, as a whole or event by event.
//! Does not own: how a client is made to fail (`peer`), who signs (a signature must be there, and is not verified).
//! Invariant: a request that breaks a rule is refused, and remembered in [`Logs::broken`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value as Json, json};

use crate::peer::{Received, Reply};

const HOUR: i64 = 3600 * 1000;
const DAY: i64 = 24 * HOUR;

/// Bytes that are counted for an event beside its message.
const OVERHEAD_BYTES: usize = 26;

/// Limits of a request.
const BYTES_MAX: usize = 1_048_576;
const EVENTS_MAX: usize = 10_000;

/// An event: milliseconds since 1970, and the message.
pub type Event = (i64, String);

/// The service.
#[derive(Clone)]
pub struct Logs {
    state: Arc<Mutex<State>>,
    now: Arc<dyn Fn() -> i64 + Send + Sync>,
}

/// A log group.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The request that made it.
    pub made_by: Json,
    /// Days for which it keeps events.
    pub retention: Option<u64>,
    /// Events by stream, in the order in which they came.
    pub streams: BTreeMap<String, Vec<Event>>,
}

/// A request with events that was taken.
#[derive(Clone, Debug)]
pub struct Put {
    /// The stream.
    pub stream: String,
    /// Its events, refused ones too.
    pub events: usize,
    /// Their bytes as the service counts.
    pub bytes: usize,
}

#[derive(Default)]
struct State {
    groups: BTreeMap<String, Group>,
    asked: BTreeMap<String, usize>,
    puts: Vec<Put>,
    broken: Vec<String>,
    refuse: Option<(&'static str, u16, &'static str)>,
}

impl std::fmt::Debug for Logs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Logs")
    }
}

impl Logs {
    /// A service without groups, at a time in milliseconds since 1970.
    #[must_use]
    pub fn new(now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self { state: Arc::default(), now: Arc::new(now) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request.
    #[must_use]
    pub fn answer(&self, request: &Received) -> Reply {
        let mut state = self.state();
        match read(request) {
            Ok((action, body)) => {
                *state.asked.entry(action.clone()).or_default() += 1;
                match state.refuse.filter(|(refused, ..)| *refused == action) {
                    Some((_, status, kind)) => error(status, kind, "as the test says"),
                    None => state.act(&action, &body, (self.now)()),
                }
            }
            Err(why) => state.breaks(why),
        }
    }

    /// Refuses an action with this status and error from now on; or none any more.
    pub fn refuse(&self, refuse: Option<(&'static str, u16, &'static str)>) {
        self.state().refuse = refuse;
    }

    /// Makes a group, as an operator does.
    pub fn make_group(&self, name: &str) {
        self.state().groups.insert(name.to_owned(), Group::default());
    }

    /// How often an action was asked for.
    #[must_use]
    pub fn asked(&self, action: &str) -> usize {
        self.state().asked.get(action).copied().unwrap_or_default()
    }

    /// A group.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<Group> {
        self.state().groups.get(name).cloned()
    }

    /// The messages of a stream.
    #[must_use]
    pub fn messages(&self, group: &str, stream: &str) -> Vec<String> {
        let state = self.state();
        let events = state.groups.get(group).and_then(|group| group.streams.get(stream));
        events.into_iter().flatten().map(|(_, message)| message.clone()).collect()
    }

    /// The requests with events that were taken.
    #[must_use]
    pub fn puts(&self) -> Vec<Put> {
        self.state().puts.clone()
    }

    /// What was wrong with requests, as wholes.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        self.state().broken.clone()
    }
}

fn error(status: u16, kind: &str, message: &str) -> Reply {
    Reply::new(status, json!({ "__type": kind, "message": message }).to_string())
}

fn missing(what: &str) -> Reply {
    error(400, "ResourceNotFoundException", &format!("The specified log {what} does not exist."))
}

/// The action and the body of a request.
fn read(request: &Received) -> Result<(String, Json), String> {
    let action = request.header("x-amz-target").and_then(|target| target.strip_prefix("Logs_20140328."));
    let action = action.ok_or("no action")?;
    if request.header("content-type") != Some("application/x-amz-json-1.1") {
        return Err(format!("{action}: another media type"));
    }
    let signed = request.header("authorization").unwrap_or_default();
    if !signed.starts_with("AWS4-HMAC-SHA256 Credential=") || !signed.contains("/logs/aws4_request") {
        return Err(format!("{action}: signed as {signed}"));
    }
    let body = serde_json::from_slice(&request.plain_body()).map_err(|error| error.to_string())?;
    Ok((action.to_owned(), body))
}

fn is_name(text: &str, allowed: impl Fn(char) -> bool) -> bool {
    (1..=512).contains(&text.chars().count()) && text.chars().all(allowed)
}

impl State {
    fn breaks(&mut self, why: String) -> Reply {
        let reply = error(400, "InvalidParameterException", &why);
        self.broken.push(why);
        reply
    }

    fn act(&mut self, action: &str, body: &Json, now: i64) -> Reply {
        let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        let (group, stream) = (text("logGroupName"), text("logStreamName"));
        if !is_name(&group, |c| c.is_ascii_alphanumeric() || "._-/#".contains(c)) || group.starts_with("aws/")
        {
            return self.breaks(format!("{action}: a group named {group:?}"));
        }
        let has_stream = matches!(action, "CreateLogStream" | "PutLogEvents");
        if has_stream && !is_name(&stream, |c| !matches!(c, ':' | '*')) {
            return self.breaks(format!("{action}: a stream named {stream:?}"));
        }
        let known = self.groups.get_mut(&group);
        match (action, known) {
            ("CreateLogGroup", None) => {
                self.groups.insert(group, Group { made_by: body.clone(), ..Group::default() });
                Reply::new(200, "")
            }
            ("CreateLogGroup", Some(_)) => error(400, "ResourceAlreadyExistsException", ""),
            (_, None) => missing("group"),
            ("CreateLogStream", Some(group)) if group.streams.contains_key(&stream) => {
                error(400, "ResourceAlreadyExistsException", "")
            }
            ("CreateLogStream", Some(group)) => {
                group.streams.insert(stream, Vec::new());
                Reply::new(200, "")
            }
            ("PutRetentionPolicy", Some(group)) => {
                group.retention = body["retentionInDays"].as_u64();
                Reply::new(200, "")
            }
            ("PutLogEvents", Some(_)) => self.put(&group, &stream, &body["logEvents"], now),
            (other, _) => self.breaks(format!("{other}: no such action")),
        }
    }

    fn put(&mut self, group: &str, stream: &str, events: &Json, now: i64) -> Reply {
        let events: Option<Vec<Event>> = events.as_array().and_then(|events| {
            let event =
                |event: &Json| Some((event["timestamp"].as_i64()?, event["message"].as_str()?.to_owned()));
            events.iter().map(event).collect()
        });
        let Some(events) = events else { return self.breaks("events without time or message".to_owned()) };
        if let Some(why) = broken_rule(&events, now) {
            return self.breaks(why);
        }
        let Some(known) = self.groups.get_mut(group) else { return missing("group") };
        let kept = known.retention.map_or(i64::MIN, |days| now - days.cast_signed() * DAY);
        let Some(there) = known.streams.get_mut(stream) else { return missing("stream") };
        let too_old = events.iter().take_while(|(time, _)| *time < now - 14 * DAY).count();
        let expired = events.iter().take_while(|(time, _)| *time < kept).count();
        let too_new = events.iter().position(|(time, _)| *time > now + 2 * HOUR);
        let good = too_old.max(expired)..too_new.unwrap_or(events.len());
        there.extend_from_slice(events.get(good).unwrap_or_default());
        let bytes = events.iter().map(|(_, message)| message.len() + OVERHEAD_BYTES).sum();
        self.puts.push(Put { stream: stream.to_owned(), events: events.len(), bytes });
        let mut info = serde_json::Map::new();
        // The ends are exclusive, the start is inclusive.
        let ends = [("tooOldLogEventEndIndex", too_old), ("expiredLogEventEndIndex", expired)];
        info.extend(
            ends.into_iter().filter(|(_, end)| *end > 0).map(|(name, end)| (name.to_owned(), json!(end))),
        );
        info.extend(too_new.map(|start| ("tooNewLogEventStartIndex".to_owned(), json!(start))));
        let mut answer = json!({ "nextSequenceToken": "49".repeat(28) });
        if !info.is_empty() {
            answer["rejectedLogEventsInfo"] = info.into();
        }
        Reply::new(200, answer.to_string())
    }
}

/// The rule by which the service refuses a request as a whole, if there is one (`PutLogEvents`).
fn broken_rule(events: &[Event], now: i64) -> Option<String> {
    let bytes: usize = events.iter().map(|(_, message)| message.len() + OVERHEAD_BYTES).sum();
    if events.is_empty() || events.len() > EVENTS_MAX {
        return Some(format!("{} events", events.len()));
    }
    if bytes > BYTES_MAX {
        return Some(format!("{bytes} bytes"));
    }
    if events.iter().any(|(_, message)| message.is_empty()) {
        return Some("an event without a message".to_owned());
    }
    if let Some(pair) = events.windows(2).find(|pair| pair[0].0 > pair[1].0) {
        return Some(format!("{} before {}", pair[0].0, pair[1].0));
    }
    let timely = now - 14 * DAY..=now + 2 * HOUR;
    let times = events.iter().map(|(time, _)| *time).filter(|time| timely.contains(time));
    let (first, last) = (times.clone().min()?, times.max()?);
    (last - first > DAY).then(|| format!("a span of {} ms", last - first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_the_service_refuses() {
        let told = |events: &[(i64, &str)]| {
            let events: Vec<Event> = events.iter().map(|(time, text)| (*time, (*text).to_owned())).collect();
            broken_rule(&events, 0)
        };
        assert_eq!(told(&[(0, "a"), (DAY / 24, "b")]), None);
        assert_eq!(told(&[]).as_deref(), Some("0 events"));
        assert_eq!(told(&[(1, "a"), (0, "b")]).as_deref(), Some("1 before 0"));
        assert_eq!(told(&[(0, "")]).as_deref(), Some("an event without a message"));
        assert_eq!(told(&[(-DAY, "a"), (1, "b")]).as_deref(), Some("a span of 86400001 ms"));
        assert_eq!(told(&[(-15 * DAY, "too old, so it does not count"), (1, "b")]), None);
        assert_eq!(told(&[(0, &"x".repeat(BYTES_MAX - 26))]), None);
        assert_eq!(told(&[(0, &"x".repeat(BYTES_MAX - 25))]).as_deref(), Some("1048577 bytes"));
        assert_eq!(told(&[(0, "x"); 10_001]).as_deref(), Some("10001 events"));
    }
}
