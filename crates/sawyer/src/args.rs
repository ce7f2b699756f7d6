//! What can be typed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Takes every log line of a Kubernetes cluster from the node to an answer.
#[derive(Debug, Parser)]
#[command(name = "sawyer", version, propagate_version = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Collect, store, search and show, all in this process.
    #[cfg(feature = "server")]
    Up {
        #[command(flatten)]
        common: Common,
        /// Write a small workload to look at, and collect it too.
        #[arg(long)]
        demo: bool,
    },
    /// Collect the logs of this node and pass them on.
    Agent {
        #[command(flatten)]
        common: Common,
    },
    /// Collect the files of one application, in its pod, and print them or pass them on.
    Sidecar(crate::sidecar::SidecarArgs),
    /// Receive from agents and applications and pass on.
    #[cfg(feature = "server")]
    Gateway {
        #[command(flatten)]
        common: Common,
    },
    /// Receive, store, search and show.
    #[cfg(feature = "server")]
    Server {
        #[command(flatten)]
        common: Common,
    },
    /// Check a configuration and report everything that is wrong with it.
    Check {
        /// The role that is to run it.
        #[arg(long, value_enum, default_value = "up")]
        role: RoleName,
        /// The configuration file.
        #[arg(long, short, default_value = "sawyer.yaml")]
        config: PathBuf,
    },
    /// Look at, copy and check the folder in which records are kept.
    #[cfg(feature = "server")]
    Store(crate::stored::StoreArgs),
    /// Search, and print what was found.
    #[cfg(feature = "client")]
    Query(crate::client::QueryArgs),
    /// Write everything that matches into a file, as lines of JSON or as Parquet.
    #[cfg(feature = "client")]
    Export(crate::client::ExportArgs),
    /// Print the logs of a pod or a workload, also after it is gone.
    #[cfg(feature = "client")]
    Logs(crate::client::LogsArgs),
    /// Print new records as they arrive.
    #[cfg(feature = "client")]
    Tail(crate::client::TailArgs),
    /// Show rules and alerts, and silence them.
    #[cfg(feature = "client")]
    Alerts(crate::client::AlertsArgs),
    /// Whether a process is ready, and what became of all that it read.
    #[cfg(feature = "client")]
    Status(crate::client::StatusArgs),
    /// Names for servers, and which one is asked.
    #[cfg(feature = "client")]
    Context {
        #[command(subcommand)]
        action: crate::client::contexts::Action,
    },
    /// What waits for outputs: list it, look into it, empty it.
    Buffer {
        #[command(subcommand)]
        action: crate::buffers::BufferAction,
    },
    /// What targets refused for good: list it, look into it, send it again, remove it.
    DeadLetter {
        #[command(subcommand)]
        action: crate::buffers::LetterAction,
    },
    /// Print the configuration reference.
    #[command(hide = true)]
    Reference,
}

fn listen(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "expected an address and a port, such as 127.0.0.1:7280 or 0.0.0.0:7280")
}

/// The names of the roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum RoleName {
    #[cfg(feature = "server")]
    Up,
    Agent,
    #[cfg(feature = "server")]
    Gateway,
    #[cfg(feature = "server")]
    Server,
}

/// What every role takes. It overrules the configuration.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Common {
    /// The configuration file. Without one, the role's own defaults hold.
    #[arg(long, short, env = "SAWYER_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The folder for data and state.
    #[arg(long, env = "SAWYER_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// The address of the UI, the API and the metrics.
    #[arg(long, env = "SAWYER_LISTEN", value_parser = listen)]
    pub(crate) listen: Option<SocketAddr>,
    /// Where the node's file system is mounted.
    #[arg(long, env = "SAWYER_HOST_ROOT")]
    pub(crate) host_root: Option<PathBuf>,
    /// What to log: `error`, `warn`, `info`, `debug`, or a filter.
    #[arg(long, env = "SAWYER_LOG")]
    pub(crate) log: Option<String>,
}
