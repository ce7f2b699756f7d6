//! Random numbers from the system.

use std::fs::File;
use std::io::{self, Read};

/// 128 random bits.
pub(crate) fn bytes() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
