//! Regular expressions over the pieces of shapes.
//!
//! Owns: [`Programs`]: for each shape in which states of the expression's automaton its texts can be before and behind
//! each piece. What texts have together is gone over once, and of a text only those of its variables are that can make a
//! difference: where all texts of a shape are in one state again, what was before is forgotten. [`Adding`] finds it out.
//! Does not own: the automaton (`sawyer_query`), the sets of its states (`sets`).
//! Invariant: the answer for a text is that of the automaton over its bytes, or that the text has to be asked.

use std::sync::Arc;

use hashbrown::HashMap;
use sawyer_query::{Automaton, State};

use super::find::{digits_of, most_of};
use super::sets::{Digits, KNOWN_STATES, Onward, StateSet, StateSets};
use super::verdict::Answer;
use super::{DECIMAL_BYTES, Piece, Shapes, Slot, UUID_GROUPS, decimal_digits};
use crate::bits::{ones, unpack_at};

/// From so many states it is kept what entries make of them, for all shapes of a group together. They are gone over one by
/// one; shapes that need more are not gone over piece by piece.
const TABLES_MAX: usize = 256;
/// Most answers that are kept of all entries from all states.
const ENTRY_STATES_MAX: usize = 1 << 20;
/// With more states than this, hexadecimal digits are gone over one by one. Places among them, and behind each of them sixteen
/// more, fit into a byte.
const HEX_STATES_MAX: usize = 128;

/// See the head of the module.
#[derive(Debug)]
pub(super) struct Programs {
    /// All groups that are asked the same share it.
    automaton: Arc<Automaton>,
    /// For each shape its spans: the first and behind the last. Without one, nothing is said of its texts.
    programs: Vec<(u32, u32)>,
    spans: Vec<Span>,
    /// A step for each part of a span, one span after another.
    steps: Vec<Step>,
    /// For some states what each entry makes of them.
    by_entry: Vec<EntryTable>,
    /// What hexadecimal digits make of states, if these are not too many.
    hex: HexTable,
}

/// What is of use as long as shapes are added to [`Programs`].
pub(super) struct Adding {
    programs: Programs,
    sets: StateSets,
    /// Where sets lead over slots that may have all entries, or none if that is not told.
    over_entries: HashMap<StateSet, Option<Onward>>,
    /// Those before hexadecimal digits.
    before_hex: Vec<StateSet>,
}

/// Parts of a shape in which its texts may have a match.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// Before it all texts without a match are in this state.
    state: State,
    /// The first of its steps, and behind the last.
    first_step: u32,
    end_step: u32,
    /// Whether the end of the text is gone over too.
    to_end: bool,
}

/// Slots with more entries, or more than half of them, are taken to have all entries there are.
const SLOT_ENTRIES_MAX: usize = 512;

/// Some entries.
#[derive(Clone, Copy)]
enum Few<'a> {
    /// These.
    Listed(&'a [u32]),
    /// The first, and behind the last.
    Range(usize, usize),
}

/// What each entry makes of a state.
#[derive(Debug)]
struct EntryTable {
    state: State,
    /// For each entry which of the different states.
    places: Vec<u16>,
    different: Vec<State>,
}

impl EntryTable {
    /// What all entries make of a state, beside what is known of another; none if that is too much.
    fn of(shapes: &Shapes, automaton: &Automaton, state: State, beside: Option<&Self>) -> Option<Self> {
        let count = shapes.entry_ends.len();
        let mut table = Self { state, places: Vec::with_capacity(count), different: Vec::new() };
        let mut known: HashMap<State, u16> = HashMap::new();
        let mut place_of = |state: State| {
            if let Some(place) = known.get(&state) {
                return Some(*place);
            }
            let place = u16::try_from(table.different.len()).ok()?;
            table.different.push(state);
            known.insert(state, place);
            Some(place)
        };
        // Most entries make of one state what they make of another.
        let mut as_beside = vec![None; beside.map_or(0, |beside| beside.different.len())];
        for entry in 0..count {
            let text = shapes.entry(entry).unwrap_or_default().as_bytes();
            let Some(beside) = beside else {
                table.places.push(place_of(automaton.run(state, text))?);
                continue;
            };
            let other = usize::from(beside.places[entry]);
            let to = automaton.run_beside(state, (beside.state, beside.different[other]), text);
            let known = if to == beside.different[other] { as_beside[other] } else { None };
            let place = match known {
                Some(place) => place,
                None => place_of(to)?,
            };
            if to == beside.different[other] {
                as_beside[other] = Some(place);
            }
            table.places.push(place);
        }
        Some(table)
    }

