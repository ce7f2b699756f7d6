//! The files of the format's versions, as the newest is written and all are read for ever.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sawyer_disk::{Disk, RealDisk};

use super::common::{Rig, is_in, small_plan};
use crate::entry::{Lane, Note};
use crate::inspect::Inspector;

const FILES: [&str; 4] = [
    "acks/00000000000000000000.ack",
    "dead/00000000000000000000.buf",
    "normal/00000000000000000000.buf",
    "urgent/00000000000000000000.buf",
];

/// As the first version was written before it had books and since, and as the second one, which has end marks, is.
const FOLDERS: [&str; 3] = ["v1", "v1-books", "v2"];

fn golden(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder)
}

fn written() -> Rig {
    let rig = Rig::new(small_plan());
    for text in ["first", "second", "third"] {
        assert!(is_in(&mut rig.push(Lane::Normal, text.as_bytes())));
    }
    assert!(is_in(&mut rig.push(Lane::Urgent, b"now")));
    assert!(is_in(&mut rig.enqueue(Lane::Dead, b"bad", &Note::new("mapping", "not a number"))));
    let held: Vec<_> = std::iter::from_fn(|| rig.take()).collect();
    for taken in held {
        if &taken.payload()[..] == b"second" {
            taken.ack();
        }
    }
    rig.engine.turn();
    rig
}

/// `UPDATE_GOLDEN=1` writes them anew, for a new version only.
#[test]
fn files_are_written_as_they_always_were() {
    let rig = written();
    rig.engine.close();
    for path in FILES {
        let bytes = sawyer_disk::read_all(&rig.disk, Path::new(path), 1 << 20).unwrap();
        let golden = golden(FOLDERS[2]).join(path);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
            std::fs::write(&golden, &bytes).unwrap();
        }
        assert_eq!(bytes, std::fs::read(&golden).unwrap(), "{path}");
    }
}

#[test]
fn files_of_all_versions_are_read() {
    FOLDERS.iter().for_each(|folder| is_read(&golden(folder)));
}

fn is_read(golden: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(folder.path()).unwrap());
    for path in FILES {
        disk.create_dir_all(Path::new(path).parent().unwrap()).unwrap();
        std::fs::copy(golden.join(path), folder.path().join(path)).unwrap();
    }
    let inspector = Inspector::open(disk, written().clock).unwrap();
    let read = |lane| {
        let entries = inspector.entries(lane).unwrap();
        let payload = |id| inspector.content(lane, id).unwrap().payload;
        entries.iter().map(|info| payload(info.id)).collect::<Vec<_>>()
    };
    assert_eq!(read(Lane::Normal), ["first", "third"]);
    assert_eq!(read(Lane::Urgent), ["now"]);
    assert_eq!(read(Lane::Dead), ["bad"]);
    let dead = &inspector.entries(Lane::Dead).unwrap()[0];
    assert_eq!((dead.note.clone(), dead.records), (Note::new("mapping", "not a number"), 1));
    assert_eq!(dead.pushed_at, sawyer_model::Timestamp::from_secs(1000));
}
