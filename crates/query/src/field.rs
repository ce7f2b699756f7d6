//! Which fields a name in a query means.
//!
//! Owns: the aliases of common fields, patterns of names ([`FieldPattern`]), and how the values of a field are
//! compared by its name ([`FieldKind`]). Does not own: the common names (`sawyer_model::names`), values (`test`).
//! Invariant: an alias means the common field or a real field of that name, whichever a record has.

use sawyer_model::names;

/// What other worlds call the common fields that do not say who speaks ([`names::IDENTITY_ALIASES`] do): alias, common name.
const ALIASES: [(&str, &str); 31] = [
    ("@timestamp", names::TIMESTAMP),
    ("_time", names::TIMESTAMP),
    ("event.created", names::OBSERVED),
    ("event.ingested", names::OBSERVED),
    ("observed_timestamp", names::OBSERVED),
    ("log", names::MESSAGE),
    ("msg", names::MESSAGE),
    ("_msg", names::MESSAGE),
    ("line", names::MESSAGE),
    ("log.level", names::LEVEL),
    ("severity", names::LEVEL),
    ("severity_text", names::LEVEL),
    ("SeverityText", names::LEVEL),
    ("detected_level", names::LEVEL),
    ("service.name", names::SERVICE),
    ("service_name", names::SERVICE),
    ("ServiceName", names::SERVICE),
    ("deployment.environment", names::ENV),
    ("deployment.environment.name", names::ENV),
    ("service.environment", names::ENV),
    ("log.iostream", names::STREAM),
    ("log.file.path", names::SOURCE),
    ("filename", names::SOURCE),
    ("trace.id", names::TRACE_ID),
    ("traceId", names::TRACE_ID),
    ("traceid", names::TRACE_ID),
    ("TraceId", names::TRACE_ID),
    ("span.id", names::SPAN_ID),
    ("spanId", names::SPAN_ID),
    ("spanid", names::SPAN_ID),
    ("SpanId", names::SPAN_ID),
];

/// Fields of these names, and paths that end in them (`error.message`), hold text: they are searched by words.
pub const TEXT_NAMES: &[&str] = &[
    "message",
    "msg",
    "log",
    "_msg",
    "_original",
    "body",
    "stack",
    "stack_trace",
    "stacktrace",
    "traceback",
    "exception",
];

/// A string longer than this, in bytes, is text whatever the field is called (Elasticsearch's usual `ignore_above`).
pub const PLAIN_BYTES_MAX: usize = 256;

/// How the values of a field are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldKind {
    /// Strings by their words.
    Text,
    /// Strings as a whole, if they are no longer than [`PLAIN_BYTES_MAX`]; else as [`FieldKind::Text`].
    Plain,
    /// As [`FieldKind::Plain`], and names of severities by what they mean.
    Level,
}

/// The names that a part of a query is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPattern(Shape);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Shape {
    /// The common name first, if the name written is an alias; then the name written. Their kinds beside them.
    Names { names: Vec<Box<str>>, kinds: Vec<FieldKind> },
    /// The pieces between stars.
    Wildcard(Vec<Box<str>>),
}

/// All aliases with their common names. An alias means the common field or the real field that has the alias for a name.
fn aliases() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    ALIASES.iter().chain(&names::IDENTITY_ALIASES)
}

/// The common name for an alias.
#[must_use]
pub fn common_name(alias: &str) -> Option<&'static str> {
    aliases().find(|(known, _)| *known == alias).map(|(_, common)| *common)
}

impl FieldKind {
    /// Of the field with this name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        if common_name(name).unwrap_or(name) == names::LEVEL { Self::Level } else { Self::of_bare(name) }
    }

    /// Of the field with this name where a bare word is looked for: `fine` is a word then, and no severity.
    #[must_use]
    pub fn of_bare(name: &str) -> Self {
        let last = name.rsplit('.').next().unwrap_or(name);
        if TEXT_NAMES.contains(&last) { Self::Text } else { Self::Plain }
    }
}

impl FieldPattern {
    /// The field with this name, or, if it is an alias, the common field or the one with this name.
    #[must_use]
    pub fn name(name: &str) -> Self {
        Self::of_names(common_name(name).into_iter().chain([name]))
    }

    /// The field with this name and no other.
    #[must_use]
    pub fn exactly(name: &str) -> Self {
        Self::of_names([name])
    }

    fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let (names, kinds) = names.into_iter().map(|name| (name.into(), FieldKind::of(name))).unzip();
        Self(Shape::Names { names, kinds })
    }

    /// All fields whose names have these pieces with anything between them; at least two pieces.
    #[must_use]
    pub fn wildcard<T: Into<Box<str>>>(pieces: impl IntoIterator<Item = T>) -> Self {
        Self(Shape::Wildcard(pieces.into_iter().map(Into::into).collect()))
    }

    /// The names, where they are known. Of an alias the common name is first.
    #[must_use]
    pub fn names(&self) -> Option<&[Box<str>]> {
        match &self.0 {
            Shape::Names { names, .. } => Some(names),
            Shape::Wildcard(_) => None,
        }
    }

    /// The names, where they are known, and how their values are compared.
    pub(crate) fn kinds(&self) -> Option<impl Iterator<Item = (&str, FieldKind)>> {
        match &self.0 {
            Shape::Names { names, kinds } => Some(names.iter().map(AsRef::as_ref).zip(kinds.iter().copied())),
            Shape::Wildcard(_) => None,
        }
    }

    /// Whether it means the field with this name. Names that start with `_` are meant only by name, or by a pattern
    /// that starts so too.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match &self.0 {
            Shape::Names { names, .. } => names.iter().any(|known| **known == *name),
            Shape::Wildcard(pieces) => {
                let hidden = name.starts_with('_') && !pieces[0].starts_with('_');
                !hidden && (wildcard_matches(pieces, name) || dotted_alias_matches(pieces, name))
            }
        }
    }

    /// Whether a field with this name makes it exist: it itself, or a part of an object of that name.
    #[must_use]
    pub fn matches_or_contains(&self, name: &str) -> bool {
        let contains = |known: &str| name.strip_prefix(known).is_some_and(|rest| rest.starts_with('.'));
        self.matches(name) || self.names().is_some_and(|names| names.iter().any(|known| contains(known)))
    }

    /// Whether a field that it means may be compared as a severity.
    #[must_use]
    pub(crate) fn may_be_level(&self) -> bool {
        self.kinds().is_none_or(|mut kinds| kinds.any(|(_, kind)| kind == FieldKind::Level))
    }
}

/// `k8s.*` means `namespace` too, because `k8s.namespace.name` is an alias of it.
fn dotted_alias_matches(pieces: &[Box<str>], name: &str) -> bool {
    let dotted = pieces.iter().any(|piece| piece.contains('.'));
    dotted && aliases().any(|(alias, common)| *common == name && wildcard_matches(pieces, alias))
}

fn wildcard_matches(pieces: &[Box<str>], name: &str) -> bool {
    let Some((first, rest)) = pieces.split_first() else { return false };
    let Some((last, middle)) = rest.split_last() else { return **first == *name };
    let Some(mut rest) = name.strip_prefix(&**first).and_then(|rest| rest.strip_suffix(&**last)) else {
        return false;
    };
    for piece in middle {
        match rest.find(&**piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_means_either() {
        let pattern = FieldPattern::name("kubernetes.pod.name");
        assert!(
            pattern.matches("pod")
                && pattern.matches("kubernetes.pod.name")
                && !pattern.matches("k8s.pod.name")
        );
        assert!(!FieldPattern::name("pod").matches("kubernetes.pod.name"));
    }

    #[test]
    fn no_common_name_is_an_alias() {
        for (alias, common) in aliases() {
            assert!(common_name(common).is_none(), "{common}");
            assert_ne!(alias, common);
            assert_eq!(aliases().filter(|(other, _)| other == alias).count(), 1, "{alias}");
        }
        let said = ALIASES.iter().filter(|(_, common)| names::IDENTITY_NAMES[..9].contains(common)).count();
        assert_eq!(said, 0, "one who speaks is in the table that what is pushed goes by");
    }

    #[test]
    fn wildcards_stand_for_any_part_of_a_name() {
        let matches = |pattern: &str, name| FieldPattern::wildcard(pattern.split('*')).matches(name);
        assert!(matches("http.*", "http.status") && matches("*", "a") && matches("*.a", "b.a"));
        assert!(
            !matches("http.*", "https.status") && !matches("a*a", "a") && !matches("HTTP.*", "http.status")
        );
        assert!(!matches("*", "_original") && matches("_*", "_original"));
        assert!(matches("k8s.*", "namespace") && !matches("m*", "level") && !matches("s*", "level"));
    }

    #[test]
    fn text_is_known_by_the_last_part_of_its_name() {
        assert_eq!(FieldKind::of("error.message"), FieldKind::Text);
        assert_eq!(FieldKind::of("log.level"), FieldKind::Level);
        assert_eq!(FieldKind::of("http.status"), FieldKind::Plain);
        assert_eq!(FieldKind::of_bare("level"), FieldKind::Plain);
    }
}
