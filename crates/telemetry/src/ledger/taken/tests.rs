use super::*;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn part(source: u128, start: u64, end: u64) -> Covered {
    Covered { source: SourceId(source), range: SeqRange::new(start, end) }
}

fn parts(source: u128, start: u64, end: u64) -> Vec<Parts> {
    vec![Parts { source: SourceId(source), ranges: vec![SeqRange::new(start, end)] }]
}

fn sums(confirmed: u64, missing: u64, unknown: u64, open: u64) -> Sums {
    Sums { confirmed, missing, unknown, open }
}

/// What was told of two sources, and is asked for.
fn asking() -> (Taken, Vec<Claim>) {
    let mut taken = Taken::default();
    taken.note(&[part(1, 0, 100), part(2, 0, 10), part(1, 100, 150)], at(5));
    taken.start();
    let claims = taken.next();
    (taken, claims)
}

#[test]
fn what_does_not_lack_is_confirmed() {
    let (mut taken, claims) = asking();
    let ranges: Vec<_> =
        claims.iter().map(|claim| (claim.source.0, claim.since, claim.ranges.clone())).collect();
    let range = SeqRange::new;
    assert_eq!(ranges, [(1, at(5), vec![range(0, 150)]), (2, at(5), vec![range(0, 10)])]);
    taken.note(&[part(1, 150, 160)], at(6));
    let unknown = [parts(2, 9, 30), parts(1, 50, 60)].concat();
    let answer = Answer { lacking: parts(1, 40, 60), unknown, may_wait: false };
    let gaps = taken.answered(&claims, &answer, at(7));
    assert_eq!(gaps, [Gap { at: at(7), source: SourceId(1), range: range(40, 60) }]);
    assert_eq!(taken.sums(), sums(139, 20, 1, 10));
    assert!(taken.next().is_empty());
    let shown = taken.checkpoint();
    assert_eq!((shown.open_since, shown.answered, shown.gaps), (Some(at(6)), Some(at(7)), gaps));
}

#[test]
fn what_may_wait_on_the_way_is_open_for_a_day() {
    let (mut taken, claims) = asking();
    let answer = Answer { lacking: parts(1, 100, 150), may_wait: true, ..Answer::default() };
    assert_eq!(taken.answered(&claims, &answer, at(7)), []);
    assert_eq!(taken.sums(), sums(110, 0, 0, 50));
    taken.start();
    let claims = taken.next();
    assert_eq!((claims.len(), claims[0].since), (1, at(5)), "it is as old as it is");
    let late = at(6).saturating_add(WAIT_MAX + GENERATION);
    assert_eq!(taken.answered(&claims, &answer, late).len(), 1);
    assert_eq!(taken.sums(), sums(110, 50, 0, 0));
}

/// A source of which something always waits, because a gateway lags by minutes, has no part that is a day old.
#[test]
fn what_is_told_later_is_not_as_old_as_what_waits() {
    let mut taken = Taken::default();
    let hours = WAIT_MAX.as_secs() / 3600 + 10;
    for hour in 0..hours {
        let now = at(3600 * hour.cast_signed());
        taken.note(&[part(1, 100 * hour, 100 * hour + 50)], now);
        taken.start();
        let claims = taken.next();
        // Meanwhile it goes on.
        taken.note(&[part(1, 100 * hour + 50, 100 * hour + 100)], now);
        let lacks = parts(1, 100 * hour, 100 * hour + 50);
        let answer = Answer { lacking: lacks, may_wait: true, ..Answer::default() };
        assert_eq!(taken.answered(&claims, &answer, now), []);
        assert_eq!(taken.sums(), sums(100 * hour, 0, 0, 100));
        assert_eq!(taken.checkpoint().open_since, Some(now));
    }
    // What really waits is late, and what was told since is not.
    let end = 100 * hours;
    taken.note(&[part(1, end, end + 7)], at(3600 * hours.cast_signed()));
    let late = at(3600 * hours.cast_signed()).saturating_add(WAIT_MAX);
    taken.note(&[part(1, end + 7, end + 9), part(1, end - 10, end + 1)], late);
    let mut bytes = Vec::new();
    taken.encode(&mut bytes);
    assert_eq!(Taken::decode(&bytes).unwrap().checkpoint().sums, taken.sums());
    let mut given_up = taken.clone();
    let behind = late.saturating_add(GENERATION);
    given_up.give_up(behind);
    assert_eq!(given_up.sums(), sums(100 * (hours - 1), 0, 100, 9), "the first, whose day is over for long");
    taken.start();
    let claims = taken.next();
    let claimed: Vec<_> = claims.iter().map(|claim| claim.ranges.clone()).collect();
    assert_eq!(claimed, [[SeqRange::new(end - 100, end + 9)]], "one claim for all ages");
    let answer = Answer { lacking: parts(1, 0, end + 9), may_wait: true, ..Answer::default() };
    let gaps = taken.answered(&claims, &answer, behind);
    assert_eq!(gaps.iter().map(|gap| gap.range).collect::<Vec<_>>(), [SeqRange::new(end - 100, end)]);
    assert_eq!(taken.sums(), sums(100 * (hours - 1), 100, 0, 9));
}

