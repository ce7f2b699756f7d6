//! The input `gelf`: programs that log to Graylog, and docker's driver `gelf`.
//!
//! Owns: its sockets, batches of messages. Does not own: what is in a message, joining pieces (`codec::gelf`).
//! Invariant: every message that came whole gives one record; one of which pieces are missing is counted as lost.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;

use sawyer_codec::gelf::{GelfReader, MESSAGE_BYTES_MAX, Pieces};
use sawyer_codec::pushed::{Bounds, Origin};
use sawyer_codec::structured::{Objects, TakenObjects};
use sawyer_config::{At, ByteSize, Problems, Setting as _, Settings as _, settings};
use sawyer_delivery::tls::ListenTlsSettings;
use sawyer_model::Error;
use sawyer_pipeline::{Context, Input, InputPlan, Kind, Outlet, Running, Stop};
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use super::senders::{self, Admitted, Says, Sender, Senders, SendersPlan, SendersSettings};
use super::socket::{
    BATCH_RECORDS, BATCH_TEXT_BYTES, BATCH_WAIT, Datagrams, Door, Duplex, Peer, Sequence, Sockets, Takes,
    WayIn, receive,
};

settings! {
    /// Takes GELF messages: over UDP, in pieces or whole, plain or packed with gzip or zlib, and over TCP, each with a zero
    /// byte behind it. The protocol knows no tokens; by default only programs on this machine may send, and those that
    /// show a certificate. Others are known by their networks (`senders`).
    pub struct GelfSettings {
        /// Where to take datagrams; `null` for nowhere.
        pub udp: Option<SocketAddr> = Some(SocketAddr::from(([0, 0, 0, 0], 12201))),
        /// Where to take connections; `null` for nowhere.
        pub tcp: Option<SocketAddr> = Some(SocketAddr::from(([0, 0, 0, 0], 12201))),
        /// Encryption of connections. By default there is none.
        pub tls: Option<ListenTlsSettings>,
        /// Most connections at the same time; further ones are closed at once and counted.
        #[range(1..=100_000)]
        pub connections_max: u64 = 256,
        /// How much the system holds while nothing is taken, for datagrams.
        #[range(ByteSize::kib(64)..=ByteSize::gib(1))]
        pub receive_buffer: ByteSize = ByteSize::mib(8),
    }
}

/// Records of a batch take no more memory than this, whatever is in them.
const BATCH_BYTES_MAX: usize = 256 << 20;

/// The kind `gelf`.
pub(crate) fn kind() -> Kind<Box<dyn InputPlan>> {
    Kind {
        name: "gelf",
        reference: || senders::reference(GelfSettings::reference()),
        read: Box::new(|at, problems| read(at, problems).map(|plan| Box::new(plan) as _)),
    }
}

pub(super) fn read(at: &At<'_>, problems: &mut Problems) -> Option<GelfPlan> {
    let senders = senders::read(Says::Namespaces, at, problems);
    let settings = GelfSettings::read(&at.without(SendersSettings::KEYS), problems)?;
    if settings.udp.is_none() && settings.tcp.is_none() {
        problems.push(at, "expected somewhere to listen: `udp` or `tcp`, found neither");
        return None;
    }
    if settings.tls.is_some() && settings.tcp.is_none() {
        problems.push(&at.key("tls"), "expected `tcp` beside it, which it encrypts");
        return None;
    }
    Some(GelfPlan { settings, senders: senders? })
}

#[derive(Debug)]
pub(super) struct GelfPlan {
    settings: GelfSettings,
    senders: SendersPlan,
}

/// The input with its sockets.
pub(super) struct Gelf {
    pub(super) datagrams: Option<Datagrams>,
    pub(super) door: Option<Door>,
    shared: Arc<Shared>,
}

struct Shared {
    senders: Senders,
    sockets: Sockets,
}

impl InputPlan for GelfPlan {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Input>, Error> {
        Ok(Box::new(self.open_sockets(context)?))
    }
}

impl GelfPlan {
    pub(super) fn open_sockets(self, context: &Context) -> Result<Gelf, Error> {
        let Self { settings, senders } = self;
        let buffer = settings.receive_buffer.bytes() as usize;
        let datagrams =
            settings.udp.map(|address| Datagrams::udp(&context.ports, address, buffer)).transpose()?;
        let door =
            settings.tcp.map(|address| Door::tcp(&context.ports, address, settings.tls)).transpose()?;
        let senders = senders.open("gelf", &context.name);
        let sockets = Sockets::new(context, settings.connections_max as usize);
        Ok(Gelf { datagrams, door, shared: Arc::new(Shared { senders, sockets }) })
    }
}

