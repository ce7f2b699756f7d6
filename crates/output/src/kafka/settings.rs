//! What can be set about the output `kafka`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use sawyer_config::{ByteSize, Secret, choice, settings};
use sawyer_delivery::auth::AwsSettings;
use sawyer_delivery::http::TlsSettings;

choice! {
    /// What a message is.
    pub enum KafkaFormat {
        /// The record as JSON.
        Json = "json",
        /// The line as it was written, without what Sawyer knows about it.
        Line = "line",
    }

    /// How batches of messages are compressed.
    pub enum KafkaCompression {
        /// Not at all.
        None = "none",
        /// Understood by every broker.
        Gzip = "gzip",
        /// Fast.
        Snappy = "snappy",
        /// Fast, and smaller.
        Lz4 = "lz4",
        /// Smallest; brokers of version 2.1 or later.
        Zstd = "zstd",
    }

    /// How a user is proved to the brokers.
    pub enum SaslMechanism {
        /// The password itself; only within TLS.
        Plain = "plain",
        /// A proof of the password, with SHA-256.
        ScramSha256 = "scram_sha_256",
        /// A proof of the password, with SHA-512.
        ScramSha512 = "scram_sha_512",
        /// A token: as it is (`token`, `token_file`), or as an identity provider gives it (`oauth`).
        Oauthbearer = "oauthbearer",
        /// A role of AWS IAM, as Amazon MSK takes it (`aws`).
        AwsMskIam = "aws_msk_iam",
    }
}

settings! {
    /// Sends records to Apache Kafka, or what speaks its protocol (0.11 or later). It needs a build with the feature
    /// `kafka`.
    pub struct KafkaSettings {
        /// Brokers to begin with, such as `kafka-0.kafka:9092`.
        pub brokers: Vec<String>,
        /// The topic of a record. `{namespace}` or any other field is the record's; `{a|b}` is the first of several that
        /// it has, `{a|"x"}` is `x` if it has none (else `none`). `{date}`, `{month}` and `{year}` are of the record's
        /// own time, in UTC. What a topic cannot have in its name becomes `_`.
        pub topic: String = "sawyer".to_owned(),
        /// The key of a record, in the same way. Records of a key go to the same partition, and stay in their order.
        /// Empty for none: then records are spread, and only those of one partition have an order.
        pub key: String = "{namespace|\"host\"}/{pod|node|\"host\"}/{container|source}".to_owned(),
        /// Headers of messages, with values in the same way.
        pub headers: BTreeMap<String, String> = BTreeMap::new(),
        /// What a message is.
        pub format: KafkaFormat = KafkaFormat::Json,
        /// With `format: json`, whether messages have the line as it was written (`_original`) beside its fields.
        pub original: bool = true,
        /// How batches of messages are compressed.
        pub compression: KafkaCompression = KafkaCompression::Zstd,
        /// Bytes of the largest message, with its key and headers. A larger one is rejected, and kept whole as a dead
        /// letter. The topic's `max.message.bytes` must not be smaller.
        #[range(ByteSize::kib(1)..=ByteSize::mib(100))]
        pub message_max: ByteSize = ByteSize::new(1_000_000),
        /// Longest wait of librdkafka for further messages of a partition. A longer wait makes larger batches.
        #[range(Duration::from_millis(0)..=Duration::from_secs(10))]
        pub linger: Duration = Duration::from_millis(20),
        /// Who Sawyer is: a user and a password, a token, a role. By default nobody.
        pub sasl: Option<SaslSettings>,
        /// Encryption; `tls: {}` with the system's certificate authorities. By default there is none.
        pub tls: Option<TlsSettings>,
        /// Further settings of librdkafka, by its own names, such as `client.id`. Those on which the promise of this
        /// output rests cannot be set. Values are kept out of messages.
        pub librdkafka: BTreeMap<String, Secret> = BTreeMap::new(),
    }

    /// Who Sawyer is for the brokers.
    pub struct SaslSettings {
        /// How that is proved.
        pub mechanism: SaslMechanism = SaslMechanism::ScramSha512,
        /// The user, for `plain` and `scram_…`.
        pub user: Option<String>,
        /// The password; better `password_file`, or `${NAME}` from the environment.
        pub password: Option<Secret>,
        /// A file with the password in it, which is read at the start, and again while the brokers refuse the old one.
        pub password_file: Option<PathBuf>,
        /// For `oauthbearer`: the token; better `token_file`.
        pub token: Option<Secret>,
        /// For `oauthbearer`: a file with the token in it, such as a service account's, which is read again when it
        /// changes.
        pub token_file: Option<PathBuf>,
        /// For `oauthbearer`: who gives the token.
        pub oauth: Option<OauthSettings>,
        /// For `aws_msk_iam`: the region and the credentials, which are looked for where AWS's own programs look unless
        /// they stand here.
        pub aws: Option<AwsSettings>,
    }

    /// An identity provider that gives tokens for a client's credentials (OAuth 2.0, RFC 6749, section 4.4).
    pub struct OauthSettings {
        /// Where tokens are asked for, such as `https://login.example.com/oauth2/v2.0/token`.
        pub token_url: String,
        /// The id of the client.
        pub client_id: String,
        /// Its secret; better `client_secret_file`, or `${NAME}` from the environment.
        pub client_secret: Option<Secret>,
        /// A file with the secret in it, which is read again when it changes.
        pub client_secret_file: Option<PathBuf>,
        /// What the token is to be good for, as the provider names it. By default nothing is said.
        pub scope: Option<String>,
        /// Encryption, for a `token_url` that begins with `https://`.
        pub tls: TlsSettings = TlsSettings::default(),
        /// A proxy, such as `http://proxy:3128`. Without it the environment decides.
        pub proxy: Option<Secret>,
    }
}
