//! Compressing texts, each piece by itself.
//!
//! Owns: the choice of zstd and its level, one context for each thread.
//! Invariant: what comes out has exactly the length that was said, or it is damaged.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

use crate::bytes::{Put, Reader};
use crate::error::{Damage, Decoded};

/// Measured on log messages: level 3 saves another 1.5 % at half the speed.
const LEVEL: i32 = 1;
/// For what is kept once for many rows.
const LEVEL_WELL: i32 = 6;

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Appends how it is kept (one byte), then the bytes, compressed if that makes them shorter. The reader has to know where
/// they end.
pub(crate) fn put_zipped(out: &mut Vec<u8>, bytes: &[u8]) {
    let compressed = COMPRESSOR.with_borrow_mut(|compressor| {
        if compressor.is_none() {
            *compressor = Compressor::new(LEVEL).ok();
        }
        compressor.as_mut().and_then(|compressor| compressor.compress(bytes).ok())
    });
    put_shorter(out, bytes, compressed);
}

/// As [`put_zipped`], as they are.
pub(crate) fn put_plain(out: &mut Vec<u8>, bytes: &[u8]) {
    put_shorter(out, bytes, None);
}

/// As [`put_zipped`], with more work for fewer bytes.
pub(crate) fn put_zipped_well(out: &mut Vec<u8>, bytes: &[u8]) {
    put_shorter(out, bytes, zstd::bulk::compress(bytes, LEVEL_WELL).ok());
}

/// The bytes compressed by a level, if that makes them shorter.
pub(crate) fn squeeze(bytes: &[u8], level: i32) -> Option<Vec<u8>> {
    zstd::bulk::compress(bytes, level).ok().filter(|squeezed| squeezed.len() < bytes.len())
}

fn put_shorter(out: &mut Vec<u8>, bytes: &[u8], compressed: Option<Vec<u8>>) {
    match compressed.filter(|compressed| compressed.len() < bytes.len()) {
        Some(compressed) => {
            out.put_u8(ZSTD);
            out.extend_from_slice(&compressed);
        }
        None => {
            out.put_u8(PLAIN);
            out.extend_from_slice(bytes);
        }
    }
}

/// Reads everything that is left as the work of [`put_zipped`] on `len` bytes. The caller has bounded `len`.
pub(crate) fn unzip(reader: &mut Reader<'_>, len: usize) -> Decoded<Vec<u8>> {
    let kind = reader.u8()?;
    let bytes = reader.take(reader.left())?;
    let plain = match kind {
        PLAIN if bytes.len() == len => bytes.to_vec(),
        PLAIN => return Err(Damage::expected("bytes of the length that was said")),
        ZSTD => decompress(bytes, len)?,
        other => return Err(Damage::unknown("compression", other)),
    };
    Ok(plain)
}

/// Decompresses a zstd frame of `len` bytes. The caller has bounded `len`.
pub(crate) fn decompress(bytes: &[u8], len: usize) -> Decoded<Vec<u8>> {
    let wrong = Damage::expected("a zstd frame of the length that was said");
    let told = zstd::zstd_safe::get_frame_content_size(bytes);
    if !matches!(told, Ok(Some(told)) if told == len as u64) {
        return Err(wrong);
    }
    let plain = DECOMPRESSOR.with_borrow_mut(|decompressor| {
        if decompressor.is_none() {
            *decompressor = Decompressor::new().ok();
        }
        decompressor.as_mut().and_then(|decompressor| decompressor.decompress(bytes, len).ok())
    });
    plain.filter(|plain| plain.len() == len).ok_or(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_is_not_true_is_refused() {
        let mut bytes = Vec::new();
        put_zipped(&mut bytes, &[7; 1000]);
        assert!(bytes.len() < 100);
        assert_eq!(unzip(&mut Reader::new(&bytes), 1000), Ok(vec![7; 1000]));
        assert!(unzip(&mut Reader::new(&bytes), 999).is_err());
        assert!(unzip(&mut Reader::new(&bytes), 1 << 40).is_err());
    }

    #[test]
    fn what_does_not_shrink_is_kept_plain() {
        let mut bytes = Vec::new();
        put_zipped(&mut bytes, b"ab");
        assert_eq!(bytes, b"\0ab");
        assert_eq!(unzip(&mut Reader::new(&bytes), 2), Ok(b"ab".to_vec()));
    }
}
