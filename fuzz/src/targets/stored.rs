//! Decoders of files: of ours, and of the journal.

use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use sawyer_codec::journal::record::EntryWriter;
use sawyer_codec::journal::{Entry, Journal};
use sawyer_disk::frames::{Check, FrameFormat, scan};
use sawyer_disk::{Disk, SimDisk, SimSettings};
use sawyer_model::{Batch, Covered, Error, RecordId, SeqRange, SourceId, Stream, Timestamp};
use sawyer_query::search::{Budget, SearchStats, Selection};
use sawyer_query::{Context, FieldPattern, FieldTest, Predicate};
use sawyer_segment::{
    EncodeSettings, Lines, Rows, Segment, Unreadable, decode_batch, decode_batch_unverified, encode_batch,
    encode_batch_columns, encode_batch_columns_up_to, merge,
};
use sawyer_telemetry::{Answer, Books, Parts, Question, SourceFates, Taken};

use super::golden;
use crate::Target;

/// Entries that are read of one journal; a chain that leads in a circle has no end.
const ENTRIES_MAX: usize = 1000;

/// A journal of systemd.
pub(super) const JOURNAL: Target = Target {
    name: "journal",
    run: |input| {
        let Ok(mut journal) = Journal::open(input.to_vec()) else { return };
        let (mut position, mut entry) = (journal.start(), Entry::default());
        let (mut batch, mut writer) = (Batch::new(), EntryWriter::default());
        let stream = batch.add_stream(&Arc::new(Stream::default()));
        for _ in 0..ENTRIES_MAX {
            match journal.next(&mut position, &mut entry) {
                Ok(true) => writer.write(&mut batch, &entry, SourceId(1), stream, Timestamp::EPOCH),
                Ok(false) => break,
                Err(_) => {}
            }
            if batch.text_bytes() > 64 << 20 {
                break;
            }
        }
        let _ = journal.after(1);
    },
    seeds: || {
        let mut seeds = vec![b"LPKSHHRH".to_vec()];
        if let Some(path) = sawyer_testkit::shared("data/generated-here/journal-252-zstd-keyed.journal.gz")
            && let Ok(packed) = std::fs::read(path)
        {
            let mut bytes = Vec::new();
            let unpacked = flate2::read::GzDecoder::new(&packed[..]).take(1 << 20).read_to_end(&mut bytes);
            seeds.extend(unpacked.ok().map(|_| bytes));
        }
        seeds
    },
    words: &["LPKSHHRH", "MESSAGE=", "PRIORITY=", "_SYSTEMD_UNIT="],
};

/// What is asked of the texts of a segment: by their letters, by words, and by an automaton.
static ASKED: LazyLock<[Predicate; 3]> = LazyLock::new(|| {
    let regex = FieldTest::regex(r"e\w*\d").expect("it is an expression");
    let words = FieldTest::words("re", &Context::default());
    [FieldTest::contains("re", true), words, regex]
        .map(|test| Predicate::field(FieldPattern::name("message"), test))
});

/// Rows that are merged at most; a few bytes can say that there are millions, each the same.
const MERGED_ROWS_MAX: u64 = 100_000;

/// Single records, by their ids and by where they lie.
fn ask_for_records(segment: &Segment, block: usize) {
    let mut rows = Rows::none(segment.blocks()[block].rows);
    (0..rows.len()).step_by(100).for_each(|row| rows.insert(row));
    for position in segment.positions(block, &rows).unwrap_or_default().into_iter().take(3) {
        let id = RecordId { source: position.source, start: position.start };
        if let Ok(Some((block, row))) = segment.find(id)
            && let Ok(record) = segment.record(block, row)
        {
            assert_eq!((record.source, record.range.start), (id.source, id.start), "what was asked for");
        }
    }
}

/// Counts that are made without looking at every row.
fn ask_for_counts(segment: &Segment, block: usize) {
    let info = &segment.blocks()[block];
    let all = Rows::all(info.rows);
    for field in ["message", "level", "service", "n"] {
        for middle in [0, info.rows / 2] {
            let ranges = [0..middle, middle..info.rows];
            let _ = segment.count_codes(block, &all, field, &ranges, &mut |_, _| {});
        }
    }
    let _ = segment.timestamps_of(block, &all);
    let (first, last) = (info.timestamps.start().nanos(), info.timestamps.end().nanos());
    let edges = [first, first.midpoint(last), last.saturating_add(1)].map(Timestamp::from_nanos);
    let mut end = 0;
    let mut next = |_: usize, rows: Range<usize>| {
        assert_eq!(rows.start, end, "one behind the other");
        end = rows.end;
    };
    let _ = segment.bucket_rows(block, &edges, &mut next);
}

