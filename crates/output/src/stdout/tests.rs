use std::io::{self, Read, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use sawyer_model::ErrorKind;

use super::sink::WriterSink;
use crate::encode::LineFormat;
use crate::lines::{Lines, Sink};
use crate::testing::{numbered, plan};

fn lines(start: u64, count: u64) -> Lines {
    Lines::encode(&[Arc::new(numbered(start, count))], LineFormat::Text)
}

#[test]
fn a_reader_that_goes_away_ends_it() {
    let (mut reader, writer) = io::pipe().unwrap();
    let mut sink = WriterSink::new(writer);
    sink.write(&mut lines(0, 1)).unwrap();
    let mut read = [0; 64];
    let count = reader.read(&mut read).unwrap();
    assert_eq!(&read[..count], b"2026-11-20T12:00:00Z -     shop/cart-1/app line 0\n");
    drop(reader);
    assert_eq!(sink.write(&mut lines(1, 1)).unwrap_err().kind(), ErrorKind::Closed);
}

/// Takes so many bytes, then has no space until more are allowed.
#[derive(Clone, Default)]
struct Small(Arc<Mutex<(Vec<u8>, usize)>>);

impl Write for Small {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        let count = bytes.len().min(state.1);
        if count == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.1 -= count;
        state.0.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_torn_line_is_ended_before_lines_are_written_again() {
    let small = Small::default();
    small.0.lock().1 = 70;
    let mut sink = WriterSink::new(small.clone());
    let mut group = lines(0, 2);
    assert_eq!(sink.write(&mut group).unwrap_err().kind(), ErrorKind::Retry);
    small.0.lock().1 = 1000;
    sink.write(&mut group).unwrap();
    let text = String::from_utf8(small.0.lock().0.clone()).unwrap();
    let ends: Vec<&str> = text.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(
        ends,
        ["0", "2026-11-20T12:00:00Z", "0", "1"].map(|end| if end.len() > 1 { ends[1] } else { end })
    );
    assert_eq!(text.lines().filter(|line| line.ends_with(" line 1")).count(), 1);
}

#[test]
fn tells_what_is_wrong_with_the_settings() {
    insta::assert_snapshot!(plan(&super::kind(), "format: jason\nfile: x").err().unwrap(), @r#"
    sawyer.yaml:1:1: format: expected one of `json`, `text`, `lines`, found "jason"; did you mean `json`?
    sawyer.yaml:2:1: file: unknown key; known: `format`
    "#);
}
