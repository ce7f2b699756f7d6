//! Which lines belong together: stack traces, PEM blocks, and other lines that continue the one before.
//!
//! Owns: telling by their text which lines may begin a group, and which continue one.
//! Does not own: holding lines back, time and bounds (`pipeline`).
//! Invariant: what is decided depends on the lines of a group alone, from its first on, so that lines which are
//! read again are grouped as before. A line that is a whole JSON object is never grouped.
//!
//! It knows the traces of the JVM (`Caused by:`, `Suppressed:`, `... 14 more`), Python (chained ones too), Go,
//! Node.js, .NET, Ruby, PHP and Rust, objects printed over several lines, and indented lines behind a line that
//! tells of an error or ends with an opening bracket or a colon.
//!
//! Most lines are decided by their first bytes: [`may_continue`] and [`Group::begins_surely`] are cheap, and
//! [`Group::begin`], which reads the whole line, is only asked where the next line may continue it or is not there.

mod shape;

#[cfg(test)]
mod tests;

pub(crate) use shape::is_pem_line;
use shape::{
    ends_open, is_chain, is_closing, is_exception_head, is_go_call, is_goroutine, is_json_line,
    is_node_place, is_note, is_python_error, is_register, is_ruby_frame, is_traceback, says_of_error, surely,
};

/// What the lines of a group so far let expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group(State);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A line that tells of an error, or ends with a colon: a trace or indented lines may follow.
    Headline,
    /// In a trace, or among indented lines. Open: a bracket is to be closed at the start of a line.
    Frames { open: bool },
    /// An empty line after frames.
    FramesGap,
    /// In a traceback of Python, whose exception is still to come.
    Python,
    /// The exception of a traceback was said; another traceback may follow from it.
    PythonEnd,
    /// An empty line after that.
    PythonGap,
    /// It was said that another traceback follows.
    PythonChain,
    /// A panic of Go: goroutines follow.
    Panic,
    /// Among the calls of goroutines.
    Goroutine,
    /// A panic of Rust: the message follows, whatever it is.
    RustPanic,
    /// The place in a source file at which Node.js died.
    NodePlace,
    /// The line at that place, and the mark below it.
    NodeSource,
    /// In a PEM block.
    Pem,
    /// In an object printed over several lines.
    Object,
    /// The last line was said.
    Whole,
}

use State::*;

/// Whether the line may continue any line at all. Cheap; false for nearly all lines.
#[must_use]
pub fn may_continue(line: &str) -> bool {
    let Some(first) = line.bytes().next() else { return true };
    match first {
        b' ' | b'\t' | b'\r' | b'}' | b']' | b')' => true,
        b'.' | b'#' | b'-' | b'[' | b'C' | b'D' | b'N' | b'P' | b'S' | b'T' | b'W' => {
            is_note(line) || is_traceback(line)
        }
        b'a'..=b'z' | b'A'..=b'Z' | b'/' => {
            is_note(line)
                || is_goroutine(line)
                || line.starts_with("throw")
                || is_ruby_frame(line)
                || is_exception_head(line)
        }
        _ => false,
    }
}

impl Group {
    /// The group that this line begins, if it may be the first of several. Reads the whole line.
    #[must_use]
    pub fn begin(line: &str) -> Option<Self> {
        let line = line.trim_end();
        if let Some(sure) = Self::begins_surely(line) {
            return Some(sure);
        }
        let first = line.bytes().next()?;
        let state = match first {
            b'{' if line.len() > 1 => return None,
            b'{' => Object,
            // Lines whose beginning was given out before: they stay together.
            b' ' | b'\t' => match line.trim_start() {
                inner if inner.starts_with("at ") || inner.starts_with("... ") => Frames { open: false },
                _ => return None,
            },
            _ if is_exception_head(line) || line.starts_with("Caused by: ") || is_ruby_frame(line) => {
                Frames { open: false }
            }
            _ if is_node_place(line) => NodePlace,
            _ if ends_open(line) => Frames { open: true },
            _ if line.ends_with(':') || says_of_error(line) => Headline,
            _ => return None,
        };
        Some(Self(state))
    }

    /// The group that this line begins for certain, or that lines of any form may continue. Cheap.
    #[must_use]
    pub fn begins_surely(line: &str) -> Option<Self> {
        surely(line).map(Self)
    }

    /// The group with this line, if the line continues it.
    #[must_use]
    pub fn take(self, line: &str) -> Option<Self> {
        let line = line.trim_end();
        if is_json_line(line) {
            return None;
        }
        let indented = matches!(line.bytes().next(), Some(b' ' | b'\t'));
        let blank = line.is_empty();
        let next = match self.0 {
            Headline if is_traceback(line) => Python,
            Headline if is_goroutine(line) => Goroutine,
            Headline if indented || is_note(line) || is_exception_head(line) || is_ruby_frame(line) => {
                Frames { open: ends_open(line) }
            }
            Frames { open } if indented || is_note(line) || is_ruby_frame(line) => {
                Frames { open: open || ends_open(line) }
            }
            Frames { open: true } if is_closing(line) => Frames { open: false },
            Frames { .. } if blank => FramesGap,
            FramesGap if is_note(line) => Frames { open: false },
            Python if indented => Python,
            Python if is_python_error(line) => PythonEnd,
            PythonEnd if indented => PythonEnd,
            PythonEnd if blank => PythonGap,
            PythonEnd | PythonGap if is_chain(line) => PythonChain,
            PythonChain if blank => PythonChain,
            PythonChain if is_traceback(line) => Python,
            Panic if blank || indented || line.starts_with("[signal ") || line.starts_with("PC=") => Panic,
            Panic | Goroutine if is_goroutine(line) => Goroutine,
            Goroutine if blank || indented || is_go_call(line) || is_register(line) => Goroutine,
            RustPanic if !blank => Frames { open: false },
            NodePlace if indented || line.starts_with("throw") => NodeSource,
            NodeSource if blank || indented => NodeSource,
            NodeSource if says_of_error(line) => Frames { open: ends_open(line) },
            Pem if line.starts_with("-----END ") => Whole,
            Pem if is_pem_line(line) => Pem,
            Object if indented => Object,
            Object if is_closing(line) => Whole,
            _ => return None,
        };
        Some(Self(next))
    }

    /// Whether no line continues it any more.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.0 == Whole
    }

    /// Whether more lines are certain to come, unless whoever writes them is gone.
    #[must_use]
    pub fn wants_more(self) -> bool {
        matches!(self.0, Python | PythonChain | Panic | RustPanic | Pem | Object)
            || self.0 == Frames { open: true }
    }
}
