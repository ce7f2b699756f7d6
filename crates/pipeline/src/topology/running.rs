//! Opens a topology, runs it, and drains it.
//!
//! Stopping goes with the stream: inputs stop reading, pipelines finish what was read, outputs empty their queues.
//! Whatever is not durable when the time for that is over is let go of unacknowledged, and read again next time.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use sawyer_buffer::Buffer;
use sawyer_disk::Disk;
use sawyer_model::{Batch, Count, Error, Fate, LeftOut, SourceId, Transfer};
use sawyer_telemetry::{Clock, Counter, Health, Metrics};
use tokio::task::JoinSet;

use super::books::{self, Keeper};
use super::buffered;
use super::entrance::{Entrance, Filling};
use super::plan::{BufferedOutput, FrontPlan, Named, PipelinePlan, TopologyPlan};
use crate::component::{Context, Input, Outlet, Output, Running, Step};
use crate::ports::Ports;
use crate::queue::{QueueClosed, QueueReceiver, queue};
use crate::spill::Spill;
use crate::steps::route::Router;
use crate::stop::{Patience, Stop, Stopper};

/// Bytes of records that wait in front of a pipeline, at most. Larger queues smooth more and hold more memory.
const PIPELINE_QUEUE_BYTES_MAX: u64 = 2 << 20;

/// Bytes of records that wait in front of an output, at most.
const OUTPUT_QUEUE_BYTES_MAX: u64 = 2 << 20;

/// What the components of a topology are given.
#[derive(Clone, Debug)]
pub struct Resources {
    /// The time.
    pub clock: Clock,
    /// Where they count.
    pub metrics: Metrics,
    /// The folder below which each has a folder of its own for state.
    pub state: Arc<dyn Disk>,
    /// Where the node's file system is mounted, if it is not at `/`.
    pub host_root: Option<PathBuf>,
    /// Where a component says that it is not ready, or failed.
    pub health: Health,
    /// Addresses that stay taken while one topology follows another.
    pub ports: Ports,
}

/// A topology that is open and does not run yet.
pub struct Topology {
    inputs: Vec<Named<Box<dyn Input>>>,
    pipelines: Vec<Pipeline>,
    outputs: Vec<Named<OpenOutput>>,
    clock: Clock,
    metrics: Metrics,
    health: Health,
    keeper: Keeper,
    ports: Ports,
}

struct OpenOutput {
    output: Box<dyn Output>,
    buffer: Option<(Buffer, Filling)>,
}

struct Pipeline {
    plan: PipelinePlan,
    steps: Vec<Box<dyn Step>>,
}

impl TopologyPlan {
    /// Opens every component. Nothing runs yet, so a topology that cannot be opened leaves nothing behind.
    ///
    /// # Errors
    /// The first component that cannot be opened, by name, and why.
    pub fn open(self, resources: &Resources) -> Result<Topology, Error> {
        let context = |section: &str, name: &str| Context {
            name: name.to_owned(),
            clock: resources.clock.clone(),
            metrics: resources.metrics.clone(),
            state: resources.state.sub(format!("{section}/{name}")),
            host_root: resources.host_root.clone(),
            health: resources.health.clone(),
            ports: resources.ports.of(component(section, name)),
            buffer: None,
        };
        resources.ports.begin();
        resources.metrics.ledger().forget_outputs();
        let mut outputs = Vec::new();
        for Named { name, plan } in self.outputs {
            let plan = plan.open(context("outputs", &name)).map_err(|error| named("output", &name, error))?;
            outputs.push(Named { name, plan });
        }
        let mut pipelines = Vec::new();
        for mut plan in self.pipelines {
            let mut steps = Vec::new();
            for (at, step) in std::mem::take(&mut plan.steps).into_iter().enumerate() {
                let place = format!("{}/{at}-{}", plan.name, step.name);
                let open = step.plan.open(&context("steps", &place));
                steps.push(open.map_err(|error| named("step", &place, error))?);
            }
            pipelines.push(Pipeline { plan, steps });
        }
        let mut inputs = Vec::new();
        let mut keeper = Keeper::new(&resources.metrics, &resources.clock);
        for Named { name, plan } in self.inputs {
            keeper.open(&name, resources.state.sub(format!("inputs/{name}")));
            let plan = plan.open(&context("inputs", &name)).map_err(|error| named("input", &name, error))?;
            inputs.push(Named { name, plan });
        }
        resources.ports.settle();
        Ok(Topology {
            clock: resources.clock.clone(),
            inputs,
            pipelines,
            outputs,
            metrics: resources.metrics.clone(),
            health: resources.health.clone(),
            keeper,
            ports: resources.ports.clone(),
        })
    }
}

