//! Counts ids, of which there may be as many as records.
//!
//! Owns: which texts are ids, and a table of numbers instead of texts. Does not own: other values (`counts`).
//! Invariant: a text is an id or none wherever it is counted; so no value is counted in two tables.

use hashbrown::HashMap;
use sawyer_model::Value;
use sawyer_segment::IdForm;

/// Ids are divided into so many parts, of which each is counted by itself: a table of all would be larger than the
/// processor's cache, and each of its ids a wait for memory.
const PARTS: usize = 256;
/// A part is looked through for equal ids when it has so many, and then when it has four times as many as were left.
const PART_MIN: usize = 4096;

/// How often ids of each form were seen.
#[derive(Debug, Default)]
pub(super) struct Ids {
    of: [Table; 2],
}

#[derive(Debug, Default)]
struct Table {
    /// No parts until there is an id.
    parts: Vec<Part>,
    seen: usize,
}

#[derive(Debug, Default)]
struct Part {
    /// An id may stand here several times, but the first ones are different.
    seen: Vec<Seen>,
    /// How many these are.
    different: usize,
}

/// An id with how often it was seen. Two halves, so that it takes no more than they do.
#[derive(Clone, Copy, Debug)]
struct Seen {
    id: [u64; 2],
    count: u64,
}

/// Room to count a part in.
type Room = HashMap<[u64; 2], u64>;

impl Ids {
    /// The id that a text is, if it is one.
    pub(super) fn of(text: &str) -> Option<(IdForm, u128)> {
        match text.len() {
            32 => Some((IdForm::Hex, number_of(text.bytes())?)),
            36 => {
                let bytes = text.as_bytes();
                let is_hyphen = |at: usize| matches!(at, 8 | 13 | 18 | 23);
                (bytes.iter().enumerate()).all(|(at, byte)| (*byte == b'-') == is_hyphen(at)).then_some(())?;
                Some((IdForm::Uuid, number_of(text.bytes().filter(|byte| *byte != b'-'))?))
            }
            _ => None,
        }
    }

    /// Counts an id some more times.
    pub(super) fn add(&mut self, form: IdForm, id: u128, count: u64) {
        self.of[form as usize].add(&[id], count);
    }

    /// Counts each of these once more.
    pub(super) fn add_all(&mut self, form: IdForm, ids: &[u128]) {
        self.of[form as usize].add(ids, 1);
    }

    /// How many entries there are: ids that were seen again may count several times.
    pub(super) fn len(&self) -> usize {
        self.of.iter().map(|table| table.seen).sum()
    }

    /// How many ids there are.
    pub(super) fn distinct(&mut self) -> usize {
        self.of.iter_mut().for_each(Table::compact);
        self.len()
    }

    /// Adds what another table counted.
    pub(super) fn merge(&mut self, other: Self) {
        for (table, other) in self.of.iter_mut().zip(other.of) {
            table.merge(other);
        }
    }

    /// The most frequent ones as texts, equally frequent ones by their bytes.
    pub(super) fn top(&mut self, limit: usize) -> Vec<(Value, u64)> {
        let mut top: Vec<(Value, u64)> = Vec::new();
        for (form, table) in [IdForm::Hex, IdForm::Uuid].into_iter().zip(&mut self.of) {
            top.extend(
                table.top(limit).into_iter().map(|seen| (Value::from(&*form.text(seen.id())), seen.count)),
            );
        }
        top
    }

    /// Leaves so many of the most frequent of each form at most.
    pub(super) fn keep_top(&mut self, limit: usize) {
        for table in &mut self.of {
            let top = table.top(limit);
            *table = Table::default();
            top.iter().for_each(|seen| table.add(&[seen.id()], seen.count));
        }
    }
}

/// The number that these lower-case hexadecimal digits write.
fn number_of(digits: impl Iterator<Item = u8>) -> Option<u128> {
    let (mut number, mut wrong) = (0u128, 0);
    for digit in digits {
        let value = HEX_VALUES[usize::from(digit)];
        wrong |= value;
        number = number << 4 | u128::from(value & 15);
    }
    (wrong < 16).then_some(number)
}

/// What each byte is worth as a lower-case hexadecimal digit; 16 if it is none.
const HEX_VALUES: [u8; 256] = {
    let mut values = [16; 256];
    let mut at = 0;
    while at < 16 {
        values[b"0123456789abcdef"[at] as usize] = at as u8;
        at += 1;
    }
    values
};

impl Seen {
    fn id(self) -> u128 {
        u128::from(self.id[0]) << 64 | u128::from(self.id[1])
    }
}

impl Table {
    fn add(&mut self, ids: &[u128], count: u64) {
        if self.parts.is_empty() && !ids.is_empty() {
            self.parts.resize_with(PARTS, Part::default);
        }
        for id in ids {
            let seen = Seen { id: [(id >> 64) as u64, *id as u64], count };
            let part = &mut self.parts[part_of(seen.id)];
            part.seen.push(seen);
            self.seen += 1;
            if part.seen.len() >= (part.different * 4).max(PART_MIN) {
                self.seen -= part.compact(&mut Room::new());
            }
        }
    }

