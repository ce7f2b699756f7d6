use std::sync::mpsc;

use proptest::prelude::*;
use sawyer_model::{Outcome, Record, RecordRef, Stream, Timestamp, Value, names};

use super::*;
use crate::steps::testing::{context, record, settings};

struct Bench {
    step: Multiline,
    start: Instant,
}

fn bench(text: &str) -> Bench {
    Bench { step: Multiline::new(settings(text), &context("multiline")), start: Instant::now() }
}

/// A transfer that is on its way, with the place where its outcome is told.
struct Sent(mpsc::Receiver<Outcome>);

impl Sent {
    fn outcome(&self) -> Option<Outcome> {
        self.0.try_recv().ok()
    }
}

impl Bench {
    fn send(&mut self, records: &[Record], out: &mut Vec<Transfer>) -> Sent {
        let (told, outcome) = mpsc::channel();
        let ack = Ack::new(move |outcome| {
            // Nobody listens any more after a crash.
            let _ = told.send(outcome);
        });
        let batch: Batch = records.iter().collect();
        self.step.apply_at(Transfer { batch: Arc::new(batch), ack }, out, self.start);
        Sent(outcome)
    }

    fn wake(&mut self, after: Duration, out: &mut Vec<Transfer>) {
        let now = self.start + after;
        self.step.give_out_due(out, now);
    }
}

fn of(mut record: Record, stream: &str) -> Record {
    record.stream = Arc::new(Stream::new([("stream", Value::from(stream))]));
    record
}

fn show(out: &[Transfer]) -> String {
    let mut text = String::new();
    for transfer in out {
        for record in transfer.batch.iter() {
            text.push_str(&format!("{:?} {:?}\n", record.range(), record.message()));
        }
        text.push_str(&format!("covers {}\n", show_cover(&transfer.batch)));
    }
    text.replace("SeqRange ", "")
}

fn show_cover(batch: &Batch) -> String {
    let parts = batch.covered().iter().map(|part| format!("{}..{}", part.range.start, part.range.end));
    parts.collect::<Vec<_>>().join(" ")
}

fn lines(from: u64, texts: &[&str]) -> Vec<Record> {
    texts.iter().enumerate().map(|(at, text)| record(from + at as u64 * 10, text)).collect()
}

