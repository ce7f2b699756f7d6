//! Gathering and writing the values of one field.
//!
//! Owns: [`ColumnBuilder`], and the least and greatest number among the values.
//! Invariant: what was written is forgotten, and its memory is kept for the next block.

use sawyer_model::{ListRef, ValueRef};

use super::{Presence, floats, kind};
use crate::bytes::Put;
use crate::ints::{self, Packing};
use crate::layout::Stats;
use crate::made::Lines;
use crate::text::{self, Strings, Texts};

/// Values on their way into a column.
#[derive(Debug, Default)]
pub(crate) struct ColumnBuilder {
    rows: Vec<u32>,
    values: ValuesBuilder,
}

/// How a column is kept, if all its values are strings.
pub(crate) enum Form<'a, F> {
    /// By itself.
    Plain,
    /// Lines that were not gathered here.
    Lines(&'a Lines<'a>),
    /// With the texts of other blocks, which take them.
    Shaped(F),
}

#[derive(Debug, Default)]
struct ValuesBuilder {
    /// The type of each value; none as long as all have the same one.
    kinds: Vec<u8>,
    count: usize,
    mask: u8,
    bools: Vec<bool>,
    ints: Vec<i64>,
    floats: Vec<f64>,
    times: Vec<i64>,
    strs: Strings,
    jsons: Texts,
    list_lens: Vec<i64>,
    elements: Option<Box<ValuesBuilder>>,
}

impl ColumnBuilder {
    /// Adds the value of a row; rows come in order.
    #[inline(always)]
    pub(crate) fn push(&mut self, row: u32, value: ValueRef<'_>) {
        self.rows.push(row);
        self.values.push(value);
    }

    /// Says that a row has a line, which is not gathered here.
    pub(crate) fn push_line(&mut self, row: u32) {
        self.rows.push(row);
        self.values.note(kind::STR);
    }

    /// Whether no row has the field.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many rows have the field.
    pub(crate) fn count(&self) -> usize {
        self.rows.len()
    }

    /// The types of its values, a bit for each.
    pub(crate) fn mask(&self) -> u8 {
        self.values.mask
    }

    /// The types of its values and of the elements of lists, a bit for each.
    pub(crate) fn element_mask(&self) -> u8 {
        self.values.mask | self.values.elements.as_ref().map_or(0, |elements| elements.mask)
    }

    /// The least and greatest numbers.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.values.add_stats(&mut stats);
        stats
    }

    /// Says that its strings are of many kinds, so that nobody looks for those that are equal; there must be none yet.
    pub(crate) fn keep_apart(&mut self) {
        self.values.strs.keep_apart();
    }

    /// Ends the values of a block: whether its strings have a dictionary is decided.
    pub(crate) fn settle(&mut self) {
        self.values.strs.settle();
        self.values.elements.iter_mut().for_each(|elements| elements.strs.settle());
    }

    /// The strings among its values; of those in a dictionary each different one.
    pub(crate) fn texts(&self) -> &Texts {
        self.values.strs.texts()
    }

    /// The same as [`ColumnBuilder::texts`] of the elements of lists.
    pub(crate) fn element_texts(&self) -> Option<&Texts> {
        self.values.elements.as_ref().map(|elements| elements.strs.texts())
    }

    /// Writes the column of a block of `rows` rows, which was settled, and forgets it.
    pub(crate) fn finish(
        &mut self,
        rows: usize,
        form: Form<'_, impl FnMut(&Texts)>,
        packing: Packing,
        head: &mut Vec<u8>,
        data: &mut Vec<u8>,
    ) {
        Presence::put(head, &self.rows, rows);
        let only_strings = self.values.mask == 1 << kind::STR;
        match form {
            Form::Lines(lines) => {
                assert!(only_strings && lines.len() == self.rows.len(), "there is a line for each row");
                head.put_u8(self.values.mask);
                match lines {
                    Lines::Made(learned) => text::put_made(packing, learned, head, data),
                    Lines::AsTheyAre(texts) => text::encode(packing, texts, head, data),
                }
            }
            Form::Shaped(mut elsewhere) if only_strings => {
                head.put_u8(self.values.mask);
                text::put_shaped(head);
                elsewhere(self.values.strs.all_texts());
            }
            _ => self.values.put(packing, head, data),
        }
        self.rows.clear();
        self.values.clear();
    }
}

