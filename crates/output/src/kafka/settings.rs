//! What can be set about the output `kafka`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use sawyer_config::{ByteSize, Secret, choice, settings};
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
        /// A user and a password. By default there is none.
        pub sasl: Option<SaslSettings>,
        /// Encryption; `tls: {}` with the system's certificate authorities. By default there is none.
        pub tls: Option<TlsSettings>,
        /// Further settings of librdkafka, by its own names, such as `client.id`. Those on which the promise of this
        /// output rests cannot be set. Values are kept out of messages.
        pub librdkafka: BTreeMap<String, Secret> = BTreeMap::new(),
    }

    /// A user of the brokers.
    pub struct SaslSettings {
        /// How the user is proved.
        pub mechanism: SaslMechanism = SaslMechanism::ScramSha512,
        /// The user.
        pub user: String,
        /// The password; better `password_file`, or `${NAME}` from the environment.
        pub password: Option<Secret>,
        /// A file with the password in it, which is read at the start.
        pub password_file: Option<PathBuf>,
    }
}
