//! The buffer as its users see it: async, on a real folder.

#![allow(clippy::unwrap_used, reason = "helpers of tests may do what tests may")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sawyer_buffer::{Buffer, BufferKind, BufferSettings, Inspector, Lane};
use sawyer_config::{ByteSize, Document, Problems, Setting};
use sawyer_disk::{Disk, RealDisk};
use sawyer_model::ErrorKind;
use sawyer_telemetry::{Clock, Metrics};

fn open(folder: &Path, settings: BufferSettings) -> Buffer {
    let document = Document::parse("test.yaml", "{}").unwrap();
    let plan = settings.check(&document.at(), &mut Problems::new()).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(folder).unwrap());
    Buffer::open(disk, plan, Clock::system(), &Metrics::new(), "main").unwrap()
}

fn defaults() -> BufferSettings {
    let document = Document::parse("test.yaml", "{}").unwrap();
    BufferSettings::read(&document.at(), &mut Problems::new()).unwrap()
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let buffer = open(folder.path(), defaults());
    for entry in ["one", "two", "three"] {
        buffer.push(Lane::Normal, text(entry), 1).await.unwrap();
    }
    buffer.push(Lane::Urgent, text("now"), 1).await.unwrap();
    let now = buffer.take().await.unwrap().unwrap();
    assert_eq!((&now.payload()[..], now.lane()), (&b"now"[..], Lane::Urgent));
    now.ack();
    let one = buffer.take().await.unwrap().unwrap();
    let two = buffer.take().await.unwrap().unwrap();
    two.ack();
    one.release();
    buffer.close().await;
    assert_eq!(buffer.push(Lane::Normal, text("late"), 1).await.unwrap_err().kind(), ErrorKind::Closed);
    assert!(buffer.take().await.unwrap().is_none());
    drop(buffer);

    let buffer = open(folder.path(), defaults());
    buffer.end();
    let mut left = Vec::new();
    while let Some(taken) = buffer.take().await.unwrap() {
        left.push(taken.payload().clone());
        taken.ack();
    }
    assert_eq!(left, ["one", "three"]);
}

#[tokio::test]
async fn a_taker_waits_for_what_is_put_in() {
    for kind in [BufferKind::Disk, BufferKind::Memory] {
        let folder = tempfile::tempdir().unwrap();
        let buffer = open(folder.path(), BufferSettings { kind, ..defaults() });
        let taker = tokio::spawn({
            let buffer = buffer.clone();
            async move { buffer.take().await.unwrap().map(|taken| taken.payload().clone()) }
        });
        tokio::task::yield_now().await;
        buffer.push(Lane::Normal, text("here"), 1).await.unwrap();
        assert_eq!(taker.await.unwrap().unwrap(), "here");
    }
}

