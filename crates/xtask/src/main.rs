//! Tasks of the repository that are programs: `cargo xtask tidy`, `cargo xtask skips`, `cargo xtask docs`.
//!
//! Owns: the rules of ARCHITECTURE.md and CONTRIBUTING.md that can be checked without compiling, the comparison of
//! skipped tests with the committed list, the place of the configuration reference.
//! Does not own: what rustfmt, clippy and cargo-deny already check.
//! Invariant: checks read the repository and never change it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks to its terminal")]

mod docs;
mod skips;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const USAGE: &str = "\
usage: cargo xtask tidy                                  check the rules of the repository
       cargo xtask docs [--check]                        write docs/configuration.md, or only compare it
       cargo xtask skips LOG [--without NAME]...         compare skipped tests with .ci/expected-skips";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(findings) if findings.is_empty() => ExitCode::SUCCESS,
        Ok(findings) => {
            findings.iter().for_each(|finding| println!("{finding}"));
            println!("{} found", findings.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs one task; what it returns are the things that somebody has to change.
fn run(arguments: &[String]) -> Result<Vec<String>> {
    let root = root()?;
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["tidy"] => Ok(tidy::check(&root)?.iter().map(ToString::to_string).collect()),
        ["docs"] => docs::generate(&root, false),
        ["docs", "--check"] => docs::generate(&root, true),
        ["skips", log, options @ ..] => skips::compare(&root, Path::new(log), options),
        _ => bail!("{USAGE}"),
    }
}

/// The repository this program was built from.
fn root() -> Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = manifest.ancestors().nth(2).context("the manifest lies in crates/xtask")?;
    Ok(root.to_path_buf())
}
