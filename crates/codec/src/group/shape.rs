//! What single lines look like.
//!
//! Owns: the forms of lines in the traces of each language.
//! Does not own: in which order they come (`group`).
//! Invariant: none of them looks further into a line than it needs to; lines come without spaces at their end,
//! except to those that are cheap questions.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::State;

/// Last words of the line before the frames of Python.
const TRACEBACK: &str = "Traceback (most recent call last):";

/// Beginnings of lines that tell more of what was said before.
const NOTES: [&str; 16] = [
    "Caused by:",
    "Suppressed:",
    "Wrapped by:",
    "Stack trace:",
    "stack backtrace:",
    "PHP Stack trace:",
    "PHP   ",
    "... ",
    "--- End of ",
    "---> ",
    "[Previous exception",
    "[CIRCULAR REFERENCE",
    "for call at",
    "note: run with",
    "Node.js v",
    "DETAIL: ",
];

/// Of lines that tell of an error, one of these is a part.
static ERROR_WORDS: LazyLock<[Finder<'static>; 9]> = LazyLock::new(|| {
    ["rror", "xception", "ERR", "WARN", "arning", "FATAL", "atal", "SEVERE", "anic"].map(Finder::new)
});

/// The state after a line that begins a group for certain, or after which lines of any form may follow.
pub(super) fn surely(line: &str) -> Option<State> {
    let bytes = line.as_bytes();
    match (bytes.first()?, bytes.last()?) {
        (_, b'-') if line.ends_with("-----") && begins_pem(line) => Some(State::Pem),
        (_, b':') if is_traceback(line) => Some(State::Python),
        (b't', last) if is_rust_panic(line) => {
            Some(if *last == b':' { State::RustPanic } else { State::Frames { open: false } })
        }
        (b'p' | b'f' | b'u' | b'S', _) if is_go_panic(line) => Some(State::Panic),
        // The rest of a traceback whose beginning was given out.
        (b' ', _) if line.trim_start().starts_with("File \"") => Some(State::Python),
        (b'g', _) if is_goroutine(line) => Some(State::Goroutine),
        _ => None,
    }
}

fn begins_pem(line: &str) -> bool {
    line.rfind("-----BEGIN ").is_some_and(|at| !line[at..].contains("-----END "))
}

/// `thread 'main' panicked at src/main.rs:2:5:`, with a number behind the name in newer versions.
fn is_rust_panic(line: &str) -> bool {
    line.starts_with("thread '") && line.contains(" panicked at ")
}

fn is_go_panic(line: &str) -> bool {
    let beginnings =
        ["panic: ", "fatal error: ", "unexpected fault address ", "SIGSEGV: ", "SIGABRT: ", "SIGQUIT: "];
    beginnings.iter().any(|beginning| line.starts_with(beginning))
}

/// `goroutine 1 [running]:`, or what stands in its place.
pub(super) fn is_goroutine(line: &str) -> bool {
    line.starts_with("goroutine ") && line.contains(" [") || line.starts_with("runtime stack:")
}

/// `main.handler(0xc000, ...)`, `created by main.main in goroutine 1`, `exit status 2`, and lines like these.
pub(super) fn is_go_call(line: &str) -> bool {
    if ["created by ", "exit status ", "...", "[originating from "]
        .iter()
        .any(|start| line.starts_with(start))
    {
        return true;
    }
    let Some(name) = line.find('(').map(|at| &line[..at]) else { return false };
    line.ends_with(')') && !name.is_empty() && !name.contains([' ', '\t', '=', ':'])
}

/// `rax    0x0`, in the dump behind the goroutines.
pub(super) fn is_register(line: &str) -> bool {
    line.split_once(' ').is_some_and(|(name, value)| {
        name.len() <= 6
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            && value.trim_start().starts_with("0x")
    })
}

pub(super) fn is_traceback(line: &str) -> bool {
    line.trim_end().ends_with(TRACEBACK)
}

/// `package.Error: message`: the last line of a traceback.
pub(super) fn is_python_error(line: &str) -> bool {
    let end = line.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.'))).unwrap_or(line.len());
    let starts = line.starts_with(|c: char| c.is_alphabetic() || c == '_');
    starts && !line[..end].ends_with('.') && matches!(line.as_bytes().get(end), None | Some(b':'))
}

/// What Python says between two tracebacks.
pub(super) fn is_chain(line: &str) -> bool {
    line == "During handling of the above exception, another exception occurred:"
        || line == "The above exception was the direct cause of the following exception:"
}

/// A line that tells more of what was said before, at its start.
pub(super) fn is_note(line: &str) -> bool {
    let php_frame = line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    // Nearly no line begins with the first byte of any: that is compared in place, a whole note by a call.
    let first = line.as_bytes().first();
    php_frame || NOTES.iter().any(|note| note.as_bytes().first() == first && line.starts_with(note))
}

/// `java.lang.IllegalStateException: message`: a qualified class at the start.
pub(super) fn is_exception_head(line: &str) -> bool {
    let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$');
    let end = line.bytes().position(|byte| !name(byte)).unwrap_or(line.len());
    let Some((_, class)) = line[..end].rsplit_once('.') else { return false };
    let ends = ["Exception", "Error", "Throwable", "Failure"].iter().any(|ending| class.ends_with(ending));
    ends && matches!(line[end..].trim_end().bytes().next(), None | Some(b':'))
}

/// `app/models/user.rb:12:in 'save'`
pub(super) fn is_ruby_frame(line: &str) -> bool {
    let place = &line[..line.find(' ').unwrap_or(line.len())];
    let mut dots = memchr::memchr_iter(b'.', place.as_bytes());
    let Some(at) = dots.find(|at| place[*at..].starts_with(".rb:")) else { return false };
    let rest = &place[at + 4..];
    let number = rest.trim_end_matches(":in");
    number.len() < rest.len() && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// `/app/server.js:12` and nothing else.
pub(super) fn is_node_place(line: &str) -> bool {
    let starts = ["/", "file:///", "node:", "C:\\", "D:\\"].iter().any(|start| line.starts_with(start));
    let number = line.bytes().rev().take_while(u8::is_ascii_digit).count();
    starts && number > 0 && line[..line.len() - number].ends_with(':') && !line.contains(' ')
}

/// Whether the line ends with an opening bracket.
pub(super) fn ends_open(line: &str) -> bool {
    matches!(line.bytes().next_back(), Some(b'{' | b'[' | b'('))
}

/// `}`, `});` and the like.
pub(super) fn is_closing(line: &str) -> bool {
    matches!(line.bytes().next(), Some(b'}' | b']' | b')')) && line.len() <= 4
}

/// A whole JSON object, or what looks like one.
pub(super) fn is_json_line(line: &str) -> bool {
    line.len() > 1 && line.starts_with('{')
}

/// A line inside a PEM block: base64, a header, or nothing.
pub(crate) fn is_pem_line(line: &str) -> bool {
    let text = line.trim();
    let base64 = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
    let headers = ["Proc-Type: ", "DEK-Info: ", "Version: ", "Comment: "];
    base64 || headers.iter().any(|header| text.starts_with(header))
}

/// Whether the line tells of an error: as a level, as the name of a class, or in words.
pub(super) fn says_of_error(line: &str) -> bool {
    let bytes = line.as_bytes();
    let klog =
        matches!(bytes.first(), Some(b'E' | b'W' | b'F')) && bytes.get(1).is_some_and(u8::is_ascii_digit);
    klog || ERROR_WORDS.iter().any(|word| word.find(bytes).is_some())
}
