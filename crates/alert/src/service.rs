//! Alerts as the rest of the process sees them, and the loop that keeps them going.
//!
//! Owns: which evaluation is due, catching up after a stop, the order of evaluating, writing and telling.
//! Does not own: what an evaluation is (`measure`), what follows (`engine`), sending (`dispatch`).
//! Invariant: what is told was written before, unless the disk refuses; then it is told all the same.

mod replace;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use sawyer_config::{Place, Problem, Problems};
use sawyer_delivery::Status;
use sawyer_disk::Disk;
use sawyer_model::{Error, ErrorKind, Timestamp};
use sawyer_query::search::{Budget, Search};
use sawyer_telemetry::{Clock, Metrics, Seldom};
use tokio::sync::{Notify as Wake, mpsc};

use crate::book::{Book, Entry, RULE_BYTES_MAX};
use crate::dispatch::{Dispatch, Settled};
use crate::engine::{Engine, Evaluation};
use crate::keeper::{Keeper, encode};
use crate::measure::{Asker, Measured};
use crate::meters::Meters;
use crate::notifier::Notify;
use crate::rule::Rule;
use crate::settings::{AlertPlan, no_notifier};
use crate::silence::Silence;
use crate::state::{Evaluated, Fate, Notification, Past, State};

pub use replace::Prepared;

/// Evaluations of a rule that are made up for after a stop; earlier ones are counted as missed. With the usual
/// interval it is half an hour.
pub(crate) const CATCH_UP_MAX: i64 = 60;

/// Silences at the same time.
const SILENCES_MAX: usize = 1000;

/// Longest sleep of the loop, so that a clock that was set is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Shortest sleep of the loop: whatever is wrong, it does not spin.
const SLEEP_MIN: Duration = Duration::from_millis(10);

/// How long a turn goes on with what is due before it writes and tells; the rest is due in the next one.
const TURN_TIME_MAX: Duration = Duration::from_secs(5);

/// How long couriers may go on at a stop.
const STOP_TIME: Duration = Duration::from_secs(2);

/// How often a disk that refuses is told.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// What alerts are given.
pub struct Parts {
    /// Whom to ask.
    pub search: Arc<dyn Search>,
    /// A folder for what has to survive.
    pub disk: Arc<dyn Disk>,
    /// The time.
    pub clock: Clock,
    /// Where they count.
    pub metrics: Metrics,
    /// The address of the interface, where the settings name none.
    pub listen_url: String,
}

/// Alerts. Clones share them.
#[derive(Clone)]
pub struct Alerts(Arc<Shared>);

struct Shared {
    search: Arc<dyn Search>,
    clock: Clock,
    metrics: Metrics,
    listen_url: String,
    keeper: Keeper,
    meters: Meters,
    known: RwLock<Known>,
    /// Those that the loop goes on with; it takes them.
    notifiers: Mutex<Option<Notifiers>>,
    book: RwLock<Book>,
    engine: Mutex<Engine>,
    statuses: Mutex<BTreeMap<String, Status>>,
    /// Counts states, so that an older one never replaces a newer one on disk.
    number: AtomicU64,
    /// Something happened that was not written yet.
    changed: AtomicBool,
    wake: Wake,
    /// The loop is to end.
    stopping: AtomicBool,
    /// Of the evaluation that goes on; a stop ends it.
    budget: Mutex<Option<Budget>>,
    /// When it was started, in nanoseconds; earlier once the clock turns out to have been ahead.
    started_ns: AtomicI64,
    refused: Seldom,
}

/// Notifiers by name.
type Notifiers = BTreeMap<String, Box<dyn Notify>>;

/// What others want to know of the settings in force.
struct Known {
    public_url: Arc<str>,
    /// Kinds of notifiers by name.
    kinds: BTreeMap<String, &'static str>,
}

/// What a turn of the loop leaves to do.
#[derive(Debug)]
pub(crate) struct Turned {
    /// All that waits to be told.
    pub(crate) queue: Vec<Notification>,
    /// When the next turn is due.
    pub(crate) wake: Option<Timestamp>,
}

