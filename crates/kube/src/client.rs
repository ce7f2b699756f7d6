//! Asks the API server or a kubelet.
//!
//! Owns: who Sawyer says it is, whom it believes, what answers mean, bounds on answers.
//! Does not own: what is asked for (`follow`, `events`, `lease`).
//! Invariant: the token is read for each request, because it is replaced while Sawyer runs; no answer is waited for
//! without a limit, and none takes more memory than its bound.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Certificate, Method, Response, redirect};
use serde::de::DeserializeOwned;

use crate::objects::Status;
use crate::settings::KubeSettings;

/// Longest wait for a connection, and for each part of an answer that is not a watch.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Longest answer, a page of a list or all pods of a node. Pods have tens of KiB at most.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// What is read of an answer that refuses. It has one sentence; more is some gateway's page.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// Longest line of a watch: one object, of which etcd takes 1.5 MiB.
const LINE_BYTES_MAX: usize = 8 << 20;

#[derive(Debug, thiserror::Error)]
pub(crate) enum KubeError {
    #[error("read the authority {path}")]
    Authority { path: String, source: std::io::Error },
    #[error("prepare for HTTP")]
    Prepare(#[source] reqwest::Error),
    #[error("read the token {path}")]
    Token { path: String, source: std::io::Error },
    #[error("ask {url}")]
    Ask { url: String, source: reqwest::Error },
    #[error("{url} answered {status}: {message}")]
    Refused { url: String, status: u16, message: String },
    /// What was asked to go on from is too old.
    #[error("the past is gone: {0}")]
    Gone(String),
    #[error("the answer of {0} is too long")]
    TooLong(String),
    #[error("nothing came from {0} for too long")]
    Silent(String),
    #[error("understand {url}")]
    Form { url: String, source: serde_json::Error },
    /// Versions of objects are numbers that grow in every server there is.
    #[error("the version of an object is no number: {0:?}")]
    Version(String),
}

/// What an answer has to look like: whole, or only what all objects have.
const JSON: &str = "application/json";
const METADATA_ONLY: &str =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json;q=0.5";

impl KubeError {
    /// Whether there was an answer, and the trouble is what it said. Else there is no use in asking something else.
    pub(crate) fn is_of_answer(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Form { .. } | Self::TooLong(_))
    }

    /// With its causes.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

/// A client for one address.
#[derive(Debug)]
pub(crate) struct KubeClient {
    base: String,
    token_file: PathBuf,
    http: reqwest::Client,
}

impl KubeClient {
    /// For the API server or kubelet at `base`, with the settings' token and authority.
    pub(crate) fn new(base: &str, settings: &KubeSettings, verify: bool) -> Result<Self, KubeError> {
        Self::with(base, &settings.token_file, settings.ca_file.as_deref(), verify)
    }

