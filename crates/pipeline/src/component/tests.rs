//! Passing on into several pipelines: all or none.

use std::sync::mpsc;
use std::time::Duration;

use sawyer_model::{NameId, RecordHead, SeqRange, SourceId, Stream, Tally, Timestamp, ValueRef};
use tokio::time::timeout;

use super::*;
use crate::queue::queue;

const KIB: usize = 1024;

fn batch(bytes: usize) -> Batch {
    let mut batch = Batch::new();
    let stream = batch.add_stream(&Arc::new(Stream::default()));
    let head = RecordHead {
        timestamp: Timestamp::EPOCH,
        observed: Timestamp::EPOCH,
        source: SourceId(1),
        range: SeqRange::new(0, 1),
    };
    batch.begin(head, stream).field_by_id(NameId::MESSAGE, ValueRef::Str(&"x".repeat(bytes)));
    batch
}

fn way(pipeline: &str) -> Arc<Way> {
    let (outputs, copies) = (vec!["out".into()], vec![false]);
    Arc::new(Way { input: "in".into(), pipeline: pipeline.into(), outputs, copies })
}

/// Two pipelines with room for 8 KiB each, and the outlet into both.
fn two() -> (Outlet, QueueReceiver, QueueReceiver) {
    let ((first, from_first), (second, from_second)) = (queue(8 * KIB as u64), queue(8 * KIB as u64));
    let ways = vec![(first, way("first")), (second, way("second"))];
    (Outlet::along("in", ways, &Metrics::new()), from_first, from_second)
}

fn told() -> (Ack, mpsc::Receiver<(Outcome, Tally)>) {
    let (tell, told) = mpsc::channel();
    (Ack::tallied(move |outcome, tally| tell.send((outcome, tally)).unwrap()), told)
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_has_gone_into_no_pipeline() {
    let (outlet, mut first, mut second) = two();
    outlet.pipelines[1].0.send(Transfer { batch: Arc::new(batch(8 * KIB)), ack: Ack::none() }).await.unwrap();
    for _ in 0..3 {
        let (ack, told) = told();
        let sent = timeout(Duration::from_secs(5), outlet.send_tallied(batch(KIB), ack)).await;
        assert!(sent.is_err(), "the second pipeline is full");
        let (outcome, tally) = told.try_recv().unwrap();
        assert_eq!(outcome, Outcome::Undelivered);
        assert!(tally.ways.is_empty(), "noted without having been passed on: {tally:?}");
    }
    assert!(first.try_next().is_none());
    assert_eq!(outlet.pipelines[0].0.bytes(), 0, "its room is given back");

    drop(second.next().await.unwrap());
    let (ack, told) = told();
    outlet.send_tallied(batch(KIB), ack).await.unwrap();
    for pipeline in [&mut first, &mut second] {
        let (transfer, _) = pipeline.try_next().unwrap().into_parts();
        assert!(pipeline.try_next().is_none());
        transfer.ack.durable();
    }
    let (outcome, tally) = told.try_recv().unwrap();
    assert_eq!((outcome, tally.ways.len()), (Outcome::Durable, 2));
}

#[tokio::test(start_paused = true)]
async fn a_batch_larger_than_the_queues_passes() {
    let (outlet, mut first, mut second) = two();
    let large = timeout(Duration::from_secs(5), outlet.send(batch(100 * KIB), Ack::none()));
    large.await.expect("both are empty").unwrap();
    assert!(first.try_next().is_some() && second.try_next().is_some());
}

/// Many that wait for a slow pipeline leave room in the other one for inputs that lead there alone.
#[tokio::test(start_paused = true)]
async fn waiting_for_one_pipeline_does_not_fill_another() {
    let (outlet, mut first, _second) = two();
    outlet.pipelines[1].0.send(Transfer { batch: Arc::new(batch(8 * KIB)), ack: Ack::none() }).await.unwrap();
    for _ in 0..20 {
        let outlet = outlet.clone();
        tokio::spawn(async move { outlet.send(batch(KIB), Ack::none()).await });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let other = Outlet::new("other", vec![outlet.pipelines[0].0.clone()], &Metrics::new());
    let sent = timeout(Duration::from_secs(5), other.send(batch(KIB), Ack::none())).await;
    sent.expect("there is room").unwrap();
    assert!(first.try_next().is_some());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_put_beside_a_pipeline_that_ended_meanwhile() {
    let (outlet, first, mut second) = two();
    outlet.pipelines[1].0.send(Transfer { batch: Arc::new(batch(8 * KIB)), ack: Ack::none() }).await.unwrap();
    let sending = tokio::spawn({
        let outlet = outlet.clone();
        async move { outlet.send(batch(KIB), Ack::none()).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(first);
    drop(second.next().await.unwrap());
    assert_eq!(sending.await.unwrap(), Err(QueueClosed));
    assert!(second.try_next().is_none());
}
