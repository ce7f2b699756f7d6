//! Secrets that come by other ways than files of containers: events of the cluster, programs, files, receivers.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Mutex;

use sawyer_testkit::Dice;
use sawyer_testkit::free_address;
use sawyer_testkit::peer::{Peer, Play, Reply};
use serde_json::{Value, json};

use crate::harness::{SOON, Sawyer};
use crate::haystack::Haystack;
use crate::secrets::{Secret, secret};
use crate::{ALL, LAST, finished, searched};

/// Secrets of each way.
const SECRETS: usize = 150;

/// What is kept of a message, by the input `kubernetes_events` and by `syslog`.
const MESSAGE_BYTES: usize = 64 << 10;

/// A way on which secrets come, and these.
struct Ways {
    all: Vec<(&'static str, Vec<Secret>)>,
}

impl Ways {
    fn made(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut own = || (0..SECRETS).map(|n| secret(n, &mut dice)).collect();
        let names = ["kubernetes_events", "exec", "files", "elasticsearch", "loki", "syslog"];
        Self { all: names.map(|name| (name, own())).into() }
    }

    fn of(&self, name: &str) -> &[Secret] {
        &self.all.iter().find(|(known, _)| *known == name).unwrap().1
    }
}

/// A text in which the secret stands where what is kept of a message ends.
fn at_the_end(text: &str, dice: &mut Dice, head: usize) -> String {
    let within = dice.below(text.len() as u64 + 1) as usize;
    let filler = "some words ".repeat(MESSAGE_BYTES / 11 + 1);
    format!("{} {text} and more", &filler[..MESSAGE_BYTES - head - 1 - within])
}

/// An API server with events, and the Lease by which they are read.
fn api_server(secrets: &[Secret], dice: &mut Dice) -> Peer {
    let event = |(number, text): (usize, String)| {
        let mut event = json!({
            "metadata": {"name": format!("cart.{number}"), "namespace": "shop", "uid": format!("u{number}"),
                "resourceVersion": (200 + number).to_string(), "creationTimestamp": "2026-11-20T10:00:00Z"},
            "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "cart", "fieldPath": "spec.containers{app}"},
            "type": "Warning", "reason": "Failed", "message": text, "count": 1,
        });
        if number % 5 == 1 {
            event["message"] = json!("it is beside the message");
            event["action"] = json!(text);
        }
        event
    };
    let mut text = |(at, secret): (usize, &Secret)| match at % 5 {
        2 => json!({"err": {"cause": secret.text}}).to_string(),
        3 => at_the_end(&secret.text, dice, 0),
        _ => format!("Error: {} was said", secret.text),
    };
    let texts: Vec<String> = secrets.iter().enumerate().map(&mut text).chain([LAST.to_owned()]).collect();
    let last = texts.len() - 1;
    let items: Vec<Value> = texts.into_iter().enumerate().map(event).collect();
    assert_eq!(items[last]["message"], LAST);
    let list = json!({"kind": "EventList", "apiVersion": "v1", "metadata": {"resourceVersion": "1000"}, "items": items});
    let (list, lease) = (list.to_string(), Mutex::new(None::<Value>));
    Peer::start(move |_, request| {
        let mut lease = lease.lock().unwrap();
        let answer = |status, body: &str| {
            Play::Answer(Reply::new(status, body).header("content-type", "application/json"))
        };
        let absent = r#"{"kind":"Status","status":"Failure","reason":"NotFound","code":404}"#;
        match (&*request.method, request.target.as_str()) {
            ("GET", path) if path.contains("/leases/") => match &*lease {
                Some(lease) => answer(200, &lease.to_string()),
                None => answer(404, absent),
            },
            ("POST" | "PUT", path) if path.contains("/leases") => {
                let mut written: Value = serde_json::from_slice(&request.plain_body()).unwrap();
                written["metadata"]["resourceVersion"] = json!("1001");
                answer(200, &lease.insert(written).to_string())
            }
            ("GET", path) if path.contains("watch=") => Play::Silence,
            ("GET", path) if path.starts_with("/api/v1/events") => answer(200, &list),
            _ => answer(404, absent),
        }
    })
}

fn config(folder: &Path, mask: &str, seal: &str, api: &Peer, listen: &[SocketAddr; 3]) -> String {
    let path = |name: &str| folder.join(name).display().to_string();
    let [elasticsearch, loki, syslog] = listen;
    format!(
        "inputs:
  kubernetes_events: {{api: '{}', lease_namespace: logs, token_file: '{}', ca_file: null}}
  exec: {{command: [cat, '{}'], format: text, restart: never}}
  files: {{include: ['{}'], on_host: false}}
  elasticsearch: {{listen: '{elasticsearch}'}}
  loki: {{listen: '{loki}'}}
  syslog: {{tcp: '{syslog}', udp: null}}
pipelines: {{main: {{mask: {mask}, multiline: off}}}}
outputs:
  store:
  file: {{path: '{}'}}
  away: {{type: http, url: 'http://127.0.0.1:1/', buffer: {{kind: disk}}}}
store: {{seal_interval: {seal}}}
",
        api.url(),
        path("token"),
        path("exec.txt"),
        path("app.log"),
        path("out.ndjson"),
    )
}

/// A line for each secret, and the last one.
fn lines(secrets: &[Secret]) -> String {
    let line = |secret: &Secret| format!("it was said: {} and so on\n", secret.text);
    secrets.iter().map(line).chain([format!("{LAST}\n")]).collect()
}

fn ask(address: SocketAddr, path: &str, body: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status: u16 = answer.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(matches!(status, 200 | 204), "{answer}");
}

fn send(ways: &Ways, [elasticsearch, loki, syslog]: [SocketAddr; 3], dice: &mut Dice) {
    let texts = |name: &str| ways.of(name).iter().map(|secret| secret.text.as_str()).chain([LAST]);
    let documents = texts("elasticsearch").enumerate().map(|(at, text)| {
        let document = match at % 3 {
            1 if text != LAST => json!({"message": "x", "context": {"values": [{"k": text}]}}),
            _ => json!({"message": text}),
        };
        format!("{{\"create\":{{\"_index\":\"logs\"}}}}\n{document}\n")
    });
    ask(elasticsearch, "/_bulk", &documents.collect::<String>());
    let time = sawyer_telemetry::Clock::system().now().millis();
    let value = |(at, text): (usize, &str)| json!([format!("{}000000", time + at as i64), text]);
    let values: Vec<Value> = texts("loki").enumerate().map(value).collect();
    let push = json!({"streams": [{"stream": {"app": "cart"}, "values": values}]});
    ask(loki, "/loki/api/v1/push", &push.to_string());
    let mut stream = TcpStream::connect(syslog).unwrap();
    for (at, text) in texts("syslog").enumerate() {
        let head = "<134>1 2026-11-20T10:00:00Z host cart - - - ";
        let text = match at % 4 {
            1 if text != LAST => at_the_end(text, dice, head.len()),
            _ => text.to_owned(),
        };
        write!(stream, "{} {head}{text}", head.len() + text.len()).unwrap();
    }
}

/// What is found of a process that took these secrets, and was then killed.
fn run(ways: &Ways, seed: u64, mask: &str, seal: &str) -> Haystack {
    let (folder, mut dice) = (tempfile::tempdir().unwrap(), Dice::new(seed));
    let folder = folder.path();
    let api = api_server(ways.of("kubernetes_events"), &mut dice);
    fs::write(folder.join("token"), "sesame").unwrap();
    fs::write(folder.join("exec.txt"), lines(ways.of("exec"))).unwrap();
    fs::write(folder.join("app.log"), lines(ways.of("files"))).unwrap();
    let listen = [free_address(), free_address(), free_address()];
    let mut sawyer = Sawyer::up_with(folder, &config(folder, mask, seal, &api, &listen));
    send(ways, listen, &mut dice);
    finished(&mut sawyer, folder, seal, ways.all.len() as u64);
    searched(sawyer, folder)
}

#[test]
fn no_secret_of_any_input_survives_anywhere() {
    for (seed, seal) in [(11, "1h"), (12, "10ms")] {
        let ways = Ways::made(seed);
        let haystack = run(&ways, seed, ALL, seal);
        for (name, secrets) in &ways.all {
            let found = haystack.survivors(secrets);
            let some = &found[..found.len().min(20)];
            assert!(found.is_empty(), "{name}: {} pieces of secrets survive, such as {some:#?}", found.len());
        }
    }
}

#[test]
fn secrets_of_any_input_are_found_that_are_not_masked() {
    let ways = Ways::made(13);
    let haystack = run(&ways, 13, "off", "1h");
    for (name, secrets) in &ways.all {
        for place in ["the API", "the output `file`", "store/", "buffer/"] {
            let found = haystack.only(place).seen(secrets);
            let least = secrets.len() * 7 / 10;
            assert!(found >= least, "{name}: {found} of {} are seen in {place}", secrets.len());
        }
    }
}
