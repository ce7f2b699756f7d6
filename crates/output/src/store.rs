//! The output `store`: records into the embedded store of this process.
//!
//! Owns: several appends under way at once, and trying again. Does not own: the store.
//! Promise: a transfer is acknowledged when all its records are durable in the store, which takes each record once
//! however often it is sent. When the store cannot take records now (the disk is full, sealing is behind) they are
//! kept and tried again, readiness says why, and it recovers by itself. A transfer that the store refuses for good is
//! cut in halves until the refused records stand alone; these are counted, logged, and their transfer is let go of
//! unacknowledged: its source still has them, and reads them again after a restart.

mod handle;
mod output;
mod settings;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use sawyer_config::{Setting, Settings};
use sawyer_model::{Error, ErrorKind};
use sawyer_pipeline::{Context, Kind, Output, OutputPlan};
use sawyer_store::Store;
use sawyer_telemetry::ledger::checkpoints::Asked;
use sawyer_telemetry::{Answer, Question};
use tokio::sync::Semaphore;

pub use handle::StoreHandle;
pub use settings::StoreOutputSettings;

/// The kind `store`.
#[must_use]
pub fn kind(store: StoreHandle) -> Kind<Box<dyn OutputPlan>> {
    Kind {
        name: "store",
        reference: StoreOutputSettings::reference,
        read: Box::new(move |at, problems| {
            StoreOutputSettings::read(at, problems)?;
            Some(Box::new(StorePlan(store.clone())))
        }),
    }
}

/// Looks it up where it may wait for the store's writer, which waits for the disk; one after the other, so that those who
/// write get between.
async fn answer(
    store: Arc<Store>,
    turns: Arc<Semaphore>,
    question: Question,
    may_wait: bool,
) -> Result<Answer, Error> {
    let closed = |error| Error::new(ErrorKind::Closed, "wait for a turn").because(error);
    let turn = turns.acquire_owned().await.map_err(closed)?;
    let work = tokio::task::spawn_blocking(move || {
        let answer = Answer { may_wait, ..store.lacking(&question.claims) };
        drop(turn);
        answer
    });
    work.await.map_err(|panic| Error::new(ErrorKind::Bug, "looking up claims panicked").because(panic))
}

#[derive(Debug)]
struct StorePlan(StoreHandle);

impl OutputPlan for StorePlan {
    fn keeps_ranges(&self) -> bool {
        true
    }

    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Output>, Error> {
        let store = self.0.get().ok_or_else(|| {
            Error::new(
                ErrorKind::Invalid,
                "there is no store in this process; send records to a server instead",
            )
        })?;
        // What waits in a buffer is not in the store yet.
        let (may_wait, answering) = (context.buffer.is_some(), Arc::clone(&store));
        let turns = Arc::new(Semaphore::new(1));
        let confirms = move |question: Question| -> Asked {
            let (store, turns) = (Arc::clone(&answering), Arc::clone(&turns));
            Box::pin(async move { answer(store, turns, question, may_wait).await.map(Some) })
        };
        context.metrics.ledger().confirms(&context.name, Arc::new(confirms));
        Ok(Box::new(output::StoreOutput::new(store, context)))
    }
}
