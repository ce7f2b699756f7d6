//! Texts that are made of the other fields of their records, as a column keeps them.
//!
//! Owns: [`MadeText`]: the templates, the template of each text, where its holes are.
//! Does not own: making (`made`), finding the record's other fields (`segment`).
//! Invariant: every text has a template that is there, and there are as many holes as all templates together want.

use super::{MADE, Text, TextCursor};
use crate::bytes::Reader;
use crate::error::{Damage, Decoded, Result, SegmentError};
use crate::ints::Ints;
use crate::made::{TEMPLATES_BYTES_MAX, Templates, Values};
use crate::source::Data;
use crate::zip;

/// See the head of the module.
#[derive(Debug)]
pub(crate) struct MadeText {
    pub(crate) templates: Templates,
    /// There are few templates.
    codes: Vec<u16>,
    /// For each text its first hole; empty if there are no holes.
    first_holes: Vec<u32>,
    holes: Option<Text>,
}

impl MadeText {
    /// Reads a column of `count` texts; see [`Text::parse`].
    pub(super) fn parse(reader: &mut Reader<'_>, count: usize, data_offset: &mut u64) -> Decoded<Self> {
        let len = reader.at_most(TEMPLATES_BYTES_MAX, "templates within bounds")?;
        let stored = reader.count()?;
        let plain = zip::unzip(&mut Reader::new(reader.take(stored)?), len)?;
        let mut plain = Reader::new(&plain);
        let templates = Templates::parse(&mut plain)?;
        plain.end()?;
        let wanted = templates.holes();
        let (mut codes, mut first_holes) = (Vec::with_capacity(count), Vec::new());
        let mut hole = 0usize;
        for code in Ints::parse_and_decode(reader, count)? {
            let code = usize::try_from(code).ok().filter(|code| *code < wanted.len());
            let code = code.ok_or(Damage::expected("the number of a template"))?;
            codes.push(code as u16);
            first_holes.push(u32::try_from(hole).map_err(|_| Damage::expected("holes within bounds"))?);
            hole += wanted[code] as usize;
        }
        if reader.varint()? != hole as u64 {
            return Err(Damage::expected("a text for each hole"));
        }
        if hole == 0 {
            return Ok(Self { templates, codes, first_holes: Vec::new(), holes: None });
        }
        // Before it is read: one within another would take as many calls.
        if reader.clone().u8()? == MADE {
            return Err(Damage::expected("holes that stand by themselves"));
        }
        let holes = Some(Text::parse(reader, hole, data_offset)?);
        if holes.as_ref().is_some_and(|holes| !holes.stands_alone()) {
            return Err(Damage::expected("holes that stand by themselves"));
        }
        Ok(Self { templates, codes, first_holes, holes })
    }

    /// See [`Text::memory_bytes`]. Templates are few.
    pub(super) fn memory_bytes(&self) -> usize {
        let holes = self.holes.as_ref().map_or(0, Text::memory_bytes);
        let of_texts = self.codes.len() * size_of::<u16>() + self.first_holes.len() * size_of::<u32>();
        self.templates.memory_bytes() + of_texts + holes
    }

    /// See [`Text::check`].
    pub(super) fn check(&self, data: Data<'_>) -> Result<()> {
        self.holes.as_ref().map_or(Ok(()), |holes| holes.check(data))
    }

    /// The template of the text at this place, and its first hole.
    pub(crate) fn place(&self, at: usize) -> (usize, usize) {
        (usize::from(self.codes[at]), self.first_holes.get(at).map_or(0, |first| *first as usize))
    }

    /// The text of a hole.
    pub(crate) fn hole<'a>(
        &'a self,
        head: &[u8],
        hole: usize,
        data: Data<'_>,
        cursor: &'a mut TextCursor,
    ) -> Result<&'a str> {
        let holes = self.holes.as_ref().ok_or(Damage::expected("a text for each hole"));
        holes.map_err(data.place.damaged())?.get(head, hole, data, cursor)
    }

    /// Appends the text at this place.
    pub(crate) fn make(
        &self,
        head: &[u8],
        at: usize,
        data: Data<'_>,
        cursor: &mut TextCursor,
        values: &dyn Values,
        out: &mut String,
    ) -> Result<()> {
        let mut next = self.first_holes.get(at).map_or(0, |first| *first as usize);
        let hole = |out: &mut String| {
            let holes =
                self.holes.as_ref().ok_or(Making::Damage(Damage::expected("a text for each hole")))?;
            out.push_str(holes.get(head, next, data, cursor).map_err(Making::Segment)?);
            next += 1;
            Ok(())
        };
        self.templates.make(usize::from(self.codes[at]), values, hole, out).map_err(|error| match error {
            Making::Damage(damage) => data.place.damaged()(damage),
            Making::Segment(error) => error,
        })
    }
}

/// Why a text cannot be made.
enum Making {
    Damage(Damage),
    Segment(SegmentError),
}

impl From<Damage> for Making {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}
