//! What can stand as the value of a setting.
//!
//! Owns: the [`Setting`] trait and its implementations for common types.
//! Does not own: structs of settings (`settings!`), choices (`choice!`).
//! Invariant: `read` returns `None` only after it has reported a problem.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::at::At;
use crate::duration;
use crate::node::{Kind, Node};
use crate::problem::Problems;
use crate::reference::{JsonType, TypeInfo};
use crate::scalar;
use crate::size::{self, ByteSize};

/// A type that a setting's value can have.
pub trait Setting: Sized {
    /// Reads the value, reporting everything that is wrong with it. `None` means that a problem was reported.
    fn read(at: &At<'_>, problems: &mut Problems) -> Option<Self>;

    /// What the reference manual and the JSON schema say about the type.
    fn describe() -> TypeInfo;

    /// The value as one line of YAML (flow style), as the manual shows a default.
    fn default_text(&self) -> String;

    /// The value when a key without a default is missing; `None` makes the key required.
    fn absent() -> Option<Self> {
        None
    }
}

/// Reads a scalar from its text, or reports that `expected` was expected. For implementing [`Setting`].
pub fn read_scalar<T>(
    at: &At<'_>,
    problems: &mut Problems,
    expected: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let value = at.text().and_then(parse);
    if value.is_none() {
        problems.expected(at, expected);
    }
    value
}

/// Text as one line of YAML that reads back as the same text: bare where that is safe, else in double quotes.
pub fn yaml_text(text: &str) -> String {
    yaml_key(&text.replace("${", "$${"))
}

/// Text as a key in YAML: as [`yaml_text`], but variables are not filled in there.
pub(crate) fn yaml_key(text: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "_-./%".contains(c);
    let starts_safely = text.starts_with(|c: char| c.is_ascii_alphanumeric() || "_/".contains(c));
    let is_text = matches!(scalar::resolve(text), Kind::Text(_));
    if starts_safely && is_text && text.chars().all(bare) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            // What YAML does not take as it is: control characters, line separators, byte order marks.
            c if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') =>
            {
                quoted.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

impl Setting for bool {
    fn read(at: &At<'_>, problems: &mut Problems) -> Option<bool> {
        read_scalar(at, problems, "true or false", |text| match scalar::resolve(text) {
            Kind::Bool(value) => Some(value),
            _ => None,
        })
    }

    fn describe() -> TypeInfo {
        TypeInfo::Plain { name: "true or false", json: JsonType::Boolean }
    }

    fn default_text(&self) -> String {
        self.to_string()
    }
}

macro_rules! whole_numbers {
    ($($number:ty),*) => {$(
        impl Setting for $number {
            fn read(at: &At<'_>, problems: &mut Problems) -> Option<$number> {
                let expected = if <$number>::BITS >= 64 && <$number>::MIN != 0 {
                    "a whole number".to_owned()
                } else if <$number>::MIN == 0 && <$number>::BITS >= 32 {
                    "a whole number from 0".to_owned()
                } else {
                    format!("a whole number from {} to {}", <$number>::MIN, <$number>::MAX)
                };
                read_scalar(at, problems, &expected, |text| match scalar::resolve(text) {
                    Kind::Int(value) => <$number>::try_from(value).ok(),
                    _ => None,
                })
            }

            fn describe() -> TypeInfo {
                TypeInfo::Plain { name: "whole number", json: JsonType::Integer }
            }

            fn default_text(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

whole_numbers!(u8, u16, u32, u64, usize, i32, i64);

impl Setting for f64 {
    fn read(at: &At<'_>, problems: &mut Problems) -> Option<f64> {
        read_scalar(at, problems, "a number", |text| match scalar::resolve(text) {
            // A whole number beyond 2^53 loses its last digits: no setting needs them.
            Kind::Int(value) => Some(value as f64),
            Kind::Float(value) if value.is_finite() => Some(value),
            _ => None,
        })
    }

    fn describe() -> TypeInfo {
        TypeInfo::Plain { name: "number", json: JsonType::Number }
    }

    fn default_text(&self) -> String {
        self.to_string()
    }
}

/// Implements [`Setting`] for a type that is read from text and printed as text.
macro_rules! texts {
    ($($type:ty, $name:literal, $expected:expr, $parse:expr, $print:expr;)*) => {$(
        impl Setting for $type {
            fn read(at: &At<'_>, problems: &mut Problems) -> Option<$type> {
                read_scalar(at, problems, $expected, $parse)
            }

            fn describe() -> TypeInfo {
                TypeInfo::Plain { name: $name, json: JsonType::String }
            }

            fn default_text(&self) -> String {
                let print: fn(&$type) -> String = $print;
                print(self)
            }
        }
    )*};
}

texts! {
    String, "text", "text", |text| Some(text.to_owned()), |text| yaml_text(text);
    PathBuf, "path", "a path", |text| (!text.is_empty()).then(|| text.into()), |path| yaml_text(&path.to_string_lossy());
    ByteSize, "size", size::EXPECTED, |text| text.parse().ok(), ByteSize::to_string;
    Duration, "duration", duration::EXPECTED, duration::parse, |value| duration::print(*value);
    SocketAddr, "address and port", "an address and port such as \"0.0.0.0:9880\"", |text| text.parse().ok(),
        |address| yaml_text(&address.to_string());
}

impl<T: Setting> Setting for Option<T> {
    fn read(at: &At<'_>, problems: &mut Problems) -> Option<Option<T>> {
        if at.node().is_null() { Some(None) } else { T::read(at, problems).map(Some) }
    }

    fn describe() -> TypeInfo {
        TypeInfo::Optional(Box::new(T::describe()))
    }

    fn default_text(&self) -> String {
        self.as_ref().map_or_else(|| "null".to_owned(), T::default_text)
    }

    fn absent() -> Option<Option<T>> {
        Some(None)
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn read(at: &At<'_>, problems: &mut Problems) -> Option<Vec<T>> {
        if at.node().is_null() {
            problems.expected(at, "a list");
            return None;
        }
        // Every item is read before the first failure counts, so that all problems are reported.
        let items: Vec<Option<T>> = at.items().iter().map(|item| T::read(item, problems)).collect();
        items.into_iter().collect()
    }

    fn describe() -> TypeInfo {
        TypeInfo::List(Box::new(T::describe()))
    }

    fn default_text(&self) -> String {
        let items: Vec<String> = self.iter().map(T::default_text).collect();
        format!("[{}]", items.join(", "))
    }
}

impl<T: Setting> Setting for BTreeMap<String, T> {
    fn read(at: &At<'_>, problems: &mut Problems) -> Option<BTreeMap<String, T>> {
        if !matches!(at.node().kind, Kind::Map(_) | Kind::Null) {
            problems.expected(at, "a map");
            return None;
        }
        let mut complete = true;
        let mut map = BTreeMap::new();
        for (key, at) in at.entries() {
            match T::read(&at, problems) {
                Some(value) => drop(map.insert(key.text.clone(), value)),
                None => complete = false,
            }
        }
        complete.then_some(map)
    }

    fn describe() -> TypeInfo {
        TypeInfo::Map(Box::new(T::describe()))
    }

    fn default_text(&self) -> String {
        let entries: Vec<String> =
            self.iter().map(|(key, value)| format!("{}: {}", yaml_key(key), value.default_text())).collect();
        format!("{{{}}}", entries.join(", "))
    }
}

impl<T: Setting> Setting for Box<T> {
    fn read(at: &At<'_>, problems: &mut Problems) -> Option<Box<T>> {
        T::read(at, problems).map(Box::new)
    }

    fn describe() -> TypeInfo {
        T::describe()
    }

    fn default_text(&self) -> String {
        T::default_text(self)
    }

    fn absent() -> Option<Box<T>> {
        T::absent().map(Box::new)
    }
}

impl Setting for Node {
    fn read(at: &At<'_>, _problems: &mut Problems) -> Option<Node> {
        Some(at.node().clone())
    }

    fn describe() -> TypeInfo {
        TypeInfo::Any
    }

    fn default_text(&self) -> String {
        crate::reference::yaml_flow(self)
    }
}
