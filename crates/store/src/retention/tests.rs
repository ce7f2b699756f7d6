use super::*;
use crate::policy::Policy;
use crate::settings::DAY;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn segment(id: u64, bytes: u64, days_ago: u32) -> SegmentEntry {
    let seen = NOW.saturating_sub(DAY * days_ago);
    SegmentEntry {
        id,
        bytes,
        rows: 1,
        raw_bytes: 10 * bytes,
        time_min: Timestamp::MIN,
        time_max: Timestamp::EPOCH,
        observed_min: seen.saturating_sub(Duration::from_secs(60)),
        observed_max: seen,
        stray: true,
        kept_until: Timestamp::EPOCH,
    }
}

fn plan(days: u32, size_max: Option<u64>) -> StorePlan {
    StorePlan { retention: DAY * days, size_max, ..StorePlan::default() }
}

/// Segments of one class, as without policies.
fn chosen(
    plan: &StorePlan,
    segments: &[SegmentEntry],
    wal_bytes: u64,
    space: Option<Space>,
) -> Vec<(u64, Reason)> {
    let held = Held { segments, profiles: &Profiles::new(), wal_bytes, space, now: NOW };
    let choice = choose(plan, &held, &mut |_, _| true);
    assert_eq!((choice.parts.len(), choice.unknown.len()), (0, 0));
    choice.whole.into_iter().collect()
}

#[test]
fn age_counts_from_when_the_last_record_was_seen() {
    let segments = [segment(1, 10, 8), segment(2, 10, 7), segment(3, 10, 0)];
    assert_eq!(chosen(&plan(7, None), &segments, 0, None), [(1, Reason::Age)]);
}

#[test]
fn the_oldest_make_room_and_no_more_than_needed() {
    let segments = [segment(1, 10, 1), segment(2, 10, 3), segment(3, 10, 2)];
    assert_eq!(chosen(&plan(30, Some(20)), &segments, 0, None), [(2, Reason::Size)]);
    let with_log = chosen(&plan(30, Some(20)), &segments, 5, None);
    assert_eq!(with_log, [(2, Reason::Size), (3, Reason::Size)]);
}

#[test]
fn what_is_to_be_kept_makes_room_last() {
    let kept = |id, from_now: i64| SegmentEntry {
        kept_until: Timestamp::from_nanos(NOW.nanos() + from_now),
        ..segment(id, 10, 40)
    };
    let segments = [kept(1, 1), kept(2, 0), segment(3, 10, 2), segment(4, 10, 1)];
    let by_size = |size| -> Vec<u64> {
        let chosen = chosen(&plan(60, Some(size)), &segments, 0, None);
        chosen.into_iter().map(|(id, _)| id).collect()
    };
    assert_eq!((by_size(30), by_size(10), by_size(0)), (vec![2], vec![2, 3, 4], vec![1, 2, 3, 4]));
}

#[test]
fn without_a_size_a_part_of_the_disk_stays_free() {
    let segments = [segment(1, 100, 2), segment(2, 500, 1)];
    let space = |available_bytes| Some(Space { total_bytes: 10_000, available_bytes });
    assert_eq!(chosen(&plan(30, None), &segments, 0, space(200)), []);
    assert_eq!(chosen(&plan(30, None), &segments, 0, space(100)), [(1, Reason::Size)]);
}

#[test]
fn others_filling_the_disk_do_not_empty_the_store() {
    let space = Space { total_bytes: 10_000, available_bytes: 0 };
    let even: Vec<SegmentEntry> = (0..10).map(|id| segment(id, 60, 10 - id as u32)).collect();
    assert_eq!(chosen(&plan(30, None), &even, 0, Some(space)).len(), 2);
}

#[test]
fn a_clock_that_was_wrong_for_a_moment_removes_nothing() {
    let start = Instant::now();
    let mut expiring = Expiring::default();
    let mut look = |found: &[(u64, usize)], minutes: u64| {
        let now = start + Duration::from_secs(minutes * 60);
        let due: Vec<bool> = found.iter().map(|(id, class)| expiring.is_due(*id, *class, now)).collect();
        expiring.keep_only(&found.iter().copied().collect());
        due
    };
    assert_eq!(look(&[(1, 0), (2, 0)], 0), [false, false]);
    assert_eq!(look(&[(1, 0)], 59), [false]);
    assert_eq!(look(&[], 60), [false; 0]);
    assert_eq!(look(&[(1, 0)], 61), [false]);
    assert_eq!(look(&[(1, 0), (1, 1)], 121), [true, false]);
}

