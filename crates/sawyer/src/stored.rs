//! `sawyer store`: commands for the folder in which records are kept.
//!
//! Owns: what they print. Does not own: how the store is read (`sawyer_store`).
//! Invariant: nothing but `delete --yes` and `restore --yes` changes a store. `delete` and `dump` open it as a server does,
//! and therefore want it for themselves, unless a running process is asked to delete; `restore` always asks one.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Subcommand};
use sawyer_codec::json_out;
use sawyer_disk::{Disk, EncryptedDisk, Key, RealDisk};
use sawyer_model::{Error, Timestamp};
use sawyer_query::kql;
use sawyer_query::search::{Budget, Order, Search, SearchRequest, Selection};
use sawyer_query::upkeep::Upkeep;
use sawyer_store::{Inspection, Store, StorePlan, backup};
use sawyer_telemetry::{Clock, Metrics};

use crate::data::{self, KeyArgs, STORE_FOLDER};
/// Records that are read at a time.
const DUMP_RECORDS: usize = 5_000;

#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
    /// The data folder of the process whose store it is.
    #[arg(long, env = "SAWYER_DATA", default_value = "data", global = true)]
    data: PathBuf,
    #[command(flatten)]
    keys: KeyArgs,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Read everything and say what is damaged or missing. The process may run.
    Verify,
    /// Say how many records there are, in which segments, and what takes how many bytes. The process may run.
    Stats,
    /// Print all records, oldest first, one JSON object a line. The process must not run.
    Dump {
        /// Only records that this KQL expression holds for.
        #[arg(default_value = "")]
        query: String,
    },
    /// Say which records the policies of a configuration keep how long, and how many of them are to go now. Nothing is
    /// changed. The process may run.
    Retention {
        /// The configuration file whose section `store` says what is kept.
        #[arg(long, short, env = "SAWYER_CONFIG")]
        config: Option<PathBuf>,
    },
    /// Delete the records that a KQL expression holds for, whatever their time. Without `--yes` only say how many they
    /// are. The process must not run, or is asked with `--server` on its own machine.
    Delete {
        /// The expression.
        query: String,
        /// Really delete them.
        #[arg(long)]
        yes: bool,
        /// The address of the running process, such as http://127.0.0.1:7280.
        #[cfg(feature = "client")]
        #[arg(long)]
        server: Option<String>,
    },
    /// Copy the store to a folder that is empty or not there. The process may run. The copy is used by `restore`, or by
    /// putting it where `store` is in a data folder.
    Backup {
        /// The folder.
        to: PathBuf,
    },
    /// Bring records of a backup into a running process on this machine: those that it does not have. Without `--yes` only say
    /// how many they are.
    #[cfg(feature = "client")]
    Restore(RestoreArgs),
}

/// `sawyer store restore`
#[cfg(feature = "client")]
#[derive(Debug, Args)]
struct RestoreArgs {
    /// The folder of the backup, as the process finds it.
    from: PathBuf,
    /// Only records that this KQL expression holds for.
    #[arg(default_value = "")]
    query: String,
    /// Only records from this time on: RFC 3339, a date, epoch, or relative such as now-7d/d.
    #[arg(long)]
    start: Option<String>,
    /// Only records before this time.
    #[arg(long)]
    end: Option<String>,
    /// Keep them at least so long from now on, such as 7d. Without it, those that retention would remove at once are left out.
    #[arg(long)]
    keep: Option<String>,
    /// Really bring them.
    #[arg(long)]
    yes: bool,
    /// The address of the running process, such as http://127.0.0.1:7280.
    #[arg(long)]
    server: String,
}

pub(crate) fn run(args: &StoreArgs) -> Result<()> {
    #[cfg(feature = "client")]
    match &args.command {
        StoreCommand::Delete { query, yes, server: Some(server) } => {
            return delete_of_process(server, query, *yes);
        }
        StoreCommand::Restore(args) => return restore(args),
        _ => {}
    }
    let folder = args.data.join(STORE_FOLDER);
    if !folder.is_dir() {
        bail!("{}: there is no store; `--data` names the data folder", folder.display());
    }
    let keys = args.keys.keys()?;
    let disk = data::open(&args.data, keys.clone())?.sub(STORE_FOLDER);
    match &args.command {
        StoreCommand::Verify => verify(disk),
        StoreCommand::Stats => stats(disk),
        StoreCommand::Dump { query } => dump(disk, query),
        StoreCommand::Retention { config } => retention(disk, config.as_deref()),
        StoreCommand::Delete { query, yes, .. } => delete(disk, query, *yes),
        StoreCommand::Backup { to } => copy(&*disk, to, keys),
        #[cfg(feature = "client")]
        StoreCommand::Restore(args) => restore(args),
    }
}

