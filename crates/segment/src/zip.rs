//! Compressing texts, each piece by itself.
//!
//! Owns: the choice of zstd and its level, one context for each thread.
//! Invariant: what comes out has exactly the length that was said, or it is damaged.

use std::cell::{Cell, RefCell};

use zstd::bulk::{Compressor, Decompressor};

use crate::bytes::{Put, Reader};
use crate::error::{Damage, Decoded};

/// Unless a segment is made otherwise ([`with_level`]).
const LEVEL: i32 = 1;
/// For what is kept once for many rows.
const LEVEL_WELL: i32 = 3;

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

thread_local! {
    /// With the level that it has.
    static COMPRESSOR: RefCell<Option<(Compressor<'static>, i32)>> = const { RefCell::new(None) };
    static LEVEL_HERE: Cell<i32> = const { Cell::new(LEVEL) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Appends how it is kept (one byte), then the bytes, compressed if that makes them shorter. The reader has to know where
/// they end.
pub(crate) fn put_zipped(out: &mut Vec<u8>, bytes: &[u8]) {
    let compressed = COMPRESSOR.with_borrow_mut(|compressor| {
        let level = LEVEL_HERE.get();
        if compressor.as_ref().is_none_or(|(_, has)| *has != level) {
            *compressor = Compressor::new(level).ok().map(|compressor| (compressor, level));
        }
        compressor.as_mut().and_then(|(compressor, _)| compressor.compress(bytes).ok())
    });
    put_shorter(out, bytes, compressed);
}

/// Has [`put_zipped`] compress by this level what `work` does in this thread.
pub(crate) fn with_level<R>(level: i32, work: impl FnOnce() -> R) -> R {
    let before = LEVEL_HERE.replace(level);
    let done = work();
    LEVEL_HERE.set(before);
    done
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
    fn a_level_holds_for_one_piece_of_work() {
        let text: Vec<u8> =
            (0..20_000u32).flat_map(|n| format!("{} of {}\n", n * n, n % 97).into_bytes()).collect();
        let zipped = || {
            let mut out = Vec::new();
            put_zipped(&mut out, &text);
            assert_eq!(unzip(&mut Reader::new(&out), text.len()).as_ref(), Ok(&text));
            out.len()
        };
        let usual = zipped();
        assert!(with_level(9, zipped) < usual && usual < with_level(-5, zipped));
        assert_eq!(zipped(), usual);
    }

    #[test]
    fn what_does_not_shrink_is_kept_plain() {
        let mut bytes = Vec::new();
        put_zipped(&mut bytes, b"ab");
        assert_eq!(bytes, b"\0ab");
        assert_eq!(unzip(&mut Reader::new(&bytes), 2), Ok(b"ab".to_vec()));
    }
}
