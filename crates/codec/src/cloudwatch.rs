//! Events of CloudWatch Logs as records, whichever way they come: by its API, or in what its subscriptions send.
//!
//! Owns: the names of where an event was, the name by which it is known.
//! Does not own: how events are asked for or packed (`firehose`, `input`).
//! Invariant: an event is the same record whichever way and however often it comes.

use sawyer_model::{Timestamp, ValueRef};

use crate::fields::FieldSink;
use crate::pushed::{Intake, Name, Refused, Said};

/// Where an event was.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The number of the account; empty if it is not known.
    pub account: &'a str,
    /// The log group.
    pub group: &'a str,
    /// The log stream.
    pub stream: &'a str,
}

/// One event.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Its id, of which there is one in a group.
    pub id: &'a str,
    /// Its time in milliseconds; that of arrival if there is none.
    pub millis: Option<i64>,
    /// What was logged.
    pub message: &'a str,
}

/// Takes an event, with these fields beside its place.
///
/// # Errors
/// As of [`Intake::write`].
pub fn take(
    place: Place<'_>,
    event: Event<'_>,
    common: &[(String, String)],
    intake: &mut Intake,
) -> Result<(), Refused> {
    let Place { account, group, stream } = place;
    let fields = intake.begin();
    for (name, value) in [("aws.account", account), ("aws.log_group", group), ("aws.log_stream", stream)] {
        if !value.is_empty() {
            fields.field(name, ValueRef::Str(value));
        }
    }
    common.iter().for_each(|(name, value)| fields.field(name, ValueRef::Str(value)));
    let timestamp = event.millis.map(|millis| Timestamp::from_nanos(millis.saturating_mul(1_000_000)));
    let name =
        (!event.id.is_empty()).then_some(Name { scope: ["cloudwatch_logs", account, group], id: event.id });
    let message = event.message.strip_suffix('\n').unwrap_or(event.message);
    intake.write(&Said { timestamp, message: Some(message.as_bytes()), name, ..Said::default() })?;
    Ok(())
}
