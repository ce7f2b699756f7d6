//! What writing segments costs, stage by stage, in one process and on one thread: reading lines of JSON, the form of the
//! write-ahead log, sealing, merging. The records are those of `store`. With `--curve` the same for several ways of sealing, and
//! what each of them costs whoever asks.
//!
//! Owns: which figures there are. Does not own: the workload (`sawyer_bench`).

#![allow(clippy::print_stdout, reason = "it is a program")]

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use sawyer_bench::Cost;
use sawyer_bench::kubernetes::{WORDS, Workload};
use sawyer_codec::ndjson_in::{NdjsonHead, NdjsonReader, Sender};
use sawyer_model::{Batch, SeqRange, SourceId, Stream, Timestamp, Value, names};
use sawyer_query::kql::{CompileOptions, compile};
use sawyer_query::search::{Budget, SearchStats, Selection};
use sawyer_segment::{Cache, EncodeSettings, Segment, encode, encode_batch_parts, merge};

/// Records that aims are for.
const AIM_RECORDS: f64 = 2e6;

/// Later than any record.
const END_NANOS: u64 = 1_800_000_000_000_000_000;

/// Measures writing segments.
#[derive(Debug, Parser)]
struct Args {
    /// How many records.
    #[arg(long, default_value_t = 300_000)]
    records: u64,
    /// Which workload.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Lines in one batch.
    #[arg(long, default_value_t = 4000)]
    lines: usize,
    /// Batches of which a segment is made.
    #[arg(long, default_value_t = 25)]
    batches: usize,
    /// Segments that are merged into one; none are with 1.
    #[arg(long, default_value_t = 1)]
    merged: usize,
    /// Texts of segments that will be merged are written as they are, as the store has it with little load.
    #[arg(long)]
    hasty: bool,
    /// Bits that filters have for each token.
    #[arg(long, default_value_t = EncodeSettings::default().filter_bits_per_token)]
    filter_bits: usize,
    /// Bytes of values at which a block ends.
    #[arg(long, default_value_t = EncodeSettings::default().block_bytes_max)]
    block_bytes: u64,
    /// Seals in several ways, one after another, and asks each; other settings hold for none of them.
    #[arg(long)]
    curve: bool,
}

/// Questions for one trace each: so many that the kernel's clock of a thread, which goes by steps of some milliseconds, tells
/// what one takes.
const NEEDLES: usize = 300;

/// Parts of words of the workload, so that no answer is known.
const PARTS: [&str; 12] = [
    "nnectio", "artitio", "andshak", "cquire", "olbac", "ransact", "eartbea", "ertific", "hresho", "ubscri",
    "equeste", "ollbac",
];

/// What is kept of segments for the next question, as `search_cache_max` has it.
const CACHE_BYTES: usize = 128 << 20;

/// What stages have cost.
#[derive(Default)]
struct Stages {
    reading: Duration,
    log: Duration,
    sealing: Duration,
    merging: Duration,
    log_bytes: usize,
    sealed_bytes: usize,
    merged_bytes: usize,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let settings = EncodeSettings {
        shapes: !args.hasty,
        filter_bits_per_token: args.filter_bits,
        block_bytes_max: args.block_bytes,
        ..EncodeSettings::default()
    };
    if args.curve {
        return curve(&args);
    }
    let (stages, _) = run(&args, &settings, (args.batches, args.merged))?;
    tell(&args, &stages)
}

/// A way of sealing.
struct Way {
    name: String,
    settings: EncodeSettings,
    batches: usize,
    merged: usize,
}

/// Records that the store seals at once by default, about, in batches; and for how much of `memory_max` that is.
const SEALED_BATCHES: usize = 29;
const MEMORY_MIB: usize = 64;

