//! A stop: what was read is passed on, and what becomes of it is noted as long as there is time for that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sawyer_config::{Document, Problems};
use sawyer_disk::RealDisk;
use sawyer_input::{PushHub, kinds};
use sawyer_model::Error;
use sawyer_pipeline::queue::queue;
use sawyer_pipeline::{Context, Outlet, Patience, QueueReceiver, Stopper};
use sawyer_telemetry::{Clock, Health};
use tokio::task::JoinHandle;

use crate::common::{Node, Taker, WEB, cri, messages, text};

/// Lines of a kilobyte: some batches, of which the last is not full.
const LINES: u32 = 1300;

/// A stop that takes longer than it used to be waited for.
const LATE: Duration = Duration::from_millis(4500);

struct Stopping {
    stopper: Stopper,
    give_up: Stopper,
    input: JoinHandle<Result<(), Error>>,
    from: QueueReceiver,
}

/// Containers whose batches nobody takes yet; there is room for one.
fn start(node: &Node) -> Stopping {
    let all = kinds(&PushHub::new());
    let kind = all.iter().find(|known| known.name == "containers").unwrap();
    let document = Document::parse("test.yaml", "sweep_interval: 200ms\nnode: n1\n").unwrap();
    let mut problems = Problems::new();
    let plan = (kind.read)(&document.at(), &mut problems);
    let context = Context {
        name: "test".into(),
        clock: Clock::system(),
        metrics: node.metrics.clone(),
        state: Arc::new(RealDisk::new(node.state()).unwrap()),
        host_root: Some(node.path("")),
        ports: sawyer_pipeline::Ports::default(),
        health: Health::new(),
        buffer: None,
    };
    let input = problems.into_result(plan).unwrap().open(&context).unwrap();
    let (sender, from) = queue(1024);
    let (give_up, given_up) = Stopper::new();
    let outlet = Outlet::new("test", vec![sender], &node.metrics).with_patience(Patience::until(given_up));
    let (stopper, stop) = Stopper::new();
    Stopping { stopper, give_up, input: tokio::spawn(input.run(outlet, stop)), from }
}

fn write(node: &Node) -> Vec<String> {
    let all: Vec<String> = (0..LINES).map(|number| format!("{number} {}", "x".repeat(1000))).collect();
    let lines: String = (0..LINES).zip(&all).map(|(number, line)| cri(number, "stdout", "F", line)).collect();
    node.write(&format!("{WEB}/0.log"), lines);
    all
}

async fn until_read(node: &Node) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while node.metric("sawyer_input_lines_total") < u64::from(LINES) {
        assert!(Instant::now() < deadline, "{}", node.metrics.text());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_was_read_is_passed_on_and_noted_however_late() {
    let node = Node::new();
    let all = write(&node);
    let mut run = start(&node);
    until_read(&node).await;
    run.stopper.stop();
    tokio::time::sleep(LATE).await;
    let mut taken = Vec::new();
    while let Some(queued) = run.from.next().await {
        let (transfer, _room) = queued.into_parts();
        taken.extend(transfer.batch.iter().map(|record| record.message().to_owned()));
        transfer.ack.durable();
    }
    assert!(taken == all, "{} of {LINES} were passed on", taken.len());
    run.input.await.unwrap().unwrap();
    node.write(&format!("{WEB}/0.log"), cri(LINES, "stdout", "F", "after"));
    let next = node.containers(Taker::Keeps);
    assert_eq!(messages(&next.records(1).await), ["after"]);
    next.stop().await;
}

#[tokio::test]
async fn what_nobody_takes_is_read_again_and_holds_up_no_stop_beyond_its_time() {
    let node = Node::new();
    write(&node);
    let mut run = start(&node);
    until_read(&node).await;
    run.stopper.stop();
    // One is taken, and nothing becomes of it.
    let held = run.from.next().await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!run.input.is_finished(), "the time for it is not over");
    run.give_up.stop();
    tokio::time::timeout(Duration::from_secs(60), run.input).await.unwrap().unwrap().unwrap();
    drop((held, run.from));
    let next = node.containers(Taker::Keeps);
    let records = next.records(LINES as usize).await;
    assert_eq!(records.len(), LINES as usize);
    assert!(text(&records[0], "message").starts_with("0 x"));
    next.stop().await;
}
