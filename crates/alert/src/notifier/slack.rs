//! Slack: an incoming webhook, or `chat.postMessage` with a token.
//!
//! Owns: the message in Block Kit within its limits, what Slack's answers mean.
//! Source: Slack's reference of blocks and of `chat.postMessage` (api.slack.com), for the limits below.

use std::path::PathBuf;

use sawyer_config::{At, Problems, Secret, settings};
use sawyer_delivery::auth::CurrentSecret;
use sawyer_delivery::http::{
    Client, Compression, HeaderName, HeaderValue, HttpSettings, Method, Request, Url,
};
use sawyer_delivery::{Answer, Promise, Trouble};
use sawyer_model::Error;
use sawyer_telemetry::Clock;
use serde_json::{Value, json};

use super::{HttpPlan, Notify, check_url, hide, judged, secret, secret_url, trouble};
use crate::message;
use crate::state::{Notification, Told};
use crate::template::cut;

/// Bytes of the text of a section; Slack takes 3000 characters.
const SECTION_BYTES_MAX: usize = 2900;
/// Bytes of one field of a section; Slack takes 2000 characters.
const FIELD_BYTES_MAX: usize = 1900;
/// Bytes of a title; Slack takes 150 characters.
const HEADER_BYTES_MAX: usize = 148;
/// Bytes of the address behind a button; Slack takes 3000 characters.
const LINK_BYTES_MAX: usize = 2900;
/// Alerts with blocks of their own; with four blocks each they stay below the 50 of a message.
const ALERTS_SHOWN_MAX: usize = 10;
/// Bytes of the text that is shown where blocks are not.
const TEXT_BYTES_MAX: usize = 2900;

const POST_MESSAGE: &str = "https://slack.com/api/chat.postMessage";

settings! {
    /// A channel in Slack. Give the address of an incoming webhook, or a bot's token and a channel.
    pub struct SlackSettings {
        /// The address of an incoming webhook. It is a secret; better `url_file`, or `${NAME}` from the environment.
        pub url: Option<Secret>,
        /// A file with the address in it, which is read again when it changes.
        pub url_file: Option<PathBuf>,
        /// A bot's token with the scope `chat:write`, instead of a webhook.
        pub token: Option<Secret>,
        /// A file with the token in it, which is read again when it changes.
        pub token_file: Option<PathBuf>,
        /// The channel, with a token: its id, or `#name`.
        pub channel: Option<String>,
        /// Where the API is, with a token.
        pub api_url: String = POST_MESSAGE.to_owned(),
        /// Whether it is told that something is over.
        pub send_resolved: bool = true,
        /// How it is reached.
        pub http: HttpSettings = HttpSettings::default(),
    }
}

#[derive(Debug)]
pub(super) struct Plan {
    way: Way,
    http: HttpPlan,
}

#[derive(Debug)]
enum Way {
    Webhook(CurrentSecret),
    Token { token: CurrentSecret, channel: String, api: Url },
}

pub(super) struct Slack {
    way: Way,
    client: Client,
}

impl SlackSettings {
    pub(super) fn check(self, at: &At<'_>, problems: &mut Problems) -> Option<Plan> {
        let http = HttpPlan::check(self.http, at, problems);
        let by_token = self.token.is_some() || self.token_file.is_some() || self.channel.is_some();
        let by_webhook = self.url.is_some() || self.url_file.is_some();
        let way = match (by_webhook, by_token) {
            (true, true) | (false, false) => {
                problems.push(
                    at,
                    "expected either `url` (or `url_file`), or `token` (or `token_file`) and `channel`",
                );
                return None;
            }
            (true, false) => {
                let url = secret(self.url, self.url_file, "url", at, problems)?;
                check_url(&url, &at.key("url"), problems)?;
                Way::Webhook(url)
            }
            (false, true) => {
                let token = secret(self.token, self.token_file, "token", at, problems);
                let api = sawyer_delivery::http::read_url(&self.api_url, &at.key("api_url"), problems);
                if self.channel.is_none() {
                    problems.push(&at.key("channel"), "required with a token, and missing");
                }
                Way::Token { token: token?, channel: self.channel?, api: api? }
            }
        };
        Some(Plan { way, http: http? })
    }
}

impl Plan {
    pub(super) fn open(self, clock: &Clock) -> Result<Slack, Error> {
        Ok(Slack { client: self.http.open(None, clock)?, way: self.way })
    }
}

impl Notify for Slack {
    fn notify<'a>(&'a self, notification: &'a Notification) -> Promise<'a, Answer> {
        Box::pin(async move {
            let sent = match &self.way {
                Way::Webhook(url) => self.by_webhook(url, notification).await,
                Way::Token { token, channel, api } => self.by_token(token, channel, api, notification).await,
            };
            sent.unwrap_or_else(Answer::Failed)
        })
    }
}