    /// The same by single settings.
    pub(crate) fn with(
        base: &str,
        token_file: &Path,
        ca_file: Option<&Path>,
        verify: bool,
    ) -> Result<Self, KubeError> {
        // Somebody else may have chosen already; then that holds.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .connect_timeout(ANSWER_TIMEOUT)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("sawyer/", env!("CARGO_PKG_VERSION")));
        let plain = base.starts_with("http://");
        if let Some(path) = ca_file.filter(|_| verify && !plain) {
            let pem = std::fs::read(path)
                .map_err(|source| KubeError::Authority { path: path.display().to_string(), source })?;
            builder = builder.tls_certs_only(Certificate::from_pem_bundle(&pem).map_err(KubeError::Prepare)?);
        } else if plain || !verify {
            builder = builder.tls_certs_only([]);
        }
        if !verify {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        let http = builder.build().map_err(KubeError::Prepare)?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), token_file: token_file.to_owned(), http })
    }

    /// The whole answer to a request for this path.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, KubeError> {
        self.whole(Method::GET, path, JSON, None).await
    }

    /// Of the object at this path only what all objects have.
    pub(crate) async fn get_metadata<T: DeserializeOwned>(&self, path: &str) -> Result<T, KubeError> {
        self.whole(Method::GET, path, METADATA_ONLY, None).await
    }

    /// Makes an object; gives back what it has become.
    pub(crate) async fn create(
        &self,
        path: &str,
        object: &serde_json::Value,
    ) -> Result<serde_json::Value, KubeError> {
        self.whole(Method::POST, path, JSON, Some(object)).await
    }

    /// Puts an object in the place of the one that it was made of; refused (409) if that has changed since.
    pub(crate) async fn replace(
        &self,
        path: &str,
        object: &serde_json::Value,
    ) -> Result<serde_json::Value, KubeError> {
        self.whole(Method::PUT, path, JSON, Some(object)).await
    }

    async fn whole<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        object: Option<&serde_json::Value>,
    ) -> Result<T, KubeError> {
        let url = format!("{}{path}", self.base);
        let mut answer = self.ask(method, &url, accept, object).await?;
        let mut body = Vec::new();
        while let Some(part) = next_part(&mut answer, &url, ANSWER_TIMEOUT).await? {
            if body.len() + part.len() > ANSWER_BYTES_MAX {
                return Err(KubeError::TooLong(url));
            }
            body.extend_from_slice(&part);
        }
        serde_json::from_slice(&body).map_err(|source| KubeError::Form { url, source })
    }

    /// An answer that comes line by line.
    pub(crate) async fn watch(&self, path: &str) -> Result<Lines, KubeError> {
        let url = format!("{}{path}", self.base);
        let answer = self.ask(Method::GET, &url, JSON, None).await?;
        Ok(Lines { url, answer, buffer: Vec::new(), taken: 0 })
    }

    async fn ask(
        &self,
        method: Method,
        url: &str,
        accept: &str,
        object: Option<&serde_json::Value>,
    ) -> Result<Response, KubeError> {
        let mut request = self.http.request(method, url).header("accept", accept);
        if let Some(object) = object {
            request = request.header("content-type", JSON).body(object.to_string());
        }
        if let Some(token) = read_token(&self.token_file)? {
            request = request.bearer_auth(token);
        }
        let sent = tokio::time::timeout(ANSWER_TIMEOUT, request.send()).await;
        let answer = sent.map_err(|_| KubeError::Silent(url.to_owned()))?;
        let answer =
            answer.map_err(|source| KubeError::Ask { url: url.to_owned(), source: source.without_url() })?;
        let status = answer.status().as_u16();
        if matches!(status, 200 | 201) {
            return Ok(answer);
        }
        let body = refusal(answer).await;
        let said: Status = serde_json::from_slice(&body).unwrap_or_default();
        let message = if said.message.is_empty() {
            String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned()
        } else {
            said.message
        };
        Err(match status {
            410 => KubeError::Gone(message),
            status => KubeError::Refused { url: url.to_owned(), status, message },
        })
    }
}

/// The token, if there is such a file. Without one the request is made in nobody's name.
fn read_token(path: &Path) -> Result<Option<String>, KubeError> {
    match std::fs::read_to_string(path) {
        Ok(token) => Ok(Some(token.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(KubeError::Token { path: path.display().to_string(), source }),
    }
}

/// The beginning of an answer that refuses, as much of it as comes.
async fn refusal(mut answer: Response) -> Vec<u8> {
    let mut body = Vec::new();
    let read = async {
        while body.len() < REFUSAL_BYTES_MAX {
            let Ok(Some(part)) = answer.chunk().await else { break };
            body.extend_from_slice(&part[..part.len().min(REFUSAL_BYTES_MAX - body.len())]);
        }
    };
    // What came until then has to do.
    let _ = tokio::time::timeout(ANSWER_TIMEOUT, read).await;
    body
}

async fn next_part(
    answer: &mut Response,
    url: &str,
    patience: Duration,
) -> Result<Option<impl AsRef<[u8]> + std::ops::Deref<Target = [u8]> + use<>>, KubeError> {
    let part = tokio::time::timeout(patience, answer.chunk()).await;
    let part = part.map_err(|_| KubeError::Silent(url.to_owned()))?;
    part.map_err(|source| KubeError::Ask { url: url.to_owned(), source: source.without_url() })
}

/// The lines of an answer, as they come.
#[derive(Debug)]
pub(crate) struct Lines {
    url: String,
    answer: Response,
    buffer: Vec<u8>,
    /// Bytes of the buffer that were given out.
    taken: usize,
}

impl Lines {
    /// The next line; none at the end.
    pub(crate) async fn next(&mut self, patience: Duration) -> Result<Option<&[u8]>, KubeError> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let mut searched = 0;
        loop {
            if let Some(end) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                let end = searched + end;
                self.taken = end + 1;
                return Ok(Some(&self.buffer[..end]));
            }
            searched = self.buffer.len();
            if searched > LINE_BYTES_MAX {
                return Err(KubeError::TooLong(self.url.clone()));
            }
            match next_part(&mut self.answer, &self.url, patience).await? {
                Some(part) => self.buffer.extend_from_slice(&part),
                // What has no end was cut off; it comes again.
                None => return Ok(None),
            }
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}
