//! Words and parts of texts in blocks that have many texts of few shapes, against asking every record.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

#[path = "support/generate.rs"]
#[expect(dead_code, reason = "of what the tests share only the number of cases is used")]
mod generate;

use std::sync::Arc;

use proptest::prelude::*;
use sawyer_model::{Batch, Record, SeqRange, SourceId, Stream, Timestamp, Value};
use sawyer_query::search::{Budget, SearchStats, Selection};
use sawyer_query::{Context, FieldPattern, FieldTest, Predicate};
use sawyer_segment::{Cache, EncodeSettings, Segment, encode};

const WORDS: [&str; 10] =
    ["lock", "Cache", "cafe", "beef", "timeout", "결제", "lock.x", "a:b", "lockcache", "\u{200D}👩lock"];

/// A shape: pieces of text, between which variables stand.
fn template() -> BoxedStrategy<Vec<(String, u8)>> {
    let literal = prop::sample::select(vec![
        " ",
        "=",
        "/",
        " [",
        "] ",
        " lock ",
        " cache=",
        "=lock ",
        " lock",
        "cache/",
        "lo",
        "ck ",
        ":",
        ".",
        "_",
        " CACHE ",
        "ms ",
        "k",
        "\"",
        " \u{212a}ey=",
        " time",
        "",
        "-",
        " ca",
        "결",
        "(lock)",
        "locklock lock",
        "lock, lock-lock ",
        "xlock cache lock cache",
        "aaaaaaaa",
        " a aa,a ",
    ]);
    prop::collection::vec((literal.prop_map(str::to_owned), 0u8..6), 1..5).boxed()
}

fn render(template: &[(String, u8)], number: u64) -> String {
    let mut text = String::new();
    for (place, (literal, kind)) in template.iter().enumerate() {
        text.push_str(literal);
        let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(place as u32 * 9 + 7) >> 8;
        match kind {
            0 => text.push_str(WORDS[number as usize % WORDS.len()]),
            1 => text.push_str(&(number % 1000).to_string()),
            2 => text.push_str(&format!("{:08x}", number as u32)),
            3 => text.push_str(&format!("/api/{}/x{}", WORDS[number as usize % 5], number % 3)),
            4 => text.push_str(["on", "off"][number as usize % 2]),
            _ => text.push_str(" end"),
        }
    }
    text
}

fn test() -> BoxedStrategy<FieldTest> {
    let word = prop::sample::select(vec![
        "lock",
        "cache",
        "CAFE",
        "beef",
        "timeout",
        "결제",
        "x",
        "lock.x",
        "a:b",
        "api",
        "key",
        "ck",
        "7",
        "lockcache",
        "on",
        "time",
        "cafe",
        "lock cache",
        "lock lock",
        "on on",
        "lock or cafe",
        "api lock",
        "ms",
        "end",
        "42",
        "x1",
        "ca",
        "👩lock",
        "\u{212a}ey",
        "a",
        "aa a",
        "aa,a",
    ]);
    let part = prop::sample::select(vec![
        "lock", "ock", "k c", "=lo", "a", "fe", "K", "결", "api/ca", "7m", "0", "x.", "C", "",
    ]);
    let expression = prop::sample::select(vec![
        "lock",
        "ock",
        r"lock\.x",
        "lock .*cache",
        "cache[=/].*lock",
        "(lock|cafe) .*[0-9]+",
        "(timeout|beef|once)[0-9]*",
        "^ lock",
        "lock$",
        "time[a-z]+",
        "결제.*lock",
        "api/(cache|lock)/x[01]",
        "lock.*lock.*lock",
        "[0-9]{3}ms",
        "once1[0-9]+: at",
        "(?i)LOCK cache",
        "a:b|aa,a|aaaa",
        "cafe.beef",
        r"\block\b",
    ]);
    // All texts are asked these, as no letters tell which need not.
    let unlettered =
        prop::sample::select(vec!["[0-9]{2}", "[^a-z0-9 ]", r"\d\d\D", "[A-Z][a-z]", r"[a-z][0-9]{2}\b"]);
    prop_oneof![
        3 => prop_oneof![expression, unlettered].prop_map(|pattern| FieldTest::regex(pattern).unwrap()),
        3 => word.clone().prop_map(|text| FieldTest::words(text, &Context::default())),
        1 => word.clone().prop_map(|text| FieldTest::phrase(text, &Context::default())),
        1 => word.prop_map(FieldTest::exact),
        2 => (part, any::<bool>()).prop_map(|(part, fold)| FieldTest::contains(part, fold)),
    ]
    .boxed()
}

/// A text that has no shape, as it differs from all others in two words.
fn of_a_kind(number: u64) -> String {
    // Letters that are no digits either.
    let own = |number: u64| -> String {
        (0..5).map(|at| char::from(b'g' + (number >> (at * 4)) as u8 % 16)).collect()
    };
    let word = WORDS[number as usize % WORDS.len()];
    let lock = ["Lock", "lock", "LOCK"][number as usize / 3 % 3];
    let behind = [": at", " at", "-at"][number as usize / 9 % 3];
    // Letters may begin in one text and end in the next, and stand beside signs and what is not ASCII.
    let start = ["", "meout ", "xlock-"][number as usize / 2 % 3];
    let end = ["", " ti", "=LOCK", " xlock-lock", "\u{e9}lock", ".lock"][number as usize / 4 % 6];
    format!("{start}{word} {lock} {} once{}{behind} {}{end}", own(number), number % 17, own(number * 7 + 5))
}

