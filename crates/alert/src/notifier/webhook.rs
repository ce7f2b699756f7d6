//! Any HTTP server: the body of Alertmanager's webhook, version 4, or one of the user's making.
//!
//! Owns: the body. Source: Prometheus' documentation of Alertmanager, "webhook_config".

use std::collections::BTreeMap;
use std::path::PathBuf;

use sawyer_config::{At, Problems, Secret, settings};
use sawyer_delivery::auth::CurrentSecret;
use sawyer_delivery::http::{Client, Compression, HeaderName, HeaderValue, HttpSettings, Method, Request};
use sawyer_delivery::{Answer, Promise, Trouble};
use sawyer_model::Error;
use sawyer_telemetry::Clock;
use serde_json::{Value, json};

use super::{HttpPlan, Notify, check_url, hide, judged, secret, secret_url};
use crate::message::{self, status};
use crate::state::{Labels, Notification, Told, group_key};
use crate::template::Template;

/// What stands for "it is not over yet".
const NO_END: &str = "0001-01-01T00:00:00Z";

settings! {
    /// Any HTTP server. It gets the body of Alertmanager's webhook (version 4), or one of your making.
    pub struct WebhookSettings {
        /// Where to. It is kept out of messages but for its host; better `url_file` if there is a secret in it.
        pub url: Option<Secret>,
        /// A file with the address in it, which is read again when it changes.
        pub url_file: Option<PathBuf>,
        /// Headers to add. Their values are kept out of messages.
        pub headers: BTreeMap<String, Secret> = BTreeMap::new(),
        /// The body, a template, instead of Alertmanager's. Write `{{ summary | json }}` for a string of JSON.
        pub body: Option<Template>,
        /// What the body is called.
        pub content_type: String = "application/json".to_owned(),
        /// Whether it is told that something is over.
        pub send_resolved: bool = true,
        /// How it is reached.
        pub http: HttpSettings = HttpSettings::default(),
    }
}

#[derive(Debug)]
pub(super) struct Plan {
    url: CurrentSecret,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Option<Template>,
    http: HttpPlan,
}

pub(super) struct Webhook {
    url: CurrentSecret,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Option<Template>,
    public_url: String,
    client: Client,
}

impl WebhookSettings {
    pub(super) fn check(self, at: &At<'_>, problems: &mut Problems) -> Option<Plan> {
        let before = problems.len();
        let http = HttpPlan::check(self.http, at, problems);
        let url = secret(self.url, self.url_file, "url", at, problems);
        if let Some(url) = &url {
            let _reported = check_url(url, &at.key("url"), problems);
        }
        if let Some(body) = &self.body
            && let Err(errors) = body.check(message::NAMES, None)
        {
            errors.iter().for_each(|error| problems.push(&at.key("body"), error.drawn(body.text())));
        }
        let mut headers = Vec::new();
        let content_type = ("content-type".to_owned(), Secret::new(self.content_type));
        for (name, value) in [content_type].into_iter().chain(self.headers) {
            match HeaderName::try_from(&name).ok().zip(HeaderValue::try_from(value.expose()).ok()) {
                Some((header, mut value)) => {
                    value.set_sensitive(true);
                    headers.push((header, value));
                }
                None => problems.push(&at.key("headers").key(&name), "cannot stand as a header of HTTP"),
            }
        }
        let plan = Plan { url: url?, headers, body: self.body, http: http? };
        (problems.len() == before).then_some(plan)
    }
}

impl Plan {
    pub(super) fn open(self, public_url: &str, clock: &Clock) -> Result<Webhook, Error> {
        let client = self.http.open(None, clock)?;
        let public_url = public_url.to_owned();
        Ok(Webhook { url: self.url, headers: self.headers, body: self.body, public_url, client })
    }
}

impl Notify for Webhook {
    fn notify<'a>(&'a self, notification: &'a Notification) -> Promise<'a, Answer> {
        Box::pin(async move { self.send(notification).await.unwrap_or_else(Answer::Failed) })
    }
}

impl Webhook {
    async fn send(&self, notification: &Notification) -> Result<Answer, Trouble> {
        let url = secret_url(&self.url).await?;
        let body = match &self.body {
            Some(template) => template.render(&|name| message::value_of(name, notification)),
            None => payload(notification, &self.public_url).to_string(),
        };
        let mut request =
            Request::with_body(Method::POST, url.clone(), "application/json", Compression::None, body.into());
        if let Ok(id) = HeaderValue::try_from(&notification.id) {
            request.headers.insert(HeaderName::from_static("idempotency-key"), id);
        }
        for (name, value) in &self.headers {
            request.headers.insert(name.clone(), value.clone());
        }
        let response = self.client.send(request).await.map_err(|trouble| hide(trouble, &url))?;
        Ok(judged(&response))
    }
}

/// The body of Alertmanager's webhook.
pub(crate) fn payload(notification: &Notification, public_url: &str) -> Value {
    let labels = |alert: &Told| alert.labels.clone();
    json!({
        "version": "4",
        "groupKey": group_key(&notification.notifier, &notification.group),
        "truncatedAlerts": notification.truncated,
        "status": status(notification.is_firing()),
        "receiver": notification.notifier,
        "groupLabels": notification.group,
        "commonLabels": common(&notification.alerts, labels),
        "commonAnnotations": common(&notification.alerts, annotations),
        "externalURL": public_url,
        "alerts": notification.alerts.iter().map(alert).collect::<Vec<Value>>(),
    })
}

fn alert(alert: &Told) -> Value {
    json!({
        "status": status(alert.firing),
        "labels": alert.labels,
        "annotations": annotations(alert),
        "startsAt": alert.starts.to_string(),
        "endsAt": alert.ends.map_or_else(|| NO_END.to_owned(), |ends| ends.to_string()),
        "generatorURL": alert.finding.link,
        "fingerprint": alert.fingerprint,
    })
}

fn annotations(alert: &Told) -> Labels {
    let finding = &alert.finding;
    let samples = message::sample_lines(alert).join("\n");
    let all = [
        ("summary", finding.summary.clone()),
        ("description", finding.description.clone()),
        ("runbook_url", finding.runbook.clone()),
        ("value", finding.value_text.clone()),
        ("threshold", finding.threshold.clone()),
        ("window", finding.window.clone()),
        ("query", finding.query.clone()),
        ("samples", samples),
    ];
    all.into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn common(alerts: &[Told], of: impl Fn(&Told) -> Labels) -> Labels {
    let mut all = alerts.iter().map(of);
    let mut common = all.next().unwrap_or_default();
    for labels in all {
        common.retain(|name, value| labels.get(name) == Some(value));
    }
    common
}
