//! From lines in a file to a message at a receiver, through the real binary.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sawyer_testkit::peer::{Peer, Play, Received, Reply};
use serde_json::{Value, json};

use crate::harness::{SOON, Sawyer, pause, run, text};

/// A machine with one container, and Sawyer with a rule on its errors.
struct Machine {
    folder: tempfile::TempDir,
    log: PathBuf,
}

impl Machine {
    fn new(alerts: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pod =
            folder.path().join("host/var/log/pods/shop_cart-1_8e4a5afb-0ab6-44a9-aff5-be71699ac8b8/app");
        fs::create_dir_all(&pod).unwrap();
        fs::write(folder.path().join("sawyer.yaml"), alerts).unwrap();
        Self { log: pod.join("0.log"), folder }
    }

    fn start(&self) -> Sawyer {
        let at = |name: &str| self.folder.path().join(name).to_str().unwrap().to_owned();
        let (config, data, host) = (at("sawyer.yaml"), at("data"), at("host"));
        Sawyer::start("up", &["--config", &config, "--data", &data, "--host-root", &host])
    }

    /// Lines as the container runtime writes them.
    fn say(&self, time: &str, lines: &[String]) {
        let mut log = OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        for line in lines {
            writeln!(log, "{time} stdout F {line}").unwrap();
        }
    }
}

fn errors(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!("{{\"level\":\"error\",\"msg\":\"payment {n} failed\"}}")).collect()
}

/// A moment as the server has it, such as `now-1m`.
fn moment(sawyer: &Sawyer, text: &str) -> String {
    let (status, answer) = sawyer.get("/api/v1/range", &[("start", text), ("end", "now")]);
    assert_eq!(status, 200, "{answer}");
    answer["start"].as_str().unwrap().to_owned()
}

fn rule(sawyer: &Sawyer, name: &str) -> Value {
    sawyer.get(&format!("/api/v1/alerts/rules/{name}"), &[]).1["rule"].clone()
}

/// Waits for evaluations that begin after this call.
fn wait_for_evaluations(sawyer: &Sawyer, name: &str, count: usize) {
    let deadline = Instant::now() + SOON;
    let mut seen = vec![rule(sawyer, name)["evaluation"]["at"].clone()];
    while seen.len() <= count {
        assert!(Instant::now() < deadline, "{}", rule(sawyer, name));
        let at = rule(sawyer, name)["evaluation"]["at"].clone();
        if seen.last() != Some(&at) {
            seen.push(at);
        }
        pause();
    }
}

fn wait_for(peer: &Peer, count: usize, sawyer: &mut Sawyer) -> Vec<Received> {
    let deadline = Instant::now() + SOON;
    while peer.received().len() < count {
        if Instant::now() > deadline {
            panic!("{} of {count} messages; the log:\n{}", peer.received().len(), sawyer.log());
        }
        pause();
    }
    peer.received()
}

fn bodies(received: &[Received]) -> Vec<Value> {
    received.iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
}

