//! The input `kmsg`: the log of the kernel.
//!
//! Owns: reading the device, where it was after a restart.
//! Does not own: the form of a record (`codec::kmsg`).
//! Invariant: a record is known by the start of the machine and its number, so that what is read again is the same; what
//! the kernel threw away before it was read is counted.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sawyer_codec::kmsg::KmsgReader;
use sawyer_config::{Settings as _, settings};
use sawyer_model::{
    Ack, Batch, Error, ErrorKind, Outcome, SeqRange, SourceId, Stream, Timestamp, Value, names,
};
use sawyer_pipeline::{Context, Input, InputPlan, Kind, Outlet, Patience, Running, Stop, node_name};
use sawyer_telemetry::Counter;

use crate::offsets::{Found, Offsets, Progress};

settings! {
    /// Reads the kernel's log from `/dev/kmsg`: what `dmesg` shows. Needs the right to read it (`CAP_SYSLOG`).
    pub struct KmsgSettings {
        /// The device.
        pub path: PathBuf = PathBuf::from("/dev/kmsg"),
        /// Name of the cluster, for the field of that name.
        pub cluster: Option<String>,
    }
}

/// Longest record that the kernel gives; a shorter buffer would be refused.
const RECORD_BYTES_MAX: usize = 16 << 10;

/// How often the device is looked at. The kernel holds what it says until then, and says little.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Records of a batch that is passed on without waiting.
const BATCH_RECORDS: usize = 1000;

/// How long a machine's start is remembered after its end.
const FORGET_AFTER: Duration = Duration::from_secs(7 * 86_400);

/// The name of the machine's current start.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The kind `kmsg`.
pub(crate) fn kind() -> Kind<Box<dyn InputPlan>> {
    Kind {
        name: "kmsg",
        reference: KmsgSettings::reference,
        read: Box::new(|at, problems| {
            use sawyer_config::Setting as _;
            Some(Box::new(KmsgPlan(KmsgSettings::read(at, problems)?)))
        }),
    }
}

#[derive(Debug)]
struct KmsgPlan(KmsgSettings);

impl InputPlan for KmsgPlan {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Input>, Error> {
        let Self(KmsgSettings { path, cluster }) = *self;
        let cannot = |doing: String, error: io::Error| Error::new(ErrorKind::Invalid, doing).because(error);
        let file = open_device(&path).map_err(|error| {
            cannot(format!("read the kernel's log at {}; it needs CAP_SYSLOG", path.display()), error)
        })?;
        let boot = std::fs::read_to_string(BOOT_ID)
            .map_err(|error| cannot("tell the machine's start".into(), error))?;
        let now = context.clock.now();
        let (mut offsets, found) = Offsets::open(&context.state, now)
            .map_err(|error| Error::new(ErrorKind::Invalid, "read how far it came").because(error))?;
        offsets.keep_books(context.metrics.ledger(), &context.name);
        if let Found::Damaged(why, aside) = found {
            tracing::error!(
                input = context.name,
                aside,
                "how far it came cannot be read and was set aside: {why}"
            );
        }
        let node = node_name(context.host_root.as_deref());
        let texts =
            [(names::NODE, node), (names::CLUSTER, cluster), (names::SOURCE, Some("kernel".to_owned()))];
        let stream =
            Stream::new(texts.into_iter().filter_map(|(name, text)| Some((name, Value::from(text?)))));
        let labels = [("input", context.name.as_str())];
        let missed = context.metrics.counter(
            "sawyer_input_kernel_missed_records",
            "Records that the kernel threw away before they were read",
            &labels,
        );
        Ok(Box::new(Kmsg {
            file,
            source: SourceId::of(&[b"kmsg", boot.trim().as_bytes()]),
            stream: Arc::new(stream),
            offsets: Arc::new(Mutex::new(offsets)),
            context: context.clone(),
            missed,
        }))
    }
}

fn open_device(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    File::options().read(true).custom_flags(flags).open(path)
}

struct Kmsg {
    file: File,
    source: SourceId,
    stream: Arc<Stream>,
    offsets: Arc<Mutex<Offsets>>,
    context: Context,
    missed: Counter,
}

/// When the machine started, by the clock as it is now.
fn booted(now: Timestamp) -> Timestamp {
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let up = Duration::new(up.tv_sec.max(0).cast_unsigned(), up.tv_nsec.max(0) as u32);
    now.saturating_sub(up)
}

