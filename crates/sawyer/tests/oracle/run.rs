//! One run: an agent that is killed several times, in changing weather.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sawyer_testkit::Dice;

use crate::harness::{Sawyer, binary, pause};
use crate::node::{Node, PODS};
use crate::verdict;
use crate::weather::Weather;

/// Starts of the agent in a run; in all but the last it is killed.
const LIVES: u64 = 5;

/// Lines that are written at once.
const LINES: u64 = 250;

/// Longest wait for everything to arrive when all is well; far more than it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// After this time a tailer has noted how far it came. Every other life is shorter, and reads everything again.
const OFFSETS_SAVED: Duration = Duration::from_millis(1500);

/// Longest life of an agent that gets nothing through.
const LIFE_MAX: Duration = Duration::from_secs(8);

/// A record that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// The container, as the target knows it.
    pub(crate) pod: String,
    /// The line as it was written, as far as the target knows it.
    pub(crate) line: String,
}

/// What an output promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Promise {
    /// Records of a stream arrive in their order, at first.
    pub(crate) ordered: bool,
    /// A record that is sent again is not there twice.
    pub(crate) once: bool,
    /// The target refuses some records for good ([`crate::node::is_poison`]), which become dead letters.
    pub(crate) refuses: bool,
}

/// A target: an adapter between the oracle and an output with its peer.
pub(crate) trait Target {
    /// The kind of the output.
    fn kind(&self) -> &'static str;

    /// Its settings, beside those that all outputs with a courier have, as lines of YAML.
    fn settings(&self, folder: &Path) -> Vec<String>;

    /// Settings outside of the output, as lines of YAML.
    fn surroundings(&self) -> &'static str {
        ""
    }

    /// The role of the process that is killed.
    fn role(&self) -> &'static str {
        "agent"
    }

    /// Whether records go through a courier and a buffer.
    fn is_remote(&self) -> bool {
        true
    }

    /// Whether the output has the settings of a client of HTTP.
    fn is_http(&self) -> bool {
        self.is_remote()
    }

    fn promise(&self) -> Promise;

    /// Makes the peer behave.
    fn set(&self, weather: Weather);

    /// Whatever arrived so far, in the order in which it did, repetitions too as far as the peer has them.
    fn arrived(&self, folder: &Path) -> Vec<Arrival>;

    /// How many numbers arrived so far, for targets that can tell this more cheaply. `_agent` runs.
    fn count(&self, folder: &Path, _agent: &Sawyer) -> u64 {
        verdict::distinct(&self.arrived(folder)) as u64
    }

    /// Where standard output goes.
    fn stdout(&self, _folder: &Path) -> Stdio {
        Stdio::null()
    }

    /// What went wrong on the way, for people.
    fn happened(&self) -> BTreeMap<&'static str, usize> {
        BTreeMap::new()
    }

    /// What else must have happened, or the run has no teeth.
    fn check(&self) {}
}

/// A run.
pub(crate) struct Run {
    dice: Dice,
}

impl Run {
    pub(crate) fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed) }
    }

    pub(crate) fn with(mut self, target: &dyn Target) {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        std::fs::create_dir(folder.join("host")).unwrap();
        std::fs::write(folder.join("sawyer.yaml"), config(target, folder)).unwrap();
        let mut node = Node::new(&folder.join("host"));
        for life in 1..LIVES {
            self.life(target, folder, &mut node, life);
        }
        target.set(Weather::Bad);
        node.write(LINES);
        let mut agent = start(target, folder);
        let half = node.written() / 2;
        wait(|| target.count(folder, &agent) >= half, LIFE_MAX);
        target.set(Weather::Fine);
        let wanted = verdict::wanted(target.promise(), node.written());
        if !wait(|| target.count(folder, &agent) >= wanted, PATIENCE) {
            let arrived = target.count(folder, &agent);
            panic!("{arrived} of {wanted} arrived, and no more come; the log:\n{}", agent.log());
        }
        let (_, status, log) = agent.stop();
        assert!(status.success(), "{status}\n{log}");
        verdict::give(target, folder, node.written());
        target.check();
    }

    /// The agent starts while its target is away, gets something through, and is killed.
    fn life(&mut self, target: &dyn Target, folder: &Path, node: &mut Node, life: u64) {
        target.set(Weather::Away);
        node.write(LINES * 2);
        node.rotate(PODS[life as usize % PODS.len()]);
        node.write(LINES);
        let agent = start(target, folder);
        let before = target.count(folder, &agent);
        let more = self.dice.below(LINES * 3);
        wait(|| false, Duration::from_millis(self.dice.below(400)));
        target.set(Weather::Bad);
        wait(|| target.count(folder, &agent) > before + more, LIFE_MAX);
        if life.is_multiple_of(2) {
            wait(|| false, OFFSETS_SAVED);
        }
        node.write(LINES);
        wait(|| false, Duration::from_millis(self.dice.below(100)));
        agent.kill();
    }
}

fn start(target: &dyn Target, folder: &Path) -> Sawyer {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let mut command: Command = binary();
    command.arg(target.role()).args(["--listen", "127.0.0.1:0", "--data", &path("data")]);
    command.args(["--config", &path("sawyer.yaml"), "--host-root", &path("host")]);
    command.stdout(target.stdout(folder));
    Sawyer::launch(command).unwrap_or_else(|log| panic!("it did not start:\n{log}"))
}

/// The configuration: all is small, so that everything is met: a full buffer, files that are removed next, many requests,
/// timeouts.
fn config(target: &dyn Target, folder: &Path) -> String {
    let mut text = format!(
        "{}inputs: {{containers: {{files_kept: 2}}}}\npipelines:\n  main:\n    steps: [mask, parse]\noutputs:\n  out:\n",
        target.surroundings()
    );
    let mut line = |line: &str| text.push_str(&format!("    {line}\n"));
    line(&format!("type: {}", target.kind()));
    target.settings(folder).iter().for_each(|setting| line(setting));
    if target.is_http() {
        line("answer_timeout: 1s");
        line("connect_timeout: 1s");
    }
    if target.is_remote() {
        for setting in [
            "batch_age_max: 20ms",
            "retry_pause_max: 200ms",
            "memory_max: 4MiB",
            "buffer: {bytes_max: 1MiB, memory_max: 64KiB}",
        ] {
            line(setting);
        }
    }
    text
}

/// Waits until something holds; says whether it does.
fn wait(holds: impl Fn() -> bool, most: Duration) -> bool {
    let deadline = Instant::now() + most;
    while !holds() {
        if Instant::now() >= deadline {
            return false;
        }
        pause();
    }
    true
}
