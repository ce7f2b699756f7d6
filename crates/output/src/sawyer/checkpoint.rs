//! Asks the receiver again and again whether what it has taken is there, at the end of its way.
//!
//! Owns: when it is asked, the file in which claims survive a restart, what is told of what is missing, and passing on
//! what others ask.
//! Does not own: what claims and answers mean (`telemetry`), how a question is sent (`target`).
//! Invariant: nothing waits for a question, save an output that has done its work, for a moment.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sawyer_disk::{Disk, read_all, write_atomic};
use sawyer_model::{Covered, Error};
use sawyer_pipeline::{Context, Stop, host_name, node_name};
use sawyer_telemetry::ledger::checkpoints::{Asked, Confirms, HOPS_MAX};
use sawyer_telemetry::{Answer, Clock, Gap, Ledger, Question, Seldom, Taken};
use tokio::sync::Notify;

use super::target::NativeTarget;

/// The file's name in the output's state folder. Its bytes are in docs/FORMATS.md, section "Checkpoints".
const FILE: &str = "checkpoint";

const MAGIC: &[u8; 7] = b"SAWYCHK";
const VERSION: u8 = 1;

/// A longer file was not written here: what may be open takes a tenth of it.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// How often claims are saved that have changed. After SIGKILL those of the last moments are not asked for.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);

/// How long an output that has done its work may ask once more before it ends.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// How soon is asked again where so much is open that it is asked for before its time.
const PRESSED_PAUSE: Duration = Duration::from_secs(1);

/// How often the same trouble is told of.
const TELL_INTERVAL: Duration = Duration::from_secs(600);

/// Gaps of one answer that are told one by one.
const GAPS_TOLD_MAX: usize = 10;

/// What an output was told to be taken.
pub(super) struct Claims {
    taken: Mutex<Taken>,
    pressed: Notify,
    output: String,
    clock: Clock,
    ledger: Ledger,
    state: Arc<dyn Disk>,
    trouble: Seldom,
}

impl Claims {
    /// Goes on with what was claimed before.
    pub(super) fn open(context: &Context) -> Self {
        let output = context.name.clone();
        let taken = match read_all(&*context.state, Path::new(FILE), FILE_BYTES_MAX) {
            Ok(bytes) => decode(&bytes),
            Err(error) if error.is_not_found() => Some(Taken::default()),
            Err(_) => None,
        };
        if taken.is_none() {
            tracing::warn!(
                output,
                "the file `checkpoint` cannot be used; what was open in it is not asked for"
            );
        }
        let claims = Self {
            taken: Mutex::new(taken.unwrap_or_default()),
            pressed: Notify::new(),
            output,
            clock: context.clock.clone(),
            ledger: context.metrics.ledger().clone(),
            state: Arc::clone(&context.state),
            trouble: Seldom::new(TELL_INTERVAL),
        };
        claims.show();
        claims
    }

    /// The receiver has called batches durable that account for these parts.
    pub(super) fn note<'a>(&self, batches: impl Iterator<Item = &'a [Covered]>) {
        let now = self.clock.now();
        let mut taken = self.taken.lock();
        batches.for_each(|covered| taken.note(covered, now));
        if taken.is_pressed() {
            self.pressed.notify_one();
        }
    }

    fn show(&self) {
        let checkpoint = self.taken.lock().checkpoint();
        self.ledger.set_checkpoint(&self.output, checkpoint);
    }

    fn tell(&self, gaps: &[Gap]) {
        let output = &self.output;
        for Gap { source, range, .. } in gaps.iter().take(GAPS_TOLD_MAX) {
            let (source, start, end) = (source.to_string(), range.start, range.end);
            tracing::error!(
                output,
                source,
                start,
                end,
                "the receiver said that it had taken this part of a source, and does not have it: these records are lost"
            );
        }
        if let Some(more) = gaps.len().checked_sub(GAPS_TOLD_MAX).filter(|more| *more > 0) {
            tracing::error!(output, more, "and further parts");
        }
    }

    fn save(&self, saved: &mut Vec<u8>) {
        let mut body = Vec::new();
        self.taken.lock().encode(&mut body);
        if body == *saved {
            return;
        }
        let written = self
            .state
            .create_dir_all(Path::new(""))
            .and_then(|()| write_atomic(&*self.state, Path::new(FILE), &encode(&body)));
        match written {
            Ok(()) => *saved = body,
            Err(error) => {
                if let Some(held_back) = self.trouble.pass(self.clock.now()) {
                    tracing::warn!(output = self.output, held_back, %error, "save what the receiver has taken");
                }
            }
        }
    }
}

fn encode(body: &[u8]) -> Vec<u8> {
    [&MAGIC[..], &[VERSION], &crc32c::crc32c(body).to_le_bytes(), body].concat()
}

fn decode(bytes: &[u8]) -> Option<Taken> {
    let rest = bytes.strip_prefix(MAGIC)?.strip_prefix(&[VERSION])?;
    let (checksum, body) = rest.split_first_chunk::<4>()?;
    let is_whole = crc32c::crc32c(body) == u32::from_le_bytes(*checksum);
    is_whole.then(|| Taken::decode(body).ok())?
}

/// See the head of the module.
pub(super) struct Asking {
    target: Arc<NativeTarget>,
    claims: Arc<Claims>,
    interval: Duration,
    agent: String,
}

impl Asking {
    pub(super) fn new(
        target: Arc<NativeTarget>,
        claims: Arc<Claims>,
        interval: Duration,
        context: &Context,
    ) -> Self {
        let confirms = passes_on(&target, context);
        context.metrics.ledger().confirms(&context.name, confirms);
        let agent = agent_name(context);
        Self { target, claims, interval, agent }
    }

