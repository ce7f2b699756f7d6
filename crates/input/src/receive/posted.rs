//! The input `http`: JSON, lines of JSON, or text, as any program can post it.
//!
//! Owns: which form a body has, the answer. Does not own: the forms (`codec::posted`).
//! Invariant: what is no JSON is kept as text and marked; nothing of a body that was taken is left out.

use std::net::{IpAddr, SocketAddr};

use hyper::body::Incoming;
use hyper::{Method, Request};
use sawyer_codec::posted::{Form, Posted, PostedError, read};
use sawyer_config::{At, Problems, Settings as _, choice, settings};
use sawyer_delivery::tls::ListenTlsSettings;
use sawyer_model::SourceId;
use sawyer_pipeline::{InputPlan, Kind};
use serde_json::json;

use super::body::{self, Held};
use super::desk::Desk;
use super::plan::{self, WebPlan};
use super::trouble::{Reason, Trouble};
use super::web::{self, Answer, Protocol};

choice! {
    /// What bodies are.
    pub enum PostedFormat {
        /// JSON if the first character is `{` or `[`, or the media type says so; else text.
        Auto = "auto",
        /// One JSON object, an array of such, or one on each line.
        Json = "json",
        /// Text; each line is a record.
        Text = "text",
    }
}

settings! {
    /// Takes what programs post over HTTP, at any path: a JSON object, an array of such, objects on lines of their own, or
    /// lines of text. A request under the same header `Idempotency-Key` with the same body as before is stored once.
    pub struct PostedSettings {
        /// Where to listen.
        pub listen: SocketAddr = SocketAddr::from(([0, 0, 0, 0], 8080)),
        /// Encryption. By default there is none.
        pub tls: Option<ListenTlsSettings>,
        /// What bodies are.
        pub format: PostedFormat = PostedFormat::Auto,
    }
}

const JSON: &str = "application/json";

/// A client that repeats a request under the same key repeats nothing in the store.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The kind `http`.
pub(crate) fn kind() -> Kind<Box<dyn InputPlan>> {
    Kind {
        name: "http",
        reference: || plan::reference(PostedSettings::reference()),
        read: Box::new(|at, problems| read_plan(at, problems).map(|plan| Box::new(plan) as _)),
    }
}

/// Reads and checks the settings.
pub(super) fn read_plan(at: &At<'_>, problems: &mut Problems) -> Option<WebPlan> {
    let (PostedSettings { listen, tls, format }, common) = plan::read(at, problems)?;
    Some(WebPlan { kind: "http", listen: vec![listen], tls, common, protocol: Box::new(Post { format }) })
}

#[derive(Debug)]
struct Post {
    format: PostedFormat,
}

impl Protocol for Post {
    fn answer<'a>(&'a self, request: Request<Incoming>, from: IpAddr, desk: &'a Desk) -> Answer<'a> {
        Box::pin(async move {
            match self.take(request, from, desk).await {
                Ok(Posted { accepted, malformed, .. }) => {
                    let body = json!({"accepted": accepted, "malformed": malformed});
                    web::answer(200, JSON, body.to_string())
                }
                Err(trouble) => {
                    let error = json!({"error": {"kind": trouble.reason.name(), "message": trouble.message}});
                    web::trouble(&trouble, JSON, error.to_string())
                }
            }
        })
    }
}

impl Post {
    async fn take(&self, request: Request<Incoming>, from: IpAddr, desk: &Desk) -> Result<Posted, Trouble> {
        let (head, body) = request.into_parts();
        if !matches!(head.method, Method::POST | Method::PUT) {
            return Err(Trouble::new(Reason::Method, "expected POST or PUT"));
        }
        let tokens = web::tokens(&head.headers);
        let shown: Vec<&str> = tokens.iter().map(String::as_str).collect();
        let client = desk.admit(Some(from), &shown).await?;
        let held = body::read_decoded(desk, &head.headers, body).await;
        let Held { bytes, length, room } =
            held.inspect_err(|trouble| desk.meters.refused(client.name(), trouble.reason))?;
        let form = match self.format {
            PostedFormat::Json => Form::Json,
            PostedFormat::Text => Form::Text,
            PostedFormat::Auto => form_of(&web::media_type(&head.headers), &bytes),
        };
        let source = head
            .headers
            .get(IDEMPOTENCY_KEY)
            .map(|key| SourceId::of(&[b"http", client.name().as_bytes(), key.as_bytes(), &bytes]));
        let decode = move |intake: &mut _| read(&bytes, form, intake).map_err(told);
        let posted = desk.take(&client, source, (length, room), decode).await?;
        desk.meters.malformed(posted.malformed);
        Ok(posted)
    }
}

fn form_of(media_type: &str, body: &[u8]) -> Form {
    if media_type.contains("json") {
        return Form::Json;
    }
    match body.trim_ascii_start().first() {
        Some(b'{' | b'[') if media_type != "text/plain" => Form::Json,
        _ => Form::Text,
    }
}

fn told(error: PostedError) -> Trouble {
    match error {
        PostedError::Refused(refused) => refused.into(),
        error => Trouble::invalid(&error),
    }
}
