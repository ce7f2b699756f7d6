//! Looks at records and lets go of them.
//!
//! Invariant: the checksum of the same records is the same, in whatever order and in whatever batches they come.

use sawyer_model::{Batch, RecordRef, Stream, Timestamp, ValueRef};
use sawyer_pipeline::{Context, Output, QueueReceiver, Running, Stop};
use sawyer_telemetry::Gauge;

use super::settings::NullSettings;
use crate::report::Report;

pub(super) struct NullOutput {
    checksum: bool,
    report: Report,
    sum: Gauge,
    sums: Sums,
}

impl NullOutput {
    pub(super) fn new(settings: &NullSettings, context: &Context) -> Self {
        let help = "Sum over all fields of the records that were let go of, by output";
        let sum = context.metrics.gauge("sawyer_output_null_checksum", help, &[("output", &context.name)]);
        Self { checksum: settings.checksum, report: Report::new(context), sum, sums: Sums::default() }
    }

    fn look_at(&mut self, batch: &Batch) {
        if self.checksum {
            self.sum.inc_by(self.sums.batch(batch).cast_signed());
        }
        self.report.delivered(batch.len(), batch.text_bytes());
    }
}

impl Output for NullOutput {
    fn run(mut self: Box<Self>, mut from: QueueReceiver, stop: Stop) -> Running {
        Box::pin(async move {
            let look = async {
                while let Some(queued) = from.next().await {
                    self.look_at(&queued.transfer.batch);
                    let (transfer, room) = queued.into_parts();
                    transfer.ack.durable();
                    drop(room);
                }
            };
            tokio::select! {
                biased;
                () = stop.stopped() => {}
                () = look => {}
            }
            Ok(())
        })
    }
}

/// Adds up records. Keeps buffers.
#[derive(Default)]
pub(super) struct Sums {
    /// Of the names of a batch, by number; 0 for those not needed yet.
    names: Vec<u64>,
    streams: Vec<u64>,
}

impl Sums {
    pub(super) fn batch(&mut self, batch: &Batch) -> u64 {
        self.names.clear();
        self.names.resize(batch.name_count(), 0);
        self.streams.clear();
        self.streams.extend(batch.streams().iter().map(|stream| of_stream(stream)));
        batch.iter().fold(0, |sum: u64, record| sum.wrapping_add(self.record(batch, record)))
    }

    fn record(&mut self, batch: &Batch, record: RecordRef<'_>) -> u64 {
        let mut sum = of_time(record.timestamp()) ^ record.range().start;
        for (id, value) in record.own_fields_by_id() {
            let name = &mut self.names[id.index()];
            if *name == 0 {
                *name = of_text(batch.name(id));
            }
            sum = sum.wrapping_add(mix(*name ^ of_value(value)));
        }
        mix(sum ^ self.streams[record.stream_index()])
    }
}

fn of_stream(stream: &Stream) -> u64 {
    let fields = stream.fields().iter();
    fields.fold(0, |sum: u64, (name, value)| sum.wrapping_add(mix(of_text(name) ^ of_value(value.as_ref()))))
}

#[inline]
fn of_value(value: ValueRef<'_>) -> u64 {
    match value {
        ValueRef::Str(text) => of_text(text),
        other => of_other(other),
    }
}

fn of_other(value: ValueRef<'_>) -> u64 {
    match value {
        ValueRef::Null => 1,
        ValueRef::Bool(value) => 2 + u64::from(value),
        ValueRef::Int(value) => mix(value.cast_unsigned()),
        ValueRef::Float(value) => mix(value.to_bits()),
        ValueRef::Timestamp(time) => of_time(time),
        ValueRef::Str(text) | ValueRef::Json(text) => of_text(text),
        ValueRef::List(list) => {
            list.iter().fold(4, |sum: u64, value| sum.rotate_left(9).wrapping_add(of_value(value)))
        }
    }
}

#[inline]
fn of_time(time: Timestamp) -> u64 {
    mix(time.nanos().cast_unsigned())
}

/// Every byte counts, and its place; far from a good hash, and cheap.
#[inline]
fn of_text(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(bytes.len() as u64, |sum: u64, word| {
        sum.rotate_left(11).wrapping_add(u64::from_le_bytes(*word).wrapping_mul(FACTOR))
    });
    // What is left is less than a word: the last word of the text, or the few bytes that there are.
    let last = match bytes.last_chunk::<8>() {
        Some(word) => u64::from_le_bytes(*word),
        None => few(rest),
    };
    sum.rotate_left(11).wrapping_add(last.wrapping_mul(FACTOR))
}

/// Up to seven bytes, each in its place.
#[inline]
fn few(bytes: &[u8]) -> u64 {
    let half = |bytes: [u8; 4]| u64::from(u32::from_le_bytes(bytes));
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>(), bytes) {
        (Some(first), Some(last), _) => half(*first) << 32 | half(*last),
        (_, _, [first, .., last]) => {
            u64::from(*first) << 16 | u64::from(bytes[bytes.len() / 2]) << 8 | u64::from(*last)
        }
        (_, _, [one]) => u64::from(*one),
        _ => 0,
    }
}

/// 2^64 divided by the golden ratio: spreads bits.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_mul(FACTOR);
    bits ^ (bits >> 29)
}
