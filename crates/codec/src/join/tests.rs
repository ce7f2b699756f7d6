use proptest::prelude::*;
use sawyer_model::RangeSet;

use super::*;

fn piece(start: u64, content: &str, partial: bool) -> Piece<'_> {
    let range = SeqRange::new(start, start + content.len() as u64 + 10);
    Piece { timestamp: Timestamp::from_nanos(start as i64), content: content.as_bytes(), range, partial }
}

fn text(joined: &Joined<'_>) -> String {
    String::from_utf8(joined.content.to_vec()).unwrap()
}

#[test]
fn a_whole_line_is_handed_through() {
    let mut joiner = Joiner::new(100);
    let joined = joiner.push(&piece(5, "hello", false)).unwrap();
    assert!(matches!(joined.content, Cow::Borrowed(b"hello")));
    assert_eq!((joined.range, joined.covered, joined.cut), (SeqRange::new(5, 20), vec![], None));
    assert_eq!(joiner.flush(), None);
}

#[test]
fn pieces_in_a_row_are_one_range() {
    let mut joiner = Joiner::new(100);
    assert_eq!(joiner.push(&piece(0, "one", true)), None);
    assert_eq!(joiner.held_from(), Some(0));
    assert_eq!(joiner.push(&piece(13, "two", true)), None);
    let joined = joiner.push(&piece(26, "", false)).unwrap();
    assert_eq!(text(&joined), "onetwo");
    assert_eq!((joined.timestamp.nanos(), joined.range, joined.covered), (0, SeqRange::new(0, 36), vec![]));
    assert_eq!(joiner.held_from(), None);
}

#[test]
fn pieces_with_other_output_between_are_covered_beside_the_record() {
    let mut joiner = Joiner::new(100);
    joiner.push(&piece(0, "one", true));
    joiner.push(&piece(100, "two", true));
    joiner.push(&piece(113, "three", true));
    joiner.push(&piece(200, "four", true));
    let joined = joiner.push(&piece(214, "five", false)).unwrap();
    assert_eq!(text(&joined), "onetwothreefourfive");
    assert_eq!(joined.range, SeqRange::new(200, 228));
    assert_eq!(joined.covered, [SeqRange::new(0, 13), SeqRange::new(100, 128)]);
}

#[test]
fn what_is_held_can_be_had_without_its_end() {
    let mut joiner = Joiner::new(100);
    joiner.push(&piece(7, "half", true));
    assert_eq!(joiner.held_since(), Some(Timestamp::from_nanos(7)));
    let joined = joiner.flush().unwrap();
    assert_eq!((text(&joined), joined.range), ("half".into(), SeqRange::new(7, 21)));
}

#[test]
fn a_line_of_20_mb_is_one_marked_record_and_memory_stays_bounded() {
    let mut joiner = Joiner::new(LINE_BYTES_MAX);
    let content = "0123456789abcde\n".repeat(1024);
    let mut whole = Vec::new();
    let mut at = 0;
    for _ in 0..1280 {
        assert_eq!(joiner.push(&piece(at, &content, true)), None);
        whole.extend_from_slice(content.as_bytes());
        at += content.len() as u64 + 10;
        let held = joiner.held.as_ref().unwrap();
        let tail = held.long.as_ref().map_or(0, |long| long.tail.capacity());
        assert!(held.head.capacity() + tail <= 4 * LINE_BYTES_MAX);
    }
    let joined = joiner.push(&piece(at, "end", false)).unwrap();
    whole.extend_from_slice(b"end");
    assert_eq!(joined.cut, Some(Cut { length: whole.len() as u64, hash: xxh3_64(&whole) }));
    assert_eq!(joined.range, SeqRange::new(0, at + 13));
    let text = text(&joined);
    assert!(text.starts_with("0123") && text.ends_with("\nend"));
    assert!(text.contains("…[19922947 bytes cut]…"), "{}", whole.len() - LINE_BYTES_MAX);
}

#[test]
fn characters_are_not_torn() {
    let mut joiner = Joiner::new(10);
    let joined = joiner.push(&piece(0, "결제결제결제결제", false)).unwrap();
    assert_eq!(text(&joined), "결…[18 bytes cut]…제");
}

