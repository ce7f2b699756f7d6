//! What can be set about the output `http`.

use std::collections::BTreeMap;

use sawyer_config::{Secret, choice, settings};

choice! {
    /// How records stand in a body.
    pub enum BodyForm {
        /// One JSON object a line (`application/x-ndjson`).
        Ndjson = "ndjson",
        /// A list of JSON objects (`application/json`).
        Json = "json",
    }

    /// The method of requests.
    pub enum HttpVerb {
        /// `POST`
        Post = "post",
        /// `PUT`
        Put = "put",
    }
}

settings! {
    /// Sends records to any HTTP server, in the form in which the HTTP API shows them. A record may come more than
    /// once, with the same `_id`.
    pub struct HttpSettings {
        /// Where to, such as `https://logs.example/ingest`.
        pub url: String,
        /// The method of requests.
        pub method: HttpVerb = HttpVerb::Post,
        /// How records stand in a body.
        pub body: BodyForm = BodyForm::Ndjson,
        /// Headers to add. Their values are kept out of messages.
        pub headers: BTreeMap<String, Secret> = BTreeMap::new(),
        /// Whether records have the line as it was written (`_original`) where their fields are not that already.
        pub original: bool = true,
        /// Whether that is so for lines that are JSON objects as well. Their fields say all that is in them, times in UTC
        /// and levels by their usual names; only how it was written is lost.
        pub original_of_json: bool = false,
        /// Whether records have to arrive in their order. Then there is one request at a time, and one that fails holds
        /// up the rest.
        pub ordered: bool = false,
    }
}
