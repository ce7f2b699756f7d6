use std::path::Path;

use bytes::Bytes;
use sawyer_buffer::{BufferPlan, Lane};
use sawyer_disk::RealDisk;
use sawyer_model::{Progress, RecordHead, SeqRange, SourceId, Stream, Timestamp};
use sawyer_telemetry::{Clock, Metrics};

use super::*;

const RECORDS: u32 = 3;

/// One batch that was given to an output.
struct Try {
    _folder: tempfile::TempDir,
    metrics: Metrics,
    buffer: Buffer,
    flights: Flights,
    /// What the input was told.
    told: Arc<Mutex<Option<Outcome>>>,
    /// What the output has.
    given: Option<Ack>,
}

fn open(folder: &Path, metrics: &Metrics) -> Buffer {
    let disk = Arc::new(RealDisk::new(folder).unwrap());
    Buffer::open(disk, BufferPlan::default(), Clock::system(), metrics, "out").unwrap()
}

fn batch() -> Arc<Batch> {
    let mut batch = Batch::new();
    let stream = batch.add_stream(&Arc::new(Stream::default()));
    for at in 0..u64::from(RECORDS) {
        let (timestamp, observed) = (Timestamp::EPOCH, Timestamp::EPOCH);
        let range = SeqRange::new(at, at + 1);
        batch.begin(RecordHead { timestamp, observed, source: SourceId(1), range }, stream);
    }
    Arc::new(batch)
}

impl Try {
    fn new() -> Self {
        let (folder, metrics) = (tempfile::tempdir().unwrap(), Metrics::new());
        let (buffer, told) = (open(folder.path(), &metrics), Arc::<Mutex<Option<Outcome>>>::default());
        let mut flights = Flights::default();
        let tell = Arc::clone(&told);
        let ack = Ack::new(move |outcome| *tell.lock() = Some(outcome));
        let outputs = vec!["out".into()];
        let way = Way { input: "".into(), pipeline: "".into(), outputs, copies: vec![false] };
        let transfer = flights.start(&batch(), ack, &buffer, &Arc::new(way));
        Self { _folder: folder, metrics, buffer, flights, told, given: Some(transfer.ack) }
    }

    fn told(&self) -> Option<Outcome> {
        *self.told.lock()
    }

    fn delivered(&mut self) {
        self.given.take().unwrap().durable();
    }

    fn let_go(&mut self) {
        drop(self.given.take());
    }

    fn need_safety(&mut self) -> Landing {
        let Some(Need::Safety(batch, landing)) = self.flights.next(true) else {
            panic!("it needs something else")
        };
        assert_eq!(batch.len(), RECORDS as usize);
        landing
    }

    async fn written(&self) -> Taken {
        let payload = Bytes::from_static(b"records");
        let pushed = self.buffer.push_taken(Lane::Normal, payload, RECORDS, std::future::pending());
        pushed.await.unwrap().unwrap()
    }

    /// Entries in the buffer, those that are out among them.
    fn held(&self) -> usize {
        self.buffer.summary().iter().map(|lane| lane.entries).sum()
    }

