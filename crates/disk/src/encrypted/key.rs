//! Keys, and the keys of files that are made of them.

use std::fmt;

use aes::Aes256;
use aes::cipher::KeyInit;
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// What a key is for, so that no two uses have the same one.
const FOR_NAME: &[u8] = b"sawyer key id";
const FOR_FILE: &[u8] = b"sawyer file";

/// A key for the files of a disk.
#[derive(Clone)]
pub struct Key {
    bytes: [u8; KEY_BYTES],
    id: KeyId,
}

/// The name of a key, which tells nothing about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyId(pub(super) [u8; 8]);

/// A text that is no key.
#[derive(Debug, thiserror::Error)]
#[error("expected a key of 32 bytes: as they are, or as 64 hexadecimal digits; found {0} bytes")]
pub struct KeyError(usize);

impl Key {
    /// The key that a file holds: 32 bytes, or 64 hexadecimal digits with or without a line end.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(content: &[u8]) -> Result<Self, KeyError> {
        let text = content.trim_ascii();
        let digits = text.len() == 2 * KEY_BYTES && text.iter().all(u8::is_ascii_hexdigit);
        let bytes = if digits {
            let digit = |at: usize| (text[at] as char).to_digit(16).unwrap_or_default() as u8;
            std::array::from_fn(|at| digit(2 * at) << 4 | digit(2 * at + 1))
        } else {
            content.try_into().map_err(|_| KeyError(content.len()))?
        };
        let mut id = [0; 8];
        derive(&bytes, &[], FOR_NAME, &mut id);
        Ok(Self { bytes, id: KeyId(id) })
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The cipher of the file with this salt.
    pub(super) fn of_file(&self, salt: &[u8]) -> Aes256 {
        let mut key = [0; KEY_BYTES];
        derive(&self.bytes, salt, FOR_FILE, &mut key);
        Aes256::new(&key.into())
    }
}

/// HKDF with SHA-256 (RFC 5869).
fn derive(key: &[u8], salt: &[u8], info: &[u8], out: &mut [u8]) {
    struct Bytes(usize);
    impl KeyType for Bytes {
        fn len(&self) -> usize {
            self.0
        }
    }
    let prk: Prk = Salt::new(HKDF_SHA256, salt).extract(key);
    let info = [info];
    let material = prk.expand(&info, Bytes(out.len())).expect("shorter than 255 hashes");
    material.fill(out).expect("as long as it was asked for");
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
