//! `sawyer buffer` and `sawyer dead-letter`: what waits, and what targets refused.
//!
//! Owns: what is asked and printed, for a data folder as for a running process.
//! Does not own: the JSON of buffers and entries (`agent`), how they are kept (`buffer`).
//! Invariant: nothing leaves a buffer here before it was printed, or unless its removal was asked for.

mod folder;
#[cfg(feature = "client")]
mod process;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use folder::Folder;
#[cfg(feature = "client")]
use process::Process;

use crate::data::KeyArgs;

/// Whose buffers.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The data folder of a process that does not run.
    #[arg(long)]
    data: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
    /// The address of a running process, such as http://127.0.0.1:7280. By default $SAWYER_SERVER, else a context.
    #[cfg(feature = "client")]
    #[arg(long, conflicts_with_all = ["data", "context"])]
    server: Option<String>,
    /// The name of a running process, from `sawyer context`.
    #[cfg(feature = "client")]
    #[arg(long, conflicts_with = "data")]
    context: Option<String>,
}

/// `sawyer buffer`
#[derive(Debug, Subcommand)]
pub(crate) enum BufferAction {
    /// List buffers and how much waits in each.
    Ls {
        #[command(flatten)]
        common: Common,
    },
    /// Print the records that wait for an output, as JSON lines: urgent ones first, then the oldest.
    Show {
        /// The name of the output.
        output: String,
        /// At most how many records; 0 for all.
        #[arg(long, short = 'n', default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        common: Common,
    },
    /// Empty a buffer. Of a running process: wait until its output has taken everything. Of a data folder: print all
    /// records as JSON lines and remove them.
    Drain {
        /// The name of the output.
        output: String,
        #[command(flatten)]
        common: Common,
    },
}

/// `sawyer dead-letter`
#[derive(Debug, Subcommand)]
pub(crate) enum LetterAction {
    /// List what targets refused for good, oldest first, with reasons.
    Ls {
        /// The name of the output. All of them unless told.
        output: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Print refused records with the reason of each, as JSON lines.
    Show {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        common: Common,
    },
    /// Put dead letters back in line, to be sent again.
    Redrive {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        common: Common,
    },
    /// Remove dead letters for good.
    Remove {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        common: Common,
    },
}

/// Which dead letters.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The name of the output.
    output: String,
    /// Their ids, from `sawyer dead-letter ls`.
    #[arg(required_unless_present = "all")]
    ids: Vec<u64>,
    /// All of them.
    #[arg(long, conflicts_with = "ids")]
    all: bool,
}

/// Where buffers are.
enum Place {
    Folder(Folder),
    #[cfg(feature = "client")]
    Process(Process),
}

/// `sawyer buffer`
pub(crate) fn buffer(action: BufferAction) -> Result<()> {
    run(async {
        match action {
            BufferAction::Ls { common } => list(&common.place()?).await,
            BufferAction::Show { output, limit, common } => show(&common.place()?, &output, limit).await,
            BufferAction::Drain { output, common } => match common.place()? {
                Place::Folder(folder) => folder.drain(&output, &mut io::stdout().lock()),
                #[cfg(feature = "client")]
                Place::Process(process) => process.drain(&output).await,
            },
        }
    })
}

/// `sawyer dead-letter`
pub(crate) fn dead_letter(action: LetterAction) -> Result<()> {
    run(async {
        match action {
            LetterAction::Ls { output, common } => list_letters(&common.place()?, output.as_deref()).await,
            LetterAction::Show { which, common } => {
                let place = common.place()?;
                let mut out = io::stdout().lock();
                for id in which.ids(&place).await? {
                    print_entry(&place.entry(&which.output, "dead", id).await?, usize::MAX, &mut out)?;
                }
                Ok(out.flush()?)
            }
            LetterAction::Redrive { which, common } => {
                let place = common.place()?;
                let ids = which.ids(&place).await?;
                place.redrive(&which.output, &ids).await?;
                say(&format!("{} back in line", letters(ids.len())))
            }
            LetterAction::Remove { which, common } => {
                let place = common.place()?;
                let ids = which.ids(&place).await?;
                let removed = place.remove(&which.output, &ids).await?;
                if removed < ids.len() as u64 && !which.all {
                    bail!("{removed} of {} removed; the others are not there", letters(ids.len()));
                }
                say(&format!("{} removed", letters(removed as usize)))
            }
        }
    })
}

fn run(command: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(command) {
        // Whoever reads the output has seen enough.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        done => done,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let pipe = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(pipe))
}

fn letters(count: usize) -> String {
    format!("{count} dead {}", if count == 1 { "letter" } else { "letters" })
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(io::stdout(), "{text}")?)
}

impl Common {
    fn place(&self) -> Result<Place> {
        #[cfg(feature = "client")]
        if self.data.is_none() {
            return Ok(Place::Process(Process::new(self.server.as_deref(), self.context.as_deref())?));
        }
        match &self.data {
            Some(data) => Ok(Place::Folder(Folder::new(data, self.keys.keys()?)?)),
            None => bail!("--data: which data folder?"),
        }
    }
}

