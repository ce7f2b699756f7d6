use std::time::Duration;

use sawyer_model::{Ack, Count};
use tokio::sync::Semaphore;

use super::*;
use crate::target::Part;

const AGE: Duration = Duration::from_secs(1);

fn limits(ordered: bool) -> Limits {
    Limits {
        request_bytes_max: 100,
        request_items_max: 4,
        item_bytes_max: 1000,
        age_max: AGE,
        requests_max: 4,
        held_bytes_max: 1 << 20,
        retry_time_max: None,
        retry_pause_max: Duration::from_secs(10),
        ordered,
    }
}

fn entry(name: u32, bytes: usize, partition: u64, since: Instant) -> Entry<u32> {
    let room = std::sync::Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let item = Item { payload: name, bytes, partition, record: None, ack: Ack::none() };
    Entry { item, since, retries: 0, urgent: false, room: room.into() }
}

fn names(group: Option<Group<u32>>) -> Vec<u32> {
    group.into_iter().flat_map(|group| group.entries).map(|entry| entry.item.payload).collect()
}

#[test]
fn a_request_is_due_when_it_is_full_or_old() {
    let now = Instant::now();
    let mut waiting = Waiting::new(limits(false));
    (0..3).for_each(|name| waiting.push(entry(name, 10, 0, now)));
    assert_eq!(names(waiting.take(now)), [0_u32; 0]);
    assert_eq!(waiting.next_turn(), Some(now + AGE));
    assert_eq!(names(waiting.take(now + AGE)), [0, 1, 2], "old enough");
    (0..5).for_each(|name| waiting.push(entry(name, 10, 0, now)));
    assert_eq!(names(waiting.take(now)), [0, 1, 2, 3], "as many as fit");
    assert_eq!(names(waiting.take(now)), [0_u32; 0]);
    waiting.push(entry(5, 95, 0, now));
    assert_eq!(names(waiting.take(now)), [4], "bytes enough for a request, though they do not go together");
    waiting.close();
    assert_eq!(names(waiting.take(now)), [5], "nothing more comes");
    assert!(!waiting.is_empty(), "four are under way");
    (0..4).for_each(|_| waiting.returned(0));
    assert!(waiting.is_empty());
}

#[test]
fn a_large_item_goes_alone() {
    let now = Instant::now();
    let mut waiting = Waiting::new(limits(false));
    [(0, 10), (1, 500), (2, 10)]
        .into_iter()
        .for_each(|(name, bytes)| waiting.push(entry(name, bytes, 0, now)));
    waiting.close();
    let requests: Vec<Vec<u32>> = (0..3).map(|_| names(waiting.take(now))).collect();
    assert_eq!(requests, [[0], [1], [2]]);
}

#[test]
fn partitions_do_not_mix_and_take_turns() {
    let now = Instant::now();
    let mut waiting = Waiting::new(limits(false));
    for name in 0..8 {
        waiting.push(entry(name, 1, u64::from(name % 2), now + Duration::from_millis(name.into())));
    }
    assert_eq!(names(waiting.take(now + AGE)), [0, 2, 4, 6]);
    assert_eq!(names(waiting.take(now + AGE)), [1, 3, 5, 7]);
}

#[test]
fn what_is_tried_again_is_joined_to_the_rest() {
    let now = Instant::now();
    let mut waiting = Waiting::new(limits(false));
    waiting.push(entry(0, 1, 0, now));
    let group = waiting.take(now + AGE).unwrap();
    let due = now + AGE * 5;
    waiting.give_back(Group { due, ..group });
    waiting.returned(0);
    waiting.push(entry(1, 1, 0, now + AGE * 5));
    assert_eq!(names(waiting.take(due - Duration::from_millis(1))), [0_u32; 0]);
    assert_eq!(names(waiting.take(due)), [0, 1]);
}

#[test]
fn halves_stay_apart() {
    let now = Instant::now();
    let mut waiting = Waiting::new(limits(false));
    (0..4).for_each(|name| waiting.push(entry(name, 1, 0, now)));
    let mut first = waiting.take(now).unwrap();
    let second = first.entries.split_off(2);
    waiting.give_back(Group { entries: second, partition: 0, fixed: true, due: now });
    waiting.give_back(Group { fixed: true, ..first });
    waiting.returned(0);
    assert_eq!((names(waiting.take(now)), names(waiting.take(now))), (vec![0, 1], vec![2, 3]));
}

