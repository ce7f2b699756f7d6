//! Text that must not be printed.

use std::fmt;

use crate::at::At;
use crate::problem::Problems;
use crate::reference::{JsonType, TypeInfo};
use crate::setting::{Setting, read_scalar};

/// A password, token or key. Its debug form and its default in the manual hide it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Setting for Secret {
    fn read(at: &At<'_>, problems: &mut Problems) -> Option<Secret> {
        read_scalar(at, problems, "text", |text| Some(Secret::new(text)))
    }

    fn describe() -> TypeInfo {
        TypeInfo::Plain { name: "secret text", json: JsonType::String }
    }

    fn default_text(&self) -> String {
        if self.0.is_empty() { "\"\"".to_owned() } else { "(hidden)".to_owned() }
    }
}
