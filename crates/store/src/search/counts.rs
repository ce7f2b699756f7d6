//! Counting by value.
//!
//! Owns: which values are the same, their order among equally frequent ones, and the bound of such a table.
//! Invariant: an element of a list counts like a value by itself, once in a record.

use std::cmp::Ordering;

use hashbrown::HashMap;
use hashbrown::hash_map::{Entry, EntryRef};
use sawyer_model::{Timestamp, Value, ValueRef};

/// Something counted for each value of a field.
#[derive(Clone, Debug)]
pub(super) struct Counts<T> {
    /// Bytes of the texts, roughly.
    text_bytes: usize,
    /// Apart, so that looking one up copies nothing.
    texts: HashMap<String, T>,
    others: HashMap<Scalar, T>,
}

/// A value that is not text, in a form that can be compared and hashed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Scalar {
    Bool(bool),
    Int(i64),
    /// Bits that sort as the numbers do.
    Float(u64),
    Timestamp(Timestamp),
    Json(Box<str>),
}

/// By what equally frequent values are put in order: scalars, then texts by their bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum SortKey<'a> {
    Scalar(&'a Scalar),
    Text(&'a str),
}

impl SortKey<'_> {
    fn value(self) -> Value {
        match self {
            Self::Scalar(scalar) => scalar.value(),
            Self::Text(text) => Value::from(text),
        }
    }
}

impl<T> Default for Counts<T> {
    fn default() -> Self {
        Self { text_bytes: 0, texts: HashMap::new(), others: HashMap::new() }
    }
}

impl Scalar {
    fn of(value: ValueRef<'_>) -> Option<Self> {
        Some(match value {
            ValueRef::Bool(value) => Self::Bool(value),
            ValueRef::Int(value) => Self::Int(value),
            ValueRef::Float(value) => Self::Float(sortable(value)),
            ValueRef::Timestamp(time) => Self::Timestamp(time),
            ValueRef::Json(text) => Self::Json(text.into()),
            ValueRef::Null | ValueRef::Str(_) | ValueRef::List(_) => return None,
        })
    }

    fn text_bytes(&self) -> usize {
        if let Self::Json(text) = self { text.len() } else { 0 }
    }

    fn value(&self) -> Value {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Float(bits) => Value::Float(unsortable(*bits)),
            Self::Timestamp(time) => Value::Timestamp(*time),
            Self::Json(text) => Value::Json(text.clone()),
        }
    }
}

/// Bytes of a value that count for a table.
fn text_bytes(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Str(text) | ValueRef::Json(text) => text.len(),
        _ => 0,
    }
}

