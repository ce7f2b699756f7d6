//! Other rules while alerts go on, and a stop in the middle of an evaluation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sawyer_model::{Error, Record, RecordId};
use sawyer_query::search::{
    Budget, Fields, Follower, Histogram, HistogramRequest, Page, Patterns, PatternsRequest, Search,
    SearchRequest, SearchStats, Selection, Summary, SummaryRequest, TopValues, Totals, ValuesRequest,
};

use super::world::{World, open_over, plan};
use crate::state::Phase;

const ONE: &str = "\
rules:
  stays: {query: 'level: error', count: '>= 1', window: 60s, interval: 60s, lateness: 0s, notify: slack}
  goes: {query: 'level: error', count: '>= 1', window: 60s, interval: 60s, lateness: 0s, notify: slack}
notifiers: {slack: {url: 'https://hooks.slack.com/services/T/B/x'}}";

const OTHER: &str = "\
rules:
  stays: {query: 'level: error', count: '>= 1', window: 60s, interval: 60s, lateness: 0s, notify: slack}
  comes: {query: 'level: warn', count: '>= 1', window: 60s, interval: 60s, lateness: 0s, notify: hook}
notifiers:
  slack: {url: 'https://hooks.slack.com/services/T/B/x'}
  hook: {type: webhook, url: 'https://hooks.example/x'}";

#[tokio::test]
async fn a_rule_of_the_api_comes_back_when_the_configuration_has_no_other_of_its_name() {
    let mut world = World::new(ONE);
    let put = async |world: &World, name: &str, text: &str| {
        let rule = world.alerts.read_rule(name, text).unwrap();
        world.alerts.put_rule(rule, text.to_owned(), false).await.unwrap();
    };
    let text = "{query: 'level: warn', count: '>= 7', notify: slack}";
    put(&world, "comes", text).await;
    let replace = |world: &World, text: &str| {
        world.alerts.replace(world.alerts.prepare(plan(text).unwrap()).unwrap());
    };
    replace(&world, OTHER);
    let shown = |world: &World| world.alerts.rules()["comes"].text.clone();
    assert_eq!(shown(&world), None, "the one of the configuration is in force");
    // What is written while it is left aside must not forget it.
    put(&world, "another", text).await;
    world.restart();
    world.alerts.replace(world.alerts.prepare(plan(ONE).unwrap()).unwrap());
    assert_eq!(shown(&world).as_deref(), Some(text));
}

#[test]
fn rules_come_and_go_and_the_others_keep_their_states() {
    let mut world = World::new(ONE);
    world.errors(1, 0);
    world.pass(60);
    insta::assert_snapshot!(world.told(), @r"
    12:01:00 FIRING: goes: 1 in 1m, threshold >= 1
    12:01:00 FIRING: stays: 1 in 1m, threshold >= 1
    ");
    let prepared = world.alerts.prepare(plan(OTHER).unwrap()).unwrap();
    let before = world.alerts.state();
    assert_eq!(world.alerts.rules().keys().collect::<Vec<_>>(), ["goes", "stays"], "nothing changes yet");
    world.alerts.replace(prepared);
    assert_eq!(world.alerts.rules().keys().collect::<Vec<_>>(), ["comes", "stays"]);
    assert_eq!(world.alerts.notifiers().keys().collect::<Vec<_>>(), ["hook", "slack"]);
    let after = world.alerts.state();
    let of = |state: &crate::state::State| {
        state.alerts.values().find(|alert| alert.rule == "stays").map(|alert| (alert.phase, alert.since))
    };
    assert!(of(&after).is_some_and(|(phase, _)| phase == Phase::Firing));
    assert_eq!(of(&after), of(&before), "as it was");
    assert_eq!(after.rules.get("stays"), before.rules.get("stays"));
    world.say(1, 0, &[("level", "warn")]);
    world.errors(1, 0);
    world.pass(60);
    insta::assert_snapshot!(world.told(), @r"
    12:02:00 FIRING: comes: 1 in 1m, threshold >= 1
    12:02:00 RESOLVED: goes: 1 in 1m, threshold >= 1
    ");
}

#[test]
fn what_cannot_be_prepared_changes_nothing() {
    let world = World::new(ONE);
    let wrong =
        OTHER.replace("hooks.example/x'", "hooks.example/x', http: {tls: {ca_file: /nowhere/ca.pem}}");
    let told = world.alerts.prepare(plan(&wrong).unwrap()).unwrap_err().chain();
    assert!(told.contains("prepare the notifier `hook`") && told.contains("/nowhere/ca.pem"), "{told}");
    assert_eq!(world.alerts.rules().keys().collect::<Vec<_>>(), ["goes", "stays"]);
}

/// A store that counts for ever, as long as somebody waits for it.
struct Endless {
    store: Arc<dyn Search>,
    asked: Arc<AtomicBool>,
}

impl Search for Endless {
    fn search(&self, request: &SearchRequest, budget: &Budget) -> Result<Page, Error> {
        self.store.search(request, budget)
    }

    fn record(&self, id: RecordId, budget: &Budget) -> Result<Option<Record>, Error> {
        self.store.record(id, budget)
    }

    fn count(&self, _: &Selection, budget: &Budget) -> Result<(u64, SearchStats), Error> {
        self.asked.store(true, Ordering::Release);
        loop {
            budget.take(1)?;
            std::thread::yield_now();
        }
    }

    fn histogram(&self, request: &HistogramRequest, budget: &Budget) -> Result<Histogram, Error> {
        self.store.histogram(request, budget)
    }

    fn values(&self, request: &ValuesRequest, budget: &Budget) -> Result<TopValues, Error> {
        self.store.values(request, budget)
    }

    fn fields(&self, selection: &Selection, budget: &Budget) -> Result<Fields, Error> {
        self.store.fields(selection, budget)
    }

    fn summary(&self, request: &SummaryRequest, budget: &Budget) -> Result<Summary, Error> {
        self.store.summary(request, budget)
    }

    fn patterns(&self, request: &PatternsRequest, budget: &Budget) -> Result<Patterns, Error> {
        self.store.patterns(request, budget)
    }

    fn follow(&self, follower: Follower) {
        self.store.follow(follower);
    }

    fn totals(&self) -> Totals {
        self.store.totals()
    }
}

#[tokio::test]
async fn a_stop_ends_an_evaluation_at_once_and_it_is_made_up_for() {
    let mut world = World::new(ONE);
    world.pass(60);
    let before = world.alerts.state();
    world.errors(1, 0);
    world.clock.advance(Duration::from_secs(60));
    let asked = Arc::new(AtomicBool::new(false));
    let endless = Endless { store: world.search(), asked: Arc::clone(&asked) };
    let alerts = open_over(ONE, Arc::new(endless), &world);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(alerts.clone().run(async move { drop(stopped.await) }));
    while !asked.load(Ordering::Acquire) {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    // An evaluation may take 30 s.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(alerts.state().rules, before.rules, "it says nothing, and not that it failed");
    world.restart();
    world.turn();
    assert_eq!(world.told().lines().count(), 2, "both rules fire, as they would have");
}
