//! What settings trade for what: the same records into one server after another, each with a setting of its own.
//!
//! Owns: which settings. Does not own: how each is measured (`store`).

use anyhow::Result;
use sawyer_bench::server::Server;

use crate::{AIM_RECORDS, Args, cost_of, folder_bytes, queries, say, send_all};

/// Settings of the store, beside the usual ones.
const WAYS: [&str; 8] = [
    "",
    "memory_max: 48MiB",
    "memory_max: 80MiB",
    "memory_max: 96MiB",
    "memory_max: 128MiB",
    "commit_delay: 5ms",
    "commit_delay: 50ms",
    "",
];

/// The questions that are asked of each, for something else each time: by the beginning of what they are called.
const ASKED: [&str; 3] = ["needle", "substring count", "top 10 services"];

/// Takes in all records once for each way.
pub(crate) fn measure(args: &Args) -> Result<()> {
    let scale = AIM_RECORDS as f64 / args.records as f64;
    say(&format!(
        "{:<24} {:>12} {:>9} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "for 2 million records",
        "acknowledged",
        "merged",
        "peak MB",
        "disk MB",
        "segments",
        "needle",
        "substring",
        "new word"
    ));
    for way in WAYS {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("sawyer.yaml");
        std::fs::write(&config, if way.is_empty() { "{}".to_owned() } else { format!("store:\n  {way}\n") })?;
        let data = folder.path().join("data");
        let mut given = args.server.clone();
        given.extend(["--config".to_owned(), config.display().to_string()]);
        let mut server = Server::start(&args.binary, &data, &given)?;
        let sent = send_all(args, &mut server)?;
        let (bytes, segments) = folder_bytes(&data)?;
        let mut asked = Vec::new();
        for query in queries(&mut server, args.unique)?
            .iter()
            .filter(|query| ASKED.iter().any(|name| query.name.starts_with(name)))
        {
            asked.push(format!(" {:>9.2}", cost_of(&mut server, query, args, true)?.cpu_ms));
        }
        server.stop()?;
        let mb = |bytes: u64| bytes as f64 / 1e6;
        say(&format!(
            "{:<24} {:>12.2} {:>9.2} {:>8.0} {:>9.1} {segments:>9}{}",
            if way.is_empty() { "as it is" } else { way },
            sent.acknowledged.cpu.as_secs_f64() * scale,
            sent.merged.cpu.as_secs_f64() * scale,
            mb(sent.merged.memory_peak_bytes),
            mb(bytes) * scale,
            asked.concat(),
        ));
    }
    Ok(())
}
