//! Full disks, failed syncs, damaged and unreadable files, foreign versions.

use std::path::Path;
use std::time::Duration;

use sawyer_disk::{Disk, Fault};
use sawyer_model::ErrorKind;

use super::common::{Rig, Told, is_in, plan, small_plan};
use crate::entry::{Lane, Note};
use crate::inspect::Inspector;
use crate::lane::Content;
use crate::settings::{BufferPlan, OnFull, SyncPolicy};

fn payload(number: u8) -> Vec<u8> {
    vec![number; 200]
}

fn numbers(rig: &Rig) -> Vec<u8> {
    rig.payloads().iter().map(|payload| payload[0]).collect()
}

fn first_file(rig: &Rig, lane: Lane) -> String {
    format!("{}/{}", lane.name(), rig.files(lane)[0])
}

/// An engine with these entries, written by a process that is gone.
fn filled(plan: BufferPlan, count: u8) -> Rig {
    let rig = Rig::new(plan);
    for number in 0..count {
        assert!(is_in(&mut rig.push(Lane::Normal, &payload(number))));
    }
    let disk = rig.disk.kill_process();
    rig.reopen(disk).unwrap()
}

#[test]
fn a_full_disk_holds_back_and_recovers_by_itself() {
    let rig = Rig::new(plan(SyncPolicy::Always, OnFull::Block));
    rig.disk.set_capacity(2000);
    let mut told: Vec<Told> = (0..12).map(|number| rig.push(Lane::Normal, &payload(number))).collect();
    let written = told.iter_mut().filter_map(|told| is_in(told).then_some(())).count();
    assert!((4..12).contains(&written), "written={written}");
    assert_eq!(rig.number("sawyer_buffer_disk_full"), 1);
    let mut seen = Vec::new();
    while seen.len() < 12 {
        let taken = rig.take().expect("what is sent makes room for the rest");
        seen.push(taken.payload()[0]);
        taken.ack();
        rig.engine.turn();
    }
    assert_eq!(seen, (0..12).collect::<Vec<_>>());
    assert_eq!(rig.number("sawyer_buffer_disk_full"), 0);
    assert_eq!(rig.number("sawyer_buffer_shed_records"), 0);
}

#[test]
fn a_full_disk_sheds_the_oldest_if_told_to() {
    let rig = Rig::new(plan(SyncPolicy::Always, OnFull::ShedOldest));
    rig.disk.set_capacity(2000);
    for number in 0..20 {
        assert!(is_in(&mut rig.push(Lane::Normal, &payload(number))), "number={number}");
    }
    let left = numbers(&rig);
    assert_eq!(left.last(), Some(&19));
    assert_eq!(left, (20 - left.len() as u8..20).collect::<Vec<_>>(), "the newest, without gaps");
    assert_eq!(rig.number("sawyer_buffer_shed_records"), 20 - left.len() as i64);
}

#[test]
fn urgent_entries_pass_a_buffer_full_of_others() {
    let rig = Rig::new(plan(SyncPolicy::Always, OnFull::Block));
    let mut waiting = loop {
        let mut told = rig.push(Lane::Normal, &payload(1));
        if !is_in(&mut told) {
            break told;
        }
    };
    assert!(is_in(&mut rig.push(Lane::Urgent, &payload(9))), "some room is kept for it");
    let first = rig.take().unwrap();
    assert_eq!((first.lane(), first.payload()[0]), (Lane::Urgent, 9));
    assert!(!is_in(&mut waiting));
    first.ack();
    rig.take().unwrap().ack();
    rig.engine.turn();
    assert!(is_in(&mut waiting));
}

