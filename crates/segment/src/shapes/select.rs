//! Which texts of a block satisfy a test, asked shape by shape.
//!
//! Owns: going over the shapes of a block's texts, 64 at a time, and asking those of which the shape does not tell.
//! Does not own: what is known of each shape (`verdict`), what is asked (`sawyer_query`).
//! Invariant: the answer is that of asking every text.

use std::sync::{Arc, OnceLock, PoisonError};

use sawyer_query::{FieldKind, FieldTest, Letters};

use super::index::Index;
use super::verdict::{Answer, Asking};
use super::{Home, Portion, Shapes};
use crate::bits::{Rows, ones};
use crate::cache::{Cache, Kept, Slot};
use crate::error::{Damage, Decoded, Result};
use crate::source::Data;
use crate::text::{Cell, TextTest};

/// So many tests that were asked lately a group remembers, as long as the cache keeps what was found out for them.
const REMEMBERED_MAX: usize = 16;

/// Tests with more bytes of letters are not remembered: each group would keep them, and no bound counts them.
const REMEMBERED_BYTES_MAX: usize = 4 << 10;

/// With fewer wanted texts of 64 only these are looked at.
const WORD_PART: u32 = 16;

/// If at least one text in so many is wanted all are asked, and the answer is kept.
const ANSWER_PART: usize = 4;

/// What was found out for a test.
#[derive(Debug)]
pub(super) struct Asked {
    test: FieldTest,
    kind: FieldKind,
    slot: Arc<Slot<Asking>>,
}

/// Puts the rows in whose texts satisfy the test, of the `count` texts of a column.
pub(crate) fn select(
    data: Data<'_>,
    count: usize,
    cells: &[Cell],
    test: &TextTest<'_>,
    out: &mut Rows,
) -> Result<()> {
    let mut wanted = Rows::none(count);
    cells.iter().for_each(|cell| wanted.insert(cell.place as usize));
    let found = select_all(data, &wanted, test)?;
    for cell in cells.iter().filter(|cell| found.contains(cell.place as usize)) {
        out.insert(cell.row as usize);
    }
    Ok(())
}

/// Of the texts of a column those of `wanted` that satisfy the test.
pub(crate) fn select_all(data: Data<'_>, wanted: &Rows, test: &TextTest<'_>) -> Result<Rows> {
    let damaged = || data.place.damaged()(Damage::expected("texts of a group of blocks"));
    let Home { segment, block, name, .. } = data.home.ok_or_else(damaged)?;
    let (group, place) = segment.footer.portion_place(name, block).ok_or_else(damaged)?;
    let asking = segment.shapes(group)?.asking(test, segment.cache());
    let answer = asking.answers.get(place);
    if let Some(known) = answer.and_then(OnceLock::get).filter(|known| known.len() == wanted.len()) {
        let mut found = known.clone();
        found.intersect(wanted);
        return Ok(found);
    }
    let portion = Portion::of(data, wanted.len())?;
    // To look at some texts is less than to make an index of all, or to find what is kept.
    let is_worth_it = wanted.count() * ANSWER_PART >= wanted.len();
    let index = if asking.asks_by_index() { segment.index(data, &portion, is_worth_it)? } else { None };
    let all = match (index, answer) {
        (Some(index), _) => ask_by_index(&portion, &index, &asking, data, test)?,
        (None, Some(_)) if is_worth_it => ask(&portion, &asking, data, &Rows::all(wanted.len()), test)?,
        (None, _) => return ask(&portion, &asking, data, wanted, test),
    };
    let mut found = wanted.clone();
    found.intersect(&all);
    if let Some(answer) = answer {
        // If another thread was quicker, it found the same.
        let _ = answer.set(all);
    }
    Ok(found)
}

/// Asks the texts of a block that the index finds.
fn ask_by_index(
    portion: &Portion,
    index: &Index,
    asking: &Asking,
    data: Data<'_>,
    test: &TextTest<'_>,
) -> Result<Rows> {
    let shapes: &Shapes = &portion.shapes;
    let (mut found, asked) = asking.ask_index(portion, index);
    let mut text = String::new();
    for row in asked.iter() {
        let bit = portion.marks[row / 64].bit as usize + usize::from(index.behind[row]);
        let holds = match asking.answer_found(shapes, portion.ids[row], &portion.packed, bit) {
            Answer::Yes => true,
            Answer::No => false,
            Answer::Unknown => {
                text.clear();
                let made = shapes.make(usize::from(portion.ids[row]) - 1, &portion.packed, bit, &mut text);
                made.map_err(data.place.damaged())?;
                (test.matches)(&text)
            }
        };
        if holds {
            found.insert(row);
        }
    }
    if let Some(texts) = &portion.raw {
        let rows = (0..).zip(index.raw());
        let cells: Vec<Cell> = rows.map(|(place, row)| Cell { place, row: u32::from(*row) }).collect();
        texts.select(&cells, data, test, asking, &mut found)?;
    }
    Ok(found)
}