impl Which {
    async fn ids(&self, place: &Place) -> Result<Vec<u64>> {
        if !self.all {
            return Ok(self.ids.clone());
        }
        let entries = place.entries(&self.output, "dead").await?;
        let ids: Vec<u64> = entries.iter().filter_map(|entry| entry["id"].as_u64()).collect();
        if ids.is_empty() {
            bail!("the output `{}` has no dead letters", self.output);
        }
        Ok(ids)
    }
}

impl Place {
    async fn list(&self) -> Result<Vec<Value>> {
        match self {
            Self::Folder(folder) => folder.list(),
            #[cfg(feature = "client")]
            Self::Process(process) => process.list().await,
        }
    }

    async fn entries(&self, output: &str, lane: &str) -> Result<Vec<Value>> {
        match self {
            Self::Folder(folder) => folder.entries(output, lane),
            #[cfg(feature = "client")]
            Self::Process(process) => process.entries(output, lane).await,
        }
    }

    /// An entry with its records.
    async fn entry(&self, output: &str, lane: &str, id: u64) -> Result<Value> {
        match self {
            Self::Folder(folder) => folder.entry(output, lane, id),
            #[cfg(feature = "client")]
            Self::Process(process) => process.entry(output, lane, id).await,
        }
    }

    async fn redrive(&self, output: &str, ids: &[u64]) -> Result<()> {
        match self {
            Self::Folder(folder) => folder.redrive(output, ids),
            #[cfg(feature = "client")]
            Self::Process(process) => process.redrive(output, ids).await,
        }
    }

    async fn remove(&self, output: &str, ids: &[u64]) -> Result<u64> {
        match self {
            Self::Folder(folder) => folder.remove(output, ids),
            #[cfg(feature = "client")]
            Self::Process(process) => process.remove(output, ids).await,
        }
    }
}

/// On a terminal a table, else a JSON line for each.
async fn list(place: &Place) -> Result<()> {
    let buffers = place.list().await?;
    let mut out = io::stdout().lock();
    if !io::stdout().is_terminal() {
        return buffers.iter().try_for_each(|buffer| Ok(writeln!(out, "{buffer}")?));
    }
    writeln!(
        out,
        "{:<20} {:<7} {:>10} {:>12} {:>14}  OLDEST",
        "OUTPUT", "LANE", "ENTRIES", "RECORDS", "BYTES"
    )?;
    for buffer in &buffers {
        let output = buffer["output"].as_str().unwrap_or("");
        for lane in buffer["lanes"].as_array().into_iter().flatten() {
            let (name, oldest) =
                (lane["lane"].as_str().unwrap_or(""), lane["oldest"].as_str().unwrap_or("-"));
            let number = |key: &str| lane[key].as_u64().unwrap_or(0);
            let (entries, records, bytes) = (number("entries"), number("records"), number("bytes"));
            writeln!(out, "{output:<20} {name:<7} {entries:>10} {records:>12} {bytes:>14}  {oldest}")?;
        }
        for damage in buffer["damage"].as_array().into_iter().flatten() {
            writeln!(out, "{output:<20} damaged: {}", damage.as_str().unwrap_or(""))?;
        }
    }
    Ok(())
}

async fn list_letters(place: &Place, output: Option<&str>) -> Result<()> {
    let outputs = match output {
        Some(output) => vec![output.to_owned()],
        None => {
            let buffers = place.list().await?;
            buffers.iter().filter_map(|buffer| buffer["output"].as_str().map(str::to_owned)).collect()
        }
    };
    let mut out = io::stdout().lock();
    let terminal = io::stdout().is_terminal();
    for output in outputs {
        for letter in place.entries(&output, "dead").await? {
            if !terminal {
                writeln!(out, "{letter}")?;
                continue;
            }
            let text = |key: &str| letter[key].as_str().unwrap_or("");
            let (id, records) = (&letter["id"], &letter["records"]);
            writeln!(
                out,
                "{output} {id}  {}  {records} records  {}: {}",
                text("since"),
                text("reason"),
                text("detail")
            )?;
        }
    }
    Ok(())
}

async fn show(place: &Place, output: &str, limit: usize) -> Result<()> {
    let mut left = if limit == 0 { usize::MAX } else { limit };
    let mut out = io::stdout().lock();
    for lane in ["urgent", "normal"] {
        for listed in place.entries(output, lane).await? {
            if left == 0 {
                return Ok(out.flush()?);
            }
            let id = listed["id"].as_u64().unwrap_or(0);
            left -= print_entry(&place.entry(output, lane, id).await?, left, &mut out)?;
        }
    }
    Ok(out.flush()?)
}

/// Prints the records of an entry, each with what is known of the entry; gives how many they were.
fn print_entry(entry: &Value, most: usize, out: &mut impl Write) -> Result<usize> {
    let about = &entry["entry"];
    let mut count = 0;
    for record in entry["records"].as_array().into_iter().flatten().take(most) {
        let mut line = json!({ "output": about["output"], "lane": about["lane"], "entry": about["id"] });
        for key in ["reason", "detail"] {
            if !about[key].is_null() {
                line[key] = about[key].clone();
            }
        }
        line["record"] = record.clone();
        writeln!(out, "{line}")?;
        count += 1;
    }
    Ok(count)
}
