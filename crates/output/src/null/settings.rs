//! What can be set about the output `null`.

use sawyer_config::settings;

settings! {
    /// Lets go of all records: for measurements, and to try out a pipeline by its metrics. Whatever is sent here is
    /// acknowledged, and gone.
    pub struct NullSettings {
        /// Whether every field of every record is read and added to the metric `sawyer_output_null_checksum`, as a
        /// destination would have to read it. The sum does not depend on the order of records. Without it records
        /// are only counted.
        pub checksum: bool = true,
    }
}
