use std::sync::Arc;

use proptest::prelude::*;
use sawyer_model::ValueRef;
use sawyer_query::tokens::parts_words;
use sawyer_query::{Context, FieldKind, FieldTest};

use super::index::Index;

use super::learn::learn;
use super::verdict::{Answer, Asking};
use super::*;
use crate::bits::{BitWriter, Rows};
use crate::cache::{Cache, Kept};
use crate::ints::Packing;
use crate::text::TextTest;

fn gather<T: AsRef<str>>(texts: &[T]) -> crate::text::Texts {
    let mut gathered = crate::text::Texts::default();
    texts.iter().for_each(|text| gathered.push(text.as_ref()));
    gathered
}

/// The shapes of texts, as they are written and read: literals, and for each slot how it is kept.
fn check<T: AsRef<str>>(texts: &[T]) -> String {
    let mut pending = Pending::default();
    pending.add(0, &gather(texts));
    let written = pending.write(KeptAs::ByShape, Packing::Bits);
    if written.shapes.is_empty() {
        return "none".to_owned();
    }
    let shapes = Shapes::parse(&written.shapes).unwrap();
    let show = |piece: &Piece| match piece {
        Piece::Literal(range) => shapes.literal(range).to_owned(),
        Piece::Slot(Slot::Decimal { width, .. }) => format!("<decimal {width}>"),
        Piece::Slot(Slot::Padded { digits, width, .. }) => format!("<{digits} digits {width}>"),
        Piece::Slot(Slot::Hex { digits }) => format!("<hex {digits}>"),
        Piece::Slot(Slot::Uuid) => "<uuid>".to_owned(),
        Piece::Slot(Slot::Entry { width, .. }) => format!("<entry {width}>"),
        Piece::Slot(Slot::Listed { width, .. }) => format!("<listed {width}>"),
    };
    let shown: Vec<String> =
        (0..shapes.shapes.len()).map(|shape| shapes.pieces(shape).iter().map(show).collect()).collect();
    shown.join(" | ")
}

fn made(count: u64, make: impl Fn(u64) -> String) -> Vec<String> {
    (0..count).map(|n| make(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11)).collect()
}

#[test]
fn what_texts_have_together_is_kept_once() {
    let check_made = |make: &dyn Fn(u64) -> String| check(&made(200, make));
    assert_eq!(check_made(&|n| format!("took {}ms, ok", n % 1000)), "took <decimal 10>ms, ok");
    assert_eq!(check_made(&|n| format!("at {:03}.", n % 1000)), "at <3 digits 10>.");
    assert_eq!(check_made(&|n| format!("id={:08x}", n as u32)), "id=<hex 8>");
    assert_eq!(check_made(&|n| format!("p 0x{:08x}", n as u32)), "p 0x<hex 8>");
    assert_eq!(check_made(&|n| format!("GET /a/v{} 200", n % 3)), "GET <entry 2> 200");
    let word = |n: u64| ["one", "two", "six", "ten", "결제"][n as usize % 5];
    assert_eq!(check_made(&|n| format!("said {} {}x", word(n), n % 8)), "said <entry 3> <decimal 3>x");
    let uuid = |n: u64| format!("{:08x}-0000-1111-2222-{n:012x}", n as u32);
    assert_eq!(check_made(&|n| format!("u {}!", &uuid(n)[..36])), "u <uuid>!");
    assert_eq!(
        check_made(&|n| format!("status {}", [200, 404, 302, 99_999][n as usize % 4])),
        "status <entry 2>"
    );
    assert_eq!(check(&["x 1", "y 2 z", "a-1-b"]), "none");
}

#[test]
fn numbers_are_written_as_they_were() {
    for (number, digits) in [(0, 1), (7, 3), (u64::MAX, 1), (10, 2), (123, 19)] {
        let slot = Slot::Padded { digits: digits as u16, least: number, width: 0 };
        let mut out = [0; DECIMAL_BYTES];
        let start = decimal_digits(&slot, &[], 0, &mut out);
        assert_eq!(std::str::from_utf8(&out[start..]), Ok(&*format!("{number:0digits$}")));
    }
    for text in ["0", "abcdef", "0123456789abcdef0", "00000000ffffffff"] {
        let mut packed = Vec::new();
        let mut bits = BitWriter::new(&mut packed);
        text.bytes().for_each(|byte| {
            bits.put(u64::from(char::from(byte).to_digit(16).unwrap()), 4);
        });
        bits.finish();
        let mut out = String::new();
        put_hex(&mut out, &packed, 0, text.len());
        assert_eq!(out, text);
    }
}