impl BufferedOutput {
    fn open(self, context: Context) -> Result<OpenOutput, Error> {
        let keeps_ranges = self.output.keeps_ranges();
        let open = |FrontPlan { buffer, urgent }| {
            let disk = context.state.sub("buffer");
            let buffer = Buffer::open(disk, buffer, context.clock.clone(), &context.metrics, &context.name);
            buffer.map(|buffer| (buffer, Filling { urgent: urgent.map(Arc::new), keeps_ranges }))
        };
        let buffer = self.buffer.map(open).transpose()?;
        let handle = buffer.as_ref().map(|(buffer, _)| buffer.clone());
        let output = self.output.open(&Context { buffer: handle, ..context })?;
        Ok(OpenOutput { output, buffer })
    }
}

/// A component, as addresses know it.
fn component(section: &str, name: &str) -> String {
    format!("{section}/{name}")
}

fn named(what: &str, name: &str, error: Error) -> Error {
    Error::new(error.kind(), format!("open {what} `{name}`")).because(error)
}

impl Topology {
    /// The buffers by the names of their outputs, to look into.
    #[must_use]
    pub fn buffers(&self) -> Vec<(String, Buffer)> {
        let buffer = |output: &Named<OpenOutput>| {
            let (buffer, _) = output.plan.buffer.as_ref()?;
            Some((output.name.clone(), buffer.clone()))
        };
        self.outputs.iter().filter_map(buffer).collect()
    }

    /// Runs until `stop`, then drains for at most `drain`. A component that fails is reported and takes nothing
    /// else with it.
    ///
    /// # Errors
    /// The first failure of a component, after everything has ended.
    pub async fn run(self, stop: Stop, drain: Duration) -> Result<(), Error> {
        self.run_for(stop, || drain).await
    }

    /// As [`Topology::run`]; at the stop it is asked for how long to drain.
    ///
    /// # Errors
    /// As [`Topology::run`].
    pub async fn run_for(self, stop: Stop, drain: impl FnOnce() -> Duration) -> Result<(), Error> {
        let (give_up, given_up) = Stopper::new();
        let mut tasks = JoinSet::new();
        let mut to_outputs = Vec::new();
        let buffers: HashMap<String, Buffer> = self.buffers().into_iter().collect();
        for Named { name, plan: OpenOutput { output, buffer } } in self.outputs {
            let (sender, receiver) = queue(OUTPUT_QUEUE_BYTES_MAX);
            spawn(&mut tasks, &self.health, "output", &name, output.run(receiver, given_up.clone()));
            let Some((buffer, filling)) = buffer else {
                to_outputs.push((name, Entrance::new(sender, None), Fate::Delivered));
                continue;
            };
            let (into_buffer, waiting) = queue(OUTPUT_QUEUE_BYTES_MAX);
            let (output, keeps_ranges) = (name.clone(), filling.keeps_ranges);
            let (stop, tell) = (given_up.clone(), (self.clock.clone(), self.health.clone()));
            let lead = async move {
                buffered::lead(waiting, buffer, (&output, keeps_ranges), sender, stop, tell).await
            };
            spawn(&mut tasks, &self.health, "buffer of output", &name, Box::pin(lead));
            to_outputs.push((name, Entrance::new(into_buffer, Some(filling)), Fate::Buffered));
        }
        let mut to_pipelines = Vec::new();
        for Pipeline { mut plan, steps } in self.pipelines {
            let (sender, receiver) = queue(PIPELINE_QUEUE_BYTES_MAX);
            let exits = Exits::of(&mut plan, &to_outputs, &self.metrics);
            let work = Box::pin(run_pipeline(receiver, steps, exits));
            spawn(&mut tasks, &self.health, "pipeline", &plan.name, work);
            to_pipelines.push((plan, sender));
        }
        drop(to_outputs);
        for Named { name, plan: input } in self.inputs {
            let taking = to_pipelines.iter().filter(|(plan, _)| plan.inputs.contains(&name));
            self.metrics.ledger().leads(&name, books::unchanged(taking.clone()));
            let reached: BTreeSet<&String> = taking.clone().flat_map(|(plan, _)| &plan.outputs).collect();
            let reserves = reached.into_iter().filter_map(|output| buffers.get(output).map(Buffer::reserve));
            let outlet = Outlet::along(&name, books::ways(&name, taking), &self.metrics)
                .with_spill(Spill::into_buffers(reserves.collect()))
                .with_patience(Patience::until(given_up.clone()));
            let work = close_behind(input.run(outlet, stop.clone()), stop.clone(), &self.ports, &name);
            spawn(&mut tasks, &self.health, "input", &name, work);
        }
        drop((to_pipelines, buffers));
        self.keeper.beside(join(tasks, &stop, &give_up, drain)).await
    }
}

/// An input that ends before it is told to closes its addresses. At a stop the next topology may want them.
fn close_behind(input: Running, stop: Stop, ports: &Ports, name: &str) -> Running {
    let (ports, owner) = (ports.clone(), component("inputs", name));
    Box::pin(async move {
        let ended = input.await;
        if !stop.is_stopped() {
            ports.close(&owner);
        }
        ended
    })
}

