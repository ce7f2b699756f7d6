//! Checkpoints: whoever was told that something is taken asks later whether it is still there, end to end.
//!
//! Owns: what is asked and answered, who can answer in this process, what is shown of both sides.
//! Does not own: what was told to be taken ([`taken`](super::taken)), the way between two Sawyers (`output`, `server`).
//! Invariant: a question passes on to whoever has the records now. That something lacks there is a fault only if it
//! cannot wait anywhere on the way.

pub mod bytes;

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;
use sawyer_model::{Error, ErrorKind, SeqRange, SourceId, Timestamp};

use crate::derived::escaped;

/// How many Sawyers a question passes at most; a circle of them would pass it on for ever.
pub const HOPS_MAX: u8 = 8;

/// Sawyers of which it is remembered what they asked. Beyond it, whoever was not heard of for longest is forgotten.
const PEERS_MAX: usize = 10_000;

/// Parts of a source that were told to be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The source.
    pub source: SourceId,
    /// When the first of them was told.
    pub since: Timestamp,
    /// The parts, ascending.
    pub ranges: Vec<SeqRange>,
}

/// Parts of a source that somebody has not, or of which he cannot tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The source.
    pub source: SourceId,
    /// The parts, ascending.
    pub ranges: Vec<SeqRange>,
}

/// What an output was told to be taken, by what became known of it: bytes of files, of other sources their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// It is there, or a rule left it out there.
    pub confirmed: u64,
    /// It is not there.
    pub missing: u64,
    /// Nobody can tell any more.
    pub unknown: u64,
    /// It was not asked for, or may wait on the way.
    pub open: u64,
}

/// Whether everything that was told to be taken is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who asks.
    pub agent: String,
    /// The output that was told.
    pub output: String,
    /// What was told to be taken, ascending by source, each once.
    pub claims: Vec<Claim>,
    /// All that the output was told, up to now.
    pub sums: Sums,
    /// Whether some of it may wait in a buffer that this question has passed.
    pub may_wait: bool,
    /// How many Sawyers it has passed.
    pub hops: u8,
}

/// What is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Whether it may wait in a buffer on the way.
    pub may_wait: bool,
    /// What is not there.
    pub lacking: Vec<Parts>,
    /// What was too long ago to tell.
    pub unknown: Vec<Parts>,
}

/// Something that was told to be taken and is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// When it was noticed.
    pub at: Timestamp,
    /// Of which source.
    pub source: SourceId,
    /// Which part of it.
    pub range: SeqRange,
}

/// What is known of what an output was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// How much it is.
    pub sums: Sums,
    /// Since when something is open.
    pub open_since: Option<Timestamp>,
    /// When there was an answer last.
    pub answered: Option<Timestamp>,
    /// What was missing last, oldest first.
    pub gaps: Vec<Gap>,
}

/// Another Sawyer's output, as it told of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// When it asked last.
    pub heard: Timestamp,
    /// What it knew then.
    pub sums: Sums,
    /// What it claimed and was not here at once, since this process started.
    pub lacked: u64,
}

/// An answer that is on its way; none if nobody can tell.
pub type Asked = Pin<Box<dyn Future<Output = Result<Option<Answer>, Error>> + Send>>;

/// Whoever can tell for an output what is there.
pub type Confirms = Arc<dyn Fn(Question) -> Asked + Send + Sync>;

/// Who asked, who can answer, and what came of it.
#[derive(Default)]
pub(super) struct Checkpoints {
    own: Mutex<BTreeMap<Box<str>, Checkpoint>>,
    peers: Mutex<Peers>,
    confirm: Mutex<BTreeMap<Box<str>, Confirms>>,
    /// The outputs that get the records of an input under the identities that they came with.
    leads: Mutex<BTreeMap<Box<str>, Vec<Box<str>>>>,
}

#[derive(Default)]
struct Peers {
    /// By agent and output.
    all: BTreeMap<(Box<str>, Box<str>), Peer>,
    /// What any of them claimed and was not here.
    lacked: u64,
}

impl fmt::Debug for Checkpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoints").finish_non_exhaustive()
    }
}

/// Numbers in several parts.
#[must_use]
pub fn sum(parts: &[Parts]) -> u64 {
    let lengths = parts.iter().flat_map(|parts| &parts.ranges).map(|range| range.len());
    lengths.fold(0, u64::saturating_add)
}

impl Sums {
    /// All that was told to be taken.
    #[must_use]
    pub fn taken(&self) -> u64 {
        let others = [self.missing, self.unknown, self.open];
        others.into_iter().fold(self.confirmed, u64::saturating_add)
    }
}

impl super::Ledger {
    /// Shows what is known of what an output was told.
    pub fn set_checkpoint(&self, output: &str, checkpoint: Checkpoint) {
        self.0.checkpoints.own.lock().insert(output.into(), checkpoint);
    }

    /// What is known of what outputs were told, by output.
    #[must_use]
    pub fn checkpoints(&self) -> Vec<(String, Checkpoint)> {
        let own = self.0.checkpoints.own.lock();
        own.iter().map(|(output, checkpoint)| (output.to_string(), checkpoint.clone())).collect()
    }

