//! A long life of the store in little time: simulated seconds, each with a batch of records, retention and a policy; and
//! whether memory, files and write amplification stay level.
//!
//! Owns: what is measured, and the plot. Does not own: the workload (`sawyer_bench`), the store.
//! Invariant: the store writes real files and syncs them; only the time is made up. One thread does everything, so that
//! work keeps up with the simulated time.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;
use sawyer_bench::Cost;
use sawyer_bench::kubernetes::Workload;
use sawyer_codec::ndjson_in::{NdjsonHead, NdjsonReader, Sender};
use sawyer_disk::{Disk, RealDisk};
use sawyer_model::{Batch, RecordHead, SeqRange, SourceId, Stream, Timestamp, Value};
use sawyer_query::search::Search;
use sawyer_store::{Store, StorePlan};
use sawyer_telemetry::{Clock, Metrics};

/// Batches that are made once and sent again and again with other times.
const POOL_BATCHES: u64 = 32;

/// Lets simulated time pass over a store.
#[derive(Debug, Parser)]
struct Args {
    /// Simulated hours.
    #[arg(long, default_value_t = 24)]
    hours: u64,
    /// Records in a simulated second.
    #[arg(long, default_value_t = 2_000)]
    rate: u64,
    /// How long records are kept.
    #[arg(long, default_value_t = 6)]
    retention_hours: u64,
    /// How long `debug` lines are kept.
    #[arg(long, default_value_t = 1)]
    debug_hours: u64,
    /// Simulated minutes between two measurements.
    #[arg(long, default_value_t = 15)]
    every_minutes: u64,
    /// Where the store lies; removed before. Without it in a temporary folder.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Where the plot is written.
    #[arg(long)]
    plot: Option<PathBuf>,
}

/// How it was at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    hours: f64,
    memory_mb: f64,
    /// What is kept of segments, which is a part of the memory.
    cache_mb: f64,
    files: f64,
    disk_mb: f64,
    records: f64,
    /// Bytes of segments that were written for each byte of a first segment, since the sample before.
    amplification: f64,
}

/// The name of a number, and where it stands.
type Measure = (&'static str, fn(&Sample) -> f64);

fn main() -> Result<()> {
    let args = Args::parse();
    let temporary;
    let folder = match &args.data {
        Some(folder) => folder.clone(),
        None => {
            temporary = tempfile::tempdir()?;
            temporary.path().join("store")
        }
    };
    let samples = run(&args, &folder)?;
    if let Some(path) = &args.plot {
        std::fs::write(path, plot(&samples)).with_context(|| format!("write {}", path.display()))?;
    }
    judge(&samples)
}

fn run(args: &Args, folder: &Path) -> Result<Vec<Sample>> {
    let settings = format!(
        "retention: {}h\npolicies: [{{name: debug, query: 'level: debug', keep: {}h}}]\nfree_min: 0\n\
         search_cache_max: 128MiB\n",
        args.retention_hours, args.debug_hours
    );
    let plan = StorePlan::parse(&settings).map_err(|problems| anyhow!("{problems}"))?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(folder)?);
    // Noon, so that the end of a day comes in the middle of the run.
    let clock = Clock::manual(Timestamp::from_secs(1_799_971_200 + 12 * 3600));
    let metrics = Metrics::new();
    let store =
        Store::open_manual(Arc::clone(&disk), plan, clock.clone(), &metrics).map_err(|e| anyhow!(e))?;
    let pool = pool(args.rate)?;
    let (mut samples, mut written) = (Vec::new(), (0.0, 0.0));
    let (started, before) = (Instant::now(), Cost::of(std::process::id())?);
    say("hours  memory_mb  cache_mb  files  disk_mb   records  amplification  cpu_s")?;
    for second in 0..args.hours * 3600 {
        clock.advance(Duration::from_secs(1));
        let batch = stamped(&pool[(second % pool.len() as u64) as usize], clock.now(), second * args.rate);
        store.append(Arc::new(batch)).map_err(|error| anyhow!(error))?;
        store.run_once().map_err(|error| anyhow!(error))?;
        if (second + 1) % (args.every_minutes * 60) == 0 {
            let hours = (second + 1) as f64 / 3600.0;
            let sample = sample(&store, &*disk, &metrics, hours, &mut written)?;
            let cpu = Cost::of(std::process::id())?.since(before).cpu.as_secs_f64();
            let Sample { memory_mb, cache_mb, files, disk_mb, records, amplification, .. } = sample;
            say(&format!(
                "{hours:5.2}  {memory_mb:9.0}  {cache_mb:8.0}  {files:5.0}  {disk_mb:7.0}  {records:8.0}  {amplification:13.2}  {cpu:5.0}"
            ))?;
            samples.push(sample);
        }
    }
    let verified = store.verify();
    ensure!(verified.problems.is_empty(), "the store is damaged: {:?}", verified.problems);
    let records = args.hours * 3600 * args.rate;
    say(&format!(
        "records={records} wall_s={:.0} peak_mb={:.0}",
        started.elapsed().as_secs_f64(),
        Cost::of(std::process::id())?.memory_peak_bytes as f64 / 1e6
    ))?;
    Ok(samples)
}