    /// Adds the states that some entries lead to, or those that all do. A word tells which of the different ones they are; where
    /// there are more, all of them are taken.
    fn put(&self, few: Option<Few<'_>>, out: &mut Vec<State>) {
        let add = |found: u64, place: &u16| found | 1 << (place % 64);
        let found = match few {
            Some(Few::Listed(list)) if self.is_narrow() => {
                list.iter().filter_map(|entry| self.places.get(*entry as usize)).fold(0, add)
            }
            Some(Few::Range(start, end)) if self.is_narrow() => self.places[start..end].iter().fold(0, add),
            _ => return out.extend_from_slice(&self.different),
        };
        out.extend(ones(found).map(|place| self.different[place]));
    }

    fn is_narrow(&self) -> bool {
        (2..=u64::BITS as usize).contains(&self.different.len())
    }

    fn get(&self, entry: usize) -> Option<State> {
        self.different.get(usize::from(*self.places.get(entry)?)).copied()
    }
}

/// What two hexadecimal digits at a time make of states, and the hyphens of UUIDs.
#[derive(Debug, Default)]
struct HexTable {
    states: Vec<State>,
    /// For the place of a state, and the bits of two digits, the place of the state behind them.
    to: Vec<u8>,
    /// For the place of a state that of the one behind a hyphen.
    behind_hyphen: Vec<u8>,
}

impl HexTable {
    /// For some states, and all that these lead to; without any if they are too many.
    fn of(automaton: &Automaton, from: impl Iterator<Item = State>) -> Self {
        const KINDS: &[u8; 17] = b"0123456789abcdef-";
        let mut states: Vec<State> = from.collect();
        states.sort_unstable();
        states.dedup();
        let mut behind_one: Vec<u8> = Vec::new();
        let mut at = 0;
        while let Some(state) = states.get(at).copied() {
            if states.len() > HEX_STATES_MAX {
                return Self::default();
            }
            for kind in KINDS {
                let to = automaton.run(state, &[*kind]);
                let place = states.iter().position(|known| *known == to).unwrap_or_else(|| {
                    states.push(to);
                    states.len() - 1
                });
                behind_one.push(place as u8);
            }
            at += 1;
        }
        let one = |place: usize, kind: usize| behind_one[place * KINDS.len() + kind];
        let pairs = (0..states.len()).flat_map(|place| (0..256).map(move |byte| (place, byte)));
        // The first of two digits has the lower bits.
        let to = pairs.map(|(place, byte)| one(usize::from(one(place, byte & 15)), byte >> 4)).collect();
        let behind_hyphen = (0..states.len()).map(|place| one(place, KINDS.len() - 1)).collect();
        Self { states, to, behind_hyphen }
    }

    /// The state behind a slot of digits, or a UUID, whose bits start here, if it is known of the one before.
    fn run(&self, state: State, slot: &Slot, packed: &[u8], bit: usize) -> Option<State> {
        let mut place = self.states.iter().position(|known| *known == state)?;
        match slot {
            Slot::Hex { digits } if digits.is_multiple_of(2) => {
                place = self.over(place, *digits as usize, packed, bit);
            }
            Slot::Uuid => {
                let mut bit = bit;
                for (group, digits) in UUID_GROUPS.into_iter().enumerate() {
                    if group > 0 {
                        place = usize::from(self.behind_hyphen[place]);
                    }
                    place = self.over(place, digits, packed, bit);
                    bit += digits * 4;
                }
            }
            _ => return None,
        }
        Some(self.states[place])
    }

