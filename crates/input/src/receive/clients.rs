//! Who may send, and for whom.
//!
//! Owns: clients, their tokens and what their word is good for. Does not own: how a token is shown (each protocol).
//! Invariant: a token is compared in a time that does not tell how much of it is right, and is in no message; without
//! clients and without `allow_unauthenticated` only this machine may send.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use sawyer_codec::pushed::Trust;
use sawyer_config::{At, ByteSize, Problems, Secret, settings};
use sawyer_delivery::auth::CurrentSecret;
use sawyer_model::{Stream, Value, names};

use super::rate::Rate;
use crate::native::is_same;

settings! {
    /// Who may send.
    pub struct ClientsSettings {
        /// Those who may send, each under a name of its own, with a token. By default there are none; then only programs
        /// on this machine may send.
        pub clients: BTreeMap<String, ClientSettings> = BTreeMap::new(),
        /// Takes what anybody sends who shows no token. What such a sender says of namespace and pod is kept, marked
        /// `identity: claimed`.
        pub allow_unauthenticated: bool = false,
        /// Fields that every record gets, such as `env` or `cluster`. Nothing that is sent overrules them; a field
        /// `namespace` says for all senders where they belong.
        pub fields: BTreeMap<String, String> = BTreeMap::new(),
        /// How many records those without a token may send each second, all together. Without it, any number.
        #[range(1..=1_000_000_000)]
        pub records_per_second: Option<u64>,
        /// How many bytes of bodies those without a token may send each second, all together. Without it, any number.
        #[range(ByteSize::kib(1)..=ByteSize::gib(100))]
        pub bytes_per_second: Option<ByteSize>,
    }

    /// One who may send.
    pub struct ClientSettings {
        /// The token; better `token_file`, or `${NAME}` from the environment.
        pub token: Option<Secret>,
        /// A file with a token on each line, such as a mounted secret of Kubernetes. It is read again when it changes, so
        /// that a token can be replaced: both in it first, then all senders, then the old one out.
        pub token_file: Option<PathBuf>,
        /// The namespaces for which the client may speak: names, or beginnings with a `*` behind. What it says of pods in
        /// these is believed; if there is one name only, that is the namespace of all its records. `*` alone believes it in
        /// everything: for collectors. Without any, what it says is kept and marked `identity: claimed`.
        pub namespaces: Vec<String> = Vec::new(),
        /// Fields that each of its records gets. Nothing that is sent overrules them.
        pub fields: BTreeMap<String, String> = BTreeMap::new(),
        /// How many records it may send each second. Without it, any number.
        #[range(1..=1_000_000_000)]
        pub records_per_second: Option<u64>,
        /// How many bytes of bodies it may send each second, before decompression. Without it, any number.
        #[range(ByteSize::kib(1)..=ByteSize::gib(100))]
        pub bytes_per_second: Option<ByteSize>,
    }
}

/// Most lines of a file with tokens.
const TOKENS_MAX: usize = 1000;

/// The name under which a record tells which client sent it.
pub const CLIENT: &str = "sawyer.client";

/// What clients without a token are called in metrics.
const NOBODY: &str = "-";

/// Who may send, checked.
#[derive(Debug)]
pub struct ClientsPlan(ClientsSettings);

/// Those who may send.
#[derive(Debug)]
pub struct Clients {
    known: Vec<Arc<Client>>,
    open: Arc<Client>,
    allow_unauthenticated: bool,
}

/// One who may send.
#[derive(Debug)]
pub struct Client {
    name: String,
    stream: Arc<Stream>,
    trust: Arc<Trust>,
    tokens: Vec<CurrentSecret>,
    rate: Rate,
}

/// Why somebody may not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No token was shown, and one is needed.
    Missing,
    /// A token was shown that is none here.
    Unknown,
    /// There are no clients, and this is not a program on this machine.
    Elsewhere,
    /// A file with tokens cannot be read, so it is not known whether the token is good.
    Unreadable,
}

impl ClientsSettings {
    /// Checks what the settings say together. `at` is where they stand.
    pub fn check(self, at: &At<'_>, problems: &mut Problems) -> Option<ClientsPlan> {
        let before = problems.len();
        for (name, client) in &self.clients {
            let at = at.key("clients").key(name);
            let empty = client.token.as_ref().is_some_and(|token| token.expose().trim().is_empty());
            if empty || (client.token.is_none() && client.token_file.is_none()) {
                problems.push(&at, "expected a `token` or a `token_file`, found neither");
            }
            if client.namespaces.iter().any(|pattern| !is_pattern(pattern)) {
                let what = "names of namespaces, with a `*` at the end at most";
                problems.push(&at.key("namespaces"), format!("expected {what}"));
            }
            check_fields(&client.fields, &at, problems);
        }
        check_fields(&self.fields, at, problems);
        (problems.len() == before).then_some(ClientsPlan(self))
    }
}

