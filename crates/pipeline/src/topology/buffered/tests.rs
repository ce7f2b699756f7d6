use sawyer_buffer::{BufferPlan, BufferSettings};
use sawyer_config::{Document, Problems, Setting};
use sawyer_disk::{SimDisk, SimSettings};
use sawyer_model::{
    NameId, Progress, RecordHead, RecordRef, SeqRange, SourceId, Stream, Timestamp, ValueRef,
};
use sawyer_telemetry::Metrics;
use tokio::sync::mpsc;

use super::*;
use crate::queue::queue;
use crate::stop::Stopper;

/// A quarter of a second of a target that takes a megabyte a second.
const BATCH_BYTES: usize = 256 << 10;

fn open(settings: &str) -> Buffer {
    open_on(SimDisk::new(1, SimSettings::default()), settings)
}

fn open_on(disk: SimDisk, settings: &str) -> Buffer {
    let document = Document::parse("test", settings).unwrap();
    let mut problems = Problems::new();
    let read = BufferSettings::read(&document.at(), &mut problems);
    let plan: Option<BufferPlan> = read.and_then(|settings| settings.check(&document.at(), &mut problems));
    let plan = problems.into_result(plan).unwrap();
    Buffer::open(Arc::new(disk), plan, Clock::system(), &Metrics::new(), "out").unwrap()
}

impl Parts for mpsc::Receiver<Part> {
    async fn next(&mut self) -> Option<Part> {
        self.recv().await
    }
}

/// So many records of one file.
fn part(progress: &Arc<Progress>, number: u64, records: u64, bytes: usize) -> Part {
    let mut batch = Batch::new();
    let stream = batch.add_stream(&Arc::new(Stream::default()));
    for at in 0..records {
        let (timestamp, observed) = (Timestamp::EPOCH, Timestamp::EPOCH);
        let range = SeqRange::new(number * 100 + at, number * 100 + at + 1);
        let mut record = batch.begin(RecordHead { timestamp, observed, source: SourceId(1), range }, stream);
        record.field_by_id(NameId::MESSAGE, ValueRef::Str(&"x".repeat(bytes)));
    }
    batch.set_progress(progress, number);
    let room = Arc::new(tokio::sync::Semaphore::new(1)).try_acquire_owned().unwrap();
    Part { batch: Arc::new(batch), ack: Ack::none(), _room: room }
}

/// The way past a buffer to an output whose queue has so many bytes.
fn past(bytes: u64) -> (WayOut, QueueReceiver) {
    let (to, from) = queue(bytes);
    (WayOut { way: way_of("out"), to }, from)
}

/// How many batches go past the buffer, if the target takes one after the other a little later than they come.
async fn past_of_slow(buffer: &Buffer) -> usize {
    let (past, mut from) = past(4 * BATCH_BYTES as u64);
    let (clock, flying, seldom) = (Clock::system(), Flying::default(), Seldom::new(TELL_INTERVAL));
    let way = WayIn { buffer, keeps_ranges: false, clock: &clock, past: &past, flying: &flying };
    let (mut flights, mut waited) = (Flights::default(), Duration::ZERO);
    let progress = Arc::new(Progress::new(std::time::Instant::now()));
    for number in 0..100 {
        let part = part(&progress, number, 1, BATCH_BYTES - 4096);
        let (sent, ()) =
            tokio::join!(way.send_past(Lane::Normal, part, &mut flights, &mut waited, &seldom), async {
                if number >= 4 {
                    tokio::time::sleep(Duration::from_millis(250)).await;
                    from.next().await.unwrap().into_parts().0.ack.durable();
                }
            });
        if sent.unwrap().is_some() {
            return number as usize;
        }
    }
    100
}

#[tokio::test(start_paused = true)]
async fn a_target_that_takes_less_than_comes_holds_up_nobody_for_long() {
    assert_eq!(past_of_slow(&open("{}")).await, 4 + 4, "a second in all");
    assert_eq!(past_of_slow(&open("on_full: shed_oldest")).await, 4, "not at all");
}