fn ways() -> Vec<Way> {
    let usual = EncodeSettings::default();
    let way = |name: &str, settings: EncodeSettings| Way {
        name: name.to_owned(),
        settings,
        batches: SEALED_BATCHES,
        merged: 1,
    };
    let hasty = EncodeSettings { shapes: false, ..usual };
    let mut ways = vec![
        way("as it is", usual),
        Way { merged: 4, ..way("hasty, then merged by four", hasty) },
        way("texts as they are", hasty),
        way("texts zipped, no shapes", EncodeSettings { zipped: true, ..hasty }),
        way("the same, zstd 3", EncodeSettings { zipped: true, zip_level: 3, ..hasty }),
        way("filters of 8 bits", EncodeSettings { filter_bits_per_token: 8, ..usual }),
        way("no filters", EncodeSettings { filter_bits_per_token: 0, ..usual }),
        way("blocks of 1 MiB", EncodeSettings { block_bytes_max: 1 << 20, ..usual }),
        way("blocks of 8 MiB", EncodeSettings { block_bytes_max: 8 << 20, ..usual }),
        way("groups of 4 MiB", EncodeSettings { group_bytes_max: 4 << 20, ..usual }),
    ];
    ways.extend(
        [-1, 3, 6].map(|level| way(&format!("zstd {level}"), EncodeSettings { zip_level: level, ..usual })),
    );
    ways.extend([48, 80, 96, 128].map(|memory| Way {
        batches: SEALED_BATCHES * memory / MEMORY_MIB,
        ..way(&format!("memory_max: {memory}MiB"), usual)
    }));
    ways.push(way("as it is, once more", usual));
    ways
}

/// Several ways of sealing, by turns.
fn curve(args: &Args) -> Result<()> {
    println!(
        "{:<28} {:>7} {:>7} {:>7} {:>8} {:>9} {:>9} {:>9}",
        "us a record, MB for 2M, ms", "taking", "sealing", "merged", "MB", "needle", "part", "new word"
    );
    for Way { name, settings, batches, merged } in ways() {
        let (stages, segments) = run(args, &settings, (batches, merged))?;
        let sealing = stages.sealing + stages.merging;
        let taking = stages.reading + stages.log;
        let bytes = if merged > 1 { stages.merged_bytes } else { stages.sealed_bytes };
        let micros = |spent: Duration| spent.as_secs_f64() * 1e6 / args.records as f64;
        let cache = Cache::new(CACHE_BYTES);
        let opened: Result<Vec<Segment>, _> =
            segments.iter().map(|bytes| Segment::open_in(Arc::clone(bytes) as _, &cache)).collect();
        let opened = opened?;
        let needles = needles(&opened)?;
        let parts = PARTS.map(|part| format!("message =~ \"{part}\""));
        let words: Vec<String> =
            WORDS.split_whitespace().take(40).map(|word| format!("message: {word}")).collect();
        println!(
            "{name:<28} {:>7.2} {:>7.2} {:>7.2} {:>8.1} {:>9.3} {:>9.2} {:>9.2}",
            micros(taking),
            micros(sealing),
            micros(taking + sealing),
            bytes as f64 / 1e6 * AIM_RECORDS / args.records as f64,
            ask(&opened, &needles)?,
            ask(&opened, &parts)?,
            ask(&opened, &words)?,
        );
    }
    Ok(())
}

/// Questions for one trace each.
fn needles(segments: &[Segment]) -> Result<Vec<String>> {
    let mut needles = Vec::new();
    let each = NEEDLES.div_ceil(segments.len().max(1));
    for segment in segments {
        let block = segment.decode_block(segment.blocks().len() / 2)?;
        let traces = block.iter().filter_map(|record| record.get("trace_id")?.as_str());
        needles.extend(traces.take(each).map(|trace| format!("trace_id: {trace}")));
    }
    Ok(needles)
}

/// CPU milliseconds of one of these questions, once all that can be known before is known.
fn ask(segments: &[Segment], questions: &[String]) -> Result<f64> {
    let mut spent = Duration::ZERO;
    for (at, question) in questions.iter().enumerate() {
        let predicate = compile(question, &CompileOptions::default())?;
        let selection = Selection { predicate, start: Timestamp::MIN, end: Timestamp::MAX };
        let (before, mut stats) = (Cost::of_thread()?, SearchStats::default());
        for segment in segments {
            for block in 0..segment.blocks().len() {
                segment.scan(block, &selection, &Budget::unlimited(), &mut stats)?;
            }
        }
        // The first one reads everything.
        if at > 0 {
            spent += Cost::of_thread()?.saturating_sub(before);
        }
    }
    Ok(spent.as_secs_f64() * 1e3 / (questions.len().max(2) - 1) as f64)
}

