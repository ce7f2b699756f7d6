//! YAML as a tree that remembers where everything was written.
//!
//! Owns: the tree and how its values are named in messages.
//! Does not own: parsing (`parse`), meaning (`setting`).
//! Invariant: two nodes are equal when they say the same, wherever they were written.

use std::fmt;
use std::sync::LazyLock;

use crate::place::Place;

/// Characters of a wrong value quoted in a message; the rest is cut so that a message stays one line.
const QUOTED_CHARS_MAX: usize = 60;

/// A value and its place.
#[derive(Clone)]
pub struct Node {
    /// Where the value starts.
    pub place: Place,
    /// The value.
    pub kind: Kind,
    /// A scalar that is not text, as it was written: `1.10` stays `1.10` where text is wanted.
    pub(crate) written: Option<Box<str>>,
    /// Whether the value came from a secret file, so that no message may show it.
    pub(crate) secret: bool,
}

/// What a value is, by the YAML 1.2 core schema.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Nothing: `~`, `null` or an empty value.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order it was written. Keys are unique.
    Map(Vec<(Key, Node)>),
}

/// A key of a map and its place.
#[derive(Clone)]
pub struct Key {
    /// The key's text.
    pub text: String,
    /// Where it was written.
    pub place: Place,
}

impl Node {
    /// A value at a place.
    pub fn new(place: Place, kind: Kind) -> Node {
        Node { place, kind, written: None, secret: false }
    }

    /// What stands for a value that is not there.
    pub(crate) fn absent() -> &'static Node {
        static ABSENT: LazyLock<Node> = LazyLock::new(|| Node::new(Place::whole(""), Kind::Null));
        &ABSENT
    }

    /// A scalar as it was written; `None` for nothing, lists and maps.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) => self.written.as_deref(),
            Kind::Null | Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// Whether there is no value.
    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    /// The value of a key, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, node)| node)
    }

    /// The key and value of a key, if this is a map that has it.
    pub(crate) fn entry(&self, key: &str) -> Option<&(Key, Node)> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|(found, _)| found.text == key),
            _ => None,
        }
    }

    /// How a message names this value after "found".
    pub fn found(&self) -> String {
        match &self.kind {
            _ if self.secret => "a value from a secret file".to_owned(),
            Kind::Null => "nothing".to_owned(),
            Kind::Text(text) => quote(text),
            Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) => self.text().unwrap_or_default().to_owned(),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a map".to_owned(),
        }
    }
}

/// Text in double quotes, cut after [`QUOTED_CHARS_MAX`] characters.
pub(crate) fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?} …", &text[..end]),
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        self.kind == other.kind && self.text() == other.text()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.secret { f.write_str("(hidden)") } else { self.kind.fmt(f) }
    }
}