#[test]
fn joins_lines_of_a_batch() {
    let mut out = Vec::new();
    let sent = bench("{}").send(&lines(0, &["a", "ERROR x", "\tat b", "\tat c", "d"]), &mut out);
    insta::assert_snapshot!(show(&out), @r#"
    { start: 0, end: 10 } "a"
    { start: 10, end: 40 } "ERROR x\n\tat b\n\tat c"
    { start: 40, end: 50 } "d"
    covers 0..50
    "#);
    assert_eq!(sent.outcome(), None);
    out.into_iter().for_each(|transfer| transfer.ack.durable());
    assert_eq!(sent.outcome(), Some(Outcome::Durable));
}

#[test]
fn ordinary_batches_pass_untouched() {
    let mut bench = bench("{}");
    let batch = Arc::new(lines(0, &["a", "INFO b", "{\"error\":1}", "c"]).iter().collect::<Batch>());
    let mut out = Vec::new();
    bench.step.apply_at(Transfer { batch: Arc::clone(&batch), ack: Ack::none() }, &mut out, bench.start);
    assert!(Arc::ptr_eq(&out[0].batch, &batch));
    assert_eq!(bench.step.wake_at(), None);
}

#[test]
fn a_group_over_batches_holds_all_their_acknowledgements() {
    let mut bench = bench("{}");
    let mut out = Vec::new();
    let first = bench.send(&lines(0, &["a", "ERROR x"]), &mut out);
    let second = bench.send(&lines(20, &["\tat b"]), &mut out);
    insta::assert_snapshot!(show(&out), @r#"
    { start: 0, end: 10 } "a"
    covers 0..10
    "#);
    out.drain(..).for_each(|transfer| transfer.ack.durable());
    assert_eq!((first.outcome(), second.outcome()), (None, None));
    let third = bench.send(&lines(30, &["\tat c", "d"]), &mut out);
    insta::assert_snapshot!(show(&out), @r#"
    { start: 10, end: 40 } "ERROR x\n\tat b\n\tat c"
    { start: 40, end: 50 } "d"
    covers 10..50
    "#);
    assert_eq!((first.outcome(), second.outcome(), third.outcome()), (None, None, None));
    out.drain(..).for_each(|transfer| transfer.ack.durable());
    let durable = Some(Outcome::Durable);
    assert_eq!((first.outcome(), second.outcome(), third.outcome()), (durable, durable, durable));
}

#[test]
fn a_group_that_is_let_go_of_lets_go_of_all_its_transfers() {
    let mut bench = bench("{}");
    let mut out = Vec::new();
    let first = bench.send(&lines(0, &["a", "ERROR x"]), &mut out);
    out.drain(..).for_each(|transfer| transfer.ack.durable());
    let second = bench.send(&lines(20, &["\tat b", "d"]), &mut out);
    drop(out);
    assert_eq!(first.outcome(), Some(Outcome::Undelivered));
    assert_eq!(second.outcome(), Some(Outcome::Undelivered));
}

#[test]
fn gives_out_after_silence_and_at_the_end() {
    let mut bench = bench("wait: 1s");
    let mut out = Vec::new();
    let alone = bench.send(&lines(0, &["ERROR x"]), &mut out);
    assert_eq!(bench.step.wake_at(), Some(bench.start + Duration::from_millis(250)));
    bench.wake(Duration::from_millis(249), &mut out);
    assert!(out.is_empty());
    bench.wake(Duration::from_millis(250), &mut out);
    insta::assert_snapshot!(show(&out), @r#"
    { start: 0, end: 10 } "ERROR x"
    covers 0..10
    "#);
    out.drain(..).for_each(|transfer| transfer.ack.durable());
    assert_eq!(alone.outcome(), Some(Outcome::Durable));
    bench.send(&lines(10, &["ERROR x", "\tat b"]), &mut out);
    bench.wake(Duration::from_millis(999), &mut out);
    assert!(out.is_empty());
    bench.step.finish(&mut out);
    insta::assert_snapshot!(show(&out), @r#"
    { start: 10, end: 30 } "ERROR x\n\tat b"
    covers 10..30
    "#);
    assert_eq!(bench.step.wake_at(), None);
}

#[test]
fn gives_out_what_is_due_where_others_never_cease() {
    let mut bench = bench("{}");
    let mut out = Vec::new();
    bench.send(&[of(record(0, "ERROR x"), "stderr")], &mut out);
    bench.start += Duration::from_millis(249);
    bench.send(&[of(record(10, "busy"), "stdout")], &mut out);
    bench.start += Duration::from_millis(1);
    bench.send(&[of(record(20, "busy"), "stdout")], &mut out);
    insta::assert_snapshot!(show(&out), @r#"
    { start: 10, end: 20 } "busy"
    covers 10..20
    { start: 20, end: 30 } "busy"
    covers 20..30
    { start: 0, end: 10 } "ERROR x"
    covers 0..10
    "#);
}

/// A bench whose input tells how far it is.
struct Told {
    bench: Bench,
    progress: Arc<Progress>,
    sent: u64,
    out: Vec<Transfer>,
}

impl Told {
    fn new() -> Self {
        let bench = bench("{}");
        let progress = Arc::new(Progress::new(bench.start));
        Self { bench, progress, sent: 0, out: Vec::new() }
    }

    fn batch(&mut self, from: u64, texts: &[&str]) -> Transfer {
        self.sent += 1;
        let mut batch: Batch = lines(from, texts).iter().collect();
        batch.set_progress(&self.progress, self.sent);
        Transfer { batch: Arc::new(batch), ack: Ack::none() }
    }

    fn arrives(&mut self, transfer: Transfer, millis: u64) {
        let now = self.bench.start + Duration::from_millis(millis);
        self.bench.step.apply_at(transfer, &mut self.out, now);
    }

    /// The input looks at this time, and has sent all that it has read.
    fn looks(&mut self, millis: u64) {
        self.progress.set_looked(self.bench.start + Duration::from_millis(millis), self.sent);
    }

    fn wakes(&mut self, millis: u64) -> usize {
        self.bench.wake(Duration::from_millis(millis), &mut self.out);
        self.messages().len()
    }

    fn messages(&self) -> Vec<String> {
        let records = self.out.iter().flat_map(|transfer| transfer.batch.iter());
        records.map(|record| record.message().to_owned()).collect()
    }
}

#[test]
fn a_group_waits_for_what_its_source_has_already() {
    let mut told = Told::new();
    let (first, second) = (told.batch(0, &["ERROR x"]), told.batch(10, &["\tat b", "end"]));
    told.looks(200);
    told.progress.set_behind(SourceId(7), true);
    told.arrives(first, 0);
    // The rest is not read yet, however often others are looked at.
    told.looks(9_000);
    assert_eq!((told.wakes(250), told.wakes(9_000), told.wakes(9_100)), (0, 0, 0));
    // It is read, and on its way.
    told.progress.set_behind(SourceId(7), false);
    told.looks(9_200);
    assert_eq!(told.wakes(9_300), 0);
    told.arrives(second, 9_400);
    told.looks(9_700);
    assert_eq!(told.wakes(9_700), 2);
    assert_eq!(told.messages(), ["ERROR x\n\tat b", "end"]);
}

#[test]
fn a_source_that_nobody_looked_at_was_not_silent() {
    let mut told = Told::new();
    let first = told.batch(0, &["ERROR x"]);
    told.arrives(first, 0);
    // The input stands still for three seconds; the step is woken now and then.
    told.looks(200);
    assert_eq!((told.wakes(250), told.wakes(1_500), told.wakes(3_000)), (0, 0, 0));
    assert_eq!(told.bench.step.wake_at(), Some(told.bench.start + Duration::from_millis(3_050)));
    told.looks(3_010);
    assert_eq!(told.wakes(3_050), 1);
}

#[test]
fn a_process_that_stood_still_reads_before_it_gives_out() {
    let mut told = Told::new();
    let first = told.batch(0, &["ERROR x"]);
    told.arrives(first, 0);
    told.looks(10);
    told.progress.set_resting(true);
    // Nobody ran until now, so that nobody has heard yet of what was written meanwhile.
    assert_eq!(told.wakes(3_000), 0);
    let second = told.batch(10, &["\tat b"]);
    told.arrives(second, 3_020);
    told.looks(3_030);
    assert_eq!(told.wakes(3_050), 0);
    assert_eq!(told.wakes(4_020), 1);
    assert_eq!(told.messages(), ["ERROR x\n\tat b"]);
}

#[test]
fn a_group_does_not_keep_its_input_from_reading() {
    let mut told = Told::new();
    let first = told.batch(0, &["ERROR x"]);
    told.arrives(first, 0);
    told.looks(10);
    // The rest is there, and not read before something is acknowledged, as this group may be.
    told.progress.set_behind(SourceId(7), true);
    told.progress.set_stalled(Some(told.bench.start + Duration::from_millis(100)));
    assert_eq!((told.wakes(250), told.wakes(500)), (0, 0));
    assert_eq!((told.wakes(599), told.wakes(600)), (0, 1));
}

#[test]
fn what_an_input_never_tells_is_given_out_at_last() {
    let mut told = Told::new();
    let first = told.batch(0, &["ERROR x"]);
    told.arrives(first, 0);
    assert_eq!((told.wakes(250), told.wakes(30_249), told.wakes(30_250)), (0, 0, 1));
}

#[test]
fn streams_and_sources_are_kept_apart() {
    let mut out = Vec::new();
    let mut other = of(record(30, "\tat other"), "stderr");
    other.source = SourceId(8);
    let mixed = [
        of(record(0, "ERROR x"), "stderr"),
        of(record(10, "\tfoo"), "stdout"),
        of(record(20, "\tat b"), "stderr"),
        other,
        of(record(40, "done"), "stderr"),
    ];
    bench("{}").send(&mixed, &mut out);
    insta::assert_snapshot!(show(&out), @r#"
    { start: 10, end: 20 } "\tfoo"
    { start: 20, end: 30 } "ERROR x\n\tat b"
    { start: 40, end: 50 } "done"
    covers 0..30 40..50
    "#);
}

#[test]
fn a_line_that_comes_too_late_stands_alone_however_often_it_is_read() {
    let late = |by| {
        let mut all = lines(0, &["ERROR x", "\tat b", "end"]);
        all[1].timestamp = all[0].timestamp.saturating_add(Duration::from_millis(by));
        let mut out = Vec::new();
        bench("{}").send(&all, &mut out);
        out[0].batch.len()
    };
    assert_eq!((late(250), late(251)), (2, 3));
}

#[test]
fn groups_are_bounded() {
    let mut trace = vec!["ERROR x"];
    trace.resize(10, "\tat b");
    trace.push("end");
    let mut out = Vec::new();
    bench("lines_max: 4").send(&lines(0, &trace), &mut out);
    let found: Vec<usize> = out[0].batch.iter().map(|record| record.message().lines().count()).collect();
    assert_eq!(found, [4, 4, 2, 1]);
    let long = "\tat ".repeat(150);
    let mut out = Vec::new();
    bench("bytes_max: 1KiB").send(&lines(0, &["ERROR x", &long, &long, "end"]), &mut out);
    assert_eq!(out[0].batch.len(), 3);
}

#[test]
fn lines_that_are_not_utf8_keep_their_bytes() {
    let mut all = lines(0, &["ERROR \u{fffd}", "\tat b", "end"]);
    all[0].fields.push((names::MARK.into(), Value::from(names::MARK_INVALID_UTF8)));
    all[0].fields.push((names::ORIGINAL_BASE64.into(), Value::from("RVJST1Ig/w==")));
    let mut out = Vec::new();
    bench("{}").send(&all, &mut out);
    let joined = out[0].batch.get(0);
    assert_eq!(joined.message(), "ERROR \u{fffd}\n\tat b");
    assert_eq!(joined.marks().collect::<Vec<_>>(), [names::MARK_INVALID_UTF8]);
    let bytes = joined.get(names::ORIGINAL_BASE64).unwrap().as_str().unwrap();
    assert_eq!(sawyer_codec::text::from_base64(bytes).unwrap(), b"ERROR \xff\n\tat b");
}

#[test]
fn what_else_is_known_of_lines_must_be_alike() {
    let all = |programs: [&str; 3]| {
        let mut all = lines(0, &["ERROR x", "\tat b", "end"]);
        for (line, program) in all.iter_mut().zip(programs) {
            line.fields.push(("program".into(), Value::from(program)));
        }
        let mut out = Vec::new();
        bench("{}").send(&all, &mut out);
        out[0]
            .batch
            .iter()
            .map(|record| record.get("program").unwrap().as_str().unwrap().to_owned())
            .collect()
    };
    let names: Vec<String> = all(["a", "a", "b"]);
    assert_eq!(names, ["a", "b"]);
    let names: Vec<String> = all(["a", "b", "b"]);
    assert_eq!(names, ["a", "b", "b"]);
}

#[test]
fn first_lines_may_be_told() {
    let mut out = Vec::new();
    let mut bench = bench("first_line: '^\\d{4}-'");
    bench.send(&lines(0, &["2026-01 a", "b", "", "2026-01 c"]), &mut out);
    bench.send(&lines(40, &["d", "2026-01 e"]), &mut out);
    insta::assert_snapshot!(show(&out), @r#"
    { start: 0, end: 30 } "2026-01 a\nb\n"
    covers 0..30
    { start: 30, end: 50 } "2026-01 c\nd"
    covers 30..50
    "#);
    let wrong = crate::steps::testing::bench("multiline", "first_line: '('").err().unwrap();
    assert!(wrong.starts_with("sawyer.yaml:1:1: first_line: regex parse error"), "{wrong}");
}

#[test]
fn what_else_a_batch_covers_is_told_at_once() {
    let mut bench = bench("{}");
    let mut batch = Batch::new();
    batch.cover(SourceId(7), SeqRange::new(0, 5));
    let mut line = record(5, "ERROR x");
    line.range = SeqRange::new(5, 9);
    batch.push(&line);
    batch.cover(SourceId(7), SeqRange::new(9, 12));
    let mut out = Vec::new();
    bench.step.apply_at(Transfer { batch: Arc::new(batch), ack: Ack::none() }, &mut out, bench.start);
    assert!(out[0].batch.is_empty());
    assert_eq!(show_cover(&out[0].batch), "0..5 9..12");
}

#[test]
fn real_traces_are_grouped_over_any_borders() {
    let Some(path) = sawyer_testkit::shared("vectors/multiline_coroot.json") else { return };
    let vectors: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    for case in vectors["cases"].as_array().unwrap() {
        let texts: Vec<&str> = case["input"].as_str().unwrap().lines().collect();
        for size in 1..=texts.len() {
            let mut bench = bench("{}");
            let mut out = Vec::new();
            let sent: Vec<Sent> =
                lines(0, &texts).chunks(size).map(|chunk| bench.send(chunk, &mut out)).collect();
            bench.step.finish(&mut out);
            let found: Vec<String> = out
                .iter()
                .flat_map(|transfer| transfer.batch.iter().map(|record| record.message().to_owned()))
                .collect();
            assert_eq!(found.len() as u64, case["expected_messages"].as_u64().unwrap(), "{size}: {found:#?}");
            assert_eq!(found.join("\n"), texts.join("\n"));
            let covered: RangeSet =
                out.iter().flat_map(|transfer| transfer.batch.covered()).map(|part| part.range).collect();
            assert!(covered.contains(SeqRange::new(0, texts.len() as u64 * 10)));
            out.into_iter().for_each(|transfer| transfer.ack.durable());
            assert!(sent.iter().all(|sent| sent.outcome() == Some(Outcome::Durable)));
        }
    }
}

/// What the store does: takes a record unless all of its own range is there already.
#[derive(Default)]
struct Stored {
    ranges: BTreeMap<SourceId, RangeSet>,
    lines: Vec<(Timestamp, String)>,
}

impl Stored {
    fn take(&mut self, batch: &Batch) {
        for record in batch.iter() {
            let known = self.ranges.entry(record.source()).or_default();
            if known.insert(record.range()) > 0 {
                self.lines.extend(split(record));
            }
        }
        for part in batch.covered() {
            self.ranges.entry(part.source).or_default().insert(part.range);
        }
    }
}

fn split(record: RecordRef<'_>) -> impl Iterator<Item = (Timestamp, String)> {
    record.message().split('\n').map(move |line| (record.timestamp(), line.to_owned()))
}

const KINDS: [&str; 7] =
    ["plain", "ERROR x", "\tat b", "Caused by: y", "{\"a\":1}", "-----BEGIN X-----", "TUlJ"];

proptest! {
    /// Lines in batches of any size, through a crash after any of them: what is read again from where nothing was
    /// acknowledged ends with every line in the store, once.
    #[test]
    fn a_crash_neither_loses_nor_doubles(
        kinds in prop::collection::vec((0..KINDS.len(), any::<bool>()), 1..40),
        sizes in prop::collection::vec(1usize..6, 1..20),
        crash in 0usize..12,
    ) {
        let all: Vec<Record> = kinds.iter().enumerate().map(|(at, (kind, err))| {
            let text = format!("{}{}", KINDS[*kind], if *kind == 6 { String::new() } else { format!(" #{at}") });
            of(record(at as u64 * 10, &text), if *err { "stderr" } else { "stdout" })
        }).collect();
        let mut stored = Stored::default();
        let mut from = 0;
        for crashes in [Some(crash), None] {
            let mut bench = bench("{}");
            let (mut at, mut sent) = (from, Vec::new());
            for (number, size) in sizes.iter().cycle().enumerate() {
                if at >= all.len() || crashes.is_some_and(|crash| number == crash) {
                    break;
                }
                let end = (at + size).min(all.len());
                let mut out = Vec::new();
                sent.push((end, bench.send(&all[at..end], &mut out)));
                for transfer in out {
                    stored.take(&transfer.batch);
                    transfer.ack.durable();
                }
                at = end;
            }
            if crashes.is_some() {
                // Offsets move over what was acknowledged without a gap.
                for (end, sent) in &sent {
                    if sent.outcome() != Some(Outcome::Durable) {
                        break;
                    }
                    from = *end;
                }
                continue;
            }
            let mut out = Vec::new();
            bench.step.finish(&mut out);
            for transfer in out {
                stored.take(&transfer.batch);
                transfer.ack.durable();
            }
            prop_assert!(sent.iter().all(|(_, sent)| sent.outcome() == Some(Outcome::Durable)));
        }
        let mut found: Vec<String> = stored.lines.iter().map(|(_, line)| line.clone()).collect();
        let mut wanted: Vec<String> =
            all.iter().map(|record| record.get("message").unwrap().as_str().unwrap().to_owned()).collect();
        found.sort();
        wanted.sort();
        prop_assert_eq!(found, wanted);
    }
}

#[test]
fn a_stream_says_how_its_lines_are_grouped() {
    let grouped = |settings: &str, hint: &str| {
        let lines = ["2026-11-20 one", "two", "java.lang.Error: x", "\tat a.B.c(B.java:1)"];
        let mut records: Vec<Record> =
            lines.iter().enumerate().map(|(at, line)| record(at as u64 * 100, line)).collect();
        for record in &mut records {
            record.stream = Arc::new(Stream::new([("sawyer.multiline", Value::from(hint))]));
        }
        let (mut bench, mut out) = (bench(settings), Vec::new());
        bench.send(&records, &mut out);
        bench.step.finish(&mut out);
        let messages = out
            .iter()
            .flat_map(|transfer| transfer.batch.iter().map(|record| record.message().lines().count()));
        messages.collect::<Vec<usize>>()
    };
    assert_eq!(grouped("{}", "auto"), [1, 1, 2]);
    assert_eq!(grouped("{}", "off"), [1, 1, 1, 1]);
    assert_eq!(grouped("{}", r"^\d{4}-"), [4]);
    assert_eq!(grouped(r"first_line: '^\d{4}-'", "auto"), [1, 1, 2]);
    assert_eq!(grouped(r"{first_line: '^\d{4}-', hints: false}", "off"), [4]);
    assert_eq!(grouped("{}", "^("), [1, 1, 2], "what is no pattern changes nothing");
}
