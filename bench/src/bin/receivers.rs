//! What it costs to take records that are pushed, by protocol: `receivers --help`.
//!
//! A server with the output `null`, which reads every field, is sent the same lines by each protocol in turn, from several
//! connections that wait for their answers. Told is the processor time of the server alone for each megabyte of the lines;
//! what a protocol wraps around them does not count. Beside it the same lines through the input `files`.

#![allow(clippy::print_stdout, reason = "it is a program")]

#[path = "receivers/client.rs"]
mod client;
#[path = "receivers/protocol.rs"]
mod protocol;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use sawyer_bench::Cost;
use sawyer_bench::kubernetes::Workload;
use sawyer_bench::sawyer::{Sawyer, free_address};

use protocol::Protocol;

/// Lines of one request.
const REQUEST_LINES: usize = 1000;

/// Longest wait for all records of a protocol.
const PATIENCE: Duration = Duration::from_secs(600);

/// Measures what receivers cost.
#[derive(Debug, Parser)]
struct Args {
    /// How many lines each protocol takes.
    #[arg(long, default_value_t = 500_000)]
    lines: u64,
    /// Connections that send at the same time.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Lines are taken as they are: no step is on.
    #[arg(long)]
    plain: bool,
    /// Only protocols with this in their name.
    #[arg(long, default_value = "")]
    only: String,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let lines = Arc::new(lines(args.lines));
    let bytes: u64 = lines.iter().map(|line| line.len() as u64).sum();
    println!("{} lines, {} MB", lines.len(), bytes / 1_000_000);
    println!("{:<28} {:>9} {:>12} {:>10}", "", "CPU s", "MB/CPU s", "MB peak");
    let temporary = tempfile::tempdir()?;
    let tell = |name: &str, cost: Cost| {
        let (cpu, speed) = (cost.cpu.as_secs_f64(), cost.megabytes_per_cpu_second(bytes));
        println!("{name:<28} {cpu:>9.2} {speed:>12.0} {:>10}", cost.memory_peak_bytes / 1_000_000);
    };
    if "files".contains(&args.only) {
        tell("input files (yardstick)", from_file(&args, &lines, &temporary.path().join("files"))?);
    }
    for protocol in Protocol::ALL.into_iter().filter(|protocol| protocol.name().contains(&args.only)) {
        let folder = temporary.path().join(protocol.name().replace(' ', "-"));
        let cost = pushed(&args, protocol, &lines, &folder).with_context(|| protocol.name().to_owned())?;
        tell(protocol.name(), cost);
    }
    Ok(())
}

/// Lines of JSON as a cluster's programs write them.
fn lines(count: u64) -> Vec<String> {
    let mut workload = Workload::new(42, count, 1_795_175_999_000_000_000);
    let mut lines = Vec::new();
    let mut line = String::new();
    while workload.write_line(&mut line) {
        lines.push(line.trim_end().to_owned());
        line.clear();
    }
    lines
}

fn configuration(args: &Args, input: &str) -> String {
    let steps = if args.plain { "pipelines: {main: {multiline: off, mask: off, parse: off}}\n" } else { "" };
    format!("inputs:\n  in: {input}\n{steps}outputs: {{null: }}\n")
}

fn pushed(args: &Args, protocol: Protocol, lines: &Arc<Vec<String>>, folder: &Path) -> Result<Cost> {
    let address = free_address()?;
    let server = Sawyer::start("agent", &configuration(args, &protocol.input(address)), folder)?;
    let before = server.cost()?;
    let parts: Vec<usize> = (0..lines.len()).step_by(REQUEST_LINES).collect();
    let share = parts.len().div_ceil(args.connections.max(1)).max(1);
    let senders: Vec<_> = parts
        .chunks(share)
        .map(|parts| {
            let (parts, lines) = (parts.to_vec(), Arc::clone(lines));
            std::thread::spawn(move || send(protocol, address, &parts, &lines))
        })
        .collect();
    for sender in senders {
        sender.join().expect("a sender panicked")?;
    }
    server.wait_for("sawyer_output_taken_records_total", lines.len() as u64, PATIENCE)?;
    let cost = server.cost()?.since(before);
    let taken = server.metric("sawyer_output_taken_records_total")?;
    ensure!(taken == lines.len() as i64, "{taken} records were taken");
    Ok(cost)
}

fn send(protocol: Protocol, address: SocketAddr, parts: &[usize], lines: &[String]) -> Result<()> {
    let mut client = client::Client::connect(protocol, address)?;
    for start in parts {
        let end = (start + REQUEST_LINES).min(lines.len());
        client.send(&protocol.request(&lines[*start..end], *start as u64))?;
    }
    client.close()
}

fn from_file(args: &Args, lines: &[String], folder: &Path) -> Result<Cost> {
    std::fs::create_dir_all(folder)?;
    let file = folder.join("lines.log");
    std::fs::write(&file, lines.join("\n") + "\n")?;
    let input = format!("{{type: files, on_host: false, include: [{}]}}", file.display());
    let server = Sawyer::start("agent", &configuration(args, &input), folder)?;
    server.wait_for("sawyer_output_taken_records_total", lines.len() as u64, PATIENCE)?;
    server.cost()
}
