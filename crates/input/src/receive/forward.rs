//! The input `forward`: Fluentd, Fluent Bit, docker's driver `fluentd` and the fluent loggers.
//!
//! Owns: connections, the hand-shake, answers to chunks, heartbeats.
//! Does not own: what is in a frame (`codec::forward`), who may send (`clients`).
//! Invariant: a chunk that wants an answer gets it only once all its records are durable at the next hop; one that is
//! sent again because the answer got lost is stored once, since its records are known by the client, its id and what is
//! in it. Frames that are read at the same time are bounded in memory together.

mod handshake;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sawyer_codec::forward::{Chunk, Events, Frame, Pieces, ack, frame};
use sawyer_codec::msgpack::Sizer;
use sawyer_codec::pushed::{Bounds, Origin};
use sawyer_codec::structured::{Objects, TakenObjects};
use sawyer_config::{At, ByteSize, Problems, Reference, Setting as _, Settings as _, settings};
use sawyer_delivery::tls::ListenTlsSettings;
use sawyer_model::{Error, Outcome, SourceId, Stream, Value};
use sawyer_pipeline::{Context, Input, InputPlan, Kind, Outlet, Running, Stop};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use super::clients::{Client, Clients, ClientsPlan, ClientsSettings};
use super::socket::{
    BATCH_RECORDS, BATCH_TEXT_BYTES, Datagrams, Door, Duplex, Peer, Sequence, Sockets, Takes, WayIn, receive,
};

settings! {
    /// Takes records over Fluent Forward v1, in all four modes, compressed or not: from Fluentd, Fluent Bit, docker's
    /// logging driver `fluentd` and the loggers for programs. A chunk that asks for an answer (`require_ack_response`)
    /// gets it once its records are durable at the next hop.
    ///
    /// The token of a client is what others call its shared key. With `shared_key`, all clients have that, and show their
    /// name and their token as user and password.
    pub struct ForwardSettings {
        /// Where to listen; `null` for nowhere.
        pub listen: Option<SocketAddr> = Some(SocketAddr::from(([0, 0, 0, 0], 24224))),
        /// Encryption. By default there is none.
        pub tls: Option<ListenTlsSettings>,
        /// A socket in the file system for programs of this machine. Without it there is none.
        pub unix: Option<PathBuf>,
        /// Whether datagrams at the same address are answered, by which Fluentd may ask whether somebody is there.
        pub heartbeat: bool = true,
        /// What all clients know, beside their own name and token.
        pub shared_key: Option<sawyer_config::Secret>,
        /// What clients are told as the name of this host, when they ask who it is. The host's own by default.
        pub hostname: Option<String>,
        /// Longest frame; a client that sends a longer one is sent away. Fluentd's `chunk_limit_size` has to be below it.
        #[range(ByteSize::kib(64)..=ByteSize::gib(1))]
        pub frame_bytes_max: ByteSize = ByteSize::mib(64),
        /// How many frames above 64 KiB are read at the same time; others wait. With the longest frame it bounds memory.
        #[range(1..=1000)]
        pub large_frames_max: u64 = 4,
        /// Most connections at the same time; further ones are closed at once and counted.
        #[range(1..=100_000)]
        pub connections_max: u64 = 1024,
        /// How many chunks of one connection may wait for their answers.
        #[range(1..=10_000)]
        pub chunks_in_flight_max: u64 = 32,
    }
}

/// Frames up to this many bytes need no turn.
const SMALL_FRAME_BYTES: usize = 64 << 10;

/// Longest answer to a greeting, which comes from somebody who is not known yet.
const PING_BYTES_MAX: usize = 4 << 10;

/// Longest time that a client may take to show who it is.
const GREET_TIME_MAX: Duration = Duration::from_secs(10);

/// Longest time that the rest of a frame may take.
const FRAME_TIME_MAX: Duration = Duration::from_secs(60);

/// Records of a batch take no more memory than this, whatever is in them.
const BATCH_BYTES_MAX: usize = 256 << 20;

/// How long answers are waited for after a stop.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// The field with what a client calls the origin of its records.
const TAG: &str = "tag";

/// The kind `forward`.
pub(crate) fn kind() -> Kind<Box<dyn InputPlan>> {
    Kind {
        name: "forward",
        reference,
        read: Box::new(|at, problems| read(at, problems).map(|plan| Box::new(plan) as _)),
    }
}

