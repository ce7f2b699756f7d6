//! Those who are told.
//!
//! Owns: the kinds of notifiers, what they share (secrets, clients, hiding secrets in messages).
//! Does not own: when something is told (`engine`), trying again (`delivery`).
//! Invariant: a notifier tries once and says what became of it; no secret of its settings is in what it says.

mod email;
mod pagerduty;
mod slack;
mod webhook;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use sawyer_config::{At, Problems, Secret, kinds};
use sawyer_delivery::auth::{AuthPlan, CurrentSecret};
use sawyer_delivery::http::{Client, HttpSettings, Judgement, Response, Url, judge};
use sawyer_delivery::{Answer, Promise, Trouble};
use sawyer_model::Error;
use sawyer_telemetry::Clock;

use crate::engine::Trait;
use crate::state::Notification;

pub use email::{EmailSettings, Encryption};
pub use pagerduty::PagerDutySettings;
pub use slack::SlackSettings;
pub use webhook::WebhookSettings;

kinds! {
    /// Whom to tell.
    pub enum NotifierSettings: "notifier" {
        /// A channel in Slack.
        Slack(SlackSettings) = "slack",
        /// E-mail.
        Email(EmailSettings) = "email",
        /// PagerDuty, by the Events API v2.
        PagerDuty(PagerDutySettings) = "pagerduty",
        /// Any HTTP server.
        Webhook(WebhookSettings) = "webhook",
    }
}

/// A notifier, checked.
#[derive(Debug)]
pub(crate) struct NotifierPlan {
    pub(crate) kind: &'static str,
    pub(crate) about: Trait,
    how: How,
}

#[derive(Debug)]
enum How {
    Slack(slack::Plan),
    Email(email::Plan),
    PagerDuty(pagerduty::Plan),
    Webhook(webhook::Plan),
}

/// Tells one notification to somebody.
pub(crate) trait Notify: Send + Sync {
    /// Tries once.
    fn notify<'a>(&'a self, notification: &'a Notification) -> Promise<'a, Answer>;
}

impl NotifierSettings {
    pub(crate) fn check(self, at: &At<'_>, problems: &mut Problems) -> Option<NotifierPlan> {
        let kind = self.kind();
        let (how, alone, resolved) = match self {
            Self::Slack(settings) => {
                let resolved = settings.send_resolved;
                (How::Slack(settings.check(at, problems)?), false, resolved)
            }
            Self::Email(settings) => {
                let resolved = settings.send_resolved;
                (How::Email(settings.check(at, problems)?), false, resolved)
            }
            Self::PagerDuty(settings) => (How::PagerDuty(settings.check(at, problems)?), true, true),
            Self::Webhook(settings) => {
                let resolved = settings.send_resolved;
                (How::Webhook(settings.check(at, problems)?), false, resolved)
            }
        };
        Some(NotifierPlan { kind, about: Trait { alone, resolved }, how })
    }
}

impl NotifierPlan {
    pub(crate) fn open(self, public_url: &str, clock: &Clock) -> Result<Box<dyn Notify>, Error> {
        Ok(match self.how {
            How::Slack(plan) => Box::new(plan.open(clock)?),
            How::Email(plan) => Box::new(plan.open()?),
            How::PagerDuty(plan) => Box::new(plan.open(public_url, clock)?),
            How::Webhook(plan) => Box::new(plan.open(public_url, clock)?),
        })
    }
}

/// Exactly one of a secret and a file with one in it.
fn secret(
    secret: Option<Secret>,
    file: Option<PathBuf>,
    name: &str,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<CurrentSecret> {
    match (secret, file) {
        (Some(secret), None) if secret.expose().trim().is_empty() => {
            problems.push(&at.key(name), "expected a secret, found an empty text");
            None
        }
        (Some(secret), None) => Some(CurrentSecret::fixed(secret)),
        (None, Some(file)) => Some(CurrentSecret::file(file)),
        _ => {
            problems.push(at, format!("expected either `{name}` or `{name}_file`"));
            None
        }
    }
}

/// Settings of a connection, checked.
#[derive(Debug)]
struct HttpPlan {
    settings: HttpSettings,
    auth: Option<AuthPlan>,
}

impl HttpPlan {
    fn check(mut settings: HttpSettings, at: &At<'_>, problems: &mut Problems) -> Option<Self> {
        let at = at.key("http");
        let auth = match settings.auth.take() {
            Some(auth) => Some(auth.check(&at.key("auth"), problems)?),
            None => None,
        };
        if settings.tls.cert_file.is_some() != settings.tls.key_file.is_some() {
            problems.push(&at.key("tls"), "expected both `cert_file` and `key_file`, or neither");
            return None;
        }
        Some(Self { settings, auth })
    }

    /// A client. Where to is not known before the secret with it is read, so both ways have to be possible.
    fn open(self, endpoint: Option<&Url>, clock: &Clock) -> Result<Client, Error> {
        let authorize = self.auth.map(|auth| auth.open(clock)).transpose()?;
        let any = Url::parse("https://localhost/").expect("it is an address");
        Client::new(self.settings, &[endpoint.cloned().unwrap_or(any)], authorize, clock.clone())
    }
}

/// An address that is a secret.
async fn secret_url(secret: &CurrentSecret) -> Result<Url, Trouble> {
    let text = secret.current().await.map_err(|error| trouble("settings", error.chain()))?;
    let url = Url::parse(text.expose().trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.ok_or_else(|| trouble("settings", "its address is not one that begins with https://".to_owned()))
}

/// What is wrong with an address that stands in the settings.
fn check_url(secret: &CurrentSecret, at: &At<'_>, problems: &mut Problems) -> Option<()> {
    let CurrentSecret::Fixed(text) = secret else { return Some(()) };
    let good = Url::parse(text.expose().trim()).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if !good {
        problems.push(at, "expected an address such as \"https://hooks.example/x\"");
    }
    good.then_some(())
}

fn trouble(reason: &'static str, detail: String) -> Trouble {
    Trouble { reason, detail, after: None }
}

/// Takes the path of an address that is a secret out of what is told.
fn hide(mut trouble: Trouble, url: &Url) -> Trouble {
    for secret in [url.path(), url.query().unwrap_or_default()] {
        if secret.len() > 1 {
            trouble.detail = trouble.detail.replace(secret, "/…");
        }
    }
    trouble
}

/// What an answer means for the one notification of its request.
fn judged(response: &Response) -> Answer {
    match judge(response) {
        Judgement::Done => Answer::done(1),
        Judgement::TooLarge => Answer::TooLarge,
        Judgement::Refused(reason) => Answer::Refused(reason),
        Judgement::Failed(trouble) => Answer::Failed(trouble),
    }
}
