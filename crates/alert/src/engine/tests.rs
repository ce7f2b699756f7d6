//! The state machine on a simulated clock: evaluations in, notifications out.

use std::collections::BTreeMap;
use std::time::Duration;

use sawyer_model::Timestamp;

use super::*;
use crate::silence::Matcher;

const MINUTE: i64 = 60;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn grouping() -> Grouping {
    Grouping { by: vec!["alertname".to_owned()], wait: secs(0), interval: secs(60), repeat: secs(3600) }
}

fn labels(rule: &str, group: &str) -> Labels {
    let mut labels = Labels::from([("alertname".to_owned(), rule.to_owned())]);
    if !group.is_empty() {
        labels.insert("app".to_owned(), group.to_owned());
    }
    labels
}

fn finding(value: f64) -> Finding {
    Finding {
        value,
        value_text: value.to_string(),
        threshold: ">= 10".to_owned(),
        window: "5m".to_owned(),
        matched: value as u64,
        total: None,
        from: Timestamp::EPOCH,
        to: Timestamp::EPOCH,
        query: "level: error".to_owned(),
        samples: Vec::new(),
        link: String::new(),
        summary: String::new(),
        description: String::new(),
        runbook: String::new(),
    }
}

/// An engine with a clock, which may be written and read again after each step.
struct Sim {
    engine: Engine,
    grouping: Grouping,
    restarts: bool,
    notify: Vec<String>,
    hold: Duration,
    linger: Duration,
    told: Vec<String>,
    seen: usize,
}

fn traits() -> BTreeMap<String, Trait> {
    BTreeMap::from([
        ("slack".to_owned(), Trait { alone: false, resolved: true }),
        ("quiet".to_owned(), Trait { alone: false, resolved: false }),
        ("pager".to_owned(), Trait { alone: true, resolved: true }),
    ])
}

impl Sim {
    fn new(restarts: bool) -> Self {
        let engine = Engine::new(State::default(), grouping(), traits());
        Self {
            engine,
            grouping: grouping(),
            restarts,
            notify: vec!["slack".to_owned()],
            hold: secs(0),
            linger: secs(0),
            told: Vec::new(),
            seen: 0,
        }
    }

    fn restart(&mut self) {
        if !self.restarts {
            return;
        }
        let state = serde_json::from_slice(&serde_json::to_vec(self.engine.state()).unwrap()).unwrap();
        self.engine = Engine::new(state, self.grouping.clone(), traits());
    }

    /// One evaluation and the time after it, in seconds; what it found for each group.
    fn step(&mut self, at: i64, found: Option<&[(&str, f64)]>) {
        let slot = Timestamp::from_secs(at);
        let met = found.map(|groups| {
            groups.iter().map(|(group, value)| (labels("errors", group), finding(*value))).collect()
        });
        self.engine.evaluated(Evaluation {
            rule: "errors".to_owned(),
            slot,
            hold: self.hold,
            linger: self.linger,
            notify: self.notify.clone(),
            met,
            about: Evaluated { slot: Some(slot), ..Evaluated::default() },
        });
        self.restart();
        self.pass(at);
    }

    /// Time passes.
    fn pass(&mut self, at: i64) {
        self.engine.tick(Timestamp::from_secs(at));
        self.restart();
        let queue = &self.engine.state().queue;
        for one in &queue[self.seen..] {
            let alerts: Vec<String> = one
                .alerts
                .iter()
                .map(|alert| {
                    let app = alert.labels.get("app").map_or("-", String::as_str);
                    format!("{}{app}={}", if alert.firing { "+" } else { "-" }, alert.finding.value_text)
                })
                .collect();
            let repeated = if one.repeated { " again" } else { "" };
            self.told.push(format!("{at} {}{repeated}: {}", one.notifier, alerts.join(" ")));
        }
        self.seen = queue.len();
    }

    fn told(&mut self) -> String {
        std::mem::take(&mut self.told).join("\n")
    }
}

/// Runs the same with and without restarts between all steps; the same must be told.
fn check(script: impl Fn(&mut Sim)) -> String {
    let run = |restarts| {
        let mut sim = Sim::new(restarts);
        script(&mut sim);
        sim.told()
    };
    let told = run(false);
    assert_eq!(told, run(true), "a restart changes what is told");
    told
}

