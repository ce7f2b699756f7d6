//! The ledger of a topology closes, whatever steps and outputs make of the records.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use proptest::prelude::*;
use sawyer_model::{Count, Tally};
use sawyer_telemetry::Ledger;

use super::*;
use crate::steps;

/// Batches of lines, each of a source and a text.
type Batches = Vec<Vec<(u128, &'static str)>>;

/// Records and bytes by source.
type Sums = BTreeMap<u128, Count>;

/// What was read into pipelines and became durable, and what became of it.
#[derive(Debug, Default)]
struct Durable {
    read: Mutex<Sums>,
    tallies: Mutex<Vec<Tally>>,
    /// What the outputs took, by their names.
    taken: Mutex<BTreeMap<String, Sums>>,
}

fn add(sums: &mut Sums, source: u128, count: Count) {
    sums.entry(source).or_default().add(count);
}

#[derive(Debug)]
struct Lines(Batches, Arc<Durable>);

struct Reading(Lines, Ledger);

impl InputPlan for Lines {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Input>, Error> {
        Ok(Box::new(Reading(*self, context.metrics.ledger().clone())))
    }
}

impl Input for Reading {
    fn run(self: Box<Self>, to: Outlet, stop: Stop) -> Running {
        Box::pin(async move {
            let Self(Lines(batches, durable), ledger) = *self;
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
                let (durable, ledger) = (Arc::clone(&durable), ledger.clone());
                let mut read = Sums::new();
                batch.iter().for_each(|record| add(&mut read, record.source().0, Count::new(1, 0)));
                for part in batch.covered() {
                    add(&mut read, part.source.0, Count::new(0, part.range.len()));
                }
                let ack = Ack::tallied_by_source(move |outcome, tally| {
                    if outcome == Outcome::Durable {
                        read.into_iter()
                            .for_each(|(source, count)| add(&mut durable.read.lock(), source, count));
                        ledger.book(&tally);
                        durable.tallies.lock().push(tally);
                    }
                });
                if to.send_tallied(batch, ack).await.is_err() {
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
struct Moody(Vec<u64>, Arc<Durable>);

struct Taking(Moody, String);

impl OutputPlan for Moody {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Output>, Error> {
        Ok(Box::new(Taking(*self, context.name.clone())))
    }
}

impl Output for Taking {
    fn run(self: Box<Self>, mut from: QueueReceiver, _: Stop) -> Running {
        Box::pin(async move {
            let Self(Moody(moods, durable), name) = *self;
            for mood in moods.iter().cycle() {
                let Some(queued) = from.next().await else { break };
                let (Transfer { batch, mut ack }, _room) = queued.into_parts();
                let mut left_out = LeftOut::default();
                let mut is_left_out = 0;
                match mood % 5 {
                    0 => {
                        drop(ack);
                        continue;
                    }
                    1 => ack.ended(Fate::DeadLettered, "rejected"),
                    2 if !batch.is_empty() => {
                        is_left_out = 1;
                        left_out.add(batch.get(0));
                        ack.note(Fate::Deduplicated, &"target".into(), &left_out);
                        ack.durable();
                    }
                    _ => ack.durable(),
                }
                let mut taken = durable.taken.lock();
                let taken = taken.entry(name.clone()).or_default();
                for record in batch.iter().skip(is_left_out) {
                    add(taken, record.source().0, Count::new(1, record.range().len()));
                }
            }
            Ok(())
        })
    }
}

fn kinds_of(batches: &Batches, durable: &Arc<Durable>) -> Kinds {
    let (batches, durable, told) = (batches.clone(), Arc::clone(durable), Arc::clone(durable));
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
            read: Box::new(move |at, problems| {
                let settings = MoodySettings::read(at, problems)?;
                Some(Box::new(Moody(settings.moods, Arc::clone(&told))))
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
        let mut read = Count::default();
        durable.read.lock().values().for_each(|count| read.add(*count));
        for (input, books) in metrics.ledger().all() {
            for (output, book) in books.outputs {
                prop_assert_eq!(book.unaccounted(), (0, 0), "{} {} {:?}\n{}", input, output, book, text);
                prop_assert_eq!(book.read, read, "{}", text);
                let copied = if second && output.as_ref() == "b" { read } else { Count::default() };
                prop_assert_eq!(book.copied, copied, "{}", text);
            }
        }
        let all_is_durable = moods.iter().all(|mood| mood % 5 != 0);
        by_source(&durable, all_is_durable && !second).unwrap_or_else(|why| panic!("{why}\n{text}"));
    }
}

/// Whatever did not get to an output is told of each source, and where all was taken, it is what was read less what the
/// output got.
fn by_source(durable: &Durable, is_exact: bool) -> Result<(), String> {
    let mut left_out: BTreeMap<String, Sums> = BTreeMap::new();
    for way in durable.tallies.lock().iter().flat_map(|tally| &tally.ways) {
        for (output, exit) in way.way.outputs.iter().zip(&way.exits) {
            for fates in [&way.common, exit] {
                for ((fate, rule, count), (_, _, told)) in fates.iter().zip(fates.told()) {
                    let usual = matches!(fate, Fate::Delivered | Fate::DeadLettered);
                    if (told.sum() != Count::default()) == usual || (!usual && told.sum() != count) {
                        return Err(format!("{fate:?} {rule} at {output}: {told:?} of {count:?}"));
                    }
                    if let Some(other) = told.iter().find(|(source, _)| source.0 > 2) {
                        return Err(format!("{fate:?} {rule} at {output}: there is no {other:?}"));
                    }
                    let sums = left_out.entry(output.to_string()).or_default();
                    told.iter().for_each(|(source, count)| add(sums, source.0, count));
                }
            }
        }
    }
    for (output, left_out) in left_out.iter().filter(|_| is_exact) {
        let taken = durable.taken.lock().get(output).cloned().unwrap_or_default();
        for (source, read) in durable.read.lock().iter() {
            let count = |sums: &Sums| sums.get(source).copied().unwrap_or_default();
            let mut sum = count(left_out);
            sum.add(count(&taken));
            if sum != *read {
                return Err(format!("{output} took {:?} of {read:?} of source {source}", count(&taken)));
            }
        }
    }
    Ok(())
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
    assert_eq!(metrics.ledger().of("in").outputs, BTreeMap::new());
}
