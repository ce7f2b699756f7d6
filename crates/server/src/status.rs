//! `/status`: what this process is, has and does.

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};

use crate::Api;

/// What is told of each input and output: name in the answer, name of the metric.
const INPUT_NUMBERS: [(&str, &str); 5] = [
    ("records", "sawyer_input_records"),
    ("bytes", "sawyer_input_bytes"),
    ("files", "sawyer_input_files"),
    ("bytes_behind", "sawyer_input_bytes_behind"),
    ("files_in_danger", "sawyer_input_files_in_danger"),
];
const OUTPUT_NUMBERS: [(&str, &str); 1] = [("records", "sawyer_output_taken_records")];

pub(crate) async fn status(State(api): State<Api>) -> Json<Value> {
    let totals = api.0.search.totals();
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "role": api.0.role,
        "started": api.0.started.to_string(),
        "uptime_seconds": api.0.clock.now().since(api.0.started).as_secs(),
        "store": {
            "records": totals.records,
            "bytes": totals.bytes,
            "segments": totals.segments,
            "oldest": totals.oldest.map(|time| time.to_string()),
            "newest": totals.newest.map(|time| time.to_string()),
        },
        "configuration": {"refused_problems": refused_problems(&api)},
        "inputs": by_component(&api, "input", &INPUT_NUMBERS),
        "outputs": by_component(&api, "output", &OUTPUT_NUMBERS),
    }))
}

/// How much is wrong with the configuration that was refused last; 0 when the one in force is that of the files.
fn refused_problems(api: &Api) -> i64 {
    api.0.metrics.numbers("sawyer_config_refused_problems").iter().map(|(_, number)| number).sum()
}

/// The numbers of each component, by its name.
fn by_component(api: &Api, label: &str, numbers: &[(&str, &'static str)]) -> Map<String, Value> {
    let mut components = Map::new();
    for (name, metric) in numbers {
        for (labels, number) in api.0.metrics.numbers(metric) {
            let Some((_, component)) = labels.iter().find(|(known, _)| *known == label) else { continue };
            let entry = components.entry(component.clone()).or_insert_with(|| json!({}));
            entry[*name] = json!(number);
        }
    }
    components
}