#[test]
fn one_failing_write_or_sync_goes_to_a_new_file() {
    for sync in [SyncPolicy::Always, SyncPolicy::Interval] {
        for fail_at in 1..24 {
            let rig = Rig::new(plan(sync, OnFull::Block));
            assert!(is_in(&mut rig.push(Lane::Normal, &payload(0))));
            rig.disk.fail_operation(rig.disk.counts().operations + fail_at, Fault::Io);
            for number in 1..8 {
                let told = &mut rig.push(Lane::Normal, &payload(number));
                assert!(is_in(told), "sync={sync} fail_at={fail_at} number={number}");
                rig.clock.advance(Duration::from_secs(2));
                rig.engine.turn();
            }
            let expected = (0..8).collect::<Vec<_>>();
            let disk = rig.disk.power_loss();
            assert_eq!(numbers(&rig.reopen(disk).unwrap()), expected, "sync={sync} fail_at={fail_at}");
        }
    }
}

#[test]
fn a_disk_that_fails_for_longer_refuses_and_recovers() {
    let rig = Rig::new(small_plan());
    assert!(is_in(&mut rig.push(Lane::Normal, &payload(0))));
    rig.disk.set_read_only(true);
    let refused = rig.push(Lane::Normal, &payload(1)).try_recv().unwrap().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Retry);
    rig.disk.set_read_only(false);
    assert!(is_in(&mut rig.push(Lane::Normal, &payload(2))));
    let disk = rig.disk.kill_process();
    assert_eq!(numbers(&rig.reopen(disk).unwrap()), [0, 2]);
}

#[test]
fn a_damaged_payload_is_skipped_counted_and_told() {
    let rig = filled(small_plan(), 9);
    let path = first_file(&rig, Lane::Normal);
    rig.disk.flip_bit(Path::new(&path), 32 + 64 + 100, 3).unwrap();
    assert_eq!(numbers(&rig), (1..9).collect::<Vec<_>>());
    let damage = rig.engine.damage.list();
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert_eq!((damage[0].path.as_str(), damage[0].offset, damage[0].bytes), (path.as_str(), 32, 264));
    assert_eq!(damage[0].records, Some(1));
    assert_eq!(rig.number("sawyer_buffer_damaged_entries"), 1);
    assert!(rig.files(Lane::Normal).len() <= 1, "damaged files go like others");
}

#[test]
fn damage_to_the_last_entry_is_told_after_a_clean_stop() {
    let rig = Rig::new(small_plan());
    for number in 0..5 {
        assert!(is_in(&mut rig.push(Lane::Normal, &payload(number))));
    }
    rig.engine.close();
    let path = format!("normal/{}", rig.files(Lane::Normal).last().unwrap());
    let disk = rig.disk.power_loss();
    let len = disk.metadata(Path::new(&path)).unwrap().len;
    let last = len - 32 - 264;
    disk.flip_bit(Path::new(&path), last + 5, 3).unwrap();
    let rig = rig.reopen(disk).unwrap();
    assert_eq!(numbers(&rig), [0, 1, 2, 3]);
    let damage = rig.engine.damage.list();
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert_eq!((damage[0].path.as_str(), damage[0].offset, damage[0].bytes), (path.as_str(), last, 264));
    assert_eq!(rig.number("sawyer_buffer_torn_bytes"), 0);
}

#[test]
fn any_one_flipped_bit_costs_at_most_one_entry() {
    let whole = filled(small_plan(), 5);
    let len = whole.disk.metadata(Path::new(&first_file(&whole, Lane::Normal))).unwrap().len;
    for offset in 0..len {
        let rig = filled(small_plan(), 5);
        rig.disk.flip_bit(Path::new(&first_file(&rig, Lane::Normal)), offset, (offset % 8) as u8).unwrap();
        let left = numbers(&rig);
        assert!(left.len() >= 4 && left.is_sorted(), "offset={offset} left={left:?}");
        assert!(left.iter().all(|number| *number < 5), "offset={offset}");
        if left.len() == 4 {
            let seen = rig.number("sawyer_buffer_damaged_entries") + rig.number("sawyer_buffer_torn_bytes");
            assert!(seen > 0, "offset={offset}");
        }
    }
}

