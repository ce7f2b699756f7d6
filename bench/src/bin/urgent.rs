//! How long does an error take to pass a backlog?
//!
//! `sawyer agent` reads a million lines of a container while its target is away, so they wait in its buffer on disk. Then
//! the target is back, and takes so many records a second and no more: requests share what it can do, so one with many
//! records takes long. While the backlog is sent, errors are written to the container's log, one after the other, and
//! timed from the write until the target has answered the request they are in.
#![allow(clippy::print_stdout, reason = "the figures")]
#![allow(clippy::disallowed_methods, reason = "a measurement goes by the machine's clock")]

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use sawyer_bench::sawyer::pause;
use sawyer_bench::server::Server;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(900);

/// How often a target that is busy hands out what it can do.
const SLICE: Duration = Duration::from_millis(5);

#[derive(Parser)]
struct Args {
    /// The program.
    #[arg(long, default_value = "target/release/sawyer")]
    binary: PathBuf,
    /// Lines of the backlog.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Records that the target takes in a second.
    #[arg(long, default_value_t = 20_000)]
    rate: u64,
    /// Errors to time while the backlog is sent.
    #[arg(long, default_value_t = 15)]
    errors: u64,
    /// Further settings of the output, such as `buffer: {bytes_max: 16MiB}`.
    #[arg(long, default_value = "")]
    settings: String,
    /// Records that have to be read before the target is back, where not all of them fit.
    #[arg(long)]
    until: Option<u64>,
}

/// A target that is away at first, and then slow.
struct Target {
    address: SocketAddr,
    shared: Arc<Mutex<Books>>,
}

#[derive(Default)]
struct Books {
    up: bool,
    rate: f64,
    /// Requests that share what the target can do.
    active: u32,
    taken: u64,
    /// When the answer to each error went out.
    answered: HashMap<u64, Instant>,
}

