//! Structs of settings: what the macros of `macros` expand to and build on.
//!
//! Owns: the [`Settings`] trait, two structs in one map, the functions that macros call.
//! Does not own: the macros' syntax (`macros`).
//! Invariant: every key of a map is read by somebody, or reported as unknown.

use std::ops::RangeInclusive;

use crate::at::At;
use crate::nearest::hint;
use crate::node::Kind;
use crate::problem::Problems;
use crate::reference::{Reference, TypeInfo};
use crate::setting::Setting;

/// A struct of settings, made by `settings!`.
pub trait Settings: Setting {
    /// The keys.
    const KEYS: &'static [&'static str];

    /// The description for the manual and the schema.
    fn reference() -> Reference;

    /// Reads the struct's own keys from a map that has others besides, which are not its business.
    fn read_part(at: &At<'_>, problems: &mut Problems) -> Option<Self>;
}

/// Reads two settings from one map: a key is known if either has it. The second may be an enum made by `kinds!`.
pub fn read_both<A: Settings, B: Setting>(at: &At<'_>, problems: &mut Problems) -> Option<(A, B)> {
    let first = A::read_part(at, problems);
    let second = B::read(&at.without(A::KEYS), problems);
    first.zip(second)
}

/// A component's settings: those that every kind has, and beside them in the same map those of its own kind.
///
/// `BTreeMap<String, With<OutputCommon, OutputKind>>` is a section of outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct With<C, K> {
    /// What every kind has.
    pub common: C,
    /// What only this kind has.
    pub own: K,
}

impl<C: Settings, K: Setting> Setting for With<C, K> {
    fn read(at: &At<'_>, problems: &mut Problems) -> Option<With<C, K>> {
        read_both(at, problems).map(|(common, own)| With { common, own })
    }

    fn describe() -> TypeInfo {
        TypeInfo::With { common: C::reference, own: Box::new(K::describe()) }
    }

    fn default_text(&self) -> String {
        let (common, own) = (self.common.default_text(), self.own.default_text());
        match (common.trim_end_matches('}'), own.trim_start_matches('{')) {
            ("{", _) => own,
            (_, "}") => common,
            (common, own) => format!("{common}, {own}"),
        }
    }
}

/// Reads the keys of one map. For what `settings!` expands to.
#[doc(hidden)]
#[derive(Debug)]
pub struct MapReader<'a> {
    at: At<'a>,
}

impl<'a> MapReader<'a> {
    /// Opens a map, or nothing as an empty one.
    pub fn open(at: &At<'a>, problems: &mut Problems) -> Option<MapReader<'a>> {
        if !matches!(at.node().kind, Kind::Map(_) | Kind::Null) {
            problems.expected(at, "a map of settings");
            return None;
        }
        Some(MapReader { at: at.clone() })
    }

    /// Reports keys that are not among those given.
    pub fn refuse_unknown(&self, known: &'static [&'static str], problems: &mut Problems) {
        for (key, at) in self.at.entries() {
            if !known.contains(&key.text.as_str()) {
                let candidates = known.iter().chain(self.at.taken()).copied();
                problems.push(&at, format!("unknown key{}", hint(&key.text, candidates)));
            }
        }
    }

    /// A key's value; if it is not there, what its type says to that.
    pub fn required<T: Setting>(&self, key: &str, problems: &mut Problems) -> Option<T> {
        if let Some(at) = self.at.get(key) {
            return T::read(&at, problems);
        }
        let absent = T::absent();
        if absent.is_none() {
            problems
                .push(&self.at.key(key), format!("required, and missing; expected {}", T::describe().name()));
        }
        absent
    }

    /// A key's value, or its default.
    pub fn or<T: Setting>(
        &self,
        key: &str,
        problems: &mut Problems,
        default: impl FnOnce() -> T,
    ) -> Option<T> {
        self.at.get(key).map_or_else(|| Some(default()), |at| T::read(&at, problems))
    }

    /// The value if it is within limits.
    pub fn within<T: Setting + PartialOrd>(
        &self,
        key: &str,
        problems: &mut Problems,
        value: T,
        range: &RangeInclusive<T>,
    ) -> Option<T> {
        if range.contains(&value) {
            return Some(value);
        }
        let at = self.at.key(key);
        let (min, max) = (range.start().default_text(), range.end().default_text());
        let found = if at.node().secret { at.node().found() } else { value.default_text() };
        problems.push(&at, format!("expected a value from {min} to {max}, found {found}"));
        None
    }
}

/// A key without the mark of a raw identifier: `type` for `r#type`.
#[doc(hidden)]
pub const fn plain_key(key: &'static str) -> &'static str {
    match key.as_bytes() {
        [b'r', b'#', ..] => key.split_at(2).1,
        _ => key,
    }
}

/// A doc comment without the blank that starts each line.
#[doc(hidden)]
pub fn doc_text(lines: &[&str]) -> String {
    let lines: Vec<&str> = lines.iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    lines.join("\n").trim().to_owned()
}

/// Reads one of some names. For what `choice!` expands to.
#[doc(hidden)]
pub fn read_choice<T: Copy>(at: &At<'_>, problems: &mut Problems, values: &[(&'static str, T)]) -> Option<T> {
    let found = at.text().and_then(|text| values.iter().find(|(name, _)| *name == text));
    if found.is_none() {
        let names: Vec<String> = values.iter().map(|(name, _)| format!("`{name}`")).collect();
        let near =
            at.text().and_then(|text| crate::nearest::nearest(text, values.iter().map(|(name, _)| *name)));
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        let found = at.node().found();
        problems.push(at, format!("expected one of {}, found {found}{near}", names.join(", ")));
    }
    found.map(|(_, value)| *value)
}
