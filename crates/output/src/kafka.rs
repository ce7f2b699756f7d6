//! The output `kafka`: messages to topics, by librdkafka.
//!
//! Owns: which topic and key a record goes under, the form of a message, what a delivery report means.
//! Does not own: connections, batches and retries of one message (librdkafka); what waits in front of it (`delivery`).
//! Promise: each record arrives, those of a key in their order. The producer is idempotent and waits for all replicas,
//! so nothing is there twice that one process sent; what was under way when a process died is sent again by the next
//! one, with the same `_id`.
//!
//! librdkafka is a cargo feature (`kafka`), because it is built with a C compiler and links OpenSSL. Without it the
//! settings are known, and a configuration that uses them is told which build has it.

mod settings;

#[cfg(feature = "kafka")]
mod config;
#[cfg(feature = "kafka")]
mod message;
#[cfg(feature = "kafka")]
mod target;
#[cfg(feature = "kafka")]
mod token;
#[cfg(feature = "kafka")]
mod watch;

#[cfg(feature = "kafka")]
#[cfg(test)]
mod tests;

use sawyer_config::{At, Problems, Reference, Settings, With};
use sawyer_delivery::DeliverySettings;
use sawyer_pipeline::{Kind, OutputPlan};

pub use settings::{
    KafkaCompression, KafkaFormat, KafkaSettings, OauthSettings, SaslMechanism, SaslSettings,
};

/// The kind `kafka`.
pub(crate) fn kind() -> Kind<Box<dyn OutputPlan>> {
    Kind { name: "kafka", reference, read: Box::new(read) }
}

fn reference() -> Reference {
    let mut own = KafkaSettings::reference();
    own.entries.extend(DeliverySettings::reference().entries);
    own
}

fn read(at: &At<'_>, problems: &mut Problems) -> Option<Box<dyn OutputPlan>> {
    use sawyer_config::Setting;
    let With { common, own } = With::<DeliverySettings, KafkaSettings>::read(at, problems)?;
    check(common, &own, at, problems)
}

#[cfg(not(feature = "kafka"))]
fn check(
    _: DeliverySettings,
    _: &KafkaSettings,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<Box<dyn OutputPlan>> {
    let why = "this build of Sawyer is without Kafka; take one made by \
               `cargo build --release --package sawyer --features kafka`, or an image made with `FEATURES=kafka`";
    problems.push(at, why);
    None
}

#[cfg(feature = "kafka")]
fn check(
    delivery: DeliverySettings,
    own: &KafkaSettings,
    at: &At<'_>,
    problems: &mut Problems,
) -> Option<Box<dyn OutputPlan>> {
    let messages = message::Messages::parse(own, at, problems);
    let checked = config::check(own, &delivery, at, problems);
    let (config, tokens) = checked?;
    Some(Box::new(target::KafkaPlan { messages: messages?, config, tokens, delivery }))
}

#[cfg(not(feature = "kafka"))]
#[cfg(test)]
mod without {
    use super::*;
    use crate::testing::plan;

    #[test]
    fn a_build_without_kafka_says_which_one_has_it() {
        let told = plan(&kind(), "brokers: [a:9092]").unwrap_err();
        assert!(
            told.contains("this build of Sawyer is without Kafka; take one made by `cargo build"),
            "{told}"
        );
        let told = plan(&kind(), "brokrs: [a:9092]").unwrap_err();
        assert!(told.contains("did you mean `brokers`?"), "settings are read all the same: {told}");
    }
}
