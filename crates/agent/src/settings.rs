//! What can be set for a process as a whole.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sawyer_config::settings;
use sawyer_delivery::tls::ListenTlsSettings;

settings! {
    /// The process as a whole. These keys stand at the top of `sawyer.yaml`; the command line overrules them.
    pub struct ProcessSettings {
        /// Where data and state are kept. The folder is made if it is not there, and locked while Sawyer runs.
        pub data: PathBuf = PathBuf::from("data"),
        /// Address of the UI, the API and `/metrics`. Anybody who reaches it can read everything, so only this
        /// machine does unless you change it.
        pub listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 7280)),
        /// Encryption of that address, for people, other Sawyers and Prometheus alike. By default there is none.
        pub tls: Option<ListenTlsSettings>,
        /// Where the node's file system is mounted, when Sawyer runs in a container. Paths of logs are looked for
        /// below it.
        pub host_root: Option<PathBuf>,
        /// What Sawyer says about itself: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as
        /// `info,sawyer_store=debug`.
        pub log: String = "info".to_owned(),
        /// How long a stop, or a change of the configuration, may take to pass on what was read. What is left then is
        /// read again after the next start: nothing is lost either way, but a target that knows records by no id may
        /// have some twice. Whoever kills Sawyer after a while should leave it some seconds more than this.
        #[range(Duration::ZERO..=Duration::from_secs(3600))]
        pub drain: Duration = Duration::from_secs(4),
    }
}