proptest! {
    #[test]
    fn letters_that_a_text_has_are_possible(
        texts in prop::collection::vec("(id|to|at)[ =](ab|b[ax]|[a1]{1,3}|[0-9]{1,3}|[0-9a-f]{8}) (x|at|aa|[01]{2})", 3..60),
        letters in prop_oneof!["[abtd01 =]{1,4}", "[0-9a-f]{1,9}"],
        at in any::<prop::sample::Index>(), from in 0usize..12, len in 1usize..12, any_case: bool,
    ) {
        let gathered = gather(&texts);
        let mut pending = Pending::default();
        pending.add(0, &gathered);
        let written = pending.write(KeptAs::ByShape, Packing::Bits);
        prop_assume!(!written.shapes.is_empty());
        let shapes = Shapes::parse(&written.shapes).unwrap();
        let (commons, _) = learn(&gathered);
        let text = &texts[at.index(texts.len())];
        let part: String = text.chars().skip(from).take(len).collect();
        for letters in [letters, part] {
            let needle = find::Needle::new(&letters, any_case, &shapes);
            for (shape, common) in commons.iter().enumerate() {
                let possible = needle.go_over(&shapes, shape);
                let has = |text: &u32| texts[*text as usize].contains(&letters);
                prop_assert!(
                    possible != find::Possible::default()
                        || !needle.having.is_empty()
                        || !common.texts.iter().any(has),
                    "{letters:?} {:?}", check(&texts)
                );
                prop_assert!(!possible.in_literal || common.texts.iter().all(has));
            }
        }
    }

    #[test]
    fn any_bytes_are_shapes_or_an_error(bytes: Vec<u8>, packed: Vec<u8>, bit in 0usize..600) {
        if let Ok(shapes) = Shapes::parse(&bytes) {
            for shape in 0..shapes.shapes.len() {
                let _ = shapes.make(shape, &packed, bit, &mut String::new());
            }
        }
    }

    #[test]
    fn changed_shapes_are_shapes_or_an_error(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), packed: Vec<u8>,
    ) {
        let texts = made(60, |n| format!("{} {}ms id={:08x} {:03}", ["a", "b"][n as usize % 2], n % 70, n as u32, n % 999));
        let mut pending = Pending::default();
        pending.add(0, &gather(&texts));
        let mut bytes = pending.write(KeptAs::ByShape, Packing::Bits).shapes;
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(shapes) = Shapes::parse(&bytes) {
            for shape in 0..shapes.shapes.len() {
                let _ = shapes.make(shape, &packed, 0, &mut String::new());
                find::Needle::new("ms", true, &shapes).go_over(&shapes, shape);
            }
        }
    }
}

/// What 200 texts have together, and a test of an expression whose automaton is large.
fn shapes_and_test() -> (Shapes, FieldTest) {
    let texts = made(200, |n| format!("user={} took {}ms", ["one", "two", "six"][n as usize % 3], n % 1000));
    let mut pending = Pending::default();
    pending.add(0, &gather(&texts));
    (
        Shapes::parse(&pending.write(KeptAs::ByShape, Packing::Bits).shapes).unwrap(),
        FieldTest::regex(r"user=\w+ took \d+9ms").unwrap(),
    )
}

fn text_test(test: &FieldTest) -> TextTest<'_> {
    TextTest { test, kind: FieldKind::Text, matches: &|_| false, needle: None, whole: None }
}

#[test]
fn groups_that_are_asked_the_same_share_an_automaton_which_is_counted() {
    let (shapes, test) = shapes_and_test();
    let FieldTest::Regex(regex) = &test else { panic!("{test:?}") };
    let automaton = regex.automaton().unwrap();
    let table = automaton.memory_bytes();
    assert!(table > 100_000, "{table}");
    let mut asked = Vec::new();
    let mut bytes = Vec::new();
    for _ in 0..50 {
        asked.push(Asking::of(&shapes, &text_test(&test)));
        bytes.push(asked.last().unwrap().memory_bytes());
    }
    assert_eq!(Arc::strong_count(automaton), 51, "none has one of its own");
    assert!(bytes[0] >= table && bytes[0] < 2 * table, "{bytes:?} {table}");
    assert!(bytes.iter().sum::<usize>() < 8 * table, "{bytes:?}");
}

