//! The sources of credentials against stand-ins on loopback: STS, the agent of EKS Pod Identity, the metadata service
//! of EC2. Each verifies what it is asked as the real one does, gives credentials that expire, and fails on demand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sawyer_testkit::peer::{Peer, Play, Received, Reply};

use super::super::{AssumeRoleSettings, AwsSettings};
use super::*;
use crate::http::Request as HttpRequest;

mod container;
mod instance;
mod profile;
mod web_identity;

const NOW: Timestamp = Timestamp::from_secs(1_795_176_000);
const HOUR: Duration = Duration::from_secs(3600);

/// What must never be in a message.
const SECRET: &str = "s3cr3t";

fn clock() -> Clock {
    Clock::manual(NOW)
}

/// The chain in these surroundings.
fn chain(variables: &[(&str, &str)], clock: &Clock) -> Arc<dyn CredentialsSource> {
    source(None, None, None, "eu-west-1", &Surroundings::of(variables), clock)
}

/// The id of the key that is good now.
async fn key(source: &Arc<dyn CredentialsSource>) -> String {
    let credentials = source.current().await.unwrap();
    assert_eq!(credentials.secret_access_key.expose(), SECRET);
    credentials.access_key_id
}

async fn told(source: &Arc<dyn CredentialsSource>) -> String {
    let error = source.current().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry);
    let told = error.chain();
    assert!(!told.contains(SECRET), "a secret is told: {told}");
    told
}

/// The fields of a form.
fn form(request: &Received) -> BTreeMap<String, String> {
    let url =
        reqwest::Url::parse(&format!("http://x/?{}", std::str::from_utf8(&request.body).unwrap())).unwrap();
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// An answer of STS, with credentials for an hour from a time on.
fn assumed(action: &str, id: &str, now: Timestamp) -> Reply {
    let expires = now.saturating_add(HOUR);
    let body = format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <{action}Result>\n    <Credentials>\n\
         <AccessKeyId>{id}</AccessKeyId>\n<SecretAccessKey>{SECRET}</SecretAccessKey>\n\
         <SessionToken>{SECRET}-token/+=</SessionToken>\n<Expiration>{expires}</Expiration>\n</Credentials>\n\
         <AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/x/sawyer</Arn></AssumedRoleUser>\n\
         </{action}Result>\n</{action}Response>"
    );
    Reply::new(200, body)
}

fn refused(status: u16, code: &str, message: &str) -> Play {
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    );
    Play::Answer(Reply::new(status, body))
}

/// Credentials as agents and instances tell them.
fn json(id: &str, expires: Timestamp) -> String {
    format!(
        r#"{{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"{id}","SecretAccessKey":"{SECRET}","Token":"{SECRET}","Expiration":"{expires}"}}"#
    )
}

fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn the_environment_comes_first() {
    let variables = [
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_SESSION_TOKEN", "token"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere"),
    ];
    let source = chain(&variables, &clock());
    assert_eq!(key(&source).await, "AKID");
    assert_eq!(source.current().await.unwrap().session_token.unwrap().expose(), "token");
}

#[tokio::test]
async fn what_is_half_set_up_is_told_instead_of_taking_another_source() {
    let source = chain(&[("AWS_SECRET_ACCESS_KEY", SECRET), ("AWS_EC2_METADATA_DISABLED", "true")], &clock());
    let expected =
        "no AWS credentials: environment: AWS_SECRET_ACCESS_KEY is set, and AWS_ACCESS_KEY_ID is not";
    assert_eq!(told(&source).await, expected);
}

#[tokio::test]
async fn tells_every_source_that_was_tried() {
    let source = chain(&[("AWS_EC2_METADATA_DISABLED", "true")], &clock());
    assert_eq!(
        told(&source).await,
        "no AWS credentials: environment: AWS_ACCESS_KEY_ID is not set; \
         web identity: AWS_WEB_IDENTITY_TOKEN_FILE is not set; profile: there is no profile `default`; \
         container: AWS_CONTAINER_CREDENTIALS_FULL_URI is not set; \
         instance: AWS_EC2_METADATA_DISABLED is set"
    );
}

