//! In virtual time, against a target that answers as the test says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sawyer_model::{Ack, Outcome, Timestamp};
use sawyer_telemetry::{Clock, Health, Metrics};

use super::*;
use crate::letters::Promise;

type Script = Box<dyn Fn(usize, &[u32]) -> Answer + Send + Sync>;

/// A target with a script: the number of the request and its items give the answer.
struct Scripted {
    script: Script,
    takes: Mutex<Duration>,
    seen: Mutex<Vec<(Duration, Vec<u32>)>>,
    start: Instant,
    under_way: AtomicUsize,
    under_way_most: AtomicUsize,
}

impl Target for Scripted {
    type Payload = u32;

    async fn send(&self, items: &[Item<u32>]) -> Answer {
        let names: Vec<u32> = items.iter().map(|item| item.payload).collect();
        let number = {
            let mut seen = self.seen.lock();
            seen.push((self.start.elapsed(), names.clone()));
            seen.len() - 1
        };
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.under_way_most.fetch_max(now, Ordering::SeqCst);
        let takes = *self.takes.lock();
        tokio::time::sleep(takes).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        (self.script)(number, &names)
    }
}

/// Keeps dead letters, after having failed as often as it is told.
#[derive(Default)]
struct Kept {
    letters: Mutex<Vec<String>>,
    failures: AtomicUsize,
}

impl DeadLetters for Kept {
    fn put<'a>(&'a self, _: &'a str, letters: &'a [Letter]) -> Promise<'a, Result<(), Error>> {
        Box::pin(async move {
            if self.failures.load(Ordering::SeqCst) > 0 {
                self.failures.fetch_sub(1, Ordering::SeqCst);
                return Err(Error::new(ErrorKind::Retry, "the disk is full"));
            }
            self.letters.lock().extend(letters.iter().map(|letter| letter.reason.clone()));
            Ok(())
        })
    }
}

struct Bench {
    target: Arc<Scripted>,
    letters: Arc<Kept>,
    outcomes: Arc<Mutex<BTreeMap<u32, Outcome>>>,
    metrics: Metrics,
    health: Health,
    outbox: Outbox<u32>,
    courier: Option<Courier<Scripted>>,
}

fn limits() -> Limits {
    Limits {
        request_bytes_max: 40_000,
        request_items_max: 4,
        item_bytes_max: 100_000,
        age_max: Duration::from_secs(1),
        requests_max: 8,
        held_bytes_max: 100 << 20,
        retry_time_max: None,
        retry_pause_max: Duration::from_secs(30),
        ordered: false,
    }
}

fn bench(limits: Limits, script: impl Fn(usize, &[u32]) -> Answer + Send + Sync + 'static) -> Bench {
    let target = Arc::new(Scripted {
        script: Box::new(script),
        takes: Mutex::new(Duration::from_millis(10)),
        seen: Mutex::default(),
        start: Instant::now(),
        under_way: AtomicUsize::new(0),
        under_way_most: AtomicUsize::new(0),
    });
    let (metrics, health, letters) = (Metrics::new(), Health::new(), Arc::new(Kept::default()));
    let identity = Identity {
        name: "main".to_owned(),
        what: "output",
        clock: Clock::manual(Timestamp::from_secs(1_000)),
        metrics: metrics.clone(),
        health: health.clone(),
    };
    let (outbox, courier) = courier(Arc::clone(&target), limits, identity, Arc::clone(&letters) as _);
    Bench { target, letters, outcomes: Arc::default(), metrics, health, outbox, courier: Some(courier) }
}

impl Bench {
    fn start(&mut self) -> tokio::task::JoinHandle<Result<(), Error>> {
        tokio::spawn(self.courier.take().unwrap().run())
    }

    fn item(&self, name: u32, bytes: usize, partition: u64) -> Item<u32> {
        let outcomes = Arc::clone(&self.outcomes);
        let ack = Ack::new(move |outcome| {
            let before = outcomes.lock().insert(name, outcome);
            assert_eq!(before, None, "told once");
        });
        Item { payload: name, bytes, partition, record: None, ack }
    }

    async fn send(&self, names: impl IntoIterator<Item = u32>) {
        let items = names.into_iter().map(|name| self.item(name, 100, 0)).collect();
        self.outbox.send(items, 0).await.unwrap();
    }

