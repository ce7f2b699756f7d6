//! Makes log files as a container runtime writes them, in the kubelet's layout.
//!
//! Owns: what is in the lines: JSON, logfmt, plain text and stack traces, as services write them, with partial lines.
//! Does not own: when they are written (files here are whole; `rotate` writes while somebody reads).
//! Invariant: the same seed makes the same bytes.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Numbers that follow from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// One of these.
    pub fn of<'a>(&mut self, some: &[&'a str]) -> &'a str {
        some[self.below(some.len() as u64) as usize]
    }
}

/// What was made.
#[derive(Clone, Debug, Default)]
pub struct Made {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Bytes in them.
    pub bytes: u64,
    /// Lines in them.
    pub lines: u64,
    /// Of these, lines that go on in the next one (`P`).
    pub partial_lines: u64,
    /// Lines as the containers wrote them.
    pub records: u64,
    /// The same, with each stack trace counted once.
    pub events: u64,
}

/// What the files hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mix {
    /// 45 % JSON, 27 % logfmt, 25 % plain text, 3 % stack traces of 5 to 16 lines.
    Services,
    /// JSON alone.
    Json,
}

const NAMESPACES: [&str; 10] =
    ["default", "kube-system", "shop", "payments", "search", "ml", "ingress", "monitoring", "data", "auth"];
const SERVICES: [&str; 12] = [
    "checkout",
    "cart",
    "catalog",
    "gateway",
    "ledger",
    "indexer",
    "ranker",
    "etl-worker",
    "login",
    "mailer",
    "billing",
    "frontend",
];
const LEVELS: [&str; 7] = ["debug", "info", "info", "info", "info", "warn", "error"];
const PATHS: [&str; 8] = [
    "/api/v1/orders",
    "/api/v1/cart/items",
    "/healthz",
    "/api/v2/search?q=shoes",
    "/login",
    "/api/v1/users/42/profile",
    "/graphql",
    "/api/v1/checkout/confirm",
];
const WORDS: [&str; 32] = [
    "connection",
    "timeout",
    "upstream",
    "retry",
    "accepted",
    "order",
    "user",
    "payment",
    "cache",
    "miss",
    "hit",
    "shard",
    "replica",
    "leader",
    "elected",
    "queue",
    "drained",
    "worker",
    "started",
    "finished",
    "request",
    "handled",
    "database",
    "transaction",
    "committed",
    "snapshot",
    "index",
    "token",
    "expired",
    "renewed",
    "circuit",
    "latency",
];
const CLASSES: [&str; 6] =
    ["OrderService", "CartController", "ChannelHandler", "DispatcherServlet", "HikariPool", "PaymentClient"];

/// The seconds since midnight, 2026-11-20, at which the first lines are said.
const START_NANOS: u64 = 36_000_000_000_000;

/// Makes `files` files of together about `bytes` bytes below `folder`, with one line in ten partial.
///
/// # Errors
/// If they cannot be written.
pub fn make(folder: &Path, files: usize, bytes: u64, mix: Mix, seed: u64) -> Result<Made> {
    let mut made = Made::default();
    for number in 0..files {
        let mut dice = Dice(seed.wrapping_mul(1_000_003).wrapping_add(number as u64 * 7919));
        let path = folder.join(place(number, &mut dice));
        fs::create_dir_all(path.parent().expect("it has folders above")).context("make folders")?;
        let file = File::create(&path).with_context(|| format!("make {}", path.display()))?;
        let mut writer = Writer {
            out: BufWriter::with_capacity(1 << 20, file),
            made: &mut made,
            nanos: START_NANOS + dice.below(1_000_000_000),
            dice,
            line: String::new(),
            written: 0,
            sequence: 0,
            number,
        };
        while writer.written < bytes / files as u64 {
            writer.event(mix)?;
        }
        writer.out.flush().context("write a log")?;
        made.files.push(path);
    }
    Ok(made)
}

/// `<namespace>_<pod>_<uid>/<container>/0.log`
fn place(number: usize, dice: &mut Dice) -> PathBuf {
    let namespace = NAMESPACES[number % NAMESPACES.len()];
    let service = SERVICES[number % SERVICES.len()];
    let (one, two) = (dice.number(), dice.number());
    let pod = format!("{service}-{:010x}-{:05x}", one >> 24, two & 0xf_ffff);
    let uid = format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        one >> 32,
        one >> 16 & 0xffff,
        one & 0xfff,
        two >> 52,
        two & 0xffff_ffff_ffff
    );
    PathBuf::from(format!("{namespace}_{pod}_{uid}/app/0.log"))
}

struct Writer<'a> {
    out: BufWriter<File>,
    made: &'a mut Made,
    dice: Dice,
    line: String,
    nanos: u64,
    written: u64,
    sequence: u64,
    number: usize,
}

