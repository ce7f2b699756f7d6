//! The input `elasticsearch`: what Elasticsearch's and OpenSearch's clients and shippers write.
//!
//! Source: Elasticsearch's REST API, and what clients ask at their start: `_bulk` with POST and PUT, single documents, and
//! the calls of [`start`].
//! Owns: paths, the form of answers and errors. Does not own: what is in a bulk request (`codec::elasticsearch_bulk`).
//! Invariant: an answer of 200 has an item for every action; nothing is taken that its item does not say. Nothing unknown
//! is answered with success.

mod start;

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response};
use sawyer_codec::elasticsearch_bulk::{Action, Bulk, BulkError, Meta, read, read_one};
use sawyer_config::{At, Problems, Settings as _, settings};
use sawyer_delivery::tls::ListenTlsSettings;
use sawyer_pipeline::{InputPlan, Kind};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::body::{self, Held};
use super::clients::Client;
use super::desk::Desk;
use super::plan::{self, WebPlan};
use super::trouble::{Reason, Trouble};
use super::web::{self, Answer, Body, Protocol};
use start::Start;

settings! {
    /// Takes what clients of Elasticsearch and OpenSearch write: Filebeat, Logstash, Fluent Bit, Vector, libraries. A
    /// document under the same index and `_id` is stored once; where the next hop is the store, `create` of one that is
    /// there is answered with 409.
    pub struct ElasticsearchSettings {
        /// Where to listen.
        pub listen: SocketAddr = SocketAddr::from(([0, 0, 0, 0], 9200)),
        /// Encryption. By default there is none.
        pub tls: Option<ListenTlsSettings>,
        /// The version of Elasticsearch that clients are told. Some refuse to write to one that is older than they are.
        pub version: String = "8.19.0".to_owned(),
    }
}

const JSON: &str = "application/json";

/// Of tables (`_cat`), which people and rsyslog read.
const TEXT: &str = "text/plain; charset=UTF-8";

/// What a client that speaks a certain version asks for, and gets.
const VERSIONED: &str = "application/vnd.elasticsearch+json";

/// Without this header the official clients refuse to work.
const PRODUCT: (&str, &str) = ("x-elastic-product", "Elasticsearch");

/// The kind `elasticsearch`.
pub(crate) fn kind() -> Kind<Box<dyn InputPlan>> {
    Kind {
        name: "elasticsearch",
        reference: || plan::reference(ElasticsearchSettings::reference()),
        read: Box::new(|at, problems| read_plan(at, problems).map(|plan| Box::new(plan) as _)),
    }
}

/// Reads and checks the settings.
pub(super) fn read_plan(at: &At<'_>, problems: &mut Problems) -> Option<WebPlan> {
    let (ElasticsearchSettings { listen, tls, version }, common) = plan::read(at, problems)?;
    let numbers = version.split('.').collect::<Vec<_>>();
    if numbers.len() != 3 || numbers.iter().any(|number| number.parse::<u16>().is_err()) {
        problems.expected(&at.key("version"), "a version such as \"8.19.0\"");
        return None;
    }
    let protocol = Box::new(Elasticsearch { start: Start::new(version, at.name()) });
    Some(WebPlan { kind: "elasticsearch", listen: vec![listen], tls, common, protocol })
}

#[derive(Debug)]
struct Elasticsearch {
    start: Start,
}

/// A status and a body: JSON, or a table.
type Told = (u16, String);

impl Protocol for Elasticsearch {
    fn answer<'a>(&'a self, request: Request<Incoming>, from: IpAddr, desk: &'a Desk) -> Answer<'a> {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let mut response = match self.ask(&head, body, from, desk).await {
                Ok((status, body)) if body.starts_with(['{', '[']) => web::answer(status, JSON, body),
                Ok((status, table)) => web::answer(status, TEXT, table),
                Err(trouble) => refuse(&trouble),
            };
            let headers = response.headers_mut();
            headers.insert(PRODUCT.0, HeaderValue::from_static(PRODUCT.1));
            let is_json = headers.get(CONTENT_TYPE).is_some_and(|kind| kind == JSON);
            if let Some(versioned) = versioned(&head.headers).filter(|_| is_json) {
                headers.insert(CONTENT_TYPE, versioned);
            }
            response
        })
    }
}