    fn merge(&mut self, other: Self) {
        if self.parts.is_empty() {
            *self = other;
            return;
        }
        self.seen += other.seen;
        for (part, other) in self.parts.iter_mut().zip(other.parts) {
            part.seen.extend(other.seen);
        }
    }

    fn compact(&mut self) {
        let mut room = Room::new();
        for part in &mut self.parts {
            self.seen -= part.compact(&mut room);
        }
    }

    fn top(&mut self, limit: usize) -> Vec<Seen> {
        self.compact();
        let mut top: Vec<Seen> = Vec::new();
        // What is seen less often than the least of those that were chosen is not looked at again.
        let mut least = 0;
        for seen in self.parts.iter().flat_map(|part| &part.seen).filter(|_| limit > 0) {
            if seen.count < least {
                continue;
            }
            top.push(*seen);
            if top.len() >= limit.saturating_mul(2).saturating_add(1024) {
                top.select_nth_unstable_by(limit - 1, by_rank);
                top.truncate(limit);
                least = top[limit - 1].count;
            }
        }
        top.sort_unstable_by(by_rank);
        top.truncate(limit);
        top
    }
}

impl Part {
    /// Makes one of those that are equal; says how many went.
    fn compact(&mut self, room: &mut Room) -> usize {
        let before = self.seen.len();
        if before == self.different {
            return 0;
        }
        room.clear();
        room.reserve(before);
        for seen in &self.seen {
            *room.entry(seen.id).or_default() += seen.count;
        }
        if room.len() < before {
            self.seen.clear();
            self.seen.extend(room.iter().map(|(id, count)| Seen { id: *id, count: *count }));
            self.seen.shrink_to(self.seen.len() * 4);
        }
        self.different = self.seen.len();
        before - self.different
    }
}

fn by_rank(a: &Seen, b: &Seen) -> std::cmp::Ordering {
    b.count.cmp(&a.count).then_with(|| a.id.cmp(&b.id))
}

/// The part of an id: also ids that follow each other are spread (Knuth, TAOCP 3, 6.4: multiplication by the golden ratio).
fn part_of(id: [u64; 2]) -> usize {
    ((id[0] ^ id[1].rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sawyer_testkit::Dice;

    use super::*;

    #[test]
    fn a_text_is_an_id_if_it_is_written_as_one() {
        let hex = "00112233445566778899aabbccddeeff";
        let uuid = "00112233-4455-6677-8899-aabbccddeeff";
        let number = 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff;
        assert_eq!(Ids::of(hex), Some((IdForm::Hex, number)));
        assert_eq!(Ids::of(uuid), Some((IdForm::Uuid, number)));
        assert_eq!((&*IdForm::Hex.text(number), &*IdForm::Uuid.text(number)), (hex, uuid));
        let (upper, cut) = (hex.to_uppercase(), &hex[1..]);
        let moved = "0011223-34455-6677-8899-aabbccddeeff";
        let others = ["", cut, &upper, &uuid.to_uppercase(), moved, "0011223344556677889-aabbccddeeff"];
        for text in others.into_iter().chain(["결제결제결제결제결제결제결제결제결제결제결제결제"])
        {
            assert_eq!(Ids::of(text), None, "{text}");
        }
    }

    fn text(value: &Value) -> String {
        match value {
            Value::Str(text) => text.to_string(),
            other => panic!("{other:?} is no text"),
        }
    }

    #[test]
    fn counts_are_those_of_a_map() {
        let mut dice = Dice::new(7);
        for distinct in [1, 3, 5000, 100_000] {
            let (mut here, mut there) = (Ids::default(), Ids::default());
            let mut wanted: BTreeMap<String, u64> = BTreeMap::new();
            for _ in 0..30_000 {
                // Some follow each other, and some have one half in common.
                let id = u128::from(dice.below(distinct)) << (64 * dice.below(2));
                let (form, count) = (dice.one_of(&[IdForm::Hex, IdForm::Uuid]), 1 + dice.below(3));
                let table = if dice.below(2) == 0 { &mut here } else { &mut there };
                table.add(form, id, count);
                *wanted.entry(form.text(id)).or_default() += count;
            }
            here.merge(there);
            assert_eq!(here.distinct(), wanted.len());
            let mut wanted: Vec<(String, u64)> = wanted.into_iter().collect();
            wanted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            for limit in [0, 1, 10, 2000] {
                let mut top = here.top(limit);
                top.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| text(&a.0).cmp(&text(&b.0))));
                let of_form =
                    |len: usize| wanted.iter().filter(move |(text, _)| text.len() == len).take(limit);
                let mut all: Vec<_> = of_form(32).chain(of_form(36)).cloned().collect();
                all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
                let found: Vec<(String, u64)> =
                    top.into_iter().map(|(value, count)| (text(&value), count)).collect();
                assert_eq!(found, all, "{distinct} {limit}");
            }
            here.keep_top(5);
            assert!(here.distinct() <= 10);
        }
    }
}
