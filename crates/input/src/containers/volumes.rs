//! `<pods>/<uid>/volumes/kubernetes.io~empty-dir/<volume>/…`: log files that pods write into their volumes.
//!
//! The layout is that of the kubelet (`GetPodVolumeDir` in its source).
//!
//! Owns: which files of volumes are logs, by the annotations of their pods.
//! Does not own: what the annotations say (`kube`).
//! Invariant: whoever writes in a volume decides about nothing outside it: no link in it is followed, neither here nor
//! when a file is opened.

use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use sawyer_kube::{PodInfo, VolumeFiles};

use super::Containers;
use crate::tail::glob;
use crate::tail::layout::{Entry, FoundFile, Log, Owner, Scan, list, look};

/// The folder of a pod's volumes of this kind.
const EMPTY_DIR: &str = "volumes/kubernetes.io~empty-dir";

pub(super) fn scan(containers: &mut Containers, scan: &mut Scan) {
    let Some(root) = containers.settings.pod_files.as_ref().map(|root| containers.on_host(root)) else {
        return;
    };
    let Some(pods) = containers.cluster.as_ref().map(super::Cluster::pods_with_files) else { return };
    for (pod, there) in pods {
        // The name comes from outside.
        if Path::new(pod.folder()).components().any(|part| !matches!(part, Component::Normal(_))) {
            continue;
        }
        let volumes = root.join(pod.folder()).join(EMPTY_DIR);
        if !volumes.is_dir() {
            if there {
                // It will appear in the nearest folder that is there.
                list(&volumes, scan);
            }
            continue;
        }
        for files in pod.files() {
            volume(containers, &volumes, &pod, files, scan);
        }
    }
}

fn volume(containers: &mut Containers, volumes: &Path, pod: &PodInfo, files: &VolumeFiles, scan: &mut Scan) {
    let owner = Owner {
        namespace: Some(pod.namespace().to_owned()),
        pod: Some(pod.name().to_owned()),
        pod_uid: Some(pod.folder().to_owned()),
        container: Some(files.container.clone()),
        ..Owner::default()
    };
    if containers.is_excluded(&owner) {
        return;
    }
    let top = volumes.join(&files.volume).join(&files.sub_path);
    let pattern = Path::new("/").join(&files.pattern);
    let (Some(parent), Some(name)) = (pattern.parent(), pattern.file_name().and_then(|name| name.to_str()))
    else {
        return;
    };
    let below = |folder: &Path| top.join(folder.strip_prefix("/").unwrap_or(folder));
    let mut folders = Vec::new();
    let mut names = |folder: &Path| {
        let folder = below(folder);
        let inside = is_plain(volumes, &folder);
        if inside { list(&folder, scan).into_iter().map(|(name, _)| name).collect() } else { Vec::new() }
    };
    glob::walk(parent, &mut names, &mut |folder| folders.push(folder.to_owned()));
    let owner = Arc::new(owner);
    for inner in folders {
        let folder = below(&inner);
        if !is_plain(volumes, &folder) {
            continue;
        }
        for Entry { name: found, path, stat, .. } in look(&folder, scan) {
            let Some((stem, rotation, gzip)) = crate::files::parse_name(name, &found) else { continue };
            let Some(stat) = stat else { continue };
            let group: Arc<str> = folder.join(stem).to_string_lossy().into();
            // What the container calls it.
            let source = format!("{}{}", files.mount, inner.join(stem).display());
            let log = Log { group, source: source.into(), owner: Arc::clone(&owner) };
            containers.add(log.file(path, stat, (rotation, gzip)), scan);
        }
    }
}

/// Whether no part of the way from `volumes` to a folder is a link. One that becomes a link later is seen when a file
/// is opened.
fn is_plain(volumes: &Path, folder: &Path) -> bool {
    let ways = folder.ancestors().take_while(|above| *above != volumes);
    ways.map(Path::symlink_metadata).all(|metadata| metadata.is_ok_and(|metadata| metadata.is_dir()))
}

/// Whether a file lies in a volume that is a mount of its own, as those in memory are. The kubelet cannot take it away while
/// the file is open, and the pod stays until it can.
pub(super) fn is_mounted(containers: &Containers, found: &FoundFile) -> bool {
    let Some(volume) = volume_of(containers, &found.path) else { return false };
    let above = volume.parent().and_then(|folder| folder.metadata().ok());
    above.is_some_and(|above| above.dev() != found.stat.inode.0)
}

/// The volume that a file lies in, if it is one of those of pods.
pub(super) fn volume_of(containers: &Containers, file: &Path) -> Option<PathBuf> {
    let root = containers.on_host(containers.settings.pod_files.as_ref()?);
    let rest = file.strip_prefix(&root).ok()?;
    // <uid>/volumes/kubernetes.io~empty-dir/<volume>
    let parts = rest.components().take(4);
    Some(parts.fold(root, |path, part| path.join(part)))
}
