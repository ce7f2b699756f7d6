//! Batches that other Sawyers send: who may send them, and the way into the pipelines.
//!
//! Owns: the input of the kind `sawyer`, and who is believed.
//! Does not own: the route and what is in a body (`server`), waiting for room and for the outcome (`push`).
//! Invariant: what comes in here is believed in everything it says, its sources and identities too; so nobody gets in
//! who has not shown a token, save where the settings or the machine's own boundary vouch for it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use sawyer_config::{At, Problems, Secret, Setting, Settings, settings};
use sawyer_delivery::auth::CurrentSecret;
use sawyer_model::{Batch, Error, ErrorKind, Outcome};
use sawyer_pipeline::{Context, Input, InputPlan, Kind};
use sawyer_telemetry::ledger::checkpoints;
use sawyer_telemetry::{Answer, Ledger, Parts, Question};

use crate::push::{OpenPush, PushHub};

settings! {
    /// Takes what other Sawyers send with their output `sawyer`, as they made it: their inputs have read it, their
    /// steps have changed it, and what they say of namespace and pod is believed. So they have to show a token; without
    /// any here, only programs on this machine may send.
    pub struct NativeSettings {
        /// The tokens, of which a sender shows one; better `token_file`, or `${NAME}` from the environment.
        pub tokens: Option<Vec<Secret>>,
        /// A file with a token on each line. It is read again when it changes, so that a token can be replaced: both
        /// in it first, then all senders, then the old one out.
        pub token_file: Option<PathBuf>,
        /// Takes what anybody sends who reaches this process, and believes it. For networks that nobody else is on.
        pub allow_unauthenticated: bool = false,
        /// How long a request may wait for room when everything is full, before the sender is told to come back.
        #[range(Duration::ZERO..=Duration::from_secs(60))]
        pub wait_max: Duration = Duration::from_secs(5),
    }
}

/// Where batches of other Sawyers are handed in. Clones are the same hub; it is open while an input of the kind `sawyer`
/// runs.
#[derive(Clone, Debug, Default)]
pub struct NativeHub {
    hub: PushHub,
    access: Arc<RwLock<Option<Arc<Access>>>>,
    /// The name of the input, and the ledger of the process.
    books: Arc<RwLock<Option<(String, Ledger)>>>,
}

/// Who may send.
#[derive(Debug)]
struct Access {
    tokens: Vec<Secret>,
    file: Option<CurrentSecret>,
    allow_unauthenticated: bool,
}

/// Why somebody may not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No token was shown, or none that is known.
    Token,
    /// There are no tokens, and this is not a program on this machine.
    Elsewhere,
}

impl NativeHub {
    /// A hub without an input yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a sender at this address who shows this token may send.
    ///
    /// # Errors
    /// `NotFound` if there is no input of the kind `sawyer`, `Retry` if the file with the tokens cannot be read.
    pub async fn admit(
        &self,
        from: Option<IpAddr>,
        token: Option<&str>,
    ) -> Result<Result<(), Refusal>, Error> {
        let access = self.access.read().clone().ok_or_else(absent)?;
        access.admit(from, token).await
    }

    /// Asks those who got what came in here what of it is there. None if nobody of them can tell.
    ///
    /// # Errors
    /// `NotFound` if there is no input of the kind `sawyer`; if one of them cannot be asked now.
    pub async fn ask(&self, question: &Question) -> Result<Option<Answer>, Error> {
        let (input, ledger) = self.books.read().clone().ok_or_else(absent)?;
        let answer = ledger.ask(&input, question).await?;
        // What may wait on the way says nothing yet.
        let is_certain = answer
            .as_ref()
            .is_some_and(|answer| !answer.lacking.is_empty() && !answer.may_wait && !question.may_wait);
        let lacking = answer.as_ref().filter(|_| is_certain).map_or(&[][..], |answer| &answer.lacking);
        ledger.note_peer(question, checkpoints::sum(lacking));
        tell(question, lacking);
        Ok(answer)
    }

    /// As of [`PushHub::set_reopening`].
    pub fn set_reopening(&self, reopening: bool) {
        self.hub.set_reopening(reopening);
    }

    /// Hands in a batch and waits until it is known what became of it.
    ///
    /// # Errors
    /// As of [`PushHub::push`].
    pub async fn push(&self, batch: Batch) -> Result<Outcome, Error> {
        self.hub.push(batch).await
    }
}

/// Parts of one answer that are told one by one.
const PARTS_TOLD_MAX: usize = 10;

/// Tells what somebody was told to be taken here and is not there.
fn tell(question: &Question, lacking: &[Parts]) {
    let Question { agent, output, .. } = question;
    let parts = lacking.iter().flat_map(|parts| parts.ranges.iter().map(|range| (parts.source, range)));
    for (source, range) in parts.clone().take(PARTS_TOLD_MAX) {
        let (source, start, end) = (source.to_string(), range.start, range.end);
        tracing::error!(
            agent,
            output,
            source,
            start,
            end,
            "this part of a source was told to be taken, and is not here: these records are lost"
        );
    }
    if let Some(more) = parts.count().checked_sub(PARTS_TOLD_MAX).filter(|more| *more > 0) {
        tracing::error!(agent, output, more, "and further parts");
    }
}

fn absent() -> Error {
    let message =
        "this process takes nothing from other Sawyers: its configuration has no input of the kind `sawyer`";
    Error::new(ErrorKind::NotFound, message)
}

