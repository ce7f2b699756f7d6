//! The lines of one group so far.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sawyer_codec::text::{base64, from_base64};
use sawyer_model::{
    Ack, Batch, BySource, Claim, Count, NameId, Progress, Record, RecordHead, RecordRef, SeqRange, SourceId,
    Timestamp, ValueRef, Way, names,
};

use super::rule::{Form, StreamRule, others};
use super::{AGE_IN_WAITS_MAX, ALONE_DIVISOR, Bounds, LATE_MIN, LOOK_AGAIN, UNTOLD_MAX};

/// A group that is not given out yet.
#[derive(Debug)]
pub(super) struct Gathered {
    form: Form,
    /// The first line as it came.
    first: Record,
    /// The first line and those after it.
    text: String,
    /// The bytes of the lines, where one of them was not UTF-8.
    bytes: Option<Vec<u8>>,
    lines: u64,
    last: Timestamp,
    ranges: Vec<SeqRange>,
    /// Ranges of lines that came with the transfer that is being worked on.
    fresh: Vec<SeqRange>,
    /// The duties for lines that came with earlier transfers, and where these lines are.
    acks: Vec<(Ack, Vec<SeqRange>)>,
    since: Instant,
    due: Instant,
    /// What the input tells that read its last line.
    progress: Option<Arc<Progress>>,
    /// When it was first found due, though later than it was to be looked at.
    late_since: Option<Instant>,
}

impl Gathered {
    pub(super) fn new(line: RecordRef<'_>, form: Form, bounds: Bounds, now: Instant) -> Self {
        let mut group = Self {
            form,
            first: line.to_record(),
            text: line.message().to_owned(),
            bytes: bytes_of(line),
            lines: 1,
            last: line.timestamp(),
            ranges: Vec::new(),
            fresh: Vec::new(),
            acks: Vec::new(),
            since: now,
            due: now,
            progress: None,
            late_since: None,
        };
        group.note(line, bounds, now);
        group
    }

    /// Takes the line, if it belongs to the group and comes within its bounds; says whether it did.
    pub(super) fn take(
        &mut self,
        line: RecordRef<'_>,
        rule: &StreamRule<'_>,
        bounds: Bounds,
        now: Instant,
    ) -> bool {
        let text = line.message();
        let Some(form) = rule.take(self.form, text) else { return false };
        let late = line.timestamp().since(self.last) > self.patience(bounds)
            || line.timestamp().since(self.first.timestamp) > bounds.wait * AGE_IN_WAITS_MAX;
        let much = self.lines >= bounds.lines_max || self.text.len() + text.len() >= bounds.bytes_max;
        if late || much || !self.is_like(line) {
            return false;
        }
        match (&mut self.bytes, bytes_of(line)) {
            (None, None) => {}
            (Some(bytes), line) => {
                bytes.push(b'\n');
                bytes.extend_from_slice(line.as_deref().unwrap_or(text.as_bytes()));
            }
            (bytes, Some(line)) => *bytes = Some([self.text.as_bytes(), b"\n", &line].concat()),
        }
        self.text.push('\n');
        self.text.push_str(text);
        self.form = form;
        self.lines += 1;
        self.last = line.timestamp();
        self.note(line, bounds, now);
        true
    }