pub(crate) fn is_pattern(pattern: &str) -> bool {
    let name = pattern.strip_suffix('*').unwrap_or(pattern);
    !pattern.is_empty() && !name.contains('*')
}

pub(crate) fn check_fields(fields: &BTreeMap<String, String>, at: &At<'_>, problems: &mut Problems) {
    let others =
        [names::TIMESTAMP, names::OBSERVED, names::MESSAGE, names::ORIGINAL, names::IDENTITY, names::SOURCE];
    for name in fields.keys().filter(|name| others.contains(&name.as_str()) || name.starts_with("sawyer.")) {
        problems.push(&at.key("fields").key(name), "expected a field that is not Sawyer's own");
    }
}

impl ClientsPlan {
    /// Those who may send to the input of this kind and name.
    #[must_use]
    pub fn open(self, kind: &str, input: &str) -> Clients {
        let ClientsSettings { clients, allow_unauthenticated, fields, records_per_second, bytes_per_second } =
            self.0;
        let source = (names::SOURCE.to_owned(), Value::from(format!("{kind}:{input}")));
        let of = |fields: &BTreeMap<String, String>| {
            fields.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect::<Vec<_>>()
        };
        let base = Stream::new(of(&fields).into_iter().chain([source]));
        let open = Client {
            name: NOBODY.to_owned(),
            stream: Arc::new(base.clone()),
            trust: Arc::default(),
            tokens: Vec::new(),
            rate: Rate::new(records_per_second, bytes_per_second.map(ByteSize::bytes)),
        };
        let known = clients.into_iter().map(|(name, client)| {
            let own = of(&client.fields).into_iter().chain([(CLIENT.to_owned(), Value::from(name.as_str()))]);
            let trust = if client.namespaces.is_empty() {
                Trust::Claimed
            } else {
                Trust::in_namespaces(client.namespaces)
            };
            let fixed = client.token.map(CurrentSecret::fixed);
            Arc::new(Client {
                stream: Arc::new(base.with(own)),
                trust: Arc::new(trust),
                tokens: fixed.into_iter().chain(client.token_file.map(CurrentSecret::file)).collect(),
                rate: Rate::new(client.records_per_second, client.bytes_per_second.map(ByteSize::bytes)),
                name,
            })
        });
        Clients { known: known.collect(), open: Arc::new(open), allow_unauthenticated }
    }
}

impl Clients {
    /// Who is at this address and shows one of these tokens: several where a protocol's form can be read in several ways.
    ///
    /// # Errors
    /// Why nobody who may send.
    pub async fn admit(&self, from: Option<IpAddr>, shown: &[&str]) -> Result<Arc<Client>, Refusal> {
        let mut unreadable = false;
        let mut found = None;
        for client in &self.known {
            let (tokens, all) = client.tokens().await;
            unreadable |= !all;
            // All are compared, whichever it is.
            for token in &tokens {
                let same = shown
                    .iter()
                    .fold(false, |same, shown| same | is_same(token.expose().as_bytes(), shown.as_bytes()));
                if same {
                    found = Some(Arc::clone(client));
                }
            }
        }
        if let Some(client) = found {
            return Ok(client);
        }
        let shows = shown.iter().any(|token| !token.is_empty()) && !self.known.is_empty();
        match (shows, self.allow_unauthenticated) {
            (true, _) if unreadable => Err(Refusal::Unreadable),
            (true, _) => Err(Refusal::Unknown),
            (false, true) => Ok(Arc::clone(&self.open)),
            (false, false) if !self.known.is_empty() => Err(Refusal::Missing),
            (false, false) => match from {
                Some(from) if from.to_canonical().is_loopback() => Ok(Arc::clone(&self.open)),
                _ => Err(Refusal::Elsewhere),
            },
        }
    }

    /// Those who have tokens, for protocols in which a token is not shown but proven.
    #[must_use]
    pub fn known(&self) -> &[Arc<Client>] {
        &self.known
    }

    /// Whether those without a token may send from anywhere.
    #[must_use]
    pub fn allows_unauthenticated(&self) -> bool {
        self.allow_unauthenticated
    }
}

impl Client {
    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is known of all its records.
    #[must_use]
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// What its word is good for.
    #[must_use]
    pub fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// Its tokens as they are now, and whether these are all.
    pub async fn tokens(&self) -> (Vec<Secret>, bool) {
        let (mut tokens, mut all) = (Vec::new(), true);
        for token in &self.tokens {
            match token.current().await {
                Ok(text) => {
                    let lines = text.expose().lines().map(str::trim).filter(|line| !line.is_empty());
                    tokens.extend(lines.take(TOKENS_MAX).map(Secret::new));
                }
                Err(error) => {
                    all = false;
                    tracing::debug!(client = self.name, "{}", error.chain());
                }
            }
        }
        (tokens, all)
    }

