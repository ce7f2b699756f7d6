//! Bounded queues of transfers between components.
//!
//! Invariant: the records that wait in a queue, or were taken from it and are still worked on, never hold more
//! than its bound in bytes, save that one transfer may always pass however large it is. Urgent transfers have room of
//! their own, a quarter of the bound beside it, so that they never wait behind others.

use std::sync::Arc;

use sawyer_model::Transfer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Bytes that one permit stands for; semaphores count in `u32`.
const PERMIT_BYTES: usize = 1024;

/// Most transfers that wait in one queue, so that many tiny ones are bounded as well.
const TRANSFERS_MAX: usize = 1024;

/// Room for urgent transfers, as a part of that for all others.
const URGENT_PART: usize = 4;

/// The end that fills a queue.
#[derive(Clone, Debug)]
pub struct QueueSender {
    normal: LaneSender,
    urgent: LaneSender,
}

#[derive(Clone, Debug)]
struct LaneSender {
    sender: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    permits: u32,
}

/// The end that empties a queue.
#[derive(Debug)]
pub struct QueueReceiver {
    urgent: LaneReceiver,
    normal: LaneReceiver,
}

/// One of the two orders of a queue.
#[derive(Debug)]
pub struct LaneReceiver(mpsc::Receiver<Queued>);

/// A transfer that was taken from a queue. Its bytes count against the queue until it is dropped.
#[derive(Debug)]
pub struct Queued {
    /// The transfer.
    pub transfer: Transfer,
    room: OwnedSemaphorePermit,
}

/// Room for one transfer in a queue, for whoever has to know that there is some before it puts anything in anywhere. It is
/// given back when it is dropped.
#[derive(Debug)]
pub struct Place<'a> {
    sender: &'a mpsc::Sender<Queued>,
    slot: mpsc::Permit<'a, Queued>,
    room: OwnedSemaphorePermit,
}

/// The other end is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue is closed")]
pub struct QueueClosed;

/// A queue that holds at most about `bytes_max` bytes of records.
#[must_use]
pub fn queue(bytes_max: u64) -> (QueueSender, QueueReceiver) {
    let most = (Semaphore::MAX_PERMITS as u64).min(u64::from(u32::MAX));
    let permits = (bytes_max / PERMIT_BYTES as u64).clamp(1, most) as usize;
    let (normal, from_normal) = lane(permits);
    let (urgent, from_urgent) = lane((permits / URGENT_PART).max(1));
    (QueueSender { normal, urgent }, QueueReceiver { urgent: from_urgent, normal: from_normal })
}

fn lane(permits: usize) -> (LaneSender, LaneReceiver) {
    let (sender, receiver) = mpsc::channel(TRANSFERS_MAX);
    let room = Arc::new(Semaphore::new(permits));
    (LaneSender { sender, room, permits: permits as u32 }, LaneReceiver(receiver))
}

impl QueueSender {
    /// Waits for room and puts a transfer in.
    ///
    /// # Errors
    /// [`QueueClosed`] if nobody takes from it any more; the transfer is let go of, unacknowledged.
    pub async fn send(&self, transfer: Transfer) -> Result<(), QueueClosed> {
        self.normal.send(transfer).await
    }

    /// Waits for room for a transfer that is not urgent and holds so many bytes.
    ///
    /// # Errors
    /// [`QueueClosed`] if nobody takes from it any more.
    pub async fn reserve(&self, bytes: usize) -> Result<Place<'_>, QueueClosed> {
        self.normal.reserve(bytes).await
    }

    /// The same for one that may be urgent.
    ///
    /// # Errors
    /// As of [`QueueSender::reserve`].
    pub async fn reserve_in(&self, urgent: bool, bytes: usize) -> Result<Place<'_>, QueueClosed> {
        let lane = if urgent { &self.urgent } else { &self.normal };
        lane.reserve(bytes).await
    }

    /// Puts a transfer in that overtakes all that are not urgent.
    ///
    /// # Errors
    /// As of [`QueueSender::send`].
    pub async fn send_urgent(&self, transfer: Transfer) -> Result<(), QueueClosed> {
        self.urgent.send(transfer).await
    }

    /// Bytes that wait in it or are worked on, rounded up.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.normal.bytes() + self.urgent.bytes()
    }
}

impl LaneSender {
    async fn send(&self, transfer: Transfer) -> Result<(), QueueClosed> {
        self.reserve(transfer.batch.bytes()).await?.put(transfer);
        Ok(())
    }

