//! What can be set about the output `loki`.

use std::collections::BTreeMap;

use sawyer_config::{ByteSize, choice, settings};
use sawyer_model::names;

choice! {
    /// What a line of Loki's holds.
    pub enum LokiLine {
        /// The line as it was written.
        Original = "original",
        /// The message alone.
        Message = "message",
        /// The whole record as a JSON object, as the HTTP API shows it.
        Json = "json",
    }
}

settings! {
    /// Sends records to Loki (2.9 or later) by its push API, as protobuf with snappy.
    pub struct LokiSettings {
        /// Addresses of Loki, such as `http://loki-gateway`; `/loki/api/v1/push` is added. Of several the next one is
        /// used when one does not answer.
        pub endpoint: Vec<String>,
        /// Fields that become labels, which divide records into streams. Each combination of values is a stream, and
        /// Loki wants few of them. `app=labels.app` makes a label `app` of the field `labels.app`; else a label has
        /// its field's name with `_` for what a label cannot have. A record without the field has no such label.
        pub labels: Vec<String> = texts(&LABELS),
        /// Labels with a value that is the same for all records.
        pub static_labels: BTreeMap<String, String> = BTreeMap::new(),
        /// Fields that become structured metadata, in which Loki can search without a stream for each value. A `*` at
        /// the end stands for any rest, so `"*"` means all fields. An empty list is for a Loki that does not allow it.
        pub structured_metadata: Vec<String> = texts(&METADATA),
        /// What a line holds.
        pub line: LokiLine = LokiLine::Original,
        /// The tenant (`X-Scope-OrgID`). A field such as `{namespace}` can stand in it; where a record does not have
        /// it, `none` does.
        pub tenant: Option<String>,
        /// Longest line that Loki takes, as its own limit `max_line_size`. A longer one is not sent and becomes a dead
        /// letter.
        #[range(ByteSize::kib(1)..=ByteSize::mib(32))]
        pub line_max: ByteSize = ByteSize::kib(256),
    }
}

const LABELS: [&str; 8] = [
    names::CLUSTER,
    names::NODE,
    names::NAMESPACE,
    names::WORKLOAD,
    names::SERVICE,
    names::ENV,
    names::CONTAINER,
    names::STREAM,
];

const METADATA: [&str; 5] = [names::LEVEL, names::POD, names::SOURCE, names::TRACE_ID, names::SPAN_ID];

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
