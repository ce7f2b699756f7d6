//! The logs of containers, as kubelet, container runtimes and docker lay them out on a node.
//!
//! Owns: the three layouts and the volumes of pods, who speaks in each file, what is left out.
//! Does not own: reading the files (`tail`).
//! Invariant: the identity comes from the path or from docker's own description, never from what is logged; a file
//! that several layouts lead to is found once.

mod cluster;
mod docker;
mod links;
mod pods;
mod volumes;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sawyer_config::{At, Problems, Reference, Setting, Settings, settings};
use sawyer_kube::KubeSettings;
use sawyer_model::{Error, Stream, Value, names};
use sawyer_pipeline::{Context, Input, InputPlan, Kind, node_name};

use self::cluster::Cluster;
use crate::tail::layout::{About, Companion, FoundFile, IdentifyBy, Layout, Owner, Scan};
use crate::tail::lines::Form;
use crate::tail::watch::Waker;
use crate::tail::{Tail, TailSettings, glob};

settings! {
    /// Reads the logs of containers: of Kubernetes pods (CRI), and of docker.
    ///
    /// Rotated and compressed files are read too, each line once, and a stop of any length is caught up from them.
    /// Folders that are not there are looked for again now and then.
    pub struct ContainersSettings {
        /// The folder of pod logs, `<namespace>_<pod>_<uid>/<container>/<n>.log`. `null` to leave it out.
        pub pods: Option<PathBuf> = Some("/var/log/pods".into()),
        /// A folder of links named `<pod>_<namespace>_<container>-<id>.log`. Used for those that do not lead to
        /// files of the folder above. `null` to leave it out.
        pub links: Option<PathBuf> = Some("/var/log/containers".into()),
        /// The folder of docker's containers, `<id>/<id>-json.log`. `null` to leave it out.
        pub docker: Option<PathBuf> = Some("/var/lib/docker/containers".into()),
        /// The kubelet's folder of pods, `<uid>/volumes/…`: there the files are read that pods write into volumes of the
        /// kind `emptyDir` and name in the annotation `sawyer.dev/files`. None by default: whoever reads there sees
        /// all volumes of all pods of the node. Usually `/var/lib/kubelet/pods`.
        pub pod_files: Option<PathBuf>,
        /// What to leave out: `namespace`, `namespace/pod` or `namespace/pod/container`, with `*` and `?`. To leave
        /// out Sawyer's own pod: `${POD_NAMESPACE}/${POD_NAME}`. Docker containers outside Kubernetes have the
        /// namespace and pod `-`.
        pub exclude: Vec<String> = Vec::new(),
        /// The node's name. By default `$NODE_NAME`, else the machine's host name.
        pub node: Option<String>,
        /// The cluster's name, for the field `cluster`. None by default.
        pub cluster: Option<String>,
        /// What the cluster says about the pods, beside what paths say.
        pub kubernetes: KubeSettings = KubeSettings::default(),
        /// Whether the folders are paths of the node, to be looked for below `--host-root`.
        pub on_host: bool = true,
    }
}

#[derive(Debug)]
struct ContainersPlan {
    settings: ContainersSettings,
    tail: TailSettings,
}

/// The kind `containers`.
pub(crate) fn kind() -> Kind<Box<dyn InputPlan>> {
    Kind {
        name: "containers",
        reference,
        read: Box::new(|at, problems| read(at, problems).map(|plan| plan as _)),
    }
}

fn reference() -> Reference {
    let mut reference = ContainersSettings::reference();
    reference.entries.extend(TailSettings::reference().entries);
    reference
}

fn read(at: &At<'_>, problems: &mut Problems) -> Option<Box<ContainersPlan>> {
    let tail = TailSettings::read_part(at, problems);
    let settings = ContainersSettings::read(&at.without(TailSettings::KEYS), problems);
    let (tail, settings) = tail.zip(settings)?;
    let mut good = true;
    for pattern in &settings.exclude {
        if pattern.is_empty() || pattern.split('/').count() > 3 {
            problems.push(
                &at.key("exclude"),
                format!(
                    "expected `namespace`, `namespace/pod` or `namespace/pod/container`, found \"{pattern}\""
                ),
            );
            good = false;
        }
    }
    good.then(|| Box::new(ContainersPlan { settings, tail }))
}

impl InputPlan for ContainersPlan {
    fn open(self: Box<Self>, context: &Context) -> Result<Box<dyn Input>, Error> {
        let mut layout = Containers::new(self.settings, context.host_root.as_deref());
        layout.cluster = Cluster::new(&layout.settings.kubernetes, layout.node.as_deref(), context);
        Ok(Box::new(Tail::open(Box::new(layout), self.tail, context)?))
    }
}

