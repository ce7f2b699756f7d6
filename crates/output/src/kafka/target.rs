//! Messages to the cluster, and what becomes of each.
//!
//! Invariant: a record is done after a report of the cluster, and not before. librdkafka gives a message up only for a
//! reason that trying again does not end, so what it gives up is either the record's fault, or trouble that an operator
//! can end; later messages of the same partition then have the same trouble, and do not overtake it.
//! librdkafka reads passwords and certificates once. When it is refused and their files are others by now, another
//! producer takes over what the one before has not sent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::future_producer::OwnedDeliveryResult;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _, PurgeConfig};
use sawyer_delivery::{Answer, DeliverySettings, Item, Target, Verdict};
use sawyer_model::{Error, ErrorKind};
use sawyer_pipeline::stop::Stopper;
use sawyer_pipeline::{Context, Output, OutputPlan};
use tokio::runtime::Handle;

use super::config::KafkaConfig;
use super::message::Messages;
use super::token::{TokenPlan, Tokens};
use super::watch::{Listener, Watch};
use crate::deliver::{Delivered, ITEM_BYTES_MAX, OneByOne};

/// Pause while librdkafka's own queue is full.
const QUEUE_PAUSE: Duration = Duration::from_millis(10);

/// How often the files of passwords and certificates are looked at, while the cluster refuses those that were read.
const RENEWED_INTERVAL: Duration = Duration::from_secs(5);

type Producer = FutureProducer<Listener>;

/// A producer until nobody uses it any more. Its end waits for librdkafka's threads, so it has a thread of its own for
/// that.
struct Held {
    producer: Option<Producer>,
    ended: Stopper,
}

/// A producer, and the fingerprint of the files it was made of.
#[derive(Clone)]
struct Made {
    held: Arc<Held>,
    fingerprint: u64,
}

impl Held {
    fn producer(&self) -> &Producer {
        self.producer.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Its threads wait for nothing any more, and what it has not sent is for whoever comes after it.
        self.ended.stop();
        let producer = self.producer.take();
        if let Some(producer) = &producer {
            producer.purge(PurgeConfig::default().queue().inflight().non_blocking());
        }
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn_blocking(move || drop(producer));
        }
    }
}

/// The output, checked.
#[derive(Debug)]
pub(super) struct KafkaPlan {
    pub(super) messages: Messages,
    pub(super) config: KafkaConfig,
    pub(super) tokens: Option<TokenPlan>,
    pub(super) delivery: DeliverySettings,
}

pub(super) struct KafkaTarget {
    messages: Messages,
    config: KafkaConfig,
    watch: Arc<Watch>,
    tokens: Option<Arc<Tokens>>,
    /// Made anew after an error that ends it, and when what it was made of is renewed.
    producer: Mutex<Option<Made>>,
}

impl OutputPlan for KafkaPlan {
    fn is_remote(&self) -> bool {
        true
    }

    // A partition has its records in the order in which they came.
    fn keeps_order(&self) -> bool {
        true
    }

    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Output>, Error> {
        let Self { messages, config, tokens, delivery } = *self;
        let tokens = tokens.map(|tokens| tokens.open(&context.clock)).transpose()?.map(Arc::new);
        let mut limits = delivery.limits(ITEM_BYTES_MAX);
        limits.ordered = true;
        let watch = Arc::new(Watch::new(context, config.brokers()));
        let target =
            KafkaTarget { messages: messages.clone(), config, watch, tokens, producer: Mutex::new(None) };
        // What is wrong with its settings is told now.
        let _kept = target.producer()?;
        Ok(Box::new(Delivered::new(target, OneByOne(messages), limits, context)))
    }
}

impl KafkaTarget {
    fn producer(&self) -> Result<Made, Error> {
        let mut slot = self.producer.lock();
        if let Some(made) = &*slot {
            return Ok(made.clone());
        }
        let (config, fingerprint) = self.config.client()?;
        let (ended, end) = Stopper::new();
        let listener = Listener { watch: Arc::clone(&self.watch), tokens: self.tokens.clone(), end };
        let producer: Producer = config
            .create_with_context(listener)
            .map_err(|error| Error::new(ErrorKind::Invalid, "prepare for Kafka").because(error))?;
        let made = Made { held: Arc::new(Held { producer: Some(producer), ended }), fingerprint };
        *slot = Some(made.clone());
        Ok(made)
    }

