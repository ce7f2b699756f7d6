//! The `sawyer` binary.
fn main() {}
