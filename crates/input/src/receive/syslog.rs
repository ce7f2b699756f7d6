//! The input `syslog`: network devices, daemons and programs that speak it, over UDP, TCP, TLS and `/dev/log`.
//!
//! Owns: its sockets, batches of messages. Does not own: what is in a message (`codec::syslog`).
//! Invariant: every message that was read gives one record; a message that was cut off by the end of its connection is
//! one as well. The protocol has no answers, so what cannot be passed on is waited with over TCP, and counted as lost
//! where the system throws it away over UDP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::tz::TimeZone;
use sawyer_codec::syslog::frames::{Frame, Frames};
use sawyer_codec::syslog::{SyslogHead, SyslogReader};
use sawyer_config::{At, ByteSize, Problems, Setting as _, Settings as _, settings};
use sawyer_delivery::tls::ListenTlsSettings;
use sawyer_model::{Batch, Error, SeqRange, Stream, Value, names};
use sawyer_pipeline::{Context, Input, InputPlan, Kind, Outlet, Running, Stop, node_name};
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use super::socket::{
    Admission, BATCH_RECORDS, BATCH_TEXT_BYTES, BATCH_WAIT, Datagrams, Door, Duplex, Peer, Sequence, Sockets,
    Takes, WayIn, receive,
};
use super::syslog_stream::Streams;

settings! {
    /// Takes syslog messages: RFC 5424 and RFC 3164 in the dialects in use, over UDP and TCP (messages framed by octet
    /// counts or by line feeds, found out for each), with TLS, and from programs of this machine. The protocol knows no
    /// tokens; by default only programs on this machine may send, and those that show a certificate.
    pub struct SyslogSettings {
        /// Where to take datagrams; `null` for nowhere.
        pub udp: Option<SocketAddr> = Some(SocketAddr::from(([0, 0, 0, 0], 5514))),
        /// Where to take connections; `null` for nowhere.
        pub tcp: Option<SocketAddr> = Some(SocketAddr::from(([0, 0, 0, 0], 5514))),
        /// Encryption of connections. By default there is none.
        pub tls: Option<ListenTlsSettings>,
        /// A socket in the file system to which programs of this machine write, such as `/dev/log`. One that nobody
        /// listens at is replaced. Without it there is none.
        pub unix: Option<PathBuf>,
        /// Takes what anybody sends who reaches this process. What a message says of its host is kept either way, and
        /// marked `identity: claimed`.
        pub allow_unauthenticated: bool = false,
        /// Where the clocks are of senders whose messages do not say their zone: a name such as `Europe/Berlin`.
        pub time_zone: String = "UTC".to_owned(),
        /// Whether each message is kept as it came, too, in `syslog.raw`. Else only its parts are, each in a field.
        pub keep_raw: bool = false,
        /// Longest message that is kept whole. Of a longer one the beginning is kept, its length and its hash.
        #[range(ByteSize::kib(1)..=ByteSize::mib(16))]
        pub message_bytes_max: ByteSize = ByteSize::kib(64),
        /// Most connections at the same time; further ones are closed at once and counted.
        #[range(1..=100_000)]
        pub connections_max: u64 = 1024,
        /// How much the system holds while nothing is taken, for datagrams. Without root it gives as much as the kernel's
        /// setting `net.core.rmem_max` allows.
        #[range(ByteSize::kib(64)..=ByteSize::gib(1))]
        pub receive_buffer: ByteSize = ByteSize::mib(8),
        /// Fields that every record gets, such as `env` or `cluster`.
        pub fields: BTreeMap<String, String> = BTreeMap::new(),
    }
}

/// The kind `syslog`.
pub(crate) fn kind() -> Kind<Box<dyn InputPlan>> {
    Kind {
        name: "syslog",
        reference: SyslogSettings::reference,
        read: Box::new(|at, problems| read(at, problems).map(|plan| Box::new(plan) as _)),
    }
}

