//! The input `kinesis`: the records of Kinesis data streams, also those that CloudWatch Logs sends there.
//!
//! Source: "ListShards", "GetShardIterator" and "GetRecords" of the Kinesis Data Streams API reference.
//! Owns: the settings, which shards there are, and which of them may be read: a shard after those that it came from.
//! Does not own: reading a shard ([`shard`]), what is in records (`codec::kinesis`), requests (`aws`).
//! Invariant: no shard is read before all records of its parents are durable at the next hop, so a key's records keep their
//! order over every split and merge.

mod shard;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sawyer_config::{At, Problems, Setting, Settings, choice, settings};
use sawyer_model::{Error, ErrorKind, SeqRange, SourceId, Stream, Tally, Value, names};
use sawyer_pipeline::{Context, Input, InputPlan, Kind, Outlet, Running, Stop};
use sawyer_telemetry::{Counter, Gauge};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio::sync::Semaphore;
use tokio::task::{Id, JoinSet};

use crate::aws::kept::KeptOffsets;
use crate::aws::{AccessPlan, AccessSettings, Asker, Service, Why};
use shard::ShardReader;

choice! {
    /// Where a stream is read from at the first start.
    pub enum KinesisStart {
        /// From the oldest record that it still has.
        Oldest = "oldest",
        /// What comes from then on.
        Latest = "latest",
    }
}

settings! {
    /// Reads the records of Kinesis data streams: JSON, text, several in one as Amazon's producer library packs them, and
    /// what subscriptions of CloudWatch Logs send. One Sawyer is to have it: each that has it reads everything.
    pub struct KinesisSettings {
        /// The streams: names, or ARNs (also of other accounts). What is read has the name in both cases, so no two of them
        /// may have the same.
        pub streams: Vec<String>,
        /// Where a stream is read from at the first start.
        pub start: KinesisStart = KinesisStart::Oldest,
        /// How often a shard in which nothing new was is asked. A shard answers five times a second, to all who read it.
        #[range(Duration::from_millis(200)..=Duration::from_secs(60))]
        pub interval: Duration = Duration::from_secs(1),
        /// Name of the cluster, for the field of that name.
        pub cluster: Option<String>,
    }
}

const SERVICE: Service = Service {
    title: "Kinesis",
    name: "kinesis",
    prefix: "Kinesis_20131202",
    variable: "AWS_ENDPOINT_URL_KINESIS",
    // Limits are those of each shard.
    pause: Duration::ZERO,
};

/// How often it is looked which shards there are, beside when one ends.
const DISCOVER_INTERVAL: Duration = Duration::from_secs(60);

/// Shards that are read at a time at most; others wait.
const SHARDS_MAX: usize = 1000;

/// Answers that are held at a time at most, of all shards: one may be ten megabytes, and more when it was read.
const ANSWERS_MAX: usize = 8;

/// Pause before a shard is read again of which the reading broke down.
const BROKEN_PAUSE: Duration = Duration::from_secs(5);

/// How long a shard that is gone is remembered; a stream keeps records for a year at most.
const FORGET_AFTER: Duration = Duration::from_secs(400 * 86_400);

/// The kind `kinesis`.
pub(crate) fn kind() -> Kind<Box<dyn InputPlan>> {
    Kind {
        name: "kinesis",
        reference: || {
            let mut reference = KinesisSettings::reference();
            reference.entries.extend(AccessSettings::reference().entries);
            reference
        },
        read: Box::new(|at, problems| read(at, problems).map(|plan| Box::new(plan) as _)),
    }
}

fn read(at: &At<'_>, problems: &mut Problems) -> Option<StreamsPlan> {
    let access = AccessSettings::read_part(at, problems).and_then(|access| access.check(at, problems));
    let settings = KinesisSettings::read(&at.without(AccessSettings::KEYS), problems);
    let (access, settings) = access.zip(settings)?;
    let is_name = |text: &String| {
        let is_fit = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let name = name_of(text);
        !name.is_empty() && name.len() <= 128 && name.chars().all(is_fit)
    };
    if settings.streams.is_empty() {
        problems.expected(&at.key("streams"), "at least one stream");
        return None;
    }
    if let Some(wrong) = settings.streams.iter().find(|text| !is_name(text)) {
        problems
            .push(&at.key("streams"), format!("expected the name of a stream or its ARN, found \"{wrong}\""));
        return None;
    }
    let mut names = HashSet::new();
    if let Some(twice) = settings.streams.iter().find(|text| !names.insert(name_of(text))) {
        let name = name_of(twice);
        problems.push(
            &at.key("streams"),
            format!("found \"{name}\" twice: streams of the same name need an input each"),
        );
        return None;
    }
    Some(StreamsPlan { access, settings })
}

#[derive(Debug)]
struct StreamsPlan {
    access: AccessPlan,
    settings: KinesisSettings,
}

