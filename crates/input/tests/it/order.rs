//! Lines of several containers that are written, rotated and compressed at random while they are read: of each output
//! every line is whole, there once, and in order.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Node, Taker, text};

const ROTATION_PAUSE: Duration = Duration::from_millis(60);

/// Numbers by a seed (xorshift), so that a run that failed can be had again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Who writes a log, and in which way it is rotated.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// A time behind the name, the one before compressed.
    Kubelet,
    /// Numbers that move on, the youngest compressed at once.
    Docker,
    /// The same with `compress=false`, and often twice at once.
    DockerPlain,
}

struct Container {
    name: String,
    way: Way,
    /// The file that is written.
    live: String,
    /// What was rotated away: the one that is not compressed yet, and how many there were.
    plain: Option<String>,
    rotations: u32,
    rotated: Option<Instant>,
    /// What is to be written yet of the line that was begun: whether by standard error, and its pieces.
    begun: Vec<(&'static str, String)>,
    lines: [Vec<String>; 2],
    nanos: u64,
}

impl Container {
    fn new(name: &str, way: Way, node: &Node) -> Self {
        let live = match way {
            Way::Kubelet => {
                format!("var/log/pods/shop_{name}_11111111-2222-3333-4444-555555555555/app/0.log")
            }
            Way::Docker | Way::DockerPlain => {
                let folder = format!("var/lib/docker/containers/{name}");
                let config = format!(r#"{{"Name":"/{name}","Config":{{}}}}"#);
                node.write(&format!("{folder}/config.v2.json"), config);
                format!("{folder}/{name}-json.log")
            }
        };
        let (name, lines) = (name.to_owned(), [Vec::new(), Vec::new()]);
        Self { name, way, live, plain: None, rotations: 0, rotated: None, begun: Vec::new(), lines, nanos: 0 }
    }

    /// A row of the runtime's.
    fn row(&self, stream: &str, piece: &str, last: bool) -> String {
        let time =
            format!("2026-11-20T09:00:{:02}.{:09}Z", self.nanos / 1_000_000_000, self.nanos % 1_000_000_000);
        match self.way {
            Way::Kubelet => format!("{time} {stream} {} {piece}\n", if last { "F" } else { "P" }),
            Way::Docker | Way::DockerPlain => {
                let end = if last { "\\n" } else { "" };
                format!("{{\"log\":\"{piece}{end}\",\"stream\":\"{stream}\",\"time\":\"{time}\"}}\n")
            }
        }
    }

    /// Writes the next piece of a line; a line has up to four of them.
    fn write(&mut self, node: &Node, dice: &mut Dice) {
        if self.begun.is_empty() {
            self.nanos += 1 + dice.below(1_000_000);
            let stderr = dice.below(2) as usize;
            let stream = ["stdout", "stderr"][stderr];
            let number = self.lines[stderr].len();
            let pieces: Vec<String> = (0..1 + dice.below(4).saturating_sub(1))
                .map(|at| format!("{number}.{at} {}", "x".repeat(dice.below(200) as usize)))
                .collect();
            self.lines[stderr].push(pieces.concat());
            self.begun = pieces.into_iter().rev().map(|piece| (stream, piece)).collect();
        }
        let (stream, piece) = self.begun.pop().unwrap();
        node.write(&self.live, self.row(stream, &piece, self.begun.is_empty()));
    }

    /// Whether it may be rotated now. An empty file is not; and there are some milliseconds between two rotations, as
    /// there are seconds where files have megabytes: names that move while they are looked at tell no order.
    fn may_rotate(&self, node: &Node) -> bool {
        let bytes = fs::metadata(node.path(&self.live)).map_or(0, |found| found.len());
        let rests = self.rotated.is_none_or(|at| at.elapsed() > ROTATION_PAUSE);
        bytes > 0 && rests
    }

    fn rotate(&mut self, node: &Node) {
        self.rotations += 1;
        self.rotated = Some(Instant::now());
        match self.way {
            Way::Kubelet => {
                let rotated = format!("{}.20261120-{:06}", self.live, self.rotations);
                node.rename(&self.live, &rotated);
                node.write(&self.live, "");
                if let Some(older) = self.plain.replace(rotated) {
                    node.gzip(&older);
                }
            }
            Way::Docker => {
                let numbered = |number: u32| format!("{}.{number}.gz", self.live);
                for number in (1..self.rotations).rev() {
                    node.rename(&numbered(number), &numbered(number + 1));
                }
                let first = format!("{}.1", self.live);
                node.rename(&self.live, &first);
                node.write(&self.live, "");
                node.gzip(&first);
            }
            Way::DockerPlain => {
                let numbered = |number: u32| format!("{}.{number}", self.live);
                for number in (1..self.rotations).rev() {
                    node.rename(&numbered(number), &numbered(number + 1));
                }
                node.rename(&self.live, &numbered(1));
                node.write(&self.live, "");
            }
        }
    }
}

/// Writes for a while; some of it before anybody reads.
fn write(node: &Node, containers: &mut [Container], dice: &mut Dice, steps: u64) {
    for _ in 0..steps {
        let at = dice.below(containers.len() as u64) as usize;
        let container = &mut containers[at];
        for _ in 0..dice.below(60) {
            container.write(node, dice);
        }
        if dice.below(3) == 0 && container.may_rotate(node) {
            container.rotate(node);
            if container.way == Way::DockerPlain && dice.below(2) == 0 {
                // Nobody may have looked since.
                (0..1 + dice.below(9)).for_each(|_| container.write(node, dice));
                container.rotate(node);
            }
        }
        if dice.below(8) == 0 {
            thread::park_timeout(Duration::from_millis(dice.below(60)));
        }
    }
    for container in containers {
        while !container.begun.is_empty() {
            container.write(node, dice);
        }
    }
}

async fn check(seed: u64) {
    let node = Arc::new(Node::new());
    let mut dice = Dice(seed);
    let ways = [
        ("web-0", Way::Kubelet),
        ("web-1", Way::Kubelet),
        ("db", Way::Docker),
        ("cache", Way::Docker),
        ("queue", Way::DockerPlain),
        ("till", Way::DockerPlain),
    ];
    let mut containers: Vec<Container> = ways.map(|(name, way)| Container::new(name, way, &node)).into();
    write(&node, &mut containers, &mut dice, 40);
    let run = node.containers(Taker::Keeps);
    let writer = thread::spawn({
        let node = Arc::clone(&node);
        move || {
            write(&node, &mut containers, &mut dice, 160);
            containers
        }
    });
    run.wait(|| writer.is_finished(), "end of writing").await;
    let containers = writer.join().unwrap();
    let count: usize = containers.iter().flat_map(|container| &container.lines).map(Vec::len).sum();
    let mut found: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for record in run.records(count).await {
        let name = Some(text(&record, "pod")).filter(|pod| !pod.is_empty());
        let name = name.unwrap_or_else(|| text(&record, "container"));
        found.entry((name, text(&record, "stream"))).or_default().push(text(&record, "message"));
    }
    run.stop().await;
    for container in containers {
        for (stream, wanted) in ["stdout", "stderr"].iter().zip(container.lines) {
            let found = found.remove(&(container.name.clone(), (*stream).to_owned())).unwrap_or_default();
            let differs = found.iter().zip(&wanted).position(|(found, wanted)| found != wanted);
            let at = differs.map(|at| (&found[at], &wanted[at]));
            assert!(at.is_none(), "seed {seed}, {} {stream}: {at:?}", container.name);
            assert_eq!(found.len(), wanted.len(), "seed {seed}, {} {stream}", container.name);
        }
    }
}

#[tokio::test]
async fn lines_are_whole_and_in_order_however_files_are_rotated() {
    for seed in 1..=4 {
        check(seed).await;
    }
}