fn spawn(
    tasks: &mut JoinSet<Result<(), Error>>,
    health: &Health,
    what: &'static str,
    name: &str,
    work: Running,
) {
    let name = name.to_owned();
    let health = health.clone();
    tasks.spawn(async move {
        let result = work.await.map_err(|error| named_running(what, &name, error));
        if let Err(error) = &result {
            tracing::error!(component = name, "{}", error.chain());
            health.not_ready(format!("{what} {name}"), error.chain());
        }
        result
    });
}

fn named_running(what: &str, name: &str, error: Error) -> Error {
    Error::new(error.kind(), format!("run {what} `{name}`")).because(error)
}

async fn join(
    mut tasks: JoinSet<Result<(), Error>>,
    stop: &Stop,
    give_up: &Stopper,
    drain: impl FnOnce() -> Duration,
) -> Result<(), Error> {
    let mut first = Ok(());
    let mut ends = std::pin::pin!(async {
        stop.stopped().await;
        tokio::time::sleep(drain()).await;
        give_up.stop();
        tokio::time::sleep(GIVE_UP_GRACE).await;
    });
    loop {
        let ended = tokio::select! {
            ended = tasks.join_next() => ended,
            () = &mut ends => {
                tasks.shutdown().await;
                return first;
            }
        };
        let result = match ended {
            None => return first,
            Some(Ok(result)) => result,
            Some(Err(panic)) => {
                let error = Error::new(sawyer_model::ErrorKind::Bug, "a component panicked").because(panic);
                tracing::error!("{}", error.chain());
                Err(error)
            }
        };
        if first.is_ok() {
            first = result;
        }
    }
}

/// How long components may take to let go once the time for draining is over.
const GIVE_UP_GRACE: Duration = Duration::from_millis(500);

/// The rule of records that a route leads elsewhere, or nowhere.
static ROUTE: LazyLock<Arc<str>> = LazyLock::new(|| "route".into());

/// A pipeline's way into one output.
struct Exit {
    output: String,
    entrance: Entrance,
    records: Counter,
    /// What it means that a transfer is acknowledged there.
    fate: Fate,
    /// Whether it gets records under identities of its own; see [`PipelinePlan::apart`].
    apart: bool,
}

impl Exit {
    fn new(output: &str, entrance: Entrance, fate: Fate, metrics: &Metrics) -> Self {
        let help = "Records handed to the output, by output";
        let records = metrics.counter("sawyer_output_taken_records", help, &[("output", output)]);
        Self { output: output.to_owned(), entrance, records, fate, apart: false }
    }

    /// Hands over what a router chose of `whole`; `elsewhere` is the rest.
    async fn send(
        &self,
        (mut transfer, elsewhere): (Transfer, LeftOut),
        whole: Count,
        mut names: Vec<(SourceId, SourceId)>,
    ) -> Result<(), QueueClosed> {
        let count = transfer.batch.len() as u64;
        transfer.ack = transfer.ack.at_exit(&self.output, whole, self.fate).renamed(&names);
        transfer.ack.note(Fate::Filtered, &ROUTE, &elsewhere);
        if self.apart {
            tell_apart(&mut transfer.batch, &format!("output {}", self.output), &mut names);
            transfer.ack = transfer.ack.renamed(&names);
        }
        self.entrance.send(transfer).await?;
        self.records.inc_by(count);
        Ok(())
    }
}

/// Gives the records of a batch the identities that they have on this way. `names` are what its sources were called before
/// and called by themselves; empty if that is the same.
fn tell_apart(batch: &mut Arc<Batch>, way: &str, names: &mut Vec<(SourceId, SourceId)>) {
    let of_way = |source: SourceId| SourceId::of(&[&source.0.to_le_bytes(), way.as_bytes()]);
    if names.is_empty() {
        names.extend(batch.covered().iter().map(|part| (part.source, part.source)));
    }
    names.iter_mut().for_each(|(called, _)| *called = of_way(*called));
    Arc::make_mut(batch).map_sources(of_way);
}

/// All ways out of a pipeline.
struct Exits {
    all: Vec<Exit>,
    /// Which of them a record takes; without it all.
    router: Option<Router>,
    /// What its sources are told apart by from those of another pipeline. Records are known by their sources, and a
    /// pipeline accounts for what it leaves out too; so an output that both lead to would take what comes by the
    /// second for a repetition.
    way: Option<String>,
}

