//! Bytes of a log file into records: where lines end, what form they have, which of them belong together.
//!
//! Owns: the three forms, one joiner for each output of a container, lines longer than what is read at once, what
//! is carried from a rotated file into the next.
//! Does not own: reading files, acknowledgements.
//! Invariant: every byte that is consumed is covered by the batch, or held by a joiner until it is; nothing that is
//! durable already is written a second time.

use sawyer_codec::cri::{self, StdStream};
use sawyer_codec::docker;
use sawyer_codec::join::{Joined, Joiner, Piece};
use sawyer_codec::line::{LineHead, LineWriter};
use sawyer_model::{Batch, RangeSet, SeqRange, SourceId, Timestamp};

use super::encoding::{Charset, Recoder};
use super::speaker::Speaker;

#[cfg(test)]
mod tests;

/// What the lines of a file look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The container runtime log format of Kubernetes.
    Cri,
    /// Docker's `json-file`.
    Docker,
    /// A line is a message.
    Plain,
    /// The same in another encoding than UTF-8.
    Encoded(Charset),
}

impl Form {
    /// The form of a container's log file, by its first line; `expected` if that has neither.
    pub(crate) fn of_container(line: &[u8], expected: Self) -> Self {
        match line.first() {
            Some(b'{') => Self::Docker,
            Some(b'0'..=b'9') => Self::Cri,
            _ => expected,
        }
    }

    /// Where the last whole line ends in `bytes`, which lie at `offset`.
    pub(crate) fn last_line_end(self, bytes: &[u8], offset: u64) -> Option<usize> {
        match self {
            Self::Encoded(charset) => charset.last_line_end(bytes, offset),
            _ => memchr::memrchr(b'\n', bytes).map(|at| at + 1),
        }
    }

    /// The nearest place that lies at `offset` or before it and in no character's midst, as far as its unit tells.
    pub(crate) fn unit_start(self, offset: u64) -> u64 {
        match self {
            Self::Encoded(charset) => charset.unit_start(offset),
            _ => offset,
        }
    }
}

/// Which output of a container said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voice {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Lines that do not say it: all of a plain file, malformed ones of others.
    Unknown,
}

impl Voice {
    /// How many there are.
    pub(crate) const COUNT: usize = 3;

    /// All of them, each at its number.
    pub(crate) const ALL: [Self; Self::COUNT] = [Self::Stdout, Self::Stderr, Self::Unknown];

    /// Its name, if it has one.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Stdout => Some(StdStream::Stdout.name()),
            Self::Stderr => Some(StdStream::Stderr.name()),
            Self::Unknown => None,
        }
    }

    fn of(stream: StdStream) -> Self {
        match stream {
            StdStream::Stdout => Self::Stdout,
            StdStream::Stderr => Self::Stderr,
        }
    }
}

/// What was counted while lines were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Physical lines.
    pub(crate) lines: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Lines without the form of their file.
    pub(crate) malformed: u64,
    /// Lines beyond the bound.
    pub(crate) cut: u64,
}

/// Where records go.
pub(crate) struct Sink<'a> {
    /// The batch that is being filled.
    pub(crate) batch: &'a mut Batch,
    /// Writes lines into it.
    pub(crate) writer: &'a mut LineWriter,
    /// For what docker escaped.
    pub(crate) buffer: &'a mut Vec<u8>,
    /// When the lines arrived.
    pub(crate) observed: Timestamp,
    /// What of the source is durable already.
    pub(crate) acked: &'a RangeSet,
    /// What was counted.
    pub(crate) counts: &'a mut Counts,
    /// The parts of lines that lie in several files, each from the oldest to the youngest.
    pub(crate) spanning: &'a mut Vec<Parts>,
}

/// Makes records of one source.
#[derive(Debug)]
pub(crate) struct Assembler {
    source: SourceId,
    form: Form,
    joiners: [Joiner; Voice::COUNT],
    /// Where in other files the line that is held began, from the oldest piece to the youngest.
    carried: [Parts; Voice::COUNT],
    /// Inside a physical line that is longer than what is read at once.
    long: Option<Long>,
    last: Option<Timestamp>,
    recoder: Recoder,
}

