//! Sizes in bytes, as people write them.

use std::fmt;
use std::str::FromStr;

use crate::quantity::Quantity;

/// Units for printing: among equally short forms the first wins.
const UNITS: [(&str, u64); 11] = [
    ("PiB", 1 << 50),
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("PB", 1_000_000_000_000_000),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// A number of bytes, written `10MiB`, `1.5 GiB`, `64KiB`, `500B` or `0`.
///
/// `KiB`, `MiB` … (also `Ki`, `Mi` as in Kubernetes) are powers of 1024; `KB`, `MB` … powers of 1000.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

impl ByteSize {
    /// Nothing.
    pub const ZERO: ByteSize = ByteSize(0);
    /// The largest size.
    pub const MAX: ByteSize = ByteSize(u64::MAX);

    /// A number of bytes.
    pub const fn new(bytes: u64) -> ByteSize {
        ByteSize(bytes)
    }

    /// Times 1024 bytes, at most [`ByteSize::MAX`].
    pub const fn kib(count: u64) -> ByteSize {
        ByteSize(count.saturating_mul(1 << 10))
    }

    /// Times 1024² bytes, at most [`ByteSize::MAX`].
    pub const fn mib(count: u64) -> ByteSize {
        ByteSize(count.saturating_mul(1 << 20))
    }

    /// Times 1024³ bytes, at most [`ByteSize::MAX`].
    pub const fn gib(count: u64) -> ByteSize {
        ByteSize(count.saturating_mul(1 << 30))
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes for use in memory, at most what the machine can address.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// The text is not a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {EXPECTED}")]
pub struct NotASize;

/// How a message calls a size.
pub(crate) const EXPECTED: &str = "a size such as \"10MiB\"";

impl FromStr for ByteSize {
    type Err = NotASize;

    fn from_str(text: &str) -> Result<ByteSize, NotASize> {
        let quantity = Quantity::read(text.trim()).ok_or(NotASize)?;
        if !quantity.rest.is_empty() {
            return Err(NotASize);
        }
        let unit = match quantity.unit {
            "" if quantity.is_zero() => 1,
            unit => unit_bytes(unit).ok_or(NotASize)?,
        };
        let bytes = quantity.times(unit.into()).ok_or(NotASize)?;
        u64::try_from(bytes).map(ByteSize).map_err(|_| NotASize)
    }
}

fn unit_bytes(unit: &str) -> Option<u64> {
    let same = |name: &str| {
        unit.eq_ignore_ascii_case(name)
            || name.strip_suffix("iB").is_some_and(|letter| unit.strip_suffix('i') == Some(letter))
    };
    UNITS.iter().find(|(name, _)| same(name)).map(|(_, bytes)| *bytes)
}

impl fmt::Display for ByteSize {
    /// The shortest form that reads back as the same size.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0");
        }
        let forms = UNITS.iter().filter_map(|(name, unit)| exact(self.0, name, *unit));
        f.write_str(&forms.min_by_key(String::len).unwrap_or_else(|| format!("{}B", self.0)))
    }
}

impl fmt::Debug for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The size in a unit, if at most three decimals say it exactly.
fn exact(bytes: u64, name: &str, unit: u64) -> Option<String> {
    let thousandths = u128::from(bytes) * 1000;
    let unit = u128::from(unit);
    if bytes == 0 || thousandths % unit != 0 {
        return None;
    }
    let (whole, fraction) = (thousandths / unit / 1000, thousandths / unit % 1000);
    if fraction == 0 {
        return Some(format!("{whole}{name}"));
    }
    let fraction = format!("{fraction:03}");
    Some(format!("{whole}.{}{name}", fraction.trim_end_matches('0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<u64> {
        text.parse().ok().map(ByteSize::bytes)
    }

    #[test]
    fn reads_what_people_write() {
        assert_eq!(read("10MiB"), Some(10 << 20));
        assert_eq!(read("1.5 GiB"), Some(3 << 29));
        assert_eq!(read("64Ki"), Some(64 << 10));
        assert_eq!(read("10mb"), Some(10_000_000));
        assert_eq!(read("0"), Some(0));
    }

    #[test]
    fn refuses_what_could_mean_two_things() {
        for text in ["10", "10 megs", "10m", "-1MiB", "1.MiB", ".5MiB", "MiB", "", "1MiB2", "99999999PiB"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn prints_the_shortest_exact_form() {
        let print = |bytes| ByteSize::new(bytes).to_string();
        assert_eq!(print(3 << 29), "1.5GiB");
        assert_eq!(print(10 << 20), "10MiB");
        assert_eq!(print(10_000_000), "10MB");
        assert_eq!(print(1023), "1023B");
        assert_eq!(print(0), "0");
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(bytes: u64) {
            prop_assert_eq!(read(&ByteSize::new(bytes).to_string()), Some(bytes));
        }

        #[test]
        fn round_sizes_read_back(count in 0..5000_u64, shift in 0..40_u32) {
            let size = ByteSize::new(count << shift);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }
    }
}
