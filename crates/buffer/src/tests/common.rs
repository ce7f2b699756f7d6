//! What the tests of the engine share.

use std::sync::Arc;

use bytes::Bytes;
use sawyer_disk::{Disk, SimDisk, SimSettings};
use sawyer_model::{Error, Timestamp};
use sawyer_telemetry::{Clock, Metrics};
use tokio::sync::oneshot::Receiver;

use crate::engine::Engine;
use crate::entry::{Lane, Note};
use crate::error::Result;
use crate::lane::Content;
use crate::settings::{BufferPlan, OnFull, SyncPolicy};
use crate::taken::{Next, Taken};

pub(super) type Told = Receiver<std::result::Result<u64, Error>>;

/// An engine on a simulated disk, with a clock that is turned by hand.
pub(super) struct Rig {
    pub(super) disk: SimDisk,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) plan: BufferPlan,
    pub(super) engine: Arc<Engine>,
}

/// Small files, so that there are many.
pub(super) fn small_plan() -> BufferPlan {
    BufferPlan {
        bytes_max: 8 << 10,
        spill_max: 1500,
        file_bytes: 700,
        dead_file_bytes: 500,
        memory_max: 600,
        ..BufferPlan::default()
    }
}

pub(super) fn plan(sync: SyncPolicy, on_full: OnFull) -> BufferPlan {
    BufferPlan { sync, on_full, ..small_plan() }
}

pub(super) fn sim(seed: u64) -> SimDisk {
    SimDisk::new(seed, SimSettings::default())
}

impl Rig {
    pub(super) fn new(plan: BufferPlan) -> Self {
        Self::open(sim(1), plan, Clock::manual(Timestamp::from_secs(1000))).unwrap()
    }

    pub(super) fn open(disk: SimDisk, plan: BufferPlan, clock: Clock) -> Result<Self> {
        let metrics = Metrics::new();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let engine = Engine::open(shared, plan.clone(), clock.clone(), &metrics, "test")?;
        Ok(Self { disk, clock, metrics, plan, engine })
    }

    /// The next process on the same disk.
    pub(super) fn reopen(self, disk: SimDisk) -> Result<Self> {
        let Self { clock, plan, .. } = self;
        Self::open(disk, plan, clock)
    }

    pub(super) fn push(&self, lane: Lane, payload: &[u8]) -> Told {
        self.enqueue(lane, payload, &Note::default())
    }

    pub(super) fn enqueue(&self, lane: Lane, payload: &[u8], note: &Note) -> Told {
        let content = Content { note: note.clone(), payload: Bytes::copy_from_slice(payload) };
        let told = self.engine.push(lane, lane, content, 1).unwrap();
        self.engine.turn();
        told
    }

    pub(super) fn take(&self) -> Option<Taken> {
        self.try_take().unwrap()
    }

    pub(super) fn try_take(&self) -> Result<Option<Taken>> {
        loop {
            match self.engine.next(&[Lane::Urgent, Lane::Normal]) {
                Next::Entry(taken) => return Ok(Some(taken)),
                Next::Over | Next::Empty => return Ok(None),
                Next::Read(reading) => {
                    if let Some(taken) = reading.run()? {
                        return Ok(Some(taken));
                    }
                }
            }
        }
    }

    /// Takes and acknowledges everything.
    pub(super) fn drain(&self) -> Vec<(Lane, Vec<u8>)> {
        let mut all = Vec::new();
        while let Some(taken) = self.take() {
            all.push((taken.lane(), taken.payload().to_vec()));
            taken.ack();
        }
        self.engine.turn();
        all
    }

    pub(super) fn payloads(&self) -> Vec<Vec<u8>> {
        self.drain().into_iter().map(|(_, payload)| payload).collect()
    }

    /// The sum of a metric over its labels.
    pub(super) fn number(&self, name: &str) -> i64 {
        self.engine.settle();
        self.metrics.numbers(name).iter().map(|(_, number)| number).sum()
    }

    /// Names of the files of a lane.
    pub(super) fn files(&self, lane: Lane) -> Vec<String> {
        let list = self.disk.read_dir(std::path::Path::new(lane.name())).unwrap();
        list.into_iter().map(|entry| entry.name).collect()
    }
}

pub(super) fn is_in(told: &mut Told) -> bool {
    matches!(told.try_recv(), Ok(Ok(_)))
}

/// Dice that fall the same way every time.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}
