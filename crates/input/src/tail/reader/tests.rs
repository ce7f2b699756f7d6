//! What a reader makes of a machine on which files come and go at any moment: looks at it are given one by one.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sawyer_disk::RealDisk;
use sawyer_model::Stream;
use sawyer_pipeline::queue::queue;
use sawyer_pipeline::{Context, Input, Outlet, Ports, Stopper};
use sawyer_telemetry::{Clock, Health, Metrics};

use super::super::content::FileStat;
use super::super::layout::{FoundFile, IdentifyBy, Layout, Owner, Rotation, Scan};
use super::super::lines::Form;
use super::super::{Tail, TailSettings};

/// What is found, look by look; the last one again and again.
#[derive(Debug)]
struct Looks(Arc<Mutex<VecDeque<Scan>>>);

impl Layout for Looks {
    fn scan(&mut self, scan: &mut Scan) {
        let mut looks = self.0.lock().unwrap();
        let next = looks.pop_front().unwrap();
        scan.files = next.files.clone();
        scan.errors = next.errors.iter().map(|(path, error)| (path.clone(), error.kind().into())).collect();
        if looks.is_empty() {
            looks.push_back(next);
        }
    }

    fn identity(&self, _: &FoundFile) -> Result<Arc<Stream>, io::Error> {
        Ok(Arc::new(Stream::default()))
    }

    fn form(&self, _: &FoundFile, _: &[u8]) -> Form {
        Form::Plain
    }

    fn identify_by(&self) -> IdentifyBy {
        IdentifyBy::Inode
    }

    fn places(&self) -> Vec<(PathBuf, bool)> {
        Vec::new()
    }
}

fn found(path: &Path, rotation: Rotation, stat: FileStat) -> FoundFile {
    FoundFile {
        path: path.to_owned(),
        group: "log".into(),
        part: 0,
        rotation,
        gzip: false,
        source: "log".into(),
        owner: Arc::new(Owner::default()),
        stat,
        linked: false,
    }
}

/// The messages that are read, as soon as there are so many. Nothing is taken before so many looks are left.
async fn read(looks: Vec<Scan>, looks_left: usize, count: usize) -> Vec<String> {
    let state = tempfile::tempdir().unwrap();
    let context = Context {
        name: "test".into(),
        clock: Clock::system(),
        metrics: Metrics::new(),
        state: Arc::new(RealDisk::new(state.path()).unwrap()),
        host_root: None,
        ports: Ports::default(),
        health: Health::new(),
        buffer: None,
    };
    let settings = TailSettings { sweep_interval: Duration::from_millis(100), ..TailSettings::default() };
    let looks = Arc::new(Mutex::new(VecDeque::from(looks)));
    let tail = Tail::open(Box::new(Looks(Arc::clone(&looks))), settings, &context).unwrap();
    let (sender, mut receiver) = queue(1 << 20);
    let (stopper, stop) = Stopper::new();
    let outlet = Outlet::new("test", vec![sender], &context.metrics);
    let reading = tokio::spawn(Box::new(tail).run(outlet, stop));
    let deadline = Instant::now() + Duration::from_secs(60);
    while looks.lock().unwrap().len() > looks_left {
        assert!(Instant::now() < deadline, "{looks_left} looks are to be left");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut messages = Vec::new();
    while messages.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(60), receiver.next()).await;
        let next = next.unwrap_or_else(|_| panic!("{} of {count} came", messages.len()));
        let (transfer, _room) = next.unwrap().into_parts();
        messages.extend(transfer.batch.iter().map(|record| record.message().to_owned()));
        transfer.ack.durable();
    }
    stopper.stop();
    reading.await.unwrap().unwrap();
    messages
}

/// An older file was listed and is gone before it is opened, and from then on some other folder cannot be listed, so that no
/// look is complete: the newer file of the log is read all the same.
#[tokio::test]
async fn a_file_that_is_gone_holds_nobody_up_though_looks_are_incomplete() {
    let folder = tempfile::tempdir().unwrap();
    let (older, live) = (folder.path().join("log.1"), folder.path().join("log"));
    fs::write(&older, "gone\n").unwrap();
    fs::write(&live, "there\n").unwrap();
    let stat = |path: &Path| FileStat::from(&fs::metadata(path).unwrap());
    let gone = found(&older, Rotation::Numbered(std::cmp::Reverse(1)), stat(&older));
    let there = found(&live, Rotation::Live, stat(&live));
    fs::remove_file(&older).unwrap();
    let first = Scan { files: vec![gone, there.clone()], ..Scan::default() };
    let errors = vec![(folder.path().join("elsewhere"), io::ErrorKind::PermissionDenied.into())];
    let next = Scan { files: vec![there], errors, ..Scan::default() };
    assert_eq!(read(vec![first, next], 2, 1).await, ["there"]);
}

/// While the older of two files is read, and the younger waits for it, their names say that it is the other way round, as a
/// look may find them that is made while all files of a log are renamed.
#[tokio::test]
async fn files_do_not_wait_for_each_other_when_their_order_becomes_another() {
    let folder = tempfile::tempdir().unwrap();
    let (long, short) = (folder.path().join("log.a"), folder.path().join("log.b"));
    // More than is on its way at a time, so that it is not read before the second look.
    const LINES: usize = 24 << 10;
    fs::write(&long, format!("{}\n", "x".repeat(1023)).repeat(LINES)).unwrap();
    fs::write(&short, "short\n").unwrap();
    let named = |path: &Path, number: u32| {
        let stat = FileStat::from(&fs::metadata(path).unwrap());
        found(path, Rotation::Numbered(std::cmp::Reverse(number)), stat)
    };
    let look = |numbers: [u32; 2]| {
        let files = vec![named(&short, numbers[0]), named(&long, numbers[1])];
        Scan { files, ..Scan::default() }
    };
    // The last of the looks stays: two of three are over when one is left.
    let looks = vec![look([1, 2]), look([2, 1]), look([2, 1])];
    let messages = read(looks, 1, LINES + 1).await;
    assert_eq!(messages.iter().filter(|message| *message == "short").count(), 1);
}
