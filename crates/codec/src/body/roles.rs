//! Which of a line's fields is its message, level, time …
//!
//! Owns: the names that other programs use for the common fields, in order of preference, and their values.
//! Does not own: what happens to the fields that are chosen or not (`apply`).
//! Invariant: a field is chosen only if its value makes sense in its role; of several the most preferred.

use sawyer_model::{Level, Timestamp, ValueRef, names};

use crate::fields::Fields;
use crate::pushed::SAID;
use crate::time;

/// What a field is for the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Message,
    Level,
    Time,
    Service,
    Env,
    Trace,
    Span,
}

const ROLES: usize = 7;

/// The fields that fill the roles.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    /// Rank and number of the field, by role.
    best: [Option<(u8, usize)>; ROLES],
    /// What the level's field says.
    pub(crate) level: Option<Level>,
    /// What the time's field says.
    pub(crate) time: Option<Timestamp>,
    /// A field that is the message by structlog's custom, if nothing else is.
    event: Option<usize>,
    /// Trace and span of a `traceparent`, where no other field tells a trace.
    traceparent: Option<(String, String)>,
}

/// What the name of a field tells.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Class {
    /// What it may be for the record, and how much the name is preferred (0 the most).
    role: Option<(Role, u8)>,
    /// What else it may tell.
    hint: Option<Hint>,
    /// Whether only Sawyer gives the name.
    pub(crate) reserved: bool,
    /// Whether it is a name of identity.
    pub(crate) identity: bool,
    /// Whether it is one of those that a sender may say.
    pub(crate) said: bool,
}

/// Fields that say something in some programs' lines only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hint {
    /// structlog's message.
    Event,
    /// MongoDB's level.
    Letter,
    /// GELF's level.
    Level,
    /// The header by which programs pass a trace on.
    Traceparent,
}

impl Class {
    pub(crate) fn of(name: &str) -> Self {
        let hint = match name {
            "event" => Some(Hint::Event),
            "s" => Some(Hint::Letter),
            "level" => Some(Hint::Level),
            name if is_traceparent_name(name) => Some(Hint::Traceparent),
            _ => None,
        };
        Self {
            role: role(name),
            hint,
            reserved: super::is_reserved(name),
            identity: names::IDENTITY_NAMES.contains(&name),
            said: SAID.contains(&name),
        }
    }

    /// What a field of this name may be for the record.
    pub(super) fn role(self) -> Option<(Role, u8)> {
        self.role
    }

    /// Whether what it tells depends on other fields, or is told of several.
    pub(super) fn depends(self) -> bool {
        matches!(self.hint, Some(Hint::Event | Hint::Letter | Hint::Traceparent))
    }

    /// Whether a field of this name can be chosen for a role.
    pub(crate) fn may_be_chosen(self) -> bool {
        self.role.is_some() || self.hint.is_some()
    }
}

/// The role of a field by its name, and how much the name is preferred (0 the most).
fn role(name: &str) -> Option<(Role, u8)> {
    use Role::{Env, Level, Message, Service, Span, Time, Trace};
    Some(match name {
        "message" => (Message, 0),
        "msg" => (Message, 1),
        "@message" => (Message, 2),
        "log" => (Message, 3),
        "short_message" => (Message, 4),
        "@m" => (Message, 5),
        "@mt" => (Message, 6),
        "level" => (Level, 0),
        "severity" => (Level, 1),
        "lvl" => (Level, 2),
        "log.level" => (Level, 3),
        "loglevel" | "log_level" | "logLevel" => (Level, 4),
        "levelname" | "level_name" => (Level, 5),
        "severity_text" | "severityText" | "SeverityText" => (Level, 6),
        "severity_number" | "severityNumber" | "SeverityNumber" => (Level, 7),
        "@level" | "@l" => (Level, 8),
        "error_severity" => (Level, 9),
        "timestamp" => (Time, 0),
        "@timestamp" => (Time, 1),
        "time" => (Time, 2),
        "ts" => (Time, 3),
        "datetime" | "date_time" => (Time, 4),
        "asctime" => (Time, 5),
        "t" | "@t" | "t.$date" => (Time, 6),
        "timeMillis" => (Time, 7),
        "service" => (Service, 0),
        "service.name" => (Service, 1),
        "service_name" | "serviceName" => (Service, 2),
        "dd.service" => (Service, 3),
        "env" => (Env, 0),
        "environment" => (Env, 1),
        "deployment.environment" | "deployment.environment.name" => (Env, 2),
        "dd.env" => (Env, 3),
        "trace_id" => (Trace, 0),
        "traceId" | "traceID" | "traceid" | "TraceId" => (Trace, 1),
        "trace.id" => (Trace, 2),
        "otelTraceID" => (Trace, 3),
        "dd.trace_id" => (Trace, 4),
        "@tr" => (Trace, 5),
        "span_id" => (Span, 0),
        "spanId" | "spanID" | "spanid" | "SpanId" => (Span, 1),
        "span.id" => (Span, 2),
        "otelSpanID" => (Span, 3),
        "dd.span_id" => (Span, 4),
        "@sp" => (Span, 5),
        _ => return None,
    })
}

