//! Asking a server over HTTP.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use reqwest::{Client, RequestBuilder, Response, Url};
use serde_json::Value;

/// How long a connection may take to come about.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// How long an answer may take; servers bound their queries themselves.
const ANSWER_WAIT: Duration = Duration::from_secs(120);

/// How long an answer may take that tells of much work.
#[cfg(feature = "server")]
const LONG_ANSWER_WAIT: Duration = Duration::from_secs(2 * 3600);

/// Longest event of a live view.
const EVENT_BYTES_MAX: usize = 64 << 20;

/// A server that can be asked.
#[derive(Debug)]
pub(crate) struct Server {
    client: Client,
    base: Url,
}

/// Something that a live view tells.
#[derive(Debug, PartialEq)]
pub(super) enum Live {
    /// A new record.
    Record(Value),
    /// Records that were left out.
    Skipped(u64),
}

/// A live view.
#[derive(Debug)]
pub(super) struct Tail {
    response: Response,
    lines: EventLines,
}

impl Server {
    pub(crate) fn new(address: &str) -> Result<Self> {
        let text = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        let mut base = Url::parse(&text).with_context(|| format!("server address `{address}`"))?;
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        // Somebody else may have chosen already, in tests for example; then that holds.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().connect_timeout(CONNECT_WAIT).build().context("prepare for HTTP")?;
        Ok(Self { client, base })
    }

    /// The JSON answer of `/api/v1/<path>`.
    pub(crate) async fn get(&self, path: &str, params: &[(&str, &str)]) -> Result<Value> {
        let response = self.send(path, params, Some(ANSWER_WAIT)).await?;
        let body = response.bytes().await.context("read the answer")?;
        serde_json::from_slice(&body).context("read the answer; is this a Sawyer server?")
    }

    /// What `/readyz` says, whether that is yes or no.
    pub(crate) async fn ready(&self) -> Result<String> {
        let url = self.base.join("readyz").context("server address")?;
        let response = self.client.get(url).timeout(ANSWER_WAIT).send().await.map_err(|error| {
            anyhow!(error.without_url()).context(format!("ask {}; is a server running there?", self.base))
        })?;
        response.text().await.context("read the answer")
    }

