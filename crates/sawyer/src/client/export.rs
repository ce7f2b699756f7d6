//! `sawyer export`: everything that matches, into a file or a pipe.
//!
//! Invariant: a file with its name is whole; what was cut on the way is told, and has another name.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::Value;

use super::{Span, Unquoted, Whom};

/// What stands at the end of every Parquet file.
const PARQUET_MAGIC: &[u8] = b"PAR1";

/// What is said of an answer without its end.
const CUT_OFF: &str = "the answer was cut off; if the connection was not, the server's limits, or damage, kept it from all of it";

/// `sawyer export`
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// What to export, in KQL: 'level: error and namespace: shop'.
    #[arg(default_value = "")]
    query: String,
    #[command(flatten)]
    unquoted: Unquoted,
    #[command(flatten)]
    span: Span,
    /// The file to write; standard output unless told.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// What to write; told by the file's name otherwise, `ndjson` if that says nothing.
    #[arg(long, value_enum)]
    format: Option<Form>,
    /// The newest record first; the oldest is first otherwise.
    #[arg(long)]
    newest_first: bool,
    /// Leave out lines as they were written where their fields are there.
    #[arg(long)]
    without_original: bool,
    #[command(flatten)]
    whom: Whom,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// A JSON object a line.
    Ndjson,
    /// A Parquet file, a column for each field.
    Parquet,
}

/// `sawyer export`
pub(crate) async fn export(args: ExportArgs) -> Result<()> {
    args.unquoted.refuse(&args.query)?;
    let by_name = |path: &PathBuf| path.extension().is_some_and(|end| end == "parquet");
    let named = if args.to.as_ref().is_some_and(by_name) { Form::Parquet } else { Form::Ndjson };
    let form = args.format.unwrap_or(named);
    if form == Form::Parquet && args.to.is_none() && io::stdout().is_terminal() {
        bail!("a Parquet file is nothing for a terminal; name a file with --to");
    }
    let start = args.span.start()?;
    let params = [
        ("query", args.query.as_str()),
        ("start", &start),
        ("end", &args.span.end),
        ("order", if args.newest_first { "desc" } else { "asc" }),
        ("original", if args.without_original { "false" } else { "true" }),
        ("format", if form == Form::Parquet { "parquet" } else { "ndjson" }),
    ];
    let mut response = args.whom.server()?.send("export", &params, None).await?;
    let mut sink = Sink::open(args.to.as_deref())?;
    let mut held = Vec::new();
    while let Some(chunk) = response.chunk().await.context(CUT_OFF)? {
        held.extend_from_slice(&chunk);
        let whole = match form {
            Form::Ndjson => before_last_line(&held),
            Form::Parquet => held.len().saturating_sub(PARQUET_MAGIC.len()),
        };
        sink.write(&held[..whole])?;
        held.drain(..whole);
    }
    match form {
        Form::Ndjson => {
            let last: Value = serde_json::from_slice(&held).unwrap_or_default();
            let end = last.get("_end").context(CUT_OFF)?;
            if end["stats"]["partial"] == true {
                sink.flush()?;
                bail!("this is a part of the records only: the server's limits, or damage, left some out");
            }
        }
        Form::Parquet if held == PARQUET_MAGIC => sink.write(&held)?,
        Form::Parquet => bail!(CUT_OFF),
    }
    sink.finish()
}

/// How many bytes stand before the last line, which may be the end of it all.
fn before_last_line(bytes: &[u8]) -> usize {
    let inside = bytes.len().saturating_sub(1);
    bytes[..inside].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

/// Where it is written to. A file gets its name when it is whole.
enum Sink {
    Output(io::StdoutLock<'static>),
    File { out: BufWriter<File>, part: PathBuf, path: PathBuf },
}

impl Sink {
    fn open(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::Output(io::stdout().lock())) };
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part).with_context(|| format!("create {}", part.display()))?;
        Ok(Self::File { out: BufWriter::new(file), part, path: path.to_owned() })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = match self {
            Self::Output(out) => out.write_all(bytes),
            Self::File { out, .. } => out.write_all(bytes),
        };
        written.context("write what came")
    }

    fn flush(&mut self) -> Result<()> {
        let written = match self {
            Self::Output(out) => out.flush(),
            Self::File { out, .. } => out.flush(),
        };
        written.context("write what came")
    }

    fn finish(mut self) -> Result<()> {
        self.flush()?;
        match self {
            Self::Output(_) => Ok(()),
            Self::File { out, part, path } => {
                out.get_ref().sync_all().context("write what came")?;
                std::fs::rename(&part, &path).with_context(|| format!("give {} its name", path.display()))
            }
        }
    }
}
