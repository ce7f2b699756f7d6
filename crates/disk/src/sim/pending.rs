//! Changes of names that are not durable yet.
//!
//! Owns: which of them depend on which, and so which sets of them may become durable.
//! Does not own: the directories themselves (`tree`).
//! Invariant: a change leaves the list only together with, or after, all earlier ones it depends on.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::EntryOrder;
use super::random::Random;
use super::tree::NodeId;

/// Something done to names, durable as a whole or not at all.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// What was made, moved or removed.
    pub(super) node: NodeId,
    pub(super) edits: Vec<Edit>,
}

/// One name in one directory: what it stands for from now on.
#[derive(Debug, Clone)]
pub(super) struct Edit {
    pub(super) directory: NodeId,
    pub(super) name: OsString,
    pub(super) child: Option<NodeId>,
}

/// The changes in the order in which they were made.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    changes: Vec<Change>,
    order: EntryOrder,
}

impl Edit {
    pub(super) fn apply(&self, entries: &mut BTreeMap<OsString, NodeId>) {
        match self.child {
            Some(child) => entries.insert(self.name.clone(), child),
            None => entries.remove(&self.name),
        };
    }
}

impl Pending {
    pub(super) fn new(order: EntryOrder) -> Self {
        Self { changes: Vec::new(), order }
    }

    pub(super) fn push(&mut self, change: Change) {
        self.changes.push(change);
    }

    pub(super) fn clear(&mut self) {
        self.changes.clear();
    }

    /// The nodes that changes are about.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.changes.iter().map(|change| change.node)
    }

    /// Takes out what a sync of `directory` makes durable: the changes in it, and those that they depend on.
    pub(super) fn take_for(&mut self, directory: NodeId) -> Vec<Change> {
        let concerns = |change: &Change| change.edits.iter().any(|edit| edit.directory == directory);
        let mut chosen: Vec<bool> = self.changes.iter().map(concerns).collect();
        for later in (1..chosen.len()).rev() {
            if chosen[later] {
                let (earlier, rest) = self.changes.split_at(later);
                for (change, chosen) in earlier.iter().zip(&mut chosen) {
                    *chosen |= self.depends(change, &rest[0]);
                }
            }
        }
        self.take(&chosen)
    }

    /// Takes out what a system may make durable unasked: nothing, everything, or some.
    pub(super) fn take_some(&mut self, random: &mut Random) -> Vec<Change> {
        let percent = match random.below(4) {
            0 => return Vec::new(),
            1 => 100,
            _ => 50,
        };
        let mut chosen: Vec<bool> = Vec::with_capacity(self.changes.len());
        for change in &self.changes {
            let free =
                self.changes.iter().zip(&chosen).all(|(earlier, &c)| c || !self.depends(earlier, change));
            chosen.push(free && random.percent(percent));
        }
        self.take(&chosen)
    }

    fn take(&mut self, chosen: &[bool]) -> Vec<Change> {
        let mut chosen = chosen.iter();
        self.changes.extract_if(.., |_| chosen.next().is_some_and(|chosen| *chosen)).collect()
    }

    /// Whether `later` cannot be durable before `earlier`: they concern the same thing or the same name, or, if
    /// directories keep their order, the same directory.
    fn depends(&self, earlier: &Change, later: &Change) -> bool {
        let keeps_order = self.order == EntryOrder::PerDirectory;
        let meets = |a: &Edit, b: &Edit| a.directory == b.directory && (keeps_order || a.name == b.name);
        earlier.node == later.node || earlier.edits.iter().any(|a| later.edits.iter().any(|b| meets(a, b)))
    }
}