impl AlertPlan {
    /// Reads what is known, and prepares everything. Nothing runs yet.
    ///
    /// # Errors
    /// If files cannot be read, or a notifier cannot be prepared.
    pub fn open(self, parts: Parts) -> Result<Alerts, Error> {
        let Parts { search, disk, clock, metrics, listen_url } = parts;
        let Prepared { rules, grouping, traits, known, notifiers } =
            self.prepare_with(&listen_url, &clock)?;
        let keeper = Keeper::open(disk)?;
        let (state, texts) = (keeper.state()?, keeper.rules()?);
        let names: Vec<String> = known.kinds.keys().cloned().collect();
        let (book, started) = (Book::open(rules, texts, &names), clock.now());
        let mut engine = Engine::new(state, grouping, traits);
        engine.drop_unknown(started);
        forget_gone(&mut engine, &book, started);
        let meters = Meters::new(&metrics);
        meters.tell(engine.state(), book.active().len());
        Ok(Alerts(Arc::new(Shared {
            search,
            clock,
            metrics,
            listen_url,
            keeper,
            meters,
            known: RwLock::new(known),
            notifiers: Mutex::new(Some(notifiers)),
            book: RwLock::new(book),
            engine: Mutex::new(engine),
            statuses: Mutex::default(),
            number: AtomicU64::new(1),
            changed: AtomicBool::new(true),
            wake: Wake::new(),
            stopping: AtomicBool::new(false),
            budget: Mutex::new(None),
            started_ns: AtomicI64::new(started.nanos()),
            refused: Seldom::new(TELL_INTERVAL),
        })))
    }
}

/// Alerts of rules that are not there any more are over, and so is what is known of their evaluations.
fn forget_gone(engine: &mut Engine, book: &Book, now: Timestamp) {
    let state = engine.state();
    let known = state.rules.keys().chain(state.alerts.values().map(|alert| &alert.rule));
    let is_on = |name: &String| match book.entries.get(name) {
        None => false,
        Some(entry) => entry.rule.as_ref().map_or(true, |rule| rule.settings.enabled),
    };
    let gone: Vec<String> = known.filter(|name| !is_on(name)).cloned().collect();
    gone.iter().for_each(|name| engine.forget(name, now));
}