/// Zeros of both signs are one value; so are all that are not a number.
fn sortable(value: f64) -> u64 {
    let value = if value == 0.0 { 0.0 } else { value };
    let bits = if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn unsortable(bits: u64) -> f64 {
    f64::from_bits(if bits >> 63 == 1 { bits & !(1 << 63) } else { !bits })
}

/// The values of a field that count: the elements of a list each once, nulls not at all.
pub(super) fn each_once<'a>(value: ValueRef<'a>, mut count: impl FnMut(ValueRef<'a>)) {
    let ValueRef::List(list) = value else {
        if value != ValueRef::Null {
            count(value);
        }
        return;
    };
    let elements: Vec<ValueRef<'a>> = list.iter().filter(|element| *element != ValueRef::Null).collect();
    for (at, element) in elements.iter().enumerate() {
        if !elements[..at].contains(element) {
            count(*element);
        }
    }
}

impl<T: Default> Counts<T> {
    /// What is counted for this value; `None` for nulls and lists, which are no values by themselves.
    pub(super) fn of(&mut self, value: ValueRef<'_>) -> Option<&mut T> {
        match value {
            ValueRef::Str(text) => Some(match self.texts.entry_ref(text) {
                EntryRef::Occupied(known) => known.into_mut(),
                EntryRef::Vacant(new) => {
                    self.text_bytes += text.len();
                    new.insert(T::default())
                }
            }),
            other => match self.others.entry(Scalar::of(other)?) {
                Entry::Occupied(known) => Some(known.into_mut()),
                Entry::Vacant(new) => {
                    self.text_bytes += new.key().text_bytes();
                    Some(new.insert(T::default()))
                }
            },
        }
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.texts.len() + self.others.len()
    }

    /// Bytes of the texts of the values, roughly.
    pub(super) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// Leaves the values for which `weight` is greatest, at most so many and with so many bytes of texts; `dropped` gets
    /// what is left out.
    pub(super) fn keep_top(
        &mut self,
        (count_max, text_bytes_max): (usize, usize),
        weight: impl Fn(&T) -> u64,
        mut dropped: impl FnMut(T),
    ) {
        let (top, rest) = std::mem::take(self).into_top(count_max, weight);
        rest.for_each(&mut dropped);
        for (value, counted) in top {
            let value = value.as_ref();
            if self.text_bytes + text_bytes(value) > text_bytes_max {
                dropped(counted);
            } else if let Some(kept) = self.of(value) {
                *kept = counted;
            }
        }
    }

    /// Adds what another table counted.
    pub(super) fn merge(&mut self, mut other: Self, add: impl Fn(&mut T, T)) {
        // The smaller one is gone through.
        if other.len() > self.len() {
            std::mem::swap(self, &mut other);
        }
        for (text, counted) in other.texts {
            match self.texts.entry(text) {
                Entry::Occupied(mut known) => add(known.get_mut(), counted),
                Entry::Vacant(new) => {
                    self.text_bytes += new.key().len();
                    add(new.insert(T::default()), counted);
                }
            }
        }
        for (scalar, counted) in other.others {
            match self.others.entry(scalar) {
                Entry::Occupied(mut known) => add(known.get_mut(), counted),
                Entry::Vacant(new) => {
                    self.text_bytes += new.key().text_bytes();
                    add(new.insert(T::default()), counted);
                }
            }
        }
    }

    /// The values for which `weight` is greatest, and what is left. Equally heavy ones come in the order of
    /// their type and value.
    pub(super) fn into_top(
        self,
        limit: usize,
        weight: impl Fn(&T) -> u64,
    ) -> (Vec<(Value, T)>, impl Iterator<Item = T>) {
        let mut top = Top { limit, least: 0, ranked: Vec::new() };
        self.others.iter().for_each(|(scalar, counted)| top.add(SortKey::Scalar(scalar), weight(counted)));
        self.texts.iter().for_each(|(text, counted)| top.add(SortKey::Text(text), weight(counted)));
        let chosen: Vec<Value> = top.finish().into_iter().map(SortKey::value).collect();
        self.take(chosen)
    }

    fn take(mut self, chosen: Vec<Value>) -> (Vec<(Value, T)>, impl Iterator<Item = T>) {
        let top = chosen
            .into_iter()
            .map(|value| {
                let counted = match &value {
                    Value::Str(text) => self.texts.remove(&**text),
                    other => Scalar::of(other.as_ref()).and_then(|scalar| self.others.remove(&scalar)),
                };
                (value, counted.expect("it was counted"))
            })
            .collect();
        let Self { texts, others, .. } = self;
        (top, texts.into_values().chain(others.into_values()))
    }
}

/// The heaviest so far, and some that will go.
struct Top<'a> {
    limit: usize,
    /// What is lighter is not among them.
    least: u64,
    ranked: Vec<(SortKey<'a>, u64)>,
}

impl<'a> Top<'a> {
    /// How many more than the wanted ones are gathered before the others go.
    const SPARE: usize = 1024;

    #[inline]
    fn add(&mut self, key: SortKey<'a>, weight: u64) {
        if weight < self.least || self.limit == 0 {
            return;
        }
        self.ranked.push((key, weight));
        if self.ranked.len() >= self.limit.saturating_mul(2).saturating_add(Self::SPARE) {
            self.ranked.select_nth_unstable_by(self.limit - 1, by_rank);
            self.ranked.truncate(self.limit);
            self.least = self.ranked[self.limit - 1].1;
        }
    }

    fn finish(mut self) -> Vec<SortKey<'a>> {
        self.ranked.sort_unstable_by(by_rank);
        self.ranked.truncate(self.limit);
        self.ranked.into_iter().map(|(key, _)| key).collect()
    }
}

