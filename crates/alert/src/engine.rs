//! Alerts through time: what evaluations and the clock do to them, and what is to be told.
//!
//! Owns: the phases of an alert, groups, when a notification is due, silences' effect, the bounds of queue and
//! history. Does not own: evaluating (`measure`), sending (`dispatch`), files (`keeper`).
//! Invariant: no I/O and no clock. The same calls in the same order make the same notifications, whatever was written
//! to disk and read again between them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sawyer_model::Timestamp;

use crate::settings::Grouping;
use crate::silence::Silence;
use crate::state::{
    ALERTS_MAX, Alert, Evaluated, Fate, Finding, Group, HISTORY_MAX, Labels, Notification, Phase,
    QUEUE_BYTES_MAX, QUEUE_MAX, State, Told, fingerprint, group_key,
};

#[cfg(test)]
mod tests;

/// How long a silence that is over is still listed.
const SILENCE_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// What the engine has to know about a notifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trait {
    /// Each alert is told alone, as with incidents that are opened and closed one by one.
    pub alone: bool,
    /// Whether it wants to hear that something is over.
    pub resolved: bool,
}

/// What an evaluation found.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The rule's name.
    pub rule: String,
    /// The moment for which it was evaluated.
    pub slot: Timestamp,
    /// How long it has to be so.
    pub hold: Duration,
    /// How long it goes on after it is not so.
    pub linger: Duration,
    /// Whom to tell.
    pub notify: Vec<String>,
    /// For which labels it is so, and what was found; nothing if nothing can be said, and everything stays.
    pub met: Option<Vec<(Labels, Finding)>>,
    /// What is told about it.
    pub about: Evaluated,
}

/// The state machine.
#[derive(Debug)]
pub struct Engine {
    state: State,
    grouping: Grouping,
    notifiers: BTreeMap<String, Trait>,
    /// When something is due next, as far as the last tick knows.
    due: Option<Timestamp>,
    /// What was given up since somebody last asked, by notifier.
    given_up: Vec<Notification>,
}

/// The alerts of a group, by fingerprint.
#[derive(Default)]
struct Members {
    firing: BTreeSet<String>,
    /// Firing, but nobody wants to hear of it.
    silenced: BTreeSet<String>,
}

impl Engine {
    /// An engine that goes on from a state.
    #[must_use]
    pub fn new(state: State, grouping: Grouping, notifiers: BTreeMap<String, Trait>) -> Self {
        Self { state, grouping, notifiers, due: None, given_up: Vec::new() }
    }

    /// Goes on with other settings and other notifiers. What waits for those that are gone is given up.
    pub fn reconfigure(&mut self, grouping: Grouping, notifiers: BTreeMap<String, Trait>, now: Timestamp) {
        (self.grouping, self.notifiers) = (grouping, notifiers);
        self.drop_unknown(now);
    }

    /// All that is known.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// When the next call of [`Engine::tick`] has something to do, if nothing else happens.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// Takes in what an evaluation found.
    pub fn evaluated(&mut self, evaluation: Evaluation) {
        let Evaluation { rule, slot, hold, linger, notify, met, about } = evaluation;
        let missed = self.state.rules.get(&rule).map_or(0, |known| known.missed);
        self.state.rules.insert(rule.clone(), Evaluated { missed, ..about });
        let Some(met) = met else { return };
        let mut seen = BTreeSet::new();
        for (labels, finding) in met {
            let key = fingerprint(&labels);
            let alert = self.state.alerts.entry(key.clone()).or_insert_with(|| Alert {
                rule: rule.clone(),
                labels,
                phase: Phase::Pending,
                since: slot,
                fired: None,
                seen: slot,
                resolved: None,
                notify: Vec::new(),
                finding: finding.clone(),
            });
            alert.is_so(slot, hold, finding);
            alert.notify.clone_from(&notify);
            seen.insert(key);
        }
        self.state.alerts.retain(|key, alert| {
            if alert.rule != rule || seen.contains(key) {
                return true;
            }
            match alert.phase {
                Phase::Pending => return false,
                Phase::Firing if slot.since(alert.seen) >= linger => {
                    alert.phase = Phase::Resolved;
                    alert.resolved = Some(slot);
                }
                Phase::Firing | Phase::Resolved => {}
            }
            true
        });
    }

    /// A rule is not there any more, or not evaluated any more: its alerts are over.
    pub fn forget(&mut self, rule: &str, now: Timestamp) {
        self.state.rules.remove(rule);
        self.state.alerts.retain(|_, alert| {
            if alert.rule == rule {
                if alert.phase == Phase::Pending {
                    return false;
                }
                alert.phase = Phase::Resolved;
                alert.resolved = alert.resolved.or(Some(now));
            }
            true
        });
    }

    /// Evaluations of a rule that are never made.
    pub fn missed(&mut self, rule: &str, count: u64) {
        self.state.rules.entry(rule.to_owned()).or_default().missed += count;
    }

