//! How much smaller does the whole store make real text than a general compressor does?
//!
//! The real server reads log files by its input `files`, parses, seals and merges, and squeezes what is old; the bytes of all
//! segments before and after that, with every column, index and filter, stand beside the concatenated text under zstd.
//!
//! Owns: which files count. Does not own: the text, which lies outside the repository.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use sawyer_bench::sawyer::Sawyer;

/// Longest wait for the server to have read everything.
const PATIENCE: Duration = Duration::from_secs(600);

/// The longest line that is text: a dump of something else has longer ones.
const LINE_BYTES_MAX: usize = 256 << 10;

/// Compares the bytes of a store with its text under zstd.
#[derive(Debug, Parser)]
struct Args {
    /// Folders with log files: all below them that are text, tables and licences left out.
    #[arg(required = true)]
    folders: Vec<PathBuf>,
    /// How many times the text is read, each time as other files: what repeats over months.
    #[arg(long, default_value_t = 1)]
    copies: usize,
    /// Lines of the section `store`, such as `merged_bytes_max: 96MiB`.
    #[arg(long, default_value = "seal_interval: 5s, squeeze_after: 60s")]
    store: String,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut files = Vec::new();
    for folder in &args.folders {
        find(folder, &mut files)?;
    }
    files.sort();
    ensure!(!files.is_empty(), "there are no log files");
    let work = tempfile::tempdir()?;
    let logs = work.path().join("logs");
    std::fs::create_dir_all(&logs)?;
    let (mut text, mut lines) = (Vec::new(), 0u64);
    for (number, path) in files.iter().enumerate() {
        let bytes = std::fs::read(path)?;
        for copy in 0..args.copies {
            let mut bytes = bytes.clone();
            if !bytes.ends_with(b"\n") {
                bytes.push(b'\n');
            }
            // Something of each file has to differ, or it is taken for the same file under another name.
            let name = logs.join(format!("{number}-{copy}.log"));
            lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
            text.extend_from_slice(&bytes);
            std::fs::write(name, bytes)?;
        }
    }
    let stored = store(&args, work.path(), &logs)?;
    let mb = |bytes: usize| bytes as f64 / 1e6;
    let row = |name: &str, bytes: usize| {
        say(&format!(
            "{name:<28} {:>9.3} MB  {:>6.2} of the text",
            mb(bytes),
            bytes as f64 / text.len() as f64
        ))
    };
    say(&format!("{} files, {lines} lines, {} records", files.len(), stored.records))?;
    row("text", text.len())?;
    row("zstd -3", zstd::bulk::compress(&text, 3)?.len())?;
    row("zstd -19", zstd::bulk::compress(&text, 19)?.len())?;
    row("store, all of it, merged", stored.merged)?;
    row("store, all of it, squeezed", stored.squeezed)?;
    say(&format!("merging {:.1} CPU s, squeezing {:.1} CPU s", stored.merging, stored.squeezing))
}

/// What came of the text.
struct Stored {
    merged: usize,
    squeezed: usize,
    records: i64,
    /// CPU seconds from the start until nothing was merged any more, and from then on.
    merging: f64,
    squeezing: f64,
}

fn store(args: &Args, work: &Path, logs: &Path) -> Result<Stored> {
    let paths = logs.join("*.log");
    let config = format!(
        "inputs: {{text: {{type: files, include: [{:?}]}}}}\noutputs: {{store: }}\nstore: {{{}}}\n",
        paths.to_str().context("a path in UTF-8")?,
        args.store
    );
    let mut sawyer = Sawyer::start("up", &config, &work.join("server"))?;
    sawyer.wait_for("sawyer_input_records_total", 1, PATIENCE)?;
    let records = quiet(&sawyer)?;
    let segments = work.join("server/data/store/segments");
    let (merged, merging) = (bytes_in(&segments)?, sawyer.cost()?);
    sawyer.wait_for(
        "sawyer_store_merges_total",
        sawyer.metric("sawyer_store_merges_total")?.cast_unsigned() + 1,
        PATIENCE,
    )?;
    quiet(&sawyer)?;
    let (squeezed, squeezing) = (bytes_in(&segments)?, sawyer.cost()?.since(merging));
    sawyer.kill()?;
    let (merging, squeezing) = (merging.cpu.as_secs_f64(), squeezing.cpu.as_secs_f64());
    Ok(Stored { merged, squeezed, records, merging, squeezing })
}

fn bytes_in(folder: &Path) -> Result<usize> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len() as usize;
    }
    Ok(bytes)
}

/// Waits until nothing comes any more, everything is sealed and nothing is merged; gives the number of records.
#[expect(clippy::disallowed_methods, reason = "nothing tells that another process rests")]
fn quiet(sawyer: &Sawyer) -> Result<i64> {
    let mut before = None;
    for _ in 0..PATIENCE.as_secs() / 8 {
        std::thread::sleep(Duration::from_secs(8));
        let now = (
            sawyer.metric("sawyer_store_records_total")?,
            sawyer.metric("sawyer_store_merges_total")?,
            sawyer.metric("sawyer_store_memory_bytes")?,
        );
        if before == Some(now) && now.2 == 0 {
            return Ok(now.0);
        }
        before = Some(now);
    }
    anyhow::bail!("the server does not come to rest: {}", sawyer.log())
}

/// Text files that are logs.
fn find(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            find(&path, found)?;
        } else if !["LICENSE", "CITATION", "README"].iter().any(|left| name.starts_with(left))
            && ![".csv", ".md", ".json", ".yaml", ".gz"].iter().any(|left| name.ends_with(left))
            && is_text(&path)?
        {
            found.push(path);
        }
    }
    Ok(())
}

fn is_text(path: &Path) -> Result<bool> {
    let bytes = std::fs::read(path)?;
    let longest = bytes.split(|byte| *byte == b'\n').map(<[u8]>::len).max().unwrap_or(0);
    Ok(!bytes.is_empty() && !bytes.contains(&0) && longest <= LINE_BYTES_MAX)
}

#[expect(clippy::print_stdout, reason = "figures are what a measurement is for")]
fn say(line: &str) -> Result<()> {
    println!("{line}");
    Ok(())
}
