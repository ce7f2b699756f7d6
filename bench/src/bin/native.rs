//! What it costs a server to take records by the native protocol, and by NDJSON over HTTP.
//!
//! An agent reads a file of records, made up as those of `store` unless another one is given, and sends it to a server.
//! Told is the processor time of each, until the last record is acknowledged and until the server is quiet (sealed and
//! merged); beside it what the kernel alone needs for the file.

#![allow(clippy::print_stdout, reason = "it is a program")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use sawyer_bench::Cost;
use sawyer_bench::kubernetes::Workload;
use sawyer_bench::sawyer::as_in_image;

/// Records that the aim is for.
const AIM_RECORDS: u64 = 2_000_000;

/// Threads with less are not told.
const SHOWN_MIN: Duration = Duration::from_millis(50);

/// Longest wait for everything to arrive.
const WAIT_MAX: Duration = Duration::from_secs(1800);

/// The server is quiet when it has used no more than this in one look.
const QUIET: Duration = Duration::from_millis(20);

/// Between two looks.
const LOOK: Duration = Duration::from_secs(2);

struct Process {
    child: Child,
    address: String,
}

impl Process {
    fn start(sawyer: &Path, role: &str, folder: &Path, config: &str) -> Result<Self> {
        let data = folder.join(role);
        let path = folder.join(format!("{role}.yaml"));
        fs::write(&path, config)?;
        let mut child = as_in_image(sawyer)
            .args([role, "--listen", "127.0.0.1:0", "--config"])
            .arg(&path)
            .arg("--data")
            .arg(&data)
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", sawyer.display()))?;
        let stderr = child.stderr.take().context("its messages are read")?;
        let mut lines = BufReader::new(stderr).lines();
        while let Some(line) = lines.next() {
            let line = line?;
            if let Some((_, rest)) = line.split_once("\"address\":\"") {
                let address = rest.split('"').next().unwrap_or_default().to_owned();
                std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
                return Ok(Self { child, address });
            }
        }
        bail!("{role} did not start")
    }

    fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// The sum of a metric.
    fn number(&self, name: &str) -> Result<u64> {
        let metrics = self.get("/metrics")?;
        let lines = metrics.lines().filter(|line| line.starts_with(&format!("{name}_total")));
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64)
    }

    fn cost(&self) -> Result<Cost> {
        Cost::of(self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It is done either way.
        drop((self.child.kill(), self.child.wait()));
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + WAIT_MAX;
    while !holds()? {
        if Instant::now() > deadline {
            bail!("waited too long until {what}");
        }
        let (_keep, never) = std::sync::mpsc::channel::<()>();
        let _ = never.recv_timeout(LOOK);
    }
    Ok(())
}

/// Measures the native protocol.
#[derive(Debug, Parser)]
struct Args {
    /// The binary.
    #[arg(long, default_value = "target/release/sawyer")]
    binary: PathBuf,
    /// How many records are made up.
    #[arg(long, default_value_t = AIM_RECORDS)]
    records: u64,
    /// Which workload.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// A file with one record in JSON a line, which is sent instead.
    #[arg(long)]
    file: Option<PathBuf>,
}

/// Writes the records that `store` has too.
fn write_records(args: &Args, path: &Path) -> Result<()> {
    let now = std::time::UNIX_EPOCH.elapsed()?.as_nanos() as u64;
    let mut workload = Workload::new(args.seed, args.records, now);
    let mut file = fs::File::create(path)?;
    let mut lines = String::new();
    while workload.write_line(&mut lines) {
        if lines.len() > 1 << 20 {
            file.write_all(lines.as_bytes())?;
            lines.clear();
        }
    }
    file.write_all(lines.as_bytes())?;
    Ok(())
}

fn main() -> Result<()> {
    let args = Args::parse();
    let (sawyer, temporary) = (&args.binary, tempfile::tempdir()?);
    let folder = temporary.path();
    let records = match &args.file {
        Some(file) => file.canonicalize()?,
        None => {
            let made_up = folder.join("records.ndjson");
            write_records(&args, &made_up)?;
            made_up
        }
    };
    let bytes = fs::metadata(&records)?.len();
    let count = BufReader::new(fs::File::open(&records)?).split(b'\n').count() as u64;
    let server = Process::start(sawyer, "server", folder, "inputs: {sawyer: }\n")?;
    let config = format!(
        "inputs: {{records: {{type: files, include: [{}], on_host: false}}}}\n\
         outputs: {{sawyer: {{endpoint: 'http://{}'}}}}\n",
        records.display(),
        server.address
    );
    let agent = Process::start(sawyer, "agent", folder, &config)?;
    wait_until("all is acknowledged", || Ok(agent.number("sawyer_output_records")? >= count))?;
    let (taken, sent) = (server.cost()?, agent.cost()?);
    let sent_bytes = agent.number("sawyer_output_bytes")?;
    let threads = sawyer_bench::by_thread(server.child.id())?;
    let mut before = taken.cpu;
    wait_until("the server is quiet", || {
        let now = server.cost()?.cpu;
        let quiet = now.saturating_sub(before) <= QUIET;
        before = now;
        Ok(quiet)
    })?;
    let quiet = server.cost()?;
    let file = read_alone(&records)?;
    println!("{count} records, {} MB, {} bytes of each sent", bytes / 1_000_000, sent_bytes / count.max(1));
    let tell = |what: &str, cost: Cost| {
        let (cpu, peak) = (cost.cpu.as_secs_f64(), cost.memory_peak_bytes / 1_000_000);
        println!("{what:<44} {cpu:>8.2} CPU s {peak:>6} MB peak");
    };
    tell("agent: read, parse, buffer, send", sent);
    tell("server: until everything is acknowledged", taken);
    for (name, cpu) in threads.iter().filter(|(_, cpu)| *cpu >= SHOWN_MIN) {
        println!("    {name:<40} {:>8.2} CPU s", cpu.as_secs_f64());
    }
    let aim = 1.3 * count as f64 / AIM_RECORDS as f64;
    println!("    {:<40} {aim:>8.2} CPU s", "aim, for taking: all but sealing and merging");
    tell("server: until sealed and merged", quiet);
    tell("yardstick: reading the file, checksummed", file);
    Ok(())
}

/// What reading the file and looking at each byte costs in this run.
fn read_alone(path: &Path) -> Result<Cost> {
    let before = Cost::of(std::process::id())?;
    let mut file = fs::File::open(path)?;
    let (mut buffer, mut sum) = (vec![0; 1 << 20], 0_u64);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        sum = buffer[..read].iter().fold(sum, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
    }
    std::hint::black_box(sum);
    Ok(Cost::of(std::process::id())?.since(before))
}
