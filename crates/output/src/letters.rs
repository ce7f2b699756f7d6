//! Records that a target refused for good, kept in the buffer in front of the output.
//!
//! Owns: what of a refused record is kept, and telling of it. Does not own: how dead letters are kept (`buffer`).
//! Invariant: a dead letter holds the record whole, so that it can be sent again.

use std::time::Duration;

use bytes::Bytes;
use sawyer_buffer::Buffer;
use sawyer_delivery::{DeadLetters, Letter, Promise};
use sawyer_model::{Batch, Error, ErrorKind};
use sawyer_segment::encode_batch;
use sawyer_telemetry::{Clock, Seldom};

/// How often refusals of a target are told in the log.
const TELL_INTERVAL: Duration = Duration::from_secs(30);

/// Why a record is a dead letter, in a word; the target's own words follow as the detail.
const REASON: &str = "rejected";

/// Keeps dead letters in a buffer.
#[derive(Debug)]
pub(crate) struct BufferedLetters {
    buffer: Buffer,
    clock: Clock,
    seldom: Seldom,
}

impl BufferedLetters {
    pub(crate) fn new(buffer: Buffer, clock: Clock) -> Self {
        Self { buffer, clock, seldom: Seldom::new(TELL_INTERVAL) }
    }

    fn tell(&self, target: &str, letters: &[Letter]) {
        let Some(letter) = letters.first() else { return };
        let Some(held_back) = self.seldom.pass(self.clock.now()) else { return };
        let record = letter.record.as_ref().map(|origin| origin.record().id().to_string());
        let (count, reason) = (letters.len(), &letter.reason);
        tracing::error!(
            output = target,
            record,
            count,
            reason,
            held_back,
            "rejected for good; kept as dead letters"
        );
    }
}

impl DeadLetters for BufferedLetters {
    fn put<'a>(&'a self, target: &'a str, letters: &'a [Letter]) -> Promise<'a, Result<(), Error>> {
        Box::pin(async move {
            self.tell(target, letters);
            for letter in letters {
                let Some(origin) = &letter.record else {
                    return Err(Error::new(ErrorKind::Invalid, "a request without a record was rejected"));
                };
                let mut batch = Batch::new();
                batch.push_ref(origin.record());
                let payload = Bytes::from(encode_batch(&batch));
                self.buffer.push_dead_letter(REASON, &letter.reason, payload, 1).await?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sawyer_buffer::{BufferSettings, Lane};
    use sawyer_config::{At, Kind, Node, Place, Problems};
    use sawyer_delivery::Origin;
    use sawyer_disk::{Disk, SimDisk, SimSettings};
    use sawyer_model::RecordRef;
    use sawyer_segment::decode_batch;
    use sawyer_telemetry::Metrics;

    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn a_refused_record_is_kept_whole_and_can_be_sent_again() {
        let nothing = Node::new(Place::whole("test"), Kind::Null);
        let plan = BufferSettings::default().check(&At::root(&nothing), &mut Problems::new()).unwrap();
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1, SimSettings::default()));
        let clock = Clock::system();
        let buffer = Buffer::open(disk, plan, clock.clone(), &Metrics::new(), "out").unwrap();
        let batch = Arc::new(testing::numbered(0, 3));
        let letter =
            Letter { record: Some(Origin { batch: Arc::clone(&batch), at: 1 }), reason: "mapping".into() };
        BufferedLetters::new(buffer.clone(), clock).put("out", &[letter]).await.unwrap();
        let letters = buffer.dead_letters().await.unwrap();
        assert_eq!((letters.len(), letters[0].note.detail.as_ref()), (1, "mapping"));
        buffer.redrive(&[letters[0].id]).await.unwrap();
        let taken = buffer.take().await.unwrap().unwrap();
        assert_eq!(taken.lane(), Lane::Normal);
        let again = decode_batch(taken.payload()).unwrap();
        assert_eq!(again.iter().map(RecordRef::to_record).collect::<Vec<_>>(), [batch.get(1).to_record()]);
        taken.ack();
        buffer.close().await;
    }
}