fn told(error: Error) -> anyhow::Error {
    anyhow!(error)
}

fn verify(disk: Arc<dyn Disk>) -> Result<()> {
    let found = Inspection::open(disk).and_then(|store| store.verify()).map_err(told)?;
    for (path, message) in &found.problems {
        say(&format!("{path}: {message}"))?;
    }
    for (path, bytes) in &found.set_aside {
        say(&format!("{path}: put aside earlier, {bytes} bytes; the note beside it says why"))?;
    }
    say(&format!(
        "segments={} records={} unsealed_batches={} torn_bytes={} set_aside_bytes={} problems={}",
        found.segments,
        found.records,
        found.log_batches,
        found.torn_bytes,
        found.set_aside.iter().map(|(_, bytes)| bytes).sum::<u64>(),
        found.problems.len(),
    ))?;
    if found.problems.is_empty() { Ok(()) } else { bail!("the store is damaged") }
}

fn stats(disk: Arc<dyn Disk>) -> Result<()> {
    let store = Inspection::open(disk).map_err(told)?;
    let segments = store.segments().map_err(told)?;
    for segment in &segments {
        let (first, last) = segment.times;
        say(&format!(
            "segment={} records={} bytes={} raw_bytes={} first={first} last={last}",
            segment.id, segment.records, segment.bytes, segment.raw_bytes
        ))?;
    }
    for (name, bytes) in store.column_bytes().map_err(told)? {
        say(&format!("column={name} bytes={bytes}"))?;
    }
    let sum = |of: fn(&sawyer_store::SegmentInfo) -> u64| segments.iter().map(of).sum::<u64>();
    let (records, bytes) = (sum(|segment| segment.records), sum(|segment| segment.bytes));
    let raw = sum(|segment| segment.raw_bytes);
    say(&format!("segments={} records={records} bytes={bytes} raw_bytes={raw}", segments.len()))
}

fn retention(disk: Arc<dyn Disk>, config: Option<&Path>) -> Result<()> {
    let plan = crate::roles::store_plan(config)?;
    let store = Inspection::open(disk).map_err(told)?;
    let report = store.retention(&plan, Clock::system().now()).map_err(told)?;
    for policy in &report.policies {
        let name = if policy.name.is_empty() { "(all others)" } else { &policy.name };
        let size = policy.size_max.map_or(String::new(), |bytes| format!(" size_max={bytes}"));
        say(&format!(
            "policy={name} keep={}s{size} records={} bytes={} due_records={} due_bytes={}",
            policy.keep.as_secs(),
            policy.records,
            policy.bytes,
            policy.due_records,
            policy.due_bytes,
        ))?;
    }
    say(&format!(
        "records={} bytes={} segments_removed={} segments_rewritten={} rewritten_bytes={}",
        report.records,
        report.bytes,
        report.segments_removed,
        report.segments_rewritten,
        report.rewritten_bytes,
    ))
}

fn delete(disk: Arc<dyn Disk>, query: &str, really: bool) -> Result<()> {
    let (store, selection) = open(disk, query)?;
    if !really {
        let (records, _) = store.count(&selection, &Budget::unlimited()).map_err(told)?;
        return say_count(records);
    }
    let deleted = store.delete(&selection, &Budget::unlimited());
    // The files go when nothing reads them any more.
    store.remove_superfluous();
    say(&format!("deleted={}", deleted.map_err(told)?))
}

/// The answer of a running process to what may take long.
#[cfg(feature = "client")]
fn ask(server: &str, path: &str, body: &serde_json::Value) -> Result<serde_json::Value> {
    let server = crate::client::http::Server::new(server)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(server.post_for_long(path, body))
}

/// A number of an answer.
#[cfg(feature = "client")]
fn number(answer: &serde_json::Value, key: &str) -> Result<u64> {
    answer[key].as_u64().with_context(|| format!("the answer has no `{key}`"))
}

