//! What do the steps of a pipeline cost for each byte of log text?
//!
//! Every line of the given files becomes a record; batches of them go through chains of steps. The yardstick is a
//! search for a byte that is nowhere in the text, measured in the same run. Then the same for the way from an input to an
//! output with the ledger's books, where nothing is left out and where a rule takes every second line.
#![allow(clippy::print_stdout, reason = "the figures")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, anyhow};
use sawyer_bench::Cost;
use sawyer_config::{Document, Problems};
use sawyer_disk::{SimDisk, SimSettings};
use sawyer_model::{
    Ack, Batch, Fate, NameId, RecordHead, SeqRange, SourceId, Stream, Timestamp, Transfer, Value, ValueRef,
    Way,
};
use sawyer_pipeline::queue::queue;
use sawyer_pipeline::{Context, Outlet, Step, steps};
use sawyer_telemetry::{Clock, Health, Metrics, SourceFates};

/// Records of a batch.
const BATCH_RECORDS: usize = 1000;

/// Bytes of text for each figure, at least: CPU time is told in hundredths of a second.
const WORK_BYTES: usize = 200 << 20;

/// How many times as often batches are booked: that takes next to nothing.
const BOOKED_TIMES: usize = 10;

/// 2026-11-20T12:00:00Z
const NOW: Timestamp = Timestamp::from_secs(1_795_176_000);

const CHAINS: &[&[(&str, &str)]] = &[
    &[],
    &[("multiline", "{}")],
    &[("mask", "{}")],
    &[("mask", "{personal: [email, card_number, resident_number, phone_number]}")],
    &[("parse", "{}")],
    &[("multiline", "{}"), ("mask", "{}"), ("parse", "{}")],
];

fn main() -> Result<()> {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() || paths[0] == Path::new("--help") {
        println!("usage: steps FILE_OR_FOLDER …   (log files in plain text)");
        return Ok(());
    }
    let mut files = Vec::new();
    for path in paths {
        collect(&path, &mut files)?;
    }
    let batches: Vec<Arc<Batch>> = files.iter().enumerate().flat_map(|(n, text)| batches(n, text)).collect();
    let bytes: usize = batches.iter().map(|batch| batch.text_bytes()).sum();
    let lines: usize = batches.iter().map(|batch| batch.len()).sum();
    let rounds = WORK_BYTES.div_ceil(bytes.max(1));
    println!("{} files, {lines} lines, {bytes} bytes, {rounds} rounds", files.len());
    let yardstick = yardstick(&files, rounds)?;
    println!("{:<40} {:>10.0} MB/CPU s", "yardstick: one pass over the bytes", yardstick);
    for chain in CHAINS {
        let mut steps = chain.iter().map(|(kind, text)| open(kind, text)).collect::<Result<Vec<_>>>()?;
        let before = Cost::of(std::process::id())?;
        for _ in 0..rounds {
            for batch in &batches {
                pass(&mut steps, batch);
            }
        }
        let cost = Cost::of(std::process::id())?.since(before);
        let rate = cost.megabytes_per_cpu_second((bytes * rounds) as u64);
        let names: Vec<String> = chain.iter().map(|(kind, text)| format!("{kind} {text}")).collect();
        let names = if names.is_empty() { "a copy of each batch".to_owned() } else { names.join(", ") };
        println!("{names:<40} {rate:>10.0} MB/CPU s  {:>6.2} ns a byte", 1000.0 / rate);
    }
    for sources in [1, 100] {
        for steps in [vec![], vec![open("drop", "{when: \"second: true\"}")?]] {
            let what = if steps.is_empty() { "booked" } else { "drop every second line, booked" };
            let name = format!("{what}, {sources} sources");
            let nanos = booked(&files, sources, steps, rounds)? / bytes as f64;
            println!("{name:<40} {:>10.0} MB/CPU s  {nanos:>6.3} ns a byte", 1000.0 / nanos);
        }
    }
    Ok(())
}

/// CPU time in nanoseconds of leading all batches once, with lines of so many sources, ten of each at a time, from an input through steps to
/// an output that takes them, and of booking that.
fn booked(files: &[String], sources: u64, mut steps: Vec<Box<dyn Step>>, rounds: usize) -> Result<f64> {
    let batches: Vec<Batch> = files.iter().flat_map(|text| of_sources(text, sources)).collect();
    let metrics = Metrics::new();
    let outputs = vec!["out".into()];
    let way = Arc::new(Way { input: "in".into(), pipeline: "main".into(), outputs, copies: vec![false] });
    let (to, mut from) = queue(u64::MAX >> 1);
    let outlet = Outlet::along("in", vec![(to, way)], &metrics);
    let kept = Arc::new(Mutex::new(SourceFates::default()));
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut lead = |batch: &Batch| {
        let (ledger, kept) = (metrics.ledger().clone(), Arc::clone(&kept));
        let ack = Ack::tallied_by_source(move |_, tally| {
            ledger.book(&tally);
            kept.lock().unwrap_or_else(PoisonError::into_inner).book(&tally, |_| true);
        });
        let transfer = runtime.block_on(async {
            outlet.send_tallied(batch.clone(), ack).await.ok()?;
            from.next().await
        });
        let mut transfers = transfer.map(|queued| queued.into_parts().0).into_iter().collect();
        for step in &mut steps {
            let mut next = Vec::new();
            for transfer in transfers {
                step.apply(transfer, &mut next);
            }
            transfers = next;
        }
        for Transfer { batch, ack } in transfers {
            ack.at_exit("out", batch.own(), Fate::Delivered).durable();
        }
    };
    let rounds = rounds * BOOKED_TIMES;
    let before = Cost::of_thread()?;
    for _ in 0..rounds {
        batches.iter().for_each(&mut lead);
    }
    Ok((Cost::of_thread()? - before).as_nanos() as f64 / rounds as f64)
}

