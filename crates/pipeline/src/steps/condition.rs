//! A condition on a record as the value of a setting.
//!
//! Owns: reading KQL where a configuration has it, and showing where it is wrong.
//! Does not own: the language and its meaning (`query`).

use sawyer_config::{At, JsonType, Problems, Setting, TypeInfo, read_scalar, yaml_text};
use sawyer_model::RecordRef;
use sawyer_query::{Context, Predicate, QueryError, kql};

/// A condition in KQL, such as `level: debug and not namespace: shop`. It means what it means in a search. A time
/// relative to `now` has no place in it: a condition is read once and asked for as long as Sawyer runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    text: String,
    predicate: Predicate,
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// Where it is wrong, and what was expected there.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let predicate = kql::compile(text, &Context::default())?;
        Ok(Self { text: text.to_owned(), predicate })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it means.
    #[must_use]
    pub fn predicate(&self) -> &Predicate {
        &self.predicate
    }

    /// Whether it holds for a record.
    #[must_use]
    pub fn matches(&self, record: RecordRef<'_>) -> bool {
        self.predicate.matches(record)
    }
}

impl Setting for Condition {
    fn read(at: &At<'_>, problems: &mut Problems) -> Option<Self> {
        let text = read_scalar(at, problems, "a condition such as \"level: debug\"", |text| {
            (!text.trim().is_empty()).then(|| text.to_owned())
        })?;
        match Self::parse(&text) {
            Ok(condition) => Some(condition),
            Err(error) => {
                let drawn = error.caret(&text).replace('\n', "\n  ");
                problems.push(at, format!("{error}\n  {drawn}"));
                None
            }
        }
    }

    fn describe() -> TypeInfo {
        TypeInfo::Plain { name: "condition in KQL", json: JsonType::String }
    }

    fn default_text(&self) -> String {
        yaml_text(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use sawyer_config::Document;

    use super::*;

    fn check(text: &str) -> Result<Condition, String> {
        let document = Document::parse("sawyer.yaml", text).unwrap();
        let mut problems = Problems::new();
        let condition = Condition::read(&document.at().key("when"), &mut problems);
        problems.into_result(condition).map_err(|problems| problems.to_string())
    }

    #[test]
    fn shows_where_it_is_wrong() {
        insta::assert_snapshot!(check("when: 'level: error and (pod: a'").unwrap_err(), @r"
        sawyer.yaml:1:1: when: expected `and`, `or` or `)` after `a`, found the end of the query
          level: error and (pod: a
                                  ^
        ");
        insta::assert_snapshot!(check("when: '  '").unwrap_err(), @r#"sawyer.yaml:1:1: when: expected a condition such as "level: debug", found "  ""#);
        insta::assert_snapshot!(check("when: [a]").unwrap_err(), @r#"sawyer.yaml:1:1: when: expected a condition such as "level: debug", found a list"#);
    }

    #[test]
    fn reads_back_as_it_is_shown() {
        let condition = check("when: 'level: \"a b\" or pod: x*'").unwrap();
        assert_eq!(check(&format!("when: {}", condition.default_text())).unwrap(), condition);
    }
}