    /// Remembers what another Sawyer asked, and how much of that is certainly not here.
    pub fn note_peer(&self, question: &Question, lacked: u64) {
        let mut peers = self.0.checkpoints.peers.lock();
        peers.lacked = peers.lacked.saturating_add(lacked);
        let key = (question.agent.as_str().into(), question.output.as_str().into());
        let before = peers.all.get(&key).map_or(0, |peer| peer.lacked);
        let heard = self.0.clock.now();
        peers.all.insert(key, Peer { heard, sums: question.sums, lacked: before.saturating_add(lacked) });
        if peers.all.len() > PEERS_MAX {
            let oldest = peers.all.iter().min_by_key(|(_, peer)| peer.heard).map(|(key, _)| key.clone());
            oldest.and_then(|key| peers.all.remove(&key));
        }
    }

    /// The Sawyers that have asked: agent, output, and what it told.
    #[must_use]
    pub fn peers(&self) -> Vec<(String, String, Peer)> {
        let peers = self.0.checkpoints.peers.lock();
        let peer = |((agent, output), peer): (&(Box<str>, Box<str>), &Peer)| {
            (agent.to_string(), output.to_string(), peer.clone())
        };
        peers.all.iter().map(peer).collect()
    }

    /// From now on this tells what is where an output puts its records.
    pub fn confirms(&self, output: &str, confirms: Confirms) {
        self.0.checkpoints.confirm.lock().insert(output.into(), confirms);
    }

    /// Says to which outputs the records of an input come as they are: under their own identities.
    pub fn leads(&self, input: &str, outputs: impl IntoIterator<Item = Box<str>>) {
        self.0.checkpoints.leads.lock().insert(input.into(), outputs.into_iter().collect());
    }

    /// The next topology opens: those of the outputs before it that are gone are neither shown nor asked any more.
    pub fn forget_outputs(&self) {
        let Checkpoints { own, confirm, leads, .. } = &self.0.checkpoints;
        leads.lock().clear();
        confirm.lock().clear();
        own.lock().clear();
    }

    /// Asks all who got what came in at this input. None if nobody of them can tell.
    ///
    /// # Errors
    /// If one of them cannot be asked now, or it is not known yet who they are.
    pub async fn ask(&self, input: &str, question: &Question) -> Result<Option<Answer>, Error> {
        let outputs = self.0.checkpoints.leads.lock().get(input).cloned();
        let outputs = outputs.ok_or_else(|| {
            Error::new(ErrorKind::Retry, format!("what comes in at `{input}` goes nowhere yet"))
        })?;
        let of = |output| self.0.checkpoints.confirm.lock().get(output).cloned();
        let confirms: Vec<Confirms> = outputs.iter().filter_map(of).collect();
        let mut all: Option<Answer> = None;
        for confirms in confirms {
            let Some(mut answer) = confirms(question.clone()).await? else { continue };
            let all = all.get_or_insert_default();
            all.may_wait |= answer.may_wait;
            all.lacking.append(&mut answer.lacking);
            all.unknown.append(&mut answer.unknown);
        }
        Ok(all)
    }
}

/// A metric of one number for each output: its name, its kind, what it is.
type Shown = (&'static str, &'static str, &'static str, fn(&Checkpoint, Timestamp) -> u64);

const SHOWN: [Shown; 5] = [
    ("sawyer_ledger_confirmed_bytes", "counter", "Told to be taken, and confirmed to be there", |c, _| {
        c.sums.confirmed
    }),
    (
        "sawyer_ledger_missing_bytes",
        "counter",
        "Told to be taken, and not there; anything but 0 is a loss",
        |c, _| c.sums.missing,
    ),
    ("sawyer_ledger_unknown_bytes", "counter", "Told to be taken, and nobody can tell any more", |c, _| {
        c.sums.unknown
    }),
    ("sawyer_ledger_unconfirmed_bytes", "gauge", "Told to be taken, and not confirmed yet", |c, _| {
        c.sums.open
    }),
    (
        "sawyer_ledger_unconfirmed_seconds",
        "gauge",
        "Age of the oldest that is not confirmed yet",
        |c, now| c.open_since.map_or(0, |since| now.since(since).as_secs()),
    ),
];

impl Checkpoints {
    /// Writes the numbers in OpenMetrics' text form.
    pub(super) fn write(&self, now: Timestamp, text: &mut String) {
        let own = self.own.lock();
        for (name, kind, help, pick) in SHOWN.iter().filter(|_| !own.is_empty()) {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            let total = if *kind == "counter" { "_total" } else { "" };
            for (output, checkpoint) in own.iter() {
                let (output, number) = (escaped(output), pick(checkpoint, now));
                let _ = writeln!(text, "{name}{total}{{output=\"{output}\"}} {number}");
            }
        }
        drop(own);
        let peers = self.peers.lock();
        if !peers.all.is_empty() {
            let name = "sawyer_ledger_lacked_bytes";
            let help = "Told other Sawyers to be taken, and not here; anything but 0 is a loss";
            let _ =
                writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter\n{name}_total {}", peers.lacked);
        }
    }
}

#[cfg(test)]
mod tests;
