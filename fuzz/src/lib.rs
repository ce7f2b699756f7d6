//! Throws bytes at every decoder, guided by which code they reach: `make fuzz`.
//!
//! Owns: the targets, mutation, the corpus, keeping what made a target fail.
//! Does not own: any decoder.
//! Invariant: an input that makes a target panic, hang, or take more memory than [`run::MEMORY_BYTES_MAX`] fails the run
//! and is kept.
//!
//! Guided by coverage on stable Rust: `tools/fuzz` has the crates of this workspace compiled with LLVM's counters
//! (`-C passes=sancov-module`), which [`coverage`] reads. Without them, as in `cargo test`, it is blind mutation. There
//! are no sanitizers, which need a nightly compiler; there is next to no `unsafe` here for them to watch.

pub mod coverage;
pub mod mutate;
pub mod run;
pub mod targets;

/// Something that reads bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Reads bytes; panics if what comes of that is wrong.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words that inputs have, which chance would not find.
    pub words: &'static [&'static str],
}
