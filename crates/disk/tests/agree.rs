//! The simulated disk, a real one and an encrypted one answer alike as long as nothing fails.

#![allow(clippy::unwrap_used, reason = "helpers of tests may do what tests may")]

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use sawyer_disk::{Disk, EncryptedDisk, EntryKind, ErrorKind, File, Key, RealDisk, SimDisk, SimSettings};

const PATHS: [&str; 9] = ["a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "f/g", "../a"];

#[derive(Debug, Clone)]
enum Step {
    Create(&'static str),
    OpenAppend(&'static str),
    OpenRead(&'static str),
    Append(usize),
    AppendVectored(usize, usize),
    Truncate(u64),
    SyncData,
    AppendToReader,
    ReadAt(bool, u64, usize),
    ReadExactAt(bool, u64, usize),
    Len(bool),
    Metadata(&'static str),
    ReadDir(&'static str),
    CreateDirAll(&'static str),
    Rename(&'static str, &'static str),
    RemoveFile(&'static str),
    RemoveDirAll(&'static str),
    SyncDir(&'static str),
}

fn step() -> impl Strategy<Value = Step> {
    use Step::*;
    let path = || proptest::sample::select(PATHS.to_vec());
    let size = || 0..1500_usize;
    let offset = || 0..3000_u64;
    prop_oneof![
        3 => path().prop_map(Create),
        3 => path().prop_map(OpenAppend),
        2 => path().prop_map(OpenRead),
        6 => size().prop_map(Append),
        2 => (size(), size()).prop_map(|(a, b)| AppendVectored(a, b)),
        2 => offset().prop_map(Truncate),
        1 => Just(SyncData),
        1 => Just(AppendToReader),
        2 => (any::<bool>(), offset(), size()).prop_map(|(w, o, s)| ReadAt(w, o, s)),
        2 => (any::<bool>(), offset(), size()).prop_map(|(w, o, s)| ReadExactAt(w, o, s)),
        1 => any::<bool>().prop_map(Len),
        1 => path().prop_map(Metadata),
        1 => prop_oneof![path(), Just("")].prop_map(ReadDir),
        3 => prop_oneof![path(), Just("")].prop_map(CreateDirAll),
        4 => (path(), path()).prop_map(|(a, b)| Rename(a, b)),
        3 => path().prop_map(RemoveFile),
        1 => prop_oneof![path(), Just("")].prop_map(RemoveDirAll),
        1 => prop_oneof![path(), Just("")].prop_map(SyncDir),
    ]
}

/// A disk with at most one handle of each sort, as its contract asks.
struct Subject<'a> {
    disk: &'a dyn Disk,
    writer: Option<Box<dyn File>>,
    reader: Option<Box<dyn File>>,
}

impl Subject<'_> {
    /// Does one step and says what came of it, in words that are the same on every disk.
    fn take(&mut self, step: &Step, number: usize) -> String {
        let kind = |error: sawyer_disk::Error| error.kind();
        let bytes = |len: usize| vec![u8::try_from(number % 251).unwrap() + 1; len];
        match step {
            Step::Create(path) => {
                self.writer = None;
                let opened = self.disk.create(Path::new(path)).map(|file| self.writer = Some(file));
                format!("{:?}", opened.map_err(kind))
            }
            Step::OpenAppend(path) => {
                self.writer = None;
                let opened = self.disk.open_append(Path::new(path)).map(|file| self.writer = Some(file));
                format!("{:?}", opened.map_err(kind))
            }
            Step::OpenRead(path) => {
                let opened = self.disk.open_read(Path::new(path)).map(|file| self.reader = Some(file));
                format!("{:?}", opened.map_err(kind))
            }
            Step::Append(len) => self.write(|file| file.append(&bytes(*len))),
            Step::AppendVectored(a, b) => {
                let (a, b) = (bytes(*a), bytes(*b));
                self.write(|file| {
                    file.append_vectored(&[IoSlice::new(&a), IoSlice::new(&[]), IoSlice::new(&b)])
                })
            }
            Step::Truncate(len) => self.write(|file| file.truncate(*len)),
            Step::SyncData => self.write(|file| file.sync_data()),
            Step::AppendToReader => {
                format!("{:?}", self.reader.as_mut().map(|file| file.append(b"x").map_err(kind)))
            }
            Step::ReadAt(writer, offset, len) => self.look(*writer, |file| {
                let mut buffer = vec![0; *len];
                let read = file.read_at(&mut buffer, *offset).map_err(kind);
                format!("{read:?} {buffer:?}")
            }),
            Step::ReadExactAt(writer, offset, len) => self.look(*writer, |file| {
                let mut buffer = vec![0; *len];
                let read = file.read_exact_at(&mut buffer, *offset).map_err(kind);
                if read.is_ok() { format!("{buffer:?}") } else { format!("{read:?}") }
            }),
            Step::Len(writer) => self.look(*writer, |file| format!("{:?}", file.len().map_err(kind))),
            Step::Metadata(path) => format!("{:?}", self.disk.metadata(Path::new(path)).map_err(kind)),
            Step::ReadDir(path) => format!("{:?}", self.disk.read_dir(Path::new(path)).map_err(kind)),
            Step::CreateDirAll(path) => {
                format!("{:?}", self.disk.create_dir_all(Path::new(path)).map_err(kind))
            }
            Step::Rename(from, to) => {
                format!("{:?}", self.disk.rename(Path::new(from), Path::new(to)).map_err(kind))
            }
            Step::RemoveFile(path) => format!("{:?}", self.disk.remove_file(Path::new(path)).map_err(kind)),
            Step::RemoveDirAll(path) => {
                format!("{:?}", self.disk.remove_dir_all(Path::new(path)).map_err(kind))
            }
            Step::SyncDir(path) => format!("{:?}", self.disk.sync_dir(Path::new(path)).map_err(kind)),
        }
    }

    fn write(&mut self, act: impl FnOnce(&mut dyn File) -> sawyer_disk::Result<()>) -> String {
        match &mut self.writer {
            Some(file) => format!("{:?}", act(file.as_mut()).map_err(|error| error.kind())),
            None => "no handle".to_owned(),
        }
    }

    fn look(&self, writer: bool, act: impl FnOnce(&dyn File) -> String) -> String {
        let handle = if writer { &self.writer } else { &self.reader };
        handle.as_ref().map_or_else(|| "no handle".to_owned(), |file| act(file.as_ref()))
    }
}

/// Every directory and file with its content.
fn dump(disk: &dyn Disk, path: &Path, into: &mut BTreeMap<String, Option<Vec<u8>>>) {
    for entry in disk.read_dir(path).unwrap() {
        let path = path.join(&entry.name);
        let content = match entry.kind {
            EntryKind::Dir => {
                dump(disk, &path, into);
                None
            }
            _ => Some(sawyer_disk::read_all(disk, &path, u64::MAX).unwrap()),
        };
        into.insert(path.display().to_string(), content);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_disks_answer_alike(steps in proptest::collection::vec(step(), 1..60), seed: u64) {
        let directory = tempfile::tempdir().unwrap();
        let real = RealDisk::new(directory.path()).unwrap();
        let sim = SimDisk::new(seed, SimSettings::default());
        let mut on_real = Subject { disk: &real, writer: None, reader: None };
        let mut on_sim = Subject { disk: &sim, writer: None, reader: None };
        let below = SimDisk::new(seed, SimSettings::default());
        let key = Key::parse(&[7; 32]).unwrap();
        let encrypted = EncryptedDisk::open(Arc::new(below), vec![key]).unwrap();
        let mut on_encrypted = Subject { disk: &*encrypted, writer: None, reader: None };
        for (number, step) in steps.iter().enumerate() {
            let (a, b) = (on_real.take(step, number), on_sim.take(step, number));
            prop_assert_eq!(&a, &b, "step {}: {:?}", number, step);
            prop_assert_eq!(&b, &on_encrypted.take(step, number), "step {}: {:?}", number, step);
        }
        let (mut a, mut b) = (BTreeMap::new(), BTreeMap::new());
        dump(&real, Path::new(""), &mut a);
        dump(&sim, Path::new(""), &mut b);
        prop_assert_eq!(&a, &b);
        let mut c = BTreeMap::new();
        dump(&*encrypted, Path::new(""), &mut c);
        prop_assert_eq!(b, c);
    }
}

#[test]
fn both_disks_refuse_paths_that_lead_outside() {
    let directory = tempfile::tempdir().unwrap();
    let real = RealDisk::new(directory.path()).unwrap();
    let sim = SimDisk::new(1, SimSettings::default());
    for disk in [&real as &dyn Disk, &sim] {
        for path in ["/etc/passwd", "../x", "a/../../x"] {
            let path = Path::new(path);
            assert_eq!(disk.open_read(path).unwrap_err().kind(), ErrorKind::InvalidPath);
            assert_eq!(disk.create(path).unwrap_err().kind(), ErrorKind::InvalidPath);
            assert_eq!(disk.rename(Path::new("a"), path).unwrap_err().kind(), ErrorKind::InvalidPath);
            assert_eq!(disk.create_dir_all(path).unwrap_err().kind(), ErrorKind::InvalidPath);
            assert_eq!(disk.sync_dir(path).unwrap_err().kind(), ErrorKind::InvalidPath);
            assert_eq!(disk.lock(path).unwrap_err().kind(), ErrorKind::InvalidPath);
        }
    }
}
