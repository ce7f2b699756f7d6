//! A peer on loopback that speaks HTTP/1.1 and behaves as badly as its script says.
//!
//! Owns: reading requests, playing answers. Does not own: what a good answer is.
//! Invariant: what a test sees as received was received whole.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

/// Pieces in which a slow answer comes.
const SLOW_PIECES: usize = 10;

/// How often a peer tries to listen on its address, and the pause between.
const LISTEN_TRIES_MAX: u32 = 500;
const LISTEN_PAUSE: Duration = Duration::from_millis(10);

/// A peer that listens until it is dropped.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    received: Mutex<Vec<Received>>,
    connections: AtomicUsize,
    stopped: AtomicBool,
}

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Received {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as it was sent.
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Headers beside the length.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What to do with a request.
#[derive(Clone, Debug)]
pub enum Play {
    /// Answer it.
    Answer(Reply),
    /// Answer it in pieces over this time.
    Slowly(Reply, Duration),
    /// Never answer, and keep the connection open.
    Silence,
    /// Close the connection instead of answering.
    HangUp,
    /// Answer half of it and close.
    Half(Reply),
    /// Close the own half of the connection instead of answering, and go on reading.
    HalfClosed,
}

/// A connection, plain or encrypted.
pub trait Connection: Read + Write + Send {}

impl<T: Read + Write + Send> Connection for T {}

/// Makes a connection of what was accepted.
pub type Accept = Box<dyn Fn(TcpStream) -> io::Result<Box<dyn Connection>> + Send + Sync>;

/// Whether to close the connection in the middle of the next request.
pub type Cut = Box<dyn Fn() -> bool + Send + Sync>;

type Script = Box<dyn Fn(usize, &Received) -> Play + Send + Sync>;

/// How a peer meets its clients.
pub struct Manner {
    /// Where it listens; port 0 for any that is free.
    pub address: SocketAddr,
    /// Makes connections.
    pub accept: Accept,
    /// Decides for each request that has a body whether its second half is waited for.
    pub cut: Cut,
}

impl std::fmt::Debug for Manner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manner").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            accept: Box::new(|stream| Ok(Box::new(stream))),
            cut: Box::new(|| false),
        }
    }
}

impl Received {
    /// The body as it was before it was compressed.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn plain_body(&self) -> Vec<u8> {
        match self.header("content-encoding") {
            None | Some("identity") => self.body.clone(),
            Some("gzip") => {
                let mut plain = Vec::new();
                let read = flate2::read::GzDecoder::new(&*self.body).read_to_end(&mut plain);
                read.expect("a body in gzip");
                plain
            }
            Some(other) => panic!("sent as {other}"),
        }
    }

    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Reply {
    /// An answer with this status and body.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// The same with a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Peer {
    /// A peer whose script is given the number of the request, from 0, and the request.
    ///
    /// # Panics
    /// If it cannot listen.
    #[must_use]
    pub fn start(script: impl Fn(usize, &Received) -> Play + Send + Sync + 'static) -> Self {
        Self::start_as(Manner::default(), script)
    }

    /// The same with connections that are made another way, such as encrypted ones.
    ///
    /// # Panics
    /// If it cannot listen.
    #[must_use]
    pub fn start_with(
        accept: Accept,
        script: impl Fn(usize, &Received) -> Play + Send + Sync + 'static,
    ) -> Self {
        Self::start_as(Manner { accept, ..Manner::default() }, script)
    }

    /// The same with manners of its own.
    ///
    /// # Panics
    /// If it cannot listen. A peer that was just dropped may take a moment to free its address.
    #[must_use]
    pub fn start_as(
        manner: Manner,
        script: impl Fn(usize, &Received) -> Play + Send + Sync + 'static,
    ) -> Self {
        let listener = listen(manner.address);
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        let (script, manner): (Arc<Script>, _) = (Arc::new(Box::new(script)), Arc::new(manner));
        let state = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if state.stopped.load(Ordering::Acquire) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                state.connections.fetch_add(1, Ordering::AcqRel);
                let (state, script, manner) = (Arc::clone(&state), Arc::clone(&script), Arc::clone(&manner));
                // A broken connection is the other side's business.
                std::thread::spawn(move || serve(stream, &state, &manner, &script));
            }
        });
        Self { address, shared }
    }

    /// An address on loopback where nobody listens.
    #[must_use]
    pub fn nobody() -> String {
        format!("http://{}", crate::free_address())
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address for a client.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests that came in whole.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many connections were accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Acquire)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

