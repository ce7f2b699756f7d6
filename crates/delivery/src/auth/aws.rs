//! AWS: signatures, and where credentials come from.
//!
//! Owns: Signature Version 4 for requests with headers; credentials from settings, and from wherever AWS's own
//! programs look for them (`chain`). Does not own: what is asked of a service.
//! Invariant: no secret is ever in a message.
//!
//! | file | what |
//! |---|---|
//! | `aws/sign.rs` | the signature |
//! | `aws/chain.rs` | the order in which sources are tried |
//! | `aws/kept.rs` | keeping credentials, and new ones in time |
//! | `aws/profile.rs`, `aws/container.rs`, `aws/instance.rs`, `aws/sts.rs` | a source each |
//! | `aws/ask.rs`, `aws/surroundings.rs` | HTTP to these sources, and the environment |

mod ask;
mod chain;
mod container;
mod instance;
mod kept;
mod profile;
mod sign;
mod sts;
mod surroundings;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue};
use sawyer_config::Secret;
use sawyer_model::{Error, ErrorKind, Timestamp};
use sawyer_telemetry::Clock;

use super::Authorize;
use crate::http::Request;
use crate::letters::Promise;
use chain::Chain;
use kept::Kept;
use sign::{Scope, hex_sha256, signature};
use sts::AssumedRole;

pub use surroundings::Surroundings;

pub(super) use sts::Role as AssumedBy;

const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const BODY_HASH: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// What proves who asks.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The id of the access key.
    pub access_key_id: String,
    /// The access key.
    pub secret_access_key: Secret,
    /// What temporary credentials have beside it.
    pub session_token: Option<Secret>,
}

/// Where credentials come from.
pub trait CredentialsSource: Send + Sync {
    /// Credentials that are good right now. It is asked for each request, so it keeps what it has.
    ///
    /// # Errors
    /// If there are none.
    fn current(&self) -> Promise<'_, Result<Credentials, Error>>;
}

/// Credentials that do not change.
#[derive(Debug)]
pub struct FixedCredentials(Credentials);

/// Signs requests.
pub struct SigV4 {
    region: String,
    service: String,
    source: Arc<dyn CredentialsSource>,
    clock: Clock,
}

impl FixedCredentials {
    /// These.
    #[must_use]
    pub fn new(access_key_id: String, secret_access_key: Secret) -> Self {
        Self(Credentials { access_key_id, secret_access_key, session_token: None })
    }

    /// These, which have a token beside the key if they are temporary.
    #[must_use]
    pub fn of(credentials: Credentials) -> Self {
        Self(credentials)
    }
}

impl CredentialsSource for FixedCredentials {
    fn current(&self) -> Promise<'_, Result<Credentials, Error>> {
        Box::pin(async { Ok(self.0.clone()) })
    }
}

impl SigV4 {
    /// Signs for a service in a region.
    #[must_use]
    pub fn new(region: String, service: String, source: Arc<dyn CredentialsSource>, clock: Clock) -> Self {
        Self { region, service, source, clock }
    }
}

/// Signs a request for a service in a region.
fn sign(
    request: &mut Request,
    credentials: &Credentials,
    (region, service): (&str, &str),
    now: Timestamp,
) -> Result<(), Error> {
    let unfit =
        |_| Error::new(ErrorKind::Invalid, "AWS credentials have characters that cannot stand in a header");
    let host = host_of(&request.url);
    let date = basic_date(now);
    request.headers.insert(HOST, HeaderValue::try_from(host).map_err(unfit)?);
    request.headers.insert(DATE, HeaderValue::try_from(&date).map_err(unfit)?);
    let hash = hex_sha256(&request.body);
    request.headers.insert(BODY_HASH, HeaderValue::try_from(hash).map_err(unfit)?);
    if let Some(token) = &credentials.session_token {
        let mut token = HeaderValue::try_from(token.expose()).map_err(unfit)?;
        token.set_sensitive(true);
        request.headers.insert(TOKEN, token);
    }
    let headers: Vec<(&str, &str)> = request
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    let scope = Scope { date: &date, region, service };
    let url = &request.url;
    let line = (request.method.as_str(), url.path(), url.query().unwrap_or_default());
    let signed = signature(line, &headers, &request.body, &scope, credentials);
    let mut signed = HeaderValue::try_from(signed).map_err(unfit)?;
    signed.set_sensitive(true);
    request.headers.insert(AUTHORIZATION, signed);
    Ok(())
}

impl Authorize for SigV4 {
    fn authorize<'a>(&'a self, request: &'a mut Request) -> Promise<'a, Result<(), Error>> {
        Box::pin(async move {
            let credentials = self.source.current().await?;
            sign(request, &credentials, (&self.region, &self.service), self.clock.now())
        })
    }
}

/// A URL at a host, such as `https://host/?query`, that shows by itself for so long who it comes from.
#[must_use]
pub fn presigned_url(
    (host, query): (&str, &str),
    (region, service): (&str, &str),
    valid: std::time::Duration,
    credentials: &Credentials,
    now: Timestamp,
) -> String {
    let date = basic_date(now);
    let scope = Scope { date: &date, region, service };
    let query = sign::presigned_query(host, query, valid.as_secs(), &scope, credentials);
    format!("https://{host}/?{query}")
}

/// Where credentials come from: these keys, else the chain of sources; then the role that they assume.
pub(super) fn source(
    keys: Option<Credentials>,
    profile: Option<String>,
    role: Option<AssumedBy>,
    region: &str,
    surroundings: &Surroundings,
    clock: &Clock,
) -> Arc<dyn CredentialsSource> {
    let chain = Chain::new(surroundings, profile, region.to_owned(), clock);
    let sts = chain.sts().clone();
    let base: Arc<dyn CredentialsSource> = match keys {
        Some(keys) => Arc::new(FixedCredentials::of(keys)),
        None => Arc::new(Kept::new(chain, clock.clone())),
    };
    match role {
        Some(role) => Arc::new(Kept::new(AssumedRole { base, role, sts }, clock.clone())),
        None => base,
    }
}

/// The region that was set, else the environment's, else the profile's.
///
/// # Errors
/// If nothing says which, or what is said cannot be one.
pub(super) fn region(
    set: Option<String>,
    profile: Option<&str>,
    surroundings: &Surroundings,
) -> Result<String, Error> {
    let region = chain::region(set, profile, surroundings)?;
    // It becomes a part of host names.
    if !region.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Err(Error::new(ErrorKind::Invalid, format!("{region:?} is not an AWS region")));
    }
    Ok(region)
}

/// The domain in which a region's services are.
#[must_use]
pub fn domain_of(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else if region.starts_with("eusc-") {
        "amazonaws.eu"
    } else {
        "amazonaws.com"
    }
}

/// The header `Host` as the client sends it.
fn host_of(url: &reqwest::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// `20150830T123600Z`.
fn basic_date(time: Timestamp) -> String {
    let secs = Timestamp::from_secs(time.millis().div_euclid(1000));
    secs.to_string().replace(['-', ':'], "")
}