/// Segments as bytes.
type Made = Vec<Arc<Vec<u8>>>;

/// Makes all records; gives the segments, those that were merged if any were.
fn run(args: &Args, settings: &EncodeSettings, (batches, merged): (usize, usize)) -> Result<(Stages, Made)> {
    let mut stages = Stages::default();
    let mut workload = Workload::new(args.seed, args.records, END_NANOS);
    let (mut reader, mut number, mut made) = (NdjsonReader::default(), 0, Made::new());
    let (mut waiting, mut sealed): (Vec<Batch>, Vec<Segment>) = (Vec::new(), Vec::new());
    loop {
        let mut body = String::new();
        let lines = (0..args.lines).take_while(|_| workload.write_line(&mut body)).count();
        if lines > 0 {
            let batch = timed(&mut stages.reading, || read(&mut reader, &body, &mut number))?;
            stages.log_bytes += timed(&mut stages.log, || Ok(encode_batch_parts(&batch).len()))?;
            waiting.push(batch);
        }
        let last = lines < args.lines;
        if !waiting.is_empty() && (waiting.len() >= batches || last) {
            let taken: Vec<&Batch> = waiting.iter().collect();
            let bytes = Arc::new(timed(&mut stages.sealing, || Ok(encode(&taken, settings)?.bytes))?);
            waiting.clear();
            stages.sealed_bytes += bytes.len();
            if merged > 1 {
                sealed.push(Segment::open(bytes)?);
            } else if args.curve {
                made.push(bytes);
            }
        }
        if !sealed.is_empty() && (sealed.len() >= merged || last) {
            let inputs: Vec<&Segment> = sealed.iter().collect();
            let mut bytes = Vec::new();
            timed(&mut stages.merging, || {
                Ok(merge::<Failed>(&inputs, &EncodeSettings { shapes: true, ..*settings }, &mut |piece| {
                    bytes.extend_from_slice(piece);
                    Ok(())
                })?)
            })?;
            stages.merged_bytes += bytes.len();
            sealed.clear();
            if args.curve {
                made.push(Arc::new(bytes));
            }
        }
        if last {
            return Ok((stages, made));
        }
    }
}

/// Why merging came to nothing.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Encode(#[from] sawyer_model::Error),
    #[error("read input {}", .0.input)]
    Input(sawyer_segment::Unreadable),
}

impl From<sawyer_segment::Unreadable> for Failed {
    fn from(unreadable: sawyer_segment::Unreadable) -> Self {
        Self::Input(unreadable)
    }
}

fn read(reader: &mut NdjsonReader, body: &str, number: &mut u64) -> Result<Batch> {
    let mut batch = Batch::new();
    batch.reserve_text(body.len() + body.len() / 32);
    let stream = batch.add_stream(&Arc::new(Stream::new([(names::SOURCE, Value::from("api"))])));
    for line in body.lines() {
        let range = SeqRange::new(*number, *number + 1);
        let observed = Timestamp::from_nanos(END_NANOS as i64);
        let head = NdjsonHead { source: SourceId(1), range, observed, stream, sender: Sender::Client };
        reader.read(line.as_bytes(), &head, &mut batch)?;
        *number += 1;
    }
    Ok(batch)
}

fn timed<T>(sum: &mut Duration, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = Cost::of_thread()?;
    let done = work()?;
    *sum += Cost::of_thread()?.saturating_sub(before);
    Ok(done)
}

fn tell(args: &Args, stages: &Stages) -> Result<()> {
    let scale = args.records as f64;
    let line = |what: &str, cpu: Duration, bytes: usize| {
        let micros = cpu.as_secs_f64() * 1e6 / scale;
        println!(
            "{what:<12} {:>8.3} CPU s {micros:>7.3} us a record {:>8.2} MB",
            cpu.as_secs_f64(),
            bytes as f64 / 1e6
        );
    };
    line("reading", stages.reading, 0);
    line("log", stages.log, stages.log_bytes);
    line("sealing", stages.sealing, stages.sealed_bytes);
    line("merging", stages.merging, stages.merged_bytes);
    let peak = Cost::of(std::process::id())?.memory_peak_bytes as f64 / 1e6;
    println!("peak of memory {peak:.0} MB");
    Ok(())
}
