//! `sawyer-fuzz`: each target for some seconds, several at a time, each in a process of its own.
#![expect(clippy::print_stdout, reason = "what it found is told there")]

use std::path::PathBuf;
use std::process::{Child, Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use rustix::process::{Resource, Rlimit, setrlimit};
use sawyer_fuzz::targets::TARGETS;
use sawyer_fuzz::{Target, run};

#[derive(Parser)]
#[command(about = "Throws bytes at every decoder")]
struct Args {
    /// Which targets; all of them by default.
    targets: Vec<String>,
    /// How long each is run.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How many run at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Where inputs that reach something new are kept, and those that fail.
    #[arg(long)]
    folder: PathBuf,
    /// Run the one target in this process.
    #[arg(long, hide = true)]
    alone: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = if args.alone { alone(&args) } else { all(&args) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn named(name: &str) -> Result<&'static Target> {
    TARGETS.iter().find(|target| target.name == name).with_context(|| {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        format!("there is no target `{name}`; there are {}", names.join(", "))
    })
}

fn alone(args: &Args) -> Result<()> {
    let target = named(args.targets.first().context("which target?")?)?;
    let limit = Some(run::MEMORY_BYTES_MAX);
    setrlimit(Resource::As, Rlimit { current: limit, maximum: limit }).context("limit the memory")?;
    let report = run::fuzz(target, &args.folder, Duration::from_secs(args.seconds))?;
    let (reached, places) = report.reached;
    let (name, runs, corpus) = (target.name, report.runs, report.corpus);
    println!("{name:<12} {runs:>9} inputs, {corpus:>5} kept, {reached:>6} of {places} places reached");
    Ok(())
}

fn all(args: &Args) -> Result<()> {
    std::fs::create_dir_all(&args.folder).context("make the folder")?;
    let mut waiting: Vec<&Target> = match args.targets.is_empty() {
        true => TARGETS.iter().collect(),
        false => args.targets.iter().map(|name| named(name)).collect::<Result<_>>()?,
    };
    waiting.reverse();
    let mut running: Vec<(&Target, Child)> = Vec::new();
    let mut failed = Vec::new();
    while !waiting.is_empty() || !running.is_empty() {
        while running.len() < args.jobs.max(1)
            && let Some(target) = waiting.pop()
        {
            let mut command = Command::new(std::env::current_exe().context("find this program")?);
            command.args(["--alone", "--seconds", &args.seconds.to_string(), "--folder"]);
            running.push((
                target,
                command.arg(&args.folder).arg(target.name).spawn().context("start a target")?,
            ));
        }
        let (target, mut child) = running.remove(0);
        let status = child.wait().context("wait for a target")?;
        let current = run::current(&args.folder, target);
        if !status.success() {
            failed.push(target.name);
        }
        if let (None | Some(run::HUNG), Some(input)) = (status.code(), run::noted(&current)) {
            let path = run::keep_failure(&args.folder, target, &input)?;
            println!("target {}: {status}; the input is in {}", target.name, path.display());
        }
        let _ = std::fs::remove_file(current);
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!("failed: {}. To keep an input as a test, copy it to fuzz/regressions/<target>/", failed.join(", "))
}
