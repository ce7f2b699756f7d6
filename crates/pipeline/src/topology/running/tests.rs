use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc;

use sawyer_config::{Document, Problems, Setting, Settings, settings};
use sawyer_model::{
    Ack, Batch, ErrorKind, NameId, Outcome, Progress, RecordHead, SeqRange, SourceId, Stream, Timestamp,
    ValueRef,
};

use super::*;
use crate::component::{InputPlan, Kind, Kinds, OutputPlan, StepPlan};

mod ledger;

settings! {
    /// Says the numbers from one to a count.
    pub struct NumbersSettings {
        /// How many.
        pub count: u64 = 3,
        /// Can say them again.
        pub rereads: bool = false,
    }
    /// Collects what it gets.
    pub struct CollectSettings {
        /// Fails after this many transfers.
        pub fail_after: Option<u64>,
    }
    /// Holds everything back to the end.
    pub struct HoldSettings {}
}

type Seen = Arc<Mutex<Vec<String>>>;

#[derive(Debug)]
struct Numbers(NumbersSettings, Arc<Mutex<Option<mpsc::Sender<Outcome>>>>);

impl InputPlan for Numbers {
    fn open(self: Box<Self>, _: &Context) -> Result<Box<dyn Input>, Error> {
        Ok(self)
    }
}

impl Input for Numbers {
    fn run(self: Box<Self>, to: Outlet, stop: Stop) -> Running {
        Box::pin(async move {
            let told = self.1.lock().unwrap().take();
            let progress = Arc::new(Progress::new(Instant::now()));
            for n in 0..self.0.count {
                let told = told.clone();
                let ack = Ack::new(move |outcome| {
                    if let Some(told) = told {
                        told.send(outcome).unwrap();
                    }
                });
                let mut batch = batch(n);
                if self.0.rereads {
                    batch.set_progress(&progress, n + 1);
                }
                if to.send(batch, ack).await.is_err() {
                    return Ok(());
                }
            }
            drop(told);
            stop.stopped().await;
            Ok(())
        })
    }
}

fn batch(n: u64) -> Batch {
    let mut batch = Batch::new();
    let stream = batch.add_stream(&Arc::new(Stream::default()));
    let head = RecordHead {
        timestamp: Timestamp::EPOCH,
        observed: Timestamp::EPOCH,
        source: SourceId(1),
        range: SeqRange::new(n, n + 1),
    };
    batch.begin(head, stream).field_by_id(NameId::MESSAGE, ValueRef::Str(&n.to_string()));
    batch
}

#[derive(Debug)]
struct Collect(Option<u64>, Seen);

impl OutputPlan for Collect {
    fn open(self: Box<Self>, _: &Context) -> Result<Box<dyn Output>, Error> {
        Ok(self)
    }
}

impl Output for Collect {
    fn run(self: Box<Self>, mut from: QueueReceiver, _: Stop) -> Running {
        Box::pin(async move {
            let mut left = self.0;
            while let Some(queued) = from.next().await {
                if left == Some(0) {
                    return Err(Error::new(ErrorKind::Retry, "the target is gone"));
                }
                left = left.map(|n| n - 1);
                let (transfer, _room) = queued.into_parts();
                self.1.lock().unwrap().extend(transfer.batch.iter().map(|r| r.message().to_owned()));
                transfer.ack.durable();
            }
            Ok(())
        })
    }
}

#[derive(Debug, Default)]
struct Hold(Vec<Transfer>);

impl StepPlan for Hold {
    fn open(self: Box<Self>, _: &Context) -> Result<Box<dyn Step>, Error> {
        Ok(self)
    }
}

impl Step for Hold {
    fn apply(&mut self, transfer: Transfer, _: &mut Vec<Transfer>) {
        self.0.push(transfer);
    }

    fn finish(&mut self, out: &mut Vec<Transfer>) {
        out.append(&mut self.0);
    }
}

struct Bench {
    kinds: Kinds,
    seen: Seen,
    outcomes: mpsc::Receiver<Outcome>,
}

fn bench() -> Bench {
    let seen = Seen::default();
    let (told, outcomes) = mpsc::channel();
    let told = Arc::new(Mutex::new(Some(told)));
    let collected = Arc::clone(&seen);
    let kinds = Kinds {
        inputs: vec![Kind {
            name: "numbers",
            reference: NumbersSettings::reference,
            read: Box::new(move |at, problems| {
                let settings = NumbersSettings::read(at, problems)?;
                Some(Box::new(Numbers(settings, Arc::clone(&told))))
            }),
        }],
        steps: vec![Kind {
            name: "hold",
            reference: HoldSettings::reference,
            read: Box::new(|at, problems| {
                HoldSettings::read(at, problems).map(|_| Box::<Hold>::default() as _)
            }),
        }],
        outputs: vec![Kind {
            name: "collect",
            reference: CollectSettings::reference,
            read: Box::new(move |at, problems| {
                let settings = CollectSettings::read(at, problems)?;
                Some(Box::new(Collect(settings.fail_after, Arc::clone(&collected))))
            }),
        }],
    };
    Bench { kinds, seen, outcomes }
}

