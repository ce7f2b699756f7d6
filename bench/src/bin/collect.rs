//! What reading the logs of containers costs: `collect speed`, `collect quiet`.
//!
//! Owns: the measurement of the agent between files and an output that lets go of everything.
//! Does not own: other outputs.
//!
//! `speed` reads files with lines of services into the output `null`, which reads every field, and tells MB per second
//! of CPU time beside `grep -c ''` on the same files. `quiet` follows many files that nobody writes, with the inputs that
//! the chart gives an agent, and tells the share of a core and the memory: after it has read them, and after a restart.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use sawyer_bench::Cost;
use sawyer_bench::logs::{Made, Mix, make};
use sawyer_bench::sawyer::{Sawyer, pause};

/// How often the yardstick runs: once is too short for the clock of the kernel.
const YARDSTICK_RUNS: u64 = 8;

#[derive(Parser)]
#[command(about = "What reading the logs of containers costs")]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// MB per second of CPU time, from files into the output `null`.
    Speed {
        /// Megabytes of files.
        #[arg(long, default_value_t = 200)]
        megabytes: u64,
        /// How many files.
        #[arg(long, default_value_t = 40)]
        files: usize,
        /// What is in them.
        #[arg(long, default_value = "services")]
        mix: Mix,
        /// Which steps run. May be given several times.
        #[arg(long, default_values = ["none", "parse", "parse-mask", "all"])]
        steps: Vec<Steps>,
    },
    /// Share of a core and memory while nobody writes.
    Quiet {
        /// How many files.
        #[arg(long, default_value_t = 500)]
        files: usize,
        /// For how long.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Steps {
    /// Lines as they are.
    None,
    /// Fields of lines.
    Parse,
    /// The same, with secrets masked.
    ParseMask,
    /// What every pipeline does unless told otherwise: the same, with lines that belong together made one.
    All,
}

impl Steps {
    fn settings(self) -> &'static str {
        match self {
            Self::None => "multiline: off, mask: off, parse: off",
            Self::Parse => "multiline: off, mask: off",
            Self::ParseMask => "multiline: off",
            Self::All => "",
        }
    }
}

fn main() -> Result<()> {
    match Args::parse().what {
        What::Speed { megabytes, files, mix, steps } => {
            let folder = Folder::new("speed")?;
            let made = make(&folder.0.join("pods"), files, megabytes * 1_000_000, mix, 7)?;
            speed(&made, &steps, &folder.0)
        }
        What::Quiet { files, seconds } => {
            let folder = Folder::new("quiet")?;
            let made = make(&folder.0.join("pods"), files, files as u64 * 20_000, Mix::Services, 7)?;
            quiet(&made, Duration::from_secs(seconds), &folder.0)
        }
    }
}

fn speed(made: &Made, steps: &[Steps], folder: &Path) -> Result<()> {
    let yardstick = yardstick(made)?;
    tell(&format!(
        "{} files, {:.1} MB, {} lines ({} partial), {} records",
        made.files.len(),
        made.bytes as f64 / 1e6,
        made.lines,
        made.partial_lines,
        made.records
    ));
    tell("steps | records | CPU seconds | MB per CPU second | peak memory MiB");
    let rate = yardstick.megabytes_per_cpu_second(made.bytes * YARDSTICK_RUNS);
    tell(&format!("grep -c '' | | {:.2} | {rate:.0} |", yardstick.cpu.as_secs_f64() / YARDSTICK_RUNS as f64));
    for (number, steps) in steps.iter().copied().enumerate() {
        let mut agent = start(steps, folder, &folder.join(format!("run-{number}")))?;
        let wanted = if steps == Steps::All { made.events } else { made.records };
        agent.wait_for("sawyer_output_records_total", wanted, Duration::from_secs(600))?;
        let (cost, records) = (agent.cost()?, agent.metric("sawyer_output_records_total")?);
        ensure!(records.cast_unsigned() == wanted, "{records} records of {wanted}");
        agent.stop()?;
        tell(&format!(
            "{steps:?} | {records} | {:.2} | {:.0} | {:.1}",
            cost.cpu.as_secs_f64(),
            cost.megabytes_per_cpu_second(made.bytes),
            cost.memory_peak_bytes as f64 / f64::from(1 << 20)
        ));
    }
    Ok(())
}

fn quiet(made: &Made, time: Duration, folder: &Path) -> Result<()> {
    link(made, &folder.join("links"))?;
    tell("files | seconds | CPU seconds | share of a core % | peak memory MiB");
    for when in ["after reading them", "after a restart"] {
        let mut agent = Sawyer::start("agent", &as_in_chart(folder), &folder.join("run"))?;
        // After a restart there is nothing to be read.
        if when == "after reading them" {
            agent.wait_for("sawyer_input_bytes_total", made.bytes, Duration::from_secs(300))?;
        }
        pause(Duration::from_secs(5));
        let (before, began) = (agent.cost()?, Instant::now());
        pause(time);
        let (cost, lasted) = (agent.cost()?.since(before), began.elapsed());
        tell(&format!(
            "{} {when} | {:.0} | {:.2} | {:.2} | {:.1}",
            made.files.len(),
            lasted.as_secs_f64(),
            cost.cpu.as_secs_f64(),
            cost.cpu.as_secs_f64() / lasted.as_secs_f64() * 100.0,
            cost.memory_peak_bytes as f64 / f64::from(1 << 20)
        ));
        agent.stop()?;
    }
    Ok(())
}

/// Links to logs as the kubelet makes them.
fn link(made: &Made, links: &Path) -> Result<()> {
    fs::create_dir_all(links).context("make a folder")?;
    for (number, file) in made.files.iter().enumerate() {
        let name = format!("pod-{number}_shop_app-{number:064x}.log");
        std::os::unix::fs::symlink(file, links.join(name)).context("make a link")?;
    }
    Ok(())
}

/// The inputs that the chart gives an agent, with the pods of `folder`.
fn as_in_chart(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "inputs:\n  containers: {{pods: {folder}/pods, links: {folder}/links, docker: null}}\n  journal:\n  files:\n\
         \x20 audit: {{type: files, include: ['/var/log/kubernetes/audit/*.log']}}\n\
         pipelines:\n  main: {{}}\noutputs:\n  null: {{type: \"null\"}}\n"
    )
}

/// An agent that reads the files of `folder`.
fn start(steps: Steps, folder: &Path, state: &Path) -> Result<Sawyer> {
    let pods = folder.join("pods");
    let pods = pods.display();
    let steps = steps.settings();
    let configuration = format!(
        "inputs:\n  containers: {{pods: {pods}, links: null, docker: null}}\npipelines:\n  main: {{{steps}}}\n\
         outputs:\n  null: {{type: \"null\"}}\n"
    );
    Sawyer::start("agent", &configuration, state)
}

/// `grep -c ''` on the same files.
fn yardstick(made: &Made) -> Result<Cost> {
    let before = Cost::of(std::process::id())?;
    for _ in 0..YARDSTICK_RUNS {
        let mut grep = Command::new("grep");
        // Into a pipe: where nobody reads its output, it does not count.
        let output =
            grep.args(["-c", ""]).args(&made.files).env("LC_ALL", "C").output().context("run grep")?;
        if !output.status.success() {
            bail!("grep ended with {}", output.status);
        }
    }
    Ok(Cost::of(std::process::id())?.since(before))
}

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("sawyer-collect-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).context("make a folder")?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever cleans the folder for such things.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn tell(line: &str) {
    println!("{line}");
}
