use proptest::prelude::*;
use sawyer_disk::{RealDisk, SimDisk, SimSettings};
use sawyer_model::{Ack, Batch, BySource, Count, Fate, LeftOut, RecordHead, Way};
use sawyer_telemetry::End;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const SOURCE: SourceId = SourceId(7);

fn disk() -> (tempfile::TempDir, Arc<dyn Disk>) {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::new(folder.path()).unwrap());
    (folder, disk)
}

fn sim(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

fn filled(disk: &Arc<dyn Disk>) -> Offsets {
    let (mut offsets, found) = Offsets::open(disk, NOW).unwrap();
    assert_eq!(found, Found::Nothing);
    let progress = offsets.edit(SOURCE);
    progress.group = "/var/log/pods/a_b_c/d".into();
    progress.inode = (1, 2);
    progress.head = Head::of(b"first line");
    progress.seen = NOW;
    progress.acked.insert(SeqRange::new(0, 100));
    progress.acked.insert(SeqRange::new(200, 300));
    offsets.edit(SourceId(8)).superseded = true;
    offsets
}

#[test]
fn reads_back_what_was_saved() {
    let (_folder, disk) = disk();
    let mut offsets = filled(&disk);
    offsets.save().unwrap();
    let (again, found) = Offsets::open(&disk, NOW).unwrap();
    assert_eq!(found, Found::Sources(2));
    assert_eq!(again.sources, offsets.sources);
    assert_eq!(again.get(SOURCE).unwrap().watermark(), 100);
}

/// The file that version 1 wrote; it stays readable for ever.
#[test]
fn version_1_is_read() {
    let golden = include_bytes!("../../tests/golden/offsets-v1.bin");
    let (_folder, disk) = disk();
    let expected = filled(&disk).sources;
    assert_eq!(format::decode(golden).unwrap(), Contents { sources: expected, ..Contents::default() });
}

fn some_books() -> Books {
    let mut books = Books::default();
    let book = books.outputs.entry("store".into()).or_default();
    (book.read, book.copied) = (Count::new(10, 100), Count::new(10, 100));
    book.end(Fate::Delivered, "", Count::new(15, 150));
    book.end(Fate::Filtered, "noise", Count::new(5, 50));
    books
}

/// The file that version 2 wrote: with books.
#[test]
fn version_2_is_read() {
    let golden = include_bytes!("../../tests/golden/offsets-v2.bin");
    let (_folder, disk) = disk();
    let expected = filled(&disk).sources;
    let contents = Contents { sources: expected, books: some_books(), ..Contents::default() };
    assert_eq!(format::decode(golden).unwrap(), contents);
}

fn some_unread() -> Vec<Unread> {
    let unread = Unread {
        group: "/var/log/pods/a_b_c/d".into(),
        path: "/var/log/pods/a_b_c/d/0.log.20261120-090000.gz".into(),
        inode: (1, 3),
        head: Head::of(b"packed"),
        length: 1000,
        unread: 900,
        gzip: true,
        linked: false,
    };
    let plain = Unread { path: "/var/log/pods/a_b_c/d/0.log".into(), gzip: false, ..unread.clone() };
    vec![plain, unread]
}

/// The file that version 3 wrote: with files that were not read. What was left out before is of other sources.
#[test]
fn version_3_is_read() {
    let golden = include_bytes!("../../tests/golden/offsets-v3.bin");
    let (_folder, disk) = disk();
    let sources = filled(&disk).sources;
    let contents = Contents { sources, books: some_books(), unread: some_unread(), ..Contents::default() };
    assert_eq!(format::decode(golden).unwrap(), contents);
    let (others, over) = contents.fates.others(&contents.books);
    let noise = End { output: "store".into(), fate: Fate::Filtered, rule: "noise".into() };
    assert_eq!((others, over), (vec![(noise, Count::new(5, 50))], Count::default()));
}

/// So many records of ten bytes of each source.
fn records(of: &[(SourceId, u64)]) -> LeftOut {
    let mut batch = Batch::new();
    let stream = batch.add_stream(&Arc::default());
    for (source, at) in of.iter().flat_map(|(source, count)| (0..*count).map(|at| (*source, at))) {
        let range = SeqRange::new(at * 10, at * 10 + 10);
        batch.begin(RecordHead { timestamp: NOW, observed: NOW, source, range }, stream);
    }
    batch.iter().collect()
}

fn some_fates() -> SourceFates {
    let (told, tally) = std::sync::mpsc::channel();
    let count = Count::new(2, 20);
    let ack = Ack::tallied_by_source(move |_, tally| told.send(tally).unwrap());
    let mut ack =
        ack.on(&way("store"), count, 0, &BySource::default()).at_exit("store", count, Fate::Delivered);
    ack.note(Fate::Filtered, &"noise".into(), &records(&[(SOURCE, 2)]));
    ack.durable();
    let mut fates = SourceFates::default();
    fates.book(&tally.recv().unwrap(), |_| true);
    fates
}

/// The file that version 4 writes: with what became of the records of single sources.
#[test]
fn version_4_is_read() {
    let golden = include_bytes!("../../tests/golden/offsets-v4.bin");
    let (_folder, disk) = disk();
    let sources = filled(&disk).sources;
    assert_eq!(format::encode(&sources, &some_books(), &some_fates(), &some_unread()), golden);
    let contents = Contents { sources, books: some_books(), unread: some_unread(), fates: some_fates() };
    assert_eq!(format::decode(golden).unwrap(), contents);
    let linked: Vec<Unread> =
        some_unread().into_iter().map(|unread| Unread { linked: true, ..unread }).collect();
    let written = format::encode(&contents.sources, &some_books(), &some_fates(), &linked);
    assert_eq!(format::decode(&written).unwrap().unread, linked);
}

fn way(output: &str) -> Arc<Way> {
    let outputs = vec![output.into()];
    Arc::new(Way { input: "files".into(), pipeline: "main".into(), outputs, copies: vec![false] })
}

/// What was read and what became of it is saved with the ranges of the same batch, or not at all.
#[test]
fn books_are_kept_with_the_ranges() {
    let way = way("out");
    let (_folder, disk) = disk();
    let (mut offsets, _) = Offsets::open(&disk, NOW).unwrap();
    let ledger = Ledger::default();
    offsets.keep_books(&ledger, "files");
    let (told, tally) = std::sync::mpsc::channel();
    let ack = Ack::tallied_by_source(move |_, tally| told.send(tally).unwrap());
    let beside = BySource::one(SOURCE, Count::new(0, 10));
    let mut ack = ack.on(&way, Count::new(10, 100), 10, &beside);
    ack.note(Fate::Filtered, &"noise".into(), &records(&[(SOURCE, 3), (SourceId(99), 1)]));
    ack.at_exit("out", Count::new(6, 60), Fate::Buffered).durable();
    offsets.edit(SOURCE);
    offsets.sent(SOURCE);
    offsets.book(&tally.recv().unwrap());
    offsets.landed(SOURCE, Some(SeqRange::new(0, 110)));
    offsets.save().unwrap();
    let (mut again, _) = Offsets::open(&disk, NOW).unwrap();
    let after = Ledger::default();
    after.open("files", Books::default());
    again.keep_books(&after, "files");
    assert_eq!(after.of("files"), ledger.of("files"));
    assert_eq!(after.of("files").outputs["out"].read, Count::new(10, 110));
    assert_eq!(again.get(SOURCE).unwrap().watermark(), 110);
    let end = |fate, rule: &str| End { output: "out".into(), fate, rule: rule.into() };
    let (noise, joined) = (end(Fate::Filtered, "noise"), end(Fate::Joined, ""));
    let left_out = [(noise.clone(), Count::new(3, 30)), (joined.clone(), Count::new(0, 10))];
    assert_eq!(again.left_out(SOURCE), left_out);
    assert_eq!(again.left_out_of_others(), (vec![(noise, Count::new(1, 10))], Count::default()));
    again.remove(SOURCE);
    let all = vec![(end(Fate::Filtered, "noise"), Count::new(4, 40)), (joined, Count::new(0, 10))];
    assert_eq!((again.left_out(SOURCE), again.left_out_of_others().0), (Vec::new(), all));
}

#[test]
fn only_what_is_durable_counts() {
    let (_folder, disk) = disk();
    let mut offsets = filled(&disk);
    offsets.sent(SOURCE);
    offsets.sent(SOURCE);
    offsets.landed(SOURCE, None);
    assert_eq!(offsets.get(SOURCE).unwrap().watermark(), 100);
    assert!(!offsets.is_settled(SOURCE, 100));
    offsets.landed(SOURCE, Some(SeqRange::new(100, 200)));
    assert_eq!(offsets.get(SOURCE).unwrap().watermark(), 300);
    assert!(offsets.is_settled(SOURCE, 300));
    assert!(!offsets.is_settled(SOURCE, 301));
}

#[test]
fn saves_only_changes_and_not_too_often() {
    let (folder, disk) = disk();
    let mut offsets = filled(&disk);
    assert!(offsets.save_due().unwrap() <= Instant::now());
    offsets.save().unwrap();
    assert_eq!(offsets.save_due(), None);
    std::fs::remove_file(folder.path().join(FILE)).unwrap();
    offsets.save().unwrap();
    assert!(!folder.path().join(FILE).exists());
    offsets.edit(SOURCE);
    assert!(offsets.save_due().unwrap() > Instant::now() + SAVE_INTERVAL / 2);
}

#[test]
fn forgets_what_is_gone_for_long() {
    let (_folder, disk) = disk();
    let mut offsets = filled(&disk);
    offsets.edit(SourceId(8)).seen = NOW;
    let day = Duration::from_secs(86_400);
    offsets.touch(SOURCE, NOW.saturating_add(day));
    offsets.forget(NOW.saturating_add(day + Duration::from_secs(1)), day);
    assert!(offsets.get(SOURCE).is_some());
    assert!(offsets.get(SourceId(8)).is_none());
}

#[test]
fn a_damaged_file_is_set_aside_with_the_reason() {
    for (at, expected) in [(0, "does not start"), (7, "version 20"), (8, "checksum"), (20, "checksum")] {
        let (folder, disk) = disk();
        filled(&disk).save().unwrap();
        let path = folder.path().join(FILE);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at] ^= 0x10;
        std::fs::write(&path, bytes).unwrap();
        let (offsets, found) = Offsets::open(&disk, NOW).unwrap();
        let Found::Damaged(why, aside) = found else { panic!("{found:?}") };
        assert!(why.contains(expected), "{why}");
        assert!(folder.path().join(aside).exists());
        assert_eq!(offsets.iter().count(), 0);
    }
}

