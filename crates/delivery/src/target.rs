//! What is sent, and to whom.
//!
//! Owns: [`Target`], the one thing an output or a notifier has to write, and what an item is. Does not own: when and how
//! often a target is called.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sawyer_model::{Ack, Batch, Count};

use crate::verdict::Answer;

/// One thing to be delivered, or several that are handled as one as long as nothing is wrong with any of them.
#[derive(Debug)]
pub struct Item<P> {
    /// What the target makes a request of.
    pub payload: P,
    /// Bytes that it takes in a request.
    pub bytes: usize,
    /// Items of different partitions never share a request. Where everything may, it is 0 for all.
    pub partition: u64,
    /// The record that it was made of, if it was of one: where it goes when it is rejected.
    pub record: Option<Origin>,
    /// Told when the item is done, or rejected and kept as a dead letter.
    pub ack: Ack,
}

/// What an item is made of.
pub trait Payload: Send + Sync + Sized + 'static {
    /// How many things it stands for. Each gets a verdict of its own.
    fn count(&self) -> usize {
        1
    }

    /// Bytes of memory that it takes, where that is not what it takes in a request.
    fn held_bytes(&self) -> Option<usize> {
        None
    }

    /// The things that it stands for, one by one.
    fn apart(self) -> Vec<Part<Self>> {
        Vec::new()
    }
}

/// One of the things that a payload stands for.
#[derive(Debug)]
pub struct Part<P> {
    /// The thing by itself.
    pub payload: P,
    /// As [`Item::bytes`].
    pub bytes: usize,
    /// As [`Item::record`].
    pub record: Option<Origin>,
    /// What it counts for in the item's acknowledgement.
    pub worth: Count,
}

impl Payload for Bytes {}

impl<T: Send + Sync + 'static> Payload for Arc<T> {}

#[cfg(test)]
impl Payload for u32 {}

impl<P: Payload> Item<P> {
    /// The things that it stands for, each as an item. They share its duty to acknowledge.
    pub(crate) fn apart(self) -> Vec<Self> {
        if self.payload.count() <= 1 {
            return vec![self];
        }
        let Self { payload, partition, ack, .. } = self;
        let single = |Part { payload, bytes, record, worth }| {
            let ack = ack.clone().worth(worth);
            Self { payload, bytes, partition, record, ack }
        };
        let items = payload.apart().into_iter().map(single).collect();
        ack.durable();
        items
    }
}

/// A record and the batch it is in.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The batch.
    pub batch: Arc<Batch>,
    /// The record's place in it.
    pub at: u32,
}

/// A peer that may fail.
pub trait Target: Send + Sync + 'static {
    /// What it makes requests of.
    type Payload: Payload;

    /// Sends one request. An answer has a verdict for each thing that the items stand for. It is called again and again as long as it makes sense, so it tries once, and takes no
    /// longer than its time limits allow. A dropped call may have reached the peer or not.
    fn send(&self, items: &[Item<Self::Payload>]) -> impl Future<Output = Answer> + Send;
}

/// What a target takes at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a request. A larger item goes alone.
    pub request_bytes_max: usize,
    /// Most items of a request.
    pub request_items_max: usize,
    /// Most bytes of an item; a larger one is rejected without asking.
    pub item_bytes_max: usize,
    /// Longest wait of an item for others to fill a request.
    pub age_max: Duration,
    /// Most requests under way at once.
    pub requests_max: usize,
    /// Most bytes that wait here or are under way. Whoever sends more waits.
    pub held_bytes_max: usize,
    /// How long an item is tried before it is rejected; none for as long as it takes.
    pub retry_time_max: Option<Duration>,
    /// Longest pause between two tries.
    pub retry_pause_max: Duration,
    /// Items of a partition are delivered in their order: one request at a time, and what is tried again holds up
    /// the rest.
    pub ordered: bool,
}

impl Origin {
    /// The record.
    #[must_use]
    pub fn record(&self) -> sawyer_model::RecordRef<'_> {
        self.batch.get(self.at as usize)
    }
}
