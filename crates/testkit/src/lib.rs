//! What tests of several crates share. A dev-dependency only.
//!
//! Owns: how a test says that it was skipped, where outside test data lies, when tests that change the machine may
//! run, [`Dice`], a [`peer`] that behaves badly, and peers that know their trade
//! ([`cloudwatch`], [`elasticsearch`], [`loki`], [`moto`]).
//! Does not own: fixtures of one crate; they lie beside that crate's tests.
//! Invariant: a test that does not run leaves a line in the log of skips, so that none disappears unseen.

pub mod cloudwatch;
mod dice;
pub mod elasticsearch;
pub mod loki;
pub mod moto;
pub mod peer;

use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

pub use dice::Dice;

/// Names the file to which [`skip`] appends; `make test` sets it and compares it with `.ci/expected-skips`.
pub const SKIP_LOG_VARIABLE: &str = "SAWYER_SKIP_LOG";
/// Names the folder with outside test data, if it is not `../shared` beside the repository.
pub const SHARED_VARIABLE: &str = "SAWYER_SHARED";
/// Set to `1` where tests may change the machine: `make test-real` does, as root.
pub const ROOT_VARIABLE: &str = "SAWYER_TEST_ROOT";

/// Says that the running test does not test anything, and why. The test then returns and counts as passed.
///
/// Prints `SKIP: reason` and appends `package<TAB>test<TAB>reason` to the file named by
/// [`SKIP_LOG_VARIABLE`]. A reason names what is missing; the list of expected skips matches it literally.
///
/// # Panics
/// When the log is named but cannot be written: a skip nobody sees would look like a pass.
#[expect(clippy::print_stderr, reason = "a test run has nowhere else to say it")]
pub fn skip(reason: &str) {
    eprintln!("SKIP: {reason}");
    let Some(log) = std::env::var_os(SKIP_LOG_VARIABLE) else { return };
    let package = std::env::var("CARGO_PKG_NAME").unwrap_or_else(|_| "?".into());
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("?");
    append(Path::new(&log), &format!("{package}\t{test}\t{}\n", reason.replace(['\n', '\t'], " ")));
}

/// One write call for each line, so that tests running at the same time do not mix theirs.
fn append(log: &Path, line: &str) {
    let file = OpenOptions::new().create(true).append(true).open(log);
    let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        panic!("append to the log of skips: {error} path={}", log.display());
    }
}

/// An address of this machine that nobody else listens at, now or later.
///
/// A port that the system names is worse: whoever finds it must listen there to know it, and programs that another
/// test starts at that time hold it open until they are executed.
#[must_use]
pub fn free_address() -> SocketAddr {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let process = std::process::id();
    let [.., high, low] = process.to_be_bytes();
    // Ports differ as well, for those who listen at all addresses; all are below those that the system names.
    let port = 20_000 + (process % 1_000) as u16 * 12 + GIVEN.fetch_add(1, Ordering::Relaxed);
    SocketAddr::from(([127, 1, high, low], port))
}

/// The path of `relative` in the shared test data, or `None` after a [`skip`] when it is not there.
///
/// The data is looked for in `$SAWYER_SHARED`, else in `../shared` beside the repository.
#[must_use]
pub fn shared(relative: &str) -> Option<PathBuf> {
    let root = match std::env::var_os(SHARED_VARIABLE) {
        Some(folder) => PathBuf::from(folder),
        None => repository().join("../shared"),
    };
    let path = root.join(relative);
    if path.exists() {
        return Some(path);
    }
    skip(&format!("no shared data: {relative}"));
    None
}

/// Whether tests that change the machine (mounts, containers, services) may run; `false` after a [`skip`].
#[must_use]
pub fn may_use_root(what: &str) -> bool {
    let allowed = std::env::var_os(ROOT_VARIABLE).is_some_and(|value| value == "1");
    if !allowed {
        skip(&format!("needs root: {what}"));
    }
    allowed
}

/// The root folder of the repository these tests were built from.
#[must_use]
pub fn repository() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the manifest lies in crates/testkit");
    crates.parent().expect("crates/ lies in the repository").to_path_buf()
}

/// What a script of `tools` prints that fetches programs or packages: the folder they are in. None, with a skip for this reason, if
/// they cannot be had.
///
/// # Panics
/// If there is no such script.
#[must_use]
pub fn packages(tool: &str, names: &[&str], reason: &str) -> Option<String> {
    let script = repository().join("tools").join(tool);
    let out = Command::new(script).args(names).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let out = out.expect("the repository has the script");
    if !out.status.success() {
        skip(reason);
        return None;
    }
    Some(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_one_line_for_each_skip() {
        let log = std::env::temp_dir().join(format!("sawyer-testkit-{}", std::process::id()));
        append(&log, "a\tb\tc\n");
        append(&log, "d\te\tf\n");
        let text = std::fs::read_to_string(&log).unwrap();
        std::fs::remove_file(&log).unwrap();
        assert_eq!(text, "a\tb\tc\nd\te\tf\n");
    }

    #[test]
    fn finds_the_repository() {
        assert!(repository().join("Cargo.toml").is_file());
    }
}
