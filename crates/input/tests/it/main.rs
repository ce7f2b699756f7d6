//! Inputs that really run, on real files: what is written is read once, whatever happens on the way.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod adopt;
#[path = "../../../codec/src/journal/tests/builder.rs"]
#[allow(dead_code, reason = "the decoder's own tests need more of it")]
mod builder;
mod common;
mod containers;
mod cursors;
mod files;
mod journal;
mod kubernetes;
mod order;
mod others;
mod own_rotation;
mod removed;
mod rotation;
mod shared;
mod stop;
mod trouble;
mod turns;
