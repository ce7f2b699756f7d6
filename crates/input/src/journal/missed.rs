//! Which entries were gone before anybody read them.
//!
//! Owns: the numbers that were read, and those that are in no file. Does not own: reading, what is durable (`offsets`).
//! Invariant: a number is gone only if no file of its machine has it though each was read to its end after it was found
//! missing; it is counted once, whichever sequences miss it.
//!
//! journald removes its oldest files when they take too much room (`SystemMaxUse`, `journalctl --vacuum-size`). The numbers
//! of what was in them lie between others, as the files of a machine are numbered by one counter and those of users last
//! longer: so every number that is missing between two that were read is looked for. A new file of a user may begin a
//! sequence of its own (systemd before 254), though its numbers are of the same counter: so what one sequence lacks is looked
//! for in those of the same machine. An entry is written before those with greater
//! numbers, so a file that is read to its end after a greater one was seen has it, or none has. While a file cannot be
//! read nothing counts as gone: it would not be read later.

use std::collections::HashMap;

use sawyer_model::{RangeSet, SeqRange};

/// The id of a machine.
type Machine = [u8; 16];

/// The numbers of each machine that were read since the start, need not be, or were counted: those of all its sequences.
#[derive(Debug, Default)]
pub(super) struct Counters(HashMap<Machine, RangeSet>);

impl Counters {
    pub(super) fn saw(&mut self, machine: Machine, range: SeqRange) {
        self.0.entry(machine).or_default().insert(range);
    }

    /// What of this no sequence of the machine has, and was not asked for before.
    pub(super) fn count(&mut self, machine: Machine, gone: &[SeqRange]) -> Vec<SeqRange> {
        let seen = self.0.entry(machine).or_default();
        let missed: Vec<_> = gone.iter().flat_map(|range| seen.missing(*range)).collect();
        for range in &missed {
            seen.insert(*range);
        }
        missed
    }
}

/// What is known of the numbers of one sequence.
#[derive(Debug)]
pub(super) struct Missed {
    /// Whose sequence it is.
    pub(super) machine: Machine,
    /// The numbers that were read since the start, or need not be.
    seen: RangeSet,
    /// What was missing at some time, and the number of the look at all files that came before.
    missing: Option<(Vec<SeqRange>, u64)>,
}

/// No entry has it. It counts as durable once what was gone before the first start does: what is missing then was never
/// Sawyer's.
const NO_ENTRY: SeqRange = SeqRange::new(0, 1);

impl Missed {
    /// Of a sequence of which this much is durable already.
    pub(super) fn new(machine: Machine, acked: &RangeSet) -> Self {
        Self { machine, seen: acked.clone(), missing: None }
    }

    /// A number was read.
    pub(super) fn saw(&mut self, range: SeqRange) {
        self.seen.insert(range);
    }

    /// After a look at all files: what is missing between what was read, and was before the look from which on each file
    /// was read to its end, is gone. Gives that, and whether it is to be counted. `all_read_in` is the number of the last
    /// look after which every file was at its end.
    pub(super) fn look(&mut self, look: u64, all_read_in: u64) -> (Vec<SeqRange>, bool) {
        let counts = self.seen.contains(NO_ENTRY);
        match &self.missing {
            Some((missing, since)) if all_read_in >= *since => {
                let gone: Vec<_> = missing.iter().flat_map(|range| self.seen.missing(*range)).collect();
                for range in &gone {
                    self.seen.insert(*range);
                }
                self.missing = None;
                (gone, counts)
            }
            Some(_) => (Vec::new(), counts),
            None => {
                let last = self.seen.iter().last();
                let missing = last.into_iter().flat_map(|last| self.seen.missing(SeqRange::new(0, last.end)));
                self.missing = Some((missing.collect(), look));
                (Vec::new(), counts)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Machine = [7; 16];

    fn set(ranges: &[(u64, u64)]) -> RangeSet {
        let mut set = RangeSet::new();
        for (start, end) in ranges {
            set.insert(SeqRange::new(*start, *end));
        }
        set
    }

    fn gone(missed: &mut Missed, look: u64, all_read_in: u64) -> Vec<(u64, u64)> {
        let (ranges, counts) = missed.look(look, all_read_in);
        assert!(counts || ranges.is_empty());
        ranges.iter().map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn what_no_file_has_is_gone_once_all_were_read() {
        let mut missed = Missed::new(MACHINE, &set(&[(0, 20)]));
        missed.saw(SeqRange::new(50, 51));
        assert_eq!(gone(&mut missed, 1, 0), []);
        assert_eq!(gone(&mut missed, 2, 0), [], "a file was not read to its end since");
        missed.saw(SeqRange::new(30, 40));
        missed.saw(SeqRange::new(60, 61));
        assert_eq!(
            gone(&mut missed, 3, 2),
            [(20, 30), (40, 50)],
            "what is missing since is not looked at yet"
        );
        assert_eq!(gone(&mut missed, 4, 3), []);
        assert_eq!(gone(&mut missed, 5, 4), [(51, 60)]);
        assert_eq!(gone(&mut missed, 6, 5), []);
        assert_eq!(gone(&mut missed, 7, 6), [], "it is told once");
    }

    #[test]
    fn what_was_gone_before_the_first_start_does_not_count() {
        let mut missed = Missed::new(MACHINE, &RangeSet::new());
        missed.saw(SeqRange::new(10, 20));
        missed.saw(SeqRange::new(30, 40));
        assert_eq!(missed.look(1, 1), (Vec::new(), false));
        let before = vec![SeqRange::new(0, 10), SeqRange::new(20, 30)];
        assert_eq!(missed.look(2, 1), (before, false));
        missed.saw(SeqRange::new(50, 51));
        assert_eq!(gone(&mut missed, 3, 2), []);
        assert_eq!(gone(&mut missed, 4, 3), [(40, 50)]);
    }

    #[test]
    fn nothing_is_missing_of_nothing() {
        let mut missed = Missed::new(MACHINE, &RangeSet::new());
        assert_eq!((gone(&mut missed, 1, 0), gone(&mut missed, 2, 1)), (vec![], vec![]));
    }

    #[test]
    fn what_another_sequence_of_the_machine_has_is_not_missed() {
        let mut counters = Counters::default();
        counters.saw(MACHINE, SeqRange::new(0, 20));
        counters.saw(MACHINE, SeqRange::new(25, 30));
        let gone = [SeqRange::new(20, 40)];
        assert_eq!(counters.count([8; 16], &gone), gone);
        let missed = [SeqRange::new(20, 25), SeqRange::new(30, 40)];
        assert_eq!(counters.count(MACHINE, &gone), missed);
        assert_eq!(counters.count(MACHINE, &gone), [], "the other sequence lacks it, too");
    }
}
