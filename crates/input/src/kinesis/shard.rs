//! Reads one shard.
//!
//! Owns: its iterator, making batches of its records, how far they are durable.
//! Does not own: when it may be read, where it begins (`kinesis`).
//! Invariant: the number that is noted is that of a record before which everything is durable.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sawyer_codec::kinesis::{Place, take};
use sawyer_codec::pushed::{Bounds, Intake, Origin, Trust};
use sawyer_model::{Ack, Outcome, Tally, Timestamp};
use sawyer_pipeline::{Outlet, Patience, Stop};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio::sync::oneshot;

use super::{Key, Shared, Why, name_of, named};

/// Records of an answer at most; the service gives no more than ten megabytes of them.
const ANSWER_RECORDS: usize = 10_000;

/// Memory of a batch after which it is sent, and of one at most: a record that is compressed may become much more.
const BATCH_BYTES: usize = 4 << 20;
const BATCH_BYTES_MAX: usize = 128 << 20;

/// What a record may have when it is decompressed; CloudWatch Logs packs a few megabytes at most.
const RECORD_BYTES_MAX: usize = 64 << 20;

/// Batches that are on their way at most.
const BATCHES_AWAY_MAX: usize = 8;

/// A shard may be asked five times a second.
const PAUSE: Duration = Duration::from_millis(200);

