//! No secret survives: the real binary reads logs full of secrets that were made by chance, and then everything that it
//! wrote anywhere is searched: outputs, write-ahead log, segments, buffers, its own log. The same search finds nearly all
//! of them when masking is off, so that it is known to find what is there.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a panic is how a test fails")]
#![allow(missing_docs, reason = "tests are told by their names")]

#[allow(dead_code, reason = "the harness has more than is needed here")]
#[path = "../black_box/harness.rs"]
mod harness;
mod haystack;
mod others;
mod secrets;

use std::fs;
use std::path::Path;
use std::time::Instant;

use sawyer_testkit::Dice;

use harness::{SOON, Sawyer, pause};
use haystack::Haystack;
use secrets::{Secret, secret};

/// Secrets of a run, each in one place.
const SECRETS: usize = 600;

/// Bound of a line, so that some are cut.
const LINE_MAX: usize = 16 << 10;

/// Bytes at which container runtimes cut a line.
const PIECE_BYTES: usize = 16 << 10;

/// What is said last in every container's log.
const LAST: &str = "this was the last line";

/// How a secret stands in the logs.
const WAYS: usize = 8;

/// The rows of a container's log (CRI) in which a secret stands in one of several ways.
fn rows(secret: &Secret, way: usize, dice: &mut Dice) -> String {
    let words = |dice: &mut Dice| dice.text("abcdefghij     ", 40);
    let (before, after) = (words(dice), words(dice));
    let text = &secret.text;
    let whole = |line: &str| line.lines().map(|line| row("F", line)).collect::<String>();
    match way {
        0 => whole(&format!("{before} {text} {after}")),
        1 => whole(&serde_json::json!({"msg": format!("{before} {text}"), "n": 1}).to_string()),
        2 => whole(&serde_json::json!({"level": "info", "msg": "x", "data": [{"k": text}, "y"]}).to_string()),
        3 => whole(&serde_json::json!({"log": serde_json::json!({"inner": text}).to_string()}).to_string()),
        4 => whole(&format!("level=info msg={:?} n=1", format!("{before} {text}"))),
        5 => whole(&format!(
            "java.lang.IllegalStateException: {before}\n\tat shop.Cart(Cart.java:1) {text}\n\tat x"
        )),
        // A line in pieces, the border within the secret.
        6 => in_pieces(&format!("{} ", before.repeat(40)), text, PIECE_BYTES / 8, dice),
        // A line that is cut, the border within the secret.
        _ => {
            let at_head = dice.below(2) == 0;
            let within = dice.below(text.len() as u64 + 1) as usize;
            let filler = |bytes: usize| "some words ".repeat(bytes / 11 + 1)[..bytes].to_owned();
            let half = LINE_MAX / 2;
            let line = if at_head {
                format!("{} {text} {}", filler(half - within - 1), filler(3 * LINE_MAX))
            } else {
                format!(
                    "{} {text} {}",
                    filler(3 * LINE_MAX),
                    filler((half + within).saturating_sub(text.len() + 1))
                )
            };
            whole(&line.replace('\n', "\\n"))
        }
    }
}

fn row(tag: &str, text: &str) -> String {
    format!("2026-11-20T10:00:00Z stdout {tag} {text}\n")
}

/// A line of several rows: the runtime's piece ends somewhere in the secret.
fn in_pieces(before: &str, text: &str, most: usize, dice: &mut Dice) -> String {
    let mut rows = String::new();
    for line in format!("{}{text} and more", &before[..before.len().min(most)]).lines() {
        let mut rest = line;
        while rest.len() > 8 {
            let mut at = 1 + dice.below(rest.len() as u64 - 1) as usize;
            while !rest.is_char_boundary(at) {
                at -= 1;
            }
            rows.push_str(&row("P", &rest[..at]));
            rest = &rest[at..];
        }
        rows.push_str(&row("F", rest));
    }
    rows
}

/// Writes the logs of two containers: one whose lines are grouped, one whose lines are not.
fn write_logs(host: &Path, secrets: &[Secret], dice: &mut Dice) {
    for (place, namespace) in ["grouped", "single"].into_iter().enumerate() {
        let folder =
            host.join(format!("var/log/pods/{namespace}_cart_8e4a5afb-0ab6-44a9-aff5-be71699ac8b8/app"));
        fs::create_dir_all(&folder).unwrap();
        let own = secrets.iter().enumerate().filter(|(at, _)| at % 2 == place);
        let mut text: String = own.map(|(at, secret)| rows(secret, at / 2 % WAYS, dice)).collect();
        text.push_str(&row("F", LAST));
        fs::write(folder.join("0.log"), text).unwrap();
    }
}

/// The same secrets by way of a receiver, where records come with fields.
fn push(sawyer: &Sawyer, secrets: &[Secret]) {
    let record = |secret: &Secret| serde_json::json!({"message": format!("pushed {}", secret.text), "data": {"list": [secret.text]}});
    let body: String = secrets.iter().map(|secret| format!("{}\n", record(secret))).collect();
    let (status, answer) = sawyer.post("/api/v1/ingest", body.as_bytes());
    assert_eq!(status, 200, "{answer}");
}

