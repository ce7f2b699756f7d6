//! Fluent Bit's databases: a table of files, or one with a single row, the cursor of its input `systemd`.

use super::sqlite::{Value, table};
use super::{Cursor, Position};

pub(super) fn positions(main: &[u8], log: &[u8]) -> Option<Vec<Position>> {
    let rows = table(main, log, "in_tail_files", ["name", "offset", "inode"])?;
    let position = |row: [Value; 3]| {
        let [Value::Text(path), Value::Int(offset), inode] = row else { return None };
        let inode = match inode {
            Value::Int(inode) => u64::try_from(inode).ok(),
            _ => None,
        };
        Some(Position { path: path.into(), inode, offset: u64::try_from(offset).ok()? })
    };
    Some(rows.into_iter().filter_map(position).collect())
}

pub(super) fn cursors(main: &[u8], log: &[u8]) -> Option<Vec<Cursor>> {
    let rows = table(main, log, "in_systemd_cursor", ["cursor"])?;
    let cursor = |[value]: [Value; 1]| {
        let Value::Text(text) = value else { return None };
        Some(Cursor { job: String::new(), entry: text.parse().ok()? })
    };
    Some(rows.into_iter().filter_map(cursor).collect())
}
