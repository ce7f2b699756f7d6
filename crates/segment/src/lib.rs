//! How do records lie on disk and on the wire between Sawyers?
//!
//! Owns: the segment (records by column, in blocks, for keeping and searching) and the batch frame (records one
//! after another, for the write-ahead log and the native protocol). Their bytes are told in `docs/FORMATS.md`.
//! Does not own: files and directories (`disk`, `store`), what a query means (`query`).
//! Invariant: any bytes that are read give records or an error, never a panic, and never more memory than bounds
//! that are constants here allow.
//!
//! [`encode()`] makes a segment of batches. [`Segment::open`] reads its footer; a block's directory, the heads of its
//! columns and the frames of their texts are read when they are needed, so that the work follows the question.

mod bits;
mod bytes;
mod cache;
mod column;
mod encode;
mod error;
mod filter;
mod frame;
mod groups;
mod heads;
mod ints;
mod layout;
mod made;
mod names;
mod scan;
mod segment;
mod shapes;
mod source;
mod squeeze;
mod text;
mod value;
mod zip;

pub use bits::Rows;
pub use cache::{CACHE_BYTES_DEFAULT, Cache, CacheStats};
pub use encode::{
    BLOCK_BYTES_MAX, EncodeSettings, Encoded, Sink, Unreadable, encode, encode_rows_to, encode_to, merge,
    merge_without,
};
#[doc(hidden)]
pub use frame::decode_batch_unverified;
pub use frame::{
    BATCH_VERSION, BatchCompression, EncodedParts, batch_memory, batch_version, decode_batch,
    decode_batch_shared, encode_batch, encode_batch_columns, encode_batch_columns_up_to, encode_batch_parts,
    encode_batch_with,
};
pub use groups::{CountSink, Groups, IdForm};
pub use layout::{BLOCK_ROWS_MAX, BlockInfo, Stats, Summary};
pub use segment::{BlockField, Lines, Segment};
pub use source::ReadAt;
