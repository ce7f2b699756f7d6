//! Reads the steps of a pipeline: those that every pipeline has, and those that its configuration lists.
//!
//! Owns: which steps run without being named, where they stand among those that are, how they are turned off, and that
//! routes come last.
//! Does not own: the settings of any step.
//! Invariant: a step that masks is left out only if the configuration says so in so many words.

use sawyer_config::{At, Kind as NodeKind, Node, Problems, nearest};

use sawyer_telemetry::DerivedSpec;

use super::plan::Named;
use crate::component::{Kind, Kinds, StepPlan};
use crate::steps::route::{self, RoutePlan};

/// The steps that every pipeline has, in the order in which they run: lines become records, secrets go before anything
/// else sees them, and what is left is read.
pub(super) const STANDARD: &[&str] = &["multiline", "mask", "parse"];

/// The key of a pipeline that lists its further steps.
pub(super) const STEPS: &str = "steps";

type Step = Named<Box<dyn StepPlan>>;

/// The steps of a pipeline in order, and where records go behind them, if the last one says it.
pub(super) struct Steps {
    pub(super) steps: Vec<Step>,
    pub(super) route: Option<RoutePlan>,
}

/// What a pipeline says about a standard step.
enum Said<'a> {
    Nothing,
    Off,
    Settings(At<'a>),
}

/// Reads the steps of a pipeline that gives to these outputs. `metrics` are those of the pipelines before; those of
/// this one are added.
pub(super) fn read(
    at: &At<'_>,
    kinds: &Kinds,
    outputs: &[String],
    metrics: &mut Vec<DerivedSpec>,
    problems: &mut Problems,
) -> Steps {
    let listed = at.get(STEPS);
    let list = listed.as_ref().map(|list| read_list(list, kinds, outputs, metrics, problems));
    let Steps { mut steps, route } = list.unwrap_or(Steps { steps: Vec::new(), route: None });
    let mut place = 0;
    for name in STANDARD {
        let Some(kind) = kinds.steps.iter().find(|kind| kind.name == *name) else { continue };
        let said = said(at, name, problems);
        let last = listed.as_ref().map_or(0, |list| names(list).filter(|listed| listed == name).count());
        if last > 0 {
            if !matches!(said, Said::Nothing) {
                problems.push(&at.key(name), format!("`steps` has a step `{name}` too; say it in one place"));
            }
            place = steps.iter().rposition(|step| step.name == *name).map_or(place, |at| at + 1);
            continue;
        }
        let nothing = Node::new(at.place().clone(), NodeKind::Null);
        let plan = match said {
            Said::Off => continue,
            Said::Nothing => read_step(kind, &At::root(&nothing), problems),
            Said::Settings(settings) => read_step(kind, &settings, problems),
        };
        if let Some(step) = plan {
            steps.insert(place, step);
            place += 1;
        }
    }
    Steps { steps, route }
}

fn said<'a>(at: &At<'a>, name: &str, problems: &mut Problems) -> Said<'a> {
    let Some(at) = at.get(name) else { return Said::Nothing };
    match (&at.node().kind, at.text()) {
        (NodeKind::Null, _) | (_, Some("on" | "true")) => Said::Nothing,
        (_, Some("off" | "false")) => Said::Off,
        (NodeKind::Map(_), _) => Said::Settings(at),
        _ => {
            problems.expected(&at, "`off`, `on`, or the step's settings");
            Said::Nothing
        }
    }
}

/// The names in a list of steps.
fn names<'a>(list: &At<'a>) -> impl Iterator<Item = &'a str> {
    list.items().into_iter().filter_map(|item| match (item.text(), item.entries().as_slice()) {
        (Some(name), _) => Some(name),
        (None, [(key, _)]) => Some(key.text.as_str()),
        _ => None,
    })
}

/// A list of steps, each the name of a kind or a map from it to settings.
fn read_list(
    at: &At<'_>,
    kinds: &Kinds,
    outputs: &[String],
    metrics: &mut Vec<DerivedSpec>,
    problems: &mut Problems,
) -> Steps {
    let nothing = Node::new(at.place().clone(), NodeKind::Null);
    let (mut steps, mut route) = (Vec::new(), None);
    let items = at.items();
    for (place, item) in items.iter().enumerate() {
        let entries = item.entries();
        let (name, settings) = match (item.text(), entries.as_slice()) {
            (Some(name), _) => (name, At::root(&nothing)),
            (None, [(key, settings)]) => (key.text.as_str(), settings.clone()),
            _ => {
                problems.expected(item, "a step: its name, or one name with its settings");
                continue;
            }
        };
        let Some(kind) = kinds.steps.iter().find(|kind| kind.name == name) else {
            let hint = nearest(name, kinds.steps.iter().map(|kind| kind.name));
            let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            problems.push(item, format!("unknown step `{name}`{hint}"));
            continue;
        };
        if name == route::NAME && place + 1 == items.len() {
            route = RoutePlan::read(&settings, outputs, problems);
        } else if let Some(step) = read_step(kind, &settings, problems) {
            if let Some(metric) = step.plan.metric() {
                check_metric(metric, &settings, metrics, problems);
            }
            steps.push(step);
        }
    }
    Steps { steps, route }
}

fn check_metric(metric: &DerivedSpec, at: &At<'_>, metrics: &mut Vec<DerivedSpec>, problems: &mut Problems) {
    if metrics.iter().any(|known| known.clashes_with(metric)) {
        let message = format!(
            "another step makes the metric `{}` in another way: kind, help, labels, buckets and `series_max` have to \
             be the same",
            metric.name
        );
        problems.push(&at.key("name"), message);
    }
    metrics.push(metric.clone());
}

fn read_step(kind: &Kind<Box<dyn StepPlan>>, at: &At<'_>, problems: &mut Problems) -> Option<Step> {
    Some(Named { name: kind.name.to_owned(), plan: (kind.read)(at, problems)? })
}
