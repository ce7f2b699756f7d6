//! What can be set about the output `stdout`.

use sawyer_config::settings;

use crate::encode::LineFormat;

settings! {
    /// Writes records to standard output, where Sawyer's own logs never go (they go to standard error). If whoever
    /// reads it goes away, the output ends with an error.
    pub struct StdoutSettings {
        /// How records are written.
        pub format: LineFormat = LineFormat::Json,
    }
}