impl Alerts {
    /// Evaluates and tells until `stop`.
    ///
    /// # Errors
    /// If an evaluation panicked.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let shared = &self.0;
        let (sender, mut settled) = mpsc::unbounded_channel();
        let start = |notifiers| Dispatch::start(notifiers, &shared.clock, &shared.metrics, sender.clone());
        let mut dispatch = start(Notifiers::new());
        tokio::pin!(stop);
        loop {
            let others = shared.notifiers.lock().take();
            if let Some(notifiers) = others {
                // What the ones before do not deliver in this time is told by these.
                std::mem::replace(&mut dispatch, start(notifiers)).stop(STOP_TIME).await;
                self.settle_all(&mut settled);
            }
            let turn = self.turn_aside();
            tokio::pin!(turn);
            let turned = tokio::select! {
                turned = &mut turn => turned?,
                () = &mut stop => {
                    self.request_stop();
                    turn.await?;
                    break;
                }
            };
            dispatch.send(&turned.queue).await;
            *shared.statuses.lock() = dispatch.statuses();
            let wait = turned.wake.map_or(SLEEP_MAX, |wake| wake.since(shared.clock.now()));
            tokio::select! {
                () = &mut stop => break,
                () = shared.wake.notified() => {}
                Some(first) = settled.recv() => {
                    let mut all = vec![first];
                    while let Ok(next) = settled.try_recv() {
                        all.push(next);
                    }
                    all.iter().for_each(|(id, _)| dispatch.done(id));
                    self.settle(all);
                }
                () = tokio::time::sleep(wait.clamp(SLEEP_MIN, SLEEP_MAX)) => {}
            }
        }
        dispatch.stop(STOP_TIME).await;
        self.settle_all(&mut settled);
        let alerts = self.clone();
        aside(move || alerts.write()).await
    }

    fn settle_all(&self, settled: &mut mpsc::UnboundedReceiver<Settled>) {
        let mut all = Vec::new();
        while let Ok(next) = settled.try_recv() {
            all.push(next);
        }
        self.settle(all);
    }

    async fn turn_aside(&self) -> Result<Turned, Error> {
        let alerts = self.clone();
        aside(move || alerts.turn()).await
    }

    /// A turn that is going on ends after the moment at which it is, and an evaluation at once: it is made after the next
    /// start.
    pub(crate) fn request_stop(&self) {
        self.0.stopping.store(true, Ordering::Release);
        if let Some(budget) = &*self.0.budget.lock() {
            budget.cancel();
        }
    }

    /// Does what is due, as far as one turn may take. It asks and writes, so it takes a while.
    pub(crate) fn turn(&self) -> Turned {
        let shared = &self.0;
        let now = shared.clock.now();
        shared.started_ns.fetch_min(now.nanos(), Ordering::AcqRel);
        shared.engine.lock().clamp(now);
        let rules = shared.book.read().active();
        let all_done = self.evaluate_due(&rules, now);
        let (queue, wake) = {
            let mut engine = shared.engine.lock();
            let next = engine.state().next;
            // Before all is made up for, it is not yet this moment for the engine.
            if all_done {
                engine.tick(now);
            }
            // The length says nothing: a full queue gives one up for one that comes.
            if engine.state().next != next {
                shared.changed.store(true, Ordering::Release);
            }
            for given_up in engine.take_given_up() {
                shared.meters.given_up.inc();
                shared.meters.notified(&given_up.notifier, "dropped");
                tracing::error!(
                    notifier = given_up.notifier,
                    "too many notifications wait; the oldest was given up"
                );
            }
            shared.meters.tell(engine.state(), rules.len());
            (engine.state().queue.clone(), if all_done { engine.due() } else { Some(now) })
        };
        self.write();
        let next = rules.iter().map(|rule| self.next_due(rule, now));
        Turned { queue, wake: next.chain(wake).min() }
    }

    /// Evaluates what is due, a moment after another; says whether that was all of it.
    fn evaluate_due(&self, rules: &[Arc<Rule>], now: Timestamp) -> bool {
        let began = Instant::now();
        let mut due: Vec<(Timestamp, Timestamp, &Arc<Rule>)> = Vec::new();
        let mut missed = BTreeMap::<&str, i64>::new();
        for rule in rules {
            let (slots, count) = self.due(rule, now);
            missed.insert(&rule.name, count);
            due.extend(slots.into_iter().map(|slot| (rule.due_at(slot), slot, rule)));
        }
        due.sort_by(|a, b| (a.0, &a.2.name).cmp(&(b.0, &b.2.name)));
        for (at, (moment, slot, rule)) in due.iter().enumerate() {
            if !self.evaluate(rule, *slot) {
                return false;
            }
            // Only now they are really skipped: a turn that ends early leaves them to the next one.
            self.skip(rule, missed.remove(rule.name.as_str()).unwrap_or(0));
            let Some((next, ..)) = due.get(at + 1) else {
                self.0.engine.lock().tick(*moment);
                break;
            };
            if next != moment {
                self.0.engine.lock().tick(*moment);
                if began.elapsed() >= TURN_TIME_MAX {
                    return false;
                }
            }
        }
        true
    }

    /// Counts evaluations that are never made.
    fn skip(&self, rule: &Rule, missed: i64) {
        if missed > 0 {
            let lost = missed.unsigned_abs();
            self.0.engine.lock().missed(&rule.name, lost);
            self.0.meters.missed(&rule.name, lost);
            tracing::warn!(
                rule = rule.name,
                missed,
                "evaluations were missed while Sawyer did not run, or was too slow"
            );
        }
    }

    fn started(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.started_ns.load(Ordering::Acquire))
    }

    /// The moments for which a rule is to be evaluated now, and how many before them are never made up for.
    fn due(&self, rule: &Rule, now: Timestamp) -> (Vec<Timestamp>, i64) {
        // What was written while Sawyer was down is read first.
        if now < self.started().saturating_add(rule.settings.lateness) {
            return (Vec::new(), 0);
        }
        let newest = rule.slot(now);
        let last = self.0.engine.lock().state().rules.get(&rule.name).and_then(|known| known.slot);
        let Some(last) = last else { return (vec![newest], 0) };
        // The clock was ahead. Where it was so by less than an interval nothing is evaluated twice.
        if last > now.saturating_add(rule.settings.interval) {
            return (vec![newest], 0);
        }
        let interval = i64::try_from(rule.settings.interval.as_nanos()).unwrap_or(i64::MAX).max(1);
        let count = newest.nanos().saturating_sub(last.nanos()).div_euclid(interval);
        // After the interval was changed the last moment need not be a multiple of it.
        let count = if newest > last { count.max(1) } else { 0 };
        let missed = count - count.min(CATCH_UP_MAX);
        let back = |n: i64| Timestamp::from_nanos(newest.nanos().saturating_sub(n.saturating_mul(interval)));
        ((0..count - missed).rev().map(back).collect(), missed)
    }

    fn next_due(&self, rule: &Rule, now: Timestamp) -> Timestamp {
        let grace = self.started().saturating_add(rule.settings.lateness);
        rule.due_at(rule.slot_after(rule.slot(now))).max(grace)
    }

    /// Evaluates a rule; says whether that was done, and not cut short by a stop.
    fn evaluate(&self, rule: &Rule, slot: Timestamp) -> bool {
        let shared = &self.0;
        let began = Instant::now();
        let asker = self.asker();
        *shared.budget.lock() = Some(asker.budget().clone());
        if shared.stopping.load(Ordering::Acquire) {
            return false;
        }
        // A rule that makes the engine panic must not stop the others.
        let measured = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| asker.measure(rule, slot)));
        let measured = measured.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Bug, "the evaluation panicked; the log says where"))
        });
        if shared.stopping.load(Ordering::Acquire) {
            // It was cut short, and says nothing.
            return false;
        }
        let took_ms = (began.elapsed().as_secs_f64() * 1e6).round() / 1e3;
        shared.meters.evaluated(&rule.name, measured.is_err());
        if let Err(error) = &measured {
            let before =
                self.0.engine.lock().state().rules.get(&rule.name).and_then(|known| known.error.clone());
            if before.is_none() {
                tracing::warn!(
                    rule = rule.name,
                    "cannot be evaluated; its alerts stay as they are: {}",
                    error.chain()
                );
            }
        }
        // Nothing follows for a rule that was removed meanwhile.
        let book = shared.book.read();
        if book.evaluates(&rule.name) {
            shared.engine.lock().evaluated(evaluation(rule, slot, measured, took_ms));
        }
        shared.changed.store(true, Ordering::Release);
        true
    }

    /// Takes in what became of notifications.
    pub(crate) fn settle(&self, all: Vec<Settled>) {
        let now = self.0.clock.now();
        for (id, fate) in all {
            let mut engine = self.0.engine.lock();
            let notifier =
                engine.state().queue.iter().find(|waiting| waiting.id == id).map(|n| n.notifier.clone());
            let Some(notifier) = notifier else { continue };
            let outcome = match &fate {
                Fate::Delivered => "delivered",
                Fate::Rejected(_) => "rejected",
                Fate::Dropped(_) => "dropped",
            };
            self.0.meters.notified(&notifier, outcome);
            engine.settled(&id, now, fate);
            self.0.changed.store(true, Ordering::Release);
        }
    }

    /// Writes what has changed.
    pub(crate) fn write(&self) {
        if !self.0.changed.swap(false, Ordering::AcqRel) {
            return;
        }
        if let Err(error) = self.write_now() {
            self.0.changed.store(true, Ordering::Release);
            if let Some(held_back) = self.0.refused.pass(self.0.clock.now()) {
                tracing::error!(
                    held_back,
                    "alerts go on, but a restart may tell things again: {}",
                    error.chain()
                );
            }
        }
    }

    fn write_now(&self) -> Result<(), Error> {
        let (number, bytes) = {
            let engine = self.0.engine.lock();
            (self.0.number.fetch_add(1, Ordering::AcqRel), encode(engine.state()))
        };
        self.0.keeper.write_state(number, &bytes)
    }

    /// Writes for somebody who waits for it; where the disk refuses, it is written later.
    fn write_or_later(&self) -> Result<(), Error> {
        self.write_now().inspect_err(|_| self.0.changed.store(true, Ordering::Release))
    }

    /// Changes what is known on behalf of somebody who waits until it is durable. Where it does not become so, silences
    /// stay as they were.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Engine, Timestamp) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let alerts = self.clone();
        let changed = aside(move || {
            let (changed, undo) = {
                let mut engine = alerts.0.engine.lock();
                let before = engine.state().silences.clone();
                let changed = change(&mut engine, alerts.0.clock.now())?;
                let after = &engine.state().silences;
                let ids = after.keys().filter(|id| before.get(*id) != after.get(*id));
                (changed, ids.map(|id| (id.clone(), before.get(id).cloned())).collect::<Vec<_>>())
            };
            if let Err(error) = alerts.write_or_later() {
                let mut engine = alerts.0.engine.lock();
                undo.into_iter().for_each(|(id, before)| engine.take_back(&id, before));
                return Err(error);
            }
            Ok(changed)
        });
        let changed = changed.await?;
        self.0.wake.notify_one();
        changed
    }
}

