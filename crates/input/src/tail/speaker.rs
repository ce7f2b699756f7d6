//! Who speaks in a file: the identity of a container, and one stream for each of its outputs.
//!
//! Owns: making streams, docker's `attrs` among their fields.
//! Does not own: where the identity comes from (`containers`, `files`).
//! Invariant: equal identities give equal streams; a stream is made once and then shared.

use std::sync::Arc;

use sawyer_codec::fields::FieldSink;
use sawyer_codec::json::{Scratch, flatten};
use sawyer_model::{Stream, Value, ValueRef, names};

use super::layout::OfVoice;
use super::lines::Voice;

/// Prefix of the fields that docker's log driver was told to add.
const ATTRS: &str = "attrs";

/// Streams of one file.
#[derive(Debug)]
pub(crate) struct Speaker {
    identity: Arc<Stream>,
    attrs: Box<[u8]>,
    /// The identity with what the attributes say.
    base: Arc<Stream>,
    of_voices: [OfVoice; Voice::COUNT],
    voices: [Option<Arc<Stream>>; Voice::COUNT],
}

impl Speaker {
    /// With this identity.
    pub(crate) fn new(identity: Arc<Stream>) -> Self {
        let base = Arc::clone(&identity);
        Self {
            identity,
            attrs: Box::default(),
            base,
            of_voices: Default::default(),
            voices: [const { None }; Voice::COUNT],
        }
    }

    /// More is known about who speaks, or something else.
    pub(crate) fn set_identity(&mut self, identity: Arc<Stream>, of_voices: [OfVoice; Voice::COUNT]) {
        if self.identity.fingerprint() == identity.fingerprint() && self.of_voices == of_voices {
            return;
        }
        self.of_voices = of_voices;
        self.base = Arc::clone(&identity);
        self.identity = identity;
        self.voices = [const { None }; Voice::COUNT];
        let attrs = std::mem::take(&mut self.attrs);
        self.set_attrs(Some(&attrs));
    }

    /// Says what the driver added to the line that comes next. It is the same for all lines of a container, so
    /// comparing is all that usually happens.
    pub(crate) fn set_attrs(&mut self, attrs: Option<&[u8]>) {
        let attrs = attrs.unwrap_or_default();
        if *self.attrs == *attrs {
            return;
        }
        self.attrs = attrs.into();
        self.voices = [const { None }; Voice::COUNT];
        let mut found = Attributes(Vec::new());
        let text = String::from_utf8_lossy(attrs);
        self.base = match flatten(&text, &mut Scratch::default(), &mut found) {
            Ok(()) => Arc::new(self.identity.with(found.0)),
            // It was accepted as a part of the line; what cannot be flattened is left out.
            Err(_) => Arc::clone(&self.identity),
        };
    }

    /// Whether lines of this output are wanted.
    pub(super) fn wants(&self, voice: Voice) -> bool {
        !self.of_voices[voice as usize].unwanted
    }

    /// The stream of an output, whose field `stream` says its name.
    pub(super) fn stream(&mut self, voice: Voice) -> &Arc<Stream> {
        let (base, fields) = (&self.base, &self.of_voices[voice as usize].fields);
        self.voices[voice as usize].get_or_insert_with(|| {
            let name = voice.name().map(|name| (Box::from(names::STREAM), Value::from(name)));
            match (name, &fields[..]) {
                (None, []) => Arc::clone(base),
                (name, fields) => Arc::new(base.with(name.into_iter().chain(fields.iter().cloned()))),
            }
        })
    }
}

struct Attributes(Vec<(String, Value)>);

impl FieldSink for Attributes {
    fn field(&mut self, name: &str, value: ValueRef<'_>) {
        self.0.push((format!("{ATTRS}.{name}"), value.to_value()));
    }

    fn list(&mut self, _: &str) {}

    fn reset(&mut self) {
        self.0.clear();
    }
}
