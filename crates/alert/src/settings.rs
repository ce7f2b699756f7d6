//! What can be set about alerts: the section `alerts`.
//!
//! Owns: the keys, and what is wrong with them together. Does not own: what a rule means (`rule`).
//! Invariant: everything that is wrong with a rule or a notifier is found here, before anything runs.

use std::collections::BTreeMap;
use std::time::Duration;

use sawyer_config::{At, Kind, Node, Place, Problems, Setting, choice, nearest, settings};

use crate::kql::Kql;
use crate::notifier::{NotifierPlan, NotifierSettings};
use crate::rule::{Rule, is_name};
use crate::template::Template;
use crate::threshold::Threshold;

/// A day, the longest time between two evaluations.
const DAY: Duration = Duration::from_secs(86_400);

choice! {
    /// How bad it is.
    pub enum Severity {
        /// Somebody has to look at once.
        Critical = "critical",
        /// Something fails.
        Error = "error",
        /// Something is about to.
        Warning = "warning",
        /// Good to know.
        Info = "info",
    }

    /// What follows when there is nothing to judge: for `ratio`, no record of `base`; for `count` and `absent`, no
    /// record at all (or none of `base`).
    pub enum NoData {
        /// It is good.
        Ok = "ok",
        /// It is an alert of its own, with the label `nodata: "true"`.
        Alert = "alert",
        /// Nothing changes: what fires goes on firing.
        Keep = "keep",
    }
}

settings! {
    /// Rules that are evaluated, and whom they tell. A rule lies here or, if it was made by the API or in the
    /// interface, in the data folder.
    pub struct AlertSettings {
        /// The rules by name.
        pub rules: BTreeMap<String, RuleSettings> = BTreeMap::new(),
        /// Those who are told, by name. `type` may be left out where the name is a type.
        pub notifiers: BTreeMap<String, NotifierSettings> = BTreeMap::new(),
        /// Where people reach the interface, such as `https://sawyer.example`; links in messages begin with it. By
        /// default the address that Sawyer listens on.
        pub public_url: Option<String>,
        /// Alerts whose labels of these names are the same go into one message. An empty list makes one message of
        /// all that is told to a notifier. The label `alertname` is the rule's name.
        pub group_by: Vec<String> = vec!["alertname".to_owned()],
        /// How long the first message of a group waits for further alerts.
        #[range(Duration::ZERO..=DAY)]
        pub group_wait: Duration = Duration::ZERO,
        /// Least time between two messages about changes in a group.
        #[range(Duration::ZERO..=DAY)]
        pub group_interval: Duration = Duration::from_secs(60),
        /// After this time a group that still fires is told again.
        #[range(Duration::from_secs(10)..=Duration::from_secs(31 * 86_400))]
        pub repeat_interval: Duration = Duration::from_secs(4 * 3600),
    }

    /// When is somebody told? One of `count`, `ratio` and `absent` says it.
    pub struct RuleSettings {
        /// Which records, in KQL.
        pub query: Kql,
        /// So many records in the window, such as `>= 10`.
        pub count: Option<Threshold>,
        /// Such a part of the records of `base`, such as `> 5%`.
        pub ratio: Option<Threshold>,
        /// No record in the window.
        pub absent: bool = false,
        /// Of which records `ratio` is a part, in KQL; by default of all.
        pub base: Option<Kql>,
        /// Each combination of values of these fields is an alert of its own.
        pub group_by: Vec<String> = Vec::new(),
        /// Most groups of one evaluation. If there are more, those with the most records are looked at, and the
        /// rule's state says so.
        #[range(1..=1000)]
        pub groups_max: u32 = 100,
        /// The span of time that is looked at, up to the moment of the evaluation.
        #[range(Duration::from_secs(1)..=Duration::from_secs(31 * 86_400))]
        pub window: Duration = Duration::from_secs(300),
        /// Time between two evaluations.
        #[range(Duration::from_secs(1)..=DAY)]
        pub interval: Duration = Duration::from_secs(30),
        /// How long it has to be so before somebody is told.
        #[range(Duration::ZERO..=DAY)]
        pub r#for: Duration = Duration::ZERO,
        /// How long an alert goes on after it is not so any more; damps what comes and goes.
        #[range(Duration::ZERO..=DAY)]
        pub keep_firing_for: Duration = Duration::ZERO,
        /// How long an evaluation waits for lines that come late. The window ends that much before the evaluation. A
        /// longer wait tells everything later.
        #[range(Duration::ZERO..=DAY)]
        pub lateness: Duration = Duration::from_secs(5),
        /// What follows when there is nothing to judge.
        pub no_data: NoData = NoData::Ok,
        /// For `absent` with `group_by`: groups that had a record within this time are missed.
        #[range(Duration::from_secs(60)..=Duration::from_secs(31 * 86_400))]
        pub seen_within: Duration = DAY,
        /// How bad it is; a label as well.
        pub severity: Severity = Severity::Warning,
        /// Labels of the alerts beside those of `group_by`.
        pub labels: BTreeMap<String, String> = BTreeMap::new(),
        /// The first line of messages, a template. By default the rule's name and what was found.
        pub summary: Option<Template>,
        /// Further text of messages, a template.
        pub description: Option<Template>,
        /// Where somebody reads what to do, a template; beside the link to the records.
        pub runbook: Option<Template>,
        /// The names of the notifiers that are told.
        pub notify: Vec<String> = Vec::new(),
        /// Records shown in a message.
        #[range(0..=10)]
        pub samples: u32 = 3,
        /// Whether it is evaluated.
        pub enabled: bool = true,
    }
}

