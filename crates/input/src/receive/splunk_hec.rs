//! The input `splunk_hec`: what is sent to Splunk's HTTP Event Collector.
//!
//! Source: Splunk's "HTTP Event Collector REST API endpoints" and "HEC indexer acknowledgment".
//! Owns: paths, tokens, channels and acknowledgements, the answers. Does not own: what is in a request
//! (`codec::splunk_hec`).
//! Invariant: an answer of success, and an acknowledgement, is given only to what is durable. So an id that was given out
//! is acknowledged from the beginning, and ids from before a restart as well: they are all below the ones of today. An id
//! that is still to be given out is not.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};
use parking_lot::Mutex;
use sawyer_codec::splunk_hec::{Common, HecError, read_events, read_raw};
use sawyer_config::{At, Problems, Settings as _, settings};
use sawyer_delivery::tls::ListenTlsSettings;
use sawyer_model::Timestamp;
use sawyer_pipeline::{InputPlan, Kind};
use serde_json::{Value, json};

use super::body::{self, Held};
use super::desk::Desk;
use super::plan::{self, WebPlan};
use super::trouble::{Reason, Trouble};
use super::web::{self, Answer, Body, Protocol};

settings! {
    /// Takes what is sent to Splunk's HTTP Event Collector: events, raw text, with and without acknowledgement.
    pub struct SplunkHecSettings {
        /// Where to listen.
        pub listen: SocketAddr = SocketAddr::from(([0, 0, 0, 0], 8088)),
        /// Encryption. By default there is none.
        pub tls: Option<ListenTlsSettings>,
        /// Whether senders have to name a channel and may ask whether what they sent was acknowledged. What is answered
        /// with success is durable anyhow.
        pub acknowledge: bool = false,
    }
}

const JSON: &str = "application/json";
const CHANNEL: &str = "x-splunk-request-channel";

/// Channels that are remembered; the one that was used the longest ago makes room for a new one.
const CHANNELS_MAX: usize = 10_000;

/// Longest question about acknowledgements.
const ACK_BYTES_MAX: usize = 1 << 20;

/// Longest name of a channel, which is a UUID.
const CHANNEL_BYTES_MAX: usize = 128;

/// The kind `splunk_hec`.
pub(crate) fn kind() -> Kind<Box<dyn InputPlan>> {
    Kind {
        name: "splunk_hec",
        reference: || plan::reference(SplunkHecSettings::reference()),
        read: Box::new(|at, problems| read_plan(at, problems).map(|plan| Box::new(plan) as _)),
    }
}

/// Reads and checks the settings.
pub(super) fn read_plan(at: &At<'_>, problems: &mut Problems) -> Option<WebPlan> {
    let (SplunkHecSettings { listen, tls, acknowledge }, common) = plan::read(at, problems)?;
    let protocol = Box::new(Hec { acknowledge, channels: Mutex::default() });
    Some(WebPlan { kind: "splunk_hec", listen: vec![listen], tls, common, protocol })
}

#[derive(Debug)]
struct Hec {
    acknowledge: bool,
    channels: Mutex<Channels>,
}

/// The next id of each channel.
#[derive(Debug, Default)]
struct Channels {
    /// Where ids start: the microsecond of the first use. So they are above all those that were given out before.
    base: Option<u64>,
    given: HashMap<String, (u64, u64)>,
    uses: u64,
}

/// What Splunk says: a text, a code, and the number of an event.
struct Fault {
    trouble: Trouble,
    code: u32,
    event: Option<u64>,
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        let code = match trouble.reason {
            Reason::TokenMissing => 2,
            Reason::TokenUnknown | Reason::Elsewhere => 4,
            Reason::Rate | Reason::Full | Reason::Undelivered | Reason::Closed | Reason::Slow => 9,
            Reason::Bug => 8,
            _ => 6,
        };
        Self { trouble, code, event: None }
    }
}

impl Protocol for Hec {
    fn answer<'a>(&'a self, request: Request<Incoming>, from: IpAddr, desk: &'a Desk) -> Answer<'a> {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            match self.ask(&head, body, from, desk).await {
                Ok(told) => web::answer(200, JSON, told.to_string()),
                Err(fault) => refuse(&fault),
            }
        })
    }
}

fn refuse(Fault { trouble, code, event }: &Fault) -> Response<Body> {
    let mut told = json!({"text": trouble.message, "code": code});
    if let Some(event) = event {
        told["invalid-event-number"] = json!(event);
    }
    web::trouble(trouble, JSON, told.to_string())
}

