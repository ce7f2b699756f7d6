//! The client against a peer on loopback that behaves badly.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use sawyer_config::Secret;
use sawyer_model::Timestamp;
use sawyer_telemetry::Clock;
use sawyer_testkit::peer::{Accept, Peer, Play, Reply};

use super::*;
use crate::auth::{AuthPlan, AuthSettings, BearerSettings};
use crate::verdict::Trouble;

fn settings() -> HttpSettings {
    HttpSettings { answer_timeout: Duration::from_millis(500), ..HttpSettings::default() }
}

fn client(settings: HttpSettings, url: &str) -> Client {
    let clock = Clock::manual(Timestamp::parse("2026-11-20T12:00:00Z").unwrap());
    Client::new(settings, &[url.parse().unwrap()], None, clock).unwrap()
}

async fn ask(client: &Client, url: &str) -> Result<Response, Trouble> {
    let body = compress(vec!["hello".into()], client.compression()).await;
    client
        .send(Request::with_body(
            Method::POST,
            url.parse().unwrap(),
            "text/plain",
            client.compression(),
            body,
        ))
        .await
}

async fn ask_peer(script: impl Fn(usize) -> Play + Send + Sync + 'static) -> Result<Response, Trouble> {
    let peer = Peer::start(move |number, _| script(number));
    ask(&client(settings(), &peer.url()), &peer.url()).await
}

#[tokio::test]
async fn sends_what_it_was_given() {
    let peer = Peer::start(|_, _| Play::Answer(Reply::new(201, "made")));
    let answer = ask(&client(settings(), &peer.url()), &format!("{}/a/b?c=d", peer.url())).await.unwrap();
    assert_eq!((answer.status, &*answer.body), (201, b"made".as_slice()));
    let [request] = peer.received().try_into().unwrap();
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/a/b?c=d"));
    assert_eq!(request.header("content-encoding"), Some("gzip"));
    assert_eq!(request.header("content-type"), Some("text/plain"));
    assert!(request.header("user-agent").unwrap().starts_with("sawyer/"));
    assert_eq!(request.body[..2], [0x1f, 0x8b]);
}

#[tokio::test]
async fn names_what_stood_in_the_way() {
    let nobody = Peer::nobody();
    let trouble = ask(&client(settings(), &nobody), &nobody).await.unwrap_err();
    assert_eq!(trouble.reason, "unreachable");
    assert!(trouble.detail.contains("onnection refused"), "{}", trouble.detail);
    let trouble = ask(&client(settings(), "http://logs.invalid"), "http://logs.invalid/x?key=secret").await;
    let trouble = trouble.unwrap_err();
    assert_eq!(trouble.reason, "unreachable");
    assert!(trouble.detail.starts_with("http://logs.invalid/x: "), "{}", trouble.detail);
    let trouble = ask_peer(|_| Play::Silence).await.unwrap_err();
    assert_eq!(trouble.reason, "timeout");
    assert!(trouble.detail.ends_with("no answer within 500ms"), "{}", trouble.detail);
    for play in [Play::HangUp, Play::Half(Reply::new(200, "half of it"))] {
        let trouble = ask_peer(move |_| play.clone()).await.unwrap_err();
        assert_eq!(trouble.reason, "connection", "{}", trouble.detail);
    }
}

#[tokio::test]
async fn takes_a_slow_answer_and_a_long_one() {
    let long = vec![b'x'; 3 << 20];
    let slow = Play::Slowly(Reply::new(200, "slow"), Duration::from_millis(100));
    assert_eq!(ask_peer(move |_| slow.clone()).await.unwrap().body, "slow");
    let reply = Play::Answer(Reply::new(200, long.clone()));
    assert_eq!(ask_peer(move |_| reply.clone()).await.unwrap().body, long);
    let reply = Play::Answer(Reply::new(500, long));
    assert!(ask_peer(move |_| reply.clone()).await.unwrap().body.len() <= 1 << 20, "a complaint is cut");
}

#[tokio::test]
async fn an_endless_answer_is_no_answer() {
    let long = Reply::new(200, vec![b'x'; ANSWER_BYTES_MAX + 1]);
    let peer = Peer::start(move |_, _| Play::Answer(long.clone()));
    let patient = HttpSettings { answer_timeout: Duration::from_secs(60), ..settings() };
    let trouble = ask(&client(patient, &peer.url()), &peer.url()).await.unwrap_err();
    assert_eq!(unanswered(trouble), crate::verdict::Answer::TooLarge);
}

