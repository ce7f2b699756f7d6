//! Buffers in the data folder of a process that does not run.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use sawyer_agent::buffers::{described, lane_named, records, summary};
use sawyer_buffer::{Inspector, Lane};
use sawyer_disk::{Disk, Key};
use sawyer_model::{Error, ErrorKind};
use sawyer_telemetry::Clock;
use serde_json::{Value, json};

use super::print_entry;
use crate::data;

/// Where outputs keep their state in a data folder.
const OUTPUTS: &str = "state/outputs";

/// The folder of a buffer in that of its output.
const BUFFER: &str = "buffer";

/// A data folder.
pub(super) struct Folder {
    data: PathBuf,
    disk: Arc<dyn Disk>,
}

impl Folder {
    pub(super) fn new(data: &Path, keys: Vec<Key>) -> Result<Self> {
        if !data.is_dir() {
            bail!("--data: {} is no folder", data.display());
        }
        Ok(Self { data: data.to_owned(), disk: data::open(data, keys)? })
    }

    /// The outputs that have a buffer, by name.
    fn outputs(&self) -> Result<Vec<String>> {
        let folder = self.data.join(OUTPUTS);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("read {}", folder.display())),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.with_context(|| format!("read {}", folder.display()))?;
            if entry.path().join(BUFFER).is_dir() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn open(&self, output: &str) -> Result<Inspector> {
        let known = self.outputs()?;
        if !known.iter().any(|name| name == output) {
            let others = if known.is_empty() {
                "there is none".to_owned()
            } else {
                format!("there are: {}", known.join(", "))
            };
            bail!("{}: no output `{output}` has a buffer there; {others}", self.data.display());
        }
        let disk = self.disk.sub(Path::new(OUTPUTS).join(output).join(BUFFER));
        Inspector::open(disk, Clock::system()).map_err(|error| self.told(output, error))
    }

    fn told(&self, output: &str, error: Error) -> anyhow::Error {
        let advice = match error.kind() {
            ErrorKind::Conflict => ": ask that process, with --server",
            _ => "",
        };
        let context = format!("open the buffer of output `{output}` in {}{advice}", self.data.display());
        anyhow!(error).context(context)
    }

    pub(super) fn list(&self) -> Result<Vec<Value>> {
        let outputs = self.outputs()?;
        let describe = |output: &String| {
            let inspector = self.open(output)?;
            let lanes = inspector.summary().map_err(|error| anyhow!(error))?;
            Ok(summary(output, &lanes, &inspector.damage()))
        };
        outputs.iter().map(describe).collect()
    }

    pub(super) fn entries(&self, output: &str, lane: &str) -> Result<Vec<Value>> {
        let lane = lane_named(lane)?;
        let entries = self.open(output)?.entries(lane).map_err(|error| anyhow!(error))?;
        Ok(entries.iter().map(|info| described(output, lane, info)).collect())
    }

    pub(super) fn entry(&self, output: &str, lane: &str, id: u64) -> Result<Value> {
        let lane = lane_named(lane)?;
        whole(&self.open(output)?, output, lane, id)
    }

    pub(super) fn redrive(&self, output: &str, ids: &[u64]) -> Result<()> {
        self.open(output)?.redrive(ids).map_err(|error| anyhow!(error))
    }

    pub(super) fn remove(&self, output: &str, ids: &[u64]) -> Result<u64> {
        let removed = self.open(output)?.remove(Lane::Dead, ids).map_err(|error| anyhow!(error))?;
        Ok(removed as u64)
    }

    /// Prints every record that waits and removes it, entry by entry.
    pub(super) fn drain(&self, output: &str, out: &mut impl Write) -> Result<()> {
        let inspector = self.open(output)?;
        for lane in [Lane::Urgent, Lane::Normal] {
            for info in inspector.entries(lane).map_err(|error| anyhow!(error))? {
                print_entry(&whole(&inspector, output, lane, info.id)?, usize::MAX, out)?;
                out.flush()?;
                inspector.remove(lane, &[info.id]).map_err(|error| anyhow!(error))?;
            }
        }
        Ok(())
    }
}

fn whole(inspector: &Inspector, output: &str, lane: Lane, id: u64) -> Result<Value> {
    let content = inspector.content(lane, id).map_err(|error| anyhow!(error))?;
    Ok(json!({ "entry": described(output, lane, &content.info), "records": records(&content)? }))
}
