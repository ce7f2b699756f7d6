//! `sawyer logs`: what `kubectl logs` prints, also of pods that are gone.

use std::collections::HashSet;
use std::collections::VecDeque;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::Value;

use super::http::{Live, Server};
use super::print::{Prefix, Printer, Style};
use super::{Common, Selection, Span, notice, print_live};

/// Pods that are looked at for earlier runs of their containers.
const PODS_MAX: &str = "100";

/// Records that may have come both from the search and from the live view.
const OVERLAP_RECORDS: usize = 10_000;

/// `sawyer logs`
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// A pod (`cart-6d5f4c7b9-x2x4z`, `pod/…`) or a workload (`deploy/cart`, `sts/db`, `ds/agent`, `job/import`).
    target: String,
    /// The namespace.
    #[arg(long, short = 'n', default_value = "default")]
    namespace: String,
    /// Only this container.
    #[arg(long, short)]
    container: Option<String>,
    #[command(flatten)]
    span: Span,
    /// Only the newest lines, this many for the whole target.
    #[arg(long)]
    tail: Option<usize>,
    /// Go on with new lines as they arrive.
    #[arg(long, short)]
    follow: bool,
    /// The run of each container before its last restart.
    #[arg(long, short)]
    previous: bool,
    /// Print the time before each line.
    #[arg(long)]
    timestamps: bool,
    /// Print pod and container before each line; done anyway where there are several.
    #[arg(long)]
    prefix: bool,
    #[command(flatten)]
    common: Common,
}

/// `sawyer logs`
pub(crate) async fn logs(args: LogsArgs) -> Result<()> {
    let server = args.common.server()?;
    let mut query = base_query(&args)?;
    let (start, end) = server.instants(&args.span.start()?, &args.span.end).await?;
    if args.previous {
        query = previous_query(&server, &query, &start, &end).await?;
    }
    let several = is_several(&server, &query, &start, &end).await?;
    let prefix = Prefix { time: args.timestamps, pod: args.prefix || several };
    let prefix = (prefix.time || prefix.pod).then_some(prefix);
    let mut printer = args.common.printer(Style::Raw { prefix });
    if args.common.output.is_none() && printer.style() == Style::Json {
        // Lines are lines, also into a pipe, as `kubectl logs` has it.
        printer = Printer::new(std::io::stdout().lock(), Style::Raw { prefix }, false);
    }
    // The live view is opened first, so that nothing falls between it and the search.
    let live = if args.follow { Some(server.tail(&query).await?) } else { None };
    let end = if args.follow { server.instants(&start, "now").await?.1 } else { end };
    let selection = Selection { query, start, end, newest_first: false };
    let mut seen = Seen::default();
    let mut print = |record: Value| {
        seen.insert(&record);
        printer.print(&record)
    };
    let found = match args.tail {
        Some(count) => {
            let (records, found) = selection.newest(&server, count).await?;
            records.into_iter().try_for_each(&mut print)?;
            found
        }
        None => selection.each(&server, usize::MAX, &mut print).await?,
    };
    printer.flush()?;
    let Some(mut live) = live else {
        if found.count == 0 && args.tail != Some(0) {
            notice(&nothing(&args));
        }
        return Ok(());
    };
    while let Some(event) = live.next().await? {
        if let Live::Record(record) = &event
            && seen.contains(record)
        {
            continue;
        }
        print_live(&mut printer, &event)?;
    }
    bail!("the server has ended the live view")
}

/// What to say when there is nothing to print.
fn nothing(args: &LogsArgs) -> String {
    let LogsArgs { target, namespace, span, .. } = args;
    let what = if args.previous { "no earlier run" } else { "no lines" };
    let advice = "-n names another namespace, --since another time";
    format!("{what} of `{target}` in namespace `{namespace}` {}; {advice}", span.told())
}

/// The ids of the newest records that were printed.
#[derive(Default)]
struct Seen {
    order: VecDeque<String>,
    ids: HashSet<String>,
}

impl Seen {
    fn insert(&mut self, record: &Value) {
        let Some(id) = record["_id"].as_str() else { return };
        self.order.push_back(id.to_owned());
        self.ids.insert(id.to_owned());
        if self.order.len() > OVERLAP_RECORDS
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    fn contains(&self, record: &Value) -> bool {
        record["_id"].as_str().is_some_and(|id| self.ids.contains(id))
    }
}

/// Text as a quoted KQL value.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn base_query(args: &LogsArgs) -> Result<String> {
    let target = target_query(&args.target)?;
    let namespace = quoted(&args.namespace);
    // What the cluster says about a pod is no line of its logs.
    let mut query = format!("namespace: {namespace} and {target} and not source: kubernetes_events");
    if let Some(container) = &args.container {
        query.push_str(&format!(" and container: {}", quoted(container)));
    }
    Ok(query)
}

