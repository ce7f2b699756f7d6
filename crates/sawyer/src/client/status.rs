//! `sawyer status`: whether a process is ready, and whether its ledger closes.
//!
//! Owns: how that is printed. Does not own: the numbers; it asks like everybody else.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value, json};

use super::{Common, Format};

/// `sawyer status`
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    common: Common,
}

/// `sawyer status`
pub(crate) async fn status(args: StatusArgs) -> Result<()> {
    let server = args.common.server()?;
    let ready = server.ready().await?;
    let ledger = server.get("ledger", &[]).await?;
    let as_json = match args.common.output {
        Some(Format::Json) => true,
        Some(_) => false,
        None => !io::stdout().is_terminal(),
    };
    let mut out = io::stdout().lock();
    if as_json {
        writeln!(
            out,
            "{}",
            json!({ "ready": ready, "ledger": ledger["ledger"], "closes": ledger["closes"] })
        )?;
    } else {
        for line in lines(&ready, &ledger) {
            writeln!(out, "{line}")?;
        }
    }
    out.flush().context("print")
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
            let rule = text(&ended["rule"]);
            let fate = text(&ended["fate"]).replace('_', " ");
            let name = if rule.is_empty() { format!("  {fate}") } else { format!("  {fate}: {rule}") };
            lines.push(row(&name, ended));
        }
        if book["closes"] != true {
            lines.push(row("  NOT ACCOUNTED FOR", &book["unaccounted"]));
        }
    }
    let closes = ledger["closes"] == true;
    lines.push(String::new());
    lines.push(format!("ledger: {}", if closes { "closes" } else { "DOES NOT CLOSE; this is a fault" }));
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
    use super::*;

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
        }] });
        let expected = "\
ready: ok

input containers → output store                    1,234,567 records          987,654,321 bytes
  delivered                                        1,234,000 records          987,654,000 bytes
  dead lettered: rejected                                566 records                  321 bytes
  NOT ACCOUNTED FOR                                        1 records                    0 bytes

ledger: DOES NOT CLOSE; this is a fault";
        assert_eq!(lines("ok\n", &ledger).join("\n"), expected);
    }
}
