//! Rules, alerts, silences and notifications as JSON.

use std::collections::BTreeMap;

use sawyer_alert::preview::Preview;
use sawyer_alert::settings::RuleSettings;
use sawyer_alert::state::{Alert, Fate, Notification, Past, Phase, State};
use sawyer_alert::{Entry, Kind, Origin, Rule, Silence};
use sawyer_config::duration;
use sawyer_model::Timestamp;
use serde_json::{Value, json};

fn time(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}

/// A rule with its state.
pub(super) fn rule(name: &str, entry: &Entry, state: &State, now: Timestamp) -> Value {
    let evaluated = state.rules.get(name).cloned().unwrap_or_default();
    let alerts: Vec<Value> = state
        .alerts
        .iter()
        .filter(|(_, alert)| alert.rule == name)
        .map(|(key, one)| alert(key, one, &state.silences, now))
        .collect();
    let has = |phase| state.alerts.values().any(|alert| alert.rule == name && alert.phase == phase);
    let word = match &entry.rule {
        Err(_) => "broken",
        Ok(rule) if !rule.settings.enabled => "off",
        Ok(_) if has(Phase::Firing) => "firing",
        Ok(_) if evaluated.error.is_some() => "error",
        Ok(_) if has(Phase::Pending) => "pending",
        Ok(_) if evaluated.no_data => "no_data",
        Ok(_) => "ok",
    };
    let mut shown = json!({
        "name": name,
        "origin": match entry.origin {
            Origin::File => "file",
            Origin::Api => "api",
        },
        "state": word,
        "problem": entry.rule.as_ref().err(),
        "text": entry.text,
        "alerts": alerts,
        "evaluation": {
            "at": time(evaluated.slot),
            "value": evaluated.value,
            "value_text": evaluated.value_text,
            "groups": evaluated.groups,
            "groups_left_out": evaluated.groups_left_out,
            "no_data": evaluated.no_data,
            "error": evaluated.error,
            "took_ms": evaluated.took_ms,
            "missed": evaluated.missed,
        },
    });
    if let Ok(rule) = &entry.rule {
        shown["kind"] = json!(kind(rule));
        shown["threshold"] = json!(rule.threshold_text());
        shown["settings"] = settings(&rule.settings);
    }
    shown
}

fn kind(rule: &Rule) -> &'static str {
    match rule.kind {
        Kind::Count(_) => "count",
        Kind::Ratio(_) => "ratio",
        Kind::Absence => "absent",
    }
}

/// The settings of a rule, as they would stand in its text.
fn settings(settings: &RuleSettings) -> Value {
    let text = |template: &Option<sawyer_alert::Template>| template.as_ref().map(ToString::to_string);
    json!({
        "query": settings.query.text(),
        "count": settings.count.map(|threshold| threshold.to_string()),
        "ratio": settings.ratio.map(|threshold| threshold.to_string()),
        "absent": settings.absent,
        "base": settings.base.as_ref().map(sawyer_alert::Kql::text),
        "group_by": settings.group_by,
        "groups_max": settings.groups_max,
        "window": duration::print(settings.window),
        "interval": duration::print(settings.interval),
        "for": duration::print(settings.r#for),
        "keep_firing_for": duration::print(settings.keep_firing_for),
        "lateness": duration::print(settings.lateness),
        "no_data": settings.no_data.as_str(),
        "seen_within": duration::print(settings.seen_within),
        "severity": settings.severity.as_str(),
        "labels": settings.labels,
        "summary": text(&settings.summary),
        "description": text(&settings.description),
        "runbook": text(&settings.runbook),
        "notify": settings.notify,
        "samples": settings.samples,
        "enabled": settings.enabled,
    })
}

/// An alert.
pub(super) fn alert(key: &str, alert: &Alert, silences: &BTreeMap<String, Silence>, now: Timestamp) -> Value {
    let silenced: Vec<&String> =
        silences.iter().filter(|(_, silence)| silence.holds(&alert.labels, now)).map(|(id, _)| id).collect();
    let finding = &alert.finding;
    json!({
        "fingerprint": key,
        "rule": alert.rule,
        "labels": alert.labels,
        "state": match alert.phase {
            Phase::Pending => "pending",
            Phase::Firing => "firing",
            Phase::Resolved => "resolved",
        },
        "since": alert.since.to_string(),
        "fired": time(alert.fired),
        "resolved": time(alert.resolved),
        "seen": alert.seen.to_string(),
        "silenced_by": silenced,
        "summary": finding.summary,
        "description": finding.description,
        "runbook": finding.runbook,
        "value": finding.value,
        "value_text": finding.value_text,
        "threshold": finding.threshold,
        "window": finding.window,
        "query": finding.query,
        "from": finding.from.to_string(),
        "to": finding.to.to_string(),
        "link": finding.link,
        "samples": finding.samples.iter().map(|sample| json!({
            "time": sample.time.to_string(),
            "origin": sample.origin,
            "text": sample.text,
        })).collect::<Vec<Value>>(),
    })
}

/// A silence, with how many alerts it holds for.
pub(super) fn silence(id: &str, silence: &Silence, state: &State, now: Timestamp) -> Value {
    let word = match (silence.is_active(now), now < silence.starts) {
        (true, _) => "active",
        (false, true) => "pending",
        (false, false) => "expired",
    };
    let alerts = state.alerts.values().filter(|alert| silence.holds(&alert.labels, now)).count();
    json!({
        "id": id,
        "state": word,
        "matchers": silence.matchers.iter().map(ToString::to_string).collect::<Vec<String>>(),
        "starts": silence.starts.to_string(),
        "ends": silence.ends.to_string(),
        "comment": silence.comment,
        "author": silence.author,
        "created": silence.created.to_string(),
        "alerts": alerts,
    })
}

/// A notification that was dealt with.
pub(super) fn past(past: &Past) -> Value {
    let (outcome, reason) = match &past.fate {
        Fate::Delivered => ("delivered", None),
        Fate::Rejected(reason) => ("rejected", Some(reason)),
        Fate::Dropped(reason) => ("dropped", Some(reason)),
    };
    json!({
        "id": past.id,
        "notifier": past.notifier,
        "status": if past.firing { "firing" } else { "resolved" },
        "repeated": past.repeated,
        "test": past.test,
        "rules": past.rules,
        "alerts": past.alerts,
        "summary": past.summary,
        "created": past.created.to_string(),
        "settled": past.settled.to_string(),
        "outcome": outcome,
        "reason": reason,
    })
}

/// A notification that is yet to be delivered.
pub(super) fn waiting(waiting: &Notification) -> Value {
    let mut shown = past(&waiting.clone().into_past(waiting.created, Fate::Delivered));
    (shown["outcome"], shown["settled"]) = (json!("waiting"), Value::Null);
    shown
}

/// What a rule would have said.
pub(super) fn preview(preview: &Preview) -> Value {
    let span = |(from, to): &(Timestamp, Timestamp)| json!({"from": from.to_string(), "to": to.to_string()});
    json!({
        "start": preview.start.to_string(),
        "end": preview.end.to_string(),
        "step": duration::print(preview.step),
        "threshold": preview.limit,
        "times_ms": preview.moments.iter().map(|moment| moment.millis()).collect::<Vec<i64>>(),
        "series": preview.series.iter().map(|series| json!({
            "labels": series.labels.iter().cloned().collect::<BTreeMap<String, String>>(),
            "values": series.values,
            "firing": series.firing.iter().map(span).collect::<Vec<Value>>(),
        })).collect::<Vec<Value>>(),
        "groups_left_out": preview.groups_left_out,
    })
}
