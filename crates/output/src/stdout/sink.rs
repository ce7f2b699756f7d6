//! Lines into anything that takes bytes and cannot be cut back.
//!
//! Invariant: a line that was written in part is ended before lines are written again.

use std::io::{self, Write};

use sawyer_model::{Error, ErrorKind};

use crate::lines::{Lines, Sink};

/// A sink that writes and flushes.
pub(super) struct WriterSink<W> {
    to: W,
    /// A write failed, maybe in the middle of a line.
    torn: bool,
}

impl<W: Write> WriterSink<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, torn: false }
    }

    fn try_write(&mut self, lines: &Lines) -> io::Result<()> {
        if self.torn {
            self.to.write_all(b"\n")?;
        }
        self.to.write_all(lines.rest())?;
        self.to.flush()
    }
}

impl<W: Write + Send + 'static> Sink for WriterSink<W> {
    fn write(&mut self, lines: &mut Lines) -> Result<(), Error> {
        let written = self.try_write(lines);
        self.torn = written.is_err();
        written.map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::BrokenPipe => ErrorKind::Closed,
                _ => ErrorKind::Retry,
            };
            Error::new(kind, "write to standard output").because(error)
        })
    }
}
