//! The streams of senders that are known by their address only.
//!
//! Owns: one stream for each sender in a batch.
//! Invariant: bounded: beyond so many senders in one batch their addresses are left out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use sawyer_model::{Batch, Stream, Value};

/// The field with the address of who sent a record.
pub(crate) const PEER: &str = "peer";

/// Most senders that are told apart in one batch.
const PEERS_MAX: usize = 1000;

/// Streams in the batch that is being filled.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// By the sender's place and the address.
    numbers: HashMap<(usize, Option<IpAddr>), u32>,
    /// Streams of the senders that were heard last.
    known: HashMap<IpAddr, Arc<Stream>>,
}

impl Streams {
    /// Another batch begins.
    pub(crate) fn clear(&mut self) {
        self.numbers.clear();
        if self.known.len() > PEERS_MAX {
            self.known.clear();
        }
    }

    /// The number of the stream of this sender, of whom `base` is known wherever it is.
    pub(crate) fn of(
        &mut self,
        (sender, base): (usize, &Arc<Stream>),
        peer: Option<IpAddr>,
        batch: &mut Batch,
    ) -> u32 {
        let peer = peer.filter(|_| self.numbers.len() < PEERS_MAX).map(|peer| peer.to_canonical());
        if let Some(number) = self.numbers.get(&(sender, peer)) {
            return *number;
        }
        let stream = match peer {
            None => base,
            Some(peer) => self
                .known
                .entry(peer)
                .or_insert_with(|| Arc::new(base.with([(PEER, Value::from(peer.to_string()))]))),
        };
        let number = batch.add_stream(stream);
        self.numbers.insert((sender, peer), number);
        number
    }
}
