//! From the queue to receivers: a courier for each notifier.
//!
//! Owns: handing notifications over once, and what became of each. Does not own: the durable queue (`engine`,
//! `keeper`), trying again (`delivery`), the form of messages (`notifier`).
//! Invariant: a notification is settled after a verdict of its own. Those of one group arrive in their order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sawyer_delivery::{
    Answer, DeadLetters, Identity, Item, Letter, Limits, Outbox, Promise, Status, Target, courier,
};
use sawyer_model::{Ack, Error, Outcome};
use sawyer_telemetry::{Clock, Health, Metrics};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::notifier::Notify;
use crate::state::{Fate, Notification, QUEUE_MAX, group_key};

/// Longest pause before a notification is tried again; a receiver that is back is told within it.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Bytes that one notification counts in a courier; enough room for all that may wait.
const ITEM_BYTES: usize = 1024;

/// Groups that are told at the same time.
const REQUESTS_MAX: usize = 4;

/// What became of a notification, by its id.
pub(crate) type Settled = (String, Fate);

/// All couriers.
#[derive(Debug)]
pub(crate) struct Dispatch {
    outboxes: BTreeMap<String, Outbox<Arc<Notification>>>,
    /// The notifiers of what was handed over and is not settled, by id. One that was given up meanwhile is still here.
    under_way: BTreeMap<String, String>,
    settled: mpsc::UnboundedSender<Settled>,
    reasons: Reasons,
    couriers: JoinSet<()>,
}

/// Why receivers refused, by id, until the courier says that it is done.
type Reasons = Arc<Mutex<BTreeMap<String, String>>>;

struct Receiver {
    notify: Box<dyn Notify>,
    reasons: Reasons,
}

impl Target for Receiver {
    type Payload = Arc<Notification>;

    async fn send(&self, items: &[Item<Arc<Notification>>]) -> Answer {
        // The limits make it one.
        let Some(item) = items.first() else { return Answer::done(0) };
        let answer = self.notify.notify(&item.payload).await;
        let reason = match &answer {
            Answer::Refused(reason) => reason.clone(),
            Answer::TooLarge => "too large for the receiver".to_owned(),
            _ => return answer,
        };
        self.reasons.lock().insert(item.payload.id.clone(), reason);
        answer
    }
}

/// Refused notifications are kept in the history, which is told when they are acknowledged.
struct Remembered {
    name: String,
}

impl DeadLetters for Remembered {
    fn put<'a>(&'a self, _target: &'a str, letters: &'a [Letter]) -> Promise<'a, Result<(), Error>> {
        for letter in letters {
            let reason = &letter.reason;
            tracing::error!(
                notifier = self.name,
                reason,
                "a notification was refused for good; see the history of alerts"
            );
        }
        Box::pin(async { Ok(()) })
    }
}

impl Dispatch {
    /// Starts a courier for each notifier; what becomes of notifications is told to `settled`.
    pub(crate) fn start(
        notifiers: BTreeMap<String, Box<dyn Notify>>,
        clock: &Clock,
        metrics: &Metrics,
        settled: mpsc::UnboundedSender<Settled>,
    ) -> Self {
        let reasons = Reasons::default();
        let mut couriers = JoinSet::new();
        let mut outboxes = BTreeMap::new();
        for (name, notify) in notifiers {
            let identity = Identity {
                name: name.clone(),
                what: "notifier",
                clock: clock.clone(),
                metrics: metrics.clone(),
                // A receiver that is away is no reason to take this process out of service.
                health: Health::new(),
            };
            let target = Arc::new(Receiver { notify, reasons: Arc::clone(&reasons) });
            let letters = Arc::new(Remembered { name: name.clone() });
            let (outbox, courier) = courier(target, limits(), identity, letters);
            outboxes.insert(name.clone(), outbox);
            couriers.spawn(async move {
                if let Err(error) = courier.run().await {
                    tracing::error!(notifier = name, "stopped delivering: {}", error.chain());
                }
            });
        }
        Self { outboxes, under_way: BTreeMap::new(), settled, reasons, couriers }
    }

    /// Hands over what is not under way yet. What a courier has no room for stays in the queue until some of it is done.
    pub(crate) async fn send(&mut self, queue: &[Notification]) {
        let mut counts = BTreeMap::<String, usize>::new();
        for notifier in self.under_way.values() {
            *counts.entry(notifier.clone()).or_default() += 1;
        }
        for notification in queue {
            let count = counts.entry(notification.notifier.clone()).or_default();
            // The courier also holds what the queue gave up. Waiting for room in it would stop all others.
            if *count >= QUEUE_MAX || self.under_way.contains_key(&notification.id) {
                continue;
            }
            let Some(outbox) = self.outboxes.get(&notification.notifier) else { continue };
            let id = notification.id.clone();
            let (reasons, settled) = (Arc::clone(&self.reasons), self.settled.clone());
            let ack = Ack::new(move |outcome| {
                let refused = reasons.lock().remove(&id);
                if outcome == Outcome::Durable {
                    let fate = refused.map_or(Fate::Delivered, Fate::Rejected);
                    // Nobody listens any more at a stop; then it is sent again after the next start.
                    let _ = settled.send((id, fate));
                }
            });
            let group = group_key(&notification.notifier, &notification.group);
            let item = Item {
                payload: Arc::new(notification.clone()),
                bytes: ITEM_BYTES,
                partition: xxhash_rust::xxh3::xxh3_64(group.as_bytes()),
                record: None,
                ack,
            };
            if outbox.send(vec![item], 0).await.is_ok() {
                *count += 1;
                self.under_way.insert(notification.id.clone(), notification.notifier.clone());
            }
        }
    }

    /// It is not under way any more.
    pub(crate) fn done(&mut self, id: &str) {
        self.under_way.remove(id);
    }

    /// How deliveries fare, by notifier.
    pub(crate) fn statuses(&self) -> BTreeMap<String, Status> {
        self.outboxes.iter().map(|(name, outbox)| (name.clone(), outbox.status())).collect()
    }

    /// Ends the couriers. What they are not done with within this time stays in the queue.
    pub(crate) async fn stop(mut self, within: Duration) {
        self.outboxes.clear();
        let all = async { while self.couriers.join_next().await.is_some() {} };
        // The rest is dropped with the couriers, unacknowledged.
        let _ = tokio::time::timeout(within, all).await;
    }
}

fn limits() -> Limits {
    Limits {
        request_bytes_max: ITEM_BYTES,
        request_items_max: 1,
        item_bytes_max: ITEM_BYTES,
        age_max: Duration::ZERO,
        requests_max: REQUESTS_MAX,
        // Twice what is handed over at most: handing over never waits.
        held_bytes_max: 2 * QUEUE_MAX * ITEM_BYTES,
        // A receiver may be away for as long as it likes; the bound is that of the queue.
        retry_time_max: None,
        retry_pause_max: RETRY_PAUSE_MAX,
        ordered: true,
    }
}
