use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use sawyer_delivery::http::body;

use super::*;
use crate::testing::numbered;

/// Writes the places of records, a line each; it can be told to panic behind one.
struct Places {
    panics_behind: usize,
}

impl Rows for Places {
    fn write(
        &self,
        batch: &Batch,
        records: Range<usize>,
        out: &mut Vec<u8>,
        done: &mut dyn FnMut(&mut Vec<u8>),
    ) {
        for at in records {
            out.extend_from_slice(format!("{}\n", batch.get(at).range().start).as_bytes());
            assert!(at != self.panics_behind, "as it was told");
            done(out);
        }
    }
}

fn limits() -> Limits {
    Limits {
        request_bytes_max: 1 << 20,
        request_items_max: 1000,
        item_bytes_max: 1 << 20,
        age_max: Duration::ZERO,
        requests_max: 1,
        held_bytes_max: 1 << 20,
        retry_time_max: None,
        retry_pause_max: Duration::from_secs(1),
        ordered: false,
    }
}

fn items(panics_behind: usize) -> Vec<Item<Run>> {
    let maker = InRuns::new(Places { panics_behind }, Compression::None);
    maker.items(&Arc::new(numbered(10, 3)), &limits(), &Ack::new(|_| ())).0
}

#[tokio::test]
async fn records_of_a_run_that_was_taken_apart_hold_no_text() {
    let run = items(usize::MAX).pop().unwrap().payload;
    assert_eq!((run.count(), run.held_bytes()), (3, Some(9)));
    let parts = run.apart();
    assert!(parts.iter().all(|part| (part.bytes, part.payload.held_bytes()) == (3, Some(0))));
    let pieces = parts.iter().map(|part| part.payload.piece()).collect();
    assert_eq!(body(pieces, Compression::None).await, "10\n11\n12\n");
}

#[tokio::test]
async fn a_writer_that_panics_leaves_nothing_to_the_next() {
    assert!(catch_unwind(AssertUnwindSafe(|| items(1))).is_err());
    let run = items(usize::MAX).pop().unwrap();
    assert_eq!(body(vec![run.payload.piece()], Compression::None).await, "10\n11\n12\n");
}
