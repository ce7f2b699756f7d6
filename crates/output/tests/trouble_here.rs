//! Outputs on this machine in each kind of trouble: it is told once and clearly, it shows in a metric and in readiness,
//! nothing is lost, the other output of the pipeline goes on, and what is mended gets everything.
//! `trouble.rs` has the same for outputs over HTTP; standard output, of which a process has one, is in the tests of the
//! program.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sawyer_config::{Document, Problems};
use sawyer_disk::{SimDisk, SimSettings};
use sawyer_model::{Ack, Batch, Error, Record, SeqRange, SourceId, Stream, Timestamp, Value};
use sawyer_pipeline::stop::Stopper;
use sawyer_pipeline::{Ports, Resources, TopologyPlan};
use sawyer_telemetry::{Clock, Health, Metrics};
use tokio::task::JoinHandle;

#[path = "harness/say.rs"]
mod say;
#[path = "harness/told.rs"]
mod told;

use say::kinds;
use told::Told;

const SOON: Duration = Duration::from_secs(240);
const WARNING: &str = "cannot deliver now; it is tried again, and nothing is lost";
const REFUSAL: &str = "a record was refused for good, and is left out";

const NOW: Timestamp = Timestamp::from_secs(1_795_176_000);

/// Records of a batch.
const COUNT: u64 = 10;

/// A topology with an output in trouble and one in health.
struct World {
    name: String,
    folder: tempfile::TempDir,
    say: tokio::sync::mpsc::UnboundedSender<(Batch, Ack)>,
    said: u64,
    metrics: Metrics,
    health: Health,
    told: Told,
    stopper: Stopper,
    running: JoinHandle<Result<(), Error>>,
}

/// `FOLDER` in the settings is a folder of the test's own.
fn start(told: &Told, name: &str, settings: &str) -> World {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    let config = format!(
        "inputs: {{say: }}\npipelines: {{main: {{multiline: off, mask: off, steps: []}}}}\noutputs:\n\
         \x20 {name}: {{{}}}\n\x20 good: {{type: file, path: '{path}/good'}}\n",
        settings.replace("FOLDER", &path)
    );
    let (say, said) = tokio::sync::mpsc::unbounded_channel();
    let (config, nothing) =
        (Document::parse("config", &config).unwrap(), Document::parse("none", "").unwrap());
    let mut problems = Problems::new();
    let plan = TopologyPlan::read(&config.at(), &nothing.at(), &kinds(said), &mut problems);
    let (metrics, health) = (Metrics::new(), Health::new());
    let resources = Resources {
        // However long a test takes, no half minute goes by after which something is told again.
        clock: Clock::manual(NOW),
        metrics: metrics.clone(),
        state: Arc::new(SimDisk::new(1, SimSettings::default())),
        host_root: None,
        health: health.clone(),
        ports: Ports::default(),
    };
    let topology = problems.into_result(plan).unwrap().open(&resources).unwrap();
    let (stopper, stop) = Stopper::new();
    let running = tokio::spawn(topology.run(stop, SOON));
    World {
        name: name.to_owned(),
        folder,
        say,
        said: 0,
        metrics,
        health,
        told: told.clone(),
        stopper,
        running,
    }
}

impl World {
    /// Says a batch of records, which have their numbers; the last one may be long.
    fn say(&mut self, long: usize) {
        let stream = Arc::new(Stream::new([("pod", Value::from("cart-1"))]));
        let record = |number: u64| {
            let filler = if number % COUNT == COUNT - 1 { "x".repeat(long) } else { String::new() };
            Record {
                timestamp: NOW,
                observed: NOW,
                source: SourceId(7),
                range: SeqRange::new(number, number + 1),
                stream: Arc::clone(&stream),
                fields: vec![("message".into(), Value::from(format!("number {number}.{filler}")))],
            }
        };
        let records: Vec<Record> = (self.said..self.said + COUNT).map(record).collect();
        self.said += COUNT;
        self.say.send((records.iter().collect(), Ack::new(|_| ()))).unwrap();
    }

