use std::sync::Arc;

use sawyer_model::{Ack, Batch, BySource, Count, LeftOut, RecordHead, SeqRange, SourceId, Timestamp, Way};

use super::*;
use crate::Metrics;

fn way(outputs: &[&str]) -> Arc<Way> {
    let outputs = outputs.iter().map(|name| Box::from(*name)).collect();
    Arc::new(Way { input: "files".into(), pipeline: "main".into(), outputs, copies: vec![] })
}

/// So many records of ten bytes.
fn records(count: u64) -> LeftOut {
    let mut batch = Batch::new();
    let stream = batch.add_stream(&Arc::default());
    for at in 0..count {
        let (timestamp, range) = (Timestamp::default(), SeqRange::new(at * 10, at * 10 + 10));
        batch.begin(RecordHead { timestamp, observed: timestamp, source: SourceId(1), range }, stream);
    }
    batch.iter().collect()
}

/// Sends a batch of ten records on a way and books what becomes of it.
fn send(metrics: &Metrics, way: &Arc<Way>, become_of: impl FnOnce(Ack)) {
    let ledger = metrics.ledger().clone();
    let ack = Ack::tallied(move |outcome, tally| {
        if outcome == sawyer_model::Outcome::Durable {
            ledger.book(&tally);
        }
    });
    become_of(ack.on(way, Count::new(10, 100), 10, &BySource::default()));
}

fn take_all(mut ack: Ack) {
    ack.note(Fate::Filtered, &"noise \"x\"".into(), &records(3));
    ack.at_exit("out", Count::new(7, 70), Fate::Delivered).durable();
}

#[test]
fn is_a_part_of_the_metrics() {
    let metrics = Metrics::new();
    assert!(!metrics.text().contains("sawyer_ledger"));
    send(&metrics, &way(&["out"]), take_all);
    let text = metrics.text();
    for line in [
        "sawyer_ledger_read_records_total{hop=\"input\",input=\"files\",output=\"out\"} 10\n",
        "sawyer_ledger_ended_records_total{hop=\"input\",input=\"files\",output=\"out\",fate=\"delivered\",rule=\"\"} 7\n",
        "fate=\"filtered\",rule=\"noise \\\"x\\\"\"} 3\n",
        "fate=\"joined\",rule=\"\"} 10\n",
        "sawyer_ledger_unaccounted_bytes{hop=\"input\",input=\"files\",output=\"out\"} 0\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn what_is_not_durable_is_not_booked() {
    let metrics = Metrics::new();
    send(&metrics, &way(&["out"]), drop);
    assert_eq!(metrics.ledger().all(), []);
    send(&metrics, &way(&["out"]), take_all);
    assert_eq!(metrics.ledger().of("files").outputs["out"].read, Count::new(10, 110));
}

#[test]
fn what_is_forgotten_is_seen() {
    let metrics = Metrics::new();
    // A step that leaves three records out and does not say so.
    send(&metrics, &way(&["out"]), |ack| {
        ack.at_exit("out", Count::new(7, 70), Fate::Delivered).durable();
    });
    assert_eq!(metrics.ledger().of("files").outputs["out"].unaccounted(), (3, 30));
    assert!(
        metrics
            .text()
            .contains("sawyer_ledger_unaccounted_records{hop=\"input\",input=\"files\",output=\"out\"} 3\n")
    );
}

#[test]
fn books_are_read_back_and_gone_on_with() {
    let metrics = Metrics::new();
    send(&metrics, &way(&["out", "b"]), |mut ack| {
        ack.note(Fate::Sampled, &"half".into(), &records(5));
        let at = |name, fate| ack.clone().at_exit(name, Count::new(5, 50), fate);
        at("out", Fate::Buffered).durable();
        at("b", Fate::Delivered).durable();
        ack.durable();
    });
    let books = metrics.ledger().take_changed("files").unwrap();
    assert_eq!(metrics.ledger().take_changed("files"), None);
    let mut bytes = Vec::new();
    books.encode(&mut bytes);
    assert_eq!(Books::decode(&mut &bytes[..]).unwrap(), books);
    for cut in 0..bytes.len() {
        assert!(Books::decode(&mut &bytes[..cut]).is_err(), "{cut}");
    }
    let again = Metrics::new();
    again.ledger().open("files", books);
    send(&again, &way(&["out"]), take_all);
    let book = &again.ledger().of("files").outputs["out"];
    assert_eq!((book.read, book.unaccounted()), (Count::new(20, 220), (0, 0)));
    assert_eq!(again.ledger().records("files", "out")[&Fate::Sampled], 5);
}

#[test]
fn books_that_were_not_saved_are_taken_again() {
    let metrics = Metrics::new();
    send(&metrics, &way(&["out"]), take_all);
    let ledger = metrics.ledger();
    let books = ledger.take_changed("files");
    assert!(books.is_some());
    assert_eq!(ledger.take_changed("files"), None, "nothing was booked since");
    ledger.not_saved("files");
    assert_eq!(ledger.take_changed("files"), books);
}
