//! Regular expressions over the pieces of shapes.
//!
//! Owns: [`Programs`]: for each shape in which states of the expression's automaton its texts can be before and behind
//! each piece. What texts have together is gone over once, and of a text only those of its variables are that can make a
//! difference: where all texts of a shape are in one state again, what was before is forgotten.
//! Does not own: the automaton (`sawyer_query`).
//! Invariant: the answer for a text is that of the automaton over its bytes, or that the text has to be asked.

use std::sync::Arc;

use hashbrown::HashMap;
use sawyer_query::{Automaton, State};

use super::find::{digits_of, most_of};
use super::verdict::Answer;
use super::{DECIMAL_BYTES, HEX_DIGITS_MAX, Piece, Shapes, Slot, UUID_GROUPS, decimal_digits, hex_digits};
use crate::bits::{ones, unpack_at};

/// A shape whose texts can be in more states at a place is not gone over piece by piece.
const STATES_MAX: usize = 24;
/// From so many states it is kept what entries make of them, for all shapes of a group together. They are gone over one by
/// one; shapes that need more are not gone over piece by piece.
const TABLES_MAX: usize = 256;
/// Most answers that are kept of all entries from all states.
const ENTRY_STATES_MAX: usize = 1 << 20;
/// With more states than this, hexadecimal digits are gone over one by one. Places among them, and behind each of them sixteen
/// more, fit into a byte.
const HEX_STATES_MAX: usize = 128;
/// States from which what comes of a literal is kept with it.
const KNOWN_STATES: usize = 2;

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
    /// Where states lead over slots of digits; nowhere if that is to too many. Of use only while shapes are added.
    over_digits: HashMap<(Digits, State), Vec<State>>,
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

    fn get(&self, entry: usize) -> Option<State> {
        self.different.get(usize::from(*self.places.get(entry)?)).copied()
    }
}

/// What two hexadecimal digits at a time make of states.
#[derive(Debug, Default)]
struct HexTable {
    states: Vec<State>,
    /// For the place of a state, and the bits of two digits, the place of the state behind them.
    to: Vec<u8>,
}

impl HexTable {
    /// For some states, and all that these lead to; without any if they are too many.
    fn of(automaton: &Automaton, from: impl Iterator<Item = State>) -> Self {
        let mut states: Vec<State> = from.collect();
        states.sort_unstable();
        states.dedup();
        let mut behind_one: Vec<u8> = Vec::new();
        let mut at = 0;
        while let Some(state) = states.get(at).copied() {
            if states.len() > HEX_STATES_MAX {
                return Self::default();
            }
            for digit in b"0123456789abcdef" {
                let to = automaton.run(state, &[*digit]);
                let place = states.iter().position(|known| *known == to).unwrap_or_else(|| {
                    states.push(to);
                    states.len() - 1
                });
                behind_one.push(place as u8);
            }
            at += 1;
        }
        let one = |place: usize, digit: usize| behind_one[place * 16 + digit];
        let pairs = (0..states.len()).flat_map(|place| (0..256).map(move |byte| (place, byte)));
        // The first of two digits has the lower bits.
        let to = pairs.map(|(place, byte)| one(usize::from(one(place, byte & 15)), byte >> 4)).collect();
        Self { states, to }
    }

    /// The state behind so many digits whose bits start here, if it is known of the one before.
    fn run(&self, state: State, digits: usize, packed: &[u8], bit: usize) -> Option<State> {
        /// So many are taken at once.
        const DIGITS: usize = 8;
        let mut place = self.states.iter().position(|known| *known == state)?;
        if !digits.is_multiple_of(2) {
            return None;
        }
        for from in (0..digits).step_by(DIGITS) {
            let count = DIGITS.min(digits - from);
            let bytes = unpack_at(packed, count as u32 * 4, bit + from * 4).to_le_bytes();
            for byte in &bytes[..count / 2] {
                place = usize::from(self.to[place << 8 | usize::from(*byte)]);
            }
        }
        Some(self.states[place])
    }
}