#[tokio::test]
async fn what_waits_in_the_buffer_came_after_what_is_flying() {
    let buffer = open("{}");
    let (past, _from) = past(1 << 20);
    let (clock, flying) = (Clock::system(), Flying::default());
    let way = WayIn { buffer: &buffer, keeps_ranges: false, clock: &clock, past: &past, flying: &flying };
    let progress = Arc::new(Progress::new(std::time::Instant::now()));
    let (to, parts) = mpsc::channel(4);
    let feed = async {
        for (number, records) in [(1, 2), (2, 3)] {
            to.send(part(&progress, number, records, 10)).await.unwrap();
        }
        while flying.bytes() == 0 || to.capacity() < 4 {
            tokio::task::yield_now().await;
        }
        // The file was rotated, and there is more in it.
        progress.set_behind(SourceId(1), true);
        progress.set_pressed(SourceId(1));
        let (told, safe) = tokio::sync::oneshot::channel();
        let ack = Ack::new(move |outcome| told.send(outcome).unwrap());
        to.send(Part { ack, ..part(&progress, 3, 4, 10) }).await.unwrap();
        assert_eq!(safe.await.unwrap(), Outcome::Durable);
        buffer.entries(Lane::Normal).await.unwrap()
    };
    let entries = tokio::select! {
        entries = feed => entries,
        ended = fill_lane(Lane::Normal, parts, way) => panic!("{ended:?}"),
    };
    assert_eq!(entries.iter().map(|entry| entry.records).collect::<Vec<_>>(), [2, 3, 4]);
}

#[tokio::test]
async fn a_buffer_that_sheds_keeps_something_to_make_room_of() {
    let buffer = open("{bytes_max: 4MiB, on_full: shed_oldest}");
    let (past, _from) = past(16 << 20);
    let (clock, flying, seldom) = (Clock::system(), Flying::default(), Seldom::new(TELL_INTERVAL));
    let way = WayIn { buffer: &buffer, keeps_ranges: false, clock: &clock, past: &past, flying: &flying };
    let (mut flights, mut waited) = (Flights::among(&flying), Duration::ZERO);
    let progress = Arc::new(Progress::new(std::time::Instant::now()));
    let mut number = 0;
    let left = loop {
        number += 1;
        let part = part(&progress, number, 1, BATCH_BYTES);
        let left = way.send_past(Lane::Normal, part, &mut flights, &mut waited, &seldom).await.unwrap();
        if left.is_some() || number == 16 {
            break left;
        }
    };
    assert!(left.is_some() && number == 8, "{number} went past");
    way.see_to(Lane::Normal, &mut flights, true, &seldom).await.unwrap();
    assert_eq!((flying.bytes(), buffer.entries(Lane::Normal).await.unwrap().len()), (0, 7));
    // Everything in it is out, and may not be shed.
    let Part { batch, .. } = part(&progress, 17, 1, BATCH_BYTES);
    assert!(!buffer.may_pass(Lane::Normal, batch.bytes() as u64));
    for _ in 0..50 {
        assert!(matches!(way.put(Lane::Normal, &batch, false, &seldom).await.unwrap(), Put::In));
    }
}

#[tokio::test]
async fn what_is_delivered_waits_for_no_room_in_the_buffer() {
    let buffer = open("{bytes_max: 1MiB, spill_max: 0}");
    let (past, mut from) = past(16 << 20);
    let (clock, flying, seldom) = (Clock::system(), Flying::default(), Seldom::new(TELL_INTERVAL));
    let way = WayIn { buffer: &buffer, keeps_ranges: false, clock: &clock, past: &past, flying: &flying };
    let (mut flights, mut waited) = (Flights::among(&flying), Duration::ZERO);
    let progress = Arc::new(Progress::new(std::time::Instant::now()));
    let flies = part(&progress, 1, 1, BATCH_BYTES);
    let left = way.send_past(Lane::Normal, flies, &mut flights, &mut waited, &seldom).await.unwrap();
    assert!(left.is_none());
    for number in 2..5 {
        let Part { batch, .. } = part(&progress, number, 1, BATCH_BYTES);
        assert!(matches!(way.put(Lane::Normal, &batch, false, &seldom).await.unwrap(), Put::In));
    }
    // There is no room for it, until the output has it.
    let delivered = async {
        while flying.bytes() > 0 {
            tokio::task::yield_now().await;
        }
        from.next().await.unwrap().into_parts().0.ack.durable();
    };
    let seen_to = async { tokio::join!(way.see_to(Lane::Normal, &mut flights, true, &seldom), delivered) };
    let (seen_to, ()) = tokio::time::timeout(Duration::from_secs(60), seen_to).await.unwrap();
    seen_to.unwrap();
    assert_eq!(buffer.entries(Lane::Normal).await.unwrap().len(), 3);
}

