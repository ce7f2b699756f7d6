//! What does it cost to bring the logs of a node to each output?
//!
//! Log files of containers are written once; then `sawyer agent` reads them and delivers them to a sink in this process,
//! an output after the other. The cost is that of the agent alone, from its start until everything is delivered. The
//! yardsticks of the same run: compressing the files with gzip, and searching them for a byte.
//!
//! For `kafka` the agent has to be built with that feature. The brokers are librdkafka's mock cluster in a process of
//! its own (`kcat`), which keeps the newest messages only and counts none.
#![allow(clippy::print_stdout, reason = "the figures")]

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use sawyer_bench::Cost;
use sawyer_bench::cri::{self, Written};
use sawyer_bench::logs::{self, Mix};
use sawyer_bench::server::Server;
use sawyer_bench::sink::Sink;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Longest wait for one output.
const PATIENCE: Duration = Duration::from_secs(300);

/// Looks without any change before everything counts as delivered.
const QUIET_LOOKS: u32 = 10;

#[derive(Parser)]
struct Args {
    /// The program.
    #[arg(long, default_value = "target/release/sawyer")]
    binary: PathBuf,
    /// Megabytes of log files.
    #[arg(long, default_value_t = 400)]
    megabytes: u64,
    /// Files.
    #[arg(long, default_value_t = 20)]
    files: u64,
    /// What is in them.
    #[arg(long, default_value = "services")]
    mix: Mix,
    /// Where to keep log files for the next run; a folder for this run by default.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Outputs to measure, by the names in the table; all but those to Kafka by default.
    outputs: Vec<String>,
}

/// An output, and what stands in its settings and in its pipeline.
struct Case {
    name: &'static str,
    /// Beside the pipeline's own steps.
    pipeline: &'static str,
    settings: &'static str,
}

const fn case(name: &'static str, pipeline: &'static str, settings: &'static str) -> Case {
    Case { name, pipeline, settings }
}

/// `URL` is the sink's address, `GATEWAY` that of a gateway that lets go of everything, `BROKERS` those of Kafka, `OUT` a
/// file.
const CASES: &[Case] = &[
    case("elasticsearch", "", "type: elasticsearch, endpoint: URL"),
    case("elasticsearch, parse only", PARSE, "type: elasticsearch, endpoint: URL"),
    case("elasticsearch, lines only", LINES, "type: elasticsearch, endpoint: URL"),
    case("elasticsearch, original_of_json", "", "type: elasticsearch, endpoint: URL, original_of_json: true"),
    case("elasticsearch, original: false", "", "type: elasticsearch, endpoint: URL, original: false"),
    case("elasticsearch, buffer in memory", "", "type: elasticsearch, endpoint: URL, buffer: {kind: memory}"),
    case(
        "elasticsearch, lines, in memory",
        LINES,
        "type: elasticsearch, endpoint: URL, buffer: {kind: memory}",
    ),
    case("opensearch", "", "type: opensearch, endpoint: URL"),
    case("loki", "", "type: loki, endpoint: URL"),
    case("http", "", "type: http, url: URL"),
    case("http, not compressed", "", "type: http, url: URL, compression: none"),
    case("http, zstd", "", "type: http, url: URL, compression: zstd"),
    case("http, parse only", PARSE, "type: http, url: URL"),
    case("http, parse only, zstd", PARSE, "type: http, url: URL, compression: zstd"),
    case("cloudwatch_logs", "", CLOUDWATCH),
    case("sawyer", "", "type: sawyer, endpoint: GATEWAY"),
    case("kafka", "", "type: kafka, brokers: [BROKERS]"),
    case("kafka, lz4", "", "type: kafka, brokers: [BROKERS], compression: lz4"),
    case("kafka, format: line", "", "type: kafka, brokers: [BROKERS], format: line"),
    case("exec", "", "type: exec, command: [sh, -c, 'cat > /dev/null']"),
    case("file", "", "type: file, path: OUT, size_max: 10GiB"),
    case("stdout", "", "type: stdout, format: json"),
];

const CLOUDWATCH: &str = "type: cloudwatch_logs, endpoint: URL, region: us-east-1, \
                          auth: {type: aws, access_key_id: AKIDEXAMPLE, secret_access_key: none}";