/// Of so many texts one is of a kind.
fn batch_of(templates: &[Vec<(String, u8)>], count: u64, kinds: u64) -> Batch {
    let text = |number: u64| match number % kinds {
        2 => of_a_kind(number),
        _ => render(&templates[number as usize % templates.len()], number),
    };
    batch_with((0..count).map(text))
}

fn batch_with(texts: impl Iterator<Item = String>) -> Batch {
    let stream = Arc::new(Stream::default());
    let mut batch = Batch::new();
    for (number, text) in (0..).zip(texts) {
        batch.push(&Record {
            timestamp: Timestamp::from_millis(number as i64),
            observed: Timestamp::from_millis(number as i64),
            source: SourceId(1),
            range: SeqRange::new(number, number + 1),
            stream: Arc::clone(&stream),
            fields: vec![("message".into(), Value::from(text)), ("odd".into(), Value::Bool(number % 2 == 1))],
        });
    }
    batch
}

/// Compares what a segment finds with asking every record, twice: the second time by what is kept.
fn check(segment: &Segment, predicate: Predicate) -> Result<(), TestCaseError> {
    let selection = Selection { predicate, start: Timestamp::MIN, end: Timestamp::MAX };
    for block in 0..segment.blocks().len() {
        let records = segment.decode_block(block).unwrap();
        let naive: Vec<usize> =
            (0..records.len()).filter(|row| selection.predicate.matches(records.get(*row))).collect();
        for _ in 0..2 {
            let found = segment.scan(block, &selection, &Budget::unlimited(), &mut SearchStats::default());
            prop_assert_eq!(
                found.unwrap().iter().collect::<Vec<_>>(),
                &naive[..],
                "{:?}",
                selection.predicate
            );
        }
    }
    Ok(())
}

fn segment_of(batch: &Batch, block_rows_max: usize, cache_bytes: usize) -> Segment {
    let settings = EncodeSettings { block_rows_max, ..EncodeSettings::default() };
    let bytes = encode(&[batch], &settings).unwrap().bytes;
    Segment::open_in(Arc::new(bytes), &Cache::new(cache_bytes)).unwrap()
}

/// A phrase of one word is more than this word, and letters may stand otherwise written at every place of a text.
#[test]
fn the_same_again_and_again_is_told() {
    let repeated = |number: u64| match number % 4 {
        0 => format!("request {number} failed: retry, retry after {}", number % 17),
        1 => format!("state {} - {} of {number}", ["retry", "stop"][number as usize / 4 % 2], "retry"),
        2 => format!("{} {}LOCKLo", of_a_kind(number), "lock".repeat(number as usize % 24)),
        _ => format!("{} retry - {} retry, retry", of_a_kind(number), of_a_kind(number + 5)),
    };
    let segment = segment_of(&batch_with((0..2000).map(repeated)), 700, 1 << 22);
    let field = |test| Predicate::field(FieldPattern::name("message"), test);
    for phrase in ["retry retry", "lock lock", "retry"] {
        check(&segment, field(FieldTest::phrase(phrase, &Context::default()))).unwrap();
    }
    for part in ["LOCKLo", "kLOCK", "OckL", "lockLO"] {
        check(&segment, field(FieldTest::contains(part, false))).unwrap();
    }
    check(&segment, field(FieldTest::words(&"lock ".repeat(2000), &Context::default()))).unwrap();
}

/// Letters that are more than a shape is gone over for, which begin in a literal, in an entry, or in digits.
#[test]
fn long_letters_are_found_wherever_they_begin() {
    let (long, digits) = ("b".repeat(70), "0123456789abcdef".repeat(5));
    let text = |number: u64| match number % 3 {
        0 => format!("id {}{long}={number}", "a".repeat(number as usize / 3 % 5)),
        1 => format!("{}{long} then {number}", ["x", "y"][number as usize / 3 % 2]),
        _ => format!("hash {:x}{digits}: {number}", number % 7),
    };
    let segment = segment_of(&batch_with((0..600).map(text)), 700, 1 << 22);
    for part in [
        format!("aa{long}="),
        format!("{long}="),
        format!("{long} then 1"),
        format!("x{long}"),
        long.clone(),
        format!("{long}b"),
        format!("hash 3{digits}"),
        format!("{digits}: 5"),
    ] {
        for fold in [false, true] {
            let part = Predicate::field(FieldPattern::name("message"), FieldTest::contains(&part, fold));
            check(&segment, part).unwrap();
        }
        let expression = FieldTest::regex(&format!("{part}[0-9]*")).unwrap();
        check(&segment, Predicate::field(FieldPattern::name("message"), expression)).unwrap();
    }
}

proptest! {
    #![proptest_config(generate::cases(48))]

    #[test]
    fn words_are_found_where_asking_every_record_finds_them(
        templates in prop::collection::vec(template(), 1..6), count in 60u64..500, block_rows_max in 100usize..400,
        kinds in prop::sample::select(vec![29, 3]),
        asked in prop::collection::vec((test(), any::<bool>()), 1..16), cache_bytes in prop::sample::select(vec![0, 1 << 20]),
    ) {
        let batch = batch_of(&templates, count, kinds);
        let segment = segment_of(&batch, block_rows_max, cache_bytes);
        for (test, odd) in asked {
            let mut predicate = Predicate::field(FieldPattern::name("message"), test);
            if odd {
                let odd = FieldTest::words("true", &Context::default());
                predicate = Predicate::And(vec![predicate, Predicate::field(FieldPattern::name("odd"), odd)]);
            }
            check(&segment, predicate)?;
        }
    }
}
