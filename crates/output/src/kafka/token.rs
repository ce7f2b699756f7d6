//! Tokens by which a producer shows who it is (SASL OAUTHBEARER, RFC 7628).
//!
//! Owns: where a token comes from, for how long it is good. Does not own: when another one is wanted (librdkafka, after
//! four fifths of that time).
//! Invariant: no secret is ever in a message.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sawyer_config::{At, Problems, Secret};
use sawyer_delivery::auth::aws::{CredentialsSource, Surroundings, presigned_url};
use sawyer_delivery::auth::{AwsSettings, CurrentSecret, one_of};
use sawyer_delivery::http::{
    Client, Compression, HeaderName, HeaderValue, HttpSettings, Method, Request, Url, read_url, shown,
};
use sawyer_model::{Error, ErrorKind, Timestamp};
use sawyer_pipeline::Stop;
use sawyer_telemetry::Clock;
use serde_json::Value;
use tokio::runtime::Handle;

use super::settings::{OauthSettings, SaslSettings};

/// How long a token is taken for good that does not say it.
const LIFE_UNTOLD: Duration = Duration::from_secs(300);

/// How long a token of AWS is good; the most that is allowed.
const LIFE_AWS: Duration = Duration::from_secs(900);

/// Longest wait for an identity provider.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Whom a token is of, where it does not say it.
const PRINCIPAL: &str = "sawyer";

/// Where tokens come from, checked.
#[derive(Debug)]
pub(super) enum TokenPlan {
    /// It is there.
    Given(Secret),
    /// It is in a file, which is read each time: whoever is refused with an old one asks for the new one at once.
    File(PathBuf),
    /// It is asked for.
    Oauth(OauthSettings, Url, CurrentSecret),
    /// It is signed.
    Msk(AwsSettings),
}

/// Where tokens come from. Whoever asks waits.
pub(super) struct Tokens {
    source: Source,
    clock: Clock,
    runtime: Handle,
}

enum Source {
    Given(Secret),
    File(PathBuf),
    Oauth(Box<Oauth>),
    Msk(String, Arc<dyn CredentialsSource>),
}

struct Oauth {
    settings: OauthSettings,
    url: Url,
    secret: CurrentSecret,
    client: Client,
}

/// A token, whom it is of, and until when it is good.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) principal: String,
    pub(super) until: Timestamp,
}

/// Checks where tokens of `oauthbearer` come from.
pub(super) fn check_bearer(sasl: &SaslSettings, at: &At<'_>, problems: &mut Problems) -> Option<TokenPlan> {
    let Some(oauth) = &sasl.oauth else {
        return match (&sasl.token, &sasl.token_file) {
            (Some(token), None) => Some(TokenPlan::Given(token.clone())),
            (None, Some(file)) => Some(TokenPlan::File(file.clone())),
            (Some(_), Some(_)) => {
                problems.push(at, "expected either `token` or `token_file`");
                None
            }
            (None, None) => {
                problems.push(at, "expected `token`, `token_file` or `oauth`");
                None
            }
        };
    };
    if sasl.token.is_some() || sasl.token_file.is_some() {
        problems.push(at, "expected either a token or `oauth`");
        return None;
    }
    let at = at.key("oauth");
    let url = match Url::parse(&oauth.token_url) {
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            let why = "an address with a password in it would be shown in messages; set `client_id` and \
                       `client_secret` instead";
            problems.push(&at.key("token_url"), why);
            None
        }
        _ => read_url(&oauth.token_url, &at.key("token_url"), problems),
    };
    let is_paired = oauth.tls.cert_file.is_some() == oauth.tls.key_file.is_some();
    if !is_paired {
        problems.push(&at.key("tls"), "expected both `cert_file` and `key_file`, or neither");
    }
    let (secret, file) = (oauth.client_secret.clone(), oauth.client_secret_file.clone());
    let secret = one_of(secret, file, "client_secret", &at, problems);
    let plan = TokenPlan::Oauth(oauth.clone(), url?, secret?);
    is_paired.then_some(plan)
}