fn reference() -> Reference {
    let mut reference = ForwardSettings::reference();
    reference.entries.extend(ClientsSettings::reference().entries);
    reference
}

pub(super) fn read(at: &At<'_>, problems: &mut Problems) -> Option<ForwardPlan> {
    let clients = ClientsSettings::read_part(at, problems);
    let own = ForwardSettings::read(&at.without(ClientsSettings::KEYS), problems);
    let (settings, clients) = own.zip(clients)?;
    let before = problems.len();
    if settings.listen.is_none() && settings.unix.is_none() {
        problems.push(at, "expected somewhere to listen: `listen` or `unix`, found neither");
    }
    if clients.allow_unauthenticated && !clients.clients.is_empty() {
        let message = "expected either `clients` or `allow_unauthenticated: true`: a client that shows nothing does not \
                       wait to be asked";
        problems.push(&at.key("allow_unauthenticated"), message);
    }
    if settings.shared_key.is_some() && clients.clients.is_empty() {
        let message = "expected `clients` beside it; if all share one key, that is the token of one client";
        problems.push(&at.key("shared_key"), message);
    }
    let clients = clients.check(at, problems)?;
    (problems.len() == before).then_some(ForwardPlan { settings, clients })
}

#[derive(Debug)]
pub(super) struct ForwardPlan {
    pub(super) settings: ForwardSettings,
    clients: ClientsPlan,
}

/// The input with its sockets.
pub(super) struct Forward {
    pub(super) door: Option<Door>,
    local: Option<Door>,
    pub(super) heartbeats: Option<Datagrams>,
    shared: Arc<Shared>,
}

/// What all connections share.
struct Shared {
    settings: ForwardSettings,
    hostname: String,
    clients: Clients,
    sockets: Sockets,
    turns: Arc<Semaphore>,
}

impl InputPlan for ForwardPlan {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Input>, Error> {
        Ok(Box::new(self.open_sockets(context)?))
    }
}

impl ForwardPlan {
    pub(super) fn open_sockets(self, context: &Context) -> Result<Forward, Error> {
        let Self { mut settings, clients } = self;
        let tls = settings.tls.take();
        let heartbeats = settings.listen.filter(|address| settings.heartbeat && address.port() != 0);
        let heartbeats = heartbeats
            .map(|address| Datagrams::udp(&context.ports, address, SMALL_FRAME_BYTES))
            .transpose()?;
        let door = settings.listen.map(|address| Door::tcp(&context.ports, address, tls)).transpose()?;
        let local = settings
            .unix
            .as_ref()
            .map(|path| Door::unix(&context.ports, &context.on_host(path)))
            .transpose()?;
        let hostname = settings.hostname.clone().or_else(|| sawyer_pipeline::node_name(None));
        let sockets = Sockets::new(context, settings.connections_max as usize);
        let turns = Arc::new(Semaphore::new(settings.large_frames_max as usize));
        let clients = clients.open("forward", &context.name);
        let hostname = hostname.unwrap_or_else(|| "sawyer".to_owned());
        let shared = Arc::new(Shared { settings, hostname, clients, sockets, turns });
        Ok(Forward { door, local, heartbeats, shared })
    }
}

impl Input for Forward {
    fn run(self: Box<Self>, to: Outlet, stop: Stop) -> Running {
        Box::pin(async move {
            let Self { door, local, heartbeats, shared } = *self;
            let way_in = WayIn::new(to, shared.sockets.clone());
            let serve = |door: Option<Door>| {
                let (shared, way_in, stop) = (Arc::clone(&shared), way_in.clone(), stop.clone());
                async move {
                    let Some(door) = door else { return Ok(()) };
                    let sockets = shared.sockets.clone();
                    let talk_stop = stop.clone();
                    let talk = move |stream, peer| {
                        let (shared, way_in, stop) = (Arc::clone(&shared), way_in.clone(), talk_stop.clone());
                        async move { talk(stream, peer, shared, way_in, stop).await }
                    };
                    sockets.serve(door, stop, talk).await
                }
            };
            let beat = async {
                let Some(heartbeats) = heartbeats else { return Ok(()) };
                receive(heartbeats, shared.sockets.clone(), Heartbeats, stop.clone()).await
            };
            let (tcp, unix, beat) = tokio::join!(serve(door), serve(local), beat);
            tcp.and(unix).and(beat)
        })
    }
}

