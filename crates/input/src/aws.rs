//! Asking AWS's services for what they have: their JSON protocol, signed.
//!
//! Source: AWS's "JSON 1.1" protocol, and "Common errors" of each service's API reference.
//! Owns: how a service is reached, who asks, how often at most, what a refusal means.
//! Does not own: signatures and credentials (`delivery::auth::aws`), what is asked (`cloudwatch_logs`, `kinesis`).
//! Invariant: no refusal that an operator can end makes an input give up or pass anything over.

#[cfg(test)]
pub(crate) mod bench;
pub(crate) mod kept;

use std::fmt;
use std::time::Duration;

use sawyer_config::{At, Problems, Secret, settings};
use sawyer_delivery::Trouble;
use sawyer_delivery::auth::aws::{Surroundings, domain_of};
use sawyer_delivery::auth::{AuthPlan, AuthSettings, AwsSettings};
use sawyer_delivery::http::{
    Client, Compression, HeaderName, HeaderValue, HttpSettings, Method, Request, Response, TlsSettings, Url,
    read_url, shown,
};
use sawyer_model::{Error, ErrorKind};
use sawyer_pipeline::{Backoff, Context, Stop};
use sawyer_telemetry::Seldom;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

settings! {
    /// How a service of AWS is reached.
    pub struct AccessSettings {
        /// The region, such as `ap-northeast-2`; else that of `auth`, else `AWS_REGION` of the environment.
        pub region: Option<String>,
        /// The address of the service, such as that of a VPC endpoint. By default it follows from the region.
        pub endpoint: Option<String>,
        /// Who asks: `{type: aws, …}` with keys, a profile, or a role to assume. By default credentials are found where
        /// AWS's own programs find them.
        pub auth: Option<AuthSettings>,
        /// Encryption, for endpoints that begin with `https://`.
        pub tls: TlsSettings = TlsSettings::default(),
        /// A proxy, such as `http://proxy:3128`. Without it the environment decides (`HTTPS_PROXY`, `NO_PROXY`).
        pub proxy: Option<Secret>,
        /// Longest wait for a connection.
        #[range(Duration::from_millis(100)..=Duration::from_secs(300))]
        pub connect_timeout: Duration = Duration::from_secs(10),
        /// Longest wait for a whole answer.
        #[range(Duration::from_millis(100)..=Duration::from_secs(3600))]
        pub answer_timeout: Duration = Duration::from_secs(60),
    }
}

const MEDIA_TYPE: &str = "application/x-amz-json-1.1";
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

/// Pause before a service that refused is asked again, and the longest such pause.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How often the same kind of trouble is told of.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// A service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    /// Its name for people.
    pub(crate) title: &'static str,
    /// Its name in signatures and host names.
    pub(crate) name: &'static str,
    /// What stands before the name of an action.
    pub(crate) prefix: &'static str,
    /// The variable of the environment that says where it is.
    pub(crate) variable: &'static str,
    /// How long to wait between two requests.
    pub(crate) pause: Duration,
}

/// How a service is reached, checked.
#[derive(Debug)]
pub(crate) struct AccessPlan {
    endpoint: Option<Url>,
    aws: AwsSettings,
    http: HttpSettings,
}

impl AccessSettings {
    /// Checks what the settings say together.
    pub(crate) fn check(self, at: &At<'_>, problems: &mut Problems) -> Option<AccessPlan> {
        let before = problems.len();
        let Self { region, endpoint, auth, tls, proxy, connect_timeout, answer_timeout } = self;
        let endpoint = endpoint.and_then(|text| read_url(&text, &at.key("endpoint"), problems));
        let mut aws = match auth.map(|auth| auth.check(&at.key("auth"), problems)) {
            None => AwsSettings::default(),
            Some(Some(AuthPlan::Aws(aws))) => aws,
            Some(Some(AuthPlan::Header(_))) => {
                problems.expected(&at.key("auth").key("type"), "`aws`, the only way in which AWS is asked");
                return None;
            }
            Some(None) => return None,
        };
        if tls.cert_file.is_some() != tls.key_file.is_some() {
            problems.push(&at.key("tls"), "expected both `cert_file` and `key_file`, or neither");
        }
        aws.region = region.or(aws.region);
        let compression = Compression::None;
        let http = HttpSettings { auth: None, tls, proxy, compression, connect_timeout, answer_timeout };
        (problems.len() == before).then_some(AccessPlan { endpoint, aws, http })
    }
}