/// Checks the credentials of `aws_msk_iam`.
pub(super) fn check_msk(sasl: &SaslSettings, at: &At<'_>, problems: &mut Problems) -> Option<TokenPlan> {
    // Without any setting everything is looked for in the environment.
    let aws = sasl.aws.clone().unwrap_or(AwsSettings {
        region: None,
        service: None,
        access_key_id: None,
        secret_access_key: None,
        session_token: None,
        profile: None,
        assume_role: None,
    });
    aws.check(&at.key("aws"), problems).map(TokenPlan::Msk)
}

impl TokenPlan {
    /// What gives tokens.
    ///
    /// # Errors
    /// If something that the environment should say is missing, or a file cannot be read.
    pub(super) fn open(self, clock: &Clock) -> Result<Tokens, Error> {
        let source = match self {
            Self::Given(token) => Source::Given(token),
            Self::File(path) => Source::File(path),
            Self::Oauth(settings, url, secret) => {
                let http = HttpSettings {
                    auth: None,
                    tls: settings.tls.clone(),
                    proxy: settings.proxy.clone(),
                    compression: Compression::None,
                    connect_timeout: CONNECT_TIMEOUT,
                    answer_timeout: ANSWER_TIMEOUT,
                };
                let client = Client::new(http, std::slice::from_ref(&url), None, clock.clone())?;
                Source::Oauth(Box::new(Oauth { settings, url, secret, client }))
            }
            Self::Msk(aws) => {
                let surroundings = Surroundings::of_process();
                let region = aws.region(&surroundings)?;
                let credentials = aws.credentials(&region, &surroundings, clock);
                Source::Msk(region, credentials)
            }
        };
        let runtime = Handle::try_current()
            .map_err(|error| Error::new(ErrorKind::Bug, "ask for tokens of Kafka").because(error))?;
        Ok(Tokens { source, clock: clock.clone(), runtime })
    }
}

impl Tokens {
    /// A token that is good now, for librdkafka's own thread: it waits, unless its producer ends.
    ///
    /// # Errors
    /// If there is none right now; librdkafka asks again.
    pub(super) fn wait_for_one(&self, end: &Stop) -> Result<Token, Error> {
        let ended = || Error::new(ErrorKind::Closed, "ask for a token");
        // What a producer left is seen to by whoever drops it, where waiting may be forbidden.
        if end.is_stopped() {
            return Err(ended());
        }
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = end.stopped() => Err(ended()),
                token = self.current() => token,
            }
        })
    }

    async fn current(&self) -> Result<Token, Error> {
        let now = self.clock.now();
        match &self.source {
            Source::Given(token) => Ok(told_of(token.expose().to_owned(), None, now)),
            Source::File(path) => {
                let failed = |error| {
                    let what = format!("read the token in {}", path.display());
                    Error::new(ErrorKind::Retry, what).because(error)
                };
                let text = tokio::fs::read_to_string(path).await.map_err(failed)?;
                Ok(told_of(text.trim_end_matches(['\r', '\n']).to_owned(), None, now))
            }
            Source::Oauth(oauth) => oauth.ask(now).await,
            Source::Msk(region, credentials) => {
                let host = format!("kafka.{region}.amazonaws.com");
                let asked = (host.as_str(), "Action=kafka-cluster%3AConnect");
                let scope = (region.as_str(), "kafka-cluster");
                let url = presigned_url(asked, scope, LIFE_AWS, &credentials.current().await?, now);
                let agent = concat!("&User-Agent=sawyer%2F", env!("CARGO_PKG_VERSION"));
                let text = URL_SAFE_NO_PAD.encode(url + agent);
                Ok(Token { text, principal: PRINCIPAL.to_owned(), until: now.saturating_add(LIFE_AWS) })
            }
        }
    }
}