pub(super) fn read(at: &At<'_>, problems: &mut Problems) -> Option<SyslogPlan> {
    let settings = SyslogSettings::read(at, problems)?;
    let zone = TimeZone::get(&settings.time_zone).ok();
    if zone.is_none() {
        problems.expected(&at.key("time_zone"), "the name of a time zone, such as Europe/Berlin");
    }
    if settings.udp.is_none() && settings.tcp.is_none() && settings.unix.is_none() {
        problems.push(at, "expected somewhere to listen: `udp`, `tcp` or `unix`, found none of them");
        return None;
    }
    if settings.tls.is_some() && settings.tcp.is_none() {
        problems.push(&at.key("tls"), "expected `tcp` beside it, which it encrypts");
        return None;
    }
    Some(SyslogPlan { zone: zone?, settings })
}

#[derive(Debug)]
pub(super) struct SyslogPlan {
    pub(super) settings: SyslogSettings,
    zone: TimeZone,
}

/// The input with its sockets.
pub(super) struct Syslog {
    pub(super) datagrams: Option<Datagrams>,
    pub(super) door: Option<Door>,
    local: Option<Datagrams>,
    shared: Arc<Shared>,
}

struct Shared {
    settings: SyslogSettings,
    zone: TimeZone,
    sockets: Sockets,
    /// What is known of all records.
    stream: Arc<Stream>,
    /// The same of programs on this machine.
    here: Arc<Stream>,
}

impl InputPlan for SyslogPlan {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Input>, Error> {
        Ok(Box::new(self.open_sockets(context)?))
    }
}

impl SyslogPlan {
    pub(super) fn open_sockets(self, context: &Context) -> Result<Syslog, Error> {
        let Self { mut settings, zone } = self;
        let buffer = settings.receive_buffer.bytes() as usize;
        let datagrams =
            settings.udp.map(|address| Datagrams::udp(&context.ports, address, buffer)).transpose()?;
        let tls = settings.tls.take();
        let door = settings.tcp.map(|address| Door::tcp(&context.ports, address, tls)).transpose()?;
        let local = settings
            .unix
            .as_ref()
            .map(|path| Datagrams::unix(&context.ports, &context.on_host(path), buffer));
        let source = (names::SOURCE.to_owned(), Value::from(format!("syslog:{}", context.name)));
        let own = settings.fields.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
        let stream = Stream::new(own.chain([source]));
        let node = node_name(context.host_root.as_deref()).map(|node| (names::NODE, Value::from(node)));
        let here = Arc::new(stream.with(node));
        let sockets = Sockets::new(context, settings.connections_max as usize);
        let shared = Shared { settings, zone, sockets, stream: Arc::new(stream), here };
        Ok(Syslog { datagrams, door, local: local.transpose()?, shared: Arc::new(shared) })
    }
}

impl Input for Syslog {
    fn run(self: Box<Self>, to: Outlet, stop: Stop) -> Running {
        Box::pin(async move {
            let Self { datagrams, door, local, shared } = *self;
            let way_in = WayIn::new(to, shared.sockets.clone());
            let messages = |here: bool| Messages::new(&shared, &way_in, here);
            let udp = async {
                let Some(datagrams) = datagrams else { return Ok(()) };
                receive(datagrams, shared.sockets.clone(), messages(false)?, stop.clone()).await
            };
            let unix = async {
                let Some(local) = local else { return Ok(()) };
                receive(local, shared.sockets.clone(), messages(true)?, stop.clone()).await
            };
            let tcp = async {
                let Some(door) = door else { return Ok(()) };
                let (shared, way_in, stop) = (Arc::clone(&shared), way_in.clone(), stop.clone());
                let sockets = shared.sockets.clone();
                let talk_stop = stop.clone();
                let talk = move |stream, peer| {
                    let (shared, way_in, stop) = (Arc::clone(&shared), way_in.clone(), talk_stop.clone());
                    async move { listen_to(stream, peer, &shared, &way_in, &stop).await }
                };
                sockets.serve(door, stop, talk).await
            };
            let (udp, unix, tcp) = tokio::join!(udp, unix, tcp);
            udp.and(unix).and(tcp)
        })
    }
}

