//! `include:` at the top level: further files whose maps join those of the first.
//!
//! Owns: which files are read, in which order, and how their trees are merged.
//! Invariant: a file is read once, and a name is defined by one file.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::at::{At, join};
use crate::document::{Loader, read_text};
use crate::glob;
use crate::node::{Key, Kind, Node};
use crate::parse;
use crate::place::Place;
use crate::problem::{Problem, Problems};
use crate::setting::Setting;

/// The key that names further files.
pub(crate) const INCLUDE: &str = "include";

/// Top-level keys that start so are left out: a place for anchors that are used elsewhere.
pub(crate) const EXTENSION_PREFIX: &str = "x-";

/// Includes inside includes. A deeper one is refused: nobody would find a setting there.
const DEPTH_MAX: usize = 8;

/// Files of one configuration; with [`parse::FILE_BYTES_MAX`] it bounds the memory.
const FILES_MAX: usize = 256;

/// Reads a text and all it includes as one tree, and returns it with the names of the files that were read.
pub(crate) fn read(
    loader: &Loader,
    path: &Path,
    text: &str,
    problems: &mut Problems,
) -> (Option<Node>, BTreeSet<PathBuf>) {
    let mut reader =
        Reader { loader, problems, seen: BTreeSet::new(), files: RefCell::default(), chain: Vec::new() };
    reader.files.borrow_mut().insert(path.to_owned());
    let root = reader.file(path, text);
    (root, reader.files.into_inner())
}

struct Reader<'a> {
    loader: &'a Loader,
    problems: &'a mut Problems,
    /// Files taken so far, by their real path.
    seen: BTreeSet<PathBuf>,
    /// Files read so far, secrets included, as they were named.
    files: RefCell<BTreeSet<PathBuf>>,
    /// The files that include the present one, outermost first, by their real path.
    chain: Vec<PathBuf>,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path, text: &str) -> Option<Node> {
        let real = real_path(path);
        self.seen.insert(real.clone());
        let name: Arc<str> = path.to_string_lossy().into();
        let values = self.loader.values(path, &self.files);
        let mut node = parse::parse(&name, text, &values, self.problems)?;
        if node.is_null() {
            node.kind = Kind::Map(Vec::new());
        }
        if !matches!(node.kind, Kind::Map(_)) {
            self.problems.expected(&At::root(&node), "a map of settings");
            return None;
        }
        let included = take(&mut node);
        self.chain.push(real);
        if let Some((key, patterns)) = included {
            self.include(path, &key, &patterns, &mut node);
        }
        self.chain.pop();
        Some(node)
    }

    fn include(&mut self, path: &Path, key: &Key, patterns: &Node, into: &mut Node) {
        let holder = Node::new(key.place.clone(), Kind::Map(vec![(key.clone(), patterns.clone())]));
        let at = At::root(&holder).key(INCLUDE);
        let Some(_) = Vec::<String>::read(&at, self.problems) else { return };
        if !self.loader.reads_files() {
            return self.problems.push(&at, "no files are read here");
        }
        if self.chain.len() > DEPTH_MAX {
            return self.problems.push(&at, format!("nested deeper than {DEPTH_MAX} files"));
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        for at in at.items() {
            for found in self.matches(folder, &at) {
                let Some(tree) = self.included(&found, &at) else { continue };
                merge(into, tree, self.loader, self.problems);
            }
        }
    }

    /// The files of one pattern, less those already taken by another.
    fn matches(&mut self, folder: &Path, at: &At<'_>) -> Vec<PathBuf> {
        let pattern = at.text().unwrap_or_default();
        if !glob::is_pattern(pattern) {
            let path = folder.join(pattern);
            if self.chain.contains(&real_path(&path)) {
                self.problems.push(at, format!("file `{pattern}` includes itself"));
                return Vec::new();
            }
            return vec![path];
        }
        glob::find(folder, pattern).unwrap_or_else(|message| {
            self.problems.push(at, message);
            Vec::new()
        })
    }

    fn included(&mut self, path: &Path, at: &At<'_>) -> Option<Node> {
        if self.seen.contains(&real_path(path)) {
            return None;
        }
        if self.seen.len() >= FILES_MAX {
            self.problems.push(at, format!("more than {FILES_MAX} files"));
            return None;
        }
        self.files.borrow_mut().insert(path.to_owned());
        match read_text(path, parse::FILE_BYTES_MAX) {
            Ok(text) => self.file(path, &text),
            Err(why) => {
                self.problems.push(at, format!("file `{}` {why}", path.display()));
                None
            }
        }
    }
}

/// The path without links, where there is one.
fn real_path(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Takes `include` and the extension keys out of a top-level map.
fn take(node: &mut Node) -> Option<(Key, Node)> {
    let Kind::Map(entries) = &mut node.kind else { return None };
    entries.retain(|(key, _)| !key.text.starts_with(EXTENSION_PREFIX));
    let index = entries.iter().position(|(key, _)| key.text == INCLUDE)?;
    Some(entries.remove(index))
}

/// Merges top-level maps, and the maps directly in them, and of deep sections those one level below; anything else may
/// be there only once.
fn merge(into: &mut Node, from: Node, loader: &Loader, problems: &mut Problems) {
    let (Kind::Map(into), Kind::Map(from)) = (&mut into.kind, from.kind) else { return };
    for (key, value) in from {
        let Some((first, present)) = into.iter_mut().find(|(present, _)| present.text == key.text) else {
            into.push((key, value));
            continue;
        };
        match (&mut present.kind, value.kind) {
            (_, Kind::Null) => {}
            (Kind::Null, kind) => *present = Node { kind, ..value_at(value.place) },
            (Kind::Map(present), Kind::Map(entries)) => {
                merge_entries(&key.text, present, entries, loader.is_deep(&key.text), problems);
            }
            _ => problems.add(twice(key.text.clone(), &key.place, &first.place)),
        }
    }
}

fn merge_entries(
    section: &str,
    into: &mut Vec<(Key, Node)>,
    from: Vec<(Key, Node)>,
    deep: bool,
    problems: &mut Problems,
) {
    for (key, value) in from {
        let Some((first, present)) = into.iter_mut().find(|(present, _)| present.text == key.text) else {
            into.push((key, value));
            continue;
        };
        let path = join(section, &key.text);
        match (&mut present.kind, value.kind) {
            (Kind::Map(present), Kind::Map(entries)) if deep => {
                merge_entries(&path, present, entries, false, problems);
            }
            _ => problems.add(twice(path, &key.place, &first.place)),
        }
    }
}

fn value_at(place: Place) -> Node {
    Node::new(place, Kind::Null)
}

fn twice(path: String, place: &Place, first: &Place) -> Problem {
    Problem { place: place.clone(), path, message: format!("defined twice; first at {first}") }
}