fn plan(text: &str, kinds: &Kinds) -> Result<TopologyPlan, Problems> {
    let document = Document::parse("sawyer.yaml", text)?;
    let nothing = Document::parse("defaults", "")?;
    let mut problems = Problems::new();
    let plan = TopologyPlan::read(&document.at(), &nothing.at(), kinds, &mut problems);
    problems.into_result(plan)
}

async fn run(text: &str, bench: &Bench, stop_after_ms: u64) -> Result<(), Error> {
    let folder = tempfile::tempdir().unwrap();
    run_in(folder.path(), text, bench, stop_after_ms).await
}

async fn run_in(folder: &Path, text: &str, bench: &Bench, stop_after_ms: u64) -> Result<(), Error> {
    let resources = Resources {
        clock: Clock::system(),
        metrics: Metrics::new(),
        state: Arc::new(sawyer_disk::RealDisk::new(folder).unwrap()),
        host_root: None,
        ports: Ports::default(),
        health: Health::new(),
    };
    let topology = plan(text, &bench.kinds).unwrap().open(&resources).unwrap();
    let (stopper, stop) = Stopper::new();
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(stop_after_ms)).await;
        stopper.stop();
    };
    let (result, ()) = tokio::join!(topology.run(stop, Duration::from_secs(60)), stopping);
    result
}

/// After a reload nothing is told of outputs that it removed.
#[test]
fn a_topology_begins_without_the_outputs_of_another() {
    let resources = Resources {
        clock: Clock::system(),
        metrics: Metrics::new(),
        state: Arc::new(sawyer_disk::SimDisk::new(1, sawyer_disk::SimSettings::default())),
        host_root: None,
        ports: Ports::default(),
        health: Health::new(),
    };
    let ledger = resources.metrics.ledger();
    ledger.set_checkpoint("gone", sawyer_telemetry::Checkpoint::default());
    let text = "inputs: {numbers: {count: 0}}\noutputs: {collect: }\npipelines: {a: {steps: []}}";
    plan(text, &bench().kinds).unwrap().open(&resources).unwrap();
    assert_eq!(ledger.checkpoints(), []);
}

#[tokio::test]
async fn everything_read_is_drained_and_acknowledged() {
    let bench = bench();
    let text = "inputs: {numbers: {count: 50}}\noutputs: {collect: }\npipelines: {a: {steps: [hold]}}";
    run(text, &bench, 50).await.unwrap();
    assert_eq!(bench.seen.lock().unwrap().len(), 50);
    let outcomes: Vec<Outcome> = bench.outcomes.try_iter().collect();
    assert_eq!(outcomes, [Outcome::Durable; 50]);
}

#[tokio::test]
async fn an_output_that_fails_holds_back_its_share_and_nothing_else() {
    let bench = bench();
    let text = "inputs: {numbers: {count: 5}}\noutputs: {good: {type: collect}, bad: {type: collect, fail_after: 1}}\n\
                pipelines: {a: {steps: []}}";
    let error = run(text, &bench, 50).await.unwrap_err();
    assert_eq!(error.chain(), "run output `bad`: the target is gone");
    let mut outcomes: Vec<Outcome> = bench.outcomes.try_iter().collect();
    outcomes.sort_by_key(|outcome| *outcome == Outcome::Undelivered);
    let wanted = [Outcome::Durable].into_iter().chain([Outcome::Undelivered; 4]);
    assert_eq!(outcomes, wanted.collect::<Vec<_>>());
    // The good one took all five, and the bad one its one.
    assert_eq!(bench.seen.lock().unwrap().len(), 6);
}