impl InputPlan for StreamsPlan {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Input>, Error> {
        Ok(Box::new(Kinesis(Arc::new(self.share(context)?))))
    }
}

impl StreamsPlan {
    fn share(self, context: &Context) -> Result<Shared, Error> {
        let Self { access, settings } = self;
        let asker = access.open(SERVICE, context)?;
        let offsets = KeptOffsets::open(context, FORGET_AFTER)?;
        let cluster = settings.cluster.clone().map(|name| (names::CLUSTER, Value::from(name)));
        let labels = [("input", context.name.as_str())];
        Ok(Shared {
            asker,
            settings,
            stream: Arc::new(Stream::new(cluster)),
            offsets,
            answers: Semaphore::new(ANSWERS_MAX),
            behind_of: Mutex::default(),
            behind: context.metrics.gauge(
                "sawyer_input_aws_behind_seconds",
                "How long ago everything was read of what is read of AWS",
                &labels,
            ),
            refused: context.metrics.counter(
                "sawyer_input_aws_refused_records",
                "Events that are too long for a record",
                &labels,
            ),
            context: context.clone(),
        })
    }
}

/// What all shards share.
struct Shared {
    asker: Asker,
    settings: KinesisSettings,
    stream: Arc<Stream>,
    offsets: KeptOffsets,
    /// Turns to hold an answer.
    answers: Semaphore,
    /// How far behind each shard is, in milliseconds.
    behind_of: Mutex<BTreeMap<SourceId, i64>>,
    behind: Gauge,
    refused: Counter,
    context: Context,
}

struct Kinesis(Arc<Shared>);

/// A shard, as the service describes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Shard {
    shard_id: String,
    parent_shard_id: Option<String>,
    adjacent_parent_shard_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ShardsAnswer {
    shards: Vec<Shard>,
    next_token: Option<String>,
}

/// A shard of a stream.
type Key = (String, String);

impl Input for Kinesis {
    fn run(self: Box<Self>, to: Outlet, stop: Stop) -> Running {
        Box::pin(async move {
            let Self(shared) = *self;
            let (mut read, mut tasks) = (HashMap::<Key, Id>::new(), JoinSet::new());
            let closed = loop {
                for (stream, shard) in shared.ready(&stop).await {
                    let key = (stream, shard);
                    if read.len() < SHARDS_MAX && !read.contains_key(&key) {
                        let (input, shard) = (&shared.context.name, &key.1);
                        tracing::info!(input, stream = key.0, shard, "reads a shard");
                        let reader =
                            ShardReader::new(Arc::clone(&shared), key.clone(), to.clone(), stop.clone());
                        read.insert(key, tasks.spawn(reader.run()).id());
                    }
                }
                let ended = tokio::select! {
                    biased;
                    () = stop.stopped() => break false,
                    Some(ended) = tasks.join_next_with_id() => ended,
                    () = tokio::time::sleep(DISCOVER_INTERVAL) => continue,
                };
                match ended {
                    // Those that came from it may be read now.
                    Ok((_, Ok(key))) => drop(read.remove(&key)),
                    Ok((_, Err(()))) => break true,
                    Err(broken) => {
                        let input = &shared.context.name;
                        tracing::error!(input, "reading a shard broke down; it is read again: {broken}");
                        read.retain(|_, id| *id != broken.id());
                        tokio::select! {
                            () = stop.stopped() => break false,
                            () = tokio::time::sleep(BROKEN_PAUSE) => {}
                        }
                    }
                }
            };
            drop(to);
            if closed {
                // Nobody takes anything of the others either.
                tasks.shutdown().await;
            }
            while tasks.join_next().await.is_some() {}
            shared.offsets.save(true);
            if closed && !stop.is_stopped() {
                return Err(Error::new(ErrorKind::Closed, "a pipeline has ended"));
            }
            Ok(())
        })
    }
}

/// How a request names a stream.
fn named(stream: &str) -> (&'static str, &str) {
    if stream.starts_with("arn:") { ("StreamARN", stream) } else { ("StreamName", stream) }
}

/// The name of a stream in what is read and noted of it: the same for its name and its ARN.
fn name_of(stream: &str) -> &str {
    let arn = stream.strip_prefix("arn:").and_then(|rest| rest.split_once(":stream/"));
    arn.map_or(stream, |(_, name)| name)
}

/// The shards that may be read: whose parents were read to their ends, or are gone.
fn may_be_read(shards: &[Shard], is_over: impl Fn(&str) -> bool) -> Vec<&Shard> {
    let waits_for = |parent: &Option<String>| {
        let is_there = |parent: &String| shards.iter().any(|shard| shard.shard_id == *parent);
        parent.as_ref().is_some_and(|parent| is_there(parent) && !is_over(parent))
    };
    let open = shards.iter().filter(|shard| !is_over(&shard.shard_id));
    open.filter(|shard| !waits_for(&shard.parent_shard_id) && !waits_for(&shard.adjacent_parent_shard_id))
        .collect()
}

