//! What producers put into a record of a Kinesis data stream: records of any program, several of them as Amazon's producer
//! library packs them, or those of CloudWatch Logs.
//!
//! Source: "Aggregation format" of the Kinesis Producer Library, and "Subscription filters" of CloudWatch Logs.
//! Owns: records within records, the names by which they are known.
//! Does not own: what is in them (`firehose`), how they are asked for (`input`).
//! Invariant: a record has the same name whoever reads it and however often. What looks packed and is not is kept as it is.

use sawyer_model::{Timestamp, ValueRef};

use crate::fields::FieldSink;
use crate::firehose;
use crate::posted::Posted;
use crate::protobuf::{self, Wire};
use crate::pushed::{Intake, Name, Refused};

/// How a record begins in which the producer library has packed several.
const PACKED: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];

/// Bytes of the checksum (MD5) at the end of such a record.
const CHECKSUM_BYTES: usize = 16;

/// The field of a packed record that holds one, and the field of that with its data.
const RECORD: u32 = 3;
const DATA: u32 = 3;

/// Where a record was.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The stream.
    pub stream: &'a str,
    /// Its shard.
    pub shard: &'a str,
    /// The record's number in it.
    pub sequence: &'a str,
    /// When it came there: the time of what has none of its own.
    pub arrived: Option<Timestamp>,
}

/// Takes a record. `bytes_max` is what all of it may have when it is decompressed; a part that is no whole gzip, or more
/// than that, is kept as it came.
///
/// # Errors
/// If there is more than `intake` takes. What is refused holds back no other part; the first such error is told in the end.
pub fn take(data: &[u8], place: Place<'_>, bytes_max: usize, intake: &mut Intake) -> Result<Posted, Refused> {
    let (mut posted, mut left, mut refused) = (Posted::default(), bytes_max, None);
    intake.set_arrived(place.arrived);
    let packed = unpacked(data);
    let parts = packed.as_deref().unwrap_or(std::slice::from_ref(&data));
    for (at, part) in parts.iter().enumerate() {
        let plain = firehose::unpack(part.to_vec(), left).unwrap_or_else(|_| part.to_vec());
        left = left.saturating_sub(plain.len());
        let id = format!("{}/{at}", place.sequence);
        let name = Name { scope: ["kinesis", place.stream, place.shard], id: &id };
        let with = |intake: &mut Intake| {
            intake.fields().field("aws.kinesis_stream", ValueRef::Str(place.stream));
        };
        let taken = firehose::take(&plain, &[], &with, Some(name), intake, &mut posted);
        refused = refused.or(taken.err());
    }
    refused.map_or(Ok(posted), Err)
}

