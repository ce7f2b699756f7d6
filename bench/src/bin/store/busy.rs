//! Queries while records come in: a steady rate into the server on one connection, the query mix on another, and how long
//! each kind of query takes then.
//!
//! Owns: the pace, and the percentiles. Does not own: which queries there are (`store`).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use sawyer_bench::kubernetes::Workload;
use sawyer_bench::server::{Connection, Server};

use crate::{Query, ask, say};

/// Requests in a second.
const REQUESTS_PER_SECOND: u64 = 5;

/// Sends `rate` records a second for so long, and asks all queries in turn meanwhile.
pub(crate) fn measure(
    server: &mut Server,
    queries: &[Query],
    rate: u64,
    time: Duration,
    seed: u64,
) -> Result<()> {
    let (done, late_ms_max) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut writer = server.connect()?;
    let before = server.cost()?;
    let started = Instant::now();
    let mut took: Vec<Vec<Duration>> = vec![Vec::new(); queries.len()];
    let sent = std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let sent = send(&mut writer, rate, seed, &done, &late_ms_max);
            done.store(true, Ordering::Release);
            sent
        });
        let mut asked = Ok(());
        'time: while asked.is_ok() {
            for (query, took) in queries.iter().zip(&mut took) {
                if started.elapsed() > time || done.load(Ordering::Acquire) {
                    break 'time;
                }
                let begun = Instant::now();
                asked = asked.and(ask(server, &query.variation(took.len())).map(drop));
                took.push(begun.elapsed());
            }
        }
        done.store(true, Ordering::Release);
        let sent = sending.join().map_err(|_| anyhow!("the thread that sends panicked"))?;
        asked.and(sent)
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let cpu = server.cost()?.since(before).cpu.as_secs_f64();
    say(&format!(
        "\n{sent} records in {seconds:.0} s while asking: {:.0} a second, server {:.0} % of a core, a request at most \
         {} ms late",
        sent as f64 / seconds,
        cpu / seconds * 100.0,
        late_ms_max.load(Ordering::Relaxed),
    ));
    say(&format!(
        "{:<44} {:>9} {:>9} {:>9} {:>8}",
        "query while ingesting", "p50 ms", "p99 ms", "max ms", "runs"
    ));
    for (query, mut took) in queries.iter().zip(took) {
        took.sort();
        let Some(last) = took.len().checked_sub(1) else { continue };
        let at = |part: f64| took[(last as f64 * part).round() as usize].as_secs_f64() * 1e3;
        let (p50, p99, most) = (at(0.5), at(0.99), at(1.0));
        say(&format!("{:<44} {p50:>9.2} {p99:>9.2} {most:>9.2} {:>8}", query.name, took.len()));
    }
    Ok(())
}

/// Sends at a steady pace until it is done; says how many records were acknowledged.
#[expect(clippy::disallowed_methods, reason = "a pace is kept by waiting")]
fn send(
    writer: &mut Connection,
    rate: u64,
    seed: u64,
    done: &AtomicBool,
    late_ms_max: &AtomicU64,
) -> Result<u64> {
    let lines = rate / REQUESTS_PER_SECOND;
    let pause = Duration::from_secs(1) / REQUESTS_PER_SECOND as u32;
    let (started, mut sent) = (Instant::now(), 0u64);
    let mut next = started;
    while !done.load(Ordering::Acquire) {
        let now = std::time::UNIX_EPOCH.elapsed()?.as_nanos() as u64;
        let mut workload = Workload::new(seed + sent, lines, now);
        let mut body = String::new();
        while workload.write_line(&mut body) {}
        next += pause;
        if let Some(early) = next.checked_duration_since(Instant::now()) {
            std::thread::sleep(early);
        }
        writer.post("/api/v1/ingest", body.as_bytes())?;
        let late = Instant::now().saturating_duration_since(next).as_millis() as u64;
        late_ms_max.fetch_max(late, Ordering::Relaxed);
        sent += lines;
    }
    Ok(sent)
}