impl AccessPlan {
    /// One who asks.
    ///
    /// # Errors
    /// If no region is known, or a file of the settings cannot be used.
    pub(crate) fn open(self, service: Service, context: &Context) -> Result<Asker, Error> {
        let surroundings = Surroundings::of_process();
        let region = self.aws.region(&surroundings)?;
        let endpoint = match self.endpoint {
            Some(url) => url,
            None => service.endpoint(&region, &surroundings)?,
        };
        let name = self.aws.service.clone().unwrap_or_else(|| service.name.to_owned());
        let signer = self.aws.signer(&region, &name, &surroundings, &context.clock);
        let addresses = std::slice::from_ref(&endpoint);
        let client = Client::new(self.http, addresses, Some(signer), context.clock.clone())?;
        let (context, next) = (context.clone(), Mutex::new(Instant::now()));
        Ok(Asker { client, endpoint, service, region, context, next, seldom: Seldom::new(TELL_INTERVAL) })
    }
}

impl Service {
    /// Where it is, unless the settings say it.
    fn endpoint(self, region: &str, surroundings: &Surroundings) -> Result<Url, Error> {
        let set = [self.variable, "AWS_ENDPOINT_URL"].into_iter().find_map(|name| surroundings.get(name));
        let text = set.unwrap_or_else(|| format!("https://{}.{region}.{}/", self.name, domain_of(region)));
        Url::parse(&text).map_err(|error| {
            let doing = format!("read the endpoint of {}: {text}", self.title);
            Error::new(ErrorKind::Invalid, doing).because(error)
        })
    }
}

/// What a refusal means for whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// What was asked for is not there.
    NotFound,
    /// A token or an iterator is too old.
    Expired,
    /// The request itself.
    Invalid,
    /// Permissions.
    Denied,
    /// Too much, too often, no credentials that are taken, or nobody there: later.
    Later,
}

/// A request that was not answered as hoped.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) why: Why,
    pub(crate) detail: String,
    after: Option<Duration>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// Asks a service.
pub(crate) struct Asker {
    client: Client,
    endpoint: Url,
    service: Service,
    pub(crate) region: String,
    context: Context,
    /// When the next request may be sent: the limits are those of an account, whoever asks.
    next: Mutex<Instant>,
    seldom: Seldom,
}

impl Asker {
    /// Asks until there is an answer, or a refusal that waiting does not end. None when told to stop.
    pub(crate) async fn ask<R: DeserializeOwned>(
        &self,
        action: &'static str,
        body: &Json,
        stop: &Stop,
    ) -> Option<Result<R, Refusal>> {
        let asked = self.ask_in_turn(action, body, stop, || std::future::ready(())).await;
        asked.map(|asked| asked.map(|(answer, ())| answer))
    }

