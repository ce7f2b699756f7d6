//! Inputs that really run, on real files: what is written is read once, whatever happens on the way.

mod common;
mod containers;
mod files;
mod others;
mod rotation;
mod shared;
mod trouble;
