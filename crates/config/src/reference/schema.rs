//! A JSON schema (draft 2020-12) of settings, for editors.
//!
//! Invariant: the schema never refuses what the reader accepts. Text is allowed wherever a variable may stand.

use serde_json::{Map, Value, json};

use super::{JsonType, KindInfo, Reference, TypeInfo};
use crate::components::TYPE;
use crate::document::Document;
use crate::include::{EXTENSION_PREFIX, INCLUDE};
use crate::node::{Kind, Node};
use crate::setting::Setting;

/// The schema as indented text that ends with a line break.
pub fn json_schema(reference: &Reference) -> String {
    format!("{:#}\n", json_schema_value(reference))
}

/// The schema of a whole file as a value, `include` and `x-` keys allowed. Nested settings are under `$defs`.
pub fn json_schema_value(reference: &Reference) -> Value {
    let mut schema = Schema { definitions: Map::new() };
    let mut root = schema.settings(reference);
    if let Some(Value::Object(properties)) = root.get_mut("properties") {
        let include = schema.value(&Vec::<String>::describe());
        properties.insert(INCLUDE.to_owned(), Value::Object(include));
    }
    root.insert("patternProperties".to_owned(), json!({ format!("^{EXTENSION_PREFIX}"): {} }));
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
                let reference = reference();
                let nested = self.defined(reference.id.to_owned(), |schema| schema.settings(&reference));
                json!({ "anyOf": [nested, { "type": "null" }] })
            }
            TypeInfo::Kinds { kinds, .. } => self.kinds(&kinds(), None),
            TypeInfo::With { common, own } => match own.as_ref() {
                TypeInfo::Kinds { kinds, .. } => self.kinds(&kinds(), Some(&common())),
                own => json!({ "allOf": [open(self.settings(&common())), open(self.value(own))] }),
            },
            TypeInfo::Any => json!({}),
        })
    }

    /// A component: whichever kind's settings, with `type` and the common settings allowed among them.
    fn kinds(&mut self, kinds: &[KindInfo], common: Option<&Reference>) -> Value {
        let mut variants: Vec<Value> = kinds.iter().map(|kind| self.kind(kind, common)).collect();
        // A component without any setting, named after its kind.
        variants.push(json!({ "type": "null" }));
        json!({ "anyOf": variants })
    }

    fn kind(&mut self, kind: &KindInfo, common: Option<&Reference>) -> Value {
        let mut reference = (kind.reference)();
        let id = format!("{}({},{})", reference.id, common.map_or("", |common| common.id), kind.kind);
        reference.entries.extend(common.iter().flat_map(|common| common.entries.iter().cloned()));
        self.defined(id, |schema| {
            let mut settings = schema.settings(&reference);
            if let Some(Value::Object(properties)) = settings.get_mut("properties") {
                properties.insert(TYPE.to_owned(), json!({ "const": kind.kind }));
            }
            settings
        })
    }

    /// A reference to settings that are defined once.
    fn defined(&mut self, id: String, define: impl FnOnce(&mut Schema) -> Map<String, Value>) -> Value {
        let reference = json!({ "$ref": format!("#/$defs/{id}") });
        if !self.definitions.contains_key(&id) {
            // Entered before its content is known, since it may contain itself.
            self.definitions.insert(id.clone(), Value::Null);
            let settings = define(self);
            self.definitions.insert(id, Value::Object(settings));
        }
        reference
    }
}

/// A schema that lets other keys be.
fn open(mut schema: Map<String, Value>) -> Map<String, Value> {
    schema.remove("additionalProperties");
    schema
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A default, written as YAML in one line, as JSON.
fn json_of(default: &str) -> Value {
    match Document::parse("default", &format!("value: {default}")) {
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
