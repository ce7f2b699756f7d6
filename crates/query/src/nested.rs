//! Conditions on one object of a list of objects.
//!
//! Owns: reading the JSON that is kept whole, object by object, as something that has fields.
//! Does not own: how objects became fields of the record in the first place (`codec`); the names are the same.
//! Invariant: within an object names are whole paths, so that a predicate means the same here and on a record.

use sawyer_model::{Value, ValueRef};
use serde_json::Value as Json;

use crate::field::FieldPattern;
use crate::predicate::{FieldSource, Predicate, says_something};

/// The fields of one object under their whole paths.
struct Object {
    fields: Vec<(String, Value)>,
}

/// Whether one of the objects under `path` satisfies the predicate.
pub(crate) fn matches(path: &FieldPattern, predicate: &Predicate, source: &dyn FieldSource) -> bool {
    if let Some(names) = path.names() {
        let lists = names.iter().filter_map(|name| Some((&**name, source.field(name)?)));
        let mut found = false;
        for (name, value) in lists.filter(|(_, value)| holds_objects(*value)) {
            found = true;
            if list_matches(name, value, predicate) {
                return true;
            }
        }
        return !found && has_parts(path, source) && predicate.matches_fields(source);
    }
    source.any(&mut |name, value| path.matches(name) && list_matches(name, value, predicate))
}

/// Whether the record has a single object of that name, which lies flattened in it.
fn has_parts(path: &FieldPattern, source: &dyn FieldSource) -> bool {
    source.any(&mut |name, value| {
        !path.matches(name) && path.matches_or_contains(name) && says_something(value)
    })
}

fn holds_objects(value: ValueRef<'_>) -> bool {
    match value {
        ValueRef::Json(_) => true,
        ValueRef::List(list) => list.iter().any(holds_objects),
        _ => false,
    }
}

fn list_matches(path: &str, value: ValueRef<'_>, predicate: &Predicate) -> bool {
    match value {
        ValueRef::Json(text) => {
            serde_json::from_str(text).is_ok_and(|json| json_matches(path, &json, predicate))
        }
        ValueRef::List(list) => list.iter().any(|element| list_matches(path, element, predicate)),
        _ => false,
    }
}

fn json_matches(path: &str, json: &Json, predicate: &Predicate) -> bool {
    match json {
        Json::Array(elements) => elements.iter().any(|element| json_matches(path, element, predicate)),
        Json::Object(_) => {
            let mut object = Object { fields: Vec::new() };
            object.add(path, json);
            predicate.matches_fields(&object)
        }
        _ => false,
    }
}

impl Object {
    fn add(&mut self, path: &str, json: &Json) {
        match json {
            Json::Object(members) => {
                for (name, value) in members {
                    self.add(&format!("{path}.{name}"), value);
                }
            }
            Json::Array(elements) if elements.iter().any(Json::is_object) => {
                self.fields.push((path.to_owned(), Value::Json(json.to_string().into())));
                for element in elements {
                    self.add(path, element);
                }
            }
            Json::Array(elements) => elements.iter().for_each(|element| self.add(path, element)),
            Json::Null => self.push(path, Value::Null),
            Json::Bool(value) => self.push(path, Value::Bool(*value)),
            Json::String(text) => self.push(path, Value::Str(text.as_str().into())),
            Json::Number(number) => {
                let value = number.as_i64().map(Value::Int);
                self.push(path, value.unwrap_or_else(|| Value::Float(number.as_f64().unwrap_or(f64::NAN))));
            }
        }
    }

    /// Several values of one name stand side by side; asking for the name asks for all of them.
    fn push(&mut self, path: &str, value: Value) {
        let known =
            self.fields.iter_mut().find(|(name, known)| name == path && !matches!(known, Value::Json(_)));
        match known {
            None => self.fields.push((path.to_owned(), value)),
            Some((_, Value::List(values))) => values.push(value),
            Some((_, single)) => {
                let before = std::mem::replace(single, Value::Null);
                *single = Value::List(vec![before, value]);
            }
        }
    }
}

impl FieldSource for Object {
    fn field(&self, name: &str) -> Option<ValueRef<'_>> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_ref())
    }

    fn any(&self, test: &mut dyn FnMut(&str, ValueRef<'_>) -> bool) -> bool {
        self.fields.iter().any(|(name, value)| test(name, value.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, kql};

    #[test]
    fn numbers_in_objects_are_read_exactly() {
        let list = ValueRef::Json(r#"[{"price": 13.114189588902203}, {"price": 9007199254740993}]"#);
        for (query, found) in [
            ("items: { price: 13.114189588902203 }", true),
            ("items: { price > 13.114189588902203 and price < 14 }", false),
            ("items: { price: 9007199254740993 }", true),
            ("items: { price: 9007199254740992 }", false),
        ] {
            let Ok(Predicate::Nested { predicate, .. }) = kql::compile(query, &Context::default()) else {
                panic!("{query}");
            };
            assert_eq!(list_matches("items", list, &predicate), found, "{query}");
        }
    }
}
