//! The decoders, and what has to hold of whatever they make of any bytes.
//!
//! Others add theirs here: a line in [`TARGETS`], and a function beside these.

mod lines;
mod node;
mod requests;
mod sockets;
mod stored;

use std::path::Path;

use crate::Target;

/// All targets.
pub const TARGETS: &[Target] = &[
    lines::CRI,
    lines::DOCKER,
    lines::JOIN,
    lines::BODY,
    lines::JSON,
    lines::NDJSON,
    lines::TIME,
    lines::MASK,
    lines::GROUP,
    stored::JOURNAL,
    stored::SEGMENT,
    stored::BATCH,
    stored::FRAMES,
    stored::LEDGER,
    node::POSITIONS,
    node::SQLITE,
    node::OFFSETS,
    node::ENCODING,
    node::KMSG,
    stored::CHECKPOINT,
    requests::KQL,
    requests::CONFIG,
    requests::OTLP,
    requests::OTLP_JSON,
    requests::POSTED,
    requests::BULK,
    requests::LOKI_JSON,
    requests::LOKI,
    requests::FIREHOSE,
    requests::KINESIS,
    requests::SPLUNK,
    sockets::FORWARD,
    sockets::SYSLOG,
    sockets::GELF,
];

fn bytes(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// A file of the crates' tests.
fn golden(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates").join(path)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutate::{Dice, mutate};
    use crate::run::regressions;

    /// What made a decoder fail once does not again; and a little of chance with every run of the tests.
    #[test]
    fn no_target_fails_on_what_is_known() {
        for target in TARGETS {
            let mut inputs = (target.seeds)();
            inputs.extend(regressions(target).into_iter().map(|(_, input)| input));
            inputs.push(Vec::new());
            let mut dice = Dice::new(7);
            for at in 0..200 {
                let mut input = inputs[at % inputs.len()].clone();
                let other = dice.below(inputs.len());
                mutate(&mut input, &inputs[other], target.words, &mut dice);
                inputs.push(input);
            }
            inputs.iter().for_each(|input| (target.run)(input));
        }
    }
}
