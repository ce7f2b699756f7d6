//! Targets that cannot be reached, refuse or never answer: each is told clearly and seldom, costs nothing, and the others
//! go on.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sawyer_testkit::loki::Loki;
use sawyer_testkit::peer::{Manner, Peer, Play, Reply};
use serde_json::Value;

use crate::harness::{SOON, Sawyer, pause, run, text};

/// Lines that every target is to have.
const LINES: u64 = 200;

fn write_lines(folder: &Path) {
    let path = folder.join("host/var/log/pods/shop_cart_8e4a5afb-0ab6-44a9-aff5-be71699ac8b8/app");
    fs::create_dir_all(&path).unwrap();
    let mut rows: String =
        (0..LINES).map(|n| format!("2026-11-20T10:00:00.{n:09}Z stdout F number {n}\n")).collect();
    rows.push_str(&format!("2026-11-20T10:00:01Z stdout F number {LINES} {}\n", "long ".repeat(1000)));
    fs::write(path.join("0.log"), rows).unwrap();
}

fn agent(folder: &Path, config: &str) -> Sawyer {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    fs::write(folder.join("sawyer.yaml"), config).unwrap();
    let args = ["--data", &path("data"), "--config", &path("sawyer.yaml"), "--host-root", &path("host")];
    Sawyer::start("agent", &args)
}

/// How many different numbers came in good requests.
fn numbers(peer: &Peer, good: impl Fn(usize) -> bool) -> usize {
    let received = peer.received();
    let taken = received.iter().enumerate().filter(|(at, _)| good(*at));
    let bodies = taken.map(|(_, request)| String::from_utf8(request.plain_body()).unwrap());
    let records = bodies.flat_map(|body| {
        body.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["_id"].to_string())
            .collect::<Vec<_>>()
    });
    records.collect::<std::collections::BTreeSet<_>>().len()
}

fn wait_until(sawyer: &mut Sawyer, what: &str, holds: impl Fn(&Sawyer) -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds(sawyer) {
        assert!(Instant::now() < deadline, "waited too long until {what}; the log:\n{}", sawyer.log());
        pause();
    }
}

/// The sum of a metric of one target.
fn metric(sawyer: &Sawyer, name: &str, target: &str) -> u64 {
    let (_, text) = sawyer.request("GET", "/metrics", &[], b"");
    let of = |line: &&str| line.starts_with(name) && line.contains(&format!("=\"{target}\""));
    text.lines().filter(of).map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap() as u64).sum()
}

fn pem(name: &str) -> PathBuf {
    sawyer_testkit::repository().join("crates/delivery/src/http/tests").join(name)
}

