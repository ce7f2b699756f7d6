//! Senders push numbered records to receivers and repeat what was not answered with success, while connections break and the
//! process is killed: every record is there, and once where its protocol tells that it is the same.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sawyer_testkit::free_address;

use crate::harness::{AS_WRITTEN, SOON, Sawyer, pause};

/// Records of one request.
const PART: u64 = 20;

/// How often the process is killed.
const KILLS: u64 = 4;

/// A way to push: the input, and whether repeats are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Bulk,
    Keyed,
    Firehose,
    Otlp,
    Loki,
    Hec,
}

impl Way {
    const ALL: [Self; 6] = [Self::Bulk, Self::Keyed, Self::Firehose, Self::Otlp, Self::Loki, Self::Hec];

    fn kind(self) -> &'static str {
        match self {
            Self::Bulk => "elasticsearch",
            Self::Keyed => "http",
            Self::Firehose => "firehose",
            Self::Otlp => "otlp",
            Self::Loki => "loki",
            Self::Hec => "splunk_hec",
        }
    }

    fn is_once(self) -> bool {
        matches!(self, Self::Bulk | Self::Keyed | Self::Firehose)
    }

    /// The path, a header and the body of a request with these numbers.
    fn request(self, from: u64) -> (&'static str, String, String) {
        let numbers = from..from + PART;
        let json = "content-type: application/json".to_owned();
        let rows = |row: &dyn Fn(u64) -> String, between: &str| {
            numbers.clone().map(row).collect::<Vec<_>>().join(between)
        };
        match self {
            Self::Bulk => {
                let row = |n| {
                    format!(
                        "{{\"create\":{{\"_index\":\"i\",\"_id\":\"{n}\"}}}}\n{{\"message\":\"number {n}\"}}\n"
                    )
                };
                ("/_bulk", "content-type: application/x-ndjson".to_owned(), rows(&row, ""))
            }
            Self::Keyed => (
                "/",
                format!("idempotency-key: {from}"),
                rows(&|n| format!("{{\"msg\":\"number {n}\"}}"), "\n"),
            ),
            Self::Firehose => {
                let row = |n| {
                    let data = base64::Engine::encode(
                        &base64::engine::general_purpose::STANDARD,
                        format!("number {n}"),
                    );
                    format!("{{\"data\":\"{data}\"}}")
                };
                let body = format!("{{\"requestId\":\"{from}\",\"records\":[{}]}}", rows(&row, ","));
                ("/", format!("x-amz-firehose-request-id: {from}"), body)
            }
            Self::Otlp => {
                let records = rows(&|n| format!("{{\"body\":{{\"stringValue\":\"number {n}\"}}}}"), ",");
                let body =
                    format!("{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{records}]}}]}}]}}");
                ("/v1/logs", json, body)
            }
            Self::Loki => {
                let values =
                    rows(&|n| format!("[\"{}\",\"number {n}\"]", 1_795_176_000_000_000_000 + n), ",");
                (
                    "/loki/api/v1/push",
                    json,
                    format!("{{\"streams\":[{{\"stream\":{{}},\"values\":[{values}]}}]}}"),
                )
            }
            Self::Hec => {
                ("/services/collector", json, rows(&|n| format!("{{\"event\":\"number {n}\"}}"), "\n"))
            }
        }
    }
}