    /// Everything that was handed in is delivered, and the courier ends by itself.
    async fn drain(mut self) -> Drained {
        let running = match self.courier.take() {
            Some(courier) => tokio::spawn(courier.run()),
            None => panic!("started already"),
        };
        let Self { target, letters, outcomes, metrics, outbox, .. } = self;
        drop(outbox);
        running.await.unwrap().unwrap();
        let seen = target.seen.lock().clone();
        let outcomes = outcomes.lock().clone();
        let letters = letters.letters.lock().clone();
        Drained { seen, outcomes, letters, metrics }
    }
}

struct Drained {
    seen: Vec<(Duration, Vec<u32>)>,
    outcomes: BTreeMap<u32, Outcome>,
    letters: Vec<String>,
    metrics: Metrics,
}

impl Drained {
    fn requests(&self) -> Vec<&[u32]> {
        self.seen.iter().map(|(_, names)| names.as_slice()).collect()
    }

    fn number(&self, metric: &str) -> i64 {
        self.metrics.numbers(metric).iter().map(|(_, number)| number).sum()
    }

    fn all_durable(&self, names: impl IntoIterator<Item = u32>) {
        for name in names {
            assert_eq!(self.outcomes.get(&name), Some(&Outcome::Durable), "{name}");
        }
    }
}

fn all_done(_: usize, names: &[u32]) -> Answer {
    Answer::done(names.len())
}

fn retry() -> Verdict {
    Verdict::Retry { reason: "busy", after: None }
}

fn each(names: &[u32], verdict: impl Fn(u32) -> Verdict) -> Answer {
    let verdicts = names.iter().map(|name| verdict(*name)).collect();
    Answer::Items { verdicts, detail: Some("so it is".to_owned()) }
}

