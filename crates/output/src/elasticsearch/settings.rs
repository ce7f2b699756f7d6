//! What can be set about the outputs `elasticsearch` and `opensearch`.

use sawyer_config::{choice, settings};

choice! {
    /// The index template that is set up.
    pub enum TemplateChoice {
        /// None: indices are made as the cluster makes them.
        None = "none",
        /// One for indices.
        Index = "index",
        /// One for a data stream.
        DataStream = "data_stream",
    }
}

settings! {
    /// Sends records to Elasticsearch (7.9 or later) or OpenSearch, by the bulk API. Each record is created under its
    /// own `_id`, so that a record that is sent again is not stored again.
    pub struct ElasticsearchSettings {
        /// Addresses of the cluster, such as `https://elastic:9200`. Of several the next one is used when one does
        /// not answer.
        pub endpoint: Vec<String>,
        /// The index or the data stream of a record. `{date}` (`2026.11.20`), `{month}` and `{year}` are of the
        /// record's own time, in UTC; `{namespace}` or any other field is the record's, or `none`.
        pub index: String = "sawyer-{date}".to_owned(),
        /// An index template to set up where there is none of its name. It needs the privilege
        /// `manage_index_templates`. Without it the cluster guesses types.
        pub template: TemplateChoice = TemplateChoice::None,
        /// An ingest pipeline for every document.
        pub pipeline: Option<String>,
        /// Whether documents have the line as it was written (`original`) where their fields are not that already.
        pub original: bool = true,
        /// Whether that is so for lines that are JSON objects as well. Their fields say all that is in them, times in UTC
        /// and levels by their usual names; only how it was written is lost.
        pub original_of_json: bool = false,
    }
}
