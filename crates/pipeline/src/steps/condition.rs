//! A condition on a record as the value of a setting.
//!
//! Owns: reading KQL where a configuration has it, and showing where it is wrong.
//! Does not own: the language and its meaning (`query`).

use sawyer_config::{At, JsonType, Problems, Setting, TypeInfo, read_scalar, yaml_text};
use sawyer_model::{Batch, NameId, RecordRef, ValueRef, names};
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
        let name =
            only_name(&self.predicate).filter(|name| ![names::TIMESTAMP, names::OBSERVED].contains(name));
        let Some(name) = name.and_then(|name| batch.find_name(name)) else {
            return batch.iter().map(|record| self.matches(record)).collect();
        };
        let mut known = Known::default();
        // Without a field of its own a record is what its stream is.
        let mut of_streams: Vec<Option<bool>> = vec![None; batch.streams().len()];
        let mut place = 0;
        let matches = |record| match own_value(record, name, &mut place) {
            Some(ValueRef::Str(text)) => known.of(text, || self.matches(record)),
            Some(_) => self.matches(record),
            None => *of_streams[record.stream_index()].get_or_insert_with(|| self.matches(record)),
        };
        batch.iter().map(matches).collect()
    }
}

/// The value of a record's own field. Records that were written alike have it at the same place.
#[inline]
fn own_value<'a>(record: RecordRef<'a>, name: NameId, place: &mut usize) -> Option<ValueRef<'a>> {
    let mut fields = record.own_places();
    if fields.clone().nth(*place).is_none_or(|(id, _)| id != name) {
        *place = fields.position(|(id, _)| id == name)?;
    }
    record.own_fields_by_id().nth(*place).map(|(_, value)| value)
}

/// Texts whose answer is known.
#[derive(Default)]
struct Known<'a>(Vec<(u64, &'a str, bool)>);

/// Texts that are remembered; a field with more of them, such as the message, is asked about again.
const TEXTS_MAX: usize = 8;

impl<'a> Known<'a> {
    #[inline]
    fn of(&mut self, text: &'a str, ask: impl FnOnce() -> bool) -> bool {
        let ends = ends_of(text.as_bytes());
        let is_it = |known: &&(u64, &str, bool)| {
            known.0 == ends && known.1.len() == text.len() && (text.len() <= 8 || known.1 == text)
        };
        if let Some((.., found)) = self.0.iter().find(is_it) {
            return *found;
        }
        let found = ask();
        if self.0.len() < TEXTS_MAX {
            self.0.push((ends, text, found));
        }
        found
    }
}

/// The first and the last four bytes; of a text of at most eight, all of it.
#[inline]
fn ends_of(text: &[u8]) -> u64 {
    match (text.first_chunk(), text.last_chunk()) {
        (Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
        }
        _ => text.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
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
        let levels = [
            "info",
            "error",
            "fatal",
            "info",
            "a",
            "b",
            "c",
            "d",
            "e",
            "f",
            "g",
            "error",
            "g",
            "erro",
            "errorror",
            "error of error",
        ];
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
