//! A server that takes everything, for measuring what it costs to send.
//!
//! Owns: the answers that clients of Elasticsearch, Loki and plain HTTP want. Does not own: looking into what it gets,
//! beyond counting lines.
//! Invariant: it runs in the process that measures, so none of its work counts as the client's.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A sink that listens as long as the process lives.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    bytes: AtomicU64,
    plain_bytes: AtomicU64,
}

/// What a sink has received.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// Requests.
    pub requests: u64,
    /// Bytes of bodies as they were sent.
    pub bytes: u64,
    /// Bytes of bodies before compression; of those in gzip only.
    pub plain_bytes: u64,
}

impl Sink {
    /// Starts one.
    ///
    /// # Errors
    /// If it cannot listen.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let sink = Self { address: listener.local_addr()?, counts: Arc::default() };
        let counts = Arc::clone(&sink.counts);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counts = Arc::clone(&counts);
                // A broken connection is the other side's business.
                std::thread::spawn(move || serve(stream, &counts));
            }
        });
        Ok(sink)
    }

    /// Its address for a client.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it has received so far.
    #[must_use]
    pub fn taken(&self) -> Taken {
        let of = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        let Counts { requests, bytes, plain_bytes } = &*self.counts;
        Taken { requests: of(requests), bytes: of(bytes), plain_bytes: of(plain_bytes) }
    }
}

fn serve(stream: TcpStream, counts: &Counts) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut to = stream.try_clone()?;
    let mut from = BufReader::with_capacity(1 << 20, stream);
    let mut line = String::new();
    let mut body = Vec::new();
    loop {
        line.clear();
        if from.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let (mut length, mut gzip, mut aws) = (0, false, false);
        loop {
            line.clear();
            from.read_line(&mut line)?;
            let header = line.trim_end().to_ascii_lowercase();
            match header.split_once(':') {
                None => break,
                Some(("content-length", value)) => length = value.trim().parse().unwrap_or(0),
                Some(("x-amz-target", _)) => aws = true,
                Some(("content-encoding", value)) => gzip = value.trim() == "gzip",
                Some(_) => {}
            }
        }
        body.resize(length, 0);
        from.read_exact(&mut body)?;
        let mut plain = Vec::new();
        if gzip {
            flate2::read::MultiGzDecoder::new(&*body).read_to_end(&mut plain)?;
            counts.plain_bytes.fetch_add(plain.len() as u64, Ordering::AcqRel);
        }
        counts.requests.fetch_add(1, Ordering::AcqRel);
        counts.bytes.fetch_add(length as u64, Ordering::AcqRel);
        let answer = match aws {
            true => "{}".to_owned(),
            false if path.contains("_bulk") => bulk(if gzip { &plain } else { &body }),
            false => String::new(),
        };
        let status = if answer.is_empty() { "204 No Content" } else { "200 OK" };
        write!(to, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{answer}", answer.len())?;
    }
}

/// What Elasticsearch answers to `filter_path=errors,items.*.status,items.*.error` when all is well.
fn bulk(body: &[u8]) -> String {
    let documents = body.iter().filter(|byte| **byte == b'\n').count() / 2;
    let items = vec![r#"{"create":{"status":201}}"#; documents];
    format!(r#"{{"errors":false,"items":[{}]}}"#, items.join(","))
}
