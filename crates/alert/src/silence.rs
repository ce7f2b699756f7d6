//! Silences: alerts of which nobody wants to hear for a while.
//!
//! Owns: matchers and their form as text (that of Alertmanager), when a silence holds.
//! Does not own: what follows from it (`engine`).

use std::fmt;
use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};
use sawyer_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::state::{Labels, time};

/// Memory of one compiled regular expression in bytes.
const REGEX_BYTES_MAX: usize = 256 << 10;

/// Matchers of one silence.
const MATCHERS_MAX: usize = 20;

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// It has this value; a label that is not there has the empty value.
    #[serde(rename = "=")]
    Is,
    /// It has another value.
    #[serde(rename = "!=")]
    IsNot,
    /// The whole value matches.
    #[serde(rename = "=~")]
    Matches,
    /// It does not.
    #[serde(rename = "!~")]
    MatchesNot,
}

/// A condition on one label.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Matcher {
    /// The label.
    pub label: String,
    /// How it is compared.
    pub op: Op,
    /// With what.
    pub value: String,
    #[serde(skip)]
    regex: OnceLock<Option<Regex>>,
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.label, self.op, &self.value) == (&other.label, other.op, &other.value)
    }
}

/// A silence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// All of them have to hold.
    pub matchers: Vec<Matcher>,
    /// When it begins.
    #[serde(with = "time")]
    pub starts: Timestamp,
    /// When it ends.
    #[serde(with = "time")]
    pub ends: Timestamp,
    /// Why.
    pub comment: String,
    /// Who made it.
    pub author: String,
    /// When it was made.
    #[serde(with = "time")]
    pub created: Timestamp,
}

impl Matcher {
    /// Reads `label=value`, `label!=value`, `label=~regex`, `label!~regex`; the value may stand in quotes.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "expected a matcher such as `alertname=errors` or `namespace=~\"shop|cart\"`, found `{text}`"
            )
        };
        let at = text.find(['=', '!']).ok_or_else(wrong)?;
        let (label, rest) = text.split_at(at);
        let ops = [("=~", Op::Matches), ("!~", Op::MatchesNot), ("!=", Op::IsNot), ("=", Op::Is)];
        let (op, value) = ops
            .iter()
            .find_map(|(word, op)| rest.strip_prefix(word).map(|value| (*op, value)))
            .ok_or_else(wrong)?;
        let label = label.trim();
        if label.is_empty() {
            return Err(wrong());
        }
        let value = value.trim();
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        Self::new(label, op, value)
    }

    /// A matcher of these parts.
    ///
    /// # Errors
    /// If the regular expression is wrong.
    pub fn new(label: &str, op: Op, value: &str) -> Result<Self, String> {
        let regex = OnceLock::new();
        if matches!(op, Op::Matches | Op::MatchesNot) {
            let compiled = compile(value).map_err(|error| {
                let reason = error.to_string();
                let last = reason.lines().last().unwrap_or_default();
                format!("{label}: expected a regular expression: {}", last.trim_start_matches("error: "))
            })?;
            let _first = regex.set(Some(compiled));
        }
        Ok(Self { label: label.to_owned(), op, value: value.to_owned(), regex })
    }

    /// Whether it holds for these labels.
    #[must_use]
    pub fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.label).map_or("", String::as_str);
        // One that was read from a file was compiled before it was written there.
        let matches = || {
            self.regex
                .get_or_init(|| compile(&self.value).ok())
                .as_ref()
                .is_some_and(|regex| regex.is_match(value))
        };
        match self.op {
            Op::Is => value == self.value,
            Op::IsNot => value != self.value,
            Op::Matches => matches(),
            Op::MatchesNot => !matches(),
        }
    }
}

fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(REGEX_BYTES_MAX).build()
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = match self.op {
            Op::Is => "=",
            Op::IsNot => "!=",
            Op::Matches => "=~",
            Op::MatchesNot => "!~",
        };
        write!(f, "{}{op}{:?}", self.label, self.value)
    }
}

impl Silence {
    /// What is wrong with it, if anything is.
    ///
    /// # Errors
    /// All of it.
    pub fn check(&self) -> Result<(), String> {
        let mut wrong = Vec::new();
        if self.matchers.is_empty() || self.matchers.len() > MATCHERS_MAX {
            wrong.push(format!("matchers: expected 1 to {MATCHERS_MAX}, found {}", self.matchers.len()));
        }
        let matches_nothing = Labels::new();
        if !self.matchers.is_empty() && self.matchers.iter().all(|matcher| matcher.holds(&matches_nothing)) {
            wrong.push("matchers: they hold for every alert, also for those without such labels".to_owned());
        }
        if self.ends <= self.starts {
            wrong.push(format!("ends: expected a time after {}, found {}", self.starts, self.ends));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }

    /// Whether it holds for an alert now.
    #[must_use]
    pub fn holds(&self, labels: &Labels, now: Timestamp) -> bool {
        self.is_active(now) && self.matchers.iter().all(|matcher| matcher.holds(labels))
    }

    /// Whether it has begun and not ended.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.starts <= now && now < self.ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn matchers_mean_what_alertmanager_means() {
        let shop = labels(&[("alertname", "errors"), ("namespace", "shop")]);
        for (text, holds) in [
            ("alertname=errors", true),
            ("alertname=\"errors\"", true),
            ("alertname != errors", false),
            ("namespace=~sh.*", true),
            ("namespace=~sh", false),
            ("namespace!~\"cart|pay\"", true),
            ("pod=", true),
            ("pod!=x", true),
        ] {
            let matcher = Matcher::parse(text).unwrap();
            assert_eq!(matcher.holds(&shop), holds, "{text}");
            let again: Matcher = serde_json::from_str(&serde_json::to_string(&matcher).unwrap()).unwrap();
            assert_eq!(again.holds(&shop), holds, "{text}, read again");
            assert_eq!(Matcher::parse(&matcher.to_string()).unwrap(), matcher);
        }
        for wrong in ["", "errors", "=x", "a=~("] {
            assert!(Matcher::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_silence_of_everything_is_refused() {
        let time = |secs| Timestamp::from_secs(secs);
        let silence = |matcher: &str, starts, ends| Silence {
            matchers: vec![Matcher::parse(matcher).unwrap()],
            starts: time(starts),
            ends: time(ends),
            comment: String::new(),
            author: String::new(),
            created: time(0),
        };
        assert_eq!(silence("alertname=a", 1, 2).check(), Ok(()));
        let wrong = silence("alertname=~.*", 2, 2).check().unwrap_err();
        assert_eq!(wrong.lines().count(), 2, "{wrong}");
    }
}
