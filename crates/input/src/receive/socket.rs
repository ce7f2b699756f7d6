//! Streams and datagrams: listening and its bounds, and the way of batches into the pipelines.
//!
//! Owns: connections and how many there are, certificates, batches that nobody can send again.
//! Does not own: what is said on a connection (`forward`, `syslog`, `gelf`).
//! Invariant: connections are bounded in number; a stop lets each pass on what it has read.

#[cfg(test)]
pub(crate) mod bench;
mod datagrams;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sawyer_delivery::tls::{ListenTls, ListenTlsSettings};
use sawyer_model::{Ack, Batch, Error, ErrorKind, Outcome, SourceId};
use sawyer_pipeline::ports::UnixPath;
use sawyer_pipeline::queue::QueueClosed;
use sawyer_pipeline::{Context, Outlet, Ports, Stop};
use sawyer_telemetry::{Clock, Counter, Gauge, Metrics};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use super::meters::foreign;
use super::plan::take_address;

pub(crate) use datagrams::{Datagrams, Takes, receive};

/// Pause after the system could not give a connection, as when there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How long connections may take at a stop to pass on what they have read.
const FINISH_TIME_MAX: Duration = Duration::from_secs(5);

/// How long records wait for others before they are passed on together.
pub(crate) const BATCH_WAIT: Duration = Duration::from_millis(200);

/// Text of a batch that is passed on without waiting.
pub(crate) const BATCH_TEXT_BYTES: usize = 256 << 10;

/// Records of a batch that is passed on without waiting.
pub(crate) const BATCH_RECORDS: usize = 4096;

/// What one socket takes.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Duplex for T {}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// Where it is; none for programs on this machine, over a socket in the file system.
    pub(crate) address: Option<IpAddr>,
    /// Whether it showed a certificate that is good here.
    pub(crate) certified: bool,
}

impl Peer {
    /// Whether it is a program on this machine.
    pub(crate) fn is_here(self) -> bool {
        self.address.is_none_or(|address| address.to_canonical().is_loopback())
    }
}

/// A socket that takes connections.
#[derive(Debug)]
pub(crate) enum Door {
    Tcp(std::net::TcpListener, Option<(ListenTls, bool)>),
    Unix(std::os::unix::net::UnixListener, UnixPath),
}

impl Door {
    /// Takes an address.
    pub(crate) fn tcp(
        ports: &Ports,
        address: SocketAddr,
        tls: Option<ListenTlsSettings>,
    ) -> Result<Self, Error> {
        let certified = tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some());
        let tls = tls.map(|tls| ListenTls::open(tls, &[])).transpose()?;
        Ok(Self::Tcp(take_address(ports, address)?, tls.map(|tls| (tls, certified))))
    }

    /// Takes a path.
    pub(crate) fn unix(ports: &Ports, path: &Path) -> Result<Self, Error> {
        let (listener, path) = ports.unix(path)?;
        Ok(Self::Unix(listener, path))
    }

    #[cfg(test)]
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Tcp(listener, _) => listener.local_addr().unwrap(),
            Self::Unix(..) => panic!("a path"),
        }
    }
}

/// Why records are lost: by the system, by a pipeline that let go of them, with a piece that never came, because their
/// sender sent more than it may.
const LOST_REASONS: [&str; 4] = ["receive_buffer", "undelivered", "pieces", "rate"];

/// What all sockets of an input count and share.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    pub(crate) input: String,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) bytes: Counter,
    connections: Gauge,
    room: Arc<Semaphore>,
}

impl Sockets {
    pub(crate) fn new(context: &Context, connections_max: usize) -> Self {
        let labels = [("input", context.name.as_str())];
        let sockets = Self {
            input: context.name.clone(),
            clock: context.clock.clone(),
            metrics: context.metrics.clone(),
            bytes: context.metrics.counter(
                "sawyer_receiver_socket_bytes",
                "Bytes read from sockets",
                &labels,
            ),
            connections: context.metrics.gauge(
                "sawyer_receiver_connections",
                "Connections now open",
                &labels,
            ),
            room: Arc::new(Semaphore::new(connections_max)),
        };
        // Who asks for an increase does not see the first one of a number that was not there before.
        for reason in LOST_REASONS {
            let _ = sockets.lost_records(reason);
        }
        sockets
    }

    /// Something was not taken on.
    pub(crate) fn refused(&self, reason: &'static str) {
        let labels = [("input", self.input.as_str()), ("reason", reason)];
        let help = "Connections and datagrams that were not taken on";
        self.metrics.counter("sawyer_receiver_refused", help, &labels).inc();
    }

    /// So many records were not what they should be, and are kept and marked.
    pub(crate) fn malformed(&self, count: u64) {
        if count > 0 {
            let labels = [("input", self.input.as_str())];
            let help = "Records without the form that they should have, kept as they are and marked";
            self.metrics.counter("sawyer_receiver_malformed_records", help, &labels).inc_by(count);
        }
    }

    /// So many records said a namespace for which their sender may not speak.
    pub(crate) fn foreign(&self, count: u64) {
        if count > 0 {
            foreign(&self.metrics, &self.input).inc_by(count);
        }
    }

    /// So much is gone for good.
    pub(crate) fn lost(&self, reason: &'static str, count: u64) {
        debug_assert!(LOST_REASONS.contains(&reason), "it is there from the start: {reason}");
        if count > 0 {
            self.lost_records(reason).inc_by(count);
        }
    }

