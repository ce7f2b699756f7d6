//! Regular expressions over the pieces of shapes.
//!
//! Owns: [`Programs`]: for each shape in which states of the expression's automaton its texts can be before and behind
//! each piece. What texts have together is gone over once, and of a text only its variables are.
//! Does not own: the automaton (`sawyer_query`).
//! Invariant: the answer for a text is that of the automaton over its bytes, or that the text has to be asked.

use std::sync::Arc;

use hashbrown::HashMap;
use sawyer_query::{Automaton, State};

use super::find::{digits_of, most_of};
use super::verdict::Answer;
use super::{DECIMAL_BYTES, HEX_DIGITS_MAX, Piece, Shapes, Slot, UUID_GROUPS, decimal_digits, hex_digits};

/// A shape whose texts can be in more states at a place is not gone over piece by piece.
const STATES_MAX: usize = 24;
/// Most answers that are kept of all entries from all states.
const ENTRY_STATES_MAX: usize = 1 << 20;
/// States from which what comes of a literal is kept.
const KNOWN_STATES: usize = 2;

/// See the head of the module.
#[derive(Debug)]
pub(super) struct Programs {
    /// All groups that are asked the same share it.
    automaton: Arc<Automaton>,
    /// For each shape the number of its program, or [`NO_PROGRAM`].
    numbers: Vec<u32>,
    programs: Vec<Program>,
    /// A step for each piece that a program goes over, one program after another.
    steps: Vec<Step>,
    /// For a state, what each entry makes of it.
    by_entry: Vec<EntryTable>,
    /// Of use only while shapes are added, as is what follows.
    entry_tables: HashMap<State, usize>,
    /// Where sets of states lead over slots of digits.
    over_digits: HashMap<(Digits, Vec<State>), Vec<State>>,
}

const NO_PROGRAM: u32 = u32::MAX;

/// What has to be gone over of a shape's texts.
#[derive(Clone, Copy, Debug)]
struct Program {
    /// The first piece that matters: before it all texts are in this state, and their bits start so far behind.
    piece: u32,
    state: State,
    bit: u32,
    /// The first of its steps, and behind the last.
    first_step: u32,
    end_step: u32,
    /// Whether the end of the text is gone over too; if not, nothing behind the last step matches.
    to_end: bool,
}
/// Slots with more entries are taken to have all entries there are.
const SLOT_ENTRIES_MAX: usize = 512;

/// What each entry makes of a state.
#[derive(Debug)]
struct EntryTable {
    states: Vec<State>,
    /// The different ones of them.
    different: Vec<State>,
}

/// What comes behind a piece, for some states before it.
#[derive(Clone, Copy, Debug)]
struct Step {
    from: [State; KNOWN_STATES],
    /// The state behind a literal, or the number of the table of a slot of entries.
    to: [Known; KNOWN_STATES],
}

#[derive(Clone, Copy, Debug)]
enum Known {
    State(State),
    Table(u32),
    Nothing,
}

/// What a slot of digits can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Digits {
    Decimal { least: u32, most: u32 },
    Hex(u32),
    Uuid,
}

impl Programs {
    pub(super) fn new(automaton: Arc<Automaton>) -> Self {
        let (numbers, programs, steps, by_entry, entry_tables, over_digits) = Default::default();
        Self { automaton, numbers, programs, steps, by_entry, entry_tables, over_digits }
    }

    /// Forgets what is of no use once all shapes have been added.
    pub(super) fn finish(&mut self) {
        (self.entry_tables, self.over_digits) = Default::default();
        self.numbers.shrink_to_fit();
        self.programs.shrink_to_fit();
        self.steps.shrink_to_fit();
    }

    /// About how much memory they take. The automaton is told by shares: the first that holds it tells of all of it, so
    /// that together they tell of no less than there is.
    pub(super) fn memory_bytes(&self) -> usize {
        self.automaton.memory_bytes() / Arc::strong_count(&self.automaton).saturating_sub(1).max(1)
            + self.numbers.len() * size_of::<u32>()
            + self.programs.len() * size_of::<Program>()
            + self.steps.len() * size_of::<Step>()
            + self
                .by_entry
                .iter()
                .map(|table| (table.states.len() + table.different.len()) * size_of::<State>())
                .sum::<usize>()
    }

