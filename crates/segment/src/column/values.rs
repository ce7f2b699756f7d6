//! Reading the values of one field.
//!
//! Owns: [`Values`], and what was read of them last ([`Cursor`]).
//! Invariant: the counts of all sub-columns follow from the number of values and their types, so that no count
//! that was read alone decides how much is allocated.

mod pick;

use sawyer_model::{Timestamp, Value, ValueRef};

pub(crate) use self::pick::Picked;
use super::floats::Floats;
use super::kind;
use crate::bits::Rows;
use crate::bytes::Reader;
use crate::error::{Damage, Decoded, Result};
use crate::ints::{Ints, IntsCursor};
use crate::source::Data;
use crate::text::{Cell, MadeText, Text, TextCursor, TextTest};

/// Values, by type.
#[derive(Debug)]
pub(crate) struct Values {
    count: usize,
    mask: u8,
    /// For each value its type and its place among those of its type, if there are several types.
    mixed: Option<(Vec<u8>, Vec<u32>)>,
    bools: Option<Rows>,
    ints: Option<Ints>,
    floats: Option<Floats>,
    times: Option<Ints>,
    strs: Option<Text>,
    jsons: Option<Text>,
    lists: Option<Lists>,
}

#[derive(Debug)]
struct Lists {
    ends: Vec<u32>,
    elements: Box<Values>,
}

/// What was read last. Values are read cheapest in order.
#[derive(Debug)]
pub(crate) struct Cursor {
    ints: IntsCursor,
    floats: IntsCursor,
    times: IntsCursor,
    strs: TextCursor,
    jsons: TextCursor,
    elements: Option<Box<Cursor>>,
    list: Value,
}

impl Cursor {
    /// What was read last of the strings.
    pub(crate) fn strs(&mut self) -> &mut TextCursor {
        &mut self.strs
    }
}

impl Default for Cursor {
    fn default() -> Self {
        Self {
            ints: IntsCursor::default(),
            floats: IntsCursor::default(),
            times: IntsCursor::default(),
            strs: TextCursor::default(),
            jsons: TextCursor::default(),
            elements: None,
            list: Value::Null,
        }
    }
}

impl Values {
    /// Reads the heads of the sub-columns of `count` values. Lists may have `elements_max` elements altogether; if it
    /// is none there are no lists, because these are elements themselves.
    pub(crate) fn parse(
        reader: &mut Reader<'_>,
        count: usize,
        data_offset: &mut u64,
        elements_max: Option<usize>,
    ) -> Decoded<Self> {
        let mask = reader.u8()?;
        if (mask == 0) != (count == 0) || (elements_max.is_none() && mask >> kind::LIST == 1) {
            return Err(Damage::expected("the types of the values"));
        }
        let mut counts = [0; kind::COUNT as usize];
        let mut mixed = None;
        if mask.count_ones() > 1 {
            mixed = Some(parse_kinds(reader, count, mask, &mut counts)?);
        } else if mask != 0 {
            counts[mask.trailing_zeros() as usize] = count;
        }
        let has = |kind: u8| (mask >> kind & 1 == 1).then_some(counts[usize::from(kind)]);
        let mut values = Self {
            count,
            mask,
            mixed,
            bools: None,
            ints: None,
            floats: None,
            times: None,
            strs: None,
            jsons: None,
            lists: None,
        };
        if let Some(count) = has(kind::BOOL) {
            values.bools = Some(Rows::parse(reader.take(count.div_ceil(8))?, count)?);
        }
        if let Some(count) = has(kind::INT) {
            values.ints = Some(Ints::parse(reader, count)?);
        }
        if let Some(count) = has(kind::FLOAT) {
            values.floats = Some(Floats::parse(reader, count)?);
        }
        if let Some(count) = has(kind::TIMESTAMP) {
            values.times = Some(Ints::parse(reader, count)?);
        }
        if let Some(count) = has(kind::STR) {
            values.strs = Some(Text::parse(reader, count, data_offset)?);
        }
        if let Some(count) = has(kind::JSON) {
            values.jsons = Some(Text::parse(reader, count, data_offset)?);
        }
        if let Some(count) = has(kind::LIST) {
            values.lists = Some(Lists::parse(reader, count, data_offset, elements_max.unwrap_or(0))?);
        }
        // A column has one place among the texts of its group.
        let is_shaped = [&values.strs, &values.jsons].into_iter().flatten().any(Text::is_shaped);
        if is_shaped && (mask != 1 << kind::STR || elements_max.is_none()) {
            return Err(Damage::expected("texts of a group in a column of strings alone"));
        }
        Ok(values)
    }

