//! The output `http`: records to any server that takes lines or lists of JSON.
//!
//! Owns: the form of a body, headers of the user's. Does not own: what a status means (`delivery::http::status`).
//! Promise: at least once. A record that arrives again has the same `_id`. Without `ordered` requests may overtake each
//! other.

mod settings;
mod target;

#[cfg(test)]
mod tests;

use std::ops::Range;

use sawyer_codec::json_out::{self, Original};
use sawyer_config::{At, Problems};
use sawyer_delivery::http::{HeaderName, HeaderValue, Url, read_url};
use sawyer_model::{Batch, Error};
use sawyer_pipeline::{Context, Kind, Output, OutputPlan};

pub use settings::{BodyForm, HttpSettings, HttpVerb};

use crate::deliver::{self, Delivered, HttpOutputSettings, ITEM_BYTES_MAX};
use crate::runs::{InRuns, Rows};
use target::HttpTarget;

/// The kind `http`.
pub(crate) fn kind() -> Kind<Box<dyn OutputPlan>> {
    Kind {
        name: "http",
        reference: deliver::reference::<HttpSettings>,
        read: Box::new(|at, problems| Some(Box::new(check(deliver::read(at, problems)?, at, problems)?))),
    }
}

#[derive(Debug)]
struct HttpPlan {
    url: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    settings: HttpOutputSettings<HttpSettings>,
}

fn check(
    settings: HttpOutputSettings<HttpSettings>,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<HttpPlan> {
    let url = read_url(&settings.own.url, &at.key("url"), problems);
    let mut headers = Vec::new();
    for (name, value) in &settings.own.headers {
        let header = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value.expose()).ok());
        match header {
            Some((name, mut value)) => {
                value.set_sensitive(true);
                headers.push((name, value));
            }
            None => problems.push(&at.key("headers").key(name), "cannot stand as a header of HTTP"),
        }
    }
    let complete = headers.len() == settings.own.headers.len();
    Some(HttpPlan { url: url?, headers, settings }).filter(|_| complete)
}

impl OutputPlan for HttpPlan {
    fn is_remote(&self) -> bool {
        true
    }

    fn keeps_order(&self) -> bool {
        self.settings.own.ordered
    }

    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Output>, Error> {
        let Self { url, headers, settings: HttpOutputSettings { delivery, http, auth, own } } = *self;
        let compression = http.compression;
        let client = deliver::client(http, auth, std::slice::from_ref(&url), context)?;
        let mut limits = delivery.limits(ITEM_BYTES_MAX);
        limits.ordered = own.ordered;
        let target = HttpTarget::new(client, url, own.method, own.body, headers);
        let records = InRuns::new(
            Records { body: own.body, original: Original::of(own.original, own.original_of_json) },
            compression,
        );
        Ok(Box::new(Delivered::new(target, records, limits, context)))
    }
}

/// Each record as the HTTP API shows it: lines, or what stands in a list.
struct Records {
    body: BodyForm,
    original: Original,
}

impl Rows for Records {
    fn write(
        &self,
        batch: &Batch,
        records: Range<usize>,
        out: &mut Vec<u8>,
        done: &mut dyn FnMut(&mut Vec<u8>),
    ) {
        let behind: &[u8] = if self.body == BodyForm::Ndjson { b"\n" } else { b"" };
        json_out::write_each(batch, records, self.original, out, &mut |out| {
            out.extend_from_slice(behind);
            done(out);
        });
    }

    fn between(&self) -> &'static [u8] {
        if self.body == BodyForm::Ndjson { b"" } else { b"," }
    }
}
