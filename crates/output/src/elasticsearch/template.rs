//! The index template.
//!
//! Invariant: a template that is there already, made by whomever, is left as it is.

use serde_json::{Value, json};

use super::index::IndexName;
use super::settings::TemplateChoice;

/// Bytes of the longest text that can be searched as a whole; longer text in a keyword field is an error without it.
const KEYWORD_BYTES_MAX: u32 = 1024;

/// Decides over templates that others ship for `logs-*-*` (100).
const PRIORITY: u32 = 200;

/// A template by name.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) name: String,
    pub(super) body: Value,
}

impl Template {
    /// The template for an index, if one is wanted.
    pub(super) fn of(choice: TemplateChoice, index: &IndexName) -> Option<Self> {
        let name = index.prefix().trim_end_matches(['-', '.', '_']).to_owned();
        let pattern =
            if index.is_fixed() { index.prefix().to_owned() } else { format!("{}*", index.prefix()) };
        let mut body = json!({
            "index_patterns": [pattern],
            "priority": PRIORITY,
            "template": { "settings": settings(), "mappings": mappings() },
            "_meta": { "made_by": "sawyer" },
        });
        match choice {
            TemplateChoice::None => return None,
            TemplateChoice::Index => {}
            TemplateChoice::DataStream => body["data_stream"] = json!({}),
        }
        Some(Self { name, body })
    }
}

fn settings() -> Value {
    json!({
        "index.codec": "best_compression",
        "index.mapping.ignore_malformed": true,
    })
}

fn mappings() -> Value {
    let keyword = json!({ "type": "keyword", "ignore_above": KEYWORD_BYTES_MAX });
    json!({
        "dynamic_templates": [
            { "text": { "match_mapping_type": "string", "mapping": keyword } },
        ],
        "properties": {
            "@timestamp": { "type": "date_nanos" },
            "observed": { "type": "date_nanos" },
            "message": { "type": "text" },
            "original": { "type": "keyword", "index": false, "doc_values": false },
            "original_base64": { "type": "keyword", "index": false, "doc_values": false },
        },
    })
}
