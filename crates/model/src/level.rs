//! How bad is it: the severity of a record.

use std::fmt;

/// Severity, from least to most severe. Stored in the field `level` by its lower-case name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Finest detail.
    Trace,
    /// For developers.
    Debug,
    /// Normal course; `notice` counts as this.
    Info,
    /// Surprising, carried on.
    Warn,
    /// Something failed.
    Error,
    /// The program or a part of it cannot go on; `panic`, `critical`, `alert` and `emergency` count as this.
    Fatal,
}

impl Level {
    /// All levels, least severe first.
    pub const ALL: [Self; 6] = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Fatal];

    /// The name as it is stored.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }

    /// Reads the names in use among logging libraries, ignoring case: `WARNING`, `err`, `SEVERE`, `notice` …
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        if let Some(level) = Self::from_own_name(name.as_bytes()) {
            return Some(level);
        }
        const NAME_BYTES_MAX: usize = 13;
        let mut lower = [0; NAME_BYTES_MAX];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name.as_bytes());
        lower.make_ascii_lowercase();
        Some(match &*lower {
            b"trc" | b"finest" | b"finer" | b"verbose" | b"silly" => Self::Trace,
            b"dbg" | b"fine" | b"config" => Self::Debug,
            b"inf" | b"information" | b"informational" | b"notice" | b"log" => Self::Info,
            b"wrn" | b"warning" => Self::Warn,
            b"err" | b"eror" | b"severe" => Self::Error,
            b"ftl" | b"critical" | b"crit" | b"panic" | b"dpanic" | b"alert" | b"emerg" | b"emergency" => {
                Self::Fatal
            }
            _ => return None,
        })
    }

    /// Reads the names that we give them, too, ignoring case: nearly all are these.
    #[inline]
    fn from_own_name(name: &[u8]) -> Option<Self> {
        // Four letters at once. The bit tells capitals from small ones, and makes no letter of what is none.
        const CASE: u32 = 0x2020_2020;
        const fn word(letters: &[u8; 4]) -> u32 {
            u32::from_le_bytes(*letters)
        }
        const INFO: u32 = word(b"info");
        const WARN: u32 = word(b"warn");
        const TRACE: u32 = word(b"trac");
        const DEBUG: u32 = word(b"debu");
        const ERROR: u32 = word(b"erro");
        const FATAL: u32 = word(b"fata");
        let (first, rest) = name.split_first_chunk()?;
        Some(match (word(first) | CASE, rest) {
            (INFO, []) => Self::Info,
            (WARN, []) => Self::Warn,
            (ERROR, [b'r' | b'R']) => Self::Error,
            (DEBUG, [b'g' | b'G']) => Self::Debug,
            (TRACE, [b'e' | b'E']) => Self::Trace,
            (FATAL, [b'l' | b'L']) => Self::Fatal,
            _ => return None,
        })
    }

    /// From the number of a syslog severity (RFC 5424, 0 emergency to 7 debug).
    #[must_use]
    pub const fn from_syslog(severity: u8) -> Option<Self> {
        Some(match severity {
            0..=2 => Self::Fatal,
            3 => Self::Error,
            4 => Self::Warn,
            5 | 6 => Self::Info,
            7 => Self::Debug,
            _ => return None,
        })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_reads_its_own_name() {
        for level in Level::ALL {
            assert_eq!(Level::from_name(level.name()), Some(level));
            assert_eq!(Level::from_name(&level.name().to_uppercase()), Some(level));
        }
    }

    #[test]
    fn unknown_names_are_no_level() {
        for name in ["", "errors", "informationalx", "이름", "5"] {
            assert_eq!(Level::from_name(name), None, "{name}");
        }
    }
}
