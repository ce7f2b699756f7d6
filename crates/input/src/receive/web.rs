//! Listening for HTTP/1.1 and HTTP/2, with or without TLS.
//!
//! Owns: connections and their bounds, an orderly end, the forms of answers.
//! Does not own: what requests mean (each protocol).
//! Invariant: connections are bounded in number, and ones that say nothing end; a stop lets requests under way finish.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, ORIGIN, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use sawyer_delivery::direct::is_direct;
use sawyer_delivery::tls::ListenTls;
use sawyer_pipeline::Stop;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

mod timely;

use self::timely::Timely;
use super::desk::Desk;
use super::trouble::Trouble;

/// Connections of one listener at most; further ones wait in the system's queue.
const CONNECTIONS_MAX: usize = 4096;

/// Longest time between two requests of a connection, and for the head of a request.
const HEAD_TIME_MAX: Duration = Duration::from_secs(75);

/// Requests of one HTTP/2 connection at the same time.
const STREAMS_MAX: u32 = 128;

/// How long requests under way may take at a stop.
const FINISH_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a connection that has asked nothing yet may take to do so at a stop, so that whoever was let in is answered
/// and not cut off.
const FIRST_TIME_MAX: Duration = Duration::from_secs(1);

/// Pause after the system could not give a connection, as when there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// An answer that comes later.
pub(crate) type Answer<'a> = Pin<Box<dyn Future<Output = Response<Body>> + Send + 'a>>;

/// Answers the requests of a protocol.
pub(crate) trait Protocol: std::fmt::Debug + Send + Sync + 'static {
    /// Answers a request that came from this address; from none if it came through a proxy or a browser.
    fn answer<'a>(&'a self, request: Request<Incoming>, from: IpAddr, desk: &'a Desk) -> Answer<'a>;
}

/// What all connections of a receiver share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) protocol: Box<dyn Protocol>,
    pub(crate) desk: Desk,
    pub(crate) tls: Option<ListenTls>,
}

/// Serves until told to stop, then lets requests under way finish.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>, stop: Stop) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.stopped() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, from)) => {
                    connections.spawn(connection(stream, from, Arc::clone(&shared), stop.clone()));
                }
                Err(error) => {
                    tracing::warn!("accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(FINISH_TIME_MAX, finished).await.is_err() {
        connections.abort_all();
    }
}

