//! A data folder, and the keys that it is encrypted with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use sawyer_disk::{Disk, EncryptedDisk, Key, RealDisk};

/// The folder of the store in a data folder.
pub(crate) const STORE_FOLDER: &str = "store";

/// The keys of a data folder that no configuration names.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyArgs {
    /// A file with a key that data is encrypted with (`encryption_at_rest`), several with commas between them.
    #[arg(long, env = "SAWYER_KEY_FILE", value_delimiter = ',', global = true)]
    key_file: Vec<PathBuf>,
}

impl KeyArgs {
    pub(crate) fn keys(&self) -> Result<Vec<Key>> {
        let read = |path: &PathBuf| {
            let content = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
            Key::parse(&content).with_context(|| path.display().to_string())
        };
        self.key_file.iter().map(read).collect()
    }
}

/// The data folder, read and written by these keys.
pub(crate) fn open(folder: &Path, keys: Vec<Key>) -> Result<Arc<dyn Disk>> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(folder)?);
    // A backup that was put there remembers its keys in its own folder.
    EncryptedDisk::check(&*disk, Path::new(STORE_FOLDER), &keys)?;
    Ok(EncryptedDisk::open(disk, keys)?)
}
