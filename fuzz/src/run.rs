//! Runs a target for some time.
//!
//! Owns: choosing inputs, the corpus on disk, limits of one run, keeping what fails.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use xxhash_rust::xxh3::xxh3_64;

use crate::Target;
use crate::coverage::Seen;
use crate::mutate::{Dice, mutate};

/// Longest run of one input. No decoder takes a thousandth of that for what is thrown here.
const RUN_MAX: Duration = Duration::from_secs(10);

/// Memory of the process. What makes a decoder take more is a fault, and ends the process.
pub const MEMORY_BYTES_MAX: u64 = 4 << 30;

/// Most inputs of a corpus that are kept.
const CORPUS_MAX: usize = 20_000;

/// The status of a process in which an input ran for too long.
pub const HUNG: i32 = 3;

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    /// Inputs that were tried.
    pub runs: u64,
    /// Inputs that reached something new.
    pub corpus: usize,
    /// Places in the code that were reached, and how many there are; 0 if nothing counts them.
    pub reached: (usize, usize),
}

/// The file in which an input stands while it is tried, for whoever finds the process dead.
#[must_use]
pub fn current(folder: &Path, target: &Target) -> PathBuf {
    folder.join(format!("{}.current", target.name))
}

/// Tries inputs for so long. The corpus lies in `folder`.
///
/// # Errors
/// If an input fails; it is kept.
pub fn fuzz(target: &Target, folder: &Path, time: Duration) -> Result<Report> {
    let kept = folder.join(target.name);
    fs::create_dir_all(&kept).context("make the folder of the corpus")?;
    let current = File::create(current(folder, target)).context("make the file of the current input")?;
    let watch = Watch::start();
    let mut corpus = (target.seeds)();
    corpus.extend(regressions(target).into_iter().map(|(_, bytes)| bytes));
    corpus.extend(inputs_in(&kept).into_iter().map(|(_, bytes)| bytes));
    corpus.push(Vec::new());
    let (mut seen, mut runs) = (Seen::default(), 0);
    let mut attempt = |input: &[u8]| -> Result<bool> {
        note(&current, input);
        watch.begin();
        let tried = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
        watch.end();
        runs += 1;
        if tried.is_err() {
            let path = keep_failure(folder, target, input)?;
            bail!("target {}: it panicked; the input is in {}", target.name, path.display());
        }
        Ok(seen.note())
    };
    for input in &corpus {
        attempt(input)?;
    }
    let guided = Seen::places() > 0;
    let mut dice = Dice::new(xxh3_64(target.name.as_bytes()));
    let deadline = Instant::now() + time;
    while Instant::now() < deadline {
        // What was found last is most worth going on with.
        let recent = dice.below(2) == 0 && corpus.len() > 8;
        let from = if recent { corpus.len() - 1 - dice.below(8) } else { dice.below(corpus.len()) };
        let mut input = corpus[from].clone();
        let other = dice.below(corpus.len());
        mutate(&mut input, &corpus[other], target.words, &mut dice);
        if attempt(&input)? && guided && corpus.len() < CORPUS_MAX {
            fs::write(kept.join(format!("{:016x}", xxh3_64(&input))), &input).context("keep an input")?;
            corpus.push(input);
        }
    }
    Ok(Report { runs, corpus: corpus.len(), reached: (seen.reached(), Seen::places()) })
}

/// Inputs that made a target fail once, by their names.
#[must_use]
pub fn regressions(target: &Target) -> Vec<(String, Vec<u8>)> {
    inputs_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions").join(target.name))
}

fn inputs_in(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut inputs = Vec::new();
    for entry in folder.read_dir().into_iter().flatten().filter_map(Result::ok) {
        if let (Ok(name), Ok(bytes)) = (entry.file_name().into_string(), fs::read(entry.path())) {
            inputs.push((name, bytes));
        }
    }
    inputs.sort();
    inputs
}

/// Keeps an input that failed.
///
/// # Errors
/// If it cannot be written.
pub fn keep_failure(folder: &Path, target: &Target, input: &[u8]) -> Result<PathBuf> {
    let path = folder.join("failures").join(target.name);
    fs::create_dir_all(&path).context("make the folder of failures")?;
    let path = path.join(format!("{:016x}", xxh3_64(input)));
    fs::write(&path, input).context("keep what failed")?;
    Ok(path)
}

/// Writes down what is tried now: length, then bytes. It is there though the process may end at once.
fn note(file: &File, input: &[u8]) {
    // Without it the input of a process that died is not known; that is all.
    let _ = file.write_all_at(&(input.len() as u64).to_le_bytes(), 0);
    let _ = file.write_all_at(input, 8);
}

/// The input that was being tried.
#[must_use]
pub fn noted(path: &Path) -> Option<Vec<u8>> {
    let bytes = fs::read(path).ok()?;
    let (length, rest) = bytes.split_first_chunk()?;
    rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?).map(<[u8]>::to_vec)
}

/// Ends the process when an input runs for too long.
struct Watch(Arc<AtomicU64>);

impl Watch {
    fn start() -> Self {
        let runs = Arc::new(AtomicU64::new(0));
        let watched = Arc::clone(&runs);
        std::thread::spawn(move || {
            loop {
                let before = watched.load(Ordering::Acquire);
                std::thread::park_timeout(RUN_MAX);
                // Odd while one is running.
                if before % 2 == 1 && watched.load(Ordering::Acquire) == before {
                    std::process::exit(HUNG);
                }
            }
        });
        Self(runs)
    }

    fn begin(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    fn end(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}
