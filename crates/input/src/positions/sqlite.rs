//! SQLite's file format, as much of it as it takes to read one table.
//! Source: "Database File Format", <https://www.sqlite.org/fileformat2.html>.
//!
//! Owns: pages out of the file and out of its write-ahead log, B-trees of tables, records.
//! Does not own: indexes, writing, anything else of SQL.
//! Invariant: no bytes make it panic, loop for ever, or hold more than some times what they are long.

use std::collections::{HashMap, HashSet};

const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Rows of one table at most. More files than these nobody has on a node.
const ROWS_MAX: usize = 1_000_000;

/// How many times the bytes of a database its rows may take. Their cells overlap in none that SQLite wrote.
const HELD_TIMES_MAX: usize = 16;

/// Longest path that is kept.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// A file with what its write-ahead log changes in it.
struct Database<'a> {
    main: &'a [u8],
    page_bytes: usize,
    /// Bytes of a page that are used.
    usable: usize,
    newer: HashMap<u32, &'a [u8]>,
}

/// A value of a record.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Int(i64),
    Text(String),
    Other,
}

/// These columns of all rows of a table, with the bytes of the database's write-ahead log; none if there is no such database,
/// or table in it. A row may be shorter, or have values of any kind.
pub(super) fn table<const N: usize>(
    main: &[u8],
    log: &[u8],
    table: &str,
    wanted: [&str; N],
) -> Option<Vec<[Value; N]>> {
    let database = Database::open(main, log)?;
    let schema = database.rows(1)?;
    let is = |value: Option<&Value>, text: &str| matches!(value, Some(Value::Text(value)) if value == text);
    let of_table = |row: &&(i64, Vec<Value>)| is(row.1.first(), "table") && is(row.1.get(1), table);
    let (_, table) = schema.iter().find(of_table)?;
    let (Some(Value::Int(root)), Some(Value::Text(sql))) = (table.get(3), table.get(4)) else { return None };
    let columns = columns(sql)?;
    let mut places = [0; N];
    for (place, name) in places.iter_mut().zip(wanted) {
        *place = columns.iter().position(|column| column == name)?;
    }
    let rows = database.rows(u32::try_from(*root).ok()?)?;
    let values = |(_, row): (i64, Vec<Value>)| places.map(|at| row.get(at).cloned().unwrap_or(Value::Null));
    Some(rows.into_iter().map(values).collect())
}

/// How many rows the first table has, if it can be read.
#[cfg(test)]
pub(super) fn rows_of_schema(main: &[u8]) -> Option<usize> {
    Some(Database::open(main, &[])?.rows(1)?.len())
}

/// The names of the columns of a statement that makes a table.
fn columns(sql: &str) -> Option<Vec<String>> {
    let (_, inside) = sql.split_once('(')?;
    let inside = inside.rsplit_once(')')?.0;
    let name = |column: &str| {
        let name = column.split_whitespace().next().unwrap_or_default();
        name.trim_matches(|c| matches!(c, '"' | '`' | '[' | ']')).to_ascii_lowercase()
    };
    Some(inside.split(',').map(name).collect())
}

impl<'a> Database<'a> {
    fn open(main: &'a [u8], log: &'a [u8]) -> Option<Self> {
        if !main.starts_with(MAGIC) {
            return None;
        }
        let page_bytes = match u16::from_be_bytes(array(main, 16)?) {
            1 => 65536,
            bytes => usize::from(bytes),
        };
        let usable = page_bytes.checked_sub(usize::from(*main.get(20)?))?;
        if !page_bytes.is_power_of_two() || page_bytes < 512 || usable < 480 {
            return None;
        }
        Some(Self { main, page_bytes, usable, newer: newer_pages(log, page_bytes) })
    }

