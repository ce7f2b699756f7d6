//! Outputs to which records go as lines: one group of them after the other, each written and made durable as a whole.
//!
//! Owns: gathering transfers into groups, trying again, acknowledging.
//! Does not own: where the lines go ([`Sink`]).
//! Invariant: a transfer is acknowledged after the write that held all its lines succeeded; a record that was refused
//! is told, counted, and left out.

use std::sync::Arc;
use std::time::Duration;

use sawyer_model::{Batch, Error, ErrorKind, Fate, LeftOut};
use sawyer_pipeline::{Backoff, Context, Output, QueueReceiver, Queued, Running, Stop};
use tokio::time::{Instant, timeout_at};

use crate::encode::LineFormat;
use crate::report::Report;

#[cfg(test)]
mod tests;

/// Bytes of records that are written as one group; one transfer may be larger. Larger groups need fewer syncs, and
/// hold more memory; one as large as the queue in front of it would never be full.
const GROUP_BYTES_MAX: usize = 1 << 20;

/// Shortest and longest pause before a write is tried again.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(10);

/// Where lines go. It may block; it runs on a thread for that.
pub(crate) trait Sink: Send + 'static {
    /// Writes the lines that are not done yet. They are durable, as far as the output promises, when it returns.
    ///
    /// # Errors
    /// `Retry` to be called again with the same lines after a while; any other kind ends the output.
    fn write(&mut self, lines: &mut Lines) -> Result<(), Error>;

    /// Nothing more will come.
    fn close(&mut self) {}
}

/// Records as lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
    /// Where each record's line ends.
    ends: Vec<usize>,
    /// How many records are done with. A sink that is done with some before it fails says so here, so that they are
    /// not sent again.
    pub(crate) done: usize,
    /// Records, by their place, that were refused for good, and why.
    pub(crate) refused: Vec<(usize, String)>,
}

impl Lines {
    pub(crate) fn encode(batches: &[Arc<Batch>], format: LineFormat) -> Self {
        let mut lines = Self::default();
        for batch in batches {
            format.write_all(batch, &mut lines.bytes, &mut lines.ends);
        }
        lines
    }

    /// How many records.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The lines of some records.
    pub(crate) fn part(&self, records: std::ops::Range<usize>) -> &[u8] {
        let start = |at: usize| at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start(records.start)..start(records.end)]
    }

    /// The lines that are not done yet.
    pub(crate) fn rest(&self) -> &[u8] {
        self.part(self.done..self.len())
    }
}

/// An output that writes lines into a sink.
pub(crate) struct LineOutput<S> {
    sink: S,
    format: LineFormat,
    gather: Duration,
    report: Report,
}

impl<S: Sink> LineOutput<S> {
    /// `gather` is how long a group waits for further transfers; with zero it takes only what is there already.
    pub(crate) fn new(sink: S, format: LineFormat, gather: Duration, context: &Context) -> Self {
        Self { sink, format, gather, report: Report::new(context) }
    }
}

impl<S: Sink> Output for LineOutput<S> {
    fn run(self: Box<Self>, from: QueueReceiver, stop: Stop) -> Running {
        Box::pin(async move {
            // Whatever is under way when it is time to give up is dropped, and with it the duty to acknowledge.
            tokio::select! {
                biased;
                () = stop.stopped() => Ok(()),
                ended = deliver_all(*self, from) => ended,
            }
        })
    }
}

async fn deliver_all<S: Sink>(output: LineOutput<S>, mut from: QueueReceiver) -> Result<(), Error> {
    let LineOutput { mut sink, format, gather: wait, report } = output;
    while let Some(group) = gather(&mut from, wait).await {
        sink = deliver(sink, group, format, &report).await?;
    }
    blocking(move || sink.close()).await
}

/// The next transfers; none once the queue is closed and empty.
async fn gather(from: &mut QueueReceiver, wait: Duration) -> Option<Vec<Queued>> {
    let first = from.next().await?;
    let deadline = Instant::now() + wait;
    let mut bytes = first.transfer.batch.bytes();
    let mut group = vec![first];
    while bytes < GROUP_BYTES_MAX {
        let next = match from.try_next() {
            None if wait.is_zero() => None,
            None => timeout_at(deadline, from.next()).await.ok().flatten(),
            some => some,
        };
        let Some(next) = next else { break };
        bytes += next.transfer.batch.bytes();
        group.push(next);
    }
    Some(group)
}

/// Writes a group, again and again until it succeeds, and acknowledges it.
async fn deliver<S: Sink>(
    mut sink: S,
    group: Vec<Queued>,
    format: LineFormat,
    report: &Report,
) -> Result<S, Error> {
    let batches: Vec<Arc<Batch>> = group.iter().map(|queued| Arc::clone(&queued.transfer.batch)).collect();
    let mut lines = blocking(move || Lines::encode(&batches, format)).await?;
    let mut backoff = Backoff::new(RETRY_PAUSE_MIN, RETRY_PAUSE_MAX);
    let mut attempt = 1;
    while lines.done < lines.len() {
        let done_before = lines.done;
        let written;
        (sink, lines, written) = blocking(move || {
            let written = sink.write(&mut lines);
            (sink, lines, written)
        })
        .await?;
        match written {
            Ok(()) => break,
            Err(error) if error.kind() == ErrorKind::Retry => {
                report.retrying(&error, attempt);
                attempt += 1;
                // It fails, and gets on all the same.
                if lines.done > done_before {
                    backoff.worked();
                }
                tokio::time::sleep(backoff.failed()).await;
            }
            Err(error) => {
                report.failed(&error);
                return Err(error);
            }
        }
    }
    acknowledge(group, &lines, report);
    Ok(sink)
}

fn acknowledge(group: Vec<Queued>, lines: &Lines, report: &Report) {
    let accepted = lines.len() - lines.refused.len();
    if accepted > 0 {
        report.delivered(accepted, lines.bytes.len());
    }
    let rule = Arc::from("refused");
    let mut refused = lines.refused.iter().peekable();
    let mut end = 0;
    for queued in group {
        let (transfer, room) = queued.into_parts();
        let start = end;
        end += transfer.batch.len();
        let (mut ack, mut left_out) = (transfer.ack, LeftOut::default());
        while let Some((at, why)) = refused.next_if(|(at, _)| *at < end) {
            let record = transfer.batch.get(at - start);
            report.refused(&record.id().to_string(), why);
            left_out.add(record);
        }
        ack.note(Fate::Filtered, &rule, &left_out);
        // Unacknowledged, the source would give all of it again and again.
        ack.durable();
        drop(room);
    }
}

/// Runs what blocks on a thread for that.
async fn blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|panic| Error::new(ErrorKind::Bug, "an output panicked").because(panic))
}