    async fn reserve(&self, bytes: usize) -> Result<Place<'_>, QueueClosed> {
        let wanted = bytes.div_ceil(PERMIT_BYTES).max(1);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).min(self.permits);
        let room = tokio::select! {
            room = Arc::clone(&self.room).acquire_many_owned(wanted) => room.map_err(|_| QueueClosed)?,
            () = self.sender.closed() => return Err(QueueClosed),
        };
        let slot = self.sender.reserve().await.map_err(|_| QueueClosed)?;
        Ok(Place { sender: &self.sender, slot, room })
    }

    fn bytes(&self) -> u64 {
        (self.permits as usize - self.room.available_permits().min(self.permits as usize)) as u64
            * PERMIT_BYTES as u64
    }
}

impl Place<'_> {
    /// Puts the transfer in.
    pub fn put(self, transfer: Transfer) {
        self.slot.send(Queued { transfer, room: self.room });
    }

    /// Whether nobody takes from the queue any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

impl QueueReceiver {
    /// The next transfer, urgent ones first; none once every sender is gone and the queue is empty.
    pub async fn next(&mut self) -> Option<Queued> {
        tokio::select! {
            biased;
            Some(queued) = self.urgent.next() => Some(queued),
            Some(queued) = self.normal.next() => Some(queued),
            else => None,
        }
    }

    /// The next transfer, if one waits already.
    pub fn try_next(&mut self) -> Option<Queued> {
        self.urgent.0.try_recv().or_else(|_| self.normal.0.try_recv()).ok()
    }

    /// The urgent transfers and the others, for whoever takes both at the same time.
    #[must_use]
    pub fn into_lanes(self) -> (LaneReceiver, LaneReceiver) {
        (self.urgent, self.normal)
    }
}

impl LaneReceiver {
    /// The next transfer; none once every sender is gone and nothing is left.
    pub async fn next(&mut self) -> Option<Queued> {
        self.0.recv().await
    }
}

impl Queued {
    /// The transfer, and what keeps its bytes counted against the queue; drop that when the work is done.
    pub fn into_parts(self) -> (Transfer, OwnedSemaphorePermit) {
        (self.transfer, self.room)
    }
}

#[cfg(test)]
mod tests {
    use sawyer_model::{Ack, Batch, NameId, RecordHead, SeqRange, SourceId, Stream, Timestamp, ValueRef};

    use super::*;

    fn transfer(bytes: usize) -> Transfer {
        let mut batch = Batch::new();
        let stream = batch.add_stream(&Arc::new(Stream::default()));
        let head = RecordHead {
            timestamp: Timestamp::EPOCH,
            observed: Timestamp::EPOCH,
            source: SourceId(1),
            range: SeqRange::new(0, 1),
        };
        batch.begin(head, stream).field_by_id(NameId::MESSAGE, ValueRef::Str(&"x".repeat(bytes)));
        Transfer { batch: Arc::new(batch), ack: Ack::none() }
    }

    #[tokio::test(start_paused = true)]
    async fn waits_for_room_until_the_work_is_done() {
        let (sender, mut receiver) = queue(10 * 1024);
        sender.send(transfer(8 * 1024)).await.unwrap();
        let waiting = tokio::spawn({
            let sender = sender.clone();
            async move { sender.send(transfer(8 * 1024)).await }
        });
        let first = receiver.next().await.unwrap();
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        assert!(!waiting.is_finished(), "the first is still worked on");
        drop(first);
        waiting.await.unwrap().unwrap();
        assert!(receiver.next().await.is_some());
        assert_eq!(sender.bytes(), 0);
    }

    #[tokio::test]
    async fn a_transfer_larger_than_the_queue_passes_alone() {
        let (sender, mut receiver) = queue(1024);
        sender.send(transfer(1 << 20)).await.unwrap();
        assert!(receiver.next().await.is_some());
    }

    #[tokio::test]
    async fn closes_both_ways() {
        let (sender, receiver) = queue(1024);
        drop(receiver);
        assert_eq!(sender.send(transfer(1)).await, Err(QueueClosed));
        let (sender, mut receiver) = queue(1024);
        drop(sender);
        assert!(receiver.next().await.is_none());
    }

    #[tokio::test]
    async fn urgent_transfers_pass_a_full_queue() {
        let (sender, mut receiver) = queue(4 * 1024);
        sender.send(transfer(4 * 1024)).await.unwrap();
        sender.send_urgent(transfer(1)).await.unwrap();
        let mut bytes = async || receiver.next().await.map(|queued| queued.transfer.batch.text_bytes());
        assert_eq!((bytes().await, bytes().await), (Some(1), Some(4096)));
        drop(sender);
        assert_eq!(bytes().await, None);
    }
}
