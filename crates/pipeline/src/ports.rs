//! Addresses that a process listens at, kept while its configuration is exchanged.
//!
//! Owns: a second handle of each socket, so that a client that comes between one topology and the next waits in the
//! system's queue and is not refused. Does not own: accepting and receiving (`input`).
//! Invariant: an address is handed out once to each topology; what the running one does not use, or no longer uses, is
//! closed.

mod unix;

use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sawyer_model::{Error, ErrorKind};

pub use unix::UnixPath;

/// The addresses of one process. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Ports {
    kept: Arc<Mutex<Kept>>,
    /// The component that this handle was given to.
    owner: String,
}

#[derive(Debug, Default)]
struct Kept {
    tcp: Sockets<SocketAddr, TcpListener>,
    udp: Sockets<SocketAddr, UdpSocket>,
    listeners: Sockets<PathBuf, (UnixListener, UnixPath)>,
    datagrams: Sockets<PathBuf, (UnixDatagram, UnixPath)>,
}

/// Sockets of a kind, by where they are.
#[derive(Debug)]
struct Sockets<K, T>(HashMap<K, Held<T>>);

#[derive(Debug)]
struct Held<T> {
    socket: T,
    /// By whom, in the topology that is being opened, or runs.
    used_by: Option<String>,
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
        self.lock().tcp.take(address, &self.owner, bind, TcpListener::try_clone)
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
        self.lock().udp.take(address, &self.owner, bind, UdpSocket::try_clone)
    }

    /// Listens at a path for connections of every program of the machine; the socket does not block.
    ///
    /// # Errors
    /// `Conflict` if another program or component listens there, or there is something else; `Invalid` if no socket can
    /// be made there.
    pub fn unix(&self, path: &Path) -> Result<(UnixListener, UnixPath), Error> {
        let bind = |path: &Path| {
            let listener = UnixListener::bind(path)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let mut kept = self.lock();
        kept.datagrams.release(path);
        kept.listeners.take_path(path, &self.owner, bind, UnixListener::try_clone)
    }

    /// Takes datagrams at a path from every program of the machine; the socket does not block.
    ///
    /// # Errors
    /// As [`Ports::unix`].
    pub fn unix_datagrams(&self, path: &Path) -> Result<(UnixDatagram, UnixPath), Error> {
        let bind = |path: &Path| {
            let socket = UnixDatagram::bind(path)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        let mut kept = self.lock();
        kept.listeners.release(path);
        kept.datagrams.take_path(path, &self.owner, bind, UnixDatagram::try_clone)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for a component, so that it is known what it uses.
    pub(crate) fn of(&self, owner: String) -> Self {
        Self { kept: Arc::clone(&self.kept), owner }
    }

    /// A topology is about to be opened: what others used is free for it.
    pub(crate) fn begin(&self) {
        self.lock().change(|used_by| {
            *used_by = None;
            true
        });
    }

    /// It is open: what it did not take is closed.
    pub(crate) fn settle(&self) {
        self.lock().change(|used_by| used_by.is_some());
    }

    /// This component ended before its topology did: who comes to it now is refused, and does not wait for nobody.
    pub(crate) fn close(&self, owner: &str) {
        self.lock().change(|used_by| used_by.as_deref() != Some(owner));
    }

    /// Nothing comes after the topology that runs: its sockets close when it closes them.
    pub fn forget(&self) {
        *self.lock() = Kept::default();
    }
}

impl Kept {
    /// Changes who uses a socket, and says whether it is kept.
    fn change(&mut self, mut keeps: impl FnMut(&mut Option<String>) -> bool) {
        self.tcp.0.retain(|_, held| keeps(&mut held.used_by));
        self.udp.0.retain(|_, held| keeps(&mut held.used_by));
        self.listeners.0.retain(|_, held| keeps(&mut held.used_by));
        self.datagrams.0.retain(|_, held| keeps(&mut held.used_by));
    }
}

impl<K, T> Default for Sockets<K, T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash, T> Sockets<K, T> {
    /// A socket that is kept, if nobody of this topology uses it.
    fn again(&mut self, at: &K, owner: &str) -> io::Result<Option<&T>> {
        let Some(held) = self.0.get_mut(at) else { return Ok(None) };
        if held.used_by.is_some() {
            return Err(unix::in_use("another component"));
        }
        held.used_by = Some(owner.to_owned());
        Ok(Some(&held.socket))
    }

    fn keep(&mut self, at: K, socket: T, owner: &str) {
        self.0.insert(at, Held { socket, used_by: Some(owner.to_owned()) });
    }
}

impl<T> Sockets<SocketAddr, T> {
    fn take(
        &mut self,
        address: SocketAddr,
        owner: &str,
        bind: impl Fn() -> io::Result<T>,
        twin: impl Fn(&T) -> io::Result<T>,
    ) -> io::Result<T> {
        if let Some(kept) = self.again(&address, owner)? {
            return twin(kept);
        }
        let socket = match bind() {
            // One of another interface that is kept, but no longer wanted, may be in the way.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                self.0.retain(|other, held| held.used_by.is_some() || other.port() != address.port());
                bind()?
            }
            bound => bound?,
        };
        // The system chooses another one each time, so there is nothing to keep.
        if address.port() != 0 {
            self.keep(address, twin(&socket)?, owner);
        }
        Ok(socket)
    }
}

impl<T> Sockets<PathBuf, (T, UnixPath)> {
    fn take_path(
        &mut self,
        path: &Path,
        owner: &str,
        bind: impl FnOnce(&Path) -> io::Result<T>,
        twin: impl Fn(&T) -> io::Result<T>,
    ) -> Result<(T, UnixPath), Error> {
        let failed = |error| unix::cannot(path, ErrorKind::Invalid, error);
        // Somebody may have removed it, or put another one there; then nobody finds the one that is kept.
        if self.0.get(path).is_some_and(|held| !held.socket.1.leads_there()) {
            self.release(path);
        }
        let kept = self.again(&path.to_owned(), owner);
        if let Some((socket, place)) = kept.map_err(|error| unix::cannot(path, ErrorKind::Conflict, error))? {
            return Ok((twin(socket).map_err(failed)?, place.clone()));
        }
        let (socket, place) = UnixPath::bind(path, bind)?;
        self.keep(path.to_owned(), (twin(&socket).map_err(failed)?, place.clone()), owner);
        Ok((socket, place))
    }

    /// Closes what is kept there and nobody uses.
    fn release(&mut self, path: &Path) {
        self.0.retain(|kept, held| held.used_by.is_some() || kept != path);
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;
    use std::thread;
    use std::time::{Duration, Instant};

    use sawyer_testkit::free_address;

    use super::*;

    /// What is there within a moment: until a program that another test starts is executed, it has our sockets, too.
    fn soon<T>(find: impl Fn() -> Option<T>) -> T {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(found) = find() {
                return found;
            }
            assert!(Instant::now() < end);
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn is_refused(address: SocketAddr) {
        soon(|| TcpStream::connect(address).err());
    }

    #[test]
    fn who_comes_between_two_topologies_waits_and_is_taken_by_the_next() {
        let (ports, address) = (Ports::default(), free_address());
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
        let (ports, one, other) = (Ports::default(), free_address(), free_address());
        ports.begin();
        drop((ports.tcp(one).unwrap(), ports.udp(one).unwrap()));
        ports.settle();
        ports.begin();
        let kept = ports.tcp(other).unwrap();
        ports.settle();
        is_refused(one);
        soon(|| UdpSocket::bind(one).ok());
        // Also while one stands in the way of another that means the same port.
        drop(kept);
        ports.begin();
        let all = SocketAddr::from(([0, 0, 0, 0], other.port()));
        let listener = soon(|| ports.tcp(all).ok());
        ports.settle();
        ports.forget();
        assert!(TcpStream::connect(other).is_ok());
        drop(listener);
        is_refused(other);
    }

    #[test]
    fn a_path_stays_while_one_topology_follows_another() {
        let folder = tempfile::tempdir().unwrap();
        let [stream, log] = ["stream", "log"].map(|name| folder.path().join(name));
        let ports = Ports::default();
        let open = || {
            ports.begin();
            let both = (ports.unix(&stream).unwrap(), ports.unix_datagrams(&log).unwrap());
            ports.settle();
            both
        };
        let first = open();
        assert_eq!(ports.unix(&stream).unwrap_err().kind(), ErrorKind::Conflict, "one has it already");
        drop(first);
        let _waits = UnixStream::connect(&stream).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender.send_to(b"meanwhile", &log).unwrap();
        let ((listener, _stream), (datagrams, place)) = open();
        assert!(listener.accept().is_ok());
        let mut bytes = [0; 16];
        assert_eq!(datagrams.recv(&mut bytes).unwrap(), 9);
        // Who removes the path gets another socket at the next exchange, and not one that nobody finds.
        std::fs::remove_file(&log).unwrap();
        drop((listener, datagrams, place, _stream));
        let ((listener, _stream), (datagrams, place)) = open();
        sender.send_to(b"again", &log).unwrap();
        assert_eq!(datagrams.recv(&mut bytes).unwrap(), 5);
        // The same path for another kind of socket.
        drop((listener, datagrams, place, _stream));
        ports.begin();
        let other = ports.unix(&log).unwrap();
        ports.settle();
        assert!(UnixStream::connect(&log).is_ok() && !stream.exists(), "what is not wanted is gone");
        ports.forget();
        assert!(UnixStream::connect(&log).is_ok());
        drop(other);
        assert!(!log.exists());
    }

    #[test]
    fn what_somebody_else_has_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let [theirs, file, stale] = ["theirs", "file", "stale"].map(|name| folder.path().join(name));
        let _listener = UnixListener::bind(&theirs).unwrap();
        std::fs::write(&file, "").unwrap();
        drop(UnixListener::bind(&stale).unwrap());
        let ports = Ports::default();
        for path in [&theirs, &file] {
            assert_eq!(ports.unix_datagrams(path).unwrap_err().kind(), ErrorKind::Conflict);
            assert!(path.exists());
        }
        let made = soon(|| ports.unix(&stale).ok());
        ports.forget();
        std::fs::remove_file(&stale).unwrap();
        std::fs::write(&stale, "somebody else's by now").unwrap();
        drop(made);
        assert!(stale.exists());
    }

    #[test]
    fn who_comes_to_a_component_that_has_ended_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (ports, one, other) = (Ports::default(), free_address(), free_address());
        let path = folder.path().join("stream");
        ports.begin();
        let [ended, runs] = ["input one", "input other"].map(|owner| ports.of(owner.to_owned()));
        drop((ended.tcp(one).unwrap(), ended.unix(&path).unwrap(), runs.tcp(other).unwrap()));
        ports.settle();
        ports.close("input one");
        is_refused(one);
        assert!(!path.exists());
        assert!(TcpStream::connect(other).is_ok());
    }
}
