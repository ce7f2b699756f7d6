//! How the records of a buffer ended, in numbers that are kept with what is done.
//!
//! Owns: the numbers, and their cells in the files of `acks` (`docs/FORMATS.md`, "Buffer").
//! Does not own: which entries are done (`lane`), the ledger that shows them (`telemetry`).
//! Invariant: numbers change in the same step as what is done, and are written in the same frame; so they close with
//! it after any crash. They are numbers of records: what an entry took of its sources is not known here.

use std::collections::BTreeMap;

use sawyer_model::{Count, Fate, Fates};
use sawyer_telemetry::Book;

/// The rules and reasons that there are. Places are stored; new ones go to the end.
const RULES: [&str; 9] =
    ["", "others", "target", "stored before", "rejected", "full", "disk_full", "age", "damaged"];

/// The rule that is taken for what is not among them.
const OTHERS: usize = 1;

/// In front of a cell, beside the number of a fate; lanes have smaller numbers.
const MARK: u8 = 0x80;

/// Numbers of records by fate and rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ends(BTreeMap<(Fate, usize), u64>);

impl Ends {
    /// Records came to this end.
    pub(crate) fn add(&mut self, fate: Fate, rule: &str, records: u64) {
        if records > 0 {
            let rule = RULES.iter().position(|known| *known == rule).unwrap_or(OTHERS);
            *self.0.entry((fate, rule)).or_default() += records;
        }
    }

    /// An entry of so many records ended, these of them so, and the others at the target.
    pub(crate) fn add_entry(&mut self, records: u32, fates: &Fates) {
        for (fate, rule, count) in fates.iter() {
            self.add(fate, rule, count.records);
        }
        let told = fates.sum().records;
        self.add(Fate::Delivered, "", u64::from(records).saturating_sub(told));
    }

    /// All records.
    pub(crate) fn sum(&self) -> u64 {
        self.0.values().sum()
    }

    /// The book of a buffer that so many records have left.
    pub(crate) fn book(&self, left: u64) -> Book {
        let mut book = Book { read: Count::new(left, 0), ..Book::default() };
        for ((fate, rule), records) in &self.0 {
            book.end(*fate, RULES[*rule], Count::new(*records, 0));
        }
        book
    }

    /// Appends a cell for each number.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for ((fate, rule), records) in &self.0 {
            let code = Fate::ALL.iter().position(|known| known == fate).expect("all are there");
            out.push(MARK | code as u8);
            out.extend((*rule as u64).to_le_bytes());
            out.extend(records.to_le_bytes());
        }
    }

    /// Takes a cell, if it is one of these. Numbers are told whole, so a later one replaces those before.
    pub(crate) fn decode(&mut self, mark: u8, rule: u64, records: u64) {
        let fate = mark.checked_sub(MARK).and_then(|code| Fate::ALL.get(usize::from(code)));
        let rule = usize::try_from(rule).ok().filter(|rule| *rule < RULES.len());
        if let (Some(fate), Some(rule)) = (fate, rule) {
            self.0.insert((*fate, rule), records);
        }
    }
}
