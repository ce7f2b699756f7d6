//! Reads and checks the wiring.

use std::collections::BTreeSet;

use sawyer_buffer::{BufferPlan, BufferSettings};
use sawyer_config::{At, Node, Problems, Setting, With, nearest, read_components, settings};

use super::steps::{self, Steps};
use super::urgent::UrgentSettings;
use crate::component::{InputPlan, Kind, Kinds, OutputPlan, StepPlan};
use crate::steps::Condition;
use crate::steps::route::RoutePlan;

/// The sections of the configuration that make the topology.
pub const SECTIONS: &[&str] = &["inputs", "pipelines", "outputs"];

settings! {
    /// One way from inputs through steps to outputs. A record that several pipelines lead to one output arrives once
    /// from each of them. Without the section `pipelines` there is one named `main`,
    /// which takes from all inputs and gives to all outputs; what other Sawyers send (input `sawyer`) passes by its
    /// steps then, as `received`.
    pub struct PipelineSettings {
        /// The inputs it takes from. All of them if left out.
        pub inputs: Option<Vec<String>>,
        /// The outputs it gives to; each of them gets every record, unless a step `route` says otherwise. All of them
        /// if left out.
        pub outputs: Option<Vec<String>>,
        /// `off` leaves out the step `multiline`, which every pipeline begins with; a map changes its settings.
        pub multiline: Option<Node>,
        /// `off` leaves out the step `mask`, which comes next: secrets then are stored and sent as they are. A map
        /// changes its settings.
        pub mask: Option<Node>,
        /// `off` leaves out the step `parse`, which comes next; a map changes its settings.
        pub parse: Option<Node>,
    }
}

/// A topology whose wiring and settings are right.
#[derive(Debug, Default)]
pub struct TopologyPlan {
    pub(super) inputs: Vec<Named<Box<dyn InputPlan>>>,
    pub(super) pipelines: Vec<PipelinePlan>,
    pub(super) outputs: Vec<Named<BufferedOutput>>,
}

/// An output, and the buffer in front of it if it has one.
#[derive(Debug)]
pub(super) struct BufferedOutput {
    pub(super) output: Box<dyn OutputPlan>,
    pub(super) buffer: Option<FrontPlan>,
}

/// A buffer in front of an output.
#[derive(Debug)]
pub(super) struct FrontPlan {
    pub(super) buffer: BufferPlan,
    /// The records that leave it first.
    pub(super) urgent: Option<Condition>,
}

#[derive(Debug)]
pub(super) struct Named<P> {
    pub(super) name: String,
    pub(super) plan: P,
}

#[derive(Debug)]
pub(super) struct PipelinePlan {
    pub(super) name: String,
    pub(super) inputs: BTreeSet<String>,
    pub(super) steps: Vec<Named<Box<dyn StepPlan>>>,
    /// Which output gets which record; without it each gets all.
    pub(super) route: Option<RoutePlan>,
    pub(super) outputs: BTreeSet<String>,
    /// Whether another pipeline before it leads from one of its inputs to one of its outputs.
    pub(super) shares_a_way: bool,
    /// The outputs of a route that get records under identities of their own. Each of several gets a part of the records and
    /// accounts for all of them, so if two lead to one store in the end, it would take what comes by the second for a
    /// repetition.
    pub(super) apart: BTreeSet<String>,
}

impl TopologyPlan {
    /// Reads the sections [`SECTIONS`] below `at`; other keys are not its business. `fallback` is read for
    /// `inputs` and `outputs` where `at` does not have them.
    pub fn read(at: &At<'_>, fallback: &At<'_>, kinds: &Kinds, problems: &mut Problems) -> Option<Self> {
        let before = problems.len();
        let section = |name: &str| at.get(name).or_else(|| fallback.get(name));
        let inputs =
            section("inputs").map(|at| read_all(&at, &kinds.inputs, read_kind, problems)).unwrap_or_default();
        let outputs =
            section("outputs").map(|at| read_outputs(&at, &kinds.outputs, problems)).unwrap_or_default();
        let mut pipelines = match at.get("pipelines") {
            Some(at) => read_pipelines(&at, kinds, &inputs, &outputs, problems),
            None => whole_ways(at, kinds, &inputs, problems),
        };
        for pipeline in &mut pipelines {
            pipeline.fill(&inputs.names, &outputs.names);
        }
        tell_ways_apart(&mut pipelines);
        tell_routes_apart(&mut pipelines, &outputs.plans);
        if problems.len() == before {
            refuse_unused(
                &inputs,
                |name| pipelines.iter().any(|p| p.inputs.contains(name)),
                "input",
                problems,
            );
            refuse_unused(
                &outputs,
                |name| pipelines.iter().any(|p| p.outputs.contains(name)),
                "output",
                problems,
            );
        }
        let whole = problems.len() == before;
        whole.then(|| Self { inputs: inputs.plans, pipelines, outputs: outputs.plans })
    }

