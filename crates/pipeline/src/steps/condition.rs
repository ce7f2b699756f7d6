//! A condition on a record as the value of a setting.
//!
//! Owns: reading KQL where a configuration has it, and showing where it is wrong.
//! Does not own: the language and its meaning (`query`).

use sawyer_config::{At, JsonType, Problems, Setting, TypeInfo, read_scalar, yaml_text};
use sawyer_model::{Batch, RecordRef, ValueRef, names};
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

    /// Whether it holds for each of the records of a batch. One that asks for a single field is asked once for each
    /// of its texts.
    #[must_use]
    pub fn matches_each(&self, batch: &Batch) -> Vec<bool> {
        /// Texts that are remembered; a field with more of them, such as the message, is asked about again.
        const TEXTS_MAX: usize = 8;
        let name =
            only_name(&self.predicate).filter(|name| ![names::TIMESTAMP, names::OBSERVED].contains(name));
        let Some(name) = name.and_then(|name| batch.find_name(name)) else {
            return batch.iter().map(|record| self.matches(record)).collect();
        };
        let mut known: Vec<(&str, bool)> = Vec::new();
        let mut marks = Vec::with_capacity(batch.len());
        for record in batch.iter() {
            let text = record.get_by_id(name).and_then(ValueRef::as_str);
            let found = known.iter().find(|(known, _)| Some(*known) == text).map(|(_, found)| *found);
            let found = found.unwrap_or_else(|| self.matches(record));
            known.extend(text.filter(|_| known.len() < TEXTS_MAX).map(|text| (text, found)));
            marks.push(found);
        }
        marks
    }
}

/// The name of the one field that decides a predicate, if there is one.
fn only_name(predicate: &Predicate) -> Option<&str> {
    match predicate {
        Predicate::Field { field, .. } => match field.names()? {
            [name] => Some(name),
            _ => None,
        },
        Predicate::Not(part) => only_name(part),
        Predicate::And(parts) | Predicate::Or(parts) => {
            let name = only_name(parts.first()?)?;
            parts.iter().all(|part| only_name(part) == Some(name)).then_some(name)
        }
        _ => None,
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
    use std::sync::Arc;

    use sawyer_config::Document;
    use sawyer_model::{RecordHead, SeqRange, SourceId, Stream, Timestamp, Value};

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
    fn holds_for_each_record_as_for_it_alone() {
        let levels = ["info", "error", "fatal", "info", "a", "b", "c", "d", "e", "f", "g", "error", "g"];
        let mut batch = Batch::new();
        let stream = batch.add_stream(&Arc::new(Stream::new([("level", Value::from("fatal"))])));
        for at in 0..levels.len() as u64 + 2 {
            let range = SeqRange::new(at, at + 1);
            let (timestamp, observed) =
                (Timestamp::EPOCH, Timestamp::from_nanos(at as i64 * 86_400_000_000_000));
            let mut record =
                batch.begin(RecordHead { timestamp, observed, source: SourceId(1), range }, stream);
            match levels.get(at as usize) {
                Some(level) => record.field("level", ValueRef::Str(level)),
                None if at % 2 == 0 => record.field("level", ValueRef::Int(3)),
                None => {}
            }
            record.field("message", ValueRef::Str("error"));
            record.field("observed", ValueRef::Str("not the time that is asked for"));
        }
        let texts = [
            "level: (error or fatal)",
            "not level: info",
            "level: info or message: error",
            "level: *",
            "observed >= \"1970-01-05\"",
        ];
        for text in texts {
            let condition = check(&format!("when: '{text}'")).unwrap();
            let alone: Vec<bool> = batch.iter().map(|record| condition.matches(record)).collect();
            assert_eq!(condition.matches_each(&batch), alone, "{text}");
        }
    }

    #[test]
    fn reads_back_as_it_is_shown() {
        let condition = check("when: 'level: \"a b\" or pod: x*'").unwrap();
        assert_eq!(check(&format!("when: {}", condition.default_text())).unwrap(), condition);
    }
}
