//! Named components with a kind: `inputs: { audit: { type: files, … } }`.
//!
//! Owns: how a component's kind is found. Does not own: which kinds there are, what their settings are.

use crate::at::At;
use crate::nearest::hint;
use crate::node::Kind;
use crate::problem::Problems;

/// The key that names a component's kind.
pub const TYPE: &str = "type";

/// A component that somebody has named, with its kind and its settings.
#[derive(Debug, Clone)]
pub struct Component<'a> {
    /// The name, unique in its section.
    pub name: String,
    /// One of the known kinds.
    pub kind: &'static str,
    /// Its settings; `type` counts as read already.
    pub at: At<'a>,
}

/// Reads a section of components. `type` may be left out where the name is a kind. A component of an unknown kind
/// is reported and left out.
pub fn read_components<'a>(
    at: &At<'a>,
    kinds: &[&'static str],
    problems: &mut Problems,
) -> Vec<Component<'a>> {
    if !matches!(at.node().kind, Kind::Map(_) | Kind::Null) {
        problems.expected(at, "a map of names");
        return Vec::new();
    }
    at.entries().into_iter().filter_map(|(_, at)| read_component(&at, kinds, problems)).collect()
}

/// Reads one component, named as the last key of its path.
pub fn read_component<'a>(
    at: &At<'a>,
    kinds: &[&'static str],
    problems: &mut Problems,
) -> Option<Component<'a>> {
    if !matches!(at.node().kind, Kind::Map(_) | Kind::Null) {
        problems.expected(at, "a map of settings");
        return None;
    }
    let name = at.name().to_owned();
    let find = |wanted: &str| kinds.iter().copied().find(|kind| *kind == wanted);
    let Some(typed) = at.get(TYPE) else {
        if let Some(kind) = find(&name) {
            return Some(Component { name, kind, at: at.clone() });
        }
        let why = if name.is_empty() { "" } else { ", and the name is not a type" };
        problems.push(at, format!("`type` is missing{why}{}", hint(&name, kinds.iter().copied())));
        return None;
    };
    let Some(wanted) = typed.text() else {
        problems.expected(&typed, "the name of a type");
        return None;
    };
    let Some(kind) = find(wanted) else {
        problems.push(&typed, format!("unknown type `{wanted}`{}", hint(wanted, kinds.iter().copied())));
        return None;
    };
    Some(Component { name, kind, at: at.without(&[TYPE]) })
}