/// What comes behind a part of a text, for some states before it.
#[derive(Clone, Copy, Debug)]
struct Step {
    part: Part,
    /// Of a literal, the state behind it.
    from: [State; KNOWN_STATES],
    to: [State; KNOWN_STATES],
}

/// A part of a shape's texts, with where its bits start behind those of the text.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// The piece of this number of all.
    Piece { piece: u32, bit: u32 },
    /// So many hexadecimal digits.
    Hex { digits: u32, bit: u32 },
    /// What stands in a UUID between them.
    Hyphen,
}

/// What texts of a shape can have in a part.
enum PartValues<'a> {
    /// Only this.
    One(&'a str),
    Digits(Digits),
    Entries(&'a Slot),
}

/// What a slot of digits, or a part of one, can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Digits {
    Decimal { least: u32, most: u32 },
    Hex(u32),
}

impl Programs {
    pub(super) fn new(automaton: Arc<Automaton>) -> Self {
        let (programs, spans, steps, by_entry, hex, over_digits) = Default::default();
        Self { automaton, programs, spans, steps, by_entry, hex, over_digits }
    }

    /// The automaton they share.
    pub(super) fn automaton(&self) -> &Automaton {
        &self.automaton
    }

    /// Forgets what is of no use once all shapes have been added.
    pub(super) fn finish(&mut self) {
        let before_hex = self.over_digits.keys().filter(|(digits, _)| matches!(digits, Digits::Hex(_)));
        self.hex = HexTable::of(&self.automaton, before_hex.map(|(_, state)| *state));
        self.over_digits = HashMap::default();
        self.programs.shrink_to_fit();
        self.spans.shrink_to_fit();
        self.steps.shrink_to_fit();
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
    }

    /// Adds the next shape; says what is true of all its texts.
    pub(super) fn add(&mut self, shapes: &Shapes, shape: usize) -> Answer {
        let (first_span, first_step) = (self.spans.len(), self.steps.len());
        let told = self.spans_of(shapes, shape);
        if told != Answer::Unknown {
            self.spans.truncate(first_span);
            self.steps.truncate(first_step);
        }
        self.programs.resize(shape, (0, 0));
        self.programs.push((first_span as u32, self.spans.len() as u32));
        told
    }

