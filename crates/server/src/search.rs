//! `/search` and `/count`.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sawyer_codec::json_out;
use sawyer_model::{SourceId, Timestamp};
use sawyer_query::search::{Order, Page, Position, SearchRequest};
use serde_json::json;

use crate::Api;
use crate::ask::stats_json;
use crate::error::ApiError;
use crate::params::Params;

/// Most records of one answer.
const LIMIT_MAX: usize = 10_000;

/// Records of an answer that does not say how many.
const LIMIT_DEFAULT: usize = 100;

/// Bytes of text in one answer, roughly: it ends early behind them, with a cursor to go on.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Bytes that a usual record takes, rather too many.
const RECORD_BYTES: usize = 1536;

pub(crate) async fn search(State(api): State<Api>, params: Params) -> Result<impl IntoResponse, ApiError> {
    let request = SearchRequest {
        selection: api.selection(&params)?,
        order: order(&params)?,
        limit: params.number("limit", LIMIT_DEFAULT, (1, LIMIT_MAX))?,
        after: params.text("cursor").map(decode_cursor).transpose()?,
        original: params.flag("original", true)?,
    };
    let options = render_options(&params)?;
    let page = api.answer_to(&params, move |api, budget| api.0.search.search(&request, budget)).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], render(&page, &options)))
}

/// How records are to be written.
pub(crate) fn render_options(params: &Params) -> Result<json_out::Options, ApiError> {
    let whole = usize::MAX;
    let truncate = params.number("truncate", whole, (16, whole))?;
    Ok(json_out::Options {
        text_bytes_max: (truncate != whole).then_some(truncate),
        without_original: !params.flag("original", true)?,
    })
}

pub(crate) fn order(params: &Params) -> Result<Order, ApiError> {
    match params.text("order") {
        None | Some("desc") => Ok(Order::NewestFirst),
        Some("asc") => Ok(Order::OldestFirst),
        Some(text) => Err(ApiError::invalid(format!("order: expected `desc` or `asc`, found `{text}`"))),
    }
}

fn render(page: &Page, options: &json_out::Options) -> Vec<u8> {
    let records = &page.records;
    // Room for usual ones: what is not used costs nothing, and what is written need not move.
    let mut body = Vec::with_capacity((records.len() * RECORD_BYTES + 1024).min(ANSWER_BYTES_MAX));
    body.extend_from_slice(br#"{"records":["#);
    let written = json_out::write_list(records, options, &mut body, |body| body.len() <= ANSWER_BYTES_MAX);
    let is_whole = written == records.len();
    let next = if is_whole { page.next } else { Some(Position::of(records.get(written - 1))) };
    let tail = json!({"cursor": next.map(encode_cursor), "stats": stats_json(&page.stats)}).to_string();
    body.extend_from_slice(b"],");
    // The object's own opening brace is not wanted a second time.
    body.extend_from_slice(&tail.as_bytes()[1..]);
    body
}

pub(crate) async fn count(
    State(api): State<Api>,
    params: Params,
) -> Result<Json<serde_json::Value>, ApiError> {
    let selection = api.selection(&params)?;
    let (count, stats) =
        api.answer_to(&params, move |api, budget| api.0.search.count(&selection, budget)).await?;
    Ok(Json(json!({"count": count, "stats": stats_json(&stats)})))
}

/// Version of the cursor's layout: its first byte.
const CURSOR_VERSION: u8 = 1;

/// version, timestamp, source, start; little-endian.
pub(crate) fn encode_cursor(position: Position) -> String {
    let mut bytes = vec![CURSOR_VERSION];
    bytes.extend_from_slice(&position.timestamp.nanos().to_le_bytes());
    bytes.extend_from_slice(&position.source.0.to_le_bytes());
    bytes.extend_from_slice(&position.start.to_le_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn decode_cursor(text: &str) -> Result<Position, ApiError> {
    let wrong = || ApiError::invalid("cursor: expected the `cursor` of an earlier answer");
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
    let (version, rest) = bytes.split_first().ok_or_else(wrong)?;
    let rest: &[u8; 32] = rest.try_into().map_err(|_| wrong())?;
    if *version != CURSOR_VERSION {
        return Err(wrong());
    }
    let (timestamp, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
    let (source, start) = rest.split_first_chunk::<16>().ok_or_else(wrong)?;
    let start: &[u8; 8] = start.try_into().map_err(|_| wrong())?;
    Ok(Position {
        timestamp: Timestamp::from_nanos(i64::from_le_bytes(*timestamp)),
        source: SourceId(u128::from_le_bytes(*source)),
        start: u64::from_le_bytes(*start),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back() {
        let position =
            Position { timestamp: Timestamp::from_nanos(-5), source: SourceId(u128::MAX - 7), start: 99 };
        assert_eq!(decode_cursor(&encode_cursor(position)).unwrap(), position);
        for wrong in ["", "x", "AAAA", &encode_cursor(position)[1..]] {
            assert!(decode_cursor(wrong).is_err(), "{wrong}");
        }
    }
}
