//! Files through loss of power.

use std::path::Path;
use std::time::Duration;

use sawyer_disk::write_atomic;
use sawyer_model::Timestamp;

use super::world::World;
use crate::Origin;
use crate::keeper::{decode, encode};
use crate::state::{Fate, Phase, State};

const RULE: &str = "\
rules: {r: {query: 'level: error', count: '>= 1', window: 60s, interval: 60s, lateness: 0s, notify: slack}}
notifiers: {slack: {url: 'https://hooks.slack.com/services/T/B/x'}}";

#[test]
fn what_was_told_is_known_after_a_loss_of_power() {
    let mut world = World::new(RULE);
    world.errors(1, 0);
    world.clock.advance(Duration::from_secs(60));
    // Written before it is told: nobody was told yet when the power fails.
    let queue = world.alerts.turn().queue;
    assert_eq!(queue.len(), 1);
    let after = world.sim.power_loss();
    world.disk = std::sync::Arc::new(after);
    world.restart();
    assert_eq!(world.alerts.state().queue, queue, "it is still to be told");
    world.turn();
    assert_eq!(world.told().lines().count(), 1);
    world.pass(1);
    assert_eq!(world.told(), "", "once");
}

/// What version 1 wrote.
const VERSION_1: &[u8] = include_bytes!("golden/state-1");

#[test]
fn version_1_is_read() {
    let state: State = decode(VERSION_1).unwrap();
    let alert = &state.alerts["5d1f0c6e7a8b9c0d"];
    assert_eq!((alert.phase, alert.finding.matched), (Phase::Firing, 12));
    assert_eq!(alert.finding.samples[0].time, Timestamp::parse("2026-11-20T11:59:59.5Z").unwrap());
    let fates: Vec<&Fate> = state.history.iter().map(|past| &past.fate).collect();
    assert_eq!(fates, [&Fate::Delivered, &Fate::Rejected("status 400".to_owned())]);
    assert!(
        state.silences["18f-2"]
            .holds(&[("namespace".to_owned(), "shop-1".to_owned())].into(), state.silences["18f-2"].starts)
    );
    assert_eq!(state.rules["errors"].missed, 2);
    assert_eq!(decode::<State>(&encode(&state)).unwrap(), state, "and what is written now says the same");
}

#[test]
fn a_rule_that_cannot_be_read_any_more_harms_itself_only() {
    let mut world = World::new(RULE);
    let texts = std::collections::BTreeMap::from([
        ("bad".to_owned(), "{query: 'level:', count: '>= 1'}".to_owned()),
        ("good".to_owned(), "{query: 'level: error', count: '>= 2', lateness: 0s, notify: slack}".to_owned()),
        ("r".to_owned(), "{query: '*', absent: true}".to_owned()),
    ]);
    write_atomic(&*world.disk, Path::new("alerts/rules"), &encode(&texts)).unwrap();
    world.restart();
    let rules = world.alerts.rules();
    assert!(rules["bad"].rule.as_ref().unwrap_err().contains("query: expected a value after `level:`"));
    assert_eq!(rules["r"].origin, Origin::File, "that of the configuration holds");
    world.errors(2, 0);
    world.pass(60);
    let told = world.told();
    assert!(told.contains("FIRING: good: 2") && told.contains("FIRING: r: 2"), "{told}");
}
