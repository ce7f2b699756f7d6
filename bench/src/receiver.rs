//! A server that takes records as the output `http` sends them, and knows which it has seen.
//!
//! Owns: answering, and being away on demand; which sequence numbers came, and under which `_id`.
//! Does not own: what the records say beside `SEQ-<file>-<number>-`.
//! Invariant: a number that came twice under one `_id` was sent again; under two it was doubled.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};

/// How the server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Takes everything.
    Good = 0,
    /// Answers every second request with 503.
    Half = 1,
    /// Ends every connection without a word.
    Dead = 2,
}

/// A server on a thread.
#[derive(Clone, Debug)]
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    mood: AtomicU8,
    requests: AtomicU64,
    refused: AtomicU64,
    /// For each file, the hash of the id under which a number came; 0 for those that did not come.
    seen: Mutex<Vec<Vec<u64>>>,
    resent: AtomicU64,
    doubled: AtomicU64,
    strange: AtomicU64,
}

/// What came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Different numbers, by file.
    pub distinct: Vec<u64>,
    /// Numbers that came again under the same id.
    pub resent: u64,
    /// Numbers that came again under another id.
    pub doubled: u64,
    /// Lines without a number.
    pub strange: u64,
    /// Requests that were answered with 503.
    pub refused: u64,
}

impl Receiver {
    /// Starts to listen. There are as many files as told.
    ///
    /// # Errors
    /// If there is no free port.
    pub fn start(files: usize) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen")?;
        let address = listener.local_addr().context("listen")?;
        let shared = Shared {
            mood: AtomicU8::new(Mood::Good as u8),
            requests: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            seen: Mutex::new(vec![Vec::new(); files]),
            resent: AtomicU64::new(0),
            doubled: AtomicU64::new(0),
            strange: AtomicU64::new(0),
        };
        let sink = Self { address, shared: Arc::new(shared) };
        let accepting = sink.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sink = accepting.clone();
                std::thread::spawn(move || sink.serve(stream));
            }
        });
        Ok(sink)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Behaves like this from now on.
    pub fn set_mood(&self, mood: Mood) {
        self.shared.mood.store(mood as u8, Ordering::SeqCst);
    }

    /// What came so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        let count = |ids: &Vec<u64>| ids.iter().filter(|id| **id != 0).count() as u64;
        let of = |number: &AtomicU64| number.load(Ordering::SeqCst);
        Seen {
            distinct: self.lock().iter().map(count).collect(),
            resent: of(&self.shared.resent),
            doubled: of(&self.shared.doubled),
            strange: of(&self.shared.strange),
            refused: of(&self.shared.refused),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u64>>> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is(&self, mood: Mood) -> bool {
        self.shared.mood.load(Ordering::SeqCst) == mood as u8
    }

    fn serve(&self, stream: TcpStream) {
        let Ok(mut answers) = stream.try_clone() else { return };
        let mut reader = BufReader::with_capacity(1 << 16, stream);
        let mut body = Vec::new();
        while !self.is(Mood::Dead) {
            let Some(length) = read_head(&mut reader) else { return };
            body.resize(length, 0);
            if reader.read_exact(&mut body).is_err() || self.is(Mood::Dead) {
                return;
            }
            let number = self.shared.requests.fetch_add(1, Ordering::SeqCst);
            let answer: &[u8] = if self.is(Mood::Half) && number.is_multiple_of(2) {
                self.shared.refused.fetch_add(1, Ordering::SeqCst);
                b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
            } else {
                self.take(&body);
                b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
            };
            if answers.write_all(answer).is_err() {
                return;
            }
        }
    }

    fn take(&self, body: &[u8]) {
        let mut seen = self.lock();
        for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Some((file, number, id)) = read_record(line).filter(|(file, ..)| *file < seen.len()) else {
                self.shared.strange.fetch_add(1, Ordering::SeqCst);
                continue;
            };
            let ids = &mut seen[file];
            if ids.len() <= number {
                ids.resize(number + 1, 0);
            }
            match std::mem::replace(&mut ids[number], id) {
                0 => 0,
                before if before == id => self.shared.resent.fetch_add(1, Ordering::SeqCst),
                _ => self.shared.doubled.fetch_add(1, Ordering::SeqCst),
            };
        }
    }
}

/// Reads the head of a request; gives the length of its body.
fn read_head(reader: &mut impl BufRead) -> Option<usize> {
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let text = line.trim_ascii();
        if text.is_empty() {
            return Some(length);
        }
        if let Some((name, value)) = text.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim_ascii().parse().ok()?;
        }
    }
}

/// File, number and a hash of the id.
fn read_record(line: &[u8]) -> Option<(usize, usize, u64)> {
    let text = str::from_utf8(line).ok()?;
    let (_, rest) = text.split_once("\"_id\":\"")?;
    let (id, _) = rest.split_once('"')?;
    let (_, rest) = text.split_once("SEQ-")?;
    let (file, rest) = rest.split_once('-')?;
    let (number, _) = rest.split_once('-')?;
    // FNV-1a; 0 stands for none.
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Some((file.parse().ok()?, number.parse().ok()?, hash.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(sink: &Receiver, body: &str) -> String {
        let mut stream = TcpStream::connect(sink.address()).unwrap();
        let request = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let mut line = String::new();
        // One that plays dead hangs up, maybe while this is being written.
        let _ = stream.write_all(request.as_bytes());
        let _ = BufReader::new(stream).read_line(&mut line);
        line.trim_end().to_owned()
    }

    #[test]
    fn tells_what_was_sent_again_from_what_was_doubled() {
        let sink = Receiver::start(2).unwrap();
        let record = |id: &str, file: u8, number: u64| {
            format!("{{\"_id\":\"{id}\",\"message\":\"SEQ-{file:02}-{number:010}- x\"}}\n")
        };
        let body = [record("a", 0, 0), record("b", 0, 1), record("c", 1, 5), "{}\n".to_owned()].concat();
        assert_eq!(post(&sink, &body), "HTTP/1.1 200 OK");
        post(&sink, &[record("a", 0, 0), record("d", 0, 1)].concat());
        sink.set_mood(Mood::Half);
        let answers = [post(&sink, &record("e", 0, 2)), post(&sink, &record("e", 0, 2))];
        assert_eq!(answers, ["HTTP/1.1 503 Service Unavailable", "HTTP/1.1 200 OK"]);
        sink.set_mood(Mood::Dead);
        assert_eq!(post(&sink, &record("f", 0, 3)), "");
        let seen = sink.seen();
        assert_eq!(seen, Seen { distinct: vec![3, 1], resent: 1, doubled: 1, strange: 1, refused: 1 });
    }
}
