//! `<pods>/<namespace>_<pod>_<uid>/<container>/<n>.log`, with `<n>.log.<time>` and `<n>.log.<time>.gz` beside it.
//!
//! The layout is that of the kubelet (`BuildPodLogsDirectory` and `rotateLatestLog` in its source). Where docker is
//! the runtime, `<n>.log` is a link to docker's own file.

use std::path::Path;
use std::sync::Arc;

use super::{Containers, docker};
use crate::tail::layout::{Entry, FoundFile, Log, Owner, Rotation, Scan, list, look};
use crate::tail::resolve::resolve;

pub(super) fn scan(containers: &mut Containers, scan: &mut Scan) {
    let Some(pods) = containers.settings.pods.clone() else { return };
    for (name, path) in list(&containers.on_host(&pods), scan) {
        let Some(owner) = pod_owner(&name) else { continue };
        let host_path = pods.join(&name);
        for (name, path) in list(&path, scan) {
            let owner = Owner { container: Some(name.clone()), ..owner.clone() };
            if !containers.is_excluded(&owner) {
                container(containers, &path, &host_path.join(&name), &owner, scan);
            }
        }
    }
}

/// Reads `<namespace>_<pod>_<uid>`; none of the three can have an underscore.
pub(super) fn pod_owner(name: &str) -> Option<Owner> {
    let mut parts = name.split('_').map(|part| Some(part.to_owned()).filter(|part| !part.is_empty()));
    let (namespace, pod, pod_uid) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = namespace.is_some() && pod.is_some() && pod_uid.is_some() && parts.next().is_none();
    whole.then(|| Owner { namespace, pod, pod_uid, ..Owner::default() })
}

fn container(containers: &mut Containers, folder: &Path, host_folder: &Path, owner: &Owner, scan: &mut Scan) {
    // Files of pods sit two folders down; a file beside the folders of containers is none.
    if folder.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
        return;
    }
    let group: Arc<str> = host_folder.to_string_lossy().into();
    for Entry { name, path, is_link, stat } in look(folder, scan) {
        let Some((restarts, rotation, gzip)) = parse_name(&name) else { continue };
        let owner = Owner { restart_count: Some(restarts), ..owner.clone() };
        let host_path = host_folder.join(format!("{restarts}.log"));
        let source: Arc<str> = host_path.to_string_lossy().into();
        if is_link {
            link(containers, &host_path, &owner, &source, scan);
            continue;
        }
        let Some(stat) = stat else { continue };
        let log = Log { group: Arc::clone(&group), source, owner: Arc::new(owner) };
        containers.add(FoundFile { part: restarts, ..log.file(path, stat, (rotation, gzip)) }, scan);
    }
}

/// `0.log` leads to docker's own file, whose rotated siblings lie there.
fn link(containers: &mut Containers, host_path: &Path, owner: &Owner, source: &Arc<str>, scan: &mut Scan) {
    match resolve(containers.root.as_deref(), host_path) {
        Ok(target) => docker::log(containers, &target, owner, source, scan),
        Err(error) => {
            if error.kind() != std::io::ErrorKind::NotFound {
                scan.errors.push((host_path.to_owned(), error));
            }
        }
    }
}

/// Reads `<n>.log`, with what rotation adds.
fn parse_name(name: &str) -> Option<(u32, Rotation, bool)> {
    let (number, suffix) = name.split_once(".log")?;
    let (rotation, gzip) = Rotation::parse(suffix)?;
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| number.parse().ok()).flatten().map(|restarts| (restarts, rotation, gzip))
}
