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

/// How long acknowledgements are worth waiting for after a stop: until the time for draining is over, when outputs let go
/// of what they have not delivered. An input keeps it beside its outlet, which it lets go of first, so that pipelines can
/// end.
#[derive(Clone, Debug, Default)]
pub struct Patience(Option<Stop>);

impl Patience {
    /// Until this signal is given. Without one it never ends.
    #[must_use]
    pub fn until(given_up: Stop) -> Self {
        Self(Some(given_up))
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.as_ref().is_some_and(Stop::is_stopped)
    }

    /// Waits until it ends.
    pub async fn over(&self) {
        match &self.0 {
            Some(given_up) => given_up.stopped().await,
            None => std::future::pending().await,
        }
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
