//! The output `sawyer`: batches to a server or a gateway, by Sawyer's own protocol.
//!
//! Owns: what is sent for a transfer, and what the answers mean. Does not own: the form of a batch (`segment`), the
//! receiving side (`server`, `input`).
//! Promise: once. Batches go with the parts of sources that they account for, so a server that has something already
//! leaves it out, however often and in whatever order batches come.

mod checkpoint;
mod output;
mod reads;
mod sent;
mod settings;
mod target;

use std::sync::Arc;
use std::time::Duration;

use sawyer_config::{At, Problems};
use sawyer_delivery::Limits;
use sawyer_delivery::auth::{AuthPlan, AuthSettings, BearerSettings};
use sawyer_delivery::http::{Client, Url, read_endpoints};
use sawyer_model::Error;
use sawyer_pipeline::{Context, Kind, Output, OutputPlan};

pub use settings::SawyerSettings;

use crate::deliver::{self, HttpOutputSettings};
use checkpoint::Claims;
use output::NativeOutput;
use target::NativeTarget;

/// Bytes of the largest batch that is tried; the receiver says what it does not take.
const BATCH_BYTES_MAX: usize = 1 << 30;

/// Batches of one request. The receiver takes ten times as many.
const REQUEST_BATCHES_MAX: usize = 1_000;

/// Longest wait for further batches, unless it is set: inputs have waited for further records already.
const AGE_MAX: Duration = Duration::from_millis(20);

/// The kind `sawyer`.
pub(crate) fn kind() -> Kind<Box<dyn OutputPlan>> {
    Kind {
        name: "sawyer",
        reference: deliver::reference::<SawyerSettings>,
        read: Box::new(|at, problems| Some(Box::new(check(deliver::read(at, problems)?, at, problems)?))),
    }
}

#[derive(Debug)]
struct SawyerPlan {
    endpoints: Vec<Url>,
    auth: Option<AuthPlan>,
    limits: Limits,
    checkpoint_interval: Duration,
    settings: HttpOutputSettings<()>,
}

fn check(
    settings: HttpOutputSettings<SawyerSettings>,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<SawyerPlan> {
    let HttpOutputSettings { delivery, http, auth, own } = settings;
    let endpoints = read_endpoints(&own.endpoint, &at.key("endpoint"), problems);
    let auth = match (own.token.is_some() || own.token_file.is_some(), auth) {
        (false, auth) => auth,
        (true, None) => {
            let bearer = BearerSettings { token: own.token, token_file: own.token_file };
            Some(AuthSettings::Bearer(bearer).check(at, problems)?)
        }
        (true, Some(_)) => {
            problems.push(&at.key("auth"), "expected either `token_file` or `auth`, found both");
            return None;
        }
    };
    let mut limits = delivery.limits(BATCH_BYTES_MAX);
    limits.request_items_max = REQUEST_BATCHES_MAX;
    if at.get("batch_age_max").is_none() {
        limits.age_max = AGE_MAX;
    }
    let settings = HttpOutputSettings { delivery, http, auth: None, own: () };
    let checkpoint_interval = own.checkpoint_interval;
    Some(SawyerPlan { endpoints: endpoints?, auth, limits, checkpoint_interval, settings })
}

impl OutputPlan for SawyerPlan {
    fn is_remote(&self) -> bool {
        true
    }

    fn keeps_ranges(&self) -> bool {
        true
    }

    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Output>, Error> {
        let Self { endpoints, auth, limits, checkpoint_interval, settings } = *self;
        let authorize = auth.map(|auth| auth.open(&context.clock)).transpose()?;
        let client = Client::over_http2(settings.http, &endpoints, authorize, context.clock.clone())?;
        let claims = Arc::new(Claims::open(context));
        let target = NativeTarget::new(client, endpoints, Arc::clone(&claims), context.clock.clone());
        Ok(Box::new(NativeOutput::new(target, claims, checkpoint_interval, limits, context)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plan;

    #[test]
    fn wrong_settings_are_told() {
        let told = |text: &str| plan(&kind(), text).unwrap_err();
        assert_eq!(
            told("endpoint: server"),
            "sawyer.yaml:1:1: endpoint: expected an address such as \"https://logs.example:9200\", found \"server\""
        );
        assert_eq!(
            told("endpoint: http://server\ntoken: a\nauth: {type: bearer, token: b}"),
            "sawyer.yaml:3:1: auth: expected either `token_file` or `auth`, found both"
        );
        assert_eq!(
            told("endpoint: http://server\ntoken: a\ntoken_file: /b"),
            "sawyer.yaml:1:1: expected either `token` or `token_file`"
        );
    }

    #[test]
    fn batches_are_not_kept_waiting_unless_told() {
        let document = |text: &str| sawyer_config::Document::parse("sawyer.yaml", text).unwrap();
        let age = |text: &str| {
            let document = document(text);
            let mut problems = Problems::new();
            let settings = deliver::read(&document.at(), &mut problems).unwrap();
            check(settings, &document.at(), &mut problems).unwrap().limits.age_max
        };
        assert_eq!(age("endpoint: http://server"), AGE_MAX);
        assert_eq!(age("endpoint: http://server\nbatch_age_max: 1s"), Duration::from_secs(1));
    }
}