fn config(folder: &Path, mask: &str, seal: &str) -> String {
    format!(
        "inputs: {{push: , containers: {{line_max: {LINE_MAX}B}}}}
pipelines: {{main: {{mask: {mask}, multiline: {{when: 'not namespace: single'}}}}}}
outputs:
  store:
  file: {{path: '{}'}}
  away: {{type: http, url: 'http://127.0.0.1:1/', buffer: {{kind: disk}}}}
store: {{seal_interval: {seal}}}
",
        folder.join("out.ndjson").display()
    )
}

const ALL: &str = "{personal: [email, card_number, resident_number, phone_number]}";

/// Everything that a process wrote which read these secrets, and was then killed.
fn run(secrets: &[Secret], seed: u64, mask: &str, seal: &str) -> Haystack {
    let folder = tempfile::tempdir().unwrap();
    write_logs(&folder.path().join("host"), secrets, &mut Dice::new(seed));
    let mut sawyer = Sawyer::up_with(folder.path(), &config(folder.path(), mask, seal));
    push(&sawyer, secrets);
    finished(&mut sawyer, folder.path(), seal, 2);
    searched(sawyer, folder.path())
}

/// Waits until everything is everywhere, when so many last lines are.
fn finished(sawyer: &mut Sawyer, folder: &Path, seal: &str, lasts: u64) {
    sawyer.wait_for_count(&format!("message: \"{LAST}\""), lasts);
    let deadline = Instant::now() + SOON;
    let out = folder.join("out.ndjson");
    let told = || {
        fs::read_to_string(&out).unwrap_or_default().matches(&format!("\"message\":\"{LAST}\"")).count()
            as u64
    };
    while told() != lasts {
        assert!(Instant::now() < deadline, "the file is not written: {} of {lasts}", told());
        pause();
    }
    let all = sawyer.count("*");
    while pushed(sawyer) < all {
        assert!(
            Instant::now() < deadline,
            "{} of {all} are in the buffer:\n{}",
            pushed(sawyer),
            sawyer.log()
        );
        pause();
    }
    if seal != "1h" {
        while sawyer.get("/api/v1/status", &[]).1["store"]["segments"].as_u64() < Some(1) {
            assert!(Instant::now() < deadline, "nothing is sealed");
            pause();
        }
    }
}

/// How many records were put into a buffer.
fn pushed(sawyer: &Sawyer) -> u64 {
    let (_, text) = sawyer.request("GET", "/metrics", &[], b"");
    let of = |line: &&str| line.starts_with("sawyer_buffer_pushed_records_total{");
    text.lines().filter(of).map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

/// Kills the process; gives everything that it wrote anywhere, and what it says.
fn searched(mut sawyer: Sawyer, folder: &Path) -> Haystack {
    let mut haystack = Haystack::default();
    let records = sawyer.all("*");
    haystack.add("the API", serde_json::to_string(&records).unwrap().into_bytes());
    records.iter().for_each(|record| haystack.add_values("the API", record));
    haystack.add("its own log", sawyer.log().into_bytes());
    haystack.add("metrics", sawyer.request("GET", "/metrics", &[], b"").1.into_bytes());
    sawyer.kill();
    haystack.add("the output `file`", fs::read(folder.join("out.ndjson")).unwrap());
    haystack.append(Haystack::of_folder(&folder.join("data")));
    haystack
}

fn made(seed: u64) -> Vec<Secret> {
    let mut dice = Dice::new(seed);
    (0..SECRETS).map(|n| secret(n, &mut dice)).collect()
}

#[test]
fn no_secret_survives_anywhere() {
    for (seed, seal) in [(1, "1h"), (2, "10ms")] {
        let secrets = made(seed);
        let haystack = run(&secrets, seed, ALL, seal);
        let found = haystack.survivors(&secrets);
        assert!(
            found.is_empty(),
            "seed {seed}: {} pieces of secrets survive, such as {:#?}",
            found.len(),
            &found[..found.len().min(20)]
        );
    }
}

#[test]
fn the_search_finds_secrets_that_are_not_masked() {
    for (seed, seal) in [(3, "1h"), (4, "10ms")] {
        let secrets = made(seed);
        let haystack = run(&secrets, seed, "off", seal);
        let all = secrets.len();
        for place in ["the API", "the output `file`", "store/", "buffer/"] {
            let found = haystack.only(place).seen(&secrets);
            eprintln!("{found} of {all} secrets are seen in {place}");
            // In segments some are kept in a form that only its reader understands; the API shows these.
            let least = if place == "store/" && seal != "1h" { all / 4 } else { all * 9 / 10 };
            assert!(
                found >= least,
                "{found} of {all} secrets are seen in {place}: the search has lost its teeth"
            );
        }
    }
}