fn evaluation(rule: &Rule, slot: Timestamp, measured: Result<Measured, Error>, took_ms: f64) -> Evaluation {
    let settings = &rule.settings;
    let mut about = Evaluated { slot: Some(slot), took_ms, ..Evaluated::default() };
    let met = match measured {
        Err(error) => {
            about.error = Some(error.chain());
            None
        }
        Ok(Measured { met, value, value_text, groups, left_out, no_data, keep }) => {
            about = Evaluated { value, value_text, groups, groups_left_out: left_out, no_data, ..about };
            (!keep).then_some(met)
        }
    };
    Evaluation {
        rule: rule.name.clone(),
        slot,
        hold: settings.r#for,
        linger: settings.keep_firing_for,
        notify: settings.notify.clone(),
        met,
        about,
    }
}

async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|panic| Error::new(ErrorKind::Bug, "alerts panicked").because(panic))
}

/// What can be asked and changed.
impl Alerts {
    /// All rules by name.
    #[must_use]
    pub fn rules(&self) -> BTreeMap<String, Entry> {
        self.0.book.read().entries.clone()
    }

    /// All that is known.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.engine.lock().state().clone()
    }

    /// The kinds of notifiers by name, and how deliveries fare.
    #[must_use]
    pub fn notifiers(&self) -> BTreeMap<String, (&'static str, Status)> {
        let statuses = self.0.statuses.lock();
        let status = |name: &String| statuses.get(name).cloned().unwrap_or_default();
        let known = self.0.known.read();
        known.kinds.iter().map(|(name, kind)| (name.clone(), (*kind, status(name)))).collect()
    }

    /// The time by which alerts go.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    pub(crate) fn asker(&self) -> Asker<'_> {
        Asker::new(&*self.0.search, Arc::clone(&self.0.known.read().public_url))
    }

    /// Reads a rule without keeping it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read_rule(&self, name: &str, text: &str) -> Result<Rule, Problems> {
        if text.len() > RULE_BYTES_MAX {
            let mut problems = Problems::new();
            let message = format!("longer than {RULE_BYTES_MAX} bytes");
            problems.add(Problem { place: Place::whole("rule"), path: String::new(), message });
            return Err(problems);
        }
        let names: Vec<String> = self.0.known.read().kinds.keys().cloned().collect();
        Rule::parse(name, text, &names)
    }

    /// Adds a rule that was read from this text, or changes one that was made by the API. With `must_be_new` it only
    /// adds.
    ///
    /// # Errors
    /// `Conflict` if it lies in the configuration or is there, `Invalid` if there are too many.
    pub async fn put_rule(&self, rule: Rule, text: String, must_be_new: bool) -> Result<(), Error> {
        let alerts = self.clone();
        aside(move || {
            let mut book = alerts.0.book.write();
            book.may_put(&rule.name, must_be_new)?;
            let mut changed = book.clone();
            changed.put(rule, text);
            alerts.0.keeper.write_rules(&changed.texts())?;
            *book = changed;
            let mut engine = alerts.0.engine.lock();
            forget_gone(&mut engine, &book, alerts.0.clock.now());
            Ok::<(), Error>(())
        })
        .await??;
        self.0.changed.store(true, Ordering::Release);
        self.0.wake.notify_one();
        Ok(())
    }

    /// Removes a rule that was made by the API. Its alerts are over.
    ///
    /// # Errors
    /// `NotFound`, or `Conflict` if it lies in the configuration.
    pub async fn remove_rule(&self, name: &str) -> Result<(), Error> {
        let (alerts, name) = (self.clone(), name.to_owned());
        aside(move || {
            let mut book = alerts.0.book.write();
            let mut changed = book.clone();
            changed.remove(&name)?;
            alerts.0.keeper.write_rules(&changed.texts())?;
            *book = changed;
            alerts.0.engine.lock().forget(&name, alerts.0.clock.now());
            alerts.write_or_later()
        })
        .await??;
        self.0.wake.notify_one();
        Ok(())
    }

    /// Adds a silence, or changes the one of this id. Gives its id.
    ///
    /// # Errors
    /// `Invalid` if it makes no sense, `NotFound` if there is none of this id.
    pub async fn put_silence(&self, id: Option<String>, silence: Silence) -> Result<String, Error> {
        silence.check().map_err(|wrong| Error::new(ErrorKind::Invalid, wrong))?;
        self.change(move |engine, now| {
            let silences = &engine.state().silences;
            if id.as_ref().is_some_and(|id| !silences.contains_key(id)) {
                return Err(no_silence());
            }
            if id.is_none() && silences.len() >= SILENCES_MAX {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!("there are {SILENCES_MAX} silences already"),
                ));
            }
            Ok(engine.silence(id, silence, now))
        })
        .await
    }

    /// Ends a silence now.
    ///
    /// # Errors
    /// `NotFound` if there is none of this id.
    pub async fn expire_silence(&self, id: &str) -> Result<(), Error> {
        let id = id.to_owned();
        self.change(move |engine, now| if engine.expire(&id, now) { Ok(()) } else { Err(no_silence()) }).await
    }

    /// Sends a notification for trying out, and gives its id.
    ///
    /// # Errors
    /// `NotFound` if there is no notifier of this name.
    pub async fn test(&self, notifier: &str) -> Result<String, Error> {
        let notifier = notifier.to_owned();
        let names: Vec<String> = self.0.known.read().kinds.keys().cloned().collect();
        if !names.contains(&notifier) {
            return Err(Error::new(ErrorKind::NotFound, no_notifier(&notifier, &names)));
        }
        let public_url = Arc::clone(&self.0.known.read().public_url);
        self.change(move |engine, now| {
            let id = engine.next_id(now);
            engine.enqueue(crate::trial::notification(id.clone(), notifier, &public_url, now), now);
            Ok(id)
        })
        .await
    }

    /// What became of a notification, if it was dealt with.
    #[must_use]
    pub fn past(&self, id: &str) -> Option<Past> {
        self.0.engine.lock().state().history.iter().find(|past| past.id == id).cloned()
    }
}

fn no_silence() -> Error {
    Error::new(ErrorKind::NotFound, "there is no silence of this id; it may be over")
}
