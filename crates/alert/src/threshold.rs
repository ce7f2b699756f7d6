//! A limit as people write it: `>= 10`, `> 5%`.

use std::fmt;

use sawyer_config::{At, JsonType, Problems, Setting, TypeInfo, read_scalar, yaml_text};

/// Which side of a number is too much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// Whether the number itself is too much already.
    pub or_equal: bool,
    /// The number; of a percentage, the hundredth part of what was written.
    pub limit: f64,
    /// Whether it was written as a percentage.
    pub percent: bool,
}

const EXPECTED: &str = "a threshold such as \">= 10\", \"> 10\" or, for a ratio, \"> 5%\"";

impl Threshold {
    /// Reads `>= 10`, `> 10`, `>= 5%`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.trim().strip_prefix('>')?;
        let (or_equal, rest) = rest.strip_prefix('=').map_or((false, rest), |rest| (true, rest));
        let rest = rest.trim();
        let (number, percent) =
            rest.strip_suffix('%').map_or((rest, false), |number| (number.trim_end(), true));
        let plain = number.starts_with(|c: char| c.is_ascii_digit());
        let limit: f64 = number.parse().ok().filter(|limit: &f64| plain && limit.is_finite())?;
        Some(Self { or_equal, limit: if percent { limit / 100.0 } else { limit }, percent })
    }

    /// Whether a value is too much.
    #[must_use]
    pub fn is_met(self, value: f64) -> bool {
        if self.or_equal { value >= self.limit } else { value > self.limit }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.or_equal { ">= " } else { "> " })?;
        if self.percent { f.write_str(&percent(self.limit)) } else { write!(f, "{}", self.limit) }
    }
}

/// A part of one as a percentage, with as many digits as say something.
pub(crate) fn percent(part: f64) -> String {
    let hundredths = (part * 10_000.0).round() / 100.0;
    format!("{hundredths}%")
}

impl Setting for Threshold {
    fn read(at: &At<'_>, problems: &mut Problems) -> Option<Self> {
        read_scalar(at, problems, EXPECTED, Self::parse)
    }

    fn describe() -> TypeInfo {
        TypeInfo::Plain { name: "threshold", json: JsonType::String }
    }

    fn default_text(&self) -> String {
        yaml_text(&self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, shown, below, met) in [
            (">= 10", ">= 10", 9.0, 10.0),
            (">10", "> 10", 10.0, 11.0),
            ("> 5%", "> 5%", 0.05, 0.0501),
            (" >= 0.25 % ", ">= 0.25%", 0.0024, 0.0025),
        ] {
            let threshold = Threshold::parse(text).unwrap();
            assert_eq!(threshold.to_string(), shown);
            assert!(!threshold.is_met(below) && threshold.is_met(met), "{text}");
            assert_eq!(Threshold::parse(shown), Some(threshold));
        }
        for wrong in
            ["10", "= 10", "<= 10", ">", ">= ten", ">= -1", "> inf", "> 1e999", ">> 3", ">= 10 per minute"]
        {
            assert_eq!(Threshold::parse(wrong), None, "{wrong}");
        }
    }
}
