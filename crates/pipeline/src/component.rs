//! What an input, a step and an output are.
//!
//! Each is born in three stages: settings are read and checked into a *plan* (pure: every problem at once), the
//! plan is opened (I/O, but nothing is started), and what was opened runs until it is told to stop.

use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use sawyer_buffer::Buffer;
use sawyer_config::{At, Problems, Reference};
use sawyer_disk::Disk;
use sawyer_model::{Ack, Batch, BySource, Count, Error, Outcome, Transfer, Way};
use sawyer_telemetry::{Clock, Counter, DerivedSpec, Health, Ledger, Metrics};
use tokio::sync::Mutex;

use crate::ports::Ports;
use crate::queue::{Place, QueueClosed, QueueReceiver, QueueSender};
use crate::spill::Spill;
use crate::stop::{Patience, Stop};

/// Something that runs until it is done.
pub type Running = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// What a component is given when it is opened.
#[derive(Clone, Debug)]
pub struct Context {
    /// The component's name in the configuration.
    pub name: String,
    /// The time.
    pub clock: Clock,
    /// Where it counts.
    pub metrics: Metrics,
    /// A folder of its own for state that must survive a restart.
    pub state: Arc<dyn Disk>,
    /// Where the node's file system is mounted, if it is not at `/`.
    pub host_root: Option<PathBuf>,
    /// Where it says that it is not ready, and why.
    pub health: Health,
    /// Where it listens.
    pub ports: Ports,
    /// The buffer in front of it, if it is an output that has one. There its dead letters go.
    pub buffer: Option<Buffer>,
}

impl Context {
    /// Where a path of the node is to be found from here.
    #[must_use]
    pub fn on_host(&self, path: &Path) -> PathBuf {
        match &self.host_root {
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
            None => path.to_owned(),
        }
    }
}

/// An input whose settings are right.
pub trait InputPlan: fmt::Debug + Send {
    /// Whether its records come as another Sawyer's steps have left them, so that the steps that every pipeline has
    /// are done.
    fn is_processed(&self) -> bool {
        false
    }

    /// Does what I/O is needed to start; starts nothing.
    ///
    /// # Errors
    /// What stands in the way, as the operator needs to hear it.
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Input>, Error>;
}

/// Where records come from.
pub trait Input: Send {
    /// Reads until told to stop. What was sent and is not acknowledged by then is read again after a restart.
    fn run(self: Box<Self>, to: Outlet, stop: Stop) -> Running;
}

/// A step whose settings are right.
pub trait StepPlan: fmt::Debug + Send {
    /// The metric of the user's that it makes, if it does: of one name, all have to be the same.
    fn metric(&self) -> Option<&DerivedSpec> {
        None
    }

    /// Does what I/O is needed to start.
    ///
    /// # Errors
    /// What stands in the way, as the operator needs to hear it.
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Step>, Error>;
}

/// Changes records on their way. A step may hold transfers back (to group or to aggregate); it then says when it
/// wants to be woken, and lets go of everything at the end.
pub trait Step: Send {
    /// Works on a transfer and pushes what comes of it. It may block.
    fn apply(&mut self, transfer: Transfer, out: &mut Vec<Transfer>);

    /// When it wants to be woken though nothing arrives.
    fn wake_at(&self) -> Option<Instant> {
        None
    }

    /// The time it asked for has come.
    fn wake(&mut self, _out: &mut Vec<Transfer>) {}

    /// Nothing more will arrive: let go of what is held back.
    fn finish(&mut self, _out: &mut Vec<Transfer>) {}
}

/// An output whose settings are right.
pub trait OutputPlan: fmt::Debug + Send {
    /// Whether it sends to somewhere that may be away for long, so that records wait for it on disk unless its
    /// setting `buffer` says otherwise.
    fn is_remote(&self) -> bool {
        false
    }

    /// Whether records have to arrive in their order. Then none leave its buffer first, unless its setting `urgent`
    /// says which.
    fn keeps_order(&self) -> bool {
        false
    }

    /// Whether parts of sources without records mean something where it sends to: a store keeps them, so that what
    /// was left out of a source once is not taken later.
    fn keeps_ranges(&self) -> bool {
        false
    }

    /// Does what I/O is needed to start; starts nothing.
    ///
    /// # Errors
    /// What stands in the way, as the operator needs to hear it.
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Output>, Error>;
}

/// Where records go.
pub trait Output: Send {
    /// Takes from the queue until it is closed and empty, and acknowledges each transfer once it is durable. The
    /// signal means that the time for draining is over: let go of what is left.
    fn run(self: Box<Self>, from: QueueReceiver, stop: Stop) -> Running;
}

/// A kind of component: its name in the configuration, its manual, and how its settings are read and checked.
pub struct Kind<P> {
    /// The name users write.
    pub name: &'static str,
    /// Its settings, for the manual.
    pub reference: fn() -> Reference,
    /// Reads and checks its settings; none if there were problems.
    pub read: ReadPlan<P>,
}

/// Reads and checks settings into a plan.
pub type ReadPlan<P> = Box<dyn Fn(&At<'_>, &mut Problems) -> Option<P> + Send + Sync>;

impl<P> fmt::Debug for Kind<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kind").field(&self.name).finish()
    }
}

/// The kinds of components that this program knows.
#[derive(Debug, Default)]
pub struct Kinds {
    /// Inputs.
    pub inputs: Vec<Kind<Box<dyn InputPlan>>>,
    /// Steps.
    pub steps: Vec<Kind<Box<dyn StepPlan>>>,
    /// Outputs.
    pub outputs: Vec<Kind<Box<dyn OutputPlan>>>,
}