impl Chosen {
    /// Looks through the fields of a line, which were read from `text`.
    pub(crate) fn of(fields: &Fields, text: &str, observed: Timestamp) -> Self {
        let mut chosen = Self::default();
        let (mut event, mut gelf, mut mongo, mut parent) = (None, None, None, None);
        for at in 0..fields.slots() {
            let Some(class) = fields.class(at).filter(|class| class.may_be_chosen()) else { continue };
            let Some(value) = fields.single(at, text) else { continue };
            match (class.hint, value) {
                (Some(Hint::Event), ValueRef::Str(text)) if !text.is_empty() => event = Some(at),
                (Some(Hint::Level), ValueRef::Int(number @ 0..=7)) => gelf = Some((at, number as u8)),
                (Some(Hint::Letter), ValueRef::Str(letter)) => mongo = Some((at, letter)),
                (Some(Hint::Traceparent), ValueRef::Str(text)) => parent = read_traceparent(text),
                _ => {}
            }
            if let Some((role, rank)) = class.role {
                chosen.consider(role, rank, at, value, observed);
            }
        }
        chosen.consider_dialects(fields, gelf, mongo);
        let logged = chosen.level.is_some() && chosen.time.is_some();
        chosen.event = event.filter(|_| logged && chosen.get(Role::Message).is_none());
        let untold = chosen.get(Role::Trace).is_none() && chosen.get(Role::Span).is_none();
        let told = parent.filter(|_| untold);
        chosen.traceparent = told.map(|(trace, span)| (trace.to_owned(), span.to_owned()));
        chosen
    }

    /// Something else is the message.
    pub(crate) fn forget_message(&mut self) {
        self.best[Role::Message as usize] = None;
        self.event = None;
    }

    /// Something else tells the time.
    pub(crate) fn forget_time(&mut self) {
        self.best[Role::Time as usize] = None;
        self.time = None;
    }

    /// The number of the field in this role.
    pub(crate) fn get(&self, role: Role) -> Option<usize> {
        self.best[role as usize].map(|(_, at)| at)
    }

    /// The number of the field that tells the time.
    pub(crate) fn time_field(&self) -> Option<usize> {
        self.get(Role::Time)
    }

    /// The text of the message.
    pub(crate) fn message<'f>(&self, fields: &'f Fields, text: &'f str) -> Option<&'f str> {
        self.get(Role::Message).or(self.event).and_then(|at| fields.single(at, text)?.as_str())
    }

    /// Trace and span that a `traceparent` tells, if nothing else tells them.
    pub(crate) fn traceparent(&self) -> Option<(&str, &str)> {
        self.traceparent.as_ref().map(|(trace, span)| (trace.as_str(), span.as_str()))
    }

    /// Whether the field that has the message also stays under its own name.
    pub(crate) fn message_is_copied(&self) -> bool {
        self.event.is_some()
    }

    /// The role of the field with this number.
    pub(crate) fn role_of(&self, at: usize) -> Option<Role> {
        use Role::{Env, Level, Message, Service, Span, Time, Trace};
        [Message, Level, Time, Service, Env, Trace, Span].into_iter().find(|role| self.get(*role) == Some(at))
    }

    fn consider(&mut self, role: Role, rank: u8, at: usize, value: ValueRef<'_>, observed: Timestamp) {
        if self.best[role as usize].is_some_and(|(best, _)| best <= rank) {
            return;
        }
        match told(role, rank, value, observed) {
            None => return,
            Some(Told::Itself) => {}
            Some(Told::Level(level)) => self.level = Some(level),
            Some(Told::Time(time)) => self.time = Some(time),
        }
        self.best[role as usize] = Some((rank, at));
    }

