//! Which columns a file has.
//!
//! Invariant: columns are planned before the first record is seen, because a file has one schema.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::errors::ParquetError;
use parquet::schema::types::{Type, TypePtr};
use sawyer_codec::json_out;
use sawyer_query::search::FieldInfo;

use crate::{ID, OBSERVED, OTHER, TIMESTAMP};

/// Columns of fields at most; those that the most records have. What others hold is in [`OTHER`].
const COLUMNS_MAX: usize = 1_000;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `BOOLEAN`
    Bool,
    /// `INT64`
    Int,
    /// `DOUBLE`
    Float,
    /// `INT64`, nanoseconds in UTC
    Timestamp,
    /// `BYTE_ARRAY`, UTF-8; values that are no text as JSON
    Text,
}

/// The columns of a file: the record's name and times, then its fields by name, then the rest.
#[derive(Debug)]
pub struct Plan {
    columns: Vec<(String, Kind)>,
    places: HashMap<String, usize>,
    without_original: bool,
}

impl Plan {
    /// The columns for records with these fields, with the lines as written or without.
    #[must_use]
    pub fn new(fields: &[FieldInfo], without_original: bool) -> Self {
        let taken = HashSet::from([ID, TIMESTAMP, OBSERVED, OTHER]);
        let mut fields: Vec<&FieldInfo> = fields
            .iter()
            .filter(|field| !taken.contains(&*field.name))
            .filter(|field| !(without_original && json_out::is_original(&field.name)))
            .collect();
        fields.sort_by(|a, b| b.count.cmp(&a.count).then(a.name.cmp(&b.name)));
        fields.truncate(COLUMNS_MAX);
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        let columns: Vec<_> =
            fields.iter().map(|field| (field.name.clone(), Kind::of(&field.types))).collect();
        let places = columns.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
        Self { columns, places, without_original }
    }

    pub(crate) fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.columns.iter().map(|(_, kind)| *kind)
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    pub(crate) fn leaves_out(&self, name: &str) -> bool {
        self.without_original && json_out::is_original(name)
    }

    pub(crate) fn schema(&self) -> Result<TypePtr, ParquetError> {
        let first = [(ID, Kind::Text), (TIMESTAMP, Kind::Timestamp), (OBSERVED, Kind::Timestamp)];
        let first = first.into_iter().map(|(name, kind)| column(name, kind, Repetition::REQUIRED));
        let fields = self.columns.iter().map(|(name, kind)| column(name, *kind, Repetition::OPTIONAL));
        let other = [column(OTHER, Kind::Text, Repetition::OPTIONAL)];
        let columns = first.chain(fields).chain(other).collect::<Result<Vec<_>, _>>()?;
        Type::group_type_builder("record").with_fields(columns).build().map(Arc::new)
    }
}

impl Kind {
    /// What holds all values of these types exactly, or as much of them as can be.
    fn of(types: &[&str]) -> Self {
        let is_all = |allowed: &[&str]| types.iter().all(|name| *name == "null" || allowed.contains(name));
        match types {
            _ if is_all(&[]) => Self::Text,
            _ if is_all(&["boolean"]) => Self::Bool,
            _ if is_all(&["integer"]) => Self::Int,
            _ if is_all(&["integer", "float"]) => Self::Float,
            _ if is_all(&["timestamp"]) => Self::Timestamp,
            _ => Self::Text,
        }
    }
}

fn column(name: &str, kind: Kind, repetition: Repetition) -> Result<TypePtr, ParquetError> {
    let (physical, logical) = match kind {
        Kind::Bool => (Physical::BOOLEAN, None),
        Kind::Int => (Physical::INT64, None),
        Kind::Float => (Physical::DOUBLE, None),
        Kind::Timestamp => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::NANOS))),
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let builder = Type::primitive_type_builder(name, physical);
    builder.with_repetition(repetition).with_logical_type(logical).build().map(Arc::new)
}
