//! The input `firehose`: Amazon Data Firehose's deliveries to an HTTP endpoint.
//!
//! Source: AWS's "Understand HTTP endpoint delivery request and response specifications".
//! Owns: headers, the answer. Does not own: what is in a request (`codec::firehose`).
//! Invariant: 200 with the request's id says that all of it is durable. A request that Firehose repeats has the same id, and
//! is stored once.

use std::net::{IpAddr, SocketAddr};

use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Method, Request};
use sawyer_codec::firehose::{FirehoseError, read};
use sawyer_codec::posted::Posted;
use sawyer_config::{At, Problems, Settings as _, settings};
use sawyer_delivery::tls::ListenTlsSettings;
use sawyer_model::SourceId;
use sawyer_pipeline::{InputPlan, Kind};
use serde_json::{Value, json};

use super::body::{self, Held};
use super::desk::Desk;
use super::plan::{self, WebPlan};
use super::trouble::{Reason, Trouble};
use super::web::{self, Answer, Protocol};

settings! {
    /// Takes what Amazon Data Firehose delivers, among it what subscriptions of CloudWatch Logs send: the logs of EKS'
    /// control plane, of Lambda and of others. Firehose delivers to `https://` only and shows its access key as a token.
    pub struct FirehoseSettings {
        /// Where to listen.
        pub listen: SocketAddr = SocketAddr::from(([0, 0, 0, 0], 8443)),
        /// Encryption. By default there is none, for those who end it in front of Sawyer.
        pub tls: Option<ListenTlsSettings>,
    }
}

const JSON: &str = "application/json";
const REQUEST_ID: &str = "x-amz-firehose-request-id";
const ACCESS_KEY: &str = "x-amz-firehose-access-key";
const ATTRIBUTES: &str = "x-amz-firehose-common-attributes";

/// Attributes of a delivery stream at most, as AWS has it.
const ATTRIBUTES_MAX: usize = 50;

/// The kind `firehose`.
pub(crate) fn kind() -> Kind<Box<dyn InputPlan>> {
    Kind {
        name: "firehose",
        reference: || plan::reference(FirehoseSettings::reference()),
        read: Box::new(|at, problems| read_plan(at, problems).map(|plan| Box::new(plan) as _)),
    }
}

/// Reads and checks the settings.
pub(super) fn read_plan(at: &At<'_>, problems: &mut Problems) -> Option<WebPlan> {
    let (FirehoseSettings { listen, tls }, common) = plan::read(at, problems)?;
    Some(WebPlan { kind: "firehose", listen: vec![listen], tls, common, protocol: Box::new(Firehose) })
}

#[derive(Debug)]
struct Firehose;

impl Protocol for Firehose {
    fn answer<'a>(&'a self, request: Request<Incoming>, from: IpAddr, desk: &'a Desk) -> Answer<'a> {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let id = header(&head, REQUEST_ID).unwrap_or_default().to_owned();
            let now = desk.clock.now().nanos() / 1_000_000;
            match take(&head, body, &id, from, desk).await {
                Ok(_) => web::answer(200, JSON, json!({"requestId": id, "timestamp": now}).to_string()),
                Err(trouble) => {
                    let told = json!({"requestId": id, "timestamp": now, "errorMessage": trouble.message});
                    web::trouble(&trouble, JSON, told.to_string())
                }
            }
        })
    }
}

fn header<'a>(head: &'a Parts, name: &str) -> Option<&'a str> {
    head.headers.get(name)?.to_str().ok()
}

async fn take(head: &Parts, body: Incoming, id: &str, from: IpAddr, desk: &Desk) -> Result<Posted, Trouble> {
    if head.method != Method::POST {
        return Err(Trouble::new(Reason::Method, "expected POST"));
    }
    let mut tokens = web::tokens(&head.headers);
    tokens.extend(header(head, ACCESS_KEY).map(str::to_owned));
    let shown: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let client = desk.admit(Some(from), &shown).await?;
    let held = body::read_decoded(desk, &head.headers, body).await;
    let Held { bytes, length, room } =
        held.inspect_err(|trouble| desk.meters.refused(client.name(), trouble.reason))?;
    let common = attributes(head);
    let most = desk.intake.body_bytes_max.bytes() as usize;
    let source = (!id.is_empty())
        .then(|| SourceId::of(&[b"firehose", client.name().as_bytes(), id.as_bytes(), records(&bytes)]));
    let decode = move |intake: &mut _| {
        read(&bytes, &common, most, intake).map_err(|error| match error {
            FirehoseError::Refused(refused) => refused.into(),
            error => Trouble::invalid(&error),
        })
    };
    let posted = desk.take(&client, source, (length, room), decode).await?;
    desk.meters.malformed(posted.malformed);
    Ok(posted)
}

/// The records of a request. When it is repeated, its time may be another one; other records are another request.
fn records(body: &[u8]) -> &[u8] {
    let start = memchr::memmem::find(body, b"\"records\"").unwrap_or(0);
    let end = memchr::memrchr(b']', body).unwrap_or(body.len());
    body.get(start..end).unwrap_or(body)
}

/// `{"commonAttributes":{"env":"prod"}}`
fn attributes(head: &Parts) -> Vec<(String, String)> {
    let said: Option<Value> = header(head, ATTRIBUTES).and_then(|text| serde_json::from_str(text).ok());
    let said = said.as_ref().and_then(|said| said["commonAttributes"].as_object());
    let pairs = said.into_iter().flatten().take(ATTRIBUTES_MAX);
    pairs.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}
