//! Tells what retention does, or would do.
//!
//! Owns: [`Upkeep`] for a store that is open, and what it tells for one that is looked at.
//! Does not own: the choice (`retention`), deleting (`delete`). Invariant: telling changes nothing.

use std::path::Path;
use std::sync::Arc;

use sawyer_config::{Document, Problems, Setting};
use sawyer_disk::{Disk, Space};
use sawyer_model::{Error, ErrorKind, Timestamp};
use sawyer_query::search::{Budget, Selection};
use sawyer_query::upkeep::{PolicyReport, RetentionReport, Upkeep};

use crate::Store;
use crate::catalogue::SegmentEntry;
use crate::inspect::Inspection;
use crate::policy;
use crate::retention::{Choice, Held, Profiles, choose, share};
use crate::settings::{StorePlan, StoreSettings};
use crate::wal::WAL_DIR;

impl StorePlan {
    /// Reads a plan from a text of its own, in YAML or JSON. References to the environment and to files are not
    /// filled in: whoever may use the API may not read those.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        let document = Document::parse("store", &text.replace("${", "$${"))?;
        let mut problems = Problems::new();
        let at = document.at();
        let plan =
            StoreSettings::read(&at, &mut problems).and_then(|settings| settings.check(&at, &mut problems));
        problems.into_result(plan)
    }
}

/// What is known of a folder.
struct Folder {
    entries: Vec<SegmentEntry>,
    profiles: Profiles,
    partial: bool,
    wal_bytes: u64,
    space: Option<Space>,
}

impl Upkeep for Store {
    fn retention(&self, settings: Option<&str>, budget: &Budget) -> Result<RetentionReport, Error> {
        let read;
        let plan = match settings {
            None => &self.engine.plan,
            Some(text) => {
                let wrong = |problems: Problems| Error::new(ErrorKind::Invalid, problems.to_string());
                read = StorePlan::parse(text).map_err(wrong)?;
                &read
            }
        };
        let segments = self.engine.live.read().segments.clone();
        // What is in force is known of many of them.
        let known = if settings.is_none() { self.engine.profiles.lock().clone() } else { Profiles::new() };
        let mut folder = Folder::of(&*self.engine.disk);
        for segment in segments.iter().filter(|segment| !segment.is_damaged()) {
            let id = segment.entry.id;
            folder.entries.push(segment.entry);
            if let Some(known) = known.get(&id) {
                folder.profiles.insert(id, Arc::clone(known));
                continue;
            }
            match policy::profile(&segment.segment, None, &plan.policies, budget) {
                Ok(Some(profile)) => drop(folder.profiles.insert(id, profile.into())),
                Ok(None) => folder.partial = true,
                Err(error) if error.kind() == ErrorKind::Closed => return Err(error),
                Err(error) => {
                    self.engine.note_unreadable(segment, &error);
                    folder.partial = true;
                }
            }
        }
        Ok(folder.report(plan, self.engine.clock.now()))
    }

    fn delete(&self, selection: &Selection, budget: &Budget) -> Result<u64, Error> {
        self.delete_selected(selection, budget)
    }
}

impl Inspection {
    /// What these settings mean for what is held now.
    ///
    /// # Errors
    /// `Corrupt` if a segment is damaged; see [`Inspection::verify`].
    pub fn retention(&self, plan: &StorePlan, now: Timestamp) -> Result<RetentionReport, Error> {
        let mut folder = Folder::of(self.disk());
        self.each_segment(|entry| {
            let segment = self.open_segment(entry)?;
            if let Some(profile) =
                policy::profile(&segment.segment, None, &plan.policies, &Budget::unlimited())?
            {
                folder.profiles.insert(entry.id, profile.into());
            }
            folder.entries.push(*entry);
            Ok(())
        })?;
        Ok(folder.report(plan, now))
    }
}

impl Folder {
    fn of(disk: &dyn Disk) -> Self {
        let logs = disk.read_dir(Path::new(WAL_DIR)).unwrap_or_default();
        let wal_bytes = logs.iter().map(|entry| entry.len).sum();
        let profiles = Profiles::new();
        Self { entries: Vec::new(), profiles, partial: false, wal_bytes, space: disk.space().ok() }
    }

    fn report(&self, plan: &StorePlan, now: Timestamp) -> RetentionReport {
        let Self { entries, profiles, wal_bytes, space, .. } = self;
        let held = Held { segments: entries, profiles, wal_bytes: *wal_bytes, space: *space, now };
        let choice = choose(plan, &held, &mut |_, _| true);
        let rewritten: Vec<_> = entries.iter().filter(|entry| choice.parts.contains_key(&entry.id)).collect();
        RetentionReport {
            policies: (0..plan.classes()).map(|class| self.policy(plan, class, &choice)).collect(),
            size_max: plan.size_max,
            records: entries.iter().map(|entry| entry.rows).sum(),
            bytes: entries.iter().map(|entry| entry.bytes).sum(),
            segments_removed: choice.whole.len() as u64,
            segments_rewritten: rewritten.len() as u64,
            rewritten_bytes: rewritten.iter().map(|entry| entry.bytes).sum(),
            partial: self.partial,
        }
    }

    fn policy(&self, plan: &StorePlan, class: usize, choice: &Choice) -> PolicyReport {
        let mut report = PolicyReport {
            keep: plan.keep(class),
            size_max: plan.class_bytes_max(class),
            ..PolicyReport::default()
        };
        if let Some(policy) = plan.policies.get(class) {
            (report.name, report.query) = (policy.name.clone(), policy.query.clone());
        }
        for entry in &self.entries {
            let Some(profile) = self.profiles.get(&entry.id) else { continue };
            let (records, bytes) = (profile[class], share(entry, profile[class]));
            report.records += records;
            report.bytes += bytes;
            let part = choice.parts.get(&entry.id).is_some_and(|classes| classes.contains(class));
            if part || choice.whole.contains_key(&entry.id) {
                report.due_records += records;
                report.due_bytes += bytes;
            }
        }
        report
    }
}
