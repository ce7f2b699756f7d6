//! The names of the fields of a segment that is being made.
//!
//! Owns: numbering them as they come, and bringing them into order at the end.
//! Invariant: each name has one number.

use hashbrown::HashMap;

/// Names, numbered as they came.
#[derive(Debug, Default)]
pub(crate) struct NameTable {
    names: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u32>,
}

impl NameTable {
    /// The number of a name.
    pub(crate) fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.names.len() as u32;
        self.names.push(name.into());
        self.numbers.insert(name.into(), number);
        number
    }

    /// The name with this number.
    pub(crate) fn get(&self, number: u32) -> &str {
        &self.names[number as usize]
    }

    /// The names in order, and for each number the place of its name.
    pub(crate) fn sorted(self) -> (Vec<Box<str>>, Vec<u32>) {
        let mut order: Vec<u32> = (0..self.names.len() as u32).collect();
        order.sort_unstable_by(|a, b| self.get(*a).cmp(self.get(*b)));
        let mut places = vec![0; order.len()];
        for (place, number) in order.iter().enumerate() {
            places[*number as usize] = place as u32;
        }
        let mut names = self.names;
        let sorted = order.iter().map(|number| std::mem::take(&mut names[*number as usize])).collect();
        (sorted, places)
    }
}
