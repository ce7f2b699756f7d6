use std::collections::BTreeSet;

use parking_lot::Mutex;
use sawyer_model::Outcome;

use super::*;
use crate::testing::{Bench, context, numbered, sim};
use sawyer_testkit::Dice;

type Taken = Arc<Mutex<Vec<String>>>;

/// Fails and refuses as the dice say, and remembers what it took.
struct Moody {
    dice: Dice,
    taken: Taken,
    refuses: bool,
}

impl Sink for Moody {
    fn write(&mut self, lines: &mut Lines) -> Result<(), Error> {
        while lines.done < lines.len() {
            let at = lines.done;
            let line = String::from_utf8(lines.part(at..at + 1).to_vec()).unwrap();
            match self.dice.below(20) {
                0 => return Err(Error::new(ErrorKind::Retry, "not now")),
                1 if self.refuses => lines.refused.push((at, "never".into())),
                _ => {}
            }
            // What became of a refused line is known as well.
            self.taken.lock().push(message(&line));
            lines.done += 1;
        }
        Ok(())
    }
}

fn message(line: &str) -> String {
    let (_, rest) = line.split_once("\"message\":\"").unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

fn moody(seed: u64, refuses: bool) -> (Bench, Taken) {
    let taken = Taken::default();
    let context = context(&sim());
    let sink = Moody { dice: Dice::new(seed), taken: Arc::clone(&taken), refuses };
    let output = LineOutput::new(sink, LineFormat::Json, Duration::ZERO, &context);
    (Bench::start(Box::new(output), context), taken)
}

#[tokio::test(start_paused = true)]
async fn what_is_acknowledged_was_taken_and_nothing_is_forgotten() {
    for seed in 0..100 {
        let (mut bench, taken) = moody(seed, seed % 2 == 0);
        let mut dice = Dice::new(seed ^ 0xabcd);
        let mut starts = Vec::new();
        let mut next = 0;
        for _ in 0..30 {
            let count = dice.below(4);
            starts.push(next..next + count);
            bench.send(numbered(next, count)).await;
            next += count;
        }
        tokio::time::sleep(Duration::from_millis(dice.below(3000))).await;
        let gives_up = dice.below(2) == 0;
        let (ended, outcomes) = if gives_up { bench.give_up().await } else { bench.drain().await };
        ended.unwrap();
        let taken: BTreeSet<String> = taken.lock().iter().cloned().collect();
        for (numbers, outcome) in starts.into_iter().zip(&outcomes) {
            let whole = numbers.clone().all(|at| taken.contains(&format!("line {at}")));
            assert!(*outcome == Outcome::Undelivered || whole, "seed={seed}: acknowledged, and not taken");
            if !gives_up {
                assert_eq!(*outcome == Outcome::Durable, whole, "seed={seed}: {numbers:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_that_was_done_is_written_again() {
    let (mut bench, taken) = moody(3, false);
    for at in 0..50 {
        bench.send(numbered(at * 10, 10)).await;
    }
    let retries = bench.context.metrics.clone();
    let (ended, outcomes) = bench.drain().await;
    ended.unwrap();
    assert_eq!(outcomes, [Outcome::Durable; 50]);
    assert!(retries.numbers("sawyer_output_retries")[0].1 > 0, "the dice never failed");
    let expected: Vec<String> = (0..500).map(|at| format!("line {at}")).collect();
    assert_eq!(*taken.lock(), expected);
}

/// Fails as long as it is told to.
struct Broken(Arc<Mutex<Option<ErrorKind>>>);

impl Sink for Broken {
    fn write(&mut self, _: &mut Lines) -> Result<(), Error> {
        match *self.0.lock() {
            Some(kind) => Err(Error::new(kind, "it is broken")),
            None => Ok(()),
        }
    }
}

fn broken(kind: ErrorKind) -> (Bench, Arc<Mutex<Option<ErrorKind>>>) {
    let state = Arc::new(Mutex::new(Some(kind)));
    let context = context(&sim());
    let output = LineOutput::new(Broken(Arc::clone(&state)), LineFormat::Json, Duration::ZERO, &context);
    (Bench::start(Box::new(output), context), state)
}

#[tokio::test]
async fn says_that_it_cannot_deliver_and_when_it_can_again() {
    let (mut bench, state) = broken(ErrorKind::Retry);
    let number = bench.send(numbered(0, 3)).await;
    let reasons = |bench: &Bench| bench.context.health.reasons();
    bench.until("it says so", |bench| reasons(bench) == ["output out: it is broken"]).await;
    assert_eq!(bench.outcome(number), None);
    *state.lock() = None;
    bench.until("it is delivered", |bench| bench.outcome(number) == Some(Outcome::Durable)).await;
    assert!(reasons(&bench).is_empty());
    assert_eq!(bench.count("sawyer_output_records"), 3);
    assert!(bench.count("sawyer_output_retries") >= 2);
    let text = bench.context.metrics.text();
    assert!(text.contains("sawyer_output_errors_total{output=\"out\",reason=\"retry\"}"), "{text}");
}

#[tokio::test]
async fn other_errors_end_it_and_let_go_of_everything() {
    let (mut bench, _) = broken(ErrorKind::Closed);
    bench.send(numbered(0, 3)).await;
    bench.send(numbered(3, 3)).await;
    let (ended, outcomes) = bench.drain().await;
    assert_eq!(ended.unwrap_err().to_string(), "it is broken");
    assert_eq!(outcomes, [Outcome::Undelivered; 2]);
}

#[tokio::test]
async fn empty_transfers_are_acknowledged() {
    let (mut bench, _) = broken(ErrorKind::Closed);
    bench.deliver(Batch::new()).await;
}

/// Counts how often it is asked.
struct Counting(Arc<Mutex<usize>>);

impl Sink for Counting {
    fn write(&mut self, _: &mut Lines) -> Result<(), Error> {
        *self.0.lock() += 1;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn gathers_for_as_long_as_it_is_told() {
    let writes = Arc::new(Mutex::new(0));
    let context = context(&sim());
    let sink = Counting(Arc::clone(&writes));
    let output = LineOutput::new(sink, LineFormat::Json, Duration::from_secs(1), &context);
    let mut bench = Bench::start(Box::new(output), context);
    for at in 0..5 {
        bench.send(numbered(at, 1)).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert_eq!((*writes.lock(), bench.outcome(0)), (0, None), "the second has not passed");
    tokio::time::sleep(Duration::from_millis(300)).await;
    bench.until("all are delivered", |bench| bench.outcome(4) == Some(Outcome::Durable)).await;
    assert_eq!(*writes.lock(), 1);
}
