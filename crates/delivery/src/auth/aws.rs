//! AWS: signatures, and where credentials come from.
//!
//! Owns: Signature Version 4 for requests with headers; credentials from settings and environment.
//! Does not own: credentials that have to be asked for over the network; those are further [`CredentialsSource`]s.

mod sign;

use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue};
use sawyer_config::Secret;
use sawyer_model::{Error, ErrorKind, Timestamp};
use sawyer_telemetry::Clock;

use super::Authorize;
use crate::http::Request;
use crate::letters::Promise;
use sign::{Scope, hex_sha256, signature};

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

/// Credentials and region as the environment has them.
#[derive(Debug)]
pub struct Environment;

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
}

impl CredentialsSource for FixedCredentials {
    fn current(&self) -> Promise<'_, Result<Credentials, Error>> {
        Box::pin(async { Ok(self.0.clone()) })
    }
}

impl Environment {
    /// The region that was set, else the environment's.
    ///
    /// # Errors
    /// If there is none.
    pub fn region(set: Option<String>) -> Result<String, Error> {
        let region = set.or_else(|| variable("AWS_REGION")).or_else(|| variable("AWS_DEFAULT_REGION"));
        region.ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "no AWS region: set `region`, or AWS_REGION in the environment")
        })
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl CredentialsSource for Environment {
    fn current(&self) -> Promise<'_, Result<Credentials, Error>> {
        Box::pin(async {
            let keys = variable("AWS_ACCESS_KEY_ID").zip(variable("AWS_SECRET_ACCESS_KEY"));
            let (access_key_id, key) = keys.ok_or_else(|| {
                let message =
                    "no AWS credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set in the environment";
                Error::new(ErrorKind::Retry, message)
            })?;
            let session_token = variable("AWS_SESSION_TOKEN").map(Secret::new);
            Ok(Credentials { access_key_id, secret_access_key: Secret::new(key), session_token })
        })
    }
}

impl SigV4 {
    /// Signs for a service in a region.
    #[must_use]
    pub fn new(region: String, service: String, source: Arc<dyn CredentialsSource>, clock: Clock) -> Self {
        Self { region, service, source, clock }
    }

    fn sign(&self, request: &mut Request, credentials: &Credentials) -> Result<(), Error> {
        let unfit = |_| {
            Error::new(ErrorKind::Invalid, "AWS credentials have characters that cannot stand in a header")
        };
        let host = host_of(&request.url);
        let date = basic_date(self.clock.now());
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
        let scope = Scope { date: &date, region: &self.region, service: &self.service };
        let url = &request.url;
        let line = (request.method.as_str(), url.path(), url.query().unwrap_or_default());
        let signed = signature(line, &headers, &request.body, &scope, credentials);
        let mut signed = HeaderValue::try_from(signed).map_err(unfit)?;
        signed.set_sensitive(true);
        request.headers.insert(AUTHORIZATION, signed);
        Ok(())
    }
}

impl Authorize for SigV4 {
    fn authorize<'a>(&'a self, request: &'a mut Request) -> Promise<'a, Result<(), Error>> {
        Box::pin(async move {
            let credentials = self.source.current().await?;
            self.sign(request, &credentials)
        })
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
