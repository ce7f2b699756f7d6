//! Credentials that are kept as long as they are good, and replaced in time.
//!
//! Owns: when to ask for new ones. Does not own: where they come from ([`Fetch`]).
//! Invariant: one request for credentials at a time. Whoever asks while the old ones are good gets them without
//! waiting for the new ones, except the one that fetches; a failure then keeps the old ones.

use std::time::Duration;

use parking_lot::Mutex;
use sawyer_model::{Error, ErrorKind, Timestamp};
use sawyer_telemetry::{Clock, Seldom};

use super::{Credentials, CredentialsSource};
use crate::letters::Promise;

/// How long before they expire new ones are fetched. The sources have new ones by then.
const AHEAD: Duration = Duration::from_secs(300);

/// Credentials that do not say when they expire are looked up again after this time: the file they are in may have
/// changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(300);

/// Pause after new ones could not be had, or were no better, while the old ones are good.
const RETRY_PAUSE: Duration = Duration::from_secs(30);

/// How often that trouble is told in the log.
const LOG_INTERVAL: Duration = Duration::from_secs(300);

/// Credentials and how long they are good.
#[derive(Clone, Debug)]
pub(super) struct Fresh {
    pub(super) credentials: Credentials,
    pub(super) expires: Option<Timestamp>,
}

/// Where credentials come from.
pub(super) trait Fetch: Send + Sync {
    /// New ones.
    fn fetch(&self) -> Promise<'_, Result<Fresh, Error>>;
}

/// Keeps what it fetched.
pub(super) struct Kept<F> {
    source: F,
    clock: Clock,
    state: Mutex<State>,
    /// Held by the one that fetches.
    turn: tokio::sync::Mutex<()>,
    log: Seldom,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// How often it was fetched in vain, and why the last time.
    failures: u64,
    failure: String,
}

struct Held {
    fresh: Fresh,
    refresh_at: Timestamp,
}

impl<F: Fetch> Kept<F> {
    pub(super) fn new(source: F, clock: Clock) -> Self {
        let log = Seldom::new(LOG_INTERVAL);
        Self { source, clock, state: Mutex::default(), turn: tokio::sync::Mutex::new(()), log }
    }

    /// What is good now, and whether it is time for new ones.
    fn held(&self) -> Option<(Credentials, bool)> {
        let now = self.clock.now();
        let state = self.state.lock();
        let held = state.held.as_ref()?;
        let good = held.fresh.expires.is_none_or(|expires| expires > now);
        good.then(|| (held.fresh.credentials.clone(), now >= held.refresh_at))
    }

    async fn get(&self) -> Result<Credentials, Error> {
        let failures = self.state.lock().failures;
        let _turn = match self.held() {
            Some((credentials, false)) => return Ok(credentials),
            Some((credentials, true)) => match self.turn.try_lock() {
                Ok(turn) => turn,
                // Somebody fetches new ones; these are good meanwhile.
                Err(_) => return Ok(credentials),
            },
            None => {
                let turn = self.turn.lock().await;
                // Whoever had the turn may have had no luck; it would be the same now.
                let state = self.state.lock();
                if state.failures != failures && state.held.is_none() {
                    return Err(Error::new(ErrorKind::Retry, state.failure.clone()));
                }
                drop(state);
                turn
            }
        };
        match self.held() {
            Some((credentials, false)) => Ok(credentials),
            old => self.renew(old.map(|(credentials, _)| credentials)).await,
        }
    }

    async fn renew(&self, old: Option<Credentials>) -> Result<Credentials, Error> {
        let fetched = self.source.fetch().await;
        let now = self.clock.now();
        let expired = |fresh: &Fresh| fresh.expires.is_some_and(|expires| expires <= now);
        let fetched = fetched.and_then(|fresh| match expired(&fresh) {
            true => {
                Err(Error::new(ErrorKind::Retry, "the AWS credentials that were given have expired already"))
            }
            false => Ok(fresh),
        });
        match fetched {
            Ok(fresh) => {
                let credentials = fresh.credentials.clone();
                let refresh_at = refresh_at(&fresh, now);
                self.state.lock().held = Some(Held { fresh, refresh_at });
                Ok(credentials)
            }
            Err(error) => {
                let mut state = self.state.lock();
                state.failures += 1;
                state.failure = error.chain();
                let Some(old) = old else {
                    state.held = None;
                    return Err(error);
                };
                if let Some(held) = &mut state.held {
                    held.refresh_at = now.saturating_add(RETRY_PAUSE);
                }
                drop(state);
                if let Some(held_back) = self.log.pass(now) {
                    let error = error.chain();
                    tracing::warn!(error, held_back, "no new AWS credentials; the old ones are still good");
                }
                Ok(old)
            }
        }
    }
}

/// When to fetch again. Credentials for a short time are used for most of it.
fn refresh_at(fresh: &Fresh, now: Timestamp) -> Timestamp {
    let Some(expires) = fresh.expires else { return now.saturating_add(LOOK_INTERVAL) };
    let left = expires.since(now);
    let at = expires.saturating_sub(AHEAD.min(left / 4));
    // A source may give the same ones until shortly before they expire.
    at.max(now.saturating_add(RETRY_PAUSE))
}

impl<F: Fetch> CredentialsSource for Kept<F> {
    fn current(&self) -> Promise<'_, Result<Credentials, Error>> {
        Box::pin(self.get())
    }
}
