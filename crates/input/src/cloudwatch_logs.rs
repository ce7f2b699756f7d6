//! The input `cloudwatch_logs`: the events of log groups, read by `FilterLogEvents`.
//!
//! Source: "FilterLogEvents" and "DescribeLogGroups" of the CloudWatch Logs API reference.
//! Owns: the settings, which groups there are, starting a task for each.
//! Does not own: reading a group ([`group`]), what is read next ([`cursor`]), which events were read before ([`seen`]),
//! requests (`aws`).
//! Invariant: a part of a group counts as read only when every event of it that there was is durable at the next hop.

mod cursor;
mod group;
mod seen;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sawyer_config::{At, Problems, Setting, Settings, settings};
use sawyer_model::{Error, ErrorKind, Stream, Value, names};
use sawyer_pipeline::{Context, Input, InputPlan, Kind, Outlet, Running, Stop};
use sawyer_telemetry::{Counter, Gauge};
use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinSet;

use crate::aws::kept::KeptOffsets;
use crate::aws::{AccessPlan, AccessSettings, Asker, Service, Why};
use group::{Follower, Group};

settings! {
    /// Reads the events of log groups of Amazon CloudWatch Logs, such as those of EKS' control plane. One Sawyer is to
    /// have it: each that has it reads everything.
    pub struct CloudwatchLogsSettings {
        /// The log groups: names, ARNs (also of other accounts), and beginnings of names with a `*` behind, such as
        /// `/aws/eks/*`. Groups that come later are found within a minute.
        pub groups: Vec<String>,
        /// Only log streams whose names begin like this, such as `kube-apiserver-audit`.
        pub streams_prefix: Option<String>,
        /// Only events that this filter pattern of CloudWatch Logs finds.
        pub filter: Option<String>,
        /// How old the events are that are read of a group at the first start. With `0s` only what comes from then on.
        #[range(Duration::ZERO..=Duration::from_secs(3650 * 86_400))]
        pub history: Duration = Duration::from_secs(3600),
        /// How often a group is asked for what is new. Shorter costs requests, of which an account has 5 to 10 a second.
        #[range(Duration::from_secs(1)..=Duration::from_secs(3600))]
        pub interval: Duration = Duration::from_secs(10),
        /// How much later than its own time an event may come: so far back is looked again and again. Longer costs
        /// requests, and memory for the ids of what was read.
        #[range(Duration::from_secs(60)..=Duration::from_secs(14 * 86_400))]
        pub late_max: Duration = Duration::from_secs(600),
        /// Name of the cluster, for the field of that name.
        pub cluster: Option<String>,
    }
}

const SERVICE: Service = Service {
    title: "CloudWatch Logs",
    name: "logs",
    prefix: "Logs_20140328",
    variable: "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS",
    // An account may ask five times a second in the smaller regions.
    pause: Duration::from_millis(200),
};

/// How often it is looked which groups there are.
const DISCOVER_INTERVAL: Duration = Duration::from_secs(60);

/// Groups that are followed at most.
const GROUPS_MAX: usize = 1000;

/// How long a group that is gone is remembered.
const FORGET_AFTER: Duration = Duration::from_secs(90 * 86_400);

/// The kind `cloudwatch_logs`.
pub(crate) fn kind() -> Kind<Box<dyn InputPlan>> {
    Kind {
        name: "cloudwatch_logs",
        reference: || {
            let mut reference = CloudwatchLogsSettings::reference();
            reference.entries.extend(AccessSettings::reference().entries);
            reference
        },
        read: Box::new(|at, problems| read(at, problems).map(|plan| Box::new(plan) as _)),
    }
}

fn read(at: &At<'_>, problems: &mut Problems) -> Option<GroupsPlan> {
    let access = AccessSettings::read_part(at, problems).and_then(|access| access.check(at, problems));
    let settings = CloudwatchLogsSettings::read(&at.without(AccessSettings::KEYS), problems);
    let (access, settings) = access.zip(settings)?;
    if settings.groups.is_empty() {
        problems.expected(&at.key("groups"), "at least one log group, such as `/aws/eks/prod/cluster`");
        return None;
    }
    let wrong = settings.groups.iter().find(|name| !is_pattern(name));
    if let Some(wrong) = wrong {
        let expected = "the name of a log group, its ARN, or a beginning with `*` behind";
        problems.push(&at.key("groups"), format!("expected {expected}, found \"{wrong}\""));
        return None;
    }
    Some(GroupsPlan { access, settings })
}

/// Whether it can be a log group: letters, digits, and a few signs.
fn is_pattern(text: &str) -> bool {
    let name = text.strip_suffix('*').unwrap_or(text);
    let arn = text.starts_with("arn:");
    let is_fit = |c: char| c.is_ascii_alphanumeric() || "_-/.#".contains(c) || arn && c == ':';
    name.len() <= 2048 && name.chars().all(is_fit) && (!name.is_empty() || text == "*")
}

#[derive(Debug)]
struct GroupsPlan {
    access: AccessPlan,
    settings: CloudwatchLogsSettings,
}

