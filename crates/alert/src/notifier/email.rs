//! E-mail over SMTP, by `lettre`: text and HTML, STARTTLS or TLS, a user and a password.
//!
//! Owns: the mail, what the answers of an SMTP server mean.
//! Invariant: a mail that is sent twice has the same `Message-ID`, so that readers show it once.

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart};
use lettre::transport::smtp::AsyncSmtpTransport;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncTransport, Tokio1Executor};
use sawyer_config::{At, Problems, Secret, choice, settings};
use sawyer_delivery::auth::CurrentSecret;
use sawyer_delivery::{Answer, Promise, Trouble};
use sawyer_model::Error;

use super::{Notify, secret, trouble};
use crate::message;
use crate::state::{Notification, fingerprint};
use crate::template::cut;

/// Bytes of a subject; longer ones are cut by readers anyway.
const SUBJECT_BYTES_MAX: usize = 200;

choice! {
    /// How the connection is protected.
    pub enum Encryption {
        /// Begins in plain text and goes on encrypted; without that nothing is sent.
        Starttls = "starttls",
        /// Encrypted from the start.
        Tls = "tls",
        /// Not at all: for a relay on the same machine.
        None = "none",
    }
}

settings! {
    /// E-mail through an SMTP server.
    pub struct EmailSettings {
        /// The server's name.
        pub host: String,
        /// Its port; by default 587 with `starttls`, 465 with `tls`, 25 without.
        pub port: Option<u16>,
        /// How the connection is protected.
        pub encryption: Encryption = Encryption::Starttls,
        /// A file with certificate authorities to trust instead of the system's (PEM).
        pub ca_file: Option<PathBuf>,
        /// The user to log in as.
        pub user: Option<String>,
        /// The password; better `password_file`, or `${NAME}` from the environment.
        pub password: Option<Secret>,
        /// A file with the password in it, which is read again when it changes.
        pub password_file: Option<PathBuf>,
        /// Who sends, such as `Sawyer <sawyer@example.com>`.
        pub from: String,
        /// Who is told, one or several.
        pub to: Vec<String>,
        /// Whether it is told that something is over.
        pub send_resolved: bool = true,
        /// Longest wait for a whole mail to be taken, before it is tried again.
        #[range(Duration::from_millis(100)..=Duration::from_secs(600))]
        pub timeout: Duration = Duration::from_secs(60),
    }
}

#[derive(Debug)]
pub(super) struct Plan {
    host: String,
    port: u16,
    encryption: Encryption,
    ca_file: Option<PathBuf>,
    login: Option<(String, CurrentSecret)>,
    from: Mailbox,
    to: Vec<Mailbox>,
    timeout: Duration,
}

pub(super) struct Email(Plan);

impl EmailSettings {
    pub(super) fn check(self, at: &At<'_>, problems: &mut Problems) -> Option<Plan> {
        let before = problems.len();
        let has_password = self.password.is_some() || self.password_file.is_some();
        let login = match self.user {
            None if has_password => {
                problems.push(&at.key("user"), "required with a password, and missing");
                None
            }
            None => None,
            Some(user) => secret(self.password, self.password_file, "password", at, problems)
                .map(|secret| (user, secret)),
        };
        if login.is_some() && self.encryption == Encryption::None {
            problems.push(
                &at.key("encryption"),
                "a password is not sent over a connection that is not encrypted",
            );
        }
        let mut mailbox = |text: &str, at: &At<'_>| {
            let parsed = text.parse::<Mailbox>();
            parsed.map_err(|error| problems.push(at, format!("expected an address such as \"Sawyer <sawyer@example.com>\", found {text:?}: {error}"))).ok()
        };
        let from = mailbox(&self.from, &at.key("from"));
        let places = at.key("to").items();
        let to: Vec<Mailbox> = self
            .to
            .iter()
            .enumerate()
            .filter_map(|(index, text)| mailbox(text, places.get(index).unwrap_or(at)))
            .collect();
        if self.to.is_empty() {
            problems.push(&at.key("to"), "expected at least one address");
        }
        let port = self.port.unwrap_or(match self.encryption {
            Encryption::Starttls => 587,
            Encryption::Tls => 465,
            Encryption::None => 25,
        });
        if problems.len() > before {
            return None;
        }
        Some(Plan {
            host: self.host,
            port,
            encryption: self.encryption,
            ca_file: self.ca_file,
            login,
            from: from?,
            to,
            timeout: self.timeout,
        })
    }
}

impl Plan {
    pub(super) fn open(self) -> Result<Email, Error> {
        Ok(Email(self))
    }
}

impl Notify for Email {
    fn notify<'a>(&'a self, notification: &'a Notification) -> Promise<'a, Answer> {
        Box::pin(async move {
            let most = self.0.timeout;
            let sent = tokio::time::timeout(most, self.send(notification)).await;
            let Ok(sent) = sent else {
                return Answer::failed("timeout", format!("{}: no answer within {most:?}", self.server()));
            };
            sent.unwrap_or_else(Answer::Failed)
        })
    }
}

