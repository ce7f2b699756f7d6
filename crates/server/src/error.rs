//! Errors as answers.

use axum::Json;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use sawyer_config::Problems;
use sawyer_model::{Error, ErrorKind};
use serde_json::json;

/// Seconds after which a client should try again, where nothing better is known.
const RETRY_AFTER_SECONDS: &str = "2";

/// An error on its way to a client.
#[derive(Debug)]
pub(crate) struct ApiError {
    kind: ErrorKind,
    status: StatusCode,
    message: String,
    /// Where in the query it is, in bytes, and the query with a caret under that place.
    place: Option<(usize, String)>,
    /// What is wrong with a text of settings, each with its place.
    problems: Option<serde_json::Value>,
}

impl ApiError {
    /// A parameter is wrong.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Invalid,
            status: StatusCode::BAD_REQUEST,
            message: message.into(),
            place: None,
            problems: None,
        }
    }

    /// The query is wrong, at a place.
    pub(crate) fn query(error: &sawyer_query::QueryError, query: &str) -> Self {
        let place = Some((error.offset, error.caret(query)));
        Self { place, ..Self::invalid(format!("query: {}", error.message)) }
    }

    /// A text of settings is wrong, maybe at several places.
    pub(crate) fn problems(problems: &Problems) -> Self {
        let told = problems.iter().map(|problem| {
            json!({
                "line": problem.place.line,
                "column": problem.place.column,
                "path": problem.path,
                "message": problem.message,
            })
        });
        Self { problems: Some(told.collect()), ..Self::invalid(problems.to_string()) }
    }

    /// There is no place for another query now.
    pub(crate) fn busy() -> Self {
        let error = Error::new(ErrorKind::Retry, "too many queries are running");
        Self::from(error).with_status(StatusCode::TOO_MANY_REQUESTS)
    }

    /// The same with another status than its kind implies.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Invalid => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::Retry | ErrorKind::Closed => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Corrupt | ErrorKind::Bug => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!("answer a request: {}", error.chain());
        }
        Self { kind: error.kind(), status, message: error.chain(), place: None, problems: None }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut error = json!({"kind": self.kind.name(), "message": self.message});
        if let Some((offset, caret)) = self.place {
            error["offset"] = json!(offset);
            error["caret"] = json!(caret);
        }
        if let Some(problems) = self.problems {
            error["problems"] = problems;
        }
        let mut response = (self.status, Json(json!({ "error": error }))).into_response();
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            let seconds = header::HeaderValue::from_static(RETRY_AFTER_SECONDS);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

/// A path that is no route.
pub(crate) async fn no_such_route(uri: Uri) -> ApiError {
    let message = format!("there is no {} in this API", uri.path());
    ApiError {
        kind: ErrorKind::NotFound,
        status: StatusCode::NOT_FOUND,
        message,
        place: None,
        problems: None,
    }
}

/// A route that is asked with a method that it does not have.
pub(crate) async fn no_such_method(method: Method, uri: Uri) -> ApiError {
    ApiError::invalid(format!("{} does not take {method}", uri.path()))
        .with_status(StatusCode::METHOD_NOT_ALLOWED)
}