impl InputPlan for GroupsPlan {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Input>, Error> {
        let Self { access, settings } = *self;
        let asker = access.open(SERVICE, context)?;
        let offsets = KeptOffsets::open(context, FORGET_AFTER)?;
        let cluster = settings.cluster.clone().map(|name| (names::CLUSTER, Value::from(name)));
        let stream = Arc::new(Stream::new(cluster));
        let labels = [("input", context.name.as_str())];
        let counter = |name, help| context.metrics.counter(name, help, &labels);
        let shared = Shared {
            asker,
            settings,
            stream,
            offsets,
            done_to: Mutex::default(),
            behind: context.metrics.gauge(
                "sawyer_input_aws_behind_seconds",
                "How long ago everything was read of what is read of AWS",
                &labels,
            ),
            late: counter("sawyer_input_aws_late_records", "Events that came after what is younger"),
            refused: counter("sawyer_input_aws_refused_records", "Events that are too long for a record"),
            context: context.clone(),
        };
        Ok(Box::new(CloudwatchLogs(Arc::new(shared))))
    }
}

/// What all groups share.
struct Shared {
    asker: Asker,
    settings: CloudwatchLogsSettings,
    stream: Arc<Stream>,
    offsets: KeptOffsets,
    /// Up to where each group was read, in milliseconds.
    done_to: Mutex<BTreeMap<String, i64>>,
    behind: Gauge,
    late: Counter,
    refused: Counter,
    context: Context,
}

struct CloudwatchLogs(Arc<Shared>);

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct GroupsAnswer {
    log_groups: Vec<DescribedGroup>,
    next_token: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DescribedGroup {
    log_group_name: String,
    arn: String,
}

impl Input for CloudwatchLogs {
    fn run(self: Box<Self>, to: Outlet, stop: Stop) -> Running {
        Box::pin(async move {
            let Self(shared) = *self;
            let (mut followed, mut tasks) = (HashSet::new(), JoinSet::new());
            let failed = loop {
                for group in shared.discover(&stop).await {
                    if followed.len() >= GROUPS_MAX && !followed.contains(&group.name) {
                        let (input, group) = (&shared.context.name, &group.name);
                        tracing::error!(
                            input,
                            group,
                            "a log group is not read: there are {GROUPS_MAX} already"
                        );
                    } else if followed.insert(group.name.clone()) {
                        tracing::info!(input = shared.context.name, group = group.name, "reads a log group");
                        let follower = Follower::new(Arc::clone(&shared), group, to.clone(), stop.clone());
                        tasks.spawn(follower.run());
                    }
                }
                let ended = tokio::select! {
                    biased;
                    () = stop.stopped() => break None,
                    Some(ended) = tasks.join_next() => ended,
                    () = tokio::time::sleep(DISCOVER_INTERVAL) => continue,
                };
                match ended {
                    // It is not there any more; it is found when it is there again.
                    Ok(Ok(name)) => drop(followed.remove(&name)),
                    Ok(Err(())) => break Some(Error::new(ErrorKind::Closed, "a pipeline has ended")),
                    Err(panic) => {
                        break Some(
                            Error::new(ErrorKind::Bug, "reading a log group panicked").because(panic),
                        );
                    }
                }
            };
            drop(to);
            if failed.is_some() {
                // Nobody tells the others.
                tasks.shutdown().await;
            }
            while tasks.join_next().await.is_some() {}
            shared.offsets.save(true);
            failed.filter(|_| !stop.is_stopped()).map_or(Ok(()), Err)
        })
    }
}

impl Shared {
    /// The groups that there are now.
    async fn discover(&self, stop: &Stop) -> Vec<Group> {
        let mut all = Vec::new();
        for pattern in &self.settings.groups {
            if let Some(group) = Group::of_arn(pattern) {
                all.push(group);
            } else {
                all.extend(self.found(pattern, stop).await);
            }
        }
        all
    }

    /// The groups of a pattern that is no ARN.
    async fn found(&self, pattern: &str, stop: &Stop) -> Vec<Group> {
        let (prefix, exact) = match pattern.strip_suffix('*') {
            Some(prefix) => (prefix, false),
            None => (pattern, true),
        };
        let (mut all, mut token) = (Vec::new(), None::<String>);
        loop {
            let mut request = json!({"limit": 50});
            if !prefix.is_empty() {
                request["logGroupNamePrefix"] = prefix.into();
            }
            if let Some(token) = &token {
                request["nextToken"] = token.as_str().into();
            }
            let page: GroupsAnswer = match self.asker.ask("DescribeLogGroups", &request, stop).await {
                Some(Ok(page)) => page,
                // Who may read events only has to say which group, and is not told whose it is.
                Some(Err(refusal)) if exact && refusal.why == Why::Denied => {
                    return vec![Group::named(pattern, "")];
                }
                Some(Err(refusal)) => {
                    self.asker.tell("DescribeLogGroups", &refusal);
                    return all;
                }
                None => return all,
            };
            let wanted =
                page.log_groups.into_iter().filter(|group| !exact || group.log_group_name == pattern);
            all.extend(wanted.map(|group| Group::described(&group.log_group_name, &group.arn)));
            // Names are told in order, so an exact one is the first.
            let is_found = exact && !all.is_empty();
            token = page.next_token.filter(|next| !is_found && token.as_ref() != Some(next));
            if token.is_none() || all.len() > GROUPS_MAX {
                return all;
            }
        }
    }

    /// A group was read up to there.
    fn read_to(&self, group: &str, millis: i64) {
        let mut all = self.done_to.lock();
        all.insert(group.to_owned(), millis);
        let oldest = all.values().min().copied().unwrap_or(millis);
        self.behind.set((self.context.clock.now().millis() - oldest).max(0) / 1000);
    }

    /// A group is not there any more.
    fn gone(&self, group: &str) {
        self.done_to.lock().remove(group);
    }
}

#[cfg(test)]
mod tests;
