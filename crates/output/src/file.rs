//! The output `file`: lines in a file that is rotated.
//!
//! Owns: appending, syncing, rotation, removing old files, and mending what a crash left.
//! Does not own: the form of lines (`encode`), what is durable when (`disk`).
//! Promise: with `sync: always` and `sync: interval` records are acknowledged when they are synced, with
//! `sync: never` when the system has taken them. Lines may come twice: a group of lines that was written but not
//! acknowledged before a crash is written again. A line that a crash tore at the end of the file is cut off when the
//! file is opened again; after a loss of power there may be damaged lines before it, of which nobody was promised
//! anything.

mod settings;
mod sink;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sawyer_config::{At, Problems, Setting, Settings};
use sawyer_disk::RealDisk;
use sawyer_model::{Error, ErrorKind};
use sawyer_pipeline::{Context, Kind, Output, OutputPlan};

pub use settings::{FileSettings, Sync};

use crate::lines::LineOutput;

/// The kind `file`.
pub(crate) fn kind() -> Kind<Box<dyn OutputPlan>> {
    Kind {
        name: "file",
        reference: FileSettings::reference,
        read: Box::new(|at, problems| {
            let settings = FileSettings::read(at, problems)?;
            Some(Box::new(check(settings, at, problems)?))
        }),
    }
}

#[derive(Debug)]
struct FilePlan {
    folder: PathBuf,
    name: String,
    settings: FileSettings,
}

fn check(settings: FileSettings, at: &At<'_>, problems: &mut Problems) -> Option<FilePlan> {
    let written_as_folder = settings.path.to_string_lossy().ends_with('/');
    let name = settings.path.file_name().and_then(|name| name.to_str()).filter(|_| !written_as_folder);
    let Some(name) = name.map(str::to_owned) else {
        problems.expected(&at.key("path"), "the path of a file");
        return None;
    };
    let folder = settings.path.parent().unwrap_or_else(|| Path::new("")).to_owned();
    Some(FilePlan { folder, name, settings })
}

impl OutputPlan for FilePlan {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Output>, Error> {
        let Self { folder, name, settings } = *self;
        refuse_special(&settings.path)?;
        let disk = RealDisk::new(folder).map_err(|error| sink::cannot("make the folder", error))?;
        let (format, gather) = (settings.format, gather_time(&settings));
        let mut sink = sink::FileSink::new(Arc::new(disk), name, settings, context);
        sink.open().map_err(|error| Error::new(ErrorKind::Invalid, "open the file").because(error))?;
        Ok(Box::new(LineOutput::new(sink, format, gather, context)))
    }
}

/// A device or a socket would be renamed like a file at the first fault, and `/dev/null` would be gone for everybody.
fn refuse_special(path: &Path) -> Result<(), Error> {
    match path.metadata() {
        Ok(metadata) if !metadata.is_file() => {
            Err(Error::new(ErrorKind::Invalid, format!("{} is no regular file", path.display())))
        }
        // Whatever else is wrong is told when it is opened.
        _ => Ok(()),
    }
}

/// How long lines wait for others to be synced together.
fn gather_time(settings: &FileSettings) -> Duration {
    if settings.sync == Sync::Interval { settings.sync_interval } else { Duration::ZERO }
}