    pub(crate) fn rate(&self) -> &Rate {
        &self.rate
    }
}

#[cfg(test)]
mod tests {
    use sawyer_config::{Document, Setting};

    use super::*;

    fn plan(text: &str) -> Result<ClientsPlan, String> {
        let document = Document::parse("sawyer.yaml", text).unwrap();
        let mut problems = Problems::new();
        let at = document.at();
        let plan =
            ClientsSettings::read(&at, &mut problems).and_then(|settings| settings.check(&at, &mut problems));
        problems.into_result(plan).map_err(|problems| problems.to_string())
    }

    async fn admit(clients: &Clients, from: &str, shown: &[&str]) -> Result<String, Refusal> {
        clients.admit(from.parse().ok(), shown).await.map(|client| client.name.clone())
    }

    const TWO: &str =
        "clients:\n  shop: {token: s3cret, namespaces: [shop]}\n  all: {token: other, namespaces: ['*']}\n";

    #[tokio::test]
    async fn a_token_tells_the_client() {
        let clients = plan(TWO).unwrap().open("otlp", "in");
        assert_eq!(admit(&clients, "10.0.0.7", &["s3cret"]).await, Ok("shop".to_owned()));
        assert_eq!(admit(&clients, "10.0.0.7", &["nonsense", "other"]).await, Ok("all".to_owned()));
        assert_eq!(admit(&clients, "127.0.0.1", &[]).await, Err(Refusal::Missing), "here, too");
        for wrong in ["s3cre", "s3cret ", "S3CRET", "s3crets"] {
            assert_eq!(admit(&clients, "127.0.0.1", &[wrong]).await, Err(Refusal::Unknown), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_wrong_token_is_refused_where_none_is_needed() {
        let clients = plan(&format!("{TWO}allow_unauthenticated: true\n")).unwrap().open("otlp", "in");
        assert_eq!(admit(&clients, "10.0.0.7", &[]).await, Ok("-".to_owned()));
        assert_eq!(admit(&clients, "10.0.0.7", &["wrong"]).await, Err(Refusal::Unknown));
    }

    #[tokio::test]
    async fn without_clients_only_this_machine_may_send() {
        let clients = plan("").unwrap().open("otlp", "in");
        assert_eq!(admit(&clients, "::ffff:127.0.0.1", &[]).await, Ok("-".to_owned()));
        assert_eq!(admit(&clients, "127.0.0.1", &["any"]).await, Ok("-".to_owned()), "nobody knows it");
        assert_eq!(admit(&clients, "10.0.0.7", &["any"]).await, Err(Refusal::Elsewhere));
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_file_of_tokens_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let text = format!("clients: {{shop: {{token_file: {}}}}}", path.display());
        let clients = plan(&text).unwrap().open("otlp", "in");
        assert_eq!(admit(&clients, "10.0.0.7", &["one"]).await, Err(Refusal::Unreadable));
        std::fs::write(&path, "one\ntwo\n").unwrap();
        assert_eq!(admit(&clients, "10.0.0.7", &["two"]).await, Ok("shop".to_owned()));
        std::fs::write(&path, "three-is-longer\n").unwrap();
        tokio::time::advance(std::time::Duration::from_secs(11)).await;
        assert_eq!(admit(&clients, "10.0.0.7", &["two"]).await, Err(Refusal::Unknown));
        assert_eq!(admit(&clients, "10.0.0.7", &["three-is-longer"]).await, Ok("shop".to_owned()));
    }

    #[test]
    fn wrong_settings_are_told() {
        let wrong = "clients:\n  a: {}\n  b: {token: x, namespaces: ['a*b']}\nfields: {message: x}\n";
        assert_eq!(
            plan(wrong).unwrap_err(),
            "sawyer.yaml:2:3: clients.a: expected a `token` or a `token_file`, found neither\n\
             sawyer.yaml:3:17: clients.b.namespaces: expected names of namespaces, with a `*` at the end at most\n\
             sawyer.yaml:4:10: fields.message: expected a field that is not Sawyer's own"
        );
    }

    #[test]
    fn what_is_known_of_a_client_is_in_its_stream() {
        let text = "fields: {env: prod, team: a}\nclients: {shop: {token: x, fields: {team: b}}}";
        let clients = plan(text).unwrap().open("loki", "push");
        let stream = clients.known()[0].stream();
        let shown: Vec<String> =
            stream.fields().iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        assert_eq!(
            shown,
            [
                r#"env=Str("prod")"#,
                r#"sawyer.client=Str("shop")"#,
                r#"source=Str("loki:push")"#,
                r#"team=Str("b")"#
            ]
        );
    }
}