/// Where a line lies, or its beginning at the ends of the files before.
pub(crate) type Parts = Vec<(SourceId, SeqRange)>;

/// What a rotated file holds at its end, to go on in the next file.
#[derive(Debug)]
pub(crate) struct Held {
    voice: Voice,
    timestamp: Timestamp,
    content: Vec<u8>,
    carried: Parts,
}

impl Held {
    /// Where it lies.
    pub(crate) fn parts(&self) -> &[(SourceId, SeqRange)] {
        &self.carried
    }
}

#[derive(Clone, Copy, Debug)]
struct Long {
    voice: Voice,
    timestamp: Timestamp,
    /// Whether the container's line goes on after this physical one.
    partial: bool,
}

impl Assembler {
    /// For a source of this form; longer lines than `line_bytes_max` are cut.
    pub(crate) fn new(source: SourceId, form: Form, line_bytes_max: usize) -> Self {
        Self {
            source,
            form,
            joiners: [(); Voice::COUNT].map(|()| Joiner::new(line_bytes_max)),
            carried: [const { Vec::new() }; Voice::COUNT],
            long: None,
            last: None,
            recoder: Recoder::default(),
        }
    }

    /// Whether pieces of a line wait for their rest.
    pub(crate) fn holds(&self) -> bool {
        self.joiners.iter().any(|joiner| joiner.held_from().is_some())
    }