#[cfg(feature = "client")]
fn restore(args: &RestoreArgs) -> Result<()> {
    let RestoreArgs { from, query, start, end, keep, yes, server } = args;
    let from = std::path::absolute(from).with_context(|| from.display().to_string())?;
    let from = from.to_str().with_context(|| format!("{} is not UTF-8", from.display()))?;
    let body = serde_json::json!({
        "from": from, "query": query, "start": start, "end": end, "keep": keep, "confirm": yes,
    });
    let answer = ask(server, "restore", &body)?;
    let problems = answer["problems"].as_array().map(Vec::as_slice).unwrap_or_default();
    for problem in problems {
        let text = |key: &str| problem[key].as_str().unwrap_or_default();
        say(&format!("{}: {}", text("path"), text("message")))?;
    }
    let [records, bytes, present, expired, restored] =
        ["records", "bytes", "present", "expired", "restored"].map(|key| number(&answer, key));
    let (records, expired) = (records?, expired?);
    let too_old = if expired > 0 { "; `--keep 7d` brings those that are too old as well" } else { "" };
    let advice = if *yes || records == 0 { "" } else { "; `--yes` restores them" };
    say(&format!(
        "records={records} bytes={} present={} expired={expired} restored={}{advice}{too_old}",
        bytes?, present?, restored?
    ))?;
    if problems.is_empty() {
        Ok(())
    } else {
        bail!("files of the backup are damaged; the others can be used")
    }
}

#[cfg(feature = "client")]
fn delete_of_process(server: &str, query: &str, really: bool) -> Result<()> {
    let end = Timestamp::MAX.to_string();
    let body = serde_json::json!({"query": query, "start": "0", "end": end, "confirm": really});
    let answer = ask(server, "delete", &body)?;
    if answer["partial"].as_bool().unwrap_or(false) {
        bail!(
            "not all records of this query could be counted within the time of one; `--yes` deletes all of them"
        );
    }
    if really {
        say(&format!("deleted={}", number(&answer, "deleted")?))
    } else {
        say_count(number(&answer, "count")?)
    }
}

fn say_count(records: u64) -> Result<()> {
    say(&format!("records={records} deleted=0; `--yes` deletes them"))
}

/// Opens a store as a server does, to ask for the records that a query holds for at any time. What the server's
/// settings keep how long is not known here, so all of it is kept.
fn open(disk: Arc<dyn Disk>, query: &str) -> Result<(Store, Selection)> {
    let clock = Clock::system();
    let options = kql::CompileOptions { now: clock.now(), ..kql::CompileOptions::default() };
    let predicate = kql::compile(query, &options).map_err(|error| anyhow!("query: {error}"))?;
    let store = Store::open_manual(disk, StorePlan::keeping_all(), clock, &Metrics::new()).map_err(told)?;
    Ok((store, Selection { predicate, start: Timestamp::MIN, end: Timestamp::MAX }))
}

fn dump(disk: Arc<dyn Disk>, query: &str) -> Result<()> {
    let (store, selection) = open(disk, query)?;
    let mut request = SearchRequest {
        selection,
        order: Order::OldestFirst,
        limit: DUMP_RECORDS,
        after: None,
        original: true,
    };
    let mut out = std::io::stdout().lock();
    loop {
        let page = store.search(&request, &Budget::unlimited()).map_err(told)?;
        let mut lines = Vec::new();
        for record in page.records.iter() {
            json_out::write(record, &json_out::Options::default(), &mut lines);
            lines.push(b'\n');
        }
        out.write_all(&lines).context("print records")?;
        if page.stats.partial {
            bail!("a part of the store cannot be read; see `sawyer store verify`");
        }
        match page.next {
            Some(next) => request.after = Some(next),
            None => return Ok(()),
        }
    }
}

/// A copy of what is encrypted is encrypted as well.
fn copy(from: &dyn Disk, to: &Path, keys: Vec<Key>) -> Result<()> {
    let target = EncryptedDisk::open(Arc::new(RealDisk::new(to)?), keys)?;
    let report = backup(from, &*target).map_err(told)?;
    say(&format!("segments={} sealed_records={} bytes={}", report.segments, report.records, report.bytes))
}

fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").context("print")
}