    /// The names of its inputs.
    pub fn input_names(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().map(|input| input.name.as_str())
    }

    /// The names of its outputs.
    pub fn output_names(&self) -> impl Iterator<Item = &str> {
        self.outputs.iter().map(|output| output.name.as_str())
    }
}

/// The components of a section: all names, also of those with problems, so that one mistake is told once.
struct Section<'a, P> {
    names: Vec<String>,
    places: Vec<At<'a>>,
    plans: Vec<Named<P>>,
}

impl<P> Default for Section<'_, P> {
    fn default() -> Self {
        Self { names: Vec::new(), places: Vec::new(), plans: Vec::new() }
    }
}

/// The key of an output that is not the output's own.
const BUFFER: &str = "buffer";

fn read_outputs<'a>(
    at: &At<'a>,
    kinds: &[Kind<Box<dyn OutputPlan>>],
    problems: &mut Problems,
) -> Section<'a, BufferedOutput> {
    let read = |kind: &Kind<Box<dyn OutputPlan>>, at: &At<'_>, problems: &mut Problems| {
        let output = read_kind(kind, &at.without(&[BUFFER]), problems);
        let buffer = match at.get(BUFFER) {
            Some(at) => Some(read_front(&at, output.as_deref(), problems)?),
            None if output.as_ref()?.is_remote() => {
                let nothing = Node::new(at.place().clone(), sawyer_config::Kind::Null);
                Some(read_front(&At::root(&nothing), output.as_deref(), problems)?)
            }
            None => None,
        };
        Some(BufferedOutput { output: output?, buffer })
    };
    read_all(at, kinds, read, problems)
}

fn read_front(at: &At<'_>, output: Option<&dyn OutputPlan>, problems: &mut Problems) -> Option<FrontPlan> {
    let With { common, own } = With::<UrgentSettings, BufferSettings>::read(at, problems)?;
    let in_order = output.is_some_and(OutputPlan::keeps_order) && at.get("urgent").is_none();
    Some(FrontPlan { buffer: own.check(at, problems)?, urgent: common.urgent.filter(|_| !in_order) })
}

fn read_kind<P>(kind: &Kind<P>, at: &At<'_>, problems: &mut Problems) -> Option<P> {
    (kind.read)(at, problems)
}

fn read_all<'a, P, Q>(
    at: &At<'a>,
    kinds: &[Kind<P>],
    read: impl Fn(&Kind<P>, &At<'_>, &mut Problems) -> Option<Q>,
    problems: &mut Problems,
) -> Section<'a, Q> {
    let known: Vec<&'static str> = kinds.iter().map(|kind| kind.name).collect();
    let mut section = Section::default();
    for (key, at) in at.entries() {
        let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if key.text.is_empty() || !key.text.chars().all(good) {
            problems.push(&at, "a name is made of letters, digits, `_` and `-`");
        }
        section.names.push(key.text.clone());
        section.places.push(at);
    }
    for component in read_components(at, &known, problems) {
        let kind = kinds.iter().find(|kind| kind.name == component.kind).expect("only known kinds are read");
        if let Some(plan) = read(kind, &component.at, problems) {
            section.plans.push(Named { name: component.name, plan });
        }
    }
    section
}

fn read_pipelines<I, O>(
    at: &At<'_>,
    kinds: &Kinds,
    inputs: &Section<'_, I>,
    outputs: &Section<'_, O>,
    problems: &mut Problems,
) -> Vec<PipelinePlan> {
    let (mut pipelines, mut metrics) = (Vec::new(), Vec::new());
    for (key, at) in at.entries() {
        let settings = PipelineSettings::read(&at.without(&[steps::STEPS]), problems);
        let named = settings.as_ref().and_then(|settings| settings.outputs.as_ref());
        let to = named.unwrap_or(&outputs.names);
        let Steps { steps, route } = steps::read(&at, kinds, to, &mut metrics, problems);
        let Some(settings) = settings else { continue };
        let takes = known(&at.key("inputs"), settings.inputs, &inputs.names, "input", problems);
        let mut gives = known(&at.key("outputs"), settings.outputs, &outputs.names, "output", problems);
        if let Some(route) = &route {
            let routed: BTreeSet<String> = route.outputs().cloned().collect();
            for name in gives.difference(&routed) {
                problems.push(&at.key("outputs"), format!("no route gives to the output `{name}`"));
            }
            gives = routed;
        }
        pipelines.push(PipelinePlan {
            name: key.text.clone(),
            inputs: takes,
            steps,
            route,
            outputs: gives,
            shares_a_way: false,
            apart: BTreeSet::new(),
        });
    }
    pipelines
}

