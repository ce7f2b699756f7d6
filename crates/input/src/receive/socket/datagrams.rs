//! Datagrams: taking them as they come, and knowing of those that came when nobody took them.
//!
//! Owns: the system's buffer, the number of datagrams that it threw away.
//! Invariant: what the system threw away is counted, where it tells.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use sawyer_model::{Error, ErrorKind};
use sawyer_pipeline::ports::UnixPath;
use sawyer_pipeline::{Ports, Stop};
use tokio::time::Instant;

use super::{BATCH_WAIT, Peer, Sockets};

/// Longest datagram.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;

/// How often the system is asked what it threw away.
const DROPS_INTERVAL: Duration = Duration::from_secs(10);

/// Datagrams that are taken before others have their turn, and at the end.
const TAKEN_MAX: usize = 1024;
const TAKEN_LAST_MAX: usize = 1 << 16;

/// Tables of the system in which the sockets of a network stand, with what they threw away in the last column.
const TABLES: [&str; 2] = ["/proc/self/net/udp", "/proc/self/net/udp6"];

/// A socket that takes datagrams.
#[derive(Debug)]
pub(crate) enum Datagrams {
    Udp(UdpSocket),
    Unix(UnixDatagram, UnixPath),
}

impl Datagrams {
    /// Takes an address. The system is asked for a buffer of so many bytes, and gives as much as it allows.
    pub(crate) fn udp(ports: &Ports, address: SocketAddr, buffer_bytes: usize) -> Result<Self, Error> {
        let socket = ports.udp(address).map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::AddrInUse => ErrorKind::Conflict,
                _ => ErrorKind::Invalid,
            };
            Error::new(kind, format!("listen on {address}, UDP")).because(error)
        })?;
        widen(&socket, buffer_bytes);
        Ok(Self::Udp(socket))
    }

    /// Takes a path.
    pub(crate) fn unix(ports: &Ports, path: &Path, buffer_bytes: usize) -> Result<Self, Error> {
        let (socket, path) = ports.unix_datagrams(path)?;
        widen(&socket, buffer_bytes);
        Ok(Self::Unix(socket, path))
    }

    #[cfg(test)]
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Udp(socket) => socket.local_addr().unwrap(),
            Self::Unix(..) => panic!("a path"),
        }
    }
}

fn widen(socket: impl std::os::fd::AsFd, bytes: usize) {
    // Beyond the system's limit only for root; then as much as it allows. Either way it is no reason not to run.
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, bytes).is_err() {
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, bytes);
    }
}

enum Socket {
    Udp(tokio::net::UdpSocket),
    Unix(tokio::net::UnixDatagram),
}

impl Socket {
    async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.readable().await,
            Self::Unix(socket) => socket.readable().await,
        }
    }

    fn try_receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Option<SocketAddr>)> {
        match self {
            Self::Udp(socket) => socket.try_recv_from(buffer).map(|(length, from)| (length, Some(from))),
            Self::Unix(socket) => socket.try_recv(buffer).map(|length| (length, None)),
        }
    }

    /// Answers a datagram, if that can be done at once. One that comes from the port that this socket has itself may be
    /// an answer of another Sawyer, and answers to answers would never end.
    fn answer(&self, to: Option<SocketAddr>, bytes: &[u8]) {
        if let (Self::Udp(socket), Some(to)) = (self, to)
            && socket.local_addr().is_ok_and(|own| own.port() != to.port())
        {
            // A datagram may get lost; this is one of the ways.
            let _ = socket.try_send_to(bytes, to);
        }
    }
}

/// Takes what datagrams say.
pub(crate) trait Takes: Send {
    /// Takes one; gives what it is to be answered, if it is.
    fn take(&mut self, bytes: &[u8], peer: Peer) -> Option<&'static [u8]>;

    /// Whether there is something to be passed on, and whether that should be done now.
    fn waiting(&self) -> (bool, bool);

    /// Passes it on; says whether that was possible.
    fn pass_on(&mut self) -> impl Future<Output = bool> + Send;
}

