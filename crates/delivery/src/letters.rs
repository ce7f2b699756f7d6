//! What becomes of rejected items.
//!
//! Owns: the trait, and the implementation that only tells. Does not own: the store of dead letters (`buffer`).

use std::pin::Pin;
use std::time::Duration;

use sawyer_model::{Error, ErrorKind};
use sawyer_telemetry::{Clock, Seldom};

use crate::target::Origin;

/// How often rejects of a target are told in the log.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// An item that a target will never take.
#[derive(Clone, Debug)]
pub struct Letter {
    /// The record it was made of, if it was made of one.
    pub record: Option<Origin>,
    /// Why it was rejected.
    pub reason: String,
}

/// Something under way that a trait object has started.
pub type Promise<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Takes rejected items.
pub trait DeadLetters: Send + Sync {
    /// Keeps them. Once it returns, they are as durable as they need to be, and are acknowledged.
    ///
    /// # Errors
    /// `Retry` to be asked again after a while. With any other kind the items are not acknowledged.
    fn put<'a>(&'a self, target: &'a str, letters: &'a [Letter]) -> Promise<'a, Result<(), Error>>;
}

/// Tells of rejected items in the log and keeps none: their transfers are not acknowledged, so their sources still
/// have them.
#[derive(Debug)]
pub struct LoggedLetters {
    clock: Clock,
    log: Seldom,
}

impl LoggedLetters {
    /// Tells at most once in half a minute.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, log: Seldom::new(LOG_INTERVAL) }
    }
}

impl DeadLetters for LoggedLetters {
    fn put<'a>(&'a self, target: &'a str, letters: &'a [Letter]) -> Promise<'a, Result<(), Error>> {
        if let Some(letter) = letters.first()
            && let Some(held_back) = self.log.pass(self.clock.now())
        {
            let record = letter.record.as_ref().map(|origin| origin.record().id().to_string());
            let (count, reason) = (letters.len(), &letter.reason);
            let advice = "rejected for good; not acknowledged, and not sent again before a restart";
            tracing::error!(target_name = target, record, count, reason, held_back, "{advice}");
        }
        Box::pin(async { Err(Error::new(ErrorKind::Invalid, "there is no store of dead letters")) })
    }
}
