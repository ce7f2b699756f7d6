//! Requests with records in them.

use bytes::Bytes;
use sawyer_delivery::http::{Client, HeaderName, HeaderValue, Judgement, Method, Request, Url};
use sawyer_delivery::http::{compress, judge, unanswered};
use sawyer_delivery::{Answer, Item, Target};

use super::settings::{BodyForm, HttpVerb};

pub(super) struct HttpTarget {
    client: Client,
    url: Url,
    method: Method,
    body: BodyForm,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl HttpTarget {
    pub(super) fn new(
        client: Client,
        url: Url,
        method: HttpVerb,
        body: BodyForm,
        headers: Vec<(HeaderName, HeaderValue)>,
    ) -> Self {
        let method = match method {
            HttpVerb::Post => Method::POST,
            HttpVerb::Put => Method::PUT,
        };
        Self { client, url, method, body, headers }
    }
}

impl Target for HttpTarget {
    type Payload = Bytes;

    async fn send(&self, items: &[Item<Bytes>]) -> Answer {
        let (parts, media_type) = match self.body {
            BodyForm::Ndjson => {
                (items.iter().map(|item| item.payload.clone()).collect(), "application/x-ndjson")
            }
            BodyForm::Json => (list(items), "application/json"),
        };
        let compression = self.client.compression();
        let body = compress(parts, compression).await;
        let url = self.url.clone();
        let mut request = Request::with_body(self.method.clone(), url, media_type, compression, body);
        for (name, value) in &self.headers {
            // One of the user's takes the place of ours.
            request.headers.insert(name.clone(), value.clone());
        }
        let response = match self.client.send(request).await {
            Ok(response) => response,
            Err(trouble) => return unanswered(trouble),
        };
        match judge(&response) {
            Judgement::Done => Answer::done(items.len()),
            Judgement::TooLarge => Answer::TooLarge,
            Judgement::Refused(reason) => Answer::Refused(reason),
            Judgement::Failed(trouble) => Answer::Failed(trouble),
        }
    }
}

/// Lines as a list: `[`, lines with `,` between them, `]`.
fn list(items: &[Item<Bytes>]) -> Vec<Bytes> {
    let mut parts = Vec::with_capacity(items.len() * 2 + 1);
    for item in items {
        parts.push(Bytes::from_static(if parts.is_empty() { b"[" } else { b"," }));
        parts.push(item.payload.slice(..item.payload.len() - 1));
    }
    parts.push(Bytes::from_static(b"]"));
    parts
}