impl Access {
    async fn admit(&self, from: Option<IpAddr>, token: Option<&str>) -> Result<Result<(), Refusal>, Error> {
        let mut known = self.tokens.clone();
        if let Some(file) = &self.file {
            let text = file.current().await?;
            let lines = text.expose().lines().map(str::trim).filter(|line| !line.is_empty());
            known.extend(lines.map(Secret::new));
        }
        if self.allow_unauthenticated {
            return Ok(Ok(()));
        }
        if known.is_empty() && self.file.is_none() {
            let here = from.is_some_and(|from| from.to_canonical().is_loopback());
            return Ok(if here { Ok(()) } else { Err(Refusal::Elsewhere) });
        }
        let token = token.unwrap_or("").as_bytes();
        let shown = known.iter().any(|known| is_same(known.expose().as_bytes(), token));
        Ok(if shown { Ok(()) } else { Err(Refusal::Token) })
    }
}

/// Compares in a time that does not tell how much of it is right.
pub(crate) fn is_same(known: &[u8], shown: &[u8]) -> bool {
    let differences = known.iter().zip(shown).fold(0, |all, (known, shown)| all | (known ^ shown));
    known.len() == shown.len() && differences == 0
}

/// The kind `sawyer`, fed by this hub.
#[must_use]
pub fn kind(hub: &NativeHub) -> Kind<Box<dyn InputPlan>> {
    let hub = hub.clone();
    Kind {
        name: "sawyer",
        reference: NativeSettings::reference,
        read: Box::new(move |at, problems| {
            let settings = NativeSettings::read(at, problems)?;
            Some(Box::new(check(settings, hub.clone(), at, problems)?))
        }),
    }
}

fn check(
    settings: NativeSettings,
    hub: NativeHub,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<NativePlan> {
    let NativeSettings { tokens, token_file, allow_unauthenticated, wait_max } = settings;
    let secured = tokens.is_some() || token_file.is_some();
    if secured && allow_unauthenticated {
        let at = at.key("allow_unauthenticated");
        problems.push(&at, "expected either tokens or `allow_unauthenticated: true`, found both");
        return None;
    }
    let tokens = tokens.unwrap_or_default();
    if tokens.iter().any(|token| token.expose().trim().is_empty())
        || (secured && tokens.is_empty() && token_file.is_none())
    {
        problems.push(&at.key("tokens"), "expected tokens, found an empty one or none");
        return None;
    }
    let access = Access { tokens, file: token_file.map(CurrentSecret::file), allow_unauthenticated };
    Some(NativePlan { hub, access, wait_max })
}

#[derive(Debug)]
struct NativePlan {
    hub: NativeHub,
    access: Access,
    wait_max: Duration,
}

impl InputPlan for NativePlan {
    fn is_processed(&self) -> bool {
        true
    }

    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Input>, Error> {
        let Self { hub, access, wait_max } = *self;
        let open =
            OpenPush::open(hub.hub, wait_max, "another input of the kind `sawyer` takes all that is sent")?;
        *hub.access.write() = Some(Arc::new(access));
        *hub.books.write() = Some((context.name.clone(), context.metrics.ledger().clone()));
        Ok(Box::new(open))
    }
}

#[cfg(test)]
mod tests {
    use sawyer_config::Document;

    use super::*;

    fn plan(text: &str) -> Result<NativePlan, String> {
        let document = Document::parse("sawyer.yaml", text).unwrap();
        let mut problems = Problems::new();
        let at = document.at();
        let plan = NativeSettings::read(&at, &mut problems)
            .and_then(|settings| check(settings, NativeHub::new(), &at, &mut problems));
        problems.into_result(plan).map_err(|problems| problems.to_string())
    }

    async fn admit(settings: &str, from: &str, token: Option<&str>) -> Result<(), Refusal> {
        plan(settings).unwrap().access.admit(from.parse().ok(), token).await.unwrap()
    }

    #[tokio::test]
    async fn without_tokens_only_this_machine_is_believed() {
        for here in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(admit("", here, None).await, Ok(()), "{here}");
        }
        for elsewhere in ["10.0.0.7", "2001:db8::1", "nobody knows"] {
            assert_eq!(admit("", elsewhere, Some("any")).await, Err(Refusal::Elsewhere), "{elsewhere}");
            assert_eq!(admit("allow_unauthenticated: true", elsewhere, None).await, Ok(()), "{elsewhere}");
        }
    }

    #[tokio::test]
    async fn with_tokens_everybody_shows_one() {
        let settings = "tokens: [one, other]";
        for (token, admitted) in [("one", true), ("other", true), ("on", false), ("one ", false), ("", false)]
        {
            assert_eq!(admit(settings, "10.0.0.7", Some(token)).await.is_ok(), admitted, "{token}");
        }
        assert_eq!(admit(settings, "127.0.0.1", None).await, Err(Refusal::Token), "here, too");
    }

    #[tokio::test]
    async fn a_file_has_a_token_on_each_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        std::fs::write(&path, "old\n\nnew\n").unwrap();
        let settings = format!("token_file: {}", path.display());
        for (token, admitted) in [("old", true), ("new", true), ("old\n\nnew", false), ("", false)] {
            assert_eq!(admit(&settings, "10.0.0.7", Some(token)).await.is_ok(), admitted, "{token}");
        }
        let missing = plan("token_file: /nowhere/token").unwrap();
        assert_eq!(missing.access.admit(None, None).await.unwrap_err().kind(), ErrorKind::Retry);
    }

    #[test]
    fn wrong_settings_are_told() {
        assert_eq!(
            plan("tokens: [a]\nallow_unauthenticated: true").unwrap_err(),
            "sawyer.yaml:2:1: allow_unauthenticated: expected either tokens or `allow_unauthenticated: true`, found both"
        );
        assert_eq!(
            plan("tokens: []").unwrap_err(),
            "sawyer.yaml:1:1: tokens: expected tokens, found an empty one or none"
        );
    }
}
