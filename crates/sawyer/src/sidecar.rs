//! `sawyer sidecar`: an agent beside one application, in its pod, for the files that it writes into a shared volume.
//!
//! Owns: what its settings are where it is told nothing. Does not own: anything that an agent does.
//! Invariant: everything that it knows of its pod is what the pod was given by the downward API.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Result;
use sawyer_config::{ByteSize, yaml_text};

use crate::args::Common;
use crate::roles::{Role, run};

/// What can be typed.
#[derive(Debug, clap::Args)]
pub(crate) struct SidecarArgs {
    #[command(flatten)]
    common: Common,
    /// The files: absolute paths with `*` and `?` inside names. Can be given several times.
    #[arg(long, required = true)]
    files: Vec<String>,
    /// Print what is read to standard output, for those who collect that. Without it, the outputs of the configuration
    /// are sent to.
    #[arg(long, value_enum)]
    stdout: Option<Form>,
    /// Keep the files from growing: when so much of one was delivered, its space on the disk is given back. No line is
    /// lost by it, and the program needs to know nothing of it. Other ways: `rotate` of the input `files`.
    #[arg(long, value_name = "SIZE")]
    rotate: Option<ByteSize>,
}

/// How lines are printed.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Form {
    /// As they were written.
    Lines,
    /// As JSON objects that say which file they are from.
    Json,
}

/// What the downward API is asked for by convention, and the fields that it fills.
const IDENTITY: [(&str, &str); 6] = [
    ("POD_NAMESPACE", "namespace"),
    ("POD_NAME", "pod"),
    ("POD_UID", "pod_uid"),
    ("CONTAINER_NAME", "container"),
    ("SERVICE_NAME", "service"),
    ("CLUSTER_NAME", "cluster"),
];

/// The folder for state, beside the files, so that it lives as long as they do.
const STATE: &str = ".sawyer";

/// Runs it until a signal tells it to stop.
pub(crate) fn sidecar(args: SidecarArgs) -> Result<()> {
    let SidecarArgs { mut common, files, stdout, rotate } = args;
    // Several in one pod share its network.
    common.listen.get_or_insert(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    if common.data.is_none() {
        common.data = state_beside(&files);
    }
    let defaults = defaults(&files, stdout, rotate, |name| std::env::var(name).ok());
    // It holds for as long as the process.
    run(Role::Sidecar { defaults: Box::leak(defaults.into_boxed_str()) }, &common)
}

/// Where state goes if nothing else is said: into the folder of the first pattern.
fn state_beside(files: &[String]) -> Option<PathBuf> {
    let folder = Path::new(files.first()?).parent()?;
    let plain = !folder.to_string_lossy().contains(['*', '?']);
    plain.then(|| folder.join(STATE))
}

/// Inputs, and outputs if it prints.
fn defaults(
    files: &[String],
    stdout: Option<Form>,
    rotate: Option<ByteSize>,
    variable: impl Fn(&str) -> Option<String>,
) -> String {
    let list: Vec<String> = files.iter().map(|pattern| yaml_text(pattern)).collect();
    let known = IDENTITY.iter().filter_map(|(name, field)| {
        let value = variable(name).filter(|value| !value.is_empty())?;
        Some(format!("{field}: {}", yaml_text(&value)))
    });
    let known: Vec<String> = known.collect();
    let rotate = rotate.map_or(String::new(), |size| format!(", rotate: {{size_max: \"{size}\"}}"));
    let mut text = format!(
        "inputs:\n  files: {{include: [{}], exclude: [], on_host: false, fields: {{{}}}{rotate}}}\n",
        list.join(", "),
        known.join(", ")
    );
    if let Some(form) = stdout {
        let form = match form {
            Form::Lines => "lines",
            Form::Json => "json",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "outputs:\n  stdout: {{format: {form}}}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pod_is_what_the_downward_api_says() {
        let variable = |name: &str| match name {
            "POD_NAME" => Some("cart-1".to_owned()),
            "POD_NAMESPACE" => Some("shop: \"x\"".to_owned()),
            "POD_UID" => Some(String::new()),
            _ => None,
        };
        let text = defaults(&["/logs/*.log".to_owned()], Some(Form::Lines), None, variable);
        assert_eq!(
            text,
            "inputs:\n  files: {include: [\"/logs/*.log\"], exclude: [], on_host: false, \
             fields: {namespace: \"shop: \\\"x\\\"\", pod: cart-1}}\noutputs:\n  stdout: {format: lines}\n"
        );
    }

    #[test]
    fn files_are_rotated_if_it_is_asked_to() {
        let text = defaults(&["/logs/a.log".to_owned()], None, Some(ByteSize::mib(20)), |_| None);
        let input = "{include: [/logs/a.log], exclude: [], on_host: false, fields: {}, rotate: {size_max: \"20MiB\"}}";
        assert_eq!(text, format!("inputs:\n  files: {input}\n"));
    }

    #[test]
    fn state_lies_beside_the_files() {
        assert_eq!(state_beside(&["/logs/*.log".to_owned()]), Some(PathBuf::from("/logs/.sawyer")));
        assert_eq!(state_beside(&["/logs/*/a.log".to_owned()]), None);
    }
}