/// An answer of many pieces takes no more room than the claim, and nobody asks at once for what he asked for.
#[test]
fn what_lacks_in_pieces_is_open_as_one() {
    let mut taken = Taken::default();
    let most = RANGES_MAX as u64;
    taken.note(&[part(1, 0, 4 * most)], at(5));
    taken.start();
    let claims = taken.next();
    let pieces = (0..most).map(|n| SeqRange::new(4 * n + 1, 4 * n + 2)).collect();
    let lacking = vec![Parts { source: SourceId(1), ranges: pieces }];
    let answer = Answer { lacking, may_wait: true, ..Answer::default() };
    assert_eq!(taken.answered(&claims, &answer, at(6)), []);
    assert_eq!(taken.sums(), sums(3, 0, 0, 4 * most - 3));
    assert_eq!(taken.open.ranges, 1);
    let all: Vec<_> = (0..most / 2).map(|n| part(2, 2 * n, 2 * n + 1)).collect();
    taken.note(&all, at(7));
    assert!(taken.is_pressed());
    taken.start();
    while let claims @ [_, ..] = &taken.next()[..] {
        let claimed = |claim: &Claim| Parts { source: claim.source, ranges: claim.ranges.clone() };
        let lacking = claims.iter().map(claimed).collect();
        taken.answered(claims, &Answer { lacking, may_wait: true, ..Answer::default() }, at(8));
    }
    taken.note(&[part(3, 0, 1)], at(8));
    assert!(taken.open.ranges > RANGES_MAX / 2 - 10 && !taken.is_pressed());
}

#[test]
fn what_nobody_answers_is_asked_again_and_given_up_after_a_day() {
    let (mut taken, _) = asking();
    taken.note(&[part(1, 140, 160), part(3, 0, 1)], at(100));
    taken.give_up(at(101));
    assert_eq!(taken.sums(), sums(0, 0, 0, 171));
    taken.start();
    assert_eq!(taken.next().len(), 3);
    taken.give_up(at(6).saturating_add(WAIT_MAX + GENERATION));
    assert_eq!(taken.sums(), sums(0, 0, 170, 1));
    taken.start();
    let claims = taken.next();
    taken.cannot_tell(&claims, at(200));
    assert_eq!(taken.sums(), sums(0, 0, 171, 0));
}

#[test]
fn it_is_bounded() {
    let mut taken = Taken::default();
    for n in 0..SOURCES_MAX as u128 + 3 {
        taken.note(&[part(n, 0, 2)], at(0));
    }
    assert!(taken.is_pressed());
    assert_eq!(taken.sums(), sums(0, 0, 6, 2 * SOURCES_MAX as u64));
    taken.note(&[part(7, 2, 4), part(8, 9, 10)], at(0));
    assert_eq!(taken.sums().unknown, 6, "what is of a known source takes no room of others");
    let mut bytes = Vec::new();
    taken.encode(&mut bytes);
    assert!(Taken::decode(&bytes).as_ref() == Ok(&taken));
    taken.start();
    let mut questions = 0;
    while let claims @ [_, ..] = &taken.next()[..] {
        taken.answered(claims, &Answer::default(), at(1));
        questions += 1;
    }
    assert_eq!(questions, SOURCES_MAX / ASKED_SOURCES_MAX);
    assert_eq!(taken.sums(), sums(2 * SOURCES_MAX as u64 + 3, 0, 6, 0));
    let mut taken = Taken::default();
    for n in 0..RANGES_MAX as u64 + 3 {
        taken.note(&[part(1, 2 * n, 2 * n + 1)], at(0));
    }
    assert_eq!(taken.sums(), sums(0, 0, 3, RANGES_MAX as u64));
    let mut bytes = Vec::new();
    taken.encode(&mut bytes);
    assert!(Taken::decode(&bytes).as_ref() == Ok(&taken));
    taken.note(&[part(1, 1, 2)], at(0));
    assert_eq!(taken.sums(), sums(0, 0, 3, RANGES_MAX as u64 + 1), "what touches takes no room");
}

#[test]
fn it_is_read_back_as_it_was() {
    let (mut taken, claims) = asking();
    let answer = Answer { lacking: parts(1, 40, 60), ..Answer::default() };
    taken.answered(&claims[..1], &answer, at(7));
    taken.note(&[part(1, 500, 501), part(1, 600, 700)], at(8));
    let mut bytes = Vec::new();
    taken.encode(&mut bytes);
    let read = Taken::decode(&bytes).unwrap();
    assert_eq!(read.sums(), taken.sums());
    assert_eq!(read.checkpoint(), Checkpoint { answered: None, ..taken.checkpoint() });
    for end in 0..bytes.len() {
        assert_eq!(Taken::decode(&bytes[..end]), Err(CheckpointError), "{end}");
    }
    bytes.push(0);
    assert_eq!(Taken::decode(&bytes), Err(CheckpointError));
}

/// The bytes of version 1, as docs/FORMATS.md has them.
#[test]
fn the_bytes_are_those_of_version_1() {
    let (mut taken, claims) = asking();
    let answer = Answer { lacking: parts(1, 40, 60), ..Answer::default() };
    taken.answered(&claims, &answer, at(7));
    taken.note(&[part(3, 5, 6)], at(8));
    let mut bytes = Vec::new();
    taken.encode(&mut bytes);
    let mut expected = Vec::new();
    let numbers =
        |numbers: &[u64], out: &mut Vec<u8>| out.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
    numbers(&[140, 20, 0, 1], &mut expected);
    numbers(&[1, 7_000_000_000, 1, 0, 40, 60], &mut expected);
    numbers(&[1, 8_000_000_000, 3, 0, 1, 5, 6], &mut expected);
    assert_eq!(bytes, expected);
}
