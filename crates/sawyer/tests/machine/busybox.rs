//! An image with busybox and nothing else, and a program in it that writes lines when it is told to.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use crate::daemon::{bounded, output};
use crate::harness::{SOON, Sawyer, pause};

/// Writes all kinds of lines and ends.
pub(crate) const EVERYTHING: &str = r#"
for i in $(seq 1 300); do echo "out $i"; echo "err $i" >&2; done
echo '{"level":"warn","msg":"in JSON","http":{"status":503}}'
echo
echo 'Exception in thread "main" java.lang.IllegalStateException: no stock' >&2
for i in 1 2 3; do printf '\tat shop.Cart.add(Cart.java:%s)\n' $i >&2; done
printf '결제 완료\t\033[31mred\033[0m "quoted" back\\slash\n'
for i in 1 2 3; do
    printf "long $i "; head -c 102400 /dev/zero | tr '\0' x; echo " end of $i"
    echo "short $i" >&2
done
"#;
/// How many lines that is.
pub(crate) const EVERYTHING_LINES: usize = 600 + 2 + 4 + 1 + 6;

/// Takes commands from a pipe: `from to` writes numbered lines, every fourth to standard error. The pipe is
/// open for writing too, so that it does not end.
pub(crate) const NUMBERED: &str = r#"
exec 3<>/control/commands
while read i to <&3; do
    while [ $i -lt $to ]; do
        line="{\"number\":$i,\"msg\":\"some text that makes the line as long as lines usually are\"}"
        if [ $((i % 4)) = 3 ]; then echo "$line" >&2; else echo "$line"; fi
        i=$((i + 1))
    done
done
"#;

/// Makes a tar file of the image's file system.
pub(crate) fn image(folder: &Path) -> PathBuf {
    let (root, tar) = (folder.join("image"), folder.join("image.tar"));
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for name in ["sh", "seq", "head", "tr", "sleep"] {
        symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    output(bounded("tar").arg("--directory").arg(root).arg("--create").arg("--file").arg(&tar).arg("."));
    tar
}

/// Takes numbers from the same pipe, and writes a line of 100 KB for each.
pub(crate) const LONG: &str = r#"
exec 3<>/control/commands
while read i <&3; do
    printf "long $i "; head -c 102400 /dev/zero | tr '\0' x; echo
done
"#;

/// The outer end of [`NUMBERED`].
pub(crate) struct Numbers {
    commands: File,
    pub(crate) folder: PathBuf,
    pub(crate) count: u64,
}

impl Numbers {
    /// Makes the folder that the container is to have at `/control`.
    pub(crate) fn new(folder: PathBuf) -> Self {
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("commands");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let commands = OpenOptions::new().read(true).write(true).open(path).unwrap();
        Self { commands, folder, count: 0 }
    }

    /// Passes on a command as it is.
    pub(crate) fn command(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
    }

    /// Has the container write this many more lines, and does not wait for them.
    pub(crate) fn write(&mut self, count: u64) {
        let to = self.count + count;
        self.command(&format!("{} {to}", self.count));
        self.count = to;
    }

    /// Waits until every number is there once, with the right stream.
    pub(crate) fn wait(&self, sawyer: &mut Sawyer, query: &str) {
        let deadline = Instant::now() + SOON;
        while sawyer.count(query) < self.count {
            assert!(Instant::now() < deadline, "{}\n{}", self.difference(&sawyer.all(query)), sawyer.log());
            pause();
        }
        let difference = self.difference(&sawyer.all(query));
        assert!(difference.is_empty(), "{difference}\n{}", sawyer.log());
    }

    fn difference(&self, records: &[Value]) -> String {
        let mut found: BTreeMap<u64, &Value> = BTreeMap::new();
        let mut difference = String::new();
        for record in records {
            let number = record["number"].as_u64().unwrap_or(u64::MAX);
            if record["stream"] != (if number % 4 == 3 { "stderr" } else { "stdout" }) || number >= self.count
            {
                difference += &format!("wrong: {record}\n");
            }
            if let Some(other) = found.insert(number, record) {
                difference += &format!("twice: {other}\n       {record}\n");
            }
        }
        let missing: Vec<u64> = (0..self.count).filter(|number| !found.contains_key(number)).collect();
        if !missing.is_empty() {
            difference += &format!("{} of {} are missing: {missing:?}\n", missing.len(), self.count);
        }
        difference
    }
}
