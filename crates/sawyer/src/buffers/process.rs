//! Buffers of a running process, over its HTTP API.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::client::contexts;
use crate::client::http::Server;

/// Between two looks at a buffer that is being emptied.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How often it is told how much is left.
const TELL_LOOKS: u32 = 10;

/// A running process.
pub(super) struct Process(Server);

impl Process {
    pub(super) fn new(server: Option<&str>, context: Option<&str>) -> Result<Self> {
        Ok(Self(Server::new(&contexts::resolve(server, context)?)?))
    }

    pub(super) async fn list(&self) -> Result<Vec<Value>> {
        list_of(self.0.get("buffers", &[]).await?, "buffers")
    }

    pub(super) async fn entries(&self, output: &str, lane: &str) -> Result<Vec<Value>> {
        list_of(self.0.get(&format!("buffers/{output}/{lane}"), &[]).await?, "entries")
    }

    pub(super) async fn entry(&self, output: &str, lane: &str, id: u64) -> Result<Value> {
        self.0.get(&format!("buffers/{output}/{lane}/{id}"), &[]).await
    }

    pub(super) async fn redrive(&self, output: &str, ids: &[u64]) -> Result<()> {
        self.0.post(&format!("buffers/{output}/dead/redrive"), &json!({ "ids": ids })).await?;
        Ok(())
    }

    pub(super) async fn remove(&self, output: &str, ids: &[u64]) -> Result<u64> {
        let answer = self.0.post(&format!("buffers/{output}/dead/remove"), &json!({ "ids": ids })).await?;
        answer["removed"].as_u64().context("the answer does not tell how many were removed")
    }

    /// Waits until the output has taken everything.
    pub(super) async fn drain(&self, output: &str) -> Result<()> {
        for look in 0_u32.. {
            let buffers = self.list().await?;
            let Some(buffer) = buffers.iter().find(|buffer| buffer["output"] == *output) else {
                bail!("there is no output `{output}` with a buffer");
            };
            let lanes =
                buffer["lanes"].as_array().into_iter().flatten().filter(|lane| lane["lane"] != "dead");
            let (entries, records) = lanes.fold((0, 0), |(entries, records), lane| {
                let number = |key: &str| lane[key].as_u64().unwrap_or(0);
                // A file that was not looked into counts as something.
                (entries + number("entries") + number("files_unread"), records + number("records"))
            });
            if entries == 0 {
                let note =
                    "what is on its way past it, to a target that keeps up, is read again after a stop";
                writeln!(io::stderr(), "sawyer: nothing waits in the buffer of output `{output}`; {note}")?;
                return Ok(());
            }
            if look.is_multiple_of(TELL_LOOKS) {
                writeln!(io::stderr(), "sawyer: {records} records wait for output `{output}`")?;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }
}

fn list_of(mut answer: Value, key: &str) -> Result<Vec<Value>> {
    match answer[key].take() {
        Value::Array(list) => Ok(list),
        _ => bail!("the answer has no `{key}`; is this a Sawyer of another version?"),
    }
}
