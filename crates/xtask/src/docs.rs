//! Writes the configuration reference, or says that it is out of date.
//!
//! Owns: where the reference lies. Does not own: its text, which `sawyer reference` prints from the settings.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

const REFERENCE: &str = "docs/configuration.md";

/// Writes `docs/configuration.md`; with `only_check` only says whether it would change.
pub(crate) fn generate(root: &Path, only_check: bool) -> Result<Vec<String>> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["run", "--quiet", "--locked", "--package", "sawyer", "--", "reference"])
        .current_dir(root)
        .output()
        .context("run sawyer reference")?;
    ensure!(output.status.success(), "sawyer reference: {}", String::from_utf8_lossy(&output.stderr));
    let wanted = String::from_utf8(output.stdout).context("read the reference as UTF-8")?;
    let path = root.join(REFERENCE);
    if !only_check {
        std::fs::write(&path, wanted).with_context(|| format!("write {REFERENCE}"))?;
        return Ok(Vec::new());
    }
    let present = std::fs::read_to_string(&path).unwrap_or_default();
    Ok(difference(&present, &wanted).into_iter().collect())
}

/// The first line that differs, as a finding.
fn difference(present: &str, wanted: &str) -> Option<String> {
    if present == wanted {
        return None;
    }
    let same = present.lines().zip(wanted.lines()).take_while(|(a, b)| a == b).count();
    Some(format!("{REFERENCE}:{}: differs from the settings in the code: run `cargo xtask docs`", same + 1))
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn names_the_first_line_that_differs() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        let finding = difference("a\nb\n", "a\nc\n").unwrap();
        assert!(finding.starts_with("docs/configuration.md:2: "), "{finding}");
        assert!(difference("", "a\n").unwrap().contains(".md:1: "));
        assert!(difference("a\nb\n", "a\n").unwrap().contains(".md:2: "));
    }
}