#[tokio::test]
async fn a_full_buffer_holds_back_until_something_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let buffer = open(folder.path(), BufferSettings { bytes_max: Some(ByteSize::mib(1)), ..defaults() });
    let large = Bytes::from(vec![7; 400 << 10]);
    buffer.push(Lane::Normal, large.clone(), 1).await.unwrap();
    buffer.push(Lane::Normal, large.clone(), 1).await.unwrap();
    let waiting = tokio::spawn({
        let (buffer, large) = (buffer.clone(), large.clone());
        async move { buffer.push(Lane::Normal, large, 1).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished());
    buffer.take().await.unwrap().unwrap().ack();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn dead_letters_can_be_looked_at_and_driven_again() {
    let folder = tempfile::tempdir().unwrap();
    let buffer = open(folder.path(), defaults());
    buffer.push(Lane::Urgent, text("a,b,c"), 3).await.unwrap();
    let taken = buffer.take().await.unwrap().unwrap();
    taken.dead_letter_part(text("b"), 1, "mapping", "b is not a number").await.unwrap();
    taken.ack();
    buffer.push(Lane::Normal, text("bad"), 2).await.unwrap();
    buffer.take().await.unwrap().unwrap().dead_letter("too_large", "413").await.unwrap();
    let letters = buffer.dead_letters().await.unwrap();
    let told: Vec<_> =
        letters.iter().map(|letter| (letter.note.reason.as_str(), letter.records, letter.origin)).collect();
    assert_eq!(told, [("mapping", 1, Lane::Urgent), ("too_large", 2, Lane::Normal)]);
    buffer.redrive(&[letters[0].id]).await.unwrap();
    let again = buffer.take().await.unwrap().unwrap();
    assert_eq!(&again.payload()[..], b"b");
    again.ack();
    assert_eq!(buffer.remove_dead_letters(&[letters[1].id, 99]), 1);
    assert!(buffer.dead_letters().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_buffer_that_is_open_cannot_be_inspected() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(folder.path()).unwrap());
    let inspect = || Inspector::open(Arc::clone(&disk), Clock::system());
    assert_eq!(inspect().unwrap_err().kind(), ErrorKind::NotFound);
    let buffer = open(folder.path(), defaults());
    buffer.push(Lane::Normal, text("x"), 1).await.unwrap();
    assert_eq!(inspect().unwrap_err().kind(), ErrorKind::Conflict);
    drop(buffer);
    assert_eq!(inspect().unwrap().entries(Lane::Normal).unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_payload_was_made_of_comes_in_its_place_once() {
    let folder = tempfile::tempdir().unwrap();
    let buffer = open(folder.path(), BufferSettings { memory_max: ByteSize::kib(1), ..defaults() });
    let large = Bytes::from(vec![b'x'; 2048]);
    for (payload, live) in [
        (text("one"), (Arc::new(1_u32), 4)),
        (large.clone(), (Arc::new(2), 2048)),
        (text("three"), (Arc::new(3), 1 << 20)),
    ] {
        let never = std::future::pending();
        assert!(buffer.push_live(Lane::Normal, payload, 1, Some(live), never).await.unwrap());
    }
    let mut one = buffer.take().await.unwrap().unwrap();
    assert_eq!(one.take_live::<u32>().as_deref(), Some(&1));
    one.release();
    let mut again = buffer.take().await.unwrap().unwrap();
    assert_eq!((again.take_live::<u32>(), &again.payload()[..]), (None, &b"one"[..]), "read from the disk");
    again.forget_payload();
    again.release();
    let again = buffer.take().await.unwrap().unwrap();
    assert_eq!((again.deliveries(), &again.payload()[..]), (3, &b"one"[..]));
    again.ack();
    let mut large_one = buffer.take().await.unwrap().unwrap();
    assert_eq!(
        (large_one.take_live::<u32>(), large_one.payload()),
        (None, &large),
        "there was no memory for it"
    );
    large_one.ack();
    let mut three = buffer.take().await.unwrap().unwrap();
    assert_eq!((three.take_live::<u32>(), &three.payload()[..]), (None, &b"three"[..]), "small only on disk");
    three.ack();
    buffer.close().await;
}

#[tokio::test]
async fn a_full_buffer_takes_what_is_in_danger_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let sizes =
        BufferSettings { bytes_max: Some(ByteSize::mib(1)), spill_max: Some(ByteSize::mib(1)), ..defaults() };
    let buffer = open(folder.path(), sizes);
    let large = Bytes::from(vec![7; 400 << 10]);
    let push = || {
        let (buffer, large) = (buffer.clone(), large.clone());
        tokio::spawn(async move { buffer.push(Lane::Normal, large, 1).await })
    };
    push().await.unwrap().unwrap();
    push().await.unwrap().unwrap();
    let (reserve, other) = (buffer.reserve(), buffer.reserve());
    let third = push();
    reserve.set_in_danger(true);
    third.await.unwrap().unwrap();
    assert!(reserve.is_used() && other.is_used());
    push().await.unwrap().unwrap();
    let fifth = push();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!fifth.is_finished(), "that is its bound");
    // Urgent entries have a room of their own still.
    buffer.push(Lane::Urgent, text("urgent"), 1).await.unwrap();
    buffer.take().await.unwrap().unwrap().ack();
    buffer.take().await.unwrap().unwrap().ack();
    fifth.await.unwrap().unwrap();
    reserve.set_in_danger(false);
    other.until_unused().await;
    assert!(!reserve.is_used(), "nobody is in danger, and whoever waits does so as before");
    other.set_in_danger(true);
    assert!(reserve.is_used());
    drop(other);
    reserve.until_unused().await;
}