#[test]
fn every_crash_leaves_an_old_or_a_new_file() {
    let run = |disk: &SimDisk| -> sawyer_disk::Result<()> {
        let (mut offsets, _) = Offsets::open(&sim(disk), NOW)?;
        for end in [100, 200, 300] {
            offsets.edit(SOURCE).acked.insert(SeqRange::new(0, end));
            offsets.save()?;
        }
        Ok(())
    };
    for seed in 0..20 {
        let disk = SimDisk::new(seed, SimSettings::default());
        run(&disk).unwrap();
        for last in 1..=disk.counts().operations {
            let disk = SimDisk::new(seed, SimSettings::default());
            disk.cut_power_at(last);
            run(&disk).unwrap_err();
            let (offsets, found) = Offsets::open(&sim(&disk.power_loss()), NOW).unwrap();
            assert!(!matches!(found, Found::Damaged(..)), "seed {seed}, operation {last}: {found:?}");
            let watermark = offsets.get(SOURCE).map_or(0, Progress::watermark);
            assert!(watermark % 100 == 0 && watermark <= 300);
        }
    }
}

#[test]
fn heads_grow_and_do_not_change() {
    let head = Head::of(b"abc");
    assert!(head.matches(b"abc") && head.matches(b"abcdef"));
    assert!(!head.matches(b"ab") && !head.matches(b"abd"));
    assert!(Head::of(&[b'x'; 5000]).is_full() && !head.is_full());
}

