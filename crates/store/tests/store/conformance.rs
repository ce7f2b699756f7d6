//! The suite for engines, asked of the store: in memory, sealed, merged, and opened again.

use std::sync::Arc;

use sawyer_disk::{SimDisk, SimSettings};
use sawyer_model::Batch;
use sawyer_query::conformance::{Subject, run};
use sawyer_query::search::Search;
use sawyer_store::{Store, StorePlan};
use sawyer_telemetry::Clock;

use crate::common::{clock, open, plan_of};

/// Random lives of a store.
const SEEDS: u64 = 8;

struct Embedded {
    disk: SimDisk,
    plan: StorePlan,
    clock: Clock,
    store: Option<Store>,
}

impl Embedded {
    fn open_store(&self) -> &Store {
        self.store.as_ref().expect("it is open")
    }
}

impl Subject for Embedded {
    fn search(&self) -> &dyn Search {
        self.open_store()
    }

    fn store(&mut self, batch: Batch) {
        let records = batch.len();
        let appended = self.open_store().append(Arc::new(batch)).expect("it is stored");
        assert_eq!(appended.stored, records);
    }

    fn settle(&mut self, step: u64) {
        let store = self.open_store();
        match step % 3 {
            0 => store.seal_now().expect("it is sealed"),
            1 => store.run_once().expect("it works"),
            _ => {
                self.clock.advance(std::time::Duration::from_secs(3 * 86_400));
                (0..4).for_each(|_| store.run_once().expect("it works"));
            }
        }
    }

    fn restart(&mut self) {
        self.store = None;
        self.store = Some(open(&self.disk, &self.plan, &self.clock).expect("it opens again"));
    }
}

#[test]
fn the_store_gives_the_answers_of_the_reference() {
    for seed in 0..SEEDS {
        let (disk, clock) = (SimDisk::new(seed, SimSettings::default()), clock());
        let threads = 1 + seed % 4;
        let plan = plan_of(&format!(
            "memory_max: 1MiB\nretention: 36500d\nfree_min: 0\nsearch_threads: {threads}\n"
        ));
        // A few threads show what goes wrong between them; there are stores small enough for one.
        let plan = if seed < 4 { plan } else { plan.with_threads_at_once() };
        let store = Some(open(&disk, &plan, &clock).expect("it opens"));
        let now = clock.now();
        run(&mut Embedded { disk, plan, clock, store }, seed, now);
    }
}
