//! The signal to stop: given once, seen by everyone who asks.

use tokio::sync::watch;

/// Gives the signal. Dropping it gives the signal too, so that nothing outlives its owner.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Sees the signal. Clones see the same one.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stopper {
    /// A signal that was not given yet.
    #[must_use]
    pub fn new() -> (Self, Stop) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Stop(receiver))
    }

    /// Gives the signal.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether it was given.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until it is given.
    pub async fn stopped(&self) {
        let mut receiver = self.0.clone();
        // An error means that the sender is gone, which is the signal as well.
        let _ = receiver.wait_for(|stopped| *stopped).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everyone_sees_the_signal() {
        let (stopper, stop) = Stopper::new();
        let twin = stop.clone();
        assert!(!stop.is_stopped());
        stopper.stop();
        stop.stopped().await;
        twin.stopped().await;
        assert!(twin.is_stopped());
    }

    #[tokio::test]
    async fn a_lost_stopper_is_a_signal() {
        let (stopper, stop) = Stopper::new();
        drop(stopper);
        stop.stopped().await;
        assert!(stop.is_stopped());
    }
}