const PARSE: &str = "multiline: off, mask: off";
const LINES: &str = "multiline: off, mask: off, parse: off";

fn main() -> Result<()> {
    let args = Args::parse();
    let scratch = tempfile::tempdir()?;
    let root = args.folder.clone().unwrap_or_else(|| scratch.path().join("node"));
    let written = written(&root, &args)?;
    println!("{} files, {} lines, {:.0} MB", args.files, written.lines, written.bytes as f64 / 1e6);
    yardsticks(&root)?;
    println!(
        "{:<36} {:>10} {:>8} {:>9} {:>9} {:>9}",
        "output", "MB/CPU s", "CPU s", "sent MB", "requests", "peak MB"
    );
    for case in CASES {
        // Without being asked for, only what every build has.
        let wanted = match args.outputs.is_empty() {
            true => !case.settings.contains("BROKERS"),
            false => args.outputs.iter().any(|name| name == case.name),
        };
        if wanted {
            measure(case, &args.binary, &root, written)?;
        }
    }
    Ok(())
}

/// Log files, which are there already if the folder was given before.
fn written(root: &Path, args: &Args) -> Result<Written> {
    let note = root.join("written");
    if let Ok(text) = fs::read_to_string(&note) {
        let mut numbers = text.split_whitespace().map(str::parse::<u64>);
        let next = numbers.next().zip(numbers.next()).context("read what was written")?;
        return Ok(Written { bytes: next.0?, lines: next.1? });
    }
    let bytes = args.megabytes * 1_000_000;
    let written = match args.mix {
        Mix::Services => cri::write(root, args.files, bytes, 7)?,
        Mix::Json => {
            let made = logs::make(&root.join("var/log/pods"), args.files as usize, bytes, Mix::Json, 7)?;
            Written { bytes: made.bytes, lines: made.lines }
        }
    };
    fs::write(&note, format!("{} {}\n", written.bytes, written.lines))?;
    Ok(written)
}

fn yardsticks(root: &Path) -> Result<()> {
    let mut files = Vec::new();
    for pod in fs::read_dir(root.join("var/log/pods"))? {
        files.push(fs::read(pod?.path().join("app/0.log"))?);
    }
    let bytes = files.iter().map(Vec::len).sum::<usize>() as u64;
    let told = |what: &str, work: &dyn Fn(&[u8]) -> usize| -> Result<()> {
        let before = Cost::of(std::process::id())?;
        let result: usize = files.iter().map(|file| work(file)).sum();
        let cost = Cost::of(std::process::id())?.since(before);
        println!("yardstick: {what:<25} {:>10.0}   ({result})", cost.megabytes_per_cpu_second(bytes));
        Ok(())
    };
    told("gzip, level 1", &|file| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let written = io::Write::write_all(&mut encoder, file);
        written.and_then(|()| encoder.finish()).map_or(0, |packed| packed.len())
    })?;
    told("looking at every byte", &|file| file.iter().filter(|byte| **byte == b'\n').count())?;
    const RUNS: u64 = 8;
    let before = Cost::of(std::process::id())?;
    for _ in 0..RUNS {
        let mut grep = Command::new("grep");
        // Into `/dev/null` it would look no further than the first line.
        grep.env("LC_ALL", "C").args(["-rc", ""]).arg(root.join("var/log/pods"));
        grep.output().context("run grep")?;
    }
    // What it waited for counts.
    let cost = Cost::of(std::process::id())?.since(before);
    println!("yardstick: {:<25} {:>10.0}", "grep -c ''", cost.megabytes_per_cpu_second(bytes * RUNS));
    Ok(())
}

