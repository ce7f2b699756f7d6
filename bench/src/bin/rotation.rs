//! Whether the agent loses or doubles lines while logs are rotated under it: `rotation --help`.
//!
//! Owns: the load, the kills, the outage, and the count of what arrived.
//! Does not own: writing and rotating ([`sawyer_bench::rotate`]), receiving ([`sawyer_bench::receiver`]).
//!
//! The agent sends to a server by the output `http`, with its durable buffer. A number that arrives again under the
//! same `_id` was sent again, which a target that knows ids does not keep twice; under another id it was doubled.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use sawyer_bench::Cost;
use sawyer_bench::receiver::{Mood, Receiver};
use sawyer_bench::rotate::{Load, Way, Written, run};
use sawyer_bench::sawyer::{Sawyer, pause};

/// Longest wait for the rest after the writers have ended.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Parser)]
#[command(about = "Whether lines are lost or doubled while logs are rotated")]
struct Args {
    /// How many logs.
    #[arg(long, default_value_t = 4)]
    files: usize,
    /// Lines in a second, in each of them.
    #[arg(long, default_value_t = 20_000)]
    lines: u64,
    /// For how long, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How logs are rotated.
    #[arg(long, default_value = "rename")]
    way: WayName,
    /// Kill the agent (SIGKILL) and start it again every so many seconds.
    #[arg(long)]
    kill: Option<u64>,
    /// The target answers every second request with 503, and from the middle on is dead for this many seconds.
    #[arg(long)]
    outage: Option<u64>,
    /// Bytes that the output's buffer may hold, such as `64MiB`; by default as much as outputs have without settings.
    #[arg(long)]
    buffer: Option<String>,
    /// Bytes beside that for lines whose files are removed next, such as `512MiB`, or `0`.
    #[arg(long, requires = "buffer")]
    spill: Option<String>,
    /// Only tell how many lines were lost, where the buffer is too small for the outage by intent.
    #[arg(long)]
    may_lose: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum WayName {
    Rename,
    Reuse,
    Copytruncate,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let way = match args.way {
        WayName::Rename => Way::Rename,
        WayName::Reuse => Way::RenameReuse,
        WayName::Copytruncate => Way::CopyTruncate,
    };
    let load = Load {
        files: args.files,
        lines_per_second: args.lines,
        time: Duration::from_secs(args.seconds),
        bytes_max: 10 << 20,
        check: Duration::from_millis(500),
        keep: 5,
        reopen: Duration::from_millis(10),
        way,
    };
    let folder = std::env::temp_dir().join(format!("sawyer-rotation-{}", std::process::id()));
    let outcome = measure(&args, load, &folder);
    // What cannot be removed is left to whoever cleans the folder for such things.
    let _ = std::fs::remove_dir_all(&folder);
    outcome
}

fn measure(args: &Args, load: Load, folder: &Path) -> Result<()> {
    let sink = Receiver::start(args.files)?;
    let pods = folder.join("pods");
    std::fs::create_dir_all(&pods).context("make a folder")?;
    let configuration = format!(
        "inputs:\n  containers: {{pods: {}, links: null, docker: null}}\n\
         outputs:\n  http: {{url: 'http://{}/', compression: none{}}}\n",
        pods.display(),
        sink.address(),
        buffer(args)
    );
    let start = || Sawyer::start("agent", &configuration, &folder.join("agent"));
    let mut agent = start()?;
    let ended = Arc::new(AtomicBool::new(false));
    let writer = {
        let (ended, pods) = (Arc::clone(&ended), pods.clone());
        std::thread::spawn(move || {
            let written = run(&pods, load);
            ended.store(true, Ordering::SeqCst);
            written
        })
    };
    if args.outage.is_some() {
        sink.set_mood(Mood::Half);
    }
    let (began, mut cost, mut kills) = (Instant::now(), Cost::default(), 0);
    let mut kill_at = args.kill.map(Duration::from_secs);
    while !ended.load(Ordering::SeqCst) {
        pause(Duration::from_millis(100));
        let passed = began.elapsed();
        if let Some(outage) = args.outage {
            let middle = load.time / 2;
            let dead = passed >= middle && passed < middle + Duration::from_secs(outage);
            sink.set_mood(if dead { Mood::Dead } else { Mood::Half });
        }
        if kill_at.is_some_and(|at| passed >= at) {
            add(&mut cost, agent.cost()?);
            agent.kill()?;
            kills += 1;
            kill_at = kill_at.zip(args.kill).map(|(at, every)| at + Duration::from_secs(every));
            agent = start()?;
        }
    }
    let written = writer.join().expect("the writer panicked")?;
    sink.set_mood(Mood::Good);
    let arrived = wait(&sink, &written)?;
    add(&mut cost, agent.cost()?);
    let truncations = agent.metric("sawyer_input_truncations_total")?;
    tell(&written, &sink, kills, cost, truncations);
    tell_of_buffer(&agent)?;
    let may_lose: u64 = written.iter().map(|written| written.lines_cut).sum();
    let lost: u64 = written.iter().zip(&arrived).map(|(written, arrived)| written.lines - arrived).sum();
    ensure!(args.may_lose || lost <= may_lose, "{lost} lines were lost, and {may_lose} may be");
    ensure!(sink.seen().doubled == 0, "lines were doubled");
    Ok(())
}

/// The settings of the output's buffer, to be put behind others.
fn buffer(args: &Args) -> String {
    let Some(bytes) = &args.buffer else { return String::new() };
    let spill = args.spill.as_ref().map_or(String::new(), |bytes| format!(", spill_max: {bytes}"));
    format!(", buffer: {{bytes_max: {bytes}{spill}}}")
}

/// Waits until all lines came, or none came for a while.
fn wait(sink: &Receiver, written: &[Written]) -> Result<Vec<u64>> {
    let total: u64 = written.iter().map(|written| written.lines).sum();
    let (deadline, mut before, mut quiet) = (Instant::now() + PATIENCE, 0, 0);
    loop {
        let arrived = sink.seen().distinct;
        let sum: u64 = arrived.iter().sum();
        quiet = if sum == before { quiet + 1 } else { 0 };
        before = sum;
        // Nothing for as long as the longest pause between two tries lasts.
        if sum >= total || quiet > 40 {
            return Ok(arrived);
        }
        ensure!(Instant::now() < deadline, "{sum} of {total} lines arrived");
        pause(Duration::from_secs(1));
    }
}

fn add(cost: &mut Cost, more: Cost) {
    cost.cpu += more.cpu;
    cost.memory_peak_bytes = cost.memory_peak_bytes.max(more.memory_peak_bytes);
}

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn tell_of_buffer(agent: &Sawyer) -> Result<()> {
    println!(
        "bytes of files that were removed unread {}, records that went beyond the buffer's bound {}",
        agent.metric("sawyer_input_bytes_rotated_unread_total")?,
        agent.metric("sawyer_buffer_spilled_records_total")?
    );
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn tell(written: &[Written], sink: &Receiver, kills: u64, cost: Cost, truncations: i64) {
    let sum = |of: fn(&Written) -> u64| written.iter().map(of).sum::<u64>();
    let seen = sink.seen();
    let (lines, arrived) = (sum(|written| written.lines), seen.distinct.iter().sum::<u64>());
    println!("lines written {lines}, arrived {arrived}, lost {}, doubled {}", lines - arrived, seen.doubled);
    println!(
        "sent again {}, without a number {}, requests refused {}, kills {kills}",
        seen.resent, seen.strange, seen.refused
    );
    println!(
        "rotations {}, compressed {}, removed {}, inodes used again {}, truncations counted {truncations}, lines cut \
         between copy and truncation {}",
        sum(|written| written.rotations),
        sum(|written| written.compressed),
        sum(|written| written.removed),
        sum(|written| written.reused),
        sum(|written| written.lines_cut)
    );
    println!(
        "agent: {:.2} CPU seconds, {:.1} MiB at most",
        cost.cpu.as_secs_f64(),
        cost.memory_peak_bytes as f64 / f64::from(1 << 20)
    );
}
