//! What a setting is called, takes, defaults to and means: the source of the manual and of the JSON schema.
//!
//! Owns: the description and its two renderings.
//! Invariant: descriptions of nested settings are fetched when they are rendered, so settings may contain themselves.

mod markdown;
mod schema;

pub use markdown::markdown;
pub use schema::{json_schema, json_schema_value};

use crate::node::{Kind, Node};
use crate::setting::{yaml_key, yaml_text};

/// A struct of settings, as `settings!` describes it.
#[derive(Debug, Clone)]
pub struct Reference {
    /// The struct's name.
    pub name: &'static str,
    /// The struct's path, which no other has.
    pub id: &'static str,
    /// The doc comment.
    pub doc: String,
    /// The settings in the order they were written.
    pub entries: Vec<Entry>,
}

/// One setting.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: &'static str,
    /// What it takes.
    pub value: TypeInfo,
    /// The default as YAML in one line; `None` if the key is required.
    pub default: Option<String>,
    /// The smallest and largest value, if limited.
    pub range: Option<(String, String)>,
    /// The doc comment.
    pub doc: String,
}

/// What a setting takes.
#[derive(Debug, Clone)]
pub enum TypeInfo {
    /// A scalar.
    Plain {
        /// As users know it: `size`, `duration`, `text`.
        name: &'static str,
        /// The type in JSON.
        json: JsonType,
    },
    /// One of some names, each with its doc comment.
    Choice {
        /// The names.
        values: Vec<(&'static str, String)>,
    },
    /// A list, or a single value.
    List(Box<TypeInfo>),
    /// A map of freely chosen names.
    Map(Box<TypeInfo>),
    /// A value or nothing.
    Optional(Box<TypeInfo>),
    /// Nested settings.
    Settings {
        /// The struct's name.
        name: &'static str,
        /// Describes the struct.
        reference: fn() -> Reference,
    },
    /// A component: settings that depend on the key `type`.
    Kinds {
        /// What the component is: `input`.
        name: &'static str,
        /// Each kind and its settings.
        kinds: fn() -> Vec<KindInfo>,
    },
    /// Settings that all kinds of a component have, and the component's own beside them.
    With {
        /// Describes the common settings.
        common: fn() -> Reference,
        /// The component's own.
        own: Box<TypeInfo>,
    },
    /// Anything.
    Any,
}

/// A kind of component and its settings.
#[derive(Debug, Clone)]
pub struct KindInfo {
    /// The name after `type:`.
    pub kind: &'static str,
    /// Describes its settings.
    pub reference: fn() -> Reference,
}

/// A scalar type of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonType {
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// Text.
    String,
}

impl TypeInfo {
    /// The type as users know it, such as `list of path`.
    pub fn name(&self) -> String {
        match self {
            TypeInfo::Plain { name, .. } => (*name).to_owned(),
            TypeInfo::Choice { values } => {
                let names: Vec<String> = values.iter().map(|(name, _)| format!("`{name}`")).collect();
                names.join(", ")
            }
            TypeInfo::List(item) => format!("list of {}", item.name()),
            TypeInfo::Map(value) => format!("map of {}", value.name()),
            TypeInfo::Optional(value) => value.name(),
            TypeInfo::Settings { .. } => "settings".to_owned(),
            TypeInfo::Kinds { name, .. } => (*name).to_owned(),
            TypeInfo::With { own, .. } => own.name(),
            TypeInfo::Any => "anything".to_owned(),
        }
    }

    /// The type without "or nothing" around it.
    pub(crate) fn required(&self) -> &TypeInfo {
        match self {
            TypeInfo::Optional(value) => value.required(),
            other => other,
        }
    }
}

impl Reference {
    /// The default of all settings as YAML in one line, if none is required.
    pub(crate) fn default_text(&self) -> Option<String> {
        let entries: Option<Vec<String>> = self
            .entries
            .iter()
            .map(|entry| entry.default.as_ref().map(|default| format!("{}: {default}", entry.key)))
            .collect();
        entries.map(|entries| format!("{{{}}}", entries.join(", ")))
    }
}

/// A tree as YAML in one line.
pub(crate) fn yaml_flow(node: &Node) -> String {
    match &node.kind {
        _ if node.secret => "(hidden)".to_owned(),
        Kind::Null => "null".to_owned(),
        Kind::Text(text) => yaml_text(text),
        Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) => node.text().unwrap_or_default().to_owned(),
        Kind::List(items) => format!("[{}]", items.iter().map(yaml_flow).collect::<Vec<_>>().join(", ")),
        Kind::Map(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{}: {}", yaml_key(&key.text), yaml_flow(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}
