//! A bench for inputs that ask AWS: one that really runs, and somebody who takes what it reads.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sawyer_config::{Document, Problems};
use sawyer_disk::RealDisk;
use sawyer_model::{Fate, Transfer, Way};
use sawyer_pipeline::queue::queue;
use sawyer_pipeline::{Context, InputPlan, Kind, Outlet, Ports, Stopper};
use sawyer_telemetry::{Clock, Health, Metrics};

use crate::offsets::Offsets;

const WAIT: Duration = Duration::from_secs(60);

/// What whoever takes batches does with them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taker {
    Keeps,
    /// Lets go of the first so many.
    Drops(usize),
    Holds,
}

/// What survives a restart.
pub(crate) struct Kept {
    pub(crate) state: tempfile::TempDir,
    pub(crate) metrics: Metrics,
}

impl Kept {
    pub(crate) fn new() -> Self {
        Self { state: tempfile::tempdir().unwrap(), metrics: Metrics::new() }
    }

    pub(crate) fn context(&self, state: &Path) -> Context {
        Context {
            name: "test".into(),
            clock: Clock::system(),
            metrics: self.metrics.clone(),
            state: Arc::new(RealDisk::new(state).unwrap()),
            host_root: None,
            ports: Ports::default(),
            health: Health::new(),
            buffer: None,
        }
    }

    /// How many records the books that were saved with the positions say were read, and how many were delivered.
    pub(crate) fn booked(&self) -> (u64, u64) {
        let context = self.context(self.state.path());
        let ledger = Metrics::new().ledger().clone();
        let (mut offsets, _) = Offsets::open(&context.state, context.clock.now()).unwrap();
        offsets.keep_books(&ledger, "test");
        let book = ledger.of("test").outputs.remove("out").unwrap_or_default();
        let delivered = book.fates.iter().filter(|((fate, _), _)| *fate == Fate::Delivered);
        (book.read.records, delivered.map(|(_, count)| count.records).sum())
    }

    /// Runs an input until what came is enough, as somebody says who is asked again and again.
    pub(crate) async fn run_until(
        &self,
        kind: &Kind<Box<dyn InputPlan>>,
        url: &str,
        own: &str,
        mut is_enough: impl FnMut(&[String]) -> bool,
        taker: Taker,
    ) -> Vec<String> {
        let settings = format!(
            "{own}\nendpoint: {url}\nregion: eu-west-1\nauth: {{type: aws, access_key_id: AKID, secret_access_key: key}}"
        );
        let document = Document::parse("test.yaml", &settings).unwrap();
        let mut problems = Problems::new();
        let plan = (kind.read)(&document.at(), &mut problems);
        let input = problems.into_result(plan).unwrap().open(&self.context(self.state.path())).unwrap();
        let (sender, mut receiver) = queue(8 << 20);
        let way = Way {
            input: "test".into(),
            pipeline: "main".into(),
            outputs: vec!["out".into()],
            copies: vec![false],
        };
        let outlet = Outlet::along("test", vec![(sender, Arc::new(way))], &self.metrics);
        let (stopper, stop) = Stopper::new();
        let running = tokio::spawn(input.run(outlet, stop));
        let (mut seen, mut batches, mut held) = (Vec::new(), 0, Vec::new());
        let start = Instant::now();
        while !is_enough(&seen) {
            assert!(start.elapsed() < WAIT, "{seen:?}");
            let next = tokio::time::timeout(Duration::from_millis(100), receiver.next()).await;
            if let Ok(Some(queued)) = next {
                let Transfer { batch, ack } = queued.into_parts().0;
                batches += 1;
                seen.extend(batch.iter().map(|record| format!("{} {}", record.id(), record.message())));
                match taker {
                    Taker::Holds => held.push(ack),
                    Taker::Drops(first) if batches <= first => drop(ack),
                    _ => ack.at_exit("out", batch.own(), Fate::Delivered).durable(),
                }
            }
        }
        stopper.stop();
        // What it sends yet is not taken, rather than left to wait.
        drop((held, receiver));
        tokio::time::timeout(WAIT, running).await.unwrap().unwrap().unwrap();
        seen
    }
}

/// The messages of what was seen.
pub(crate) fn messages(seen: &[String]) -> Vec<&str> {
    seen.iter().map(|line| line.split_once(' ').unwrap().1).collect()
}
