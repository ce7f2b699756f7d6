//! What the status of an answer means for the items of its request, where the target says nothing about each.
//!
//! Invariant: trouble that an operator can end (a wrong password, a wrong path, a full disk over there) never costs
//! an item; only a request that the target calls wrong does.

use super::client::Response;
use crate::verdict::Trouble;

/// Bytes of an answer that are shown in messages.
const SHOWN_BYTES_MAX: usize = 300;

/// What a status means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// 2xx.
    Done,
    /// 413.
    TooLarge,
    /// The target calls the request wrong, with this reason: 400, 415, 422.
    Refused(String),
    /// Anything else: try again.
    Failed(Trouble),
}

/// Judges an answer by its status.
#[must_use]
pub fn judge(response: &Response) -> Judgement {
    let status = response.status;
    let failed = |reason: &'static str, hint: &str| {
        let detail = format!("status {status}{hint}: {}", shown(&response.body));
        Judgement::Failed(Trouble { reason, detail, after: response.retry_after })
    };
    match status {
        200..300 => Judgement::Done,
        413 => Judgement::TooLarge,
        400 | 415 | 422 => Judgement::Refused(format!("status {status}: {}", shown(&response.body))),
        401 | 403 => failed("unauthorized", " (are the credentials right?)"),
        404 | 405 | 410 => failed("not_found", " (is the address right?)"),
        408 | 504 => failed("timeout", ""),
        429 | 503 => failed("overloaded", ""),
        507 => failed("full", ""),
        300..400 => failed("redirect", " (redirects are not followed; set the address it leads to)"),
        500.. => failed("server_error", ""),
        _ => failed("status", ""),
    }
}

/// The beginning of a body, on one line.
#[must_use]
pub fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES_MAX)]);
    let text = text.trim();
    let cut = if body.len() > SHOWN_BYTES_MAX { "…" } else { "" };
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.is_empty() { "no text".to_owned() } else { format!("{text}{cut}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16) -> Response {
        Response { status, retry_after: None, body: "so it\nis".into() }
    }

    #[test]
    fn only_wrong_requests_are_refused() {
        let word = |status| match judge(&response(status)) {
            Judgement::Done => "done",
            Judgement::TooLarge => "too large",
            Judgement::Refused(_) => "refused",
            Judgement::Failed(trouble) => trouble.reason,
        };
        let words = [
            (200, "done"),
            (204, "done"),
            (302, "redirect"),
            (400, "refused"),
            (401, "unauthorized"),
            (404, "not_found"),
            (408, "timeout"),
            (409, "status"),
            (413, "too large"),
            (422, "refused"),
            (429, "overloaded"),
            (500, "server_error"),
            (503, "overloaded"),
            (599, "server_error"),
        ];
        for (status, expected) in words {
            assert_eq!(word(status), expected, "{status}");
        }
    }

    #[test]
    fn a_message_names_the_status_and_what_was_said() {
        let Judgement::Failed(trouble) = judge(&response(403)) else { panic!("judged otherwise") };
        assert_eq!(trouble.detail, "status 403 (are the credentials right?): so it is");
        assert_eq!(shown(&[b'x'; 1000]).chars().count(), SHOWN_BYTES_MAX + 1);
        assert_eq!(shown(b""), "no text");
    }
}