    /// GELF writes syslog's numbers, MongoDB a letter; both only where the rest of the line says who writes.
    fn consider_dialects(
        &mut self,
        fields: &Fields,
        gelf: Option<(usize, u8)>,
        mongo: Option<(usize, &str)>,
    ) {
        if self.level.is_some() {
            return;
        }
        let named = |role: Role, name: &str| {
            self.get(role).and_then(|at| fields.name(at)).is_some_and(|known| known == name)
        };
        let found = if named(Role::Message, "short_message") {
            gelf.map(|(at, number)| (at, Level::from_syslog(number)))
        } else if named(Role::Time, "t.$date") {
            mongo.map(|(at, letter)| (at, level_of_text(letter)))
        } else {
            None
        };
        if let Some((at, Some(level))) = found {
            self.level = Some(level);
            self.best[Role::Level as usize] = Some((0, at));
        }
    }
}

/// What a value tells in a role.
pub(super) enum Told {
    /// A level.
    Level(Level),
    /// A time.
    Time(Timestamp),
    /// What it says.
    Itself,
}

/// What a value tells in a role, by a name of this rank, if it makes sense there.
#[inline]
pub(super) fn told(role: Role, rank: u8, value: ValueRef<'_>, observed: Timestamp) -> Option<Told> {
    match role {
        Role::Level if rank == 7 => opentelemetry_level(value).map(Told::Level),
        Role::Level => level_of(value).map(Told::Level),
        Role::Time => time_of(value, observed).map(Told::Time),
        Role::Message | Role::Service | Role::Env => {
            value.as_str().is_some_and(|text| !text.is_empty()).then_some(Told::Itself)
        }
        Role::Trace | Role::Span => is_id(value).then_some(Told::Itself),
    }
}

/// Whether a field has the header by which programs pass a trace on: itself, or among the headers of a request.
fn is_traceparent_name(name: &str) -> bool {
    const HEADER: &str = "traceparent";
    let Some(at) = name.len().checked_sub(HEADER.len()) else { return false };
    name.is_char_boundary(at)
        && name[at..].eq_ignore_ascii_case(HEADER)
        && (at == 0 || matches!(name.as_bytes()[at - 1], b'.' | b'_'))
}

/// Trace and span of `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01` (W3C Trace Context, "traceparent").
fn read_traceparent(text: &str) -> Option<(&str, &str)> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let said = |part: &str| part.bytes().any(|byte| byte != b'0');
    let known = hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
    (known && hex(trace, 32) && hex(span, 16) && hex(flags, 2) && said(trace) && said(span))
        .then_some((trace, span))
}

/// A level by its name or by pino's and bunyan's number.
fn level_of(value: ValueRef<'_>) -> Option<Level> {
    match value {
        ValueRef::Str(text) => level_of_text(text),
        ValueRef::Int(number) => pino_level(number),
        _ => None,
    }
}

/// A level by its name, by PostgreSQL's and MongoDB's numbered debug levels, or by its letter.
pub(crate) fn level_of_text(text: &str) -> Option<Level> {
    Level::from_name(text).or_else(|| {
        let text = text.trim_ascii();
        Some(match text {
            "T" | "V" => Level::Trace,
            "D" => Level::Debug,
            "I" | "N" => Level::Info,
            "W" => Level::Warn,
            "E" => Level::Error,
            "F" | "C" => Level::Fatal,
            "fail" => Level::Error,
            _ => {
                let number = text.strip_prefix("DEBUG").or_else(|| text.strip_prefix('D'));
                let debug = matches!(number, Some("1" | "2" | "3" | "4" | "5")).then_some(Level::Debug);
                return debug.or_else(|| Level::from_name(text));
            }
        })
    })
}

fn pino_level(number: i64) -> Option<Level> {
    Some(match number {
        10 => Level::Trace,
        20 => Level::Debug,
        30 => Level::Info,
        40 => Level::Warn,
        50 => Level::Error,
        60 => Level::Fatal,
        _ => return None,
    })
}

/// OpenTelemetry's severity numbers (logs data model, "SeverityNumber").
fn opentelemetry_level(value: ValueRef<'_>) -> Option<Level> {
    let ValueRef::Int(number @ 1..=24) = value else { return None };
    Some(Level::ALL[(number as usize - 1) / 4])
}

fn time_of(value: ValueRef<'_>, observed: Timestamp) -> Option<Timestamp> {
    match value {
        ValueRef::Timestamp(time) => Some(time),
        ValueRef::Str(text) => time::parse(text, observed),
        ValueRef::Int(number) => time::from_epoch(number),
        ValueRef::Float(number) => time::from_epoch_float(number),
        _ => None,
    }
}

/// A number or text that is not all zeros: tracers write those where there is no trace.
fn is_id(value: ValueRef<'_>) -> bool {
    match value {
        ValueRef::Int(number) => number != 0,
        ValueRef::Str(text) => text.bytes().any(|byte| byte != b'0'),
        _ => false,
    }
}
