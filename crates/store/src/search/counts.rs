//! Counting by value.
//!
//! Owns: which values are the same, their order among equally frequent ones, and the bound of such a table.
//! Invariant: an element of a list counts like a value by itself, once in a record.

use std::cmp::Reverse;

use hashbrown::HashMap;
use sawyer_model::{Timestamp, Value, ValueRef};

/// Something counted for each value of a field.
#[derive(Clone, Debug)]
pub(super) struct Counts<T> {
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

/// By what equally frequent values are put in order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum SortKey<'a> {
    Scalar(&'a Scalar),
    Text(&'a str),
}

impl<T> Default for Counts<T> {
    fn default() -> Self {
        Self { texts: HashMap::new(), others: HashMap::new() }
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
            ValueRef::Str(text) => Some(self.texts.entry_ref(text).or_default()),
            other => Some(self.others.entry(Scalar::of(other)?).or_default()),
        }
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.texts.len() + self.others.len()
    }

    /// Adds what another table counted.
    pub(super) fn merge(&mut self, other: Self, add: impl Fn(&mut T, T)) {
        for (text, counted) in other.texts {
            add(self.texts.entry(text).or_default(), counted);
        }
        for (scalar, counted) in other.others {
            add(self.others.entry(scalar).or_default(), counted);
        }
    }

    /// The values for which `weight` is greatest, and what is left. Equally heavy ones come in the order of
    /// their type and value.
    pub(super) fn into_top(self, limit: usize, weight: impl Fn(&T) -> u64) -> (Vec<(Value, T)>, Vec<T>) {
        let mut ranked: Vec<(SortKey<'_>, u64)> = Vec::with_capacity(self.len());
        ranked.extend(self.others.iter().map(|(scalar, counted)| (SortKey::Scalar(scalar), weight(counted))));
        ranked.extend(self.texts.iter().map(|(text, counted)| (SortKey::Text(text), weight(counted))));
        let limit = limit.min(ranked.len());
        let by_rank =
            |a: &(SortKey<'_>, u64), b: &(SortKey<'_>, u64)| (Reverse(a.1), &a.0).cmp(&(Reverse(b.1), &b.0));
        if limit > 0 && limit < ranked.len() {
            ranked.select_nth_unstable_by(limit - 1, by_rank);
        }
        ranked.truncate(limit);
        ranked.sort_unstable_by(by_rank);
        let chosen: Vec<Value> = ranked
            .into_iter()
            .map(|(key, _)| match key {
                SortKey::Scalar(scalar) => scalar.value(),
                SortKey::Text(text) => Value::from(text),
            })
            .collect();
        self.take(chosen)
    }

    fn take(mut self, chosen: Vec<Value>) -> (Vec<(Value, T)>, Vec<T>) {
        let top = chosen
            .into_iter()
            .map(|value| {
                let counted = std::mem::take(self.of(value.as_ref()).expect("it was counted"));
                match &value {
                    Value::Str(text) => drop(self.texts.remove(&**text)),
                    other => drop(Scalar::of(other.as_ref()).and_then(|scalar| self.others.remove(&scalar))),
                }
                (value, counted)
            })
            .collect();
        (top, self.texts.into_values().chain(self.others.into_values()).collect())
    }
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
        assert_eq!((top, rest), (wanted.to_vec(), vec![1]));
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
