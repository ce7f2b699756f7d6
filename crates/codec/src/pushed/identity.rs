//! Whose word counts for who speaks.
//!
//! Owns: what a sender may say of identity.
//! Does not own: who the sender is (`input`), the names that other programs have for identity (`model`).
//! Invariant: a namespace that stands in a record without `identity: claimed` is one that its sender may speak for.

use std::fmt::Write;

use sawyer_model::{Stream, Value, ValueRef, names};

use crate::body::BODY_PREFIX;
use crate::fields::{FieldSink, Fields};

/// What a sender's word about who speaks is good for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Nothing: what it says is kept and marked `identity: claimed`.
    #[default]
    Claimed,
    /// What it says of pods, containers and workloads in these namespaces: names, or beginnings with a `*` behind.
    Namespaces(Vec<String>),
    /// Everything: it collects for others.
    Everything,
}

impl Trust {
    /// The trust that a list of namespaces gives; `*` alone is everything.
    #[must_use]
    pub fn in_namespaces(namespaces: Vec<String>) -> Self {
        if namespaces.iter().any(|pattern| pattern == "*") {
            return Self::Everything;
        }
        Self::Namespaces(namespaces)
    }
}

/// Whether a namespace is one of these names and beginnings.
#[must_use]
pub fn namespace_matches(patterns: &[String], namespace: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(beginning) => namespace.starts_with(beginning),
        None => pattern == namespace,
    })
}

/// Names of identity that a sender may say. `stream` and `source` say nothing about who speaks.
pub(crate) const SAID: [&str; 9] = [
    names::CLUSTER,
    names::NODE,
    names::NAMESPACE,
    names::POD,
    names::POD_UID,
    names::CONTAINER,
    names::IMAGE,
    names::WORKLOAD,
    names::WORKLOAD_KIND,
];

/// Those that lie outside any namespace.
const ABOVE: [&str; 2] = [names::CLUSTER, names::NODE];

/// Gives the names of identity that others use ([`names::IDENTITY_ALIASES`]) their common names. Where the common one is
/// there as well, what is said again goes below `body.`: under its own name a query would find it for the common one, and
/// nobody vouches for it.
pub(super) fn rename(fields: &mut Fields) {
    for at in 0..fields.slots() {
        let Some(name) = fields.name(at) else { continue };
        let Some((_, common)) = names::IDENTITY_ALIASES.iter().find(|(other, _)| *other == name) else {
            continue;
        };
        let taken = (0..fields.slots()).any(|other| fields.name(other) == Some(*common));
        if taken {
            fields.prefix(at, BODY_PREFIX);
            continue;
        }
        let deployment = name.ends_with("deployment.name");
        fields.rename(at, common);
        let kind_said = (0..fields.slots()).any(|other| fields.name(other) == Some(names::WORKLOAD_KIND));
        if deployment && !kind_said {
            fields.field(names::WORKLOAD_KIND, ValueRef::Str("Deployment"));
        }
    }
}

/// What a record says of who speaks, as far as it is kept under the common names.
#[derive(Debug, Default)]
pub(super) struct Spoken {
    said: Vec<(&'static str, String)>,
    claimed: bool,
    /// Whether it said a namespace that its sender may not speak for.
    pub(super) foreign: bool,
}

impl Spoken {
    pub(super) fn is_empty(&self) -> bool {
        self.said.is_empty()
    }

    /// Different for different words.
    pub(super) fn key(&self) -> String {
        let mut key = String::new();
        for (name, value) in &self.said {
            // Writing to a string cannot fail.
            let _ = write!(key, "{name}={}:{value};", value.len());
        }
        key
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, Value)> {
        let claimed = self.claimed.then(|| (names::IDENTITY, Value::from("claimed")));
        self.said.iter().map(|(name, value)| (*name, Value::from(value.as_str()))).chain(claimed)
    }
}

/// Takes what is believed out of the fields, and puts what is not below `body.`. What the stream knows already is not
/// said by anybody else.
pub(super) fn settle(fields: &mut Fields, trust: &Trust, stream: &Stream) -> Spoken {
    let mut found: [Option<usize>; SAID.len()] = [None; SAID.len()];
    for at in 0..fields.slots() {
        let Some(place) = fields.name(at).and_then(|name| SAID.iter().position(|said| *said == name)) else {
            continue;
        };
        found[place] = Some(at);
    }
    let value = |fields: &Fields, place: usize| {
        let at = found[place]?;
        let text = fields.single(at, "")?.as_str()?;
        (!text.is_empty() && stream.get(SAID[place]).is_none()).then(|| text.to_owned())
    };
    let mut spoken = Spoken { claimed: *trust == Trust::Claimed, ..Spoken::default() };
    let namespace = SAID.iter().position(|name| *name == names::NAMESPACE).and_then(|at| value(fields, at));
    let inside = match trust {
        Trust::Claimed | Trust::Everything => true,
        Trust::Namespaces(patterns) => {
            let given = sole(patterns).filter(|_| stream.get(names::NAMESPACE).is_none());
            match &namespace {
                Some(said) if namespace_matches(patterns, said) => true,
                said => {
                    spoken.foreign = said.is_some();
                    spoken.said.extend(given.map(|given| (names::NAMESPACE, given.to_owned())));
                    said.is_none() && (given.is_some() || stream.get(names::NAMESPACE).is_some())
                }
            }
        }
    };
    for (place, name) in SAID.into_iter().enumerate() {
        let Some(at) = found[place] else { continue };
        let above = matches!(trust, Trust::Namespaces(_)) && ABOVE.contains(&name);
        match value(fields, place) {
            Some(value) if inside && !above => {
                spoken.said.push((name, value));
                fields.remove(at);
            }
            _ => fields.prefix(at, BODY_PREFIX),
        }
    }
    spoken
}

/// The namespace, if there is but one.
fn sole(patterns: &[String]) -> Option<&str> {
    match patterns {
        [one] if !one.ends_with('*') => Some(one),
        _ => None,
    }
}