#[test]
fn a_group_that_remembers_a_test_does_not_hold_its_automaton() {
    let (shapes, test) = shapes_and_test();
    let FieldTest::Regex(regex) = &test else { panic!("{test:?}") };
    let automaton = Arc::downgrade(regex.automaton().unwrap());
    let cache = Cache::new(64 << 20);
    drop(shapes.asking(&text_test(&test), &cache));
    drop(test);
    assert!(
        automaton.upgrade().is_some_and(|automaton| cache.stats().bytes as usize > automaton.memory_bytes())
    );
    drop(cache);
    assert!(automaton.upgrade().is_none());
}

/// What is said of each of these texts that has a shape, and what the expression says.
fn answers<'a>(texts: &'a [String], pattern: &str) -> Vec<(&'a str, Answer, Answer)> {
    let mut pending = Pending::default();
    pending.add(0, &gather(texts));
    let written = pending.write(KeptAs::ByShape, Packing::Bits);
    if written.shapes.is_empty() {
        return Vec::new();
    }
    let test = FieldTest::regex(pattern).unwrap();
    let matches = |text: &str| test.matches(FieldKind::Text, ValueRef::Str(text));
    let shapes = Kept::new(Shapes::parse(&written.shapes).unwrap());
    let asking = Asking::of(&shapes, &TextTest { matches: &matches, ..text_test(&test) });
    let packed = written.portions[0].packed.clone();
    let mut portion = Portion { shapes, ids: Vec::new(), marks: Vec::new(), packed, raw: None };
    portion.index(texts.len()).unwrap();
    let shaped = portion.ids.iter().zip(texts).enumerate().filter(|(_, (id, _))| **id > 0);
    let told = shaped.map(|(at, (id, text))| {
        let of_word = portion.ids[at / 64 * 64..at].iter();
        let place = of_word.fold(portion.marks[at / 64], |place, id| place.behind(*id, &portion.shapes));
        let answer = match asking.classes[usize::from(*id)] {
            0 => Answer::No,
            verdict::ALL => Answer::Yes,
            _ => asking.answer(&portion.shapes, *id, &portion.packed, place.bit as usize),
        };
        (&**text, answer, if matches(text) { Answer::Yes } else { Answer::No })
    });
    told.collect()
}

const EXPRESSIONS: [&str; 16] = [
    "[0-9]{2}[.]|[a-f]{3}-",
    "^[a-z]+ [0-9]",
    "[0-9]$",
    "^id",
    "(?i)AB|É",
    "(?s)b.*[0-9]{2}",
    r"(?m)^[0-9]|x$",
    "é[0-9]|[0-9]é",
    r"\bb\b",
    r"\d\d\D\d",
    "[0-9a-f]{9}",
    "x[0-9]|[a-c]{2} [0-9]{2}",
    "[^a-z0-9 =.é\n-]",
    "[b-d]{2}[.-]|^to.*x$",
    ".",
    "^$",
];

proptest! {
    #[test]
    fn expressions_over_pieces_say_what_they_say_of_texts(
        literals in prop::collection::vec("(id|to|aB|b|é|x|[0-9])?[ =.\n-](bc|cd|x|é)?", 2..5),
        kinds in prop::collection::vec(0usize..5, 4), values in prop::collection::vec(any::<[u32; 4]>(), 20..80),
        pattern in prop::sample::select(EXPRESSIONS.to_vec()),
    ) {
        let value = |kind: usize, n: u32| match kind {
            0 => format!("{}", n % 1000),
            1 => format!("{n:08x}"),
            2 => format!("{n:08x}-0000-{:04x}-2222-{n:012x}", n % 7),
            3 => format!("{:02}", n % 90),
            _ => ["ab", "bx", "é", "dd", "b", "12"][n as usize % 6].to_owned(),
        };
        let text = |values: &[u32; 4]| {
            let parts = literals.iter().zip(&kinds).zip(values);
            parts.map(|((literal, kind), n)| format!("{literal}{}", value(*kind, *n))).collect::<String>()
        };
        let texts: Vec<String> = values.iter().map(text).collect();
        let answers = answers(&texts, pattern);
        prop_assume!(!answers.is_empty());
        for (text, answer, expected) in answers {
            prop_assert!(answer == expected || answer == Answer::Unknown, "{pattern} {text:?}");
        }
    }
}