#[test]
fn a_read_that_fails_once_is_tried_again() {
    let rig = filled(small_plan(), 9);
    let last = rig.take().unwrap();
    last.release();
    for fail_at in 1..6 {
        rig.disk.fail_read(rig.disk.counts().reads + fail_at, Fault::Io);
    }
    let mut errors = 0;
    let mut left = Vec::new();
    while left.len() < 9 && errors < 20 {
        match rig.try_take() {
            Ok(Some(taken)) => {
                left.push(taken.payload()[0]);
                taken.ack();
            }
            Ok(None) => break,
            Err(_) => errors += 1,
        }
    }
    assert!(errors > 0);
    assert!(left.len() >= 7 && left.is_sorted(), "{left:?}");
    // What could not be read three times is there after a restart.
    rig.engine.turn();
    let disk = rig.disk.kill_process();
    left.extend(numbers(&rig.reopen(disk).unwrap()));
    left.sort_unstable();
    assert_eq!(left, (0..9).collect::<Vec<_>>());
}

#[test]
fn a_last_file_that_cannot_be_read_does_not_stop_the_rest() {
    let rig = filled(small_plan(), 9);
    // Three lanes of which one has files: versions are read first, then the last file.
    let files = rig.files(Lane::Normal).len() as u64;
    let disk = rig.disk.kill_process();
    disk.fail_read(files + 1, Fault::Io);
    let rig = rig.reopen(disk).unwrap();
    assert_eq!(rig.engine.damage.list().len(), 1);
    assert!(is_in(&mut rig.push(Lane::Normal, &payload(77))));
    let left = numbers(&rig);
    assert_eq!(left.last(), Some(&77));
    let disk = rig.disk.kill_process();
    let mut all = [left, numbers(&rig.reopen(disk).unwrap())].concat();
    all.sort_unstable();
    assert_eq!(all, (0..9).chain([77]).collect::<Vec<_>>());
}

#[test]
fn damaged_acknowledgements_cost_only_repetition() {
    let rig = Rig::new(small_plan());
    for number in 0..6 {
        rig.push(Lane::Normal, &payload(number));
    }
    rig.take().unwrap().ack();
    rig.engine.turn();
    let disk = rig.disk.kill_process();
    let acks = disk.read_dir(Path::new("acks")).unwrap();
    let path = Path::new("acks").join(&acks[0].name);
    for offset in 0..acks[0].len {
        disk.flip_bit(&path, offset, 1).unwrap();
    }
    assert_eq!(numbers(&rig.reopen(disk).unwrap()), (0..6).collect::<Vec<_>>());
}

#[test]
fn a_newer_version_is_refused_by_name() {
    let rig = filled(small_plan(), 1);
    let path = first_file(&rig, Lane::Normal);
    let disk = rig.disk.kill_process();
    let mut bytes = sawyer_disk::read_all(&disk, Path::new(&path), 1 << 20).unwrap();
    bytes[8] = 3;
    let crc = crc32c::crc32c(&bytes[..28]);
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    disk.remove_file(Path::new(&path)).unwrap();
    disk.create(Path::new(&path)).unwrap().append(&bytes).unwrap();
    let error = sawyer_model::Error::from(rig.reopen(disk).err().unwrap());
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.chain(), format!("{path} was written by a newer version: found version 3, expected 2"));
}

#[test]
fn a_folder_is_open_once() {
    let rig = Rig::new(small_plan());
    let second = Rig::open(rig.disk.clone(), small_plan(), rig.clock.clone()).err().unwrap();
    assert_eq!(sawyer_model::Error::from(second).kind(), ErrorKind::Conflict);
}

#[test]
fn opening_and_looking_write_no_file() {
    let rig = filled(small_plan(), 5);
    let before = rig.disk.counts().written_bytes;
    let disk = rig.disk.kill_process();
    let inspector = Inspector::open(std::sync::Arc::new(disk.clone()), rig.clock.clone()).unwrap();
    let entries = inspector.entries(Lane::Normal).unwrap();
    assert_eq!(entries.len(), 5);
    let content = inspector.content(Lane::Normal, entries[3].id).unwrap();
    assert_eq!((&content.payload[..], content.info.records), (&payload(3)[..], 1));
    let summary = inspector.summary().unwrap();
    let normal = summary.iter().find(|summary| summary.lane == Lane::Normal).unwrap();
    assert_eq!((normal.entries, normal.records, normal.files_unread), (5, 5, 0));
    assert_eq!((disk.counts().written_bytes, before), (0, 0));
}

