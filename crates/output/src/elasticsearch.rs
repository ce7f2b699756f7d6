//! The outputs `elasticsearch` and `opensearch`: documents by the bulk API.
//!
//! Owns: the form of a document, which index it goes to, what the answer says about each, index templates.
//! Does not own: when requests are sent and tried again (`delivery`).
//! Promise: each record arrives, and once: it is *created* under its own name (`_id`) in an index that follows from the
//! record alone, so sending it again finds it there. In a data stream that holds until the stream rolls over to its
//! next index. A record that Elasticsearch refuses for good (a field with another type than the index has) is
//! rejected alone.

mod answer;
mod document;
mod index;
mod settings;
mod target;
mod template;

#[cfg(test)]
mod tests;

use sawyer_codec::json_out::Original;
use sawyer_config::{At, Problems};
use sawyer_delivery::http::{Url, read_endpoints};
use sawyer_model::Error;
use sawyer_pipeline::{Context, Kind, Output, OutputPlan};

pub use settings::{ElasticsearchSettings, TemplateChoice};

use crate::deliver::{self, Delivered, HttpOutputSettings, ITEM_BYTES_MAX};
use crate::runs::InRuns;
use document::Documents;
use index::IndexName;
use target::BulkTarget;
use template::Template;

/// The kinds `elasticsearch` and `opensearch`, which differ in nothing but their names.
pub(crate) fn kind(name: &'static str) -> Kind<Box<dyn OutputPlan>> {
    Kind {
        name,
        reference: deliver::reference::<ElasticsearchSettings>,
        read: Box::new(|at, problems| Some(Box::new(check(deliver::read(at, problems)?, at, problems)?))),
    }
}

#[derive(Debug)]
struct BulkPlan {
    endpoints: Vec<Url>,
    index: IndexName,
    settings: HttpOutputSettings<ElasticsearchSettings>,
}

fn check(
    settings: HttpOutputSettings<ElasticsearchSettings>,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<BulkPlan> {
    let endpoints = read_endpoints(&settings.own.endpoint, &at.key("endpoint"), problems);
    let index = match IndexName::parse(&settings.own.index) {
        Ok(index) => Some(index),
        Err(why) => {
            problems.push(&at.key("index"), why);
            None
        }
    };
    let index = index?;
    if settings.own.template != TemplateChoice::None && index.prefix().is_empty() {
        let why = "a template needs an index whose name begins with text, such as \"sawyer-{date}\"";
        problems.push(&at.key("index"), why);
        return None;
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if settings.own.pipeline.as_ref().is_some_and(|name| name.is_empty() || !name.chars().all(plain)) {
        problems.expected(&at.key("pipeline"), "letters, digits, `-`, `_` and `.`");
        return None;
    }
    Some(BulkPlan { endpoints: endpoints?, index, settings })
}

impl OutputPlan for BulkPlan {
    fn is_remote(&self) -> bool {
        true
    }

    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Output>, Error> {
        let Self { endpoints, index, settings: HttpOutputSettings { delivery, http, auth, own } } = *self;
        let compression = http.compression;
        let client = deliver::client(http, auth, &endpoints, context)?;
        let template = Template::of(own.template, &index);
        let target = BulkTarget::new(client, endpoints, own.pipeline.as_deref(), template);
        let documents =
            InRuns::new(Documents::new(index, Original::of(own.original, own.original_of_json)), compression);
        Ok(Box::new(Delivered::new(target, documents, delivery.limits(ITEM_BYTES_MAX), context)))
    }
}
