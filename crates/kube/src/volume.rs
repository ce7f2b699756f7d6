//! Log files that a pod writes into its volumes, as its annotations name them.
//!
//! Owns: which volume a path of a container lies in, what is left of the path there.
//! Does not own: where the node has the volume, reading the files (`input`).
//! Invariant: a path never leads out of its volume: it has no `..`, and only volumes of the kind `emptyDir` count.

use std::path::{Component, Path};

use crate::objects::{Container, PodSpec, Volume, VolumeMount};

/// The annotation: paths with `*` and `?`, with commas or spaces between them; `.<container>` may follow the name.
pub(crate) const FILES: &str = "sawyer.dev/files";

/// Paths of one pod at most. Each costs a look with every sweep.
const PATHS_MAX: usize = 32;

/// Files that a container writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeFiles {
    /// Who writes them.
    pub container: String,
    /// The volume.
    pub volume: String,
    /// The pattern within the volume, without a slash in front.
    pub pattern: String,
    /// Where the container has the volume, or the part of it that it has.
    pub mount: String,
    /// The part of the volume that the container has; empty for all of it.
    pub sub_path: String,
}

/// What annotations name, and the paths that are in no volume.
pub(crate) fn files<'a>(
    annotations: impl Iterator<Item = (&'a str, &'a str)>,
    spec: &PodSpec,
) -> (Vec<VolumeFiles>, Vec<String>) {
    let (mut found, mut lost) = (Vec::new(), Vec::new());
    for (name, value) in annotations {
        let of = match name.strip_prefix(FILES) {
            Some("") => None,
            Some(rest) if rest.starts_with('.') => Some(&rest[1..]),
            _ => continue,
        };
        let paths = value.split([',', ' ', '\n', '\t']).filter(|path| !path.is_empty());
        for path in paths.take(PATHS_MAX - found.len().min(PATHS_MAX)) {
            let mut containers = spec.containers.iter().chain(&spec.init_containers);
            let one = containers
                .find_map(|one| of.is_none_or(|of| of == one.name).then(|| place(path, one, spec))?);
            match one {
                Some(one) if !found.contains(&one) => found.push(one),
                Some(_) => {}
                None => lost.push(path.to_owned()),
            }
        }
    }
    (found, lost)
}

/// Where a path of a container lies, if that is in an `emptyDir`.
fn place(path: &str, container: &Container, spec: &PodSpec) -> Option<VolumeFiles> {
    let inside =
        |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_) | Component::RootDir));
    let whole = Path::new(path);
    if !whole.is_absolute() || !inside(whole) || path.ends_with('/') {
        return None;
    }
    // The innermost mount is the one that counts.
    let rest = |mount: &VolumeMount| {
        whole.strip_prefix(&mount.mount_path).ok().filter(|rest| !rest.as_os_str().is_empty())
    };
    let mounts = container.volume_mounts.iter().filter_map(|mount| Some((mount, rest(mount)?)));
    let (mount, rest) = mounts.max_by_key(|(mount, _)| Path::new(&mount.mount_path).components().count())?;
    // On disk or in memory; huge pages hold no files that are written.
    let holds_files = |volume: &Volume| {
        volume.empty_dir.as_ref().is_some_and(|folder| matches!(&*folder.medium, "" | "Memory"))
    };
    let is_own = spec.volumes.iter().any(|volume| volume.name == mount.name && holds_files(volume));
    let normal = Path::new(&mount.sub_path).components().all(|part| matches!(part, Component::Normal(_)));
    let named = !mount.name.is_empty() && !mount.name.contains('/');
    (is_own && normal && named && mount.sub_path_expr.is_empty()).then(|| VolumeFiles {
        container: container.name.clone(),
        volume: mount.name.clone(),
        pattern: rest.to_string_lossy().into_owned(),
        mount: mount.mount_path.trim_end_matches('/').to_owned(),
        sub_path: mount.sub_path.clone(),
    })
}
