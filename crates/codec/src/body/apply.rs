//! The fields of a line into its record.
//!
//! Owns: the names under which a line's fields are kept, which time counts, when the line itself is kept.
//! Does not own: which field is what (`roles`).
//! Invariant: nothing that a line says passes for what the collector knows: names of identity, of the record's
//! stream and of Sawyer itself are kept under `body.`.

use std::time::Duration;

use sawyer_model::{NameId, RecordEditor, Stream, Timestamp, ValueRef, names};

use super::roles::{Chosen, Class, Role};
use super::{Format, Parser, parse};
use crate::fields::{FieldSink, Fields};

/// What the names of a line are prefixed with where they would pass for something else.
pub const BODY_PREFIX: &str = "body.";

/// The time that a line says, where another one counts.
pub(super) const BODY_TIMESTAMP: &str = "body.timestamp";

/// Further away from its reference than this, a line's own time is marked ([`names::MARK_CLOCK`]).
const CLOCK_DEVIATION_MAX: Duration = Duration::from_secs(86_400);

/// How a line is read into its record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The format, where it is known.
    pub format: Option<Format>,
    /// Whether the line's own time becomes the record's: where the runtime gave none, or is not preferred. Else it
    /// is kept as `body.timestamp` (of plain lines not at all, where it stands in the message).
    pub own_time: bool,
}

/// Which names the stream of the last record had: a filter in front of the search.
#[derive(Debug, Default)]
pub(crate) struct OfStream {
    fingerprint: u128,
    bits: u64,
    hashes: Vec<u64>,
}

impl OfStream {
    pub(crate) fn refresh(&mut self, stream: &Stream, fields: &Fields) {
        if self.fingerprint == stream.fingerprint() {
            return;
        }
        self.fingerprint = stream.fingerprint();
        self.hashes.clear();
        self.hashes.extend(stream.fields().iter().map(|(name, _)| fields.hash_of(name)));
        self.bits = self.hashes.iter().fold(0, |bits, hash| bits | bit(*hash));
    }

    pub(crate) fn may_have(&self, hash: u64) -> bool {
        self.bits & bit(hash) != 0 && self.hashes.contains(&hash)
    }
}

fn bit(hash: u64) -> u64 {
    1 << (hash >> 58)
}

impl Parser {
    /// Reads the record's message and gives the record the fields found in it.
    ///
    /// `message` becomes the line's own message where it has one; the line as written is then `_original`.
    pub fn apply(&mut self, record: &mut RecordEditor<'_>, rules: &Rules) -> Format {
        let Self { scratch, fields, rules: cache, foreseen } = self;
        if let Some(format) = foreseen.apply(record, rules, |name| fields.hash_of(name)) {
            return format;
        }
        let view = record.as_ref();
        let (text, observed) = (view.message(), view.observed());
        fields.begin(text);
        let format = parse(scratch, text, rules.format, observed, fields);
        fields.end();
        let Some(place) = view.message_place().filter(|_| fields.slots() > 0) else { return format };
        let chosen = Chosen::of(fields, text, observed);
        let replaces = chosen.message(fields, text).is_some_and(|message| message != text);
        if let Some(at) = chosen.get(Role::Message).filter(|_| !replaces) {
            fields.remove(at);
        }
        cache.refresh(view.stream(), fields);
        assign_names(fields, &chosen, |name, hash, class| {
            class.reserved || cache.may_have(hash) && view.stream().get(name).is_some()
        });
        if chosen.message_is_copied() {
            let message = chosen.message(fields, text).unwrap_or("").to_owned();
            fields.field(names::MESSAGE, ValueRef::Str(&message));
        }
        if let Some((trace, span)) = chosen.traceparent() {
            fields.field(names::TRACE_ID, ValueRef::Str(trace));
            fields.field(names::SPAN_ID, ValueRef::Str(span));
        }
        let several = view.own_fields().len() > 1;
        settle_time(record, fields, &chosen, format, rules.own_time);
        if several {
            remove_known(record, &chosen);
        }
        if replaces && !(several && record.as_ref().own_fields().any(|(name, _)| name == names::ORIGINAL)) {
            record.rename_by_id(NameId::MESSAGE, NameId::ORIGINAL);
        } else if replaces {
            record.remove(names::MESSAGE);
        }
        fields.found(|fields| record.extend_found(place, fields));
        format
    }
}

/// Gives the chosen fields their common names, and a prefix to those of which `is_taken` says so: by name, its hash,
/// and what the name tells.
pub(crate) fn assign_names(
    fields: &mut Fields,
    chosen: &Chosen,
    is_taken: impl Fn(&str, u64, Class) -> bool,
) {
    for at in 0..fields.slots() {
        let (Some(name), Some(class)) = (fields.name(at), fields.class(at)) else { continue };
        let role = if class.may_be_chosen() { chosen.role_of(at) } else { None };
        let Some(role) = role else {
            if is_taken(name, fields.hash(at), class) {
                fields.prefix(at, BODY_PREFIX);
            }
            continue;
        };
        let common = common_name(role);
        if name != common {
            fields.rename(at, common);
        }
        if let (Role::Level, Some(level)) = (role, chosen.level) {
            fields.replace(at, ValueRef::Str(level.name()));
        }
    }
}

/// The name that the field in a role gets.
pub(super) fn common_name(role: Role) -> &'static str {
    match role {
        Role::Message => names::MESSAGE,
        Role::Level => names::LEVEL,
        Role::Time => names::TIMESTAMP,
        Role::Service => names::SERVICE,
        Role::Env => names::ENV,
        Role::Trace => names::TRACE_ID,
        Role::Span => names::SPAN_ID,
    }
}

/// Names that only Sawyer gives: the common fields, and those in its own corner.
pub(crate) fn is_reserved(name: &str) -> bool {
    name.starts_with('_')
        || name.starts_with("sawyer.")
        || name == names::TIMESTAMP
        || name == names::OBSERVED
        || names::COMMON.contains(&name)
}

/// Makes the line's time the record's, or keeps it beside it.
fn settle_time(
    record: &mut RecordEditor<'_>,
    fields: &mut Fields,
    chosen: &Chosen,
    format: Format,
    own_time: bool,
) {
    let (Some(at), Some(time)) = (chosen.time_field(), chosen.time) else { return };
    let view = record.as_ref();
    let reference = if own_time { view.observed() } else { view.timestamp() };
    if own_time {
        record.set_timestamp(time);
        fields.remove(at);
    } else if format == Format::Plain {
        return fields.remove(at);
    } else {
        fields.replace(at, ValueRef::Timestamp(time));
        fields.rename(at, BODY_TIMESTAMP);
    }
    if deviates(time, reference) {
        record.mark(names::MARK_CLOCK);
    }
}

/// Whether a line's own time is too far from the time it is held against.
pub(crate) fn deviates(time: Timestamp, reference: Timestamp) -> bool {
    time.since(reference).max(reference.since(time)) > CLOCK_DEVIATION_MAX
}

/// What the line says of the common fields replaces what the record had of its own.
fn remove_known(record: &mut RecordEditor<'_>, chosen: &Chosen) {
    let roles = [
        (Role::Level, names::LEVEL),
        (Role::Service, names::SERVICE),
        (Role::Env, names::ENV),
        (Role::Trace, names::TRACE_ID),
        (Role::Span, names::SPAN_ID),
    ];
    for (role, name) in roles {
        let of_parent = matches!(role, Role::Trace | Role::Span) && chosen.traceparent().is_some();
        if chosen.get(role).is_some() || of_parent {
            record.remove(name);
        }
    }
}
