//! How far other collectors had read, so that a switch to Sawyer makes neither a gap nor duplicates.
//!
//! Owns: reading what they wrote down of files and of the journal: promtail's positions, Fluent Bit's databases, Fluentd's
//! `pos_file` and storage, Filebeat's registry.
//! Does not own: which file or entry is meant today (`tail`, `journal`).
//! Invariant: files of others are only read, never written, and whatever is in them harms nothing but the import.

pub mod decoders;
mod filebeat;
mod fluent_bit;
mod fluentd;
mod promtail;
mod sqlite;

use std::path::{Path, PathBuf};

use sawyer_codec::journal::EntryName;
use sawyer_config::{choice, settings};
use sawyer_model::{Error, ErrorKind};
use sawyer_pipeline::Context;

#[cfg(test)]
mod tests;

choice! {
    /// Who wrote down the positions.
    pub enum Collector {
        /// Grafana's promtail: the file of its setting `positions.filename`.
        Promtail = "promtail",
        /// Fluent Bit: the file of the setting `DB` of its input `tail`, or `systemd`.
        FluentBit = "fluent_bit",
        /// Fluentd: the file of the setting `pos_file` of its input `tail`; that of the `storage` of the input `systemd`.
        Fluentd = "fluentd",
        /// Filebeat: its folder `registry/filebeat` below `path.data`.
        Filebeat = "filebeat",
    }
}

settings! {
    /// Positions of another collector that read the same files before.
    pub struct ImportSettings {
        /// Who wrote them.
        pub from: Collector,
        /// Where they are: a path of the node. Stop the other collector first, so that they are its last.
        pub path: PathBuf,
    }
}

settings! {
    /// The cursor of another collector that read the same journal before.
    pub struct CursorImportSettings {
        /// Who wrote it.
        pub from: Collector,
        /// Where it is: a path of the node. Stop the other collector first, so that it is its last.
        pub path: PathBuf,
        /// Which cursor, where there are several: the name of promtail's job, the `id` of Filebeat's input. By default Sawyer
        /// goes on from the one that is least far.
        pub job: Option<String>,
    }
}

/// Longest file of positions that is read. A longer one is none.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// How far another collector had read a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// What it called the file; empty if it did not say.
    pub path: PathBuf,
    /// Its inode, if that was written down.
    pub inode: Option<u64>,
    /// Everything before was passed on.
    pub offset: u64,
}

/// Positions cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PositionsError {
    /// The file cannot be read.
    #[error("read {0}")]
    Read(PathBuf, #[source] std::io::Error),
    /// It is not what it should be.
    #[error("{0}: expected {1}")]
    Form(PathBuf, &'static str),
}

/// How far another collector had read the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Which of its readers it was; empty where there is only one.
    pub job: String,
    /// The last entry that was passed on.
    pub entry: EntryName,
}

/// Reads the positions in files that a collector wrote to `path`.
pub(crate) fn read(from: Collector, path: &Path) -> Result<Vec<Position>, PositionsError> {
    let form = |expected| PositionsError::Form(path.to_owned(), expected);
    match from {
        Collector::Promtail => promtail::positions(&text(path)?).ok_or_else(|| form(PROMTAIL)),
        Collector::Fluentd => fluentd::positions(&text(path)?)
            .ok_or_else(|| form("a path, an offset and an inode, with tabs between, a line")),
        Collector::Filebeat => filebeat::positions(path),
        Collector::FluentBit => {
            let (main, log) = database(path)?;
            fluent_bit::positions(&main, &log).ok_or_else(|| form("an SQLite database with `in_tail_files`"))
        }
    }
}

/// Reads the cursors that a collector wrote to `path`: of the `job`, if one is named.
pub(crate) fn read_cursors(
    from: Collector,
    path: &Path,
    job: Option<&str>,
) -> Result<Vec<Cursor>, PositionsError> {
    let form = |expected| PositionsError::Form(path.to_owned(), expected);
    let mut cursors = match from {
        Collector::Promtail => promtail::cursors(&text(path)?).ok_or_else(|| form(PROMTAIL))?,
        Collector::Fluentd => {
            let cursor = fluentd::cursor(&text(path)?);
            vec![
                cursor
                    .ok_or_else(|| form("a cursor of the journal, alone or as `journal` of a JSON object"))?,
            ]
        }
        Collector::Filebeat => filebeat::cursors(path)?,
        Collector::FluentBit => {
            let (main, log) = database(path)?;
            let cursors = fluent_bit::cursors(&main, &log);
            cursors.ok_or_else(|| form("an SQLite database with `in_systemd_cursor`"))?
        }
    };
    if let Some(job) = job {
        cursors.retain(|cursor| cursor.job == job);
        if cursors.is_empty() {
            return Err(form("a cursor of the job"));
        }
    }
    Ok(cursors)
}

/// Has what another collector wrote to a path of the node `read`, and says what came of it. Nothing if there is no such file,
/// as on a node where the other collector never ran; none if it is not known how far it had read.
pub(crate) fn import<T>(
    context: &Context,
    from: Collector,
    path: &Path,
    read: impl FnOnce(&Path) -> Result<Vec<T>, PositionsError>,
) -> Option<Vec<T>> {
    let path = context.on_host(path);
    if !path.exists() {
        tracing::info!(input = context.name, path = %path.display(), "there are no positions of {from} to go on from");
        return Some(Vec::new());
    }
    read(&path)
        .map_err(|error| {
            let error =
                Error::new(ErrorKind::Invalid, "read the positions of another collector").because(error);
            tell_unknown(context, from, &error.chain().to_string());
        })
        .ok()
}

/// Says that what another collector passed on is read again, because it is not known what that was.
pub(crate) fn tell_unknown(context: &Context, from: Collector, why: &str) {
    let labels = [("input", context.name.as_str()), ("reason", "positions")];
    let help = "Things that went wrong while reading";
    context.metrics.counter("sawyer_input_errors", help, &labels).inc();
    let note = format!("it is not known how far {from} had read; what it passed on comes again");
    context.health.note(format!("import of input {}", context.name), note);
    tracing::error!(
        input = context.name,
        "how far {from} had read is not known, so all without a position is read from its beginning: {why}"
    );
}

/// What promtail's file should be.
const PROMTAIL: &str = "`positions:` and below it a file a line";

/// The bytes of an SQLite database, and of its write-ahead log.
fn database(path: &Path) -> Result<(Vec<u8>, Vec<u8>), PositionsError> {
    let log = with_ending(path, "-wal");
    Ok((bytes(path)?, if log.exists() { bytes(&log)? } else { Vec::new() }))
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn bytes(path: &Path) -> Result<Vec<u8>, PositionsError> {
    let failed = |error| PositionsError::Read(path.to_owned(), error);
    if std::fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(PositionsError::Form(path.to_owned(), "at most 256 MiB"));
    }
    std::fs::read(path).map_err(failed)
}

fn text(path: &Path) -> Result<String, PositionsError> {
    Ok(String::from_utf8_lossy(&bytes(path)?).into_owned())
}
