//! How the files of an input are found and told apart.
//!
//! Owns: what a layout has to say about each file; rotated siblings and their order.
//! Does not own: any one layout (`containers`, `files`).
//! Invariant: the members of a group are the parts of one log, and sort from the oldest to the newest.

use std::cmp::Reverse;
use std::fmt;
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sawyer_model::{Stream, Value};

use super::content::FileStat;
use super::folders::{FolderState, Folders, Names};
use super::lines::{Form, Voice};
use super::reader::RotateSettings;
use super::watch::Waker;

/// Knows more about who speaks than the place of a file tells. It never waits.
pub(crate) trait About: fmt::Debug + Send {
    /// A number that changes whenever an answer may have changed.
    fn version(&self) -> u64;

    /// How long the first lines of a file wait for an answer.
    fn patience(&self) -> Duration;

    /// What is known about whoever has this identity.
    fn tell(&self, identity: &Stream) -> Told;
}

/// What is known about a speaker.
#[derive(Debug)]
pub(crate) enum Told {
    /// Nothing, or not yet.
    Nothing,
    /// Its identity has these fields besides, and each of its outputs what is said of that alone.
    Fields(Vec<(Box<str>, Value)>, [OfVoice; Voice::COUNT]),
    /// Its lines are not wanted.
    Unwanted,
}

/// What is known about one output of a speaker.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OfVoice {
    /// Its lines are not wanted.
    pub(crate) unwanted: bool,
    /// Fields that the others do not have.
    pub(crate) fields: Vec<(Box<str>, Value)>,
}

/// Finds files, and says who speaks in them.
pub(crate) trait Layout: fmt::Debug + Send {
    /// Who knows more about the speakers; nobody by default.
    fn about(&self) -> Option<&dyn About> {
        None
    }

    /// What has to run beside the reading, so that more becomes known; nothing by default. It does not end. It may
    /// wake the reading, to have it asked whether it is to look at the machine.
    fn companion(&mut self, _wake: Waker) -> Option<Companion> {
        None
    }

    /// Whether something became known that asks for a look at the machine. Said once.
    fn wants_scan(&self) -> bool {
        false
    }

    /// The folder out of which a file must not lead, whatever links there are on the way, because others write there
    /// whom nobody trusts; none by default.
    fn confines(&self, _file: &Path) -> Option<PathBuf> {
        None
    }

    /// Whether a file is to be closed while nothing is added to it, because somebody waits for that; not by default.
    fn lets_go(&self, _found: &FoundFile) -> bool {
        false
    }

    /// Whether the times of its folders tell that something changed in them, as on any disk of a machine's own; not by
    /// default.
    fn trusts_times(&self) -> bool {
        false
    }

    /// Looks at the machine.
    fn scan(&mut self, scan: &mut Scan);

    /// Who speaks in a file that was found.
    ///
    /// # Errors
    /// Why that cannot be told yet.
    fn identity(&self, found: &FoundFile) -> Result<Arc<Stream>, io::Error>;

    /// The form of its lines, seen the first of them.
    fn form(&self, found: &FoundFile, first_line: &[u8]) -> Form;

    /// How its files are known again.
    fn identify_by(&self) -> IdentifyBy;

    /// How this one is known again.
    fn identify_file_by(&self, _found: &FoundFile) -> IdentifyBy {
        self.identify_by()
    }

    /// How its files are rotated by whoever reads them; not at all by default.
    fn rotates(&self) -> Option<&RotateSettings> {
        None
    }

    /// The places it looks at, and whether they are there.
    fn places(&self) -> Vec<(PathBuf, bool)>;
}

/// Work that goes on beside the reading.
pub(crate) type Companion = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What makes two files the same source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdentifyBy {
    /// The first line in its group: it begins with a time in nanoseconds, so no two files share it.
    FirstLine,
    /// Inode and beginning: first lines may be alike.
    Inode,
}

/// What a look at the machine found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// The files, each inode once.
    pub(crate) files: Vec<FoundFile>,
    /// Folders in which more may appear.
    pub(crate) folders: Vec<PathBuf>,
    /// What could not be looked at.
    pub(crate) errors: Vec<(PathBuf, io::Error)>,
    /// What folders held before, if their times can be trusted.
    pub(crate) known: Option<Folders>,
}

impl Scan {
    /// Whether this look did not list a folder, because nothing changed in it since the last one.
    pub(crate) fn is_same(&self, folder: &Path) -> bool {
        self.known.as_ref().is_some_and(|known| known.is_same(folder))
    }
}