#[tokio::test]
async fn reads_how_long_to_wait() {
    for (text, expected) in [
        ("7", Some(Duration::from_secs(7))),
        ("Fri, 20 Nov 2026 12:01:00 GMT", Some(Duration::from_secs(60))),
        ("Fri, 20 Nov 2026 11:00:00 GMT", Some(Duration::ZERO)),
        ("99999999", Some(Duration::from_secs(3600))),
        ("tomorrow", None),
    ] {
        let reply = Reply::new(429, "").header("retry-after", text);
        let answer = ask_peer(move |_| Play::Answer(reply.clone())).await.unwrap();
        assert_eq!(answer.retry_after, expected, "{text}");
        let Judgement::Failed(trouble) = judge(&answer) else { panic!("429 is no failure") };
        assert_eq!((trouble.reason, trouble.after), ("overloaded", expected));
    }
}

#[tokio::test]
async fn does_not_follow_redirects() {
    let reply = Reply::new(302, "").header("location", "http://elsewhere.invalid/");
    let answer = ask_peer(move |_| Play::Answer(reply.clone())).await.unwrap();
    assert!(matches!(judge(&answer), Judgement::Failed(trouble) if trouble.reason == "redirect"));
}

#[tokio::test]
async fn goes_through_a_proxy() {
    let proxy = Peer::start(|_, _| Play::Answer(Reply::new(200, "from the proxy")));
    let through = HttpSettings { proxy: Some(Secret::new(proxy.url())), ..settings() };
    let url = "http://logs.invalid/x";
    assert_eq!(ask(&client(through, url), url).await.unwrap().body, "from the proxy");
    assert_eq!(proxy.received()[0].target, url);
}

#[tokio::test]
async fn the_password_of_a_proxy_is_used_and_never_told() {
    let with = |proxy: String| HttpSettings { proxy: Some(Secret::new(proxy)), ..settings() };
    let url = "http://logs.invalid/x";
    let peer = Peer::start(|_, _| Play::Answer(Reply::new(200, "from the proxy")));
    let through = client(with(format!("http://sawyer:sesame@{}", peer.address())), url);
    assert!(!format!("{through:?}").contains("sesame"), "{through:?}");
    ask(&through, url).await.unwrap();
    let said = peer.received()[0].header("proxy-authorization").map(str::to_owned);
    assert_eq!(said.as_deref(), Some("Basic c2F3eWVyOnNlc2FtZQ=="));
    let nobody = Peer::nobody().replace("http://", "http://sawyer:sesame@");
    let told = format!("{:?}", ask(&client(with(nobody), url), url).await.unwrap_err());
    assert!(told.contains("unreachable") && !told.contains("sesame"), "{told}");
    let endpoint = url.parse().unwrap();
    for wrong in ["http://sawyer:sesame@[::", "http://sawyer:sesame@proxy:port", ""] {
        let made =
            Client::new(with(wrong.to_owned()), std::slice::from_ref(&endpoint), None, Clock::system());
        let told = made.unwrap_err().chain().to_string();
        assert!(told.contains("proxy") && !told.contains("sesame"), "{told}");
    }
}

#[tokio::test]
async fn says_who_it_is_with_the_newest_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "one").unwrap();
    let peer = Peer::start(|_, _| Play::Answer(Reply::new(200, "")));
    let url = peer.url();
    let auth = AuthSettings::Bearer(BearerSettings { token: None, token_file: Some(file) });
    let plan: AuthPlan = plan(auth).unwrap();
    let clock = Clock::system();
    let authorize = plan.open(&clock).unwrap();
    let client = Client::new(settings(), &[url.parse().unwrap()], Some(authorize), clock).unwrap();
    ask(&client, &url).await.unwrap();
    assert_eq!(peer.received()[0].header("authorization"), Some("Bearer one"));
}

fn plan(auth: AuthSettings) -> Result<AuthPlan, String> {
    let document = sawyer_config::Document::parse("test.yaml", "auth:").unwrap();
    let mut problems = sawyer_config::Problems::new();
    let at = document.at();
    auth.check(&at.key("auth"), &mut problems).ok_or_else(|| problems.to_string())
}