/// When messages about groups of alerts are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// Names of labels.
    pub by: Vec<String>,
    /// See [`AlertSettings::group_wait`].
    pub wait: Duration,
    /// See [`AlertSettings::group_interval`].
    pub interval: Duration,
    /// See [`AlertSettings::repeat_interval`].
    pub repeat: Duration,
}

/// The section `alerts`, checked.
#[derive(Debug)]
pub struct AlertPlan {
    pub(crate) rules: BTreeMap<String, Rule>,
    pub(crate) notifiers: BTreeMap<String, NotifierPlan>,
    pub(crate) public_url: Option<String>,
    pub(crate) grouping: Grouping,
}

impl AlertPlan {
    /// Reads and checks the section at `at`; nothing there means the defaults.
    pub fn read(at: &At<'_>, problems: &mut Problems) -> Option<Self> {
        let before = problems.len();
        // Rules and notifiers are read one by one, so that a fault in one hides none in another.
        let rest = AlertSettings::read(&at.without(&[RULES, NOTIFIERS]), problems)?;
        let AlertSettings { public_url, group_by, group_wait, group_interval, repeat_interval, .. } = rest;
        let notifiers = named::<NotifierSettings>(&at.key(NOTIFIERS), problems);
        let rules = named::<RuleSettings>(&at.key(RULES), problems);
        let names: Vec<String> = notifiers.iter().map(|(name, _)| name.clone()).collect();
        let mut plan = Self {
            rules: BTreeMap::new(),
            notifiers: BTreeMap::new(),
            public_url: public_url.map(|url| url.trim_end_matches('/').to_owned()),
            grouping: Grouping {
                by: group_by,
                wait: group_wait,
                interval: group_interval,
                repeat: repeat_interval,
            },
        };
        if let Some(url) = plan.public_url.as_ref().filter(|url| !is_web_address(url)) {
            let message = format!("expected an address such as \"https://sawyer.example\", found {url:?}");
            problems.push(&at.key("public_url"), message);
        }
        for (name, settings) in notifiers {
            let (at, Some(settings)) = (at.key(NOTIFIERS).key(&name), settings) else { continue };
            if let Some(checked) =
                check_name(&name, &at, problems).and_then(|()| settings.check(&at, problems))
            {
                plan.notifiers.insert(name, checked);
            }
        }
        for (name, settings) in rules {
            let (at, Some(settings)) = (at.key(RULES).key(&name), settings) else { continue };
            if let Some(rule) = settings.check(&name, &names, &at, problems) {
                plan.rules.insert(name, rule);
            }
        }
        (problems.len() == before).then_some(plan)
    }

    /// The names of the rules.
    pub fn rule_names(&self) -> impl Iterator<Item = &str> {
        self.rules.keys().map(String::as_str)
    }
}

const RULES: &str = "rules";
const NOTIFIERS: &str = "notifiers";