/// What the files of a log have in common.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) group: Arc<str>,
    pub(crate) source: Arc<str>,
    pub(crate) owner: Arc<Owner>,
}

impl Log {
    /// One that is known by its path alone.
    pub(crate) fn named(path: &str) -> Self {
        let group: Arc<str> = path.into();
        Self { source: Arc::clone(&group), group, owner: Arc::default() }
    }

    /// One of its files, which is no link and belongs to its first part. The name tells its age, and whether it is compressed.
    pub(crate) fn file(
        &self,
        path: PathBuf,
        stat: FileStat,
        (rotation, gzip): (Rotation, bool),
    ) -> FoundFile {
        let Self { group, source, owner } = self.clone();
        FoundFile { path, group, part: 0, rotation, gzip, source, owner, stat, linked: false }
    }
}

/// A file that was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FoundFile {
    /// Where it is opened.
    pub(crate) path: PathBuf,
    /// The log it is a part of.
    pub(crate) group: Arc<str>,
    /// Which part: the restart count of a container.
    pub(crate) part: u32,
    /// How old it is among the files of its part.
    pub(crate) rotation: Rotation,
    /// Whether it is compressed.
    pub(crate) gzip: bool,
    /// The path that records name: that of the log, as it is on the host, rotated or not.
    pub(crate) source: Arc<str>,
    /// Who speaks, as far as its place says.
    pub(crate) owner: Arc<Owner>,
    /// What the system says of it.
    pub(crate) stat: FileStat,
    /// Whether its name is that of a link, which may lead elsewhere tomorrow; then `path` is where it leads.
    pub(crate) linked: bool,
}

impl FoundFile {
    /// Whether it has the name of another, compressed or not.
    pub(crate) fn is_of_same_age(&self, other: &Self) -> bool {
        (&self.group, self.part, &self.rotation) == (&other.group, other.part, &other.rotation)
    }

    /// Whether a compressed file is a copy of this one, by its name. A number may be that of a younger file by now; a
    /// time never is.
    pub(crate) fn is_original_of(&self, copy: &Self) -> bool {
        let is_dated = matches!(self.rotation, Rotation::Dated(_));
        copy.gzip && !self.gzip && is_dated && self.is_of_same_age(copy)
    }
}

/// Who speaks in the log of a container, as far as its place says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) namespace: Option<String>,
    pub(crate) pod: Option<String>,
    pub(crate) pod_uid: Option<String>,
    pub(crate) container: Option<String>,
    pub(crate) image: Option<String>,
    pub(crate) restart_count: Option<u32>,
}

/// The age of a file among its siblings; sorts from the oldest to the newest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rotation {
    /// `.1`, `.2` …: the larger, the older.
    Numbered(Reverse<u32>),
    /// A time after the name: `.20261120-100422`, `-20261120`.
    Dated(String),
    /// The file that is written.
    Live,
}

impl Rotation {
    /// Reads what follows the name of the live file; also says whether the file is compressed. Nothing for names
    /// that are no rotated sibling, such as files that are still being compressed.
    pub(crate) fn parse(suffix: &str) -> Option<(Self, bool)> {
        let (suffix, gzip) = match suffix.strip_suffix(".gz") {
            Some(rest) => (rest, true),
            None => (suffix, false),
        };
        let rest = match suffix.as_bytes().first() {
            None if gzip => return None,
            None => return Some((Self::Live, false)),
            Some(b'.' | b'-') => &suffix[1..],
            Some(_) => return None,
        };
        let digits = rest.bytes().all(|byte| byte.is_ascii_digit());
        if digits && (1..=4).contains(&rest.len()) {
            return Some((Self::Numbered(Reverse(rest.parse().ok()?)), gzip));
        }
        let date =
            |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b'.' | b'_' | b'T' | b'Z');
        let dated = rest.len() >= 8 && rest.as_bytes()[0].is_ascii_digit() && rest.bytes().all(date);
        dated.then(|| (Self::Dated(rest.to_owned()), gzip))
    }
}

/// The names in a folder with what they are; what goes wrong with one of them does not hide the others.
pub(crate) fn list(folder: &Path, scan: &mut Scan) -> Vec<(String, PathBuf)> {
    let listed = list_inodes(folder, scan);
    listed.names.iter().map(|(name, _)| (name.clone(), folder.join(name))).collect()
}

/// The names in a folder with their inodes.
#[derive(Default)]
struct Listed {
    names: Arc<Names>,
    /// The state of the folder, if its names are known from before.
    before: Option<FolderState>,
}

