//! Identities that nobody else has.

use sawyer_model::SourceId;

/// A source that was never there before: 128 random bits of the system's.
///
/// # Errors
/// If the system has no random numbers, which no system in use does.
pub(crate) fn source() -> std::io::Result<SourceId> {
    let mut bytes = [0u8; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        let flags = rustix::rand::GetRandomFlags::empty();
        match rustix::rand::getrandom(&mut bytes[filled..], flags) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(SourceId(u128::from_le_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_are_alike() {
        assert_ne!(super::source().unwrap(), super::source().unwrap());
    }
}
