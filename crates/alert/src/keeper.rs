//! The files of alerts: what is known, and the rules that were made by the API.
//!
//! Owns: their names, their form (`docs/FORMATS.md`, "Alerts"), what happens when one is damaged.
//! Does not own: what is in them (`state`).
//! Invariant: at every moment a file is the old one or the new one, whole. A damaged one is set aside and told.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use sawyer_disk::{Disk, ErrorKind as DiskErrorKind, read_all, write_atomic};
use sawyer_model::{Error, ErrorKind};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::state::State;

const STATE: &str = "state";
const RULES: &str = "rules";

/// Begins every file, followed by the version, the checksum of the rest in hex, and a line feed.
const MAGIC: &str = "sawyer-alerts";
const VERSION: u32 = 1;

/// Longest file that is read. The bounds of the state keep it far below; a longer one is taken for damaged.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Keeps the files.
#[derive(Debug)]
pub(crate) struct Keeper {
    disk: Arc<dyn Disk>,
    /// One writer at a time; the number is that of the newest state that was written.
    written: Mutex<u64>,
}

impl Keeper {
    pub(crate) fn open(disk: Arc<dyn Disk>) -> Result<Self, Error> {
        disk.create_dir_all(Path::new("")).map_err(|error| told("make the folder of alerts", error))?;
        Ok(Self { disk, written: Mutex::new(0) })
    }

    /// What was known when it was last written.
    pub(crate) fn state(&self) -> Result<State, Error> {
        self.read(STATE, FILE_BYTES_MAX)
    }

    /// The rules of the API as they were written, by name.
    pub(crate) fn rules(&self) -> Result<BTreeMap<String, String>, Error> {
        self.read(RULES, FILE_BYTES_MAX)
    }

    /// Writes what is known, unless something newer was written meanwhile.
    pub(crate) fn write_state(&self, number: u64, bytes: &[u8]) -> Result<(), Error> {
        let mut written = self.written.lock();
        if number < *written {
            return Ok(());
        }
        self.write(STATE, bytes)?;
        *written = number;
        Ok(())
    }

    pub(crate) fn write_rules(&self, rules: &BTreeMap<String, String>) -> Result<(), Error> {
        let _one_at_a_time = self.written.lock();
        self.write(RULES, &encode(rules))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        write_atomic(&*self.disk, Path::new(name), bytes)
            .map_err(|error| told("write what is known of alerts", error))
    }

    fn read<T: DeserializeOwned + Default>(&self, name: &str, bytes_max: u64) -> Result<T, Error> {
        let decoded = match read_all(&*self.disk, Path::new(name), bytes_max) {
            Ok(bytes) => decode(&bytes),
            Err(error) if error.is_not_found() => return Ok(T::default()),
            // Refusing to start would end all alerting, and the rest of the process with it.
            Err(error) if error.kind() == DiskErrorKind::TooLarge => {
                Err(Unread::Damaged(format!("it is longer than {bytes_max} bytes")))
            }
            Err(error) => return Err(told("read what is known of alerts", error)),
        };
        match decoded {
            Ok(value) => Ok(value),
            Err(Unread::Newer(version)) => {
                let message = format!("alerts/{name} was written by a newer Sawyer: version={version}");
                Err(Error::new(ErrorKind::Invalid, message))
            }
            Err(Unread::Damaged(why)) => {
                let aside = format!("{name}.damaged");
                tracing::error!(
                    file = name,
                    kept_as = aside,
                    "what was known of alerts is damaged: {why}; starts anew"
                );
                let (from, to) = (Path::new(name), Path::new(&aside));
                let moved = self.disk.rename(from, to).and_then(|()| self.disk.sync_dir(Path::new("")));
                moved.map_err(|error| told("set a damaged file aside", error))?;
                Ok(T::default())
            }
        }
    }
}

fn told(what: &str, error: sawyer_disk::Error) -> Error {
    Error::new(ErrorKind::Retry, what).because(error)
}

/// Why a file cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    Newer(u32),
    Damaged(String),
}

/// A file with this in it.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let body = serde_json::to_vec(value).expect("maps with text as keys, and numbers, are JSON");
    let mut bytes = format!("{MAGIC} {VERSION} {:08x}\n", crc32c::crc32c(&body)).into_bytes();
    bytes.extend_from_slice(&body);
    bytes
}

/// What is in a file.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unread> {
    let damaged = |why: &str| Unread::Damaged(why.to_owned());
    let line = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(|| damaged("it has no head"))?;
    let (head, body) = (&bytes[..line], &bytes[line + 1..]);
    let head = std::str::from_utf8(head).map_err(|_| damaged("its head is no text"))?;
    let mut words = head.split(' ');
    let (magic, version, crc) = (words.next(), words.next(), words.next());
    let version = version.and_then(|word| word.parse::<u32>().ok()).filter(|_| magic == Some(MAGIC));
    let version = version.ok_or_else(|| damaged("it does not begin as such a file"))?;
    if version > VERSION {
        return Err(Unread::Newer(version));
    }
    let expected = crc.and_then(|word| u32::from_str_radix(word, 16).ok());
    if expected != Some(crc32c::crc32c(body)) {
        return Err(damaged("its checksum is not that of its content"));
    }
    serde_json::from_slice(body).map_err(|error| Unread::Damaged(error.to_string()))
}

#[cfg(test)]
mod tests {
    use sawyer_disk::{SimDisk, SimSettings};

    use super::*;

    #[test]
    fn reads_back_and_sets_damage_aside() {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1, SimSettings::default()));
        let keeper = Keeper::open(Arc::clone(&disk)).unwrap();
        assert_eq!(keeper.state().unwrap(), State::default());
        let state = State { next: 7, ..State::default() };
        keeper.write_state(2, &encode(&state)).unwrap();
        keeper.write_state(1, &encode(&State::default())).unwrap();
        assert_eq!(keeper.state().unwrap(), state, "an older state does not replace a newer one");
        let mut bytes = encode(&state);
        *bytes.last_mut().unwrap() ^= 1;
        keeper.write_state(3, &bytes).unwrap();
        assert_eq!(keeper.state().unwrap(), State::default());
        assert!(disk.exists(Path::new("state.damaged")).unwrap());
    }

    #[test]
    fn a_file_that_is_too_long_is_set_aside() {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1, SimSettings::default()));
        let keeper = Keeper::open(Arc::clone(&disk)).unwrap();
        let bytes = encode(&State { next: 7, ..State::default() });
        keeper.write_state(1, &bytes).unwrap();
        assert_eq!(keeper.read::<State>(STATE, bytes.len() as u64).unwrap().next, 7);
        assert_eq!(keeper.read::<State>(STATE, bytes.len() as u64 - 1).unwrap(), State::default());
        assert!(disk.exists(Path::new("state.damaged")).unwrap());
    }

    #[test]
    fn refuses_what_a_newer_version_wrote() {
        let newer = b"sawyer-alerts 2 00000000\n{}";
        assert_eq!(decode::<State>(newer).unwrap_err(), Unread::Newer(2));
        for wrong in ["", "x\n", "sawyer-alerts\n", "sawyer-alerts 1\n{}", "sawyer-alerts 1 00000000\n{}"] {
            assert!(matches!(decode::<State>(wrong.as_bytes()), Err(Unread::Damaged(_))), "{wrong}");
        }
    }
}
