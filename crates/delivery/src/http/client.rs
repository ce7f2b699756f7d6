//! The client.
//!
//! Owns: connections with their time limits, TLS with its files, the proxy, reading an answer within its bound.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Identity, Method, Proxy, Url, redirect};
use sawyer_model::{Error, ErrorKind, Timestamp};
use sawyer_telemetry::Clock;

use super::body::Compression;
use super::files::Watched;
use super::settings::HttpSettings;
use crate::auth::Authorize;
use crate::verdict::{Answer, Trouble};

/// Bytes of an answer that are read, at most. An answer to 100,000 records of a bulk request has about 20 MB; one
/// that is longer counts as no answer.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Bytes that are read of an answer that only says what went wrong; the rest of it is not needed.
const COMPLAINT_BYTES_MAX: usize = 1 << 20;

/// Longest time that a target may ask to wait; more is taken for a mistake.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// How long an idle connection is kept. Load balancers close theirs after a minute or more, and a request on a
/// connection that is just being closed has to be sent again.
const IDLE_MAX: Duration = Duration::from_secs(50);

/// A request before it is signed.
#[derive(Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Headers, without those of the body's length and the credentials.
    pub headers: HeaderMap,
    /// The body as it is sent.
    pub body: Bytes,
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// How long the target asks to wait.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Bytes,
}

/// Sends requests.
pub struct Client {
    settings: HttpSettings,
    authorize: Option<Arc<dyn Authorize>>,
    clock: Clock,
    files: Watched,
    /// Made anew when its files change.
    built: Mutex<Option<reqwest::Client>>,
    /// Whether any target is reached without TLS only; then the system need not have certificates.
    plain: bool,
    /// Whether many requests are under way on one connection, by HTTP/2.
    http2: bool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Request {
    /// A request without a body.
    #[must_use]
    pub fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// A request with a body of this media type, compressed already.
    #[must_use]
    pub fn with_body(
        method: Method,
        url: Url,
        media_type: &'static str,
        compression: Compression,
        body: Bytes,
    ) -> Self {
        let mut request = Self { body, ..Self::new(method, url) };
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        if let Some(encoding) = compression.encoding() {
            request.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        request
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }
}

impl Client {
    /// A client for these addresses. Files of its settings are read here for the first time.
    ///
    /// # Errors
    /// If a file cannot be read or a setting cannot be used.
    pub fn new(
        settings: HttpSettings,
        endpoints: &[Url],
        authorize: Option<Arc<dyn Authorize>>,
        clock: Clock,
    ) -> Result<Self, Error> {
        Self::with_version(settings, endpoints, authorize, clock, false)
    }

    /// The same for targets that speak HTTP/2: many requests share a connection. Without TLS they must speak it, and
    /// are not asked; with TLS they may fall back to HTTP/1.1.
    ///
    /// # Errors
    /// As of [`Client::new`].
    pub fn over_http2(
        settings: HttpSettings,
        endpoints: &[Url],
        authorize: Option<Arc<dyn Authorize>>,
        clock: Clock,
    ) -> Result<Self, Error> {
        Self::with_version(settings, endpoints, authorize, clock, true)
    }

    fn with_version(
        settings: HttpSettings,
        endpoints: &[Url],
        authorize: Option<Arc<dyn Authorize>>,
        clock: Clock,
        http2: bool,
    ) -> Result<Self, Error> {
        let tls = &settings.tls;
        let paths = [&tls.ca_file, &tls.cert_file, &tls.key_file].into_iter().flatten().cloned();
        let files = Watched::new(paths.collect());
        let plain = endpoints.iter().all(|url| url.scheme() == "http") && settings.proxy.is_none();
        let client = Self { settings, authorize, clock, files, built: Mutex::new(None), plain, http2 };
        *client.built.lock() = Some(client.build()?);
        Ok(client)
    }

    /// How bodies are to be compressed.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.settings.compression
    }

    /// Sends a request and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// What stood in the way of an answer.
    pub async fn send(&self, mut request: Request) -> Result<Response, Trouble> {
        let client = self.current().await.map_err(|error| trouble("settings", error.chain()))?;
        if let Some(authorize) = &self.authorize {
            let signed = authorize.authorize(&mut request).await;
            signed.map_err(|error| trouble("credentials", error.chain()))?;
        }
        let shown = shown_url(&request.url);
        let Request { method, url, headers, body } = request;
        let failed = |error| failed(&shown, self.settings.answer_timeout, error);
        let answer = client.request(method, url).headers(headers).body(body).send().await.map_err(failed)?;
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| self.retry_after(value));
        let body = read_bounded(answer, &shown).await.map_err(|problem| match problem {
            Unread::Failed(error) => failed(error),
            Unread::TooLong(trouble) => trouble,
        })?;
        Ok(Response { status, retry_after, body })
    }

    async fn current(&self) -> Result<reqwest::Client, Error> {
        if self.files.changed().await {
            let built = self.build().inspect_err(|_| self.files.read_again())?;
            *self.built.lock() = Some(built);
        }
        Ok(self.built.lock().clone().expect("it was built when the client was made"))
    }