/// Pause before what was not delivered is read again.
const UNDELIVERED_PAUSE: Duration = Duration::from_secs(1);

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct IteratorAnswer {
    shard_iterator: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RecordsAnswer {
    records: Vec<KinesisRecord>,
    next_shard_iterator: Option<String>,
    millis_behind_latest: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct KinesisRecord {
    sequence_number: String,
    data: String,
    /// Seconds since 1970.
    approximate_arrival_timestamp: Option<f64>,
}

impl KinesisRecord {
    fn arrived(&self) -> Option<Timestamp> {
        self.approximate_arrival_timestamp.map(|secs| Timestamp::from_millis((secs * 1000.0).round() as i64))
    }
}

/// Why reading from one iterator after the other ended.
enum Ended {
    /// To be read again from where it is durable.
    Again,
    /// All of the shard is durable.
    Over,
    /// There is no such shard, or told to stop.
    Left,
    /// A pipeline has ended.
    Closed,
}

/// A batch on its way, and the number of its last record.
struct Away {
    durable: oneshot::Receiver<Landed>,
    last: String,
}

/// What became of a batch: whether it is durable, and what is to be booked then.
type Landed = Option<Tally>;

pub(super) struct ShardReader {
    shared: Arc<Shared>,
    key: Key,
    /// None once it is told to stop and all that was read is on its way, so that the pipelines can end.
    to: Option<Outlet>,
    patience: Patience,
    stop: Stop,
    away: VecDeque<Away>,
}

impl ShardReader {
    pub(super) fn new(shared: Arc<Shared>, key: Key, to: Outlet, stop: Stop) -> Self {
        let patience = to.patience();
        Self { shared, key, to: Some(to), patience, stop, away: VecDeque::new() }
    }

    /// Reads until told to stop, or to its end.
    ///
    /// # Errors
    /// If a pipeline has ended.
    pub(super) async fn run(mut self) -> Result<Key, ()> {
        let source = self.shared.shard_source(&self.key.0, &self.key.1);
        let result = loop {
            match self.read().await {
                Ended::Again => {
                    self.away.clear();
                    if !self.rest(UNDELIVERED_PAUSE).await {
                        break Ok(());
                    }
                }
                Ended::Over => {
                    self.shared.read_to(&self.key, None, true);
                    break Ok(());
                }
                Ended::Left => break Ok(()),
                Ended::Closed => break Err(()),
            }
        };
        self.shared.behind(source, None);
        result.map(|()| self.key)
    }

    /// Waits; says whether to go on.
    async fn rest(&self, pause: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.stop.stopped() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }

    /// Reads from where it is durable.
    async fn read(&mut self) -> Ended {
        let mut iterator = match self.first_iterator().await {
            Ok(iterator) => iterator,
            Err(ended) => return ended,
        };
        let shared = Arc::clone(&self.shared);
        let source = shared.shard_source(&self.key.0, &self.key.1);
        loop {
            let request = json!({"ShardIterator": iterator, "Limit": ANSWER_RECORDS});
            let (asker, turn) = (&shared.asker, || shared.answers.acquire());
            let asked = asker.ask_in_turn::<RecordsAnswer, _, _>("GetRecords", &request, &self.stop, turn);
            // The turn ends when nothing of the answer is held here any more.
            let (answer, turn) = match asked.await {
                Some(Ok(answered)) => answered,
                // Iterators live for five minutes; a full pipeline may hold one up for longer.
                Some(Err(refusal)) => {
                    if refusal.why != Why::Expired {
                        self.shared.asker.tell("GetRecords", &refusal);
                    }
                    return self.land_all(Ended::Again).await;
                }
                None => return self.land_all(Ended::Left).await,
            };
            self.shared.behind(source, answer.millis_behind_latest);
            let none = answer.records.is_empty();
            let sent = self.send(answer.records).await;
            drop(turn);
            if let Err(ended) = sent {
                return self.land_all(ended).await;
            }
            if !self.land_ready().await {
                return Ended::Again;
            }
            let Some(next) = answer.next_shard_iterator else { return self.land_all(Ended::Over).await };
            iterator = next;
            if !self.rest(if none { self.shared.settings.interval.max(PAUSE) } else { PAUSE }).await {
                return self.land_all(Ended::Left).await;
            }
        }
    }

    /// Where it goes on.
    async fn first_iterator(&self) -> Result<String, Ended> {
        let (key, stream) = named(&self.key.0);
        let mut request = self.shared.iterator(&self.key);
        // Whether it was gone back before the noted start, and how far it goes next.
        let (mut is_back, mut step) = (false, 1.0);
        loop {
            request[key] = stream.into();
            request["ShardId"] = self.key.1.as_str().into();
            let asked = self.shared.asker.ask::<IteratorAnswer>("GetShardIterator", &request, &self.stop);
            let refusal = match asked.await {
                None => return Err(Ended::Left),
                Some(Ok(answer)) => {
                    if is_back {
                        self.shared.began_before(&self.key.0, start_of(&request));
                    }
                    return answer.shard_iterator.ok_or(Ended::Again);
                }
                Some(Err(refusal)) => refusal,
            };
            let (input, shard) = (&self.shared.context.name, &self.key.1);
            if refusal.why == Why::NotFound {
                tracing::error!(
                    input,
                    stream,
                    shard,
                    "a shard is not there any more, and was not read to its end"
                );
                self.rest(super::DISCOVER_INTERVAL).await;
                return Err(Ended::Left);
            }
            let start = start_of(&request);
            if refusal.why == Why::Invalid && start > 0.0 {
                // By the service's clock it is not that late yet. Its own time is not told, so it is sought: some records
                // from before the start may come as well, and none from after it are passed over.
                self.shared.asker.tell("GetShardIterator", &refusal);
                request["Timestamp"] = f64::max(start - step, 0.0).into();
                (is_back, step) = (true, step * 2.0);
                if self.rest(PAUSE).await {
                    continue;
                }
                return Err(Ended::Left);
            }
            if refusal.why != Why::Invalid || request["ShardIteratorType"] != "AFTER_SEQUENCE_NUMBER" {
                self.shared.asker.tell("GetShardIterator", &refusal);
                return Err(Ended::Again);
            }
            // The stream keeps records for a day or more; what came after that is gone.
            tracing::error!(
                input,
                stream,
                shard,
                "the place up to which a shard was read is not in it any more, so records may be lost; goes on with the \
                 oldest that there are: {refusal}"
            );
            request = json!({"ShardIteratorType": "TRIM_HORIZON"});
        }
    }

    fn intake(&self) -> Intake {
        Intake::new(Origin {
            stream: Arc::clone(&self.shared.stream),
            trust: Arc::new(Trust::Claimed),
            // Every record has a name of its own.
            source: self.shared.shard_source(&self.key.0, &self.key.1),
            numbers: None,
            observed: self.shared.context.clock.now(),
            bounds: Bounds { records_max: usize::MAX, batch_bytes_max: BATCH_BYTES_MAX },
        })
    }

    async fn send(&mut self, records: Vec<KinesisRecord>) -> Result<(), Ended> {
        let mut intake = self.intake();
        let mut last = String::new();
        for record in records {
            self.take(&record, &mut intake);
            last = record.sequence_number;
            if intake.bytes() >= BATCH_BYTES {
                let full = std::mem::replace(&mut intake, self.intake());
                self.send_batch(full, std::mem::take(&mut last)).await?;
            }
        }
        if last.is_empty() { Ok(()) } else { self.send_batch(intake, last).await }
    }

    fn take(&self, record: &KinesisRecord, intake: &mut Intake) {
        let (stream, shard) = &self.key;
        let sequence = &*record.sequence_number;
        let place = Place { stream: name_of(stream), shard, sequence, arrived: record.arrived() };
        let read = match STANDARD.decode(&record.data) {
            Ok(data) => take(&data, place, RECORD_BYTES_MAX, intake).map(drop).map_err(|why| why.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = read {
            self.shared.refused.inc();
            let input = &self.shared.context.name;
            tracing::error!(input, stream, shard, sequence, "a record is left out: {why}");
        }
    }

    async fn send_batch(&mut self, intake: Intake, last: String) -> Result<(), Ended> {
        let mut batch = intake.finish().batch;
        batch.set_whole();
        let (told, durable) = oneshot::channel();
        if batch.is_empty() {
            // Nothing has to be durable of it.
            let _ = told.send(Some(Tally::default()));
        } else {
            let ack = Ack::tallied(move |outcome, tally| {
                let _ = told.send((outcome == Outcome::Durable).then_some(tally));
            });
            let Some(to) = &self.to else { return Err(Ended::Left) };
            tokio::select! {
                biased;
                sent = to.send_tallied(batch, ack) => sent.map_err(|_| Ended::Closed)?,
                () = self.patience.over() => return Err(Ended::Left),
            }
        }
        self.away.push_back(Away { durable, last });
        while self.away.len() > BATCHES_AWAY_MAX {
            if !self.land_first().await {
                return Err(Ended::Again);
            }
        }
        Ok(())
    }

    /// Notes what is durable by now; says whether nothing was let go of.
    async fn land_ready(&mut self) -> bool {
        while let Some(first) = self.away.front_mut() {
            match first.durable.try_recv() {
                Ok(Some(tally)) => self.note_first(&tally),
                Err(oneshot::error::TryRecvError::Empty) => break,
                _ => return false,
            }
        }
        true
    }

    /// Waits for all that is on its way, after a stop until the time for that is over. A shard is over only if all of it is durable.
    async fn land_all(&mut self, ended: Ended) -> Ended {
        while !self.away.is_empty() {
            if !self.land_first().await {
                let left = self.stop.is_stopped() || matches!(ended, Ended::Closed | Ended::Left);
                return if left { ended.unless_over() } else { Ended::Again };
            }
        }
        ended
    }

    async fn land_first(&mut self) -> bool {
        let Some(first) = self.away.front_mut() else { return true };
        let landed = loop {
            tokio::select! {
                biased;
                landed = &mut first.durable => break landed.unwrap_or_default(),
                () = self.patience.over() => break None,
                () = self.stop.stopped(), if self.to.is_some() => self.to = None,
            }
        };
        if let Some(tally) = &landed {
            self.note_first(tally);
        }
        landed.is_some()
    }

    /// The first batch on its way is durable, and so is everything before it.
    fn note_first(&mut self, tally: &Tally) {
        if let Some(Away { last, .. }) = self.away.pop_front() {
            self.shared.read_to(&self.key, Some((&last, tally)), false);
        }
    }
}

/// From when on a request for an iterator asks, in seconds since 1970; else 0.
fn start_of(request: &Json) -> f64 {
    request["Timestamp"].as_f64().unwrap_or(0.0)
}

impl Ended {
    /// What is not durable to its end is not over.
    fn unless_over(self) -> Self {
        if let Self::Over = self { Self::Left } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_coming_is_read_of_answers() {
        let answer =
            r#"{"Records": [{"SequenceNumber": "1", "ApproximateArrivalTimestamp": 1.795914123123E9}, {}]}"#;
        let answer: RecordsAnswer = serde_json::from_str(answer).unwrap();
        let times: Vec<_> = answer.records.iter().map(KinesisRecord::arrived).collect();
        assert_eq!(times, [Some(Timestamp::from_millis(1_795_914_123_123)), None]);
    }
}
