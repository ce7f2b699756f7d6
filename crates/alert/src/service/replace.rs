//! Other settings while alerts go on.
//!
//! Owns: what is prepared before anything changes, and putting it in the place of what was.
//! Does not own: noticing that a configuration has changed, reading it (whoever starts the process does).
//! Invariant: what cannot be prepared changes nothing. Rules of a name are the same rule, whose state goes on; those that
//! are gone are over. What waits for a notifier of a name is told by the new one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sawyer_model::Error;
use sawyer_telemetry::Clock;

use super::{Alerts, Known, Notifiers, forget_gone};
use crate::book::Book;
use crate::engine::Trait;
use crate::rule::Rule;
use crate::settings::{AlertPlan, Grouping};

/// Settings with all that they need, ready to be put in the place of others.
pub struct Prepared {
    pub(super) rules: BTreeMap<String, Rule>,
    pub(super) grouping: Grouping,
    pub(super) traits: BTreeMap<String, Trait>,
    pub(super) known: Known,
    pub(super) notifiers: Notifiers,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("rules", &self.rules.keys()).finish_non_exhaustive()
    }
}

impl AlertPlan {
    pub(super) fn prepare_with(self, listen_url: &str, clock: &Clock) -> Result<Prepared, Error> {
        let Self { rules, notifiers: plans, public_url, grouping } = self;
        let public_url: Arc<str> = public_url.as_deref().unwrap_or(listen_url).into();
        let (mut kinds, mut traits, mut notifiers) =
            (BTreeMap::new(), BTreeMap::<String, Trait>::new(), Notifiers::new());
        for (name, plan) in plans {
            kinds.insert(name.clone(), plan.kind);
            traits.insert(name.clone(), plan.about);
            let notify = plan.open(&public_url, clock).map_err(|error| {
                Error::new(error.kind(), format!("prepare the notifier `{name}`")).because(error)
            })?;
            notifiers.insert(name, notify);
        }
        Ok(Prepared { rules, grouping, traits, known: Known { public_url, kinds }, notifiers })
    }
}

impl Alerts {
    /// Prepares other settings; nothing changes yet.
    ///
    /// # Errors
    /// If a notifier cannot be prepared.
    pub fn prepare(&self, plan: AlertPlan) -> Result<Prepared, Error> {
        plan.prepare_with(&self.0.listen_url, &self.0.clock)
    }

    /// Goes on with other settings. An evaluation that goes on ends as it began.
    pub fn replace(&self, prepared: Prepared) {
        let Prepared { rules, grouping, traits, known, notifiers } = prepared;
        let (shared, now) = (&self.0, self.0.clock.now());
        let names: Vec<String> = known.kinds.keys().cloned().collect();
        {
            let mut book = shared.book.write();
            *book = Book::open(rules, book.texts(), &names);
            let mut engine = shared.engine.lock();
            engine.reconfigure(grouping, traits, now);
            forget_gone(&mut engine, &book, now);
        }
        *shared.known.write() = known;
        *shared.notifiers.lock() = Some(notifiers);
        shared.changed.store(true, Ordering::Release);
        shared.wake.notify_one();
    }
}