/// Where an input puts its batches: into every pipeline that takes from it.
#[derive(Clone, Debug)]
pub struct Outlet {
    pipelines: Vec<(QueueSender, Arc<Way>)>,
    /// Whoever has room in some pipelines and waits for it in others. One at a time, so that what an input cannot pass on
    /// takes no more than a batch's room from others.
    turn: Arc<Mutex<()>>,
    spill: Spill,
    /// Whether it waits while buffers take only what is in danger.
    gives_way: bool,
    patience: Patience,
    records: Counter,
    bytes: Counter,
    ledger: Ledger,
}

impl Outlet {
    /// An outlet into these queues, counted under the input's name. Nothing is known about what lies behind them.
    #[must_use]
    pub fn new(input: &str, pipelines: Vec<QueueSender>, metrics: &Metrics) -> Self {
        let way =
            || Way { input: input.into(), pipeline: "".into(), outputs: Vec::new(), copies: Vec::new() };
        let ways = pipelines.into_iter().map(|queue| (queue, Arc::new(way()))).collect();
        Self::along(input, ways, metrics)
    }

    /// An outlet into these queues, from which these ways lead on. Where several outlets lead into several of the same
    /// queues, they name them in the same order: each waits for room in one while it has some in those before.
    #[must_use]
    pub fn along(input: &str, pipelines: Vec<(QueueSender, Arc<Way>)>, metrics: &Metrics) -> Self {
        let labels = [("input", input)];
        Self {
            pipelines,
            turn: Arc::default(),
            spill: Spill::default(),
            gives_way: true,
            patience: Patience::default(),
            records: metrics.counter("sawyer_input_records", "Records read, by input", &labels),
            bytes: metrics.counter(
                "sawyer_input_text_bytes",
                "Bytes of text in records read, by input",
                &labels,
            ),
            ledger: metrics.ledger().clone(),
        }
    }

    /// The same, with the buffers behind it.
    #[must_use]
    pub fn with_spill(self, spill: Spill) -> Self {
        Self { spill, ..self }
    }

    /// The same, with outputs behind it that wait no longer than this after a stop.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// How long acknowledgements may come after a stop.
    #[must_use]
    pub fn patience(&self) -> Patience {
        self.patience.clone()
    }

    /// For an input that looks at the [`Spill`] by itself, and sends only lines in danger while that is on; what others
    /// send waits meanwhile.
    #[must_use]
    pub fn minds_spill(self) -> (Self, Spill) {
        let spill = self.spill.clone();
        (Self { gives_way: false, ..self }, spill)
    }

    /// Waits for room and passes a batch on. What becomes of it is booked when all of it is durable.
    ///
    /// It goes into all pipelines or none: whoever stops to wait for this knows that nothing was passed on.
    ///
    /// # Errors
    /// [`QueueClosed`] if a pipeline has ended; the batch will not be acknowledged.
    pub async fn send(&self, batch: Batch, ack: Ack) -> Result<(), QueueClosed> {
        let ledger = self.ledger.clone();
        let booked = Ack::tallied(move |outcome, tally| {
            if outcome == Outcome::Durable {
                ledger.book(&tally);
                ack.known(tally.known);
                ack.durable();
            }
        });
        self.send_tallied(batch, booked).await
    }

    /// As [`Outlet::send`], for an input that books by itself what its acknowledgements tell, because it keeps the
    /// books together with its positions.
    ///
    /// # Errors
    /// As of [`Outlet::send`].
    pub async fn send_tallied(&self, batch: Batch, ack: Ack) -> Result<(), QueueClosed> {
        if self.gives_way {
            self.spill.over().await;
        }
        let mut places = self.reserve(batch.bytes()).await?;
        self.records.inc_by(batch.len() as u64);
        self.bytes.inc_by(batch.text_bytes() as u64);
        let numbers = numbers(&batch, &ack);
        let on = |ack: Ack, way| ack.on(way, numbers.0, numbers.1, &numbers.2);
        let batch = Arc::new(batch);
        let Some((last, way)) = places.pop() else {
            ack.durable();
            return Ok(());
        };
        for (place, way) in places {
            place.put(Transfer { batch: Arc::clone(&batch), ack: on(ack.clone(), way) });
        }
        last.put(Transfer { batch, ack: on(ack, way) });
        Ok(())
    }

    /// Waits until there is room for so many bytes in every pipeline.
    async fn reserve(&self, bytes: usize) -> Result<Vec<(Place<'_>, &Arc<Way>)>, QueueClosed> {
        let _turn = match self.pipelines.len() {
            0 | 1 => None,
            _ => Some(self.turn.lock().await),
        };
        let mut places = Vec::with_capacity(self.pipelines.len());
        for (queue, way) in &self.pipelines {
            places.push((queue.reserve(bytes).await?, way));
        }
        if places.iter().any(|(place, _)| place.is_closed()) {
            return Err(QueueClosed);
        }
        Ok(places)
    }

    /// Acknowledges a batch without records: parts of sources that need not be passed on.
    pub fn pass_over(&self, batch: &Batch, ack: Ack) {
        let (own, beside, of) = numbers(batch, &ack);
        for (_, way) in &self.pipelines {
            ack.clone().on(way, own, beside, &of).durable();
        }
        ack.durable();
    }
}

/// How much of its sources is a batch's records' own, and how many bytes it accounts for beside; of which sources, if that is
/// asked for. It costs something for each of them, and a client may name many.
fn numbers(batch: &Batch, ack: &Ack) -> (Count, u64, BySource) {
    let of = if ack.is_by_source() { batch.beside_by_source() } else { BySource::default() };
    (batch.own(), batch.beside(), of)
}

#[cfg(test)]
mod tests;