/// Sends; gives the status if an answer came. With `deaf` it hangs up before the answer.
fn ask(address: SocketAddr, way: Way, from: u64, deaf: bool) -> Option<u16> {
    let (path, header, body) = way.request(from);
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
    stream.set_read_timeout(Some(SOON)).ok()?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{header}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    if deaf {
        return None;
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    // What was taken before is told to be there, which is no reason to send it again.
    assert!(!answer.contains("\"status\":400"), "{answer}");
    answer.split(' ').nth(1)?.parse().ok()
}

/// Sends parts until it is told to stop; gives how many records were answered with success.
fn send(address: SocketAddr, way: Way, stop: &AtomicBool) -> u64 {
    let mut sent = 0;
    let mut tries = 0_u64;
    while !stop.load(Ordering::SeqCst) {
        loop {
            tries += 1;
            // One answer in seven gets lost.
            match ask(address, way, sent, tries.is_multiple_of(7)) {
                Some(200 | 204) => break,
                Some(429 | 503) | None => pause(),
                Some(other) => panic!("{way:?}: {other}"),
            }
        }
        sent += PART;
    }
    sent
}

fn start(folder: &Path, config: &str) -> Sawyer {
    let (data, path) = (folder.join("data"), folder.join("sawyer.yaml"));
    std::fs::write(&path, config).unwrap();
    let args = ["--data", data.to_str().unwrap(), "--config", path.to_str().unwrap()];
    let deadline = Instant::now() + SOON;
    loop {
        match Sawyer::try_start("server", &args) {
            Ok(running) => return running,
            Err(log) => assert!(Instant::now() < deadline, "it does not start:\n{log}"),
        }
        pause();
    }
}

#[test]
fn every_record_that_is_pushed_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let addresses = Way::ALL.map(|_| free_address());
    let mut config = "inputs:\n".to_owned();
    for (way, address) in Way::ALL.into_iter().zip(addresses) {
        let listen = if way == Way::Otlp { format!("['{address}']") } else { address.to_string() };
        config.push_str(&format!("  {}: {{listen: {listen}}}\n", way.kind()));
    }
    config.push_str(AS_WRITTEN);
    let mut sawyer = start(folder.path(), &config);
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = Way::ALL
        .into_iter()
        .zip(addresses)
        .map(|(way, address)| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || send(address, way, &stop))
        })
        .collect();
    for round in 0..KILLS {
        let until = Instant::now() + Duration::from_millis(400 + 170 * round);
        while Instant::now() < until {
            pause();
        }
        sawyer.kill();
        sawyer = start(folder.path(), &config);
    }
    let until = Instant::now() + Duration::from_millis(500);
    while Instant::now() < until {
        pause();
    }
    stop.store(true, Ordering::SeqCst);
    for (way, sender) in Way::ALL.into_iter().zip(senders) {
        let sent = sender.join().unwrap();
        assert!(sent >= 10 * PART, "{way:?}: {sent} are too few to tell anything");
        let mut times: BTreeMap<u64, u64> = BTreeMap::new();
        for record in sawyer.all(&format!("source: \"{0}:{0}\"", way.kind())) {
            let number = record["message"].as_str().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
            *times.entry(number).or_default() += 1;
        }
        let missing = (0..sent).filter(|number| !times.contains_key(number)).count();
        assert_eq!(missing, 0, "{way:?}: of {sent}");
        let twice = times.values().filter(|times| **times > 1).count();
        assert!(!way.is_once() || twice == 0, "{way:?}: {twice} of {sent} are there more than once");
    }
}

/// `create` of a document that is there is a conflict, as at Elasticsearch, and nothing is stored twice.
#[test]
fn a_document_is_created_once() {
    let folder = tempfile::tempdir().unwrap();
    let listen = free_address();
    let config = format!("inputs: {{elasticsearch: {{listen: '{listen}'}}}}\n");
    let sawyer = start(folder.path(), &config);
    let ask = |method: &str, path: &str, body: &str| -> (u16, serde_json::Value) {
        let mut stream = TcpStream::connect(listen).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}")))
    };
    let bulk = |actions: &[(&str, &str)]| -> (bool, Vec<u64>) {
        let row = |(action, id): &(&str, &str)| {
            format!(
                "{{\"{action}\":{{\"_index\":\"logs\",\"_id\":\"{id}\"}}}}\n{{\"message\":\"order {id}\"}}\n"
            )
        };
        let (status, answer) = ask("POST", "/_bulk", &actions.iter().map(row).collect::<String>());
        assert_eq!(status, 200, "{answer}");
        let of = |item: &serde_json::Value| {
            item.as_object().and_then(|item| item.values().next()?["status"].as_u64()).unwrap()
        };
        (answer["errors"] == true, answer["items"].as_array().unwrap().iter().map(of).collect())
    };
    assert_eq!(bulk(&[("create", "a"), ("create", "b"), ("create", "a")]), (true, vec![201, 201, 409]));
    assert_eq!(bulk(&[("create", "c"), ("create", "b"), ("index", "a")]), (true, vec![201, 409, 200]));
    assert_eq!(bulk(&[("index", "c"), ("index", "d")]), (false, vec![200, 201]));
    let (status, answer) = ask("PUT", "/logs/_create/d", r#"{"message":"order d"}"#);
    assert_eq!((status, answer["error"]["type"].as_str()), (409, Some("version_conflict_engine_exception")));
    assert_eq!(ask("PUT", "/logs/_create/e", r#"{"message":"order e"}"#).0, 201);
    assert_eq!(sawyer.count("message: order"), 5);
    sawyer.kill();
    // It is known after a restart, too.
    let sawyer = start(folder.path(), &config);
    assert_eq!(bulk(&[("create", "e"), ("create", "f")]), (true, vec![409, 201]));
    assert_eq!(sawyer.count("message: order"), 6);
    let (_, ledger) = sawyer.get("/api/v1/ledger", &[]);
    assert_eq!(ledger["closes"], true, "{ledger}");
}
