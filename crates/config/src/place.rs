//! Where something was written.

use std::fmt;
use std::sync::Arc;

/// A position in a configuration file. Lines and columns count from one; columns count characters.
///
/// Line zero stands for the file as a whole, as when it cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file's name, as the user gave it or as an `include` found it.
    pub file: Arc<str>,
    /// Line, from one; zero for the file as a whole.
    pub line: u32,
    /// Column in characters, from one.
    pub column: u32,
}

impl Place {
    /// The file as a whole.
    pub fn whole(file: &str) -> Place {
        Place { file: file.into(), line: 0, column: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            f.write_str(&self.file)
        } else {
            write!(f, "{}:{}:{}", self.file, self.line, self.column)
        }
    }
}
