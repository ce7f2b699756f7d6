//! Requests to the cluster.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use sawyer_delivery::http::{Client, Compression, Endpoints, Judgement, Method, Request, Response, Url};
use sawyer_delivery::http::{body, judge, unanswered};
use sawyer_delivery::{Answer, Item, Payload, Target, Trouble};

use super::answer;
use super::template::Template;
use crate::runs::Run;

/// Of the answer only this is needed, which is a small part of it. A cluster that does not know the parameter sends
/// all of it.
const FILTER: &str = "filter_path=errors,items.*.status,items.*.error";

pub(super) struct BulkTarget {
    client: Client,
    endpoints: Endpoints,
    path: String,
    template: Option<Template>,
    template_done: AtomicBool,
}

impl BulkTarget {
    pub(super) fn new(
        client: Client,
        endpoints: Vec<Url>,
        pipeline: Option<&str>,
        template: Option<Template>,
    ) -> Self {
        let mut path = format!("_bulk?{FILTER}");
        if let Some(pipeline) = pipeline {
            path.push_str("&pipeline=");
            path.push_str(pipeline);
        }
        let template_done = AtomicBool::new(template.is_none());
        Self { client, endpoints: Endpoints::new(endpoints), path, template, template_done }
    }

    /// Sends a request to the address in use, and goes on to the next one if it does not answer.
    async fn ask(&self, path: &str, make: impl FnOnce(Url) -> Request) -> Result<Response, Trouble> {
        let (number, url) = self.endpoints.url(path);
        let answer = self.client.send(make(url)).await;
        let away = |status| matches!(status, 502..=504);
        if answer.as_ref().map_or(true, |answer| away(answer.status)) {
            self.endpoints.failed(number);
        }
        answer
    }

    /// Sets the template up if it is not there.
    async fn set_up(&self) -> Result<(), Answer> {
        let Some(template) = self.template.as_ref().filter(|_| !self.template_done.load(Ordering::Acquire))
        else {
            return Ok(());
        };
        let path = format!("_index_template/{}", template.name);
        let named = |mut trouble: Trouble| {
            trouble.detail = format!("set up the index template `{}`: {}", template.name, trouble.detail);
            Answer::Failed(trouble)
        };
        let present = self.ask(&path, |url| Request::new(Method::GET, url)).await.map_err(named)?;
        if present.status == 404 {
            let body = Bytes::from(template.body.to_string());
            let make =
                |url| Request::with_body(Method::PUT, url, "application/json", Compression::None, body);
            let made = self.ask(&path, make).await.map_err(named)?;
            settled(&made).map_err(named)?;
            tracing::info!(template = template.name, "index template set up");
        } else {
            settled(&present).map_err(named)?;
        }
        self.template_done.store(true, Ordering::Release);
        Ok(())
    }
}

/// A request about the template that was refused is trouble that an operator can end.
fn settled(response: &Response) -> Result<(), Trouble> {
    match judge(response) {
        Judgement::Done => Ok(()),
        Judgement::Failed(trouble) => Err(trouble),
        Judgement::Refused(detail) => Err(Trouble { reason: "template", detail, after: None }),
        Judgement::TooLarge => {
            Err(Trouble { reason: "template", detail: "too large for the cluster".to_owned(), after: None })
        }
    }
}

impl Target for BulkTarget {
    type Payload = Run;

    async fn send(&self, items: &[Item<Run>]) -> Answer {
        if let Err(answer) = self.set_up().await {
            return answer;
        }
        let pieces = items.iter().map(|item| item.payload.piece()).collect();
        let count = items.iter().map(|item| item.payload.count()).sum();
        let compression = self.client.compression();
        let body = body(pieces, compression).await;
        let make = |url| Request::with_body(Method::POST, url, "application/x-ndjson", compression, body);
        let response = match self.ask(&self.path, make).await {
            Ok(response) => response,
            Err(trouble) => return unanswered(trouble),
        };
        match judge(&response) {
            Judgement::Done => answer::read(&response.body, count),
            Judgement::TooLarge => Answer::TooLarge,
            Judgement::Refused(reason) => Answer::Refused(reason),
            Judgement::Failed(trouble) => Answer::Failed(trouble),
        }
    }
}