#[test]
fn an_ordered_lane_sends_one_request_and_keeps_its_place() {
    let now = Instant::now();
    let mut waiting = Waiting::new(limits(true));
    (0..8).for_each(|name| waiting.push(entry(name, 1, 0, now)));
    waiting.push(entry(100, 1, 1, now));
    waiting.close();
    let mut group = waiting.take(now).unwrap();
    assert_eq!(names(waiting.take(now)), [100], "only the other lane has a turn");
    let second = group.entries.split_off(2);
    waiting.give_back(Group { entries: second, partition: 0, fixed: true, due: now });
    waiting.give_back(Group { fixed: true, due: now + AGE, ..group });
    waiting.returned(0);
    assert_eq!(names(waiting.take(now)), [0_u32; 0], "the first half waits, and holds up the second");
    for expected in [[0, 1].as_slice(), &[2, 3], &[4, 5, 6, 7]] {
        assert_eq!(names(waiting.take(now + AGE)), expected);
        assert_eq!(names(waiting.take(now + AGE)), [0_u32; 0]);
        waiting.returned(0);
    }
}

#[test]
fn urgent_items_go_first_and_at_once() {
    let now = Instant::now();
    let mut waiting = Waiting::new(limits(false));
    (0..6).for_each(|name| waiting.push(entry(name, 10, 0, now)));
    let failed = waiting.take(now).unwrap();
    waiting.give_back(Group { due: now, ..failed });
    waiting.returned(0);
    [10, 11].into_iter().for_each(|name| waiting.push_urgent(entry(name, 10, 0, now)));
    assert_eq!(waiting.next_turn(), Some(now), "not only when a request is full");
    assert_eq!(names(waiting.take(now)), [10, 11, 4, 5], "before what is tried again, in their order");
    assert_eq!(names(waiting.take_urgent(now)), [0_u32; 0]);
    waiting.push_urgent(entry(12, 10, 0, now));
    assert_eq!(names(waiting.take(now)), [0, 1, 2, 3], "what is tried again has its turn");
    assert_eq!(names(waiting.take(now)), [12]);
    [(13, 1), (14, 2), (15, 1)]
        .into_iter()
        .for_each(|(name, lane)| waiting.push_urgent(entry(name, 60, lane, now)));
    let alone: Vec<_> = (0..3).map(|_| names(waiting.take_urgent(now))).collect();
    assert_eq!(alone, [[13], [14], [15]], "lanes take turns");
    let mut ordered = Waiting::new(limits(true));
    ordered.push(entry(0, 10, 0, now));
    ordered.push_urgent(entry(1, 10, 0, now));
    ordered.close();
    assert_eq!(names(ordered.take(now)), [0, 1], "order was asked for");
}

/// Several things in one item, each of 10 bytes.
#[derive(Debug, PartialEq, Eq)]
struct Several(Vec<u32>);

impl Payload for Several {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn apart(self) -> Vec<Part<Self>> {
        let part =
            |name| Part { payload: Self(vec![name]), bytes: 10, record: None, worth: Count::new(1, 1) };
        self.0.into_iter().map(part).collect()
    }
}

fn several(names: std::ops::Range<u32>, since: Instant) -> Entry<Several> {
    let room = std::sync::Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let payload = Several(names.collect());
    let bytes = payload.0.len() * 10;
    let item = Item { payload, bytes, partition: 0, record: None, ack: Ack::none() };
    Entry { item, since, retries: 0, urgent: false, room: room.into() }
}

#[test]
fn what_stands_for_more_than_was_learned_is_taken_apart_before_it_is_sent() {
    let now = Instant::now();
    let limits = Limits { request_items_max: 100, ..limits(false) };
    let mut waiting = Waiting::new(limits);
    let next = |waiting: &mut Waiting<Several>| -> Vec<Vec<u32>> {
        let group = waiting.take(now).unwrap();
        waiting.returned(0);
        group.entries.into_iter().map(|entry| entry.item.payload.0).collect()
    };
    let ten = || several(0..10, now);
    waiting.push(ten());
    let refused = waiting.take(now).unwrap();
    assert_eq!(refused.count(), 10, "whole, as long as it may fit");
    waiting.too_large(&refused, now);
    waiting.returned(0);
    assert_eq!(waiting.request_bytes_max(), 50);
    waiting.push_urgent(several(20..28, now));
    waiting.push(ten());
    waiting.close();
    let singles = |names: std::ops::Range<u32>| names.map(|name| vec![name]).collect::<Vec<_>>();
    assert_eq!(next(&mut waiting), singles(20..25), "urgent ones first");
    assert_eq!(next(&mut waiting), [singles(25..28), singles(0..2)].concat(), "others behind them");
    assert_eq!(next(&mut waiting), singles(2..7));
    assert_eq!(next(&mut waiting), singles(7..10));
    assert!(waiting.is_empty());
}