    /// The place of the state behind so many digits, an even number.
    #[inline]
    fn over(&self, mut place: usize, digits: usize, packed: &[u8], bit: usize) -> usize {
        /// So many are taken at once.
        const DIGITS: usize = 8;
        for from in (0..digits).step_by(DIGITS) {
            let count = DIGITS.min(digits - from);
            let bytes = unpack_at(packed, count as u32 * 4, bit + from * 4).to_le_bytes();
            for byte in &bytes[..count / 2] {
                place = usize::from(self.to[place << 8 | usize::from(*byte)]);
            }
        }
        place
    }
}

/// What comes behind a piece of a text, for some states before it.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// Its number among all.
    piece: u32,
    /// Where its bits start behind those of the text.
    bit: u32,
    /// Of a literal, the state behind it.
    from: [State; KNOWN_STATES],
    to: [State; KNOWN_STATES],
}

/// Going over the pieces of a shape.
struct Way {
    /// The states that texts without a match are in.
    set: StateSet,
    /// What was found since all texts were in one state.
    span: Span,
    may_match: bool,
    may_fail: bool,
}

impl Adding {
    pub(super) fn new(automaton: &Arc<Automaton>) -> Self {
        let sets = StateSets::new(automaton);
        let (programs, spans, steps, by_entry, hex) = Default::default();
        let programs = Programs { automaton: Arc::clone(automaton), programs, spans, steps, by_entry, hex };
        Self { programs, sets, over_entries: HashMap::default(), before_hex: Vec::new() }
    }

    /// The programs, once all shapes have been added.
    pub(super) fn finish(self) -> Programs {
        let Self { mut programs, sets, before_hex, .. } = self;
        let before_hex = before_hex.iter().flat_map(|set| sets.states(*set));
        programs.hex = HexTable::of(&programs.automaton, before_hex.copied());
        programs.programs.shrink_to_fit();
        programs.spans.shrink_to_fit();
        programs.steps.shrink_to_fit();
        programs
    }

    /// Adds the next shape; says what is true of all its texts.
    pub(super) fn add(&mut self, shapes: &Shapes, shape: usize) -> Answer {
        let (first_span, first_step) = (self.programs.spans.len(), self.programs.steps.len());
        let told = self.spans_of(shapes, shape);
        if told != Some(Answer::Unknown) {
            self.programs.spans.truncate(first_span);
            self.programs.steps.truncate(first_step);
        }
        self.programs.programs.resize(shape, (0, 0));
        self.programs.programs.push((first_span as u32, self.programs.spans.len() as u32));
        told.unwrap_or(Answer::Unknown)
    }

    /// Adds the spans of a shape; says what is true of all its texts, or nothing if it cannot be told so.
    fn spans_of(&mut self, shapes: &Shapes, shape: usize) -> Option<Answer> {
        let (set, span) = (StateSets::START, self.programs.span(self.programs.automaton.start()));
        let mut way = Way { set, span, may_match: false, may_fail: false };
        self.over_all(&mut way, shapes, shape)?;
        let Way { set, mut span, mut may_match, mut may_fail } = way;
        for state in self.sets.states(set) {
            match self.programs.automaton.end(*state) {
                State::MATCHED => (may_match, span.to_end) = (true, true),
                _ => may_fail = true,
            }
        }
        if span.to_end {
            span.end_step = self.programs.steps.len() as u32;
        }
        self.programs.end_span(span);
        Some(match (may_match, may_fail) {
            (false, _) => Answer::No,
            (true, false) => Answer::Yes,
            (true, true) => Answer::Unknown,
        })
    }

