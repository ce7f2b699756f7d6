//! What whoever wrote a pod says about how its logs are to be read.
//!
//! Owns: the values that the streams' fields `sawyer.parser` and `sawyer.multiline` may have, and the names that others
//! have for them.
//! Does not own: where they come from (annotations, `input`), what is done by them (`parse`, `multiline`).
//! Invariant: a value that is not known changes nothing.

use regex::{Regex, RegexBuilder};
use sawyer_codec::body::Format;
use sawyer_model::{Stream, names};

/// Memory that the pattern of a first line may take, in bytes: pods' authors are many, and a pattern may ask for a lot.
const PATTERN_BYTES_MAX: usize = 256 << 10;

/// How lines are to be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParserHint {
    /// As if nothing was said: each line's format is found out.
    Auto,
    /// Not at all.
    Off,
    /// By this format.
    Format(Format),
}

/// How lines are to be grouped.
#[derive(Clone, Debug)]
pub enum MultilineHint {
    /// By what is known of traces.
    Auto,
    /// Each line is a record.
    Off,
    /// A record begins with a line that this matches.
    FirstLine(Regex),
}

impl ParserHint {
    /// Reads the value of an annotation: our own names of formats, and those that Fluent Bit's parsers usually have.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let known = Format::ALL.into_iter().find(|format| format.name() == text);
        if let Some(format) = known {
            return Some(Self::Format(format));
        }
        Some(match text {
            "auto" | "cri" | "docker" => Self::Auto,
            "off" | "none" | "false" | "raw" => Self::Off,
            "apache" | "apache2" | "nginx" | "k8s-nginx-ingress" | "common" | "combined" => {
                Self::Format(Format::AccessLog)
            }
            "docker_json" | "json-log" => Self::Format(Format::Json),
            "glog" => Self::Format(Format::Klog),
            "text" => Self::Format(Format::Plain),
            _ => return None,
        })
    }

    /// The value by which a stream has it.
    #[must_use]
    pub fn value(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Off => "off",
            Self::Format(format) => format.name(),
        }
    }

    /// What a stream says.
    #[must_use]
    pub fn of(stream: &Stream) -> Option<Self> {
        Self::read(stream.get(names::HINT_PARSER)?.as_str()?)
    }
}

impl MultilineHint {
    /// Reads the value of an annotation: `off`, `auto`, a language whose traces are known, or the pattern of a first
    /// line. A plain word is no pattern but a misspelt name.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        match text {
            "off" | "none" | "false" => return Some(Self::Off),
            "auto" | "on" | "true" | "cri" | "docker" | "java" | "python" | "go" | "ruby" | "php"
            | "node" | "rust" | "dotnet" => return Some(Self::Auto),
            _ => {}
        }
        let plain = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ' | '.'));
        let pattern = (!plain).then(|| RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build().ok())?;
        pattern.map(Self::FirstLine)
    }

    /// The value by which a stream has it.
    #[must_use]
    pub fn value(&self) -> &str {
        match self {
            Self::Auto => "auto",
            Self::Off => "off",
            Self::FirstLine(pattern) => pattern.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_known_by_our_names_and_those_of_others() {
        let parser = |text| ParserHint::read(text).map(ParserHint::value);
        for (text, value) in
            [("json", "json"), ("nginx", "access_log"), ("docker", "auto"), ("off", "off"), ("klog", "klog")]
        {
            assert_eq!(parser(text), Some(value), "{text}");
            assert_eq!(parser(value), Some(value), "a value is read as itself");
        }
        assert_eq!((parser("jsonn"), parser("")), (None, None));
        let multiline = |text| MultilineHint::read(text).map(|hint| hint.value().to_owned());
        for (text, value) in [("java", "auto"), ("off", "off"), (r"^\d{4}-", r"^\d{4}-"), (r"^\[", r"^\[")] {
            assert_eq!(multiline(text).as_deref(), Some(value), "{text}");
        }
        for unknown in ["jav", "", "^(", "^a{1000}{1000}{1000}"] {
            assert_eq!(multiline(unknown), None, "{unknown}");
        }
    }
}
