//! Sets of states that texts can be in, and where pieces that many texts have lead from them.
//!
//! Owns: [`StateSets`], which numbers sets, so that it is found out once what digits make of one; [`Onward`], what a piece
//! makes of a set.
//! Does not own: the automaton (`sawyer_query`), going over shapes (`program`).
//! Invariant: what is told of a set is what the automaton makes of each of its states.

use hashbrown::HashMap;
use sawyer_query::{Automaton, State};

use super::UUID_GROUPS;

/// Texts that can be in more states at a place are not gone over piece by piece.
const STATES_MAX: usize = 24;
/// So many sets there are at most; what would need more is not told.
const SETS_MAX: usize = 4096;
/// Of so many kinds of digits and sets it is remembered where they lead.
const DIGITS_MAX: usize = 1 << 14;
const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";
/// For so many states of a set it is told where each of them leads.
pub(super) const KNOWN_STATES: usize = 2;

/// The number of a set of states among all of a [`StateSets`]. None of them is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct StateSet(u32);

/// What is behind a piece, for the states before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Onward {
    /// Those that go on behind it.
    pub(super) to: StateSet,
    /// Whether any state leads to a match.
    pub(super) may_match: bool,
    /// Whether any state leads to where nothing matches.
    pub(super) may_fail: bool,
    /// Of a text, the first states of the set; [`State::UNKNOWN`] where there are none.
    pub(super) from: [State; KNOWN_STATES],
    /// Where these lead, even if it is to the end.
    pub(super) behind: [State; KNOWN_STATES],
}

/// What a slot of digits can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Digits {
    Decimal {
        least: u32,
        most: u32,
    },
    Hex(u32),
    /// Hexadecimal ones with hyphens between them.
    Uuid,
}

/// See the head of the module. Whoever asks has the automaton, always the same.
#[derive(Debug)]
pub(super) struct StateSets {
    /// The states of each set, ascending.
    sets: Vec<Box<[State]>>,
    numbers: HashMap<Box<[State]>, StateSet>,
    over_digits: HashMap<(StateSet, Digits), Option<Onward>>,
    /// [`SETS_MAX`]; fewer in tests.
    sets_max: usize,
    /// [`DIGITS_MAX`]; fewer in tests.
    digits_max: usize,
    /// The set of one state that was come to last: most pieces lead to it.
    last: (State, StateSet),
    /// Room for states.
    found: Vec<State>,
}

impl StateSets {
    /// The set of the state at the start of texts.
    pub(super) const START: StateSet = StateSet(0);

    /// Only that of the start.
    pub(super) fn new(automaton: &Automaton) -> Self {
        let start = [automaton.start()];
        let numbers = HashMap::from_iter([(start.into(), Self::START)]);
        let (over_digits, found) = Default::default();
        let (sets_max, digits_max, last) = (SETS_MAX, DIGITS_MAX, (start[0], Self::START));
        Self { sets: vec![start.into()], numbers, over_digits, sets_max, digits_max, last, found }
    }

    /// The states of a set, ascending.
    pub(super) fn states(&self, set: StateSet) -> &[State] {
        &self.sets[set.0 as usize]
    }

    /// Where a set leads over a text; none if that cannot be told.
    pub(super) fn over_text(&mut self, automaton: &Automaton, set: StateSet, text: &str) -> Option<Onward> {
        let (mut from, mut behind) = ([State::UNKNOWN; KNOWN_STATES], [State::UNKNOWN; KNOWN_STATES]);
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        for (at, state) in self.states(set).iter().enumerate() {
            let to = match at {
                0 => automaton.run(*state, text.as_bytes()),
                _ => automaton.run_beside(*state, (from[0], behind[0]), text.as_bytes()),
            };
            if at < KNOWN_STATES {
                (from[at], behind[at]) = (*state, to);
            }
            found.push(to);
        }
        let onward = self.onward(&mut found);
        self.found = found;
        Some(Onward { from, behind, ..onward? })
    }