impl Oauth {
    async fn ask(&self, now: Timestamp) -> Result<Token, Error> {
        let retry =
            |what: String| Error::new(ErrorKind::Retry, format!("ask {} for a token{what}", self.url));
        let secret = self.secret.current().await?;
        let form = |pairs: &[(&str, &str)]| {
            let mut form = Url::parse("http://form/").expect("it is a URL");
            form.query_pairs_mut().extend_pairs(pairs);
            form.query().unwrap_or_default().to_owned()
        };
        let encoded = |text: &str| form(&[("", text)]).trim_start_matches('=').to_owned();
        let mut asked = vec![("grant_type", "client_credentials")];
        asked.extend(self.settings.scope.as_deref().map(|scope| ("scope", scope)));
        let media = "application/x-www-form-urlencoded";
        let body = form(&asked).into();
        let user = format!("{}:{}", encoded(&self.settings.client_id), encoded(secret.expose()));
        let basic = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(user)));
        let mut basic = basic.map_err(|_| retry(": the secret cannot stand in a header".to_owned()))?;
        basic.set_sensitive(true);
        let request = Request::with_body(Method::POST, self.url.clone(), media, Compression::None, body);
        let answer = self.client.send(request.header(HeaderName::from_static("authorization"), basic)).await;
        let answer = answer.map_err(|trouble| retry(format!(": {}", trouble.detail)))?;
        let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let Some(text) = told["access_token"].as_str().filter(|_| answer.status == 200) else {
            let why = told["error_description"].as_str().or(told["error"].as_str()).unwrap_or_default();
            return Err(retry(format!(": status {} {}", answer.status, shown(why.as_bytes()))));
        };
        let life = told["expires_in"].as_u64().or_else(|| told["expires_in"].as_str()?.parse().ok());
        Ok(told_of(text.to_owned(), life.map(Duration::from_secs), now))
    }
}

/// A token with what it says of itself, if it is a JWT (RFC 7519). Nothing of it is checked here; the brokers do.
fn told_of(text: String, life: Option<Duration>, now: Timestamp) -> Token {
    let claims = text.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Value = claims.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
    let life = life.map(|life| now.saturating_add(life));
    let expires = claims["exp"].as_f64().map(|secs| Timestamp::from_secs(secs as i64));
    // One that is over already is sent all the same: whose clock is wrong is not known here.
    let until = expires.into_iter().chain(life).min().filter(|until| *until > now);
    Token {
        principal: claims["sub"].as_str().unwrap_or(PRINCIPAL).to_owned(),
        until: until.unwrap_or_else(|| now.saturating_add(LIFE_UNTOLD)),
        text,
    }
}

#[cfg(test)]
mod tests {
    use sawyer_pipeline::stop::Stopper;

    use super::*;
    use crate::testing::NOW;

    #[tokio::test]
    async fn for_a_producer_that_ends_nobody_waits() {
        let provider = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}/token", provider.local_addr().unwrap())).unwrap();
        let settings = OauthSettings {
            token_url: url.to_string(),
            client_id: "sawyer".to_owned(),
            client_secret: None,
            client_secret_file: None,
            scope: None,
            tls: sawyer_delivery::http::TlsSettings::default(),
            proxy: None,
        };
        let secret = CurrentSecret::fixed(Secret::new("s3cr3t"));
        let tokens = TokenPlan::Oauth(settings, url, secret).open(&Clock::manual(NOW)).unwrap();
        let (stopper, end) = Stopper::new();
        stopper.stop();
        // Here, on the runtime's own thread, as when the last user of a producer drops it.
        assert_eq!(tokens.wait_for_one(&end).unwrap_err().kind(), ErrorKind::Closed);
    }

    #[test]
    fn a_token_says_whose_it_is_and_until_when() {
        let jwt = |claims: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        let until = |text: String, life: Option<u64>| {
            let token = told_of(text, life.map(Duration::from_secs), NOW);
            (token.principal, token.until.since(NOW).as_secs())
        };
        let secs = NOW.millis() / 1000;
        let claims = format!("{{\"sub\":\"system:serviceaccount:logs:sawyer\",\"exp\":{}}}", secs + 3600);
        assert_eq!(until(jwt(&claims), None), ("system:serviceaccount:logs:sawyer".to_owned(), 3600));
        assert_eq!(until(jwt(&claims), Some(60)).1, 60);
        assert_eq!(until("opaque".to_owned(), Some(60)), ("sawyer".to_owned(), 60));
        for text in ["opaque".to_owned(), "a.b.c".to_owned(), jwt("{}"), jwt("[]"), jwt("{\"exp\":1}")] {
            assert_eq!(until(text, None), ("sawyer".to_owned(), LIFE_UNTOLD.as_secs()));
        }
    }
}