impl Hec {
    async fn ask(&self, head: &Parts, body: Incoming, from: IpAddr, desk: &Desk) -> Result<Value, Fault> {
        let path = head.uri.path().trim_end_matches('/');
        let path = path.strip_suffix("/1.0").unwrap_or(path);
        let Some(what) = path.strip_prefix("/services/collector") else {
            let message = "events are taken at /services/collector";
            return Err(Trouble::new(Reason::NotFound, message).into());
        };
        if what == "/health" && head.method == Method::GET {
            return Ok(json!({"text": "HEC is healthy", "code": 17}));
        }
        if head.method != Method::POST {
            return Err(Trouble::new(Reason::Method, "expected POST").into());
        }
        let mut tokens = web::tokens(&head.headers);
        tokens.extend(web::parameter(head.uri.query(), "token"));
        let shown: Vec<&str> = tokens.iter().map(String::as_str).collect();
        let client = desk.admit(Some(from), &shown).await?;
        let channel = channel(head);
        if what == "/ack" {
            return self.acknowledged(
                channel,
                &body::read_up_to(desk, body, ACK_BYTES_MAX).await?.bytes,
                desk,
            );
        }
        let raw = match what {
            "" | "/event" => false,
            "/raw" => true,
            _ => return Err(Trouble::new(Reason::NotFound, "there is no such endpoint").into()),
        };
        if self.acknowledge && channel.is_none() {
            let trouble = Trouble::new(Reason::Invalid, "Data channel is missing");
            return Err(Fault { trouble, code: 10, event: None });
        }
        let held = body::read_decoded(desk, &head.headers, body).await;
        let Held { bytes, length, room } =
            held.inspect_err(|trouble| desk.meters.refused(client.name(), trouble.reason))?;
        let common = common(head);
        let fault = std::sync::Arc::new(Mutex::new(None));
        let told = std::sync::Arc::clone(&fault);
        let decode = move |intake: &mut _| {
            let read = if raw { read_raw } else { read_events };
            read(&bytes, &common, intake).map_err(|error| {
                *told.lock() = Some((error.code(), error.event()));
                match error {
                    HecError::Refused(refused) => refused.into(),
                    error => Trouble::invalid(&error),
                }
            })
        };
        let taken = desk.take(&client, None, (length, room), decode).await;
        taken.map_err(|trouble| match fault.lock().take() {
            Some((code, event)) => Fault { trouble, code, event },
            None => trouble.into(),
        })?;
        Ok(match channel.filter(|_| self.acknowledge) {
            Some(channel) => {
                let id = self.channels.lock().give(channel, desk.clock.now());
                json!({"text": "Success", "code": 0, "ackId": id})
            }
            None => json!({"text": "Success", "code": 0}),
        })
    }

    /// `{"acks":[0,1]}` → `{"acks":{"0":true,"1":false}}`
    fn acknowledged(&self, channel: Option<String>, body: &[u8], desk: &Desk) -> Result<Value, Fault> {
        if !self.acknowledge {
            let trouble = Trouble::new(Reason::Invalid, "ACK is disabled");
            return Err(Fault { trouble, code: 14, event: None });
        }
        let Some(channel) = channel else {
            let trouble = Trouble::new(Reason::Invalid, "Data channel is missing");
            return Err(Fault { trouble, code: 10, event: None });
        };
        let asked: Option<Value> = serde_json::from_slice(body).ok();
        let asked = asked.as_ref().and_then(|asked| asked["acks"].as_array());
        let asked =
            asked.ok_or_else(|| Trouble::new(Reason::Invalid, "expected `acks`, a list of numbers"))?;
        let next = self.channels.lock().next(&channel, desk.clock.now());
        let acks = asked.iter().filter_map(Value::as_u64).map(|id| (id.to_string(), Value::Bool(id < next)));
        Ok(json!({"acks": acks.collect::<serde_json::Map<_, _>>()}))
    }
}

impl Channels {
    fn base(&mut self, now: Timestamp) -> u64 {
        *self.base.get_or_insert_with(|| u64::try_from(now.nanos() / 1000).unwrap_or(0))
    }

    /// The id that a channel gets next.
    fn next(&mut self, channel: &str, now: Timestamp) -> u64 {
        let base = self.base(now);
        self.given.get(channel).map_or(base, |(next, _)| *next)
    }

    /// Gives a channel its next id.
    fn give(&mut self, channel: String, now: Timestamp) -> u64 {
        let base = self.base(now);
        self.uses += 1;
        if self.given.len() >= CHANNELS_MAX && !self.given.contains_key(&channel) {
            let oldest = self.given.iter().min_by_key(|(_, (_, used))| *used).map(|(name, _)| name.clone());
            oldest.map(|oldest| self.given.remove(&oldest));
        }
        let (next, used) = self.given.entry(channel).or_insert((base, 0));
        *used = self.uses;
        *next += 1;
        *next - 1
    }
}

/// The sender's channel, from the header or the path.
fn channel(head: &Parts) -> Option<String> {
    let named = head.headers.get(CHANNEL).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let named = named.or_else(|| web::parameter(head.uri.query(), "channel"));
    named.filter(|name| !name.is_empty() && name.len() <= CHANNEL_BYTES_MAX)
}

/// What the path says of all events.
fn common(head: &Parts) -> Common {
    let names = ["host", "source", "sourcetype", "index"];
    let fields = names.into_iter().filter_map(|name| Some((name, web::parameter(head.uri.query(), name)?)));
    Common { fields: fields.collect() }
}
