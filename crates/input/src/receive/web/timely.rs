//! A connection whose first bytes have to come in time.
//!
//! Owns: the time until it is known which version of HTTP is spoken. Does not own: any time after that (hyper).
//! Invariant: a connection that says nothing, or only the beginning of something, fails when its time is over.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// So many bytes tell the version: the preface of HTTP/2 has them.
const TELLING_BYTES: usize = 24;

#[derive(Debug)]
pub(super) struct Timely<S> {
    stream: S,
    missing: usize,
    late: Option<Pin<Box<Sleep>>>,
}

impl<S> Timely<S> {
    pub(super) fn new(stream: S, within: Duration) -> Self {
        Self { stream, missing: TELLING_BYTES, late: Some(Box::pin(sleep(within))) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timely<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        let Some(late) = &mut this.late else { return polled };
        if polled.is_pending() {
            ready!(late.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        this.missing = this.missing.saturating_sub(buffer.filled().len() - before);
        if this.missing == 0 {
            this.late = None;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timely<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_says_only_the_beginning_is_let_go_of_and_others_may_be_silent() {
        let (mut client, server) = tokio::io::duplex(100);
        let mut server = Timely::new(server, Duration::from_secs(75));
        let mut bytes = Vec::new();
        client.write_all(b"PRI").await.unwrap();
        server.read_buf(&mut bytes).await.unwrap();
        let error = server.read_buf(&mut bytes).await.unwrap_err();
        assert_eq!((error.kind(), &bytes[..]), (io::ErrorKind::TimedOut, &b"PRI"[..]));
        let (mut client, server) = tokio::io::duplex(100);
        let mut server = Timely::new(server, Duration::from_secs(75));
        client.write_all(&[b'x'; 24]).await.unwrap();
        server.read_buf(&mut bytes).await.unwrap();
        let silent = tokio::time::timeout(Duration::from_secs(1000), server.read_buf(&mut bytes)).await;
        assert!(silent.is_err());
    }
}
