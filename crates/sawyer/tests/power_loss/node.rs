//! Files of two containers, whose lines say their numbers.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sawyer_model::Timestamp;
use sawyer_telemetry::Clock;
use sawyer_testkit::Dice;

/// Lines that are written before each start.
const LINES: u64 = 120;

pub(crate) struct Node {
    pub(crate) root: PathBuf,
    /// Lines so far.
    pub(crate) written: u64,
    /// When the first line was said: lately, because some targets take nothing old.
    since: Timestamp,
    /// Letters beside its number that a line has.
    letters: usize,
}

impl Node {
    pub(crate) fn new(root: &Path) -> Self {
        let since = Clock::system().now().saturating_sub(Duration::from_secs(3600));
        Self {
            root: root.to_owned(),
            written: 0,
            since: Timestamp::from_secs(since.millis() / 1000),
            letters: 0,
        }
    }

    /// The same, with lines so much longer, which no compression makes much smaller.
    pub(crate) fn with_letters(root: &Path, letters: usize) -> Self {
        Self { letters, ..Self::new(root) }
    }

    /// Appends to two containers, and rotates one of them now and then.
    pub(crate) fn write(&mut self, dice: &mut Dice) {
        for pod in ["cart", "gateway"] {
            let folder =
                self.root.join(format!("var/log/pods/shop_{pod}_8e4a5afb-0ab6-44a9-aff5-be71699ac8b8/app"));
            fs::create_dir_all(&folder).unwrap();
            let live = folder.join("0.log");
            if live.exists() && dice.below(3) == 0 {
                fs::rename(&live, folder.join(format!("0.log.20261120-{:06}", self.written))).unwrap();
            }
            let mut file = OpenOptions::new().create(true).append(true).open(&live).unwrap();
            for _ in 0..LINES / 2 {
                let n = self.written;
                self.written += 1;
                let time = self.since.saturating_add(Duration::from_nanos(n));
                let letters: String =
                    (0..self.letters).map(|_| char::from(b'a' + dice.below(26) as u8)).collect();
                writeln!(file, "{time} stdout F {{\"number\":{n},\"msg\":\"line{letters}\"}}").unwrap();
            }
        }
    }
}