/// The names that were written, all of which must be known; nothing written stands for all and comes out empty.
fn known(
    at: &At<'_>,
    written: Option<Vec<String>>,
    names: &[String],
    what: &str,
    problems: &mut Problems,
) -> BTreeSet<String> {
    let Some(written) = written else { return BTreeSet::new() };
    if written.is_empty() {
        problems.push(at, format!("expected at least one {what}; leave the key out to take all"));
    }
    for name in written.iter().filter(|name| !names.contains(name)) {
        let hint = nearest(name, names.iter().map(String::as_str));
        let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        problems.push(at, format!("there is no {what} `{name}`{hint}"));
    }
    written.into_iter().collect()
}

/// The pipelines of a configuration that has none: one with the usual steps, and one without for what has passed them
/// at another Sawyer.
fn whole_ways(
    at: &At<'_>,
    kinds: &Kinds,
    inputs: &Section<'_, Box<dyn InputPlan>>,
    problems: &mut Problems,
) -> Vec<PipelinePlan> {
    let way = |name: &str, inputs, steps, route| PipelinePlan {
        name: name.to_owned(),
        inputs,
        steps,
        route,
        outputs: BTreeSet::new(),
        shares_a_way: false,
        apart: BTreeSet::new(),
    };
    let processed = inputs.plans.iter().filter(|input| input.plan.is_processed());
    let processed: BTreeSet<String> = processed.map(|input| input.name.clone()).collect();
    let others: BTreeSet<String> =
        inputs.names.iter().filter(|name| !processed.contains(*name)).cloned().collect();
    let mut ways = Vec::new();
    if !others.is_empty() || processed.is_empty() {
        let nothing = Node::new(at.place().clone(), sawyer_config::Kind::Null);
        let Steps { steps, route } = steps::read(&At::root(&nothing), kinds, &[], &mut Vec::new(), problems);
        ways.push(way("main", others, steps, route));
    }
    if !processed.is_empty() {
        ways.push(way("received", processed, Vec::new(), None));
    }
    ways
}

/// Marks the pipelines whose records would come to an output under identities that another pipeline gives there too.
fn tell_ways_apart(pipelines: &mut [PipelinePlan]) {
    for at in 0..pipelines.len() {
        let (before, rest) = pipelines.split_at_mut(at);
        let own = &mut rest[0];
        own.shares_a_way = before
            .iter()
            .any(|other| !other.inputs.is_disjoint(&own.inputs) && !other.outputs.is_disjoint(&own.outputs));
    }
}

/// Marks the outputs of routes that account for what they do not get; the first of each pipeline may stay as it is.
fn tell_routes_apart(pipelines: &mut [PipelinePlan], outputs: &[Named<BufferedOutput>]) {
    let keepers = outputs.iter().filter(|output| output.plan.output.keeps_ranges());
    let keepers: BTreeSet<String> = keepers.map(|output| output.name.clone()).collect();
    for pipeline in pipelines.iter_mut().filter(|pipeline| pipeline.route.is_some()) {
        pipeline.apart = pipeline.outputs.intersection(&keepers).skip(1).cloned().collect();
    }
}

fn refuse_unused<P>(
    section: &Section<'_, P>,
    used: impl Fn(&str) -> bool,
    what: &str,
    problems: &mut Problems,
) {
    for (name, at) in section.names.iter().zip(&section.places).filter(|(name, _)| !used(name)) {
        problems.push(at, format!("no pipeline uses the {what} `{name}`"));
    }
}

impl PipelinePlan {
    fn fill(&mut self, inputs: &[String], outputs: &[String]) {
        if self.inputs.is_empty() {
            self.inputs = inputs.iter().cloned().collect();
        }
        if self.outputs.is_empty() {
            self.outputs = outputs.iter().cloned().collect();
        }
    }
}
