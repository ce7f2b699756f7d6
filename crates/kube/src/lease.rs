//! Which of several does what only one should do: a Lease of the cluster.
//!
//! Owns: taking, keeping and giving up the Lease; the note in it that its holder leaves for the one who comes after.
//! Does not own: what the holder does, what the note says (`events`).
//! Invariant: who could not renew for two thirds of the Lease's duration takes itself for deposed, before others may
//! take it. Others' clocks do not count: a Lease has run out when it was seen unchanged for as long as it is held for.
//! Source: Kubernetes API reference, coordination.k8s.io/v1 Lease; the rules are those of client-go's leaderelection.

use std::path::PathBuf;
use std::time::Duration;

use sawyer_telemetry::{Clock, Gauge};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::client::{KubeClient, KubeError};
use crate::trouble::Trouble;

/// Where the note stands.
const NOTE: &str = "sawyer.dev/position";

/// Pause after a request that failed.
const PAUSE: Duration = Duration::from_secs(2);

/// Longest wait for the last word of somebody who stops.
const RESIGN_TIMEOUT: Duration = Duration::from_secs(3);

/// Where the API server is, and who asks it.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) base: String,
    pub(crate) token_file: PathBuf,
    pub(crate) ca_file: Option<PathBuf>,
}

impl Access {
    /// Made anew after each failure, because the authority may have been replaced.
    pub(crate) fn client(&self) -> Result<KubeClient, KubeError> {
        KubeClient::with(&self.base, &self.token_file, self.ca_file.as_deref(), true)
    }
}

/// Takes part in the choice.
#[derive(Debug)]
pub(crate) struct Election {
    access: Access,
    client: Option<KubeClient>,
    /// The path of the namespace's leases.
    leases: String,
    name: String,
    identity: String,
    duration: Duration,
    clock: Clock,
    trouble: Trouble,
    holds: Gauge,
    /// The version that was seen last, and since when.
    seen: Option<(String, Instant)>,
    /// The Lease as it was written last, while it is held, and when that was begun.
    held: Option<(Value, Instant)>,
}

/// What is found by whoever comes to hold the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    /// The Lease's own, for all time.
    pub(crate) uid: String,
    /// What the holder before has noted.
    pub(crate) note: String,
}

/// What makes an election.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) identity: String,
    pub(crate) duration: Duration,
}

impl Election {
    pub(crate) fn new(access: Access, who: Candidate, clock: Clock, trouble: Trouble, holds: Gauge) -> Self {
        let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", who.namespace);
        let Candidate { name, identity, duration, .. } = who;
        let (client, seen, held) = (None, None, None);
        Self { access, client, leases, name, identity, duration, clock, trouble, holds, seen, held }
    }

    /// Waits until the Lease is ours.
    pub(crate) async fn campaign(&mut self) -> Term {
        loop {
            let wait = match self.attempt().await {
                Ok(Some(term)) => {
                    self.holds.set(1);
                    return term;
                }
                Ok(None) => self.duration / 2,
                Err(error) => {
                    self.client = None;
                    self.trouble.tell("ask for the Lease by which one Sawyer reads events", &error);
                    PAUSE.max(self.duration / 4)
                }
            };
            tokio::time::sleep(spread(wait)).await;
        }
    }

