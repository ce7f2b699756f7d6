//! A query as the value of a setting.
//!
//! Owns: reading KQL where a rule has it, showing where it is wrong, and what it means at a moment.
//! Does not own: the language and its meaning (`query`).

use sawyer_config::{At, JsonType, Problems, Setting, TypeInfo, read_scalar, yaml_text};
use sawyer_model::{Error, ErrorKind, Timestamp};
use sawyer_query::{Context, Predicate, kql};

/// A query in KQL that was read without an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kql(String);

impl Kql {
    /// Reads a query; the error is a message with the place drawn below it.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        match kql::compile(text, &Context::default()) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => Err(format!("{error}\n  {}", error.caret(text).replace('\n', "\n  "))),
        }
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What it means at this moment: `now` in it is `now`.
    ///
    /// # Errors
    /// `Bug`: it was read before.
    pub fn at(&self, now: Timestamp) -> Result<Predicate, Error> {
        let context = Context { now, ..Context::default() };
        kql::compile(&self.0, &context)
            .map_err(|error| Error::new(ErrorKind::Bug, "read the rule's query again").because(error))
    }
}

impl Setting for Kql {
    fn read(at: &At<'_>, problems: &mut Problems) -> Option<Self> {
        let text = read_scalar(at, problems, "a query such as \"level: error\"", |text| {
            (!text.trim().is_empty()).then(|| text.to_owned())
        })?;
        Self::parse(&text).map_err(|message| problems.push(at, message)).ok()
    }

    fn describe() -> TypeInfo {
        TypeInfo::Plain { name: "query in KQL", json: JsonType::String }
    }

    fn default_text(&self) -> String {
        yaml_text(&self.0)
    }
}

/// Two conditions of which both must hold, as one text.
pub(crate) fn both(a: &str, b: &str) -> String {
    let wrapped = |text: &str| {
        let lower = text.to_lowercase();
        let simple = !lower.contains(" or ") && !lower.contains(" and ");
        if simple { text.to_owned() } else { format!("({text})") }
    };
    match (a.trim(), b.trim()) {
        ("", b) => b.to_owned(),
        (a, "") => a.to_owned(),
        (a, b) => format!("{} and {}", wrapped(a), wrapped(b)),
    }
}