#[test]
fn an_alert_fires_once_and_is_over_once() {
    insta::assert_snapshot!(check(|sim| {
        sim.step(0, Some(&[]));
        sim.step(60, Some(&[("", 10.0)]));
        sim.step(120, Some(&[("", 12.0)]));
        sim.step(180, Some(&[("", 11.0)]));
        sim.step(240, Some(&[]));
        sim.step(300, Some(&[]));
        sim.step(360, Some(&[]));
    }), @r"
    60 slack: +-=10
    240 slack: --=11
    ");
}

#[test]
fn for_has_to_be_over_before_it_fires() {
    insta::assert_snapshot!(check(|sim| {
        sim.hold = secs(120);
        sim.step(60, Some(&[("", 10.0)]));
        sim.step(120, Some(&[]));
        sim.step(180, Some(&[("", 10.0)]));
        sim.step(240, Some(&[("", 11.0)]));
        sim.step(300, Some(&[("", 12.0)]));
        sim.step(360, Some(&[]));
    }), @r"
    300 slack: +-=12
    360 slack: --=12
    ");
}

#[test]
fn what_comes_and_goes_is_damped() {
    insta::assert_snapshot!(check(|sim| {
        sim.linger = secs(120);
        sim.step(60, Some(&[("", 10.0)]));
        sim.step(120, Some(&[]));
        sim.step(180, Some(&[("", 11.0)]));
        sim.step(240, Some(&[]));
        sim.step(300, Some(&[]));
        sim.step(360, Some(&[]));
    }), @r"
    60 slack: +-=10
    300 slack: --=11
    ");
}

#[test]
fn alerts_of_a_group_are_told_together_and_not_too_often() {
    insta::assert_snapshot!(check(|sim| {
        sim.step(0, Some(&[("a", 10.0), ("b", 11.0)]));
        sim.step(30, Some(&[("a", 10.0), ("b", 11.0), ("c", 12.0)]));
        sim.step(60, Some(&[("a", 10.0), ("c", 13.0)]));
        sim.step(90, Some(&[]));
        sim.step(120, Some(&[]));
    }), @r"
    0 slack: +a=10 +b=11
    60 slack: +a=10 +c=13 -b=11
    120 slack: -a=10 -c=13
    ");
}

#[test]
fn the_first_message_waits_for_further_alerts() {
    insta::assert_snapshot!(check(|sim| {
        sim.grouping.wait = secs(45);
        sim.engine = Engine::new(State::default(), sim.grouping.clone(), traits());
        sim.step(0, Some(&[("a", 10.0)]));
        sim.step(30, Some(&[("a", 10.0), ("b", 11.0)]));
        sim.pass(45);
        sim.step(60, Some(&[("a", 10.0), ("b", 11.0)]));
    }), @"45 slack: +a=10 +b=11");
}

#[test]
fn what_goes_on_is_told_again() {
    let told = |delivers: bool| {
        check(|sim| {
            for at in 0..150 {
                sim.step(at * MINUTE, Some(&[("", 10.0)]));
                let waiting = sim.engine.state().queue.first().map(|one| one.id.clone());
                if let Some(id) = waiting.filter(|_| delivers) {
                    sim.engine.settled(&id, Timestamp::from_secs(at * MINUTE), Fate::Delivered);
                    sim.seen = 0;
                }
            }
        })
    };
    insta::assert_snapshot!(told(true), @r"
    0 slack: +-=10
    3600 slack again: +-=10
    7200 slack again: +-=10
    ");
    // A receiver that does not even have the first message is not told again.
    insta::assert_snapshot!(told(false), @"0 slack: +-=10");
}

#[test]
fn notifiers_are_told_as_they_want() {
    insta::assert_snapshot!(check(|sim| {
        sim.notify = ["pager", "quiet", "unknown"].map(str::to_owned).to_vec();
        sim.step(0, Some(&[("a", 10.0), ("b", 11.0)]));
        sim.step(60, Some(&[("b", 12.0)]));
        sim.step(120, Some(&[]));
    }), @r"
    0 pager: +a=10
    0 pager: +b=11
    0 quiet: +a=10 +b=11
    60 pager: -a=10
    120 pager: -b=12
    ");
}

#[test]
fn an_evaluation_that_fails_changes_nothing() {
    insta::assert_snapshot!(check(|sim| {
        sim.step(0, Some(&[("", 10.0)]));
        sim.step(60, None);
        sim.step(120, None);
        sim.step(180, Some(&[]));
    }), @r"
    0 slack: +-=10
    180 slack: --=10
    ");
}

#[test]
fn silenced_alerts_are_not_told_until_the_silence_is_over() {
    let silence = |starts, ends| Silence {
        matchers: vec![Matcher::parse("app=a").unwrap()],
        starts: Timestamp::from_secs(starts),
        ends: Timestamp::from_secs(ends),
        comment: String::new(),
        author: String::new(),
        created: Timestamp::EPOCH,
    };
    insta::assert_snapshot!(check(|sim| {
        sim.engine.silence(None, silence(0, 100), Timestamp::EPOCH);
        sim.step(0, Some(&[("a", 10.0), ("b", 11.0)]));
        sim.step(60, Some(&[("a", 10.0), ("b", 11.0)]));
        let due = sim.engine.due().filter(|_| !sim.restarts);
        assert!(sim.restarts || due.map(|due| due.nanos() / 1_000_000_000) == Some(100), "the end of the silence");
        sim.pass(100);
        sim.step(120, Some(&[("b", 11.0)]));
        sim.step(180, Some(&[("b", 11.0)]));
    }), @r"
    0 slack: +b=11
    100 slack: +a=10 +b=11
    180 slack: +b=11 -a=10
    ");
    insta::assert_snapshot!(check(|sim| {
        sim.step(0, Some(&[("a", 10.0)]));
        let id = sim.engine.silence(None, silence(30, 3000), Timestamp::EPOCH);
        sim.step(60, Some(&[("a", 10.0)]));
        sim.step(120, Some(&[]));
        assert!(sim.engine.expire(&id, Timestamp::from_secs(150)));
        sim.step(180, Some(&[("a", 12.0)]));
    }), @r"
    0 slack: +a=10
    120 slack: -a=10
    180 slack: +a=12
    ");
}

#[test]
fn a_rule_that_is_gone_is_over() {
    insta::assert_snapshot!(check(|sim| {
        sim.step(0, Some(&[("", 10.0)]));
        sim.engine.forget("errors", Timestamp::from_secs(60));
        sim.pass(60);
        sim.pass(4000);
        assert_eq!(sim.engine.state().alerts.len(), 0);
        assert_eq!(sim.engine.state().groups.len(), 0);
    }), @r"
    0 slack: +-=10
    60 slack: --=10
    ");
}

#[test]
fn the_queue_is_bounded_and_tells_what_it_gave_up() {
    let mut sim = Sim::new(false);
    for at in 0..QUEUE_MAX as i64 {
        sim.step(at * 120, Some(&[("", 10.0)]));
        sim.step(at * 120 + 60, Some(&[]));
        sim.seen = sim.engine.state().queue.len();
    }
    assert_eq!(sim.engine.state().queue.len(), QUEUE_MAX);
    assert_eq!(sim.engine.take_given_up().len(), QUEUE_MAX);
    assert_eq!(sim.engine.state().history.len(), HISTORY_MAX);
    assert!(matches!(sim.engine.state().history[0].fate, Fate::Dropped(_)));
}

#[test]
fn the_queue_is_bounded_in_bytes() {
    let mut sim = Sim::new(false);
    sim.step(0, Some(&[("", 10.0)]));
    let mut one = sim.engine.state().queue[0].clone();
    one.alerts[0].finding.description = "x".repeat(QUEUE_BYTES_MAX / 4);
    for at in 0..10 {
        sim.engine.enqueue(Notification { id: at.to_string(), ..one.clone() }, Timestamp::EPOCH);
    }
    let ids: Vec<&str> = sim.engine.state().queue.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids, ["7", "8", "9"], "the newest");
    assert_eq!(sim.engine.take_given_up().len(), 8);
    one.alerts[0].finding.description = "x".repeat(2 * QUEUE_BYTES_MAX);
    sim.engine.enqueue(one, Timestamp::EPOCH);
    assert_eq!(sim.engine.state().queue.len(), 1, "one is kept, however large");
}

#[test]
fn what_was_dealt_with_is_remembered() {
    let mut sim = Sim::new(false);
    sim.step(0, Some(&[("", 10.0)]));
    let id = sim.engine.state().queue[0].id.clone();
    assert!(sim.engine.settled(&id, Timestamp::from_secs(1), Fate::Delivered));
    assert!(!sim.engine.settled(&id, Timestamp::from_secs(1), Fate::Delivered), "once");
    assert_eq!(sim.engine.state().history[0].rules, ["errors"]);
    assert!(sim.engine.state().queue.is_empty());
}
