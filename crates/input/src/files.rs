//! Plain log files by pattern.
//!
//! Owns: the patterns, which names are rotated siblings.
//! Does not own: reading the files (`tail`).
//! Invariant: a file is found once, however many patterns and links lead to it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sawyer_config::{At, Problems, Reference, Setting, Settings, settings};
use sawyer_model::{Error, Stream, Value, names};
use sawyer_pipeline::{Context, Input, InputPlan, Kind, node_name};

use crate::tail::encoding::Charset;
use crate::tail::layout::{Entry, FoundFile, IdentifyBy, Layout, Log, Rotation, Scan, list, look};
use crate::tail::lines::Form;
use crate::tail::resolve::resolve;
use crate::tail::{FileStat, RotateSettings, Tail, TailSettings, glob};

settings! {
    /// Reads plain log files: a line is a message. Rotated siblings (`app.log.1`, `app.log-20261120.gz` …) are
    /// read too, each line once.
    pub struct FilesSettings {
        /// The files, as absolute paths with `*` and `?` inside names and `**` for any folders.
        pub include: Vec<String> = vec!["/var/log/*.log".to_owned()],
        /// What to leave out of these.
        pub exclude: Vec<String> =
            ["/var/log/pods/**", "/var/log/containers/**", "/var/lib/docker/**"].map(str::to_owned).into(),
        /// How the text of the files is encoded, by its name in the WHATWG's Encoding Standard: `utf-8`, `utf-16le`,
        /// `latin1`, `euc-kr`, `shift_jis`, `gb18030` … A file that begins with a byte order mark is of the encoding that
        /// this says.
        pub encoding: String = "utf-8".to_owned(),
        /// The node's name. By default `$NODE_NAME`, else the machine's host name.
        pub node: Option<String>,
        /// The cluster's name, for the field `cluster`. None by default.
        pub cluster: Option<String>,
        /// Fields that every record gets, such as `env` or, beside an application in its pod, `namespace` and `pod`.
        pub fields: BTreeMap<String, String> = BTreeMap::new(),
        /// Rotate the files that nobody else rotates, such as those of an application in a volume that it shares with a
        /// sidecar. Sawyer has to be allowed to write them. Not at all by default.
        pub rotate: Option<RotateSettings>,
        /// Whether these are paths of the node, to be looked for below `--host-root`.
        pub on_host: bool = true,
    }
}

#[derive(Debug)]
struct FilesPlan {
    settings: FilesSettings,
    tail: TailSettings,
    /// None for UTF-8.
    charset: Option<Charset>,
}

/// The kind `files`.
pub(crate) fn kind() -> Kind<Box<dyn InputPlan>> {
    Kind { name: "files", reference, read: Box::new(|at, problems| read(at, problems).map(|plan| plan as _)) }
}

fn reference() -> Reference {
    let mut reference = FilesSettings::reference();
    reference.entries.extend(TailSettings::reference().entries);
    reference
}

fn read(at: &At<'_>, problems: &mut Problems) -> Option<Box<FilesPlan>> {
    let tail = TailSettings::read_part(at, problems);
    let settings = FilesSettings::read(&at.without(TailSettings::KEYS), problems);
    let (tail, settings) = tail.zip(settings)?;
    let before = problems.len();
    for pattern in &settings.include {
        let path = Path::new(pattern);
        if !path.is_absolute() || path.components().any(|part| part == std::path::Component::ParentDir) {
            let message = format!("expected an absolute path without `..`, found \"{pattern}\"");
            problems.push(&at.key("include"), message);
        } else if path.file_name().is_none() {
            problems.push(&at.key("include"), format!("expected the path of files, found \"{pattern}\""));
        }
    }
    let charset = Charset::named(&settings.encoding);
    if charset.is_none() {
        let message =
            format!("expected an encoding such as `utf-16le` or `euc-kr`, found \"{}\"", settings.encoding);
        problems.push(&at.key("encoding"), message);
    }
    let charset = charset?;
    (problems.len() == before).then(|| Box::new(FilesPlan { settings, tail, charset }))
}

impl InputPlan for FilesPlan {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Input>, Error> {
        let Self { settings, tail, charset } = *self;
        let root = if settings.on_host { context.host_root.clone() } else { None };
        let node = settings.node.clone().or_else(|| node_name(context.host_root.as_deref()));
        let layout = Files { settings, root, node, charset };
        Ok(Box::new(Tail::open(Box::new(layout), tail, context)?))
    }
}

#[derive(Debug)]
struct Files {
    settings: FilesSettings,
    root: Option<PathBuf>,
    node: Option<String>,
    charset: Option<Charset>,
}

