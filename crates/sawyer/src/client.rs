//! The commands that ask a server.
//!
//! Owns: what is asked and in which order, and how it is printed. Does not own: what answers mean; it asks over
//! HTTP like everybody else.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::Value;

mod alerts;
pub(crate) mod contexts;
mod export;
pub(crate) mod http;
mod logs;
mod print;
mod status;

pub(crate) use alerts::{AlertsArgs, alerts};
pub(crate) use export::{ExportArgs, export};
pub(crate) use logs::{LogsArgs, logs};
pub(crate) use status::{StatusArgs, status};

use http::Server;
use print::{Printer, Style};

/// Records that are printed at most unless told.
const LIMIT_DEFAULT: usize = 100;

/// Records that one request asks for when there may be many.
const PAGE_RECORDS: usize = 1000;

/// Whom to ask.
#[derive(Debug, Args)]
pub(crate) struct Whom {
    /// The server's address, such as http://127.0.0.1:7280. By default $SAWYER_SERVER, else a context.
    // Variables of the environment are not left to the parser: what was typed goes before any of them.
    #[arg(long, global = true, conflicts_with = "context")]
    server: Option<String>,
    /// The name of a server, from `sawyer context`. By default $SAWYER_CONTEXT, else the one in use.
    #[arg(long, global = true)]
    context: Option<String>,
}

/// Whom to ask and how to print.
#[derive(Debug, Args)]
pub(crate) struct Common {
    #[command(flatten)]
    whom: Whom,
    /// How to print: text on a terminal and JSON lines elsewhere, unless told.
    #[arg(long, short, global = true, value_enum)]
    output: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
    /// The line as it was written.
    Raw,
}

/// Which time.
#[derive(Debug, Args)]
pub(crate) struct Span {
    /// How far back, such as 15m, 1h or 7d.
    #[arg(long, default_value = "1h", conflicts_with = "start")]
    since: String,
    /// From when: RFC 3339, epoch, or relative such as now-1d/d.
    #[arg(long)]
    start: Option<String>,
    /// Until when.
    #[arg(long, default_value = "now")]
    end: String,
}

/// Words behind the query: it was meant, and the shell took it apart.
#[derive(Debug, Args)]
struct Unquoted {
    #[arg(hide = true)]
    words: Vec<String>,
}

impl Unquoted {
    fn refuse(&self, query: &str) -> Result<()> {
        if self.words.is_empty() {
            return Ok(());
        }
        bail!("the query is one argument: put it into quotes, as in '{query} {}'", self.words.join(" "))
    }
}

/// `sawyer query`
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// What to look for, in KQL: 'level: error and namespace: shop'.
    #[arg(default_value = "")]
    query: String,
    #[command(flatten)]
    unquoted: Unquoted,
    #[command(flatten)]
    span: Span,
    /// At most how many records, the newest ones; 0 for all. 100 unless told.
    #[arg(long, short = 'n')]
    limit: Option<usize>,
    /// Print the newest record first; the newest is last otherwise.
    #[arg(long)]
    newest_first: bool,
    /// Print the patterns of the messages instead, with how many have each, the most frequent first.
    #[arg(long, conflicts_with_all = ["summary", "newest_first"])]
    patterns: bool,
    /// Print what the values of this field are like instead: how many, bounds and percentiles.
    #[arg(long, value_name = "FIELD", conflicts_with_all = ["newest_first", "limit"])]
    summary: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// `sawyer tail`
#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// What to look for, in KQL.
    #[arg(default_value = "")]
    query: String,
    #[command(flatten)]
    unquoted: Unquoted,
    #[command(flatten)]
    common: Common,
}

/// Runs a command of the client.
pub(crate) fn run(command: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start")?;
    match runtime.block_on(command) {
        // Whoever reads the output has seen enough.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        done => done,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let pipe = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(pipe))
}

impl Whom {
    fn server(&self) -> Result<Server> {
        Server::new(&contexts::resolve(self.server.as_deref(), self.context.as_deref())?)
    }
}

impl Common {
    fn server(&self) -> Result<Server> {
        self.whom.server()
    }

    fn printer(&self, prose: Style) -> Printer<io::StdoutLock<'static>> {
        let terminal = io::stdout().is_terminal();
        let style = match (self.output, terminal) {
            (Some(Format::Json), _) | (None, false) => Style::Json,
            (Some(Format::Raw), _) => Style::Raw { prefix: None },
            (Some(Format::Text), _) | (None, true) => prose,
        };
        let color = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Printer::new(io::stdout().lock(), style, color)
    }
}

impl Span {
    fn start(&self) -> Result<String> {
        let Some(start) = &self.start else {
            let digits = self.since.trim_end_matches(['y', 'M', 'w', 'd', 'h', 'm', 's']);
            let one_unit = self.since.len() == digits.len() + 1;
            if !one_unit || digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                bail!("--since: expected a length such as 15m, 1h or 7d, found `{}`", self.since);
            }
            return Ok(format!("now-{}", self.since));
        };
        Ok(start.clone())
    }

    /// The time in words, for a notice.
    fn told(&self) -> String {
        match (&self.start, self.end.as_str()) {
            (None, "now") => format!("in the last {}", self.since),
            (None, end) => format!("from now-{} until {end}", self.since),
            (Some(start), end) => format!("from {start} until {end}"),
        }
    }
}

/// Says something that is no record.
#[expect(clippy::print_stderr, reason = "a notice must not mix with the records on standard output")]
fn notice(text: &str) {
    eprintln!("sawyer: {text}");
}