/// Each value of a map by its name; none for one that is wrong.
fn named<T: Setting>(at: &At<'_>, problems: &mut Problems) -> Vec<(String, Option<T>)> {
    if !matches!(at.node().kind, Kind::Map(_) | Kind::Null) {
        problems.expected(at, "a map of names");
    }
    at.entries().into_iter().map(|(key, at)| (key.text.clone(), T::read(&at, problems))).collect()
}

impl Default for AlertPlan {
    fn default() -> Self {
        let nothing = Node::new(Place::whole("defaults"), Kind::Null);
        Self::read(&At::root(&nothing), &mut Problems::new()).expect("the defaults are good")
    }
}

fn is_web_address(url: &str) -> bool {
    url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).is_some_and(|rest| !rest.is_empty())
}

/// What to say of a notifier that there is not.
pub(crate) fn no_notifier(name: &str, known: &[String]) -> String {
    let hint = match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if known.is_empty() => "; there are none in `alerts.notifiers`".to_owned(),
        None => format!("; known: `{}`", known.join("`, `")),
    };
    format!("there is no notifier `{name}`{hint}")
}

fn check_name(name: &str, at: &At<'_>, problems: &mut Problems) -> Option<()> {
    if is_name(name) {
        return Some(());
    }
    problems.push(at, "a name has 1 to 100 letters, digits, `-`, `_` or `.`");
    None
}

impl RuleSettings {
    /// Checks a rule of this name. `notifiers` are the names that there are.
    pub(crate) fn check(
        self,
        name: &str,
        notifiers: &[String],
        at: &At<'_>,
        problems: &mut Problems,
    ) -> Option<Rule> {
        let before = problems.len();
        let _reported = check_name(name, at, problems);
        self.check_kind(at, problems);
        self.check_labels(at, problems);
        for (index, notifier) in self.notify.iter().enumerate() {
            if notifiers.contains(notifier) {
                continue;
            }
            let items = at.key("notify").items();
            problems.push(items.get(index).unwrap_or(at), no_notifier(notifier, notifiers));
        }
        if problems.len() > before {
            return None;
        }
        Some(Rule::new(name.to_owned(), self))
    }

    fn check_kind(&self, at: &At<'_>, problems: &mut Problems) {
        let kinds =
            usize::from(self.count.is_some()) + usize::from(self.ratio.is_some()) + usize::from(self.absent);
        if kinds != 1 {
            let found = if kinds == 0 { "none of them" } else { "several" };
            problems.push(at, format!("expected one of `count`, `ratio` and `absent: true`, found {found}"));
        }
        if self.count.is_some_and(|threshold| threshold.percent) {
            problems
                .push(&at.key("count"), "expected a number of records, found a percentage; that is `ratio`");
        }
        if let Some(ratio) = self.ratio
            && ratio.limit > 1.0
        {
            let message =
                format!("a part is never above 100%, found {ratio}; did you mean `> {}%`?", ratio.limit);
            problems.push(&at.key("ratio"), message);
        }
        if self.base.is_some() && self.ratio.is_none() && self.no_data == NoData::Ok {
            problems.push(&at.key("base"), "means nothing without `ratio` or `no_data`");
        }
    }

    /// The labels that alerts of the rule have, but for the two that all have.
    fn label_names(&self) -> Vec<String> {
        let own = ["alertname", "severity"].map(str::to_owned);
        own.into_iter().chain(self.labels.keys().cloned()).chain(self.group_by.iter().cloned()).collect()
    }

    fn check_labels(&self, at: &At<'_>, problems: &mut Problems) {
        for name in self.labels.keys() {
            let place = at.key("labels").key(name);
            if ["alertname", "severity"].contains(&name.as_str()) {
                problems.push(&place, "every alert has this label already");
            } else if self.group_by.contains(name) {
                problems.push(&place, "`group_by` makes a label of this name");
            }
        }
        let known = self.label_names();
        let templates =
            [("summary", &self.summary), ("description", &self.description), ("runbook", &self.runbook)];
        for (key, template) in templates {
            let Some(template) = template else { continue };
            let Err(errors) = template.check(crate::template::NAMES, Some(&known)) else { continue };
            for error in errors {
                problems.push(&at.key(key), error.drawn(template.text()));
            }
        }
    }
}