    fn passed(&self) -> i64 {
        self.metrics.numbers("sawyer_buffer_passed_records").iter().map(|(_, number)| number).sum()
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_delivered_in_time_needs_nothing() {
    let mut way = Try::new();
    assert!(way.flights.next(false).is_none(), "it has time");
    assert_eq!(way.told(), None, "nobody has it yet");
    way.delivered();
    assert_eq!((way.told(), way.held(), way.passed()), (Some(Outcome::Durable), 0, 3));
    tokio::time::advance(SAFE_AFTER * 2).await;
    assert!(way.flights.next(true).is_none());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_delivered_in_time_is_safe_first() {
    let mut way = Try::new();
    let start = Instant::now();
    way.flights.due().await;
    assert!(start.elapsed() >= SAFE_AFTER);
    let Some(Need::Safety(_, landing)) = way.flights.next(false) else { panic!("it is not due") };
    assert!(!landing.is_over());
    assert_eq!(way.told(), None);
    landing.written(way.written().await);
    assert_eq!((way.told(), way.held()), (Some(Outcome::Durable), 1));
    way.delivered();
    assert_eq!((way.held(), way.passed()), (0, 0));
}

#[tokio::test]
async fn what_is_delivered_while_it_is_written_is_over() {
    let mut way = Try::new();
    let landing = way.need_safety();
    way.delivered();
    assert!(landing.is_over());
    assert_eq!(way.told(), Some(Outcome::Durable));
    landing.written(way.written().await);
    assert_eq!((way.held(), way.passed()), (0, 0), "booked as any entry");
}

#[tokio::test]
async fn what_is_delivered_while_the_buffer_takes_nothing_is_booked() {
    let mut way = Try::new();
    let landing = way.need_safety();
    way.delivered();
    assert_eq!((way.told(), way.passed()), (Some(Outcome::Durable), 0), "it may still be written");
    drop(landing);
    assert_eq!((way.held(), way.passed()), (0, 3));
}

#[tokio::test]
async fn what_the_output_lets_go_of_waits_in_the_buffer() {
    let mut way = Try::new();
    way.let_go();
    way.flights.due().await;
    assert!(
        matches!(way.flights.next(false), Some(Need::Return(batch, ack)) if batch.len() == 3 && ack.way().is_none())
    );
    assert_eq!(way.told(), Some(Outcome::Undelivered), "nobody has put it in");

    let mut way = Try::new();
    let landing = way.need_safety();
    way.let_go();
    assert_eq!(way.told(), None);
    landing.written(way.written().await);
    assert_eq!(way.told(), Some(Outcome::Durable));
    assert_eq!(way.buffer.take().await.unwrap().unwrap().payload(), "records");

    let mut way = Try::new();
    let landing = way.need_safety();
    landing.written(way.written().await);
    way.let_go();
    assert_eq!(way.told(), Some(Outcome::Durable));
    assert_eq!(way.buffer.take().await.unwrap().unwrap().payload(), "records");
}

#[tokio::test]
async fn what_cannot_be_written_is_its_input_s_until_it_is_delivered() {
    let mut way = Try::new();
    drop(way.need_safety());
    assert_eq!(way.told(), None);
    way.delivered();
    assert_eq!((way.told(), way.passed()), (Some(Outcome::Durable), 3));

    let mut way = Try::new();
    drop(way.need_safety());
    way.let_go();
    assert_eq!(way.told(), Some(Outcome::Undelivered));
}

#[tokio::test]
async fn the_first_that_is_not_over_tells_when_something_is_due() {
    let mut way = Try::new();
    let second = Ack::none();
    let way_of =
        Way { input: "".into(), pipeline: "".into(), outputs: vec!["out".into()], copies: vec![false] };
    let transfer = way.flights.start(&batch(), second, &way.buffer, &Arc::new(way_of));
    drop(transfer.ack);
    assert!(way.flights.next(false).is_none(), "the first is on its way, and keeps the order");
    way.delivered();
    assert!(matches!(way.flights.next(false), Some(Need::Return(..))));
}

#[tokio::test(start_paused = true)]
async fn what_may_be_removed_is_due_at_once() {
    let mut way = Try::new();
    let progress = Arc::new(Progress::new(std::time::Instant::now()));
    let mut batch = Arc::unwrap_or_clone(batch());
    batch.set_progress(&progress, 1);
    let way_of =
        Way { input: "".into(), pipeline: "".into(), outputs: vec!["out".into()], copies: vec![false] };
    let _transfer = way.flights.start(&Arc::new(batch), Ack::none(), &way.buffer, &Arc::new(way_of));
    assert!(!way.flights.is_pressed());
    let start = Instant::now();
    let ((), ()) = tokio::join!(way.flights.due(), async {
        tokio::time::sleep(LOOK_INTERVAL / 2).await;
        progress.set_in_danger(true);
    });
    assert!(start.elapsed() < SAFE_AFTER && way.flights.is_pressed());
}
