//! Filebeat's registry: a folder with a checkpoint and a log of changes since (7.9 and later), or one file with all
//! states (before).
//!
//! The inputs `log`, `container` and `filestream` differ in what they write: the first two `source`, `offset` and
//! `FileStateOS`; the last a `cursor` and `meta`, with the inode in the key where files are known by that. The input
//! `journald` has the journal's cursor as the `position` in its `cursor`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Cursor, Position, PositionsError, text};

/// The name of the log of changes, in the folder.
const LOG: &str = "log.json";

/// What the keys of the input `journald` begin with.
const JOURNALD: &str = "journald::";

/// What is known of each thing that is read, by the keys of the registry.
pub(super) type States = BTreeMap<String, Value>;

pub(super) fn positions(path: &Path) -> Result<Vec<Position>, PositionsError> {
    if path.is_file() {
        return positions_of_list(&text(path)?).ok_or_else(|| wrong(path));
    }
    Ok(positions_of(&states(path)?))
}

pub(super) fn cursors(path: &Path) -> Result<Vec<Cursor>, PositionsError> {
    Ok(cursors_of(&states(path)?))
}

fn wrong(path: &Path) -> PositionsError {
    PositionsError::Form(path.to_owned(), "the folder or file of a Filebeat registry: states in JSON")
}

/// The states of a registry that is a folder.
fn states(path: &Path) -> Result<States, PositionsError> {
    let (checkpoint, log) = (checkpoint(path), path.join(LOG));
    // A Filebeat that had read nothing has an empty log.
    if checkpoint.is_none() && !log.exists() {
        return Err(wrong(path));
    }
    let changes = if log.exists() { text(&log)? } else { String::new() };
    let before = checkpoint.as_deref().map(text).transpose()?;
    states_of(before.as_deref(), &changes).ok_or_else(|| wrong(checkpoint.as_deref().unwrap_or(path)))
}

/// The positions in a registry that is one file.
pub(super) fn positions_of_list(text: &str) -> Option<Vec<Position>> {
    let states: Value = serde_json::from_str(text).ok()?;
    Some(states.as_array()?.iter().filter_map(|state| position("", state)).collect())
}

/// The states of a checkpoint, and what was changed in them since.
pub(super) fn states_of(checkpoint: Option<&str>, changes: &str) -> Option<States> {
    let mut states = BTreeMap::new();
    if let Some(checkpoint) = checkpoint {
        let entries: Value = serde_json::from_str(checkpoint).ok()?;
        for entry in entries.as_array()? {
            let key = entry["_key"].as_str().unwrap_or_default();
            states.insert(key.to_owned(), entry.clone());
        }
    }
    apply(changes, &mut states);
    Some(states)
}

pub(super) fn positions_of(states: &States) -> Vec<Position> {
    states.iter().filter_map(|(key, state)| position(key, state)).collect()
}

pub(super) fn cursors_of(states: &States) -> Vec<Cursor> {
    states.iter().filter_map(|(key, state)| cursor(key, state)).collect()
}

/// The newest checkpoint: the one that `active.dat` names, if it is here, else that with the largest number.
fn checkpoint(folder: &Path) -> Option<PathBuf> {
    let active = std::fs::read_to_string(folder.join("active.dat")).ok();
    let named =
        active.as_deref().and_then(|path| Path::new(path.trim()).file_name()).map(|name| folder.join(name));
    if let Some(named) = named.filter(|named| named.is_file()) {
        return Some(named);
    }
    let entries = folder.read_dir().ok()?.filter_map(Result::ok);
    let number = |path: &Path| path.file_name()?.to_str()?.strip_suffix(".json")?.parse::<u64>().ok();
    entries
        .map(|entry| entry.path())
        .filter_map(|path| Some((number(&path)?, path)))
        .max()
        .map(|(_, path)| path)
}

/// Applies a log: a line says what is done, the next to what. A torn end is left out.
fn apply(changes: &str, states: &mut States) {
    let mut lines = changes.lines().map(serde_json::from_str::<Value>);
    while let (Some(Ok(what)), Some(Ok(entry))) = (lines.next(), lines.next()) {
        let key = entry["k"].as_str().unwrap_or_default().to_owned();
        match what["op"].as_str() {
            Some("set") => drop(states.insert(key, entry["v"].clone())),
            Some("remove") => drop(states.remove(&key)),
            _ => {}
        }
    }
}

fn position(key: &str, state: &Value) -> Option<Position> {
    let offset = state["offset"].as_u64().or_else(|| state["cursor"]["offset"].as_u64())?;
    let path = state["source"].as_str().or_else(|| state["meta"]["source"].as_str()).unwrap_or_default();
    let inode = state["FileStateOS"]["inode"].as_u64().or_else(|| inode_of(key));
    (!path.is_empty() || inode.is_some()).then(|| Position { path: path.into(), inode, offset })
}

/// The cursor of a state. Its key is `journald::`, the id of the input if it has one, and the journal.
fn cursor(key: &str, state: &Value) -> Option<Cursor> {
    let job = key.strip_prefix(JOURNALD)?.rsplit_once("::").map_or("", |(id, _)| id);
    let entry = state["cursor"]["position"].as_str()?.parse().ok()?;
    Some(Cursor { job: job.to_owned(), entry })
}

/// The inode in a key such as `filestream::id::native::12345-64768`.
fn inode_of(key: &str) -> Option<u64> {
    let (_, native) = key.split_once("::native::")?;
    native.split('-').next()?.parse().ok()
}
