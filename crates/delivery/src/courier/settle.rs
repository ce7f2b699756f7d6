//! What follows from an answer.
//!
//! Invariant: every item of a request that came back is acknowledged, given back, or rejected.

use sawyer_model::Fate;

use super::*;

impl<T: Target> Courier<T> {
    pub(super) fn settle(&mut self, returned: Returned<T::Payload>) {
        let Returned { group, answer, started, saturated, .. } = returned;
        let partition = group.partition;
        match answer {
            Answer::Items { verdicts, detail } if verdicts.len() == group.count() => {
                self.settle_items(group, verdicts, detail, started, saturated);
            }
            Answer::Items { verdicts, .. } => {
                let (got, expected) = (verdicts.len(), group.count());
                let detail = format!("the answer speaks of {got} items, and {expected} were sent");
                self.failed(group, Trouble { reason: "answer", detail, after: None }, started);
            }
            Answer::TooLarge => {
                self.answered(started);
                self.waiting.too_large(&group, Instant::now());
                self.halve(group, "too large for the target".to_owned());
            }
            Answer::Refused(reason) => {
                self.answered(started);
                self.halve(group, reason);
            }
            Answer::Failed(trouble) => self.failed(group, trouble, started),
        }
        self.waiting.returned(partition);
    }

    fn settle_items(
        &mut self,
        group: Group<T::Payload>,
        verdicts: Vec<Verdict>,
        detail: Option<String>,
        started: Instant,
        saturated: bool,
    ) {
        let now = Instant::now();
        let (mut done, mut duplicates) = (0, 0);
        let mut rejected = Vec::new();
        let mut again = Again { entries: Vec::new(), after: None, reasons: Vec::new() };
        let mut verdicts = verdicts.into_iter();
        for entry in group.entries {
            let count = entry.count();
            if verdicts.as_slice()[..count].iter().all(|verdict| *verdict == Verdict::Done) {
                verdicts.by_ref().take(count).for_each(drop);
                done += count;
                entry.item.ack.durable();
                continue;
            }
            if verdicts.as_slice()[..count].iter().all(|verdict| matches!(verdict, Verdict::Retry { .. })) {
                again.push_whole(entry, verdicts.by_ref().take(count));
                continue;
            }
            for (entry, verdict) in entry.apart().zip(verdicts.by_ref()) {
                match verdict {
                    Verdict::Done => {
                        done += 1;
                        entry.item.ack.durable();
                    }
                    Verdict::Duplicate => {
                        duplicates += 1;
                        entry.item.ack.ended(Fate::Deduplicated, "target");
                    }
                    Verdict::Reject { reason } => rejected.push((entry, reason)),
                    verdict @ Verdict::Retry { .. } => again.push_whole(entry, std::iter::once(verdict)),
                }
            }
        }
        self.state.delivered(done, duplicates);
        let detail = detail.unwrap_or_else(|| "the target asks to try again".to_owned());
        match again.reasons.first() {
            Some((reason, _)) if done + duplicates + rejected.len() == 0 => {
                self.state.failed(&Trouble { reason, detail: detail.clone(), after: again.after });
            }
            Some(_) => {
                self.state.noted(detail.clone());
                self.answered(started);
            }
            None => self.answered(started),
        }
        if again.entries.is_empty() {
            self.adaptive.succeeded(started, now, saturated);
            self.waiting.taken(now);
        } else {
            self.adaptive.overloaded(started, now);
        }
        for (reason, count) in &again.reasons {
            self.state.retried(reason, *count);
        }
        let pause = self.random.pause(again.retries() + 1, self.limits.retry_pause_max);
        let due = now + again.after.map_or(pause, |after| after.max(pause));
        let retried = Group { entries: again.entries, partition: group.partition, fixed: false, due };
        let expired = self.give_back(retried, due, &detail);
        rejected.extend(expired);
        self.reject(rejected);
    }

    /// The target answers: what was shut opens, unless the request was sent before another one failed.
    fn answered(&mut self, started: Instant) {
        if self.gate.last_failure.is_none_or(|failure| started >= failure) {
            self.gate = Gate { failures: 0, last_failure: self.gate.last_failure, until: None };
        }
        self.state.answers();
    }

    /// Sends the same items again after a while, and nothing else before that.
    fn failed(&mut self, mut group: Group<T::Payload>, trouble: Trouble, started: Instant) {
        let now = Instant::now();
        self.adaptive.overloaded(started, now);
        self.state.failed(&trouble);
        self.state.retried(trouble.reason, group.count());
        // Requests that were under way when the first one failed tell the same thing, and count once.
        if self.gate.last_failure.is_none_or(|last| started >= last) {
            self.gate.failures = self.gate.failures.saturating_add(1);
            let pause = self.random.pause(self.gate.failures, self.limits.retry_pause_max);
            self.gate.until = Some(now + pause);
            self.gate.last_failure = Some(now);
        }
        let until = self.gate.until.unwrap_or(now);
        let until = trouble.after.map_or(until, |after| until.max(now + after));
        self.gate.until = Some(until);
        group.due = now;
        let detail = trouble.detail;
        let rejected = self.give_back(group, until, &detail);
        self.reject(rejected);
    }

    /// Sends both halves, each as it is; what cannot be cut is rejected.
    fn halve(&mut self, group: Group<T::Payload>, reason: String) {
        let Group { mut entries, partition, .. } = group;
        if entries.len() == 1 {
            entries = entries.into_iter().flat_map(Entry::apart).collect();
        }
        if entries.len() <= 1 {
            let rejected = entries.pop().map(|entry| (entry, reason));
            return self.reject(rejected.into_iter().collect());
        }
        self.state.split();
        let second = entries.split_off(entries.len() / 2);
        let due = Instant::now();
        for entries in [second, entries] {
            self.waiting.give_back(Group { entries, partition, fixed: true, due });
        }
    }

    /// Gives back the items whose time is not over when they would be sent again; the others are to be rejected.
    fn give_back(
        &mut self,
        mut group: Group<T::Payload>,
        sent_at: Instant,
        detail: &str,
    ) -> Vec<(Entry<T::Payload>, String)> {
        let mut expired = Vec::new();
        if let Some(most) = self.limits.retry_time_max {
            let (kept, over): (Vec<_>, Vec<_>) =
                group.entries.into_iter().partition(|entry| sent_at - entry.since <= most);
            let secs = most.as_secs();
            let reason = format!("not delivered within {secs} s; the last trouble was: {detail}");
            expired.extend(over.into_iter().map(|entry| (entry, reason.clone())));
            group.entries = kept;
        }
        self.waiting.give_back(group);
        expired
    }
}

/// Items that are tried again.
struct Again<P> {
    entries: Vec<Entry<P>>,
    after: Option<std::time::Duration>,
    reasons: Vec<(&'static str, usize)>,
}

impl<P> Again<P> {
    /// All that an entry stands for is tried again, so it stays as it is: what was made of it is made once.
    fn push_whole(&mut self, mut entry: Entry<P>, verdicts: impl Iterator<Item = Verdict>) {
        entry.retries = entry.retries.saturating_add(1);
        self.entries.push(entry);
        for verdict in verdicts {
            let Verdict::Retry { reason, after } = verdict else { continue };
            self.after = self.after.max(after);
            match self.reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, count)) => *count += 1,
                None => self.reasons.push((reason, 1)),
            }
        }
    }

    /// How often the least unlucky of them was tried before.
    fn retries(&self) -> u32 {
        self.entries.iter().map(|entry| entry.retries).min().map_or(0, |retries| retries.saturating_sub(1))
    }
}
