//! Reads JSON text without building a tree: flattens objects into dotted fields.
//!
//! Owns: the grammar of JSON (RFC 8259), where an error lies, what becomes of nested values.
//! Does not own: which field means what (`body`, `ndjson_in`), how JSON is written (`json_out`).
//! Invariant: what is accepted is valid JSON, so that a part kept as it was written is valid JSON too.
//!
//! An own reader instead of a library: values are handed on as slices of the line without a copy, arrays of
//! objects keep their exact text, and names are built once for each field in one buffer.

mod flatten;
mod marks;
mod number;
mod scan;
pub(crate) mod walk;

#[cfg(test)]
mod tests;

pub use flatten::{EMPTY_NAME, Scratch, flatten};
pub(crate) use marks::Marks;
pub(crate) use number::read as read_number;
pub(crate) use scan::{Scanner, Text, is_special, plain_bytes, unescape};

/// Where a text is not JSON, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: expected {expected}, found {found}")]
pub struct JsonError {
    /// Column of the first byte that does not fit, in characters, from 1.
    pub column: usize,
    /// What would have fitted.
    pub expected: &'static str,
    /// What is there: a character in backquotes, or the end of the line.
    pub found: String,
}

/// Deepest nesting of values, kept whole or flattened. A line that goes deeper is not taken for JSON: nothing
/// sensible nests so deep, and the reader's own stack is bounded by this.
pub const JSON_DEPTH_MAX: usize = 256;
