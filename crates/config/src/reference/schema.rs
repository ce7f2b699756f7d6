//! A JSON schema (draft 2020-12) of settings, for editors.
//!
//! Invariant: the schema never refuses what the reader accepts. Text is allowed wherever a variable may stand.

use serde_json::{Map, Value, json};

use super::{JsonType, KindInfo, Reference, TypeInfo};
use crate::components::TYPE;
use crate::document::Document;
use crate::node::{Kind, Node};

/// The schema as indented text that ends with a line break.
pub fn json_schema(reference: &Reference) -> String {
    format!("{:#}\n", json_schema_value(reference))
}

/// The schema as a value. Nested settings are under `$defs`.
pub fn json_schema_value(reference: &Reference) -> Value {
    let mut schema = Schema { definitions: Map::new() };
    let mut root = schema.settings(reference);
    root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    root.insert("title".to_owned(), json!(reference.name));
    root.insert("$defs".to_owned(), Value::Object(schema.definitions));
    Value::Object(root)
}

struct Schema {
    definitions: Map<String, Value>,
}

impl Schema {
    fn settings(&mut self, reference: &Reference) -> Map<String, Value> {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for entry in &reference.entries {
            let mut property = self.value(&entry.value);
            property.insert("description".to_owned(), json!(entry.doc));
            match &entry.default {
                None => required.push(entry.key),
                Some(default) => drop(property.insert("default".to_owned(), json_of(default))),
            }
            properties.insert(entry.key.to_owned(), Value::Object(property));
        }
        let mut schema = object(json!({
            "type": "object",
            "description": reference.doc,
            "properties": properties,
            "additionalProperties": false,
        }));
        if !required.is_empty() {
            schema.insert("required".to_owned(), json!(required));
        }
        schema
    }

    fn value(&mut self, value: &TypeInfo) -> Map<String, Value> {
        object(match value {
            TypeInfo::Plain { json: JsonType::Boolean, .. } => json!({ "type": ["boolean", "string"] }),
            TypeInfo::Plain { json: JsonType::Integer, .. } => json!({ "type": ["integer", "string"] }),
            TypeInfo::Plain { json: JsonType::Number, .. } => json!({ "type": ["number", "string"] }),
            TypeInfo::Plain { json: JsonType::String, .. } => {
                json!({ "type": ["string", "number", "boolean"] })
            }
            TypeInfo::Choice { values } => {
                let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
                json!({ "anyOf": [{ "enum": names }, { "type": "string", "pattern": r"\$\{" }] })
            }
            TypeInfo::List(item) => {
                let item = self.value(item);
                json!({ "anyOf": [{ "type": "array", "items": item }, item] })
            }
            TypeInfo::Map(value) => {
                json!({ "type": ["object", "null"], "additionalProperties": self.value(value) })
            }
            TypeInfo::Optional(value) => json!({ "anyOf": [self.value(value), { "type": "null" }] }),
            TypeInfo::Settings { reference, .. } => {
                json!({ "anyOf": [self.defined(&reference()), { "type": "null" }] })
            }
            TypeInfo::Kinds { kinds, .. } => self.kinds(&kinds()),
            TypeInfo::Any => json!({}),
        })
    }

    /// A component: whichever kind's settings, with `type` allowed among them.
    fn kinds(&mut self, kinds: &[KindInfo]) -> Value {
        let variants: Vec<Value> = kinds
            .iter()
            .map(|KindInfo { kind, reference }| {
                let mut settings = self.settings(&reference());
                if let Some(Value::Object(properties)) = settings.get_mut("properties") {
                    properties.insert(TYPE.to_owned(), json!({ "const": kind }));
                }
                Value::Object(settings)
            })
            .collect();
        json!({ "anyOf": variants })
    }

    /// A reference to nested settings, defined once.
    fn defined(&mut self, reference: &Reference) -> Value {
        if !self.definitions.contains_key(reference.id) {
            // Entered before its content is known, since it may contain itself.
            self.definitions.insert(reference.id.to_owned(), Value::Null);
            let settings = self.settings(reference);
            self.definitions.insert(reference.id.to_owned(), Value::Object(settings));
        }
        json!({ "$ref": format!("#/$defs/{}", reference.id) })
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A default, written as YAML in one line, as JSON.
fn json_of(default: &str) -> Value {
    match Document::parse("default", &format!("value: {}", default.replace("${", "$${"))) {
        Ok(document) => document.root().get("value").map_or(Value::Null, node_json),
        Err(_) => json!(default),
    }
}

fn node_json(node: &Node) -> Value {
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::Bool(value) => json!(value),
        Kind::Int(value) => json!(value),
        Kind::Float(value) => json!(value),
        Kind::Text(text) => json!(text),
        Kind::List(items) => items.iter().map(node_json).collect(),
        Kind::Map(entries) => {
            entries.iter().map(|(key, value)| (key.text.clone(), node_json(value))).collect()
        }
    }
}