#[tokio::test]
async fn what_is_in_a_buffer_is_acknowledged_and_delivered_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = bench();
    let text = "inputs: {numbers: {count: 20}}\npipelines: {a: {steps: []}}\n\
                outputs: {collect: {fail_after: 3, buffer: {kind: disk}}}";
    let error = run_in(folder.path(), text, &first, 200).await.unwrap_err();
    assert_eq!(error.chain(), "run output `collect`: the target is gone");
    let outcomes: Vec<Outcome> = first.outcomes.try_iter().collect();
    assert_eq!(outcomes, [Outcome::Durable; 20]);
    assert_eq!(first.seen.lock().unwrap().len(), 3);
    let second = bench();
    let text = "inputs: {numbers: {count: 0}}\npipelines: {a: {steps: []}}\n\
                outputs: {collect: {buffer: {kind: disk}}}";
    run_in(folder.path(), text, &second, 200).await.unwrap();
    let wanted: Vec<String> = (3..20).map(|n| n.to_string()).collect();
    assert_eq!(*second.seen.lock().unwrap(), wanted);
}

#[tokio::test]
async fn what_can_be_read_again_goes_past_the_buffer_in_its_order() {
    let bench = bench();
    let text = "inputs: {numbers: {count: 200, rereads: true}}\npipelines: {a: {steps: []}}\n\
                outputs: {collect: {buffer: {kind: disk}}}";
    run(text, &bench, 200).await.unwrap();
    let wanted: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    assert_eq!(*bench.seen.lock().unwrap(), wanted);
    assert_eq!(bench.outcomes.try_iter().collect::<Vec<_>>(), [Outcome::Durable; 200]);
}

#[tokio::test]
async fn what_an_output_lets_go_of_past_the_buffer_waits_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let first = bench();
    let text = "inputs: {numbers: {count: 20, rereads: true}}\npipelines: {a: {steps: []}}\n\
                outputs: {collect: {fail_after: 3, buffer: {kind: disk}}}";
    run_in(folder.path(), text, &first, 200).await.unwrap_err();
    assert_eq!(first.outcomes.try_iter().collect::<Vec<_>>(), [Outcome::Durable; 20]);
    let second = bench();
    let text = "inputs: {numbers: {count: 0}}\npipelines: {a: {steps: []}}\n\
                outputs: {collect: {buffer: {kind: disk}}}";
    run_in(folder.path(), text, &second, 200).await.unwrap();
    let mut seen: Vec<u64> = [&first, &second]
        .iter()
        .flat_map(|bench| bench.seen.lock().unwrap().iter().map(|n| n.parse().unwrap()).collect::<Vec<_>>())
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
}

fn check(text: &str) -> String {
    plan(text, &bench().kinds).unwrap_err().to_string()
}

