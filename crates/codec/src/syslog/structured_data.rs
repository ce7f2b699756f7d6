//! Structured data of RFC 5424: `[id name="value" …][…]`.

use std::cell::Cell;

/// How long the structured data at the beginning of a text is; none if there is none that is whole. `-` is one too.
pub(super) fn length(text: &str) -> Option<usize> {
    if text == "-" || text.starts_with("- ") {
        return Some(1);
    }
    let mut at = 0;
    while text[at..].starts_with('[') {
        at += element(&text[at..], |_, _, _| {})?;
    }
    let ends = text[at..].is_empty() || text[at..].starts_with(' ');
    // Some senders put the text directly behind it.
    (at > 0 && (ends || !text[at..].starts_with(']'))).then_some(at)
}

/// Calls `field` with each `sd.<id>.<name>` and its value. An id without values is a field that is true.
pub(super) fn each(text: &str, name: &mut String, mut field: impl FnMut(&str, &str)) {
    let (mut at, mut unescaped) = (0, String::new());
    while text[at..].starts_with('[') {
        let count = Cell::new(0);
        let mut named = |id: &str, param: &str, value: &str| {
            name.clear();
            name.push_str("sd.");
            name.push_str(id);
            if !param.is_empty() {
                name.push('.');
                name.push_str(param);
            }
            count.set(count.get() + 1);
            field(name, unescape(value, &mut unescaped));
        };
        let Some(length) = element(&text[at..], &mut named) else { return };
        if count.get() == 0 {
            let id = &text[at + 1..at + length - 1];
            named(id.trim(), "", "");
        }
        at += length;
    }
}

/// One element; gives its length. `param` takes its id, a name and a value with its escapes.
fn element<'a>(text: &'a str, mut param: impl FnMut(&'a str, &'a str, &'a str)) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    let word = |mut at: usize| {
        let start = at;
        while bytes.get(at).is_some_and(|byte| !matches!(byte, b' ' | b'=' | b'"' | b']')) {
            at += 1;
        }
        (&text[start..at], at)
    };
    let (id, end) = word(at);
    if id.is_empty() {
        return None;
    }
    at = end;
    loop {
        while bytes.get(at) == Some(&b' ') {
            at += 1;
        }
        if *bytes.get(at)? == b']' {
            return Some(at + 1);
        }
        let (name, end) = word(at);
        if name.is_empty() || bytes.get(end..end + 2)? != b"=\"" {
            return None;
        }
        let start = end + 2;
        at = start;
        loop {
            match bytes.get(at)? {
                b'"' => break,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        param(id, name, text.get(start..at)?);
        at += 1;
    }
}

/// `\"`, `\\` and `\]` are escapes; any other backslash is itself (RFC 5424, 6.3.3).
fn unescape<'v>(value: &'v str, out: &'v mut String) -> &'v str {
    if !value.contains('\\') {
        return value;
    }
    out.clear();
    let mut rest = value;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let escaped = matches!(rest.as_bytes().get(1), Some(b'"' | b'\\' | b']'));
        if escaped {
            out.push_str(&rest[1..2]);
            rest = &rest[2..];
        } else {
            out.push('\\');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}
