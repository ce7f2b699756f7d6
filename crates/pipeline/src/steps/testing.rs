//! What the tests of steps share: making records, running a step, and showing what came of them.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use sawyer_config::{Document, Problems, Settings};
use sawyer_model::{
    Ack, Batch, Outcome, Record, RecordRef, SeqRange, SourceId, Stream, Timestamp, Transfer, Value, ValueRef,
};
use sawyer_telemetry::{Clock, Health, Metrics};

use crate::component::{Context, Step};

/// 2026-11-20T12:00:00Z
pub(crate) const OBSERVED: Timestamp = Timestamp::from_secs(1_795_176_000);

/// A record that a container wrote a second before it was seen.
pub(crate) fn record(start: u64, message: &str) -> Record {
    let stream = [("namespace", "shop"), ("pod", "cart-1"), ("container", "app")];
    Record {
        timestamp: OBSERVED.saturating_sub(Duration::from_secs(1)),
        observed: OBSERVED,
        source: SourceId(7),
        range: SeqRange::new(start, start + 10),
        stream: Arc::new(Stream::new(stream.map(|(name, value)| (name, Value::from(value))))),
        fields: vec![("message".into(), Value::from(message))],
    }
}

/// Records with these messages.
pub(crate) fn records(messages: &[&str]) -> Vec<Record> {
    messages.iter().enumerate().map(|(at, message)| record(at as u64 * 10, message)).collect()
}

/// A step as a configuration makes it, and where it counts.
pub(crate) struct Bench {
    pub(crate) metrics: Metrics,
    step: Box<dyn Step>,
}

/// What a configuration says is wrong, or the step.
pub(crate) fn bench(kind: &str, settings: &str) -> Result<Bench, String> {
    let kind = super::kinds().into_iter().find(|known| known.name == kind).unwrap();
    let document = Document::parse("sawyer.yaml", settings).unwrap();
    let mut problems = Problems::new();
    let plan = (kind.read)(&document.at(), &mut problems);
    let plan = problems.into_result(plan).map_err(|problems| problems.to_string())?;
    let context = context(kind.name);
    let metrics = context.metrics.clone();
    Ok(Bench { metrics, step: plan.open(&context).unwrap() })
}

/// What a step of this kind is given.
pub(crate) fn context(kind: &str) -> Context {
    Context {
        name: format!("main/0-{kind}"),
        clock: Clock::manual(OBSERVED),
        metrics: Metrics::new(),
        state: Arc::new(sawyer_disk::SimDisk::new(1, sawyer_disk::SimSettings::default())),
        host_root: None,
        ports: crate::Ports::default(),
        health: Health::new(),
        buffer: None,
    }
}

/// Settings as they are written.
pub(crate) fn settings<S: Settings>(text: &str) -> S {
    let document = Document::parse("sawyer.yaml", text).unwrap();
    let mut problems = Problems::new();
    let settings = S::read(&document.at(), &mut problems);
    problems.into_result(settings).unwrap()
}

impl Bench {
    /// Sends records through the step. What they cover must come out covered, and the duty to acknowledge them
    /// must not be forgotten.
    pub(crate) fn run(&mut self, records: &[Record]) -> Batch {
        let (told, outcome) = mpsc::channel();
        let ack = Ack::new(move |outcome| told.send(outcome).unwrap());
        let batch: Batch = records.iter().collect();
        let covered = ranges(&batch);
        let mut out = Vec::new();
        self.step.apply(Transfer { batch: Arc::new(batch), ack }, &mut out);
        let [transfer] = <[Transfer; 1]>::try_from(out).unwrap();
        assert_eq!(ranges(&transfer.batch), covered);
        assert!(outcome.try_recv().is_err(), "it is not acknowledged yet");
        transfer.ack.durable();
        assert_eq!(outcome.recv().unwrap(), Outcome::Durable);
        Arc::unwrap_or_clone(transfer.batch)
    }

    /// Sends records through the step and shows what came of them.
    pub(crate) fn show(&mut self, records: &[Record]) -> String {
        self.run(records).iter().map(show).collect::<Vec<_>>().join("--\n")
    }

    /// A counter of the step's.
    pub(crate) fn count(&self, name: &str) -> i64 {
        self.metrics.numbers(name).iter().map(|(_, number)| number).sum()
    }
}

fn ranges(batch: &Batch) -> Vec<(SourceId, sawyer_model::RangeSet)> {
    let mut sources: Vec<SourceId> = batch.covered().iter().map(|covered| covered.source).collect();
    sources.sort_unstable();
    sources.dedup();
    let of = |source: SourceId| {
        batch
            .covered()
            .iter()
            .filter(|covered| covered.source == source)
            .map(|covered| covered.range)
            .collect()
    };
    sources.into_iter().map(|source| (source, of(source))).collect()
}

/// A record's id, time and own fields, one a line.
pub(crate) fn show(record: RecordRef<'_>) -> String {
    let mut text = format!("{} {}\n", record.range().start, record.timestamp());
    for (name, value) in record.own_fields() {
        text.push_str(&format!("{name} = {}\n", show_value(value)));
    }
    text
}

fn show_value(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Str(text) => format!("{text:?}"),
        ValueRef::Int(number) => number.to_string(),
        ValueRef::Timestamp(time) => format!("@{time}"),
        ValueRef::List(list) => format!("[{}]", list.iter().map(show_value).collect::<Vec<_>>().join(", ")),
        other => format!("{other:?}"),
    }
}
