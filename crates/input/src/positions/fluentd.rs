//! Fluentd's `pos_file`: a path, an offset and an inode in hexadecimal, with tabs between. The last line about a path
//! counts; the largest offset means that the file is not watched any more. Lines that are not like this, such as one that was
//! not written to its end, are left out.
//!
//! The plugin `systemd` keeps its cursor in a storage of its own: a JSON object, or before its version 0.1 the cursor alone.

use serde_json::Value;

use super::{Cursor, Position};

/// The offset of a file that is gone.
const UNWATCHED: u64 = u64::MAX;

pub(super) fn positions(text: &str) -> Option<Vec<Position>> {
    let mut positions: Vec<Position> = Vec::new();
    let (mut understood, mut left_out) = (0, 0);
    for line in text.lines().filter(|line| !line.is_empty()) {
        let Some((path, offset, inode)) = entry(line) else {
            left_out += 1;
            continue;
        };
        understood += 1;
        positions.retain(|known| known.path.as_os_str() != path || known.inode != Some(inode));
        if offset != UNWATCHED {
            positions.push(Position { path: path.into(), inode: Some(inode), offset });
        }
    }
    if left_out > 0 {
        tracing::warn!(left_out, understood, "lines of a `pos_file` are no positions");
    }
    (understood > 0 || left_out == 0).then_some(positions)
}

pub(super) fn cursor(text: &str) -> Option<Cursor> {
    let storage: Option<Value> = serde_json::from_str(text).ok();
    let cursor = storage.as_ref().map_or(Some(text), |storage| storage["journal"].as_str())?;
    Some(Cursor { job: String::new(), entry: cursor.trim().parse().ok()? })
}

/// The path, the offset and the inode of a line.
fn entry(line: &str) -> Option<(&str, u64, u64)> {
    let mut parts = line.rsplitn(3, '\t');
    let (inode, offset, path) = (parts.next()?, parts.next()?, parts.next()?);
    let number = |text: &str| u64::from_str_radix(text.trim(), 16).ok();
    Some((path, number(offset)?, number(inode)?))
}