#[test]
fn expressions_are_told_by_pieces() {
    let texts = made(200, |n| format!("took {}ms id={:08x}", n % 1000, n as u32));
    assert_eq!(check(&texts), "took <decimal 10>ms id=<hex 8>");
    for pattern in
        ["[0-9]{2}[.]|[a-f]{3}-", "[0-9a-f]{9}", "[0-9a-f]{8}", "[0-9]{3}[a-z]", "[a-f]{2}[0-9]{2}", "[0-9]$"]
    {
        let answers = answers(&texts, pattern);
        assert_eq!(answers.len(), texts.len());
        for (text, answer, expected) in answers {
            assert_eq!(answer, expected, "{pattern} {text:?}");
        }
    }
}

#[test]
fn shapes_of_a_group_may_come_to_their_entries_in_many_states() {
    let letters = |count: usize| "a".repeat(count);
    let all: Vec<Vec<String>> =
        (1..=60).map(|before| vec![letters(before), letters(60 - before + before % 2)]).collect();
    let test = FieldTest::regex("[a-z]{62}").unwrap();
    let asking = Asking::of(&shapes_of(&all), &text_test(&test));
    let expected: Vec<u8> = (1..=60).map(|before| if before % 2 == 1 { verdict::ALL } else { 0 }).collect();
    assert_eq!(asking.classes[1..], expected);
}

/// Shapes of slots for entries of which a few bytes of a file make as many as they like.
fn many_slots(shapes: usize, slots: usize) -> Shapes {
    let mut builder = ShapesBuilder::default();
    for entry in 0..1024 {
        builder.add_entry(&if entry % 7 == 3 { format!("needle{entry}") } else { format!("hay{entry}") });
    }
    for _ in 0..shapes {
        builder.shapes.put_varint(2 * slots as u64);
        for _ in 0..slots {
            builder.shapes.put_u8(kind::ENTRY);
            builder.shapes.put_varint(0);
            builder.shapes.put_u8(10);
            builder.shapes.put_u8(kind::LITERAL);
            builder.shapes.put_text(" ");
        }
        builder.shape_count += 1;
    }
    Shapes::parse(&builder.finish()).unwrap()
}

#[test]
fn slots_of_entries_take_no_tables_and_answer_alike() {
    let many = many_slots(16, 500);
    let (letters, regex) =
        (FieldTest::contains("needle", false), FieldTest::regex("needle[0-9]+ hay").unwrap());
    let [directly, gated] = [&letters, &regex].map(|test| Asking::of(&many, &text_test(test)));
    assert!(directly.memory_bytes() < 4096, "{}", directly.memory_bytes());
    for has in [false, true] {
        // One slot of each text has the needle, or none; all others have hay.
        let mut packed = Vec::new();
        let mut bits = BitWriter::new(&mut packed);
        (0..500).for_each(|slot| bits.put(if has && slot == 321 { 10 } else { 11 }, 10));
        bits.finish();
        for id in 1..=16u16 {
            let mut text = String::new();
            many.make(usize::from(id) - 1, &packed, 0, &mut text).unwrap();
            assert_eq!(text.contains("needle"), has);
            for asking in [&directly, &gated] {
                assert_eq!(asking.answer(&many, id, &packed, 0) != Answer::No, has, "shape {id}");
            }
        }
    }
}

/// Shapes of these literals, between which an entry of no bits stands: each shape has one text.
fn shapes_of(all: &[Vec<String>]) -> Shapes {
    let mut builder = ShapesBuilder::default();
    builder.add_entry("x");
    for literals in all {
        builder.shapes.put_varint(2 * literals.len() as u64 - 1);
        for (at, literal) in literals.iter().enumerate() {
            if at > 0 {
                builder.shapes.put_u8(kind::ENTRY);
                builder.shapes.put_varint(0);
                builder.shapes.put_u8(0);
            }
            builder.shapes.put_u8(kind::LITERAL);
            builder.shapes.put_text(literal);
        }
        builder.shape_count += 1;
    }
    Shapes::parse(&builder.finish()).unwrap()
}