/// `sawyer query`
pub(crate) async fn query(args: QueryArgs) -> Result<()> {
    args.unquoted.refuse(&args.query)?;
    let server = args.common.server()?;
    if args.patterns || args.summary.is_some() {
        return figures(&server, &args).await;
    }
    let mut printer = args.common.printer(Style::Text);
    let (start, span) = (args.span.start()?, args.span.told());
    let limit = args.limit.map_or(LIMIT_DEFAULT, |limit| if limit == 0 { usize::MAX } else { limit });
    let selection = Selection { query: args.query, start, end: args.span.end, newest_first: true };
    let found = if args.newest_first {
        selection.each(&server, limit, |record| printer.print(&record)).await?
    } else if limit == usize::MAX {
        // Everything is asked for in the order in which it is printed, so nothing has to be held.
        let selection = Selection { newest_first: false, ..selection };
        selection.each(&server, limit, |record| printer.print(&record)).await?
    } else {
        let (records, found) = selection.newest(&server, limit).await?;
        records.iter().try_for_each(|record| printer.print(record))?;
        found
    };
    printer.flush()?;
    if found.count == 0 {
        notice(&format!("nothing found {span}"));
    } else if found.more && args.limit.is_none() {
        notice(&format!("these are the newest {LIMIT_DEFAULT}, there are more; -n 0 prints all"));
    }
    Ok(())
}

/// Prints what the server says of all records together.
async fn figures(server: &Server, args: &QueryArgs) -> Result<()> {
    let (start, limit) = (args.span.start()?, args.limit.unwrap_or(20).to_string());
    let mut params = vec![("query", args.query.as_str()), ("start", &start), ("end", &args.span.end)];
    let path = match &args.summary {
        Some(field) => {
            params.push(("field", field));
            "summary"
        }
        None => {
            params.push(("limit", &limit));
            "patterns"
        }
    };
    let answer = server.get(path, &params).await?;
    let mut out = io::stdout().lock();
    if matches!(args.common.output, Some(Format::Json)) {
        writeln!(out, "{answer}")?;
    } else if path == "patterns" {
        for pattern in answer["patterns"].as_array().into_iter().flatten() {
            let (count, text) = (pattern["count"].to_string(), pattern["pattern"].as_str());
            writeln!(out, "{count:>10}  {}", text.unwrap_or_default())?;
        }
    } else {
        for name in ["rows", "missing", "distinct", "numbers", "min", "max", "sum", "mean"] {
            writeln!(out, "{name:>10}  {}", answer[name])?;
        }
        for (percent, value) in answer["percentiles"].as_object().into_iter().flatten() {
            writeln!(out, "{:>10}  {value}", format!("p{percent}"))?;
        }
    }
    if answer["stats"]["partial"] == true {
        notice("this is of a part of the records only");
    }
    Ok(())
}

/// `sawyer tail`
pub(crate) async fn tail(args: TailArgs) -> Result<()> {
    args.unquoted.refuse(&args.query)?;
    let server = args.common.server()?;
    let mut printer = args.common.printer(Style::Text);
    let mut live = server.tail(&args.query).await?;
    while let Some(event) = live.next().await? {
        print_live(&mut printer, &event)?;
    }
    bail!("the server has ended the live view")
}

fn print_live(printer: &mut Printer<impl Write>, event: &http::Live) -> Result<()> {
    match event {
        http::Live::Record(record) => {
            printer.print(record)?;
            printer.flush()?;
        }
        http::Live::Skipped(count) => notice(&format!("{count} records were not shown: too many at once")),
    }
    Ok(())
}

/// What is searched.
#[derive(Clone, Debug)]
struct Selection {
    query: String,
    start: String,
    end: String,
    newest_first: bool,
}

/// What a search came to.
#[derive(Clone, Copy, Debug)]
struct Found {
    /// Records that were handed over.
    count: usize,
    /// Whether there are more than were wanted.
    more: bool,
}

impl Selection {
    /// Hands over up to `limit` records, page by page.
    async fn each(
        &self,
        server: &Server,
        limit: usize,
        mut take: impl FnMut(Value) -> Result<()>,
    ) -> Result<Found> {
        let (mut left, mut cursor, mut partial) = (limit, None, false);
        // The first page fixes what `now` means for the ones after it.
        let (start, end) = server.instants(&self.start, &self.end).await?;
        while left > 0 {
            let order = if self.newest_first { "desc" } else { "asc" };
            let page_limit = left.min(PAGE_RECORDS).to_string();
            let mut params = vec![
                ("query", self.query.as_str()),
                ("start", &start),
                ("end", &end),
                ("order", order),
                ("limit", &page_limit),
            ];
            params.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let mut page = server.get("search", &params).await?;
            let Value::Array(records) = page["records"].take() else {
                bail!("the server's answer has no records")
            };
            if page["stats"]["partial"] == true && !std::mem::replace(&mut partial, true) {
                notice("an answer is partial: the server came to a limit, or cannot read all of its store");
            }
            let is_empty = records.is_empty();
            left -= records.len().min(left);
            records.into_iter().try_for_each(&mut take)?;
            match page["cursor"].take() {
                // Asking the same again would have the same answer, for ever.
                Value::String(next) if is_empty && cursor.as_ref() == Some(&next) => {
                    bail!(
                        "the server's limits for queries are too low to find the next record; a shorter range may do"
                    )
                }
                Value::String(next) => cursor = Some(next),
                _ => return Ok(Found { count: limit - left, more: false }),
            }
        }
        Ok(Found { count: limit, more: cursor.is_some() })
    }

    /// The newest records, the newest last.
    async fn newest(&self, server: &Server, limit: usize) -> Result<(Vec<Value>, Found)> {
        let mut records = Vec::new();
        let newest = Self { newest_first: true, ..self.clone() };
        let found = newest
            .each(server, limit, |record| {
                records.push(record);
                Ok(())
            })
            .await?;
        records.reverse();
        Ok((records, found))
    }
}