/// Answers datagrams by which Fluentd asks whether somebody is there.
struct Heartbeats;

impl Takes for Heartbeats {
    fn take(&mut self, _: &[u8], _: Peer) -> Option<&'static [u8]> {
        Some(b"\0")
    }

    fn waiting(&self) -> (bool, bool) {
        (false, false)
    }

    async fn pass_on(&mut self) -> bool {
        true
    }
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the client is gone")]
    Gone,
    #[error("Sawyer is stopping")]
    Stopped,
    #[error("a pipeline has ended")]
    Closed,
    #[error("a chunk did not become durable, and its client has to send it again")]
    Undelivered,
    #[error("no room for its frame: it is longer than `frame_bytes_max`")]
    Long,
    #[error("the rest of a frame did not come")]
    Slow,
    #[error("read a frame")]
    Frame(#[from] sawyer_codec::forward::ForwardError),
    #[error("it sends {0} and waits for an answer, and only logs are taken here")]
    Signal(&'static str),
    #[error("{0}")]
    Refused(&'static str),
}

impl Ended {
    /// The name in metrics, if it is something that an operator may want to know.
    fn reason(&self) -> Option<&'static str> {
        Some(match self {
            Self::Gone | Self::Stopped | Self::Closed => return None,
            Self::Undelivered => "undelivered",
            Self::Long => "too_large",
            Self::Slow => "slow",
            Self::Frame(_) => "invalid",
            Self::Signal(_) => "unsupported",
            Self::Refused(_) => "unauthenticated",
        })
    }
}

async fn talk(stream: Box<dyn Duplex>, peer: Peer, shared: Arc<Shared>, way_in: WayIn, stop: Stop) {
    let (reader, writer) = tokio::io::split(stream);
    let mut connection = Connection {
        reader,
        writer: Arc::new(Mutex::new(writer)),
        buffer: Vec::new(),
        shared: Arc::clone(&shared),
        stop,
    };
    let ended = async {
        let client = connection.greet(peer).await?;
        connection.take(&client, way_in).await
    };
    let Err(ended) = ended.await else { return };
    if !matches!(ended, Ended::Stopped | Ended::Gone) {
        // Answers to others of its chunks may still be waited for, but not by this client.
        let _ = connection.writer.lock().await.shutdown().await;
    }
    if let Some(reason) = ended.reason() {
        shared.sockets.refused(reason);
        let (input, peer) = (shared.sockets.input.as_str(), peer.address);
        tracing::warn!(input, ?peer, "a connection is closed: {ended}");
    }
}

struct Connection {
    reader: ReadHalf<Box<dyn Duplex>>,
    writer: Arc<Mutex<WriteHalf<Box<dyn Duplex>>>>,
    buffer: Vec<u8>,
    shared: Arc<Shared>,
    stop: Stop,
}

impl Connection {
    /// Finds out who is there.
    async fn greet(&mut self, peer: Peer) -> Result<Arc<Client>, Ended> {
        let shared = Arc::clone(&self.shared);
        if shared.clients.known().is_empty() {
            // Whoever has a certificate or comes from the machine itself is no stranger.
            let from = peer.address.filter(|_| !peer.certified);
            let from = from.unwrap_or_else(|| [127, 0, 0, 1].into());
            let admitted = shared.clients.admit(Some(from), &[]).await;
            return admitted.map_err(|_| {
                Ended::Refused(
                    "it comes from elsewhere, and the input has no `clients` and does not `allow_unauthenticated`",
                )
            });
        }
        tokio::time::timeout(GREET_TIME_MAX, self.shake_hands(&shared)).await.unwrap_or(Err(Ended::Slow))
    }

    /// Has the client prove that it knows a key.
    async fn shake_hands(&mut self, shared: &Shared) -> Result<Arc<Client>, Ended> {
        let hello = handshake::Hello::new(shared.settings.shared_key.is_some()).map_err(|_| Ended::Closed)?;
        self.answer(&hello.message()).await?;
        let (length, _turn) = self.frame(PING_BYTES_MAX).await?;
        let ping = sawyer_codec::forward::read_ping(&self.buffer[..length])?;
        let judged = hello.judge(&ping, &shared.clients, shared.settings.shared_key.as_ref()).await;
        let pong = hello.pong(&ping, judged.as_ref(), &shared.hostname);
        self.answer(&pong).await?;
        self.buffer.drain(..length);
        judged
            .map(|(client, _)| client)
            .map_err(|_| Ended::Refused("it does not know the shared key, or not the user and the password"))
    }

    async fn answer(&self, bytes: &[u8]) -> Result<(), Ended> {
        let mut writer = self.writer.lock().await;
        writer.write_all(bytes).await.map_err(|_| Ended::Gone)?;
        writer.flush().await.map_err(|_| Ended::Gone)
    }

    /// Waits until a frame of at most so many bytes is whole at the beginning of the buffer; gives its length.
    async fn frame(&mut self, most: usize) -> Result<(usize, Option<OwnedSemaphorePermit>), Ended> {
        let (mut sizer, mut turn) = (Sizer::default(), None);
        let mut due = None;
        loop {
            let end = sizer.end(&self.buffer).map_err(sawyer_codec::forward::ForwardError::from)?;
            if let Some(end) = end {
                return Ok((end, turn));
            }
            if self.buffer.len() >= most {
                return Err(Ended::Long);
            }
            if self.buffer.len() >= SMALL_FRAME_BYTES && turn.is_none() {
                let waiting = Arc::clone(&self.shared.turns).acquire_owned();
                turn = tokio::select! {
                    taken = waiting => taken.ok(),
                    () = self.stop.stopped() => return Err(Ended::Stopped),
                };
                // Its client could not help that it had to wait.
                due = None;
            }
            if due.is_none() && !self.buffer.is_empty() {
                due = Some(Instant::now() + FRAME_TIME_MAX);
            }
            let late = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let length = tokio::select! {
                biased;
                () = late => return Err(Ended::Slow),
                read = self.reader.read_buf(&mut self.buffer) => read.map_err(|_| Ended::Gone)?,
                () = self.stop.stopped() => return Err(Ended::Stopped),
            };
            if length == 0 {
                return Err(Ended::Gone);
            }
            self.shared.sockets.bytes.inc_by(length as u64);
        }
    }

    /// Takes frames until the connection ends.
    async fn take(&mut self, client: &Arc<Client>, way_in: WayIn) -> Result<(), Ended> {
        let Ok(sequence) = Sequence::new() else { return Err(Ended::Closed) };
        let (failed, mut failure) = watch::channel(false);
        let mut intake = Chunks {
            client: Arc::clone(client),
            way_in,
            sequence,
            tag: (Vec::new(), Arc::clone(client.stream())),
            pieces: Pieces::default(),
            in_flight: Arc::new(Semaphore::new(self.shared.settings.chunks_in_flight_max as usize)),
            failed,
            shared: Arc::clone(&self.shared),
            writer: Arc::clone(&self.writer),
        };
        let ended = self.take_frames(client, &mut intake, &mut failure).await;
        // Its rest is lost with the connection, the beginning is not.
        intake.pass_on_rest().await?;
        ended
    }

    async fn take_frames(
        &mut self,
        client: &Arc<Client>,
        intake: &mut Chunks,
        failure: &mut watch::Receiver<bool>,
    ) -> Result<(), Ended> {
        let most = self.shared.settings.frame_bytes_max.bytes() as usize;
        loop {
            let (length, turn) = tokio::select! {
                framed = self.frame(most) => framed?,
                _ = failure.wait_for(|failed| *failed) => return Err(Ended::Undelivered),
            };
            if let Err(wait) = client.rate().check() {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = self.stop.stopped() => return Err(Ended::Stopped),
                }
            }
            if let Frame::Chunk(chunk) = frame(&self.buffer[..length])? {
                intake.take(chunk, length).await?;
            }
            drop(turn);
            self.buffer.drain(..length);
            if self.buffer.is_empty() && self.buffer.capacity() > SMALL_FRAME_BYTES {
                self.buffer = Vec::new();
            }
        }
    }
}

