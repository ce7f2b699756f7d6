//! What a node's containers write.
//!
//! Invariant: every line has a number of its own, and what must become of it follows from the number alone.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sawyer_model::Timestamp;
use sawyer_telemetry::Clock;

/// The containers, a stream each.
pub(crate) const PODS: [&str; 4] = ["cart", "gateway", "search", "till"];

/// One line of so many has a secret, is JSON, is long, or is refused by targets that can refuse a record.
const SECRET_EVERY: u64 = 17;
const JSON_EVERY: u64 = 11;
const LONG_EVERY: u64 = 401;
const POISON_EVERY: u64 = 701;

/// What must not arrive anywhere.
const SECRET: &str = "glpat-4Kf9sLq2Zx8Tn1Vb7Wm3";

/// Lines of containers on a node.
pub(crate) struct Node {
    root: PathBuf,
    written: u64,
    /// When the first line was said: lately, because some targets take nothing old.
    since: Timestamp,
}

impl Node {
    pub(crate) fn new(root: &Path) -> Self {
        let since = Clock::system().now().saturating_sub(Duration::from_secs(3600));
        Self { root: root.to_owned(), written: 0, since: Timestamp::from_secs(since.millis() / 1000) }
    }

    /// How many lines there are; their numbers are below.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Appends lines to all containers, in turns.
    pub(crate) fn write(&mut self, count: u64) {
        for (at, pod) in (0..).zip(PODS) {
            let mut rows = String::new();
            for number in
                (self.written..self.written + count).filter(|number| number % PODS.len() as u64 == at)
            {
                // Some of them say the same at the same time, but for their numbers.
                let since = Duration::new(number / 1000 % 60, (number / 8) as u32);
                let time = self.since.saturating_add(since);
                rows.push_str(&format!("{time} stdout F {}\n", line(number)));
            }
            let path = self.live(pod);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
            file.write_all(rows.as_bytes()).unwrap();
        }
        self.written += count;
    }

    /// Renames the live file of a container, as a kubelet does; the next line begins a new one.
    pub(crate) fn rotate(&mut self, pod: &str) {
        let live = self.live(pod);
        if live.exists() {
            fs::rename(&live, live.with_file_name(format!("0.log.20261120-{:06}", self.written))).unwrap();
        }
    }

    fn live(&self, pod: &str) -> PathBuf {
        self.root.join(format!("var/log/pods/shop_{pod}_8e4a5afb-0ab6-44a9-aff5-be71699ac8b8/app/0.log"))
    }
}

/// The container that says a number.
pub(crate) fn pod(number: u64) -> &'static str {
    PODS[number as usize % PODS.len()]
}

/// Whether a target that can refuse a record refuses this one.
pub(crate) fn is_poison(number: u64) -> bool {
    let plain = [SECRET_EVERY, JSON_EVERY, LONG_EVERY].iter().all(|every| !number.is_multiple_of(*every));
    plain && number % POISON_EVERY == POISON_EVERY - 1
}

/// Whether a line is one of those that are refused.
pub(crate) fn has_poison(text: &str) -> bool {
    text.contains("poison for a field")
}

/// A line as it is written.
fn line(number: u64) -> String {
    text(number, SECRET)
}

/// A line as it must arrive, if it is not masked.
pub(crate) fn expected(number: u64) -> Option<String> {
    (!number.is_multiple_of(SECRET_EVERY)).then(|| line(number))
}

/// What of a masked line is checked: it has its number, is masked, and the secret is gone.
pub(crate) fn is_masked(number: u64, arrived: &str) -> bool {
    let (before, after) =
        text(number, "|").split_once('|').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    !arrived.contains(SECRET)
        && arrived.starts_with(&before)
        && arrived.ends_with(&after)
        && arrived.contains("[masked:")
}

/// The number of a line.
pub(crate) fn number_of(text: &str) -> u64 {
    let start = text.find('#').unwrap_or_else(|| panic!("no number in {text:?}")) + 1;
    text[start..start + 7].parse().unwrap_or_else(|_| panic!("no number in {text:?}"))
}

fn text(number: u64, secret: &str) -> String {
    let pod = pod(number);
    if number.is_multiple_of(SECRET_EVERY) {
        return format!("#{number:07} {pod} asks with {secret} for more");
    }
    if number.is_multiple_of(JSON_EVERY) {
        return format!(
            r##"{{"msg":"#{number:07} of {pod}","at":{number},"deep":{{"결제":[1,2.5,null]}}}}"##
        );
    }
    let end = match number {
        _ if number.is_multiple_of(LONG_EVERY) => "tail ".repeat(3000),
        _ if is_poison(number) => "poison for a field".to_owned(),
        _ => "says \"it\" \\ 'again', 결제 <&> \u{1f600}\tand on".to_owned(),
    };
    format!("#{number:07} {pod} {end}")
}
