//! What the store costs: a workload over HTTP into the real server, until merging is quiet; then its bytes; then
//! queries. Prints each figure beside the aim, which is for 2 million records.
//!
//! Owns: which figures there are. Does not own: the workload, the server (`sawyer_bench`).

#[path = "store/busy.rs"]
mod busy;
#[path = "store/cold.rs"]
mod cold;
#[path = "store/curve.rs"]
mod curve;
#[path = "store/queries.rs"]
mod queries;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use sawyer_bench::Cost;
use sawyer_bench::kubernetes::Workload;
use sawyer_bench::server::Server;
use sawyer_segment::Segment;
use serde_json::Value;

use crate::queries::{Query, Question, queries};

/// Records that the aims are for.
const AIM_RECORDS: u64 = 2_000_000;
/// The server is quiet after so long without using the processor.
const QUIET: Duration = Duration::from_secs(3);

/// Measures ingest, bytes on disk and queries of `sawyer server`.
#[derive(Debug, Parser)]
struct Args {
    /// The binary.
    #[arg(long, default_value = "target/release/sawyer")]
    binary: PathBuf,
    /// How many records.
    #[arg(long, default_value_t = AIM_RECORDS)]
    records: u64,
    /// Which workload.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Lines in one request.
    #[arg(long, default_value_t = 4000)]
    lines: usize,
    /// The data folder, which is kept. Without it a temporary one is used.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Each record has a field that no other has the value of, and it is asked for that.
    #[arg(long)]
    unique: bool,
    /// How many of a hundred records come late, by up to a day.
    #[arg(long, default_value_t = 0)]
    late: u64,
    /// Sends nothing: asks what the folder has.
    #[arg(long)]
    no_ingest: bool,
    /// CPU time that is spent on each kind of query.
    #[arg(long, default_value_t = 400)]
    query_cpu_ms: u64,
    /// Asks only queries whose name has this in it.
    #[arg(long)]
    only: Option<String>,
    /// Each query is asked of a server that was just started, and whose files are out of the system's cache; then wall time
    /// counts.
    #[arg(long)]
    cold: bool,
    /// Afterwards all queries are asked again for so many seconds, while records come in at `--rate`.
    #[arg(long, default_value_t = 0)]
    busy_seconds: u64,
    /// Records in a second while it is busy.
    #[arg(long, default_value_t = 20_000)]
    rate: u64,
    /// Takes the records in once for each of several settings, and tells what each costs; nothing is kept.
    #[arg(long)]
    curve: bool,
    /// What else the server is given.
    #[arg(last = true)]
    server: Vec<String>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if args.curve {
        print_yardstick(args.seed)?;
        return curve::measure(&args);
    }
    let temporary;
    let folder = match &args.data {
        Some(folder) => folder.as_path(),
        None => {
            temporary = tempfile::tempdir()?;
            temporary.path()
        }
    };
    print_yardstick(args.seed)?;
    let mut server = Server::start(&args.binary, folder, &args.server)?;
    if !args.no_ingest {
        ingest(&args, &mut server)?;
    }
    print_sizes(folder)?;
    let scale = args.records as f64 / AIM_RECORDS as f64;
    let mut queries = queries(&mut server, args.unique)?;
    queries.retain(|query| args.only.as_ref().is_none_or(|only| query.name.contains(&**only)));
    if args.cold {
        server.stop()?;
        return cold::measure(&args, &queries, folder);
    }
    say(&format!("{:<44} {:^28} {:^28}", "", "the same again", "another each time"));
    say(&format!(
        "{:<44} {:>9} {:>9} {:>8} {:>9} {:>9} {:>8} {:>9}  found",
        "query", "CPU ms", "wall ms", "runs", "CPU ms", "wall ms", "runs", "aim ms"
    ));
    for query in &queries {
        measure(&mut server, query, &args, scale)?;
    }
    if args.busy_seconds > 0 {
        let time = Duration::from_secs(args.busy_seconds);
        busy::measure(&mut server, &queries, args.rate, time, args.seed + 1)?;
    }
    server.stop()
}

