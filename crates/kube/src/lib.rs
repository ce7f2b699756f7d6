//! What does the cluster know? Who runs in a pod, to what it belongs, and what happens to it.
//!
//! Owns: asking the API server or the kubelet, keeping what they said, what of it becomes fields; reading the cluster's
//! events as one of several.
//! Does not own: which log belongs to which pod (`input`).
//! Invariant: nobody waits here. What is not known yet is said to be so, and what was known stays known for a while
//! after the pod is gone.
//!
//! An own client for the few requests that are needed: a list and a watch of the pods of one node, single owners, and
//! the kubelet's list; a list and a watch of events, and a Lease. See docs/decisions.md for what a general client would cost.

mod client;
mod directory;
mod event;
mod events;
mod follow;
mod lease;
mod objects;
mod owner;
mod pod;
mod position;
mod settings;
mod trouble;
mod volume;
mod workloads;

#[cfg(test)]
mod tests;

pub use directory::{Directory, Lookup};
pub use event::EventRecord;
pub use events::{EventPage, EventReader, EventSink};
pub use follow::Follower;
pub use objects::Pod;
pub use pod::{Hints, PodInfo, Selection};
pub use position::Receipt;
pub use settings::{EventsSettings, KubeSettings, MetadataFrom};
pub use volume::VolumeFiles;
