//! The output `loki`: entries of streams by the push API, as protobuf with snappy.
//!
//! Owns: labels, structured metadata and lines, tenants, what Loki's answers say.
//! Does not own: when requests are sent and tried again (`delivery`).
//! Promise: each record arrives at least once, and Loki drops what it has already, as long as it has it in memory. Records
//! of a stream are sent in their order. What Loki refuses for good (too old, too long) is rejected alone.

mod answer;
mod entry;
mod labels;
mod push;
mod settings;
mod target;
mod template;

#[cfg(test)]
mod tests;

use sawyer_config::{At, Problems};
use sawyer_delivery::http::{Url, read_endpoints};
use sawyer_model::Error;
use sawyer_pipeline::{Context, Kind, Output, OutputPlan};

pub use settings::{LokiLine, LokiSettings};

use crate::deliver::{self, Delivered, HttpOutputSettings, OneByOne};
use entry::{Entries, Metadata, Meters};
use labels::Labels;
use target::PushTarget;
use template::Tenant;

/// Most bytes of a request. Loki passes a request on within a message of 4 MiB at most, and a request that is larger
/// than a tenant's burst (6 MB) would never be taken. Its own clients send 1 MiB.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// Bytes of an entry beside its line, at most: labels, structured metadata, and what stands between them.
const BESIDE_LINE_BYTES_MAX: usize = 128 << 10;

/// Requests under way at once, at most: a stream keeps its order within its lane.
const LANES_MAX: u32 = 4;

/// The kind `loki`.
pub(crate) fn kind() -> Kind<Box<dyn OutputPlan>> {
    Kind {
        name: "loki",
        reference: || {
            let mut reference = deliver::reference::<LokiSettings>();
            reference.entries.retain(|entry| entry.key != "compression");
            reference
        },
        read: Box::new(|at, problems| Some(Box::new(check(deliver::read(at, problems)?, at, problems)?))),
    }
}

#[derive(Debug)]
struct LokiPlan {
    endpoints: Vec<Url>,
    labels: Labels,
    tenant: Option<Tenant>,
    settings: HttpOutputSettings<LokiSettings>,
}

fn check(
    settings: HttpOutputSettings<LokiSettings>,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<LokiPlan> {
    let endpoints = read_endpoints(&settings.own.endpoint, &at.key("endpoint"), problems);
    if let Some(compression) = at.get("compression") {
        problems.push(&compression, "Loki takes snappy, which is what this output sends");
        return None;
    }
    let labels = match Labels::parse(&settings.own.labels, &settings.own.static_labels) {
        Ok(labels) => Some(labels),
        Err((entry, why)) => {
            let item = entry.and_then(|entry| at.key("labels").items().into_iter().nth(entry));
            problems.push(&item.unwrap_or_else(|| at.key("static_labels")), why);
            None
        }
    };
    let tenant = match settings.own.tenant.as_deref().map(Tenant::parse).transpose() {
        Ok(tenant) => Some(tenant),
        Err(why) => {
            problems.push(&at.key("tenant"), why);
            None
        }
    };
    Some(LokiPlan { endpoints: endpoints?, labels: labels?, tenant: tenant?, settings })
}

impl OutputPlan for LokiPlan {
    fn is_remote(&self) -> bool {
        true
    }

    // Loki refuses what is too far behind the newest entry of its stream, so nothing may overtake.
    fn keeps_order(&self) -> bool {
        true
    }

    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Output>, Error> {
        let Self { endpoints, labels, tenant, settings } = *self;
        let HttpOutputSettings { delivery, http, auth, own } = settings;
        let client = deliver::client(http, auth, &endpoints, context)?;
        let line_max = usize::try_from(own.line_max.bytes()).unwrap_or(usize::MAX);
        let mut limits = delivery.limits(line_max.saturating_add(BESIDE_LINE_BYTES_MAX));
        limits.request_bytes_max = limits.request_bytes_max.min(REQUEST_BYTES_MAX);
        limits.ordered = true;
        let target_label = [("output", context.name.as_str())];
        let counter = |name, help| context.metrics.counter(name, help, &target_label);
        let meters = Meters {
            cut_labels: counter("sawyer_output_cut_labels", "Values of labels that were cut, by output"),
            left_out: counter(
                "sawyer_output_left_out_fields",
                "Fields left out because there was no room for them, by output",
            ),
            moved: counter(
                "sawyer_output_moved_records",
                "Records whose time was moved by nanoseconds, because the target would take them for a repetition",
            ),
        };
        let form = Entries {
            metadata: Metadata::new(&own.structured_metadata, &labels),
            labels,
            line: own.line,
            tenant,
            lanes: delivery.requests_max.min(LANES_MAX).into(),
            meters,
            state: Default::default(),
        };
        let target = PushTarget::new(client, endpoints, line_max);
        Ok(Box::new(Delivered::new(target, OneByOne(form), limits, context)))
    }
}