#[test]
fn tells_every_mistake_in_the_wiring() {
    let text = "
inputs:
  numbers:
  more: {type: numbrs}
  odd name: {type: numbers}
outputs:
  collect:
    fail_aftr: 1
  other: {type: collect}
pipelines:
  main:
    inputs: [number]
    steps: [hold, hodl, {hold: {}, x: 1}]
    output: [collect]
    outputs: [collect]
";
    insta::assert_snapshot!(check(text), @r"
    sawyer.yaml:4:10: inputs.more.type: unknown type `numbrs`; did you mean `numbers`?
    sawyer.yaml:5:3: inputs.odd name: a name is made of letters, digits, `_` and `-`
    sawyer.yaml:8:5: outputs.collect.fail_aftr: unknown key; did you mean `fail_after`?
    sawyer.yaml:12:5: pipelines.main.inputs: there is no input `number`; did you mean `numbers`?
    sawyer.yaml:13:19: pipelines.main.steps[1]: unknown step `hodl`; did you mean `hold`?
    sawyer.yaml:13:25: pipelines.main.steps[2]: expected a step: its name, or one name with its settings, found a map
    sawyer.yaml:14:5: pipelines.main.output: unknown key; did you mean `outputs`?
    ");
}

#[test]
fn tells_what_nobody_uses() {
    let text = "
inputs: {numbers: , more: {type: numbers}}
outputs: {collect: , other: {type: collect}}
pipelines:
  main: {inputs: [more], steps: [hold], outputs: [collect]}
";
    insta::assert_snapshot!(check(text), @r"
    sawyer.yaml:2:10: inputs.numbers: no pipeline uses the input `numbers`
    sawyer.yaml:3:22: outputs.other: no pipeline uses the output `other`
    ");
}

/// The names of a pipeline's steps, in order.
fn steps_of(pipeline: &str) -> Result<String, String> {
    let kinds = Kinds { steps: crate::steps::kinds(), ..bench().kinds };
    let text = format!("inputs: {{numbers: {{count: 1}}}}\noutputs: {{collect: }}\n{pipeline}");
    let plan = plan(&text, &kinds).map_err(|problems| problems.to_string())?;
    let names: Vec<&str> = plan.pipelines[0].steps.iter().map(|step| step.name.as_str()).collect();
    Ok(names.join(" "))
}

#[test]
fn every_pipeline_has_the_standard_steps_unless_it_says_otherwise() {
    for (pipeline, steps) in [
        ("", "multiline mask parse"),
        ("pipelines: {a: {steps: []}}", "multiline mask parse"),
        ("pipelines: {a: {steps: [{drop: {when: x}}]}}", "multiline mask parse drop"),
        ("pipelines: {a: {multiline: off}}", "mask parse"),
        ("pipelines: {a: {multiline: off, mask: false, parse: off, steps: [{drop: {when: x}}]}}", "drop"),
        ("pipelines: {a: {multiline: {wait: 2s}, mask: on, parse: }}", "multiline mask parse"),
        ("pipelines: {a: {steps: [multiline, mask, parse]}}", "multiline mask parse"),
        (
            "pipelines: {a: {steps: [{remove: {fields: [x]}}, mask, {drop: {when: x}}]}}",
            "multiline remove mask parse drop",
        ),
        ("pipelines: {a: {mask: off, steps: [parse, multiline]}}", "parse multiline"),
    ] {
        assert_eq!(steps_of(pipeline).as_deref(), Ok(steps), "{pipeline}");
    }
    let wrong =
        steps_of("pipelines: {a: {multiline: no, mask: {personl: [email]}, parse: off, steps: [parse]}}");
    insta::assert_snapshot!(wrong.unwrap_err(), @r#"
    sawyer.yaml:3:17: pipelines.a.multiline: expected `off`, `on`, or the step's settings, found "no"
    sawyer.yaml:3:39: pipelines.a.mask.personl: unknown key; did you mean `personal`?
    sawyer.yaml:3:58: pipelines.a.parse: `steps` has a step `parse` too; say it in one place
    "#);
}

#[tokio::test]
async fn routes_divide_records_among_outputs() {
    let mut bench = bench();
    bench.kinds.steps = crate::steps::kinds();
    let text = "inputs: {numbers: {count: 20}}\noutputs: {some: {type: collect}, rest: {type: collect, fail_after: 0}}\n\
                pipelines: {a: {steps: [{route: {routes: [{when: '*', outputs: some}], default: rest}}]}}";
    // The one that fails gets no record, but what batches cover all the same, and so ends.
    let error = run(text, &bench, 50).await.unwrap_err();
    assert_eq!(error.chain(), "run output `rest`: the target is gone");
    assert_eq!(bench.seen.lock().unwrap().len(), 20);
}

#[test]
fn tells_what_is_wrong_with_routes() {
    let wrong = |steps: &str, outputs: &str| {
        let text = format!(
            "inputs: {{numbers: {{count: 1}}}}\noutputs: {{a: {{type: collect}}, b: {{type: collect}}}}\n\
             pipelines:\n  main:\n    steps: {steps}\n{outputs}"
        );
        let kinds = Kinds { steps: crate::steps::kinds(), ..bench().kinds };
        plan(&text, &kinds).unwrap_err().to_string()
    };
    let route = "{route: {routes: [{when: x, outputs: a}]}}";
    insta::assert_snapshot!(wrong(&format!("[{route}, parse]"), ""), @"sawyer.yaml:5:14: pipelines.main.steps[0].route: `route` is the last step of a pipeline");
    insta::assert_snapshot!(wrong(&format!("[{route}]"), ""), @"sawyer.yaml:2:31: outputs.b: no pipeline uses the output `b`");
    insta::assert_snapshot!(wrong(&format!("[{route}]"), "    outputs: [a, b]"), @"sawyer.yaml:6:5: pipelines.main.outputs: no route gives to the output `b`");
    insta::assert_snapshot!(wrong("[{route: {routes: [{when: x, outputs: c}]}}]", ""), @"sawyer.yaml:5:41: pipelines.main.steps[0].route.routes[0].outputs: the pipeline gives to no output `c`");
}

#[test]
fn tells_of_two_metrics_with_one_name() {
    let steps =
        "[{metric: {name: a}}, {metric: {name: a}}, {metric: {name: a_total, kind: gauge, field: x}}]";
    let wrong = steps_of(&format!("pipelines: {{a: {{steps: {steps}}}}}")).unwrap_err();
    assert!(wrong.contains("names of counters end with `_total`"), "{wrong}");
    let steps = "[{metric: {name: a}}, {metric: {name: a}}, {metric: {name: a, kind: gauge, field: x}}]";
    let wrong = steps_of(&format!("pipelines: {{a: {{steps: {steps}}}}}")).unwrap_err();
    assert!(
        wrong.contains("steps[2].metric.name: another step makes the metric `a` in another way"),
        "{wrong}"
    );
}
