//! Lines into a file.
//!
//! Invariant: each line that was reported as written is in the file or in a rotated one, whole, and nothing is
//! appended to a file whose end is in doubt.

use std::path::Path;
use std::sync::Arc;

use sawyer_disk::{Disk, File, Lock, write_atomic};
use sawyer_model::{Error, ErrorKind};
use sawyer_pipeline::Context;
use sawyer_telemetry::Clock;

use super::settings::{FileSettings, Sync};
use crate::lines::{Lines, Sink};

/// How far from its end a file is searched for the end of a line. A file without one there is not of lines, and is
/// left alone.
const TORN_BYTES_MAX: u64 = 256 << 20;

/// Bytes that are read at once when the end of a line is searched.
const SEARCH_BYTES: u64 = 64 << 10;

/// In the output's own folder: the day on which the file was begun.
const DAY_FILE: &str = "day";

/// Most files rotated within one second; beyond that the disk is asked for something impossible.
const ROTATIONS_PER_SECOND_MAX: u32 = 1000;

pub(super) struct FileSink {
    disk: Arc<dyn Disk>,
    state: Arc<dyn Disk>,
    clock: Clock,
    name: String,
    settings: FileSettings,
    open: Option<Open>,
    /// What became of the last write is unknown: the file is put aside before anything more is written.
    in_doubt: bool,
    lock: Option<Box<dyn Lock>>,
}

struct Open {
    file: Box<dyn File>,
    len: u64,
    /// The day on which it was begun, if days matter.
    day: Option<String>,
}

pub(super) fn cannot(what: &str, error: sawyer_disk::Error) -> Error {
    Error::new(ErrorKind::Retry, what).because(error)
}

/// For `map_err`.
fn failed(what: &'static str) -> impl FnOnce(sawyer_disk::Error) -> Error {
    move |error| cannot(what, error)
}

impl FileSink {
    pub(super) fn new(disk: Arc<dyn Disk>, name: String, settings: FileSettings, context: &Context) -> Self {
        let (state, clock) = (Arc::clone(&context.state), context.clock.clone());
        Self { disk, state, clock, name, settings, open: None, in_doubt: false, lock: None }
    }

    /// Opens the file if it is not open, mends its end, or makes it.
    pub(super) fn open(&mut self) -> Result<(), Error> {
        if self.lock.is_none() {
            let lock = self.disk.lock(Path::new(&format!(".{}.lock", self.name)));
            self.lock = Some(lock.map_err(failed("lock the file"))?);
        }
        if self.in_doubt {
            self.put_aside()?;
            self.in_doubt = false;
        }
        if self.open.is_none() {
            let mut file = self.disk.open_append(self.path()).map_err(failed("open the file"))?;
            let len = mend(&mut *file, &self.name)?;
            self.disk.sync_dir(Path::new("")).map_err(failed("sync the folder"))?;
            let day = self.settings.daily.then(|| self.day_of(len)).transpose()?;
            self.open = Some(Open { file, len, day });
        }
        Ok(())
    }

    /// The day on which the file of this length was begun; for an empty one that is today, which is noted.
    fn day_of(&self, len: u64) -> Result<String, Error> {
        let path = Path::new(DAY_FILE);
        if len > 0 {
            const DAY_BYTES_MAX: u64 = 16;
            match sawyer_disk::read_all(&*self.state, path, DAY_BYTES_MAX) {
                Ok(day) => return Ok(String::from_utf8_lossy(&day).into_owned()),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(cannot("read the day of the file", error)),
            }
        }
        let today = self.today();
        self.state.create_dir_all(Path::new("")).map_err(failed("make the folder for state"))?;
        write_atomic(&*self.state, path, today.as_bytes()).map_err(failed("note the day of the file"))?;
        Ok(today)
    }

    fn today(&self) -> String {
        self.clock.now().to_jiff().strftime("%Y%m%d").to_string()
    }

    fn path(&self) -> &Path {
        Path::new(&self.name)
    }

    /// Makes the file ready for so many bytes more.
    fn prepare(&mut self, bytes: u64) -> Result<(), Error> {
        if let Some(open) = &self.open
            && !self.is_in_place(open.len)?
        {
            tracing::info!(file = self.name, "the file was moved away, cut or removed; it is opened anew");
            self.open = None;
        }
        self.open()?;
        let today = self.settings.daily.then(|| self.today());
        let due = self.open.as_ref().is_some_and(|open| {
            let full = open.len.saturating_add(bytes) > self.settings.size_max.bytes();
            open.len > 0 && (full || open.day != today)
        });
        if due {
            if let Some(open) = self.open.take() {
                open.file.sync_data().map_err(failed("sync the file before it is rotated"))?;
            }
            self.put_aside()?;
            self.open()?;
        }
        Ok(())
    }