    /// Goes over all pieces of a shape; nothing if it cannot be told what is behind one.
    fn over_all(&mut self, way: &mut Way, shapes: &Shapes, shape: usize) -> Option<()> {
        let mut bit = 0;
        for (piece, at) in shapes.pieces(shape).iter().zip(shapes.shapes[shape].pieces.start..) {
            // A text that fails early is in no state: it must not begin anew.
            if let ([state], false) = (self.sets.states(way.set), way.may_fail) {
                self.programs.end_span(way.span);
                way.span = self.programs.span(*state);
            }
            let onward = self.over(way.set, shapes, piece)?;
            self.programs.steps.push(Step { piece: at, bit, from: onward.from, to: onward.behind });
            if onward.may_match {
                way.may_match = true;
                way.span.end_step = self.programs.steps.len() as u32;
            }
            way.may_fail |= onward.may_fail;
            way.set = onward.to;
            bit += if let Piece::Slot(slot) = piece { slot.bits() as u32 } else { 0 };
        }
        Some(())
    }

    /// What is behind a piece.
    fn over(&mut self, set: StateSet, shapes: &Shapes, piece: &Piece) -> Option<Onward> {
        let automaton = &self.programs.automaton;
        let slot = match piece {
            Piece::Literal(range) => return self.sets.over_text(automaton, set, shapes.literal(range)),
            Piece::Slot(slot) => slot,
        };
        let Some(digits) = digits_in(slot) else { return self.over_entries(shapes, slot, set) };
        if !matches!(digits, Digits::Decimal { .. }) && !self.before_hex.contains(&set) {
            self.before_hex.push(set);
        }
        self.sets.over_digits(automaton, set, digits)
    }

    /// Where a set leads over a slot of entries; none if that is not told.
    fn over_entries(&mut self, shapes: &Shapes, slot: &Slot, set: StateSet) -> Option<Onward> {
        let few = few_of(shapes, slot);
        if let (None, Some(known)) = (few, self.over_entries.get(&set)) {
            return *known;
        }
        let mut found = Vec::new();
        let are_told = self.sets.states(set).iter().all(|state| {
            let table = self.programs.table(shapes, *state);
            table.map(|table| table.put(few, &mut found)).is_some()
        });
        let onward = if are_told { self.sets.onward(&mut found) } else { None };
        if few.is_none() {
            self.over_entries.insert(set, onward);
        }
        onward
    }
}

/// The entries that a slot may have, unless they are many.
fn few_of<'a>(shapes: &'a Shapes, slot: &Slot) -> Option<Few<'a>> {
    let entries = shapes.entry_ends.len();
    let few = match slot {
        Slot::Listed { list, .. } => Few::Listed(&shapes.lists[list.start as usize..list.end as usize]),
        Slot::Entry { least, width } => {
            let end = most_of(u64::from(*least), *width).saturating_add(1).min(entries as u64) as usize;
            Few::Range((*least as usize).min(end), end)
        }
        _ => Few::Listed(&[]),
    };
    let count = match few {
        Few::Listed(list) => list.len(),
        Few::Range(start, end) => end - start,
    };
    (count <= SLOT_ENTRIES_MAX.min(entries / 2)).then_some(few)
}

impl Programs {
    /// The automaton they share.
    pub(super) fn automaton(&self) -> &Automaton {
        &self.automaton
    }

    /// About how much memory they take. The automaton is told by shares: the first that holds it tells of all of it, so
    /// that together they tell of no less than there is.
    pub(super) fn memory_bytes(&self) -> usize {
        let of_table = |table: &EntryTable| {
            table.places.len() * size_of::<u16>() + table.different.len() * size_of::<State>()
        };
        self.automaton.memory_bytes() / Arc::strong_count(&self.automaton).saturating_sub(1).max(1)
            + self.programs.len() * size_of::<(u32, u32)>()
            + self.spans.len() * size_of::<Span>()
            + self.steps.len() * size_of::<Step>()
            + self.by_entry.iter().map(of_table).sum::<usize>()
            + self.hex.to.len()
            + self.hex.behind_hyphen.len()
    }

    /// A span that begins here, so far without a match.
    fn span(&self, state: State) -> Span {
        let first_step = self.steps.len() as u32;
        Span { state, first_step, end_step: first_step, to_end: false }
    }

