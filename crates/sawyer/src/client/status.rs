//! `sawyer status`: whether a process is ready, and whether its ledger closes.
//!
//! Owns: how that is printed. Does not own: the numbers; it asks like everybody else.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::Value;

use super::{Common, Format};

/// `sawyer status`
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    common: Common,
    /// Also tell what became of each file, and which rules took how many of its records: those of which something is missing
    /// first, then those that are most behind.
    #[arg(long)]
    files: bool,
    /// Of files whose path has this text in it.
    #[arg(long, requires = "files")]
    path: Option<String>,
    /// How many files at most.
    #[arg(long, requires = "files", default_value_t = 100)]
    limit: usize,
}

/// `sawyer status`
pub(crate) async fn status(args: StatusArgs) -> Result<()> {
    let server = args.common.server()?;
    let ready = server.ready().await?;
    let ledger = server.get("ledger", &[]).await?;
    let limit = args.limit.to_string();
    let mut which = vec![("limit", limit.as_str())];
    which.extend(args.path.as_deref().map(|path| ("path", path)));
    let files = if args.files { Some(server.get("ledger/sources", &which).await?) } else { None };
    let as_json = match args.common.output {
        Some(Format::Json) => true,
        Some(_) => false,
        None => !io::stdout().is_terminal(),
    };
    let mut out = io::stdout().lock();
    if as_json {
        writeln!(out, "{}", told(&ready, ledger, files))?;
    } else {
        for line in files.iter().flat_map(file_lines) {
            writeln!(out, "{line}")?;
        }
        for line in lines(&ready, &ledger) {
            writeln!(out, "{line}")?;
        }
    }
    out.flush().context("print")
}

/// All of it as JSON.
fn told(ready: &str, ledger: Value, files: Option<Value>) -> Value {
    let mut told = ledger;
    told["ready"] = ready.into();
    if let Some(mut files) = files {
        told["files"] = files["sources"].take();
        told["other_files"] = files["others"].take();
    }
    told
}

fn file_lines(files: &Value) -> Vec<String> {
    let mut lines = vec![format!("{:>16} {:>16} {:>12}  file", "read", "ended", "unread")];
    let shown = files["sources"].as_array().map_or(&[][..], Vec::as_slice);
    for file in shown {
        let number = |value: &Value| if value.is_null() { "-".to_owned() } else { grouped(value) };
        let (read, unread) = (number(&file["read"]), number(&file["unread"]));
        let ended = number(&file["ended"]["bytes"]);
        let path = text(&file["path"]);
        lines.push(format!("{read:>16} {ended:>16} {unread:>12}  {path}"));
        lines.extend(left_out_lines(file));
        if file["closes"] != true {
            lines.push(format!("{:>16} bytes NOT ACCOUNTED FOR", grouped(&file["unaccounted"])));
        }
    }
    let more = files["count"].as_u64().unwrap_or_default().saturating_sub(shown.len() as u64);
    if more > 0 {
        lines.push(format!("… and {more} more; see --limit and --path"));
    }
    for others in files["others"].as_array().into_iter().flatten() {
        lines.push(format!("{:>46}  other files of input {}", "", text(&others["input"])));
        lines.extend(left_out_lines(others));
    }
    lines.push(String::new());
    lines
}

/// What became of records that were not delivered or buffered.
fn left_out_lines(of: &Value) -> Vec<String> {
    let of = of["left_out"].as_array().map_or(&[][..], Vec::as_slice);
    of.iter()
        .map(|left| {
            let (output, name) = (text(&left["output"]), fate(left));
            let (records, bytes) = (grouped(&left["records"]), grouped(&left["bytes"]));
            format!("{records:>16} records {bytes:>15} bytes      → {output}: {name}")
        })
        .collect()
}

/// A fate and its rule, for people.
fn fate(ended: &Value) -> String {
    let (fate, rule) = (text(&ended["fate"]).replace('_', " "), text(&ended["rule"]));
    if rule.is_empty() { fate } else { format!("{fate}: {rule}") }
}

fn lines(ready: &str, ledger: &Value) -> Vec<String> {
    let mut lines: Vec<String> = ready.lines().map(|line| format!("ready: {line}")).collect();
    for book in ledger["ledger"].as_array().into_iter().flatten() {
        lines.push(String::new());
        let from = match book["hop"].as_str() {
            Some("buffer") => "buffer".to_owned(),
            _ => format!("input {}", text(&book["input"])),
        };
        lines.push(row(&format!("{from} → output {}", text(&book["output"])), &book["read"]));
        for (name, what) in [("copied", "  and by a second pipeline"), ("made", "  and made by steps")] {
            if book[name]["records"] != 0 {
                lines.push(row(what, &book[name]));
            }
        }
        for ended in book["ended"].as_array().into_iter().flatten() {
            lines.push(row(&format!("  {}", fate(ended)), ended));
        }
        if book["closes"] != true {
            lines.push(row("  NOT ACCOUNTED FOR", &book["unaccounted"]));
        }
    }
    lines.extend(checkpoint_lines(ledger));
    let closes = ledger["closes"] == true;
    lines.push(String::new());
    lines.push(format!(
        "ledger: {}",
        if closes { "closes" } else { "DOES NOT CLOSE; something is lost, or not accounted for" }
    ));
    lines
}