fn by_rank(a: &(SortKey<'_>, u64), b: &(SortKey<'_>, u64)) -> Ordering {
    b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0))
}

impl Counts<u64> {
    /// Counts a value some more times.
    pub(super) fn add(&mut self, value: ValueRef<'_>, count: u64) {
        if let Some(counted) = self.of(value) {
            *counted += count;
        }
    }
}

/// The text of a value, as people see it.
pub(super) fn starts_with(value: ValueRef<'_>, prefix_lowercase: &str) -> bool {
    let text = match value {
        ValueRef::Str(text) | ValueRef::Json(text) => {
            return text.to_lowercase().starts_with(prefix_lowercase);
        }
        ValueRef::Bool(value) => value.to_string(),
        ValueRef::Int(value) => value.to_string(),
        ValueRef::Float(value) => value.to_string(),
        ValueRef::Timestamp(time) => time.to_string().to_lowercase(),
        ValueRef::Null | ValueRef::List(_) => return false,
    };
    text.starts_with(prefix_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_come_first_and_ties_by_type_and_value() {
        let mut counts = Counts::default();
        for (value, count) in [
            (Value::from("b"), 2),
            (Value::from("a"), 2),
            (Value::Int(7), 2),
            (Value::Float(-1.5), 1),
            (Value::Float(-2.5), 1),
            (Value::Bool(true), 5),
        ] {
            counts.add(value.as_ref(), count);
        }
        let (top, rest) = counts.into_top(5, |count| *count);
        let wanted = [
            (Value::Bool(true), 5),
            (Value::Int(7), 2),
            (Value::from("a"), 2),
            (Value::from("b"), 2),
            (Value::Float(-2.5), 1),
        ];
        assert_eq!((top, rest.collect::<Vec<_>>()), (wanted.to_vec(), vec![1]));
    }

    #[test]
    fn bytes_of_texts_are_counted_once() {
        let mut counts = Counts::default();
        for value in [ValueRef::Str("four"), ValueRef::Json("[1,2]"), ValueRef::Int(3)] {
            counts.add(value, 1);
            counts.add(value, 1);
        }
        let mut more = counts.clone();
        more.add(ValueRef::Str("a longer one"), 9);
        more.add(ValueRef::Json("{}"), 1);
        assert_eq!((counts.text_bytes(), more.text_bytes()), (9, 23));
        counts.merge(more, |count, more| *count += more);
        assert_eq!((counts.len(), counts.text_bytes()), (5, 23));
        let mut dropped = 0;
        counts.keep_top((100, 16), |count| *count, |count| dropped += count);
        // The most frequent one, and of those behind it what there is room for.
        assert_eq!((counts.len(), counts.text_bytes(), dropped), (3, 16, 5));
        assert_eq!(counts.into_top(1, |count| *count).0, [(Value::from("a longer one"), 9)]);
    }

    #[test]
    fn floats_come_back_as_they_were() {
        for value in [0.0, -0.0, 1.5, -1.5, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE] {
            assert_eq!(unsortable(sortable(value)), value);
        }
        assert!(unsortable(sortable(f64::NAN)).is_nan());
        assert_eq!(sortable(0.0), sortable(-0.0));
        assert!(sortable(-1.0) < sortable(-0.5) && sortable(-0.5) < sortable(0.5));
    }

    #[test]
    fn a_list_counts_each_element_once() {
        let list = Value::List(vec![Value::from("a"), Value::Null, Value::from("a"), Value::Int(1)]);
        let mut seen = Vec::new();
        each_once(list.as_ref(), |value| seen.push(value.to_value()));
        assert_eq!(seen, [Value::from("a"), Value::Int(1)]);
        each_once(ValueRef::Null, |_| panic!("null is no value"));
    }

    #[test]
    fn prefixes_ignore_case() {
        assert!(starts_with(ValueRef::Str("Cart-1"), "cart"));
        assert!(starts_with(ValueRef::Int(200), "20"));
        assert!(!starts_with(ValueRef::Str("cart"), "carts"));
    }
}