#[tokio::test]
async fn what_may_be_removed_is_put_in_at_once() {
    let buffer = open("{}");
    let (past, _from) = past(1 << 20);
    let (clock, flying, seldom) = (Clock::system(), Flying::default(), Seldom::new(TELL_INTERVAL));
    let way = WayIn { buffer: &buffer, keeps_ranges: false, clock: &clock, past: &past, flying: &flying };
    let (mut flights, mut waited) = (Flights::among(&flying), Duration::ZERO);
    let progress = Arc::new(Progress::new(std::time::Instant::now()));
    let flies = part(&progress, 1, 2, 10);
    let left = way.send_past(Lane::Normal, flies, &mut flights, &mut waited, &seldom).await.unwrap();
    assert!(left.is_none());
    progress.set_in_danger(true);
    way.see_to(Lane::Normal, &mut flights, false, &seldom).await.unwrap();
    assert_eq!(buffer.entries(Lane::Normal).await.unwrap().len(), 1);
}

/// What was pushed, and its number.
fn pushed(number: u64, acks: &Arc<Mutex<Vec<u64>>>) -> Part {
    let whole = part(&Arc::new(Progress::new(std::time::Instant::now())), number, 1, 10_000);
    let records: Vec<_> = whole.batch.iter().map(RecordRef::to_record).collect();
    let told = Arc::clone(acks);
    let ack = Ack::new(move |outcome| {
        if outcome == Outcome::Durable {
            told.lock().push(number);
        }
    });
    Part { batch: Arc::new(Batch::from_iter(records.iter())), ack, ..whole }
}

/// One after the other, as each is told of before the next one comes.
#[tokio::test]
async fn what_goes_past_a_full_disk_does_not_wait_for_the_next_look() {
    let disk = SimDisk::new(1, SimSettings { capacity_bytes: 1000, ..SimSettings::default() });
    let buffer = open_on(disk, "{}");
    let (past, mut from) = past(1 << 20);
    let (clock, flying) = (Clock::system(), Flying::default());
    let way = WayIn { buffer: &buffer, keeps_ranges: false, clock: &clock, past: &past, flying: &flying };
    let (to, parts) = mpsc::channel(8);
    let acks = Arc::new(Mutex::new(Vec::new()));
    let feed = async {
        for number in 0..1000 {
            to.send(pushed(number, &acks)).await.unwrap();
            from.next().await.unwrap().into_parts().0.ack.durable();
        }
    };
    let filled = async {
        tokio::select! {
            () = feed => {}
            ended = fill_lane(Lane::Normal, parts, way) => panic!("{ended:?}"),
        }
    };
    // Waiting for looks would take 100 seconds.
    tokio::time::timeout(Duration::from_secs(60), filled).await.unwrap();
}

#[tokio::test]
async fn what_was_pushed_past_a_full_disk_is_not_overtaken_when_there_is_space_again() {
    let disk = SimDisk::new(1, SimSettings { capacity_bytes: 1000, ..SimSettings::default() });
    let buffer = open_on(disk.clone(), "{}");
    let (past, mut from) = past(1 << 20);
    let (clock, flying) = (Clock::system(), Flying::default());
    let way = WayIn { buffer: &buffer, keeps_ranges: false, clock: &clock, past: &past, flying: &flying };
    let (to, parts) = mpsc::channel(8);
    let acks = Arc::new(Mutex::new(Vec::new()));
    let feed = async {
        to.send(pushed(1, &acks)).await.unwrap();
        let (first, _room) = from.next().await.unwrap().into_parts();
        disk.set_capacity(1 << 20);
        to.send(pushed(2, &acks)).await.unwrap();
        let (second, _room) = from.next().await.unwrap().into_parts();
        // The output lets go of both, so they come into the buffer.
        drop((first, second));
        while acks.lock().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        buffer.entries(Lane::Normal).await.unwrap().len()
    };
    let filled = async {
        tokio::select! {
            entries = feed => entries,
            ended = fill_lane(Lane::Normal, parts, way) => panic!("{ended:?}"),
        }
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(60), filled).await.unwrap(), 2);
    assert_eq!(*acks.lock(), [1, 2], "in their order");
}

