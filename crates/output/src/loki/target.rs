//! Requests to Loki.

use bytes::Bytes;
use sawyer_delivery::http::{Client, Compression, Endpoints, HeaderName, HeaderValue, Judgement, Method};
use sawyer_delivery::http::{Request, Response, Url, judge, unanswered};
use sawyer_delivery::{Answer, Item, Target, Trouble, Verdict};

use super::answer::{self, Limits};
use super::entry::{Entry, request};

const PATH: &str = "loki/api/v1/push";
const TENANT: HeaderName = HeaderName::from_static("x-scope-orgid");

/// What a push is answered with; `200` by some gateways. Loki has another 2xx for a tenant that is blocked.
const TAKEN: [u16; 2] = [200, 204];

pub(super) struct PushTarget {
    client: Client,
    endpoints: Endpoints,
    line_bytes_max: usize,
}

impl PushTarget {
    pub(super) fn new(client: Client, endpoints: Vec<Url>, line_bytes_max: usize) -> Self {
        Self { client, endpoints: Endpoints::new(endpoints), line_bytes_max }
    }

    async fn push(&self, items: &[Item<Bytes>]) -> Result<Response, Trouble> {
        let payloads: Vec<Bytes> = items.iter().map(|item| item.payload.clone()).collect();
        let body = pack(payloads).await?;
        let (number, url) = self.endpoints.url(PATH);
        // Snappy is a part of the form here and not an encoding of HTTP.
        let mut request =
            Request::with_body(Method::POST, url, "application/x-protobuf", Compression::None, body);
        let tenant = items.first().map_or(&[][..], |item| Entry::read(&item.payload).tenant);
        if !tenant.is_empty() {
            let tenant = HeaderValue::from_bytes(tenant);
            request = request.header(TENANT, tenant.expect("a tenant has characters that a header may have"));
        }
        let response = self.client.send(request).await;
        if response.as_ref().map_or(true, |response| matches!(response.status, 502..=504)) {
            self.endpoints.failed(number);
        }
        response
    }
}

/// Makes a compressed request, on a thread for computing.
async fn pack(payloads: Vec<Bytes>) -> Result<Bytes, Trouble> {
    let work = tokio::task::spawn_blocking(move || {
        let request = request(&payloads);
        snap::raw::Encoder::new().compress_vec(&request).map(Bytes::from)
    });
    match work.await {
        Ok(packed) => packed.map_err(|error| Trouble {
            reason: "encoding",
            detail: format!("compress a request: {error}"),
            after: None,
        }),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

impl Target for PushTarget {
    type Payload = Bytes;

    async fn send(&self, items: &[Item<Bytes>]) -> Answer {
        // Known beforehand: nothing is sent, and the others come again without it.
        if let Some(answer) = beyond(&Limits::of_lines(self.line_bytes_max), None, items) {
            return answer;
        }
        let response = match self.push(items).await {
            Ok(response) => response,
            Err(trouble) => return unanswered(trouble),
        };
        match judge(&response) {
            Judgement::Done if TAKEN.contains(&response.status) => Answer::done(items.len()),
            Judgement::Done => {
                let said = String::from_utf8_lossy(&response.body).into_owned();
                Answer::failed("blocked", format!("status {} is not that of a push: {said}", response.status))
            }
            Judgement::TooLarge => Answer::TooLarge,
            Judgement::Failed(trouble) => Answer::Failed(trouble),
            Judgement::Refused(reason) => refused(&String::from_utf8_lossy(&response.body), reason, items),
        }
    }
}

/// What follows from a refusal, which may be about a part of the request.
fn refused(text: &str, reason: String, items: &[Item<Bytes>]) -> Answer {
    // Limits first: a refusal quotes labels, and a label may say whatever its record said.
    if let Some(answer) = beyond(&Limits::read(text), Some(&reason), items) {
        return answer;
    }
    match answer::settings(&answer::without_streams(text)) {
        Some(advice) => Answer::failed("settings", format!("{advice}; {reason}")),
        None => Answer::Refused(reason),
    }
}

/// Verdicts, if any entry is beyond a limit: it is rejected, and the others are to be sent again.
fn beyond(limits: &Limits<'_>, reason: Option<&String>, items: &[Item<Bytes>]) -> Option<Answer> {
    let why = |item: &Item<Bytes>| {
        let entry = Entry::read(&item.payload);
        let labels = std::str::from_utf8(entry.labels).unwrap_or_default();
        limits.beyond(labels, item.record.as_ref()?.record().timestamp(), entry.line_bytes)
    };
    let whys: Vec<Option<String>> = items.iter().map(why).collect();
    let first = whys.iter().flatten().next()?;
    let detail = Some(reason.unwrap_or(first).clone());
    let again = Verdict::Retry { reason: "beside_refused", after: None };
    let verdict = |why: Option<String>| why.map_or(again.clone(), |reason| Verdict::Reject { reason });
    Some(Answer::Items { verdicts: whys.into_iter().map(verdict).collect(), detail })
}