#[test]
fn a_line_scattered_too_wide_is_ended() {
    let mut joiner = Joiner::new(100);
    let ended: Vec<u64> =
        (0..10_000_u64).filter(|n| joiner.push(&piece(n * 100, "x", true)).is_some()).collect();
    assert_eq!(ended, [4095, 8191]);
}

proptest! {
    #[test]
    fn pieces_and_the_whole_give_the_same(
        lengths in prop::collection::vec(0_usize..30, 1..12), bytes_max in 2_usize..60, gaps in any::<u16>(),
    ) {
        let whole: Vec<u8> = (0..lengths.iter().sum::<usize>()).map(|n| b'a' + (n % 26) as u8).collect();
        let mut joiner = Joiner::new(bytes_max);
        let (mut at, mut from, mut joined) = (0_u64, 0, None);
        let mut wanted = RangeSet::new();
        for (n, length) in lengths.iter().enumerate() {
            at += u64::from(gaps >> n & 1) * 5;
            let range = SeqRange::new(at, at + *length as u64 + 10);
            let content = &whole[from..from + length];
            let partial = n + 1 < lengths.len();
            joined = joiner.push(&Piece { timestamp: Timestamp::EPOCH, content, range, partial });
            prop_assert_eq!(joined.is_none(), partial);
            wanted.insert(range);
            (at, from) = (range.end, from + length);
        }
        let joined = joined.unwrap();
        let at_once = Joiner::new(bytes_max).push(&Piece {
            timestamp: Timestamp::EPOCH, content: &whole, range: SeqRange::new(0, 1), partial: false,
        }).unwrap();
        prop_assert_eq!(&joined.content, &at_once.content);
        prop_assert_eq!(joined.cut, at_once.cut);
        prop_assert!(whole.len() > bytes_max || *joined.content == *whole);
        let told: RangeSet = joined.covered.iter().copied().chain([joined.range]).collect();
        prop_assert_eq!(told, wanted);
    }

    #[test]
    fn any_bytes_can_be_cut(content in prop::collection::vec(any::<u8>(), 0..40), bytes_max in 0_usize..20) {
        let range = SeqRange::new(0, 1);
        let whole = Joiner::new(bytes_max).push(&Piece { timestamp: Timestamp::EPOCH, content: &content, range, partial: false });
        prop_assert_eq!(whole.unwrap().cut.is_some(), content.len() > bytes_max.max(2));
    }
}

#[test]
fn what_touches_a_cut_is_taken_away() {
    let check = |text: &str| widen_cut(text).unwrap_or_else(|| "none".to_owned());
    assert_eq!(check("a key=AKIAIO…[10 bytes cut]…EXAMPLE b = c"), "a …[31 bytes cut]… c");
    assert_eq!(check("a …[10 bytes cut]…word\": \"hunter2\", \"b\""), "a …[25 bytes cut]…\", \"b\"");
    assert_eq!(check("{\"k\":\"결제AK…[10 bytes cut]…é\"}"), "{\"k\":\"…[22 bytes cut]…");
    assert_eq!(check("a …[10 bytes cut]… b"), "a …[12 bytes cut]…");
    assert_eq!(check("a …[10 bytes cut]… "), "none");
    assert_eq!(check("…[x bytes cut]… half…[1 bytes cut]…"), "…[x bytes cut]… …[5 bytes cut]…");
    assert_eq!(check("no cut"), "none");
    let long = "é".repeat(CUT_WORD_BYTES_MAX);
    let widened = check(&format!("{long}…[0 bytes cut]…x{long}"));
    assert!(widened.contains(&format!("…[{} bytes cut]…", CUT_WORD_BYTES_MAX * 2 + 1)), "{}", widened.len());
}

#[test]
fn of_what_is_cut_at_its_end_whole_words_stay() {
    let stays = |text: &str| String::from_utf8(whole_words(text.as_bytes()).to_vec()).unwrap();
    assert_eq!(stays("the key is AKIA12"), "the key is ");
    assert_eq!(stays(r#"{"said":"the key","key":"AKIA12"#), r#"{"said":"the key","key":""#);
    assert_eq!(stays("the key is "), "the key is ");
    assert_eq!(stays("onewordonly"), "onewordonly");
    assert_eq!(stays("a bcdefghijkl"), "a bcdefghijkl", "more of it is one word than not");
    assert_eq!(stays(""), "");
}
