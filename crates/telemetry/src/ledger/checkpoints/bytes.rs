//! Questions, answers and what is kept between them, as bytes. The tables are in docs/FORMATS.md, section "Checkpoints".
//!
//! Invariant: what decodes was encoded here, whole; any other bytes give an error, not a panic, and take no more memory
//! than a few times their length.

use sawyer_model::{SeqRange, SourceId, Timestamp};

use super::{Answer, Claim, Parts, Question, Sums};

/// Longest name of an agent or an output in bytes; the rest is cut. It has to fit its length.
const NAME_BYTES_MAX: usize = 1024;

/// Bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a checkpoint, found other bytes")]
pub struct CheckpointError;

type Result<T> = std::result::Result<T, CheckpointError>;

impl Question {
    /// Its bytes. Times become ages at `now`, because clocks differ.
    #[must_use]
    pub fn encode(&self, now: Timestamp) -> Vec<u8> {
        let mut out = Vec::new();
        name_to(&self.agent, &mut out);
        name_to(&self.output, &mut out);
        out.extend([u8::from(self.may_wait), self.hops]);
        sums_to(&self.sums, &mut out);
        number_to(self.claims.len() as u64, &mut out);
        for claim in &self.claims {
            let age = u64::try_from(now.since(claim.since).as_nanos()).unwrap_or(u64::MAX);
            number_to(age, &mut out);
            parts_to(claim.source, claim.ranges.iter().copied(), &mut out);
        }
        out
    }

    /// Reads what [`Question::encode`] wrote, at `now`.
    ///
    /// # Errors
    /// If it is something else.
    pub fn decode(mut bytes: &[u8], now: Timestamp) -> Result<Self> {
        let bytes = &mut bytes;
        let (agent, output) = (name(bytes)?, name(bytes)?);
        let [may_wait, hops] = array(bytes)?;
        let sums = sums(bytes)?;
        let mut claims: Vec<Claim> = Vec::new();
        for _ in 0..number(bytes)? {
            let age = std::time::Duration::from_nanos(number(bytes)?);
            let Parts { source, ranges } = parts(bytes)?;
            // A source that is asked for again and again would be answered in full each time.
            if claims.last().is_some_and(|last| last.source >= source) {
                return Err(CheckpointError);
            }
            claims.push(Claim { source, since: now.saturating_sub(age), ranges });
        }
        end(bytes, Self { agent, output, claims, sums, may_wait: flag(may_wait)?, hops })
    }
}

impl Answer {
    /// The bytes of an answer, or of that there is none.
    #[must_use]
    pub fn encode(answer: Option<&Self>) -> Vec<u8> {
        let Some(Self { may_wait, lacking, unknown }) = answer else { return vec![0] };
        let mut out = vec![1, u8::from(*may_wait)];
        for all in [lacking, unknown] {
            number_to(all.len() as u64, &mut out);
            all.iter().for_each(|parts| parts_to(parts.source, parts.ranges.iter().copied(), &mut out));
        }
        out
    }

    /// Reads what [`Answer::encode`] wrote.
    ///
    /// # Errors
    /// If it is something else.
    pub fn decode(mut bytes: &[u8]) -> Result<Option<Self>> {
        let bytes = &mut bytes;
        let [there] = array(bytes)?;
        if !flag(there)? {
            return end(bytes, None);
        }
        let [may_wait] = array(bytes)?;
        let mut all = || (0..number(bytes)?).map(|_| parts(bytes)).collect::<Result<Vec<Parts>>>();
        let (lacking, unknown) = (all()?, all()?);
        end(bytes, Some(Self { may_wait: flag(may_wait)?, lacking, unknown }))
    }
}

/// What was read, if nothing is behind it.
pub(in crate::ledger) fn end<T>(bytes: &[u8], read: T) -> Result<T> {
    if bytes.is_empty() { Ok(read) } else { Err(CheckpointError) }
}

fn flag(byte: u8) -> Result<bool> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(CheckpointError),
    }
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N]> {
    let (read, rest) = bytes.split_first_chunk::<N>().ok_or(CheckpointError)?;
    *bytes = rest;
    Ok(*read)
}

pub(in crate::ledger) fn number_to(number: u64, out: &mut Vec<u8>) {
    out.extend(number.to_le_bytes());
}

pub(in crate::ledger) fn number(bytes: &mut &[u8]) -> Result<u64> {
    array(bytes).map(u64::from_le_bytes)
}

fn name_to(name: &str, out: &mut Vec<u8>) {
    let name = &name[..name.floor_char_boundary(NAME_BYTES_MAX)];
    out.extend((name.len() as u16).to_le_bytes());
    out.extend(name.as_bytes());
}

fn name(bytes: &mut &[u8]) -> Result<String> {
    let length = usize::from(u16::from_le_bytes(array(bytes)?));
    let (name, rest) = bytes.split_at_checked(length).ok_or(CheckpointError)?;
    *bytes = rest;
    String::from_utf8(name.to_vec()).map_err(|_| CheckpointError)
}

pub(in crate::ledger) fn sums_to(sums: &Sums, out: &mut Vec<u8>) {
    let Sums { confirmed, missing, unknown, open } = *sums;
    [confirmed, missing, unknown, open].into_iter().for_each(|sum| number_to(sum, out));
}

pub(in crate::ledger) fn sums(bytes: &mut &[u8]) -> Result<Sums> {
    Ok(Sums {
        confirmed: number(bytes)?,
        missing: number(bytes)?,
        unknown: number(bytes)?,
        open: number(bytes)?,
    })
}

pub(in crate::ledger) fn source(bytes: &mut &[u8]) -> Result<SourceId> {
    Ok(SourceId(u128::from_le_bytes(array(bytes)?)))
}

pub(in crate::ledger) fn range(bytes: &mut &[u8]) -> Result<SeqRange> {
    let (start, end) = (number(bytes)?, number(bytes)?);
    if start < end { Ok(SeqRange { start, end }) } else { Err(CheckpointError) }
}

pub(in crate::ledger) fn range_to(range: SeqRange, out: &mut Vec<u8>) {
    number_to(range.start, out);
    number_to(range.end, out);
}

pub(in crate::ledger) fn parts_to(
    source: SourceId,
    ranges: impl Iterator<Item = SeqRange>,
    out: &mut Vec<u8>,
) {
    out.extend(source.0.to_le_bytes());
    let at = out.len();
    number_to(0, out);
    let mut count = 0_u64;
    for range in ranges {
        range_to(range, out);
        count += 1;
    }
    out[at..at + 8].copy_from_slice(&count.to_le_bytes());
}

/// Ranges are ascending and do not touch, so none is counted twice.
pub(in crate::ledger) fn parts(bytes: &mut &[u8]) -> Result<Parts> {
    let source = source(bytes)?;
    let mut ranges: Vec<SeqRange> = Vec::new();
    for _ in 0..number(bytes)? {
        let next = range(bytes)?;
        if ranges.last().is_some_and(|last| last.end >= next.start) {
            return Err(CheckpointError);
        }
        ranges.push(next);
    }
    Ok(Parts { source, ranges })
}
