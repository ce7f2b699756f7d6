//! The ledger of a topology closes, whatever steps and outputs make of the records.

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use sawyer_model::Count;

use super::*;
use crate::steps;

/// Batches of lines, each of a source and a text.
type Batches = Vec<Vec<(u128, &'static str)>>;

/// What was read into pipelines and became durable.
#[derive(Debug, Default)]
struct Durable {
    records: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Debug)]
struct Lines(Batches, Arc<Durable>);

impl InputPlan for Lines {
    fn open(self: Box<Self>, _: &Context) -> Result<Box<dyn Input>, Error> {
        Ok(self)
    }
}

impl Input for Lines {
    fn run(self: Box<Self>, to: Outlet, stop: Stop) -> Running {
        Box::pin(async move {
            let Self(batches, durable) = *self;
            let mut places = [0; 4];
            for lines in batches {
                let mut batch = Batch::new();
                let stream = batch.add_stream(&Arc::new(Stream::default()));
                for (source, text) in lines {
                    let place = &mut places[source as usize];
                    let range = SeqRange::new(*place, *place + text.len() as u64 + 1);
                    // A blank line before each, which makes no record.
                    batch.cover(SourceId(source), range);
                    *place = range.end;
                    let range = SeqRange::new(*place, *place + text.len() as u64 + 1);
                    *place = range.end;
                    let time = Timestamp::from_secs(1);
                    let head =
                        RecordHead { timestamp: time, observed: time, source: SourceId(source), range };
                    batch.begin(head, stream).field_by_id(NameId::MESSAGE, ValueRef::Str(text));
                }
                let durable = Arc::clone(&durable);
                let (records, bytes) = (batch.len() as u64, batch.covered_bytes());
                let ack = Ack::new(move |outcome| {
                    if outcome == Outcome::Durable {
                        durable.records.fetch_add(records, Ordering::SeqCst);
                        durable.bytes.fetch_add(bytes, Ordering::SeqCst);
                    }
                });
                if to.send(batch, ack).await.is_err() {
                    return Ok(());
                }
            }
            stop.stopped().await;
            Ok(())
        })
    }
}

settings! {
    /// Nothing to set.
    pub struct NothingSettings {}
    /// Takes records with varying luck.
    pub struct MoodySettings {
        /// Its moods, one for each transfer.
        pub moods: Vec<u64>,
    }
}

/// Acknowledges what it is handed in one of many ways.
#[derive(Debug)]
struct Moody(Vec<u64>);

impl OutputPlan for Moody {
    fn open(self: Box<Self>, _: &Context) -> Result<Box<dyn Output>, Error> {
        Ok(self)
    }
}

impl Output for Moody {
    fn run(self: Box<Self>, mut from: QueueReceiver, _: Stop) -> Running {
        Box::pin(async move {
            for mood in self.0.iter().cycle() {
                let Some(queued) = from.next().await else { break };
                let (Transfer { batch, mut ack }, _room) = queued.into_parts();
                match mood % 5 {
                    0 => drop(ack),
                    1 => ack.ended(Fate::DeadLettered, "rejected"),
                    2 if !batch.is_empty() => {
                        let one = Count::new(1, batch.get(0).range().len());
                        ack.note(Fate::Deduplicated, &"target".into(), one);
                        ack.durable();
                    }
                    _ => ack.durable(),
                }
            }
            Ok(())
        })
    }
}

fn kinds_of(batches: &Batches, durable: &Arc<Durable>) -> Kinds {
    let (batches, durable) = (batches.clone(), Arc::clone(durable));
    Kinds {
        inputs: vec![Kind {
            name: "lines",
            reference: NothingSettings::reference,
            read: Box::new(move |at, problems| {
                NothingSettings::read(at, problems)?;
                Some(Box::new(Lines(batches.clone(), Arc::clone(&durable))))
            }),
        }],
        steps: steps::kinds(),
        outputs: vec![Kind {
            name: "moody",
            reference: MoodySettings::reference,
            read: Box::new(|at, problems| {
                let settings = MoodySettings::read(at, problems)?;
                Some(Box::new(Moody(settings.moods)))
            }),
        }],
    }
}

const TEXTS: [&str; 6] = [
    "GET /healthz 200",
    "java.lang.IllegalStateException: no",
    "\tat com.example.Main.main(Main.java:5)",
    "Caused by: java.io.IOException: gone",
    "payment took 31 ms",
    "Traceback (most recent call last):",
];