    fn lost_records(&self, reason: &'static str) -> Counter {
        let labels = [("input", self.input.as_str()), ("reason", reason)];
        let help = "Records that came and are gone: their protocol has no way to ask for them again";
        self.metrics.counter("sawyer_receiver_lost_records", help, &labels)
    }

    /// Takes connections until told to stop, and waits until they have passed on what they have read.
    pub(crate) async fn serve<T, F>(&self, door: Door, stop: Stop, talk: T) -> Result<(), Error>
    where
        T: Fn(Box<dyn Duplex>, Peer) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listen = |error| Error::new(ErrorKind::Bug, "listen").because(error);
        let (listener, tls, _path) = match door {
            Door::Tcp(listener, tls) => {
                let listener = TcpListener::from_std(listener).map_err(listen)?;
                if let Ok(address) = listener.local_addr() {
                    tracing::info!(input = self.input, %address, tls = tls.is_some(), "receiving");
                }
                (Listener::Tcp(listener), tls, None)
            }
            Door::Unix(listener, path) => {
                tracing::info!(input = self.input, path = %path.path().display(), "receiving");
                (Listener::Unix(UnixListener::from_std(listener).map_err(listen)?), None, Some(path))
            }
        };
        let mut talks = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.stopped() => break,
                Some(_) = talks.join_next(), if !talks.is_empty() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, address)) => {
                        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
                            self.refused("connections");
                            continue;
                        };
                        let (tls, this, talk) = (tls.clone(), self.clone(), talk.clone());
                        talks.spawn(async move {
                            this.connections.inc();
                            this.greet(stream, address, tls, talk).await;
                            this.connections.dec();
                            drop(room);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(input = self.input, "accept a connection: {error}");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        let finished = async { while talks.join_next().await.is_some() {} };
        if tokio::time::timeout(FINISH_TIME_MAX, finished).await.is_err() {
            talks.abort_all();
        }
        Ok(())
    }

    async fn greet<T, F>(
        &self,
        stream: Accepted,
        address: Option<IpAddr>,
        tls: Option<(ListenTls, bool)>,
        talk: T,
    ) where
        T: Fn(Box<dyn Duplex>, Peer) -> F,
        F: Future<Output = ()>,
    {
        match (stream, tls) {
            (Accepted::Unix(stream), _) => talk(Box::new(stream), Peer { address, certified: false }).await,
            (Accepted::Tcp(stream), None) => talk(Box::new(stream), Peer { address, certified: false }).await,
            (Accepted::Tcp(stream), Some((tls, certified))) => match tls.accept(stream).await {
                Ok(stream) => talk(Box::new(stream), Peer { address, certified }).await,
                Err(error) => {
                    self.refused("tls");
                    tracing::debug!(input = self.input, "greet with TLS: {error}");
                }
            },
        }
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

enum Accepted {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

impl Listener {
    async fn accept(&self) -> io::Result<(Accepted, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, from) = listener.accept().await?;
                // Answers are small and wait for nothing; a peer that is gone without a word is found out.
                let _ = stream.set_nodelay(true);
                let _ = rustix::net::sockopt::set_socket_keepalive(&stream, true);
                Ok((Accepted::Tcp(stream), Some(from.ip())))
            }
            Self::Unix(listener) => Ok((Accepted::Unix(listener.accept().await?.0), None)),
        }
    }
}

/// The way of an input's batches into the pipelines.
#[derive(Clone, Debug)]
pub(crate) struct WayIn {
    outlet: Outlet,
    sockets: Sockets,
}

impl WayIn {
    pub(crate) fn new(outlet: Outlet, sockets: Sockets) -> Self {
        Self { outlet, sockets }
    }

    /// Passes on a batch whose sender waits to hear what becomes of it.
    pub(crate) async fn send(&self, batch: Batch) -> Result<oneshot::Receiver<Outcome>, QueueClosed> {
        let (report, reported) = oneshot::channel();
        if batch.is_empty() {
            // Nobody waits for a batch without records, and there is nothing to keep.
            let _ = report.send(Outcome::Durable);
            return Ok(reported);
        }
        // Whoever asked may be gone by then.
        let ack = Ack::new(move |outcome| {
            let _ = report.send(outcome);
        });
        self.outlet.send(batch, ack).await?;
        Ok(reported)
    }

    /// Passes on a batch that its sender has forgotten.
    pub(crate) async fn send_once(&self, batch: Batch) -> Result<(), QueueClosed> {
        if batch.is_empty() {
            return Ok(());
        }
        let (sockets, count) = (self.sockets.clone(), batch.len() as u64);
        let ack = Ack::new(move |outcome| {
            if outcome == Outcome::Undelivered {
                sockets.lost("undelivered", count);
                let input = sockets.input.as_str();
                tracing::error!(
                    input,
                    records = count,
                    "records were not made durable and are lost: their senders do not wait"
                );
            }
        });
        self.outlet.send(batch, ack).await
    }
}

/// Places in a source, one after the other.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) source: SourceId,
    next: u64,
}

impl Sequence {
    /// A new one.
    pub(crate) fn new() -> Result<Self, Error> {
        let source = crate::random::source()
            .map_err(|error| Error::new(ErrorKind::Retry, "read random numbers").because(error))?;
        Ok(Self { source, next: 0 })
    }

    /// The next so many places; gives the first.
    pub(crate) fn take(&mut self, count: u64) -> u64 {
        let first = self.next;
        self.next += count;
        first
    }
}