#[test]
fn one_secret_is_enough() {
    let both = BearerSettings { token: Some(Secret::new("x")), token_file: Some("/y".into()) };
    for bearer in [both, BearerSettings { token: None, token_file: None }] {
        let problem = plan(AuthSettings::Bearer(bearer)).unwrap_err();
        assert_eq!(problem, "test.yaml:1:1: auth: expected either `token` or `token_file`");
    }
}

fn pem(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/tests").join(name)
}

/// A peer with TLS that asks for a certificate.
fn tls_peer(certificate: &str) -> Peer {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from_pem_file(pem(certificate)).unwrap()];
    let key = PrivateKeyDer::from_pem_file(pem("server.key.pem")).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(pem("ca.pem")).unwrap()).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.allow_unauthenticated().build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let accept: Accept = Box::new(move |stream: TcpStream| {
        let connection = ServerConnection::new(Arc::clone(&config)).map_err(std::io::Error::other)?;
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Box::new(Greeting { known: stream.conn.peer_certificates().is_some(), stream }))
    });
    Peer::start_with(accept, |_, request| {
        Play::Answer(Reply::new(200, request.header("known").unwrap_or("unknown").to_owned()))
    })
}

/// A connection that puts into each request whether the client showed a certificate.
struct Greeting {
    known: bool,
    stream: StreamOwned<ServerConnection, TcpStream>,
}

impl std::io::Read for Greeting {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.stream.read(buffer)?;
        let head = b"content-type: text/plain";
        let place = buffer[..count].windows(head.len()).position(|window| window == head);
        if let Some(place) = place.filter(|_| self.known) {
            buffer[place..place + head.len()].copy_from_slice(b"known: yes..............");
        }
        Ok(count)
    }
}

impl std::io::Write for Greeting {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}

async fn ask_encrypted(peer: &Peer, tls: TlsSettings) -> Result<Response, Trouble> {
    let url = format!("https://{}", peer.address());
    ask(&client(HttpSettings { tls, ..settings() }, &url), &url).await
}

#[tokio::test]
async fn trusts_the_authority_it_was_given_and_shows_its_certificate() {
    let peer = tls_peer("server.pem");
    let ours = TlsSettings { ca_file: Some(pem("ca.pem")), cert_file: None, key_file: None };
    assert_eq!(ask_encrypted(&peer, ours.clone()).await.unwrap().body, "unknown");
    let known = TlsSettings {
        cert_file: Some(pem("client.pem")),
        key_file: Some(pem("client.key.pem")),
        ..ours.clone()
    };
    assert_eq!(ask_encrypted(&peer, known).await.unwrap().body, "yes..............");
    let expired = tls_peer("expired.pem");
    let trouble = ask_encrypted(&expired, ours).await.unwrap_err();
    assert_eq!(trouble.reason, "unreachable");
    assert!(trouble.detail.contains("expired"), "{}", trouble.detail);
    let other = TlsSettings { ca_file: Some(pem("expired.pem")), ..TlsSettings::default() };
    let trouble = ask_encrypted(&peer, other).await.unwrap_err();
    assert!(trouble.detail.contains("certificate"), "{}", trouble.detail);
}

#[tokio::test]
async fn changed_certificates_are_read_again() {
    let peer = tls_peer("server.pem");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::copy(pem("client.pem"), &file).unwrap();
    let url = format!("https://{}", peer.address());
    let tls = TlsSettings { ca_file: Some(file.clone()), ..TlsSettings::default() };
    let client = client(HttpSettings { tls, ..settings() }, &url);
    assert_eq!(ask(&client, &url).await.unwrap_err().reason, "unreachable");
    std::fs::copy(pem("ca.pem"), &file).unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(60)).await;
    tokio::time::resume();
    assert_eq!(ask(&client, &url).await.unwrap().status, 200);
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let missing = TlsSettings { ca_file: Some("/nowhere/ca.pem".into()), ..TlsSettings::default() };
    let url = ["https://logs".parse().unwrap()];
    let error =
        Client::new(HttpSettings { tls: missing, ..settings() }, &url, None, Clock::system()).unwrap_err();
    assert!(error.chain().starts_with("read /nowhere/ca.pem: "), "{}", error.chain());
    let no_certificate = TlsSettings { ca_file: Some(pem("server.key.pem")), ..TlsSettings::default() };
    let settings = HttpSettings { tls: no_certificate, ..settings() };
    let error = Client::new(settings, &url, None, Clock::system()).unwrap_err();
    assert!(error.chain().ends_with("server.key.pem: there are none"), "{}", error.chain());
}
