//! The decoders of positions, from bytes: for the fuzz targets.

use super::{Cursor, Position, filebeat, fluent_bit, fluentd, promtail};

/// What promtail wrote; none if it is no file of its.
#[must_use]
pub fn of_promtail(text: &str) -> Option<(Vec<Position>, Vec<Cursor>)> {
    Some((promtail::positions(text)?, promtail::cursors(text)?))
}

/// What Fluentd's `tail` wrote; none if it is no file of its.
#[must_use]
pub fn of_fluentd(text: &str) -> Option<Vec<Position>> {
    fluentd::positions(text)
}

/// What Fluentd's `systemd` wrote; none if it is no file of its.
#[must_use]
pub fn cursor_of_fluentd(text: &str) -> Option<Cursor> {
    fluentd::cursor(text)
}

/// What is in the tables of a Fluent Bit's database and its write-ahead log; nothing of a table that is not there.
#[must_use]
pub fn of_fluent_bit(main: &[u8], log: &[u8]) -> (Vec<Position>, Vec<Cursor>) {
    let positions = fluent_bit::positions(main, log);
    (positions.unwrap_or_default(), fluent_bit::cursors(main, log).unwrap_or_default())
}

/// What is in a checkpoint of Filebeat's and its log of changes; none if the checkpoint is none.
#[must_use]
pub fn of_filebeat(checkpoint: Option<&str>, changes: &str) -> Option<(Vec<Position>, Vec<Cursor>)> {
    let states = filebeat::states_of(checkpoint, changes)?;
    Some((filebeat::positions_of(&states), filebeat::cursors_of(&states)))
}

/// What is in a registry of Filebeat's that is one file; none if it is none.
#[must_use]
pub fn of_filebeat_list(text: &str) -> Option<Vec<Position>> {
    filebeat::positions_of_list(text)
}
