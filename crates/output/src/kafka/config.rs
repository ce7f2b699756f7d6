//! The settings as librdkafka has them.
//!
//! Owns: their names over there, and which of them the promise of this output rests on. Does not own: what they do.

use std::path::{Path, PathBuf};

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use sawyer_config::{At, ByteSize, Problems, Secret};
use sawyer_delivery::DeliverySettings;
use sawyer_model::{Error, ErrorKind};
use xxhash_rust::xxh3::Xxh3Default;

use super::settings::{KafkaCompression, KafkaSettings, SaslMechanism, SaslSettings};
use super::token::{self, TokenPlan};

/// What cannot be set by hand, and what to do instead.
const OURS: [(&str, &str); 14] = [
    ("bootstrap.servers", "set `brokers`"),
    ("metadata.broker.list", "set `brokers`"),
    ("enable.idempotence", "it is always on: without it records could be there twice and out of order"),
    ("acks", "it is always `all`: with less a record could be lost"),
    ("request.required.acks", "it is always `all`: with less a record could be lost"),
    ("message.timeout.ms", "it is always 0: a message that librdkafka gives up would come after later ones"),
    ("delivery.timeout.ms", "it is always 0: a message that librdkafka gives up would come after later ones"),
    ("retries", "there is no bound: a message that librdkafka gives up would come after later ones"),
    (
        "message.send.max.retries",
        "there is no bound: a message that librdkafka gives up would come after later ones",
    ),
    ("message.max.bytes", "set `message_max`"),
    ("compression.type", "set `compression`"),
    ("compression.codec", "set `compression`"),
    ("linger.ms", "set `linger`"),
    ("transactional.id", "this output has no transactions"),
];

/// A checked configuration, and the file that its password is in.
#[derive(Debug)]
pub(super) struct KafkaConfig {
    client: ClientConfig,
    password_file: Option<PathBuf>,
    /// Further files with what shows who comes: certificates, which librdkafka reads, and does not name when it cannot,
    /// and a token.
    files: Vec<PathBuf>,
    pub(super) message_bytes_max: usize,
}

