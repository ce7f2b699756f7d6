//! Lines of a Kubernetes audit log: which time counts, how bad it is, a message for people.
//!
//! Owns: what of an audit event becomes the common fields.
//! Does not own: reading JSON (`codec`).
//! Source: Kubernetes API reference, audit.k8s.io/v1 Event.
//! Invariant: an event is changed once, and keeps all that it says; the line as written is kept.

use sawyer_model::{Level, NameId, RecordEditor, RecordRef, Timestamp, ValueRef, names};

/// A member that every audit event has, and hardly anything else.
pub(super) const AUDIT_ID: &str = "auditID";

/// What writes them.
const SERVICE: &str = "kube-apiserver";

/// Gives a record that was just parsed the common fields of an audit event, if it is one.
pub(super) fn apply(record: &mut RecordEditor<'_>, own_time: bool) {
    let view = record.as_ref();
    let text = |name: &str| view.get(name).and_then(ValueRef::as_str).unwrap_or_default();
    let is_event = !text(AUDIT_ID).is_empty() && text("apiVersion").starts_with("audit.k8s.io/");
    if !is_event || view.get_by_id(NameId::ORIGINAL).is_some() {
        return;
    }
    let (message, level) = (message(view), level(view));
    let said = [text("stageTimestamp"), text("requestReceivedTimestamp")];
    let time = said.into_iter().find_map(|time| Timestamp::parse(time).ok());
    record.rename_by_id(NameId::MESSAGE, NameId::ORIGINAL);
    record.set(names::MESSAGE, ValueRef::Str(&message));
    record.set(names::LEVEL, ValueRef::Str(level.name()));
    record.set(names::SERVICE, ValueRef::Str(SERVICE));
    if let Some(time) = time.filter(|_| own_time) {
        record.set_timestamp(time);
    }
}

/// `create pods/exec shop/web-0 by alice: 201`.
fn message(view: RecordRef<'_>) -> String {
    let text = |name: &str| view.get(name).and_then(ValueRef::as_str).unwrap_or_default();
    let mut message = text("verb").to_owned();
    let resource = text("objectRef.resource");
    if resource.is_empty() {
        message.extend([" ", text("requestURI")]);
    } else {
        message.extend([" ", resource]);
        if !text("objectRef.subresource").is_empty() {
            message.extend(["/", text("objectRef.subresource")]);
        }
        let (namespace, name) = (text("objectRef.namespace"), text("objectRef.name"));
        let between = if namespace.is_empty() || name.is_empty() { "" } else { "/" };
        if !namespace.is_empty() || !name.is_empty() {
            message.extend([" ", namespace, between, name]);
        }
    }
    message.extend([" by ", text("user.username")]);
    match code(view) {
        Some(code) => message.push_str(&format!(": {code}")),
        None => message.extend([": ", text("stage")]),
    }
    message
}

/// The level of an event is how much it tells, not how bad it is. What was answered says that; that something is not
/// there, or has changed meanwhile, is what controllers live with.
fn level(view: RecordRef<'_>) -> Level {
    let panicked = view.get("stage").and_then(ValueRef::as_str) == Some("Panic");
    match code(view) {
        _ if panicked => Level::Error,
        Some(500..) => Level::Error,
        Some(404 | 409 | 410) => Level::Info,
        Some(400..) => Level::Warn,
        _ => Level::Info,
    }
}

fn code(view: RecordRef<'_>) -> Option<i64> {
    match view.get("responseStatus.code") {
        Some(ValueRef::Int(code)) => Some(code),
        _ => None,
    }
}
