//! The output `cloudwatch_logs`: events by the API `PutLogEvents`.
//!
//! Owns: which group and stream a record goes to, the form of an event, what the service takes at once, what its answer
//! says about each event, groups and streams that are made on demand.
//! Does not own: when requests are sent and tried again (`delivery`), credentials (`delivery::auth::aws`).
//! Promise: each record arrives at least once, those of a stream in their order. The service knows no ids: a record
//! that is sent again after an answer was lost is there twice, with the same `_id`. What the service never takes (too
//! old, too far in the future, too large) is rejected alone.

mod answer;
mod event;
mod groups;
mod settings;
mod target;

#[cfg(test)]
mod tests;

use sawyer_config::{At, Problems};
use sawyer_delivery::auth::aws::{Surroundings, domain_of};
use sawyer_delivery::auth::{AuthPlan, AwsSettings};
use sawyer_delivery::http::{Client, Compression, HttpSettings, Url, read_url};
use sawyer_delivery::{DeliverySettings, Limits};
use sawyer_model::{Error, ErrorKind};
use sawyer_pipeline::{Context, Kind, Output, OutputPlan};

pub use settings::{CloudwatchLogsSettings, EventFormat, GroupClass};

use crate::deliver::{self, Delivered, HttpOutputSettings, OneByOne};
use event::{EVENT_BYTES_MAX, EVENTS_MAX, Events, REQUEST_BYTES_MAX};
use groups::{Groups, NewGroup, Places};
use target::PutTarget;

/// The service's name in signatures and addresses.
const SERVICE: &str = "logs";

/// Days for which the service can keep events.
const RETENTIONS: [u32; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// The kind `cloudwatch_logs`.
pub(crate) fn kind() -> Kind<Box<dyn OutputPlan>> {
    Kind {
        name: "cloudwatch_logs",
        reference: deliver::reference::<CloudwatchLogsSettings>,
        read: Box::new(|at, problems| Some(Box::new(check(deliver::read(at, problems)?, at, problems)?))),
    }
}

#[derive(Debug)]
struct PutPlan {
    places: Places,
    new_group: NewGroup,
    endpoint: Option<Url>,
    region: Option<String>,
    aws: AwsSettings,
    delivery: DeliverySettings,
    http: HttpSettings,
    events: Events,
    event_bytes_max: usize,
}

fn check(
    settings: HttpOutputSettings<CloudwatchLogsSettings>,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<PutPlan> {
    let HttpOutputSettings { delivery, http, auth, own } = settings;
    let places = Places::parse(&own.group, &own.stream, at, problems);
    let endpoint = own.endpoint.as_ref().map(|text| read_url(text, &at.key("endpoint"), problems));
    let aws = match auth {
        Some(AuthPlan::Aws(aws)) => Some(aws),
        None => Some(AwsSettings::default()),
        Some(AuthPlan::Header(_)) => {
            problems.expected(
                &at.key("auth").key("type"),
                "`aws`, the only way in which CloudWatch Logs is asked",
            );
            None
        }
    };
    let mut right = true;
    if http.compression == Compression::Zstd {
        problems.expected(&at.key("compression"), "`none` or `gzip`, which CloudWatch Logs takes");
        right = false;
    }
    if own.retention_days.is_some_and(|days| !RETENTIONS.contains(&days)) {
        let days: Vec<String> = RETENTIONS.iter().map(u32::to_string).collect();
        problems.expected(&at.key("retention_days"), &format!("one of {}", days.join(", ")));
        right = false;
    }
    let event_bytes_max = usize::try_from(own.event_max.bytes()).unwrap_or(usize::MAX);
    let new_group = NewGroup {
        create: own.create_groups,
        retention_days: own.retention_days,
        class: own.group_class,
        tags: own.tags,
    };
    let events = Events::new(own.format, own.original, places.clone()?);
    let endpoint = match endpoint {
        Some(None) => return None,
        read => read.flatten(),
    };
    let (places, aws, region) = (places?, aws?, own.region);
    let plan = PutPlan { places, new_group, endpoint, region, aws, delivery, http, events, event_bytes_max };
    right.then_some(plan)
}

impl PutPlan {
    /// What the service takes at once, or less if the settings say so.
    fn limits(&self) -> Limits {
        let mut limits = self.delivery.limits(self.event_bytes_max.min(EVENT_BYTES_MAX));
        limits.request_bytes_max = limits.request_bytes_max.min(REQUEST_BYTES_MAX);
        limits.request_items_max = limits.request_items_max.min(EVENTS_MAX);
        limits.ordered = true;
        limits
    }
}

impl OutputPlan for PutPlan {
    fn is_remote(&self) -> bool {
        true
    }

    // A stream is read in the order in which it was written.
    fn keeps_order(&self) -> bool {
        true
    }

    fn open(mut self: Box<Self>, context: &Context) -> Result<Box<dyn Output>, Error> {
        let limits = self.limits();
        let surroundings = Surroundings::of_process();
        if self.region.is_some() {
            self.aws.region = self.region;
        }
        let region = self.aws.region(&surroundings)?;
        let endpoint = match self.endpoint {
            Some(url) => url,
            None => endpoint(&region, &surroundings)?,
        };
        let service = self.aws.service.clone().unwrap_or_else(|| SERVICE.to_owned());
        let signer = self.aws.signer(&region, &service, &surroundings, &context.clock);
        let clock = context.clock.clone();
        let client = Client::new(self.http, std::slice::from_ref(&endpoint), Some(signer), clock.clone())?;
        let groups = Groups::new(self.new_group, clock.clone());
        let target = PutTarget::new(client, endpoint, self.places, groups, clock);
        Ok(Box::new(Delivered::new(target, OneByOne(self.events), limits, context)))
    }
}

/// Where the service is, unless the settings say it.
fn endpoint(region: &str, surroundings: &Surroundings) -> Result<Url, Error> {
    let set = ["AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "AWS_ENDPOINT_URL"];
    let set = set.iter().find_map(|name| surroundings.get(name));
    let text = set.unwrap_or_else(|| format!("https://logs.{region}.{}/", domain_of(region)));
    Url::parse(&text).map_err(|error| {
        Error::new(ErrorKind::Invalid, format!("read the endpoint of CloudWatch Logs: {text}")).because(error)
    })
}
