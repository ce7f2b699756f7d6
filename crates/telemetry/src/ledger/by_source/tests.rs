use std::sync::Arc;

use sawyer_model::tally::WayTally;
use sawyer_model::{BySource, Fates, Way};

use super::super::books::RULES_MAX;
use super::*;

/// What became of a batch: at `a` these records of sources by these rules, and as many were delivered.
fn tally(left_out: &[(u128, &str, u64)]) -> Tally {
    let way = Way { input: "in".into(), pipeline: "main".into(), outputs: vec!["a".into()], copies: vec![] };
    let mut exit = Fates::default();
    let mut read = Count::default();
    for (source, rule, records) in left_out {
        let count = Count::new(*records, records * 10);
        let rule = Arc::from(*rule);
        exit.add_of(Fate::Filtered, &rule, count, &BySource::one(SourceId(*source), count));
        exit.add(Fate::Delivered, &"".into(), count);
        read.add(count);
        read.add(count);
    }
    let (made, common, exits) = (Count::default(), Fates::default(), vec![exit]);
    Tally { ways: vec![WayTally { way: Arc::new(way), read, made, common, exits }], ..Tally::default() }
}

fn end(rule: &str) -> End {
    End { output: "a".into(), fate: Fate::Filtered, rule: rule.into() }
}

/// As it is when written and read again; a part of that is nothing.
fn again(fates: &SourceFates) -> SourceFates {
    let mut bytes = Vec::new();
    fates.encode(&mut bytes);
    for end in 0..bytes.len() {
        assert!(SourceFates::decode(&mut &bytes[..end]).is_err(), "{end}");
    }
    SourceFates::decode(&mut &bytes[..]).unwrap()
}

#[test]
fn tells_of_each_source_and_of_the_others() {
    let (mut fates, mut books) = (SourceFates::default(), Books::default());
    for left_out in
        [&[(1, "noise", 3), (2, "noise", 4)][..], &[(1, "probes", 5), (1, "noise", 1), (3, "noise", 9)]]
    {
        let tally = tally(left_out);
        books.book(&tally.ways[0]);
        fates.book(&tally, |source| source != SourceId(3));
    }
    assert_eq!(
        fates.of(SourceId(1)),
        [(end("noise"), Count::new(4, 40)), (end("probes"), Count::new(5, 50))]
    );
    assert_eq!(fates.of(SourceId(3)), []);
    assert_eq!(fates.others(&books), (vec![(end("noise"), Count::new(9, 90))], Count::default()));
    assert_eq!(again(&fates), fates);
    fates.retain(|source| source != SourceId(1));
    let others = vec![(end("noise"), Count::new(13, 130)), (end("probes"), Count::new(5, 50))];
    assert_eq!(fates.others(&books), (others, Count::default()));
    assert_eq!(again(&fates), fates);
    let told = Count::new(4, 40);
    assert_eq!(fates.others(&Books::default()).1, told, "nothing of it is in the books");
    let mut less = Books::default();
    less.outputs.entry("a".into()).or_default().end(Fate::Filtered, "noise", Count::new(1, 40));
    assert_eq!(fates.others(&less).1, Count::new(3, 0), "more is told than there is");
}

#[test]
fn those_to_which_nothing_happened_for_longest_are_others() {
    let (mut fates, mut books) = (SourceFates::default(), Books::default());
    let mut book = |source, fates: &mut SourceFates| {
        let tally = tally(&[(source, "noise", 1)]);
        books.book(&tally.ways[0]);
        fates.book(&tally, |_| true);
    };
    let most = SOURCES_MAX as u128;
    (0..most).for_each(|source| book(source, &mut fates));
    book(0, &mut fates);
    assert_eq!(fates.sources.len(), SOURCES_MAX);
    book(most, &mut fates);
    assert_eq!(fates.sources.len(), SOURCES_LEFT);
    assert_eq!(fates.of(SourceId(0)), [(end("noise"), Count::new(2, 20))], "it was heard of lately");
    assert_eq!(fates.of(SourceId(1)), []);
    let (others, over) = fates.others(&books);
    let folded = (SOURCES_MAX + 1 - SOURCES_LEFT) as u64;
    assert_eq!((others, over), (vec![(end("noise"), Count::new(folded, folded * 10))], Count::default()));
    let mut bytes = Vec::new();
    fates.encode(&mut bytes);
    let mut again = SourceFates::decode(&mut &bytes[..]).unwrap();
    assert_eq!(again, fates);
    // Which those are is still known then.
    for source in most + 1..=2 * most {
        let before = again.sources.len();
        again.book(&tally(&[(source, "noise", 1)]), |_| true);
        if again.sources.len() < before {
            break;
        }
    }
    assert_eq!(again.of(SourceId(u128::from(folded) + 1)), [], "the one that was heard of first");
    assert_ne!(again.of(SourceId(0)), [], "it was heard of lately");
}

#[test]
fn rules_that_are_too_many_are_told_of_all_together() {
    let (mut fates, mut books) = (SourceFates::default(), Books::default());
    for rule in 0..2 * ENDS_OF_SOURCE_MAX {
        let tally = tally(&[(1, &rule.to_string(), 1)]);
        books.book(&tally.ways[0]);
        fates.book(&tally, |_| true);
    }
    assert_eq!(fates.of(SourceId(1)).len(), ENDS_OF_SOURCE_MAX);
    let (others, over) = fates.others(&books);
    assert_eq!((others.len(), over), (ENDS_OF_SOURCE_MAX, Count::default()));
}

/// Books have one number for the rules beyond their bounds; what files tell of such rules is a part of that.
#[test]
fn rules_for_which_books_have_no_room_are_told_once() {
    let (mut fates, mut books) = (SourceFates::default(), Books::default());
    for rule in 0..RULES_MAX + 20 {
        let source = rule as u128 % 20;
        let tally = tally(&[(source, &rule.to_string(), 1)]);
        books.book(&tally.ways[0]);
        fates.book(&tally, |source| source.0 % 2 == 0);
    }
    let (others, over) = fates.others(&books);
    assert_eq!(over, Count::default());
    let in_all: u64 = others.iter().map(|(_, count)| count.records).sum();
    let told: u64 =
        (0..20).flat_map(|source| fates.of(SourceId(source))).map(|(_, count)| count.records).sum();
    assert_eq!(in_all + told, RULES_MAX as u64 + 20);
}
