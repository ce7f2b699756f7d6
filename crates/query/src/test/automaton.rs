//! A regular expression as a table of states, for engines that hold texts in pieces.
//!
//! Owns: [`Automaton`]: going on from a state over some bytes, so that what many texts have together is gone over once.
//! Does not own: what an expression means; that is `regex`, and an expression that cannot be told so has no automaton.
//! Invariant: over the bytes of a text, from the start to the end, it says what [`regex::Regex::is_match`] says, or that
//! it does not know.

use regex_automata::Anchored;
use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;

/// Most memory of the table, in bytes; a larger expression has none.
const TABLE_BYTES_MAX: usize = 1 << 20;

/// A state of an [`Automaton`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct State(u32);

impl State {
    /// What was gone over has a match.
    pub const MATCHED: Self = Self(u32::MAX);
    /// No text that begins so has one.
    pub const DEAD: Self = Self(u32::MAX - 1);
    /// It cannot be told so; the text has to be asked.
    pub const UNKNOWN: Self = Self(u32::MAX - 2);

    /// Whether nothing that follows changes it.
    #[must_use]
    pub fn is_final(self) -> bool {
        self >= Self::UNKNOWN
    }
}

/// See the head of the module.
#[derive(Clone, Debug)]
pub struct Automaton {
    table: dense::DFA<Vec<u32>>,
    start: State,
}

impl Automaton {
    /// The automaton of a pattern, if it has one of moderate size.
    pub(super) fn of(pattern: &str) -> Option<Self> {
        let hir = regex_syntax::parse(pattern).ok()?;
        let properties = hir.properties();
        // The table finds empty matches between the bytes of one letter, which `regex` leaves out.
        if properties.minimum_len() == Some(0) && properties.look_set().contains_word_ascii() {
            return None;
        }
        let table = dense::Builder::new()
            .thompson(thompson::Config::new().nfa_size_limit(Some(TABLE_BYTES_MAX)))
            .configure(
                dense::Config::new()
                    .start_kind(StartKind::Unanchored)
                    .unicode_word_boundary(true)
                    .accelerate(false)
                    .dfa_size_limit(Some(TABLE_BYTES_MAX))
                    .determinize_size_limit(Some(2 * TABLE_BYTES_MAX)),
            )
            .build(pattern)
            .ok()?;
        let start = table.start_state(&start::Config::new().anchored(Anchored::No)).ok()?;
        let start = State(start.as_u32());
        (start < State::UNKNOWN).then_some(Self { table, start })
    }

