//! Fluentd's `pos_file`: a path, an offset and an inode in hexadecimal, with tabs between. The last line about a path
//! counts; the largest offset means that the file is not watched any more.

use super::Position;

/// The offset of a file that is gone.
const UNWATCHED: u64 = u64::MAX;

pub(super) fn parse(text: &str) -> Option<Vec<Position>> {
    let mut positions: Vec<Position> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let mut parts = line.rsplitn(3, '\t');
        let (inode, offset, path) = (parts.next()?, parts.next()?, parts.next()?);
        let number = |text: &str| u64::from_str_radix(text.trim(), 16).ok();
        let (inode, offset) = (number(inode)?, number(offset)?);
        positions.retain(|known| known.path.as_os_str() != path || known.inode != Some(inode));
        if offset != UNWATCHED {
            positions.push(Position { path: path.into(), inode: Some(inode), offset });
        }
    }
    Some(positions)
}
