//! Log files of containers to measure with.
//!
//! Owns: what is in the files: JSON, logfmt and plain lines, stack traces, lines in pieces, as a container runtime writes
//! them. Does not own: how they are read.
//! Invariant: the same seed gives the same bytes.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context, Result};

use crate::logs::Dice;

const NAMESPACES: [&str; 8] =
    ["shop", "payments", "search", "kube-system", "ingress", "monitoring", "auth", "default"];
const APPS: [&str; 10] =
    ["cart", "catalog", "gateway", "ledger", "indexer", "mailer", "login", "frontend", "ranking", "billing"];
const LEVELS: [&str; 6] = ["info", "info", "info", "debug", "warn", "error"];
const PATHS: [&str; 6] =
    ["/api/v1/orders", "/api/v1/cart/items", "/healthz", "/api/v2/search?q=lamp", "/login", "/static/app.js"];
const WORDS: [&str; 24] = [
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
    "shard",
    "leader",
    "queue",
    "worker",
    "started",
    "finished",
    "request",
    "database",
    "committed",
    "snapshot",
    "token",
    "expired",
    "config",
    "reloaded",
];

/// Of a thousand lines, so many are JSON, in logfmt, or begin a stack trace; the others are plain.
const JSON: u64 = 450;
const LOGFMT: u64 = 270;
const TRACE: u64 = 20;

/// One line of so many comes in pieces.
const PIECES_EVERY: u64 = 40;

/// Microseconds between two lines, on average.
const STEP_MICROS: u64 = 4000;

/// What was written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// Bytes of all files.
    pub bytes: u64,
    /// Lines as the runtime wrote them.
    pub lines: u64,
}

fn put_words(dice: &mut Dice, count: u64, out: &mut String) {
    for at in 0..count {
        out.push_str(if at > 0 { " " } else { "" });
        out.push_str(dice.of(&WORDS));
    }
}

/// Writes `files` files of about `bytes` bytes in all below a folder, in the kubelet's layout.
///
/// # Errors
/// If they cannot be written.
pub fn write(root: &Path, files: u64, bytes: u64, seed: u64) -> Result<Written> {
    let mut whole = Written::default();
    for file in 0..files {
        let mut dice = Dice(seed.wrapping_mul(1_000_003) + file);
        let (namespace, app) =
            (NAMESPACES[file as usize % NAMESPACES.len()], APPS[file as usize % APPS.len()]);
        let pod = format!("{app}-{:09x}-{:05x}", dice.below(1 << 36), dice.below(1 << 20));
        let uid = format!("{:08x}-0ab6-44a9-aff5-{:012x}", dice.below(1 << 32), dice.below(1 << 48));
        let folder = root.join(format!("var/log/pods/{namespace}_{pod}_{uid}/app"));
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let path = folder.join("0.log");
        let out = fs::File::create(&path).with_context(|| format!("make {}", path.display()))?;
        let mut writer = Writer { out: BufWriter::new(out), written: Written::default(), micros: 0 };
        while writer.written.bytes < bytes / files {
            writer.event(app, &mut dice)?;
        }
        writer.out.flush()?;
        whole.bytes += writer.written.bytes;
        whole.lines += writer.written.lines;
    }
    Ok(whole)
}

struct Writer {
    out: BufWriter<fs::File>,
    written: Written,
    micros: u64,
}

impl Writer {
    /// One thing that an application says, in a line or several.
    fn event(&mut self, app: &str, dice: &mut Dice) -> Result<()> {
        self.micros += dice.below(2 * STEP_MICROS) + 1;
        let draw = dice.below(1000);
        let mut text = String::new();
        let (level, path, trace) = (dice.of(&LEVELS), dice.of(&PATHS), dice.number());
        let status = if dice.below(12) == 0 { 503 } else { 200 };
        let time = self.time();
        if draw < JSON {
            write!(
                text,
                r#"{{"time":"{time}","level":"{level}","logger":"{app}","trace_id":"{trace:016x}","status":{status},"ms":{}.{},"path":"{path}","msg":""#,
                dice.below(2000),
                dice.below(10)
            )?;
            let count = 3 + dice.below(4);
            put_words(dice, count, &mut text);
            text.push_str("\"}");
        } else if draw < JSON + LOGFMT {
            let (line, ms) = (dice.below(900), dice.below(500));
            write!(
                text,
                r#"time={time} level={level} caller={app}.go:{line} method=GET path={path} status={status} dur={ms}ms trace={trace:016x} msg=""#
            )?;
            let count = 3 + dice.below(4);
            put_words(dice, count, &mut text);
            text.push('"');
        } else if draw < JSON + LOGFMT + TRACE {
            return self.trace(app, dice);
        } else {
            write!(text, "{} [{level}] {app} ", &time[11..23])?;
            let count = 8 + dice.below(12);
            put_words(dice, count, &mut text);
        }
        if dice.below(PIECES_EVERY) == 0 {
            let middle = text.len() / 2;
            self.line("stdout P", &text[..middle])?;
            return self.line("stdout F", &text[middle..]);
        }
        self.line("stdout F", &text)
    }

    fn trace(&mut self, app: &str, dice: &mut Dice) -> Result<()> {
        let mut text = format!("java.net.SocketTimeoutException: {app} ");
        put_words(dice, 6, &mut text);
        self.line("stderr F", &text)?;
        for _ in 0..4 + dice.below(10) {
            let (word, line) = (dice.of(&WORDS), dice.below(900));
            self.line(
                "stderr F",
                &format!("\tat com.example.{app}.{word}.Handler.run(Handler.java:{line})"),
            )?;
        }
        Ok(())
    }

    fn line(&mut self, stream: &str, text: &str) -> Result<()> {
        let time = self.time();
        writeln!(self.out, "{time} {stream} {text}")?;
        self.written.bytes += (time.len() + stream.len() + text.len() + 3) as u64;
        self.written.lines += 1;
        Ok(())
    }

    /// Hours and minutes wrap; a measurement does not mind.
    fn time(&self) -> String {
        let (secs, micros) = (self.micros / 1_000_000, self.micros % 1_000_000);
        let (hour, minute, second) = (secs / 3600 % 24, secs / 60 % 60, secs % 60);
        format!("2026-11-20T{hour:02}:{minute:02}:{second:02}.{micros:06}123Z")
    }
}