/// How fast this machine is at present: reading the same lines with serde_json, in this process.
fn print_yardstick(seed: u64) -> Result<()> {
    const LINES: u64 = 50_000;
    let (mut workload, mut lines) = (Workload::new(seed, LINES, 1_800_000_000_000_000_000), String::new());
    while workload.write_line(&mut lines) {}
    let before = Cost::of(std::process::id())?;
    let read = lines.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count();
    let cost = Cost::of(std::process::id())?.since(before);
    let speed = cost.megabytes_per_cpu_second(lines.len() as u64);
    say(&format!("{:<44} {speed:>9.0} MB/s", format!("yardstick: serde_json reads {read} lines")));
    Ok(())
}

/// What taking records in has cost.
struct Sent {
    bytes: u64,
    wall: Duration,
    acknowledged: Cost,
    merged: Cost,
}

/// Sends all records, and waits until the server rests.
fn send_all(args: &Args, server: &mut Server) -> Result<Sent> {
    let now = std::time::UNIX_EPOCH.elapsed()?.as_nanos() as u64;
    let mut workload = Workload::new(args.seed, args.records, now).late(args.late);
    if args.unique {
        workload = workload.unique();
    }
    let before = server.cost()?;
    let started = Instant::now();
    let (mut body, mut bytes, mut lines) = (String::new(), 0u64, 0);
    loop {
        let more = workload.write_line(&mut body);
        lines += usize::from(more);
        if !body.is_empty() && (lines == args.lines || !more) {
            server.post("/api/v1/ingest", body.as_bytes())?;
            bytes += body.len() as u64;
            body.clear();
            lines = 0;
        }
        if !more {
            break;
        }
    }
    let acknowledged = server.cost()?.since(before);
    let wall = started.elapsed();
    let merged = wait_until_quiet(server)?.since(before);
    Ok(Sent { bytes, wall, acknowledged, merged })
}

fn ingest(args: &Args, server: &mut Server) -> Result<()> {
    let Sent { bytes, wall, acknowledged, merged } = send_all(args, server)?;
    let scale = args.records as f64 / AIM_RECORDS as f64;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    say(&format!("{} records, {:.0} MB of NDJSON in {:.1} s", args.records, mb(bytes), wall.as_secs_f64()));
    let seconds = |name: &str, cost: Cost, aim: f64| {
        let (cpu, aim) = (cost.cpu.as_secs_f64(), aim * scale);
        say(&format!(
            "{name:<44} {cpu:>9.2} s   aim {aim:.2}   {:.0} MB/s",
            cost.megabytes_per_cpu_second(bytes)
        ));
    };
    seconds("ingest until acknowledged, CPU", acknowledged, 3.3);
    seconds("ingest until merged, CPU", merged, 5.0);
    say(&format!("{:<44} {:>9.0} MB  aim 200", "peak memory while ingesting", mb(merged.memory_peak_bytes)));
    Ok(())
}

/// Waits until nothing is in memory and the server rests; gives what it has cost by then.
#[expect(clippy::disallowed_methods, reason = "nothing tells that another process rests")]
fn wait_until_quiet(server: &mut Server) -> Result<Cost> {
    let (mut last, mut since) = (server.cost()?, Instant::now());
    loop {
        std::thread::sleep(Duration::from_millis(250));
        let cost = server.cost()?;
        // Asking costs a little; two ticks of the kernel's clock are rest.
        if cost.cpu > last.cpu + Duration::from_millis(20) {
            (last, since) = (cost, Instant::now());
        } else if since.elapsed() > QUIET {
            if server.metric("sawyer_store_memory_bytes")? == 0.0 {
                return Ok(last);
            }
            (last, since) = (server.cost()?, Instant::now());
        }
    }
}

