//! What the service's answers mean.
//!
//! Invariant: only what the service says about the request itself costs a record; trouble that an operator can end
//! (a wrong key, a missing permission, a quota) never does.

use sawyer_delivery::http::{Judgement, Response, judge};
use sawyer_delivery::{Answer, Trouble};
use serde::Deserialize;

use super::event::refused_ranges;

/// What a request came to.
#[derive(Debug)]
pub(super) enum Said {
    Done,
    /// The group or the stream is not there.
    NotFound(String),
    /// The group or the stream is there already.
    Exists,
    /// These events were sent before.
    Duplicate,
    /// All else.
    Other(Answer),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Complaint {
    #[serde(rename = "__type")]
    kind: String,
    #[serde(alias = "Message")]
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PutAnswer {
    rejected_log_events_info: Option<RejectedInfo>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RejectedInfo {
    too_new_log_event_start_index: Option<usize>,
    too_old_log_event_end_index: Option<usize>,
    expired_log_event_end_index: Option<usize>,
}

/// What an answer says.
pub(super) fn read(response: &Response) -> Said {
    if (200..300).contains(&response.status) {
        return Said::Done;
    }
    let Complaint { kind, message } = serde_json::from_slice(&response.body).unwrap_or_default();
    let kind = kind.rsplit('#').next().unwrap_or_default();
    let told = |hint: &str| format!("{kind}{hint}: {}", shown(&message));
    let failed = |reason, hint| {
        let detail = told(hint);
        Said::Other(Answer::Failed(Trouble { reason, detail, after: response.retry_after }))
    };
    match kind {
        "ResourceNotFoundException" => Said::NotFound(told("")),
        "ResourceAlreadyExistsException" => Said::Exists,
        "DataAlreadyAcceptedException" => Said::Duplicate,
        "InvalidParameterException" | "SerializationException" | "ValidationException" => {
            Said::Other(Answer::Refused(told("")))
        }
        "ThrottlingException"
        | "Throttling"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "ServiceUnavailableException"
        | "ServiceUnavailable" => failed("overloaded", ""),
        "LimitExceededException" => failed("quota", " (a quota of the account)"),
        "OperationAbortedException" | "InvalidSequenceTokenException" => failed("conflict", ""),
        "AccessDeniedException" | "AccessDenied" | "OptInRequired" => {
            failed("unauthorized", " (does the role have the policy?)")
        }
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "InvalidClientTokenId"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException" => failed("unauthorized", " (are the credentials right?)"),
        "ExpiredTokenException" | "ExpiredToken" | "RequestExpired" => {
            failed("unauthorized", " (are the credentials and this machine's clock right?)")
        }
        _ => unknown(response, kind),
    }
}

/// An answer that does not say what it is, or says it in a new word.
fn unknown(response: &Response, kind: &str) -> Said {
    Said::Other(match judge(response) {
        Judgement::Done => Answer::done(0),
        Judgement::TooLarge => Answer::TooLarge,
        Judgement::Failed(trouble) => Answer::Failed(trouble),
        // Who refuses without a known reason may be a proxy on the way.
        Judgement::Refused(detail) => {
            let detail = if kind.is_empty() { detail } else { format!("{kind}: {detail}") };
            Answer::Failed(Trouble { reason: "status", detail, after: response.retry_after })
        }
    })
}

/// Why each event of a request was refused; none for those that were taken.
pub(super) fn refusals(response: &Response, count: usize) -> Vec<Option<&'static str>> {
    let mut reasons = vec![None; count];
    let answer: PutAnswer = serde_json::from_slice(&response.body).unwrap_or_default();
    let Some(info) = answer.rejected_log_events_info else { return reasons };
    let (old, expired, new) = refused_ranges(
        count,
        info.too_old_log_event_end_index,
        info.expired_log_event_end_index,
        info.too_new_log_event_start_index,
    );
    reasons[new].fill(Some(TOO_NEW));
    reasons[expired].fill(Some(EXPIRED));
    reasons[old].fill(Some(TOO_OLD));
    reasons
}

pub(super) const TOO_OLD: &str = "older than 14 days, which CloudWatch Logs does not take";
pub(super) const TOO_NEW: &str = "more than 2 hours in the future, which CloudWatch Logs does not take";
const EXPIRED: &str = "older than the log group keeps events";

/// The beginning of a message, on one line.
fn shown(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return "no text".to_owned();
    }
    text.chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