    /// The same, each time only when it is its turn; gives the turn with the answer, and keeps none over a pause.
    pub(crate) async fn ask_in_turn<R: DeserializeOwned, T, F: Future<Output = T>>(
        &self,
        action: &'static str,
        body: &Json,
        stop: &Stop,
        turn: impl Fn() -> F,
    ) -> Option<Result<(R, T), Refusal>> {
        let mut backoff = Backoff::new(PAUSE_MIN, PAUSE_MAX);
        loop {
            let asked = tokio::select! {
                biased;
                () = stop.stopped() => return None,
                asked = async {
                    let turn = turn().await;
                    self.ask_once(action, body).await.map(|answer| (answer, turn))
                } => asked,
            };
            let refusal = match asked {
                Ok(answer) => {
                    self.count(action, "answered");
                    return Some(Ok(answer));
                }
                Err(refusal) => refusal,
            };
            self.count(action, refusal.why.name());
            if !matches!(refusal.why, Why::Later | Why::Denied) {
                return Some(Err(refusal));
            }
            self.tell(action, &refusal);
            // Who looks for things goes on with others, and looks again.
            let is_looking = action.starts_with("Describe") || action.starts_with("List");
            if refusal.why == Why::Denied && is_looking {
                return Some(Err(refusal));
            }
            let pause = refusal.after.unwrap_or_default().max(backoff.failed());
            tokio::select! {
                () = stop.stopped() => return None,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Tells of trouble now and then.
    pub(crate) fn tell(&self, action: &str, refusal: &Refusal) {
        if let Some(held_back) = self.seldom.pass(self.context.clock.now()) {
            let (input, service) = (&self.context.name, self.service.title);
            tracing::warn!(input, service, action, held_back, "AWS does not answer: {refusal}");
        }
    }

    fn count(&self, action: &'static str, outcome: &'static str) {
        let labels = [("input", self.context.name.as_str()), ("action", action), ("outcome", outcome)];
        self.context.metrics.counter("sawyer_input_aws_requests", "Requests to AWS", &labels).inc();
    }

    async fn ask_once<R: DeserializeOwned>(&self, action: &'static str, body: &Json) -> Result<R, Refusal> {
        self.turn().await;
        let target = HeaderValue::try_from(format!("{}.{action}", self.service.prefix));
        let target = target.map_err(|_| Refusal::new(Why::Invalid, action))?;
        let (url, body) = (self.endpoint.clone(), body.to_string().into());
        let request = Request::with_body(Method::POST, url, MEDIA_TYPE, Compression::None, body);
        let sent = self.client.send(request.header(TARGET, target)).await;
        let response = sent.map_err(|trouble| unanswered(&trouble))?;
        if !(200..300).contains(&response.status) {
            return Err(refusal(&response));
        }
        let body = if response.body.is_empty() { &b"{}"[..] } else { &response.body };
        serde_json::from_slice(body)
            .map_err(|error| Refusal::new(Why::Later, &format!("read the answer to {action}: {error}")))
    }

    /// Waits until a request may be sent.
    async fn turn(&self) {
        let mut next = self.next.lock().await;
        sleep_until(*next).await;
        *next = Instant::now() + self.service.pause;
    }
}

impl Why {
    fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Expired => "expired",
            Self::Invalid => "invalid",
            Self::Denied => "denied",
            Self::Later => "later",
        }
    }
}

impl Refusal {
    fn new(why: Why, detail: &str) -> Self {
        Self { why, detail: detail.to_owned(), after: None }
    }
}

fn unanswered(trouble: &Trouble) -> Refusal {
    Refusal {
        why: Why::Later,
        detail: format!("{}: {}", trouble.reason, trouble.detail),
        after: trouble.after,
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Complaint {
    #[serde(rename = "__type")]
    kind: String,
    #[serde(alias = "Message")]
    message: String,
}

/// What an answer says that is none. An unknown word is taken for one that waiting ends: it may come from a proxy.
fn refusal(response: &Response) -> Refusal {
    let Complaint { kind, message } = serde_json::from_slice(&response.body).unwrap_or_default();
    let kind = kind.rsplit('#').next().unwrap_or_default();
    let why = match kind {
        // Or not yet, or not any more.
        "ResourceNotFoundException" | "ResourceInUseException" => Why::NotFound,
        "ExpiredIteratorException" | "ExpiredNextTokenException" => Why::Expired,
        "InvalidParameterException"
        | "InvalidArgumentException"
        | "InvalidOperationException"
        | "SerializationException"
        | "ValidationException" => Why::Invalid,
        "AccessDeniedException" | "AccessDenied" | "OptInRequired" | "KMSAccessDeniedException" => {
            Why::Denied
        }
        // Also who cannot say who they are: nothing is answered then, whatever is asked.
        _ => Why::Later,
    };
    let said = if kind.is_empty() { shown(&response.body) } else { message };
    let said: String = said.chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect();
    Refusal { why, detail: format!("{} {kind}: {said}", response.status), after: response.retry_after }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(status: u16, body: &str) -> Why {
        let body = body.to_owned().into();
        refusal(&Response { status, retry_after: None, body }).why
    }

    #[test]
    fn refusals_say_whether_waiting_ends_them() {
        let named = |kind: &str| why(400, &format!(r#"{{"__type":"{kind}","message":"m"}}"#));
        assert_eq!(named("com.amazonaws.logs#ResourceNotFoundException"), Why::NotFound);
        assert_eq!(named("ThrottlingException"), Why::Later);
        assert_eq!(named("ProvisionedThroughputExceededException"), Why::Later);
        assert_eq!(named("ExpiredIteratorException"), Why::Expired);
        assert_eq!(named("InvalidParameterException"), Why::Invalid);
        assert_eq!(named("AccessDeniedException"), Why::Denied);
        assert_eq!(named("ExpiredTokenException"), Why::Later);
        assert_eq!(why(503, "<html>"), Why::Later);
        assert_eq!(why(400, "no JSON"), Why::Later);
    }
}