impl Writer<'_> {
    fn event(&mut self, mix: Mix) -> Result<()> {
        self.made.events += 1;
        self.nanos += 200_000 + self.dice.below(8_000_000);
        let kind = if mix == Mix::Json { 0 } else { self.dice.below(1000) };
        match kind {
            0..450 => self.json(),
            450..700 => self.plain(),
            700..970 => self.logfmt(),
            _ => return self.stack_trace(),
        }
        self.sequence += 1;
        // Pieces are lines as well, so fewer than one event in ten has to be cut.
        match self.dice.below(10_000) {
            0..2 => {
                self.words(4000);
                self.line.push_str(if self.line.starts_with('{') { "\"}" } else { "\"" });
                self.end("stdout", 16 << 10)
            }
            2..780 => {
                let piece = self.line.len() / (2 + self.dice.below(2) as usize) + 1;
                self.close_quote();
                self.end("stdout", piece)
            }
            _ => {
                self.close_quote();
                self.end("stdout", usize::MAX)
            }
        }
    }

    fn close_quote(&mut self) {
        self.words(2 + (self.line.len() % 5));
        if self.line.starts_with('{') {
            self.line.push_str("\"}");
        } else if self.line.starts_with("time=") {
            self.line.push('"');
        }
    }

    fn json(&mut self) {
        let (time, level) = (self.time(), self.dice.of(&LEVELS));
        let (number, sequence) = (self.number, self.sequence);
        let service = SERVICES[number % SERVICES.len()];
        let (trace, ms) = (self.dice.number(), self.dice.below(20_000));
        let status = if self.dice.below(10) > 0 { 200 } else { 500 };
        let path = self.dice.of(&PATHS);
        self.write(format_args!(
            "{{\"ts\":\"{time}.{:03}Z\",\"level\":\"{level}\",\"seq\":\"f{number:02}-{sequence:08}\",\"logger\":\"{service}\",\
             \"trace_id\":\"{trace:016x}\",\"status\":{status},\"ms\":{}.{},\"path\":\"{path}\",\"msg\":\"",
            sequence % 1000,
            ms / 10,
            ms % 10
        ));
    }

    fn plain(&mut self) {
        let (time, level) = (self.time(), self.dice.of(&LEVELS));
        let (number, sequence) = (self.number, self.sequence);
        let service = SERVICES[number % SERVICES.len()];
        self.write(format_args!("{} [{level}] f{number:02}-{sequence:08} {service} ", &time[11..]));
        let words = 8 + self.dice.below(12) as usize;
        self.words(words);
        self.line.push(' ');
    }

    fn logfmt(&mut self) {
        let (time, level) = (self.time(), self.dice.of(&LEVELS));
        let (number, sequence) = (self.number, self.sequence);
        let service = SERVICES[number % SERVICES.len()];
        let (line, ms, trace) = (self.dice.below(900), self.dice.below(5000), self.dice.number());
        let status = if self.dice.below(10) > 0 { 200 } else { 404 };
        let path = self.dice.of(&PATHS);
        self.write(format_args!(
            "time={time}Z level={level} seq=f{number:02}-{sequence:08} caller={service}.go:{line} method=GET path={path} \
             status={status} dur={}.{}ms trace={trace:016x} msg=\"",
            ms / 10,
            ms % 10
        ));
    }

    fn stack_trace(&mut self) -> Result<()> {
        let (number, sequence) = (self.number, self.sequence);
        self.sequence += 1;
        self.write(format_args!("java.lang.IllegalStateException: f{number:02}-{sequence:08} "));
        self.words(8);
        self.end("stderr", usize::MAX)?;
        for _ in 0..4 + self.dice.below(12) {
            self.nanos += 1000;
            let (class, line) = (self.dice.of(&CLASSES), self.dice.below(999));
            self.write(format_args!(
                "\tat com.example.shop.{class}.handle({class}.java:{line}) ~[app.jar!/:1.4.2]"
            ));
            self.end("stderr", usize::MAX)?;
        }
        Ok(())
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.line.clear();
        self.line.write_fmt(text).expect("a string takes everything");
    }

    fn words(&mut self, count: usize) {
        for at in 0..count {
            if at > 0 {
                self.line.push(' ');
            }
            let word = self.dice.of(&WORDS);
            self.line.push_str(word);
        }
    }

    /// `2026-11-20T10:00:00`
    fn time(&self) -> String {
        let seconds = self.nanos / 1_000_000_000;
        let (day, rest) = (20 + seconds / 86_400, seconds % 86_400);
        format!("2026-11-{day:02}T{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
    }

    /// Writes the line, in pieces of this many bytes.
    fn end(&mut self, stream: &str, piece: usize) -> Result<()> {
        let line = std::mem::take(&mut self.line);
        let mut rest = line.as_str();
        loop {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            let tag = if later.is_empty() { 'F' } else { 'P' };
            let head = format!("{}.{:09}Z {stream} {tag} ", self.time(), self.nanos % 1_000_000_000);
            writeln!(self.out, "{head}{now}").context("write a log")?;
            let bytes = (head.len() + now.len() + 1) as u64;
            self.written += bytes;
            self.made.bytes += bytes;
            self.made.lines += 1;
            self.made.partial_lines += u64::from(tag == 'P');
            if later.is_empty() {
                break;
            }
            self.nanos += 1000;
            rest = later;
        }
        self.made.records += 1;
        self.line = line;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_as_told_and_the_same_each_time() {
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let [one, two] =
            folders.each_ref().map(|folder| make(folder.path(), 3, 300_000, Mix::Services, 7).unwrap());
        let texts = [&one, &two].map(|made| {
            made.files.iter().map(|path| fs::read_to_string(path).unwrap()).collect::<Vec<String>>().concat()
        });
        assert_eq!(texts[0], texts[1]);
        assert_eq!(one.bytes, texts[0].len() as u64);
        assert_eq!(one.lines, texts[0].lines().count() as u64);
        let partial =
            texts[0].lines().filter(|line| line[36..].starts_with(" P ") || line[37..].starts_with(" P "));
        assert_eq!(one.partial_lines, partial.count() as u64);
        assert_eq!(one.records, one.lines - one.partial_lines);
        let share = one.partial_lines * 100 / one.lines;
        assert!((7..=13).contains(&share), "{share} % of the lines are partial");
    }
}
