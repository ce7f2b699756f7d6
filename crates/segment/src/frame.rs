//! A whole batch as bytes: what the write-ahead log keeps and what Sawyers send each other.
//!
//! Owns: [`encode_batch`], [`decode_batch`]: records one after another, their texts together at the end, so that
//! both take little more than copying; the same by columns for a network ([`encode_batch_columns`]).
//! Does not own: how frames follow each other in a file (`store`) or a connection.
//! Invariant: the batch that comes out has the same records in the same order, with their fields in the same
//! order, and accounts for the same parts of sources.

mod columns;
mod decode;
mod encode;

#[doc(hidden)]
pub use self::decode::decode_batch_unverified;
pub use self::decode::{batch_memory, batch_version, decode_batch, decode_batch_shared};
pub use self::encode::{
    BatchCompression, EncodedParts, encode_batch, encode_batch_columns, encode_batch_columns_up_to,
    encode_batch_parts, encode_batch_with,
};

/// First bytes of a frame; the version follows, then the checksum of the rest.
const MAGIC: &[u8; 7] = b"SAWYBAT";
/// Records one after another.
const BY_ROW: u8 = 1;
/// Values of one name after another.
const BY_COLUMN: u8 = 2;
/// Records one after another, with values that are parts of a text of their record.
const BY_PART: u8 = 3;
/// By columns, with lines that are made of the other fields of their record.
const BY_COLUMN_MADE: u8 = 4;

/// The latest version of a batch that is read.
pub const BATCH_VERSION: u8 = BY_COLUMN_MADE;

/// Types of values that are parts of the first text of their record.
mod part {
    pub(super) const STR: u8 = 16;
    pub(super) const JSON: u8 = 17;
}
/// Bytes of magic, version and checksum.
const HEADER_BYTES: usize = 12;

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

/// Largest body of a frame, decompressed: texts of a full batch, and as much again for everything else.
const BODY_BYTES_MAX: usize = 2 * sawyer_model::limits::BATCH_TEXT_BYTES_MAX;
