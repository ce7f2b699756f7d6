//! Private keys whose lines come as records of their own.

use std::collections::HashMap;

use sawyer_codec::mask::{continues_key, leaves_key_open};
use sawyer_model::{RecordRef, SourceId};

/// Most keys that are followed at once; beyond it, all are forgotten: nobody writes so many at a time.
const KEYS_MAX: usize = 1000;

/// Most lines of a key. The longest in use has about 100.
const LINES_MAX: u32 = 1000;

/// The sources and streams whose last record ended inside a private key, with the lines since.
#[derive(Debug, Default)]
pub(super) struct OpenKeys(HashMap<(SourceId, u128), u32>);

impl OpenKeys {
    /// Whether nobody's last record ended inside a key.
    pub(super) fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the record goes on with a key.
    pub(super) fn continues(&mut self, record: RecordRef<'_>) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let key = key(record);
        let Some(lines) = self.0.get_mut(&key) else { return false };
        *lines += 1;
        let message = record.message();
        let goes_on = *lines <= LINES_MAX && message.lines().all(continues_key);
        if !goes_on || message.contains("-----END ") {
            self.0.remove(&key);
        }
        goes_on
    }

    /// Takes note of a record that ends inside a key.
    pub(super) fn note(&mut self, record: RecordRef<'_>) {
        // A key's first line ends with dashes, and its base64 has none of these.
        if leaves_key_open(record.message()) {
            if self.0.len() >= KEYS_MAX {
                self.0.clear();
            }
            self.0.insert(key(record), 0);
        }
    }
}

fn key(record: RecordRef<'_>) -> (SourceId, u128) {
    (record.source(), record.stream().fingerprint())
}
