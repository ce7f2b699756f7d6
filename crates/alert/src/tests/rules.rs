//! What rules find in a store, and what is told because of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sawyer_delivery::Answer;
use sawyer_model::{Timestamp, Value};
use tokio::sync::mpsc;

use super::world::{Away, World, plan, receivers};
use crate::dispatch::Dispatch;
use crate::state::{Notification, Phase, QUEUE_MAX};
use crate::{Matcher, Silence};

/// Four lines: ten or more error logs in five minutes, to Slack.
const FOUR_LINES: &str = "\
rules:
  errors: {query: 'level: error', count: '>= 10', window: 5m, notify: slack}
notifiers: {slack: {url: 'https://hooks.slack.com/services/T/B/x'}}";

fn world(rule: &str) -> World {
    World::new(&format!(
        "rules: {{r: {{{rule}, interval: 60s, lateness: 0s, notify: slack}}}}\n\
         notifiers: {{slack: {{url: 'https://hooks.slack.com/services/T/B/x'}}}}"
    ))
}

#[test]
fn nine_are_not_enough_and_the_tenth_may_come_a_minute_late() {
    let mut world = World::new(FOUR_LINES);
    world.pass(10);
    world.errors(9, 1);
    world.pass(60);
    assert_eq!(world.told(), "", "nine, seen by two evaluations");
    world.errors(1, 60);
    world.pass(60);
    insta::assert_snapshot!(world.told(), @"12:01:35 FIRING: errors: 10 in 5m, threshold >= 10");
    world.pass(600);
    insta::assert_snapshot!(world.told(), @"12:05:35 RESOLVED: errors: 10 in 5m, threshold >= 10");
}

#[test]
fn lines_later_than_the_window_need_the_allowance() {
    // Windows do not overlap: what comes late into one that was looked at is not seen again.
    let late = |lateness: &str| {
        let mut world = World::new(&format!(
            "rules: {{r: {{query: 'level: error', count: '>= 10', window: 60s, interval: 60s, lateness: {lateness}, \
             notify: w}}}}\nnotifiers: {{w: {{type: webhook, url: 'http://127.0.0.1:1'}}}}"
        ));
        world.pass(180);
        world.errors(9, 10);
        world.pass(30);
        world.errors(1, 40);
        world.pass(240);
        world.told().lines().count()
    };
    assert_eq!((late("0s"), late("60s")), (0, 2));
}

