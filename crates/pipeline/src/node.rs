//! The name of the node that the logs are from.

use std::path::Path;

/// The variable that names the node in a pod, by the usual convention.
const NODE_NAME: &str = "NODE_NAME";

/// `$NODE_NAME`, else the host name of the node, else that of where we run.
#[must_use]
pub fn node_name(host_root: Option<&Path>) -> Option<String> {
    let by_variable = std::env::var(NODE_NAME).ok();
    let on_host = || std::fs::read_to_string(host_root?.join("etc/hostname")).ok();
    let full = |name: String| Some(name.trim().to_owned()).filter(|name| !name.is_empty());
    by_variable.and_then(full).or_else(|| on_host().and_then(full)).or_else(|| host_name().and_then(full))
}

/// The host name of where we run: in a pod its name.
#[must_use]
pub fn host_name() -> Option<String> {
    rustix::system::uname().nodename().to_str().ok().map(str::to_owned)
}
