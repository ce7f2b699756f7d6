//! Who is on the machine of the process?
//!
//! Owns: the guard before routes that show or lose records: there is nobody who may that a listener knows by name, and
//! whoever reaches it for its metrics need not be one.
//! Does not own: telling a proxy's requests from a program's (`http`).

use std::net::SocketAddr;

use axum::Json;
use axum::extract::{ConnectInfo, Request};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sawyer_model::ErrorKind;
use serde_json::json;

/// Refuses whoever is not on this machine; and pages of the web, which cannot set this header unasked.
pub async fn only(request: Request, next: Next) -> Response {
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
    if !from.is_some_and(|from| from.is_loopback()) {
        let message = "this is answered for programs on the machine of the process only";
        return refuse(StatusCode::FORBIDDEN, message);
    }
    let is_json =
        request.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == "application/json");
    if request.method() != Method::GET && !is_json {
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type: expected `application/json`");
    }
    next.run(request).await
}

fn refuse(status: StatusCode, message: &str) -> Response {
    let error = json!({ "kind": ErrorKind::Invalid.name(), "message": message });
    (status, Json(json!({ "error": error }))).into_response()
}
