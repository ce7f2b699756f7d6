//! Queries of a server that knows nothing yet: it was just started, and no page of its files is in the system's cache.
//!
//! Owns: starting it for each question, and putting files out of the cache. Does not own: which queries there are (`store`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sawyer_bench::server::Server;

use crate::{Args, Query, ask, say};

/// How often each query is asked.
const RUNS: u32 = 3;

/// Asks each query a few times, each time of a new server.
pub(crate) fn measure(args: &Args, queries: &[Query], folder: &Path) -> Result<()> {
    say(&format!(
        "{:<44} {:>9} {:>9} {:>9} {:>8}  found",
        "query, cold", "CPU ms", "wall ms", "MB read", "runs"
    ));
    for query in queries {
        let (mut cpu, mut wall, mut read, mut found) = (Duration::ZERO, Duration::ZERO, 0, String::new());
        for _ in 0..RUNS {
            let mut server = Server::start(&args.binary, folder, &args.server)?;
            put_out(folder)?;
            let (cost, bytes) = (server.cost()?, bytes_read(server.pid())?);
            let started = Instant::now();
            found = ask(&mut server, &query.variation(0))?;
            wall += started.elapsed();
            cpu += server.cost()?.since(cost).cpu;
            read += bytes_read(server.pid())? - bytes;
            server.stop()?;
        }
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3 / f64::from(RUNS);
        let (cpu, wall, read) = (milliseconds(cpu), milliseconds(wall), read as f64 / 1e6 / f64::from(RUNS));
        say(&format!("{:<44} {cpu:>9.1} {wall:>9.1} {read:>9.2} {RUNS:>8}  {found}", query.name));
    }
    Ok(())
}

/// Bytes that a process had read from disks (`proc_pid_io(5)`).
fn bytes_read(pid: u32) -> Result<u64> {
    let io = fs::read_to_string(format!("/proc/{pid}/io"))?;
    let line = io.lines().find_map(|line| line.strip_prefix("read_bytes: "));
    Ok(line.context("find what a process read")?.parse()?)
}

/// Puts all files of a folder out of the system's cache.
fn put_out(folder: &Path) -> Result<()> {
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let mut input = std::ffi::OsString::from("if=");
            input.push(&path);
            let dropped =
                Command::new("dd").arg(input).args(["iflag=nocache", "count=0", "status=none"]).status()?;
            // The server that just started puts files in the place of others.
            anyhow::ensure!(
                dropped.success() || !path.exists(),
                "dd puts a file out of the cache: {dropped}"
            );
        }
    }
    Ok(())
}