/// Receives until told to stop.
pub(crate) async fn receive(
    datagrams: Datagrams,
    sockets: Sockets,
    mut takes: impl Takes,
    stop: Stop,
) -> Result<(), Error> {
    let listen = |error| Error::new(ErrorKind::Bug, "listen").because(error);
    let mut drops = None;
    let (socket, _path) = match datagrams {
        Datagrams::Udp(socket) => {
            drops = Drops::of(&socket);
            let socket = tokio::net::UdpSocket::from_std(socket).map_err(listen)?;
            if let Ok(address) = socket.local_addr() {
                tracing::info!(input = sockets.input, %address, "receiving datagrams");
            }
            (Socket::Udp(socket), None)
        }
        Datagrams::Unix(socket, path) => {
            tracing::info!(input = sockets.input, path = %path.path().display(), "receiving datagrams");
            (Socket::Unix(tokio::net::UnixDatagram::from_std(socket).map_err(listen)?), Some(path))
        }
    };
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut since = Instant::now();
    let mut look = tokio::time::interval(DROPS_INTERVAL);
    loop {
        let (waits, full) = takes.waiting();
        if full && !takes.pass_on().await {
            return ended(&stop);
        }
        tokio::select! {
            biased;
            () = stop.stopped() => break,
            () = tokio::time::sleep_until(since + BATCH_WAIT), if waits && !full => {
                if !takes.pass_on().await {
                    return ended(&stop);
                }
            }
            ready = socket.readable() => {
                if let Err(error) = ready {
                    return Err(Error::new(ErrorKind::Retry, "wait for datagrams").because(error));
                }
                if !waits {
                    since = Instant::now();
                }
                take_all(&socket, &sockets, &mut takes, &mut buffer, TAKEN_MAX);
                tokio::task::consume_budget().await;
            }
            _ = look.tick() => {
                if let Some(drops) = &mut drops {
                    sockets.lost("receive_buffer", drops.take_new());
                }
            }
        }
    }
    take_all(&socket, &sockets, &mut takes, &mut buffer, TAKEN_LAST_MAX);
    if let Some(drops) = &mut drops {
        sockets.lost("receive_buffer", drops.take_new());
    }
    if takes.waiting().0 && !takes.pass_on().await {
        return ended(&stop);
    }
    Ok(())
}

/// Takes what is there, until it should be passed on, or so many.
fn take_all(socket: &Socket, sockets: &Sockets, takes: &mut impl Takes, buffer: &mut [u8], most: usize) {
    for _ in 0..most {
        if takes.waiting().1 {
            return;
        }
        match socket.try_receive(buffer) {
            Ok((length, from)) => {
                sockets.bytes.inc_by(length as u64);
                let address: Option<IpAddr> = from.map(|from| from.ip());
                let peer = Peer { address, certified: false };
                if let Some(answer) = takes.take(&buffer[..length], peer) {
                    socket.answer(from, answer);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => {
                tracing::debug!(input = sockets.input, "receive a datagram: {error}");
                return;
            }
        }
    }
}

fn ended(stop: &Stop) -> Result<(), Error> {
    if stop.is_stopped() { Ok(()) } else { Err(Error::new(ErrorKind::Closed, "a pipeline has ended")) }
}

/// What the system threw away because its buffer was full.
#[derive(Debug)]
struct Drops {
    inode: String,
    known: u64,
}

impl Drops {
    fn of(socket: &UdpSocket) -> Option<Self> {
        use std::os::fd::AsRawFd;
        let link = std::fs::metadata(format!("/proc/self/fd/{}", socket.as_raw_fd())).ok()?;
        Some(Self { inode: link.ino().to_string(), known: 0 })
    }

    /// How many since it was asked last.
    fn take_new(&mut self) -> u64 {
        let total = TABLES.iter().find_map(|table| self.total(&std::fs::read_to_string(table).ok()?));
        let Some(total) = total else { return 0 };
        let new = total.saturating_sub(self.known);
        self.known = total;
        new
    }

    fn total(&self, table: &str) -> Option<u64> {
        table.lines().skip(1).find_map(|line| {
            let mut words = line.split_whitespace().skip(9);
            (words.next()? == self.inode).then(|| words.last()?.parse().ok())?
        })
    }
}
