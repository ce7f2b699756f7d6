//! The tokens of the streams of a segment.
//!
//! Owns: [`StreamTokens`], made when a query first asks for a token. Invariant: it knows every token that
//! `index_tokens` gives for a field of a stream.

use hashbrown::HashMap;
use sawyer_query::index_tokens;

use crate::filter::hash_of;
use crate::segment::Segment;

/// For each token the fields of streams that have it: number of the stream, number of the field in it.
#[derive(Debug)]
pub(crate) struct StreamTokens(HashMap<u64, Vec<(u32, u32)>>);

impl StreamTokens {
    pub(crate) fn of(segment: &Segment) -> Self {
        let mut tokens: HashMap<u64, Vec<(u32, u32)>> = HashMap::new();
        for (stream, number) in segment.streams().iter().zip(0..) {
            for ((name, value), field) in stream.fields().iter().zip(0..) {
                index_tokens(name, value.as_ref(), &mut |token| {
                    tokens.entry(hash_of(token)).or_default().push((number, field));
                });
            }
        }
        Self(tokens)
    }

    /// The fields of streams between these two that have the token of this hash.
    pub(crate) fn fields(
        &self,
        hash: u64,
        streams: &std::ops::RangeInclusive<usize>,
    ) -> impl Iterator<Item = (usize, usize)> {
        let all = self.0.get(&hash).map_or(&[][..], Vec::as_slice);
        let start = all.partition_point(|(stream, _)| (*stream as usize) < *streams.start());
        let last = *streams.end();
        let here = all[start..].iter().take_while(move |(stream, _)| *stream as usize <= last);
        here.map(|(stream, field)| (*stream as usize, *field as usize))
    }
}
