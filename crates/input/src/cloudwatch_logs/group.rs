//! Reads one log group.
//!
//! Owns: asking for its events page by page, making records of them, waiting until they are durable.
//! Does not own: what is looked at (`cursor`), what was read before (`seen`).
//! Invariant: what was not delivered is looked at again before anything behind it counts as read.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use sawyer_codec::cloudwatch::{self, Event, Place};
use sawyer_codec::pushed::{Bounds, Intake, Origin, Trust};
use sawyer_model::{Ack, Outcome, Tally};
use sawyer_pipeline::{Outlet, Patience, Stop};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio::sync::oneshot;

use super::Shared;
use super::cursor::{Cursor, Look, PAGES_MAX};
use super::seen::{Mark, Seen};
use crate::aws::Why;

/// Events of a page: the most that the service gives.
const PAGE_EVENTS: usize = 10_000;

/// Memory of a page's batch at most. A page has a megabyte of messages; what is added to each may be more than that.
const BATCH_BYTES_MAX: usize = 64 << 20;

/// Pages that are on their way at most.
const PAGES_AWAY_MAX: usize = 8;

/// Pause before what was not delivered is read again.
const UNDELIVERED_PAUSE: Duration = Duration::from_secs(1);

/// A log group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// How it is asked for: by its name, or by an ARN for one of another account.
    pub(super) name: String,
    by_arn: bool,
    /// The name that its records say.
    shown: String,
    /// Empty if it is not known.
    account: String,
}

impl Group {
    /// One of the own account.
    pub(super) fn named(name: &str, account: &str) -> Self {
        Self { name: name.to_owned(), by_arn: false, shown: name.to_owned(), account: account.to_owned() }
    }

    /// One that was described.
    pub(super) fn described(name: &str, arn: &str) -> Self {
        Self::named(name, arn.split(':').nth(4).unwrap_or_default())
    }

    /// `arn:aws:logs:eu-west-1:123456789012:log-group:/aws/eks/c/cluster`, perhaps with `:*` behind.
    pub(super) fn of_arn(text: &str) -> Option<Self> {
        let arn = text.strip_suffix(":*").unwrap_or(text);
        let parts: Vec<&str> = arn.splitn(7, ':').collect();
        match parts[..] {
            ["arn", _, "logs", _, account, "log-group", name] => {
                Some(Self { by_arn: true, shown: name.to_owned(), ..Self::named(arn, account) })
            }
            _ => None,
        }
    }
}

/// One page of events.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Page {
    events: Vec<PageEvent>,
    next_token: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PageEvent {
    log_stream_name: String,
    timestamp: Option<i64>,
    message: String,
    event_id: String,
}

/// How a look ended.
enum Looked {
    /// All of it is durable; so many pages.
    Done(u32),
    /// It has to be done again, after a pause.
    Again,
    /// There is no such group.
    NotFound,
    /// Told to stop.
    Stopped,
    /// A pipeline has ended.
    Closed,
}

/// A page on its way.
struct Away {
    /// What is to be booked, once it is durable.
    durable: oneshot::Receiver<Option<Tally>>,
    marks: Vec<Mark>,
}

