//! Bodies of requests, within bounds.
//!
//! Owns: reading a body, decompression. Does not own: what is in it.
//! Invariant: no more memory is taken than there is room for at the desk, whatever a header says.

use std::io::Read;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http_body_util::BodyExt as _;
use hyper::HeaderMap;
use hyper::body::{Body as _, Incoming};
use hyper::header::CONTENT_ENCODING;

use super::desk::{Desk, Room};
use super::trouble::{Reason, Trouble};

/// Longest time that a body may take to come.
const BODY_TIME_MAX: Duration = Duration::from_secs(60);

/// Room that is taken at once: what a header tells has to come first, and what a body becomes is not known before.
const CHUNK_BYTES: usize = 1 << 20;

/// A body, and the room that it takes.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    /// As it came.
    pub(crate) length: usize,
    pub(crate) room: Room,
}

/// Reads a body as it comes.
pub(crate) async fn read(desk: &Desk, body: Incoming) -> Result<Held, Trouble> {
    read_up_to(desk, body, usize::MAX).await
}

/// Reads a body of at most so many bytes, and no more than any body may have.
pub(crate) async fn read_up_to(desk: &Desk, body: Incoming, most: usize) -> Result<Held, Trouble> {
    let most = most.min(desk.intake.request_bytes_max.bytes() as usize);
    let too_large = || Trouble::new(Reason::TooLarge, format!("the body is longer than {most} bytes"));
    let told = body.size_hint().exact();
    if told.is_some_and(|told| told > most as u64) {
        return Err(too_large());
    }
    let mut room = Room::default();
    let mut reserved = told.map_or(CHUNK_BYTES, |told| CHUNK_BYTES.min(told as usize));
    desk.reserve(&mut room, reserved).await?;
    let reading = async {
        let mut bytes = BytesMut::new();
        let mut body = std::pin::pin!(body);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                Trouble::new(Reason::Invalid, format!("the body did not come whole: {error}"))
            })?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > most {
                return Err(too_large());
            }
            while bytes.len() + data.len() > reserved {
                desk.reserve(&mut room, CHUNK_BYTES).await?;
                reserved += CHUNK_BYTES;
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes.freeze())
    };
    let bytes = tokio::select! {
        bytes = reading => bytes?,
        () = tokio::time::sleep(BODY_TIME_MAX) => {
            return Err(Trouble::new(Reason::Slow, "the body did not come in time"));
        }
        // Somebody who is slow would hold up a reload for everybody.
        () = desk.stopped() => return Err(Trouble::new(Reason::Closed, "no more is taken here at present")),
    };
    desk.meters.bytes.inc_by(bytes.len() as u64);
    Ok(Held { length: bytes.len(), bytes, room })
}

/// What `Content-Encoding` says, in small letters; empty if nothing.
pub(crate) fn encoding(headers: &HeaderMap) -> String {
    match headers.get(CONTENT_ENCODING) {
        None => String::new(),
        Some(value) => value.to_str().unwrap_or("?").trim().to_ascii_lowercase(),
    }
}

/// Reads a body and undoes what `Content-Encoding` says.
pub(crate) async fn read_decoded(desk: &Desk, headers: &HeaderMap, body: Incoming) -> Result<Held, Trouble> {
    let encoding = encoding(headers);
    let held = read(desk, body).await?;
    decompress(desk, held, &encoding).await
}

/// Undoes a compression.
pub(crate) async fn decompress(desk: &Desk, held: Held, encoding: &str) -> Result<Held, Trouble> {
    if matches!(encoding, "" | "identity") || held.bytes.is_empty() {
        return Ok(held);
    }
    let most = desk.intake.body_bytes_max.bytes() as usize;
    let Held { bytes, length, mut room } = held;
    let encoding = encoding.to_owned();
    let (rooms, runtime) = (desk.rooms().clone(), tokio::runtime::Handle::current());
    let unpacked = tokio::task::spawn_blocking(move || {
        let mut reserve = |bytes| runtime.block_on(rooms.reserve(&mut room, bytes));
        unpack(&bytes, &encoding, most, &mut reserve).map(|plain| (plain, room))
    });
    let (plain, room) = unpacked
        .await
        .map_err(|panic| Trouble::new(Reason::Bug, format!("decompress the body: {panic}")))??;
    Ok(Held { bytes: plain.into(), length, room })
}

