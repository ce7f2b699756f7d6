//! A record's own fields, one after another.
//!
//! Owns: [`OwnFields`] and [`OwnPlaces`].
//! Invariant: both have the same fields in the same order.
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
}

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
