//! Programs, and records that are handed in.

use sawyer_model::{Batch, ErrorKind, NameId, Outcome, RecordHead, SeqRange, SourceId, Timestamp, ValueRef};

use crate::common::{Node, Taker, messages, text};

#[tokio::test]
async fn a_program_is_asked_again_and_again() {
    let node = Node::new();
    let settings = "command: [sh, -c, 'echo \"{\\\"message\\\":\\\"hi\\\",\\\"n\\\":1}\"; echo oops']\ninterval: 100ms\n";
    let run = node.start("exec", settings, Taker::Keeps);
    let records = run.records(4).await;
    assert_eq!(messages(&records)[..4], ["hi", "oops", "hi", "oops"]);
    assert_eq!(text(&records[0], "n"), "1");
    assert_eq!(text(&records[1], "sawyer.mark"), "malformed");
    assert_eq!(text(&records[0], "source"), "exec:test");
    assert_ne!(records[0].source, records[2].source);
    assert_eq!((records[1].range.start, records[1].range.end), (1, 2));
    run.stop().await;
}

#[tokio::test]
async fn a_program_that_goes_on_is_ended() {
    let node = Node::new();
    let settings = "command: [sh, -c, 'echo one; exec sleep 1000']\nformat: text\nrestart: never\n";
    let run = node.start("exec", settings, Taker::Keeps);
    assert_eq!(messages(&run.records(1).await), ["one"]);
    run.stop().await;
}

fn batch(message: &str) -> Batch {
    let mut batch = Batch::new();
    let stream = batch.add_stream(&std::sync::Arc::default());
    let head = RecordHead {
        timestamp: Timestamp::EPOCH,
        observed: Timestamp::EPOCH,
        source: SourceId(1),
        range: SeqRange::new(0, 1),
    };
    batch.begin(head, stream).field_by_id(NameId::MESSAGE, ValueRef::Str(message));
    batch
}

#[tokio::test]
async fn a_push_is_answered_when_it_is_durable() {
    let node = Node::new();
    let run = node.start("push", "", Taker::Keeps);
    let hub = run.hub.clone();
    run.wait(|| hub.is_open(), "open hub").await;
    assert_eq!(hub.push(batch("a")).await.unwrap(), Outcome::Durable);
    assert_eq!(hub.push(Batch::new()).await.unwrap(), Outcome::Durable);
    assert_eq!(messages(&run.stop().await), ["a"]);
    assert_eq!(hub.push(batch("b")).await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_push_that_is_dropped_is_told() {
    let node = Node::new();
    let run = node.start("push", "", Taker::Drops(1));
    let hub = run.hub.clone();
    run.wait(|| hub.is_open(), "open hub").await;
    assert_eq!(hub.push(batch("a")).await.unwrap(), Outcome::Undelivered);
    assert_eq!(hub.push(batch("b")).await.unwrap(), Outcome::Durable);
    run.stop().await;
}