    /// The next request makes another producer. This one ends when its last request has.
    fn replace(&self, made: &Made) {
        let old = self.producer.lock().take_if(|kept| Arc::ptr_eq(&kept.held, &made.held));
        drop(old);
    }

    /// Waits for the report of a message. A producer that is refused with what it was made of gives back what it has
    /// not sent, once that was renewed.
    async fn report(&self, made: &Made, mut report: DeliveryFuture) -> Option<OwnedDeliveryResult> {
        loop {
            match tokio::time::timeout(RENEWED_INTERVAL, &mut report).await {
                Ok(told) => return told.ok(),
                Err(_) if self.watch.is_troubled() && self.config.is_renewed(made.fingerprint) => {
                    made.held.producer().purge(PurgeConfig::default().queue());
                }
                Err(_) => {}
            }
        }
    }

    /// Hands a message over; waits while librdkafka's queue is full.
    async fn produce(&self, producer: &Producer, item: &Item<Bytes>) -> Result<DeliveryFuture, KafkaError> {
        let Some(origin) = &item.record else { return Err(KafkaError::Canceled) };
        let record = origin.record();
        let (topic, key) = (self.messages.topic(record), self.messages.key(record));
        loop {
            let mut message =
                FutureRecord::to(&topic).payload(&*item.payload).timestamp(record.timestamp().millis());
            message.key = key.as_deref();
            message.headers = self.messages.headers(record);
            match producer.send_result(message) {
                Ok(report) => return Ok(report),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {}
                Err((error, _)) => return Err(error),
            }
            tokio::time::sleep(QUEUE_PAUSE).await;
        }
    }

    fn verdict(&self, error: &KafkaError, item: &Item<Bytes>) -> Verdict {
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::MessageSizeTooLarge)
            && item.payload.len() >= self.config.message_bytes_max / 2
        {
            let (bytes, most) = (item.payload.len(), self.config.message_bytes_max);
            let reason = format!("too large: {bytes} bytes and its key, and `message_max` is {most}");
            return Verdict::Reject { reason };
        }
        Verdict::Retry { reason: reason(code), after: None }
    }
}

/// A word for the metrics.
fn reason(code: Option<RDKafkaErrorCode>) -> &'static str {
    use RDKafkaErrorCode as Code;
    match code {
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => "not_found",
        Some(
            Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::Authentication,
        ) => "unauthorized",
        Some(Code::MessageSizeTooLarge) => "too_large",
        Some(Code::Fatal) => "fatal",
        Some(Code::PurgeQueue) => "renewed",
        Some(Code::MessageTimedOut) => "timeout",
        _ => "kafka",
    }
}

impl Target for KafkaTarget {
    type Payload = Bytes;

    async fn send(&self, items: &[Item<Bytes>]) -> Answer {
        let made = match self.producer() {
            Ok(made) => made,
            Err(error) => return Answer::failed("settings", error.chain()),
        };
        let mut verdicts = vec![Verdict::Retry { reason: "kafka", after: None }; items.len()];
        let mut reports = Vec::with_capacity(items.len());
        let mut detail = None;
        let mut failed = |error: &KafkaError| {
            detail.get_or_insert_with(|| error.to_string());
            matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::PurgeQueue))
        };
        let mut is_over = false;
        for (at, item) in items.iter().enumerate() {
            match self.produce(made.held.producer(), item).await {
                Ok(report) => reports.push((at, report)),
                Err(error) => {
                    is_over |= failed(&error);
                    verdicts[at] = self.verdict(&error, item);
                    if matches!(verdicts[at], Verdict::Retry { .. }) {
                        // What comes after it must not overtake it.
                        break;
                    }
                }
            }
        }
        for (at, report) in reports {
            verdicts[at] = match self.report(&made, report).await {
                Some(Ok(_)) => {
                    self.watch.delivered();
                    Verdict::Done
                }
                Some(Err((error, _))) => {
                    is_over |= failed(&error);
                    self.verdict(&error, &items[at])
                }
                None => Verdict::Retry { reason: "kafka", after: None },
            };
        }
        if is_over {
            self.replace(&made);
        }
        let too_large = |verdict: &Verdict| matches!(verdict, Verdict::Retry { reason: "too_large", .. });
        if !verdicts.is_empty() && verdicts.iter().all(too_large) {
            return Answer::TooLarge;
        }
        Answer::Items { verdicts, detail }
    }
}