    /// A page; the first is number 1.
    fn page(&self, number: u32) -> Option<&'a [u8]> {
        if let Some(page) = self.newer.get(&number) {
            return Some(page);
        }
        let start = (number.checked_sub(1)? as usize).checked_mul(self.page_bytes)?;
        self.main.get(start..start.checked_add(self.page_bytes)?)
    }

    /// The rows of a table, each with its number, from the page at the root of its tree on.
    fn rows(&self, root: u32) -> Option<Vec<(i64, Vec<Value>)>> {
        let held_max = HELD_TIMES_MAX * (self.main.len() + self.newer.len() * self.page_bytes);
        let (mut rows, mut held) = (Vec::new(), 0);
        let (mut todo, mut seen) = (vec![root], HashSet::new());
        while let Some(number) = todo.pop() {
            if !seen.insert(number) {
                return None;
            }
            let page = self.page(number)?;
            // The first page begins with the header of the file.
            let head = if number == 1 { 100 } else { 0 };
            let count = usize::from(u16::from_be_bytes(array(page, head + 3)?));
            let (leaf, cells) = match *page.get(head)? {
                0x0d => (true, head + 8),
                0x05 => (false, head + 12),
                _ => return None,
            };
            for at in 0..count {
                let cell = usize::from(u16::from_be_bytes(array(page, cells + 2 * at)?));
                if leaf {
                    let row = self.row(page, cell)?;
                    held += size_of_row(&row.1);
                    rows.push(row);
                    if rows.len() > ROWS_MAX || held > held_max {
                        return None;
                    }
                } else {
                    todo.push(u32::from_be_bytes(array(page, cell)?));
                }
            }
            if !leaf {
                todo.push(u32::from_be_bytes(array(page, head + 8)?));
            }
        }
        rows.sort_by_key(|(number, _)| *number);
        Some(rows)
    }

    fn row(&self, page: &[u8], cell: usize) -> Option<(i64, Vec<Value>)> {
        let mut at = cell;
        let length = usize::try_from(varint(page, &mut at)?).ok()?;
        let number = varint(page, &mut at)?.cast_signed();
        let local = self.local_bytes(length);
        let mut payload = page.get(at..at.checked_add(local)?)?.to_vec();
        if local < length {
            if length > TEXT_BYTES_MAX * 2 {
                return Some((number, Vec::new()));
            }
            self.read_overflow(u32::from_be_bytes(array(page, at + local)?), length, &mut payload)?;
        }
        Some((number, record(&payload)?))
    }

    /// Bytes of a payload that lie in the page itself.
    fn local_bytes(&self, length: usize) -> usize {
        let most = self.usable - 35;
        if length <= most {
            return length;
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let fitting = least + (length - least) % (self.usable - 4);
        if fitting <= most { fitting } else { least }
    }

    fn read_overflow(&self, mut next: u32, length: usize, payload: &mut Vec<u8>) -> Option<()> {
        while payload.len() < length {
            let page = self.page(next)?;
            next = u32::from_be_bytes(array(page, 0)?);
            let bytes = (length - payload.len()).min(self.usable - 4);
            payload.extend(page.get(4..4 + bytes)?);
        }
        Some(())
    }
}

/// Bytes of memory that a row takes.
fn size_of_row(row: &[Value]) -> usize {
    let of_text = |value: &Value| if let Value::Text(text) = value { text.len() } else { 0 };
    size_of::<(i64, Vec<Value>)>() + size_of_val(row) + row.iter().map(of_text).sum::<usize>()
}

/// The pages of a write-ahead log up to its last commit, the newest of each.
fn newer_pages(log: &[u8], page_bytes: usize) -> HashMap<u32, &[u8]> {
    let (mut pages, mut since_commit) = (HashMap::new(), HashMap::new());
    let Some(head) = log.get(..32) else { return pages };
    let words = |at: usize| array(head, at).map(u32::from_be_bytes).unwrap_or_default();
    let big_endian = match words(0) {
        0x377f_0682 => false,
        0x377f_0683 => true,
        _ => return pages,
    };
    let mut sum = checksum(big_endian, (0, 0), &head[..24]);
    if words(8) as usize != page_bytes || sum != (words(24), words(28)) {
        return pages;
    }
    for frame in log[32..].chunks_exact(24 + page_bytes) {
        let word = |at: usize| array(frame, at).map(u32::from_be_bytes).unwrap_or_default();
        sum = checksum(big_endian, checksum(big_endian, sum, &frame[..8]), &frame[24..]);
        // What follows is left over from before the log was begun anew, or was not written to its end.
        if (word(8), word(12)) != (words(16), words(20)) || sum != (word(16), word(20)) {
            break;
        }
        since_commit.insert(word(0), &frame[24..]);
        if word(4) != 0 {
            pages.extend(since_commit.drain());
        }
    }
    pages
}

fn checksum(big_endian: bool, sum: (u32, u32), bytes: &[u8]) -> (u32, u32) {
    let (mut a, mut b) = sum;
    for pair in bytes.chunks_exact(8) {
        let word = |at: usize| {
            let word = [pair[at], pair[at + 1], pair[at + 2], pair[at + 3]];
            if big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
        };
        a = a.wrapping_add(word(0)).wrapping_add(b);
        b = b.wrapping_add(word(4)).wrapping_add(a);
    }
    (a, b)
}

/// The values of a record.
fn record(payload: &[u8]) -> Option<Vec<Value>> {
    let mut at = 0;
    let head = usize::try_from(varint(payload, &mut at)?).ok()?;
    let mut body = head;
    let mut values = Vec::new();
    while at < head {
        let kind = varint(payload, &mut at)?;
        let bytes = match kind {
            0 | 8..=11 => 0,
            1..=4 => kind as usize,
            5 => 6,
            6 | 7 => 8,
            _ => usize::try_from((kind - 12) / 2).ok()?,
        };
        let content = payload.get(body..body.checked_add(bytes)?)?;
        body += bytes;
        values.push(match kind {
            0 => Value::Null,
            1..=6 => Value::Int(integer(content)),
            8 | 9 => Value::Int(i64::from(kind == 9)),
            13.. if kind % 2 == 1 => {
                let cut = &content[..content.len().min(TEXT_BYTES_MAX)];
                Value::Text(String::from_utf8_lossy(cut).into_owned())
            }
            _ => Value::Other,
        });
    }
    Some(values)
}

/// A signed number of up to eight bytes, the highest first.
fn integer(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    bytes.iter().fold(if negative { -1 } else { 0 }, |number, byte| number << 8 | i64::from(*byte))
}

/// A number of one to nine bytes, seven bits in each but the ninth.
fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut number = 0;
    for length in 1..=9 {
        let byte = *bytes.get(*at)?;
        *at += 1;
        if length == 9 {
            return Some(number << 8 | u64::from(byte));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(number)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}