#[test]
fn dead_letters_are_listed_driven_again_and_removed() {
    let rig = Rig::new(small_plan());
    for number in 0..3 {
        let note = Note::new("mapping", &format!("field {number}"));
        assert!(is_in(&mut rig.enqueue(Lane::Dead, &payload(number), &note)));
    }
    let disk = rig.disk.kill_process();
    let inspector = Inspector::open(std::sync::Arc::new(disk.clone()), rig.clock.clone()).unwrap();
    let list = inspector.entries(Lane::Dead).unwrap();
    let notes: Vec<_> =
        list.iter().map(|info| (info.note.reason.as_str(), info.note.detail.as_str())).collect();
    assert_eq!(notes, [("mapping", "field 0"), ("mapping", "field 1"), ("mapping", "field 2")]);
    inspector.redrive(&[list[1].id]).unwrap();
    assert_eq!(inspector.remove(Lane::Dead, &[list[0].id]).unwrap(), 1);
    let missing = inspector.redrive(&[list[1].id]).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    drop(inspector);
    let rig = rig.reopen(disk.power_loss()).unwrap();
    assert_eq!(numbers(&rig), [1]);
    assert_eq!(rig.engine.list(Lane::Dead).unwrap().len(), 1);
}

#[test]
fn dead_letters_are_bounded() {
    let rig = Rig::new(BufferPlan { dead_letters_max: 1500, ..small_plan() });
    for number in 0..20 {
        assert!(is_in(&mut rig.enqueue(Lane::Dead, &payload(number), &Note::new("no", ""))));
    }
    let bytes: u64 = rig.engine.list(Lane::Dead).unwrap().iter().map(|info| info.bytes).sum();
    assert!((900..=1500).contains(&bytes), "bytes={bytes}");
    assert!(rig.number("sawyer_buffer_shed_records") >= 14);
}

#[test]
fn old_entries_are_let_go_of_and_counted() {
    let age_max = Some(Duration::from_secs(60));
    let rig = Rig::new(BufferPlan { age_max, ..small_plan() });
    rig.push(Lane::Normal, &payload(0));
    rig.push(Lane::Normal, &payload(1));
    let held = rig.take().unwrap();
    rig.clock.advance(Duration::from_secs(50));
    rig.push(Lane::Normal, &payload(2));
    rig.clock.advance(Duration::from_secs(11));
    assert_eq!(rig.take().unwrap().payload()[0], 2, "1 is too old, 0 is being sent");
    assert_eq!(rig.number("sawyer_buffer_shed_records"), 1);
    held.ack();
}

#[test]
fn what_was_refused_does_not_come_back_beside_what_followed() {
    let rig = Rig::new(small_plan());
    assert!(is_in(&mut rig.push(Lane::Normal, &payload(0))));
    let operations = rig.disk.counts().operations;
    // Written and not synced, and then no new file can be made.
    rig.disk.fail_operation(operations + 2, Fault::Io);
    rig.disk.fail_operation(operations + 3, Fault::Io);
    let content = |number| Content { note: Note::default(), payload: payload(number).into() };
    let mut told =
        [1, 2].map(|number| rig.engine.push(Lane::Normal, Lane::Normal, content(number), 1).unwrap());
    rig.engine.turn();
    assert!(told.iter_mut().all(|told| told.try_recv().unwrap().is_err()));
    assert!(is_in(&mut rig.push(Lane::Normal, &payload(3))));
    let disk = rig.disk.kill_process();
    assert_eq!(numbers(&rig.reopen(disk).unwrap()), [0, 3]);
}