    /// Adds a span as far as there can be a match.
    fn end_span(&mut self, span: Span) {
        self.steps.truncate(span.end_step as usize);
        if span.to_end || span.first_step < span.end_step {
            self.spans.push(span);
        }
    }

    /// The table of what each entry makes of a state, if there is room for one.
    fn table(&mut self, shapes: &Shapes, state: State) -> Option<&EntryTable> {
        let count = shapes.entry_ends.len();
        let known = self.by_entry.iter().position(|table| table.state == state);
        if known.is_none() {
            let tables = self.by_entry.len() + 1;
            if tables > TABLES_MAX || tables.saturating_mul(count) > ENTRY_STATES_MAX {
                return None;
            }
            self.by_entry.push(EntryTable::of(shapes, &self.automaton, state, self.by_entry.first())?);
        }
        self.by_entry.get(known.unwrap_or(self.by_entry.len() - 1))
    }

    /// What is to be said of a text of a shape whose bits start here.
    pub(super) fn answer(&self, shapes: &Shapes, shape: usize, packed: &[u8], bit: usize) -> Answer {
        let (first, end) = self.programs.get(shape).copied().unwrap_or_default();
        if first == end {
            return Answer::Unknown;
        }
        for span in &self.spans[first as usize..end as usize] {
            match self.over_span(span, shapes, packed, bit) {
                State::MATCHED => return Answer::Yes,
                State::UNKNOWN => return Answer::Unknown,
                _ => {}
            }
        }
        Answer::No
    }

    /// The state behind a span of a text.
    fn over_span(&self, span: &Span, shapes: &Shapes, packed: &[u8], start: usize) -> State {
        let mut state = span.state;
        for step in &self.steps[span.first_step as usize..span.end_step as usize] {
            state = if state == step.from[0] {
                step.to[0]
            } else if state == step.from[1] {
                step.to[1]
            } else {
                let piece = &shapes.pieces[step.piece as usize];
                self.over_piece(state, piece, shapes, packed, start + step.bit as usize)
            };
            if state.is_final() {
                break;
            }
        }
        if span.to_end { self.automaton.end(state) } else { state }
    }

    fn over_piece(&self, state: State, piece: &Piece, shapes: &Shapes, packed: &[u8], bit: usize) -> State {
        let slot = match piece {
            Piece::Literal(range) => return self.automaton.run(state, shapes.literal(range).as_bytes()),
            Piece::Slot(slot) => slot,
        };
        if let Some(entry) = shapes.entry_of(slot, packed, bit) {
            let table = self.by_entry.iter().find(|table| table.state == state);
            // An entry that is not there is found to be damaged when the text is made.
            return table.and_then(|table| table.get(entry)).unwrap_or(State::UNKNOWN);
        }
        if let Slot::Hex { .. } | Slot::Uuid = slot {
            return self.hex.run(state, slot, packed, bit).unwrap_or_else(|| {
                let mut text = String::new();
                let made = shapes.put_slot(slot, packed, bit, &mut text);
                made.map_or(State::UNKNOWN, |()| self.automaton.run(state, text.as_bytes()))
            });
        }
        let mut digits = [0; DECIMAL_BYTES];
        let start = decimal_digits(slot, packed, bit, &mut digits);
        self.automaton.run(state, &digits[start..])
    }
}

/// What a slot of digits can be; none of one of entries.
fn digits_in(slot: &Slot) -> Option<Digits> {
    Some(match slot {
        Slot::Decimal { least, width } => {
            Digits::Decimal { least: digits_of(*least), most: digits_of(most_of(*least, *width)) }
        }
        Slot::Padded { digits, least, width } => {
            let digits = u32::from(*digits);
            let most = digits_of(most_of(*least, u32::from(*width))).max(digits);
            Digits::Decimal { least: digits, most }
        }
        Slot::Hex { digits } => Digits::Hex(*digits),
        Slot::Uuid => Digits::Uuid,
        Slot::Entry { .. } | Slot::Listed { .. } => return None,
    })
}