/// Messages on their way into a batch.
struct Messages {
    shared: Arc<Shared>,
    way_in: WayIn,
    reader: SyslogReader,
    sequence: Sequence,
    streams: Streams,
    batch: Batch,
}

impl Messages {
    fn new(shared: &Arc<Shared>, way_in: &WayIn, here: bool) -> Result<Self, Error> {
        let base = if here { &shared.here } else { &shared.stream };
        Ok(Self {
            shared: Arc::clone(shared),
            way_in: way_in.clone(),
            reader: SyslogReader::new(shared.zone.clone(), shared.settings.keep_raw),
            sequence: Sequence::new()?,
            streams: Streams::new(Arc::clone(base)),
            batch: Batch::new(),
        })
    }

    fn add(&mut self, frame: &Frame, peer: Peer) {
        let stream = self.streams.of(peer.address, &mut self.batch);
        let first = self.sequence.take(1);
        let head = SyslogHead {
            source: self.sequence.source,
            range: SeqRange::new(first, first + 1),
            observed: self.shared.sockets.clock.now(),
            stream,
            cut: frame.cut,
        };
        if !self.reader.read(&frame.bytes, &head, &mut self.batch) {
            self.shared.sockets.malformed(1);
        }
    }

    fn is_full(&self) -> bool {
        self.batch.text_bytes() >= BATCH_TEXT_BYTES || self.batch.len() >= BATCH_RECORDS
    }

    async fn send(&mut self) -> bool {
        self.streams.clear();
        let mut batch = std::mem::take(&mut self.batch);
        batch.set_whole();
        self.way_in.send_once(batch).await.is_ok()
    }
}

impl Takes for Messages {
    fn take(&mut self, bytes: &[u8], peer: Peer) -> Option<&'static [u8]> {
        let admission = Admission { allow_unauthenticated: self.shared.settings.allow_unauthenticated };
        if !admission.admits(peer) {
            self.shared.sockets.refused("elsewhere");
            return None;
        }
        // One that is longer than is kept is cut as it is over TCP.
        let frames = Frames::new(self.shared.settings.message_bytes_max.bytes() as usize);
        let frame = frames.whole(bytes);
        if !frame.bytes.is_empty() {
            self.add(&frame, peer);
        }
        None
    }

    fn waiting(&self) -> (bool, bool) {
        (!self.batch.is_empty(), self.is_full())
    }

    async fn pass_on(&mut self) -> bool {
        self.send().await
    }
}

/// Takes the messages of a connection until it ends.
async fn listen_to(
    mut stream: Box<dyn Duplex>,
    peer: Peer,
    shared: &Arc<Shared>,
    way_in: &WayIn,
    stop: &Stop,
) {
    let admission = Admission { allow_unauthenticated: shared.settings.allow_unauthenticated };
    if !admission.admits(peer) {
        shared.sockets.refused("elsewhere");
        tracing::debug!(
            input = shared.sockets.input,
            "a connection from elsewhere is refused: the input does not `allow_unauthenticated`"
        );
        return;
    }
    let Ok(mut messages) = Messages::new(shared, way_in, false) else { return };
    let mut frames = Frames::new(shared.settings.message_bytes_max.bytes() as usize);
    let mut buffer = vec![0; 16 << 10];
    let mut since = Instant::now();
    loop {
        let waits = !messages.batch.is_empty();
        tokio::select! {
            biased;
            () = stop.stopped() => break,
            () = tokio::time::sleep_until(since + BATCH_WAIT), if waits => {
                if !messages.send().await {
                    return;
                }
            }
            read = stream.read(&mut buffer) => {
                let Ok(length @ 1..) = read else { break };
                shared.sockets.bytes.inc_by(length as u64);
                if !waits {
                    since = Instant::now();
                }
                frames.push(&buffer[..length]);
                while let Some(frame) = frames.take() {
                    messages.add(&frame, peer);
                    if messages.is_full() && !messages.send().await {
                        return;
                    }
                }
            }
        }
    }
    if let Some(frame) = frames.end() {
        messages.add(&frame, peer);
    }
    messages.send().await;
}

#[cfg(test)]
mod tests;