impl Files {
    fn on_host(&self, path: &Path) -> PathBuf {
        match &self.root {
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
            None => path.to_owned(),
        }
    }

    /// The folders that may have files of a pattern.
    fn folders(&self, pattern: &Path, scan: &mut Scan) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        let parent = pattern.parent().unwrap_or(Path::new("/"));
        let mut names =
            |folder: &Path| list(&self.on_host(folder), scan).into_iter().map(|(name, _)| name).collect();
        glob::walk(parent, &mut names, &mut |folder| {
            folders.insert(folder.to_owned());
        });
        folders
    }

    fn folder(&self, folder: &Path, pattern: &str, seen: &mut HashSet<(u64, u64)>, scan: &mut Scan) {
        for Entry { name, path, is_link, stat } in look(&self.on_host(folder), scan) {
            let Some((stem, rotation, gzip)) = parse_name(pattern, &name) else { continue };
            let (log, host_path) = (folder.join(stem), folder.join(&name));
            let excluded = |path: &Path| {
                let path = path.to_string_lossy();
                self.settings.exclude.iter().any(|pattern| glob::matches_path(pattern, &path))
            };
            if excluded(&log) || excluded(&host_path) {
                continue;
            }
            let found = if is_link { self.stat_target(&host_path, scan) } else { Some(path).zip(stat) };
            let Some((path, stat)) = found else { continue };
            if seen.insert(stat.inode) {
                let log = Log::named(&log.to_string_lossy());
                let found = log.file(path, stat, (rotation, gzip));
                scan.files.push(FoundFile { linked: is_link, ..found });
            }
        }
    }

    /// Where a link leads, and what the system says of the file there, if it is one.
    fn stat_target(&self, link: &Path, scan: &mut Scan) -> Option<(PathBuf, FileStat)> {
        let found = resolve(self.root.as_deref(), link).and_then(|target| {
            let path = self.on_host(&target);
            let metadata = path.symlink_metadata()?;
            Ok((path, metadata))
        });
        match found {
            Ok((path, metadata)) => metadata.is_file().then(|| (path, FileStat::from(&metadata))),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    scan.errors.push((self.on_host(link), error));
                }
                None
            }
        }
    }
}

impl Layout for Files {
    fn scan(&mut self, scan: &mut Scan) {
        let mut seen = HashSet::new();
        for pattern in &self.settings.include {
            let path = Path::new(pattern);
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            for folder in self.folders(path, scan) {
                self.folder(&folder, name, &mut seen, scan);
            }
        }
    }

    fn identity(&self, found: &FoundFile) -> Result<Arc<Stream>, io::Error> {
        let texts = [
            (names::CLUSTER, self.settings.cluster.clone()),
            (names::NODE, self.node.clone()),
            (names::SOURCE, Some(found.source.to_string())),
        ];
        let fields = texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), Value::from(text?))));
        let own = self.settings.fields.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str())));
        Ok(Arc::new(Stream::new(fields.chain(own))))
    }

    fn form(&self, _: &FoundFile, first_line: &[u8]) -> Form {
        Charset::by_mark(first_line).or(self.charset).map_or(Form::Plain, Form::Encoded)
    }

    fn identify_by(&self) -> IdentifyBy {
        IdentifyBy::Inode
    }

    fn rotates(&self) -> Option<&RotateSettings> {
        self.settings.rotate.as_ref()
    }

    fn places(&self) -> Vec<(PathBuf, bool)> {
        let mut scan = Scan::default();
        let patterns = self.settings.include.iter();
        patterns
            .map(|pattern| {
                let there = self.folders(Path::new(pattern), &mut scan);
                let there = there.iter().any(|folder| self.on_host(folder).is_dir());
                (self.on_host(Path::new(pattern)), there)
            })
            .collect()
    }
}

/// The name of the log that a file is a part of, if that matches the pattern.
pub(crate) fn parse_name<'a>(pattern: &str, name: &'a str) -> Option<(&'a str, Rotation, bool)> {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return None;
    }
    // `syslog*` matches `syslog.1` too, which is a sibling all the same; so the shortest name counts.
    let cuts = name.char_indices().filter(|(at, c)| *at > 0 && matches!(c, '.' | '-')).map(|(at, _)| at);
    for cut in cuts.chain([name.len()]) {
        let (stem, suffix) = name.split_at(cut);
        if glob::matches(pattern, stem)
            && let Some((rotation, gzip)) = Rotation::parse(suffix)
        {
            return Some((stem, rotation, gzip));
        }
    }
    None
}

#[cfg(test)]
mod tests;
