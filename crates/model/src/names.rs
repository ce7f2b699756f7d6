//! Field names: the common ones that everything agrees on, and the table of a batch's own.

use std::cell::Cell;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::limits::NAME_BYTES_MAX;

/// When it was said. Always there; kept beside the fields.
pub const TIMESTAMP: &str = "timestamp";
/// When Sawyer first saw it. Always there; kept beside the fields.
pub const OBSERVED: &str = "observed";
/// The line, or the part of it that is meant for people.
pub const MESSAGE: &str = "message";
/// Severity by the names of [`crate::Level`].
pub const LEVEL: &str = "level";
/// Cluster.
pub const CLUSTER: &str = "cluster";
/// Node (the machine).
pub const NODE: &str = "node";
/// Kubernetes namespace.
pub const NAMESPACE: &str = "namespace";
/// Pod name.
pub const POD: &str = "pod";
/// Pod UID.
pub const POD_UID: &str = "pod_uid";
/// Container name.
pub const CONTAINER: &str = "container";
/// Container image.
pub const IMAGE: &str = "image";
/// Name of what owns the pod: a Deployment, StatefulSet, CronJob …
pub const WORKLOAD: &str = "workload";
/// Its kind, in Kubernetes' spelling.
pub const WORKLOAD_KIND: &str = "workload_kind";
/// Service, as the application names itself.
pub const SERVICE: &str = "service";
/// Deployment environment.
pub const ENV: &str = "env";
/// `stdout` or `stderr`.
pub const STREAM: &str = "stream";
/// What it was read from: a path, a unit, a client.
pub const SOURCE: &str = "source";
/// Trace id.
pub const TRACE_ID: &str = "trace_id";
/// Span id.
pub const SPAN_ID: &str = "span_id";
/// `claimed` where the names of namespace, pod … are the sender's word and nobody vouches for them.
pub const IDENTITY: &str = "identity";
/// How often the container was restarted before this line.
pub const RESTART_COUNT: &str = "restart_count";
/// The line as it was written, where `message` and the other fields are not that already.
pub const ORIGINAL: &str = "_original";
/// The line's bytes in base64, where they were not UTF-8.
pub const ORIGINAL_BASE64: &str = "_original_base64";
/// A list of what was amiss: [`MARK_CUT`], [`MARK_INVALID_UTF8`] …
pub const MARK: &str = "sawyer.mark";
/// Length in bytes of a line that was cut.
pub const LENGTH: &str = "sawyer.length";
/// Hash (XXH3, 64 bits, hex) of a line that was cut.
pub const HASH: &str = "sawyer.hash";

/// Of a stream: how its lines are to be parsed, by the word of whoever wrote the pod.
pub const HINT_PARSER: &str = "sawyer.parser";
/// Of a stream: how its lines are to be grouped, by the word of whoever wrote the pod.
pub const HINT_MULTILINE: &str = "sawyer.multiline";

/// In [`MARK`]: the line was longer than the input's bound; head and tail are kept.
pub const MARK_CUT: &str = "cut";
/// In [`MARK`]: bytes that are not UTF-8 were replaced by U+FFFD; see [`ORIGINAL_BASE64`].
pub const MARK_INVALID_UTF8: &str = "invalid_utf8";
/// In [`MARK`]: the line does not have the form its file has (CRI, docker json); kept as it is.
pub const MARK_MALFORMED: &str = "malformed";
/// In [`MARK`]: the line's own time is more than a day away from its arrival.
pub const MARK_CLOCK: &str = "clock";
/// In [`MARK`]: a step did not work on the record (its program failed), which passed as it was.
pub const MARK_STEP_FAILED: &str = "step_failed";

/// The names that have the same [`NameId`] in every batch, by that id.
pub const COMMON: [&str; 24] = [
    MESSAGE,
    LEVEL,
    ORIGINAL,
    SERVICE,
    ENV,
    TRACE_ID,
    SPAN_ID,
    MARK,
    CLUSTER,
    NODE,
    NAMESPACE,
    POD,
    POD_UID,
    CONTAINER,
    IMAGE,
    WORKLOAD,
    WORKLOAD_KIND,
    STREAM,
    SOURCE,
    IDENTITY,
    RESTART_COUNT,
    ORIGINAL_BASE64,
    LENGTH,
    HASH,
];

