//! What goes past the lanes, or is put in while it is being sent.

use std::sync::Arc;
use std::time::Duration;

use sawyer_model::{Count, Fate, Fates};
use tokio::sync::oneshot;

use super::common::{Rig, small_plan};
use crate::buffer::Promised;
use crate::entry::{Lane, Note};
use crate::lane::Content;
use crate::state::{Needless, Pending};
use crate::taken::Taken;

fn put_taken(rig: &Rig, text: &'static str) -> oneshot::Receiver<Result<u64, sawyer_model::Error>> {
    put_taken_unless(rig, text, &Needless::default())
}

fn put_taken_unless(
    rig: &Rig,
    text: &'static str,
    needless: &Needless,
) -> oneshot::Receiver<Result<u64, sawyer_model::Error>> {
    let needless = needless.clone();
    let (done, told) = oneshot::channel();
    let content = Content { note: Note::default(), payload: text.into() };
    let pending =
        Pending { records: 1, origin: Lane::Normal, content, live: None, out: true, needless, done };
    rig.engine.enqueue(Lane::Normal, pending).unwrap();
    told
}

#[test]
fn what_was_put_in_as_taken_waits_once_it_is_given_back() {
    let rig = Rig::new(small_plan());
    let mut told = put_taken(&rig, "mine");
    rig.engine.turn();
    let seq = told.try_recv().unwrap().unwrap();
    let taken = Taken::of(&rig.engine, Lane::Normal, seq, 1);
    assert!(rig.take().is_none(), "it is out");
    drop(taken);
    assert_eq!(rig.payloads(), [b"mine"]);
}

#[test]
fn nobody_s_entry_waits() {
    let rig = Rig::new(small_plan());
    let promised = |told| Promised { told, engine: Arc::clone(&rig.engine), lane: Lane::Normal, records: 1 };
    let late = promised(put_taken(&rig, "late"));
    rig.engine.turn();
    drop(late);
    assert_eq!(rig.payloads(), [b"late"]);
    drop(promised(put_taken(&rig, "early")));
    rig.engine.turn();
    assert!(rig.payloads().is_empty() && rig.engine.state().is_clear(Lane::Normal), "it was never in");
}

#[test]
fn what_is_needless_is_not_written() {
    let rig = Rig::new(small_plan());
    let needless = Needless::default();
    let mut told = put_taken_unless(&rig, "needless", &needless);
    let mut other = put_taken(&rig, "other");
    needless.set();
    rig.engine.turn();
    assert!(matches!(told.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
    assert_eq!(other.try_recv().unwrap().unwrap(), 0, "the only one");
}

#[test]
fn what_was_put_in_as_taken_survives() {
    let rig = Rig::new(small_plan());
    let mut told = put_taken(&rig, "mine");
    rig.engine.turn();
    assert!(told.try_recv().unwrap().is_ok());
    let disk = rig.disk.power_loss();
    assert_eq!(rig.reopen(disk).unwrap().payloads(), [b"mine"]);
}

#[test]
fn nothing_that_was_taken_is_overtaken_before_it_has_arrived() {
    let rig = Rig::new(small_plan());
    let clear = || rig.engine.state().is_clear(Lane::Normal);
    assert!(clear());
    rig.push(Lane::Normal, b"one");
    assert!(!clear(), "it waits");
    let mut one = rig.take().unwrap();
    assert!(!clear(), "it is on its way");
    drop(one.arrival());
    assert!(clear());
    one.release();
    assert!(!clear(), "it waits again");
    rig.take().unwrap().ack();
    assert!(clear());
}

#[test]
fn the_books_have_what_went_past_after_a_while() {
    let rig = Rig::new(small_plan());
    let mut fates = Fates::default();
    fates.add(Fate::Deduplicated, &"target".into(), Count::new(2, 0));
    rig.engine.pass(7, &fates);
    let book = rig.engine.state().book();
    assert_eq!((book.read.records, book.unaccounted()), (7, (0, 0)));
    rig.clock.advance(Duration::from_secs(2));
    rig.engine.turn();
    rig.engine.pass(1, &Fates::default());
    rig.engine.turn();
    let rig = {
        let disk = rig.disk.kill_process();
        rig.reopen(disk).unwrap()
    };
    let after = rig.engine.state().book();
    assert_eq!(after, book, "the last moment is forgotten as a whole");
}
