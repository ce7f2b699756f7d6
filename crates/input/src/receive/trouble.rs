//! Why a request was not taken, in terms that every protocol can say in its own way.
//!
//! Owns: reasons, the status of HTTP that each has, when to come back. Does not own: bodies of answers.
//! Invariant: what can be sent again with another outcome says after which time; nothing else does.

use std::time::Duration;

use sawyer_codec::pushed::Refused;

use super::clients::Refusal;

/// Why a request was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) reason: Reason,
    pub(crate) message: String,
    /// After which time it may be sent again.
    pub(crate) retry_after: Option<Duration>,
}

/// What kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// No token was shown.
    TokenMissing,
    /// The token is not known.
    TokenUnknown,
    /// Only this machine may send.
    Elsewhere,
    /// The request is not what it should be.
    Invalid,
    /// There is nothing under this path.
    NotFound,
    /// The path is asked in another way.
    Method,
    /// A form that is not taken.
    Unsupported,
    /// Too large.
    TooLarge,
    /// It did not come in time.
    Slow,
    /// The client has sent more than its share.
    Rate,
    /// The pipelines are full.
    Full,
    /// It was taken on, and did not become durable, or not in time.
    Undelivered,
    /// Sawyer is stopping, or something that it needs is not there.
    Closed,
    /// A fault of Sawyer's own.
    Bug,
}

impl Reason {
    /// The name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TokenMissing => "token_missing",
            Self::TokenUnknown => "token_unknown",
            Self::Elsewhere => "elsewhere",
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Method => "method",
            Self::Unsupported => "unsupported",
            Self::TooLarge => "too_large",
            Self::Slow => "slow",
            Self::Rate => "rate",
            Self::Full => "full",
            Self::Undelivered => "undelivered",
            Self::Closed => "closed",
            Self::Bug => "bug",
        }
    }

    /// The status of HTTP.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::TokenMissing | Self::TokenUnknown => 401,
            Self::Elsewhere => 403,
            Self::Invalid => 400,
            Self::NotFound => 404,
            Self::Method => 405,
            Self::Unsupported => 415,
            Self::TooLarge => 413,
            Self::Rate => 429,
            // Not 408, which senders of OTLP do not repeat.
            Self::Slow | Self::Full | Self::Undelivered | Self::Closed => 503,
            Self::Bug => 500,
        }
    }
}

/// After which time a request that found no room may be sent again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Trouble {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        let again = matches!(
            reason,
            Reason::Slow | Reason::Full | Reason::Undelivered | Reason::Closed | Reason::Rate
        );
        Self { reason, message: message.into(), retry_after: again.then_some(RETRY_AFTER) }
    }

    pub(crate) fn invalid(message: &impl ToString) -> Self {
        Self::new(Reason::Invalid, message.to_string())
    }

    pub(crate) fn status(&self) -> u16 {
        self.reason.status()
    }

    /// The header `Retry-After`: whole seconds, at least one.
    pub(crate) fn retry_after_secs(&self) -> Option<u64> {
        self.retry_after.map(|after| after.as_secs_f64().ceil().max(1.0) as u64)
    }
}

impl From<Refused> for Trouble {
    fn from(refused: Refused) -> Self {
        Self::new(Reason::TooLarge, refused.to_string())
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        let (reason, message) = match refusal {
            Refusal::Missing => (Reason::TokenMissing, "a token is needed here, and none was shown"),
            Refusal::Unknown => (Reason::TokenUnknown, "the token is not known here"),
            Refusal::Elsewhere => (
                Reason::Elsewhere,
                "only programs on this machine may send, straight to `localhost` and not from a web page: the input has no \
                 `clients`, and does not `allow_unauthenticated`",
            ),
            Refusal::Unreadable => (Reason::Closed, "a file with tokens cannot be read at present"),
        };
        Self::new(reason, message)
    }
}
