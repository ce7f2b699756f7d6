//! What can be set about a connection.

use std::path::PathBuf;
use std::time::Duration;

use sawyer_config::{Secret, settings};

use super::body::Compression;
use crate::auth::AuthSettings;

settings! {
    /// How the target is reached.
    pub struct HttpSettings {
        /// How Sawyer says who it is. By default it does not.
        pub auth: Option<AuthSettings>,
        /// Encryption, for endpoints that begin with `https://`.
        pub tls: TlsSettings = TlsSettings::default(),
        /// A proxy, such as `http://proxy:3128`, or `http://user:${PROXY_PASSWORD}@proxy:3128`; it is kept out of messages.
        /// Without it the environment decides (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`).
        pub proxy: Option<Secret>,
        /// How bodies are compressed.
        pub compression: Compression = Compression::Gzip,
        /// Longest wait for a connection.
        #[range(Duration::from_millis(100)..=Duration::from_secs(300))]
        pub connect_timeout: Duration = Duration::from_secs(10),
        /// Longest wait for a whole answer, from the start of the request. A target that accepts and never answers
        /// is given up after it, and the request is sent again.
        #[range(Duration::from_millis(100)..=Duration::from_secs(3600))]
        pub answer_timeout: Duration = Duration::from_secs(60),
    }

    /// Certificates, as PEM files. They are read again when they change.
    pub struct TlsSettings {
        /// Certificate authorities to trust instead of the system's.
        pub ca_file: Option<PathBuf>,
        /// Sawyer's own certificate, for targets that ask for one, and its chain.
        pub cert_file: Option<PathBuf>,
        /// The key of that certificate.
        pub key_file: Option<PathBuf>,
    }
}
