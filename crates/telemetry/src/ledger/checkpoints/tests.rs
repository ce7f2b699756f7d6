use std::future::ready;

use super::*;
use crate::{Ledger, Metrics};

fn range(start: u64, end: u64) -> SeqRange {
    SeqRange::new(start, end)
}

fn question() -> Question {
    let claim = |source, since, ranges: &[SeqRange]| Claim {
        source: SourceId(source),
        since: Timestamp::from_secs(since),
        ranges: ranges.to_vec(),
    };
    Question {
        agent: "node-1".into(),
        output: "server".into(),
        claims: vec![claim(1, 90, &[range(0, 5), range(7, 9)]), claim(u128::MAX, 100, &[])],
        sums: Sums { confirmed: 1, missing: 2, unknown: 3, open: 4 },
        may_wait: true,
        hops: 2,
    }
}

fn lacking(source: u128, ranges: &[SeqRange]) -> Vec<Parts> {
    vec![Parts { source: SourceId(source), ranges: ranges.to_vec() }]
}

#[test]
fn questions_and_answers_are_read_as_they_were_written() {
    let question = question();
    let bytes = question.encode(Timestamp::from_secs(110));
    assert_eq!(Question::decode(&bytes, Timestamp::from_secs(110)).as_ref(), Ok(&question));
    let elsewhere = Question::decode(&bytes, Timestamp::from_secs(1110)).unwrap();
    assert_eq!(elsewhere.claims[0].since, Timestamp::from_secs(1090), "an age, because clocks differ");
    for end in 0..bytes.len() {
        assert!(Question::decode(&bytes[..end], Timestamp::EPOCH).is_err(), "{end}");
    }
    let answer =
        Answer { may_wait: false, lacking: lacking(1, &[range(0, 5)]), unknown: lacking(2, &[range(1, 2)]) };
    for answer in [None, Some(answer)] {
        let bytes = Answer::encode(answer.as_ref());
        assert_eq!(Answer::decode(&bytes), Ok(answer));
        assert!(Answer::decode(&bytes[1..]).is_err());
    }
}

#[test]
fn parts_that_overlap_are_refused() {
    for ranges in [[range(0, 5), range(5, 6)], [range(4, 5), range(0, 2)], [range(0, 1), range(3, 3)]] {
        let bytes = Answer::encode(Some(&Answer { lacking: lacking(1, &ranges), ..Answer::default() }));
        assert!(Answer::decode(&bytes).is_err(), "{ranges:?}");
    }
}

#[test]
fn a_source_is_asked_for_once() {
    let now = Timestamp::from_secs(110);
    for sources in [[1, 1], [2, 1]] {
        let claims =
            sources.map(|source| Claim { source: SourceId(source), since: now, ranges: vec![range(0, 5)] });
        let bytes = Question { claims: claims.to_vec(), ..question() }.encode(now);
        assert!(Question::decode(&bytes, now).is_err(), "{sources:?}");
    }
}

/// Waits for what never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    let waker = std::task::Waker::noop();
    match std::pin::pin!(future).poll(&mut std::task::Context::from_waker(waker)) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn those_are_asked_who_get_what_came_in() {
    let ledger = Ledger::default();
    let tells =
        |answer: Option<Answer>| -> Confirms { Arc::new(move |_| Box::pin(ready(Ok(answer.clone())))) };
    let early = now(ledger.ask("in", &question())).unwrap_err();
    assert_eq!(early.kind(), ErrorKind::Retry, "it is not known yet who gets it");
    ledger.leads("in", []);
    assert_eq!(now(ledger.ask("in", &question())).unwrap(), None);
    ledger.leads("in", ["store".into(), "copy".into(), "null".into()]);
    assert_eq!(now(ledger.ask("in", &question())).unwrap(), None, "none of them can tell");
    ledger
        .confirms("store", tells(Some(Answer { lacking: lacking(1, &[range(0, 5)]), ..Answer::default() })));
    ledger.confirms("null", tells(None));
    ledger.confirms(
        "elsewhere",
        tells(Some(Answer { lacking: lacking(9, &[range(0, 1)]), ..Answer::default() })),
    );
    ledger.confirms("copy", tells(Some(Answer { may_wait: true, ..Answer::default() })));
    let answer = now(ledger.ask("in", &question())).unwrap().unwrap();
    assert_eq!(answer, Answer { may_wait: true, lacking: lacking(1, &[range(0, 5)]), unknown: vec![] });
    let fails: Confirms = Arc::new(|_| Box::pin(ready(Err(Error::new(ErrorKind::Retry, "not now")))));
    ledger.confirms("copy", fails);
    assert!(now(ledger.ask("in", &question())).is_err());
    ledger.set_checkpoint("copy", Checkpoint::default());
    ledger.forget_outputs();
    assert_eq!(ledger.checkpoints(), []);
    ledger.leads("in", ["copy".into()]);
    assert_eq!(now(ledger.ask("in", &question())).unwrap(), None, "those that are gone are not asked");
}

#[test]
fn both_sides_are_shown_and_counted() {
    let metrics = Metrics::new();
    let ledger = metrics.ledger();
    assert!(!metrics.text().contains("sawyer_ledger"));
    let sums = Sums { confirmed: 10, missing: 3, unknown: 2, open: 1 };
    ledger.set_checkpoint("ser\"ver", Checkpoint { sums, ..Checkpoint::default() });
    ledger.note_peer(&question(), 5);
    ledger.note_peer(&question(), 2);
    ledger.note_peer(&Question { output: "other".into(), ..question() }, 0);
    let text = metrics.text();
    for line in [
        "sawyer_ledger_confirmed_bytes_total{output=\"ser\\\"ver\"} 10\n",
        "sawyer_ledger_missing_bytes_total{output=\"ser\\\"ver\"} 3\n",
        "sawyer_ledger_unconfirmed_bytes{output=\"ser\\\"ver\"} 1\n",
        "sawyer_ledger_unconfirmed_seconds{output=\"ser\\\"ver\"} 0\n",
        "sawyer_ledger_lacked_bytes_total 7\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    let peers = ledger.peers();
    let [_, (agent, output, peer)] = &peers[..] else { panic!("{peers:?}") };
    assert_eq!((agent.as_str(), output.as_str(), peer.lacked, peer.sums.open), ("node-1", "server", 7, 4));
    assert_eq!(sums.taken(), 16);
    // Whatever others claim.
    (0..2).for_each(|_| ledger.note_peer(&question(), u64::MAX));
    assert!(metrics.text().contains(&format!("sawyer_ledger_lacked_bytes_total {}\n", u64::MAX)));
}
