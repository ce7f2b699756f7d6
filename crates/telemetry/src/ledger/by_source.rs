//! What became of the records of single sources, where it is not what mostly does; and its bytes. The table is in
//! docs/FORMATS.md, section "Ledger".
//!
//! Owns: numbers by source, output, fate and rule, of as many sources as there is room for.
//! Does not own: what was read of a source, and which sources there are (`input`), when it is saved.
//! Invariant: what is told of single sources is a part of the input's books; all the rest is of others. What was delivered
//! or is buffered is told of none: it is what is left of what was read. So a record costs something here only if it came to
//! another end.

use std::collections::{BTreeMap, HashMap};

use sawyer_model::{Count, Fate, SourceId, Tally};

use super::books::{
    Books, BooksError, OTHERS, array, count, cut, encode_count, encode_name, fate_code, name, number,
};

/// Most sources of an input of which something is told; those to which nothing happened for longest are others then. Each
/// takes some hundred bytes in memory and fewer on disk, where they are saved with the positions every second: a node has a
/// few hundred files.
pub const SOURCES_MAX: usize = 10_000;

/// How many are left of so many, so that this is done seldom.
const SOURCES_LEFT: usize = SOURCES_MAX / 8 * 7;

/// Most ends of one source that are told. More rules than this take a file's lines only where they are changed again and
/// again.
const ENDS_OF_SOURCE_MAX: usize = 256;

/// Most ends at all.
const ENDS_MAX: usize = 10_000;

/// A way in which records end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct End {
    /// At which output.
    pub output: Box<str>,
    /// How.
    pub fate: Fate,
    /// By which rule, or for which reason; empty if there is none.
    pub rule: Box<str>,
}

/// How many records came to which ends.
pub type Ends = Vec<(End, Count)>;

/// The numbers of one input.
#[derive(Clone, Debug, Default)]
pub struct SourceFates {
    /// Each has the number of its place.
    ends: Vec<End>,
    sources: HashMap<SourceId, Counts>,
    /// How often something was booked, to know when that was with each source. When it is read again, each has its place.
    booked: u64,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    booked: u64,
    /// By the number of the end.
    counts: Vec<(u32, Count)>,
}

/// Whatever their ends are numbered by, and whatever was booked when.
impl PartialEq for SourceFates {
    fn eq(&self, other: &Self) -> bool {
        self.by_end() == other.by_end()
    }
}

impl SourceFates {
    /// Books what became of a batch, of the sources that are `known`.
    pub fn book(&mut self, tally: &Tally, known: impl Fn(SourceId) -> bool) {
        self.booked += 1;
        for way in &tally.ways {
            for (output, exit) in way.way.outputs.iter().zip(&way.exits) {
                for (fate, rule, sources) in way.common.told().chain(exit.told()) {
                    let Some(end) = self.number(output, fate, rule) else { continue };
                    for (source, count) in sources.iter().filter(|(source, _)| known(*source)) {
                        self.add(source, end, count);
                    }
                }
            }
        }
        self.fold();
    }

    /// The number of an end; none where there are too many.
    fn number(&mut self, output: &str, fate: Fate, rule: &str) -> Option<u32> {
        let (output, rule) = (cut(output), cut(rule));
        let is_it = |end: &End| end.fate == fate && *end.rule == *rule && *end.output == *output;
        let at = self.ends.iter().position(is_it).unwrap_or_else(|| {
            self.ends.push(End { output: output.into(), fate, rule: rule.into() });
            self.ends.len() - 1
        });
        self.ends.truncate(ENDS_MAX);
        u32::try_from(at).ok().filter(|_| at < ENDS_MAX)
    }

    fn add(&mut self, source: SourceId, end: u32, count: Count) {
        if count.is_zero() {
            return;
        }
        let of_source = self.sources.entry(source).or_default();
        of_source.booked = self.booked;
        match of_source.counts.iter().position(|(known, _)| *known == end) {
            Some(at) => of_source.counts[at].1.add(count),
            None if of_source.counts.len() < ENDS_OF_SOURCE_MAX => of_source.counts.push((end, count)),
            None => {}
        }
    }

    /// Makes others of those to which nothing happened for longest, if there are too many.
    fn fold(&mut self) {
        if self.sources.len() > SOURCES_MAX {
            let mut all: Vec<_> =
                self.sources.iter().map(|(source, counts)| (counts.booked, *source)).collect();
            all.sort_unstable();
            for (_, source) in &all[..all.len() - SOURCES_LEFT] {
                self.sources.remove(source);
            }
        }
    }

    /// Forgets a source; it is one of the others from then on.
    pub fn remove(&mut self, source: SourceId) {
        self.sources.remove(&source);
    }

    /// Forgets the sources that are not `known` any more. They are others from then on.
    pub fn retain(&mut self, known: impl Fn(SourceId) -> bool) {
        self.sources.retain(|source, _| known(*source));
    }

