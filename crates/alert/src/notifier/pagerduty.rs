//! PagerDuty, by the Events API v2: an incident opens with an alert and closes with it.
//!
//! Owns: the event. Source: PagerDuty's developer documentation, "Send an Alert Event" (Events API v2).

use std::path::PathBuf;

use sawyer_config::{At, Problems, Secret, settings};
use sawyer_delivery::auth::CurrentSecret;
use sawyer_delivery::http::{Client, Compression, HttpSettings, Method, Request, Url, read_url};
use sawyer_delivery::{Answer, Promise, Trouble};
use sawyer_model::Error;
use sawyer_telemetry::Clock;
use serde_json::{Map, Value, json};

use super::{HttpPlan, Notify, judged, secret, trouble};
use crate::message;
use crate::state::{Notification, Told};
use crate::template::cut;

/// Bytes of a summary; PagerDuty takes 1024 characters.
const SUMMARY_BYTES_MAX: usize = 1000;

settings! {
    /// PagerDuty. Every alert is an incident of its own, which is resolved with it.
    pub struct PagerDutySettings {
        /// The integration key of a service (Events API v2). It is a secret; better `routing_key_file`, or `${NAME}`
        /// from the environment.
        pub routing_key: Option<Secret>,
        /// A file with the key in it, which is read again when it changes.
        pub routing_key_file: Option<PathBuf>,
        /// Where events go; in the EU service region `https://events.eu.pagerduty.com/v2/enqueue`.
        pub url: String = "https://events.pagerduty.com/v2/enqueue".to_owned(),
        /// How it is reached.
        pub http: HttpSettings = HttpSettings::default(),
    }
}

#[derive(Debug)]
pub(super) struct Plan {
    key: CurrentSecret,
    url: Url,
    http: HttpPlan,
}

pub(super) struct PagerDuty {
    key: CurrentSecret,
    url: Url,
    public_url: String,
    client: Client,
}

impl PagerDutySettings {
    pub(super) fn check(self, at: &At<'_>, problems: &mut Problems) -> Option<Plan> {
        let http = HttpPlan::check(self.http, at, problems);
        let key = secret(self.routing_key, self.routing_key_file, "routing_key", at, problems);
        let url = read_url(&self.url, &at.key("url"), problems);
        Some(Plan { key: key?, url: url?, http: http? })
    }
}

impl Plan {
    pub(super) fn open(self, public_url: &str, clock: &Clock) -> Result<PagerDuty, Error> {
        let client = self.http.open(Some(&self.url), clock)?;
        Ok(PagerDuty { key: self.key, url: self.url, public_url: public_url.to_owned(), client })
    }
}

impl Notify for PagerDuty {
    fn notify<'a>(&'a self, notification: &'a Notification) -> Promise<'a, Answer> {
        Box::pin(async move { self.send(notification).await.unwrap_or_else(Answer::Failed) })
    }
}

impl PagerDuty {
    async fn send(&self, notification: &Notification) -> Result<Answer, Trouble> {
        let key = self.key.current().await.map_err(|error| trouble("settings", error.chain()))?;
        // The engine makes a notification of each alert for this kind; were it several, each is an event. A trial
        // closes what it opened, so that no incident stays.
        let mut alerts: Vec<Told> = notification.alerts.clone();
        if notification.test {
            let over =
                |alert: &Told| Told { firing: false, ends: Some(notification.created), ..alert.clone() };
            alerts.extend(notification.alerts.iter().map(over));
        }
        for alert in &alerts {
            let body = event(key.expose(), alert, &self.public_url, notification.test).to_string().into();
            let request = Request::with_body(
                Method::POST,
                self.url.clone(),
                "application/json",
                Compression::None,
                body,
            );
            match judged(&self.client.send(request).await?) {
                Answer::Items { .. } => {}
                other => return Ok(other),
            }
        }
        Ok(Answer::done(1))
    }
}

/// The name of the incident: the same for what opens it and what closes it.
fn dedup_key(alert: &Told) -> String {
    format!("sawyer/{}/{}", alert.rule, alert.fingerprint)
}

/// The event for an alert.
pub(crate) fn event(routing_key: &str, alert: &Told, public_url: &str, test: bool) -> Value {
    let finding = &alert.finding;
    let action = if alert.firing { "trigger" } else { "resolve" };
    let label = |name: &str| alert.labels.get(name).map_or("", String::as_str);
    let mut details = Map::new();
    for (name, value) in message::facts(alert) {
        details.insert(name.to_lowercase(), json!(value));
    }
    details.insert("query".to_owned(), json!(finding.query));
    details.insert("labels".to_owned(), json!(alert.labels));
    let samples = message::sample_lines(alert);
    if !samples.is_empty() {
        details.insert("samples".to_owned(), json!(samples));
    }
    if !finding.description.is_empty() {
        details.insert("description".to_owned(), json!(finding.description));
    }
    let source = ["pod", "workload", "service", "namespace", "node"].map(label);
    let source = source.into_iter().find(|source| !source.is_empty()).unwrap_or("sawyer");
    let mut payload = json!({
        "summary": cut(&finding.summary, SUMMARY_BYTES_MAX),
        "source": source,
        "severity": label("severity"),
        "timestamp": alert.starts.to_string(),
        "class": alert.rule,
        "custom_details": details,
    });
    for (key, name) in [("component", "container"), ("group", "namespace")] {
        if !label(name).is_empty() {
            payload[key] = json!(label(name));
        }
    }
    let mut links = vec![json!({"href": finding.link, "text": "Open in Sawyer"})];
    if finding.runbook.starts_with("http") {
        links.push(json!({"href": finding.runbook, "text": "What to do"}));
    }
    json!({
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": dedup_key(alert),
        "client": if test { "Sawyer (test)" } else { "Sawyer" },
        "client_url": public_url,
        "links": links,
        "payload": payload,
    })
}