/// Batches of so many records as a server makes them of NDJSON.
fn pool(records: u64) -> Result<Vec<Batch>> {
    let mut workload = Workload::new(7, records * POOL_BATCHES, 1_800_000_000_000_000_000);
    let stream = Arc::new(Stream::new([("source", Value::from("soak"))]));
    let mut made = Vec::new();
    for _ in 0..POOL_BATCHES {
        let mut batch = Batch::new();
        let stream = batch.add_stream(&stream);
        let mut reader = NdjsonReader::default();
        for n in 0..records {
            let mut line = String::new();
            workload.write_line(&mut line);
            let range = SeqRange::new(n, n + 1);
            let observed = Timestamp::EPOCH;
            let head = NdjsonHead { source: SourceId(1), range, observed, stream, sender: Sender::Client };
            reader.read(line.trim_end().as_bytes(), &head, &mut batch).map_err(|error| anyhow!("{error}"))?;
        }
        made.push(batch);
    }
    Ok(made)
}

/// A batch as if its records were written now.
fn stamped(from: &Batch, now: Timestamp, first: u64) -> Batch {
    let mut batch = Batch::new();
    let names: Vec<_> =
        from.iter().flat_map(|record| record.own_fields_by_id().map(|(name, _)| name)).collect();
    let mut known: Vec<Option<sawyer_model::NameId>> = vec![None; from.name_count()];
    for name in names {
        known[name.index()].get_or_insert_with(|| batch.intern(from.name(name)));
    }
    for (n, record) in from.iter().enumerate() {
        let stream = batch.add_stream(record.stream());
        let start = first + n as u64;
        let head = RecordHead {
            timestamp: now.saturating_sub(Duration::from_micros((from.len() - n) as u64 * 400)),
            observed: now,
            source: SourceId(1),
            range: SeqRange::new(start, start + 1),
        };
        let mut writer = batch.begin(head, stream);
        for (name, value) in record.own_fields_by_id() {
            if let Some(name) = known[name.index()] {
                writer.field_by_id(name, value);
            }
        }
    }
    batch
}

fn sample(
    store: &Store,
    disk: &dyn Disk,
    metrics: &Metrics,
    hours: f64,
    before: &mut (f64, f64),
) -> Result<Sample> {
    let (mut files, mut bytes) = (0, 0);
    for folder in ["segments", "wal"] {
        for entry in disk.read_dir(Path::new(folder))? {
            files += 1;
            bytes += entry.len;
        }
    }
    let number = |name: &str| metrics.numbers(name).iter().map(|(_, number)| *number as f64).sum::<f64>();
    let sealed = number("sawyer_store_sealed_bytes");
    let all = sealed + number("sawyer_store_merged_bytes") + number("sawyer_store_trimmed_bytes");
    let amplification = (all - before.1) / (sealed - before.0).max(1.0);
    *before = (sealed, all);
    let status = std::fs::read_to_string("/proc/self/status").context("read the memory in use")?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    let kilobytes: f64 = resident.context("the memory in use")?.parse()?;
    Ok(Sample {
        hours,
        memory_mb: kilobytes / 1e3,
        cache_mb: number("sawyer_store_cache_bytes") / 1e6,
        files: f64::from(files),
        disk_mb: bytes as f64 / 1e6,
        records: store.totals().records as f64,
        amplification,
    })
}

