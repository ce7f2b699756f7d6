//! What can be set about the output `sawyer`.

use std::path::PathBuf;
use std::time::Duration;

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
        /// How often the receiver is asked whether what it has taken is there, at the end of its way; see
        /// [the ledger](ledger.md#end-to-end). A question has about 50 bytes for each file that was read since the last.
        #[range(Duration::from_secs(1)..=Duration::from_secs(3600))]
        pub checkpoint_interval: Duration = Duration::from_secs(30),
    }
}
