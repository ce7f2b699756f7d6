//! What a plain scalar means, by the core schema of YAML 1.2 (section 10.3.2).
//!
//! Invariant: `yes`, `on` and the like are text, and no number is guessed from text that has other letters in it.

use crate::node::Kind;

/// The value of a plain (unquoted) scalar.
pub(crate) fn resolve(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Kind::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Kind::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => Kind::Float(f64::NAN),
        _ => number(text).unwrap_or_else(|| Kind::Text(text.to_owned())),
    }
}

fn number(text: &str) -> Option<Kind> {
    if let Some(octal) = text.strip_prefix("0o") {
        return unsigned(octal, 8);
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return unsigned(hex, 16);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let is_whole = unsigned.bytes().all(|byte| byte.is_ascii_digit());
    if let (true, Ok(value)) = (is_whole, text.parse()) {
        return Some(Kind::Int(value));
    }
    // Rust also reads "1e", "inf" and "nan" variants; the first-character test and this alphabet keep them out.
    let is_float = unsigned.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    is_float.then(|| text.parse().ok().map(Kind::Float)).flatten()
}

fn unsigned(digits: &str, radix: u32) -> Option<Kind> {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_plain.then(|| i64::from_str_radix(digits, radix).ok().map(Kind::Int)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_core_schema() {
        assert_eq!(resolve("-12"), Kind::Int(-12));
        assert_eq!(resolve("0o17"), Kind::Int(15));
        assert_eq!(resolve("0xff"), Kind::Int(255));
        assert_eq!(resolve("1.5e3"), Kind::Float(1500.0));
        assert_eq!(resolve(".5"), Kind::Float(0.5));
        assert_eq!(resolve("~"), Kind::Null);
        for text in
            ["yes", "on", "1.2.3", "12s", "inf", "1_000", "-", ".", "0x", "0x-1", "+", "1e", "e5", "10:30"]
        {
            assert_eq!(resolve(text), Kind::Text(text.to_owned()));
        }
    }
}