/// As [`batches`], each of so many sources, every second record of which has the field `second`.
fn of_sources(text: &str, sources: u64) -> Vec<Batch> {
    let lines: Vec<&str> = text.lines().collect();
    let mut at = 0;
    let batch = |lines: &[&str]| {
        let mut batch = Batch::new();
        let stream = batch.add_stream(&Arc::new(Stream::default()));
        for (n, line) in (0_u64..).zip(lines) {
            let range = SeqRange::new(at, at + line.len() as u64 + 1);
            at = range.end;
            let source = SourceId(u128::from(n / 10 % sources));
            let head = RecordHead { timestamp: NOW, observed: NOW, source, range };
            let mut writer = batch.begin(head, stream);
            writer.field_by_id(NameId::MESSAGE, ValueRef::Str(line));
            if n % 2 == 1 {
                writer.field("second", ValueRef::Bool(true));
            }
        }
        batch
    };
    lines.chunks(BATCH_RECORDS).map(batch).collect()
}

fn collect(path: &Path, files: &mut Vec<String>) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path).with_context(|| format!("read {}", path.display()))? {
            collect(&entry?.path(), files)?;
        }
        return Ok(());
    }
    // Archives and other data are no log text.
    if let Ok(text) = String::from_utf8(fs::read(path)?) {
        files.push(text);
    }
    Ok(())
}

fn batches(number: usize, text: &str) -> Vec<Arc<Batch>> {
    let fields = [("pod", Value::from(format!("pod-{number}"))), ("container", Value::from("app"))];
    let stream = Arc::new(Stream::new(fields));
    let lines: Vec<&str> = text.lines().collect();
    let mut at = 0;
    let batches = lines.chunks(BATCH_RECORDS).map(|lines| {
        let mut batch = Batch::new();
        let stream = batch.add_stream(&stream);
        for line in lines {
            let range = SeqRange::new(at, at + line.len() as u64 + 1);
            at = range.end;
            let head = RecordHead { timestamp: NOW, observed: NOW, source: SourceId(number as u128), range };
            batch.begin(head, stream).field_by_id(NameId::MESSAGE, ValueRef::Str(line));
        }
        Arc::new(batch)
    });
    batches.collect()
}

fn open(kind: &str, text: &str) -> Result<Box<dyn Step>> {
    let kind = steps::kinds().into_iter().find(|known| known.name == kind).context("find the step")?;
    let document = Document::parse("settings", text).map_err(|problems| anyhow!("{problems}"))?;
    let mut problems = Problems::new();
    let plan = (kind.read)(&document.at(), &mut problems);
    let plan = problems.into_result(plan).map_err(|problems| anyhow!("{problems}"))?;
    let context = Context {
        name: format!("bench/{}", kind.name),
        clock: Clock::system(),
        metrics: Metrics::new(),
        state: Arc::new(SimDisk::new(1, SimSettings::default())),
        host_root: None,
        ports: sawyer_pipeline::Ports::default(),
        health: Health::new(),
        buffer: None,
    };
    Ok(plan.open(&context)?)
}

fn pass(steps: &mut [Box<dyn Step>], batch: &Arc<Batch>) {
    // As behind an input: nobody else has the batch, so that steps change it in place.
    let batch = Arc::new(Batch::clone(batch));
    let mut transfers = vec![Transfer { batch, ack: Ack::none() }];
    for step in steps {
        let mut next = Vec::new();
        for transfer in transfers {
            step.apply(transfer, &mut next);
        }
        transfers = next;
    }
    std::hint::black_box(transfers);
}

fn yardstick(files: &[String], rounds: usize) -> Result<f64> {
    let before = Cost::of(std::process::id())?;
    let mut bytes = 0;
    for _ in 0..rounds {
        for text in files {
            bytes += text.len() as u64;
            std::hint::black_box(
                std::hint::black_box(text.as_bytes()).iter().filter(|b| **b == 0xFF).count(),
            );
        }
    }
    Ok(Cost::of(std::process::id())?.since(before).megabytes_per_cpu_second(bytes))
}
