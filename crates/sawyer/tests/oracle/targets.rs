//! The adapters, one for each output.

pub(crate) mod cloudwatch;
pub(crate) mod elasticsearch;
pub(crate) mod http;
pub(crate) mod lines;
pub(crate) mod loki;
pub(crate) mod native;
pub(crate) mod store;

use serde_json::Value;

use crate::run::Arrival;

/// What arrived, of a record in JSON.
fn arrival(record: &Value, original: &str) -> Arrival {
    let text = |key: &str| record[key].as_str().map(str::to_owned);
    let line = text(original).or_else(|| text("message")).unwrap_or_else(|| panic!("no message in {record}"));
    Arrival { pod: text("pod").unwrap_or_else(|| panic!("no pod in {record}")), line }
}
