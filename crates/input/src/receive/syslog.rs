//! The input `syslog`: network devices, daemons and programs that speak it, over UDP, TCP, TLS and `/dev/log`.
//!
//! Owns: its sockets, batches of messages. Does not own: what is in a message (`codec::syslog`).
//! Invariant: every message that was read gives one record; a message that was cut off by the end of its connection is
//! one as well. The protocol has no answers, so what cannot be passed on is waited with over TCP, and counted as lost
//! where the system throws it away over UDP.

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

use super::senders::{self, Admitted, Says, Sender, Senders, SendersPlan, SendersSettings};
use super::socket::{
    BATCH_RECORDS, BATCH_TEXT_BYTES, BATCH_WAIT, Datagrams, Door, Duplex, Peer, Sequence, Sockets, Takes,
    WayIn, receive,
};
use super::syslog_stream::Streams;

settings! {
    /// Takes syslog messages: RFC 5424 and RFC 3164 in the dialects in use, over UDP and TCP (messages framed by octet
    /// counts or by line feeds, found out for each), with TLS, and from programs of this machine. The protocol knows no
    /// tokens; by default only programs on this machine may send, and those that show a certificate. Others are known by
    /// their networks (`senders`).
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
    }
}

/// The kind `syslog`.
pub(crate) fn kind() -> Kind<Box<dyn InputPlan>> {
    Kind {
        name: "syslog",
        reference: || senders::reference(SyslogSettings::reference()),
        read: Box::new(|at, problems| read(at, problems).map(|plan| Box::new(plan) as _)),
    }
}

pub(super) fn read(at: &At<'_>, problems: &mut Problems) -> Option<SyslogPlan> {
    let senders = senders::read(Says::Nothing, at, problems);
    let settings = SyslogSettings::read(&at.without(SendersSettings::KEYS), problems)?;
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
    Some(SyslogPlan { zone: zone?, senders: senders?, settings })
}

#[derive(Debug)]
pub(super) struct SyslogPlan {
    pub(super) settings: SyslogSettings,
    senders: SendersPlan,
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
    senders: Senders,
    /// What is known of all records of programs that write to the path.
    here: Arc<Stream>,
}

impl InputPlan for SyslogPlan {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Input>, Error> {
        Ok(Box::new(self.open_sockets(context)?))
    }
}

impl SyslogPlan {
    pub(super) fn open_sockets(self, context: &Context) -> Result<Syslog, Error> {
        let Self { mut settings, senders, zone } = self;
        let buffer = settings.receive_buffer.bytes() as usize;
        let datagrams =
            settings.udp.map(|address| Datagrams::udp(&context.ports, address, buffer)).transpose()?;
        let tls = settings.tls.take();
        let door = settings.tcp.map(|address| Door::tcp(&context.ports, address, tls)).transpose()?;
        let local = settings
            .unix
            .as_ref()
            .map(|path| Datagrams::unix(&context.ports, &context.on_host(path), buffer));
        let senders = senders.open("syslog", &context.name);
        let node = node_name(context.host_root.as_deref()).map(|node| (names::NODE, Value::from(node)));
        let here = Arc::new(senders.others().stream.with(node));
        let sockets = Sockets::new(context, settings.connections_max as usize);
        let shared = Shared { settings, zone, sockets, senders, here };
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
    /// Whether they come over the path.
    here: bool,
    batch: Batch,
}

impl Messages {
    fn new(shared: &Arc<Shared>, way_in: &WayIn, here: bool) -> Result<Self, Error> {
        Ok(Self {
            shared: Arc::clone(shared),
            way_in: way_in.clone(),
            reader: SyslogReader::new(shared.zone.clone(), shared.settings.keep_raw),
            sequence: Sequence::new()?,
            streams: Streams::default(),
            here,
            batch: Batch::new(),
        })
    }

    fn add(&mut self, frame: &Frame, peer: Peer, sender: &Sender) {
        let base = if self.here { &self.shared.here } else { &sender.stream };
        let stream = self.streams.of((sender.number, base), peer.address, &mut self.batch);
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
        let Some(Admitted { sender, rate }) = self.shared.senders.admit(peer) else {
            self.shared.sockets.refused("elsewhere");
            return None;
        };
        // One that is longer than is kept is cut as it is over TCP.
        let frames = Frames::new(self.shared.settings.message_bytes_max.bytes() as usize);
        let frame = frames.whole(bytes);
        if frame.bytes.is_empty() {
            return None;
        }
        if rate.check().is_ok() {
            rate.charge(1, bytes.len());
            self.add(&frame, peer, &sender);
        } else {
            self.shared.sockets.lost("rate", 1);
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
    let Some(Admitted { sender, rate }) = shared.senders.admit(peer) else {
        shared.sockets.refused("elsewhere");
        let input = &shared.sockets.input;
        tracing::debug!(input, "a connection from elsewhere is refused: it is of none of the `senders`");
        return;
    };
    let Ok(mut messages) = Messages::new(shared, way_in, false) else { return };
    let mut frames = Frames::new(shared.settings.message_bytes_max.bytes() as usize);
    let mut buffer = vec![0; 16 << 10];
    let mut since = Instant::now();
    loop {
        let waits = !messages.batch.is_empty();
        // Who sends more than it may is not read: its connection fills up, and it waits.
        let pause = rate.check().err();
        tokio::select! {
            biased;
            () = stop.stopped() => break,
            () = tokio::time::sleep_until(since + BATCH_WAIT), if waits => {
                if !messages.send().await {
                    return;
                }
            }
            () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
            read = stream.read(&mut buffer), if pause.is_none() => {
                let Ok(length @ 1..) = read else { break };
                shared.sockets.bytes.inc_by(length as u64);
                if !waits {
                    since = Instant::now();
                }
                frames.push(&buffer[..length]);
                rate.charge(0, length);
                while let Some(frame) = frames.take() {
                    rate.charge(1, 0);
                    messages.add(&frame, peer, &sender);
                    if messages.is_full() && !messages.send().await {
                        return;
                    }
                }
            }
        }
    }
    if let Some(frame) = frames.end() {
        messages.add(&frame, peer, &sender);
    }
    messages.send().await;
}

#[cfg(test)]
mod tests;