impl Slack {
    async fn by_webhook(&self, url: &CurrentSecret, notification: &Notification) -> Result<Answer, Trouble> {
        let url = secret_url(url).await?;
        let response = self.client.send(request(&url, &payload(notification))).await;
        let response = response.map_err(|trouble| hide(trouble, &url))?;
        Ok(judged(&response))
    }

    async fn by_token(
        &self,
        token: &CurrentSecret,
        channel: &str,
        api: &Url,
        notification: &Notification,
    ) -> Result<Answer, Trouble> {
        let token = token.current().await.map_err(|error| trouble("settings", error.chain()))?;
        let mut payload = payload(notification);
        payload["channel"] = json!(channel);
        payload["unfurl_links"] = json!(false);
        let value = HeaderValue::try_from(format!("Bearer {}", token.expose()));
        let mut value =
            value.map_err(|_| trouble("settings", "its token cannot stand in a header".to_owned()))?;
        value.set_sensitive(true);
        let request = request(api, &payload).header(HeaderName::from_static("authorization"), value);
        let response = self.client.send(request).await?;
        if !(200..300).contains(&response.status) {
            return Ok(judged(&response));
        }
        let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        if answer["ok"] == true {
            return Ok(Answer::done(1));
        }
        let error = answer["error"].as_str().unwrap_or("an answer that is none of Slack's").to_owned();
        Ok(match error.as_str() {
            "invalid_blocks"
            | "invalid_blocks_format"
            | "msg_blocks_too_long"
            | "msg_too_long"
            | "no_text" => Answer::Refused(error),
            _ => Answer::failed("refused", format!("Slack says: {error}")),
        })
    }
}

fn request(url: &Url, payload: &Value) -> Request {
    let body = payload.to_string().into();
    Request::with_body(Method::POST, url.clone(), "application/json; charset=utf-8", Compression::None, body)
}

/// The message.
pub(crate) fn payload(notification: &Notification) -> Value {
    let title = message::title(notification);
    let sign = match (notification.test, notification.is_firing()) {
        (true, _) => ":wrench:",
        (false, true) => ":red_circle:",
        (false, false) => ":white_check_mark:",
    };
    let mut blocks = vec![json!({
        "type": "header",
        "text": {"type": "plain_text", "text": cut(&format!("{sign} {title}"), HEADER_BYTES_MAX), "emoji": true},
    })];
    for alert in notification.alerts.iter().take(ALERTS_SHOWN_MAX) {
        blocks.extend(alert_blocks(alert));
    }
    let further = notification.alerts.len().saturating_sub(ALERTS_SHOWN_MAX) + notification.truncated;
    if further > 0 {
        let text = format!("and {further} further alerts");
        blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": text}]}));
    }
    json!({"text": cut(&escape(&title), TEXT_BYTES_MAX), "blocks": blocks})
}

fn alert_blocks(alert: &Told) -> Vec<Value> {
    let finding = &alert.finding;
    let state = if alert.firing { "" } else { "~" };
    let mut text = format!("*{state}{}{state}*", escape(&finding.summary));
    if !finding.description.is_empty() {
        text.push_str(&format!("\n{}", escape(&finding.description)));
    }
    let fields: Vec<Value> = message::facts(alert)
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| {
            let text = cut(&format!("*{name}*\n{}", escape(&value)), FIELD_BYTES_MAX);
            json!({"type": "mrkdwn", "text": text})
        })
        .collect();
    let section = json!({"type": "mrkdwn", "text": cut(&text, SECTION_BYTES_MAX)});
    let mut blocks = vec![json!({"type": "section", "text": section, "fields": fields})];
    let samples = message::sample_lines(alert).join("\n").replace("```", "'''");
    if !samples.is_empty() {
        // Cut before it is escaped twice over: an entity is never torn.
        let mut keep = SECTION_BYTES_MAX - 8;
        let mut shown = escape(&cut(&samples, keep));
        while shown.len() > SECTION_BYTES_MAX - 8 {
            keep /= 2;
            shown = escape(&cut(&samples, keep));
        }
        blocks.push(json!({"type": "section", "text": {"type": "mrkdwn", "text": format!("```{shown}```")}}));
    }
    let mut buttons = Vec::new();
    for (label, link) in [("Open in Sawyer", &finding.link), ("What to do", &finding.runbook)] {
        let is_link = link.starts_with("http://") || link.starts_with("https://");
        if is_link && link.len() <= LINK_BYTES_MAX {
            buttons
                .push(json!({"type": "button", "text": {"type": "plain_text", "text": label}, "url": link}));
        }
    }
    if !buttons.is_empty() {
        blocks.push(json!({"type": "actions", "elements": buttons}));
    }
    blocks
}

/// The three characters that mean something in Slack's text.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