    /// Adds the next shape; says what is true of all its texts.
    pub(super) fn add(&mut self, shapes: &Shapes, shape: usize) -> Answer {
        self.numbers.resize(shape, NO_PROGRAM);
        let first = self.steps.len();
        let (mut states, mut may_match, mut may_fail) = (vec![self.automaton.start()], false, false);
        let (mut bit, mut last_match) = (0, 0);
        let mut program = Program {
            piece: 0,
            state: self.automaton.start(),
            bit: 0,
            first_step: first as u32,
            end_step: 0,
            to_end: false,
        };
        for (at, piece) in (0..).zip(shapes.pieces(shape)) {
            if let ([state], false, false) = (&states[..], may_match, may_fail) {
                (program.piece, program.state, program.bit) = (at, *state, bit);
            }
            let Some(next) = self.over_piece(shapes, piece, &states) else {
                self.steps.truncate(first);
                self.numbers.push(NO_PROGRAM);
                return Answer::Unknown;
            };
            states = next;
            if states.contains(&State::MATCHED) {
                (may_match, last_match) = (true, at + 1);
            }
            may_fail |= states.contains(&State::DEAD);
            states.retain(|state| !state.is_final());
            bit += if let Piece::Slot(slot) = piece { slot.bits() as u32 } else { 0 };
        }
        for state in states {
            match self.automaton.end(state) {
                State::MATCHED => (may_match, program.to_end) = (true, true),
                _ => may_fail = true,
            }
        }
        let told = match (may_match, may_fail) {
            (false, _) => Answer::No,
            (true, false) => Answer::Yes,
            (true, true) => Answer::Unknown,
        };
        if told != Answer::Unknown {
            self.steps.truncate(first);
            self.numbers.push(NO_PROGRAM);
            return told;
        }
        if !program.to_end {
            self.steps.truncate(first + last_match as usize);
        }
        self.steps.drain(first..first + program.piece as usize);
        program.end_step = self.steps.len() as u32;
        self.numbers.push(self.programs.len() as u32);
        self.programs.push(program);
        told
    }

    /// The states that can be behind a piece; none if there are too many, or it cannot be told.
    fn over_piece(&mut self, shapes: &Shapes, piece: &Piece, states: &[State]) -> Option<Vec<State>> {
        let mut step = Step { from: [State::UNKNOWN; KNOWN_STATES], to: [Known::Nothing; KNOWN_STATES] };
        let mut next = Vec::new();
        match piece {
            Piece::Literal(range) => {
                for (at, state) in states.iter().enumerate() {
                    let to = self.automaton.run(*state, shapes.literal(range).as_bytes());
                    if at < KNOWN_STATES {
                        (step.from[at], step.to[at]) = (*state, Known::State(to));
                    }
                    next.push(to);
                }
            }
            Piece::Slot(slot @ (Slot::Entry { .. } | Slot::Listed { .. })) => {
                for (at, state) in states.iter().enumerate() {
                    let table = self.table(shapes, *state)?;
                    if at < KNOWN_STATES {
                        (step.from[at], step.to[at]) = (*state, Known::Table(table as u32));
                    }
                    put_entry_states(shapes, slot, &self.by_entry[table], &mut next);
                }
            }
            Piece::Slot(slot) => next = self.over_slot(Digits::of(slot)?, states)?,
        }
        self.steps.push(step);
        next.sort_unstable();
        next.dedup();
        (next.len() <= STATES_MAX && !next.contains(&State::UNKNOWN)).then_some(next)
    }

    /// The table of what each entry makes of a state, if there is room for one.
    fn table(&mut self, shapes: &Shapes, state: State) -> Option<usize> {
        if let Some(known) = self.entry_tables.get(&state) {
            return Some(*known);
        }
        let count = shapes.entry_ends.len();
        if (self.by_entry.len() + 1).saturating_mul(count) > ENTRY_STATES_MAX {
            return None;
        }
        let of_entry = |entry| self.automaton.run(state, shapes.entry(entry).unwrap_or_default().as_bytes());
        let states: Vec<State> = (0..count).map(of_entry).collect();
        let mut different = states.clone();
        different.sort_unstable();
        different.dedup();
        self.by_entry.push(EntryTable { states, different });
        self.entry_tables.insert(state, self.by_entry.len() - 1);
        Some(self.by_entry.len() - 1)
    }

    /// The states behind a slot of digits; none if there are too many.
    fn over_slot(&mut self, digits: Digits, states: &[State]) -> Option<Vec<State>> {
        let key = (digits, states.to_vec());
        if let Some(known) = self.over_digits.get(&key) {
            return Some(known.clone());
        }
        let (least, most) = digits.lengths();
        let mut behind = Vec::new();
        let mut open = states.to_vec();
        for length in 0..=most {
            if length >= least {
                behind.extend_from_slice(&open);
            }
            if length == most {
                break;
            }
            let mut next = Vec::new();
            for state in &open {
                next.extend(digits.at(length).iter().map(|byte| self.automaton.run(*state, &[*byte])));
            }
            next.sort_unstable();
            next.dedup();
            if next.len() > STATES_MAX {
                return None;
            }
            open = next;
        }
        behind.sort_unstable();
        behind.dedup();
        self.over_digits.insert(key, behind.clone());
        Some(behind)
    }

