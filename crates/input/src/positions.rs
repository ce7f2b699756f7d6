//! How far other collectors had read, so that a switch to Sawyer makes neither a gap nor duplicates.
//!
//! Owns: reading what they wrote down: promtail's positions, Fluent Bit's database, Fluentd's `pos_file`, Filebeat's
//! registry.
//! Does not own: which file is meant today (`tail`).
//! Invariant: files of others are only read, never written, and whatever is in them harms nothing but the import.

mod filebeat;
mod fluentd;
mod promtail;
mod sqlite;

use std::path::{Path, PathBuf};

use sawyer_config::{choice, settings};

#[cfg(test)]
mod tests;

choice! {
    /// Who wrote down the positions.
    pub enum Collector {
        /// Grafana's promtail: the file of its setting `positions.filename`.
        Promtail = "promtail",
        /// Fluent Bit: the file of the setting `DB` of its input `tail`.
        FluentBit = "fluent_bit",
        /// Fluentd: the file of the setting `pos_file` of its input `tail`.
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

/// Longest file of positions that is read. A longer one is none.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// How far another collector had read a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// What it called the file; empty if it did not say.
    pub(crate) path: PathBuf,
    /// Its inode, if that was written down.
    pub(crate) inode: Option<u64>,
    /// Everything before was passed on.
    pub(crate) offset: u64,
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

/// Reads the positions that a collector wrote to `path`.
pub(crate) fn read(from: Collector, path: &Path) -> Result<Vec<Position>, PositionsError> {
    match from {
        Collector::Promtail => promtail::parse(&text(path)?)
            .ok_or_else(|| PositionsError::Form(path.to_owned(), "`positions:` and below it a file a line")),
        Collector::Fluentd => fluentd::parse(&text(path)?).ok_or_else(|| {
            PositionsError::Form(path.to_owned(), "a path, an offset and an inode, with tabs between, a line")
        }),
        Collector::Filebeat => filebeat::read(path),
        Collector::FluentBit => {
            let main = bytes(path)?;
            let log = with_ending(path, "-wal");
            let log = if log.exists() { bytes(&log)? } else { Vec::new() };
            sqlite::positions(&main, &log).ok_or_else(|| {
                PositionsError::Form(path.to_owned(), "an SQLite database with `in_tail_files`")
            })
        }
    }
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
