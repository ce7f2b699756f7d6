//! A record's own fields, one after another.
//!
//! Owns: [`OwnFields`], [`OwnPlaces`] and [`OwnParts`].
//! Invariant: all have the same fields in the same order.
//!
//! Whoever writes a log or a segment looks at every field of every record. Both iterators are compiled into that loop: a
//! value that is handed over in memory costs more than looking at it.

use std::ops::Range;

use super::{Batch, Field, RecordRef, Slot};
use crate::names::NameId;
use crate::value::ValueRef;

/// The numbers of the names, and the values.
#[derive(Clone, Debug)]
pub struct OwnFields<'a> {
    fields: std::slice::Iter<'a, Field>,
    batch: &'a Batch,
}

/// The numbers of the names, and where the texts of the values lie in [`Batch::text`]: an empty place where a value has
/// none. Lists lie nowhere.
#[derive(Clone, Debug)]
pub struct OwnPlaces<'a> {
    fields: std::slice::Iter<'a, Field>,
}

/// The numbers of the names, and the values, of which texts are not looked at.
#[derive(Clone, Debug)]
pub struct OwnParts<'a> {
    fields: std::slice::Iter<'a, Field>,
    batch: &'a Batch,
}

/// A value, or where its text lies in [`Batch::text`].
#[derive(Clone, Debug)]
pub enum OwnPart<'a> {
    /// A string.
    Str(Range<usize>),
    /// JSON kept whole.
    Json(Range<usize>),
    /// Any other.
    Value(ValueRef<'a>),
}

impl<'a> RecordRef<'a> {
    /// Its own fields, without those of its stream.
    pub fn own_fields(self) -> impl ExactSizeIterator<Item = (&'a str, ValueRef<'a>)> {
        self.own_fields_by_id().map(move |(name, value)| (self.batch.name(name), value))
    }

    /// Its own fields, by the numbers of their names.
    #[inline]
    #[must_use]
    pub fn own_fields_by_id(self) -> OwnFields<'a> {
        OwnFields { fields: self.batch.fields[self.entry.fields()].iter(), batch: self.batch }
    }

    /// For each of its own fields its name and where its text lies.
    #[inline]
    #[must_use]
    pub fn own_places(self) -> OwnPlaces<'a> {
        OwnPlaces { fields: self.batch.fields[self.entry.fields()].iter() }
    }

    /// Its own fields: where their texts lie, and the other values.
    #[inline]
    #[must_use]
    pub fn own_parts(self) -> OwnParts<'a> {
        OwnParts { fields: self.batch.fields[self.entry.fields()].iter(), batch: self.batch }
    }
}

impl<'a> Iterator for OwnParts<'a> {
    type Item = (NameId, OwnPart<'a>);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let field = self.fields.next()?;
        let place = |start: u32, len: u32| start as usize..start as usize + len as usize;
        let part = match field.value {
            Slot::Str { start, len } => OwnPart::Str(place(start, len)),
            Slot::Json { start, len } => OwnPart::Json(place(start, len)),
            other => OwnPart::Value(self.batch.value(other)),
        };
        Some((field.name, part))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.fields.size_hint()
    }
}

impl ExactSizeIterator for OwnParts<'_> {}

impl<'a> Iterator for OwnFields<'a> {
    type Item = (NameId, ValueRef<'a>);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let field = self.fields.next()?;
        Some((field.name, self.batch.value(field.value)))
    }

    #[inline(always)]
    fn nth(&mut self, at: usize) -> Option<Self::Item> {
        let field = self.fields.nth(at)?;
        Some((field.name, self.batch.value(field.value)))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.fields.size_hint()
    }
}

impl ExactSizeIterator for OwnFields<'_> {}

impl Iterator for OwnPlaces<'_> {
    type Item = (NameId, Option<Range<usize>>);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let field = self.fields.next()?;
        let place = match field.value {
            Slot::Str { start, len } | Slot::Json { start, len } => {
                Some(start as usize..start as usize + len as usize)
            }
            Slot::List { .. } => None,
            _ => Some(0..0),
        };
        Some((field.name, place))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.fields.size_hint()
    }
}

impl ExactSizeIterator for OwnPlaces<'_> {}
