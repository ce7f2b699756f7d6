//! `sawyer alerts`: what fires, and silences.
//!
//! Owns: how they are printed. Does not own: anything about alerts; it asks like everybody else.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Common, Format};

/// `sawyer alerts`
#[derive(Debug, Args)]
pub(crate) struct AlertsArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// The rules with their state, and the alerts that fire (the default).
    List,
    /// Tell nobody about some alerts for a while.
    Silence {
        /// Labels they have, such as alertname=errors or 'namespace=~"shop|cart"'.
        #[arg(required = true)]
        matchers: Vec<String>,
        /// For how long.
        #[arg(long = "for", default_value = "2h")]
        length: String,
        /// Why, for others.
        #[arg(long, default_value = "")]
        comment: String,
    },
    /// The silences that hold or will.
    Silences,
    /// End a silence.
    Expire {
        /// Its id.
        id: String,
    },
    /// Send a message for trying out a notifier.
    Test {
        /// The notifier's name.
        notifier: String,
    },
}

/// `sawyer alerts`
pub(crate) async fn alerts(args: AlertsArgs) -> Result<()> {
    let server = args.common.server()?;
    let as_json = match args.common.output {
        Some(Format::Json) => true,
        Some(_) => false,
        None => !io::stdout().is_terminal(),
    };
    let mut out = io::stdout().lock();
    match args.action.unwrap_or(Action::List) {
        Action::List => {
            let answer = server.get("alerts/rules", &[]).await?;
            print(&mut out, as_json, &answer["rules"], rule_lines)?;
        }
        Action::Silences => {
            let answer = server.get("alerts/silences", &[]).await?;
            print(&mut out, as_json, &answer["silences"], silence_lines)?;
        }
        Action::Silence { matchers, length, comment } => {
            let author = std::env::var("USER").unwrap_or_default();
            let body = json!({"matchers": matchers, "for": length, "comment": comment, "author": author});
            let answer = server.post("alerts/silences", &body).await?;
            writeln!(out, "{}", answer["id"].as_str().unwrap_or_default())?;
        }
        Action::Expire { id } => server.delete(&format!("alerts/silences/{id}")).await?,
        Action::Test { notifier } => {
            let answer = server.post(&format!("alerts/notifiers/{notifier}/test"), &Value::Null).await?;
            let outcome = answer["result"]["outcome"].as_str();
            match (outcome, answer["result"]["reason"].as_str().or(answer["last_error"].as_str())) {
                (Some("delivered"), _) => writeln!(out, "delivered")?,
                (outcome, reason) => anyhow::bail!(
                    "{}: {}",
                    outcome.unwrap_or("not delivered yet"),
                    reason.unwrap_or("no answer")
                ),
            }
        }
    }
    out.flush().context("print")
}

fn print(out: &mut impl Write, as_json: bool, list: &Value, lines: fn(&Value) -> Vec<String>) -> Result<()> {
    for one in list.as_array().into_iter().flatten() {
        if as_json {
            writeln!(out, "{one}")?;
        } else {
            lines(one).iter().try_for_each(|line| writeln!(out, "{line}"))?;
        }
    }
    Ok(())
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn rule_lines(rule: &Value) -> Vec<String> {
    let evaluation = &rule["evaluation"];
    let found = match (text(rule, "problem"), text(evaluation, "error")) {
        ("", "") => format!("{} (threshold {})", text(evaluation, "value_text"), text(rule, "threshold")),
        ("", error) => error.to_owned(),
        (problem, _) => problem.lines().next().unwrap_or_default().to_owned(),
    };
    let mut lines = vec![format!("{:<8} {:<30} {found}", text(rule, "state"), text(rule, "name"))];
    for alert in rule["alerts"].as_array().into_iter().flatten() {
        let silenced = if alert["silenced_by"].as_array().is_some_and(|ids| !ids.is_empty()) {
            " (silenced)"
        } else {
            ""
        };
        lines.push(format!(
            "  {:<8} since {}  {}{silenced}",
            text(alert, "state"),
            text(alert, "since"),
            text(alert, "summary")
        ));
    }
    lines
}

fn silence_lines(silence: &Value) -> Vec<String> {
    let matchers: Vec<&str> =
        silence["matchers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if text(silence, "state") == "expired" {
        return Vec::new();
    }
    vec![format!(
        "{:<18} {:<8} until {}  {}  {}",
        text(silence, "id"),
        text(silence, "state"),
        text(silence, "ends"),
        matchers.join(" "),
        text(silence, "comment")
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_printed_with_its_alerts() {
        let rule = json!({
            "name": "errors", "state": "firing", "problem": null, "threshold": ">= 10",
            "evaluation": {"value_text": "12", "error": null},
            "alerts": [{"state": "firing", "since": "2026-11-20T12:00:00Z", "summary": "errors: 12 in 5m", "silenced_by": ["1"]}],
        });
        insta::assert_snapshot!(rule_lines(&rule).join("\n"), @r"
        firing   errors                         12 (threshold >= 10)
          firing   since 2026-11-20T12:00:00Z  errors: 12 in 5m (silenced)
        ");
        let broken = json!({"name": "x", "state": "broken", "problem": "rule:1:1: query: wrong\nmore", "evaluation": {}});
        assert!(rule_lines(&broken)[0].ends_with("rule:1:1: query: wrong"));
    }
}
