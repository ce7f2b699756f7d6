//! A whole configuration: the first file, what it includes, and what the environment fills in.
//!
//! Owns: reading files, where variables come from, merging of included files.
//! Does not own: the syntax of a file (`parse`), of variables (`expand`), of patterns (`glob`).
//! Invariant: a key of the top level or of one of its maps comes from one file only.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::at::At;
use crate::expand::Values;
use crate::include;
use crate::node::Node;
use crate::parse;
use crate::place::Place;
use crate::problem::{Problem, Problems};

/// A configuration that was read without problems.
#[derive(Debug, Clone)]
pub struct Document {
    root: Node,
    files: BTreeSet<PathBuf>,
}

impl Document {
    /// Reads a file and what it includes, with the variables of the process.
    pub fn load(path: &Path) -> Result<Document, Problems> {
        Loader::system().load(path)
    }

    /// Reads a text alone: no variable is set, no file is read, so nothing outside the text matters.
    pub fn parse(name: &str, text: &str) -> Result<Document, Problems> {
        Loader::pure().parse(name, text)
    }

    /// The top of the tree, for reading settings. It is a map, or nothing if the text was empty.
    pub fn at(&self) -> At<'_> {
        At::root(&self.root)
    }

    /// The tree.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// Every file that was read, secrets included: a change in one of them is a change of the configuration.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path)
    }
}

/// Looks up an environment variable.
type Variables = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Reads documents with given surroundings.
pub struct Loader {
    variables: Box<Variables>,
    reads_files: bool,
    deep: &'static [&'static str],
    stand_in: Option<&'static str>,
}

impl Loader {
    /// Variables of the process, files of the machine.
    pub fn system() -> Loader {
        Loader { reads_files: true, ..Loader::pure().variables(|name| std::env::var(name).ok()) }
    }

    /// No variables, and no files besides the one that is asked for.
    pub fn pure() -> Loader {
        Loader { variables: Box::new(|_| None), reads_files: false, deep: &[], stand_in: None }
    }

    /// Takes the values of variables from a function.
    pub fn variables(mut self, variables: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Loader {
        self.variables = Box::new(variables);
        self
    }

    /// Puts this text in the place of variables that are not set and have no default, so that the rest can be looked at.
    pub fn stand_in(mut self, text: &'static str) -> Loader {
        self.stand_in = Some(text);
        self
    }

    /// Names sections at the top whose maps hold names one level deeper, as `alerts.rules` does: included files join
    /// those maps as well.
    pub fn deep(mut self, sections: &'static [&'static str]) -> Loader {
        self.deep = sections;
        self
    }

    /// Reads a file and what it includes. Relative includes and secrets are relative to the file that names them.
    pub fn load(&self, path: &Path) -> Result<Document, Problems> {
        let mut problems = Problems::new();
        let text = read_text(path, parse::FILE_BYTES_MAX);
        match text {
            Ok(text) => self.document(path, &text, problems),
            Err(why) => {
                let place = Place::whole(&path.to_string_lossy());
                problems.add(Problem { place, path: String::new(), message: format!("file {why}") });
                Err(problems)
            }
        }
    }

    /// Reads a text as if it were the file `name`.
    pub fn parse(&self, name: &str, text: &str) -> Result<Document, Problems> {
        self.document(Path::new(name), text, Problems::new())
    }

    fn document(&self, path: &Path, text: &str, mut problems: Problems) -> Result<Document, Problems> {
        let (root, files) = include::read(self, path, text, &mut problems);
        problems.into_result(root).map(|root| Document { root, files })
    }

    /// Whether other files may be read.
    pub(crate) fn reads_files(&self) -> bool {
        self.reads_files
    }

    /// Whether the maps inside this section are joined.
    pub(crate) fn is_deep(&self, section: &str) -> bool {
        self.deep.contains(&section)
    }

    /// What fills in the references of a file.
    pub(crate) fn values<'a>(
        &'a self,
        file: &'a Path,
        files: &'a RefCell<BTreeSet<PathBuf>>,
    ) -> FileValues<'a> {
        FileValues { loader: self, folder: file.parent().unwrap_or(Path::new("")), files }
    }
}

/// Bytes of a secret file; a larger one is no password, token or key.
const SECRET_BYTES_MAX: usize = 64 << 10;

/// Fills in references with the loader's variables and with files near the one being read.
pub(crate) struct FileValues<'a> {
    loader: &'a Loader,
    folder: &'a Path,
    files: &'a RefCell<BTreeSet<PathBuf>>,
}

impl Values for FileValues<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        (self.loader.variables)(name)
    }

    fn stand_in(&self) -> Option<&str> {
        self.loader.stand_in
    }

    fn file(&self, path: &str) -> Result<String, String> {
        if !self.loader.reads_files {
            return Err("cannot be read: no files are read here".to_owned());
        }
        let path = self.folder.join(path);
        let text = read_text(&path, SECRET_BYTES_MAX)?;
        self.files.borrow_mut().insert(path);
        Ok(text)
    }
}

/// Reads a file of bounded size. The error reads on from the file's name.
pub(crate) fn read_text(path: &Path, bytes_max: usize) -> Result<String, String> {
    let mut bytes = Vec::new();
    let bound = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let read = File::open(path).and_then(|file| file.take(bound).read_to_end(&mut bytes));
    read.map_err(|error| match error.kind() {
        ErrorKind::NotFound => "does not exist".to_owned(),
        ErrorKind::PermissionDenied => "cannot be read: permission denied".to_owned(),
        ErrorKind::IsADirectory => "cannot be read: it is a directory".to_owned(),
        _ => format!("cannot be read: {error}"),
    })?;
    if bytes.len() > bytes_max {
        return Err(format!("is larger than {bytes_max} bytes"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..offset].split(|byte| *byte == b'\n').count();
        format!("is not UTF-8 in line {line}, byte {offset}")
    })
}
