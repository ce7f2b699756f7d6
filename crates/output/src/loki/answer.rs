//! What Loki says about a request that it refused.
//!
//! A refusal (400) is about some entries; the others were stored. It names no entry, but its text tells the limits that
//! entries were beyond, and for which stream. What it says is taken as a hint: entries beyond a limit are rejected, and
//! the others are sent again, which is no harm, because Loki drops an entry that it has. So a limit that was
//! misread never costs an entry that was not asked about.
//!
//! Invariant: what an operator can set right (a limit of the tenant, metadata that are switched off) rejects nothing.

use std::collections::HashMap;

use sawyer_model::Timestamp;

const OLDEST: &str = "oldest acceptable timestamp is: ";
const NEWER: &str = "has timestamp too new: ";
const LONGEST: &str = "ax entry size ";
const STREAM_BEFORE: &str = "for stream '";
const STREAM_BEHIND: &str = "for stream: ";
const ENTRY: &str = "entry with timestamp ";

/// Texts about the tenant's settings, or ours, and not about an entry.
const SETTINGS: [(&str, &str); 5] = [
    (
        "feature is disallowed",
        "set `structured_metadata: []`, or allow it in Loki (`allow_structured_metadata`)",
    ),
    ("label names; limit", "set fewer `labels`, or raise Loki's `max_label_names_per_series`"),
    ("missing required labels", "add the labels that Loki requires (`enforced_labels`)"),
    ("at least one label pair is required", "set `labels`"),
    ("ingestion blocked", "Loki blocks this tenant"),
];

/// What an operator has to do about a refusal, if it is not about entries.
pub(super) fn settings(text: &str) -> Option<&'static str> {
    SETTINGS.iter().find(|(said, _)| text.contains(said)).map(|(_, advice)| *advice)
}

/// A refusal without the labels that it quotes, `{name="value", …}`, whose values may say anything.
pub(super) fn without_streams(text: &str) -> String {
    let mut rest = String::with_capacity(text.len());
    let (mut inside, mut quoted, mut escaped) = (false, false, false);
    for c in text.chars() {
        match c {
            '{' if !inside => inside = true,
            _ if !inside => rest.push(c),
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '}' if !quoted => inside = false,
            _ => {}
        }
    }
    rest
}

/// Limits that a refusal tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Limits<'a> {
    /// By stream, in the form of its labels.
    oldest: HashMap<&'a str, Timestamp>,
    newest: HashMap<&'a str, Timestamp>,
    line_bytes_max: Option<usize>,
}

impl<'a> Limits<'a> {
    /// The limit of lines that is known without asking.
    pub(super) fn of_lines(bytes_max: usize) -> Self {
        Self { line_bytes_max: Some(bytes_max), ..Self::default() }
    }

    /// Reads a refusal.
    pub(super) fn read(text: &'a str) -> Self {
        let mut limits = Self::default();
        for (at, _) in text.match_indices(OLDEST) {
            let time = time_at(&text[at + OLDEST.len()..]);
            if let Some((stream, time)) = stream_of(text, at).zip(time) {
                let oldest = limits.oldest.entry(stream).or_insert(time);
                *oldest = time.max(*oldest);
            }
        }
        for (at, _) in text.match_indices(NEWER) {
            let time = time_at(&text[at + NEWER.len()..]);
            if let Some((stream, time)) = stream_before(text, at).zip(time) {
                let newest = limits.newest.entry(stream).or_insert(time);
                *newest = time.min(*newest);
            }
        }
        for (at, _) in text.match_indices(LONGEST) {
            let digits = text[at + LONGEST.len()..].trim_start_matches('\'');
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            limits.line_bytes_max = digits[..end].parse().ok().or(limits.line_bytes_max);
        }
        limits
    }

    /// Why an entry is beyond a limit, if it is.
    pub(super) fn beyond(&self, labels: &str, time: Timestamp, line_bytes: usize) -> Option<String> {
        if let Some(oldest) = self.oldest.get(labels).filter(|oldest| time < **oldest) {
            return Some(format!("too old: Loki takes nothing from before {oldest} in this stream"));
        }
        if self.newest.get(labels).is_some_and(|newest| time >= *newest) {
            return Some("too new: Loki does not take times so far in the future".to_owned());
        }
        let most = self.line_bytes_max.filter(|most| line_bytes > *most)?;
        Some(format!("too long: a line of {line_bytes} bytes, and Loki takes {most}"))
    }
}

