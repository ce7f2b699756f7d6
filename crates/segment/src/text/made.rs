//! Texts that are made of the other fields of their records, as a column keeps them.
//!
//! Owns: [`MadeText`]: the templates, the template of each text, where its holes are; [`InJson`], templates whose literals are
//! escaped once.
//! Does not own: making (`made`), finding the record's other fields (`segment`).
//! Invariant: every text has a template that is there, and there are as many holes as all templates together want.

use std::sync::OnceLock;

use sawyer_codec::json_out;

use super::{MADE, Text, TextCursor};
use crate::bytes::Reader;
use crate::error::{Damage, Decoded, Result, SegmentError};
use crate::ints::Ints;
use crate::made::{Form, Piece, TEMPLATES_BYTES_MAX, Templates, Values};
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
    /// For each template how it stands in JSON, once that was asked for.
    in_json: Box<[OnceLock<Box<InJson>>]>,
}

/// A template of which texts within a string of JSON are made.
#[derive(Debug)]
pub(crate) struct InJson {
    /// What stands between the values, escaped.
    pub(crate) literals: Vec<u8>,
    pub(crate) parts: Box<[JsonPart]>,
}

/// A piece of a template.
#[derive(Clone, Copy, Debug)]
pub(crate) enum JsonPart {
    /// Where it stands, escaped, and how long it is as it is.
    Literal {
        start: u32,
        end: u32,
        len: u32,
    },
    Hole,
    Time(Form),
    Field(u32, Form),
}

impl InJson {
    fn of(pieces: &[Piece]) -> Self {
        let mut literals = Vec::new();
        let part = |piece: &Piece| match piece {
            Piece::Literal(text) => {
                let start = literals.len() as u32;
                json_out::write_inside(text, &mut literals);
                JsonPart::Literal { start, end: literals.len() as u32, len: text.len() as u32 }
            }
            Piece::Hole => JsonPart::Hole,
            Piece::Time(form) => JsonPart::Time(*form),
            Piece::Field(name, form) => JsonPart::Field(*name, *form),
        };
        let parts = pieces.iter().map(part).collect();
        literals.shrink_to_fit();
        Self { literals, parts }
    }
}

const _: () =
    assert!(TEMPLATES_BYTES_MAX <= u32::MAX as usize / 8, "escaped they take at most six times as much");

impl MadeText {
    /// Reads a column of `count` texts; see [`Text::parse`].
    pub(super) fn parse(reader: &mut Reader<'_>, count: usize, data_offset: &mut u64) -> Decoded<Self> {
        let len = reader.at_most(TEMPLATES_BYTES_MAX, "templates within bounds")?;
        let stored = reader.count()?;
        let plain = zip::unzip(&mut Reader::new(reader.take(stored)?), len)?;
        let mut plain = Reader::new(&plain);
        let templates = Templates::parse(&mut plain)?;
        plain.end()?;
        let in_json = templates.templates.iter().map(|_| OnceLock::new()).collect();
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
            return Ok(Self { templates, codes, first_holes: Vec::new(), holes: None, in_json });
        }
        // Before it is read: one within another would take as many calls.
        if reader.clone().u8()? == MADE {
            return Err(Damage::expected("holes that stand by themselves"));
        }
        let holes = Some(Text::parse(reader, hole, data_offset)?);
        if holes.as_ref().is_some_and(|holes| !holes.stands_alone()) {
            return Err(Damage::expected("holes that stand by themselves"));
        }
        Ok(Self { templates, codes, first_holes, holes, in_json })
    }

    /// See [`Text::memory_bytes`]. Templates are few, and kept as they stand in JSON too.
    pub(super) fn memory_bytes(&self) -> usize {
        let holes = self.holes.as_ref().map_or(0, Text::memory_bytes);
        let of_texts = self.codes.len() * size_of::<u16>() + self.first_holes.len() * size_of::<u32>();
        let in_json = self.in_json.len() * (size_of::<OnceLock<Box<InJson>>>() + size_of::<InJson>());
        2 * self.templates.memory_bytes() + in_json + of_texts + holes
    }

    /// See [`Text::check`].
    pub(super) fn check(&self, data: Data<'_>) -> Result<()> {
        self.holes.as_ref().map_or(Ok(()), |holes| holes.check(data))
    }

    /// The template of the text at this place, and its first hole.
    pub(crate) fn place(&self, at: usize) -> (usize, usize) {
        (usize::from(self.codes[at]), self.first_holes.get(at).map_or(0, |first| *first as usize))
    }

    /// How a template stands in JSON.
    pub(crate) fn in_json(&self, template: usize) -> &InJson {
        self.in_json[template].get_or_init(|| Box::new(InJson::of(&self.templates.templates[template])))
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