    /// What became of the records of a source that were not delivered or buffered; by the number of the end.
    #[must_use]
    pub fn of(&self, source: SourceId) -> Ends {
        let counts = self.sources.get(&source).map_or(&[][..], |counts| &counts.counts);
        let mut ends: Ends =
            counts.iter().map(|(end, count)| (self.ends[*end as usize].clone(), *count)).collect();
        ends.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        ends
    }

    /// What became of the records of all others in the books of the same input, and by how many records and bytes more is told
    /// of single sources than there is in the books; that is always nothing.
    #[must_use]
    pub fn others(&self, books: &Books) -> (Ends, Count) {
        let mut told = vec![Count::default(); self.ends.len()];
        for (end, count) in self.sources.values().flat_map(|counts| &counts.counts) {
            told[*end as usize].add(*count);
        }
        let mut told = in_books(books, self.ends.iter().zip(told));
        let (mut others, mut over) = (Vec::new(), Count::default());
        for (output, book) in &books.outputs {
            for ((fate, rule), count) in &book.fates {
                let end = End { output: output.clone(), fate: *fate, rule: rule.clone() };
                let told = told.remove(&end).unwrap_or_default();
                over.add(told.less(*count));
                let rest = count.less(told);
                if !rest.is_zero() && !matches!(fate, Fate::Delivered | Fate::Buffered) {
                    others.push((end, rest));
                }
            }
        }
        told.values().for_each(|count| over.add(*count));
        (others, over)
    }

    fn by_end(&self) -> BTreeMap<SourceId, BTreeMap<&End, Count>> {
        let by_end = |counts: &Counts| {
            counts.counts.iter().map(|(end, count)| (&self.ends[*end as usize], *count)).collect()
        };
        self.sources.iter().map(|(source, counts)| (*source, by_end(counts))).collect()
    }

    /// Appends the bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let sources = self.by_end();
        let numbers: BTreeMap<&End, u32> =
            sources.values().flat_map(BTreeMap::keys).map(|end| (*end, 0)).collect();
        let numbers: BTreeMap<&End, u32> = numbers.into_keys().zip(0..).collect();
        out.extend((numbers.len() as u32).to_le_bytes());
        for End { output, fate, rule } in numbers.keys() {
            encode_name(output, out);
            out.push(fate_code(*fate));
            encode_name(rule, out);
        }
        out.extend((sources.len() as u32).to_le_bytes());
        let mut order: Vec<_> = sources.into_iter().collect();
        order.sort_by_key(|(source, _)| self.sources[source].booked);
        for (source, ends) in order {
            out.extend(source.0.to_le_bytes());
            out.extend((ends.len() as u16).to_le_bytes());
            for (end, count) in ends {
                out.extend(numbers[end].to_le_bytes());
                encode_count(count, out);
            }
        }
    }

    /// Reads what [`SourceFates::encode`] wrote, and moves `bytes` behind it.
    ///
    /// # Errors
    /// If it is something else.
    pub fn decode(bytes: &mut &[u8]) -> Result<Self, BooksError> {
        let mut fates = Self::default();
        for _ in 0..number(bytes)? {
            let output = name(bytes)?;
            let [code] = array(bytes)?;
            let fate = *Fate::ALL.get(usize::from(code)).ok_or(BooksError)?;
            fates.ends.push(End { output, fate, rule: name(bytes)? });
        }
        let is_sorted = fates.ends.is_sorted_by(|one, next| one < next);
        for _ in 0..number(bytes)? {
            let source = SourceId(u128::from_le_bytes(array(bytes)?));
            let mut counts = Vec::new();
            for _ in 0..u16::from_le_bytes(array(bytes)?) {
                let end = number(bytes)?;
                let is_next = counts.last().is_none_or(|(last, _)| *last < end);
                if !is_next || end as usize >= fates.ends.len() {
                    return Err(BooksError);
                }
                counts.push((end, count(bytes)?));
            }
            fates.booked += 1;
            let is_new = fates.sources.insert(source, Counts { booked: fates.booked, counts }).is_none();
            if !is_new || fates.sources.len() > SOURCES_MAX {
                return Err(BooksError);
            }
        }
        if is_sorted && fates.ends.len() <= ENDS_MAX { Ok(fates) } else { Err(BooksError) }
    }
}

/// Numbers by the ends that books have for them: those for which they had no room are one number.
fn in_books<'a>(books: &Books, told: impl Iterator<Item = (&'a End, Count)>) -> BTreeMap<End, Count> {
    let mut all: BTreeMap<End, Count> = BTreeMap::new();
    for (end, count) in told {
        let book = books.outputs.get(&end.output);
        let is_there = book.is_some_and(|book| book.fates.contains_key(&(end.fate, end.rule.clone())));
        let end = if is_there { end.clone() } else { End { rule: OTHERS.into(), ..end.clone() } };
        all.entry(end).or_default().add(count);
    }
    all
}

#[cfg(test)]
mod tests;
