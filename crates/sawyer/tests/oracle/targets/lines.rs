//! Outputs that write lines on this machine: `file`, `stdout`, `exec`.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;

use serde_json::Value;

use super::arrival;
use crate::run::{Arrival, Promise, Target};
use crate::weather::{Weather, lock};

/// Where the lines are.
const OUT: &str = "out.jsonl";

/// Takes lines and says so; where a file tells it to, it ends when it has taken one and not said it.
const PROGRAM: &str = r#"while IFS= read -r line; do
    printf '%s\n' "$line" >> "$1"
    if [ -e "$2" ]; then rm "$2"; exit 1; fi
    echo ok
done"#;

pub(crate) struct Lines {
    kind: &'static str,
    /// The file that tells the program to end.
    die: Mutex<Option<PathBuf>>,
}

impl Lines {
    pub(crate) fn file() -> Self {
        Self { kind: "file", die: Mutex::new(None) }
    }

    pub(crate) fn stdout() -> Self {
        Self { kind: "stdout", die: Mutex::new(None) }
    }

    pub(crate) fn exec() -> Self {
        Self { kind: "exec", die: Mutex::new(None) }
    }
}

impl Target for Lines {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn settings(&self, folder: &Path) -> Vec<String> {
        let out = folder.join(OUT);
        let out = out.to_str().unwrap();
        match self.kind {
            "file" => vec![format!("path: {out}")],
            "stdout" => vec!["format: json".to_owned()],
            _ => {
                let program = folder.join("take.sh");
                fs::write(&program, PROGRAM).unwrap();
                let program = program.to_str().unwrap();
                let die = folder.join("die").to_str().unwrap().to_owned();
                *lock(&self.die) = Some(folder.join("die"));
                vec![
                    format!("command: [sh, '{program}', '{out}', '{die}']"),
                    "acknowledge: answered".to_owned(),
                    "buffer: {bytes_max: 1MiB, memory_max: 64KiB}".to_owned(),
                ]
            }
        }
    }

    fn is_remote(&self) -> bool {
        false
    }

    fn promise(&self) -> Promise {
        Promise { ordered: true, once: false, refuses: false }
    }

    fn set(&self, weather: Weather) {
        if let Some(die) = lock(&self.die).as_ref().filter(|_| weather == Weather::Bad) {
            fs::write(die, "now\n").unwrap();
        }
    }

    /// A line whose end is missing was being written when the agent was killed.
    fn arrived(&self, folder: &Path) -> Vec<Arrival> {
        let bytes = fs::read(folder.join(OUT)).unwrap_or_default();
        let whole = bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        // Behind a piece of a line that was cut off by a kill stands the next process's first line.
        let records = whole.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        records.map(|record| arrival(&record, "_original")).collect()
    }

    fn stdout(&self, folder: &Path) -> Stdio {
        if self.kind != "stdout" {
            return Stdio::null();
        }
        OpenOptions::new().create(true).append(true).open(folder.join(OUT)).unwrap().into()
    }
}