    /// Makes do without so many bytes at the start of the head, which were decompressed; the others move up.
    pub(crate) fn forget_entries(&mut self) -> usize {
        match &mut self.strs {
            Some(strs) if self.mask == 1 << kind::STR => strs.forget_entries(),
            _ => 0,
        }
    }

    /// Compares the checksums of everything that lies in the data of the column.
    pub(crate) fn check(&self, data: Data<'_>) -> Result<()> {
        for texts in [&self.strs, &self.jsons].into_iter().flatten() {
            texts.check(data)?;
        }
        self.lists.as_ref().map_or(Ok(()), |lists| lists.elements.check(data))
    }

    /// About how much memory it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let ints = |ints: &Option<Ints>| ints.as_ref().map_or(0, Ints::memory_bytes);
        let texts = |text: &Option<Text>| text.as_ref().map_or(0, Text::memory_bytes);
        let lists = self.lists.as_ref().map_or(0, |lists| {
            lists.ends.len() * size_of::<u32>() + size_of::<Self>() + lists.elements.memory_bytes()
        });
        let mixed = self.mixed.as_ref().map_or(0, |(kinds, _)| kinds.len() * (1 + size_of::<u32>()));
        let bools = self.bools.as_ref().map_or(0, |bools| bools.len() / 8);
        let floats = self.floats.as_ref().map_or(0, Floats::memory_bytes);
        ints(&self.ints)
            + ints(&self.times)
            + texts(&self.strs)
            + texts(&self.jsons)
            + lists
            + mixed
            + bools
            + floats
    }

    /// How its strings are made of other fields, if they are.
    pub(crate) fn made(&self) -> Option<&MadeText> {
        self.strs.as_ref().and_then(Text::made)
    }

    /// The types of the values, a bit for each.
    pub(crate) fn mask(&self) -> u8 {
        self.mask
    }

    /// The type of the value at this place, and its place among those of its type.
    pub(crate) fn kind_of(&self, at: usize) -> (u8, usize) {
        match &self.mixed {
            Some((kinds, places)) => (kinds[at], places[at] as usize),
            None => (self.mask.trailing_zeros() as u8, at),
        }
    }

    /// The value at this place. `head` holds the bytes the column was parsed from.
    pub(crate) fn get<'a>(
        &'a self,
        head: &[u8],
        at: usize,
        data: Data<'_>,
        cursor: &'a mut Cursor,
    ) -> Result<ValueRef<'a>> {
        assert!(at < self.count, "the column has this value");
        let (kind, at) = self.kind_of(at);
        self.get_of(kind, head, at, data, cursor)
    }

    /// The value at this place among those of its type.
    fn get_of<'a>(
        &'a self,
        kind: u8,
        head: &[u8],
        at: usize,
        data: Data<'_>,
        cursor: &'a mut Cursor,
    ) -> Result<ValueRef<'a>> {
        let missing = "the types say so";
        Ok(match kind {
            kind::BOOL => ValueRef::Bool(self.bools.as_ref().expect(missing).contains(at)),
            kind::INT => ValueRef::Int(self.ints.as_ref().expect(missing).get(head, at, &mut cursor.ints)),
            kind::FLOAT => {
                ValueRef::Float(self.floats.as_ref().expect(missing).get(head, at, &mut cursor.floats))
            }
            kind::TIMESTAMP => {
                let nanos = self.times.as_ref().expect(missing).get(head, at, &mut cursor.times);
                ValueRef::Timestamp(Timestamp::from_nanos(nanos))
            }
            kind::STR => {
                ValueRef::Str(self.strs.as_ref().expect(missing).get(head, at, data, &mut cursor.strs)?)
            }
            kind::JSON => {
                ValueRef::Json(self.jsons.as_ref().expect(missing).get(head, at, data, &mut cursor.jsons)?)
            }
            kind::LIST => {
                let lists = self.lists.as_ref().expect(missing);
                let elements = cursor.elements.get_or_insert_default();
                cursor.list = Value::List(lists.read(head, at, data, elements)?);
                cursor.list.as_ref()
            }
            _ => ValueRef::Null,
        })
    }

    /// Puts the rows in whose strings satisfy a test. The places of `cells` are those among the strings.
    pub(crate) fn select_strs(
        &self,
        head: &[u8],
        cells: &[Cell],
        data: Data<'_>,
        test: &TextTest<'_>,
        out: &mut Rows,
    ) -> Result<()> {
        self.strs.as_ref().expect("there are cells of this type").select(head, cells, data, test, out)
    }

    /// The strings.
    pub(crate) fn strs(&self) -> &Text {
        self.strs.as_ref().expect("there are cells of this type")
    }

    /// Calls with each value of one type. The places of `cells` are those among the values of this type.
    pub(crate) fn for_each_of(
        &self,
        kind: u8,
        head: &[u8],
        cells: &[Cell],
        data: Data<'_>,
        cursor: &mut Cursor,
        call: &mut dyn FnMut(Cell, ValueRef<'_>),
    ) -> Result<()> {
        for cell in cells {
            call(*cell, self.get_of(kind, head, cell.place as usize, data, cursor)?);
        }
        Ok(())
    }
}