/// The chunks of one connection.
struct Chunks {
    client: Arc<Client>,
    way_in: WayIn,
    /// Of entries that came without an id.
    sequence: Sequence,
    /// The last tag, and the stream of what has it.
    tag: (Vec<u8>, Arc<Stream>),
    /// Beginnings of lines whose rest is still to come. Only of chunks that want no answer: one that does would get it
    /// when its line is whole, and its client sends no further one before that.
    pieces: Pieces,
    in_flight: Arc<Semaphore>,
    failed: watch::Sender<bool>,
    shared: Arc<Shared>,
    writer: Arc<Mutex<WriteHalf<Box<dyn Duplex>>>>,
}

impl Chunks {
    async fn take(&mut self, mut chunk: Chunk<'_>, mut bytes: usize) -> Result<(), Ended> {
        if let Some(signal) = other_signal(chunk.signal) {
            if chunk.id.is_some() {
                return Err(Ended::Signal(signal));
            }
            self.shared.sockets.refused("unsupported");
            return Ok(());
        }
        let (source, first) = match chunk.id {
            // Clients choose ids as they like, so what is in the chunk counts as well.
            Some(id) => {
                let client = self.client.name().as_bytes();
                (SourceId::of(&[b"forward", client, chunk.tag, id, chunk.bytes]), 0)
            }
            None => (self.sequence.source, self.sequence.take(0)),
        };
        let origin = Origin {
            stream: self.stream_of(chunk.tag),
            trust: Arc::clone(self.client.trust()),
            source,
            numbers: None,
            observed: self.shared.sockets.clock.now(),
            bounds: Bounds { records_max: BATCH_RECORDS * 2, batch_bytes_max: BATCH_BYTES_MAX },
        };
        let in_flight = match chunk.id {
            None => None,
            Some(_) => Arc::clone(&self.in_flight).acquire_owned().await.ok(),
        };
        let mut waits = Vec::new();
        if chunk.id.is_none() {
            chunk.events.join(std::mem::take(&mut self.pieces));
        }
        loop {
            let mut objects = Objects::new(origin.clone());
            let more = chunk.events.fill(&mut objects, first, BATCH_RECORDS, BATCH_TEXT_BYTES);
            let TakenObjects { batch, foreign: _, malformed } = objects.finish();
            self.shared.sockets.malformed(malformed);
            // A small chunk may become many records, and is charged for them as they come.
            self.client.rate().charge(batch.len(), std::mem::take(&mut bytes));
            let sent = match chunk.id {
                Some(_) => self.way_in.send(batch).await.map(|wait| waits.push(wait)),
                None => self.way_in.send_once(batch).await,
            };
            sent.map_err(|_| Ended::Closed)?;
            if !more {
                break;
            }
        }
        match chunk.id {
            None => {
                self.pieces = chunk.events.pieces();
                self.sequence.take(chunk.events.taken());
            }
            Some(id) => self.answer_when_durable(ack(id), waits, in_flight),
        }
        Ok(())
    }