    /// How much memory it takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.table.memory_usage()
    }

    /// The state at the start of a text.
    #[must_use]
    pub fn start(&self) -> State {
        self.start
    }

    /// The state behind some bytes.
    #[must_use]
    #[inline]
    pub fn run(&self, state: State, bytes: &[u8]) -> State {
        if state.is_final() {
            return state;
        }
        let mut at = StateID::new_unchecked(state.0 as usize);
        for byte in bytes {
            at = self.table.next_state(at, *byte);
            if self.table.is_special_state(at) {
                if self.table.is_match_state(at) {
                    return State::MATCHED;
                }
                if self.table.is_dead_state(at) {
                    return State::DEAD;
                }
                if self.table.is_quit_state(at) {
                    return State::UNKNOWN;
                }
            }
        }
        State(at.as_u32())
    }

    /// The state behind some bytes, where it is known that they lead from one state to another: most states forget soon what
    /// came before, and then nothing more has to be gone over.
    #[must_use]
    pub fn run_beside(&self, state: State, (from, to): (State, State), bytes: &[u8]) -> State {
        if state.is_final() || from.is_final() {
            return self.run(state, bytes);
        }
        let (mut at, mut beside) =
            (StateID::new_unchecked(state.0 as usize), StateID::new_unchecked(from.0 as usize));
        for (place, byte) in bytes.iter().enumerate() {
            let next = self.table.next_state(at, *byte);
            beside = self.table.next_state(beside, *byte);
            if next == beside {
                return to;
            }
            if self.table.is_special_state(next) || self.table.is_special_state(beside) {
                // What follows of the other one is not what it was said to lead to.
                return self.run(State(at.as_u32()), &bytes[place..]);
            }
            at = next;
        }
        State(at.as_u32())
    }

    /// The states behind some texts, in their order, each of which begins in the same state. Some are gone over at a time:
    /// each byte waits for the one before it, and not for those of other texts.
    #[must_use]
    pub fn run_each(&self, from: State, texts: &[&[u8]]) -> Vec<State> {
        const LANES: usize = 4;
        let mut behind = vec![from; texts.len()];
        if from.is_final() {
            return behind;
        }
        let start = StateID::new_unchecked(from.0 as usize);
        let some = |(_, text): &(usize, &&[u8])| !text.is_empty();
        let mut waiting = texts.iter().enumerate().filter(some).map(|(place, text)| (place, *text, start));
        let mut lanes: [(usize, &[u8], StateID); LANES] = [(0, &[], start); LANES];
        let mut are_more = true;
        for lane in &mut lanes {
            match waiting.next() {
                Some(next) => *lane = next,
                None => are_more = false,
            }
        }
        while are_more {
            let len = lanes.iter().map(|(_, rest, _)| rest.len()).min().unwrap_or_default();
            let (mut at, mut is_special) = (0, false);
            while at < len && !is_special {
                for (_, rest, state) in &mut lanes {
                    *state = self.table.next_state(*state, rest[at]);
                    is_special |= self.table.is_special_state(*state);
                }
                at += 1;
            }
            for lane in &mut lanes {
                let (place, rest, state) = (lane.0, &lane.1[at..], self.state(lane.2));
                lane.1 = rest;
                if rest.is_empty() || state.is_final() {
                    behind[place] = state;
                    match waiting.next() {
                        Some(next) => *lane = next,
                        None => (lane.1, are_more) = (&[], false),
                    }
                }
            }
        }
        for (place, rest, state) in lanes.into_iter().filter(|(_, rest, _)| !rest.is_empty()) {
            behind[place] = self.run(State(state.as_u32()), rest);
        }
        behind
    }

    /// What a state of the table is that was just come to.
    fn state(&self, at: StateID) -> State {
        if !self.table.is_special_state(at) {
            State(at.as_u32())
        } else if self.table.is_match_state(at) {
            State::MATCHED
        } else if self.table.is_dead_state(at) {
            State::DEAD
        } else if self.table.is_quit_state(at) {
            State::UNKNOWN
        } else {
            State(at.as_u32())
        }
    }

    /// The final state of a text that ends here.
    #[must_use]
    pub fn end(&self, state: State) -> State {
        if state.is_final() {
            return state;
        }
        let at = self.table.next_eoi_state(StateID::new_unchecked(state.0 as usize));
        if self.table.is_match_state(at) { State::MATCHED } else { State::DEAD }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;

    const PATTERNS: [&str; 21] = [
        r"[0-9]{4}\.[0-9]{2}|[a-f]{6}-",
        "^ab",
        "b$",
        "^$",
        "",
        r"\bab\b",
        r"(?i)aB|é",
        "a.c",
        "(?s)a.*c",
        "(?m)^b",
        "[^a]",
        r"\w+-\w",
        r"\d\d",
        "a|ab|abc$",
        r"\Bb",
        r"(?-u:\B)",
        r"(?-u:\b{start-half})(?-u:\B)",
        r"(?-u:\B)x*",
        r"(?-u:\b)a",
        r"(?-u:\w)+1",
        "é.",
    ];

    proptest! {
        #[test]
        fn it_says_what_the_expression_says(
            pattern in prop::sample::select(PATTERNS.to_vec()),
            parts in prop::collection::vec("([abcAB01.\n -]|é|ß){0,6}", 0..5),
            texts in prop::collection::vec("([abcAB01.\n -]|é|ß){0,6}", 0..20),
        ) {
            let regex = Regex::new(pattern).unwrap();
            let automaton = Automaton::of(pattern);
            prop_assert!(automaton.is_some() || pattern.contains(['w', 'B']) || pattern.contains(r"\b"), "{}", pattern);
            let Some(automaton) = automaton else { return Ok(()) };
            let state = parts.iter().fold(automaton.start(), |state, part| automaton.run(state, part.as_bytes()));
            // The same of many at once.
            let bytes: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
            let each: Vec<State> = bytes.iter().map(|text| automaton.run(automaton.start(), text)).collect();
            prop_assert_eq!(automaton.run_each(automaton.start(), &bytes), each, "{} {:?}", pattern, texts);
            // The same beside any state that the text leads to.
            let mut others = vec![automaton.start()];
            for part in &parts {
                others.push(automaton.run(*others.last().expect("one is there"), part.as_bytes()));
            }
            for part in &parts {
                for (from, state) in others.iter().flat_map(|from| others.iter().map(move |state| (*from, *state))) {
                    let to = automaton.run(from, part.as_bytes());
                    let beside = automaton.run_beside(state, (from, to), part.as_bytes());
                    prop_assert_eq!(beside, automaton.run(state, part.as_bytes()), "{} {:?}", pattern, part);
                }
            }
            let found = automaton.end(state);
            if found != State::UNKNOWN {
                prop_assert_eq!(found == State::MATCHED, regex.is_match(&parts.concat()), "{} {:?}", pattern, parts);
            }
        }
    }

    #[test]
    fn nothing_is_found_within_a_letter() {
        for pattern in [r"(?-u:\B)", r"(?-u:\b{start-half})(?-u:\B)", r"abc|(?-u:\B)x*"] {
            assert!(!Regex::new(pattern).unwrap().is_match("aéa"), "{pattern}");
            let found = Automaton::of(pattern).map(|it| it.end(it.run(it.start(), "aéa".as_bytes())));
            assert_ne!(found, Some(State::MATCHED), "{pattern}");
        }
    }

    #[test]
    fn large_ones_have_none() {
        assert!(Automaton::of(r"(\pL{1,50}-){50}").is_none());
    }
}
