//! promtail's `positions.yaml`: below `positions:` the path of each file with its offset as a string. Positions of the
//! journal (`cursor-…`) are none in files, and are left out. So is a line that is none. A file without any is that of a promtail that had
//! read nothing.

use super::Position;

pub(super) fn parse(text: &str) -> Option<Vec<Position>> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let Some(first) = lines.find(|line| *line != "---") else { return Some(Vec::new()) };
    if first.trim_end() == "positions: {}" {
        return Some(Vec::new());
    }
    if first.trim_end() != "positions:" {
        return None;
    }
    let mut positions = Vec::new();
    for line in lines {
        if !line.starts_with(' ') {
            break;
        }
        // Paths may have colons; offsets have none.
        let Some((path, offset)) = line.trim().rsplit_once(": ") else { continue };
        let (path, offset) = (unquoted(path), unquoted(offset));
        if let (true, Ok(offset)) = (path.starts_with('/'), offset.parse()) {
            positions.push(Position { path: path.into(), inode: None, offset });
        }
    }
    Some(positions)
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