    /// Adds the spans of a shape, none if it cannot be told so; says what is true of all its texts.
    fn spans_of(&mut self, shapes: &Shapes, shape: usize) -> Answer {
        let (first_span, first_step) = (self.spans.len(), self.steps.len());
        let (mut states, mut may_match, mut may_fail) = (vec![self.automaton.start()], false, false);
        let mut next = Vec::new();
        let mut span = self.span(self.automaton.start());
        let mut over = |programs: &mut Self, part: Part| {
            // A text that fails early is in no state: it must not begin anew.
            if let ([state], false) = (&states[..], may_fail) {
                programs.end_span(span);
                span = programs.span(*state);
            }
            if let Some(to) = programs.over_literal(shapes, part, &states) {
                states[0] = to;
                return true;
            }
            if !programs.over_part(shapes, part, &states, &mut next) {
                return false;
            }
            std::mem::swap(&mut states, &mut next);
            if states.contains(&State::MATCHED) {
                may_match = true;
                span.end_step = programs.steps.len() as u32;
            }
            may_fail |= states.contains(&State::DEAD);
            states.retain(|state| !state.is_final());
            true
        };
        let mut bit = 0;
        let first_piece = shapes.shapes[shape].pieces.start;
        for (piece, at) in shapes.pieces(shape).iter().zip(first_piece..) {
            let is_told = match piece {
                Piece::Slot(Slot::Uuid) => (0..).zip(UUID_GROUPS).all(|(group, digits)| {
                    let hex = Part::Hex { digits: digits as u32, bit };
                    bit += digits as u32 * 4;
                    (group == 0 || over(self, Part::Hyphen)) && over(self, hex)
                }),
                Piece::Slot(slot) => {
                    let part = Part::Piece { piece: at, bit };
                    bit += slot.bits() as u32;
                    over(self, part)
                }
                Piece::Literal(_) => over(self, Part::Piece { piece: at, bit }),
            };
            if !is_told {
                self.steps.truncate(first_step);
                self.spans.truncate(first_span);
                return Answer::Unknown;
            }
        }
        for state in states {
            match self.automaton.end(state) {
                State::MATCHED => (may_match, span.to_end) = (true, true),
                _ => may_fail = true,
            }
        }
        if span.to_end {
            span.end_step = self.steps.len() as u32;
        }
        self.end_span(span);
        match (may_match, may_fail) {
            (false, _) => Answer::No,
            (true, false) => Answer::Yes,
            (true, true) => Answer::Unknown,
        }
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

    /// The state behind a literal, if all texts are in one state before it and go on behind it. It adds the step.
    fn over_literal(&mut self, shapes: &Shapes, part: Part, states: &[State]) -> Option<State> {
        let (Part::Piece { piece, .. }, [state]) = (part, states) else { return None };
        let Piece::Literal(range) = &shapes.pieces[piece as usize] else { return None };
        let to = self.automaton.run(*state, shapes.literal(range).as_bytes());
        if to.is_final() {
            return None;
        }
        self.steps.push(Step { part, from: [*state, State::UNKNOWN], to: [to, State::UNKNOWN] });
        Some(to)
    }

    /// Puts in the states that can be behind a part; says whether these are not too many, and it can be told.
    fn over_part(&mut self, shapes: &Shapes, part: Part, states: &[State], next: &mut Vec<State>) -> bool {
        let unknown = [State::UNKNOWN; KNOWN_STATES];
        let mut step = Step { part, from: unknown, to: unknown };
        next.clear();
        let values = match part {
            Part::Piece { piece, .. } => match &shapes.pieces[piece as usize] {
                Piece::Literal(range) => PartValues::One(shapes.literal(range)),
                Piece::Slot(slot) => Digits::of(slot).map_or(PartValues::Entries(slot), PartValues::Digits),
            },
            Part::Hex { digits, .. } => PartValues::Digits(Digits::Hex(digits)),
            Part::Hyphen => PartValues::One("-"),
        };
        match values {
            PartValues::One(text) => self.over_text(text.as_bytes(), states, &mut step, next),
            PartValues::Digits(digits) => {
                for state in states {
                    let behind = self.over_digits.entry((digits, *state));
                    let behind = behind.or_insert_with(|| digits.over(&self.automaton, *state));
                    if behind.is_empty() {
                        return false;
                    }
                    next.extend_from_slice(behind);
                }
            }
            PartValues::Entries(slot) => {
                for state in states {
                    let Some(table) = self.table(shapes, *state) else { return false };
                    put_entry_states(shapes, slot, table, next);
                }
            }
        }
        self.steps.push(step);
        if next.len() > 1 {
            next.sort_unstable();
            next.dedup();
        }
        next.len() <= STATES_MAX && !next.contains(&State::UNKNOWN)
    }

    /// The same for what all texts of a shape have.
    fn over_text(&self, text: &[u8], states: &[State], step: &mut Step, next: &mut Vec<State>) {
        let mut first = None;
        for (at, state) in states.iter().enumerate() {
            let to = match first {
                Some(first) => self.automaton.run_beside(*state, first, text),
                None => self.automaton.run(*state, text),
            };
            first.get_or_insert((*state, to));
            if at < KNOWN_STATES {
                (step.from[at], step.to[at]) = (*state, to);
            }
            next.push(to);
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
            state = match step.part {
                _ if state == step.from[0] => step.to[0],
                _ if state == step.from[1] => step.to[1],
                Part::Hyphen => self.automaton.run(state, b"-"),
                Part::Hex { digits, bit } => {
                    self.over_hex(state, digits as usize, packed, start + bit as usize)
                }
                Part::Piece { piece, bit } => {
                    let piece = &shapes.pieces[piece as usize];
                    self.over_piece(state, piece, shapes, packed, start + bit as usize)
                }
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
        if let Slot::Hex { digits } = slot {
            return self.over_hex(state, *digits as usize, packed, bit);
        }
        let mut digits = [0; DECIMAL_BYTES];
        let start = decimal_digits(slot, packed, bit, &mut digits);
        self.automaton.run(state, &digits[start..])
    }

    fn over_hex(&self, state: State, digits: usize, packed: &[u8], bit: usize) -> State {
        if let Some(state) = self.hex.run(state, digits, packed, bit) {
            return state;
        }
        let mut text = [0; HEX_DIGITS_MAX];
        let digits = &mut text[..digits];
        hex_digits(packed, bit, digits);
        self.automaton.run(state, digits)
    }
}

/// Adds the states that the entries of a slot lead to.
fn put_entry_states(shapes: &Shapes, slot: &Slot, table: &EntryTable, out: &mut Vec<State>) {
    let entries = table.places.len();
    let count = match slot {
        Slot::Listed { list, .. } => (list.end - list.start) as usize,
        Slot::Entry { least, width } => {
            most_of(0, *width).min((entries as u64).saturating_sub(u64::from(*least))) as usize
        }
        _ => 0,
    };
    // A word tells which of the different ones they are; where there are more, all of them are taken.
    let is_few = table.different.len() <= u64::BITS as usize && count <= SLOT_ENTRIES_MAX.min(entries / 2);
    if !is_few || table.different.len() == 1 {
        return out.extend_from_slice(&table.different);
    }
    let add = |found: u64, place: &u16| found | 1 << (place % 64);
    let found = match slot {
        Slot::Listed { list, .. } => {
            let list = &shapes.lists[list.start as usize..list.end as usize];
            list.iter().filter_map(|entry| table.places.get(*entry as usize)).fold(0, add)
        }
        Slot::Entry { least, width } => {
            let end = most_of(u64::from(*least), *width).saturating_add(1).min(entries as u64) as usize;
            table.places.get(*least as usize..end).unwrap_or_default().iter().fold(0, add)
        }
        _ => 0,
    };
    out.extend(ones(found).map(|place| table.different[place]));
}

impl Digits {
    fn of(slot: &Slot) -> Option<Self> {
        Some(match slot {
            Slot::Decimal { least, width } => {
                Self::Decimal { least: digits_of(*least), most: digits_of(most_of(*least, *width)) }
            }
            Slot::Padded { digits, least, width } => {
                let digits = u32::from(*digits);
                let most = digits_of(most_of(*least, u32::from(*width))).max(digits);
                Self::Decimal { least: digits, most }
            }
            Slot::Hex { digits } => Self::Hex(*digits),
            Slot::Uuid | Slot::Entry { .. } | Slot::Listed { .. } => return None,
        })
    }

    /// The states behind such a slot; none if there are too many.
    fn over(self, automaton: &Automaton, state: State) -> Vec<State> {
        let (least, most) = self.lengths();
        let mut behind = Vec::new();
        let mut open = vec![state];
        for length in 0..=most {
            if length >= least {
                behind.extend_from_slice(&open);
            }
            if length == most {
                break;
            }
            let mut next = Vec::new();
            for state in &open {
                for byte in self.bytes() {
                    let state = automaton.run(*state, &[*byte]);
                    // Most digits make the same of a state.
                    if next.last() != Some(&state) {
                        next.push(state);
                    }
                }
            }
            next.sort_unstable();
            next.dedup();
            if next.len() > STATES_MAX {
                return Vec::new();
            }
            if next == open {
                // More of them change nothing.
                behind.extend(next);
                break;
            }
            open = next;
        }
        behind.sort_unstable();
        behind.dedup();
        behind
    }

    /// The fewest and the most bytes.
    fn lengths(self) -> (u32, u32) {
        match self {
            Self::Decimal { least, most } => (least, most),
            Self::Hex(digits) => (digits, digits),
        }
    }

    /// What can stand at each place.
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::Decimal { .. } => b"0123456789",
            Self::Hex(_) => b"0123456789abcdef",
        }
    }
}
