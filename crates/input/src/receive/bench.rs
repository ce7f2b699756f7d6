//! A receiver that listens, for tests: what it took, and a client that speaks plain HTTP/1.1.
//!
//! Owns: starting a receiver, playing the pipelines. Does not own: the protocols.
//! Invariant: only compiled for tests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sawyer_config::{At, Document, Problems};
use sawyer_disk::{SimDisk, SimSettings};
use sawyer_model::Record;
use sawyer_pipeline::queue::{QueueReceiver, queue};
use sawyer_pipeline::stop::Stopper;
use sawyer_pipeline::{Context, Input as _, Outlet};
use sawyer_telemetry::{Clock, Health, Metrics};
use tokio::task::JoinHandle;

use super::plan::WebPlan;

/// Longest wait for anything that is to happen soon.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Durable,
    Undelivered,
    /// It stays in the queue.
    Waits,
}

pub(crate) struct Bench {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: Metrics,
    pub(crate) fate: Arc<Mutex<Fate>>,
    taken: Arc<Mutex<Vec<Record>>>,
    stopper: Stopper,
    running: JoinHandle<()>,
}

/// An answer over HTTP/1.1.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Bench {
    /// Starts a receiver on a free port.
    pub(crate) fn start(
        read: impl FnOnce(&At<'_>, &mut Problems) -> Option<WebPlan>,
        settings: &str,
    ) -> Self {
        let document = Document::parse("sawyer.yaml", settings).unwrap();
        let mut problems = Problems::new();
        let plan = read(&document.at(), &mut problems);
        let mut plan = problems.into_result(plan).unwrap_or_else(|problems| panic!("{problems}"));
        plan.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        let metrics = Metrics::new();
        let context = Context {
            name: "in".into(),
            clock: Clock::system(),
            metrics: metrics.clone(),
            state: Arc::new(SimDisk::new(1, SimSettings::default())),
            host_root: None,
            ports: sawyer_pipeline::Ports::default(),
            health: Health::new(),
            buffer: None,
        };
        let web = plan.open_web(&context).unwrap();
        let address = web.listeners[0].local_addr().unwrap();
        let (sender, receiver) = queue(1 << 20);
        let (stopper, stop) = Stopper::new();
        let (taken, fate) = (Arc::default(), Arc::new(Mutex::new(Fate::Durable)));
        tokio::spawn(pipeline(receiver, Arc::clone(&taken), Arc::clone(&fate)));
        let outlet = Outlet::new("in", vec![sender], &metrics);
        let running = Box::new(web).run(outlet, stop);
        let running = tokio::spawn(async move { running.await.unwrap() });
        Self { address, metrics, fate, taken, stopper, running }
    }

    /// Asks and waits for the answer.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        let (address, body) = (self.address, body.to_vec());
        let asking = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(SOON)).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            // A refused body is not read to its end.
            let _ = stream.write_all(&body);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            let split = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("an answer");
            let head = String::from_utf8_lossy(&answer[..split]).to_lowercase();
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            Answer { status, head, body: answer[split + 4..].to_vec() }
        });
        asking.await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.ask("POST", path, headers, body).await
    }

    /// Every record that was taken, in order.
    pub(crate) fn taken(&self) -> Vec<Record> {
        self.taken.lock().clone()
    }

    /// The messages of all records.
    pub(crate) fn messages(&self) -> Vec<String> {
        self.taken().iter().map(|record| field(record, "message")).collect()
    }

    /// Stops it, and waits for its end.
    pub(crate) async fn stop(self) {
        self.stopper.stop();
        tokio::time::timeout(SOON, self.running).await.unwrap().unwrap();
    }
}

/// A field of a record, its own or its stream's; empty if there is none.
pub(crate) fn field(record: &Record, name: &str) -> String {
    let own = record.fields.iter().find(|(known, _)| &**known == name).map(|(_, value)| value.clone());
    let value = own.or_else(|| record.stream.get(name).cloned());
    value.map_or(String::new(), |value| match value.as_ref() {
        sawyer_model::ValueRef::Str(text) => text.to_owned(),
        other => format!("{other:?}"),
    })
}

async fn pipeline(mut from: QueueReceiver, taken: Arc<Mutex<Vec<Record>>>, fate: Arc<Mutex<Fate>>) {
    while let Some(queued) = from.next().await {
        let (transfer, room) = queued.into_parts();
        let now = *fate.lock();
        match now {
            Fate::Durable => {
                taken.lock().extend(transfer.batch.iter().map(sawyer_model::RecordRef::to_record));
                transfer.ack.durable();
            }
            Fate::Undelivered => drop(transfer),
            Fate::Waits => {
                // Neither the batch nor its room is ever given back.
                std::mem::forget((transfer, room));
                continue;
            }
        }
        drop(room);
    }
}
