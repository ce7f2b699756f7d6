//! A regular expression as the value of a setting.

use regex::Regex;
use sawyer_config::{At, JsonType, Problems, Setting, TypeInfo, read_scalar, yaml_text};

/// A regular expression in the syntax of Rust's `regex` (RE2's, without back references).
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// To match with.
    #[must_use]
    pub fn regex(&self) -> &Regex {
        &self.0
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Setting for Pattern {
    fn read(at: &At<'_>, problems: &mut Problems) -> Option<Self> {
        let text = read_scalar(at, problems, "a regular expression", |text| {
            (!text.is_empty()).then(|| text.to_owned())
        })?;
        match Regex::new(&text) {
            Ok(regex) => Some(Self(regex)),
            Err(error) => {
                problems.push(at, error.to_string().replace('\n', "\n  "));
                None
            }
        }
    }

    fn describe() -> TypeInfo {
        TypeInfo::Plain { name: "regular expression", json: JsonType::String }
    }

    fn default_text(&self) -> String {
        yaml_text(self.0.as_str())
    }
}