/// What outputs were told to be taken, and what is known of it at the end of its way; then what others were told here.
fn checkpoint_lines(ledger: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let mut add = |title: String, taken: &Value| {
        lines.extend([String::new(), title]);
        let shown = [("confirmed", "  confirmed"), ("open", "  not asked for yet, or on the way")];
        let seldom = [("unknown", "  nobody can tell any more"), ("missing", "  MISSING")];
        let seldom = seldom.into_iter().filter(|(name, _)| taken[*name] != 0);
        for (name, what) in shown.into_iter().chain(seldom) {
            lines.push(format!("{what:<44}{:>45} bytes", grouped(&taken[name])));
        }
    };
    for checkpoint in ledger["checkpoints"].as_array().into_iter().flatten() {
        add(format!("output {}, at the end of its way", text(&checkpoint["output"])), &checkpoint["taken"]);
    }
    for peer in ledger["peers"].as_array().into_iter().flatten() {
        let (agent, output) = (text(&peer["agent"]), text(&peer["output"]));
        add(format!("what {agent} has sent here by its output {output}"), &peer["taken"]);
    }
    lines
}

/// A name with its numbers in columns.
fn row(name: &str, count: &Value) -> String {
    let (records, bytes) = (grouped(&count["records"]), grouped(&count["bytes"]));
    format!("{name:<44}{records:>16} records {bytes:>20} bytes")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A number with a comma between thousands.
fn grouped(number: &Value) -> String {
    let digits = number.to_string();
    let (sign, digits) = digits.strip_prefix('-').map_or(("", &*digits), |rest| ("-", rest));
    let mut out = String::from(sign);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn says_what_became_of_each_file() {
        let files = json!({ "count": 3, "closes": false, "sources": [
            { "path": "/var/log/pods/a/0.log", "read": 5000, "ended": { "bytes": 4000 }, "unread": 12, "unaccounted": 1000,
              "closes": false, "left_out": [
                { "output": "store", "fate": "filtered", "rule": "noise", "records": 1234, "bytes": 3000 },
                { "output": "store", "fate": "dead_lettered", "rule": "", "records": 2, "bytes": 0 },
              ] },
            { "path": "/var/log/pods/b/0.log", "read": null, "ended": { "bytes": 77 }, "unread": null, "unaccounted": 0,
              "closes": true },
        ], "others": [{ "input": "containers", "left_out": [
            { "output": "store", "fate": "filtered", "rule": "noise", "records": 7, "bytes": 70 },
        ] }] });
        let expected = "            read            ended       unread  file
           5,000            4,000           12  /var/log/pods/a/0.log
           1,234 records           3,000 bytes      → store: filtered: noise
               2 records               0 bytes      → store: dead lettered
           1,000 bytes NOT ACCOUNTED FOR
               -               77            -  /var/log/pods/b/0.log
… and 1 more; see --limit and --path
                                                other files of input containers
               7 records              70 bytes      → store: filtered: noise
";
        assert_eq!(file_lines(&files).join("\n"), expected);
    }

    #[test]
    fn tells_also_of_other_files_in_json() {
        let others = json!([{ "input": "containers", "left_out": [{ "rule": "noise", "records": 7 }] }]);
        let files = json!({ "sources": [{ "path": "/0.log" }], "others": others, "count": 1 });
        let expected = json!({
            "closes": true, "ready": "ok", "files": [{ "path": "/0.log" }], "other_files": others,
        });
        assert_eq!(told("ok", json!({ "closes": true }), Some(files)), expected);
        assert_eq!(told("ok", json!({}), None), json!({ "ready": "ok" }));
    }

    #[test]
    fn says_what_became_of_everything() {
        let ledger = json!({ "closes": false, "ledger": [{
            "hop": "input", "input": "containers", "output": "store",
            "read": { "records": 1234567, "bytes": 987654321 },
            "copied": { "records": 0, "bytes": 0 }, "made": { "records": 0, "bytes": 0 },
            "ended": [
                { "fate": "delivered", "rule": "", "records": 1234000, "bytes": 987654000 },
                { "fate": "dead_lettered", "rule": "rejected", "records": 566, "bytes": 321 },
            ],
            "unaccounted": { "records": 1, "bytes": 0 }, "closes": false,
        }], "checkpoints": [{ "output": "server", "taken": {
            "bytes": 1108, "confirmed": 1000, "open": 100, "unknown": 0, "missing": 8,
        } }], "peers": [] });
        let expected = "\
ready: ok

input containers → output store                    1,234,567 records          987,654,321 bytes
  delivered                                        1,234,000 records          987,654,000 bytes
  dead lettered: rejected                                566 records                  321 bytes
  NOT ACCOUNTED FOR                                        1 records                    0 bytes

output server, at the end of its way
  confirmed                                                                         1,000 bytes
  not asked for yet, or on the way                                                    100 bytes
  MISSING                                                                               8 bytes

ledger: DOES NOT CLOSE; something is lost, or not accounted for";
        assert_eq!(lines("ok\n", &ledger).join("\n"), expected);
    }
}
