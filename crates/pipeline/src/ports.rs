//! Addresses that a process listens at, kept while its configuration is exchanged.
//!
//! Owns: a second handle of each socket, so that a client that comes between one topology and the next waits in the
//! system's queue and is not refused. Does not own: accepting and receiving (`input`).
//! Invariant: an address is handed out once to each topology; what the running one does not use is closed.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The addresses of one process. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Ports(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    tcp: HashMap<SocketAddr, Held<TcpListener>>,
    udp: HashMap<SocketAddr, Held<UdpSocket>>,
}

#[derive(Debug)]
struct Held<T> {
    socket: T,
    /// By the topology that is being opened, or runs.
    is_used: bool,
}

impl Ports {
    /// Listens at an address for connections; the socket does not block.
    ///
    /// # Errors
    /// As the system has them: it is taken, also by another component of this topology, or not this machine's.
    pub fn tcp(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let bind = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        take(&mut self.lock().tcp, address, bind, TcpListener::try_clone)
    }

    /// Listens at an address for datagrams; the socket does not block.
    ///
    /// # Errors
    /// As [`Ports::tcp`].
    pub fn udp(&self, address: SocketAddr) -> io::Result<UdpSocket> {
        let bind = || {
            let socket = UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        take(&mut self.lock().udp, address, bind, UdpSocket::try_clone)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A topology is about to be opened: what others used is free for it.
    pub(crate) fn begin(&self) {
        let mut kept = self.lock();
        kept.tcp.values_mut().for_each(|held| held.is_used = false);
        kept.udp.values_mut().for_each(|held| held.is_used = false);
    }

    /// It is open: what it did not take is closed.
    pub(crate) fn settle(&self) {
        let mut kept = self.lock();
        kept.tcp.retain(|_, held| held.is_used);
        kept.udp.retain(|_, held| held.is_used);
    }

    /// Nothing comes after the topology that runs: its sockets close when it closes them.
    pub fn forget(&self) {
        *self.lock() = Kept::default();
    }
}

fn take<T>(
    kept: &mut HashMap<SocketAddr, Held<T>>,
    address: SocketAddr,
    bind: impl Fn() -> io::Result<T>,
    again: impl Fn(&T) -> io::Result<T>,
) -> io::Result<T> {
    if let Some(held) = kept.get_mut(&address) {
        if held.is_used {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another component listens there"));
        }
        held.is_used = true;
        return again(&held.socket);
    }
    let socket = match bind() {
        // One of another interface that is kept, but no longer wanted, may be in the way.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            kept.retain(|other, held| held.is_used || other.port() != address.port());
            bind()?
        }
        bound => bound?,
    };
    // The system chooses another one each time, so there is nothing to keep.
    if address.port() != 0 {
        kept.insert(address, Held { socket: again(&socket)?, is_used: true });
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn free() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    #[test]
    fn who_comes_between_two_topologies_waits_and_is_taken_by_the_next() {
        let (ports, address) = (Ports::default(), free());
        ports.begin();
        let first = ports.tcp(address).unwrap();
        ports.settle();
        assert_eq!(ports.tcp(address).unwrap_err().kind(), io::ErrorKind::AddrInUse, "one has it already");
        drop(first);
        let _waits = TcpStream::connect(address).unwrap();
        ports.begin();
        let second = ports.tcp(address).unwrap();
        ports.settle();
        assert!(second.accept().is_ok());
    }

    #[test]
    fn what_the_next_one_does_not_want_is_closed() {
        let (ports, one, other) = (Ports::default(), free(), free());
        ports.begin();
        drop((ports.tcp(one).unwrap(), ports.udp(one).unwrap()));
        ports.settle();
        ports.begin();
        let kept = ports.tcp(other).unwrap();
        ports.settle();
        assert!(TcpStream::connect(one).is_err() && UdpSocket::bind(one).is_ok());
        // Also while one stands in the way of another that means the same port.
        drop(kept);
        ports.begin();
        let all = SocketAddr::from(([0, 0, 0, 0], other.port()));
        let listener = ports.tcp(all).unwrap();
        ports.settle();
        ports.forget();
        assert!(TcpStream::connect(other).is_ok());
        drop(listener);
        assert!(TcpStream::connect(other).is_err());
    }
}