    /// Passes on the beginnings of lines whose rest will not come.
    async fn pass_on_rest(&mut self) -> Result<(), Ended> {
        let entries = self.pieces.rest();
        let tag = self.tag.0.clone();
        let events = Events::of_rest(&entries);
        let rest = Chunk { tag: &tag, id: None, signal: 0, bytes: &entries, events };
        if entries.is_empty() { Ok(()) } else { self.take(rest, entries.len()).await }
    }

    /// Answers once everything is durable; ends the connection when something will not be.
    fn answer_when_durable(
        &self,
        answer: Vec<u8>,
        waits: Vec<tokio::sync::oneshot::Receiver<Outcome>>,
        in_flight: Option<OwnedSemaphorePermit>,
    ) {
        let (writer, failed) = (Arc::clone(&self.writer), self.failed.clone());
        tokio::spawn(async move {
            let all = async {
                for wait in waits {
                    if wait.await != Ok(Outcome::Durable) {
                        return false;
                    }
                }
                true
            };
            // Whoever closes the connection ends this as well, because writing fails; a stop ends all that wait.
            let durable = all.await;
            let answered = async {
                let mut writer = writer.lock().await;
                writer.write_all(&answer).await.is_ok() && writer.flush().await.is_ok()
            };
            let answered = durable && tokio::time::timeout(ANSWER_WAIT, answered).await.unwrap_or(false);
            if !answered {
                failed.send_replace(true);
            }
            drop(in_flight);
        });
    }

    fn stream_of(&mut self, tag: &[u8]) -> Arc<Stream> {
        if self.tag.0 != tag {
            let text = String::from_utf8_lossy(tag);
            let stream = self.client.stream().with([(TAG, Value::from(&*text))]);
            self.tag = (tag.to_vec(), Arc::new(stream));
        }
        Arc::clone(&self.tag.1)
    }
}

/// What a chunk is if it is no logs, by Fluent Bit's numbers.
fn other_signal(signal: i64) -> Option<&'static str> {
    match signal {
        1 => Some("metrics"),
        2 => Some("traces"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