async fn connection(stream: TcpStream, from: SocketAddr, shared: Arc<Shared>, stop: Stop) {
    // Answers are small and wait for nothing.
    let _ = stream.set_nodelay(true);
    match &shared.tls {
        None => talk(stream, from, &shared, &stop).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => talk(stream, from, &shared, &stop).await,
            Err(error) => tracing::debug!(%from, "greet with TLS: {error}"),
        },
    }
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    from: SocketAddr,
    shared: &Arc<Shared>,
    stop: &Stop,
) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(HEAD_TIME_MAX);
    // Permits none until something was asked.
    let asked = Semaphore::new(0);
    let service = service_fn(|request: Request<Incoming>| {
        let shared = Arc::clone(shared);
        asked.add_permits(1);
        async move {
            // What did not come straight from a program comes from nowhere, whatever its connection says; a web page is
            // no program.
            let of_page = request.headers().contains_key(ORIGIN);
            let direct = !of_page && is_direct(request.headers(), request.uri());
            let from = if direct { from.ip() } else { Ipv4Addr::UNSPECIFIED.into() };
            let answer = shared.protocol.answer(request, from, &shared.desk).await;
            Ok::<_, Infallible>(answer)
        }
    });
    // Hyper's own times begin only when it knows which version of HTTP is spoken.
    let stream = TokioIo::new(Timely::new(stream, HEAD_TIME_MAX));
    let mut talking = std::pin::pin!(builder.serve_connection(stream, service));
    let ended = tokio::select! {
        ended = talking.as_mut() => ended,
        () = stop.stopped() => {
            let first = tokio::time::timeout(FIRST_TIME_MAX, asked.acquire());
            let ended = tokio::select! {
                biased;
                ended = talking.as_mut() => Some(ended),
                _ = first => None,
            };
            match ended {
                Some(ended) => ended,
                None => {
                    talking.as_mut().graceful_shutdown();
                    talking.await
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%from, "serve HTTP: {error}");
    }
}

/// An answer with a body.
pub(crate) fn answer(status: u16, media_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// An answer without a body.
pub(crate) fn empty(status: u16) -> Response<Body> {
    let mut response = answer(status, "text/plain", Bytes::new());
    response.headers_mut().remove(CONTENT_TYPE);
    response
}

/// An answer that says what the trouble is, in a body of the protocol's own form.
pub(crate) fn trouble(trouble: &Trouble, media_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = answer(trouble.status(), media_type, body);
    if let Some(seconds) = trouble.retry_after_secs() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Tokens that a request shows in the header `Authorization`, in every way in which it can be read.
///
/// `Bearer` and `Splunk` have the token behind them; `Basic` (RFC 7617) has it for a password, whoever the user is;
/// `ApiKey`, as Elasticsearch has it, has `id:key` in base64, of which the whole, the key and the base64 count.
pub(crate) fn tokens(headers: &HeaderMap) -> Vec<String> {
    let Some(value) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
        return Vec::new();
    };
    let Some((scheme, rest)) = value.trim().split_once(' ') else { return vec![value.trim().to_owned()] };
    let rest = rest.trim();
    let decoded = || {
        let bytes = sawyer_codec::text::from_base64(rest)?;
        String::from_utf8(bytes).ok()
    };
    match scheme.to_ascii_lowercase().as_str() {
        "basic" => {
            let password = decoded().and_then(|pair| Some(pair.split_once(':')?.1.to_owned()));
            password.into_iter().collect()
        }
        "apikey" => {
            let pair = decoded();
            let key = pair.as_ref().and_then(|pair| Some(pair.split_once(':')?.1.to_owned()));
            [Some(rest.to_owned()), key, pair].into_iter().flatten().collect()
        }
        _ => vec![rest.to_owned()],
    }
}

/// The media type of a request, without its parameters, in small letters.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    value.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// The value of a parameter in a query, with `%` and `+` resolved.
pub(crate) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    query?.split('&').find_map(|pair| {
        let (known, value) = pair.split_once('=').unwrap_or((pair, ""));
        (known == name).then(|| unescape(value))
    })
}

/// Resolves `%XX` and `+`.
pub(crate) fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex =
            bytes.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(str::from_utf8(hex).ok()?, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
                continue;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &'static str) -> Vec<String> {
        tokens(&[(AUTHORIZATION, HeaderValue::from_static(value))].into_iter().collect())
    }

    #[test]
    fn tokens_are_read_from_every_scheme() {
        assert_eq!(shown("Bearer abc"), ["abc"]);
        assert_eq!(shown("Splunk  12-34 "), ["12-34"]);
        assert_eq!(shown("Basic dXNlcjpwYTpzcw=="), ["pa:ss"]);
        assert_eq!(shown("ApiKey aWQ6a2V5"), ["aWQ6a2V5", "key", "id:key"]);
        assert_eq!(shown("bare"), ["bare"]);
        assert_eq!(shown("Basic !!"), [""; 0]);
        assert_eq!(tokens(&HeaderMap::new()), [""; 0]);
    }

    #[test]
    fn parameters_are_unescaped() {
        assert_eq!(parameter(Some("a=1&b=x%20y+z%"), "b").as_deref(), Some("x y z%"));
        assert_eq!(parameter(Some("a"), "a").as_deref(), Some(""));
        assert_eq!(parameter(Some("ab=1"), "a"), None);
        assert_eq!(parameter(None, "a"), None);
    }
}
