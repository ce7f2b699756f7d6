use std::sync::Arc;

use proptest::prelude::*;
use sawyer_model::{Stream, Value, names};

use super::*;

const SOURCE: SourceId = SourceId(9);

struct Bench {
    assembler: Assembler,
    speaker: Speaker,
    batch: Batch,
    writer: LineWriter,
    buffer: Vec<u8>,
    acked: RangeSet,
    counts: Counts,
    spanning: Vec<Parts>,
}

fn bench(form: Form, line_bytes_max: usize) -> Bench {
    Bench {
        assembler: Assembler::new(SOURCE, form, line_bytes_max),
        speaker: Speaker::new(Arc::new(Stream::new([("pod", Value::from("p"))]))),
        batch: Batch::new(),
        writer: LineWriter::default(),
        buffer: Vec::new(),
        acked: RangeSet::new(),
        counts: Counts::default(),
        spanning: Vec::new(),
    }
}

impl Bench {
    fn with(&mut self, work: impl FnOnce(&mut Assembler, &mut Speaker, &mut Sink<'_>)) {
        let mut sink = Sink {
            batch: &mut self.batch,
            writer: &mut self.writer,
            buffer: &mut self.buffer,
            observed: Timestamp::from_secs(100),
            acked: &self.acked,
            counts: &mut self.counts,
            spanning: &mut self.spanning,
        };
        work(&mut self.assembler, &mut self.speaker, &mut sink);
    }

    /// Gives all of a text in chunks, as a file is read; what is left without a newline is given at the end.
    fn feed(&mut self, text: &[u8], chunk_bytes: usize) {
        let mut at = 0;
        loop {
            let chunk = &text[at..(at + chunk_bytes).min(text.len())];
            let full = chunk.len() == chunk_bytes;
            let mut taken = 0;
            self.with(|assembler, speaker, sink| {
                taken = assembler.take(chunk, at as u64, full, speaker, sink);
            });
            at += taken;
            if !full && taken < chunk.len() || chunk.is_empty() {
                break;
            }
        }
        let rest = &text[at..];
        self.with(|assembler, speaker, sink| {
            assembler.take_rest(rest, at as u64, speaker, sink);
            assembler.flush(speaker, sink);
        });
    }

    fn messages(&self) -> Vec<&str> {
        self.batch.iter().map(sawyer_model::RecordRef::message).collect()
    }

    fn covered(&self) -> RangeSet {
        self.batch.covered().iter().map(|covered| covered.range).collect()
    }
}

fn cri(stream: &str, tag: &str, content: &str) -> String {
    format!("2026-11-20T09:00:00.123456789Z {stream} {tag} {content}\n")
}

/// The end of a long line may lie in two chunks.
#[test]
fn a_long_line_of_utf_16_ends_where_its_line_feed_is_whole() {
    let text = "a line longer than a chunk\nnext\nanother line that is long\nlast";
    for name in ["utf-16le", "utf-16be"] {
        let Some(Some(charset)) = Charset::named(name) else { panic!("{name}") };
        let units = text.encode_utf16();
        let low_first = name == "utf-16le";
        let bytes: Vec<u8> =
            units.flat_map(|unit| if low_first { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect();
        for chunk_bytes in 3..20 {
            let mut bench = bench(Form::Encoded(charset), 1000);
            bench.feed(&bytes, chunk_bytes);
            let expected: Vec<&str> = text.lines().collect();
            assert_eq!(bench.messages(), expected, "{name} {chunk_bytes}");
        }
    }
}

#[test]
fn the_form_is_seen_at_the_first_line() {
    for (line, expected) in [
        (&b"{\"log\":\"x\"}"[..], Form::Docker),
        (b"2026-11-20T09:00:00Z stdout F x", Form::Cri),
        (b"what", Form::Cri),
        (b"", Form::Cri),
    ] {
        assert_eq!(Form::of_container(line, Form::Cri), expected);
    }
}

#[test]
fn what_is_durable_is_not_written_again() {
    let text = [cri("stdout", "P", "a"), cri("stderr", "F", "x"), cri("stdout", "F", "b")];
    let mut bench = bench(Form::Cri, 1000);
    let start = text[0].len() as u64;
    bench.acked.insert(SeqRange::new(start, start + text[1].len() as u64));
    bench.feed(text.concat().as_bytes(), 4096);
    assert_eq!(bench.messages(), ["ab"]);
}

#[test]
fn a_line_goes_on_in_the_next_file() {
    let mut older = bench(Form::Cri, 1000);
    let text = cri("stdout", "P", "be");
    older.with(|assembler, speaker, sink| {
        assert_eq!(assembler.take(text.as_bytes(), 0, false, speaker, sink), text.len());
    });
    assert!(older.assembler.holds());
    let held = older.assembler.take_held();
    assert!(!older.assembler.holds());
    let mut newer = bench(Form::Cri, 1000);
    newer.assembler = Assembler::new(SourceId(10), Form::Cri, 1000);
    newer.assembler.resume(held);
    newer.feed([cri("stderr", "F", "x"), cri("stdout", "F", "ginning")].concat().as_bytes(), 4096);
    assert_eq!(newer.messages(), ["x", "beginning"]);
    let older = newer.batch.covered().iter().find(|covered| covered.source == SOURCE).unwrap();
    assert_eq!(older.range, SeqRange::new(0, text.len() as u64));
}

fn docker(second: u32, log: &str) -> String {
    format!("{{\"log\":\"{log}\",\"stream\":\"stdout\",\"time\":\"2026-11-20T09:00:{second:02}Z\"}}\n")
}

#[test]
fn lines_of_other_times_are_not_glued_together() {
    let mut older = bench(Form::Docker, 1000);
    let text = docker(1, "rest was rotated away");
    older.with(|assembler, speaker, sink| {
        assembler.take(text.as_bytes(), 0, false, speaker, sink);
    });
    let mut newer = bench(Form::Docker, 1000);
    newer.assembler = Assembler::new(SourceId(10), Form::Docker, 1000);
    newer.assembler.resume(older.assembler.take_held());
    newer.feed([docker(2, "another "), docker(2, "line\\n")].concat().as_bytes(), 4096);
    assert_eq!(newer.messages(), ["rest was rotated away", "another line"]);
    let first = newer.batch.get(0);
    assert_eq!((first.source(), first.range()), (SOURCE, SeqRange::new(0, text.len() as u64)));
    assert_eq!(newer.batch.get(1).source(), SourceId(10));
}

#[test]
fn what_nobody_goes_on_with_belongs_to_the_file_where_it_lies() {
    let mut older = bench(Form::Cri, 1000);
    let text = cri("stdout", "P", "last words");
    older.with(|assembler, speaker, sink| {
        assembler.take(text.as_bytes(), 0, false, speaker, sink);
    });
    let mut newer = bench(Form::Cri, 1000);
    newer.assembler = Assembler::new(SourceId(10), Form::Cri, 1000);
    newer.assembler.resume(older.assembler.take_held());
    newer.feed(cri("stderr", "F", "x").as_bytes(), 4096);
    assert_eq!(newer.messages(), ["x", "last words"]);
    let last = newer.batch.get(1);
    assert_eq!((last.source(), last.range()), (SOURCE, SeqRange::new(0, text.len() as u64)));
}

#[test]
fn a_malformed_line_takes_the_time_of_the_line_before() {
    let mut bench = bench(Form::Cri, 1000);
    bench.feed(format!("first\n{}broken\n", cri("stdout", "F", "good")).as_bytes(), 4096);
    assert_eq!(bench.messages(), ["first", "good", "broken"]);
    let times: Vec<Timestamp> = bench.batch.iter().map(sawyer_model::RecordRef::timestamp).collect();
    assert_eq!((times[0], times[2]), (Timestamp::from_secs(100), times[1]));
    assert_eq!(bench.counts.malformed, 2);
    assert_eq!(bench.batch.get(0).get(names::STREAM), None);
}

/// Lines of a container, some of them in pieces, some of them broken.
fn container_text() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        6 => ("(stdout|stderr)", "(P|F)", "[a-z ]{0,30}").prop_map(|(stream, tag, text)| cri(&stream, &tag, &text)),
        1 => "[a-zé {}]{0,20}\n",
        1 => ("(stdout|stderr)", "[a-z]{100,400}").prop_map(|(stream, text)| cri(&stream, "F", &text)),
    ];
    (prop::collection::vec(line, 0..20), "[a-z ]{0,60}").prop_map(|(lines, rest)| lines.concat() + &rest)
}

proptest! {
    #[test]
    fn every_byte_is_covered_however_it_is_read(text in container_text(), chunk_bytes in 64usize..600) {
        for form in [Form::Cri, Form::Plain, Form::Docker] {
            let mut whole = bench(form, 10_000);
            whole.feed(text.as_bytes(), 1 << 20);
            let mut pieces = bench(form, 10_000);
            pieces.feed(text.as_bytes(), chunk_bytes);
            let all: RangeSet = [SeqRange::new(0, text.len() as u64)].into_iter().collect();
            prop_assert_eq!(&whole.covered(), &all);
            prop_assert_eq!(&pieces.covered(), &all);
            prop_assert_eq!(whole.messages(), pieces.messages());
            let ids = |bench: &Bench| bench.batch.iter().map(sawyer_model::RecordRef::id).collect::<Vec<_>>();
            prop_assert_eq!(ids(&whole), ids(&pieces));
        }
    }
}
