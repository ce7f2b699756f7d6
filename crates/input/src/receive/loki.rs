//! The input `loki`: what Promtail, Alloy, Fluent Bit, Vector and libraries push to Loki.
//!
//! Source: Loki's HTTP API ("Ingest logs"); the routes of its clients.
//! Owns: paths, encodings, the answers. Does not own: what is in a request (`codec::loki_push`).
//! Invariant: 204 says that every entry of the request is durable. Loki itself stores the good entries of a request that it
//! answers with 400; here such a request is not taken at all, and an entry with a strange time is taken and marked.

use std::net::{IpAddr, SocketAddr};

use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request};
use sawyer_codec::loki_push::{LokiError, Pushed, read_json, read_protobuf};
use sawyer_config::{At, Problems, Settings as _, settings};
use sawyer_delivery::tls::ListenTlsSettings;
use sawyer_pipeline::{InputPlan, Kind};
use serde_json::json;

use super::body::{self, Held};
use super::desk::Desk;
use super::otlp;
use super::plan::{self, WebPlan};
use super::trouble::{Reason, Trouble};
use super::web::{self, Answer, Protocol};

settings! {
    /// Takes what clients of Loki push, at `/loki/api/v1/push`, and of OpenTelemetry's, at `/otlp/v1/logs`. Labels and structured metadata become fields; there is no
    /// bound on how many values they have, and no entry is too old or out of order.
    pub struct LokiSettings {
        /// Where to listen.
        pub listen: SocketAddr = SocketAddr::from(([0, 0, 0, 0], 3100)),
        /// Encryption. By default there is none.
        pub tls: Option<ListenTlsSettings>,
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const OTLP_PATH: &str = "/otlp/v1/logs";
const TENANT: &str = "x-scope-orgid";

/// The kind `loki`.
pub(crate) fn kind() -> Kind<Box<dyn InputPlan>> {
    Kind {
        name: "loki",
        reference: || plan::reference(LokiSettings::reference()),
        read: Box::new(|at, problems| read_plan(at, problems).map(|plan| Box::new(plan) as _)),
    }
}

/// Reads and checks the settings.
pub(super) fn read_plan(at: &At<'_>, problems: &mut Problems) -> Option<WebPlan> {
    let (LokiSettings { listen, tls }, common) = plan::read(at, problems)?;
    Some(WebPlan { kind: "loki", listen: vec![listen], tls, common, protocol: Box::new(Loki) })
}

#[derive(Debug)]
struct Loki;

impl Protocol for Loki {
    fn answer<'a>(&'a self, request: Request<Incoming>, from: IpAddr, desk: &'a Desk) -> Answer<'a> {
        Box::pin(async move {
            let reads = matches!(*request.method(), Method::GET | Method::HEAD);
            match request.uri().path().trim_end_matches('/') {
                OTLP_PATH => otlp::answer(request, from, desk, OTLP_PATH).await,
                // Vector asks this before it starts.
                "/ready" if reads => web::answer(200, TEXT, "ready\n"),
                "/loki/api/v1/status/buildinfo" if reads => {
                    let info =
                        json!({"version": "3.6.0", "revision": "sawyer", "branch": "", "goVersion": ""});
                    web::answer(200, JSON, info.to_string())
                }
                _ => match take(request, from, desk).await {
                    Ok(_) => web::empty(204),
                    Err(trouble) => web::trouble(&trouble, TEXT, format!("{}\n", trouble.message)),
                },
            }
        })
    }
}

async fn take(request: Request<Incoming>, from: IpAddr, desk: &Desk) -> Result<Pushed, Trouble> {
    let (head, body) = request.into_parts();
    if !matches!(head.uri.path().trim_end_matches('/'), "/loki/api/v1/push" | "/api/prom/push") {
        return Err(Trouble::new(Reason::NotFound, "only entries are taken here, at /loki/api/v1/push"));
    }
    if head.method != Method::POST {
        return Err(Trouble::new(Reason::Method, "expected POST"));
    }
    let tokens = web::tokens(&head.headers);
    let shown: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let client = desk.admit(Some(from), &shown).await?;
    let json = web::media_type(&head.headers) == JSON;
    let held = read_body(desk, &head.headers, body, json).await;
    let Held { bytes, length, room } =
        held.inspect_err(|trouble| desk.meters.refused(client.name(), trouble.reason))?;
    let tenant = head.headers.get(TENANT).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let decode = move |intake: &mut _| {
        let read = if json { read_json } else { read_protobuf };
        read(&bytes, tenant.as_deref(), intake).map_err(|error| match error {
            LokiError::Refused(refused) => refused.into(),
            error => Trouble::invalid(&error),
        })
    };
    let pushed = desk.take(&client, None, (length, room), decode).await?;
    desk.meters.malformed(pushed.malformed);
    Ok(pushed)
}

/// Protobuf is always a block of snappy, also within what a header tells; JSON never is, whatever it tells. So Loki has it.
async fn read_body(desk: &Desk, headers: &HeaderMap, body: Incoming, json: bool) -> Result<Held, Trouble> {
    let encoding = body::encoding(headers);
    let mut held = body::read(desk, body).await?;
    if encoding != "snappy" {
        held = body::decompress(desk, held, &encoding).await?;
    }
    if json { Ok(held) } else { body::decompress(desk, held, "snappy").await }
}
