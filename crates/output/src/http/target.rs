//! Requests with records in them.

use bytes::Bytes;
use sawyer_delivery::http::{Client, HeaderName, HeaderValue, Judgement, Method, Request, Url};
use sawyer_delivery::http::{Piece, body, judge, unanswered};
use sawyer_delivery::{Answer, Item, Payload, Target};

use super::settings::{BodyForm, HttpVerb};
use crate::runs::Run;

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
    type Payload = Run;

    async fn send(&self, items: &[Item<Run>]) -> Answer {
        let (pieces, media_type) = match self.body {
            BodyForm::Ndjson => {
                (items.iter().map(|item| item.payload.piece()).collect(), "application/x-ndjson")
            }
            BodyForm::Json => (list(items), "application/json"),
        };
        let compression = self.client.compression();
        let body = body(pieces, compression).await;
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
            Judgement::Done => Answer::done(items.iter().map(|item| item.payload.count()).sum()),
            Judgement::TooLarge => Answer::TooLarge,
            Judgement::Refused(reason) => Answer::Refused(reason),
            Judgement::Failed(trouble) => Answer::Failed(trouble),
        }
    }
}

/// Records as a list: `[`, runs with `,` between them as between their records, `]`.
fn list(items: &[Item<Run>]) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(items.len() * 2 + 1);
    for item in items {
        let before: &[u8] = if pieces.is_empty() { b"[" } else { b"," };
        pieces.push(Piece::plain(Bytes::from_static(before)));
        pieces.push(item.payload.piece());
    }
    pieces.push(Piece::plain(Bytes::from_static(b"]")));
    pieces
}