/// All layouts.
#[derive(Debug)]
struct Containers {
    settings: ContainersSettings,
    /// Where the node's file system is mounted.
    root: Option<PathBuf>,
    node: Option<String>,
    /// Inodes that were found in the present sweep.
    seen: HashSet<(u64, u64)>,
    described: docker::Descriptions,
    /// Links that lead to where is read anyway, as of the last time that their folder was listed.
    idle_links: HashSet<String>,
    /// Who is asked about pods.
    cluster: Option<Cluster>,
}

impl Containers {
    fn new(settings: ContainersSettings, host_root: Option<&Path>) -> Self {
        let root = host_root.filter(|_| settings.on_host).map(Path::to_owned);
        let node = settings.node.clone().or_else(|| node_name(host_root));
        let (seen, described) = (HashSet::new(), docker::Descriptions::default());
        Self { settings, root, node, seen, described, idle_links: HashSet::new(), cluster: None }
    }

    /// Where a path of the node is to be found from here.
    fn on_host(&self, path: &Path) -> PathBuf {
        on_host(self.root.as_deref(), path)
    }

    fn is_excluded(&self, owner: &Owner) -> bool {
        let or_none = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
        let names = [or_none(&owner.namespace), or_none(&owner.pod), or_none(&owner.container)];
        let matches = |pattern: &String| {
            pattern.split('/').zip(&names).all(|(pattern, name)| glob::matches(pattern, name))
        };
        self.settings.exclude.iter().any(matches)
    }

    /// Adds a file, unless another layout led to it already.
    fn add(&mut self, file: FoundFile, scan: &mut Scan) {
        if self.seen.insert(file.stat.inode) {
            scan.files.push(file);
        }
    }
}

impl Layout for Containers {
    fn about(&self) -> Option<&dyn About> {
        self.cluster.as_ref().map(|cluster| cluster as _)
    }

    fn companion(&mut self, wake: Waker) -> Option<Companion> {
        self.cluster.as_mut().and_then(|cluster| cluster.companion(wake))
    }

    fn wants_scan(&self) -> bool {
        self.settings.pod_files.is_some() && self.cluster.as_ref().is_some_and(Cluster::wants_scan)
    }

    fn confines(&self, file: &Path) -> Option<PathBuf> {
        volumes::volume_of(self, file)
    }

    fn lets_go(&self, found: &FoundFile) -> bool {
        volumes::is_mounted(self, found)
    }

    fn identify_file_by(&self, found: &FoundFile) -> IdentifyBy {
        match volumes::volume_of(self, &found.path) {
            Some(_) => IdentifyBy::Inode,
            None => self.identify_by(),
        }
    }

    fn trusts_times(&self) -> bool {
        true
    }

    fn scan(&mut self, scan: &mut Scan) {
        self.seen.clear();
        pods::scan(self, scan);
        links::scan(self, scan);
        docker::scan(self, scan);
        volumes::scan(self, scan);
    }

    fn identity(&self, found: &FoundFile) -> Result<Arc<Stream>, io::Error> {
        let owner = Owner::clone(&found.owner);
        let texts = [
            (names::CLUSTER, self.settings.cluster.clone()),
            (names::NODE, self.node.clone()),
            (names::NAMESPACE, owner.namespace),
            (names::POD, owner.pod),
            (names::POD_UID, owner.pod_uid),
            (names::CONTAINER, owner.container),
            (names::IMAGE, owner.image),
            (names::SOURCE, Some(found.source.to_string())),
        ];
        let texts = texts.into_iter().filter_map(|(name, text)| Some((name, Value::from(text?))));
        let restarts = owner.restart_count.map(|count| (names::RESTART_COUNT, Value::Int(count.into())));
        Ok(Arc::new(Stream::new(texts.chain(restarts))))
    }

    fn form(&self, found: &FoundFile, first_line: &[u8]) -> Form {
        if volumes::volume_of(self, &found.path).is_some() {
            return Form::Plain;
        }
        let expected = if found.source.ends_with("-json.log") { Form::Docker } else { Form::Cri };
        Form::of_container(first_line, expected)
    }

    fn identify_by(&self) -> IdentifyBy {
        IdentifyBy::FirstLine
    }

    fn places(&self) -> Vec<(PathBuf, bool)> {
        let ContainersSettings { pods, links, docker, pod_files, .. } = &self.settings;
        let places = [pods, links, docker, pod_files];
        let there = |place: &PathBuf| {
            let path = self.on_host(place);
            let there = path.is_dir();
            (path, there)
        };
        places.into_iter().flatten().map(there).collect()
    }
}

fn on_host(root: Option<&Path>, path: &Path) -> PathBuf {
    match root {
        Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests;