/// The names that say who speaks. Only the collector fills them; what a body says under such a name is kept
/// under `body.<name>`.
pub const IDENTITY_NAMES: [&str; 12] = [
    CLUSTER,
    NODE,
    NAMESPACE,
    POD,
    POD_UID,
    CONTAINER,
    IMAGE,
    WORKLOAD,
    WORKLOAD_KIND,
    STREAM,
    SOURCE,
    IDENTITY,
];

/// What other programs call who speaks: their name, the common one. What is pushed is kept under the common names; queries
/// take either.
pub const IDENTITY_ALIASES: [(&str, &str); 31] = [
    ("k8s.cluster.name", CLUSTER),
    ("kubernetes.cluster", CLUSTER),
    ("orchestrator.cluster.name", CLUSTER),
    ("k8s.node.name", NODE),
    ("kubernetes.host", NODE),
    ("kubernetes.node.name", NODE),
    ("kubernetes.node_name", NODE),
    ("node_name", NODE),
    ("k8s.namespace.name", NAMESPACE),
    ("kubernetes.namespace", NAMESPACE),
    ("kubernetes.namespace.name", NAMESPACE),
    ("kubernetes.namespace_name", NAMESPACE),
    ("orchestrator.namespace", NAMESPACE),
    ("namespace_name", NAMESPACE),
    ("k8s.pod.name", POD),
    ("kubernetes.pod.name", POD),
    ("kubernetes.pod_name", POD),
    ("pod_name", POD),
    ("k8s.pod.uid", POD_UID),
    ("kubernetes.pod.uid", POD_UID),
    ("kubernetes.pod_id", POD_UID),
    ("k8s.container.name", CONTAINER),
    ("kubernetes.container.name", CONTAINER),
    ("kubernetes.container_name", CONTAINER),
    ("container.name", CONTAINER),
    ("container_name", CONTAINER),
    ("container.image.name", IMAGE),
    ("kubernetes.container_image", IMAGE),
    ("kubernetes.container.image", IMAGE),
    ("k8s.deployment.name", WORKLOAD),
    ("kubernetes.deployment.name", WORKLOAD),
];

/// A field name's number within one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameId(pub(crate) u32);

impl NameId {
    /// [`MESSAGE`]
    pub const MESSAGE: Self = Self(0);
    /// [`LEVEL`]
    pub const LEVEL: Self = Self(1);
    /// [`ORIGINAL`]
    pub const ORIGINAL: Self = Self(2);
    /// [`SERVICE`]
    pub const SERVICE: Self = Self(3);
    /// [`ENV`]
    pub const ENV: Self = Self(4);
    /// [`TRACE_ID`]
    pub const TRACE_ID: Self = Self(5);
    /// [`SPAN_ID`]
    pub const SPAN_ID: Self = Self(6);
    /// [`MARK`]
    pub const MARK: Self = Self(7);
    /// [`IDENTITY`]
    pub const IDENTITY: Self = Self(19);

    /// The number as an index.
    #[inline]
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A name's number as it was in some batch: what saves looking it up again in the same one.
#[derive(Clone, Copy, Debug, Default)]
pub struct NameGuess {
    /// Of the names among which it has the number; 0 for none.
    names: u64,
    id: u32,
}

/// The names that a batch uses, numbered.
#[derive(Debug, Default)]
pub(crate) struct Names {
    own: Vec<Box<str>>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Tells these names from all others in this process; 0 until somebody guesses.
    token: u64,
}

/// The tokens that were given out.
static TOKENS: AtomicU64 = AtomicU64::new(0);

impl Clone for Names {
    fn clone(&self) -> Self {
        let Self { own, table, hasher, .. } = self;
        // The two may go different ways from here.
        Self { own: own.clone(), table: table.clone(), hasher: hasher.clone(), token: 0 }
    }
}

impl Names {
    pub(crate) fn get(&self, id: NameId) -> &str {
        name_of(&self.own, id.0)
    }

    pub(crate) fn len(&self) -> usize {
        COMMON.len() + self.own.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|at| self.get(NameId(at as u32)))
    }

