//! What can be set about the output `sawyer`.

use std::path::PathBuf;

use sawyer_config::{Secret, settings};

settings! {
    /// Sends records to a Sawyer server or gateway (its input `sawyer`), each once. Requests hold whole batches: of the
    /// settings below, `batch_records_max` and `compression` mean nothing here, and `batch_age_max` is `20ms` unless it
    /// is set.
    pub struct SawyerSettings {
        /// Where it is, such as `https://sawyer.example:7280`. Of several addresses one is used until it fails; they
        /// have to lead to the same server.
        pub endpoint: Vec<String>,
        /// The token that the receiver knows; better `token_file`, or `${NAME}` from the environment.
        pub token: Option<Secret>,
        /// A file with the token in it, which is read again when it changes.
        pub token_file: Option<PathBuf>,
    }
}