#[tokio::test]
async fn a_role_is_assumed_with_the_keys_that_are_set() {
    let clock = clock();
    let shown = clock.clone();
    let peer = Peer::start(move |number, request| {
        let form = form(request);
        assert_eq!((form["Action"].as_str(), form["Version"].as_str()), ("AssumeRole", "2011-06-15"));
        assert_eq!(
            (form["RoleArn"].as_str(), form["ExternalId"].as_str()),
            ("arn:aws:iam::2:role/logs", "theirs")
        );
        assert_eq!(form["RoleSessionName"], "sawyer");
        let signed = request.header("authorization").unwrap();
        assert!(signed.starts_with("AWS4-HMAC-SHA256 Credential=AKID/"), "{signed}");
        assert!(signed.contains("/eu-west-1/sts/aws4_request, SignedHeaders="), "{signed}");
        Play::Answer(assumed("AssumeRole", &format!("ASIA{number}"), shown.now()))
    });
    let settings = AwsSettings {
        region: Some("eu-west-1".to_owned()),
        service: None,
        access_key_id: Some("AKID".to_owned()),
        secret_access_key: Some(Secret::new(SECRET)),
        session_token: None,
        profile: None,
        assume_role: Some(AssumeRoleSettings {
            role_arn: "arn:aws:iam::2:role/logs".to_owned(),
            external_id: Some(Secret::new("theirs")),
            session_name: "sawyer".to_owned(),
        }),
    };
    let surroundings = Surroundings::of(&[("AWS_ENDPOINT_URL_STS", &peer.url())]);
    let signer = settings.signer("eu-west-1", "logs", &surroundings, &clock);
    let signed = async || {
        let mut request = HttpRequest::new(reqwest::Method::POST, "https://logs.example/".parse().unwrap());
        signer.authorize(&mut request).await.unwrap();
        assert_eq!(request.headers["x-amz-security-token"], format!("{SECRET}-token/+="));
        request.headers["authorization"].to_str().unwrap().split('/').next().unwrap().to_owned()
    };
    assert_eq!(signed().await, "AWS4-HMAC-SHA256 Credential=ASIA0");
    assert_eq!(signed().await, "AWS4-HMAC-SHA256 Credential=ASIA0");
    clock.advance(HOUR - Duration::from_secs(299));
    assert_eq!(
        signed().await,
        "AWS4-HMAC-SHA256 Credential=ASIA1",
        "new ones five minutes before they expire"
    );
    assert_eq!(peer.received().len(), 2);
}

/// A source that is slow, and whose answers a test counts.
struct Slow {
    asked: Arc<AtomicUsize>,
    good: Arc<Mutex<bool>>,
    clock: Clock,
}

impl kept::Fetch for Slow {
    fn fetch(&self) -> Promise<'_, Result<kept::Fresh, Error>> {
        Box::pin(async {
            let number = self.asked.fetch_add(1, Ordering::AcqRel);
            tokio::time::sleep(Duration::from_secs(1)).await;
            if !*self.good.lock() {
                return Err(Error::new(ErrorKind::Retry, "away"));
            }
            let credentials = Credentials {
                access_key_id: format!("K{number}"),
                secret_access_key: Secret::new(SECRET),
                session_token: None,
            };
            Ok(kept::Fresh { credentials, expires: Some(self.clock.now().saturating_add(HOUR)) })
        })
    }
}

fn slow(good: bool) -> (Arc<dyn CredentialsSource>, Arc<AtomicUsize>, Arc<Mutex<bool>>, Clock) {
    let (asked, good, clock) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(good)), clock());
    let source = Slow { asked: Arc::clone(&asked), good: Arc::clone(&good), clock: clock.clone() };
    (Arc::new(Kept::new(source, clock.clone())), asked, good, clock)
}

/// What ten get that ask at once.
async fn ten(source: &Arc<dyn CredentialsSource>) -> Vec<Result<String, String>> {
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let source = Arc::clone(source);
        asking.spawn(async move {
            source.current().await.map(|found| found.access_key_id).map_err(|error| error.chain())
        });
    }
    asking.join_all().await
}

#[tokio::test(start_paused = true)]
async fn one_at_a_time_fetches_and_the_others_have_what_it_got() {
    let (source, asked, good, clock) = slow(false);
    assert_eq!(ten(&source).await, vec![Err("away".to_owned()); 10], "those who waited get the same");
    assert_eq!(asked.load(Ordering::Acquire), 1);
    *good.lock() = true;
    assert_eq!(ten(&source).await, vec![Ok("K1".to_owned()); 10]);
    clock.advance(HOUR - Duration::from_secs(200));
    let mut got = ten(&source).await;
    got.sort();
    let mut expected = vec![Ok("K1".to_owned()); 9];
    expected.push(Ok("K2".to_owned()));
    assert_eq!(got, expected, "nobody waits for the new ones while the old ones are good");
    assert_eq!(asked.load(Ordering::Acquire), 3);
}

#[tokio::test(start_paused = true)]
async fn old_ones_are_kept_while_they_are_good_and_no_longer() {
    let (source, asked, good, clock) = slow(true);
    assert_eq!(key(&source).await, "K0");
    *good.lock() = false;
    clock.advance(HOUR - Duration::from_secs(200));
    assert_eq!(key(&source).await, "K0");
    assert_eq!(key(&source).await, "K0");
    assert_eq!(asked.load(Ordering::Acquire), 2, "not asked again at once");
    clock.advance(Duration::from_secs(31));
    assert_eq!(key(&source).await, "K0");
    assert_eq!(asked.load(Ordering::Acquire), 3);
    clock.advance(Duration::from_secs(200));
    assert_eq!(told(&source).await, "away", "they have expired");
    *good.lock() = true;
    assert_eq!(key(&source).await, "K4");
}