    /// Asks while something runs, and once more when it has ended.
    pub(super) async fn beside<T>(self, work: impl Future<Output = T>, stop: &Stop) -> T {
        let ended = tokio::select! {
            ended = work => ended,
            never = self.ask_regularly() => match never {},
            never = self.save_regularly() => match never {},
        };
        let asked = async {
            if self.claims.taken.lock().sums().open > 0 {
                let _ = tokio::time::timeout(LAST_WAIT, self.ask()).await;
            }
        };
        tokio::select! {
            biased;
            () = stop.stopped() => {}
            () = asked => {}
        }
        self.save(Vec::new()).await;
        ended
    }

    async fn ask_regularly(&self) -> std::convert::Infallible {
        loop {
            let pressed = async {
                self.claims.pressed.notified().await;
                tokio::time::sleep(PRESSED_PAUSE).await;
            };
            tokio::select! {
                () = tokio::time::sleep(self.interval) => {}
                () = pressed => {}
            }
            if let Err(error) = self.ask().await
                && let Some(held_back) = self.claims.trouble.pass(self.claims.clock.now())
            {
                let (output, error) = (&self.claims.output, error.chain());
                tracing::info!(
                    output,
                    error,
                    held_back,
                    "whether what was taken is there is not known yet; it is asked again"
                );
            }
        }
    }

    async fn save_regularly(&self) -> std::convert::Infallible {
        let mut saved = Vec::new();
        loop {
            tokio::time::sleep(SAVE_INTERVAL).await;
            self.claims.show();
            saved = self.save(saved).await;
        }
    }

    async fn save(&self, mut saved: Vec<u8>) -> Vec<u8> {
        let claims = Arc::clone(&self.claims);
        let work = tokio::task::spawn_blocking(move || {
            claims.save(&mut saved);
            saved
        });
        // Only a panic would be an error, and that was told where it happened.
        work.await.unwrap_or_default()
    }

    /// Makes a checkpoint: asks for everything that is open.
    async fn ask(&self) -> Result<(), Error> {
        let claims = &*self.claims;
        claims.taken.lock().start();
        let asked = self.ask_all().await;
        if asked.is_err() {
            claims.taken.lock().give_up(claims.clock.now());
        }
        claims.show();
        asked
    }

    async fn ask_all(&self) -> Result<(), Error> {
        let claims = &*self.claims;
        loop {
            let (asked, sums) = {
                let taken = claims.taken.lock();
                (taken.next(), taken.sums())
            };
            if asked.is_empty() {
                return Ok(());
            }
            let (agent, output) = (self.agent.clone(), claims.output.clone());
            let question = Question { agent, output, claims: asked, sums, may_wait: false, hops: 0 };
            let answer = self.target.ask(&question, claims.clock.now()).await?;
            let (asked, now) = (question.claims, claims.clock.now());
            match answer {
                Some(answer) => {
                    let gaps = claims.taken.lock().answered(&asked, &answer, now);
                    claims.tell(&gaps);
                }
                None => claims.taken.lock().cannot_tell(&asked, now),
            }
        }
    }
}

/// The node, the role, and the pod or host: several Sawyers of one node may have outputs of the same name.
fn agent_name(context: &Context) -> String {
    let node = node_name(context.host_root.as_deref()).unwrap_or_default();
    let host = host_name().filter(|host| *host != node).unwrap_or_default();
    let parts = [node.as_str(), context.metrics.ledger().role(), host.as_str()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

/// What others ask of what came this way goes on to the receiver. With a buffer in front it may wait there.
fn passes_on(target: &Arc<NativeTarget>, context: &Context) -> Confirms {
    let (target, clock, waits) = (Arc::clone(target), context.clock.clone(), context.buffer.is_some());
    Arc::new(move |question: Question| -> Asked {
        let (target, clock) = (Arc::clone(&target), clock.clone());
        Box::pin(async move {
            if question.hops >= HOPS_MAX {
                return Ok(None);
            }
            let may_wait = question.may_wait || waits;
            let question = Question { hops: question.hops + 1, may_wait, ..question };
            let answer = target.ask(&question, clock.now()).await?;
            Ok(answer.map(|answer| Answer { may_wait: answer.may_wait || waits, ..answer }))
        })
    })
}

#[cfg(test)]
mod tests {
    use sawyer_model::{SeqRange, SourceId};

    use super::*;
    use crate::testing::{context, sim};

    fn claim(claims: &Claims, start: u64, end: u64) {
        let covered = [Covered { source: SourceId(7), range: SeqRange::new(start, end) }];
        claims.note([&covered[..]].into_iter());
    }

    #[test]
    fn claims_are_there_after_a_restart() {
        let state = sim();
        let context = context(&state);
        let claims = Claims::open(&context);
        claim(&claims, 0, 70);
        claims.taken.lock().start();
        claim(&claims, 70, 100);
        let mut saved = Vec::new();
        claims.save(&mut saved);
        drop(claims);
        Claims::open(&context);
        let [(output, checkpoint)] = &context.metrics.ledger().checkpoints()[..] else { panic!() };
        assert_eq!((output.as_str(), checkpoint.sums.open), ("out", 100));
    }

    #[test]
    fn a_damaged_file_is_not_used() {
        let claims = Claims::open(&context(&sim()));
        claim(&claims, 0, 70);
        let mut body = Vec::new();
        claims.taken.lock().encode(&mut body);
        let bytes = encode(&body);
        assert_eq!(decode(&bytes).as_ref(), Some(&*claims.taken.lock()));
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 4;
            assert_eq!(decode(&bytes), None, "{at}");
        }
    }
}