/// Checks everything that can be checked without a broker.
pub(super) fn check(
    own: &KafkaSettings,
    delivery: &DeliverySettings,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<(KafkaConfig, Option<TokenPlan>)> {
    let mut right = true;
    if own.brokers.is_empty() || own.brokers.iter().any(|broker| broker.trim().is_empty()) {
        problems.expected(&at.key("brokers"), "addresses such as \"kafka:9092\"");
        right = false;
    }
    let mut client = ClientConfig::new();
    let mut set = |name: &str, value: String| {
        client.set(name, value);
    };
    set("bootstrap.servers", own.brokers.join(","));
    set("client.id", "sawyer".to_owned());
    set("enable.idempotence", "true".to_owned());
    set("acks", "all".to_owned());
    set("message.timeout.ms", "0".to_owned());
    // The partition of a key is the one that Kafka's own clients choose.
    set("partitioner", "murmur2_random".to_owned());
    set("message.max.bytes", own.message_max.bytes().to_string());
    set("queue.buffering.max.kbytes", kib(delivery.memory_max).to_string());
    set("queue.buffering.max.messages", "1000000".to_owned());
    set("linger.ms", own.linger.as_millis().to_string());
    set("compression.type", compression(own.compression).to_owned());
    set("socket.keepalive.enable", "true".to_owned());
    let protocol = match (&own.sasl, &own.tls) {
        (None, None) => "plaintext",
        (None, Some(_)) => "ssl",
        (Some(_), None) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    set("security.protocol", protocol.to_owned());
    let mut shown_files = Vec::new();
    if let Some(tls) = &own.tls {
        let files = [
            ("ssl.ca.location", &tls.ca_file),
            ("ssl.certificate.location", &tls.cert_file),
            ("ssl.key.location", &tls.key_file),
        ];
        for (name, path) in files {
            if let Some(path) = path {
                set(name, path.display().to_string());
                shown_files.push(path.clone());
            }
        }
        if tls.cert_file.is_some() != tls.key_file.is_some() {
            problems.push(&at.key("tls"), "expected both `cert_file` and `key_file`, or neither");
            right = false;
        }
    }
    let login = match &own.sasl {
        Some(sasl) => sasl_settings(sasl, &mut client, &at.key("sasl"), problems),
        None => Some(Login::default()),
    };
    shown_files.extend(own.sasl.as_ref().and_then(|sasl| sasl.token_file.clone()));
    right &= own.librdkafka.iter().fold(true, |right, (name, value)| {
        let taken = further(name, value, &at.key("librdkafka").key(name), problems);
        client.set(name, value.expose());
        right & taken
    });
    let message_bytes_max = usize::try_from(own.message_max.bytes()).unwrap_or(usize::MAX);
    let Login { password_file, tokens } = login?;
    right.then_some((KafkaConfig { client, password_file, files: shown_files, message_bytes_max }, tokens))
}

fn kib(size: ByteSize) -> u64 {
    (size.bytes() / 1024).max(1)
}

fn compression(choice: KafkaCompression) -> &'static str {
    choice.as_str()
}

/// What only the machine knows of who comes.
#[derive(Default)]
struct Login {
    password_file: Option<PathBuf>,
    tokens: Option<TokenPlan>,
}

fn sasl_settings(
    sasl: &SaslSettings,
    client: &mut ClientConfig,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<Login> {
    if has_idle(sasl, at, problems) {
        return None;
    }
    let tokens = match sasl.mechanism {
        SaslMechanism::Plain => return password(sasl, "PLAIN", client, at, problems),
        SaslMechanism::ScramSha256 => return password(sasl, "SCRAM-SHA-256", client, at, problems),
        SaslMechanism::ScramSha512 => return password(sasl, "SCRAM-SHA-512", client, at, problems),
        SaslMechanism::Oauthbearer => token::check_bearer(sasl, at, problems)?,
        SaslMechanism::AwsMskIam => token::check_msk(sasl, at, problems)?,
    };
    client.set("sasl.mechanism", "OAUTHBEARER");
    Some(Login { password_file: None, tokens: Some(tokens) })
}

/// Reports what the mechanism has no use for: whoever wrote it means another mechanism.
fn has_idle(sasl: &SaslSettings, at: &At<'_>, problems: &mut Problems) -> bool {
    use SaslMechanism as By;
    const PASSWORD: [By; 3] = [By::Plain, By::ScramSha256, By::ScramSha512];
    const BEARER: [By; 1] = [By::Oauthbearer];
    let keys: [(&str, bool, &[By]); 7] = [
        ("user", sasl.user.is_some(), &PASSWORD),
        ("password", sasl.password.is_some(), &PASSWORD),
        ("password_file", sasl.password_file.is_some(), &PASSWORD),
        ("token", sasl.token.is_some(), &BEARER),
        ("token_file", sasl.token_file.is_some(), &BEARER),
        ("oauth", sasl.oauth.is_some(), &BEARER),
        ("aws", sasl.aws.is_some(), &[By::AwsMskIam]),
    ];
    let mut has_idle = false;
    for (key, is_set, used_by) in keys {
        if is_set && !used_by.contains(&sasl.mechanism) {
            has_idle = true;
            let users: Vec<String> = used_by.iter().map(|by| format!("`{}`", by.as_str())).collect();
            let (users, mechanism) = (users.join(", "), sasl.mechanism.as_str());
            problems
                .push(&at.key(key), format!("is for the mechanism {users}; `mechanism` is `{mechanism}`"));
        }
    }
    has_idle
}

fn password(
    sasl: &SaslSettings,
    mechanism: &str,
    client: &mut ClientConfig,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<Login> {
    if sasl.user.is_none() {
        problems.push(at, "expected `user`");
    }
    client.set("sasl.mechanism", mechanism).set("sasl.username", sasl.user.as_deref().unwrap_or_default());
    let password_file = match (&sasl.password, &sasl.password_file) {
        (Some(password), None) => {
            client.set("sasl.password", password.expose());
            None
        }
        (None, Some(file)) => Some(file.clone()),
        _ => {
            problems.push(at, "expected either `password` or `password_file`");
            return None;
        }
    };
    sasl.user.as_ref().map(|_| Login { password_file, tokens: None })
}

/// Asks librdkafka whether it takes a setting.
fn further(name: &str, value: &Secret, at: &At<'_>, problems: &mut Problems) -> bool {
    if let Some((_, instead)) = OURS.iter().find(|(ours, _)| *ours == name) {
        problems.push(at, format!("cannot be set here: {instead}"));
        return false;
    }
    match ClientConfig::new().set(name, value.expose()).create_native_config() {
        Ok(_) => true,
        Err(KafkaError::ClientConfig(_, why, ..)) => {
            // What librdkafka says may quote the value.
            let why = why.replace(value.expose(), "(hidden)");
            problems.push(at, format!("librdkafka says: {why}"));
            false
        }
        Err(_) => {
            problems.push(at, "librdkafka does not take it");
            false
        }
    }
}

impl KafkaConfig {
    /// The configuration with what only the machine knows, and a fingerprint of that.
    pub(super) fn client(&self) -> Result<(ClientConfig, u64), Error> {
        let mut client = self.client.clone();
        let mut seen = Xxh3Default::new();
        for path in &self.files {
            seen.update(&read(path, "")?);
        }
        if let Some(path) = &self.password_file {
            let bytes = read(path, "the password in ")?;
            seen.update(&bytes);
            let text = String::from_utf8_lossy(&bytes);
            client.set("sasl.password", text.trim_end_matches(['\r', '\n']));
        }
        Ok((client, seen.digest()))
    }

    /// The brokers to begin with.
    pub(super) fn brokers(&self) -> String {
        self.client.get("bootstrap.servers").unwrap_or_default().to_owned()
    }

    /// Whether another client made now would be another one: a password or a certificate was renewed.
    pub(super) fn is_renewed(&self, fingerprint: u64) -> bool {
        self.client().is_ok_and(|(_, now)| now != fingerprint)
    }
}

fn read(path: &Path, what: &str) -> Result<Vec<u8>, Error> {
    let named = || format!("read {what}{}", path.display());
    std::fs::read(path).map_err(|error| Error::new(ErrorKind::Invalid, named()).because(error))
}