    /// Takes back what a clock that was ahead left in the future; else nothing would follow until then.
    pub fn clamp(&mut self, now: Timestamp) {
        for group in self.state.groups.values_mut() {
            group.changed = group.changed.map(|changed| changed.min(now));
            group.told_at = group.told_at.map(|told| told.min(now));
        }
        for alert in self.state.alerts.values_mut() {
            (alert.since, alert.seen) = (alert.since.min(now), alert.seen.min(now));
        }
    }

    /// Lets time pass: whatever is due becomes a notification in the queue.
    pub fn tick(&mut self, now: Timestamp) {
        self.state.silences.retain(|_, silence| now.since(silence.ends) < SILENCE_KEPT);
        let mut groups = std::mem::take(&mut self.state.groups);
        let members = self.members(&mut groups, now);
        self.due = None;
        let nobody = Members::default();
        groups.retain(|key, group| self.turn(group, members.get(key).unwrap_or(&nobody), now));
        self.state.groups = groups;
        let told: BTreeSet<&String> = self.state.groups.values().flat_map(|group| &group.told).collect();
        self.state.alerts.retain(|key, alert| alert.phase != Phase::Resolved || told.contains(key));
        let edges = self.state.silences.values().flat_map(|silence| [silence.starts, silence.ends]);
        let edge = edges.filter(|edge| *edge > now).min();
        self.due = self.due.into_iter().chain(edge).min();
    }

    /// The alerts that fire by group; makes the groups that there are not yet.
    fn members(&self, groups: &mut BTreeMap<String, Group>, now: Timestamp) -> BTreeMap<String, Members> {
        let mut members: BTreeMap<String, Members> = BTreeMap::new();
        for (key, alert) in &self.state.alerts {
            for notifier in &alert.notify {
                let Some(about) = self.notifiers.get(notifier) else { continue };
                let labels = if about.alone { alert.labels.clone() } else { self.shared(&alert.labels) };
                if alert.phase != Phase::Firing {
                    continue;
                }
                let id = group_key(notifier, &labels);
                let new = || Group { notifier: notifier.clone(), labels, ..Group::default() };
                groups.entry(id.clone()).or_insert_with(new);
                let quiet = self.state.silences.values().any(|silence| silence.holds(&alert.labels, now));
                let members = members.entry(id).or_default();
                if quiet { &mut members.silenced } else { &mut members.firing }.insert(key.clone());
            }
        }
        members
    }

    fn shared(&self, labels: &Labels) -> Labels {
        let by = |name: &String| labels.get(name).map(|value| (name.clone(), value.clone()));
        self.grouping.by.iter().filter_map(by).collect()
    }

    /// Looks at one group; says whether it is still needed.
    fn turn(&mut self, group: &mut Group, members: &Members, now: Timestamp) -> bool {
        let new = members.firing.difference(&group.told).next().is_some();
        let over: Vec<String> = group
            .told
            .iter()
            .filter(|key| !members.firing.contains(*key) && !members.silenced.contains(*key))
            .cloned()
            .collect();
        let Some(about) = self.notifiers.get(&group.notifier).copied() else { return false };
        if !about.resolved {
            group.told.retain(|key| !over.contains(key));
        }
        let changed = new || (about.resolved && !over.is_empty());
        let due = if changed {
            let since = *group.changed.get_or_insert(now);
            match group.told_at {
                None => since.saturating_add(self.grouping.wait),
                Some(told) => told.saturating_add(self.grouping.interval),
            }
        } else {
            group.changed = None;
            match (group.told_at, members.firing.is_empty()) {
                (Some(told), false) => told.saturating_add(self.grouping.repeat),
                (Some(told), true) => {
                    // A group that comes back soon is told at the pace of changes.
                    let keep = told.saturating_add(self.grouping.interval);
                    if now < keep || !group.told.is_empty() {
                        self.wake_at(keep, now);
                        return true;
                    }
                    return false;
                }
                (None, _) => return !group.told.is_empty(),
            }
        };
        if due > now {
            self.wake_at(due, now);
            return true;
        }
        self.tell(group, members, &over, !changed, now);
        let next = if members.firing.is_empty() { self.grouping.interval } else { self.grouping.repeat };
        self.wake_at(now.saturating_add(next), now);
        true
    }

    fn wake_at(&mut self, at: Timestamp, now: Timestamp) {
        if at > now {
            self.due = Some(self.due.map_or(at, |due| due.min(at)));
        }
    }

    fn tell(
        &mut self,
        group: &mut Group,
        members: &Members,
        over: &[String],
        repeated: bool,
        now: Timestamp,
    ) {
        let firing = members.firing.iter().map(|key| (key, true));
        let mut told: Vec<Told> = firing
            .chain(over.iter().map(|key| (key, false)))
            .filter_map(|(key, firing)| self.state.alerts.get(key).map(|alert| alert.told(key, firing, now)))
            .collect();
        told.sort_by(|a, b| (b.firing, &a.labels).cmp(&(a.firing, &b.labels)));
        let truncated = told.len().saturating_sub(ALERTS_MAX);
        told.truncate(ALERTS_MAX);
        group.told.retain(|key| !over.contains(key));
        group.told.extend(members.firing.iter().cloned());
        group.told_at = Some(now);
        group.changed = None;
        let waits = |other: &Notification| other.notifier == group.notifier && other.group == group.labels;
        // What the receiver does not know yet need not be told again.
        if told.is_empty() || (repeated && self.state.queue.iter().any(waits)) {
            return;
        }
        let notification = Notification {
            id: self.next_id(now),
            notifier: group.notifier.clone(),
            group: group.labels.clone(),
            created: now,
            repeated,
            test: false,
            alerts: told,
            truncated,
        };
        self.enqueue(notification, now);
    }

