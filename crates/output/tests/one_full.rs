//! One output of a pipeline is away and its buffer is full: with `on_full: shed_oldest` the others go on.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sawyer_config::{Document, Problems};
use sawyer_disk::{SimDisk, SimSettings};
use sawyer_model::{Ack, Batch, Outcome, Progress, Record, SeqRange, SourceId, Stream, Timestamp, Value};
use sawyer_pipeline::stop::Stopper;
use sawyer_pipeline::{Ports, Resources, TopologyPlan};
use sawyer_telemetry::{Clock, Health, Metrics};
use sawyer_testkit::peer::{Peer, Play, Reply};

#[path = "harness/say.rs"]
mod say;

use say::kinds;

const SOON: Duration = Duration::from_secs(60);
const BATCHES: u64 = 150;

/// Characters of a message, which no compression makes much smaller.
const CHARACTERS: usize = 20_000;

fn batch(number: u64) -> Batch {
    let mut state = number + 1;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + ((state >> 40) % 26) as u8)
    });
    let record = Record {
        timestamp: Timestamp::from_secs(1_795_176_000),
        observed: Timestamp::from_secs(1_795_176_000),
        source: SourceId(7),
        range: SeqRange::new(number, number + 1),
        stream: Arc::new(Stream::new([("pod", Value::from("cart-1"))])),
        fields: vec![("message".into(), Value::from(noise.take(CHARACTERS).collect::<String>()))],
    };
    std::iter::once(&record).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_go_on_while_one_sheds() {
    others_go_on(None).await;
}

/// What can be read again goes past the buffer first, and may not be all that is in it in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_go_on_while_one_sheds_what_can_be_read_again() {
    others_go_on(Some(Arc::new(Progress::new(Instant::now())))).await;
}

async fn others_go_on(progress: Option<Arc<Progress>>) {
    let good = Peer::start(|_, _| Play::Answer(Reply::new(200, "")));
    let config = format!(
        "inputs: {{say: }}\npipelines: {{main: {{multiline: off, mask: off, steps: []}}}}\noutputs:\n\
         \x20 away: {{type: http, url: '{}', buffer: {{bytes_max: 1MiB, on_full: shed_oldest}}}}\n\
         \x20 good: {{type: http, url: '{}', batch_age_max: 10ms}}\n",
        Peer::nobody(),
        good.url()
    );
    let (say, said) = tokio::sync::mpsc::unbounded_channel();
    let (config, nothing) =
        (Document::parse("config", &config).unwrap(), Document::parse("none", "").unwrap());
    let mut problems = Problems::new();
    let plan = TopologyPlan::read(&config.at(), &nothing.at(), &kinds(said), &mut problems);
    let metrics = Metrics::new();
    let resources = Resources {
        clock: Clock::system(),
        metrics: metrics.clone(),
        state: Arc::new(SimDisk::new(1, SimSettings::default())),
        host_root: None,
        health: Health::new(),
        ports: Ports::default(),
    };
    let topology = problems.into_result(plan).unwrap().open(&resources).unwrap();
    let (stopper, stop) = Stopper::new();
    let running = tokio::spawn(topology.run(stop, Duration::from_secs(1)));
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    for number in 0..BATCHES {
        let outcomes = Arc::clone(&outcomes);
        let ack = Ack::new(move |outcome| outcomes.lock().unwrap().push(outcome));
        let mut batch = batch(number);
        if let Some(progress) = &progress {
            batch.set_progress(progress, number + 1);
        }
        say.send((batch, ack)).unwrap();
    }
    let lines = || -> usize {
        let bodies =
            good.received().iter().map(sawyer_testkit::peer::Received::plain_body).collect::<Vec<_>>();
        bodies.iter().flatten().filter(|byte| **byte == b'\n').count()
    };
    let deadline = Instant::now() + SOON;
    while lines() < BATCHES as usize || outcomes.lock().unwrap().len() < BATCHES as usize {
        assert!(
            Instant::now() < deadline,
            "{} of {BATCHES} at the good one, {} are safe: {:?} {:?}",
            lines(),
            outcomes.lock().unwrap().len(),
            metrics.numbers("sawyer_buffer_shed_records"),
            metrics.numbers("sawyer_buffer_held_bytes")
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(outcomes.lock().unwrap().iter().all(|outcome| *outcome == Outcome::Durable));
    let shed: i64 = metrics.numbers("sawyer_buffer_shed_records").iter().map(|(_, number)| number).sum();
    assert!(shed > 0 && shed < BATCHES.cast_signed(), "{shed} of {BATCHES} made room, and are counted");
    drop((say, stopper));
    running.await.unwrap().unwrap();
}