    fn build(&self) -> Result<reqwest::Client, Error> {
        // Somebody else may have chosen already; then that holds.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let HttpSettings { tls, proxy, connect_timeout, answer_timeout, .. } = &self.settings;
        let mut builder = reqwest::Client::builder()
            .connect_timeout(*connect_timeout)
            .timeout(*answer_timeout)
            .pool_idle_timeout(IDLE_MAX)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("sawyer/", env!("CARGO_PKG_VERSION")));
        builder = match (self.http2, self.plain) {
            (false, _) => builder.http1_only(),
            (true, true) => builder.http2_prior_knowledge(),
            (true, false) => builder,
        };
        let invalid = |message: String| move |error| Error::new(ErrorKind::Invalid, message).because(error);
        if let Some(path) = &tls.ca_file {
            let pem = read(path)?;
            let name = format!("read certificates of {}", path.display());
            let certificates = Certificate::from_pem_bundle(&pem).map_err(invalid(name.clone()))?;
            if certificates.is_empty() {
                return Err(Error::new(ErrorKind::Invalid, format!("{name}: there are none")));
            }
            builder = builder.tls_certs_only(certificates);
        } else if self.plain {
            builder = builder.tls_certs_only([]);
        }
        if let Some((cert, key)) = tls.cert_file.as_ref().zip(tls.key_file.as_ref()) {
            let mut pem = read(cert)?;
            pem.push(b'\n');
            pem.extend(read(key)?);
            let name = format!("read the certificate {} and its key {}", cert.display(), key.display());
            builder = builder.identity(Identity::from_pem(&pem).map_err(invalid(name))?);
        }
        if let Some(proxy) = proxy {
            builder = builder.proxy(Proxy::all(proxy.expose()).map_err(invalid("set the proxy".to_owned()))?);
        }
        builder.build().map_err(invalid("prepare for HTTP".to_owned()))
    }

    /// Seconds, or a date (RFC 9110, section 10.2.3).
    fn retry_after(&self, value: &HeaderValue) -> Option<Duration> {
        let text = value.to_str().ok()?.trim();
        let after = match text.parse::<u64>() {
            Ok(secs) => Duration::from_secs(secs),
            Err(_) => http_date(text)?.since(self.clock.now()),
        };
        Some(after.min(RETRY_AFTER_MAX))
    }
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path)
        .map_err(|error| Error::new(ErrorKind::Invalid, format!("read {}", path.display())).because(error))
}

enum Unread {
    Failed(reqwest::Error),
    TooLong(Trouble),
}

async fn read_bounded(mut answer: reqwest::Response, shown: &str) -> Result<Bytes, Unread> {
    let good = answer.status().is_success();
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(Unread::Failed)? {
        if !good && body.len() + chunk.len() > COMPLAINT_BYTES_MAX {
            break;
        }
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            let detail = format!("{shown}: the answer is longer than {ANSWER_BYTES_MAX} bytes");
            return Err(Unread::TooLong(trouble(TOO_LONG, detail)));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// What no answer means for the items of the request.
#[must_use]
pub fn unanswered(trouble: Trouble) -> Answer {
    if trouble.reason == TOO_LONG { Answer::TooLarge } else { Answer::Failed(trouble) }
}

/// The reason of a [`Trouble`] about an answer that is longer than [`ANSWER_BYTES_MAX`]. A smaller request may get a
/// shorter one.
const TOO_LONG: &str = "answer_too_long";

fn trouble(reason: &'static str, detail: String) -> Trouble {
    Trouble { reason, detail, after: None }
}

/// An address without what may be secret in it.
fn shown_url(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

fn failed(shown: &str, answer_timeout: Duration, error: reqwest::Error) -> Trouble {
    let (connecting, timeout) = (error.is_connect(), error.is_timeout());
    let reason = match (connecting, timeout) {
        (true, _) => "unreachable",
        (false, true) => "timeout",
        (false, false) => "connection",
    };
    if timeout && !connecting {
        let detail = format!("{shown}: no answer within {answer_timeout:?}");
        return trouble(reason, detail);
    }
    let error = Error::new(ErrorKind::Retry, shown).because(error.without_url());
    trouble(reason, error.chain())
}

/// A date as HTTP writes it, `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let (_, date) = text.split_once(", ")?;
    let mut parts = date.split(' ');
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.find(month).filter(|at| at % 3 == 0 && month.len() == 3)? / 3 + 1;
    Timestamp::parse(&format!("{year}-{month:02}-{day}T{time}Z")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_dates_as_http_writes_them() {
        let read = http_date("Sun, 06 Nov 1994 08:49:37 GMT").map(|time| time.to_string());
        assert_eq!(read.as_deref(), Some("1994-11-06T08:49:37Z"));
        for wrong in ["", "soon", "Sun, 06 anF 1994 08:49:37 GMT", "Sun, 06 Nov"] {
            assert_eq!(http_date(wrong), None, "{wrong}");
        }
    }
}
