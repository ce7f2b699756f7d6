//! Where do records come from? Files, the journal, programs, and applications that push.
//!
//! Owns: reading, following what is read through rotation and restarts, progress that moves only when records are
//! durable at the next hop.
//! Does not own: what lines say (`codec`, and the steps of `pipeline`), the server's own routes (`server`).
//! Invariant: every input counts its own reading as done only after the acknowledgement; what was sent and not
//! acknowledged is read again where it can be.
//!
//! | kind | what it reads |
//! |---|---|
//! | `containers` | logs of Kubernetes pods and of docker, through rotation |
//! | `files` | plain log files by pattern, through rotation |
//! | `journal` | the systemd journal, from its files |
//! | `kubernetes_events` | what a cluster says about itself, once |
//! | `cloudwatch_logs` | the events of log groups of AWS |
//! | `kinesis` | the records of data streams of AWS |
//! | `exec` | what a program prints |
//! | `push` | what clients post to the server |
//! | `sawyer` | what other Sawyers send |
//! | `kmsg` | the kernel's log |
//! | `forward`, `syslog`, `gelf` | what other collectors, programs and devices send over sockets |
//! | `otlp`, `elasticsearch`, `loki`, `http`, `splunk_hec`, `firehose` | what applications and other collectors send, each in its protocol |

mod aws;
pub mod cloudwatch_logs;
pub mod containers;
#[doc(hidden)]
pub mod decoders;
pub mod exec;
pub mod files;
pub mod journal;
pub mod kinesis;
pub mod kmsg;
pub mod kubernetes_events;
pub mod native;
mod offsets;
mod positions;
pub mod push;
mod random;
pub mod receive;
pub mod tail;

use sawyer_pipeline::{InputPlan, Kind};

pub use native::NativeHub;
pub use push::PushHub;

/// All kinds of inputs. What is handed in at the hub comes out of the input of the kind `push`.
#[must_use]
pub fn kinds(hub: &PushHub) -> Vec<Kind<Box<dyn InputPlan>>> {
    let readers = vec![
        containers::kind(),
        files::kind(),
        journal::kind(),
        kmsg::kind(),
        kubernetes_events::kind(),
        cloudwatch_logs::kind(),
        kinesis::kind(),
        exec::kind(),
        push::kind(hub),
    ];
    readers.into_iter().chain(receive::kinds()).collect()
}