    /// Puts a notification into the queue; where there are too many for its notifier, the oldest are given up.
    pub fn enqueue(&mut self, notification: Notification, now: Timestamp) {
        let notifier = notification.notifier.clone();
        self.state.queue.push(notification);
        let waiting: Vec<usize> = (self.state.queue.iter())
            .filter(|other| other.notifier == notifier)
            .map(Notification::bytes)
            .collect();
        let (mut count, mut bytes) = (waiting.len(), waiting.iter().sum::<usize>());
        for oldest in waiting {
            // The newest is kept, however large it is.
            let reason = if count > QUEUE_MAX {
                format!("more than {QUEUE_MAX} notifications wait for it")
            } else if bytes > QUEUE_BYTES_MAX && count > 1 {
                format!("more than {QUEUE_BYTES_MAX} bytes of notifications wait for it")
            } else {
                return;
            };
            (count, bytes) = (count - 1, bytes - oldest);
            self.give_up_oldest(&notifier, now, reason);
        }
    }

    fn give_up_oldest(&mut self, notifier: &str, now: Timestamp, reason: String) {
        let oldest = self.state.queue.iter().position(|other| other.notifier == notifier);
        let Some(oldest) = oldest.map(|at| self.state.queue.remove(at)) else { return };
        self.given_up.push(oldest.clone());
        self.remember(oldest, now, Fate::Dropped(reason));
    }

    /// What was given up since the last call.
    pub fn take_given_up(&mut self) -> Vec<Notification> {
        std::mem::take(&mut self.given_up)
    }

    /// A name that nothing else has.
    pub fn next_id(&mut self, now: Timestamp) -> String {
        self.state.next += 1;
        format!("{:x}-{}", now.millis(), self.state.next)
    }

    /// A notification was dealt with.
    pub fn settled(&mut self, id: &str, now: Timestamp, fate: Fate) -> bool {
        let Some(at) = self.state.queue.iter().position(|waiting| waiting.id == id) else { return false };
        let notification = self.state.queue.remove(at);
        self.remember(notification, now, fate);
        true
    }

    fn remember(&mut self, notification: Notification, now: Timestamp, fate: Fate) {
        self.state.history.push_front(notification.into_past(now, fate));
        self.state.history.truncate(HISTORY_MAX);
    }

    /// Gives up what waits for notifiers that are not there any more.
    pub fn drop_unknown(&mut self, now: Timestamp) {
        let queue = std::mem::take(&mut self.state.queue);
        for notification in queue {
            if self.notifiers.contains_key(&notification.notifier) {
                self.state.queue.push(notification);
            } else {
                let reason = format!("there is no notifier `{}` any more", notification.notifier);
                self.remember(notification, now, Fate::Dropped(reason));
            }
        }
    }

    /// Adds a silence, or replaces the one of this id.
    pub fn silence(&mut self, id: Option<String>, silence: Silence, now: Timestamp) -> String {
        let id = id.unwrap_or_else(|| self.next_id(now));
        self.state.silences.insert(id.clone(), silence);
        id
    }

    /// Makes a silence what it was before.
    pub fn take_back(&mut self, id: &str, before: Option<Silence>) {
        match before {
            Some(silence) => self.state.silences.insert(id.to_owned(), silence),
            None => self.state.silences.remove(id),
        };
    }

    /// Ends a silence now; says whether there is one of this id.
    pub fn expire(&mut self, id: &str, now: Timestamp) -> bool {
        let Some(silence) = self.state.silences.get_mut(id) else { return false };
        silence.ends = silence.ends.min(now);
        silence.starts = silence.starts.min(silence.ends);
        true
    }
}

impl Alert {
    /// It is so at this moment.
    fn is_so(&mut self, slot: Timestamp, hold: Duration, finding: Finding) {
        if self.phase == Phase::Resolved {
            (self.since, self.resolved, self.phase) = (slot, None, Phase::Pending);
        }
        (self.seen, self.finding) = (slot, finding);
        if self.phase == Phase::Pending && slot.since(self.since) >= hold {
            (self.phase, self.fired) = (Phase::Firing, Some(slot));
        }
    }

    fn told(&self, key: &str, firing: bool, now: Timestamp) -> Told {
        Told {
            fingerprint: key.to_owned(),
            rule: self.rule.clone(),
            labels: self.labels.clone(),
            firing,
            starts: self.fired.unwrap_or(self.since),
            ends: (!firing).then(|| self.resolved.unwrap_or(now)),
            finding: self.finding.clone(),
        }
    }
}