/// Why a merge failed: not looked at.
struct Failed;

impl From<Error> for Failed {
    fn from(_: Error) -> Self {
        Self
    }
}

impl From<Unreadable> for Failed {
    fn from(_: Unreadable) -> Self {
        Self
    }
}

fn merge_with_itself(segment: &Segment) {
    let mut bytes = Vec::new();
    let mut sink = |part: &[u8]| {
        bytes.extend_from_slice(part);
        Ok::<(), Failed>(())
    };
    if merge(&[segment, segment], &EncodeSettings::default(), &mut sink).is_ok() {
        let merged = Segment::open(Arc::new(bytes)).expect("what was written is opened");
        assert_eq!(merged.rows(), 2 * segment.rows(), "no row is lost");
    }
}

/// A segment; checksums are not compared, so that what lies behind them is reached.
pub(super) const SEGMENT: Target = Target {
    name: "segment",
    run: |input| {
        let Ok(segment) = Segment::open_unverified(Arc::new(input.to_vec())) else { return };
        for block in 0..segment.blocks().len().min(16) {
            let _ = segment.fields(block);
            let _ = segment.timestamps(block);
            let _ = segment.observed(block);
            // A few rows, whose texts are kept, then all.
            let mut rows = Rows::none(segment.blocks()[block].rows);
            (0..rows.len()).step_by(50).for_each(|row| rows.insert(row));
            let _ = segment.fetch(block, &rows, &mut Batch::new());
            let _ = segment.lines(block, &rows, None, true, &mut Lines::default());
            for predicate in &*ASKED {
                let (start, end) = (Timestamp::MIN, Timestamp::MAX);
                let selection = Selection { predicate: predicate.clone(), start, end };
                let _ = segment.scan(block, &selection, &Budget::unlimited(), &mut SearchStats::default());
            }
            let _ = segment.decode_block(block);
            ask_for_records(&segment, block);
            ask_for_counts(&segment, block);
        }
        let _ = segment.column_bytes();
        if segment.rows() <= MERGED_ROWS_MAX {
            merge_with_itself(&segment);
        }
    },
    seeds: || {
        let names = ["v1", "v2", "v3", "shapes-v3", "v4", "shapes-v4", "squeezed-v1", "shapes-squeezed-v1"];
        let read = |name: &str| golden(&format!("segment/tests/golden/segment-{name}.bin"));
        // What is squeezed is also tried without its chunks, where changes reach further.
        let inside = |bytes: &Vec<u8>| Segment::inside(Arc::new(bytes.clone())).ok();
        let seeds: Vec<Vec<u8>> = names.into_iter().map(read).collect();
        let insides: Vec<Vec<u8>> = seeds.iter().filter_map(inside).collect();
        seeds.into_iter().chain(insides).collect()
    },
    words: &["message", "level"],
};

/// A batch on the wire, in a buffer, or in the write-ahead log.
pub(super) const BATCH: Target = Target {
    name: "batch",
    run: |input| {
        let _ = decode_batch(input);
        if let Ok(batch) = decode_batch_unverified(input) {
            let older = encode_batch_columns_up_to(&batch, 3);
            for again in [encode_batch(&batch), encode_batch_columns(&batch), older] {
                let same = decode_batch(&again).expect("what was written is read");
                assert_eq!(same.len(), batch.len(), "no record is lost");
            }
        }
    },
    seeds: || {
        let files = [
            "batch-v1",
            "batch-v2",
            "batch-by-columns",
            "batch-by-part",
            "batch-with-lines",
            "batch-zstd-v1",
            "batch-zstd-v2",
        ];
        files.map(|name| golden(&format!("segment/tests/golden/{name}.bin"))).into()
    },
    words: &["message"],
};

const FORMAT: FrameFormat = FrameFormat { magic: *b"SAWYRBUF", version: 2, marked_since: Some(2) };