/// A target by the names that `kubectl` has for kinds. Where the collector knows a pod's owner, that decides;
/// else the pod's name does, whose form Kubernetes gives.
fn target_query(target: &str) -> Result<String> {
    /// What Kubernetes makes random suffixes of.
    const LETTERS: &str = "[bcdfghjklmnpqrstvwxz2456789]";
    let (kind, name) = target.split_once('/').unwrap_or(("pod", target));
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if name.is_empty() || !name.chars().all(valid) {
        bail!("expected the name of a pod, or a kind and a name such as deploy/cart, found `{target}`");
    }
    let plain = name.replace('.', "\\\\.");
    let (kind, suffix) = match kind {
        "pod" | "pods" | "po" => return Ok(format!("pod: {}", quoted(name))),
        "deploy" | "deployment" | "deployments" => ("Deployment", format!("[a-z0-9]+-{LETTERS}{{5}}")),
        "rs" | "replicaset" | "replicasets" => ("ReplicaSet", format!("{LETTERS}{{5}}")),
        "ds" | "daemonset" | "daemonsets" => ("DaemonSet", format!("{LETTERS}{{5}}")),
        "sts" | "statefulset" | "statefulsets" => ("StatefulSet", "[0-9]+".to_owned()),
        "job" | "jobs" => ("Job", format!("([0-9]+-)?{LETTERS}{{5}}")),
        "cj" | "cronjob" | "cronjobs" => ("CronJob", format!("[0-9]+(-[0-9]+)?-{LETTERS}{{5}}")),
        other => bail!("unknown kind `{other}`; known are pod, deploy, rs, sts, ds, job and cronjob"),
    };
    Ok(format!(
        "((workload: {} and workload_kind: {kind}) or (not workload: * and pod =~ \"^{plain}-{suffix}$\"))",
        quoted(name)
    ))
}

/// The values of a field among the records of a query.
async fn values(server: &Server, query: &str, field: &str, start: &str, end: &str) -> Result<Vec<Value>> {
    let params = [("query", query), ("field", field), ("limit", PODS_MAX), ("start", start), ("end", end)];
    let mut answer = server.get("values", &params).await?;
    let Value::Array(values) = answer["values"].take() else { bail!("the server's answer has no values") };
    Ok(values.into_iter().map(|mut value| value["value"].take()).collect())
}

async fn is_several(server: &Server, query: &str, start: &str, end: &str) -> Result<bool> {
    let pods = values(server, query, "pod", start, end).await?;
    Ok(pods.len() > 1 || values(server, query, "container", start, end).await?.len() > 1)
}

/// The same query for the run before the last one, container by container.
async fn previous_query(server: &Server, query: &str, start: &str, end: &str) -> Result<String> {
    let mut parts = Vec::new();
    for pod in values(server, query, "pod_uid", start, end).await? {
        let of_pod = format!("{query} and pod_uid: {}", quoted(pod.as_str().unwrap_or_default()));
        for container in values(server, &of_pod, "container", start, end).await? {
            let container = quoted(container.as_str().unwrap_or_default());
            let of_container = format!("{of_pod} and container: {container}");
            let runs = values(server, &of_container, "restart_count", start, end).await?;
            let last = runs.iter().filter_map(Value::as_i64).max();
            if let Some(last) = last.filter(|last| *last > 0) {
                parts.push(format!("({of_container} and restart_count: {})", last - 1));
            }
        }
    }
    if parts.is_empty() {
        bail!("no container of it was restarted in that time");
    }
    Ok(parts.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_become_queries_that_the_language_knows() {
        for target in ["cart-1", "pod/cart-1", "deploy/cart", "rs/a", "sts/db", "ds/agent", "job/x", "cj/x.y"]
        {
            let query = target_query(target).unwrap();
            let options = sawyer_query::kql::CompileOptions::default();
            let compiled = sawyer_query::kql::compile(&query, &options);
            assert!(compiled.is_ok(), "{query}: {compiled:?}");
        }
        for wrong in ["", "deploy/", "deploy/a b", "svc/x", "deploy/a\"b"] {
            assert!(target_query(wrong).is_err(), "{wrong}");
        }
    }
}
