//! What a proxy does that speaks HTTP/1.1: it asks the server that is meant.
//!
//! Does not own: what goes wrong on the way there.

use std::io::{Error, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use sawyer_testkit::peer::{Received, Reply};

/// Longest wait for the server's answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The server's answer, or that there is none.
pub(crate) fn pass_on(server: SocketAddr, request: &Received) -> Reply {
    let asked = || -> Result<Reply> {
        let mut stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let path = request.target.find("/api/").map_or("/", |at| &request.target[at..]);
        write!(stream, "{} {path} HTTP/1.1\r\nhost: server\r\nconnection: close\r\n", request.method)?;
        for name in ["content-type", "authorization"] {
            if let Some(value) = request.header(name) {
                write!(stream, "{name}: {value}\r\n")?;
            }
        }
        write!(stream, "content-length: {}\r\n\r\n", request.body.len())?;
        stream.write_all(&request.body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let wrong = || Error::other("no answer");
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or_else(wrong)?;
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        assert!(!head.contains("chunked"), "{head}");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(wrong)?;
        Ok(Reply::new(status, &answer[end + 4..]))
    };
    asked().unwrap_or_else(|error| Reply::new(502, error.to_string()))
}
