//! The built-in steps.