const STEPS: [&str; 6] = [
    "{drop: {when: 'message: healthz', name: probes}}",
    "{keep: {when: 'not message: payment'}}",
    "{multiline: {wait: 1ms}}",
    "{exec: {command: [sed, -u, 's/.*took.*/null/']}}",
    "{exec: {command: ['false'], on_error: drop, timeout: 100ms, when: 'message: gone'}}",
    "{set: {fields: {a: b}}}",
];

async fn books(text: &str, kinds: &Kinds) -> Metrics {
    let resources = Resources {
        clock: Clock::system(),
        metrics: Metrics::new(),
        state: Arc::new(sawyer_disk::SimDisk::new(1, sawyer_disk::SimSettings::default())),
        host_root: None,
        ports: Ports::default(),
        health: Health::new(),
    };
    let topology = plan(text, kinds).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    let topology = topology.open(&resources).unwrap();
    let (stopper, stop) = Stopper::new();
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        stopper.stop();
    };
    let (result, ()) = tokio::join!(topology.run(stop, Duration::from_secs(60)), stopping);
    result.unwrap();
    resources.metrics
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn closes(
        lines in prop::collection::vec(prop::collection::vec((0u128..3, 0usize..TEXTS.len()), 0..12), 1..12),
        steps in prop::collection::vec(0usize..STEPS.len(), 0..4),
        moods in prop::collection::vec(0u64..5, 1..7),
        routed in any::<bool>(),
        second in any::<bool>(),
    ) {
        let batches: Batches = lines
            .iter()
            .map(|lines| lines.iter().map(|(source, text)| (*source, TEXTS[*text])).collect())
            .collect();
        let durable = Arc::new(Durable::default());
        let kinds = kinds_of(&batches, &durable);
        let mut list: Vec<&str> = steps.iter().map(|step| STEPS[*step]).collect();
        if routed {
            list.push("{route: {routes: [{when: 'message: java', outputs: [a]}], default: [b]}}");
        }
        let other = if second { "\n  more: {multiline: off, outputs: [b]}" } else { "" };
        let text = format!(
            "inputs: {{in: {{type: lines}}}}\noutputs:\n  a: {{type: moody, moods: [4]}}\n  b: {{type: moody, moods: {moods:?}}}\n\
             pipelines:\n  main: {{steps: [{}]}}{other}\n",
            list.join(", ")
        );
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let metrics = runtime.block_on(books(&text, &kinds));
        let read = Count::new(durable.records.load(Ordering::SeqCst), durable.bytes.load(Ordering::SeqCst));
        for (input, books) in metrics.ledger().all() {
            for (output, book) in books.outputs {
                prop_assert_eq!(book.unaccounted(), (0, 0), "{} {} {:?}\n{}", input, output, book, text);
                prop_assert_eq!(book.read, read, "{}", text);
                let copied = if second && output.as_ref() == "b" { read } else { Count::default() };
                prop_assert_eq!(book.copied, copied, "{}", text);
            }
        }
    }
}

/// The fates that steps and outputs of this crate know, each with its rule.
#[tokio::test(flavor = "multi_thread")]
async fn tells_each_fate_and_rule() {
    let lines =
        vec![vec![(1, TEXTS[0]), (1, TEXTS[4]), (1, TEXTS[1]), (1, TEXTS[2]), (1, TEXTS[3]), (1, "plain")]];
    let text = "inputs: {in: {type: lines}}\noutputs: {a: {type: moody, moods: [2]}}\npipelines:\n  main:\n    steps:\n\
        \x20   - {drop: {when: 'message: healthz', name: probes}}\n\
        \x20   - {keep: {when: 'not message: payment'}}\n";
    let metrics = books(text, &kinds_of(&lines, &Arc::default())).await;
    let books = metrics.ledger().of("in");
    let book = &books.outputs["a"];
    let fates: Vec<String> = book
        .fates
        .iter()
        .map(|((fate, rule), count)| format!("{} {rule}: {}", fate.name(), count.records))
        .collect();
    assert_eq!(
        fates,
        [
            "delivered : 1",
            "filtered not message: payment: 1",
            "filtered probes: 1",
            "deduplicated target: 1",
            "joined : 2",
        ]
    );
    assert_eq!((book.read.records, book.unaccounted()), (6, (0, 0)));
}

/// Records that an output was handed and did not acknowledge are on nobody's books.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_acknowledged_is_not_on_the_books() {
    let text = "inputs: {in: {type: lines}}\noutputs: {a: {type: moody, moods: [0]}}";
    let metrics = books(text, &kinds_of(&vec![vec![(1, "one")]], &Arc::default())).await;
    assert_eq!(metrics.ledger().of("in").outputs, std::collections::BTreeMap::new());
}