/// The stream that a limit is about: named before it in one kind of refusal, behind it in the other.
fn stream_of(text: &str, at: usize) -> Option<&str> {
    if text[..at].rfind(STREAM_BEFORE) > text[..at].rfind(ENTRY) {
        return stream_before(text, at);
    }
    let behind = &text[at..];
    let behind = &behind[behind.find(STREAM_BEHIND)? + STREAM_BEHIND.len()..];
    Some(behind[..behind.find('\n').unwrap_or(behind.len())].trim_end_matches([' ', ',', '\r']))
}

fn stream_before(text: &str, at: usize) -> Option<&str> {
    let start = text[..at].rfind(STREAM_BEFORE)? + STREAM_BEFORE.len();
    Some(
        text[start..at]
            .rsplit_once("' ")
            .map_or(text[start..at].trim_end_matches("' "), |(stream, _)| stream),
    )
}

fn time_at(text: &str) -> Option<Timestamp> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || "-:.TZ+".contains(c))).unwrap_or(text.len());
    Timestamp::parse(text[..end].trim_end_matches('.')).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn too_old_for_the_tenant() {
        let text = "3 errors like: entry for stream '{app=\"it's\", job=\"a\"}' has timestamp too old: \
            2026-11-10T00:00:00Z, oldest acceptable timestamp is: 2026-11-13T12:00:00Z; 1 errors like: entry for \
            stream '{job=\"b\"}' has timestamp too old: 2026-11-01T00:00:00Z, oldest acceptable timestamp is: \
            2026-11-13T12:00:01Z";
        let limits = Limits::read(text);
        let old = time("2026-11-13T11:59:59.9Z");
        let why = limits.beyond("{app=\"it's\", job=\"a\"}", old, 1).unwrap();
        assert_eq!(why, "too old: Loki takes nothing from before 2026-11-13T12:00:00Z in this stream");
        assert!(limits.beyond("{job=\"b\"}", old, 1).is_some());
        assert_eq!(limits.beyond("{app=\"it's\", job=\"a\"}", time("2026-11-13T12:00:00Z"), 1), None);
        assert_eq!(limits.beyond("{job=\"c\"}", old, 1), None, "nothing was said about this stream");
    }

    #[test]
    fn too_far_behind_in_its_stream() {
        let text = "entry with timestamp 2026-10-07 01:35:32.405 +0000 UTC ignored, reason: 'entry too far behind, \
            entry timestamp is: 2026-10-07T01:35:32Z, oldest acceptable timestamp is: 2026-10-07T03:23:59Z',\n\
            user 'shop', total ignored: 1 out of 3 for stream: {job=\"a\"}\nentry with timestamp 2026-10-07 \
            01:00:00 +0000 UTC ignored, reason: 'entry too far behind, oldest acceptable timestamp is: \
            2026-10-07T02:00:00Z',\nuser 'shop', total ignored: 1 out of 1 for stream: {job=\"b\"}";
        let limits = Limits::read(text);
        assert!(limits.beyond("{job=\"a\"}", time("2026-10-07T03:00:00Z"), 1).is_some());
        assert_eq!(limits.beyond("{job=\"b\"}", time("2026-10-07T03:00:00Z"), 1), None);
        assert!(limits.beyond("{job=\"b\"}", time("2026-10-07T01:59:00Z"), 1).is_some());
    }

    #[test]
    fn too_new_and_too_long() {
        let text = "entry for stream '{job=\"a\"}' has timestamp too new: 2036-10-07T01:35:32Z; Max entry size \
            '262144' bytes exceeded for stream '{job=\"a\"}' while adding an entry with length '300000' bytes";
        let limits = Limits::read(text);
        assert!(limits.beyond("{job=\"a\"}", time("2036-10-07T01:35:32.5Z"), 1).is_some());
        assert_eq!(limits.beyond("{job=\"a\"}", time("2026-10-07T01:35:32Z"), 262_144), None);
        let why = limits.beyond("{job=\"b\"}", time("2026-10-07T01:35:32Z"), 262_145).unwrap();
        assert_eq!(why, "too long: a line of 262145 bytes, and Loki takes 262144");
    }

    #[test]
    fn what_is_not_about_entries_is_told_apart() {
        let text = "stream '{job=\"a\"}' includes structured metadata, but this feature is disallowed. Please see \
            `limits_config.allow_structured_metadata`";
        assert!(settings(text).unwrap().contains("structured_metadata: []"));
        for other in ["", "entry too far behind", "error parsing labels", OLDEST, LONGEST, NEWER] {
            assert_eq!(settings(other), None);
            assert_eq!(Limits::read(other), Limits::default());
        }
    }
}