impl Email {
    fn server(&self) -> String {
        format!("smtp://{}:{}", self.0.host, self.0.port)
    }

    async fn send(&self, notification: &Notification) -> Result<Answer, Trouble> {
        let mail = mail(&self.0, notification)
            .map_err(|error| trouble("settings", format!("make the mail: {error}")))?;
        let transport = self.transport().await?;
        let Err(error) = transport.send(mail).await else { return Ok(Answer::done(1)) };
        let mut detail = format!("{}: {error}", self.server());
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            let text = error.to_string();
            if !detail.contains(&text) {
                detail.push_str(&format!(": {text}"));
            }
            cause = error.source();
        }
        let code = error.status().map(|code| code.to_string());
        Ok(match code.as_deref() {
            // What an operator can set right: who may log in, who may send, which encryption.
            Some("530" | "534" | "535" | "538") => Answer::failed("unauthorized", detail),
            Some(code) if code.starts_with('5') && error.is_permanent() => Answer::Refused(detail),
            Some(_) => Answer::failed("busy", detail),
            None if error.is_timeout() => Answer::failed("timeout", detail),
            None => Answer::failed("unreachable", detail),
        })
    }

    async fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, Trouble> {
        let plan = &self.0;
        let tls = match plan.encryption {
            Encryption::None => Tls::None,
            Encryption::Starttls => Tls::Required(self.tls().await?),
            Encryption::Tls => Tls::Wrapper(self.tls().await?),
        };
        let mut builder =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&plan.host).port(plan.port).tls(tls);
        builder = builder.timeout(Some(plan.timeout));
        if let Some((user, password)) = &plan.login {
            let password = password.current().await.map_err(|error| trouble("settings", error.chain()))?;
            builder = builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
        }
        Ok(builder.build())
    }

    async fn tls(&self) -> Result<TlsParameters, Trouble> {
        let mut builder = TlsParameters::builder(self.0.host.clone());
        let wrong = |what: String| {
            move |error: lettre::transport::smtp::Error| trouble("settings", format!("{what}: {error}"))
        };
        if let Some(path) = &self.0.ca_file {
            let what = format!("read certificates of {}", path.display());
            let pem = tokio::fs::read(path)
                .await
                .map_err(|error| trouble("settings", format!("{what}: {error}")))?;
            let certificate = Certificate::from_pem(&pem).map_err(wrong(what))?;
            builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificate);
        }
        builder.build().map_err(wrong("prepare for TLS".to_owned()))
    }
}

fn mail(plan: &Plan, notification: &Notification) -> Result<Message, lettre::error::Error> {
    let domain = plan.from.email.domain();
    let date = UNIX_EPOCH + notification.created.since(sawyer_model::Timestamp::EPOCH);
    let thread = format!("<sawyer-{}@{domain}>", fingerprint(&notification.group));
    let mut builder = Message::builder()
        .from(plan.from.clone())
        .date(date)
        .subject(cut(&message::title(notification), SUBJECT_BYTES_MAX))
        .message_id(Some(format!("<sawyer-{}@{domain}>", notification.id)))
        .references(thread)
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
    for to in &plan.to {
        builder = builder.to(to.clone());
    }
    builder.multipart(MultiPart::alternative_plain_html(message::text(notification), html(notification)))
}

/// The mail as HTML, without anything that a reader has to fetch.
fn html(notification: &Notification) -> String {
    let mut html =
        String::from("<!doctype html><html><body style=\"font-family:sans-serif;max-width:60em\">\n");
    html.push_str(&format!("<h2>{}</h2>\n", escape(&message::title(notification))));
    for alert in &notification.alerts {
        let finding = &alert.finding;
        let colour = if alert.firing { "#b3261e" } else { "#1b6e3c" };
        html.push_str(&format!(
            "<h3 style=\"border-left:4px solid {colour};padding-left:8px\">{}</h3>\n",
            escape(&finding.summary)
        ));
        if !finding.description.is_empty() {
            html.push_str(&format!(
                "<p style=\"white-space:pre-wrap\">{}</p>\n",
                escape(&finding.description)
            ));
        }
        html.push_str("<table>\n");
        for (name, value) in message::facts(alert) {
            html.push_str(&format!("<tr><th align=\"left\">{name}</th><td>{}</td></tr>\n", escape(&value)));
        }
        html.push_str("</table>\n");
        let samples = message::sample_lines(alert).join("\n");
        if !samples.is_empty() {
            html.push_str(&format!("<pre style=\"white-space:pre-wrap\">{}</pre>\n", escape(&samples)));
        }
        for (label, link) in [("Open in Sawyer", &finding.link), ("What to do", &finding.runbook)] {
            if link.starts_with("http://") || link.starts_with("https://") {
                html.push_str(&format!("<p><a href=\"{}\">{label}</a></p>\n", escape(link)));
            }
        }
    }
    if notification.truncated > 0 {
        html.push_str(&format!("<p>and {} further alerts</p>\n", notification.truncated));
    }
    html.push_str("</body></html>\n");
    html
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
