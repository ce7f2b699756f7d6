//! How many bytes go through a buffer for each second of processor time.
//!
//! `cargo run --release -p sawyer-buffer --example throughput -- FOLDER`

#![allow(clippy::print_stdout, reason = "it is a program")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sawyer_buffer::{Buffer, BufferSettings, Lane, SyncPolicy};
use sawyer_config::{ByteSize, Document, Problems};
use sawyer_disk::{Disk, RealDisk};
use sawyer_telemetry::{Clock, Metrics};

/// Bytes that each run sends through.
const TOTAL_BYTES: usize = 2 << 30;

/// Bytes put in before they are taken, where reading back is measured.
const BACKLOG_BYTES: usize = 512 << 20;

/// Processor time of this process so far, from `/proc/self/stat`, in hundredths of a second.
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    ticks(11) + ticks(12)
}

async fn run(folder: PathBuf, what: &str, entry_bytes: usize, sync: SyncPolicy, read_back: bool) {
    let memory_max = if read_back { ByteSize::ZERO } else { ByteSize::mib(8) };
    let settings = BufferSettings { sync, memory_max, ..BufferSettings::default() };
    let document = Document::parse("none", "{}").expect("it is YAML");
    let plan = settings.check(&document.at(), &mut Problems::new()).expect("the settings are right");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(folder).expect("the folder can be made"));
    let buffer = Buffer::open(disk, plan, Clock::system(), &Metrics::new(), "bench").expect("it opens");
    let payload = Bytes::from((0..entry_bytes).map(|at| ((at * 31) >> 3) as u8).collect::<Vec<_>>());
    let chunk = if read_back { BACKLOG_BYTES } else { 4 << 20 };
    let (ticks, start) = (cpu_ticks(), Instant::now());
    for _ in 0..TOTAL_BYTES / chunk {
        let count = chunk / entry_bytes;
        let pushers: Vec<_> = (0..4)
            .map(|_| {
                let (buffer, payload) = (buffer.clone(), payload.clone());
                tokio::spawn(async move {
                    for _ in 0..count / 4 {
                        buffer.push(Lane::Normal, payload.clone(), 100).await.expect("it is taken");
                    }
                })
            })
            .collect();
        for pusher in pushers {
            pusher.await.expect("it does not panic");
        }
        for _ in 0..count / 4 * 4 {
            buffer.take().await.expect("it can be read").expect("it is there").ack();
        }
    }
    let cpu = (cpu_ticks() - ticks) as f64 / 100.0;
    let megabytes = TOTAL_BYTES as f64 / 1e6;
    let elapsed = start.elapsed().as_secs_f64();
    println!("{what:<42} {:>6.0} MB per CPU second ({cpu:.2} s CPU, {elapsed:.2} s)", megabytes / cpu);
    buffer.close().await;
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "buffer-bench".into()));
    let cases = [
        ("256 KiB, read back, never", 256 << 10, SyncPolicy::Never, true),
        ("256 KiB, from memory, never", 256 << 10, SyncPolicy::Never, false),
        ("16 KiB, read back, never", 16 << 10, SyncPolicy::Never, true),
        ("256 KiB, read back, always", 256 << 10, SyncPolicy::Always, true),
    ];
    for (at, (what, entry_bytes, sync, read_back)) in cases.into_iter().enumerate() {
        run(folder.join(at.to_string()), what, entry_bytes, sync, read_back).await;
    }
}
