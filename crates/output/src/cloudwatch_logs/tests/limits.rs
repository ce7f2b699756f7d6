//! What the service takes at once, and what it never takes.

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);

/// Letters of a bench without a buffer are told and not acknowledged, so the numbers tell what was rejected.
async fn rejected(bench: Bench) -> (i64, i64) {
    let metrics = bench.context.metrics.clone();
    let _ = bench.drain().await;
    let sum = |name| metrics.numbers(name).iter().map(|(_, number)| number).sum();
    (sum("sawyer_delivery_items"), sum("sawyer_delivery_rejected_items"))
}

#[tokio::test]
async fn requests_keep_to_count_and_bytes() {
    // 25,000 short events, then 3 MB of long ones with characters of several bytes and of several signs in JSON.
    let (service, _peer, mut bench) = start(LINE);
    bench.send(batch_of(&said("many", 0..25_000, HOUR))).await;
    let mut long = said("long", 0..300, HOUR);
    for record in &mut long {
        record.fields[0].1 = Value::from("é\"\n".repeat(2_500));
    }
    bench.send(batch_of(&long)).await;
    let (_, outcomes) = bench.drain().await;
    assert_eq!(outcomes, [Outcome::Durable; 2]);
    assert_eq!(service.messages("/sawyer/shop", "many/app"), lines("many", 0..25_000));
    assert_eq!(service.messages("/sawyer/shop", "long/app").len(), 300);
    let puts = service.logs.puts();
    let of = |stream: &str| puts.iter().filter(|put| put.stream == stream).collect::<Vec<_>>();
    let counts: Vec<usize> = of("many/app").iter().map(|put| put.events).collect();
    assert_eq!(counts, [10_000, 10_000, 5_000]);
    assert!(
        of("long/app").iter().all(|put| put.bytes <= 1_048_576 && put.bytes > 1_000_000 || put.events < 104)
    );
}

#[tokio::test]
async fn an_event_up_to_the_limit_is_taken_and_a_larger_one_rejected_alone() {
    let (service, _peer, mut bench) = start(LINE);
    let mut records = said("big", 0..3, HOUR);
    records[1].fields[0].1 = Value::from("x".repeat((1 << 20) - 26));
    bench.deliver(batch_of(&records)).await;
    let sizes: Vec<usize> = service.messages("/sawyer/shop", "big/app").iter().map(String::len).collect();
    assert_eq!(sizes, [5, 1_048_550, 5]);
    records[1].fields[0].1 = Value::from("x".repeat((1 << 20) - 25));
    bench.send(batch_of(&records)).await;
    assert_eq!(rejected(bench).await, (5, 1));
    assert_eq!(service.messages("/sawyer/shop", "big/app").len(), 5);
}

#[tokio::test]
async fn events_are_put_in_order_and_days_apart() {
    let (service, _peer, mut bench) = start(LINE);
    let mut records = said("late", 0..2, DAY * 3);
    records.extend(said("late", 2..4, HOUR));
    records.extend(said("late", 4..6, DAY * 3 + HOUR));
    records.extend(said("late", 6..8, DAY * 2));
    bench.deliver(batch_of(&records)).await;
    let expected =
        [lines("late", 4..6), lines("late", 0..2), lines("late", 6..8), lines("late", 2..4)].concat();
    assert_eq!(service.messages("/sawyer/shop", "late/app"), expected);
    assert_eq!(service.logs.puts().len(), 3);
}

#[tokio::test]
async fn what_is_too_old_or_too_new_is_rejected_with_a_reason_and_alone() {
    let (service, _peer, mut bench) = start(LINE);
    let mut records = said("odd", 0..1, DAY * 14 + HOUR);
    records.extend(said("odd", 1..3, DAY * 13));
    let mut ahead = said("odd", 3..5, Duration::ZERO);
    ahead[0].timestamp = NOW.saturating_add(HOUR);
    ahead[1].timestamp = NOW.saturating_add(HOUR * 3);
    records.extend(ahead);
    bench.send(batch_of(&records)).await;
    assert_eq!(rejected(bench).await, (3, 2));
    assert_eq!(service.messages("/sawyer/shop", "odd/app"), lines("odd", 1..4));
}

#[tokio::test]
async fn what_the_group_does_not_keep_any_more_is_rejected_as_the_answer_says() {
    let (service, _peer, mut bench) = start(&format!("{LINE}retention_days: 1"));
    bench.deliver(batch_of(&said("short", 0..1, Duration::ZERO))).await;
    let mut records = said("short", 1..4, DAY + HOUR);
    records.extend(said("short", 4..6, DAY - HOUR));
    bench.send(batch_of(&records)).await;
    assert_eq!(rejected(bench).await, (3, 3));
    let expected = [lines("short", 0..1), lines("short", 4..6)].concat();
    assert_eq!(service.messages("/sawyer/shop", "short/app"), expected);
}

#[test]
fn an_answer_is_read_item_by_item() {
    let response = |body: &str| sawyer_delivery::http::Response {
        status: 200,
        retry_after: None,
        body: body.to_owned().into(),
    };
    let info = r#"{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":1,"expiredLogEventEndIndex":2,"tooNewLogEventStartIndex":4}}"#;
    let (old, expired, new) = (answer::TOO_OLD, "older than the log group keeps events", answer::TOO_NEW);
    assert_eq!(answer::refusals(&response("{}"), 2), [None; 2]);
    assert_eq!(answer::refusals(&response(""), 2), [None; 2]);
    let words = answer::refusals(&response(info), 5);
    assert_eq!(words, [Some(old), Some(expired), None, None, Some(new)]);
    assert_eq!(
        answer::refusals(&response(r#"{"rejectedLogEventsInfo":{"tooNewLogEventStartIndex":9}}"#), 2),
        [None; 2]
    );
    let all = answer::refusals(&response(r#"{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":9}}"#), 2);
    assert_eq!(all, [Some(old); 2]);
}
