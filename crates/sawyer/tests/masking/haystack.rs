//! Everything that was written, to be searched.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use aho_corasick::AhoCorasick;
use serde_json::Value;

use crate::secrets::Secret;

/// How a frame of zstd begins (RFC 8878, 3.1.1).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Largest text that is looked for in a frame.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// A random part of a secret that is this long does not stand anywhere by chance.
const PIECE_BYTES: usize = 8;

/// Bytes, and where they were found.
#[derive(Default)]
pub(crate) struct Haystack(Vec<(String, Vec<u8>)>);

impl Haystack {
    /// All files below a folder, as they are and with what is compressed in them.
    pub(crate) fn of_folder(folder: &Path) -> Self {
        let mut all = Self::default();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(bytes) = fs::read(&path) {
                    let name = path.to_string_lossy().into_owned();
                    for at in memchr::memmem::find_iter(&bytes, &ZSTD_MAGIC) {
                        // What only looks like a frame is none.
                        if let Ok(plain) = zstd::bulk::decompress(frame(&bytes[at..]), FRAME_BYTES_MAX) {
                            all.add(&name, plain);
                        }
                    }
                    all.add(&name, bytes);
                }
            }
        }
        all
    }

    pub(crate) fn add(&mut self, place: &str, bytes: Vec<u8>) {
        self.0.push((place.to_owned(), bytes));
    }

    /// Every text in a value, without the escapes of JSON.
    pub(crate) fn add_values(&mut self, place: &str, value: &Value) {
        match value {
            Value::String(text) => self.add(place, text.clone().into_bytes()),
            Value::Array(values) => values.iter().for_each(|value| self.add_values(place, value)),
            Value::Object(values) => values.values().for_each(|value| self.add_values(place, value)),
            _ => {}
        }
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// What lies in places whose names have this in them.
    pub(crate) fn only(&self, place: &str) -> Self {
        Self(self.0.iter().filter(|(name, _)| name.contains(place)).cloned().collect())
    }

    /// The pieces of secrets that are there: what each is a piece of, and where it is.
    pub(crate) fn survivors(&self, secrets: &[Secret]) -> Vec<String> {
        let mut found = BTreeSet::new();
        self.search(secrets, |secret, needle, place, bytes, at| {
            let (from, to) = (at.saturating_sub(60), (at + 60).min(bytes.len()));
            let near = String::from_utf8_lossy(&bytes[from..to]).into_owned();
            found.insert(format!("{}: {needle} in {place}: {near:?}", secrets[secret].kind));
        });
        found.into_iter().collect()
    }

    /// How many of the secrets are there with any piece.
    pub(crate) fn seen(&self, secrets: &[Secret]) -> usize {
        let mut seen = BTreeSet::new();
        self.search(secrets, |secret, _, _, _, _| {
            seen.insert(secret);
        });
        seen.len()
    }

    /// Tells of every piece of a secret: the secret's number, the piece, where it is found, and at which byte.
    fn search(&self, secrets: &[Secret], mut tell: impl FnMut(usize, &str, &str, &[u8], usize)) {
        let mut needles: Vec<(usize, &str)> = Vec::new();
        for (number, secret) in secrets.iter().enumerate() {
            for core in &secret.cores {
                match core.is_random {
                    true => needles.extend(pieces(&core.text).map(|piece| (number, piece))),
                    false => needles.push((number, &core.text)),
                }
            }
        }
        let search = AhoCorasick::new(needles.iter().map(|(_, needle)| needle)).unwrap();
        for (place, bytes) in &self.0 {
            for hit in search.find_iter(bytes) {
                let (number, needle) = needles[hit.pattern().as_usize()];
                tell(number, needle, place, bytes, hit.start());
            }
        }
    }
}

/// The bytes of the frame that begins here.
fn frame(bytes: &[u8]) -> &[u8] {
    zstd::zstd_safe::find_frame_compressed_size(bytes).map_or(bytes, |len| &bytes[..len.min(bytes.len())])
}

/// Pieces of a text, so close that whatever is left of it and a little longer than one has one in it.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let last = text.len().saturating_sub(PIECE_BYTES);
    (0..=last).step_by(3).filter_map(|at| text.get(at..(at + PIECE_BYTES).min(text.len())))
}