    fn note(&mut self, line: RecordRef<'_>, bounds: Bounds, now: Instant) {
        let range = line.range();
        match self.ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.ranges.push(range),
        }
        self.fresh.push(range);
        self.late_since = None;
        self.due = (now + self.patience(bounds)).min(self.since + bounds.wait * AGE_IN_WAITS_MAX);
    }

    /// How long the next line may take.
    fn patience(&self, bounds: Bounds) -> Duration {
        if self.lines == 1 && !self.form.wants_more() { bounds.wait / ALONE_DIVISOR } else { bounds.wait }
    }

    fn is_like(&self, line: RecordRef<'_>) -> bool {
        if self.first.fields.len() == 1 && line.own_fields_by_id().len() == 1 {
            return true;
        }
        let fields = self.first.fields.iter().map(|(name, value)| (&**name, value.as_ref()));
        others(fields).eq(others(line.own_fields()))
    }

    /// Takes a share in the duty for the lines that came with a transfer.
    pub(super) fn share(&mut self, ack: &Ack, progress: Option<&Arc<Progress>>) {
        if !self.fresh.is_empty() {
            self.progress = progress.cloned();
            self.acks.push((ack.clone(), std::mem::take(&mut self.fresh)));
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.form.is_whole()
    }

    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.text.len() + self.bytes.as_ref().map_or(0, Vec::len)
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Whether nothing came for long enough, and would have come if there were anything: the input has looked, and
    /// was not kept from it by what kept the step from being woken in time. `got` is the last batch of the input.
    pub(super) fn is_due(&mut self, now: Instant, got: impl FnOnce(&Arc<Progress>) -> u64) -> bool {
        if now < self.due {
            return false;
        }
        if now >= self.due + UNTOLD_MAX {
            return true;
        }
        if now > self.due + LATE_MIN && now < *self.late_since.get_or_insert(now) + LOOK_AGAIN {
            return false;
        }
        let progress = self.progress.as_ref();
        // What groups keep from being acknowledged may be all that the input waits for.
        progress.is_none_or(|progress| {
            progress.is_stalled(now) || progress.is_silent(self.first.source, self.due, got(progress))
        })
    }

    pub(super) fn source(&self) -> SourceId {
        self.first.source
    }

    pub(super) fn ranges(&self) -> &[SeqRange] {
        &self.ranges
    }

    pub(super) fn fresh(&self) -> &[SeqRange] {
        &self.fresh
    }

    /// The lines that came with the transfer that is being worked on.
    pub(super) fn fresh_count(&self) -> Count {
        let bytes = self.fresh.iter().map(|range| range.len()).sum();
        Count::new(self.fresh.len() as u64, bytes)
    }

    /// The way that its lines came by.
    pub(super) fn way(&self) -> Option<&Arc<Way>> {
        self.acks.first().and_then(|(ack, _)| ack.way())
    }

    /// Groups that are given out together leave in this order.
    pub(super) fn order(&self) -> (Timestamp, SourceId, u64) {
        (self.first.timestamp, self.first.source, self.first.range.start)
    }

    /// Adds the record to a batch, and what its fresh lines have that is not the record's own to `joined`; gives the duties of
    /// the other lines, and what each has of the record.
    pub(super) fn write(mut self, batch: &mut Batch, joined: &mut BySource) -> Vec<(Ack, Claim)> {
        let Record { timestamp, observed, source, .. } = self.first;
        let range = self.ranges.pop().expect("a group has a line");
        let stream = batch.add_stream(&self.first.stream);
        let mut writer = batch.begin(RecordHead { timestamp, observed, source, range }, stream);
        let fields = self.first.fields.iter().map(|(name, value)| (&**name, value.as_ref()));
        writer.field_by_id(NameId::MESSAGE, ValueRef::Str(&self.text));
        if let Some(bytes) = &self.bytes {
            writer.field_by_id(NameId::MARK, ValueRef::Str(names::MARK_INVALID_UTF8));
            let mut buffer = String::new();
            writer.field(names::ORIGINAL_BASE64, ValueRef::Str(base64(bytes, &mut buffer)));
        }
        for (name, value) in others(fields) {
            writer.field(name, value);
        }
        let (beside, _) = apart(&self.fresh, range);
        joined.add(source, beside);
        let claim = |(mut ack, lines): (Ack, Vec<SeqRange>)| {
            let (beside, own) = apart(&lines, range);
            ack.joins(&BySource::one(source, beside));
            let records = u64::from(lines.last().is_some_and(|last| last.end == range.end));
            (ack, Claim { count: Count::new(records, own.len()), held: Some((source, own)) })
        };
        self.acks.into_iter().map(claim).collect()
    }
}

/// What lines that follow each other have that is not the own of a record with this range, and what is. The record is counted
/// with its last line.
fn apart(lines: &[SeqRange], record: SeqRange) -> (Count, SeqRange) {
    let is_own = |line: &&SeqRange| record.start <= line.start && line.end <= record.end;
    let mut own = lines.iter().filter(is_own);
    let own = own.next().map_or(SeqRange::new(record.end, record.end), |first| {
        SeqRange::new(first.start, own.next_back().map_or(first.end, |last| last.end))
    });
    let has_last = lines.last().is_some_and(|last| last.end == record.end);
    let bytes: u64 = lines.iter().map(|line| line.len()).sum();
    (Count::new(lines.len() as u64 - u64::from(has_last), bytes - own.len()), own)
}

/// The bytes of a line that was not UTF-8.
fn bytes_of(line: RecordRef<'_>) -> Option<Vec<u8>> {
    if line.own_fields_by_id().len() == 1 {
        return None;
    }
    let text = line.own_fields().find(|(name, _)| *name == names::ORIGINAL_BASE64)?.1;
    Some(from_base64(text.as_str()?).unwrap_or_else(|| line.message().as_bytes().to_vec()))
}
