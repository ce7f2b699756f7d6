//! A batch on its way.
//!
//! Owns: the bytes of it, for receivers of several versions, and the body of a request.
//! Invariant: nothing is written on a thread of the runtime, and nothing twice for the same version.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use sawyer_delivery::Item;
use sawyer_model::{Batch, Error, ErrorKind};
use sawyer_segment::{batch_version, encode_batch_columns_up_to};

#[derive(Debug)]
pub(super) struct Sent {
    /// As it is sent. Written anew for an older receiver it stays as it is then, which later ones read too.
    bytes: Mutex<Bytes>,
    /// As it is in memory.
    pub(super) batch: Arc<Batch>,
}

impl Sent {
    /// For receivers that read no later version than this; what came from another Sawyer, or out of the buffer, is passed on as
    /// it is as long as nobody is known who does not read it. It may take long.
    pub(super) fn new(batch: Arc<Batch>, reads: u8) -> Self {
        let encoded = batch.encoded().cloned();
        let bytes = encoded.unwrap_or_else(|| encode_batch_columns_up_to(&batch, reads).into());
        Self { bytes: Mutex::new(bytes), batch }
    }

    /// How many bytes are sent.
    pub(super) fn len(&self) -> usize {
        self.bytes.lock().len()
    }

    fn is_read(&self, reads: u8) -> bool {
        batch_version(&self.bytes.lock()).is_none_or(|version| version <= reads)
    }

    fn write_anew(&self, reads: u8) {
        let bytes = Bytes::from(encode_batch_columns_up_to(&self.batch, reads));
        *self.bytes.lock() = bytes;
    }
}

/// The batches, each with its length in front, for a receiver that reads no later version than this.
///
/// # Errors
/// `Bug` if writing one anew panics.
pub(super) async fn body(items: &[Item<Arc<Sent>>], reads: u8) -> Result<Bytes, Error> {
    let of_later = items.iter().map(|item| &item.payload).filter(|sent| !sent.is_read(reads));
    let of_later: Vec<Arc<Sent>> = of_later.cloned().collect();
    if !of_later.is_empty() {
        let work = move || of_later.iter().for_each(|sent| sent.write_anew(reads));
        let written = tokio::task::spawn_blocking(work).await;
        written.map_err(|panic| Error::new(ErrorKind::Bug, "writing a batch panicked").because(panic))?;
    }
    let mut body = BytesMut::with_capacity(items.iter().map(|item| 4 + item.payload.len()).sum());
    for item in items {
        let bytes = item.payload.bytes.lock();
        body.put_u32_le(u32::try_from(bytes.len()).expect("a batch is within bounds"));
        body.put_slice(&bytes);
    }
    Ok(body.freeze())
}

#[cfg(test)]
pub(super) mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::Poll;

    use sawyer_model::{Ack, RecordHead, SeqRange, SourceId, Stream, Timestamp, ValueRef, names};
    use sawyer_segment::{BATCH_VERSION, decode_batch_shared, encode_batch_columns};

    use super::*;

    /// A batch whose line is made of its field.
    fn batch() -> Batch {
        let mut batch = Batch::new();
        let stream = batch.add_stream(&Arc::new(Stream::default()));
        let (timestamp, source, range) = (Timestamp::from_secs(1), SourceId(7), SeqRange::new(0, 9));
        let mut record = batch.begin(RecordHead { timestamp, observed: timestamp, source, range }, stream);
        // So long that leaving it out pays.
        let message = "paid order 4711 ".repeat(9);
        record.field("message", ValueRef::Str(&message));
        record.field(names::ORIGINAL, ValueRef::Str(&format!(r#"{{"msg":"{message}"}}"#)));
        batch
    }

    /// The same as it is kept in a buffer.
    pub(in super::super) fn kept() -> Batch {
        let bytes = Bytes::from(encode_batch_columns(&batch()));
        assert_eq!(batch_version(&bytes), Some(BATCH_VERSION));
        decode_batch_shared(&bytes).unwrap()
    }

    /// The same on its way.
    pub(in super::super) fn item() -> Item<Arc<Sent>> {
        let payload = Arc::new(Sent::new(Arc::new(kept()), BATCH_VERSION));
        Item { payload, bytes: 1, partition: 0, record: None, ack: Ack::none() }
    }

    #[test]
    fn a_batch_that_is_not_written_yet_is_written_for_who_reads_it() {
        assert!(Sent::new(Arc::new(batch()), 3).is_read(2));
        assert!(!Sent::new(Arc::new(batch()), 4).is_read(3));
        assert!(!Sent::new(Arc::new(kept()), 3).is_read(3), "it is not needed before it is known");
    }

    #[tokio::test]
    async fn a_batch_is_written_anew_once() {
        let items = [item()];
        let place = || items[0].payload.bytes.lock().as_ptr();
        let before = place();
        body(&items, 4).await.unwrap();
        assert_eq!(place(), before);
        let first = body(&items, 3).await.unwrap();
        let anew = place();
        assert_ne!(anew, before);
        for reads in [2, 3, 4] {
            assert_eq!((body(&items, reads).await.unwrap(), place()), (first.clone(), anew), "{reads}");
        }
        assert_eq!((batch_version(&first[4..]), first.len()), (Some(2), 4 + items[0].payload.len()));
    }

    #[test]
    fn a_batch_is_written_anew_beside_the_runtime() {
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let (go_on, waits) = mpsc::channel::<()>();
        runtime.block_on(async {
            // It ends when the sender is dropped; so long there is no other thread.
            let busy = tokio::task::spawn_blocking(move || waits.recv());
            let items = [item()];
            let mut body = pin!(body(&items, 3));
            let first = poll_fn(|context| Poll::Ready(body.as_mut().poll(context))).await;
            assert!(first.is_pending());
            drop(go_on);
            assert_eq!(batch_version(&body.await.unwrap()[4..]), Some(2));
            assert!(busy.await.unwrap().is_err());
        });
    }
}