/// The last third of the time is held against the third before it.
fn judge(samples: &[Sample]) -> Result<()> {
    /// By how much the mean may be greater.
    const GROWTH_MAX: f64 = 1.15;
    let third = samples.len() / 3;
    ensure!(third > 1, "too few measurements; more hours, or fewer minutes between them");
    let (earlier, later) = (&samples[third..2 * third], &samples[2 * third..]);
    let mut grown = Vec::new();
    let measures: [Measure; 5] = [
        ("memory_mb", |sample| sample.memory_mb),
        ("files", |sample| sample.files),
        ("disk_mb", |sample| sample.disk_mb),
        ("records", |sample| sample.records),
        ("amplification", |sample| sample.amplification),
    ];
    for (name, of) in measures {
        let mean = |some: &[Sample]| some.iter().map(of).sum::<f64>() / some.len() as f64;
        let (before, after) = (mean(earlier), mean(later));
        say(&format!("{name}: {before:.2} in the second third, {after:.2} in the last"))?;
        if after > before * GROWTH_MAX {
            grown.push(name);
        }
    }
    ensure!(grown.is_empty(), "not level: {}", grown.join(", "));
    say("level")
}

/// The samples as a picture: one panel for each measure.
fn plot(samples: &[Sample]) -> String {
    const WIDTH: f64 = 640.0;
    const PANEL: f64 = 110.0;
    let measures: [Measure; 4] = [
        ("memory, MB", |sample| sample.memory_mb),
        ("files", |sample| sample.files),
        ("on disk, MB", |sample| sample.disk_mb),
        ("write amplification", |sample| sample.amplification),
    ];
    let hours = samples.last().map_or(1.0, |sample| sample.hours);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" font-family=\"sans-serif\" \
         font-size=\"11\"><rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        PANEL * measures.len() as f64 + 20.0
    );
    for (panel, (name, of)) in measures.iter().enumerate() {
        let top = panel as f64 * PANEL + 20.0;
        let most = samples.iter().map(of).fold(f64::MIN_POSITIVE, f64::max) * 1.1;
        let x = |sample: &Sample| 60.0 + sample.hours / hours * (WIDTH - 80.0);
        let y = |value: f64| top + (PANEL - 30.0) * (1.0 - value / most);
        let points: Vec<String> =
            samples.iter().map(|sample| format!("{:.1},{:.1}", x(sample), y(of(sample)))).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            "<text x=\"60\" y=\"{:.0}\">{name}</text><text x=\"54\" y=\"{:.0}\" text-anchor=\"end\">{most:.0}</text>\
             <text x=\"54\" y=\"{:.0}\" text-anchor=\"end\">0</text>\
             <path d=\"M60 {top}V{:.0}H{:.0}\" fill=\"none\" stroke=\"#999\"/>\
             <polyline points=\"{}\" fill=\"none\" stroke=\"#2563eb\" stroke-width=\"1.5\"/>",
            top - 6.0,
            top + 8.0,
            y(0.0),
            y(0.0),
            WIDTH - 20.0,
            points.join(" "),
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{hours:.0} h</text></svg>",
        WIDTH - 20.0,
        PANEL * measures.len() as f64 + 14.0
    );
    svg
}

#[expect(clippy::print_stdout, reason = "figures are what a measurement is for")]
fn say(line: &str) -> Result<()> {
    println!("{line}");
    Ok(())
}
