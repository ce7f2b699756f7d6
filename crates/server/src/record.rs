//! `/records/{id}`: one whole record.

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;
use sawyer_codec::json_out;
use sawyer_model::{Batch, Error, ErrorKind, RecordId};

use crate::Api;
use crate::error::ApiError;

pub(crate) async fn record(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let parsed: RecordId = id.parse().map_err(|error| ApiError::invalid(format!("id: {error}")))?;
    let found = api.answer(move |api, budget| api.0.search.record(parsed, budget)).await?;
    let record = found.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("there is no record {id}; retention may have removed it"))
    })?;
    let batch: Batch = [&record].into_iter().collect();
    let mut body = br#"{"record":"#.to_vec();
    json_out::write(batch.get(0), &json_out::Options::default(), &mut body);
    body.push(b'}');
    Ok(([(header::CONTENT_TYPE, "application/json")], body))
}
