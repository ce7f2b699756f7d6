//! Files that are read again when they change.
//!
//! Owns: noticing a change, at most once in a while. Does not own: what is in a file.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::time::Instant;

/// How often files are looked at. Kubernetes swaps a mounted secret within about a minute after it was changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Some files and their state when they were last read.
#[derive(Debug)]
pub(crate) struct Watched {
    paths: Vec<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stamps: Option<Vec<Stamp>>,
    looked_at: Option<Instant>,
}

/// What tells one state of a file from another; none if it cannot be read.
type Stamp = Option<(SystemTime, u64)>;

impl Watched {
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, state: Mutex::default() }
    }

    /// Whether the files are to be read: the first time, and when one has changed since.
    pub(crate) async fn changed(&self) -> bool {
        {
            let mut state = self.state.lock();
            let fresh = state.looked_at.is_some_and(|at| at.elapsed() < LOOK_INTERVAL);
            if fresh || (self.paths.is_empty() && state.stamps.is_some()) {
                return false;
            }
            state.looked_at = Some(Instant::now());
        }
        let mut stamps = Vec::new();
        for path in &self.paths {
            let seen = tokio::fs::metadata(path).await;
            stamps.push(seen.ok().and_then(|seen| Some((seen.modified().ok()?, seen.len()))));
        }
        let mut state = self.state.lock();
        let changed = state.stamps.as_ref() != Some(&stamps);
        state.stamps = Some(stamps);
        changed
    }

    /// What was read cannot be used: read again at the next look, however the files are then.
    pub(crate) fn retry(&self) {
        self.state.lock().stamps = None;
    }

    /// What was read cannot be used: look again the next time.
    pub(crate) fn read_again(&self) {
        *self.state.lock() = State::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn notices_a_change_but_does_not_look_all_the_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let watched = Watched::new(vec![path.clone()]);
        assert!(watched.changed().await, "it was never read");
        assert!(!watched.changed().await);
        std::fs::write(&path, "one").unwrap();
        assert!(!watched.changed().await, "not yet");
        tokio::time::advance(LOOK_INTERVAL).await;
        assert!(watched.changed().await);
        tokio::time::advance(LOOK_INTERVAL).await;
        assert!(!watched.changed().await);
        watched.read_again();
        assert!(watched.changed().await);
    }
}