    async fn attempt(&mut self) -> Result<Option<Term>, KubeError> {
        let path = self.path();
        let client = self.client()?;
        let found = match client.get::<Value>(&path).await {
            Ok(found) => found,
            Err(KubeError::Refused { status: 404, .. }) => {
                let fresh = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                    "metadata": {"name": self.name}, "spec": {"leaseTransitions": -1}});
                return self.take(fresh).await;
            }
            Err(error) => return Err(error),
        };
        let holder = text(&found, "/spec/holderIdentity");
        if !holder.is_empty() && holder != self.identity {
            let version = text(&found, "/metadata/resourceVersion").to_owned();
            let held_for = found.pointer("/spec/leaseDurationSeconds").and_then(Value::as_u64);
            let held_for = held_for.map_or(self.duration, Duration::from_secs);
            match &self.seen {
                Some((known, since)) if *known == version && since.elapsed() >= held_for => {}
                Some((known, _)) if *known == version => return Ok(None),
                _ => {
                    self.seen = Some((version, Instant::now()));
                    return Ok(None);
                }
            }
        }
        self.take(found).await
    }

    /// Writes ourselves into a Lease that is free. None if somebody was faster.
    async fn take(&mut self, mut lease: Value) -> Result<Option<Term>, KubeError> {
        let now = self.now();
        let is_ours = text(&lease, "/spec/holderIdentity") == self.identity;
        let changes = lease.pointer("/spec/leaseTransitions").and_then(Value::as_i64).unwrap_or(0);
        if !is_ours {
            lease["spec"]["leaseTransitions"] = json!(changes + 1);
            lease["spec"]["acquireTime"] = json!(now);
        }
        lease["spec"]["holderIdentity"] = json!(self.identity);
        Ok(self.write(lease).await?.then(|| {
            let lease = &self.held.as_ref().expect("it was written").0;
            let note = lease["metadata"]["annotations"][NOTE].as_str().unwrap_or_default().to_owned();
            Term { uid: text(lease, "/metadata/uid").to_owned(), note }
        }))
    }

    /// Renews the Lease until it is lost. `note` is asked for what to leave for the next holder.
    pub(crate) async fn keep(&mut self, note: impl Fn() -> String) {
        // Whoever asks again, as a renewal was given up midway, does not wait as long once more.
        let since = self.held.as_ref().map(|(_, since)| since.elapsed());
        let mut wait = (self.duration / 3).saturating_sub(since.unwrap_or_default());
        loop {
            tokio::time::sleep(wait).await;
            let Some((_, since)) = &self.held else { break };
            let deadline = *since + self.duration * 2 / 3;
            wait = match tokio::time::timeout_at(deadline, self.renew(note())).await {
                Ok(Ok(true)) => self.duration / 3,
                Ok(Ok(false)) => break,
                Ok(Err(error)) if Instant::now() < deadline => {
                    self.client = None;
                    self.trouble.tell("renew the Lease by which one Sawyer reads events", &error);
                    PAUSE.min(self.duration / 6)
                }
                Ok(Err(_)) | Err(_) => break,
            };
        }
        self.client = None;
        self.held = None;
        self.holds.set(0);
        tracing::warn!(
            lease = self.name,
            "the Lease was lost; another Sawyer goes on with the cluster's events"
        );
    }

    async fn renew(&mut self, note: String) -> Result<bool, KubeError> {
        let Some((lease, _)) = &self.held else { return Ok(false) };
        let mut lease = lease.clone();
        set_note(&mut lease, &note);
        if self.write(lease).await? {
            return Ok(true);
        }
        // Somebody wrote into it: a person, or another one who took it.
        let path = self.path();
        let mut found = self.client()?.get::<Value>(&path).await?;
        if text(&found, "/spec/holderIdentity") != self.identity {
            return Ok(false);
        }
        set_note(&mut found, &note);
        self.write(found).await
    }

    /// Gives the Lease up, so that the next one need not wait until it runs out.
    pub(crate) async fn resign(&mut self, note: &str) {
        let Some((mut lease, _)) = self.held.take() else { return };
        set_note(&mut lease, note);
        lease["spec"]["holderIdentity"] = json!("");
        // If it does not arrive, the Lease runs out.
        let _ = tokio::time::timeout(RESIGN_TIMEOUT, self.write(lease)).await;
        self.held = None;
        self.holds.set(0);
    }

    /// Whether it could be written as it was thought to be.
    async fn write(&mut self, mut lease: Value) -> Result<bool, KubeError> {
        let began = Instant::now();
        lease["spec"]["renewTime"] = json!(self.now());
        lease["spec"]["leaseDurationSeconds"] = json!(self.duration.as_secs());
        let (leases, path) = (self.leases.clone(), self.path());
        let client = self.client()?;
        let is_new = text(&lease, "/metadata/resourceVersion").is_empty();
        let done =
            if is_new { client.create(&leases, &lease).await } else { client.replace(&path, &lease).await };
        match done {
            Ok(lease) => {
                self.held = Some((lease, began));
                Ok(true)
            }
            Err(KubeError::Refused { status: 409, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn client(&mut self) -> Result<&KubeClient, KubeError> {
        if self.client.is_none() {
            self.client = Some(self.access.client()?);
        }
        Ok(self.client.as_ref().expect("it was made"))
    }

    fn path(&self) -> String {
        format!("{}/{}", self.leases, self.name)
    }

    /// In the form of a MicroTime.
    fn now(&self) -> String {
        format!("{:.6}", self.clock.now().to_jiff())
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn set_note(lease: &mut Value, note: &str) {
    if !lease["metadata"]["annotations"].is_object() {
        lease["metadata"]["annotations"] = json!({});
    }
    lease["metadata"]["annotations"][NOTE] = json!(note);
}

/// Something near this, so that not all ask at once.
fn spread(wait: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let part = RandomState::new().hash_one(0) % 1000;
    wait.mul_f64(0.75 + part as f64 / 2000.0)
}
