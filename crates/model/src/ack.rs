//! The duty to say what became of a batch.

use std::fmt;
use std::sync::{Arc, Mutex};

/// What became of a batch at everyone who had to take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Durable at the next hop, or dropped by a rule and counted: the source may move on.
    Durable,
    /// At least one taker let go of it without making it durable (a stop, a crash of a task): read it again.
    Undelivered,
}

/// A share in the duty to acknowledge one batch. Cloning makes another share; the owner hears the outcome when
/// the last share is gone. A share that is dropped without [`Ack::durable`] makes the outcome
/// [`Outcome::Undelivered`], so that forgetting can lose nothing.
#[derive(Clone, Default)]
pub struct Ack(Option<Arc<Duty>>, bool);

type Report = Box<dyn FnOnce(Outcome) + Send>;

struct Duty {
    undelivered: std::sync::atomic::AtomicBool,
    report: Mutex<Option<Report>>,
}

impl Ack {
    /// A duty whose outcome goes to `report`, on the thread that lets go of the last share; keep it short.
    #[must_use]
    pub fn new(report: impl FnOnce(Outcome) + Send + 'static) -> Self {
        let duty = Duty { undelivered: false.into(), report: Mutex::new(Some(Box::new(report))) };
        Self(Some(Arc::new(duty)), false)
    }

    /// A duty towards nobody.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// This taker has the batch durably, or dropped it by a rule and counted it.
    pub fn durable(mut self) {
        self.1 = true;
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        if let (Some(duty), false) = (&self.0, self.1) {
            duty.undelivered.store(true, std::sync::atomic::Ordering::Release);
        }
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        let outcome = if *self.undelivered.get_mut() { Outcome::Undelivered } else { Outcome::Durable };
        let report = self.report.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(report) = report {
            report(outcome);
        }
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shares = self.0.as_ref().map_or(0, Arc::strong_count);
        f.debug_struct("Ack").field("shares", &shares).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn duty() -> (Ack, mpsc::Receiver<Outcome>) {
        let (tx, rx) = mpsc::channel();
        (Ack::new(move |outcome| tx.send(outcome).unwrap()), rx)
    }

    #[test]
    fn last_share_reports_once() {
        let (ack, outcome) = duty();
        let other = ack.clone();
        ack.durable();
        assert!(outcome.try_recv().is_err());
        other.durable();
        assert_eq!(outcome.try_recv(), Ok(Outcome::Durable));
        assert!(outcome.try_recv().is_err());
    }

    #[test]
    fn a_forgotten_share_is_undelivered() {
        let (ack, outcome) = duty();
        let other = ack.clone();
        drop(ack);
        other.durable();
        assert_eq!(outcome.try_recv(), Ok(Outcome::Undelivered));
    }

    #[test]
    fn nobody_can_be_told() {
        Ack::none().durable();
        drop(Ack::none());
    }
}