    /// The sum of a metric of the output in trouble.
    fn number(&self, metric: &str) -> i64 {
        let own = |labels: &sawyer_telemetry::Labels| format!("{labels:?}").contains(&self.name);
        self.metrics.numbers(metric).iter().filter(|(labels, _)| own(labels)).map(|(_, number)| number).sum()
    }

    fn warnings(&self, what: &str) -> Vec<String> {
        self.told.of(what).into_iter().filter(|told| told.contains(&self.name)).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// How often each number is in a file.
    fn numbers(&self, name: &str) -> BTreeMap<u64, usize> {
        let mut times = BTreeMap::new();
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        for part in text.split("\"message\":\"number ").skip(1) {
            let digits = part.split('.').next().unwrap();
            *times.entry(digits.parse().unwrap()).or_default() += 1;
        }
        times
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + SOON;
        while !holds(self) {
            let reasons = self.health.reasons();
            assert!(Instant::now() < deadline, "{}: waited too long until {what}: {reasons:?}", self.name);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn end(self) {
        drop((self.say, self.stopper));
        self.running.await.unwrap().unwrap();
    }
}

/// What is wrong, and how it is mended.
struct Wrong {
    name: &'static str,
    settings: &'static str,
    /// Brings the trouble about, once ten records have arrived or from the start.
    spoil: fn(&Path),
    arrives_before: bool,
    /// What is told of it.
    told: &'static str,
    mend: fn(&Path),
    /// Where the records are in the end.
    files: &'static [&'static str],
    /// How long the last record of a batch is.
    long: usize,
    /// Whether the mended one may be too slow at first: then it is in trouble once more, and records come twice.
    again: bool,
}

async fn is_told_once_and_mended(told: &Told, wrong: Wrong) {
    let mut world = start(told, wrong.name, wrong.settings);
    if !wrong.arrives_before {
        (wrong.spoil)(world.folder.path());
    }
    if wrong.arrives_before {
        world.say(wrong.long);
        world.until("all is well", |world| world.number("sawyer_output_records") == COUNT as i64).await;
        (wrong.spoil)(world.folder.path());
    }
    world.say(wrong.long);
    world
        .until("it is told", |world| {
            world.number("sawyer_output_retries") >= 2 && world.health.reasons().concat().contains(wrong.told)
        })
        .await;
    world.say(wrong.long);
    let all = world.said;
    world.until("the other one has all", |world| world.numbers("good").len() as u64 == all).await;
    let before = if wrong.arrives_before { COUNT as i64 } else { 0 };
    assert_eq!(world.number("sawyer_output_records"), before, "{}: nothing is delivered", wrong.name);
    assert!(world.number("sawyer_output_errors") >= 2, "{}", wrong.name);
    let warnings = world.warnings(WARNING);
    assert!(warnings.len() == 1 && warnings[0].contains(wrong.told), "{}: {warnings:?}", wrong.name);
    (wrong.mend)(world.folder.path());
    let arrived = |world: &World| {
        let mut times: BTreeMap<u64, usize> = BTreeMap::new();
        for file in wrong.files {
            world.numbers(file).into_iter().for_each(|(at, count)| *times.entry(at).or_default() += count);
        }
        times
    };
    world.until("it has all", |world| arrived(world).len() as u64 == all).await;
    world.until("it is ready", |world| world.health.reasons().is_empty()).await;
    assert!(wrong.again || arrived(&world).values().all(|times| *times == 1), "{}: once", wrong.name);
    let again = world.warnings("delivers again").len();
    assert!(again == 1 || wrong.again && again > 1, "{}: {again}", wrong.name);
    world.end().await;
}

/// Puts another script in the place of the one that there is.
fn script(folder: &Path, text: &str) {
    let new = folder.join("new");
    fs::write(&new, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, folder.join("script")).unwrap();
}

/// Takes every record, and says so to whom it concerns.
fn good_script(folder: &Path) {
    script(folder, "while read -r x; do printf '%s\\n' \"$x\" >> taken; echo ok; done");
}

/// Something that is no file has the file's name; so that it holds for root too, who may write anywhere.
fn block(folder: &Path) {
    fs::rename(folder.join("out"), folder.join("moved")).unwrap();
    fs::create_dir(folder.join("out")).unwrap();
}

fn wrongs() -> Vec<Wrong> {
    const ANSWERED: &str = "type: exec, command: ['FOLDER/script'], directory: 'FOLDER', \
                            acknowledge: answered, timeout: 10m";
    const ANSWERED_SOON: &str = "type: exec, command: ['FOLDER/script'], directory: 'FOLDER', \
                                 acknowledge: answered, timeout: 2s";
    let program = |name, spoil, told| Wrong {
        name,
        settings: ANSWERED,
        spoil,
        arrives_before: false,
        told,
        mend: good_script,
        files: &["taken"],
        long: 0,
        again: false,
    };
    vec![
        Wrong {
            name: "file-that-cannot-be-opened",
            settings: "type: file, path: 'FOLDER/out'",
            spoil: block,
            arrives_before: true,
            told: "open the file",
            mend: |folder| fs::remove_dir(folder.join("out")).unwrap(),
            files: &["moved", "out"],
            long: 0,
            again: false,
        },
        program("program-that-is-missing", |_| (), "start program `"),
        program("program-that-ends", |folder| script(folder, "exit 3"), "ended (exit status: 3)"),
        Wrong {
            settings: ANSWERED_SOON,
            again: true,
            ..program(
                "program-that-never-answers",
                |folder| script(folder, "cat > /dev/null"),
                "did not answer within 2s",
            )
        },
        program(
            "program-that-talks-nonsense",
            |folder| script(folder, "while read -r x; do echo hello; done"),
            "expected `ok` or a JSON object from the program, found",
        ),
        Wrong {
            name: "program-that-does-not-read",
            settings: "type: exec, command: ['FOLDER/script'], directory: 'FOLDER', timeout: 2s",
            spoil: |folder| script(folder, "exec sleep 1000"),
            arrives_before: false,
            told: "did not read its input within 2s",
            mend: |folder| script(folder, "exec cat >> taken"),
            files: &["taken"],
            // More than a pipe holds.
            long: 200_000,
            again: true,
        },
    ]
}

/// A record may be left out by the program's own word, and no other.
async fn what_a_program_refuses_is_told_once_and_left_out(told: &Told) {
    let settings = "type: exec, command: ['FOLDER/script'], directory: 'FOLDER', acknowledge: answered";
    let mut world = start(told, "program-that-refuses", settings);
    let refuse = "while read -r x; do case $x in *'7.'*) echo '{\"error\":\"not mine\"}';; \
                  *) printf '%s\\n' \"$x\" >> taken; echo ok;; esac; done";
    script(world.folder.path(), refuse);
    for _ in 0..5 {
        world.say(0);
    }
    world.until("the others are taken", |world| world.numbers("taken").len() == 45).await;
    world.until("all are counted", |world| world.number("sawyer_output_records") == 45).await;
    assert_eq!(world.number("sawyer_output_errors"), 5, "each is counted");
    let told = world.warnings(REFUSAL);
    assert!(told.len() == 1 && told[0].contains("not mine"), "{told:?}");
    world.until("the other one has all", |world| world.numbers("good").len() == 50).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_trouble_is_told_once_and_loses_nothing() {
    let told = Told::default();
    tracing::subscriber::set_global_default(told.clone()).unwrap();
    for wrong in wrongs() {
        is_told_once_and_mended(&told, wrong).await;
    }
    what_a_program_refuses_is_told_once_and_left_out(&told).await;
}