/// Whether anywhere in these literals a part that has the letters satisfies a test, asked for each place by itself.
fn has_part(literals: &[String], letters: &str, matches: &dyn Fn(&str) -> bool) -> bool {
    literals.iter().enumerate().any(|(at, text)| {
        let lower = text.to_ascii_lowercase();
        (0..lower.len()).filter(|from| lower[*from..].starts_with(letters)).any(|from| {
            let end = from + letters.len();
            let before = text[..from].bytes().rposition(parts_words).or((at == 0).then_some(0));
            let behind = text[end..].bytes().position(parts_words).map(|len| end + len);
            let end = behind.or((at + 1 == literals.len()).then_some(text.len()));
            before.zip(end).is_some_and(|(start, end)| matches(&text[start..end]))
        })
    })
}

proptest! {
    #[test]
    fn parts_that_are_asked_once_tell_what_all_of_them_tell(
        all in prop::collection::vec(prop::collection::vec("[aAb ,=.]{1,14}", 1..4), 1..6),
        asked in prop::sample::select(vec!["a", "b", "aa", "ab", "a b", "a a", "a,b", "a=a", "a.a", "aa aa"]),
    ) {
        let shapes = shapes_of(&all);
        let test = FieldTest::words(asked, &Context::default());
        let matches = |text: &str| test.matches(FieldKind::Text, ValueRef::Str(text));
        let asking = Asking::of(&shapes, &TextTest { matches: &matches, ..text_test(&test) });
        for (shape, literals) in all.iter().enumerate() {
            let mut text = String::new();
            shapes.make(shape, &[], 0, &mut text).unwrap();
            let class = asking.classes[shape + 1];
            prop_assert!(class != verdict::ALL || matches(&text), "{text:?}");
            prop_assert!(class != 0 || !matches(&text), "{text:?}");
            if has_part(literals, asked, &matches) {
                prop_assert_eq!(class, verdict::ALL, "{:?}", text);
            }
        }
    }
}

#[test]
fn a_long_literal_is_asked_about_a_few_times_over() {
    const LEN: usize = 1 << 20;
    let (one, parts) = ("a".repeat(LEN), "ab=".repeat(LEN / 3));
    let (behind, before) = (format!("{one} "), format!(" {one}"));
    let shapes = shapes_of(&[
        vec![one.clone()],
        vec![one.clone(), one.clone()],
        vec![behind, before],
        vec![parts.clone()],
        vec![parts.clone(), parts],
    ]);
    for asked in ["a", "b=a", "ab=ab=ab", "aaaaaaaa"] {
        let test = FieldTest::words(asked, &Context::default());
        let bytes = std::cell::Cell::new(0);
        let matches = |text: &str| {
            bytes.set(bytes.get() + text.len());
            test.matches(FieldKind::Text, ValueRef::Str(text))
        };
        let asking = Asking::of(&shapes, &TextTest { matches: &matches, ..text_test(&test) });
        assert_eq!(asking.classes.len(), 6);
        assert!(bytes.get() <= 20 * LEN, "{asked}: {} bytes were asked", bytes.get());
    }
}

/// Texts of one shape that take no bits.
fn portion_of(shapes: Shapes, count: usize) -> Portion {
    let marks = vec![Default::default(); count.div_ceil(64)];
    Portion { shapes: Kept::new(shapes), ids: vec![1; count], marks, packed: Vec::new(), raw: None }
}

#[test]
fn entries_that_take_no_bits_have_an_index_up_to_a_bound() {
    let index = |slots: usize, rows: usize| {
        Index::of(&portion_of(shapes_of(&[vec![" ".to_owned(); slots + 1]]), rows))
    };
    let made = index(511, 1000).unwrap();
    let mut rows = 0;
    made.for_each_entry(&Rows::all(1), |_, of_entry| rows += of_entry.len());
    assert_eq!((rows, made.memory_bytes() >= 2 * rows), (511_000, true));
    assert!(index(64, 65_535).is_some());
    assert!(index(511, 65_535).is_none());
}