    /// The JSON answer to a `POST` of `/api/v1/<path>`.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.post_within(path, body, ANSWER_WAIT).await
    }

    /// The same where the server may take long; it bounds its work itself.
    #[cfg(feature = "server")]
    pub(crate) async fn post_for_long(&self, path: &str, body: &Value) -> Result<Value> {
        self.post_within(path, body, LONG_ANSWER_WAIT).await
    }

    async fn post_within(&self, path: &str, body: &Value, wait: Duration) -> Result<Value> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = self.client.post(self.url(path)?).header("content-type", "application/json").body(body);
        let response = self.answered(request.timeout(wait)).await?;
        let body = response.bytes().await.context("read the answer")?;
        serde_json::from_slice(&body).context("read the answer; is this a Sawyer server?")
    }

    /// A `DELETE` of `/api/v1/<path>`.
    pub(super) async fn delete(&self, path: &str) -> Result<()> {
        self.answered(self.client.delete(self.url(path)?).timeout(ANSWER_WAIT)).await.map(drop)
    }

    /// What `start` and `end` are right now, as the server's clock has it.
    pub(super) async fn instants(&self, start: &str, end: &str) -> Result<(String, String)> {
        let answer = self.get("range", &[("start", start), ("end", end)]).await?;
        let text = |name: &str| {
            let told = answer[name].as_str().map(str::to_owned);
            told.ok_or_else(|| anyhow!("the server's answer has no `{name}`"))
        };
        Ok((text("start")?, text("end")?))
    }

    /// A live view of what matches.
    pub(super) async fn tail(&self, query: &str) -> Result<Tail> {
        let response = self.send("tail", &[("query", query)], None).await?;
        Ok(Tail { response, lines: EventLines::default() })
    }

    pub(super) async fn send(
        &self,
        path: &str,
        params: &[(&str, &str)],
        wait: Option<Duration>,
    ) -> Result<Response> {
        let mut url = self.url(path)?;
        url.query_pairs_mut().extend_pairs(params);
        let mut request = self.client.get(url);
        if let Some(wait) = wait {
            request = request.timeout(wait);
        }
        self.answered(request).await
    }

    fn url(&self, path: &str) -> Result<Url> {
        self.base.join(&format!("api/v1/{path}")).context("server address")
    }

    async fn answered(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.map_err(|error| {
            anyhow!(error.without_url()).context(format!("ask {}; is a server running there?", self.base))
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = response.bytes().await.unwrap_or_default();
        bail!(refusal(&body).unwrap_or_else(|| format!("the server at {} answered {status}", self.base)))
    }
}

/// What the server says is wrong, with the query and a caret if that is it.
fn refusal(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let error = &answer["error"];
    let mut text = error["message"].as_str()?.to_owned();
    if let Some(caret) = error["caret"].as_str() {
        for line in caret.lines() {
            text.push_str("\n  ");
            text.push_str(line);
        }
    }
    Some(text)
}

impl Tail {
    /// The next event; none when the server ends.
    pub(super) async fn next(&mut self) -> Result<Option<Live>> {
        loop {
            if let Some(event) = self.lines.next_event()? {
                return Ok(Some(event));
            }
            match self.response.chunk().await.context("read the live view")? {
                Some(chunk) => self.lines.push(&chunk)?,
                None => return Ok(None),
            }
        }
    }
}

/// Server-sent events out of bytes (WHATWG HTML, 9.2.6).
#[derive(Debug, Default)]
struct EventLines {
    bytes: Vec<u8>,
    read: usize,
    name: String,
    data: String,
}

impl EventLines {
    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.drain(..self.read);
        self.read = 0;
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > EVENT_BYTES_MAX {
            bail!("the server sent an event of more than {EVENT_BYTES_MAX} bytes");
        }
        Ok(())
    }

    fn next_event(&mut self) -> Result<Option<Live>> {
        while let Some(line) = self.next_line()? {
            if let Some(name) = line.strip_prefix("event:") {
                self.name = name.trim_start().to_owned();
            } else if let Some(data) = line.strip_prefix("data:") {
                self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
            } else if line.is_empty() {
                let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
                if let Some(event) = event(&name, &data)? {
                    return Ok(Some(event));
                }
            }
        }
        Ok(None)
    }

    fn next_line(&mut self) -> Result<Option<String>> {
        let rest = &self.bytes[self.read..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        let line = std::str::from_utf8(line).context("the live view is not UTF-8")?.to_owned();
        self.read += end + 1;
        Ok(Some(line))
    }
}

fn event(name: &str, data: &str) -> Result<Option<Live>> {
    let read = || serde_json::from_str::<Value>(data).context("read an event of the live view");
    Ok(match name {
        "record" => Some(Live::Record(read()?)),
        "skipped" => Some(Live::Skipped(read()?["count"].as_u64().unwrap_or(0))),
        "error" => bail!("{}", read()?["message"].as_str().unwrap_or(data)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_arrive_in_any_pieces() {
        let text = "event: record\ndata: {\"message\":\"결제\"}\n\n: alive\n\nevent: skipped\r\ndata: {\"count\":7}\r\n\r\n";
        for size in [1, 2, 3, 7, 1000] {
            let (mut lines, mut told) = (EventLines::default(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                lines.push(piece).unwrap();
                while let Some(event) = lines.next_event().unwrap() {
                    told.push(event);
                }
            }
            assert_eq!(
                told,
                [Live::Record(serde_json::json!({"message": "결제"})), Live::Skipped(7)],
                "{size}"
            );
        }
    }

    #[test]
    fn a_refused_query_shows_its_place() {
        let body =
            br#"{"error":{"kind":"invalid","message":"query: expected a value","caret":"level:\n      ^"}}"#;
        assert_eq!(refusal(body).unwrap(), "query: expected a value\n  level:\n        ^");
        assert_eq!(refusal(b"<html>"), None);
    }
}