    /// Where a set leads over any digits of a kind; none if that cannot be told.
    pub(super) fn over_digits(
        &mut self,
        automaton: &Automaton,
        set: StateSet,
        digits: Digits,
    ) -> Option<Onward> {
        if let Some(known) = self.over_digits.get(&(set, digits)) {
            return *known;
        }
        let mut found = Vec::new();
        let are_few = self.states(set).iter().all(|state| digits.over(automaton, *state, &mut found));
        let onward = if are_few { self.onward(&mut found) } else { None };
        if self.over_digits.len() < self.digits_max {
            self.over_digits.insert((set, digits), onward);
        }
        onward
    }

    /// What is behind a piece that leads to these states, in any order; none if they are too many, or one is not known.
    pub(super) fn onward(&mut self, states: &mut Vec<State>) -> Option<Onward> {
        if states.len() > 1 {
            states.sort_unstable();
            states.dedup();
        }
        if states.len() > STATES_MAX || states.contains(&State::UNKNOWN) {
            return None;
        }
        // Final ones are the last.
        let (going, ended) = states.split_at(states.partition_point(|state| !state.is_final()));
        let (may_match, may_fail) = (ended.contains(&State::MATCHED), ended.contains(&State::DEAD));
        let unknown = [State::UNKNOWN; KNOWN_STATES];
        Some(Onward { to: self.number(going)?, may_match, may_fail, from: unknown, behind: unknown })
    }

    /// The number of a set, if there is room for it.
    fn number(&mut self, states: &[State]) -> Option<StateSet> {
        if let ([state], (last, number)) = (states, self.last)
            && *state == last
        {
            return Some(number);
        }
        if let Some(known) = self.numbers.get(states) {
            if let [state] = states {
                self.last = (*state, *known);
            }
            return Some(*known);
        }
        if self.sets.len() >= self.sets_max {
            return None;
        }
        let number = StateSet(self.sets.len() as u32);
        self.sets.push(states.into());
        self.numbers.insert(states.into(), number);
        Some(number)
    }
}

impl Digits {
    /// Adds the states behind such digits; says whether these are not too many.
    fn over(self, automaton: &Automaton, state: State, behind: &mut Vec<State>) -> bool {
        match self {
            Self::Decimal { least, most } => {
                over_each(automaton, state, b"0123456789", (least, most), behind)
            }
            Self::Hex(count) => over_each(automaton, state, HEX_DIGITS, (count, count), behind),
            Self::Uuid => {
                let mut open = vec![state];
                for (group, count) in UUID_GROUPS.into_iter().enumerate() {
                    let mut next = Vec::new();
                    let are_few = open.iter().all(|state| {
                        let state = if group > 0 { automaton.run(*state, b"-") } else { *state };
                        over_each(automaton, state, HEX_DIGITS, (count as u32, count as u32), &mut next)
                    });
                    next.sort_unstable();
                    next.dedup();
                    if !are_few || next.len() > STATES_MAX {
                        return false;
                    }
                    open = next;
                }
                behind.extend(open);
                true
            }
        }
    }
}