#[test]
fn ten_error_lines_become_one_message_and_nine_none() {
    let peer = Peer::start(|_, _| Play::Answer(Reply::new(200, "ok")));
    let machine = Machine::new(&format!(
        "alerts:\n  rules:\n    errors: {{query: 'level: error', count: '>= 10', window: 5m, notify: slack, interval: 1s, lateness: 1s}}\n  \
         notifiers: {{slack: {{url: '{}/services/T0/B0/topsecret'}}}}\n",
        peer.url()
    ));
    let mut sawyer = machine.start();
    machine.say(&moment(&sawyer, "now-10s"), &errors(0..9));
    sawyer.wait_for_count("level: error", 9);
    wait_for_evaluations(&sawyer, "errors", 3);
    let nine = rule(&sawyer, "errors");
    assert_eq!(
        (nine["evaluation"]["value"].as_f64(), nine["state"].as_str()),
        (Some(9.0), Some("ok")),
        "{nine}"
    );
    assert!(peer.received().is_empty(), "nine are not ten");
    // The tenth was said a minute ago and comes only now.
    let began = Instant::now();
    machine.say(&moment(&sawyer, "now-70s"), &errors(9..10));
    let received = wait_for(&peer, 1, &mut sawyer);
    let took = began.elapsed();
    eprintln!("from the line in the file to the message at the receiver: {took:?}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    let body = &bodies(&received)[0];
    let shown = body.to_string();
    for part in
        ["FIRING: errors: 10 in 5m, threshold >= 10", "shop/cart-1 payment 8 failed", "Open in Sawyer"]
    {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let link = shown.split(&format!("http://{}/?", sawyer.address)).nth(1).expect("a link to this server");
    assert!(link.starts_with("q=level%3A%20error&from=20"), "{link}");
    // Once it is noted that the receiver has it, neither a kill nor a stop makes it say it again.
    let deadline = Instant::now() + SOON;
    while sawyer.get("/api/v1/alerts/history", &[]).1["history"][0]["outcome"] != "delivered" {
        assert!(Instant::now() < deadline, "{}", sawyer.log());
        pause();
    }
    wait_for_evaluations(&sawyer, "errors", 2);
    sawyer.kill();
    let sawyer = machine.start();
    wait_for_evaluations(&sawyer, "errors", 3);
    let (_, _, log) = sawyer.stop();
    let mut sawyer = machine.start();
    wait_for_evaluations(&sawyer, "errors", 3);
    assert_eq!(peer.received().len(), 1, "{log}");
    let history = sawyer.get("/api/v1/alerts/history", &[]).1;
    assert_eq!(history["history"][0]["outcome"], "delivered", "{history}");
    assert_eq!(rule(&sawyer, "errors")["alerts"][0]["state"], "firing");
    let everything = format!("{log}{}{}", sawyer.log(), sawyer.get("/api/v1/alerts/notifiers", &[]).1);
    assert!(!everything.contains("topsecret"), "a secret is told:\n{everything}");
}

/// Sends JSON and reads what is answered.
fn send(sawyer: &Sawyer, method: &str, path: &str, body: &str) -> (u16, Value) {
    let (status, answer) =
        sawyer.request(method, path, &[("content-type", "application/json")], body.as_bytes());
    (status, serde_json::from_str(&answer).unwrap_or(Value::Null))
}

fn refuses_a_bad_rule(sawyer: &Sawyer, path: &str) {
    let bad = "{\"query\": \"message: (boom\",\n \"count\": \">= 1\", \"notify\": \"hok\", \"summary\": \"{{ valu }}\"}";
    let (status, answer) = send(sawyer, "POST", path, bad);
    assert_eq!(status, 400, "{answer}");
    let problems = answer["error"]["problems"].as_array().unwrap();
    let told: Vec<(i64, &str)> =
        problems.iter().map(|one| (one["line"].as_i64().unwrap(), one["path"].as_str().unwrap())).collect();
    assert_eq!(told, [(1, "query")], "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("\n  message: (boom\n"), "{answer}");
}

fn silences_from_the_command_line(machine: &Machine, sawyer: &mut Sawyer, peer: &Peer) {
    let server = format!("http://{}", sawyer.address);
    let cli = |args: &[&str]| run(&[&["alerts"], args, &["--server", &server]].concat());
    let silenced = cli(&["silence", "alertname=boom", "--for", "1h", "--comment", "known"]);
    assert!(silenced.status.success(), "{}", text(&silenced.stderr));
    let id = text(&silenced.stdout).trim().to_owned();
    machine.say(&moment(sawyer, "now"), &["boom again".to_owned()]);
    sawyer.wait_for_count("message: again", 1);
    wait_for_evaluations(sawyer, "boom", 4);
    assert_eq!(peer.received().len(), 2, "silenced");
    let silences = sawyer.get("/api/v1/alerts/silences", &[]).1;
    assert_eq!(
        (silences["silences"][0]["id"].as_str(), silences["silences"][0]["state"].as_str()),
        (Some(&*id), Some("active"))
    );
    assert!(cli(&["expire", &id]).status.success());
    let listed = cli(&["--output", "text"]);
    assert!(text(&listed.stdout).contains("off      fixed"), "{}", text(&listed.stdout));
    let tried = cli(&["test", "slack"]);
    assert!(text(&tried.stderr).contains("no notifier `slack`; known: `hook`"), "{}", text(&tried.stderr));
    let tried = cli(&["test", "hook"]);
    assert_eq!(text(&tried.stdout), "delivered\n", "{}", text(&tried.stderr));
    assert_eq!(bodies(&peer.received()).last().unwrap()["commonLabels"]["alertname"], json!("test"));
}

/// Rules, silences, a preview, a trial and the command line.
#[test]
fn the_api_makes_rules_and_silences() {
    let peer = Peer::start(|_, _| Play::Answer(Reply::new(200, "")));
    let machine = Machine::new(&format!(
        "include: rules/*.yaml\nalerts:\n  group_interval: 1s\n  notifiers: {{hook: {{type: webhook, url: '{}/hook'}}}}\n",
        peer.url()
    ));
    let rules = machine.folder.path().join("rules");
    fs::create_dir(&rules).unwrap();
    fs::write(
        rules.join("a.yaml"),
        "alerts: {rules: {fixed: {query: 'message: nothing', absent: true, enabled: false}}}",
    )
    .unwrap();
    let mut sawyer = machine.start();
    let path = "/api/v1/alerts/rules/boom";
    refuses_a_bad_rule(&sawyer, path);
    let good = r#"{"query": "message: boom", "count": ">= 1", "window": "2s", "interval": "1s", "lateness": "0s", "notify": ["hook"]}"#;
    let wrong_names =
        good.replace("hook", "hok").replace("\"count\"", "\"summary\": \"{{ valu }}\", \"count\"");
    let (status, answer) = send(&sawyer, "POST", path, &wrong_names);
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(
        status == 400
            && message.contains("did you mean `hook`?")
            && message.contains("did you mean `value`?"),
        "{message}"
    );
    assert_eq!(send(&sawyer, "POST", path, good).0, 201);
    assert_eq!(send(&sawyer, "POST", path, good).0, 409);
    assert_eq!(send(&sawyer, "PUT", "/api/v1/alerts/rules/fixed", good).0, 409, "it lies in a file");
    assert_eq!(send(&sawyer, "DELETE", "/api/v1/alerts/rules/none", "").0, 404);
    machine.say(&moment(&sawyer, "now"), &["boom".to_owned()]);
    let told = bodies(&wait_for(&peer, 2, &mut sawyer));
    assert_eq!((told[0]["status"].as_str(), told[1]["status"].as_str()), (Some("firing"), Some("resolved")));
    assert_eq!(
        told[0]["alerts"][0]["annotations"]["samples"].as_str().unwrap().split(' ').next_back(),
        Some("boom")
    );

    let (status, preview) =
        send(&sawyer, "POST", "/api/v1/alerts/preview?over=10m", &good.replace("2s", "1m"));
    assert_eq!(status, 200, "{preview}");
    let values = preview["series"][0]["values"].as_array().unwrap();
    assert_eq!(values.len(), preview["times_ms"].as_array().unwrap().len());
    assert_eq!(values.iter().filter_map(Value::as_f64).fold(0.0, f64::max), 1.0);
    assert_eq!(preview["series"][0]["firing"].as_array().unwrap().len(), 1, "{preview}");

    silences_from_the_command_line(&machine, &mut sawyer, &peer);
    assert_eq!(send(&sawyer, "DELETE", path, "").0, 204);
    assert_eq!(sawyer.get("/api/v1/alerts/rules", &[]).1["rules"].as_array().unwrap().len(), 1);
}

#[test]
fn a_receiver_that_is_away_costs_nobody_anything() {
    let peer = Peer::start(|_, _| Play::Answer(Reply::new(200, "")));
    let machine = Machine::new(&format!(
        "alerts:\n  rules:\n    boom: {{query: 'message: boom', count: '>= 1', interval: 1s, lateness: 0s, notify: [away, here]}}\n  \
         notifiers:\n    here: {{type: webhook, url: '{}'}}\n    away: {{type: webhook, url_file: away.url}}\n",
        peer.url()
    ));
    // A file is found from where the process was started.
    let file = machine.folder.path().join("away.url");
    let config = machine.folder.path().join("sawyer.yaml");
    let text = fs::read_to_string(&config).unwrap().replace("away.url", file.to_str().unwrap());
    fs::write(&config, text).unwrap();
    fs::write(&file, format!("{}/topsecret", Peer::nobody())).unwrap();
    let mut sawyer = machine.start();
    machine.say(&moment(&sawyer, "now"), &["boom".to_owned()]);
    wait_for(&peer, 1, &mut sawyer);
    sawyer.wait_for_log("cannot deliver now; it is tried again, and nothing is lost");
    let deadline = Instant::now() + SOON;
    let away = |sawyer: &Sawyer| sawyer.get("/api/v1/alerts/notifiers", &[]).1["notifiers"][0].clone();
    while away(&sawyer)["failures"].as_u64() < Some(4) {
        assert!(Instant::now() < deadline, "{}", away(&sawyer));
        pause();
    }
    assert_eq!((away(&sawyer)["name"].as_str(), away(&sawyer)["waiting"].as_u64()), (Some("away"), Some(1)));
    let log = sawyer.log();
    assert_eq!(log.matches("cannot deliver now").count(), 1, "told once:\n{log}");
    assert!(!format!("{log}{}", away(&sawyer)).contains("topsecret"), "{log}");
    assert_eq!(sawyer.get("/readyz", &[]).0, 200, "the process is in service all the same");
    let metrics = sawyer.get("/metrics", &[]).1.as_str().unwrap().to_owned();
    for name in
        ["sawyer_delivery_retried_items_total{target=\"away\"", "sawyer_alert_waiting_notifications{} 1"]
    {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
    // It waits through a kill, and is told once the receiver is there.
    sawyer.kill();
    let back = Peer::start(|_, _| Play::Answer(Reply::new(200, "")));
    fs::write(&file, format!("{}/topsecret", back.url())).unwrap();
    let mut sawyer = machine.start();
    let told = bodies(&wait_for(&back, 1, &mut sawyer));
    assert_eq!(told[0]["alerts"][0]["labels"]["alertname"], "boom");
    wait_for_evaluations(&sawyer, "boom", 3);
    assert_eq!((peer.received().len(), back.received().len()), (1, 1));
}

#[test]
fn a_configuration_with_wrong_alerts_is_refused_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sawyer.yaml");
    fs::write(&path, "alerts:\n  rules:\n    a: {query: 'level:', count: '>= 1', notify: slack}\n    b: {query: '*', count: ten}\n").unwrap();
    let checked = run(&["check", "--config", path.to_str().unwrap()]);
    let said = text(&checked.stderr).replace(folder.path().to_str().unwrap(), "");
    assert!(!checked.status.success());
    for part in [
        "/sawyer.yaml:3:9: alerts.rules.a.query: expected a value after `level:`",
        "\n  level:\n        ^\n",
        "/sawyer.yaml:4:21: alerts.rules.b.count: expected a threshold such as \">= 10\"",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let agent = run(&["check", "--role", "agent", "--config", path.to_str().unwrap()]);
    assert!(text(&agent.stderr).contains("alerts"), "an agent evaluates none: {}", text(&agent.stderr));
    assert!(!Path::new("data").exists());
}
