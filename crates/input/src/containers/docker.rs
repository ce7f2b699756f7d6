//! `<docker>/<id>/<id>-json.log`, with `.1`, `.2` … and `.1.gz` … beside it; who it is stands in `config.v2.json`.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::{Containers, on_host};
use crate::tail::layout::{Entry, Log, Owner, Rotation, Scan, list, look};

/// Largest description that is read; those of real containers have some 10 KB.
const CONFIG_BYTES_MAX: u64 = 4 << 20;

/// How often a description that could not be read is tried again, in sweeps: names are missing until then.
const TRIES_MAX: u32 = 10;

pub(super) fn scan(containers: &mut Containers, scan: &mut Scan) {
    let Some(docker) = containers.settings.docker.clone() else { return };
    let mut there = Vec::new();
    for (id, path) in list(&containers.on_host(&docker), scan) {
        if !path.is_dir() {
            continue;
        }
        let Some(owner) = containers.described.get(&id, &path) else { continue };
        there.push(id.clone());
        if containers.is_excluded(&owner) {
            continue;
        }
        let host_path = docker.join(&id).join(format!("{id}-json.log"));
        let source: Arc<str> = host_path.to_string_lossy().into();
        log(containers, &host_path, &owner, &source, scan);
    }
    containers.described.keep(&there);
}

/// A log file of docker's and its rotated siblings. `host_path` is a path of the node without links.
pub(super) fn log(
    containers: &mut Containers,
    host_path: &Path,
    owner: &Owner,
    source: &Arc<str>,
    scan: &mut Scan,
) {
    let (Some(folder), Some(stem)) =
        (host_path.parent(), host_path.file_name().and_then(|name| name.to_str()))
    else {
        return;
    };
    let (group, owner) = (host_path.to_string_lossy().into(), Arc::new(owner.clone()));
    let log = Log { group, source: Arc::clone(source), owner };
    for Entry { name, path, stat, .. } in look(&on_host(containers.root.as_deref(), folder), scan) {
        let Some(suffix) = name.strip_prefix(stem) else { continue };
        let (Some(age), Some(stat)) = (Rotation::parse(suffix), stat) else { continue };
        containers.add(log.file(path, stat, age), scan);
    }
}

/// What docker says of its containers, read once for each.
#[derive(Debug, Default)]
pub(super) struct Descriptions {
    known: HashMap<String, Description>,
}

#[derive(Debug)]
enum Description {
    Known(Owner),
    Unread(u32),
}

impl Descriptions {
    /// Who a container is; none if that cannot be told yet. In the end its id has to do.
    fn get(&mut self, id: &str, folder: &Path) -> Option<Owner> {
        let tries = match self.known.get(id) {
            Some(Description::Known(owner)) => return Some(owner.clone()),
            Some(Description::Unread(tries)) => *tries,
            None => 0,
        };
        let description = match read(&folder.join("config.v2.json")) {
            Ok(config) => Description::Known(config.owner(id)),
            Err(_) if tries < TRIES_MAX => Description::Unread(tries + 1),
            Err(error) => {
                let folder = folder.display();
                tracing::warn!(
                    "cannot read the names of a docker container in {folder}; its id is used: {error}"
                );
                Description::Known(Owner { container: Some(id.to_owned()), ..Owner::default() })
            }
        };
        self.known.insert(id.to_owned(), description);
        match &self.known[id] {
            Description::Known(owner) => Some(owner.clone()),
            Description::Unread(_) => None,
        }
    }

    fn keep(&mut self, there: &[String]) {
        if self.known.len() > there.len() * 2 + 16 {
            self.known.retain(|id, _| there.contains(id));
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ConfigV2 {
    name: String,
    config: Config,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    image: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

fn read(path: &PathBuf) -> io::Result<ConfigV2> {
    let mut text = Vec::new();
    fs::File::open(path)?.take(CONFIG_BYTES_MAX).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

impl ConfigV2 {
    fn owner(self, id: &str) -> Owner {
        let labels = self.config.labels.unwrap_or_default();
        let label = |name: &str| labels.get(name).cloned();
        let name = Some(self.name.trim_start_matches('/').to_owned()).filter(|name| !name.is_empty());
        let restarts = label("annotation.io.kubernetes.container.restartCount");
        Owner {
            namespace: label("io.kubernetes.pod.namespace"),
            pod: label("io.kubernetes.pod.name"),
            pod_uid: label("io.kubernetes.pod.uid"),
            container: label("io.kubernetes.container.name").or(name).or_else(|| Some(id.to_owned())),
            image: self.config.image,
            restart_count: restarts.and_then(|count| count.parse().ok()),
        }
    }
}
