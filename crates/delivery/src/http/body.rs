//! Bodies of requests.

use std::io::{BufWriter, Write};

use bytes::Bytes;
use sawyer_config::choice;

/// Level of gzip: the fastest. On log lines higher levels take several times as long for a tenth of the size.
const GZIP_LEVEL: u32 = 1;

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

/// The parts one after the other, compressed. It computes, on a thread for that.
pub async fn compress(parts: Vec<Bytes>, compression: Compression) -> Bytes {
    let work = tokio::task::spawn_blocking(move || {
        let packed = pack(&parts, compression);
        packed.expect("writing to memory does not fail")
    });
    match work.await {
        Ok(packed) => packed.into(),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Parts are gathered to this many bytes before they are compressed: compressors cost something for each call, and
/// records are small.
const GATHERED_BYTES: usize = 64 << 10;

fn pack(parts: &[Bytes], compression: Compression) -> std::io::Result<Vec<u8>> {
    let bytes: usize = parts.iter().map(Bytes::len).sum();
    match compression {
        Compression::None => Ok(parts.concat()),
        Compression::Gzip => {
            let out = Vec::with_capacity(bytes / 6 + 64);
            let encoder = flate2::write::GzEncoder::new(out, flate2::Compression::new(GZIP_LEVEL));
            write_gathered(parts, encoder)?.finish()
        }
        Compression::Zstd => {
            let out = Vec::with_capacity(bytes / 8 + 64);
            write_gathered(parts, zstd::Encoder::new(out, ZSTD_LEVEL)?)?.finish()
        }
    }
}

fn write_gathered<W: Write>(parts: &[Bytes], to: W) -> std::io::Result<W> {
    let mut gathered = BufWriter::with_capacity(GATHERED_BYTES, to);
    parts.iter().try_for_each(|part| gathered.write_all(part))?;
    gathered.into_inner().map_err(std::io::IntoInnerError::into_error)
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
}
