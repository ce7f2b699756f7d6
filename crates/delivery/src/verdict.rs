//! What a target says about what it was sent.
//!
//! Invariant: every item gets a verdict of its own. Where a target speaks about a request as a whole, that is either
//! no verdict ([`Answer::Failed`]: all of it is sent again) or a reason to ask again about its halves.

use std::time::Duration;

/// What became of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The target has it, as durably as it promises.
    Done,
    /// The target had it already.
    Duplicate,
    /// Not now.
    Retry {
        /// A word for the metrics: one of a few, such as `busy`.
        reason: &'static str,
        /// Not before this time has passed.
        after: Option<Duration>,
    },
    /// Never.
    Reject {
        /// Why, as the target says it.
        reason: String,
    },
}

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A verdict on each item, in their order.
    Items {
        /// The verdicts.
        verdicts: Vec<Verdict>,
        /// The first thing that was wrong, for people.
        detail: Option<String>,
    },
    /// The request is too large: it is sent again in two halves, and a single item is rejected. Later requests stay
    /// below this size.
    TooLarge,
    /// Something in the request is refused for good, and the target does not say what: it is sent again in two halves
    /// until the items at fault stand alone and are rejected with this reason.
    Refused(String),
    /// Nothing is known about any item; all of them are sent again.
    Failed(Trouble),
}

/// Why a request failed as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// A word for the metrics: one of a few, such as `unreachable`.
    pub reason: &'static str,
    /// What happened, for people.
    pub detail: String,
    /// Not before this time has passed.
    pub after: Option<Duration>,
}

impl Answer {
    /// The target took all items.
    #[must_use]
    pub fn done(count: usize) -> Self {
        Self::Items { verdicts: vec![Verdict::Done; count], detail: None }
    }

    /// Nothing is known about any item.
    #[must_use]
    pub fn failed(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::Failed(Trouble { reason, detail: detail.into(), after: None })
    }
}