impl Elasticsearch {
    async fn ask(&self, head: &Parts, body: Incoming, from: IpAddr, desk: &Desk) -> Result<Told, Trouble> {
        let tokens = web::tokens(&head.headers);
        let shown: Vec<&str> = tokens.iter().map(String::as_str).collect();
        let client = desk.admit(Some(from), &shown).await?;
        let held = body::read_decoded(desk, &head.headers, body).await;
        let held = held.inspect_err(|trouble| desk.meters.refused(client.name(), trouble.reason))?;
        let path: Vec<String> =
            head.uri.path().split('/').filter(|part| !part.is_empty()).map(web::unescape).collect();
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        let writes = matches!(head.method, Method::POST | Method::PUT);
        match (writes, parts.as_slice()) {
            (true, ["_bulk"]) => self.bulk(&client, desk, held, None).await,
            (true, [index, "_bulk"] | [index, _, "_bulk"]) => {
                self.bulk(&client, desk, held, Some((*index).to_owned())).await
            }
            (true, [index, "_doc"]) => self.one(&client, desk, held, Action::Index, index, None).await,
            (true, [index, "_doc", id]) => self.one(&client, desk, held, Action::Index, index, Some(id)).await,
            (true, [index, "_create", id]) => {
                self.one(&client, desk, held, Action::Create, index, Some(id)).await
            }
            (false, ["_cat", "health"]) => {
                Ok((200, Start::table(web::parameter(head.uri.query(), "format").as_deref() == Some("json"))))
            }
            (_, parts) => self.start.answer(&head.method, parts, &held.bytes, host(&head.headers)).ok_or_else(|| {
                let message = format!(
                    "no handler found for uri [{}] and method [{}]: this is a receiver of Sawyer, which takes documents only",
                    head.uri.path(),
                    head.method
                );
                Trouble::new(Reason::Invalid, message)
            }),
        }
    }

    async fn bulk(
        &self,
        client: &std::sync::Arc<Client>,
        desk: &Desk,
        held: Held,
        index: Option<String>,
    ) -> Result<Told, Trouble> {
        let began = Instant::now();
        let Held { bytes, length, room } = held;
        let sender = client.name().to_owned();
        let decode = move |intake: &mut _| {
            let read: Result<Bulk, BulkError> = read(&bytes, index.as_deref(), &sender, intake);
            read.map_err(|error| match error {
                BulkError::Full(refused) => refused.into(),
                error => Trouble::invalid(&error),
            })
        };
        let (mut bulk, known) = desk.take_knowing(client, None, (length, room), decode).await?;
        let conflicts = bulk.settle(&known);
        let Bulk { items, rejected, .. } = bulk;
        desk.meters.rejected(rejected, "document");
        // Fluent Bit looks for `"errors":false,"items":[` in the beginning of the answer.
        let answer = format!(
            r#"{{"took":{},"errors":{},"items":[{items}]}}"#,
            began.elapsed().as_millis(),
            conflicts || rejected > 0
        );
        Ok((200, answer))
    }

    async fn one(
        &self,
        client: &std::sync::Arc<Client>,
        desk: &Desk,
        held: Held,
        action: Action,
        index: &str,
        id: Option<&str>,
    ) -> Result<Told, Trouble> {
        let Held { bytes, length, room } = held;
        let (sender, index, id) = (client.name().to_owned(), index.to_owned(), id.map(str::to_owned));
        let decode = move |intake: &mut _| {
            let meta = Meta { action, index: Some(index.into()), id: id.map(Into::into) };
            read_one(&bytes, &meta, &sender, intake).map_err(Trouble::from)
        };
        let (mut bulk, known) = desk.take_knowing(client, None, (length, room), decode).await?;
        let refused = bulk.settle(&known) || bulk.rejected > 0;
        desk.meters.rejected(bulk.rejected, "document");
        // The answer is what the item of a bulk request says.
        let item: Value = serde_json::from_str(&bulk.items).unwrap_or_default();
        let mut item = item[action.name()].clone();
        let status = item["status"].as_u64().unwrap_or(500) as u16;
        if let Some(item) = item.as_object_mut().filter(|_| !refused) {
            item.remove("status");
        }
        Ok((status, item.to_string()))
    }
}

/// The name under which the client reaches this receiver.
fn host(headers: &HeaderMap) -> &str {
    headers.get(hyper::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1:9200")
}

/// The media type that clients of version 8 and later ask for.
fn versioned(headers: &HeaderMap) -> Option<HeaderValue> {
    let accept = headers.get(ACCEPT)?.to_str().ok()?;
    let asked = accept.split(',').map(str::trim).find(|part| part.starts_with(VERSIONED))?;
    HeaderValue::from_str(asked).ok()
}

fn refuse(trouble: &Trouble) -> Response<Body> {
    // Elasticsearch says that its queues are full with 429, and that is what every client repeats.
    let (status, kind) = match trouble.reason {
        Reason::TokenMissing | Reason::TokenUnknown => (401, "security_exception"),
        Reason::Elsewhere => (403, "security_exception"),
        Reason::Rate | Reason::Full => (429, "es_rejected_execution_exception"),
        Reason::TooLarge => (413, "content_too_long_exception"),
        Reason::Undelivered | Reason::Closed => (503, "cluster_block_exception"),
        Reason::Unsupported => (415, "media_type_header_exception"),
        reason => (reason.status(), "illegal_argument_exception"),
    };
    let cause = json!({"type": kind, "reason": trouble.message});
    let mut error = cause.clone();
    error["root_cause"] = json!([cause]);
    let body = json!({"error": error, "status": status}).to_string();
    let mut response = web::trouble(trouble, JSON, Bytes::from(body));
    if let Ok(status) = hyper::StatusCode::from_u16(status) {
        *response.status_mut() = status;
    }
    if status == 401 {
        let asks = HeaderValue::from_static("Basic realm=\"sawyer\", charset=\"UTF-8\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, asks);
        response.headers_mut().append(WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey"));
    }
    response
}
