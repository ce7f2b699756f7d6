//! `/restore`: records of a copy that are to be had again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use sawyer_query::upkeep::{RestoreReport, RestoreRequest};
use serde_json::{Value, json};

use crate::Api;
use crate::error::ApiError;
use crate::limits::QueryLimits;
use crate::params::Params;

/// How long one request may restore. What was done by then stays done, and the next request goes on.
const TIME_MAX: Duration = Duration::from_secs(3600);

/// Least and most time that what is restored is kept, as for policies.
const KEEP_MIN: Duration = Duration::from_secs(3600);
const KEEP_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Brings the records of a copy if `confirm` says so; otherwise only says what it would bring.
pub(crate) async fn restore(State(api): State<Api>, params: Params) -> Result<Json<Value>, ApiError> {
    let from = params.text("from").map(PathBuf::from).filter(|from| from.is_absolute());
    let from = from.ok_or_else(|| {
        ApiError::invalid("from: expected the full path of a backup on the machine of the process")
    })?;
    let request = RestoreRequest {
        selection: api.selection_of_all(&params)?,
        keep: params.text("keep").map(keep_of).transpose()?,
        confirmed: params.flag("confirm", false)?,
    };
    let (query, confirmed) = (params.text("query").unwrap_or_default().to_owned(), request.confirmed);
    let limits = QueryLimits { time_max: TIME_MAX, ..QueryLimits::default() };
    let restoring = api.answer_within(limits, move |api, budget| {
        if request.confirmed {
            tell_begin(&from, &query, &request);
        }
        let report = api.0.restore.restore(&from, &request, budget);
        if request.confirmed {
            match &report {
                Ok(RestoreReport { records, present, expired, problems, .. }) => {
                    let damaged_files = problems.len();
                    tracing::info!(
                        from = %from.display(), records, present, expired, damaged_files,
                        "records were restored on request"
                    );
                }
                Err(error) => tracing::warn!(
                    from = %from.display(),
                    "restoring records has ended before all were: {}", error.chain()
                ),
            }
        }
        report
    });
    Ok(Json(answer(&restoring.await?, confirmed)))
}

fn tell_begin(from: &Path, query: &str, request: &RestoreRequest) {
    let (start, end) = (request.selection.start, request.selection.end);
    let keep_seconds = request.keep.map(|keep| keep.as_secs());
    tracing::info!(
        from = %from.display(), query, %start, %end, keep_seconds,
        "records are restored on request"
    );
}

fn keep_of(text: &str) -> Result<Duration, ApiError> {
    let keep = sawyer_config::duration::parse(text).filter(|keep| (KEEP_MIN..=KEEP_MAX).contains(keep));
    keep.ok_or_else(|| {
        ApiError::invalid(format!("keep: expected a length from 1h to 36500d, such as 7d, found `{text}`"))
    })
}

fn answer(report: &RestoreReport, confirmed: bool) -> Value {
    let RestoreReport { records, bytes, present, expired, problems } = report;
    let problem = |(path, message): &(String, String)| json!({ "path": path, "message": message });
    json!({
        "records": records,
        "bytes": bytes,
        "present": present,
        "expired": expired,
        "problems": problems.iter().map(problem).collect::<Vec<_>>(),
        "restored": if confirmed { *records } else { 0 },
    })
}
