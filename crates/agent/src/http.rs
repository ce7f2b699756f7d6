//! The listener, and the routes that every role has.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use sawyer_model::{Error, ErrorKind};
use sawyer_pipeline::Stop;
use sawyer_telemetry::{Health, Metrics};
use tokio::net::TcpListener;

/// `/healthz`, `/readyz` and `/metrics`.
pub fn router(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(health)
        .merge(Router::new().route("/metrics", get(numbers)).with_state(metrics))
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

/// Serves until told to stop, then lets requests under way finish.
///
/// # Errors
/// What the listener says when it fails for good.
pub async fn serve(listener: TcpListener, router: Router, stop: Stop) -> Result<(), Error> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let serve = axum::serve(listener, service).with_graceful_shutdown(async move { stop.stopped().await });
    serve.await.map_err(|error| Error::new(ErrorKind::Bug, "serve HTTP").because(error))
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