fn listen(address: SocketAddr) -> TcpListener {
    let (_keep, never) = mpsc::channel::<()>();
    let mut tries = 0;
    loop {
        match TcpListener::bind(address) {
            Ok(listener) => return listener,
            Err(error) if tries == LISTEN_TRIES_MAX => panic!("listen: {error} address={address}"),
            Err(_) => tries += 1,
        }
        // Nobody sends, so this waits.
        let _ = never.recv_timeout(LISTEN_PAUSE);
    }
}

fn serve(stream: TcpStream, shared: &Shared, manner: &Manner, script: &Script) -> io::Result<()> {
    let socket = stream.try_clone()?;
    let mut connection = BufReader::new((manner.accept)(stream)?);
    while let Some(request) = read_request(&mut connection, &manner.cut)? {
        let number = {
            let mut received = shared.received.lock().unwrap_or_else(PoisonError::into_inner);
            received.push(request.clone());
            received.len() - 1
        };
        let to = connection.get_mut();
        match script(number, &request) {
            Play::Answer(reply) => to.write_all(&bytes(&reply))?,
            Play::Slowly(reply, time) => write_slowly(to, &bytes(&reply), time)?,
            Play::Silence => {
                io::copy(&mut connection, &mut io::sink())?;
                return Ok(());
            }
            Play::HalfClosed => {
                socket.shutdown(Shutdown::Write)?;
                io::copy(&mut connection, &mut io::sink())?;
                return Ok(());
            }
            Play::HangUp => return socket.shutdown(Shutdown::Both),
            Play::Half(reply) => {
                let whole = bytes(&reply);
                to.write_all(&whole[..whole.len() - reply.body.len() / 2])?;
                to.flush()?;
                return socket.shutdown(Shutdown::Both);
            }
        }
        connection.get_mut().flush()?;
    }
    Ok(())
}

fn write_slowly(to: &mut dyn Write, bytes: &[u8], time: Duration) -> io::Result<()> {
    let (_keep, never) = mpsc::channel::<()>();
    for piece in bytes.chunks(bytes.len().div_ceil(SLOW_PIECES).max(1)) {
        // Nobody sends, so this waits.
        let _ = never.recv_timeout(time / SLOW_PIECES as u32);
        to.write_all(piece)?;
        to.flush()?;
    }
    Ok(())
}

fn bytes(reply: &Reply) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {} Scripted\r\ncontent-length: {}\r\n", reply.status, reply.body.len());
    for (name, value) in &reply.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&reply.body);
    bytes
}

fn read_request(from: &mut impl BufRead, cut: &Cut) -> io::Result<Option<Received>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "not a request");
    let mut words = line.split_whitespace();
    let (method, target) = words.next().zip(words.next()).ok_or_else(wrong)?;
    let mut request = Received {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = request.header("content-length").map_or(Ok(0), str::parse).map_err(|_| wrong())?;
    let cut = length > 1 && cut();
    request.body.resize(if cut { length / 2 } else { length }, 0);
    from.read_exact(&mut request.body)?;
    Ok(Some(request).filter(|_| !cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(peer: &Peer) -> String {
        let mut stream = TcpStream::connect(peer.address()).unwrap();
        stream.write_all(b"POST /x?y HTTP/1.1\r\nA: b\r\nContent-Length: 2\r\n\r\nhi").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn plays_its_script_and_keeps_what_it_received() {
        let peer = Peer::start(|number, request| match number {
            3 => Play::HalfClosed,
            0 => Play::Answer(Reply::new(429, request.body.clone()).header("retry-after", "1")),
            1 => Play::HangUp,
            _ => Play::Half(Reply::new(200, "abcd")),
        });
        assert_eq!(ask(&peer), "HTTP/1.1 429 Scripted\r\ncontent-length: 2\r\nretry-after: 1\r\n\r\nhi");
        assert_eq!(ask(&peer), "");
        assert_eq!(ask(&peer), "HTTP/1.1 200 Scripted\r\ncontent-length: 4\r\n\r\nab");
        assert_eq!(ask(&peer), "");
        let received = peer.received();
        assert_eq!((received.len(), peer.connections()), (4, 4));
        assert_eq!((received[0].target.as_str(), received[0].header("a")), ("/x?y", Some("b")));
    }

    #[test]
    fn comes_back_at_its_address_and_cuts_requests() {
        let first = Peer::start(|_, _| Play::HangUp);
        let address = first.address();
        drop(first);
        let manner = Manner { address, cut: Box::new(|| true), ..Manner::default() };
        let second = Peer::start_as(manner, |_, _| unreachable!("no request is whole"));
        assert_eq!(second.address(), address);
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\nabcd").unwrap();
        let mut answer = Vec::new();
        // Closed with bytes unread, so the kernel may say it as a reset.
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty() && second.received().is_empty());
    }
}