/// A peer whose certificate has expired.
fn expired_peer() -> Peer {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from_pem_file(pem("expired.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(pem("server.key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let accept = Box::new(move |stream: TcpStream| {
        let connection = ServerConnection::new(Arc::clone(&config)).map_err(std::io::Error::other)?;
        Ok(Box::new(StreamOwned::new(connection, stream)) as Box<dyn sawyer_testkit::peer::Connection>)
    });
    Peer::start_as(Manner { accept, ..Manner::default() }, |_, _| Play::Answer(Reply::new(200, "")))
}

/// A target was tried many times, and told of once, with a metric and without its secret.
fn told_once(sawyer: &mut Sawyer, name: &str, message: &str) {
    let tries = |sawyer: &Sawyer| metric(sawyer, "sawyer_delivery_requests_total", name) >= 6;
    wait_until(sawyer, name, tries);
    let log = sawyer.log();
    let target = format!("\"target_name\":\"{name}\"");
    let of = |line: &&str| line.contains("cannot deliver now") && line.contains(&target);
    let lines: Vec<&str> = log.lines().filter(of).collect();
    assert!(lines.len() == 1 && lines[0].contains(message), "{name}: {lines:#?}\n{log}");
    assert!(metric(sawyer, "sawyer_delivery_retried_items_total", name) > 0);
    assert_eq!(metric(sawyer, "sawyer_delivery_items_total", name), 0);
    assert!(!log.contains("sesame"), "a secret is told");
}

/// Each target in trouble is told of once, and named as not ready; the others are not.
fn all_are_told(sawyer: &mut Sawyer) {
    let told = [
        ("stranger", "status 401 (are the credentials right?): {\\\"error\\\":\\\"no such key\\\"}"),
        ("forbidden", "status 403 (are the credentials right?): not for you"),
        ("nowhere", "http://logs.invalid/: "),
        ("expired", "certificate expired"),
        ("silent", "no answer within 300ms"),
    ];
    for (name, message) in told {
        told_once(sawyer, name, message);
    }
    let (status, reasons) = sawyer.request("GET", "/readyz", &[], b"");
    assert_eq!(status, 503);
    assert!(told.iter().all(|(name, _)| reasons.contains(&format!("output {name}"))), "{reasons}");
    assert!(!reasons.contains("output good") && !reasons.contains("output loki"), "{reasons}");
}

#[test]
fn each_trouble_is_told_once_and_costs_nobody_anything() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_lines(folder);
    // Each of these is mended in the end.
    let mended = Arc::new(AtomicBool::new(false));
    let broken =
        |play: fn() -> Play| {
            let mended = Arc::clone(&mended);
            Peer::start(move |_, _| {
                if mended.load(Ordering::Acquire) { Play::Answer(Reply::new(200, "")) } else { play() }
            })
        };
    let good = Peer::start(|_, _| Play::Answer(Reply::new(200, "")));
    let stranger = broken(|| Play::Answer(Reply::new(401, r#"{"error":"no such key"}"#)));
    let forbidden = broken(|| Play::Answer(Reply::new(403, "not for you")));
    let silent = broken(|| Play::Silence);
    let expired = expired_peer();
    let loki = Loki::default();
    let there = loki.clone();
    let loki_peer = Peer::start(move |_, request| Play::Answer(there.answer(request)));
    let config = format!(
        "inputs: {{containers: }}\npipelines: {{main: {{steps: []}}}}\noutputs:\n\
         \x20 good: {{type: http, url: {good}, batch_age_max: 10ms}}\n\
         \x20 stranger: {{type: http, url: {stranger}, {common}}}\n\
         \x20 forbidden: {{type: http, url: {forbidden}, {common}}}\n\
         \x20 nowhere: {{type: http, url: 'http://logs.invalid', {common}}}\n\
         \x20 expired: {{type: http, url: 'https://{expired}', tls: {{ca_file: {ca}}}, {common}}}\n\
         \x20 silent: {{type: http, url: {silent}, {common}, answer_timeout: 300ms}}\n\
         \x20 loki: {{type: loki, endpoint: {loki}, line_max: 1KiB, batch_age_max: 10ms}}\n",
        good = good.url(),
        stranger = stranger.url(),
        forbidden = forbidden.url(),
        silent = silent.url(),
        expired = expired.address(),
        ca = pem("ca.pem").display(),
        loki = loki_peer.url(),
        common = "batch_age_max: 10ms, retry_pause_max: 100ms, auth: {type: bearer, token: sesame}",
    );
    let mut sawyer = agent(folder, &config);
    let all = LINES as usize + 1;
    wait_until(&mut sawyer, "the good target has all", |_| numbers(&good, |_| true) == all);
    // One line is too long for Loki, and is kept as a dead letter; the others are there.
    wait_until(&mut sawyer, "Loki has all", |_| loki.lines().len() == all - 1);
    wait_until(&mut sawyer, "the long line is rejected", |sawyer| {
        metric(sawyer, "sawyer_delivery_rejected_items_total", "loki") == 1
    });
    let too_long = "too long: a line of 5011 bytes, and Loki takes 1024";
    assert_eq!(sawyer.log().matches(too_long).count(), 1, "{}", sawyer.log());
    all_are_told(&mut sawyer);
    // Whoever is mended gets everything, though the agent was killed in between.
    sawyer.kill();
    let before = [&stranger, &forbidden, &silent].map(|peer| peer.received().len());
    mended.store(true, Ordering::Release);
    let mut sawyer = agent(folder, &config);
    for (peer, before) in [&stranger, &forbidden, &silent].into_iter().zip(before) {
        wait_until(&mut sawyer, "what was broken has all", |_| numbers(peer, |at| at >= before) == all);
    }
}

#[test]
fn mistakes_in_outputs_are_told_with_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sawyer.yaml");
    let yaml = "outputs:\n  es: {type: elasticsearch, endpoint: 'http://es', index: 'logs-{date'}\n\
                \x20 old: {type: elasticsearch, endpoint: 'http://es', index: Logs}\n\
                \x20 loki: {endpoint: loki, tenant: '{', labels: ['a b=c']}\n\
                \x20 http: {url: 'https://me:secret@logs'}\n";
    fs::write(&config, yaml).unwrap();
    let output = run(&["check", "--config", config.to_str().unwrap()]);
    assert!(!output.status.success());
    let said = text(&output.stderr);
    for line in [
        ":2:52: outputs.es.index: expected `}` after `{`, found \"logs-{date\"",
        ":3:53: outputs.old.index: an index cannot have `L` in its name, found \"Logs\"",
        ":4:10: outputs.loki.endpoint: expected an address such as",
        ":4:26: outputs.loki.tenant: expected `}` after `{`, found \"{\"",
        ":4:48: outputs.loki.labels[0]: expected a field, or a label and a field as in `app=labels.app`",
        ":5:10: outputs.http.url: an address with a password in it would be shown in messages; set `auth` instead",
    ] {
        assert!(said.contains(line), "{line} in\n{said}");
    }
    assert!(!said.contains("secret"), "{said}");
}
