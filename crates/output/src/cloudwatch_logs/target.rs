//! Requests to the service.

use bytes::Bytes;
use sawyer_delivery::http::{
    Client, Compression, HeaderName, HeaderValue, Method, Request, Response, Url, compress, unanswered,
};
use sawyer_delivery::{Answer, Item, Target, Trouble, Verdict};
use sawyer_telemetry::Clock;
use serde_json::{Value as Json, json};

use super::answer::{self, Said, TOO_NEW, TOO_OLD};
use super::event::{Event, Untimely, arrange, body};
use super::groups::{Groups, Places};

const MEDIA_TYPE: &str = "application/x-amz-json-1.1";
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

pub(super) struct PutTarget {
    client: Client,
    endpoint: Url,
    places: Places,
    groups: Groups,
    clock: Clock,
}

impl PutTarget {
    pub(super) fn new(client: Client, endpoint: Url, places: Places, groups: Groups, clock: Clock) -> Self {
        Self { client, endpoint, places, groups, clock }
    }

    async fn ask(
        &self,
        action: &'static str,
        body: Bytes,
        compression: Compression,
    ) -> Result<Response, Answer> {
        let url = self.endpoint.clone();
        let action = HeaderValue::from_static(action);
        let request =
            Request::with_body(Method::POST, url, MEDIA_TYPE, compression, body).header(TARGET, action);
        self.client.send(request).await.map_err(unanswered)
    }

    async fn ask_json(&self, action: &'static str, body: &Json) -> Result<Said, Answer> {
        let response = self.ask(action, body.to_string().into(), Compression::None).await?;
        Ok(answer::read(&response))
    }

    /// Puts events, and makes the group and the stream if they are not there. Gives why each was refused.
    async fn put(
        &self,
        place: &(String, String),
        events: &[Event],
        items: &[Item<Bytes>],
    ) -> Result<Vec<Verdict>, Answer> {
        let compression = self.client.compression();
        let packed = compress(vec![body(place, events, items).into()], compression).await;
        for tried in [false, true] {
            let response = self.ask("Logs_20140328.PutLogEvents", packed.clone(), compression).await?;
            match answer::read(&response) {
                Said::Done => {
                    let refusals = answer::refusals(&response, events.len());
                    return Ok(refusals.into_iter().map(verdict).collect());
                }
                Said::Duplicate => return Ok(vec![Verdict::Duplicate; events.len()]),
                Said::NotFound(_) if !tried => self.create(place).await?,
                Said::NotFound(detail) => return Err(trouble("not_found", detail)),
                Said::Exists => return Err(trouble("answer", "an event exists already".to_owned())),
                Said::Other(answer) => return Err(answer),
            }
        }
        Err(trouble("not_found", "the log stream that was made is not there".to_owned()))
    }

    /// Makes the stream, and the group before it if that is not there.
    async fn create(&self, (group, stream): &(String, String)) -> Result<(), Answer> {
        let request = json!({ "logGroupName": group, "logStreamName": stream });
        for tried in [false, true] {
            let said = self.ask_json("Logs_20140328.CreateLogStream", &request).await;
            match said.map_err(|answer| named(answer, &format!("make the log stream {stream}")))? {
                Said::Done | Said::Exists => return Ok(()),
                Said::NotFound(_) if !tried && self.groups.creates() => self.create_group(group).await?,
                Said::NotFound(detail) => {
                    let hint = if self.groups.creates() { "" } else { ", and `create_groups` is off" };
                    return Err(trouble(
                        "not_found",
                        format!("the log group {group} is not there{hint}: {detail}"),
                    ));
                }
                Said::Duplicate => {
                    return Err(trouble("answer", "a log stream was accepted already".to_owned()));
                }
                Said::Other(answer) => return Err(named(answer, &format!("make the log stream {stream}"))),
            }
        }
        Err(trouble("not_found", format!("the log group {group} that was made is not there")))
    }