impl ValuesBuilder {
    #[inline(always)]
    fn push(&mut self, value: ValueRef<'_>) {
        let kind = match value {
            ValueRef::List(list) => self.push_list(list),
            scalar => self.push_scalar(scalar),
        };
        self.note(kind);
    }

    #[cold]
    fn push_list(&mut self, list: ListRef<'_>) -> u8 {
        self.list_lens.push(list.len() as i64);
        let elements = self.elements.get_or_insert_default();
        for element in list.iter() {
            // Lists are not nested.
            let kind = elements.push_scalar(element);
            elements.note(kind);
        }
        kind::LIST
    }

    #[inline(always)]
    fn push_scalar(&mut self, value: ValueRef<'_>) -> u8 {
        match value {
            ValueRef::List(_) | ValueRef::Null => kind::NULL,
            ValueRef::Bool(value) => {
                self.bools.push(value);
                kind::BOOL
            }
            ValueRef::Int(value) => {
                self.ints.push(value);
                kind::INT
            }
            ValueRef::Float(value) => {
                self.floats.push(value);
                kind::FLOAT
            }
            ValueRef::Timestamp(time) => {
                self.times.push(time.nanos());
                kind::TIMESTAMP
            }
            ValueRef::Str(text) => {
                self.strs.push(text);
                kind::STR
            }
            ValueRef::Json(text) => {
                self.jsons.push(text);
                kind::JSON
            }
        }
    }

    /// Counts a value of this type.
    #[inline(always)]
    fn note(&mut self, kind: u8) {
        let mask = self.mask | 1 << kind;
        if mask.count_ones() > 1 {
            if self.kinds.is_empty() {
                self.kinds.resize(self.count, self.mask.trailing_zeros() as u8);
            }
            self.kinds.push(kind);
        }
        self.mask = mask;
        self.count += 1;
    }

    fn add_stats(&self, stats: &mut Stats) {
        self.ints.iter().for_each(|value| stats.add_int(*value));
        self.times.iter().for_each(|time| stats.add_time(*time));
        self.floats.iter().for_each(|value| stats.add_float(*value));
        if let Some(elements) = &self.elements {
            elements.add_stats(stats);
        }
    }

    fn put(&self, packing: Packing, head: &mut Vec<u8>, data: &mut Vec<u8>) {
        head.put_u8(self.mask);
        if self.mask.count_ones() > 1 {
            let kinds: Vec<i64> = self.kinds.iter().map(|kind| i64::from(*kind)).collect();
            ints::encode_as(packing, head, &kinds);
        }
        for kind in (0..kind::COUNT).filter(|kind| self.mask >> kind & 1 == 1) {
            match kind {
                kind::BOOL => self.bools.iter().copied().collect::<crate::bits::Rows>().put(head),
                kind::INT => ints::encode_as(packing, head, &self.ints),
                kind::FLOAT => floats::encode(packing, head, &self.floats),
                kind::TIMESTAMP => ints::encode_as(packing, head, &self.times),
                kind::STR => text::encode_strings(packing, &self.strs, head, data),
                kind::JSON => text::encode(packing, &self.jsons, head, data),
                kind::LIST => {
                    ints::encode_as(packing, head, &self.list_lens);
                    let elements = self.elements.as_ref().expect("there are lists");
                    elements.put(packing, head, data);
                }
                _ => {}
            }
        }
    }

    fn clear(&mut self) {
        self.kinds.clear();
        self.count = 0;
        self.mask = 0;
        self.bools.clear();
        self.ints.clear();
        self.floats.clear();
        self.times.clear();
        self.strs.clear();
        self.jsons.clear();
        self.list_lens.clear();
        if let Some(elements) = &mut self.elements {
            elements.clear();
        }
    }
}
