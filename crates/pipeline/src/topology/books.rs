//! The books of the inputs of a topology: which ways their records take, and where their books are kept.
//!
//! Owns: the file `ledger` in the state folder of an input.
//! Does not own: books of inputs that keep them together with their positions (`input`).
//! Invariant: what is in the file closes. Of inputs that have no positions to keep, the books of the last moments before
//! a crash are lost as a whole: what was read with what became of it.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sawyer_disk::{Disk, read_all, write_atomic};
use sawyer_model::Way;
use sawyer_telemetry::{Books, Clock, Ledger, Metrics, Seldom};

use super::plan::PipelinePlan;
use crate::queue::QueueSender;

/// The file's name in an input's state folder.
const FILE: &str = "ledger";

const MAGIC: &[u8; 7] = b"SAWYLED";
const VERSION: u8 = 1;

/// A longer file was not written here.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// How often books are saved that have changed.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// How often the same trouble is told of.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// The ways of an input into the pipelines that take from it. By the second that leads to an output come copies.
/// They are in the order of `pipelines`, which has to be the same for all inputs; see [`along`](crate::Outlet::along).
pub(super) fn ways<'a>(
    input: &str,
    pipelines: impl Iterator<Item = &'a (PipelinePlan, QueueSender)>,
) -> Vec<(QueueSender, Arc<Way>)> {
    let mut reached = HashSet::new();
    let way = |(plan, queue): &'a (PipelinePlan, QueueSender)| {
        let copies = plan.outputs.iter().map(|output| !reached.insert(output)).collect();
        let outputs = plan.outputs.iter().map(|output| output.as_str().into()).collect();
        let pipeline = plan.name.as_str().into();
        (queue.clone(), Arc::new(Way { input: input.into(), pipeline, outputs, copies }))
    };
    pipelines.map(way).collect()
}

/// The outputs that get the records of an input under the identities that they came with.
pub(super) fn unchanged<'a>(
    pipelines: impl Iterator<Item = &'a (PipelinePlan, QueueSender)>,
) -> BTreeSet<Box<str>> {
    let pipelines = pipelines.filter(|(plan, _)| !plan.shares_a_way);
    let outputs = pipelines.flat_map(|(plan, _)| plan.outputs.difference(&plan.apart));
    outputs.map(|output| output.as_str().into()).collect()
}

/// Keeps books on disk.
pub(super) struct Keeper {
    ledger: Ledger,
    clock: Clock,
    folders: Vec<(String, Arc<dyn Disk>)>,
    seldom: Seldom,
}

impl Keeper {
    pub(super) fn new(metrics: &Metrics, clock: &Clock) -> Self {
        let (ledger, clock, seldom) = (metrics.ledger().clone(), clock.clone(), Seldom::new(TELL_INTERVAL));
        Self { ledger, clock, folders: Vec::new(), seldom }
    }

    /// Goes on with the books of an input. Called before it is opened, so that one that has books elsewhere replaces
    /// them.
    pub(super) fn open(&mut self, input: &str, folder: Arc<dyn Disk>) {
        let books = match read_all(&*folder, Path::new(FILE), FILE_BYTES_MAX) {
            Ok(bytes) => decode(&bytes),
            Err(error) if error.is_not_found() => Some(Books::default()),
            Err(_) => None,
        };
        if books.is_none() {
            tracing::warn!(input, "the file `ledger` cannot be used; its books begin anew");
        }
        self.ledger.open(input, books.unwrap_or_default());
        self.folders.push((input.to_owned(), folder));
    }

    /// Saves books while something runs, and when it has ended.
    pub(super) async fn beside<T>(self, work: impl Future<Output = T>) -> T {
        let keeper = Arc::new(self);
        let mut work = std::pin::pin!(work);
        loop {
            let ended = tokio::time::timeout(SAVE_INTERVAL, &mut work).await;
            let saving = Arc::clone(&keeper);
            // Only a panic would be an error, and that was told where it happened.
            let _ = tokio::task::spawn_blocking(move || saving.save()).await;
            if let Ok(ended) = ended {
                return ended;
            }
        }
    }

    fn save(&self) {
        for (input, folder) in &self.folders {
            let Some(books) = self.ledger.take_changed(input) else { continue };
            let saved = folder
                .create_dir_all(Path::new(""))
                .and_then(|()| write_atomic(&**folder, Path::new(FILE), &encode(&books)));
            let Err(error) = saved else { continue };
            self.ledger.not_saved(input);
            if let Some(held_back) = self.seldom.pass(self.clock.now()) {
                tracing::warn!(input, held_back, %error, "save the ledger");
            }
        }
    }
}

fn encode(books: &Books) -> Vec<u8> {
    let mut body = Vec::new();
    books.encode(&mut body);
    let mut out = [&MAGIC[..], &[VERSION], &crc32c::crc32c(&body).to_le_bytes()].concat();
    out.extend(body);
    out
}

fn decode(bytes: &[u8]) -> Option<Books> {
    let rest = bytes.strip_prefix(MAGIC)?.strip_prefix(&[VERSION])?;
    let (checksum, mut body) = rest.split_first_chunk::<4>()?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*checksum) {
        return None;
    }
    Books::decode(&mut body).ok().filter(|_| body.is_empty())
}

#[cfg(test)]
mod tests {
    use sawyer_model::{Count, Fate};

    use super::*;

    #[test]
    fn books_are_read_back_from_their_file_or_not_at_all() {
        let mut books = Books::default();
        let book = books.outputs.entry("out".into()).or_default();
        book.read = Count::new(7, 70);
        book.end(Fate::Delivered, "", Count::new(7, 70));
        let bytes = encode(&books);
        assert_eq!(decode(&bytes), Some(books));
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 4;
            assert_eq!(decode(&bytes), None, "{at}");
        }
    }
}