pub(super) struct Follower {
    shared: Arc<Shared>,
    group: Group,
    /// None once it is told to stop and all that was read is on its way, so that the pipelines can end.
    to: Option<Outlet>,
    patience: Patience,
    stop: Stop,
    cursor: Cursor,
    seen: Seen,
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>, group: Group, to: Outlet, stop: Stop) -> Self {
        let now = shared.context.clock.now();
        let offsets = shared.offsets.lock();
        let seen = Seen::open(&shared.asker.region, &group.name, &offsets);
        let known = offsets.get(seen.source()).map(crate::offsets::Progress::watermark);
        drop(offsets);
        let first = || now.saturating_sub(shared.settings.history).millis().max(0);
        let late_max = shared.settings.late_max;
        let cursor = match known {
            Some(known) => Cursor::new(i64::try_from(known).unwrap_or(i64::MAX), late_max),
            None => Cursor::beginning(first(), late_max),
        };
        let patience = to.patience();
        Self { shared, group, to: Some(to), patience, stop, cursor, seen }
    }

    /// Reads until told to stop, or there is nothing any more to be read. Gives the group's name.
    ///
    /// # Errors
    /// If a pipeline has ended.
    pub(super) async fn run(mut self) -> Result<String, ()> {
        self.note();
        loop {
            let now = self.shared.context.clock.now().millis();
            let look = self.cursor.next(now);
            let pause = match self.look(look).await {
                Looked::Done(pages) => {
                    let more = self.cursor.looked(look, now, pages);
                    self.note();
                    if more { Duration::ZERO } else { self.shared.settings.interval }
                }
                Looked::Again => UNDELIVERED_PAUSE,
                Looked::NotFound => {
                    tracing::warn!(
                        input = self.shared.context.name,
                        group = self.group.name,
                        "there is no such log group; it is looked for again"
                    );
                    self.shared.gone(&self.group.name);
                    self.rest(super::DISCOVER_INTERVAL).await;
                    return Ok(self.group.name);
                }
                Looked::Stopped => return Ok(self.group.name),
                Looked::Closed => return Err(()),
            };
            if !self.rest(pause).await {
                return Ok(self.group.name);
            }
        }
    }

    /// Waits; says whether to go on.
    async fn rest(&self, pause: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.stop.stopped() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }

    /// Writes down how far it came.
    fn note(&mut self) {
        let now = self.shared.context.clock.now();
        let (done_to, forgotten) = (self.cursor.done_to(), self.cursor.forgotten_before());
        self.seen.read_to(done_to, forgotten, now, &mut self.shared.offsets.lock());
        self.shared.read_to(&self.group.name, done_to);
        self.shared.offsets.save(false);
    }

    async fn look(&mut self, look: Look) -> Looked {
        let (mut away, mut this_look) = (VecDeque::new(), HashSet::new());
        let (mut token, mut pages) = (None::<String>, 0);
        let ended = loop {
            let request = self.request(look, token.as_deref());
            let page: Page = match self.shared.asker.ask("FilterLogEvents", &request, &self.stop).await {
                Some(Ok(page)) => page,
                Some(Err(refusal)) if refusal.why == Why::NotFound => break Looked::NotFound,
                Some(Err(refusal)) => {
                    // Such as a token that is too old: what is durable is not sent again.
                    self.shared.asker.tell("FilterLogEvents", &refusal);
                    break Looked::Again;
                }
                None => break Looked::Stopped,
            };
            pages += 1;
            match self.send(&page, look, &mut this_look).await {
                Ok(sent) => away.extend(sent),
                Err(ended) => break ended,
            }
            if away.len() >= PAGES_AWAY_MAX
                && let Some(first) = away.pop_front()
                && !self.land(first).await
            {
                break Looked::Again;
            }
            token = page.next_token.filter(|next| token.as_ref() != Some(next));
            if token.is_none() {
                break Looked::Done(pages);
            }
            // What was sent is not sent again.
            if pages.is_multiple_of(PAGES_MAX) && self.cursor.shorten(look) {
                break Looked::Again;
            }
        };
        let mut all = true;
        for page in away {
            all &= self.land(page).await;
        }
        match ended {
            Looked::Done(_) if self.stop.is_stopped() && !all => Looked::Stopped,
            Looked::Done(_) if !all => Looked::Again,
            ended => ended,
        }
    }

    fn request(&self, look: Look, token: Option<&str>) -> Json {
        let settings = &self.shared.settings;
        let mut request = json!({"startTime": look.from, "limit": PAGE_EVENTS});
        let key = if self.group.by_arn { "logGroupIdentifier" } else { "logGroupName" };
        request[key] = self.group.name.as_str().into();
        if let Some(to) = look.to {
            // The service's end is the last that is in it.
            request["endTime"] = (to - 1).into();
        }
        let others = [
            ("logStreamNamePrefix", settings.streams_prefix.as_deref()),
            ("filterPattern", settings.filter.as_deref()),
            ("nextToken", token),
        ];
        for (name, value) in others {
            if let Some(value) = value {
                request[name] = value.into();
            }
        }
        request
    }

    /// Sends what is new of a page, if anything is.
    async fn send(
        &mut self,
        page: &Page,
        look: Look,
        this_look: &mut HashSet<Mark>,
    ) -> Result<Option<Away>, Looked> {
        let mut intake = Intake::new(self.origin());
        let mut marks = Vec::new();
        let mut late = 0;
        {
            let offsets = self.shared.offsets.lock();
            for event in &page.events {
                let millis = event.timestamp.unwrap_or(look.done_to);
                let mark = Mark::of(&event.event_id, millis);
                if self.seen.has(mark, &offsets) || !this_look.insert(mark) {
                    continue;
                }
                self.take(event, &mut intake);
                late += u64::from(millis < self.cursor.done_to());
                marks.push(mark);
            }
        }
        let mut batch = intake.finish().batch;
        if batch.is_empty() {
            return Ok(None);
        }
        batch.set_whole();
        self.shared.late.inc_by(late);
        let (told, durable) = oneshot::channel();
        let ack = Ack::tallied(move |outcome, tally| {
            let _ = told.send((outcome == Outcome::Durable).then_some(tally));
        });
        let Some(to) = &self.to else { return Err(Looked::Stopped) };
        tokio::select! {
            biased;
            sent = to.send_tallied(batch, ack) => sent.map_err(|_| Looked::Closed)?,
            () = self.patience.over() => return Err(Looked::Stopped),
        }
        Ok(Some(Away { durable, marks }))
    }

    fn take(&self, event: &PageEvent, intake: &mut Intake) {
        let (account, group) = (&*self.group.account, &*self.group.shown);
        let place = Place { account, group, stream: &event.log_stream_name };
        let said = Event { id: &event.event_id, millis: event.timestamp, message: &event.message };
        if let Err(refused) = cloudwatch::take(place, said, &[], intake) {
            self.shared.refused.inc();
            let (input, group, id) = (&self.shared.context.name, &self.group.name, &event.event_id);
            tracing::error!(input, group, id, "an event is left out: {refused}");
        }
    }

    fn origin(&self) -> Origin {
        Origin {
            stream: Arc::clone(&self.shared.stream),
            trust: Arc::new(Trust::Claimed),
            // Every event has a name of its own.
            source: self.seen.source(),
            numbers: None,
            observed: self.shared.context.clock.now(),
            bounds: Bounds { records_max: usize::MAX, batch_bytes_max: BATCH_BYTES_MAX },
        }
    }

    /// Waits until it is known what became of a page, after a stop until the time for that is over. Says whether it is durable.
    async fn land(&mut self, page: Away) -> bool {
        let Away { mut durable, marks } = page;
        let landed = loop {
            tokio::select! {
                biased;
                landed = &mut durable => break landed.unwrap_or_default(),
                () = self.patience.over() => break None,
                () = self.stop.stopped(), if self.to.is_some() => self.to = None,
            }
        };
        if let Some(tally) = &landed {
            let now = self.shared.context.clock.now();
            let groups = self.shared.done_to.lock().len();
            let mut offsets = self.shared.offsets.lock();
            offsets.book(tally);
            self.seen.add(&marks, now, groups, &mut offsets);
        }
        landed.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_names_and_accounts() {
        let arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/eks/c/cluster";
        let other = Group::of_arn(&format!("{arn}:*")).unwrap();
        assert_eq!(
            (&*other.name, &*other.shown, &*other.account),
            (arn, "/aws/eks/c/cluster", "123456789012")
        );
        assert_eq!(Group::of_arn("/aws/eks/c/cluster"), None);
        assert_eq!(Group::described("g", &format!("{arn}:*")), Group::named("g", "123456789012"));
    }
}
