//! promtail's `positions.yaml`: below `positions:` the path of each file with its offset as a string, and for each job that
//! reads the journal `cursor-` and its name, with the cursor. A line that is neither is left out. A file without any is that
//! of a promtail that had read nothing.

use super::{Cursor, Position};

/// What stands before the name of a job.
const CURSOR: &str = "cursor-";

pub(super) fn positions(text: &str) -> Option<Vec<Position>> {
    let position = |(path, offset): (String, String)| match (path.starts_with('/'), offset.parse()) {
        (true, Ok(offset)) => Some(Position { path: path.into(), inode: None, offset }),
        _ => None,
    };
    Some(entries(text)?.into_iter().filter_map(position).collect())
}

pub(super) fn cursors(text: &str) -> Option<Vec<Cursor>> {
    let cursor = |(key, entry): (String, String)| {
        Some(Cursor { job: key.strip_prefix(CURSOR)?.to_owned(), entry: entry.parse().ok()? })
    };
    Some(entries(text)?.into_iter().filter_map(cursor).collect())
}

/// The lines below `positions:`.
fn entries(text: &str) -> Option<Vec<(String, String)>> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let Some(first) = lines.find(|line| *line != "---") else { return Some(Vec::new()) };
    if first.trim_end() == "positions: {}" {
        return Some(Vec::new());
    }
    if first.trim_end() != "positions:" {
        return None;
    }
    // Paths may have colons; offsets and cursors have none.
    let entry = |line: &str| {
        let (key, value) = line.trim().rsplit_once(": ")?;
        Some((unquoted(key), unquoted(value)))
    };
    Some(lines.take_while(|line| line.starts_with(' ')).filter_map(entry).collect())
}

/// Without the quotes that YAML puts around some strings.
fn unquoted(text: &str) -> String {
    let inside = |quote: char| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    match (inside('"'), inside('\'')) {
        (Some(text), _) => text.replace("\\\"", "\"").replace("\\\\", "\\"),
        (_, Some(text)) => text.replace("''", "'"),
        _ => text.to_owned(),
    }
}