    pub(crate) fn find(&self, name: &str) -> Option<NameId> {
        if self.table.is_empty() {
            return COMMON.iter().position(|known| *known == name).map(|at| NameId(at as u32));
        }
        let hash = self.hasher.hash_one(name);
        self.table.find(hash, |id| self.get(NameId(*id)) == name).map(|id| NameId(*id))
    }

    pub(crate) fn intern(&mut self, name: &str) -> NameId {
        if self.table.is_empty() {
            for (at, known) in COMMON.iter().enumerate() {
                self.insert(at as u32, known);
            }
        }
        let name = cut(name);
        if let Some(id) = self.find(name) {
            return id;
        }
        let id = self.len() as u32;
        self.own.push(name.into());
        self.insert(id, name);
        NameId(id)
    }

    /// As [`Names::intern`], for a name whose number may be known from the time before.
    #[inline]
    pub(crate) fn intern_guessed(&mut self, name: &str, guess: &Cell<NameGuess>) -> NameId {
        let NameGuess { names, id } = guess.get();
        if names == self.token && names != 0 {
            return NameId(id);
        }
        self.intern_anew(name, guess)
    }

    #[cold]
    fn intern_anew(&mut self, name: &str, guess: &Cell<NameGuess>) -> NameId {
        if self.token == 0 {
            self.token = TOKENS.fetch_add(1, Ordering::Relaxed) + 1;
        }
        let NameId(id) = self.intern(name);
        guess.set(NameGuess { names: self.token, id });
        NameId(id)
    }

    fn insert(&mut self, id: u32, name: &str) {
        let (own, hasher) = (&self.own, &self.hasher);
        self.table.insert_unique(hasher.hash_one(name), id, |id| hasher.hash_one(name_of(own, *id)));
    }
}

fn name_of(own: &[Box<str>], id: u32) -> &str {
    let at = id as usize;
    COMMON.get(at).copied().unwrap_or_else(|| &own[at - COMMON.len()])
}

/// The longest part of a name that is within bounds.
fn cut(name: &str) -> &str {
    let mut end = name.len().min(NAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_names_have_their_constants() {
        for (id, name) in [
            (NameId::MESSAGE, MESSAGE),
            (NameId::LEVEL, LEVEL),
            (NameId::ORIGINAL, ORIGINAL),
            (NameId::SERVICE, SERVICE),
            (NameId::ENV, ENV),
            (NameId::TRACE_ID, TRACE_ID),
            (NameId::SPAN_ID, SPAN_ID),
            (NameId::MARK, MARK),
            (NameId::IDENTITY, IDENTITY),
        ] {
            assert_eq!(COMMON[id.index()], name);
        }
        assert!(IDENTITY_NAMES.iter().all(|name| COMMON.contains(name)));
    }

    #[test]
    fn names_are_numbered_once() {
        let mut names = Names::default();
        let ids: Vec<NameId> = (0..1000).map(|n| names.intern(&format!("field.{n}"))).collect();
        for (n, id) in ids.iter().enumerate() {
            assert_eq!(names.get(*id), format!("field.{n}"));
            assert_eq!(names.intern(&format!("field.{n}")), *id);
        }
        assert_eq!(names.intern(LEVEL), NameId::LEVEL);
        assert_eq!(names.find("nowhere"), None);
    }

    #[test]
    fn a_guess_counts_only_among_the_names_that_it_is_from() {
        let (mut one, mut other) = (Names::default(), Names::default());
        other.intern("first.of.the.other");
        let guess = Cell::new(NameGuess::default());
        let id = one.intern_guessed("a", &guess);
        assert_eq!(one.intern_guessed("a", &guess), id);
        let there = other.intern_guessed("a", &guess);
        assert_eq!((other.get(there), one.get(id)), ("a", "a"));
        assert_ne!(there, id);
        let mut copy = other.clone();
        let guess = Cell::new(NameGuess::default());
        copy.intern("only.in.the.copy");
        assert_eq!(copy.intern_guessed("b", &guess), copy.find("b").unwrap());
        assert_eq!(other.intern_guessed("b", &guess), other.find("b").unwrap());
    }

    #[test]
    fn a_long_name_is_cut_at_a_character() {
        let mut names = Names::default();
        let id = names.intern(&"결".repeat(1000));
        assert_eq!(names.get(id).len(), NAME_BYTES_MAX / 3 * 3);
    }
}