/// Makes room for so many bytes, or says that there is none.
type Reserve<'r> = &'r mut dyn FnMut(usize) -> Result<(), Trouble>;

/// Undoes a compression of a known name.
fn unpack(bytes: &[u8], encoding: &str, most: usize, reserve: Reserve<'_>) -> Result<Vec<u8>, Trouble> {
    match encoding {
        "gzip" | "x-gzip" => limited(MultiGzDecoder::new(bytes), encoding, most, reserve),
        // By the standard with the head of zlib, and from some without it.
        "deflate" if is_zlib(bytes) => limited(ZlibDecoder::new(bytes), encoding, most, reserve),
        "deflate" => limited(DeflateDecoder::new(bytes), encoding, most, reserve),
        "zstd" => match zstd::Decoder::with_buffer(bytes) {
            Ok(decoder) => limited(decoder, encoding, most, reserve),
            Err(error) => Err(broken(encoding, &error)),
        },
        "snappy" => {
            let length = snap::raw::decompress_len(bytes).map_err(|error| broken(encoding, &error))?;
            if length > most {
                return Err(too_long(most));
            }
            reserve(length)?;
            snap::raw::Decoder::new().decompress_vec(bytes).map_err(|error| broken(encoding, &error))
        }
        other => {
            let message =
                format!("content-encoding: expected `gzip`, `deflate`, `zstd` or `snappy`, found `{other}`");
            Err(Trouble::new(Reason::Unsupported, message))
        }
    }
}

fn is_zlib(bytes: &[u8]) -> bool {
    matches!(bytes, [first, second, ..] if first & 15 == 8 && u16::from_be_bytes([*first, *second]) % 31 == 0)
}

fn limited(
    mut decoder: impl Read,
    encoding: &str,
    most: usize,
    reserve: Reserve<'_>,
) -> Result<Vec<u8>, Trouble> {
    let mut plain = Vec::new();
    loop {
        let step = CHUNK_BYTES.min(most - plain.len() + 1);
        reserve(step)?;
        let mut part = (&mut decoder).take(step as u64);
        let length = part.read_to_end(&mut plain).map_err(|error| broken(encoding, &error))?;
        if plain.len() > most {
            return Err(too_long(most));
        }
        if length < step {
            return Ok(plain);
        }
    }
}

fn broken(encoding: &str, error: &dyn std::fmt::Display) -> Trouble {
    Trouble::new(Reason::Invalid, format!("the body is not {encoding}: {error}"))
}

fn too_long(most: usize) -> Trouble {
    Trouble::new(Reason::TooLarge, format!("the body is longer than {most} bytes after decompression"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_small_body_cannot_become_a_huge_one() {
        let zeros = vec![0; 4 << 20];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&zeros).unwrap();
        let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        deflate.write_all(&zeros).unwrap();
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        raw.write_all(&zeros).unwrap();
        let packed = [
            ("gzip", gzip.finish().unwrap()),
            ("deflate", deflate.finish().unwrap()),
            ("deflate", raw.finish().unwrap()),
            ("zstd", zstd::encode_all(&zeros[..], 3).unwrap()),
            ("snappy", snap::raw::Encoder::new().compress_vec(&zeros).unwrap()),
        ];
        for (encoding, bytes) in packed {
            let mut reserved = 0;
            let mut reserve = |bytes| {
                reserved += bytes;
                Ok(())
            };
            let error = unpack(&bytes, encoding, 1 << 20, &mut reserve).unwrap_err();
            assert_eq!(error.status(), 413, "{encoding}");
            assert_eq!(
                unpack(&bytes, encoding, 4 << 20, &mut reserve).unwrap().len(),
                zeros.len(),
                "{encoding}"
            );
            assert!(reserved >= zeros.len(), "{encoding}");
            let full = || Trouble::new(Reason::Full, "");
            let error = unpack(&bytes, encoding, 4 << 20, &mut |_| Err(full())).unwrap_err();
            assert_eq!(error.status(), 503, "{encoding}");
        }
    }

    #[test]
    fn broken_and_unknown_encodings_are_told() {
        for encoding in ["gzip", "deflate", "zstd", "snappy"] {
            assert_eq!(
                unpack(b"\xff\xff\xff\xff\xffno", encoding, 100, &mut |_| Ok(())).unwrap_err().status(),
                400,
                "{encoding}"
            );
        }
        assert_eq!(unpack(b"x", "br", 100, &mut |_| Ok(())).unwrap_err().status(), 415);
    }
}