/// Three classes: `a` for 2 days, `b` for 60 days and 100 bytes, the others for 7 days.
fn plan_with_policies() -> StorePlan {
    let policy = |name: &str, days: u32, size_max| Policy {
        name: name.into(),
        query: String::new(),
        predicate: sawyer_query::Predicate::None,
        keep: DAY * days,
        size_max,
    };
    StorePlan { policies: [policy("a", 2, None), policy("b", 60, Some(100))].into(), ..plan(7, None) }
}

fn choice_of(rows: &[(u32, [u64; 3])]) -> Choice {
    let segments: Vec<SegmentEntry> = rows
        .iter()
        .enumerate()
        .map(|(id, (days_ago, rows))| {
            let rows = rows.iter().sum::<u64>();
            SegmentEntry { rows, ..segment(id as u64, 10 * rows, *days_ago) }
        })
        .collect();
    let profiles = rows.iter().enumerate().map(|(id, (_, rows))| (id as u64, (*rows).into())).collect();
    let held = Held { segments: &segments, profiles: &profiles, wal_bytes: 0, space: None, now: NOW };
    choose(&plan_with_policies(), &held, &mut |_, _| true)
}

fn classes(of: &[usize]) -> Classes {
    let mut classes = Classes::default();
    of.iter().for_each(|class| classes.insert(*class));
    classes
}

#[test]
fn classes_go_when_their_time_is_over_and_the_others_stay() {
    let choice = choice_of(&[(8, [5, 1, 4]), (3, [2, 2, 2]), (1, [9, 0, 9]), (3, [7, 0, 0]), (8, [1, 0, 1])]);
    assert_eq!(choice.parts, [(0, classes(&[0, 2])), (1, classes(&[0]))].into());
    assert_eq!(choice.whole, [(3, Reason::Age), (4, Reason::Age)].into());
}

#[test]
fn a_class_that_is_too_large_loses_its_oldest() {
    let choice = choice_of(&[(1, [0, 4, 4]), (3, [0, 4, 4]), (2, [0, 4, 0]), (1, [0, 3, 0])]);
    assert_eq!(choice.parts, [(1, classes(&[1]))].into());
    assert_eq!(choice.whole, [(2, Reason::Size)].into());
}

#[test]
fn what_is_not_known_of_a_segment_is_asked_only_where_it_matters() {
    let (of_age, of_size) = (plan_with_policies(), plan_with_policies());
    let of_age = StorePlan { policies: of_age.policies[..1].to_vec().into(), ..of_age };
    let segments = [segment(1, 10, 1), segment(2, 10, 3), segment(3, 10, 61)];
    let profiles = Profiles::new();
    let held = Held { segments: &segments, profiles: &profiles, wal_bytes: 0, space: None, now: NOW };
    let choice = choose(&of_age, &held, &mut |_, _| true);
    assert_eq!((choice.unknown, choice.whole), (vec![2], [(3, Reason::Age)].into()));
    let choice = choose(&of_size, &held, &mut |_, _| true);
    assert_eq!((choice.unknown, choice.whole), (vec![2, 1], [(3, Reason::Age)].into()));
}

#[test]
fn nothing_goes_for_its_size_because_the_clock_makes_it_old() {
    let segments = [segment(1, 500, 61), segment(2, 500, 62)];
    let held = Held { segments: &segments, profiles: &Profiles::new(), wal_bytes: 0, space: None, now: NOW };
    assert_eq!(choose(&plan_with_policies(), &held, &mut |_, _| false), Choice::default());
}

#[test]
fn what_stays_free_grows_with_the_disk_up_to_a_bound() {
    let of = |total_bytes| free_min(&plan(1, None), Space { total_bytes, available_bytes: 0 });
    assert_eq!((of(10_000), of(1 << 40)), (200, FREE_DEFAULT_BYTES_MAX));
    let set = StorePlan { free_min: Some(7), ..plan(1, None) };
    assert_eq!(free_min(&set, Space { total_bytes: 10_000, available_bytes: 0 }), 7);
}