/// Adds the states behind any of these bytes, the fewest to the most of them; says whether they are not too many.
fn over_each(
    automaton: &Automaton,
    state: State,
    bytes: &[u8],
    (least, most): (u32, u32),
    behind: &mut Vec<State>,
) -> bool {
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
            for byte in bytes {
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
            return false;
        }
        if next == open {
            // More of them change nothing.
            behind.extend(next);
            break;
        }
        open = next;
    }
    true
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use sawyer_query::FieldTest;

    use super::*;

    /// A piece of texts: letters, or what digits there may be.
    #[derive(Clone, Debug)]
    enum Part {
        Text(String),
        Digits(Digits),
    }

    fn part() -> impl Strategy<Value = Part> {
        let decimal = (0..3u32, 0..3u32);
        prop_oneof![
            "[abc01.-]{0,4}|é".prop_map(Part::Text),
            decimal.prop_map(|(least, more)| Part::Digits(Digits::Decimal { least, most: least + more })),
            (0..5u32).prop_map(|digits| Part::Digits(Digits::Hex(digits))),
            Just(Part::Digits(Digits::Uuid)),
        ]
    }

    /// All states behind a set over any digits, byte by byte.
    fn over(automaton: &Automaton, states: &BTreeSet<State>, digits: Digits) -> BTreeSet<State> {
        let any_of = |states: &BTreeSet<State>, bytes: &[u8]| -> BTreeSet<State> {
            states.iter().flat_map(|state| bytes.iter().map(|byte| automaton.run(*state, &[*byte]))).collect()
        };
        let count = |states: &BTreeSet<State>, bytes: &[u8], count: usize| {
            (0..count).fold(states.clone(), |states, _| any_of(&states, bytes))
        };
        match digits {
            Digits::Decimal { least, most } => {
                (least..=most).flat_map(|digits| count(states, b"0123456789", digits as usize)).collect()
            }
            Digits::Hex(digits) => count(states, HEX_DIGITS, digits as usize),
            Digits::Uuid => [4, 4, 4, 12].into_iter().fold(count(states, HEX_DIGITS, 8), |states, digits| {
                count(&any_of(&states, b"-"), HEX_DIGITS, digits)
            }),
        }
    }

    proptest! {
        #[test]
        fn a_set_leads_to_where_its_states_lead(
            pattern in prop::sample::select(vec!["[01]{3}\\.", "(?i)aB|1-", "^0*b", "1$", "a.c", "[^a]{2}0", "\\bab\\b|^$", "", "1(0|a)?b?[01]{2}-"]),
            ways in prop::collection::vec(prop::collection::vec(part(), 0..5), 1..4), is_narrow in any::<bool>(),
        ) {
            let FieldTest::Regex(regex) = FieldTest::regex(pattern).unwrap() else { unreachable!() };
            let Some(automaton) = regex.automaton() else { return Ok(()) };
            // What was asked before is remembered.
            let mut sets = StateSets::new(automaton);
            if is_narrow {
                (sets.sets_max, sets.digits_max) = (4, 1);
            }
            for way in ways {
                let (mut set, mut naive) = (StateSets::START, BTreeSet::from([automaton.start()]));
                for part in &way {
                    let (onward, behind) = match part {
                        Part::Text(text) => {
                            let behind = naive.iter().map(|state| automaton.run(*state, text.as_bytes())).collect();
                            (sets.over_text(automaton, set, text), behind)
                        }
                        Part::Digits(digits) => {
                            (sets.over_digits(automaton, set, *digits), over(automaton, &naive, *digits))
                        }
                    };
                    let Some(onward) = onward else {
                        let is_full = is_narrow && sets.sets.len() == sets.sets_max;
                        prop_assert!(is_full || behind.contains(&State::UNKNOWN), "{} {:?}", pattern, behind);
                        break;
                    };
                    prop_assert_eq!(onward.may_match, behind.contains(&State::MATCHED), "{} {:?}", pattern, way);
                    prop_assert_eq!(onward.may_fail, behind.contains(&State::DEAD), "{} {:?}", pattern, way);
                    for (from, to) in onward.from.into_iter().zip(onward.behind) {
                        let Part::Text(text) = part else {
                            prop_assert_eq!(from, State::UNKNOWN, "what varies leads from a state to several");
                            continue;
                        };
                        let is_true = from == State::UNKNOWN || automaton.run(from, text.as_bytes()) == to;
                        prop_assert!(is_true, "{} {:?}", pattern, way);
                    }
                    (set, naive) = (onward.to, behind.into_iter().filter(|state| !state.is_final()).collect());
                    prop_assert!(sets.states(set).iter().eq(&naive), "{} {:?}", pattern, way);
                }
            }
        }
    }
}