fn measure(case: &Case, binary: &Path, root: &Path, written: Written) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let sink = Sink::start()?;
    let out = folder.path().join("out");
    let gateway = match case.settings.contains("GATEWAY") {
        true => Some(gateway(binary, folder.path())?),
        false => None,
    };
    let brokers = match case.settings.contains("BROKERS") {
        true => Some(Brokers::start()?),
        false => None,
    };
    let settings = case.settings.replace("URL", &sink.url());
    let settings = settings.replace("BROKERS", brokers.as_ref().map_or("", |brokers| &brokers.addresses));
    let settings =
        settings.replace("GATEWAY", &gateway.as_ref().map(|(_, url)| url.clone()).unwrap_or_default());
    let settings = settings.replace("OUT", out.to_str().context("a path in UTF-8")?);
    let pipeline = case.pipeline;
    let config = format!(
        "inputs: {{containers: }}\npipelines: {{main: {{{pipeline}}}}}\noutputs: {{out: {{{settings}}}}}\n"
    );
    let path = folder.path().join("sawyer.yaml");
    fs::write(&path, config)?;
    let path = |path: &Path| path.to_str().map(str::to_owned).context("a path in UTF-8");
    let args = [
        "--config".to_owned(),
        path(&folder.path().join("sawyer.yaml"))?,
        "--host-root".to_owned(),
        path(root)?,
    ];
    let mut agent = Server::start_as("agent", binary, &folder.path().join("data"), &args)?;
    wait(&mut agent, written)?;
    let cost = agent.cost()?;
    let taken = sink.taken();
    println!(
        "{:<36} {:>10.1} {:>8.2} {:>9.1} {:>9} {:>9.0}   {:.2} bytes sent for each read, before gzip {:.2}",
        case.name,
        cost.megabytes_per_cpu_second(written.bytes),
        cost.cpu.as_secs_f64(),
        taken.bytes as f64 / 1e6,
        taken.requests,
        cost.memory_peak_bytes as f64 / 1e6,
        taken.bytes as f64 / written.bytes as f64,
        taken.plain_bytes as f64 / written.bytes as f64,
    );
    Ok(())
}

/// A gateway that takes records and lets go of them, and its address.
fn gateway(binary: &Path, folder: &Path) -> Result<(Server, String)> {
    let config = folder.join("gateway.yaml");
    fs::write(&config, "inputs: {sawyer: }\noutputs: {out: {type: \"null\"}}\n")?;
    let args = ["--config".to_owned(), config.to_str().context("a path in UTF-8")?.to_owned()];
    let gateway = Server::start_as("gateway", binary, &folder.join("gateway"), &args)?;
    let url = format!("http://{}", gateway.address()?);
    Ok((gateway, url))
}

/// librdkafka's mock cluster, in a process of its own.
struct Brokers {
    process: Child,
    addresses: String,
    /// They live as long as there may be something to send.
    _input: ChildStdin,
}

impl Brokers {
    fn start() -> Result<Self> {
        let mut command = Command::new("kcat");
        command.args([
            "-P",
            "-b",
            "none:1",
            "-t",
            "own",
            "-X",
            "test.mock.num.brokers=3",
            "-X",
            "debug=mock",
        ]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().context("start kcat")?;
        let input = process.stdin.take().context("its input")?;
        let mut said =
            BufReader::new(process.stderr.take().context("its errors")?).lines().map_while(io::Result::ok);
        let first = said.find_map(|line| Some(line.split_once("bootstrap.servers=")?.1.trim().to_owned()));
        // It goes on to say much, which nobody needs.
        std::thread::spawn(move || said.for_each(drop));
        let addresses = first.context("kcat says where its brokers listen")?;
        let addresses = addresses.split(',').map(|address| format!("'{address}'")).collect::<Vec<_>>();
        Ok(Self { process, addresses: addresses.join(", "), _input: input })
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        drop((self.process.kill(), self.process.wait()));
    }
}

/// Waits until everything was read and delivered.
fn wait(agent: &mut Server, written: Written) -> Result<()> {
    let start = std::time::Instant::now();
    let (_keep, never) = std::sync::mpsc::channel::<()>();
    let (mut last, mut quiet) = ((0.0, 0.0), 0);
    while quiet < QUIET_LOOKS {
        // Nobody sends, so this waits.
        let _ = never.recv_timeout(PAUSE);
        let lines = agent.metric_sum("sawyer_input_lines_total")?;
        let delivered = agent.metric_sum("sawyer_output_records_total")?;
        if lines > written.lines as f64 {
            bail!("{lines} lines were read of {}", written.lines);
        }
        if start.elapsed() > PATIENCE {
            bail!("{delivered} records of {lines} lines were delivered, and it takes too long");
        }
        let all = lines == written.lines as f64 && delivered > 0.0;
        quiet = if all && (lines, delivered) == last { quiet + 1 } else { 0 };
        last = (lines, delivered);
    }
    Ok(())
}
