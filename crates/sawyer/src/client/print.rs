//! Records on a terminal, or for a program.

use std::io::{BufWriter, Write};

use anyhow::Result;
use serde_json::{Map, Value};

/// How records are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Time, level, who, message, other fields.
    Text,
    /// The line as it was written, behind what is asked for.
    Raw {
        /// What stands before it.
        prefix: Option<Prefix>,
    },
    /// A JSON object a line.
    Json,
}

/// What stands before a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    /// The time.
    pub(super) time: bool,
    /// Pod and container.
    pub(super) pod: bool,
}

/// Fields that text shows at their own places, or that would only repeat the line.
const SHOWN: &[&str] = &[
    "timestamp",
    "observed",
    "level",
    "message",
    "namespace",
    "pod",
    "container",
    "pod_uid",
    "node",
    "source",
    "stream",
    "restart_count",
    "workload",
    "workload_kind",
    "cluster",
    "image",
];

const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

/// Prints records to `to`.
pub(super) struct Printer<W: Write> {
    to: BufWriter<W>,
    style: Style,
    color: bool,
}

impl<W: Write> Printer<W> {
    pub(super) fn new(to: W, style: Style, color: bool) -> Self {
        Self { to: BufWriter::new(to), style, color }
    }

    pub(super) fn style(&self) -> Style {
        self.style
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        Ok(self.to.flush()?)
    }

    pub(super) fn print(&mut self, record: &Value) -> Result<()> {
        let line = match (self.style, record.as_object()) {
            (Style::Json, _) | (_, None) => record.to_string(),
            (Style::Raw { prefix }, Some(record)) => self.raw(record, prefix),
            (Style::Text, Some(record)) => self.text(record),
        };
        Ok(writeln!(self.to, "{line}")?)
    }

    fn raw(&self, record: &Map<String, Value>, prefix: Option<Prefix>) -> String {
        let line = record.get("_original").or_else(|| record.get("message")).map(plain).unwrap_or_default();
        let Some(prefix) = prefix else { return line };
        let mut text = String::new();
        if prefix.time {
            text.push_str(&self.dim(&field(record, "timestamp")));
            text.push(' ');
        }
        if prefix.pod {
            let who = format!("[{}/{}]", field(record, "pod"), field(record, "container"));
            text.push_str(&self.dim(&who));
            text.push(' ');
        }
        text + &line
    }

    fn text(&self, record: &Map<String, Value>) -> String {
        let mut text = self.dim(&field(record, "timestamp"));
        let level = field(record, "level");
        text.push_str(&format!(" {} ", self.level(&level)));
        let who: Vec<String> = ["namespace", "pod", "container"].map(|name| field(record, name)).into();
        let who: Vec<&str> = who.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        let who = if who.is_empty() { field(record, "source") } else { who.join("/") };
        if !who.is_empty() {
            text.push_str(&self.dim(&who));
            text.push(' ');
        }
        text.push_str(&field(record, "message"));
        // Where no line is kept beside the message, the message is the line, and its fields are in it.
        let apart = record.contains_key("_original");
        for (name, value) in record {
            let other = !SHOWN.contains(&name.as_str()) && !name.starts_with('_');
            if other && (apart || name.starts_with("sawyer.")) {
                text.push_str(&format!(" {}{}", self.dim(&format!("{name}=")), plain(value)));
            }
        }
        text
    }

    fn dim(&self, text: &str) -> String {
        if self.color { format!("{DIM}{text}{RESET}") } else { text.to_owned() }
    }

    fn level(&self, level: &str) -> String {
        let color = match level {
            "fatal" => "\x1b[1;31m",
            "error" => "\x1b[31m",
            "warn" => "\x1b[33m",
            "info" => "\x1b[32m",
            _ => DIM,
        };
        let padded = format!("{:5}", if level.is_empty() { "-" } else { level });
        if self.color { format!("{color}{padded}{RESET}") } else { padded }
    }
}

fn field(record: &Map<String, Value>, name: &str) -> String {
    record.get(name).map(plain).unwrap_or_default()
}

/// Text as it is, anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(style: Style, color: bool) -> String {
        let record = json!({
            "_id": "1-2", "timestamp": "2026-11-20T09:57:18Z", "level": "error", "message": "no", "namespace": "shop",
            "pod": "cart-1", "container": "app", "http.status": 500, "service": "cart", "_original": "{\"m\":\"no\"}",
        });
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, style, color);
        printer.print(&record).unwrap();
        printer.flush().unwrap();
        drop(printer);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_has_everything_in_one_line() {
        insta::assert_snapshot!(check(Style::Text, false), @"2026-11-20T09:57:18Z error shop/cart-1/app no http.status=500 service=cart");
        assert!(check(Style::Text, true).contains("\x1b[31merror\x1b[0m"));
    }

    #[test]
    fn text_does_not_repeat_what_the_message_says() {
        let record = json!({"timestamp": "2026-11-20T09:57:18Z", "message": "GET / 200", "http.status": 200, "sawyer.mark": "cut"});
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, Style::Text, false);
        printer.print(&record).unwrap();
        printer.flush().unwrap();
        drop(printer);
        assert_eq!(String::from_utf8(out).unwrap(), "2026-11-20T09:57:18Z -     GET / 200 sawyer.mark=cut\n");
    }

    #[test]
    fn raw_is_the_line_as_it_was_written() {
        insta::assert_snapshot!(check(Style::Raw { prefix: None }, false), @r#"{"m":"no"}"#);
        let prefix = Some(Prefix { time: true, pod: true });
        insta::assert_snapshot!(check(Style::Raw { prefix }, false), @r#"2026-11-20T09:57:18Z [cart-1/app] {"m":"no"}"#);
    }
}