/// Reads the type of each value, and finds its place among those of its type.
fn parse_kinds(
    reader: &mut Reader<'_>,
    count: usize,
    mask: u8,
    counts: &mut [usize; kind::COUNT as usize],
) -> Decoded<(Vec<u8>, Vec<u32>)> {
    let mut kinds = Vec::with_capacity(count);
    let mut places = Vec::with_capacity(count);
    for kind in Ints::parse_and_decode(reader, count)? {
        let known = u8::try_from(kind).ok().filter(|kind| *kind < kind::COUNT && mask >> kind & 1 == 1);
        let kind = known.ok_or(Damage::expected("a type that the column has"))?;
        kinds.push(kind);
        places.push(counts[usize::from(kind)] as u32);
        counts[usize::from(kind)] += 1;
    }
    Ok((kinds, places))
}

impl Lists {
    fn parse(
        reader: &mut Reader<'_>,
        count: usize,
        data_offset: &mut u64,
        elements_max: usize,
    ) -> Decoded<Self> {
        let mut ends = Vec::with_capacity(count);
        let mut end = 0usize;
        for len in Ints::parse_and_decode(reader, count)? {
            let len = usize::try_from(len).ok().filter(|len| *len <= elements_max - end);
            end += len.ok_or(Damage::expected("lists within bounds"))?;
            ends.push(end as u32);
        }
        let elements = Box::new(Values::parse(reader, end, data_offset, None)?);
        Ok(Self { ends, elements })
    }

    fn read(&self, head: &[u8], at: usize, data: Data<'_>, cursor: &mut Cursor) -> Result<Vec<Value>> {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        let places = start as usize..self.ends[at] as usize;
        places.map(|at| Ok(self.elements.get(head, at, data, cursor)?.to_value())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Put;
    use crate::text::put_shaped;

    #[test]
    fn only_strings_alone_lie_with_those_of_other_blocks() {
        let parse = |head: &[u8], count: usize, elements_max: Option<usize>| {
            Values::parse(&mut Reader::new(head), count, &mut 0, elements_max).is_ok()
        };
        let mut strings = vec![1 << kind::STR];
        put_shaped(&mut strings);
        assert!(parse(&strings, 3, Some(9)));
        assert!(!parse(&strings, 3, None), "elements of lists");
        let mut jsons = vec![1 << kind::JSON];
        put_shaped(&mut jsons);
        assert!(!parse(&jsons, 3, Some(9)));
        let mut both = vec![1 << kind::STR | 1 << kind::JSON];
        let kinds = [kind::STR, kind::JSON, kind::STR].map(i64::from);
        crate::ints::encode(&mut both, &kinds);
        let mut plain = both.clone();
        put_shaped(&mut both);
        put_shaped(&mut both);
        assert!(!parse(&both, 3, Some(9)));
        // The same column is fine with texts of its own.
        for text in ["a", "{}"] {
            plain.put_u8(0);
            plain.put_text(text);
        }
        assert!(parse(&plain, 3, Some(9)));
    }
}