impl Input for Gelf {
    fn run(self: Box<Self>, to: Outlet, stop: Stop) -> Running {
        Box::pin(async move {
            let Self { datagrams, door, shared } = *self;
            let way_in = WayIn::new(to, shared.sockets.clone());
            let udp = async {
                let Some(datagrams) = datagrams else { return Ok(()) };
                let messages = Messages::new(&shared, &way_in)?;
                receive(datagrams, shared.sockets.clone(), messages, stop.clone()).await
            };
            let tcp = async {
                let Some(door) = door else { return Ok(()) };
                let (shared, way_in, talk_stop) = (Arc::clone(&shared), way_in.clone(), stop.clone());
                let sockets = shared.sockets.clone();
                let talk = move |stream, peer| {
                    let (shared, way_in, stop) = (Arc::clone(&shared), way_in.clone(), talk_stop.clone());
                    async move { listen_to(stream, peer, &shared, &way_in, &stop).await }
                };
                sockets.serve(door, stop.clone(), talk).await
            };
            let (udp, tcp) = tokio::join!(udp, tcp);
            udp.and(tcp)
        })
    }
}

/// Messages on their way into a batch.
struct Messages {
    shared: Arc<Shared>,
    way_in: WayIn,
    reader: GelfReader,
    pieces: Pieces,
    hasher: RandomState,
    sequence: Sequence,
    /// By the senders' places.
    objects: BTreeMap<usize, Objects>,
}

impl Messages {
    fn new(shared: &Arc<Shared>, way_in: &WayIn) -> Result<Self, Error> {
        Ok(Self {
            shared: Arc::clone(shared),
            way_in: way_in.clone(),
            reader: GelfReader::default(),
            pieces: Pieces::default(),
            hasher: RandomState::new(),
            sequence: Sequence::new()?,
            objects: BTreeMap::new(),
        })
    }

    fn add(&mut self, message: &[u8], sender: &Sender) {
        if message.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        let place = self.sequence.take(1);
        let objects = self.objects.entry(sender.number).or_insert_with(|| {
            Objects::new(Origin {
                stream: Arc::clone(&sender.stream),
                trust: Arc::clone(&sender.trust),
                source: self.sequence.source,
                numbers: None,
                observed: self.shared.sockets.clock.now(),
                bounds: Bounds { records_max: BATCH_RECORDS * 2, batch_bytes_max: BATCH_BYTES_MAX },
            })
        });
        self.reader.read(message, place, objects);
    }

    fn is_full(&self) -> bool {
        let full =
            |objects: &Objects| objects.len() >= BATCH_RECORDS || objects.text_bytes() >= BATCH_TEXT_BYTES;
        self.objects.values().any(full)
    }

    async fn send(&mut self) -> bool {
        for objects in std::mem::take(&mut self.objects).into_values() {
            let TakenObjects { mut batch, foreign, malformed } = objects.finish();
            self.shared.sockets.malformed(malformed);
            self.shared.sockets.foreign(foreign);
            batch.set_whole();
            if self.way_in.send_once(batch).await.is_err() {
                return false;
            }
        }
        true
    }
}

impl Takes for Messages {
    fn take(&mut self, bytes: &[u8], peer: Peer) -> Option<&'static [u8]> {
        let Some(Admitted { sender, rate }) = self.shared.senders.admit(peer) else {
            self.shared.sockets.refused("elsewhere");
            return None;
        };
        let address = self.hasher.hash_one(peer.address);
        let message = self.pieces.push(bytes, address, self.shared.sockets.clock.now());
        self.shared.sockets.lost("pieces", self.pieces.take_lost());
        match message {
            Some(message) if rate.check().is_ok() => {
                rate.charge(1, message.len());
                self.add(&message, &sender);
            }
            Some(_) => self.shared.sockets.lost("rate", 1),
            None => {}
        }
        None
    }

    fn waiting(&self) -> (bool, bool) {
        (!self.objects.is_empty(), self.is_full())
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
        return shared.sockets.refused("elsewhere");
    };
    let Ok(mut messages) = Messages::new(shared, way_in) else { return };
    let (mut buffer, mut searched) = (Vec::new(), 0);
    let mut since = Instant::now();
    loop {
        let waits = !messages.objects.is_empty();
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
            read = stream.read_buf(&mut buffer), if pause.is_none() => {
                let Ok(length @ 1..) = read else { break };
                rate.charge(0, length);
                shared.sockets.bytes.inc_by(length as u64);
                if !waits {
                    since = Instant::now();
                }
                let mut start = 0;
                while let Some(end) = memchr::memchr(0, &buffer[searched.max(start)..]) {
                    let end = searched.max(start) + end;
                    rate.charge(1, 0);
                    messages.add(&buffer[start..end], &sender);
                    start = end + 1;
                    if messages.is_full() && !messages.send().await {
                        return;
                    }
                }
                buffer.drain(..start);
                searched = buffer.len();
                if buffer.len() > MESSAGE_BYTES_MAX {
                    // The rest of it would be taken for others.
                    shared.sockets.refused("too_large");
                    break;
                }
            }
        }
    }
    messages.add(&buffer, &sender);
    messages.send().await;
}

#[cfg(test)]
mod tests;
