//! An encrypted file: a header, then the content under the file's own key.

use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;

use aes::Aes256;
use aes::cipher::{InnerIvInit, StreamCipher, StreamCipherCoreWrapper, StreamCipherSeek};
use ctr::{CtrCore, flavors::Ctr128BE};
use ring::rand::{SecureRandom, SystemRandom};

use super::key::{Key, KeyId};
use crate::{Error, ErrorKind, File, Result};

/// Length of a copy of the header.
const COPY_BYTES: usize = 64;

/// Length of the header: it stands there twice, so that one bit that is wrong does not take all of the file with it.
pub(super) const HEADER_BYTES: usize = 2 * COPY_BYTES;

/// Begins every encrypted file. The byte `FF` is in no UTF-8 text.
const MAGIC: [u8; 7] = *b"SWencr\xff";

/// The version of the form, behind that.
const VERSION: u8 = 1;

const ID_AT: usize = 8;
const SALT_AT: usize = 16;
const SALT_BYTES: usize = 32;
const CRC_AT: usize = COPY_BYTES - 4;

/// What a file begins with.
#[derive(Clone)]
pub(super) enum Head {
    /// Content, as it is.
    None,
    /// A header that was cut: whoever made the file came no further, so there is nothing in it.
    Cut,
    /// A header.
    Whole { copy: [u8; COPY_BYTES], cipher: Box<Aes256> },
}

impl Head {
    /// The header of a new file.
    pub(super) fn new(key: &Key) -> io::Result<Self> {
        let mut copy = [0; COPY_BYTES];
        copy[..MAGIC.len()].copy_from_slice(&MAGIC);
        copy[MAGIC.len()] = VERSION;
        copy[ID_AT..SALT_AT].copy_from_slice(&key.id().0);
        let salt = &mut copy[SALT_AT..SALT_AT + SALT_BYTES];
        SystemRandom::new().fill(salt).map_err(|_| io::Error::other("the system has no random bytes"))?;
        let cipher = Box::new(key.of_file(salt));
        let crc = crc32c::crc32c(&copy[..CRC_AT]);
        copy[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        Ok(Self::Whole { copy, cipher })
    }

    /// What a file begins with. A header of which both copies are damaged counts as content, which whoever reads it finds to
    /// be none.
    pub(super) fn read(path: &Path, file: &dyn File, keys: &[Key]) -> Result<Self> {
        let mut bytes = [0; HEADER_BYTES];
        let mut filled = 0;
        while filled < HEADER_BYTES {
            match file.read_at(&mut bytes[filled..], filled as u64)? {
                0 => break,
                more => filled += more,
            }
        }
        let begun = filled.min(MAGIC.len());
        if filled < HEADER_BYTES {
            let is_begun = begun > 0 && bytes[..begun] == MAGIC[..begun];
            return Ok(if is_begun { Self::Cut } else { Self::None });
        }
        let is_sound = |copy: &&[u8; COPY_BYTES]| {
            copy.starts_with(&MAGIC) && crc32c::crc32c(&copy[..CRC_AT]).to_le_bytes() == copy[CRC_AT..]
        };
        let Some(copy) = bytes.as_chunks().0.iter().find(is_sound).copied() else { return Ok(Self::None) };
        if copy[MAGIC.len()] != VERSION {
            let later =
                io::Error::new(io::ErrorKind::InvalidData, "encrypted in the form of another version");
            return Err(Error::from_io(later, "open", path));
        }
        let id = &copy[ID_AT..SALT_AT];
        let key = keys.iter().find(|key| key.id() == KeyId(id.try_into().expect("eight bytes")));
        let key = key.ok_or_else(|| Error::new(ErrorKind::NoKey, "open", path))?;
        let cipher = Box::new(key.of_file(&copy[SALT_AT..SALT_AT + SALT_BYTES]));
        Ok(Self::Whole { copy, cipher })
    }

    /// What stands before the content.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Whole { copy, .. } => copy.repeat(2),
            Self::None | Self::Cut => Vec::new(),
        }
    }

    /// How many bytes of a file of this length are not its content.
    pub(super) fn len(&self, file_len: u64) -> u64 {
        match self {
            Self::None => 0,
            Self::Cut => file_len,
            Self::Whole { .. } => HEADER_BYTES as u64,
        }
    }

    /// Encrypts or decrypts what stands at this place of the content, which is the same.
    fn apply(&self, bytes: &mut [u8], offset: u64) {
        if let Self::Whole { cipher, .. } = self {
            let core = CtrCore::<_, Ctr128BE>::inner_iv_init((**cipher).clone(), &[0; 16].into());
            let mut stream = StreamCipherCoreWrapper::from_core(core);
            stream.seek(offset);
            stream.apply_keystream(bytes);
        }
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Cut => "Cut",
            Self::Whole { .. } => "Whole",
        })
    }
}

/// A file that is encrypted, or one that is not.
#[derive(Debug)]
pub(super) struct EncryptedFile {
    inner: Box<dyn File>,
    head: Head,
    /// Where the content ends, for whoever appends.
    end: u64,
}

impl EncryptedFile {
    pub(super) fn new(inner: Box<dyn File>, head: Head) -> Result<Self> {
        let len = inner.len()?;
        let end = len - head.len(len).min(len);
        Ok(Self { inner, head, end })
    }

    /// Where this place of the content is in the file.
    fn at(&self, offset: u64) -> u64 {
        offset.saturating_add(if matches!(self.head, Head::Whole { .. }) { HEADER_BYTES as u64 } else { 0 })
    }
}

impl File for EncryptedFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.append_vectored(&[IoSlice::new(bytes)])
    }

    fn append_vectored(&mut self, parts: &[IoSlice<'_>]) -> Result<()> {
        let mut all = parts.iter().map(|part| &**part).collect::<Vec<_>>().concat();
        self.head.apply(&mut all, self.end);
        self.inner.append(&all)?;
        self.end += all.len() as u64;
        Ok(())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        if matches!(self.head, Head::Cut) {
            // It has no content, and its own error says so.
            return self.inner.read_exact_at(buffer, u64::MAX - buffer.len() as u64);
        }
        self.inner.read_exact_at(buffer, self.at(offset))?;
        self.head.apply(buffer, offset);
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        if matches!(self.head, Head::Cut) {
            return Ok(0);
        }
        let read = self.inner.read_at(buffer, self.at(offset))?;
        self.head.apply(&mut buffer[..read], offset);
        Ok(read)
    }

    fn len(&self) -> Result<u64> {
        let len = self.inner.len()?;
        Ok(len.saturating_sub(self.head.len(len)))
    }

    fn sync_data(&self) -> Result<()> {
        self.inner.sync_data()
    }

    fn truncate(&mut self, len: u64) -> Result<()> {
        self.inner.truncate(self.at(len))?;
        self.end = self.end.min(len);
        Ok(())
    }
}
