//! A connection to a receiver, over which requests go one after the other.
//!
//! Owns: sending and waiting for the answer. Does not own: what is sent (`protocol`).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::runtime::Runtime;

use crate::protocol::Protocol;

/// A connection.
pub(crate) enum Client {
    /// HTTP/1.1.
    Http { stream: BufReader<TcpStream>, path: &'static str, media_type: &'static str },
    /// gRPC.
    Grpc { runtime: Runtime, sender: SendRequest<Full<Bytes>>, address: SocketAddr },
    /// A chunk, and its acknowledgement.
    Forward(TcpStream),
    /// Nothing is answered.
    Deaf(TcpStream),
}

impl Client {
    pub(crate) fn connect(protocol: Protocol, address: SocketAddr) -> Result<Self> {
        let stream = || TcpStream::connect(address).context("connect");
        Ok(match (protocol, protocol.over_http()) {
            (_, Some((path, media_type))) => {
                Self::Http { stream: BufReader::new(stream()?), path, media_type }
            }
            (Protocol::OtlpGrpc, _) => {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(1)
                    .enable_all()
                    .build()
                    .context("start a runtime")?;
                let sender = runtime.block_on(async {
                    let stream = tokio::net::TcpStream::connect(address).await.context("connect")?;
                    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
                    tokio::spawn(connection);
                    anyhow::Ok(sender)
                })?;
                Self::Grpc { runtime, sender, address }
            }
            (Protocol::Forward, _) => Self::Forward(stream()?),
            _ => Self::Deaf(stream()?),
        })
    }

    /// Sends, and waits for the answer if there is one.
    pub(crate) fn send(&mut self, body: &[u8]) -> Result<()> {
        match self {
            Self::Http { stream, path, media_type } => {
                let head = format!(
                    "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                stream.get_mut().write_all(&[head.as_bytes(), body].concat()).context("send")?;
                answer(stream)
            }
            Self::Grpc { runtime, sender, address } => {
                let uri =
                    format!("http://{address}/opentelemetry.proto.collector.logs.v1.LogsService/Export");
                let request = hyper::Request::post(uri)
                    .header("content-type", "application/grpc")
                    .header("te", "trailers")
                    .body(Full::new(Bytes::copy_from_slice(body)))?;
                runtime.block_on(async {
                    let answer = sender.send_request(request).await?;
                    let headers = answer.headers().clone();
                    let collected = answer.into_body().collect().await?;
                    let trailers = collected.trailers().cloned().unwrap_or_default();
                    let status = trailers.get("grpc-status").or(headers.get("grpc-status"));
                    ensure!(status.is_some_and(|status| status == "0"), "{headers:?} {trailers:?}");
                    Ok(())
                })
            }
            Self::Forward(stream) => {
                stream.write_all(body).context("send")?;
                // `{"ack": …}`, with a chunk of 16 letters.
                let mut answer = [0; 22];
                stream.read_exact(&mut answer).context("read an acknowledgement")?;
                ensure!(answer[0] == 0x81 && &answer[2..5] == b"ack", "{answer:?}");
                Ok(())
            }
            Self::Deaf(stream) => stream.write_all(body).context("send"),
        }
    }

    pub(crate) fn close(self) -> Result<()> {
        if let Self::Deaf(stream) = &self {
            stream.shutdown(std::net::Shutdown::Write)?;
        }
        Ok(())
    }
}

/// Reads an answer to its end.
fn answer(stream: &mut BufReader<TcpStream>) -> Result<()> {
    let mut status = String::new();
    stream.read_line(&mut status).context("read an answer")?;
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        stream.read_line(&mut line).context("read an answer")?;
        let lower = line.trim_end().to_ascii_lowercase();
        if lower.is_empty() {
            break;
        }
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().context("read an answer")?;
        }
        if lower.starts_with("transfer-encoding:") {
            bail!("an answer in pieces");
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).context("read an answer")?;
    ensure!(status.starts_with("HTTP/1.1 2"), "{status} {}", String::from_utf8_lossy(&body));
    Ok(())
}