proptest! {
    #[test]
    fn any_bytes_decode_or_give_an_error(version in 1u8..=4, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut file = b"SAWYOFF".to_vec();
        file.push(version);
        file.extend(crc32c::crc32c(&bytes).to_le_bytes());
        file.extend(bytes);
        let _ = format::decode(&file);
    }

    #[test]
    fn entries_read_back(ranges in prop::collection::vec((0u64..1000, 1u64..50), 0..40), group in ".{0,40}") {
        let mut progress = Progress { group: group.into(), ..Progress::default() };
        for (start, len) in ranges {
            progress.acked.insert(SeqRange::new(start, start + len));
        }
        let sources = HashMap::from([(SOURCE, progress)]);
        let bytes = format::encode(&sources, &Books::default(), &SourceFates::default(), &[]);
        prop_assert_eq!(format::decode(&bytes).unwrap(), Contents { sources, ..Contents::default() });
    }
}

#[test]
fn what_was_missed_is_over_and_not_durable() {
    let (_folder, disk) = disk();
    let mut offsets = filled(&disk);
    (0..3).for_each(|_| offsets.sent(SOURCE));
    offsets.missed(SOURCE, SeqRange::new(100, 150));
    offsets.landed(SOURCE, Some(SeqRange::new(150, 180)));
    assert!(!offsets.is_over(SOURCE, 200), "one is on its way");
    offsets.missed(SOURCE, SeqRange::new(180, 200));
    // From 200 to 300 it was durable before.
    assert!(offsets.is_over(SOURCE, 300) && !offsets.is_over(SOURCE, 301));
    assert!(!offsets.is_settled(SOURCE, 150));
    let progress = offsets.get(SOURCE).unwrap();
    assert_eq!((progress.watermark(), progress.durable_watermark()), (300, 100));
    offsets.save().unwrap();
    let (again, _) = Offsets::open(&disk, NOW).unwrap();
    let ranges: Vec<_> =
        again.get(SOURCE).unwrap().acked.iter().map(|range| (range.start, range.end)).collect();
    assert_eq!(ranges, [(0, 100), (150, 180), (200, 300)], "the next start reads the rest again");
}
