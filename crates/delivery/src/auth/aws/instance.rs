//! Credentials of the machine's role, from the instance metadata service, version 2 only.
//!
//! Source: EC2 user guide, "Use the Instance Metadata Service", "Retrieve security credentials".
//! The session token is kept as long as it is good. Version 1, without a token, is never used.

use std::time::Duration;

use parking_lot::Mutex;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Url};
use sawyer_model::Timestamp;
use sawyer_telemetry::Clock;

use super::ask::{Asker, Distance, Told};
use super::chain::Tried;
use super::kept::Fresh;
use super::surroundings::Surroundings;
use crate::http::Request;

const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";
const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
const MODE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE";

const TOKEN_PATH: &str = "/latest/api/token";
const ROLE_PATH: &str = "/latest/meta-data/iam/security-credentials/";

const TOKEN_TTL: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");

/// How long a session is good; the longest that there is.
const SESSION: Duration = Duration::from_secs(21_600);

/// The metadata service of this machine.
pub(super) struct Instance {
    clock: Clock,
    session: Mutex<Option<(String, Timestamp)>>,
}

impl Instance {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, session: Mutex::new(None) }
    }

    pub(super) async fn try_instance(&self, surroundings: &Surroundings, asker: &Asker) -> Tried {
        if surroundings.says_yes(DISABLED) {
            return Tried::Absent(format!("{DISABLED} is set"));
        }
        let ipv6 = surroundings.get(MODE).is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6"));
        let usual = if ipv6 { "http://[fd00:ec2::254]" } else { "http://169.254.169.254" };
        let set = surroundings.get(ENDPOINT);
        let Ok(endpoint) = Url::parse(set.as_deref().unwrap_or(usual)) else {
            return Tried::Failed(format!("{ENDPOINT} is not an address"));
        };
        match self.ask(&endpoint, asker).await {
            Ok(fresh) => Tried::Found(fresh),
            Err(why) => Tried::Failed(why),
        }
    }

    async fn ask(&self, endpoint: &Url, asker: &Asker) -> Result<Fresh, String> {
        let place = endpoint.origin().ascii_serialization();
        let roles = self.get(endpoint, ROLE_PATH, asker).await?;
        if roles.status == 404 {
            return Err(format!("{place}: this machine has no role"));
        }
        if roles.status != 200 {
            return Err(roles.complaint(&place));
        }
        let role = String::from_utf8_lossy(&roles.body).lines().next().unwrap_or_default().trim().to_owned();
        if role.is_empty() {
            return Err(format!("{place}: this machine has no role"));
        }
        self.get(endpoint, &format!("{ROLE_PATH}{role}"), asker).await?.credentials(&place)
    }

    /// Asks within a session; with a new one if the old one is not known there any more.
    async fn get(&self, endpoint: &Url, path: &str, asker: &Asker) -> Result<Told, String> {
        let token = self.token(endpoint, asker).await?;
        let told = self.get_with(endpoint, path, &token, asker).await?;
        if told.status != 401 {
            return Ok(told);
        }
        *self.session.lock() = None;
        let token = self.token(endpoint, asker).await?;
        self.get_with(endpoint, path, &token, asker).await
    }

    async fn get_with(&self, endpoint: &Url, path: &str, token: &str, asker: &Asker) -> Result<Told, String> {
        let value =
            HeaderValue::try_from(token).map_err(|_| "the session's token is no header".to_owned())?;
        let request = Request::new(Method::GET, at(endpoint, path)).header(TOKEN, value);
        asker.ask(request, Distance::Near).await
    }

    async fn token(&self, endpoint: &Url, asker: &Asker) -> Result<String, String> {
        let now = self.clock.now();
        if let Some((token, _)) = self.session.lock().as_ref().filter(|(_, until)| *until > now) {
            return Ok(token.clone());
        }
        let ttl = HeaderValue::from(SESSION.as_secs());
        let request = Request::new(Method::PUT, at(endpoint, TOKEN_PATH)).header(TOKEN_TTL, ttl);
        let told = asker.ask(request, Distance::Near).await.map_err(|why| {
            format!("{why} (not a machine of EC2, or one whose metadata allows no hop into a container)")
        })?;
        if told.status != 200 {
            return Err(told.complaint(&endpoint.origin().ascii_serialization()));
        }
        let token = String::from_utf8_lossy(&told.body).trim().to_owned();
        *self.session.lock() = Some((token.clone(), now.saturating_add(SESSION - SESSION / 10)));
        Ok(token)
    }
}

fn at(endpoint: &Url, path: &str) -> Url {
    let mut url = endpoint.clone();
    url.set_path(&format!("{}{path}", endpoint.path().trim_end_matches('/')));
    url
}
