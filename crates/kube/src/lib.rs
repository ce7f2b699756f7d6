//! What does the cluster know? Who runs in a pod, and to what it belongs.
//!
//! Owns: asking the API server or the kubelet, keeping what they said, what of it becomes fields.
//! Does not own: which log belongs to which pod (`input`).
//! Invariant: nobody waits here. What is not known yet is said to be so, and what was known stays known for a while
//! after the pod is gone.
//!
//! An own client for the few requests that are needed: a list and a watch of the pods of one node, single owners, and
//! the kubelet's list. See docs/decisions.md for what a general client would cost.

mod client;
mod directory;
mod follow;
mod objects;
mod owner;
mod pod;
mod settings;

#[cfg(test)]
mod tests;

pub use directory::{Directory, Lookup};
pub use follow::Follower;
pub use objects::Pod;
pub use pod::{Hints, PodInfo, Selection};
pub use settings::{KubeSettings, MetadataFrom};
