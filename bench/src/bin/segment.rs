//! What writing segments costs, stage by stage, in one process and on one thread: reading lines of JSON, the form of the
//! write-ahead log, sealing, merging. The records are those of `store`.
//!
//! Owns: which figures there are. Does not own: the workload (`sawyer_bench`).

#![allow(clippy::print_stdout, reason = "it is a program")]

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use sawyer_bench::Cost;
use sawyer_bench::kubernetes::Workload;
use sawyer_codec::ndjson_in::{NdjsonHead, NdjsonReader, Sender};
use sawyer_model::{Batch, SeqRange, SourceId, Stream, Timestamp, Value, names};
use sawyer_segment::{EncodeSettings, Segment, encode, encode_batch, merge};

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
}

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
    let mut stages = Stages::default();
    let mut workload = Workload::new(args.seed, args.records, END_NANOS);
    let (mut reader, mut number) = (NdjsonReader::default(), 0);
    let (mut waiting, mut sealed): (Vec<Batch>, Vec<Segment>) = (Vec::new(), Vec::new());
    loop {
        let mut body = String::new();
        let lines = (0..args.lines).take_while(|_| workload.write_line(&mut body)).count();
        if lines > 0 {
            let batch = timed(&mut stages.reading, || read(&mut reader, &body, &mut number))?;
            stages.log_bytes += timed(&mut stages.log, || Ok(encode_batch(&batch).len()))?;
            waiting.push(batch);
        }
        let last = lines < args.lines;
        if !waiting.is_empty() && (waiting.len() >= args.batches || last) {
            let settings = EncodeSettings {
                shapes: !args.hasty,
                filter_bits_per_token: args.filter_bits,
                block_bytes_max: args.block_bytes,
                ..EncodeSettings::default()
            };
            let batches: Vec<&Batch> = waiting.iter().collect();
            let bytes = timed(&mut stages.sealing, || Ok(encode(&batches, &settings)?.bytes))?;
            waiting.clear();
            stages.sealed_bytes += bytes.len();
            if args.merged > 1 {
                sealed.push(Segment::open(Arc::new(bytes))?);
            }
        }
        if !sealed.is_empty() && (sealed.len() >= args.merged || last) {
            let inputs: Vec<&Segment> = sealed.iter().collect();
            let mut len = 0;
            timed(&mut stages.merging, || {
                Ok(merge::<Failed>(&inputs, &EncodeSettings::default(), &mut |piece| {
                    len += piece.len();
                    Ok(())
                })?)
            })?;
            stages.merged_bytes += len;
            sealed.clear();
        }
        if last {
            break;
        }
    }
    tell(&args, &stages)
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