#[tokio::test(start_paused = true)]
async fn waits_for_more_but_not_for_long() {
    let mut bench = bench(limits(), all_done);
    let running = bench.start();
    bench.send([1]).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    bench.send([2]).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let seen = bench.target.seen.lock().clone();
    assert_eq!(seen, [(Duration::from_secs(1), vec![1, 2])]);
    assert_eq!(bench.outcomes.lock().len(), 2);
    assert_eq!(bench.outbox.status().held_bytes, 0, "room is given back");
    drop(bench.outbox);
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_nothing_but_answers() {
    let bench = bench(limits(), all_done);
    bench.send(0..10).await;
    let drained = bench.drain().await;
    assert_eq!(drained.requests(), [[0, 1, 2, 3].as_slice(), &[4, 5, 6, 7], &[8, 9]]);
    assert!(drained.seen.iter().all(|(at, _)| *at < Duration::from_millis(100)));
    drained.all_durable(0..10);
}

#[tokio::test(start_paused = true)]
async fn each_item_has_a_verdict_of_its_own() {
    let bench = bench(limits(), |number, names| {
        each(names, |name| match (name, number) {
            (0, _) => Verdict::Done,
            (1, _) => Verdict::Duplicate,
            (2, _) => Verdict::Reject { reason: "mapping".to_owned() },
            (_, 0..3) => retry(),
            _ => Verdict::Done,
        })
    });
    bench.send(0..4).await;
    bench.letters.failures.store(3, Ordering::SeqCst);
    let drained = bench.drain().await;
    assert_eq!(drained.requests(), [[0, 1, 2, 3].as_slice(), &[3], &[3], &[3]], "only what was not settled");
    assert_eq!(drained.letters, ["mapping"]);
    drained.all_durable(0..4);
    assert_eq!(drained.number("sawyer_delivery_items"), 3);
    assert_eq!(drained.number("sawyer_delivery_duplicate_items"), 1);
    assert_eq!(drained.number("sawyer_delivery_rejected_items"), 1);
    let retried = drained.metrics.numbers("sawyer_delivery_retried_items");
    assert_eq!(retried, [(vec![("target", "main".to_owned()), ("reason", "busy".to_owned())], 3)]);
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_outage_loses_nothing_and_asks_seldom() {
    let back = Instant::now() + Duration::from_secs(3600);
    let mut bench = bench(limits(), move |_, names| {
        if Instant::now() < back {
            Answer::failed("unreachable", "nobody is there")
        } else {
            Answer::done(names.len())
        }
    });
    let running = bench.start();
    bench.send(0..400).await;
    tokio::time::sleep(Duration::from_secs(3500)).await;
    let asked = bench.target.seen.lock().len();
    assert!((110..1000).contains(&asked), "{asked} requests in an hour");
    assert_eq!(bench.target.under_way_most.load(Ordering::SeqCst), 2, "no more than at the start");
    assert_eq!(bench.health.reasons(), ["output main: nobody is there"]);
    let status = bench.outbox.status();
    assert_eq!((status.failures as usize, status.last_error.unwrap().1.as_str()), (asked, "nobody is there"));
    drop(bench.outbox);
    running.await.unwrap().unwrap();
    assert!(bench.health.reasons().is_empty());
    assert_eq!(bench.outcomes.lock().values().filter(|outcome| **outcome == Outcome::Durable).count(), 400);
}

#[tokio::test(start_paused = true)]
async fn waits_as_long_as_it_is_asked_to() {
    let after = Some(Duration::from_secs(90));
    let bench = bench(limits(), move |number, names| match number {
        0 => Answer::Failed(Trouble { reason: "overloaded", detail: String::new(), after }),
        1 => each(names, |_| Verdict::Retry { reason: "busy", after }),
        _ => Answer::done(names.len()),
    });
    bench.send(0..4).await;
    let drained = bench.drain().await;
    let times: Vec<u64> = drained.seen.iter().map(|(at, _)| at.as_secs()).collect();
    assert_eq!(times, [0, 90, 180]);
    drained.all_durable(0..4);
}

#[tokio::test(start_paused = true)]
async fn too_large_is_cut_and_remembered() {
    let bench = bench(Limits { request_items_max: 100, ..limits() }, |_, names| {
        if names.len() > 25 || names == [7] { Answer::TooLarge } else { all_done(0, names) }
    });
    bench.send(0..200).await;
    let drained = bench.drain().await;
    assert_eq!(drained.letters, [0_u8; 0].map(|_| String::new()));
    drained.all_durable(0..200);
    let lens: Vec<usize> = drained.seen.iter().map(|(_, names)| names.len()).collect();
    assert_eq!(lens, [100, 100, 50, 50, 50, 50, 25, 25, 25, 25, 25, 25, 25, 25]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_under_way_does_not_end_a_pause() {
    let after = Some(Duration::from_secs(90));
    let bench = bench(limits(), move |number, names| match number {
        0 => Answer::Failed(Trouble { reason: "overloaded", detail: String::new(), after }),
        _ => Answer::done(names.len()),
    });
    bench.send(0..40).await;
    let drained = bench.drain().await;
    let times: Vec<u64> = drained.seen.iter().map(|(at, _)| at.as_secs()).collect();
    assert_eq!(times[..3], [0, 0, 90], "two are sent at the start");
    drained.all_durable(0..40);
}

#[tokio::test(start_paused = true)]
async fn one_item_that_is_too_large_does_not_make_requests_small_for_good() {
    let limits = Limits { request_bytes_max: 6_400, request_items_max: 64, ..limits() };
    let mut bench =
        bench(limits, |_, names| if names.contains(&7) { Answer::TooLarge } else { all_done(0, names) });
    let running = bench.start();
    for at in 0..200 {
        bench.send(at * 64..(at + 1) * 64).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let lens: Vec<usize> = bench.target.seen.lock().iter().map(|(_, names)| names.len()).collect();
    assert_eq!((lens[0], lens[1], lens.last()), (64, 32, Some(&64)));
    let rejected = bench.letters.letters.lock().len();
    assert_eq!(rejected, 1);
    drop(bench.outbox);
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_cut_is_rejected() {
    let bench =
        bench(limits(), |_, names| if names.contains(&2) { Answer::TooLarge } else { all_done(0, names) });
    bench.send(0..4).await;
    bench.outbox.send(vec![bench.item(4, 100_001, 0)], 0).await.unwrap();
    let drained = bench.drain().await;
    let mut letters = drained.letters.clone();
    letters.sort();
    assert_eq!(
        letters,
        ["too large for the target", "too large: 100001 bytes, and the target takes 100000 at most"]
    );
    drained.all_durable(0..5);
    assert_eq!(drained.requests(), [[0, 1, 2, 3].as_slice(), &[0, 1], &[2, 3], &[2], &[3]]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_costs_only_the_items_at_fault() {
    let bench = bench(Limits { request_items_max: 100, ..limits() }, |_, names| {
        let bad = |name: &u32| [13, 77].contains(name);
        if names.iter().any(bad) { Answer::Refused("bad request".to_owned()) } else { all_done(0, names) }
    });
    bench.send(0..100).await;
    let drained = bench.drain().await;
    assert_eq!(drained.letters, ["bad request", "bad request"]);
    drained.all_durable(0..100);
    assert!(drained.seen.len() < 40, "{} requests", drained.seen.len());
}

#[tokio::test(start_paused = true)]
async fn gives_up_after_the_set_time() {
    let limits = Limits { retry_time_max: Some(Duration::from_secs(600)), ..limits() };
    let bench = bench(limits, |_, names| {
        if names.contains(&0) {
            Answer::failed("timeout", "no answer within 60s")
        } else {
            all_done(0, names)
        }
    });
    bench.send(0..4).await;
    let drained = bench.drain().await;
    assert_eq!(
        drained.letters,
        ["not delivered within 600 s; the last trouble was: no answer within 60s"; 4]
    );
    let (last, _) = drained.seen.last().unwrap();
    assert!((500..=600).contains(&last.as_secs()), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn order_is_kept_within_each_partition_through_faults() {
    let bench = bench(Limits { ordered: true, ..limits() }, |number, names| match number % 4 {
        1 => Answer::failed("reset", "connection reset"),
        2 if names.len() > 1 => Answer::TooLarge,
        _ => all_done(0, names),
    });
    for name in 0..200 {
        bench.outbox.send(vec![bench.item(name, 100, u64::from(name % 3))], 0).await.unwrap();
    }
    let target = Arc::clone(&bench.target);
    let drained = bench.drain().await;
    drained.all_durable(0..200);
    // What was answered with "done" is what arrived.
    let mut arrived: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (number, (_, names)) in drained.seen.iter().enumerate() {
        if matches!((target.script)(number, names), Answer::Items { .. }) {
            arrived.entry(names[0] % 3).or_default().extend(names);
        }
    }
    for (partition, names) in arrived {
        let expected: Vec<u32> = (0..200).filter(|name| name % 3 == partition).collect();
        assert_eq!(names, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn one_partition_in_trouble_does_not_hold_up_another() {
    let mut bench = bench(Limits { ordered: true, ..limits() }, |_, names| {
        each(names, |name| if name < 100 { retry() } else { Verdict::Done })
    });
    let running = bench.start();
    for name in (0..10).chain(100..200) {
        bench.outbox.send(vec![bench.item(name, 100, u64::from(name / 100))], 0).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let durable: BTreeSet<u32> = bench.outcomes.lock().keys().copied().collect();
    assert_eq!(durable, (100..200).collect());
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert_eq!(bench.outcomes.lock().get(&0), Some(&Outcome::Undelivered));
}

#[tokio::test(start_paused = true)]
async fn requests_at_once_grow_and_are_bounded() {
    let bench = bench(limits(), all_done);
    bench.send(0..4000).await;
    let target = Arc::clone(&bench.target);
    let drained = bench.drain().await;
    assert_eq!(target.under_way_most.load(Ordering::SeqCst), 8);
    assert!(drained.seen.last().unwrap().0 < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_target_is_asked_less() {
    // Takes three requests at once; the script is called as a request ends.
    let under_way = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&under_way);
    let mut bench = bench(limits(), move |_, names| {
        if seen.load(Ordering::SeqCst) >= 4 { each(names, |_| retry()) } else { all_done(0, names) }
    });
    let running = bench.start();
    bench.send(0..8000).await;
    let target = Arc::clone(&bench.target);
    let watching = async {
        loop {
            under_way.store(target.under_way.load(Ordering::SeqCst), Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    drop(bench.outbox);
    tokio::select! {
        ended = running => ended.unwrap().unwrap(),
        () = watching => unreachable!(),
    }
    assert_eq!(bench.outcomes.lock().len(), 8000);
    let requests = bench.target.seen.lock().len();
    assert!(
        requests < 3200,
        "{requests} requests for the 2000 that were needed; at eight at once none succeeds"
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_sends_too_much_waits() {
    let mut bench = bench(Limits { held_bytes_max: 10 << 10, ..limits() }, all_done);
    bench.outbox.send(vec![bench.item(0, 10 << 10, 0)], 0).await.unwrap();
    let more = tokio::time::timeout(Duration::from_secs(60), bench.outbox.send(vec![bench.item(1, 1, 0)], 0));
    assert!(more.await.is_err(), "no room as long as nothing is delivered");
    let running = bench.start();
    bench.outbox.send(vec![bench.item(2, 1 << 20, 0)], 0).await.unwrap();
    drop(bench.outbox);
    running.await.unwrap().unwrap();
    assert_eq!(bench.outcomes.lock().get(&2), Some(&Outcome::Durable), "larger than the room, but alone");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_more_while_there_is_no_room_for_it() {
    // Room for 4 items of 1 KiB, and a partition for each: no request ever fills, and none is old.
    let age_max = Duration::from_secs(3600);
    let mut bench = bench(Limits { age_max, held_bytes_max: 4 << 10, ..limits() }, all_done);
    let start = Instant::now();
    let running = bench.start();
    for name in 0..40 {
        bench.outbox.send(vec![bench.item(name, 1024, name.into())], 0).await.unwrap();
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let Bench { outbox, outcomes, .. } = bench;
    drop(outbox);
    running.await.unwrap().unwrap();
    assert!(outcomes.lock().values().eq([Outcome::Durable; 40].iter()));
}

#[tokio::test(start_paused = true)]
async fn what_is_tried_again_keeps_its_pause_though_others_wait_for_room() {
    let pause = Duration::from_secs(5);
    let script = move |number: usize, names: &[u32]| {
        let busy = Verdict::Retry { reason: "busy", after: Some(pause) };
        if number == 0 { each(names, |_| busy.clone()) } else { all_done(number, names) }
    };
    let age_max = Duration::from_secs(3600);
    let mut bench = bench(Limits { age_max, held_bytes_max: 1 << 10, ..limits() }, script);
    let running = bench.start();
    for name in 0..3 {
        bench.outbox.send(vec![bench.item(name, 1024, name.into())], 0).await.unwrap();
    }
    let Bench { outbox, target, .. } = bench;
    drop(outbox);
    running.await.unwrap().unwrap();
    let seen = target.seen.lock();
    let times: Vec<Duration> = seen.iter().filter(|(_, names)| names == &[0]).map(|(at, _)| *at).collect();
    assert!(times.len() == 2 && times[1] - times[0] >= pause, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_about_other_items_settles_nothing() {
    let bench = bench(limits(), |number, names| Answer::done(if number == 0 { 3 } else { names.len() }));
    bench.send(0..4).await;
    let drained = bench.drain().await;
    assert_eq!(drained.requests(), [[0, 1, 2, 3], [0, 1, 2, 3]]);
}

#[tokio::test(start_paused = true)]
async fn letters_that_nobody_keeps_are_not_acknowledged() {
    let clock = Clock::manual(Timestamp::EPOCH);
    let letters = crate::letters::LoggedLetters::new(clock);
    let letter = Letter { record: None, reason: "mapping".to_owned() };
    let told = letters.put("main", &[letter]).await;
    assert_eq!(told.unwrap_err().kind(), ErrorKind::Invalid);
}

/// Whatever a target answers, each item is told of once, and "durable" only if it was done or kept.
#[tokio::test(start_paused = true)]
async fn random_answers_settle_every_item_once() {
    for seed in 0..60_u64 {
        let took: Arc<Mutex<BTreeSet<u32>>> = Arc::default();
        let taken = Arc::clone(&took);
        let limits = Limits { ordered: seed % 2 == 0, ..limits() };
        let bench = bench(limits, move |number, names| {
            let mut draw = Random::seeded(seed << 32 | number as u64);
            match draw.below(10) {
                0 => Answer::TooLarge,
                1 => Answer::Refused("bad".to_owned()),
                2 | 3 => Answer::failed("reset", "reset"),
                _ => {
                    let verdicts = names.iter().map(|name| match draw.below(6) {
                        0 => retry(),
                        1 => Verdict::Reject { reason: "bad".to_owned() },
                        _ => {
                            taken.lock().insert(*name);
                            Verdict::Done
                        }
                    });
                    Answer::Items { verdicts: verdicts.collect(), detail: None }
                }
            }
        });
        for name in 0..50 {
            bench.outbox.send(vec![bench.item(name, 100, u64::from(name % 2))], 0).await.unwrap();
        }
        let drained = bench.drain().await;
        drained.all_durable(0..50);
        assert_eq!(took.lock().len() + drained.letters.len(), 50, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn urgent_items_pass_a_full_outbox() {
    let mut bench = bench(Limits { held_bytes_max: 1024, ..limits() }, |number, items| match number {
        0..3 => Answer::failed("unreachable", "nobody is there"),
        _ => Answer::done(items.len()),
    });
    let running = bench.start();
    bench.send(0..10).await;
    let urgent = vec![bench.item(100, 100, 0)];
    {
        let mut blocked = Box::pin(bench.send(10..12));
        assert!(futures_are_blocked(&mut blocked).await, "there is no room for more");
        bench.outbox.send_urgent(urgent, 0).await.unwrap();
        blocked.await;
    }
    let Bench { target, outcomes, outbox, .. } = bench;
    drop(outbox);
    running.await.unwrap().unwrap();
    let seen = target.seen.lock().clone();
    // Two requests were under way already, and one of the others may be tried before it is there.
    let tries = |name: u32| seen.iter().enumerate().filter(move |(_, (_, items))| items.contains(&name));
    let last = |name: u32| tries(name).next_back().map(|(at, _)| at);
    assert!(last(100) < last(0) && last(100) < last(11), "{seen:?}");
    assert_eq!(outcomes.lock().len(), 13);
}

#[tokio::test(start_paused = true)]
async fn urgent_items_do_not_wait_for_a_slow_target_to_answer_others() {
    let mut bench = bench(limits(), all_done);
    *bench.target.takes.lock() = Duration::from_secs(60);
    let running = bench.start();
    bench.send(0..400).await;
    // Once eight are allowed and all are under way.
    while bench.target.under_way.load(Ordering::SeqCst) < 8 {
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    let sent = bench.target.start.elapsed();
    bench.outbox.send_urgent(vec![bench.item(1000, 100, 0)], 0).await.unwrap();
    let Bench { target, outbox, .. } = bench;
    drop(outbox);
    running.await.unwrap().unwrap();
    let seen = target.seen.lock().clone();
    let (at, names) = seen.iter().find(|(_, names)| names.contains(&1000)).unwrap();
    assert_eq!(names, &[1000], "alone, so that it is not slow for the sake of others");
    assert!(*at - sent < Duration::from_secs(1), "it was sent {:?} after it came", *at - sent);
    assert_eq!(target.under_way_most.load(Ordering::SeqCst), 9, "one beside the eight that are allowed");
}

#[tokio::test(start_paused = true)]
async fn a_trickle_of_urgent_items_does_not_hold_up_others() {
    let mut bench = bench(Limits { request_items_max: 100, requests_max: 2, ..limits() }, all_done);
    *bench.target.takes.lock() = Duration::from_secs(1);
    let running = bench.start();
    bench.send(0..400).await;
    for name in 1000..1600 {
        bench.outbox.send_urgent(vec![bench.item(name, 100, 0)], 0).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let ended = bench.outcomes.lock().keys().filter(|name| **name < 1000).count();
    assert_eq!(ended, 400, "while the trickle lasts");
    drop(bench.outbox);
    running.await.unwrap().unwrap();
}

/// Whether something waits, after all that could happen has happened.
async fn futures_are_blocked(future: &mut (impl Future<Output = ()> + Unpin)) -> bool {
    tokio::time::timeout(Duration::from_millis(1), future).await.is_err()
}

/// Two things in one item.
struct Pair([u32; 2]);

impl Payload for Pair {
    fn count(&self) -> usize {
        self.0.len()
    }
}

/// Asks to try a pair again at first.
struct Busy(Mutex<Vec<Vec<[u32; 2]>>>);

impl Target for Busy {
    type Payload = Pair;

    async fn send(&self, items: &[Item<Pair>]) -> Answer {
        let mut seen = self.0.lock();
        seen.push(items.iter().map(|item| item.payload.0).collect());
        let verdict = |name: u32| if seen.len() == 1 && name < 2 { retry() } else { Verdict::Done };
        let verdicts = items.iter().flat_map(|item| item.payload.0).map(verdict).collect();
        Answer::Items { verdicts, detail: None }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_tried_again_as_a_whole_stays_whole() {
    let target = Arc::new(Busy(Mutex::default()));
    let identity = Identity {
        name: "main".to_owned(),
        what: "output",
        clock: Clock::manual(Timestamp::from_secs(1_000)),
        metrics: Metrics::new(),
        health: Health::new(),
    };
    let (outbox, courier) = courier(Arc::clone(&target), limits(), identity, Arc::new(Kept::default()) as _);
    let outcomes: Arc<Mutex<Vec<Outcome>>> = Arc::default();
    let item = |names: [u32; 2]| {
        let outcomes = Arc::clone(&outcomes);
        let ack = Ack::new(move |outcome| outcomes.lock().push(outcome));
        Item { payload: Pair(names), bytes: 10, partition: 0, record: None, ack }
    };
    outbox.send(vec![item([0, 1]), item([2, 3])], 0).await.unwrap();
    drop(outbox);
    courier.run().await.unwrap();
    assert_eq!(*target.0.lock(), [vec![[0, 1], [2, 3]], vec![[0, 1]]]);
    assert_eq!(*outcomes.lock(), [Outcome::Durable; 2]);
}