    async fn create_group(&self, group: &str) -> Result<(), Answer> {
        let said = self.ask_json("Logs_20140328.CreateLogGroup", &self.groups.request(group)).await;
        match said.map_err(|answer| named(answer, &format!("make the log group {group}")))? {
            Said::Done => self.groups.made(group),
            Said::Exists => {}
            Said::Other(answer) => return Err(named(answer, &format!("make the log group {group}"))),
            Said::NotFound(detail) => return Err(trouble("not_found", detail)),
            Said::Duplicate => return Err(trouble("answer", "a log group was accepted already".to_owned())),
        }
        Ok(())
    }

    /// Sets the retention of a group that was made here. Records do not wait for it to succeed.
    async fn set_retention(&self, group: &str) {
        let Some(request) = self.groups.retention(group) else { return };
        let outcome = match self.ask_json("Logs_20140328.PutRetentionPolicy", &request).await {
            Ok(Said::Done) => Ok(()),
            Ok(Said::NotFound(detail)) => Err(detail),
            Ok(Said::Other(answer)) | Err(answer) => Err(detail_of(&answer)),
            Ok(Said::Exists | Said::Duplicate) => Err("an unexpected answer".to_owned()),
        };
        self.groups.retention_set(group, outcome);
    }
}

fn verdict(refusal: Option<&'static str>) -> Verdict {
    refusal.map_or(Verdict::Done, |reason| Verdict::Reject { reason: reason.to_owned() })
}

fn trouble(reason: &'static str, detail: String) -> Answer {
    Answer::Failed(Trouble { reason, detail, after: None })
}

/// A refusal about a group or a stream is no fault of the records: an operator can end it.
fn named(answer: Answer, doing: &str) -> Answer {
    match answer {
        Answer::Failed(Trouble { reason, detail, after }) => {
            Answer::Failed(Trouble { reason, detail: format!("{doing}: {detail}"), after })
        }
        other => trouble("set_up", format!("{doing}: {}", detail_of(&other))),
    }
}

fn detail_of(answer: &Answer) -> String {
    match answer {
        Answer::Failed(trouble) => trouble.detail.clone(),
        Answer::Refused(reason) => reason.clone(),
        Answer::TooLarge => "too large".to_owned(),
        Answer::Items { .. } => "an unexpected answer".to_owned(),
    }
}

/// What a request that was not taken means for its items, after others of the same items were.
fn later(answer: &Answer) -> (&'static str, Option<std::time::Duration>) {
    match answer {
        Answer::Failed(trouble) => (trouble.reason, trouble.after),
        Answer::Refused(_) => ("refused", None),
        Answer::TooLarge => ("too_large", None),
        Answer::Items { .. } => ("answer", None),
    }
}

impl Target for PutTarget {
    type Payload = Bytes;

    /// Mostly one request; where items are more than a day apart, one for each day.
    async fn send(&self, items: &[Item<Bytes>]) -> Answer {
        let Some(place) =
            items.iter().find_map(|item| item.record.as_ref()).map(|origin| self.places.of(origin.record()))
        else {
            return Answer::Refused("an item without a record".to_owned());
        };
        let (parts, untimely) = arrange(items, self.clock.now());
        let mut verdicts = vec![Verdict::Retry { reason: "day", after: None }; items.len()];
        for (item, why) in untimely {
            let reason = if why == Untimely::TooOld { TOO_OLD } else { TOO_NEW };
            verdicts[item] = Verdict::Reject { reason: reason.to_owned() };
        }
        let mut detail = None;
        for (number, events) in parts.iter().enumerate() {
            match self.put(&place, events, items).await {
                Ok(told) => {
                    for (event, verdict) in events.iter().zip(told) {
                        verdicts[event.item] = verdict;
                    }
                }
                // Nothing was taken yet, so it is for the courier to cut it, or to wait.
                Err(answer) if number == 0 => return answer,
                Err(answer) => {
                    let (reason, after) = later(&answer);
                    detail = Some(detail_of(&answer));
                    let rest = parts.iter().skip(number).flatten();
                    rest.for_each(|event| verdicts[event.item] = Verdict::Retry { reason, after });
                    break;
                }
            }
        }
        self.set_retention(&place.0).await;
        Answer::Items { verdicts, detail }
    }
}
