//! Where do records live? Write-ahead log, catalogue, merge, retention; the embedded engine behind `Search`.
mod catalogue;
mod error;
mod merge;
mod retention;
mod settings;
mod sources;
mod wal;
pub use settings::{StorePlan, StoreSettings};