    /// What it holds of other files: where the lines began that go on here.
    pub(crate) fn carried(&self) -> impl Iterator<Item = (SourceId, SeqRange)> + '_ {
        self.carried.iter().flatten().copied()
    }

    /// Takes the whole lines of `bytes`, which lie at `offset`; says how many bytes that were. Where `full` (there
    /// may be more than was read at once) and no line ends, it takes all as a part of a long line.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        offset: u64,
        full: bool,
        speaker: &mut Speaker,
        sink: &mut Sink<'_>,
    ) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let start = offset + at as u64;
            let line_end = match self.form {
                Form::Encoded(charset) => charset.line_end(rest, start),
                _ => memchr::memchr(b'\n', rest).map(|end| (end, end + 1)),
            };
            match line_end {
                Some((end, next)) => {
                    let range = SeqRange::new(start, start + next as u64);
                    self.line(&rest[..end], range, speaker, sink);
                    at += next;
                }
                None if self.long.is_some() || (full && at == 0) => {
                    // Half a unit may be the beginning of the line's end.
                    let end = self.form.unit_start(start + rest.len() as u64);
                    if end <= start {
                        break;
                    }
                    let part = &rest[..(end - start) as usize];
                    self.long_part(part, SeqRange::new(start, end), speaker, sink);
                    at += part.len();
                }
                None => break,
            }
        }
        sink.counts.bytes += at as u64;
        at
    }

    /// Takes what is left at the end of a file that nobody writes any more: a line without its newline.
    pub(crate) fn take_rest(
        &mut self,
        bytes: &[u8],
        offset: u64,
        speaker: &mut Speaker,
        sink: &mut Sink<'_>,
    ) {
        if bytes.is_empty() && self.long.is_none() {
            return;
        }
        sink.counts.bytes += bytes.len() as u64;
        self.line(bytes, SeqRange::new(offset, offset + bytes.len() as u64), speaker, sink);
    }

    /// Gives out what is held; its rest will not come.
    pub(crate) fn flush(&mut self, speaker: &mut Speaker, sink: &mut Sink<'_>) {
        for voice in Voice::ALL {
            if let Some(joined) = self.joiners[voice as usize].flush() {
                self.emit(voice, &joined, speaker, sink);
            }
        }
    }

    /// Takes out what is held, for the file that goes on with it.
    pub(crate) fn take_held(&mut self) -> Vec<Held> {
        let mut held = Vec::new();
        for voice in Voice::ALL {
            let Some(joined) = self.joiners[voice as usize].flush() else { continue };
            // A line may lie in more than two files, where these are small.
            let mut carried = std::mem::take(&mut self.carried[voice as usize]);
            let here = joined.covered.iter().chain([&joined.range]).filter(|range| !range.is_empty());
            carried.extend(here.map(|range| (self.source, *range)));
            held.push(Held {
                voice,
                timestamp: joined.timestamp,
                content: joined.content.into_owned(),
                carried,
            });
        }
        held
    }

    /// Takes over what the file before held at its end.
    pub(crate) fn resume(&mut self, held: Vec<Held>) {
        for Held { voice, timestamp, content, carried } in held {
            let piece = Piece { timestamp, content: &content, range: SeqRange::new(0, 0), partial: true };
            let whole = self.joiners[voice as usize].push(&piece);
            debug_assert!(whole.is_none(), "a partial piece completes nothing");
            self.carried[voice as usize] = carried;
        }
    }

    fn line(&mut self, line: &[u8], range: SeqRange, speaker: &mut Speaker, sink: &mut Sink<'_>) {
        sink.counts.lines += 1;
        if let Form::Encoded(charset) = self.form {
            return self.encoded_line(charset, line, range, speaker, sink);
        }
        if let Some(Long { voice, timestamp, partial }) = self.long.take() {
            let content = if self.form == Form::Plain { without_return(line) } else { line };
            return self.push(voice, &Piece { timestamp, content, range, partial }, speaker, sink);
        }
        match self.form {
            // Encoded lines are on a way of their own.
            Form::Plain | Form::Encoded(_) => {
                let content = without_return(without_mark(line, range));
                let piece = Piece { timestamp: sink.observed, content, range, partial: false };
                self.push(Voice::Unknown, &piece, speaker, sink);
            }
            Form::Cri => match cri::parse(line) {
                Ok(cri::CriLine { timestamp, stream, partial, content }) => {
                    self.last = Some(timestamp);
                    let piece = Piece { timestamp, content, range, partial };
                    self.push(Voice::of(stream), &piece, speaker, sink);
                }
                Err(_) => self.malformed(line, range, speaker, sink),
            },
            Form::Docker => self.docker_line(line, range, speaker, sink),
        }
    }

    fn encoded_line(
        &mut self,
        charset: Charset,
        line: &[u8],
        range: SeqRange,
        speaker: &mut Speaker,
        sink: &mut Sink<'_>,
    ) {
        let mut recoder = std::mem::take(&mut self.recoder);
        let content = without_return(recoder.recode(charset, line, range.start == 0, true));
        let timestamp = self.long.take().map_or(sink.observed, |long| long.timestamp);
        self.push(Voice::Unknown, &Piece { timestamp, content, range, partial: false }, speaker, sink);
        self.recoder = recoder;
    }

    fn docker_line(&mut self, line: &[u8], range: SeqRange, speaker: &mut Speaker, sink: &mut Sink<'_>) {
        // Taken out for the time being: the message may lie in it.
        let mut buffer = std::mem::take(sink.buffer);
        match docker::parse(line, &mut buffer) {
            Ok(docker::DockerLine { timestamp, stream, partial, content, attrs }) => {
                self.last = Some(timestamp);
                speaker.set_attrs(attrs);
                let piece = Piece { timestamp, content, range, partial };
                self.push(Voice::of(stream), &piece, speaker, sink);
            }
            Err(_) => self.malformed(line, range, speaker, sink),
        }
        *sink.buffer = buffer;
    }

    fn malformed(&mut self, line: &[u8], range: SeqRange, speaker: &mut Speaker, sink: &mut Sink<'_>) {
        if line.is_empty() {
            return sink.batch.cover(self.source, range);
        }
        let timestamp = self.last.unwrap_or(sink.observed);
        let piece = Piece { timestamp, content: line, range, partial: false };
        self.push(Voice::Unknown, &piece, speaker, sink);
    }

    /// A part of a line whose end is not there yet: its first part has the header, further ones are content.
    fn long_part(&mut self, bytes: &[u8], range: SeqRange, speaker: &mut Speaker, sink: &mut Sink<'_>) {
        let mut recoder = std::mem::take(&mut self.recoder);
        let bytes = match self.form {
            Form::Encoded(charset) => recoder.recode(charset, bytes, range.start == 0, false),
            _ => bytes,
        };
        let (content, long) = match (self.long, self.form) {
            (Some(long), _) => (bytes, long),
            (None, Form::Cri) => match cri::parse(bytes) {
                Ok(line) => {
                    let voice = Voice::of(line.stream);
                    self.last = Some(line.timestamp);
                    (line.content, Long { voice, timestamp: line.timestamp, partial: line.partial })
                }
                Err(_) => (bytes, self.formless(sink)),
            },
            // Docker's own lines are far shorter than what is read at once.
            (None, Form::Docker) => (bytes, self.formless(sink)),
            (None, Form::Plain | Form::Encoded(_)) => {
                (bytes, Long { voice: Voice::Unknown, timestamp: sink.observed, partial: false })
            }
        };
        self.long = Some(long);
        let piece = Piece { timestamp: long.timestamp, content, range, partial: true };
        self.push(long.voice, &piece, speaker, sink);
        self.recoder = recoder;
    }

    fn formless(&self, sink: &Sink<'_>) -> Long {
        Long { voice: Voice::Unknown, timestamp: self.last.unwrap_or(sink.observed), partial: false }
    }

    fn push(&mut self, voice: Voice, piece: &Piece<'_>, speaker: &mut Speaker, sink: &mut Sink<'_>) {
        // Docker gives all pieces of a line the time of the first one. What was carried over from another file and has
        // another time is another line, whose rest was rotated away.
        let held_since = self.joiners[voice as usize].held_since();
        let other = held_since.is_some_and(|since| since != piece.timestamp);
        if self.form == Form::Docker && other && !self.carried[voice as usize].is_empty() {
            self.flush(speaker, sink);
        }
        if let Some(joined) = self.joiners[voice as usize].push(piece) {
            self.emit(voice, &joined, speaker, sink);
        }
    }

    fn emit(&mut self, voice: Voice, line: &Joined<'_>, speaker: &mut Speaker, sink: &mut Sink<'_>) {
        let mut carried = std::mem::take(&mut self.carried[voice as usize]);
        // Mostly all of it is behind what is durable.
        let acked_end = sink.acked.end();
        let durable =
            |range: &SeqRange| (range.end <= acked_end || range.is_empty()) && sink.acked.contains(*range);
        if carried.is_empty() && durable(&line.range) && line.covered.iter().all(durable) {
            return;
        }
        let mut source = self.source;
        let alone;
        let mut line = line;
        // Nothing of it lies in this file, so it is a record of a file before.
        if line.range.is_empty()
            && let Some((before, range)) = carried.pop()
        {
            source = before;
            alone = Joined { range, covered: Vec::new(), ..line.clone() };
            line = &alone;
        }
        if !carried.is_empty() {
            let here = (source, line.range);
            sink.spanning.push(carried.iter().copied().chain([here]).collect());
        }
        carried.into_iter().for_each(|(before, range)| sink.batch.cover(before, range));
        if !speaker.wants(voice) {
            let ranges = line.covered.iter().chain([&line.range]);
            return ranges.for_each(|range| sink.batch.cover(source, *range));
        }
        let malformed = voice == Voice::Unknown && matches!(self.form, Form::Cri | Form::Docker);
        sink.counts.malformed += u64::from(malformed);
        sink.counts.cut += u64::from(line.cut.is_some());
        let stream = sink.batch.add_stream(speaker.stream(voice));
        let head = LineHead { source, observed: sink.observed, stream, malformed };
        sink.writer.write(sink.batch, head, line);
    }
}

/// Without the byte order mark of UTF-8 with which a file may begin.
fn without_mark(line: &[u8], range: SeqRange) -> &[u8] {
    if range.start == 0 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}
