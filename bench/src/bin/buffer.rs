//! How many bytes go through a buffer for each second of processor time, in the page cache.
//!
//! `cargo run --release -p sawyer-bench --bin buffer -- FOLDER`
//!
//! Beside each case stands a yardstick of the same run: the same bytes appended to a file and read back, by nothing but
//! system calls.

#![allow(clippy::print_stdout, reason = "it is a program")]

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use sawyer_bench::Cost;
use sawyer_buffer::{Buffer, BufferSettings, Lane, SyncPolicy};
use sawyer_config::{ByteSize, Document, Problems};
use sawyer_disk::{Disk, RealDisk};
use sawyer_telemetry::{Clock, Metrics};

/// Bytes that each case sends through.
const TOTAL_BYTES: usize = 2 << 30;

/// Bytes put in before they are taken, where reading back is measured.
const BACKLOG_BYTES: usize = 512 << 20;

/// Bytes put in before they are taken, where they are still in memory.
const CLOSE_BYTES: usize = 4 << 20;

/// Who puts in at the same time.
const PUSHERS: usize = 4;

struct Case {
    what: &'static str,
    entry_bytes: usize,
    sync: SyncPolicy,
    read_back: bool,
}

fn cost() -> Result<Cost> {
    Cost::of(std::process::id())
}

async fn run(folder: &Path, case: &Case) -> Result<Cost> {
    let memory_max = if case.read_back { ByteSize::ZERO } else { ByteSize::mib(8) };
    let settings = BufferSettings { sync: case.sync, memory_max, ..BufferSettings::default() };
    let document = Document::parse("none", "{}").map_err(|problems| anyhow!("{problems}"))?;
    let plan = settings.check(&document.at(), &mut Problems::new()).context("the settings are right")?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(folder)?);
    let buffer = Buffer::open(disk, plan, Clock::system(), &Metrics::new(), "bench")?;
    let payload = payload(case.entry_bytes);
    let chunk = if case.read_back { BACKLOG_BYTES } else { CLOSE_BYTES };
    let each = chunk / case.entry_bytes / PUSHERS;
    let before = cost()?;
    for _ in 0..TOTAL_BYTES / chunk {
        let pushers: Vec<_> = (0..PUSHERS)
            .map(|_| {
                let (buffer, payload) = (buffer.clone(), payload.clone());
                tokio::spawn(async move {
                    for _ in 0..each {
                        buffer.push(Lane::Normal, payload.clone(), 100).await?;
                    }
                    Ok::<(), sawyer_model::Error>(())
                })
            })
            .collect();
        for pusher in pushers {
            pusher.await??;
        }
        for _ in 0..each * PUSHERS {
            buffer.take().await?.context("an entry is there")?.ack();
        }
    }
    let used = cost()?.since(before);
    buffer.close().await;
    Ok(used)
}

/// The same bytes through a file.
fn yardstick(folder: &Path, entry_bytes: usize) -> Result<Cost> {
    let (path, payload) = (folder.join("yardstick"), payload(entry_bytes));
    let mut back = vec![0; entry_bytes];
    let before = cost()?;
    for _ in 0..TOTAL_BYTES / BACKLOG_BYTES {
        let mut file = File::create(&path)?;
        for _ in 0..BACKLOG_BYTES / entry_bytes {
            file.write_all(&payload)?;
        }
        let mut file = File::open(&path)?;
        for _ in 0..BACKLOG_BYTES / entry_bytes {
            file.read_exact(&mut back)?;
        }
        std::fs::remove_file(&path)?;
    }
    Ok(cost()?.since(before))
}

fn payload(bytes: usize) -> Bytes {
    (0..bytes).map(|at| ((at * 31) >> 3) as u8).collect::<Vec<_>>().into()
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "buffer-bench".into()));
    let case = |what, entry_bytes, sync, read_back| Case { what, entry_bytes, sync, read_back };
    let cases = [
        case("256 KiB, read back, never synced", 256 << 10, SyncPolicy::Never, true),
        case("256 KiB, from memory, never synced", 256 << 10, SyncPolicy::Never, false),
        case("16 KiB, read back, never synced", 16 << 10, SyncPolicy::Never, true),
        case("256 KiB, read back, synced always", 256 << 10, SyncPolicy::Always, true),
    ];
    println!("{:<38} {:>22} {:>22}", "entries", "MB per CPU second", "a file alone");
    for (at, case) in cases.into_iter().enumerate() {
        let used = run(&folder.join(at.to_string()), &case).await?;
        let alone = yardstick(&folder, case.entry_bytes)?;
        let rate = |cost: Cost| cost.megabytes_per_cpu_second(TOTAL_BYTES as u64);
        println!("{:<38} {:>22.0} {:>22.0}", case.what, rate(used), rate(alone));
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
