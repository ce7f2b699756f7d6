//! `/tail`: new records as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::stream;
use futures_util::{Stream, StreamExt as _};
use sawyer_codec::json_out;
use sawyer_model::{Batch, Error, ErrorKind, RecordRef};
use sawyer_query::Predicate;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;

use crate::Api;
use crate::error::ApiError;
use crate::params::Params;
use crate::search::render_options;

/// Tails at the same time; each holds some batches in memory.
pub(crate) const TAILS_MAX: usize = 64;

/// Batches that wait for a slow reader; when it is full, new ones are passed over and counted.
const BATCHES_WAITING_MAX: usize = 32;

/// Records that one tail passes on in a second; nobody reads faster, and browsers choke.
const RECORDS_PER_SECOND_MAX: u64 = 1000;

/// How often a comment is sent when nothing else is.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

struct Tail {
    /// Keeps the number of tails bounded; given back when the client leaves.
    _place: OwnedSemaphorePermit,
    predicate: Predicate,
    options: json_out::Options,
    batches: mpsc::Receiver<Arc<Batch>>,
    passed_over: Arc<AtomicU64>,
    ready: std::collections::VecDeque<Event>,
    second: Instant,
    this_second: u64,
}

pub(crate) async fn tail(
    State(api): State<Api>,
    params: Params,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let predicate = api.predicate(&params, api.0.clock.now())?;
    let options = render_options(&params)?;
    let busy = || Error::new(ErrorKind::Retry, format!("{TAILS_MAX} live views are open already"));
    let place = Arc::clone(&api.0.tails).try_acquire_owned().map_err(|_| busy())?;
    let (sender, batches) = mpsc::channel(BATCHES_WAITING_MAX);
    let passed_over = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&passed_over);
    api.0.search.follow(Box::new(move |batch| match sender.try_send(Arc::clone(batch)) {
        Ok(()) => true,
        Err(mpsc::error::TrySendError::Full(batch)) => {
            counter.fetch_add(batch.len() as u64, Ordering::Relaxed);
            true
        }
        Err(mpsc::error::TrySendError::Closed(_)) => false,
    }));
    let (second, ready) = (Instant::now(), std::collections::VecDeque::new());
    let tail =
        Tail { _place: place, predicate, options, batches, passed_over, ready, second, this_second: 0 };
    let stop = api.0.stop.clone();
    let events = stream::unfold(tail, |mut tail| async move {
        let event = tail.next().await?;
        Some((Ok(event), tail))
    });
    let events = events.take_until(async move { stop.stopped().await });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

impl Tail {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let passed_over = self.passed_over.swap(0, Ordering::Relaxed);
            if passed_over > 0 {
                return Some(skipped(passed_over));
            }
            let batch = self.batches.recv().await?;
            self.take(&batch);
        }
    }

    fn take(&mut self, batch: &Batch) {
        let mut left_out = 0;
        for record in batch.iter().filter(|record| self.predicate.matches(*record)) {
            if self.second.elapsed() >= Duration::from_secs(1) {
                (self.second, self.this_second) = (Instant::now(), 0);
            }
            if self.this_second >= RECORDS_PER_SECOND_MAX {
                left_out += 1;
                continue;
            }
            self.this_second += 1;
            self.ready.push_back(event(record, &self.options));
        }
        if left_out > 0 {
            self.ready.push_back(skipped(left_out));
        }
    }
}

fn event(record: RecordRef<'_>, options: &json_out::Options) -> Event {
    let mut data = Vec::new();
    json_out::write(record, options, &mut data);
    Event::default().event("record").data(String::from_utf8(data).unwrap_or_default())
}

fn skipped(count: u64) -> Event {
    Event::default().event("skipped").data(format!("{{\"count\":{count}}}"))
}
