//! Where messages end in a stream of bytes: by octet counts or by line feeds (RFC 6587), found out for each message.
//!
//! Owns: what of a message that is too long is kept.
//! Invariant: holds no more than one message of the longest that is kept, beside what was pushed last; every byte that
//! is pushed is in a message, or is an end of one.

use xxhash_rust::xxh3::Xxh3;

use crate::join::{Cut, whole_words};

/// Most digits of an octet count; more is no count.
const COUNT_DIGITS_MAX: usize = 9;

/// A message as it came, without its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// If there were more.
    pub cut: Option<Cut>,
}

/// Cuts a stream into messages.
pub struct Frames {
    bytes_max: usize,
    buffer: Vec<u8>,
    start: usize,
    /// Up to where no line feed was found.
    searched: usize,
    long: Option<Long>,
}

/// A message whose end has not come and that is longer than what is kept.
struct Long {
    kept: Vec<u8>,
    length: u64,
    hash: Xxh3,
    /// How many bytes are still to come, if that is known.
    left: Option<u64>,
}

impl std::fmt::Debug for Frames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frames").field("held", &(self.buffer.len() - self.start)).finish_non_exhaustive()
    }
}

/// How the next message is framed.
enum Framing {
    /// So many bytes, after so many digits and a space.
    Counted { skip: usize, count: u64 },
    /// It ends with its line.
    Line,
    /// It takes more bytes to say.
    Unknown,
}

impl Frames {
    /// Keeps so many bytes of a message.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max: bytes_max.max(1), buffer: Vec::new(), start: 0, searched: 0, long: None }
    }

    /// Takes the bytes that came next.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched = self.searched.saturating_sub(self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether there is the beginning of a message whose end has not come.
    #[must_use]
    pub fn is_within(&self) -> bool {
        self.long.is_some() || self.start < self.buffer.len()
    }

    /// The next message that is whole.
    pub fn take(&mut self) -> Option<Frame> {
        loop {
            if self.long.is_some() {
                match self.go_on() {
                    Some(frame) if frame.bytes.is_empty() => continue,
                    ended => return ended,
                }
            }
            self.pass_ends();
            if self.start == self.buffer.len() {
                return None;
            }
            match self.framing() {
                Framing::Unknown => return None,
                Framing::Counted { skip, count } => {
                    let there = (self.buffer.len() - self.start - skip) as u64;
                    if count > self.bytes_max as u64 {
                        self.start += skip;
                        self.begin_long(Some(count));
                        continue;
                    }
                    if there < count {
                        return None;
                    }
                    let from = self.start + skip;
                    let to = from + count as usize;
                    self.advance(to);
                    return Some(Frame { bytes: self.buffer[from..to].to_vec(), cut: None });
                }
                Framing::Line => {
                    let from = self.start;
                    if let Some(end) = self.line_end().filter(|end| end - from <= self.bytes_max) {
                        self.advance(end + 1);
                        return Some(Frame { bytes: without_return(&self.buffer[from..end]), cut: None });
                    }
                    if self.buffer.len() - from <= self.bytes_max {
                        return None;
                    }
                    self.begin_long(None);
                }
            }
        }
    }

    /// A message that came by itself, in a datagram.
    #[must_use]
    pub fn whole(&self, bytes: &[u8]) -> Frame {
        let mut whole = Long { kept: Vec::new(), length: 0, hash: Xxh3::new(), left: None };
        whole.take(bytes, self.bytes_max);
        whole.end()
    }

    /// What was begun, when nothing more will come.
    pub fn end(&mut self) -> Option<Frame> {
        if let Some(long) = self.long.take() {
            return Some(long.end());
        }
        let bytes = without_return(&self.buffer[self.start..]);
        self.advance(self.buffer.len());
        if bytes.is_empty() {
            return None;
        }
        Some(self.whole(&bytes))
    }

    fn advance(&mut self, to: usize) {
        self.start = to;
        self.searched = to;
    }

    /// Some senders of counts end their messages with a line feed all the same, and some that do not with two.
    fn pass_ends(&mut self) {
        let rest = &self.buffer[self.start..];
        let ends = rest.iter().take_while(|byte| matches!(byte, b'\n' | b'\r' | 0)).count();
        if ends > 0 {
            self.advance(self.start + ends);
        }
    }

    fn framing(&self) -> Framing {
        let rest = &self.buffer[self.start..];
        if !matches!(rest[0], b'1'..=b'9') {
            return Framing::Line;
        }
        let digits = rest.iter().take(COUNT_DIGITS_MAX + 1).take_while(|byte| byte.is_ascii_digit()).count();
        if digits > COUNT_DIGITS_MAX {
            return Framing::Line;
        }
        match rest.get(digits..digits + 2) {
            None if rest.len() == digits || rest[digits] == b' ' => Framing::Unknown,
            Some([b' ', b'<']) => {
                let count =
                    rest[..digits].iter().fold(0, |count, digit| count * 10 + u64::from(digit - b'0'));
                Framing::Counted { skip: digits + 1, count }
            }
            _ => Framing::Line,
        }
    }

    fn line_end(&mut self) -> Option<usize> {
        let from = self.searched.max(self.start);
        let found = memchr::memchr2(b'\n', 0, &self.buffer[from..]).map(|at| from + at);
        self.searched = found.unwrap_or(self.buffer.len());
        found
    }

    fn begin_long(&mut self, left: Option<u64>) {
        self.long = Some(Long { kept: Vec::new(), length: 0, hash: Xxh3::new(), left });
    }

    /// Takes what belongs to the long message; gives it when it has ended.
    fn go_on(&mut self) -> Option<Frame> {
        let long = self.long.as_mut()?;
        let rest = &self.buffer[self.start..];
        let (take, skip, ended) = match long.left {
            Some(left) => {
                let take = left.min(rest.len() as u64) as usize;
                (take, take, take as u64 == left)
            }
            None => match memchr::memchr2(b'\n', 0, rest) {
                Some(end) => (end, end + 1, true),
                None => (rest.len(), rest.len(), false),
            },
        };
        long.take(&rest[..take], self.bytes_max);
        let to = self.start + skip;
        self.advance(to);
        if !ended {
            return None;
        }
        self.long.take().map(Long::end)
    }
}

impl Long {
    fn take(&mut self, bytes: &[u8], bytes_max: usize) {
        self.length += bytes.len() as u64;
        self.hash.update(bytes);
        self.left = self.left.map(|left| left - bytes.len() as u64);
        let room = bytes_max - self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end(self) -> Frame {
        let Self { mut kept, length, hash, .. } = self;
        let cut = (length > kept.len() as u64).then(|| Cut { length, hash: hash.digest() });
        if cut.is_some() {
            // Half a secret is not known as one.
            kept.truncate(whole_words(&kept).len());
        }
        Frame { bytes: kept, cut }
    }
}

fn without_return(bytes: &[u8]) -> Vec<u8> {
    bytes.strip_suffix(b"\r").unwrap_or(bytes).to_vec()
}
