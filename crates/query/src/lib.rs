//! What does a query mean?
#![allow(missing_docs, reason = "in the making")]
mod error;
pub mod kql;
pub use error::Error;
