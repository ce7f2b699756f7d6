//! HTTP to the sources of credentials.
//!
//! Owns: time limits, and what an answer with credentials looks like as JSON. Does not own: which source is asked.
//! Invariant: an answer is short or none; what it holds is never shown, unless it only says what went wrong.
//!
//! The sources on the machine itself (link-local addresses) are never reached through a proxy.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::{Certificate, redirect};
use sawyer_config::Secret;
use sawyer_model::Timestamp;
use serde_json::Value;

use super::Credentials;
use super::kept::Fresh;
use super::surroundings::Surroundings;
use crate::http::{Request, shown};

/// Longest wait for a source on this machine. Where there is none, packets are often dropped, and this is waited for.
const NEAR_TIMEOUT: Duration = Duration::from_secs(2);
const NEAR_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest wait for STS.
const FAR_TIMEOUT: Duration = Duration::from_secs(15);
const FAR_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of an answer that are read; credentials take about 2 KB.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Asks sources of credentials.
#[derive(Debug)]
pub(super) struct Asker {
    /// Certificate authorities beside the system's (`AWS_CA_BUNDLE`).
    ca_bundle: Option<String>,
    near: OnceLock<reqwest::Client>,
    far: OnceLock<reqwest::Client>,
    near_tls: OnceLock<reqwest::Client>,
}

/// Where a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Distance {
    /// On this machine: at once or not at all, and never through a proxy.
    Near,
    /// Somewhere in the network.
    Far,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Asker {
    pub(super) fn new(surroundings: &Surroundings) -> Self {
        Self {
            ca_bundle: surroundings.get("AWS_CA_BUNDLE"),
            near: OnceLock::new(),
            far: OnceLock::new(),
            near_tls: OnceLock::new(),
        }
    }

    /// Sends a request. What went wrong names the address.
    pub(super) async fn ask(&self, request: Request, distance: Distance) -> Result<Told, String> {
        let place = request.url.origin().ascii_serialization();
        let told = |error: reqwest::Error| {
            let why = match (error.is_connect(), error.is_timeout()) {
                (_, true) => "no answer in time".to_owned(),
                (_, false) => {
                    let error = sawyer_model::Error::new(sawyer_model::ErrorKind::Retry, "")
                        .because(error.without_url());
                    error.chain().trim_start_matches(": ").to_owned()
                }
            };
            format!("{place}: {why}")
        };
        let client = self.client(distance, request.url.scheme() == "https")?;
        let Request { method, url, headers, body } = request;
        let mut answer =
            client.request(method, url).headers(headers).body(body).send().await.map_err(told)?;
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(told)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(format!("{place}: the answer is too long for credentials"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Told { status, body })
    }

    fn client(&self, distance: Distance, tls: bool) -> Result<&reqwest::Client, String> {
        let slot = match (distance, tls) {
            (Distance::Near, false) => &self.near,
            (Distance::Near, true) => &self.near_tls,
            (Distance::Far, _) => &self.far,
        };
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let built = self.build(distance, tls)?;
        Ok(slot.get_or_init(|| built))
    }

    fn build(&self, distance: Distance, tls: bool) -> Result<reqwest::Client, String> {
        // Somebody else may have chosen already; then that holds.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .user_agent(concat!("sawyer/", env!("CARGO_PKG_VERSION")));
        builder = match distance {
            Distance::Near => builder.no_proxy().connect_timeout(NEAR_CONNECT_TIMEOUT).timeout(NEAR_TIMEOUT),
            Distance::Far => builder.connect_timeout(FAR_CONNECT_TIMEOUT).timeout(FAR_TIMEOUT),
        };
        if !tls {
            // The system need not have certificates then.
            builder = builder.tls_certs_only([]);
        } else if let Some(path) = &self.ca_bundle {
            let pem = std::fs::read(path).map_err(|error| format!("read AWS_CA_BUNDLE {path}: {error}"))?;
            let certificates = Certificate::from_pem_bundle(&pem)
                .map_err(|error| format!("read AWS_CA_BUNDLE {path}: {error}"))?;
            builder = builder.tls_certs_only(certificates);
        }
        builder.build().map_err(|error| format!("prepare for HTTP: {error}"))
    }
}

impl Told {
    /// Credentials as containers and instances are told them.
    pub(super) fn credentials(&self, place: &str) -> Result<Fresh, String> {
        let json = self.json(place)?;
        if let Some(code) = json["Code"].as_str().filter(|code| *code != "Success") {
            let message = json["Message"].as_str().unwrap_or_default();
            return Err(format!("{place}: {}", shown(format!("{code}: {message}").as_bytes())));
        }
        let text = |name: &str| json[name].as_str().filter(|text| !text.is_empty());
        let Some((id, key)) = text("AccessKeyId").zip(text("SecretAccessKey")) else {
            return Err(format!("{place}: the answer has no credentials"));
        };
        let expires = match text("Expiration") {
            Some(time) => Some(
                Timestamp::parse(time)
                    .map_err(|_| format!("{place}: the answer's `Expiration` is not a time"))?,
            ),
            None => None,
        };
        let credentials = Credentials {
            access_key_id: id.to_owned(),
            secret_access_key: Secret::new(key),
            session_token: text("Token").map(Secret::new),
        };
        Ok(Fresh { credentials, expires })
    }

    fn json(&self, place: &str) -> Result<Value, String> {
        if !(200..300).contains(&self.status) {
            return Err(self.complaint(place));
        }
        serde_json::from_slice(&self.body).map_err(|_| format!("{place}: the answer is not JSON"))
    }

    /// What an answer says that is not a good one.
    pub(super) fn complaint(&self, place: &str) -> String {
        format!("{place}: status {}: {}", self.status, shown(&self.body))
    }
}
