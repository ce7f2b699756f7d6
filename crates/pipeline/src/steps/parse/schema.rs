//! `service` and `env` from what is known of who speaks, where the body does not tell them.
//!
//! Owns: which labels and names tell them, and in which order.
//! Does not own: what a body tells (`sawyer_codec::body`); it overrules this, because a record's own fields come before
//! those of its stream.
//! Invariant: a stream that has a field keeps it; a stream always becomes the same one.

use std::collections::HashMap;
use std::sync::Arc;

use sawyer_model::{Batch, Stream, Value, names};

/// Streams whose form is remembered; beyond it, all are made anew.
const STREAMS_MAX: usize = 10_000;

/// What tells the service, the most preferred first: what somebody wrote for this purpose, the names that Kubernetes
/// recommends, the custom before it, and at last what runs.
const SERVICE: [&str; 8] = [
    "annotations.resource.opentelemetry.io/service.name",
    "labels.tags.datadoghq.com/service",
    "labels.app.kubernetes.io/name",
    "labels.app",
    "labels.k8s-app",
    "labels.com.docker.compose.service",
    names::WORKLOAD,
    names::CONTAINER,
];

/// What tells the environment.
const ENV: [&str; 5] = [
    "annotations.resource.opentelemetry.io/deployment.environment.name",
    "annotations.resource.opentelemetry.io/deployment.environment",
    "labels.tags.datadoghq.com/env",
    "labels.environment",
    "labels.env",
];

/// Fills streams in.
#[derive(Debug, Default)]
pub(super) struct Schema {
    /// Streams by fingerprint, and what becomes of them; none where there is nothing to add.
    streams: HashMap<u128, Option<Arc<Stream>>>,
}

impl Schema {
    /// Fills in the streams of a batch.
    pub(super) fn fill(&mut self, batch: &mut Batch) {
        for number in 0..batch.streams().len() {
            let stream = &batch.streams()[number];
            if let Some(filled) = self.filled(stream) {
                batch.replace_stream(number, filled);
            }
        }
    }

    fn filled(&mut self, stream: &Stream) -> Option<Arc<Stream>> {
        if let Some(known) = self.streams.get(&stream.fingerprint()) {
            return known.clone();
        }
        let missing = [(names::SERVICE, SERVICE.as_slice()), (names::ENV, ENV.as_slice())];
        let added: Vec<(&str, Value)> = missing
            .into_iter()
            .filter(|(name, _)| stream.get(name).is_none())
            .filter_map(|(name, told_by)| Some((name, told_by.iter().find_map(|from| text(stream, from))?)))
            .collect();
        let filled = (!added.is_empty()).then(|| Arc::new(stream.with(added)));
        if self.streams.len() >= STREAMS_MAX {
            self.streams.clear();
        }
        self.streams.insert(stream.fingerprint(), filled.clone());
        filled
    }
}

fn text(stream: &Stream, name: &str) -> Option<Value> {
    let value = stream.get(name)?;
    value.as_ref().as_str().filter(|text| !text.is_empty())?;
    Some(value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{bench, record};

    /// Service and environment of a record that has these fields from its collector.
    fn check(fields: &[(&str, &str)], message: &str) -> (String, String) {
        let mut line = record(0, message);
        line.stream = Arc::new(Stream::new(fields.iter().map(|(name, value)| (*name, Value::from(*value)))));
        let batch = bench("parse", "{}").unwrap().run(&[line]);
        let told = |name: &str| batch.get(0).get(name).and_then(|value| value.as_str().map(str::to_owned));
        (told("service").unwrap_or_default(), told("env").unwrap_or_default())
    }

    fn pair(service: &str, env: &str) -> (String, String) {
        (service.to_owned(), env.to_owned())
    }

    #[test]
    fn labels_come_before_workload_and_container() {
        let known =
            [("container", "app"), ("workload", "cart"), ("labels.app", "shop-cart"), ("labels.env", "prod")];
        assert_eq!(check(&known, "x"), pair("shop-cart", "prod"));
        assert_eq!(check(&known[..2], "x"), pair("cart", ""));
        assert_eq!(check(&known[..1], "x"), pair("app", ""));
        assert_eq!(check(&[("source", "/var/log/syslog")], "x"), pair("", ""));
        let labels =
            [("labels.app.kubernetes.io/name", "cart"), ("labels.app", "x"), ("labels.environment", "")];
        assert_eq!(check(&labels, "x"), pair("cart", ""));
    }

    #[test]
    fn what_the_body_says_comes_first() {
        let known = [("container", "app"), ("labels.env", "prod")];
        assert_eq!(check(&known, r#"{"msg":"a","service":"cart"}"#), pair("cart", "prod"));
        assert_eq!(check(&known, r#"{"msg":"a","environment":"dev"}"#), pair("app", "dev"));
    }

    #[test]
    fn is_left_out_by_setting() {
        let batch = bench("parse", "{fill: false}").unwrap().run(&[record(0, "x")]);
        assert!(batch.get(0).get("service").is_none());
    }
}