/// The records that the producer library has packed into one; none if it has not.
fn unpacked(data: &[u8]) -> Option<Vec<&[u8]>> {
    let message = data.strip_prefix(&PACKED)?;
    let message = message.get(..message.len().checked_sub(CHECKSUM_BYTES)?)?;
    let mut records = Vec::new();
    for field in protobuf::Fields::new(message) {
        let (number, wire) = field.ok()?;
        if number != RECORD {
            continue;
        }
        let mut inner = None;
        for field in protobuf::Fields::new(wire.bytes()?) {
            let (number, wire) = field.ok()?;
            if let (DATA, Wire::Bytes(bytes)) = (number, wire) {
                inner = Some(bytes);
            }
        }
        records.push(inner.unwrap_or_default());
    }
    (!records.is_empty()).then_some(records)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pushed::Trust;
    use crate::pushed::tests::{intake, shown};

    const PLACE: Place<'static> = Place { stream: "logs", shard: "shardId-0", sequence: "49", arrived: None };

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut field = vec![number << 3 | 2, bytes.len() as u8];
        field.extend(bytes);
        field
    }

    /// A record with several in it, as the producer library writes them.
    fn packed(records: &[&[u8]]) -> Vec<u8> {
        let mut data = [&PACKED[..], &field(1, b"key")].concat();
        for record in records {
            data.extend(field(3, &[&[8, 0], &field(3, record)[..]].concat()));
        }
        data.extend([7; CHECKSUM_BYTES]);
        data
    }

    fn messages(data: &[u8]) -> Vec<String> {
        let mut intake = intake(Trust::Claimed, &[]);
        take(data, PLACE, 1 << 20, &mut intake).unwrap();
        let shown = shown(intake);
        shown.lines().filter_map(|line| line.trim().strip_prefix("message = ")).map(str::to_owned).collect()
    }

    #[test]
    fn records_that_were_packed_are_taken_apart() {
        assert_eq!(messages(b"one\ntwo"), [r#""one""#, r#""two""#]);
        assert_eq!(messages(&packed(&[b"{\"msg\":\"a\"}", b"b\nc"])), [r#""a""#, r#""b""#, r#""c""#]);
        // Nothing in it that is a record, so it is kept as it is.
        assert!(!messages(&packed(&[])).is_empty());
    }

    #[test]
    fn a_part_that_cannot_be_unpacked_holds_back_no_other() {
        let parts: [&[u8]; 3] = [b"one", b"\x1f\x8bno gzip", b"three"];
        let taken = messages(&packed(&parts));
        assert_eq!((taken.len(), &*taken[0], &*taken[2]), (3, r#""one""#, r#""three""#));
        assert_eq!(messages(b"\x1f\x8bno gzip").len(), 1);
        // All parts share what they may have unpacked: the second is kept as it came.
        let mut zeros = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut zeros, &[b'0'; 700_000]).unwrap();
        let zeros = zeros.finish().unwrap();
        let mut data = [&PACKED[..], &field(1, b"key")].concat();
        for _ in 0..2 {
            let inner = [&[3 << 3 | 2][..], &length(zeros.len()), &zeros].concat();
            data.extend([&[3 << 3 | 2][..], &length(inner.len()), &inner].concat());
        }
        data.extend([7; CHECKSUM_BYTES]);
        let lengths: Vec<usize> = messages(&data).iter().map(String::len).collect();
        let (first, rest) = lengths.split_first().unwrap();
        assert!(
            *first > 700_000 && !rest.is_empty() && rest.iter().all(|length| *length < 100_000),
            "{lengths:?}"
        );
    }

    /// As protobuf has it, in two bytes.
    fn length(bytes: usize) -> [u8; 2] {
        [(bytes & 0x7f) as u8 | 0x80, (bytes >> 7) as u8]
    }

    #[test]
    fn names_are_those_of_places() {
        let names = |place: Place<'_>| {
            let mut intake = intake(Trust::Claimed, &[]);
            take(&packed(&[b"a\nb", b"a\nb"]), place, 1 << 20, &mut intake).unwrap();
            let batch = intake.finish().batch;
            batch.iter().map(sawyer_model::RecordRef::id).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(names(PLACE).len(), 4);
        assert_eq!(names(PLACE), names(PLACE));
        assert!(names(PLACE).is_disjoint(&names(Place { sequence: "50", ..PLACE })));
    }

    #[test]
    fn what_has_no_time_of_its_own_has_that_of_its_coming() {
        let taken = |data: &[u8], arrived: Option<Timestamp>| {
            let mut intake = intake(Trust::Claimed, &[]);
            take(data, Place { arrived, ..PLACE }, 1 << 20, &mut intake).unwrap();
            let batch = intake.finish().batch;
            let record = batch.iter().next().unwrap();
            (record.id(), record.timestamp(), shown_marks(&record))
        };
        let arrived = Timestamp::from_secs(1_000_000_000);
        for data in [&b"text"[..], br#"{"msg":"m"}"#] {
            let (id, time, marks) = taken(data, Some(arrived));
            assert_eq!((time, marks), (arrived, 0), "that it was read late is no fault of any clock");
            assert_eq!(id, taken(data, None).0, "the same name");
        }
        let own = taken(br#"{"msg":"m","timestamp":"2026-11-29T01:02:03Z"}"#, Some(arrived));
        assert_eq!(own.1, Timestamp::from_secs(1_795_914_123));
    }

    fn shown_marks(record: &sawyer_model::RecordRef<'_>) -> usize {
        record.fields().filter(|(name, _)| *name == sawyer_model::names::MARK).count()
    }

    proptest! {
        #[test]
        fn any_data_never_makes_it_panic(mut data in prop::collection::vec(any::<u8>(), 0..80), is_packed: bool) {
            if is_packed {
                data.splice(0..0, PACKED);
            }
            let mut intake = intake(Trust::Claimed, &[]);
            let _ = take(&data, PLACE, 1 << 16, &mut intake);
        }
    }
}