/// Somebody else has filled the disk. What is kept out of an empty buffer need not wait for them, but for the output.
#[tokio::test]
async fn what_a_full_disk_keeps_out_goes_past_the_buffer() {
    let disk = SimDisk::new(1, SimSettings { capacity_bytes: 1000, ..SimSettings::default() });
    let buffer = open_on(disk.clone(), "{}");
    let (past, mut from) = past(1 << 20);
    let (clock, flying) = (Clock::system(), Flying::default());
    let way = WayIn { buffer: &buffer, keeps_ranges: false, clock: &clock, past: &past, flying: &flying };
    let (to, parts) = mpsc::channel(8);
    let progress = Arc::new(Progress::new(std::time::Instant::now()));
    let acks = Arc::new(Mutex::new(Vec::new()));
    let one = |number: u64, goes_again: bool| {
        let part = part(&progress, number, 1, 10_000);
        let mut batch = Arc::into_inner(part.batch).unwrap();
        if !goes_again {
            // It was pushed, and whoever did that waits.
            batch = Batch::from_iter(batch.iter().map(RecordRef::to_record).collect::<Vec<_>>().iter());
        }
        let told = Arc::clone(&acks);
        let ack = Ack::new(move |_| told.lock().push(number));
        Part { batch: Arc::new(batch), ack, ..self::part(&progress, number, 1, 1) }
    };
    let feed = async {
        for number in 1..=4 {
            to.send(one(number, number > 2)).await.unwrap();
        }
        for number in 1..=4 {
            let (transfer, _room) = from.next().await.unwrap().into_parts();
            assert_eq!(transfer.batch.get(0).range().start, number * 100, "in their order");
            transfer.ack.durable();
        }
        while acks.lock().len() < 4 {
            tokio::task::yield_now().await;
        }
        // There is space again.
        disk.set_capacity(1 << 20);
        for number in 5.. {
            to.send(one(number, false)).await.unwrap();
            while acks.lock().len() < number as usize {
                tokio::select! {
                    // The buffer had no chance to find that out yet.
                    past = from.next() => past.unwrap().into_parts().0.ack.durable(),
                    () = tokio::time::sleep(Duration::from_millis(5)) => {}
                }
            }
            if !buffer.entries(Lane::Normal).await.unwrap().is_empty() {
                return number;
            }
        }
        unreachable!("numbers do not end")
    };
    let filled = async {
        tokio::select! {
            last = feed => last,
            ended = fill_lane(Lane::Normal, parts, way) => panic!("{ended:?}"),
        }
    };
    let last = tokio::time::timeout(Duration::from_secs(60), filled).await.unwrap();
    assert_eq!(&acks.lock()[..], &(1..=last).collect::<Vec<_>>()[..]);
}

#[tokio::test]
async fn what_a_newer_version_wrote_stays_where_it_is_and_is_told() {
    let buffer = open("{}");
    let Part { batch, .. } = part(&Arc::new(Progress::new(std::time::Instant::now())), 1, 1, 10);
    let sound = encode_batch_columns(&batch);
    let mut newer = sound.clone();
    newer[7] = BATCH_VERSION + 1;
    for payload in [newer, sound] {
        buffer.push(Lane::Normal, payload.into(), 1).await.unwrap();
    }
    let (out, mut from) = past(1 << 20);
    let ((stopper, stop), clock, health) = (Stopper::new(), Clock::system(), Health::new());
    let told = async {
        while health.reasons().is_empty() {
            tokio::task::yield_now().await;
        }
        stopper.stop();
    };
    let emptied = async { tokio::join!(empty(&buffer, out, &stop, (&clock, &health)), told) };
    tokio::time::timeout(Duration::from_secs(60), emptied).await.unwrap();
    let reason = format!(
        "buffer of output out, lane normal: the next entry stays where it is, and so does what came after it: batch is made by a \
         newer version: version={}",
        BATCH_VERSION + 1
    );
    assert_eq!(health.reasons(), [reason]);
    assert!(from.next().await.is_none());
    let (waiting, dead) = (buffer.entries(Lane::Normal).await.unwrap(), buffer.dead_letters().await.unwrap());
    assert_eq!((waiting.len(), dead.len()), (2, 0));
}
