//! Compressing texts, each piece by itself.
//!
//! Owns: the choice of zstd and its level, one context for each thread.
//! Invariant: what comes out has exactly the length that was said, or it is damaged.

use std::cell::{Cell, RefCell};
use std::io;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

use crate::bytes::{Put, Reader};
use crate::error::{Damage, Decoded};

/// Unless a segment is made otherwise ([`with_level`]).
const LEVEL: i32 = 1;
/// For what is kept once for many rows.
const LEVEL_WELL: i32 = 3;
/// How far back what repeats itself is found in whole batches: 1 MiB, which most of them have not. The level by itself
/// stops at half of that.
const FAR_WINDOW_LOG: u32 = 20;
/// So many places are remembered there, four times as many as the level has: a line is found in the columns of its fields. It
/// is a fifth fewer bytes for less work. A thread that compresses batches holds 780 KB for it, beside 580 if it compresses other
/// pieces as well.
const FAR_HASH_LOG: u32 = 16;

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

thread_local! {
    /// With the level that it has.
    static COMPRESSOR: RefCell<Option<(Compressor<'static>, i32)>> = const { RefCell::new(None) };
    static FAR_COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
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

/// As [`put_zipped`], for a whole batch at once, in which the same text stands far apart.
pub(crate) fn put_zipped_far(out: &mut Vec<u8>, bytes: &[u8]) {
    let compressed = FAR_COMPRESSOR.with_borrow_mut(|compressor| {
        if compressor.is_none() {
            *compressor = far_compressor().ok();
        }
        compressor.as_mut().and_then(|compressor| compressor.compress(bytes).ok())
    });
    put_shorter(out, bytes, compressed);
}

fn far_compressor() -> io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(LEVEL)?;
    compressor.set_parameter(CParameter::WindowLog(FAR_WINDOW_LOG))?;
    compressor.set_parameter(CParameter::HashLog(FAR_HASH_LOG))?;
    Ok(compressor)
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
    fn what_was_said_far_back_is_found() {
        let mut state = 7u64;
        let mut digits = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{:016x}", state ^ state >> 32)
        };
        let ids: Vec<String> = (0..40_000).map(|_| digits()).collect();
        // Each id by itself, then in a line: 640 kB apart, and 40,000 of them.
        let mut text = ids.concat();
        ids.iter().for_each(|id| text.push_str(id));
        let zipped = |put: fn(&mut Vec<u8>, &[u8])| {
            let mut out = Vec::new();
            put(&mut out, text.as_bytes());
            assert_eq!(unzip(&mut Reader::new(&out), text.len()).as_deref(), Ok(text.as_bytes()));
            out.len()
        };
        let (near, far) = (zipped(put_zipped), zipped(put_zipped_far));
        assert!(far * 4 < near * 3, "{far} {near}");
    }

    #[test]
    fn what_does_not_shrink_is_kept_plain() {
        let mut bytes = Vec::new();
        put_zipped(&mut bytes, b"ab");
        assert_eq!(bytes, b"\0ab");
        assert_eq!(unzip(&mut Reader::new(&bytes), 2), Ok(b"ab".to_vec()));
    }
}