/// Asks those texts of a block that are wanted.
fn ask(
    portion: &Portion,
    asking: &Asking,
    data: Data<'_>,
    wanted: &Rows,
    test: &TextTest<'_>,
) -> Result<Rows> {
    let mut words = Vec::with_capacity(wanted.words().len());
    let mut rest = Rest { portion, asking, test, raw: Vec::new(), text: String::new() };
    for (at, (ids, wanted)) in portion.ids.chunks(64).zip(wanted.words()).enumerate() {
        let (mut all, mut asked) = (0u64, 0u64);
        let mut take = |bit: usize, id: u16| {
            let class = u64::from(asking.classes[usize::from(id)]);
            all |= (class & 1) << bit;
            asked |= (class >> 1 & 1) << bit;
        };
        if wanted.count_ones() < WORD_PART {
            ones(*wanted).for_each(|bit| take(bit, ids[bit]));
        } else {
            ids.iter().enumerate().for_each(|(bit, id)| take(bit, *id));
        }
        let (mut found, asked) = (all & wanted, asked & wanted);
        if asked != 0 {
            found |= rest.ask(at, ids, asked).map_err(data.place.damaged())?;
        }
        words.push(found);
    }
    let mut found = Rows::from_words(words, wanted.len());
    let cells = rest.raw;
    match &portion.raw {
        Some(raw) if !cells.is_empty() => {
            raw.select(&cells, data, test, asking, &mut found)?;
        }
        _ => {}
    }
    Ok(found)
}

impl Shapes {
    /// What is known of each shape for a test, found out now or before.
    pub(super) fn asking(&self, test: &TextTest<'_>, cache: &Cache) -> Arc<Kept<Asking>> {
        let mut bytes = 0;
        test.test.for_each_letters(&mut |letters| {
            let (Letters::Exact(text) | Letters::AnyCase(text)) = letters;
            bytes += text.len();
        });
        let slot = if bytes > REMEMBERED_BYTES_MAX {
            Arc::default()
        } else {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let at = asked.iter().position(|known| known.kind == test.kind && known.test == *test.test);
            let known = at.map(|at| asked.remove(at));
            let known = known.unwrap_or_else(|| Asked {
                test: test.test.to_remember(),
                kind: test.kind,
                slot: Arc::default(),
            });
            let slot = Arc::clone(&known.slot);
            if asked.len() >= REMEMBERED_MAX {
                asked.remove(0);
            }
            asked.push(known);
            slot
        };
        let found_out = || Ok::<_, std::convert::Infallible>(Asking::of(self, test));
        match cache.get_or_read(&slot, Asking::memory_bytes, found_out) {
            Ok(asking) => asking,
        }
    }
}

/// The texts of which their shapes do not tell.
struct Rest<'a> {
    portion: &'a Portion,
    asking: &'a Asking,
    test: &'a TextTest<'a>,
    /// Those without a shape.
    raw: Vec<Cell>,
    text: String,
}

impl Rest<'_> {
    /// Which of the 64 texts with these shapes satisfy the test, of those that are asked.
    fn ask(&mut self, word: usize, ids: &[u16], asked: u64) -> Decoded<u64> {
        let Self { portion, asking, test, raw, text } = self;
        let shapes: &Shapes = &portion.shapes;
        let mut found = 0;
        let mut place = portion.marks[word];
        for (at, id) in ids.iter().enumerate() {
            let left = asked >> at;
            if left == 0 {
                break;
            }
            if left & 1 == 1 {
                let row = (word * 64 + at) as u32;
                if *id == 0 {
                    raw.push(Cell { place: place.raw, row });
                } else {
                    let bit = place.bit as usize;
                    let answer = asking.answer(shapes, *id, &portion.packed, bit);
                    let holds = answer == Answer::Yes
                        || answer == Answer::Unknown && {
                            text.clear();
                            shapes.make(usize::from(*id) - 1, &portion.packed, bit, text)?;
                            (test.matches)(text)
                        };
                    found |= u64::from(holds) << at;
                }
            }
            place = place.behind(*id, shapes);
        }
        Ok(found)
    }
}