#[test]
fn a_restart_in_every_state_changes_nothing() {
    let run = |restart_at: &[u64]| {
        let mut world = world("query: 'level: error', count: '>= 10', window: 120s, for: 60s");
        for second in 0..900_u64 {
            if second == 90 {
                world.errors(12, 0);
            }
            if restart_at.contains(&second) {
                world.restart();
            }
            world.pass(1);
        }
        world.told()
    };
    let told = run(&[]);
    insta::assert_snapshot!(told, @r"
    12:03:00 FIRING: r: 12 in 2m, threshold >= 10
    12:04:00 RESOLVED: r: 12 in 2m, threshold >= 10
    ");
    // Inactive, pending, firing, resolved, long after; and all of them.
    for at in [30, 130, 200, 245, 600] {
        assert_eq!(run(&[at]), told, "a restart at {at} s");
    }
    assert_eq!(run(&(0..900).step_by(7).collect::<Vec<u64>>()), told, "a restart every few seconds");
}

#[test]
fn evaluations_missed_while_down_are_made_up_for() {
    let mut world = world("query: 'level: error', count: '>= 10', window: 60s");
    world.pass(60);
    world.errors(10, 0);
    world.clock.advance(Duration::from_secs(600));
    world.restart();
    world.turn();
    insta::assert_snapshot!(world.told(), @r"
    12:02:00 FIRING: r: 10 in 1m, threshold >= 10
    12:03:00 RESOLVED: r: 10 in 1m, threshold >= 10
    ");
    assert_eq!(world.alerts.state().rules["r"].missed, 0);
    world.clock.advance(Duration::from_secs(2 * 3600));
    world.restart();
    world.turn();
    assert_eq!(world.alerts.state().rules["r"].missed, 60, "two hours, of which one is made up for");
    assert_eq!(world.metrics.numbers("sawyer_alert_missed_evaluations")[0].1, 60);
}

#[test]
fn a_turn_that_is_to_end_leaves_the_rest_to_the_next() {
    let mut world = world("query: 'level: error', count: '>= 10', window: 60s");
    world.pass(60);
    world.clock.advance(Duration::from_secs(2 * 3600));
    world.restart();
    let before = world.alerts.state().rules["r"].clone();
    world.alerts.request_stop();
    let turned = world.alerts.turn();
    assert_eq!(turned.wake, Some(world.now()), "the rest is due at once");
    let known = world.alerts.state().rules["r"].clone();
    assert_eq!((known.slot, known.missed), (before.slot, 0), "nothing is evaluated, and nothing missed yet");
    world.restart();
    world.turn();
    let known = world.alerts.state().rules["r"].clone();
    assert_eq!((known.slot, known.missed), (Some(world.now()), 60), "each once, and none is counted twice");
}

#[tokio::test]
async fn the_loop_ends_when_it_is_told_to() {
    let world = world("query: 'level: error', count: '>= 10', window: 60s");
    world.clock.advance(Duration::from_secs(3600));
    let run = world.alerts.clone().run(std::future::ready(()));
    tokio::time::timeout(Duration::from_secs(60), run).await.unwrap().unwrap();
}

#[test]
fn a_clock_that_was_ahead_silences_nothing() {
    let mut world = world("query: 'level: error', count: '>= 1', window: 60s");
    world.clock.advance(Duration::from_secs(86_400));
    world.errors(1, 0);
    world.pass(120);
    assert_eq!(world.told().lines().count(), 2, "fired, and just over: the group is still kept");
    world.clock = sawyer_telemetry::Clock::manual(Timestamp::parse(super::world::NOON).unwrap());
    world.restart();
    for _ in 0..10 {
        world.errors(1, 0);
        world.pass(60);
    }
    let told = world.told();
    assert!(told.contains("FIRING: r"), "{told}");
}

#[test]
fn ratio_absence_and_no_data() {
    let mut ratio = world("query: 'level: error', ratio: '> 5%', window: 60s");
    ratio.say(95, 1, &[("level", "info")]);
    ratio.errors(5, 1);
    ratio.pass(65);
    assert_eq!(ratio.told(), "");
    ratio.say(90, 1, &[("level", "info")]);
    ratio.errors(10, 1);
    ratio.pass(180);
    insta::assert_snapshot!(ratio.told(), @r"
    12:02:00 FIRING: r: 10% (10 of 100) in 1m, threshold > 5%
    12:03:00 RESOLVED: r: 10% (10 of 100) in 1m, threshold > 5%
    ");
    assert!(ratio.alerts.state().rules["r"].no_data, "nothing at all any more");

    let mut absent = world("query: 'message: line', absent: true, window: 60s");
    absent.say(1, 0, &[]);
    absent.pass(180);
    absent.say(1, 0, &[]);
    absent.pass(60);
    insta::assert_snapshot!(absent.told(), @r"
    12:00:00 FIRING: r: none in 1m
    12:01:00 RESOLVED: r: none in 1m
    12:02:00 FIRING: r: none in 1m; the last was at 2026-11-20T12:00:00Z
    12:04:00 RESOLVED: r: none in 1m; the last was at 2026-11-20T12:00:00Z
    ");

    let mut silent = world("query: 'level: error', count: '>= 1', window: 60s, no_data: alert");
    silent.say(1, 0, &[("level", "info")]);
    silent.pass(120);
    insta::assert_snapshot!(silent.told(), @r"
    12:00:00 FIRING: r: no data at all in 1m
    12:01:00 RESOLVED: r: no data at all in 1m
    12:02:00 FIRING: r: no data at all in 1m
    ");
    assert_eq!(silent.alerts.state().alerts.values().next().unwrap().labels["nodata"], "true");
}

#[test]
fn groups_are_alerts_of_their_own() {
    let mut world = world(
        "query: 'level: error', count: '>= 3', window: 60s, group_by: [app, host], summary: '{{ value }} in {{ labels.app }}'",
    );
    for (count, app, host) in [(3, "cart", "a"), (4, "pay", "a"), (2, "pay", "b")] {
        world.say(count, 1, &[("level", "error"), ("app", app), ("host", host)]);
    }
    world.say(5, 1, &[("level", "error"), ("host", "c")]);
    world.pass(30);
    insta::assert_snapshot!(world.told(), @"12:00:00 FIRING: 5 in (and 2 more)");
    let state = world.alerts.state();
    let alerts: Vec<String> = state
        .alerts
        .values()
        .map(|alert| {
            format!(
                "{}/{} {} {}",
                alert.labels["app"], alert.labels["host"], alert.finding.value_text, alert.finding.query
            )
        })
        .collect();
    let mut alerts = alerts;
    alerts.sort();
    insta::assert_snapshot!(alerts.join("\n"), @r#"
    /c 5 level: error and (not app: * and host: "c")
    cart/a 3 level: error and (app: "cart" and host: "a")
    pay/a 4 level: error and (app: "pay" and host: "a")
    "#);
    // The link finds exactly these records.
    for alert in state.alerts.values() {
        let predicate = sawyer_query::kql::compile(&alert.finding.query, &Default::default()).unwrap();
        let (start, end) = (alert.finding.from, alert.finding.to);
        let selection = sawyer_query::search::Selection { predicate, start, end };
        let budget = sawyer_query::search::Budget::unlimited();
        assert_eq!(
            world.search().count(&selection, &budget).unwrap().0,
            alert.finding.matched,
            "{}",
            alert.finding.query
        );
    }
}

#[test]
fn values_that_are_written_alike_are_one_group() {
    let mut world = world("query: '*', count: '>= 5', window: 60s, group_by: status");
    let both = Value::List(vec![Value::Int(404), Value::from("404")]);
    for (count, status) in [
        (2, Value::Int(404)),
        (1, Value::from("404")),
        (1, Value::Float(404.0)),
        (1, both),
        (3, Value::from("")),
    ] {
        world.say_values(count, 1, &[("status", status)]);
    }
    world.say(2, 1, &[("app", "none of it")]);
    world.pass(30);
    let state = world.alerts.state();
    let mut alerts: Vec<String> = state
        .alerts
        .values()
        .map(|alert| format!("{} {}", alert.finding.value_text, alert.finding.query))
        .collect();
    alerts.sort();
    assert_eq!(
        alerts,
        [r#"* and (not status: * or status: "")"#, r#"* and status: "404""#].map(|q| format!("5 {q}"))
    );
    assert_eq!(state.rules["r"].groups, 2);
}

#[test]
fn too_many_groups_are_bounded_and_told() {
    let mut world = world("query: 'level: error', count: '>= 1', window: 60s, group_by: app, groups_max: 3");
    for app in 0..10_u64 {
        world.say(app + 1, 1, &[("level", "error"), ("app", &format!("app-{app}"))]);
    }
    world.pass(30);
    let state = world.alerts.state();
    let apps: Vec<&str> = state.alerts.values().map(|alert| alert.labels["app"].as_str()).collect();
    assert_eq!(apps.len(), 3);
    assert!(["app-7", "app-8", "app-9"].iter().all(|app| apps.contains(app)), "the largest: {apps:?}");
    assert_eq!(state.rules["r"].groups_left_out, 7);
}

#[test]
fn a_group_with_a_very_long_value_is_left_out() {
    let mut world = world("query: 'level: error', count: '>= 1', window: 60s, group_by: app");
    for length in [1024, 1025] {
        world.say(1, 1, &[("level", "error"), ("app", &"x".repeat(length))]);
    }
    world.pass(30);
    let state = world.alerts.state();
    let lengths: Vec<usize> = state.alerts.values().map(|alert| alert.labels["app"].len()).collect();
    assert_eq!((lengths, state.rules["r"].groups_left_out), (vec![1024], 1));
}

#[test]
fn absent_groups_are_those_that_were_there() {
    let mut world = world("query: '*', absent: true, window: 60s, group_by: app");
    world.say(1, 0, &[("app", "cart")]);
    world.say(1, 0, &[("app", "pay")]);
    world.pass(60);
    world.say(1, 0, &[("app", "pay")]);
    world.pass(120);
    insta::assert_snapshot!(world.told(), @r"
    12:02:00 FIRING: r: none in 1m; the last was at 2026-11-20T12:00:00Z (app=cart)
    12:03:00 FIRING: r: none in 1m; the last was at 2026-11-20T12:00:00Z (app=cart) (and 1 more)
    ");
}

#[tokio::test]
async fn rules_of_the_api_live_in_the_data_folder() {
    let mut world = World::new(FOUR_LINES);
    let put = async |world: &World, name: &str, text: &str, new| {
        let rule = world.alerts.read_rule(name, text).map_err(|problems| problems.to_string())?;
        world.alerts.put_rule(rule, text.to_owned(), new).await.map_err(|error| error.chain())
    };
    put(
        &world,
        "mine",
        r#"{"query": "level: warn", "count": ">= 1", "notify": ["slack"], "lateness": "0s"}"#,
        true,
    )
    .await
    .unwrap();
    let error = put(&world, "mine", "{query: '*', absent: true}", true).await.unwrap_err();
    assert_eq!(error, "there is a rule `mine` already");
    let error = put(&world, "errors", "{query: '*', absent: true}", false).await.unwrap_err();
    assert_eq!(error, "the rule `errors` lies in the configuration; change it there");
    insta::assert_snapshot!(put(&world, "bad", "{\"query\": \"level:\",\n \"cuont\": 1, \"notify\": \"slak\"}", true).await.unwrap_err(), @r"
    rule:1:2: query: expected a value after `level:`, found the end of the query
      level:
            ^
    rule:2:2: cuont: unknown key; did you mean `count`?
    ");
    world.restart();
    world.say(1, 0, &[("level", "warn")]);
    world.pass(30);
    insta::assert_snapshot!(world.told(), @"12:00:30 FIRING: mine: 1 in 5m, threshold >= 1");
    world.alerts.remove_rule("mine").await.unwrap();
    world.restart();
    world.pass(60);
    insta::assert_snapshot!(world.told(), @"12:01:30 RESOLVED: mine: 1 in 5m, threshold >= 1");
    assert_eq!(world.alerts.rules().len(), 1);
}

#[tokio::test]
async fn a_text_of_the_api_reads_no_environment_and_no_files() {
    let world = World::new(FOUR_LINES);
    let text =
        r#"{"query": "message: \"${HOME} \ud83d\ude00\"", "absent": true, "summary": "${file:/etc/passwd}"}"#;
    let rule = world.alerts.read_rule("x", text).unwrap();
    assert_eq!(rule.settings.query.text(), "message: \"${HOME} 😀\"");
    assert_eq!(rule.settings.summary.unwrap().text(), "${file:/etc/passwd}");
}

#[tokio::test]
async fn silences_survive_restarts() {
    let mut world = world("query: 'level: error', count: '>= 1', window: 60s");
    let silence = Silence {
        matchers: vec![Matcher::parse("alertname=r").unwrap()],
        starts: world.now(),
        ends: world.now().saturating_add(Duration::from_secs(90)),
        comment: "known".to_owned(),
        author: "me".to_owned(),
        created: world.now(),
    };
    let id = world.alerts.put_silence(None, silence.clone()).await.unwrap();
    world.restart();
    world.errors(1, 0);
    world.pass(60);
    assert_eq!(world.told(), "");
    assert_eq!(world.alerts.state().alerts.values().next().unwrap().phase, Phase::Firing);
    world.errors(1, 0);
    world.pass(30);
    insta::assert_snapshot!(world.told(), @"12:01:30 FIRING: r: 1 in 1m, threshold >= 1");
    assert!(world.alerts.expire_silence("nothing").await.is_err());
    world.alerts.expire_silence(&id).await.unwrap();
    let wrong = Silence { ends: silence.starts, ..silence };
    assert!(world.alerts.put_silence(None, wrong).await.is_err());
}

#[tokio::test]
async fn a_change_that_the_disk_refuses_is_taken_back_or_written_later() {
    let mut world = world("query: 'level: error', count: '>= 1', window: 60s");
    let silence = Silence {
        matchers: vec![Matcher::parse("alertname=r").unwrap()],
        starts: world.now(),
        ends: world.now().saturating_add(Duration::from_secs(90)),
        comment: String::new(),
        author: String::new(),
        created: world.now(),
    };
    let id = world.alerts.put_silence(None, silence.clone()).await.unwrap();
    world.turn();
    world.sim.set_read_only(true);
    let before = world.alerts.state().silences;
    assert!(world.alerts.put_silence(None, silence).await.is_err());
    assert!(world.alerts.expire_silence(&id).await.is_err());
    assert!(world.alerts.test("slack").await.is_err());
    assert_eq!(world.alerts.state().silences, before);
    world.sim.set_read_only(false);
    world.alerts.write();
    world.restart();
    let state = world.alerts.state();
    assert_eq!((state.silences, state.queue.len()), (before, 1));
}

#[tokio::test(start_paused = true)]
async fn a_dead_receiver_never_makes_handing_over_wait() {
    let world = world("query: 'level: error', count: '>= 1', window: 60s");
    world.alerts.test("slack").await.unwrap();
    let one = world.alerts.state().queue[0].clone();
    let named = |at: usize| Notification { id: at.to_string(), ..one.clone() };
    let all: Vec<Notification> = (0..3 * QUEUE_MAX).map(named).collect();
    let (sender, mut settled) = mpsc::unbounded_channel();
    let told = Arc::default();
    let until = tokio::time::Instant::now() + Duration::from_secs(3600);
    let away = Away { until, told: Arc::clone(&told), asked: Arc::default() };
    let mut dispatch = Dispatch::start(receivers("slack", away), &world.clock, &world.metrics, sender);
    // Each time the queue has given up all that it had.
    for queue in all.chunks(QUEUE_MAX) {
        let sent = tokio::time::timeout(Duration::from_secs(60), dispatch.send(queue)).await;
        assert!(sent.is_ok(), "it waits for room");
    }
    while told.lock().len() < QUEUE_MAX {
        dispatch.done(&settled.recv().await.unwrap().0);
    }
    while let Ok((id, _)) = settled.try_recv() {
        dispatch.done(&id);
    }
    dispatch.send(&all[2 * QUEUE_MAX..]).await;
    for _ in 0..900 {
        settled.recv().await.unwrap();
    }
    assert!(told.lock().iter().any(|one: &Notification| one.id == "2000"), "what waited in the queue");
    dispatch.stop(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_down_for_an_hour_loses_nothing() {
    let mut world = world("query: 'level: error', count: '>= 1', window: 60s");
    let (sender, mut settled) = mpsc::unbounded_channel();
    let (told, asked) = (Arc::default(), Arc::default());
    let until = tokio::time::Instant::now() + Duration::from_secs(3600);
    let away = Away { until, told: Arc::clone(&told), asked: Arc::clone(&asked) };
    let mut dispatch = Dispatch::start(receivers("slack", away), &world.clock, &world.metrics, sender);
    for minute in 0..70_u64 {
        if minute % 10 == 0 {
            world.errors(1, 0);
        }
        world.clock.advance(Duration::from_secs(60));
        let queue = world.alerts.turn().queue;
        dispatch.send(&queue).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let mut all = Vec::new();
        while let Ok(one) = settled.try_recv() {
            dispatch.done(&one.0);
            all.push(one);
        }
        world.alerts.settle(all);
        if minute == 30 {
            assert!(queue.len() >= 6, "they wait: {}", queue.len());
            assert!(dispatch.statuses()["slack"].failures >= 2);
        }
    }
    let order: Vec<bool> = told.lock().iter().map(Notification::is_firing).collect();
    assert_eq!(order, [true, false].repeat(7)[..order.len()], "in their order, each once");
    assert_eq!(order.len(), 14);
    assert!(world.alerts.state().queue.is_empty());
    let tries = asked.load(Ordering::Acquire);
    assert!(tries < 400, "asked seldom while it is down: {tries}");
    let retried = world.metrics.numbers("sawyer_delivery_retried_items");
    assert!(retried.iter().any(|(_, count)| *count > 0), "a metric tells");
    dispatch.stop(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn what_a_receiver_refuses_is_in_the_history() {
    struct Never;
    impl crate::notifier::Notify for Never {
        fn notify<'a>(&'a self, _: &'a Notification) -> sawyer_delivery::Promise<'a, Answer> {
            Box::pin(async { Answer::Refused("invalid_blocks".to_owned()) })
        }
    }
    let world = world("query: 'level: error', count: '>= 1', window: 60s");
    let id = world.alerts.test("slack").await.unwrap();
    let (sender, mut settled) = mpsc::unbounded_channel();
    let mut dispatch = Dispatch::start(receivers("slack", Never), &world.clock, &world.metrics, sender);
    dispatch.send(&world.alerts.turn().queue).await;
    world.alerts.settle(vec![settled.recv().await.unwrap()]);
    let past = world.alerts.past(&id).unwrap();
    assert_eq!(past.fate, crate::state::Fate::Rejected("invalid_blocks".to_owned()));
    dispatch.stop(Duration::from_secs(1)).await;
}

#[test]
fn a_preview_says_when_it_would_have_fired() {
    let mut world = world("query: 'level: info', count: '>= 1', window: 60s");
    world.errors(12, 1800);
    world.errors(3, 600);
    let rule = world
        .alerts
        .read_rule("p", "{query: 'level: error', count: '>= 10', window: 5m, interval: 1m, lateness: 0s}")
        .unwrap();
    world.clock.advance(Duration::from_secs(30));
    let preview = world.alerts.preview(&rule, Duration::from_secs(3600)).unwrap();
    let [series] = &preview.series[..] else { panic!("one series") };
    assert_eq!(series.values.len(), preview.moments.len());
    let most = series.values.iter().map(|value| value.unwrap() as u64).max();
    assert_eq!((preview.moments.len(), most, preview.limit), (60, Some(12), Some(10.0)));
    let noon = Timestamp::parse(super::world::NOON).unwrap();
    let ago = |secs: u64| noon.saturating_sub(Duration::from_secs(secs));
    assert_eq!(series.firing, [(ago(1740), ago(1440))], "five minutes from the first moment after it");
    assert!(world.alerts.preview(&rule, Duration::from_secs(60)).is_err());
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let wrong = "\
rules:
  a: {query: 'level: error and (pod: x', count: 10, notify: [slak]}
  b: {query: 'level: error', count: '>= 5%', ratio: '> 200', summary: '{{ valu }} {{ labels.nmespace }}', group_by: namespace}
  c d: {query: '*'}
  e: {qurey: '*', absent: true, window: 5 minutes, summary: 'a {{ value'}
notifiers:
  slack: {}
  mail: {type: email, host: mx, from: nobody, to: [], user: me, password: x, encryption: none}
  pagerduty: {routing_key: ''}
  hook: {type: webhook, url: 'ftp://x', body: '{{ nothing }}'}
public_url: sawyer.example";
    insta::assert_snapshot!(plan(wrong).unwrap_err(), @r#"
    sawyer.yaml:2:7: rules.a.query: expected `and`, `or` or `)` after `x`, found the end of the query
      level: error and (pod: x
                              ^
    sawyer.yaml:2:42: rules.a.count: expected a threshold such as ">= 10", "> 10" or, for a ratio, "> 5%", found 10
    sawyer.yaml:3:3: rules.b: expected one of `count`, `ratio` and `absent: true`, found several
    sawyer.yaml:3:30: rules.b.count: expected a number of records, found a percentage; that is `ratio`
    sawyer.yaml:3:46: rules.b.ratio: a part is never above 100%, found > 200; did you mean `> 200%`?
    sawyer.yaml:3:62: rules.b.summary: there is no `labels.nmespace`; did you mean `labels.namespace`?
      {{ valu }} {{ labels.nmespace }}
                    ^
    sawyer.yaml:3:62: rules.b.summary: there is no `valu`; did you mean `value`?
      {{ valu }} {{ labels.nmespace }}
         ^
    sawyer.yaml:4:3: rules.c d: a name has 1 to 100 letters, digits, `-`, `_` or `.`
    sawyer.yaml:4:3: rules.c d: expected one of `count`, `ratio` and `absent: true`, found none of them
    sawyer.yaml:5:3: rules.e.query: required, and missing; expected query in KQL
    sawyer.yaml:5:7: rules.e.qurey: unknown key; did you mean `query`?
    sawyer.yaml:5:33: rules.e.window: expected a duration such as "5s", found "5 minutes"
    sawyer.yaml:5:52: rules.e.summary: expected `}}` behind this `{{`
      a {{ value
        ^
    sawyer.yaml:7:3: notifiers.slack: expected either `url` (or `url_file`), or `token` (or `token_file`) and `channel`
    sawyer.yaml:8:33: notifiers.mail.from: expected an address such as "Sawyer <sawyer@example.com>", found "nobody": Invalid input
    sawyer.yaml:8:47: notifiers.mail.to: expected at least one address
    sawyer.yaml:8:78: notifiers.mail.encryption: a password is not sent over a connection that is not encrypted
    sawyer.yaml:9:15: notifiers.pagerduty.routing_key: expected a secret, found an empty text
    sawyer.yaml:10:25: notifiers.hook.url: expected an address such as "https://hooks.example/x"
    sawyer.yaml:10:41: notifiers.hook.body: there is no `nothing`; known: `id`, `notifier`, `status`, `title`, `summary`, `description`, `rule`, `severity`, `value`, `threshold`, `window`, `query`, `link`, `runbook`, `starts`, `ends`, `alerts`, `samples`
      {{ nothing }}
         ^
    sawyer.yaml:11:1: public_url: expected an address such as "https://sawyer.example", found "sawyer.example"
    "#);
}

#[test]
fn the_examples_of_the_guide_are_good() {
    let guide = std::fs::read_to_string(sawyer_testkit::repository().join("docs/alerts.md")).unwrap();
    let blocks: Vec<&str> =
        guide.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 4);
    for block in blocks {
        let loader =
            sawyer_config::Loader::pure().variables(|_| Some("https://receiver.example/x".to_owned()));
        let document = loader.parse("guide.yaml", block).unwrap();
        let mut problems = sawyer_config::Problems::new();
        let plan = crate::AlertPlan::read(&document.at().key("alerts"), &mut problems);
        assert!(plan.is_some(), "{problems}\n{block}");
    }
}