    /// What is to be said of a text of a shape whose bits start here.
    pub(super) fn answer(&self, shapes: &Shapes, shape: usize, packed: &[u8], bit: usize) -> Answer {
        let program = match self.numbers.get(shape) {
            Some(number) if *number != NO_PROGRAM => self.programs[*number as usize],
            _ => return Answer::Unknown,
        };
        let mut state = program.state;
        let mut bit = bit + program.bit as usize;
        let pieces = &shapes.pieces(shape)[program.piece as usize..];
        let steps = &self.steps[program.first_step as usize..program.end_step as usize];
        for (piece, step) in pieces.iter().zip(steps) {
            let known = if state == step.from[0] {
                step.to[0]
            } else if state == step.from[1] {
                step.to[1]
            } else {
                Known::Nothing
            };
            state = match (piece, known) {
                (_, Known::State(state)) => state,
                (Piece::Literal(range), _) => self.automaton.run(state, shapes.literal(range).as_bytes()),
                (Piece::Slot(slot), known) => {
                    let start = bit;
                    bit += slot.bits();
                    match (shapes.entry_of(slot, packed, start), known) {
                        // An entry that is not there is found to be damaged when the text is made.
                        (Some(entry), Known::Table(table)) => {
                            self.by_entry[table as usize].states.get(entry).copied().unwrap_or(State::UNKNOWN)
                        }
                        (Some(entry), _) => match shapes.entry(entry) {
                            Some(text) => self.automaton.run(state, text.as_bytes()),
                            None => State::UNKNOWN,
                        },
                        (None, _) => self.over_value(state, slot, packed, start),
                    }
                }
            };
            if state.is_final() {
                break;
            }
        }
        let state = if program.to_end { self.automaton.end(state) } else { state };
        match state {
            State::MATCHED => Answer::Yes,
            State::UNKNOWN => Answer::Unknown,
            _ => Answer::No,
        }
    }

    /// The state behind a number or an id.
    fn over_value(&self, state: State, slot: &Slot, packed: &[u8], bit: usize) -> State {
        let mut text = [0; HEX_DIGITS_MAX];
        match slot {
            Slot::Hex { digits } => {
                let digits = &mut text[..*digits as usize];
                hex_digits(packed, bit, digits);
                self.automaton.run(state, digits)
            }
            Slot::Uuid => {
                let (mut state, mut bit) = (state, bit);
                for (group, digits) in UUID_GROUPS.into_iter().enumerate() {
                    if group > 0 {
                        state = self.automaton.run(state, b"-");
                    }
                    let digits = &mut text[..digits];
                    hex_digits(packed, bit, digits);
                    state = self.automaton.run(state, digits);
                    bit += digits.len() * 4;
                }
                state
            }
            Slot::Decimal { .. } | Slot::Padded { .. } | Slot::Entry { .. } | Slot::Listed { .. } => {
                let mut digits = [0; DECIMAL_BYTES];
                let start = decimal_digits(slot, packed, bit, &mut digits);
                self.automaton.run(state, &digits[start..])
            }
        }
    }
}

/// Adds the states that the entries of a slot lead to.
fn put_entry_states(shapes: &Shapes, slot: &Slot, table: &EntryTable, out: &mut Vec<State>) {
    let entries = table.states.len();
    let count = match slot {
        Slot::Listed { list, .. } => (list.end - list.start) as usize,
        Slot::Entry { least, width } => {
            most_of(0, *width).min((entries as u64).saturating_sub(u64::from(*least))) as usize
        }
        _ => 0,
    };
    if count > SLOT_ENTRIES_MAX {
        return out.extend_from_slice(&table.different);
    }
    let mut put = |entry: u32| {
        if let Some(state) = table.states.get(entry as usize)
            && !out.contains(state)
        {
            out.push(*state);
        }
    };
    match slot {
        Slot::Listed { list, .. } => {
            shapes.lists[list.start as usize..list.end as usize].iter().copied().for_each(&mut put);
        }
        Slot::Entry { least, width } => {
            let most = most_of(u64::from(*least), *width).min(entries as u64);
            (*least..=most as u32).for_each(&mut put);
        }
        _ => {}
    }
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
            Slot::Uuid => Self::Uuid,
            Slot::Entry { .. } | Slot::Listed { .. } => return None,
        })
    }

    /// The fewest and the most bytes.
    fn lengths(self) -> (u32, u32) {
        match self {
            Self::Decimal { least, most } => (least, most),
            Self::Hex(digits) => (digits, digits),
            Self::Uuid => (36, 36),
        }
    }

    /// What can stand at this place.
    fn at(self, place: u32) -> &'static [u8] {
        match self {
            Self::Decimal { .. } => b"0123456789",
            Self::Uuid if matches!(place, 8 | 13 | 18 | 23) => b"-",
            Self::Hex(_) | Self::Uuid => b"0123456789abcdef",
        }
    }
}
