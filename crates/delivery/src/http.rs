//! Requests over HTTP to a peer that may fail.
//!
//! Owns: the client with its settings, compressed bodies, what a status means.
//! Does not own: who the client says it is (`auth`), what is in a body.
//! Invariant: every request ends within its time limit, and an answer never takes more memory than its bound.

mod body;
mod client;
mod deflate;
mod endpoint;
pub(crate) mod files;
mod settings;
mod status;

#[cfg(test)]
mod tests;

pub use reqwest::header::{HeaderName, HeaderValue};
pub use reqwest::{Method, Url};

pub use body::{Compression, PIECE_BYTES, Piece, body, compress};
pub use client::{ANSWER_BYTES_MAX, Client, Request, Response, unanswered};
pub use endpoint::{Endpoints, read_endpoints, read_url};
pub use settings::{HttpSettings, TlsSettings};
pub use status::{Judgement, judge, shown};
