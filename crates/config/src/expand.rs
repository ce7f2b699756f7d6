//! `${NAME}`, `${NAME:-default}`, `${file:/path}` and `$${` in text.
//!
//! Owns: the syntax. Does not own: where variables and files come from (`document`).
//! Invariant: what was put in is not expanded again.

/// Bytes that one text may grow to; a file of references to large secrets would fill the memory.
const EXPANDED_BYTES_MAX: usize = 1 << 20;

/// Where the values come from. The error is the end of a message, such as "is not set".
pub(crate) trait Values {
    /// The value of an environment variable.
    fn variable(&self, name: &str) -> Option<String>;
    /// What stands in for a variable that is not set and has no default; without it, that is a problem.
    fn stand_in(&self) -> Option<&str>;
    /// The text of a secret file.
    fn file(&self, path: &str) -> Result<String, String>;
}

/// Text with everything filled in.
#[derive(Debug, PartialEq)]
pub(crate) struct Expanded {
    /// The text.
    pub(crate) text: String,
    /// Whether a part of it came from a file.
    pub(crate) secret: bool,
}

/// Whether there is anything to expand.
pub(crate) fn is_needed(text: &str) -> bool {
    text.contains("${")
}

/// Fills in all references, or returns one message for each that cannot be filled in.
pub(crate) fn expand(text: &str, values: &dyn Values) -> Result<Expanded, Vec<String>> {
    let mut done = Expanded { text: String::with_capacity(text.len()), secret: false };
    let mut wrong = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let before = &rest[..start];
        let inside = &rest[start + 2..];
        if let Some(escaped) = before.strip_suffix('$') {
            done.text.push_str(escaped);
            done.text.push_str("${");
            rest = inside;
            continue;
        }
        done.text.push_str(before);
        let Some(end) = inside.find('}') else {
            wrong.push("`${` has no closing `}`; write `$${` for a plain `${`".to_owned());
            rest = "";
            break;
        };
        match lookup(&inside[..end], values, &mut done.secret) {
            Ok(value) if done.text.len() + value.len() > EXPANDED_BYTES_MAX => {
                wrong.push(format!("text is larger than {EXPANDED_BYTES_MAX} bytes when expanded"));
                return Err(wrong);
            }
            Ok(value) => done.text.push_str(&value),
            Err(message) => wrong.push(message),
        }
        rest = &inside[end + 1..];
    }
    done.text.push_str(rest);
    if wrong.is_empty() { Ok(done) } else { Err(wrong) }
}

fn lookup(reference: &str, values: &dyn Values, secret: &mut bool) -> Result<String, String> {
    if let Some(path) = reference.strip_prefix("file:") {
        *secret = true;
        let text = values.file(path).map_err(|why| format!("file `{path}` {why}"))?;
        return Ok(text.trim_end_matches(['\n', '\r']).to_owned());
    }
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    if !is_name(name) {
        return Err(format!(
            "expected `${{NAME}}`, `${{NAME:-default}}` or `${{file:/path}}`, found `${{{reference}}}`; \
             write `$${{` for a plain `${{`"
        ));
    }
    match (values.variable(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => values
            .stand_in()
            .map(str::to_owned)
            .ok_or_else(|| format!("environment variable `{name}` is not set, and there is no default")),
    }
}

fn is_name(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
