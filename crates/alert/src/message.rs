//! What a notification says to people, whatever it is written in.
//!
//! Owns: titles, the lines of an alert, and what names in a body's template stand for.
//! Does not own: the form at a receiver (`notifier`).

use sawyer_config::duration;

use crate::state::{Notification, Told};

/// Names that the template of a body fills in.
pub(crate) const NAMES: &[&str] = &[
    "id",
    "notifier",
    "status",
    "title",
    "summary",
    "description",
    "rule",
    "severity",
    "value",
    "threshold",
    "window",
    "query",
    "link",
    "runbook",
    "starts",
    "ends",
    "alerts",
    "samples",
];

/// The first line: what is the matter.
pub(crate) fn title(notification: &Notification) -> String {
    let firing = notification.alerts.iter().filter(|alert| alert.firing).count();
    let over = notification.alerts.len() - firing;
    let (all, first) = (notification.alerts.len() + notification.truncated, notification.alerts.first());
    let summary = first.map_or("", |alert| alert.finding.summary.as_str());
    let more = if all > 1 { format!(" (and {} more)", all - 1) } else { String::new() };
    let word = match (notification.test, firing, over) {
        (true, ..) => "TEST",
        (_, 0, _) => "RESOLVED",
        _ if notification.repeated => "STILL FIRING",
        _ => "FIRING",
    };
    format!("{word}: {summary}{more}")
}

/// Labels that say more than the rule's name does.
pub(crate) fn labels_text(alert: &Told) -> String {
    let own = alert.labels.iter().filter(|(name, _)| !["alertname", "severity"].contains(&name.as_str()));
    let labels: Vec<String> = own
        .map(
            |(name, value)| {
                if value.is_empty() { format!("{name}=(none)") } else { format!("{name}={value}") }
            },
        )
        .collect();
    labels.join(", ")
}

/// What is known of an alert: names and values, one after the other.
pub(crate) fn facts(alert: &Told) -> Vec<(&'static str, String)> {
    let finding = &alert.finding;
    let mut facts = vec![
        ("Value", finding.value_text.clone()),
        ("Threshold", finding.threshold.clone()),
        ("Window", finding.window.clone()),
        ("Severity", alert.labels.get("severity").cloned().unwrap_or_default()),
        ("Since", alert.starts.to_string()),
    ];
    if let Some(ends) = alert.ends {
        facts.push((
            "Over since",
            format!("{ends} (after {})", duration::print(round(ends.since(alert.starts)))),
        ));
    }
    let labels = labels_text(alert);
    if !labels.is_empty() {
        facts.push(("Labels", labels));
    }
    facts
}

fn round(time: std::time::Duration) -> std::time::Duration {
    std::time::Duration::from_secs(time.as_secs())
}

/// A sample on one line.
pub(crate) fn sample_lines(alert: &Told) -> Vec<String> {
    let line = |sample: &crate::state::Sample| match sample.origin.as_str() {
        "" => format!("{} {}", sample.time, sample.text),
        origin => format!("{} {origin} {}", sample.time, sample.text),
    };
    alert.finding.samples.iter().map(line).collect()
}

/// What a name in the template of a body stands for.
pub(crate) fn value_of(name: &str, notification: &Notification) -> Option<String> {
    let first = notification.alerts.first()?;
    let finding = &first.finding;
    Some(match name {
        "id" => notification.id.clone(),
        "notifier" => notification.notifier.clone(),
        "status" => status(notification.is_firing()).to_owned(),
        "title" => title(notification),
        "summary" => finding.summary.clone(),
        "description" => finding.description.clone(),
        "runbook" => finding.runbook.clone(),
        "rule" => first.rule.clone(),
        "value" => finding.value_text.clone(),
        "threshold" => finding.threshold.clone(),
        "window" => finding.window.clone(),
        "query" => finding.query.clone(),
        "link" => finding.link.clone(),
        "starts" => first.starts.to_string(),
        "ends" => first.ends.map(|ends| ends.to_string()).unwrap_or_default(),
        "alerts" => (notification.alerts.len() + notification.truncated).to_string(),
        "samples" => sample_lines(first).join("\n"),
        "severity" => first.labels.get("severity").cloned().unwrap_or_default(),
        _ => first.labels.get(name.strip_prefix("labels.")?)?.clone(),
    })
}

/// The word for it in messages to programs.
pub(crate) fn status(firing: bool) -> &'static str {
    if firing { "firing" } else { "resolved" }
}

/// All of a notification as plain text.
pub(crate) fn text(notification: &Notification) -> String {
    let mut text = format!("{}\n", title(notification));
    for alert in &notification.alerts {
        text.push_str(&format!("\n{}: {}\n", status(alert.firing), alert.finding.summary));
        if !alert.finding.description.is_empty() {
            text.push_str(&format!("{}\n", alert.finding.description));
        }
        for (name, value) in facts(alert) {
            text.push_str(&format!("  {name}: {value}\n"));
        }
        for line in sample_lines(alert) {
            text.push_str(&format!("  | {line}\n"));
        }
        if !alert.finding.runbook.is_empty() {
            text.push_str(&format!("  What to do: {}\n", alert.finding.runbook));
        }
        text.push_str(&format!("  {}\n", alert.finding.link));
    }
    if notification.truncated > 0 {
        text.push_str(&format!("\nand {} further alerts\n", notification.truncated));
    }
    text
}