/// A file of frames: the write-ahead log, buffers, acknowledgements.
pub(super) const FRAMES: Target = Target {
    name: "frames",
    run: |input| {
        let disk = SimDisk::new(1, SimSettings::default());
        let path = Path::new("file");
        let written = disk.create(path).and_then(|mut file| file.append(input).map(drop));
        written.expect("the simulated disk has room");
        let file = disk.open_read(path).expect("it is there");
        for check in [Check::All, Check::LastGroup] {
            let Ok(scanned) = scan(&*file, &FORMAT, 0, check) else { continue };
            for frame in &scanned.frames {
                assert!(frame.end() <= input.len() as u64, "a frame lies in its file");
                let _ = frame.read(&*file);
            }
        }
    },
    seeds: || {
        let files = ["v1/urgent", "v1/normal", "v1/dead", "v1-books/acks", "v2/normal"];
        let ending = |folder: &str| if folder.ends_with("acks") { "ack" } else { "buf" };
        let path = |folder| format!("buffer/tests/golden/{folder}/{:020}.{}", 0, ending(folder));
        files
            .map(|folder| golden(&path(folder)))
            .into_iter()
            .chain([golden("store/tests/golden/wal-v1"), golden("store/tests/golden/wal-v2")])
            .collect()
    },
    words: &["SAWYRBUF", "SAWYRACK"],
};

/// The books of an input, and what is told of its sources.
pub(super) const LEDGER: Target = Target {
    name: "ledger",
    run: |input| {
        if let Ok(books) = Books::decode(&mut &input[..]) {
            let mut out = Vec::new();
            books.encode(&mut out);
            assert_eq!(Books::decode(&mut &out[..]), Ok(books), "what is written is read again");
        }
        if let Ok(fates) = SourceFates::decode(&mut &input[..]) {
            let mut out = Vec::new();
            fates.encode(&mut out);
            assert_eq!(SourceFates::decode(&mut &out[..]), Ok(fates), "what is written is read again");
        }
    },
    seeds: || {
        [("v2", 181), ("v4", 502)]
            .map(|(version, at)| golden(&format!("input/tests/golden/offsets-{version}.bin")).split_off(at))
            .into()
    },
    words: &["store", "noise"],
};

/// What is asked and answered at checkpoints, and what is kept between them.
pub(super) const CHECKPOINT: Target = Target {
    name: "checkpoint",
    run: |input| {
        let now = Timestamp::from_secs(1_795_176_000);
        if let Ok(question) = Question::decode(input, now) {
            assert_eq!(Question::decode(&question.encode(now), now), Ok(question));
        }
        if let Ok(answer) = Answer::decode(input) {
            assert_eq!(Answer::encode(answer.as_ref()), input, "there is one way to write it");
        }
        if let Ok(mut taken) = Taken::decode(input) {
            let mut out = Vec::new();
            taken.encode(&mut out);
            assert_eq!(Taken::decode(&out).as_ref(), Ok(&taken), "what is written is read again");
            taken.start();
            let asked = taken.next();
            let lacking =
                asked.iter().map(|claim| Parts { source: claim.source, ranges: claim.ranges.clone() });
            taken.answered(&asked, &Answer { lacking: lacking.collect(), ..Answer::default() }, now);
        }
    },
    seeds: || {
        let now = Timestamp::from_secs(1_795_176_000);
        let (source, range) = (SourceId(7), SeqRange::new(5, 9));
        let mut taken = Taken::default();
        taken.note(&[Covered { source, range }], now);
        taken.start();
        let claims = taken.next();
        let lacking = vec![Parts { source, ranges: vec![SeqRange::new(6, 7)] }];
        let answer = Answer { lacking, ..Answer::default() };
        taken.answered(&claims, &answer, now);
        taken.note(&[Covered { source, range }], now);
        let mut kept = Vec::new();
        taken.encode(&mut kept);
        let (agent, output) = ("node".to_owned(), "out".to_owned());
        let question = Question { agent, output, claims, sums: taken.sums(), may_wait: false, hops: 1 };
        vec![kept, question.encode(now), Answer::encode(Some(&answer)), Answer::encode(None)]
    },
    words: &["\x01\0\0\0\0\0\0\0", "\x09\0\0\0\0\0\0\0"],
};