impl Input for Kmsg {
    fn run(self: Box<Self>, to: Outlet, stop: Stop) -> Running {
        Box::pin(async move {
            let this = *self;
            let done = this.offsets.lock().get(this.source).map_or(0, Progress::watermark);
            let mut reading = Reading {
                kmsg: this,
                reader: KmsgReader::default(),
                batch: Batch::new(),
                next: None,
                done,
                buffer: vec![0; RECORD_BYTES_MAX],
            };
            loop {
                let more = reading.read()?;
                reading.send(&to, &stop).await?;
                reading.save();
                if more && !stop.is_stopped() {
                    continue;
                }
                tokio::select! {
                    biased;
                    () = stop.stopped() => break,
                    () = tokio::time::sleep(LOOK_INTERVAL) => {}
                }
            }
            reading.send(&to, &stop).await?;
            let patience = to.patience();
            drop(to);
            reading.land(&patience).await;
            Ok(())
        })
    }
}

struct Reading {
    kmsg: Kmsg,
    reader: KmsgReader,
    batch: Batch,
    /// The number that follows the last one that was read.
    next: Option<u64>,
    /// Everything below it was made durable before.
    done: u64,
    buffer: Vec<u8>,
}

impl Reading {
    /// Reads what is there, up to a full batch; says whether there may be more.
    fn read(&mut self) -> Result<bool, Error> {
        let observed = self.kmsg.context.clock.now();
        let booted = booted(observed);
        while self.batch.len() < BATCH_RECORDS {
            let length = match (&self.kmsg.file).read(&mut self.buffer) {
                Ok(0) => return Ok(false),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // The oldest were thrown away under our hands; the numbers tell how many.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => continue,
                Err(error) => {
                    return Err(Error::new(ErrorKind::Retry, "read the kernel's log").because(error));
                }
            };
            let stream = self.batch.add_stream(&self.kmsg.stream);
            let before = self.batch.len();
            let bytes = &self.buffer[..length];
            let source = self.kmsg.source;
            let head = self.reader.read(bytes, source, booted, observed, stream, &mut self.batch);
            let Some(head) = head else { continue };
            let expected = self.next.unwrap_or(self.done);
            if head.sequence > expected && (self.next.is_some() || self.done > 0) {
                self.kmsg.missed.inc_by(head.sequence - expected);
            }
            self.next = Some(head.sequence + 1);
            if head.sequence < self.done {
                let mut at = 0;
                self.batch.retain(|_| {
                    at += 1;
                    at <= before
                });
            }
        }
        Ok(true)
    }

    async fn send(&mut self, to: &Outlet, stop: &Stop) -> Result<(), Error> {
        let mut batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        batch.set_whole();
        let (offsets, source) = (Arc::clone(&self.kmsg.offsets), self.kmsg.source);
        let ranges: Vec<SeqRange> = batch.covered().iter().map(|covered| covered.range).collect();
        offsets.lock().sent(source);
        let ack = Ack::tallied(move |outcome, tally| {
            let mut offsets = offsets.lock();
            let durable = outcome == Outcome::Durable;
            if durable {
                offsets.book(&tally);
            }
            let (first, rest) =
                ranges.split_first().map_or((None, &[][..]), |(first, rest)| (Some(*first), rest));
            offsets.landed(source, first.filter(|_| durable));
            for range in rest.iter().filter(|_| durable) {
                offsets.edit(source).acked.insert(*range);
            }
        });
        match to.send_tallied(batch, ack).await {
            Ok(()) => Ok(()),
            Err(_) if stop.is_stopped() => Ok(()),
            Err(closed) => Err(Error::new(ErrorKind::Closed, "a pipeline has ended").because(closed)),
        }
    }

    fn save(&self) {
        let mut offsets = self.kmsg.offsets.lock();
        let now = self.kmsg.context.clock.now();
        offsets.touch(self.kmsg.source, now);
        if offsets.save_due().is_some_and(|due| due <= std::time::Instant::now()) {
            offsets.forget(now, FORGET_AFTER);
            if let Err(error) = offsets.save() {
                tracing::warn!(input = self.kmsg.context.name, "save how far it came: {error}");
            }
        }
    }

    /// Waits for what is on its way, and notes how far it came.
    async fn land(&self, patience: &Patience) {
        let offsets = &self.kmsg.offsets;
        let landed = async {
            while offsets.lock().get(self.kmsg.source).is_some_and(|progress| progress.in_flight > 0) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        // What has not landed by then is read again.
        tokio::select! {
            () = landed => {}
            () = patience.over() => {}
        }
        if let Err(error) = offsets.lock().save() {
            tracing::warn!(input = self.kmsg.context.name, "save how far it came: {error}");
        }
    }
}