impl Exits {
    fn of(plan: &mut PipelinePlan, outputs: &[(String, Entrance, Fate)], metrics: &Metrics) -> Self {
        let outputs = outputs.iter().filter(|(name, ..)| plan.outputs.contains(name));
        let exit = |(name, entrance, fate): &(String, Entrance, Fate)| {
            let apart = plan.apart.contains(name);
            Exit { apart, ..Exit::new(name, entrance.clone(), *fate, metrics) }
        };
        let all: Vec<Exit> = outputs.map(exit).collect();
        let names: Vec<&str> = all.iter().map(|exit| exit.output.as_str()).collect();
        let router = plan.route.take().map(|route| route.open(&plan.name, &names, metrics));
        let way = plan.shares_a_way.then(|| plan.name.clone());
        Self { all, router, way }
    }

    /// Hands over transfers. An output that has ended gets nothing more: its share of the duty is let go of, so that
    /// the sources keep for the next start what it should have had, and the others go on.
    ///
    /// # Errors
    /// [`QueueClosed`] once no output is left.
    async fn hand_over(&mut self, out: Vec<Transfer>) -> Result<(), QueueClosed> {
        for mut transfer in out {
            if self.all.is_empty() {
                transfer.ack.durable();
                continue;
            }
            let mut names = Vec::new();
            if let Some(way) = &self.way {
                tell_apart(&mut transfer.batch, way, &mut names);
            }
            let shares = match &mut self.router {
                Some(router) => router.divide(&transfer),
                None => vec![(transfer.clone(), LeftOut::default()); self.all.len()],
            };
            let whole = transfer.batch.own();
            // Whoever takes it next may be the only one who has it then, and need not copy it to change it.
            let Transfer { batch, ack } = transfer;
            drop(batch);
            ack.durable();
            let mut taken = false;
            for (exit, share) in self.all.iter().zip(shares) {
                taken |= exit.send(share, whole, names.clone()).await.is_ok();
            }
            if !taken {
                return Err(QueueClosed);
            }
        }
        Ok(())
    }
}

/// Steps may block (they compute, or talk to a child process), so each pipeline has a thread to itself.
async fn run_pipeline(from: QueueReceiver, steps: Vec<Box<dyn Step>>, to: Exits) -> Result<(), Error> {
    let runtime = tokio::runtime::Handle::current();
    let work = tokio::task::spawn_blocking(move || runtime.block_on(pass(from, Chain { steps }, to)));
    work.await.map_err(|panic| Error::new(sawyer_model::ErrorKind::Bug, "a step panicked").because(panic))
}

async fn pass(mut from: QueueReceiver, mut chain: Chain, mut to: Exits) {
    loop {
        let mut out = Vec::new();
        // A queue that is never empty must not keep a step from waking.
        if chain.wake_at().is_some_and(|due| due <= Instant::now()) {
            chain.wake(&mut out);
            if to.hand_over(std::mem::take(&mut out)).await.is_err() {
                return;
            }
        }
        let next = match chain.wake_at() {
            Some(at) => tokio::select! {
                biased;
                queued = from.next() => queued.map(Some),
                () = tokio::time::sleep_until(at.into()) => Some(None),
            },
            None => from.next().await.map(Some),
        };
        let Some(next) = next else { break };
        match next {
            Some(queued) => {
                let (transfer, room) = queued.into_parts();
                chain.apply(transfer, &mut out);
                drop(room);
            }
            None => chain.wake(&mut out),
        }
        if to.hand_over(out).await.is_err() {
            return;
        }
    }
    let mut out = Vec::new();
    chain.finish(&mut out);
    // Nobody is left to tell; what an output no longer takes stays unacknowledged.
    let _ = to.hand_over(out).await;
}

/// Steps one after the other.
struct Chain {
    steps: Vec<Box<dyn Step>>,
}

impl Chain {
    fn apply(&mut self, transfer: Transfer, out: &mut Vec<Transfer>) {
        self.apply_from(0, vec![transfer], out);
    }

    fn apply_from(&mut self, first: usize, mut transfers: Vec<Transfer>, out: &mut Vec<Transfer>) {
        for step in &mut self.steps[first..] {
            let mut next = Vec::with_capacity(transfers.len());
            for transfer in transfers {
                step.apply(transfer, &mut next);
            }
            transfers = next;
        }
        out.append(&mut transfers);
    }

    fn wake_at(&self) -> Option<Instant> {
        self.steps.iter().filter_map(|step| step.wake_at()).min()
    }

    fn wake(&mut self, out: &mut Vec<Transfer>) {
        let now = Instant::now();
        for at in 0..self.steps.len() {
            if self.steps[at].wake_at().is_some_and(|due| due <= now) {
                let mut woken = Vec::new();
                self.steps[at].wake(&mut woken);
                self.apply_from(at + 1, woken, out);
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<Transfer>) {
        for at in 0..self.steps.len() {
            let mut last = Vec::new();
            self.steps[at].finish(&mut last);
            self.apply_from(at + 1, last, out);
        }
    }
}

#[cfg(test)]
mod tests;
