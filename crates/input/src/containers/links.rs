//! `<links>/<pod>_<namespace>_<container>-<id>.log`, links that lead to the logs of other layouts.
//!
//! Only those count that lead elsewhere than below the folder of pods, which tells more and is read anyway.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Containers, docker};
use crate::tail::layout::{Owner, Scan, list};
use crate::tail::resolve::resolve;

pub(super) fn scan(containers: &mut Containers, scan: &mut Scan) {
    let Some(links) = containers.settings.links.clone() else { return };
    let root = containers.root.clone();
    let pods = containers.settings.pods.as_ref().and_then(|pods| resolve(root.as_deref(), pods).ok());
    let folder = containers.on_host(&links);
    let names = list(&folder, scan);
    // A link is what it was made as, so what was found out about it holds as long as its folder is the same.
    if !scan.is_same(&folder) {
        containers.idle_links.clear();
    }
    for (name, _) in names {
        if containers.idle_links.contains(&name) {
            continue;
        }
        let Some(owner) = link_owner(&name) else { continue };
        if containers.is_excluded(&owner) {
            continue;
        }
        let link = links.join(&name);
        match target(root.as_deref(), &link, pods.as_deref()) {
            Ok(Some(target)) => {
                let source: Arc<str> = link.to_string_lossy().into();
                docker::log(containers, &target, &owner, &source, scan);
            }
            Ok(None) => {
                containers.idle_links.insert(name);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => scan.errors.push((link, error)),
        }
    }
}

/// Where a link leads, if that is not a place that is read anyway: also by a link on the way.
fn target(root: Option<&Path>, link: &Path, pods: Option<&Path>) -> io::Result<Option<PathBuf>> {
    let Some(pods) = pods else { return resolve(root, link).map(Some) };
    let first = super::on_host(root, link).read_link().unwrap_or_default();
    let first = link.parent().unwrap_or(link).join(first);
    let by_pods = first.parent().and_then(|folder| resolve(root, folder).ok());
    if by_pods.is_some_and(|folder| folder.starts_with(pods)) {
        return Ok(None);
    }
    let target = resolve(root, link)?;
    Ok((!target.starts_with(pods)).then_some(target))
}

/// Reads `<pod>_<namespace>_<container>-<id>.log`.
fn link_owner(name: &str) -> Option<Owner> {
    let mut parts = name.strip_suffix(".log")?.splitn(3, '_');
    let (pod, namespace, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let (container, _id) = rest.rsplit_once('-')?;
    let own = |text: &str| Some(text.to_owned());
    Some(Owner { namespace: own(namespace), pod: own(pod), container: own(container), ..Owner::default() })
}
