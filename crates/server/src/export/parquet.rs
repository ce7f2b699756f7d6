//! An export as a Parquet file.
//!
//! Invariant: the footer is there only if everything before it is, so that a file that was cut cannot be read.

use sawyer_model::{Error, ErrorKind};
use sawyer_parquet::{Plan, Writer};
use sawyer_query::search::{Budget, Search, SearchRequest, each_page};

use super::{PAGE_RECORDS, Pieces, end};

/// The key of the end in the file's own metadata.
const END: &str = "sawyer.end";

/// Writes the records of a request.
pub(super) fn write(
    search: &dyn Search,
    request: &SearchRequest,
    budget: &mut dyn FnMut() -> Budget,
    pieces: Pieces<'_>,
) -> Result<(), Error> {
    let known = search.fields(&request.selection, &budget())?;
    let plan = Plan::new(&known.fields, !request.original);
    let failed = |error: std::io::Error| Error::new(ErrorKind::Closed, "write a Parquet file").because(error);
    let mut writer = Writer::new(pieces, plan).map_err(failed)?;
    let mut added = Ok(());
    let (next, stats) = each_page(search, request, PAGE_RECORDS, budget, &mut |page| {
        added = page.records.iter().try_for_each(|record| writer.add(record));
        added.is_ok()
    })?;
    added.map_err(failed)?;
    if stats.partial {
        return Err(Error::new(
            ErrorKind::Invalid,
            "records would be missing: a bound of `queries` was reached, or a part of the store cannot be read; a shorter \
             range of time may do",
        ));
    }
    let pieces = writer.finish(END, end(next, &stats).to_string()).map_err(failed)?;
    pieces.finish();
    Ok(())
}