impl Target {
    fn start(rate: u64) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Mutex::new(Books { rate: rate as f64, ..Books::default() }));
        let books = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let books = Arc::clone(&books);
                // A broken connection is the other side's business.
                std::thread::spawn(move || serve(stream, &books));
            }
        });
        Ok(Self { address, shared })
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        lock(&self.shared)
    }
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream, books: &Mutex<Books>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut to = stream.try_clone()?;
    let mut from = BufReader::with_capacity(1 << 20, stream);
    let (mut line, mut body) = (String::new(), Vec::new());
    loop {
        let mut length = 0;
        line.clear();
        if from.read_line(&mut line)? == 0 {
            return Ok(());
        }
        while line.trim_end() != "" {
            line.clear();
            from.read_line(&mut line)?;
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        body.resize(length, 0);
        from.read_exact(&mut body)?;
        let status = if lock(books).up { "204 No Content" } else { "503 Service Unavailable" };
        if status.starts_with('2') {
            work(&body, books);
        }
        write!(to, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")?;
    }
}

/// Takes as long for a request as its share of the target's time is.
fn work(body: &[u8], books: &Mutex<Books>) {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let (mut count, mut errors) = (0_u64, Vec::new());
    for line in lines {
        count += 1;
        if line.windows(8).any(|piece| piece == b"urgency=") {
            let text = String::from_utf8_lossy(line);
            let digits = text.split("urgency=").nth(1).unwrap_or_default();
            let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
            errors.extend(digits[..end].parse::<u64>());
        }
    }
    lock(books).active += 1;
    let (mut left, mut last) = (count as f64, Instant::now());
    while left > 0.0 {
        pause(SLICE);
        let share = {
            let books = lock(books);
            books.rate / f64::from(books.active)
        };
        left -= share * last.elapsed().as_secs_f64();
        last = Instant::now();
    }
    let mut books = lock(books);
    books.active -= 1;
    books.taken += count;
    let now = Instant::now();
    for error in errors {
        books.answered.entry(error).or_insert(now);
    }
}

const START_SECS: u64 = 1_795_176_000;

fn write_backlog(log: &Path, records: u64) -> Result<u64> {
    let mut file = BufWriter::new(File::create(log)?);
    let mut bytes = 0;
    for number in 0..records {
        let time =
            jiff::Timestamp::from_nanosecond(i128::from(START_SECS) * 1_000_000_000 + i128::from(number))?;
        let line = format!(
            "{time} stdout F {{\"level\":\"info\",\"msg\":\"order {number} of customer {} is on its way\",\
             \"trace_id\":\"{:032x}\",\"path\":\"/api/v1/orders/{number}\",\"status\":200,\"took_ms\":{}}}\n",
            number % 977,
            u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
            number % 311
        );
        bytes += line.len() as u64;
        file.write_all(line.as_bytes())?;
    }
    file.flush()?;
    Ok(bytes)
}

fn write_error(log: &Path, number: u64) -> Result<Instant> {
    let mut file = OpenOptions::new().append(true).open(log)?;
    let time = jiff::Timestamp::from_second(i64::try_from(START_SECS + 3600 + number)?)?;
    let line =
        format!("{time} stderr F {{\"level\":\"error\",\"msg\":\"the pump burns, urgency={number}\"}}\n");
    let at = Instant::now();
    file.write_all(line.as_bytes())?;
    Ok(at)
}

fn wait(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<Duration> {
    let start = Instant::now();
    while !holds()? {
        ensure!(start.elapsed() < PATIENCE, "waited too long until {what}");
        pause(LOOK);
    }
    Ok(start.elapsed())
}

fn main() -> Result<()> {
    let args = Args::parse();
    let folder = tempfile::tempdir()?;
    let pod = folder.path().join("host/var/log/pods/shop_cart_8e4a5afb-0ab6-44a9-aff5-be71699ac8b8/app");
    fs::create_dir_all(&pod)?;
    let log = pod.join("0.log");
    let bytes = write_backlog(&log, args.records)?;
    println!(
        "{} lines, {:.0} MB; the target takes {} records a second",
        args.records,
        bytes as f64 / 1e6,
        args.rate
    );
    let target = Target::start(args.rate)?;
    let comma = if args.settings.is_empty() { "" } else { ", " };
    let config = format!(
        "inputs: {{containers: }}\noutputs: {{out: {{type: http, url: 'http://{}', compression: none{comma}{}}}}}\n",
        target.address, args.settings
    );
    let path = |name: &str| folder.path().join(name).to_str().map(str::to_owned).context("a path in UTF-8");
    fs::write(path("sawyer.yaml")?, config)?;
    let more = ["--config".to_owned(), path("sawyer.yaml")?, "--host-root".to_owned(), path("host")?];
    let mut agent = Server::start_as("agent", &args.binary, &folder.path().join("data"), &more)?;
    let until = args.until.unwrap_or(args.records);
    wait("all wait", || Ok(agent.metric_sum("sawyer_buffer_pushed_records_total")? >= until as f64))?;
    // What is written now has to be in the buffer too, which it is at once.
    let before = write_error(&log, 0)?;
    pause(Duration::from_secs(3));
    println!(
        "{:.0} records, {:.0} MB wait in the buffer",
        agent.metric_sum("sawyer_buffer_pushed_records_total")?,
        agent.metric_sum("sawyer_buffer_held_bytes")? / 1e6
    );
    target.books().up = true;
    let up = Instant::now();
    wait("anything is taken", || Ok(target.books().taken > 0))?;
    let first = up.elapsed();
    measure(&args, &target, &log, before, up, first)?;
    let all = args.records + args.errors + 1;
    wait("the whole backlog is taken", || Ok(target.books().taken >= all))?;
    println!("the whole backlog was taken after      {:>8.2} s", up.elapsed().as_secs_f64());
    Ok(())
}

fn measure(
    args: &Args,
    target: &Target,
    log: &Path,
    before: Instant,
    up: Instant,
    first: Duration,
) -> Result<()> {
    let arrival = |number: u64| target.books().answered.get(&number).copied();
    wait("the first error is there", || Ok(arrival(0).is_some()))?;
    let of_first = arrival(0).context("it is there")?;
    println!("the target took something after        {:>8.2} s", first.as_secs_f64());
    println!(
        "the error from before, from its return {:>8.2} s, from its write {:.2} s",
        of_first.saturating_duration_since(up).as_secs_f64(),
        of_first.saturating_duration_since(before).as_secs_f64(),
    );
    // By now as many requests are under way as there may be.
    pause(Duration::from_secs(10));
    let mut times = Vec::new();
    for number in 1..=args.errors {
        let written = write_error(log, number)?;
        wait("an error is there", || Ok(arrival(number).is_some()))?;
        let arrived = arrival(number).context("it is there")?;
        times.push(arrived.saturating_duration_since(written).as_secs_f64());
        pause(Duration::from_millis(400 + 170 * (number % 5)));
    }
    let taken = target.books().taken;
    times.sort_by(f64::total_cmp);
    println!(
        "{} errors while {} of the backlog were left: {:.2} s in the median, {:.2} s at most",
        times.len(),
        args.records.saturating_sub(taken),
        times[times.len() / 2],
        times[times.len() - 1],
    );
    Ok(())
}
