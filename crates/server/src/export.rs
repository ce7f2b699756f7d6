//! `/export`: all records of a selection as they are found, one JSON object a line or as a Parquet file.
//!
//! Invariant: no more than a few pages are in memory, however many records there are and however slow the client is;
//! work ends when the client leaves.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use futures_util::{StreamExt, stream};
use sawyer_codec::json_out;
use sawyer_model::Error;
use sawyer_query::search::{Budget, Page, Part, Position, Search, SearchRequest, SearchStats, each_part};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::Api;
use crate::ask::stats_json;
use crate::error::ApiError;
use crate::params::Params;
use crate::search::{decode_cursor, encode_cursor, order, render_options};

mod parquet;

/// Records that are looked for at a time, once the first ones are there.
const PAGE_RECORDS: usize = 5_000;

/// The same for lines, of which a page has no more than some bytes. What is read of a block is read for each page that has
/// records of it.
const PAGE_LINES: usize = 20_000;

/// Pieces that wait for a client.
const PIECES_WAITING_MAX: usize = 2;

/// Bytes of a line behind which what waits is sent on.
const PIECE_BYTES: usize = 256 << 10;

type Piece = Result<Bytes, Error>;

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
    let options = render_options(&params)?;
    let form = Form::of(&params, &options)?;
    let request = SearchRequest {
        selection: api.selection(&params)?,
        order: order(&params)?,
        limit: params.number("limit", usize::MAX, (1, usize::MAX))?,
        after: params.text("cursor").map(decode_cursor).transpose()?,
        original: !options.without_original,
    };
    let limits = api.limits(&params)?;
    let turn = api.turn().await?;
    let (sender, receiver) = mpsc::channel::<Piece>(PIECES_WAITING_MAX);
    let mut reader = Reader { pieces: receiver, current: Current::default() };
    let current = reader.current.clone();
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let mut budget = || {
            let budget = limits.budget();
            current.set(&budget);
            budget
        };
        let search = &*api.0.search;
        let done = match form {
            Form::Lines => lines(search, &request, &options, &mut budget, &sender),
            Form::Parquet => parquet::write(search, &request, &mut budget, Pieces::new(&sender)),
        };
        if let Err(error) = done {
            // Nobody listens any more if the client has left.
            drop(sender.blocking_send(Err(error)));
        }
    });
    // What goes wrong before anything is sent can be told.
    let first = reader.pieces.recv().await.transpose()?.map(Ok);
    let rest =
        stream::unfold(reader, async |mut reader| reader.pieces.recv().await.map(|piece| (piece, reader)));
    let pieces = stream::iter(first).chain(rest);
    Ok(([(header::CONTENT_TYPE, form.media_type())], Body::from_stream(pieces)))
}

/// What an export is made of.
#[derive(Clone, Copy)]
enum Form {
    Lines,
    Parquet,
}

impl Form {
    fn of(params: &Params, options: &json_out::Options) -> Result<Self, ApiError> {
        match params.text("format").unwrap_or("ndjson") {
            "ndjson" => Ok(Self::Lines),
            "parquet" if options.text_bytes_max.is_some() => {
                Err(ApiError::invalid("`truncate`: texts are whole in Parquet"))
            }
            "parquet" => Ok(Self::Parquet),
            other => {
                Err(ApiError::invalid(format!("`format`: expected `ndjson` or `parquet`, found `{other}`")))
            }
        }
    }

    /// Source: the registry of [media types](https://www.iana.org/assignments/media-types/).
    fn media_type(self) -> &'static str {
        match self {
            Self::Lines => "application/x-ndjson",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

/// Writes records as lines of JSON, and the end.
fn lines(
    search: &dyn Search,
    request: &SearchRequest,
    options: &json_out::Options,
    budget: &mut dyn FnMut() -> Budget,
    sender: &mpsc::Sender<Piece>,
) -> Result<(), Error> {
    let mut ask = |request: &SearchRequest, budget: &Budget| {
        let mut pieces = Pieces::new(sender);
        // Those whose texts are cut are records first.
        if options.text_bytes_max.is_none()
            && let Some(part) = search.lines(request, budget, &mut |line| pieces.add(line))
        {
            return part.map(|part| Part { wanted: pieces.finish() && part.wanted, ..part });
        }
        let page = search.search(request, budget)?;
        let wanted = send_page(&page, options, pieces);
        Ok(Part { count: page.records.len(), next: page.next, stats: page.stats, wanted })
    };
    let page_max = if options.text_bytes_max.is_none() { PAGE_LINES } else { PAGE_RECORDS };
    let (next, stats) = each_part(request, page_max, budget, &mut ask)?;
    let mut last = Pieces::new(sender);
    last.add(format!("{}\n", json!({"_end": end(next, &stats)})).as_bytes());
    last.finish();
    Ok(())
}

/// What of a page waits to be sent.
struct Pieces<'a> {
    piece: Vec<u8>,
    sender: &'a mpsc::Sender<Piece>,
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.add(bytes) { Ok(bytes.len()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> Pieces<'a> {
    fn new(sender: &'a mpsc::Sender<Piece>) -> Self {
        Self { piece: Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 8), sender }
    }

    /// Adds a line; says whether anybody still listens.
    fn add(&mut self, line: &[u8]) -> bool {
        self.piece.extend_from_slice(line);
        self.send_full()
    }

    /// Sends what is there, if that is much; says whether anybody still listens.
    fn send_full(&mut self) -> bool {
        if self.piece.len() < PIECE_BYTES {
            return true;
        }
        let next = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 8);
        self.sender.blocking_send(Ok(std::mem::replace(&mut self.piece, next).into())).is_ok()
    }

    /// Sends the rest; says whether anybody still listens.
    fn finish(self) -> bool {
        let Self { piece, sender } = self;
        (piece.is_empty() || sender.blocking_send(Ok(piece.into())).is_ok()) && !sender.is_closed()
    }
}

/// Sends the records of a page; says whether anybody still listens.
fn send_page(page: &Page, options: &json_out::Options, mut pieces: Pieces<'_>) -> bool {
    let mut is_open = true;
    let mut text = Vec::new();
    json_out::write_lines(&page.records, options, &mut text, |text| {
        is_open = pieces.add(text);
        text.clear();
        is_open
    });
    is_open && pieces.finish()
}

/// What is told at the end, so that a client knows that it has everything, or where to go on.
fn end(next: Option<Position>, stats: &SearchStats) -> Value {
    json!({"cursor": next.map(encode_cursor), "stats": stats_json(stats)})
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