fn list_inodes(folder: &Path, scan: &mut Scan) -> Listed {
    let began = Instant::now();
    let state = scan.known.as_ref().and_then(|_| FolderState::of(folder));
    if let (Some(known), Some(state)) = (&mut scan.known, state)
        && let Some(names) = known.names(folder, state)
    {
        scan.folders.push(folder.to_owned());
        return Listed { names, before: Some(state) };
    }
    match read_names(folder) {
        Ok((names, errors)) => {
            let names = Arc::new(names);
            if let (Some(known), Some(state), true) = (&mut scan.known, state, errors.is_empty()) {
                known.keep(folder, state, began, &names);
            }
            scan.folders.push(folder.to_owned());
            scan.errors.extend(errors.into_iter().map(|error| (folder.to_owned(), error)));
            return Listed { names, before: None };
        }
        Err(error) if is_absent(&error) => {
            // It will appear in the nearest folder that is there.
            scan.folders.extend(folder.ancestors().skip(1).find(|above| above.is_dir()).map(Path::to_owned));
        }
        Err(error) => scan.errors.push((folder.to_owned(), error)),
    }
    Listed::default()
}

/// The names in a folder with their inodes, sorted, and what went wrong with some of them.
fn read_names(folder: &Path) -> io::Result<(Names, Vec<io::Error>)> {
    let (mut names, mut errors) = (Vec::new(), Vec::new());
    for entry in folder.read_dir()? {
        match entry {
            // Names that are not text are none that kubelet, docker or logrotate make.
            Ok(entry) => names.extend(entry.file_name().into_string().ok().map(|name| (name, entry.ino()))),
            Err(error) => errors.push(error),
        }
    }
    names.sort();
    Ok((names, errors))
}

/// How often a folder is looked at in which names move meanwhile: files are rotated far more seldom.
const LOOKS_MAX: u32 = 4;

/// What lies in a folder of logs.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) is_link: bool,
    /// What the system says of it, if it is a regular file.
    pub(crate) stat: Option<FileStat>,
}

/// What lies in a folder, all of it as it was at one time: where a file was rotated or compressed meanwhile, one may be
/// missing, and another have the name of an older one.
pub(crate) fn look(folder: &Path, scan: &mut Scan) -> Vec<Entry> {
    let (folders, errors) = (scan.folders.len(), scan.errors.len());
    let mut entries = Vec::new();
    for _ in 0..LOOKS_MAX {
        entries.clear();
        scan.folders.truncate(folders);
        scan.errors.truncate(errors);
        let Listed { names, before } = list_inodes(folder, scan);
        for (name, _) in names.iter() {
            let (name, path) = (name.clone(), folder.join(name));
            match path.symlink_metadata() {
                Ok(metadata) => {
                    let stat = metadata.is_file().then(|| FileStat::from(&metadata));
                    entries.push(Entry { name, path, is_link: metadata.is_symlink(), stat });
                }
                Err(error) if is_absent(&error) => {}
                Err(error) => scan.errors.push((path, error)),
            }
        }
        let stood_still = match before {
            // It was old already, so a change would show in it.
            Some(before) => FolderState::of(folder) == Some(before),
            // The time at which a folder changed a moment ago is too coarse to tell.
            None => read_names(folder).unwrap_or_default().0 == *names,
        };
        if stood_still {
            break;
        }
    }
    entries
}

/// Whether an error only says that something is not there (any more).
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_rotated_siblings_from_other_names() {
        let numbered = |n| Rotation::Numbered(Reverse(n));
        let dated = |text: &str| Rotation::Dated(text.to_owned());
        for (suffix, expected) in [
            ("", Some((Rotation::Live, false))),
            (".1", Some((numbered(1), false))),
            (".12.gz", Some((numbered(12), true))),
            (".20261120-100422", Some((dated("20261120-100422"), false))),
            (".20261120-100422.gz", Some((dated("20261120-100422"), true))),
            ("-20261120.gz", Some((dated("20261120"), true))),
            (".gz", None),
            (".20261120-100422.tmp", None),
            (".bak", None),
            ("x", None),
            ("~", None),
        ] {
            assert_eq!(Rotation::parse(suffix), expected, "{suffix}");
        }
    }

    #[test]
    fn the_oldest_comes_first() {
        let mut all: Vec<Rotation> =
            ["", ".1", ".10", ".2"].map(|suffix| Rotation::parse(suffix).unwrap().0).into();
        all.sort();
        let order = [".10", ".2", ".1", ""].map(|suffix| Rotation::parse(suffix).unwrap().0);
        assert_eq!(all, order);
    }
}