fn print_sizes(folder: &Path) -> Result<()> {
    let mut parts: Vec<(String, u64)> = Vec::new();
    let (mut total, mut segments, mut blocks) = (0, 0, 0);
    let mut files: Vec<PathBuf> = Vec::new();
    find_segments(folder, &mut files)?;
    for file in files {
        let segment = Segment::open(Arc::new(std::fs::read(&file)?))?;
        segments += 1;
        blocks += segment.blocks().len();
        total += segment.summary().bytes;
        for (name, bytes) in segment.column_bytes()? {
            match parts.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += bytes,
                None => parts.push((name, bytes)),
            }
        }
    }
    parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let mb = |bytes: u64| bytes as f64 / 1e6;
    say(&format!("{:<44} {:>9.1} MB  aim 85   {segments} segments, {blocks} blocks", "on disk", mb(total)));
    for (name, bytes) in parts.iter().take(16) {
        say(&format!("  {name:<42} {:>9.2} MB", mb(*bytes)));
    }
    Ok(())
}

/// Bytes of all segments, and how many there are.
fn folder_bytes(folder: &Path) -> Result<(u64, usize)> {
    let mut files = Vec::new();
    find_segments(folder, &mut files)?;
    let bytes: std::io::Result<u64> = files.iter().map(|file| Ok(file.metadata()?.len())).sum();
    Ok((bytes?, files.len()))
}

fn find_segments(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find_segments(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "seg") {
            found.push(path);
        }
    }
    Ok(())
}

fn measure(server: &mut Server, query: &Query, args: &Args, scale: f64) -> Result<()> {
    let again = cost_of(server, query, args, false)?;
    let another = cost_of(server, query, args, true)?;
    let scale = if query.name.contains("newest") || query.name.contains("needle") { 1.0 } else { scale };
    say(&format!(
        "{:<44} {:>9.2} {:>9.2} {:>8} {:>9.2} {:>9.2} {:>8} {:>9.2}  {}",
        query.name,
        again.cpu_ms,
        again.wall_ms,
        again.runs,
        another.cpu_ms,
        another.wall_ms,
        another.runs,
        query.aim_ms * scale,
        again.found,
    ));
    Ok(())
}

/// What asking a question has cost.
struct Asked {
    cpu_ms: f64,
    wall_ms: f64,
    runs: u32,
    /// What it found, and what it took to find it.
    found: String,
}

/// Asks again and again: the same, or each time something else that was not asked for before.
fn cost_of(server: &mut Server, query: &Query, args: &Args, vary: bool) -> Result<Asked> {
    // Something else is there a hundred times only.
    let runs_max = if vary { 100 } else { 1000 };
    let found = ask(server, &query.variation(0))?;
    let before = server.cost()?;
    let started = Instant::now();
    let mut runs = 0;
    let cpu = loop {
        runs += 1;
        ask(server, &query.variation(if vary { runs as usize } else { 0 }))?;
        let cpu = server.cost()?.since(before).cpu;
        if cpu >= Duration::from_millis(args.query_cpu_ms) || runs == runs_max {
            break cpu;
        }
    };
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3 / f64::from(runs);
    Ok(Asked { cpu_ms: milliseconds(cpu), wall_ms: milliseconds(started.elapsed()), runs, found })
}

/// Asks once; says what was found.
fn ask(server: &mut Server, question: &Question) -> Result<String> {
    let params: Vec<(&str, &str)> =
        question.params.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Ok(stats_of(&server.get(&question.path, &params)?))
}

/// The end of an answer, where its statistics are.
fn stats_of(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[body.len().saturating_sub(400)..]).into_owned();
    let number = |name: &str| {
        let (_, rest) = text.rsplit_once(&format!("\"{name}\":"))?;
        rest.split([',', '}']).next().map(str::to_owned)
    };
    let number = |name: &str| number(name).unwrap_or_default();
    format!(
        "matched {} scanned {} read {} partial {}",
        number("rows_matched"),
        number("rows_scanned"),
        number("bytes_read"),
        number("partial"),
    )
}

#[expect(clippy::print_stdout, reason = "a measurement prints its figures")]
fn say(line: &str) {
    println!("{line}");
}
