//! A secret as it is right now.

use std::path::PathBuf;

use parking_lot::Mutex;
use sawyer_config::Secret;
use sawyer_model::{Error, ErrorKind};

use crate::http::files::Watched;

/// Bytes of a file with a secret, at most; a larger file is not one.
const SECRET_BYTES_MAX: usize = 64 << 10;

/// A secret: as it stands in the settings, or in a file that is read again when it changes.
#[derive(Debug)]
pub enum CurrentSecret {
    /// It does not change.
    Fixed(Secret),
    /// It is in a file.
    File(Box<SecretFile>),
}

/// A file with a secret in it.
#[derive(Debug)]
pub struct SecretFile {
    path: PathBuf,
    watched: Watched,
    text: Mutex<Option<Secret>>,
}

impl CurrentSecret {
    /// A secret that does not change.
    #[must_use]
    pub fn fixed(secret: Secret) -> Self {
        Self::Fixed(secret)
    }

    /// A secret in a file, without the line ends behind it.
    #[must_use]
    pub fn file(path: PathBuf) -> Self {
        let watched = Watched::new(vec![path.clone()]);
        Self::File(Box::new(SecretFile { path, watched, text: Mutex::new(None) }))
    }

    /// The secret.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub async fn current(&self) -> Result<Secret, Error> {
        match self {
            Self::Fixed(secret) => Ok(secret.clone()),
            Self::File(file) => file.current().await,
        }
    }
}

impl SecretFile {
    async fn current(&self) -> Result<Secret, Error> {
        if self.watched.changed().await || self.text.lock().is_none() {
            let read = self.read().await.inspect_err(|_| self.watched.read_again())?;
            *self.text.lock() = Some(read);
        }
        Ok(self.text.lock().clone().expect("it was read just now, or before"))
    }

    async fn read(&self) -> Result<Secret, Error> {
        let named = || format!("read the secret in {}", self.path.display());
        let text = tokio::fs::read_to_string(&self.path)
            .await
            .map_err(|error| Error::new(ErrorKind::Retry, named()).because(error))?;
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() || text.len() > SECRET_BYTES_MAX {
            let what = if text.is_empty() { "it is empty" } else { "it is too large" };
            return Err(Error::new(ErrorKind::Retry, format!("{}: {what}", named())));
        }
        Ok(Secret::new(text))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_changed_file_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let secret = CurrentSecret::file(path.clone());
        let error = secret.current().await.unwrap_err();
        assert!(error.chain().contains("No such file"), "{}", error.chain());
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(secret.current().await.unwrap().expose(), "one", "a missing file is looked for at once");
        std::fs::write(&path, "second").unwrap();
        assert_eq!(secret.current().await.unwrap().expose(), "one");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(secret.current().await.unwrap().expose(), "second");
        assert!(!format!("{secret:?}").contains("second"));
    }
}
