//! The step `route`, which ends a pipeline: which output gets which record.
//!
//! Owns: reading routes, and dividing batches among outputs.
//! Does not own: the outputs, and the queues to them (`topology`).
//! Invariant: what a batch covers goes to every output, whatever of its records does, so that each accounts for all;
//! a record that no route takes goes to the default, or is counted.

use std::sync::Arc;

use sawyer_config::{At, Problems, Setting, Settings, nearest, settings};
use sawyer_model::{Batch, LeftOut, Transfer};
use sawyer_telemetry::{Counter, Metrics};

use super::Condition;
use crate::component::{Kind, StepPlan};

#[cfg(test)]
mod tests;

/// The name of the step.
pub(crate) const NAME: &str = "route";

/// Most outputs of a pipeline that has routes: a record's outputs are the bits of a number.
const OUTPUTS_MAX: usize = 64;

settings! {
    /// Gives each record to the outputs whose routes take it; all routes are asked, so that a record may go to
    /// several outputs. It is the last step of a pipeline, and names all outputs that the pipeline gives to.
    pub struct RouteSettings {
        /// The routes.
        pub routes: Vec<RouteRule>,
        /// The outputs of records that no route takes. Without them such records are dropped, and counted under the
        /// rule `no route`.
        pub default: Vec<String> = Vec::new(),
    }
    /// One way out of a pipeline.
    pub struct RouteRule {
        /// Which records take it, in KQL.
        pub when: Condition,
        /// The outputs that get them.
        pub outputs: Vec<String>,
        /// What the route is called where its records are counted. Its condition by default.
        pub name: Option<String>,
    }
}

/// The kind `route`, for the manual and for hints: the topology reads the step itself, because it knows the outputs.
pub(super) fn kind() -> Kind<Box<dyn StepPlan>> {
    Kind {
        name: NAME,
        reference: RouteSettings::reference,
        read: Box::new(|at, problems| {
            problems.push(at, "`route` is the last step of a pipeline");
            None
        }),
    }
}

/// Routes that are right.
#[derive(Debug)]
pub(crate) struct RoutePlan(RouteSettings);

impl RoutePlan {
    /// Reads routes between these outputs.
    pub(crate) fn read(at: &At<'_>, outputs: &[String], problems: &mut Problems) -> Option<Self> {
        let before = problems.len();
        let settings = RouteSettings::read(at, problems)?;
        let routes = at.key("routes");
        if settings.routes.is_empty() {
            problems.push(&routes, "expected at least one route");
        }
        for (rule, at) in settings.routes.iter().zip(routes.items()) {
            let at = at.key("outputs");
            if rule.outputs.is_empty() {
                problems.push(&at, "expected at least one output");
            }
            check_outputs(&rule.outputs, &at, outputs, problems);
        }
        check_outputs(&settings.default, &at.key("default"), outputs, problems);
        let plan = Self(settings);
        if plan.outputs().count() > OUTPUTS_MAX {
            problems.push(at, format!("expected at most {OUTPUTS_MAX} outputs; divide the pipeline"));
        }
        (problems.len() == before).then_some(plan)
    }

    /// Every output that a route or the default names.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = &String> {
        let Self(RouteSettings { routes, default }) = self;
        let mut named: Vec<&String> = routes.iter().flat_map(|rule| &rule.outputs).chain(default).collect();
        named.sort_unstable();
        named.dedup();
        named.into_iter()
    }

    /// A router to these outputs, in this order.
    pub(crate) fn open(self, pipeline: &str, outputs: &[&str], metrics: &Metrics) -> Router {
        let Self(RouteSettings { routes, default }) = self;
        let bits = |names: &[String]| {
            let places =
                outputs.iter().enumerate().filter(|(_, name)| names.iter().any(|named| named == *name));
            places.fold(0, |bits, (at, _)| bits | 1 << at)
        };
        let rules = routes.into_iter().map(|RouteRule { when, outputs, name }| {
            let route = name.as_deref().unwrap_or(when.text());
            let labels = [("route", route), ("pipeline", pipeline)];
            let help = "Records that took a route, by route and pipeline";
            let taken = metrics.counter("sawyer_step_routed_records", help, &labels);
            Rule { bits: bits(&outputs), when, taken }
        });
        let labels = [("rule", "no route"), ("step", NAME), ("pipeline", pipeline)];
        let help = "Records dropped by a rule, by rule, step and pipeline";
        Router {
            rules: rules.collect(),
            default: bits(&default),
            outputs: outputs.len(),
            dropped: metrics.counter("sawyer_step_dropped_records", help, &labels),
            ways: Vec::new(),
        }
    }
}

fn check_outputs(named: &[String], at: &At<'_>, outputs: &[String], problems: &mut Problems) {
    for name in named.iter().filter(|name| !outputs.contains(name)) {
        let hint = nearest(name, outputs.iter().map(String::as_str));
        let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        problems.push(at, format!("the pipeline gives to no output `{name}`{hint}"));
    }
}

/// Divides transfers among outputs.
pub(crate) struct Router {
    rules: Vec<Rule>,
    /// The outputs of records that no rule takes, as bits.
    default: u64,
    outputs: usize,
    dropped: Counter,
    /// The outputs of each record of a batch; kept so that a batch allocates little of its own.
    ways: Vec<u64>,
}

struct Rule {
    when: Condition,
    bits: u64,
    taken: Counter,
}

impl Router {
    /// What each output gets of a transfer, in the order of outputs, and what it does not get.
    pub(crate) fn divide(&mut self, transfer: &Transfer) -> Vec<(Transfer, LeftOut)> {
        let Self { rules, default, outputs, dropped, ways } = self;
        ways.clear();
        let mut lost = 0;
        for record in transfer.batch.iter() {
            let mut way = None;
            for rule in rules.iter().filter(|rule| rule.when.matches(record)) {
                rule.taken.inc();
                way = Some(way.unwrap_or(0) | rule.bits);
            }
            let way = way.unwrap_or(*default);
            lost += u64::from(way == 0);
            ways.push(way);
        }
        dropped.inc_by(lost);
        let share = |at: usize| {
            let (batch, elsewhere) = share(&transfer.batch, ways, at);
            (Transfer { batch, ack: transfer.ack.clone() }, elsewhere)
        };
        (0..*outputs).map(share).collect()
    }
}

/// The records of a batch that take this way, and all that it covers; and the records that do not.
fn share(batch: &Arc<Batch>, ways: &[u64], at: usize) -> (Arc<Batch>, LeftOut) {
    let takes = |way: &u64| way >> at & 1 == 1;
    let mut elsewhere = LeftOut::default();
    if ways.iter().all(takes) {
        return (Arc::clone(batch), elsewhere);
    }
    let mut part = Batch::new();
    for (record, way) in batch.iter().zip(ways) {
        match takes(way) {
            true => part.push_ref(record),
            false => elsewhere.add(record),
        }
    }
    part.set_covered(batch.covered().to_vec());
    (Arc::new(part), elsewhere)
}
