//! Bodies of requests.

use std::cell::RefCell;
use std::io::{BufWriter, Write};
use std::sync::Arc;

use bytes::Bytes;
use sawyer_config::choice;

use super::deflate::{Packed, Packer, gzip};

/// Level of zstd.
const ZSTD_LEVEL: i32 = 1;

choice! {
    /// How bodies are compressed.
    pub enum Compression {
        /// Not at all.
        None = "none",
        /// Understood by nearly every target.
        Gzip = "gzip",
        /// Smaller and faster, where the target understands it.
        Zstd = "zstd",
    }
}

impl Compression {
    /// The value of `Content-Encoding`.
    #[must_use]
    pub fn encoding(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }
}

/// A part of a body. One that will be compressed by gzip is compressed already, so that it is done once however often it
/// is sent, and what was compressed need not be kept.
#[derive(Clone, Debug)]
pub struct Piece(Form);

#[derive(Clone, Debug)]
enum Form {
    Plain(Bytes),
    Packed(Arc<Packed>),
}

/// Bytes of a piece from which on larger ones are compressed no better to speak of.
pub const PIECE_BYTES: usize = 128 << 10;

thread_local! {
    static PACKER: RefCell<Packer> = RefCell::new(Packer::new());
}

impl Piece {
    /// A part of a body that is compressed so. It computes.
    #[must_use]
    pub fn of(bytes: &[u8], compression: Compression) -> Self {
        match compression {
            Compression::Gzip => Self(Form::Packed(Arc::new(packed(bytes)))),
            Compression::None | Compression::Zstd => Self::plain(Bytes::copy_from_slice(bytes)),
        }
    }

    /// A part that is compressed when it is sent, together with others.
    #[must_use]
    pub fn plain(bytes: Bytes) -> Self {
        Self(Form::Plain(bytes))
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        match &self.0 {
            Form::Plain(bytes) => bytes.len(),
            Form::Packed(packed) => packed.len(),
        }
    }
}

/// The parts one after the other, compressed. It computes, on a thread for that.
pub async fn compress(parts: Vec<Bytes>, compression: Compression) -> Bytes {
    body(parts.into_iter().map(Piece::plain).collect(), compression).await
}

/// The pieces one after the other, compressed; they were made for the same compression.
pub async fn body(pieces: Vec<Piece>, compression: Compression) -> Bytes {
    let packed = |piece: &Piece| match &piece.0 {
        Form::Packed(packed) => Some(Arc::clone(packed)),
        Form::Plain(_) => None,
    };
    if compression == Compression::Gzip
        && let Some(all) = pieces.iter().map(packed).collect::<Option<Vec<_>>>()
    {
        // The work is done already.
        return gzip(all.iter().map(|packed| &**packed)).into();
    }
    let work = tokio::task::spawn_blocking(move || {
        let packed = pack(&pieces, compression);
        packed.expect("writing to memory does not fail")
    });
    match work.await {
        Ok(packed) => packed.into(),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

fn packed(bytes: &[u8]) -> Packed {
    PACKER.with_borrow_mut(|packer| packer.pack(bytes))
}

fn pack(pieces: &[Piece], compression: Compression) -> std::io::Result<Vec<u8>> {
    let plain = || pieces.iter().filter_map(Piece::as_plain);
    let bytes: usize = plain().map(<[u8]>::len).sum();
    match compression {
        Compression::None => Ok(plain().collect::<Vec<_>>().concat()),
        Compression::Gzip => Ok(gzip(pack_gathered(pieces).iter().map(|packed| &**packed))),
        Compression::Zstd => {
            let out = Vec::with_capacity(bytes / 8 + 64);
            // Compressors cost something for each call, and records are small.
            let mut gathered = BufWriter::with_capacity(PIECE_BYTES, zstd::Encoder::new(out, ZSTD_LEVEL)?);
            plain().try_for_each(|part| gathered.write_all(part))?;
            gathered.into_inner().map_err(std::io::IntoInnerError::into_error)?.finish()
        }
    }
}

/// Plain pieces beside each other are compressed together.
fn pack_gathered(pieces: &[Piece]) -> Vec<Arc<Packed>> {
    let (mut out, mut gathered) = (Vec::new(), Vec::new());
    let pack = |gathered: &mut Vec<u8>, out: &mut Vec<Arc<Packed>>| {
        if !gathered.is_empty() {
            out.push(Arc::new(packed(gathered)));
            gathered.clear();
        }
    };
    for piece in pieces {
        match &piece.0 {
            Form::Packed(packed) => {
                pack(&mut gathered, &mut out);
                out.push(Arc::clone(packed));
            }
            Form::Plain(bytes) => {
                for part in bytes.chunks(PIECE_BYTES) {
                    if gathered.len() + part.len() > PIECE_BYTES {
                        pack(&mut gathered, &mut out);
                    }
                    gathered.extend_from_slice(part);
                }
            }
        }
    }
    pack(&mut gathered, &mut out);
    out
}

impl Piece {
    fn as_plain(&self) -> Option<&[u8]> {
        match &self.0 {
            Form::Plain(bytes) => Some(bytes),
            Form::Packed(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[tokio::test]
    async fn every_form_reads_back() {
        let parts = || (0..1000).map(|at| Bytes::from(format!("line {at}\n"))).collect::<Vec<_>>();
        let plain = parts().concat();
        assert_eq!(compress(parts(), Compression::None).await, plain);
        let packed = compress(parts(), Compression::Gzip).await;
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&*packed).read_to_end(&mut text).unwrap();
        assert_eq!(text, plain);
        let packed = compress(parts(), Compression::Zstd).await;
        assert_eq!(zstd::decode_all(&*packed).unwrap(), plain);
    }

    #[tokio::test]
    async fn pieces_go_together_however_they_are_kept() {
        let text = |at: usize| format!("{{\"line\":{at}}}\n").repeat(at * 3000);
        let plain: String = (0..5).map(text).collect();
        let gzip = |odd: usize| {
            let piece = move |at: usize| match at % 2 == odd {
                true => Piece::plain(text(at).into()),
                false => Piece::of(text(at).as_bytes(), Compression::Gzip),
            };
            body((0..5).map(piece).collect(), Compression::Gzip)
        };
        for odd in 0..3 {
            let mut read = String::new();
            flate2::read::GzDecoder::new(&*gzip(odd).await).read_to_string(&mut read).unwrap();
            assert!(read == plain);
        }
        for compression in [Compression::None, Compression::Zstd] {
            let pieces = (0..5).map(|at| Piece::of(text(at).as_bytes(), compression)).collect();
            let sent = body(pieces, compression).await;
            let read = match compression {
                Compression::Zstd => zstd::decode_all(&*sent).unwrap().into(),
                _ => sent,
            };
            assert!(read == plain);
        }
    }
}
