//! A field's value: null, bool, integer, float, string, timestamp, a list of these, or JSON kept whole.

use crate::batch::Slot;
use crate::timestamp::Timestamp;

/// A value on its own feet.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// JSON's null: the field is there, and says nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction, or beyond the range of [`Value::Int`].
    Float(f64),
    /// Text.
    Str(Box<str>),
    /// A point in time.
    Timestamp(Timestamp),
    /// Several values under one name. Lists are not nested.
    List(Vec<Value>),
    /// A JSON array of objects, kept whole as its text beside its flattened paths.
    Json(Box<str>),
}

/// A value inside a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueRef<'a> {
    /// See [`Value::Null`].
    Null,
    /// See [`Value::Bool`].
    Bool(bool),
    /// See [`Value::Int`].
    Int(i64),
    /// See [`Value::Float`].
    Float(f64),
    /// See [`Value::Str`].
    Str(&'a str),
    /// See [`Value::Timestamp`].
    Timestamp(Timestamp),
    /// See [`Value::List`].
    List(ListRef<'a>),
    /// See [`Value::Json`].
    Json(&'a str),
}

/// The elements of a list, in order.
#[derive(Clone, Copy)]
pub struct ListRef<'a>(pub(crate) Elements<'a>);

#[derive(Clone, Copy)]
pub(crate) enum Elements<'a> {
    Slots { slots: &'a [Slot], text: &'a str },
    Values(&'a [Value]),
    Refs(&'a [ValueRef<'a>]),
}

impl<'a> ListRef<'a> {
    /// How many elements.
    #[must_use]
    pub fn len(self) -> usize {
        match self.0 {
            Elements::Slots { slots, .. } => slots.len(),
            Elements::Values(values) => values.len(),
            Elements::Refs(values) => values.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The element at this place.
    #[must_use]
    pub fn get(self, at: usize) -> Option<ValueRef<'a>> {
        match self.0 {
            Elements::Slots { slots, text } => slots.get(at).map(|slot| slot.scalar(text)),
            Elements::Values(values) => values.get(at).map(Value::as_ref),
            Elements::Refs(values) => values.get(at).copied(),
        }
    }

    /// The elements, in order.
    pub fn iter(self) -> impl Iterator<Item = ValueRef<'a>> {
        (0..self.len()).filter_map(move |at| self.get(at))
    }
}

/// A list of these elements; a list among them reads as null once it is stored.
impl<'a> From<&'a [ValueRef<'a>]> for ListRef<'a> {
    fn from(values: &'a [ValueRef<'a>]) -> Self {
        Self(Elements::Refs(values))
    }
}

impl PartialEq for ListRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().zip(other.iter()).all(|(a, b)| a == b)
    }
}

impl std::fmt::Debug for ListRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Value {
    /// The same value, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Bool(value) => ValueRef::Bool(*value),
            Self::Int(value) => ValueRef::Int(*value),
            Self::Float(value) => ValueRef::Float(*value),
            Self::Str(text) => ValueRef::Str(text),
            Self::Timestamp(time) => ValueRef::Timestamp(*time),
            Self::List(values) => ValueRef::List(ListRef(Elements::Values(values))),
            Self::Json(text) => ValueRef::Json(text),
        }
    }

    /// The text, if it is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.as_ref().as_str()
    }
}

impl<'a> ValueRef<'a> {
    /// The same value on its own feet.
    #[must_use]
    pub fn to_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Float(value) => Value::Float(value),
            Self::Str(text) => Value::Str(text.into()),
            Self::Timestamp(time) => Value::Timestamp(time),
            Self::List(list) => Value::List(list.iter().map(ValueRef::to_value).collect()),
            Self::Json(text) => Value::Json(text.into()),
        }
    }

    /// The text, if it is text.
    #[must_use]
    pub fn as_str(self) -> Option<&'a str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The name of its type as users see it.
    #[must_use]
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Int(_) => "integer",
            Self::Float(_) => "float",
            Self::Str(_) => "string",
            Self::Timestamp(_) => "timestamp",
            Self::List(_) => "list",
            Self::Json(_) => "objects",
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text.into())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<Timestamp> for Value {
    fn from(time: Timestamp) -> Self {
        Self::Timestamp(time)
    }
}

impl<'a> From<&'a str> for ValueRef<'a> {
    fn from(text: &'a str) -> Self {
        Self::Str(text)
    }
}

impl From<i64> for ValueRef<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for ValueRef<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
