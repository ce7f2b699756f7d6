//! `/export`: all records of a selection, one JSON object a line, as they are found.
//!
//! Invariant: no more than a few pages are in memory, however many records there are and however slow the client is;
//! work ends when the client leaves.

use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use futures_util::stream;
use sawyer_codec::json_out;
use sawyer_query::search::{Budget, Page, Position, SearchRequest, SearchStats, each_page};
use serde_json::json;
use tokio::sync::mpsc;

use crate::Api;
use crate::ask::stats_json;
use crate::error::ApiError;
use crate::params::Params;
use crate::search::{decode_cursor, encode_cursor, order, render_options};

/// Records that are looked for at a time, once the first ones are there.
const PAGE_RECORDS: usize = 5_000;

/// Pages that wait for a client.
const PAGES_WAITING_MAX: usize = 2;

/// Bytes of a line behind which what waits is sent on.
const PIECE_BYTES: usize = 256 << 10;

type Piece = Result<Bytes, std::io::Error>;

/// The budget of the page that is being looked for. It is cancelled when the client leaves.
#[derive(Clone, Default)]
struct Current(Arc<Mutex<Option<Budget>>>);

/// What the client reads from.
struct Reader {
    pieces: mpsc::Receiver<Piece>,
    current: Current,
}

impl Current {
    fn set(&self, budget: &Budget) {
        if let Ok(mut current) = self.0.lock() {
            *current = Some(budget.clone());
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Ok(mut current) = self.current.0.lock() {
            current.take().iter().for_each(Budget::cancel);
        }
    }
}

pub(crate) async fn export(State(api): State<Api>, params: Params) -> Result<impl IntoResponse, ApiError> {
    let request = SearchRequest {
        selection: api.selection(&params)?,
        order: order(&params)?,
        limit: params.number("limit", usize::MAX, (1, usize::MAX))?,
        after: params.text("cursor").map(decode_cursor).transpose()?,
        original: params.flag("original", true)?,
    };
    let options = render_options(&params)?;
    let limits = api.limits(&params)?;
    let turn = api.turn().await?;
    let (sender, receiver) = mpsc::channel::<Piece>(PAGES_WAITING_MAX);
    let reader = Reader { pieces: receiver, current: Current::default() };
    let current = reader.current.clone();
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let search = &*api.0.search;
        let mut budget = || {
            let budget = limits.budget();
            current.set(&budget);
            budget
        };
        let mut send = |page: &Page| send_page(page, &options, &sender);
        let told = match each_page(search, &request, PAGE_RECORDS, &mut budget, &mut send) {
            Ok((next, stats)) => Ok(end_line(next, &stats)),
            Err(error) => Err(std::io::Error::other(error)),
        };
        // Nobody listens any more if the client has left.
        drop(sender.blocking_send(told));
    });
    let pieces =
        stream::unfold(reader, async |mut reader| reader.pieces.recv().await.map(|piece| (piece, reader)));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(pieces)))
}

/// Sends the records of a page; says whether anybody still listens.
fn send_page(page: &Page, options: &json_out::Options, sender: &mpsc::Sender<Piece>) -> bool {
    let new = || Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 8);
    let (mut piece, mut is_open) = (new(), true);
    json_out::write_lines(&page.records, options, &mut piece, |piece| {
        if piece.len() >= PIECE_BYTES {
            is_open = sender.blocking_send(Ok(std::mem::replace(piece, new()).into())).is_ok();
        }
        is_open
    });
    is_open && (piece.is_empty() || sender.blocking_send(Ok(piece.into())).is_ok()) && !sender.is_closed()
}

/// What stands in the last line, so that a client knows that it has everything, or where to go on.
fn end_line(next: Option<Position>, stats: &SearchStats) -> Bytes {
    let end = json!({"_end": {"cursor": next.map(encode_cursor), "stats": stats_json(stats)}});
    format!("{end}\n").into()
}

impl Api {
    /// Waits for the turn of a query that outlives the answer's beginning.
    async fn turn(&self) -> Result<tokio::sync::OwnedSemaphorePermit, ApiError> {
        let running = Arc::clone(&self.0.running);
        let turn = tokio::time::timeout(crate::ask::TURN_WAIT_MAX, running.acquire_owned()).await;
        match turn {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(ApiError::busy()),
        }
    }
}