    /// Whether the name still stands for a file of this length.
    fn is_in_place(&self, len: u64) -> Result<bool, Error> {
        match self.disk.metadata(self.path()) {
            Ok(metadata) => Ok(metadata.len == len),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(cannot("examine the file", error)),
        }
    }

    /// Renames the file, and removes the oldest of those that were renamed before.
    fn put_aside(&mut self) -> Result<(), Error> {
        self.open = None;
        let moved = self.free_name()?;
        match self.disk.rename(self.path(), Path::new(&moved)) {
            Err(error) if !error.is_not_found() => return Err(cannot("rotate the file", error)),
            _ => {}
        }
        self.disk.sync_dir(Path::new("")).map_err(failed("sync the folder"))?;
        for old in self.superfluous()? {
            self.disk.remove_file(Path::new(&old)).map_err(failed("remove an old file"))?;
        }
        Ok(())
    }

    /// A name for the file when it is rotated now, which sorts behind earlier ones.
    fn free_name(&self) -> Result<String, Error> {
        let stem = format!("{}.{}", self.name, self.clock.now().to_jiff().strftime("%Y%m%dT%H%M%S"));
        for number in 0..ROTATIONS_PER_SECOND_MAX {
            let name = if number == 0 { stem.clone() } else { format!("{stem}-{number:03}") };
            if !self.disk.exists(Path::new(&name)).map_err(failed("look for rotated files"))? {
                return Ok(name);
            }
        }
        Err(Error::new(ErrorKind::Retry, "rotate the file: it was rotated too often within a second"))
    }

    /// Rotated files beyond those that are kept.
    fn superfluous(&self) -> Result<Vec<String>, Error> {
        let entries = self.disk.read_dir(Path::new("")).map_err(failed("look for rotated files"))?;
        let names = entries.into_iter().map(|entry| entry.name);
        let mut rotated: Vec<String> = names.filter(|name| is_rotated(name, &self.name)).collect();
        rotated.sort_unstable();
        rotated.truncate(rotated.len().saturating_sub(self.settings.keep));
        Ok(rotated)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), sawyer_disk::Error> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.file.append(bytes)?;
        open.len += bytes.len() as u64;
        if self.settings.sync == Sync::Never { Ok(()) } else { open.file.sync_data() }
    }
}

impl Sink for FileSink {
    fn write(&mut self, lines: &mut Lines) -> Result<(), Error> {
        self.prepare(lines.rest().len() as u64)?;
        let before = self.open.as_ref().map_or(0, |open| open.len);
        self.append(lines.rest()).map_err(|error| {
            // A full disk takes back what it took; after anything else the end of the file is in doubt.
            let taken_back = error.is_full() && self.open.as_ref().is_some_and(|open| open.len == before);
            self.in_doubt = !taken_back;
            cannot("write to the file", error)
        })
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take()
            && let Err(error) = open.file.sync_data()
        {
            tracing::warn!(file = self.name, %error, "sync the file when it is closed");
        }
    }
}

/// Whether a name is that of a rotated file: `<file>.20261120T120000`, maybe with `-001`.
pub(super) fn is_rotated(name: &str, file: &str) -> bool {
    let Some(time) = name.strip_prefix(file).and_then(|rest| rest.strip_prefix('.')) else { return false };
    let (time, number) = time.split_once('-').unwrap_or((time, "000"));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let shaped = time.len() == 15 && time.as_bytes()[8] == b'T' && number.len() == 3;
    shaped && digits(&time[..8]) && digits(&time[9..]) && digits(number)
}

/// Cuts off a last line that has no end; gives the length.
fn mend(file: &mut dyn File, name: &str) -> Result<u64, Error> {
    let len = file.len().map_err(failed("measure the file"))?;
    let good = end_of_lines(file, len).map_err(failed("read the end of the file"))?;
    let Some(good) = good else {
        let reason = format!("{name} has no end of a line in its last {TORN_BYTES_MAX} bytes; it is no log");
        return Err(Error::new(ErrorKind::Invalid, reason));
    };
    if good < len {
        tracing::warn!(file = name, bytes = len - good, "the last line was not finished; it is cut off");
        file.truncate(good).map_err(failed("cut the file"))?;
        file.sync_data().map_err(failed("sync the file"))?;
    }
    Ok(good)
}

/// Where the last whole line ends; none if it is too far from the end.
fn end_of_lines(file: &dyn File, len: u64) -> sawyer_disk::Result<Option<u64>> {
    let mut end = len;
    while end > 0 {
        if len - end > TORN_BYTES_MAX {
            return Ok(None);
        }
        let start = end.saturating_sub(SEARCH_BYTES);
        let mut bytes = vec![0; (end - start) as usize];
        file.read_exact_at(&mut bytes, start)?;
        if let Some(at) = bytes.iter().rposition(|byte| *byte == b'\n') {
            return Ok(Some(start + at as u64 + 1));
        }
        end = start;
    }
    Ok(Some(0))
}
