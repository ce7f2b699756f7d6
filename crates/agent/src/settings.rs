//! What can be set for a process as a whole.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sawyer_config::{At, Problems, Secret, Setting, TypeInfo, settings};
use sawyer_delivery::tls::ListenTlsSettings;
use sawyer_disk::Key;

settings! {
    /// Encryption of files below `data`: the store, buffers, offsets. A file that is not encrypted yet can be read all the same, and
    /// becomes encrypted when it is written again. See docs/encryption.md for what it protects from.
    pub struct AtRestSettings {
        /// Keys of 64 hexadecimal digits, such as `openssl rand -hex 32` prints: `[${file:/etc/sawyer/key}]`. What is written is
        /// encrypted by the first one; files of all of them can be read, so a new key is put before the old one.
        pub keys: DataKeys,
    }
}

/// Keys for files, at least one.
#[derive(Clone, Debug)]
pub struct DataKeys(pub Vec<Key>);

impl PartialEq for DataKeys {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().map(Key::id).eq(other.0.iter().map(Key::id))
    }
}

impl Setting for DataKeys {
    fn read(at: &At<'_>, problems: &mut Problems) -> Option<Self> {
        let texts = Vec::<Secret>::read(at, problems)?;
        let key = |text: &Secret| {
            Key::parse(text.expose().as_bytes()).ok().filter(|_| text.expose().trim().len() == 64)
        };
        let keys: Option<Vec<Key>> = texts.iter().map(key).collect();
        let keys = keys.filter(|keys| !keys.is_empty());
        if keys.is_none() {
            // What was found may be a key with a slip of the finger, and is not told.
            problems.push(at, "expected at least one key, each of 64 hexadecimal digits");
        }
        keys.map(Self)
    }

    fn describe() -> TypeInfo {
        Vec::<Secret>::describe()
    }

    fn default_text(&self) -> String {
        "(hidden)".to_owned()
    }
}

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
        /// Encryption of what is written below `data`. By default there is none.
        pub encryption_at_rest: Option<AtRestSettings>,
        /// Where the node's file system is mounted, when Sawyer runs in a container. Paths of logs are looked for
        /// below it.
        pub host_root: Option<PathBuf>,
        /// What Sawyer says about itself: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as
        /// `info,sawyer_store=debug`.
        pub log: String = "info".to_owned(),
        /// How long a stop may take to pass on what was read; a change of the configuration takes 4 s of it at most, as
        /// nothing is read meanwhile. What is left then is read again after the next start: nothing is lost either way,
        /// but a target that knows records by no id may have some twice. Whoever kills Sawyer after a while should leave
        /// it some seconds more than this.
        #[range(Duration::ZERO..=Duration::from_secs(3600))]
        pub drain: Duration = Duration::from_secs(4),
    }
}
