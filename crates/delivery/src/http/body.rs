//! Bodies of requests.

use std::io::Write;

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

fn pack(parts: &[Bytes], compression: Compression) -> std::io::Result<Vec<u8>> {
    let bytes: usize = parts.iter().map(Bytes::len).sum();
    match compression {
        Compression::None => Ok(parts.concat()),
        Compression::Gzip => {
            let out = Vec::with_capacity(bytes / 6 + 64);
            let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::new(GZIP_LEVEL));
            parts.iter().try_for_each(|part| encoder.write_all(part))?;
            encoder.finish()
        }
        Compression::Zstd => {
            let out = Vec::with_capacity(bytes / 8 + 64);
            let mut encoder = zstd::Encoder::new(out, ZSTD_LEVEL)?;
            parts.iter().try_for_each(|part| encoder.write_all(part))?;
            encoder.finish()
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
}