impl Shared {
    /// The shards of all streams that may be read now.
    async fn ready(&self, stop: &Stop) -> Vec<Key> {
        let mut ready = Vec::new();
        for stream in &self.settings.streams {
            self.begin(stream);
            let Some(shards) = self.shards(stream, stop).await else { continue };
            let is_over = |shard: &str| self.is_over(stream, shard);
            let open = may_be_read(&shards, is_over);
            ready.extend(open.into_iter().map(|shard| (stream.clone(), shard.shard_id.clone())));
        }
        ready
    }

    async fn shards(&self, stream: &str, stop: &Stop) -> Option<Vec<Shard>> {
        let (key, name) = named(stream);
        let (mut all, mut request) = (Vec::new(), json!({ key: name }));
        loop {
            let page: ShardsAnswer = match self.asker.ask("ListShards", &request, stop).await? {
                Ok(page) => page,
                Err(refusal) => {
                    self.asker.tell("ListShards", &refusal);
                    return None;
                }
            };
            all.extend(page.shards);
            // A token stands for the stream as well.
            let Some(token) = page.next_token else { return Some(all) };
            request = json!({ "NextToken": token });
        }
    }

    fn stream_source(&self, stream: &str) -> SourceId {
        SourceId::of(&[b"kinesis", self.asker.region.as_bytes(), name_of(stream).as_bytes()])
    }

    fn shard_source(&self, stream: &str, shard: &str) -> SourceId {
        let (region, name) = (self.asker.region.as_bytes(), name_of(stream).as_bytes());
        SourceId::of(&[b"kinesis", region, name, shard.as_bytes()])
    }

    /// Notes when a stream was read for the first time, so that a crash does not move it.
    fn begin(&self, stream: &str) {
        let (source, now) = (self.stream_source(stream), self.context.clock.now());
        let mut offsets = self.offsets.lock();
        let is_new = offsets.get(source).is_none();
        let progress = offsets.edit(source);
        if is_new {
            progress.group = now.millis().to_string().into();
        }
        progress.seen = now;
        drop(offsets);
        self.offsets.save(is_new);
    }

    /// Notes that a stream was read from an earlier time on, in seconds since 1970.
    fn began_before(&self, stream: &str, secs: f64) {
        let millis = (secs * 1000.0) as i64;
        let mut offsets = self.offsets.lock();
        let progress = offsets.edit(self.stream_source(stream));
        if progress.group.parse::<i64>().is_ok_and(|noted| millis < noted) {
            progress.group = millis.to_string().into();
        }
        drop(offsets);
        self.offsets.save(true);
    }

    /// Whether a shard was read to its end.
    fn is_over(&self, stream: &str, shard: &str) -> bool {
        let offsets = self.offsets.lock();
        offsets.get(self.shard_source(stream, shard)).is_some_and(|progress| !progress.acked.is_empty())
    }

    /// All of a shard up to this number is durable, with what is to be booked of the last batch of that; or all of it is.
    fn read_to(&self, (stream, shard): &Key, landed: Option<(&str, &Tally)>, over: bool) {
        let mut offsets = self.offsets.lock();
        if let Some((_, tally)) = landed {
            offsets.book(tally);
        }
        let progress = offsets.edit(self.shard_source(stream, shard));
        progress.seen = self.context.clock.now();
        if let Some((sequence, _)) = landed {
            progress.group = sequence.into();
        }
        if over {
            progress.acked.insert(SeqRange::new(0, 1));
        }
        drop(offsets);
        self.offsets.save(over);
    }

    /// Where a shard is to be read from.
    fn iterator(&self, (stream, shard): &Key) -> Json {
        let offsets = self.offsets.lock();
        let sequence = offsets.get(self.shard_source(stream, shard)).map(|progress| &*progress.group);
        if let Some(sequence) = sequence.filter(|sequence| !sequence.is_empty()) {
            return json!({
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": sequence,
            });
        }
        let first = offsets.get(self.stream_source(stream)).and_then(|first| first.group.parse::<i64>().ok());
        match (self.settings.start, first) {
            // Whatever has come since then, in whichever shard: also before the first record was durable.
            (KinesisStart::Latest, Some(millis)) => {
                json!({"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": millis as f64 / 1000.0})
            }
            _ => json!({"ShardIteratorType": "TRIM_HORIZON"}),
        }
    }

    /// How far behind a shard is; none if it is not read any more.
    fn behind(&self, source: SourceId, millis: Option<i64>) {
        let mut all = self.behind_of.lock();
        match millis {
            Some(millis) => drop(all.insert(source, millis)),
            None => drop(all.remove(&source)),
        }
        self.behind.set(all.values().max().copied().unwrap_or(0) / 1000);
    }
}

#[cfg(test)]
mod tests;
