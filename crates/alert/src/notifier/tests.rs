//! Messages, judged by what receivers' own programs say about them.

mod mail;
mod trouble;

use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sawyer_config::{Document, Setting};
use sawyer_model::Timestamp;
use sawyer_testkit::peer::{Accept, Peer, Play, Reply};
use serde_json::{Value, json};

use super::*;
use crate::state::{Finding, Labels, Sample, Told, fingerprint};

/// Python packages that judge, pinned.
const SLACK_SDK: &str = "slack_sdk==3.48.0";
const AIOSMTPD: &str = "aiosmtpd==1.4.6";

/// A program with packages from PyPI; none where they cannot be had, which is recorded.
pub(super) fn python(script: &str, packages: &[&str]) -> Option<Command> {
    let folder = sawyer_testkit::packages("python-packages", packages, "no Python packages")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/notifier/tests").join(script);
    let mut command = Command::new("python3");
    command.arg(script).env("PYTHONPATH", folder);
    Some(command)
}

fn pem(name: &str) -> PathBuf {
    sawyer_testkit::repository().join("crates/delivery/src/http/tests").join(name)
}

/// An alert with everything in it, `size` times as long as usual.
pub(super) fn told(firing: bool, size: usize) -> Told {
    let labels: Labels =
        [("alertname", "errors"), ("severity", "critical"), ("namespace", "shop"), ("pod", "cart-1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    let time = |text: &str| Timestamp::parse(text).unwrap();
    let long = |text: &str| text.repeat(size);
    Told {
        fingerprint: fingerprint(&labels),
        rule: "errors".to_owned(),
        labels,
        firing,
        starts: time("2026-11-20T12:00:00Z"),
        ends: (!firing).then(|| time("2026-11-20T12:07:30Z")),
        finding: Finding {
            value: 12.0,
            value_text: "12".to_owned(),
            threshold: ">= 10".to_owned(),
            window: "5m".to_owned(),
            matched: 12,
            total: None,
            from: time("2026-11-20T11:55:00Z"),
            to: time("2026-11-20T12:00:00Z"),
            query: "level: error and namespace: \"shop\"".to_owned(),
            samples: (0..3)
                .map(|_| Sample {
                    time: time("2026-11-20T11:59:59.123Z"),
                    origin: "shop/cart-1".to_owned(),
                    text: long("결제 <failed> & \"lost\" ```"),
                })
                .collect(),
            link: format!("https://sawyer.example/?q={}", long("a")),
            summary: long("12 errors <in> 5m & more"),
            description: long("Something & <b>bad</b>. "),
            runbook: "https://wiki.example/errors?a=b&c=d".to_owned(),
        },
    }
}

pub(super) fn notification(alerts: Vec<Told>) -> Notification {
    Notification {
        id: "18f-7".to_owned(),
        notifier: "them".to_owned(),
        group: Labels::from([("alertname".to_owned(), "errors".to_owned())]),
        created: Timestamp::parse("2026-11-20T12:00:05Z").unwrap(),
        repeated: false,
        test: false,
        alerts,
        truncated: 0,
    }
}

/// A notifier of these settings.
pub(super) fn open(settings: &str) -> Box<dyn Notify> {
    let document = Document::parse("sawyer.yaml", &format!("them: {settings}\n")).unwrap();
    let (mut problems, at) = (Problems::new(), document.at().key("them"));
    let plan =
        NotifierSettings::read(&at, &mut problems).and_then(|settings| settings.check(&at, &mut problems));
    let plan = problems.into_result(plan).unwrap_or_else(|problems| panic!("{problems}"));
    plan.open("https://sawyer.example", &Clock::system()).unwrap()
}

#[test]
fn slack_sdk_takes_every_message() {
    let Some(mut python) = python("slack_check.py", &[SLACK_SDK, AIOSMTPD]) else { return };
    let mut payloads = Vec::new();
    for size in [1, 10, 100, 1000] {
        for count in [1, 3, 50] {
            let alerts = (0..count).map(|at| told(at % 2 == 0, size)).collect();
            payloads.push(slack::payload(&Notification { truncated: 7, ..notification(alerts) }));
        }
    }
    let bare = Told {
        finding: Finding {
            samples: Vec::new(),
            link: String::new(),
            runbook: String::new(),
            ..told(true, 1).finding
        },
        ..told(true, 1)
    };
    payloads.push(slack::payload(&notification(vec![bare])));
    let count = payloads.len();
    let mut child =
        python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for payload in payloads {
        writeln!(input, "{payload}").unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said.lines().count(), count, "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn slack_by_webhook_and_what_its_answers_mean() {
    let peer = Peer::start(|number, _| match number {
        0 => Play::Answer(Reply::new(200, "ok")),
        1 => Play::Answer(Reply::new(400, "invalid_blocks")),
        2 => Play::Answer(Reply::new(429, "").header("retry-after", "30")),
        3 => Play::Answer(Reply::new(404, "no_service")),
        _ => Play::HangUp,
    });
    let slack =
        open(&format!("{{type: slack, url: '{}/services/T0/B0/topsecret?key=alsosecret'}}", peer.url()));
    let notification = notification(vec![told(true, 1)]);
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(slack.notify(&notification).await);
    }
    assert_eq!(answers[0], Answer::done(1));
    assert_eq!(answers[1], Answer::Refused("status 400: invalid_blocks".to_owned()));
    let Answer::Failed(limited) = &answers[2] else { panic!("{:?}", answers[2]) };
    assert_eq!(limited.after, Some(std::time::Duration::from_secs(30)));
    assert!(matches!(&answers[3], Answer::Failed(trouble) if trouble.reason == "not_found"));
    assert!(!format!("{answers:?}").contains("secret"), "{answers:?}");
    let nobody = open(&format!("{{type: slack, url: '{}/services/T0/B0/topsecret'}}", Peer::nobody()));
    let answer = format!("{:?}", nobody.notify(&notification).await);
    assert!(answer.contains("unreachable") && !answer.contains("secret"), "{answer}");
}

#[tokio::test]
async fn slack_by_token() {
    let peer = Peer::start(|number, _| {
        let answer = match number {
            0 => json!({"ok": true, "ts": "1"}),
            1 => json!({"ok": false, "error": "invalid_blocks"}),
            2 => json!({"ok": false, "error": "channel_not_found"}),
            _ => json!({"ok": false, "error": "invalid_auth"}),
        };
        Play::Answer(Reply::new(200, answer.to_string()))
    });
    let slack = open(&format!(
        "{{type: slack, token: xoxb-1, channel: '#ops', api_url: '{}/api/chat.postMessage'}}",
        peer.url()
    ));
    let notification = notification(vec![told(true, 1)]);
    assert_eq!(slack.notify(&notification).await, Answer::done(1));
    assert_eq!(slack.notify(&notification).await, Answer::Refused("invalid_blocks".to_owned()));
    for _ in 0..2 {
        assert!(matches!(slack.notify(&notification).await, Answer::Failed(_)), "an operator can end it");
    }
    let request = &peer.received()[0];
    assert_eq!(request.header("authorization"), Some("Bearer xoxb-1"));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["channel"], "#ops");
}

/// What PagerDuty's documentation of the Events API v2 asks of an event.
fn check_event(body: &[u8]) -> Value {
    assert!(body.len() <= 512 << 10, "512 KB at most");
    let event: Value = serde_json::from_slice(body).unwrap();
    let text = |value: &Value, most: usize| {
        value.as_str().is_some_and(|text| !text.is_empty() && text.chars().count() <= most)
    };
    assert!(text(&event["routing_key"], 32), "routing_key");
    assert!(text(&event["dedup_key"], 255), "dedup_key");
    let action = event["event_action"].as_str().unwrap();
    assert!(["trigger", "acknowledge", "resolve"].contains(&action), "{action}");
    let payload = &event["payload"];
    assert!(text(&payload["summary"], 1024), "summary");
    assert!(text(&payload["source"], 1024), "source");
    assert!(["critical", "error", "warning", "info"].contains(&payload["severity"].as_str().unwrap()));
    Timestamp::parse(payload["timestamp"].as_str().unwrap()).unwrap();
    for optional in ["component", "group", "class"] {
        assert!(payload[optional].is_null() || text(&payload[optional], 1024), "{optional}");
    }
    assert!(payload["custom_details"].is_object());
    for link in event["links"].as_array().unwrap() {
        assert!(
            link["href"].as_str().unwrap().starts_with("https://") && text(&link["text"], 1024),
            "{link}"
        );
    }
    let known =
        ["routing_key", "event_action", "dedup_key", "client", "client_url", "links", "images", "payload"];
    assert!(event.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{event}");
    event
}

/// A peer with TLS.
fn tls_peer(script: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Peer {
    tls_peer_as("server.pem", script)
}

/// The same with another certificate.
fn tls_peer_as(certificate: &str, script: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Peer {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from_pem_file(pem(certificate)).unwrap()];
    let key = PrivateKeyDer::from_pem_file(pem("server.key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let accept: Accept = Box::new(move |stream: TcpStream| {
        let connection = ServerConnection::new(Arc::clone(&config)).map_err(std::io::Error::other)?;
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Box::new(stream))
    });
    Peer::start_with(accept, move |number, _| Play::Answer(script(number)))
}

#[tokio::test]
async fn pagerduty_opens_and_closes_an_incident() {
    let accepted = r#"{"status":"success","message":"Event processed","dedup_key":"x"}"#;
    let peer = tls_peer(move |number| match number {
        0..=2 => Reply::new(202, accepted),
        3 => Reply::new(400, r#"{"status":"invalid event","errors":["'payload.summary' is missing"]}"#),
        _ => Reply::new(429, ""),
    });
    let pager = open(&format!(
        "{{type: pagerduty, routing_key: 0123456789abcdef0123456789abcdef, url: 'https://{}/v2/enqueue', http: {{tls: {{ca_file: {}}}}}}}",
        peer.address(),
        pem("ca.pem").display()
    ));
    for alert in [told(true, 1), told(false, 1), told(true, 1000)] {
        assert_eq!(pager.notify(&notification(vec![alert])).await, Answer::done(1));
    }
    assert!(matches!(pager.notify(&notification(vec![told(true, 1)])).await, Answer::Refused(_)));
    assert!(matches!(pager.notify(&notification(vec![told(true, 1)])).await, Answer::Failed(_)));
    let events: Vec<Value> = peer.received().iter().map(|request| check_event(&request.body)).collect();
    let told: Vec<(&str, bool)> = events
        .iter()
        .map(|event| (event["event_action"].as_str().unwrap(), event["dedup_key"] == events[0]["dedup_key"]))
        .collect();
    assert_eq!(told[..2], [("trigger", true), ("resolve", true)]);
    assert_eq!(events[0]["payload"]["severity"], "critical");
    assert_eq!(events[0]["payload"]["source"], "cart-1");
}

#[tokio::test]
async fn a_trial_leaves_no_incident_open() {
    let peer = Peer::start(|_, _| Play::Answer(Reply::new(202, "")));
    let pager = open(&format!("{{type: pagerduty, routing_key: abc, url: '{}/v2/enqueue'}}", peer.url()));
    let trial = Notification { test: true, ..notification(vec![told(true, 1)]) };
    assert_eq!(pager.notify(&trial).await, Answer::done(1));
    let actions =
        peer.received().into_iter().map(|request| check_event(&request.body)["event_action"].clone());
    assert_eq!(actions.collect::<Vec<Value>>(), ["trigger", "resolve"]);
}

#[tokio::test]
async fn a_webhook_gets_what_alertmanager_would_send() {
    let peer = Peer::start(|_, _| Play::Answer(Reply::new(200, "")));
    let hook = open(&format!("{{type: webhook, url: '{}/hook', headers: {{X-Token: abc}}}}", peer.url()));
    hook.notify(&notification(vec![told(true, 1), told(false, 1)])).await;
    let [request] = peer.received().try_into().unwrap();
    assert_eq!(request.header("x-token"), Some("abc"));
    assert_eq!(request.header("idempotency-key"), Some("18f-7"));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let keys: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "alerts",
            "commonAnnotations",
            "commonLabels",
            "externalURL",
            "groupKey",
            "groupLabels",
            "receiver",
            "status",
            "truncatedAlerts",
            "version"
        ]
    );
    assert_eq!((body["version"].as_str(), body["status"].as_str()), (Some("4"), Some("firing")));
    assert_eq!(body["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z");
    assert_eq!(body["alerts"][1]["endsAt"], "2026-11-20T12:07:30Z");
    assert_eq!(body["commonLabels"]["namespace"], "shop");
    insta::assert_snapshot!(body["groupKey"].as_str().unwrap(), @r#"them:{alertname="errors"}"#);
}

#[tokio::test]
async fn a_webhook_gets_a_body_of_ones_own() {
    let peer = Peer::start(|_, _| Play::Answer(Reply::new(200, "")));
    let body = r#"{"text": {{ title | json }}, "host": "{{ labels.pod }}", "none": "{{ labels.nothing }}"}"#;
    let hook = open(&format!(
        "{{type: webhook, url: '{}', body: '{body}', content_type: application/x-own}}",
        peer.url()
    ));
    hook.notify(&notification(vec![told(true, 1)])).await;
    let [request] = peer.received().try_into().unwrap();
    assert_eq!(request.header("content-type"), Some("application/x-own"));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body, json!({"text": "FIRING: 12 errors <in> 5m & more", "host": "cart-1", "none": ""}));
}

#[tokio::test]
async fn an_address_in_a_file_is_read_when_it_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    let hook = open(&format!("{{type: webhook, url_file: {}}}", file.display()));
    let notification = notification(vec![told(true, 1)]);
    let answer = format!("{:?}", hook.notify(&notification).await);
    assert!(answer.contains("No such file"), "{answer}");
    let peer = Peer::start(|_, _| Play::Answer(Reply::new(200, "")));
    std::fs::write(&file, format!("{}/x\n", peer.url())).unwrap();
    assert_eq!(hook.notify(&notification).await, Answer::done(1));
}
