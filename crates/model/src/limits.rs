//! The bounds of a record. Whoever makes records keeps them; whoever reads foreign bytes checks them.

/// Longest text of one value in bytes. What is longer is cut by the input, marked and counted
/// ([`crate::names::MARK`]), so that one line can never fill a node's memory.
pub const VALUE_BYTES_MAX: usize = 32 << 20;

/// Longest field name in bytes; a longer one is cut, so that names fit their length prefix everywhere.
pub const NAME_BYTES_MAX: usize = 1024;

/// Most fields of one record. Further fields stay in the line as written and are not searchable one by one.
pub const RECORD_FIELDS_MAX: usize = 100_000;

/// Text arena of one batch in bytes. Offsets into it are `u32`; a batch is closed long before this.
pub const BATCH_TEXT_BYTES_MAX: usize = 1 << 30;

/// Deepest nesting of objects and lists that is flattened; deeper parts are kept as JSON text.
pub const NESTING_DEPTH_MAX: usize = 32;

const _: () = assert!(BATCH_TEXT_BYTES_MAX < u32::MAX as usize, "text offsets are u32");
const _: () =
    assert!(VALUE_BYTES_MAX * 4 < BATCH_TEXT_BYTES_MAX, "a batch holds several of the largest values");
