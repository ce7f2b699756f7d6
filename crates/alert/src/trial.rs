//! A notification for trying out a notifier.

use std::time::Duration;

use sawyer_model::Timestamp;

use crate::measure::link;
use crate::state::{Finding, Labels, Notification, Sample, Told, fingerprint};

/// A notification that says that it is one.
pub(crate) fn notification(id: String, notifier: String, public_url: &str, now: Timestamp) -> Notification {
    let labels: Labels = [("alertname", "test"), ("severity", "info")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let (from, query) = (now.saturating_sub(Duration::from_secs(300)), "level: error");
    let finding = Finding {
        value: 1.0,
        value_text: "1".to_owned(),
        threshold: ">= 1".to_owned(),
        window: "5m".to_owned(),
        matched: 1,
        total: None,
        from,
        to: now,
        query: query.to_owned(),
        samples: vec![Sample {
            time: now,
            origin: "sawyer".to_owned(),
            text: "a line of log as it would stand here".to_owned(),
        }],
        link: link(public_url, query, from, now),
        summary: format!("Sawyer tries out the notifier {notifier}"),
        description: "Nothing is wrong. Somebody asked for this message.".to_owned(),
        runbook: String::new(),
    };
    let told = Told {
        fingerprint: fingerprint(&labels),
        rule: "test".to_owned(),
        labels: labels.clone(),
        firing: true,
        starts: now,
        ends: None,
        finding,
    };
    Notification {
        id,
        notifier,
        group: labels,
        created: now,
        repeated: false,
        test: true,
        alerts: vec![told],
        truncated: 0,
    }
}
