//! The listener, with or without TLS, and the routes that every role has.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::{Listener, ListenerExt as _};
use sawyer_delivery::direct::is_direct;
use sawyer_delivery::tls::{ListenTls, ListenTlsSettings};
use sawyer_model::{Error, ErrorKind};
use sawyer_pipeline::Stop;
use sawyer_telemetry::{Health, Metrics};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;

/// `/healthz`, `/readyz` and `/metrics`.
pub fn router(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .with_state(health)
        .merge(Router::new().route("/metrics", get(numbers)).with_state(metrics))
}

/// Not alive is what only a restart can help; a restart is what Kubernetes makes of it.
async fn alive(State(health): State<Health>) -> (StatusCode, String) {
    match health.deaths() {
        deaths if deaths.is_empty() => (StatusCode::OK, "ok\n".to_owned()),
        deaths => (StatusCode::SERVICE_UNAVAILABLE, deaths.join("\n") + "\n"),
    }
}

async fn ready(State(health): State<Health>) -> (StatusCode, String) {
    let (mut lines, status) = match health.reasons() {
        reasons if reasons.is_empty() => (vec!["ok".to_owned()], StatusCode::OK),
        reasons => (reasons, StatusCode::SERVICE_UNAVAILABLE),
    };
    lines.extend(health.notes());
    (status, lines.join("\n") + "\n")
}

async fn numbers(State(metrics): State<Metrics>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], metrics.text())
}

/// Takes the address.
///
/// # Errors
/// `Conflict` when it is taken already, `Invalid` when it is not this machine's or may not be used.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|error| {
        let (kind, advice) = match error.kind() {
            std::io::ErrorKind::AddrInUse => (
                ErrorKind::Conflict,
                "; another program has it: stop that one, or choose another with --listen",
            ),
            std::io::ErrorKind::AddrNotAvailable => {
                (ErrorKind::Invalid, "; it is no address of this machine")
            }
            _ => (ErrorKind::Invalid, ""),
        };
        Error::new(kind, format!("listen on {address}{advice}")).because(error)
    })
}

/// The encryption that the settings say.
///
/// # Errors
/// `Invalid` if a file cannot be read or used.
pub fn encryption(settings: Option<ListenTlsSettings>) -> Result<Option<ListenTls>, Error> {
    settings.map(|settings| ListenTls::open(settings, &["h2", "http/1.1"])).transpose()
}

/// Serves until told to stop, then lets requests under way finish.
///
/// # Errors
/// What the listener says when it fails for good.
pub async fn serve(
    listener: TcpListener,
    tls: Option<ListenTls>,
    router: Router,
    stop: Stop,
) -> Result<(), Error> {
    let router = router.layer(from_fn(tell_origin));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let stopped = async move { stop.stopped().await };
    let served = match tls {
        None => axum::serve(listener, service).with_graceful_shutdown(stopped).await,
        Some(tls) => {
            let encrypted = Encrypted { listener, tls, greeting: JoinSet::new() };
            axum::serve(encrypted.tap_io(|_| {}), service).with_graceful_shutdown(stopped).await
        }
    };
    served.map_err(|error| Error::new(ErrorKind::Bug, "serve HTTP").because(error))
}

/// Connections that are being greeted at the same time; further ones wait in the system's queue.
const GREETING_MAX: usize = 256;

/// A listener whose connections are encrypted. Whoever is slow to greet holds nobody else up.
struct Encrypted {
    listener: TcpListener,
    tls: ListenTls,
    greeting: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                Some(greeted) = self.greeting.join_next(), if !self.greeting.is_empty() => {
                    if let Ok(Some(greeted)) = greeted {
                        return greeted;
                    }
                }
                (stream, from) = Listener::accept(&mut self.listener),
                    if self.greeting.len() < GREETING_MAX =>
                {
                    let tls = self.tls.clone();
                    self.greeting.spawn(async move {
                        let greeted = tls.accept(stream).await;
                        let greeted = greeted.inspect_err(|error| tracing::debug!(%from, "greet with TLS: {error}"));
                        Some((greeted.ok()?, from))
                    });
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A request that came through a proxy, or to a name that is not this machine's own, does not come from here, whatever
/// its connection says: a sidecar connects from the loopback, and so does a browser whose page has a name that leads to it.
async fn tell_origin(mut request: Request, next: Next) -> Response {
    if !is_direct(request.headers(), request.uri()) {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        request.extensions_mut().insert(ConnectInfo(nowhere));
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_address_is_told_with_advice() {
        let first = listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = first.local_addr().unwrap();
        let error = listen(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.message().contains("another program has it"), "{error}");
    }

    #[tokio::test]
    async fn what_has_died_makes_the_process_dead() {
        let health = Health::new();
        health.not_ready("output out", "nobody is there");
        assert_eq!(alive(State(health.clone())).await, (StatusCode::OK, "ok\n".to_owned()));
        health.dead("store", "these threads have ended: store-write");
        let told = "store: these threads have ended: store-write\n";
        assert_eq!(alive(State(health.clone())).await, (StatusCode::SERVICE_UNAVAILABLE, told.to_owned()));
        let (status, text) = ready(State(health)).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(text, format!("{told}output out: nobody is there\n"));
    }

    #[tokio::test]
    async fn readiness_names_its_reasons() {
        let health = Health::new();
        health.not_ready("store", "the disk is full");
        let (status, text) = ready(State(health.clone())).await;
        assert_eq!((status, text.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "store: the disk is full\n"));
        health.ready("store");
        health.note("configuration", "refused");
        assert_eq!(ready(State(health)).await, (StatusCode::OK, "ok\nconfiguration: refused\n".to_owned()));
    }
}
