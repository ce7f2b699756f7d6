//! Writing entries to files, and removing files.
//!
//! Owns: the file of each lane that is being written, what of it is synced, and what a failed sync demands.
//! Does not own: who is let in (`state`), what is done (`acks`).
//! Invariant: after a failed write or sync a file takes nothing more; what was in it and is not surely on disk is
//! written again, to a new file, before anything else.

use std::sync::Arc;

use sawyer_disk::Disk;
use sawyer_disk::frames::{Frame, FrameWriter, HEADER_BYTES};
use sawyer_model::Timestamp;

use crate::acks::AckLog;
use crate::engine::{Engine, is_due, path_of};
use crate::entry::{ENTRY_FORMAT, Head, Lane, Place};
use crate::lane::FileIndex;
use crate::settings::SyncPolicy;
use crate::state::Pending;

/// What only the one who makes a turn may touch.
#[derive(Debug)]
pub(crate) struct Writer {
    lanes: [LaneWriter; 3],
    pub(crate) synced: Timestamp,
    pub(crate) acks: AckLog,
    pub(crate) acks_synced: Timestamp,
    /// When it was last written down what went past the lanes.
    pub(crate) passed_saved: Timestamp,
}

#[derive(Debug, Default)]
struct LaneWriter {
    active: Option<FrameWriter>,
    /// The first entry of the active file that may not be on disk yet.
    unsynced_from: Option<u64>,
    /// A file that was given up, and from which entry on it has to be written again.
    rewrite: Option<(u64, u64)>,
}

impl Writer {
    pub(crate) fn new(acks: AckLog, now: Timestamp) -> Self {
        Self { lanes: Default::default(), synced: now, acks, acks_synced: now, passed_saved: now }
    }

    /// Whether there is something that a loss of power would take.
    pub(crate) fn has_unsynced(&self) -> bool {
        self.lanes.iter().any(|lane| lane.unsynced_from.is_some() || lane.rewrite.is_some())
    }
}

impl Engine {
    /// Writes a group, and syncs it if the policy says so. On a full disk nothing was written, and the same may
    /// be tried again; after another error too, and it then goes to a new file.
    pub(crate) fn write_group(
        &self,
        writer: &mut Writer,
        lane: Lane,
        heads: &[Head],
        group: &[Pending],
    ) -> sawyer_disk::Result<Vec<Option<Place>>> {
        let Some(disk) = &self.disk else { return Ok(vec![None; group.len()]) };
        let writer = &mut writer.lanes[lane as usize];
        self.rewrite(disk, writer, lane)?;
        let first = heads[0].seq;
        self.ready_file(disk, writer, lane, first)?;
        let heads: Vec<_> = heads.iter().map(Head::encode).collect();
        let parts: Vec<[&[u8]; 4]> = heads.iter().zip(group).map(|(head, p)| parts_of(head, p)).collect();
        let file = writer.active.as_mut().expect("it was made ready");
        let number = file.number();
        let mut written = file.append(&parts);
        if self.plan.sync == SyncPolicy::Always {
            self.meters.syncs.inc();
            written = match written {
                // A file whose sync failed is lost, also if it was for lack of space.
                Ok(frames) => match file.sync() {
                    Ok(()) => Ok(frames),
                    Err(error) => {
                        self.give_up(writer, lane);
                        return Err(error);
                    }
                },
                failed => failed,
            };
        } else if written.is_ok() {
            writer.unsynced_from.get_or_insert(first);
        }
        let frames = written.inspect_err(|error| {
            if !error.is_full() {
                self.give_up(writer, lane);
            }
        })?;
        Ok(frames.into_iter().map(|frame| Some(Place { file: number, frame })).collect())
    }

    /// Sees to it that there is a file with room.
    fn ready_file(
        &self,
        disk: &Arc<dyn Disk>,
        writer: &mut LaneWriter,
        lane: Lane,
        first: u64,
    ) -> sawyer_disk::Result<()> {
        let bytes_max = if lane == Lane::Dead { self.plan.dead_file_bytes } else { self.plan.file_bytes };
        if writer.active.as_ref().is_some_and(|file| file.len() >= bytes_max) {
            self.sync_lane(disk, writer, lane)?;
            self.mark_end(writer);
            self.end_file(writer, lane);
        }
        if writer.active.is_none() {
            writer.active = Some(self.create(disk, lane, first)?);
            let file = FileIndex { active: true, ..FileIndex::default() };
            self.state().lane_mut(lane).files.insert(first, file);
        }
        Ok(())
    }

    fn create(&self, disk: &Arc<dyn Disk>, lane: Lane, number: u64) -> sawyer_disk::Result<FrameWriter> {
        let durable = self.plan.sync != SyncPolicy::Never;
        FrameWriter::create(&**disk, &ENTRY_FORMAT, &path_of(lane, number), number, durable)
    }

    /// Puts the end mark behind the active file, if all of it is surely on disk. Without it damage to the last group is
    /// taken for torn.
    fn mark_end(&self, writer: &mut LaneWriter) {
        let synced = self.plan.sync != SyncPolicy::Never && writer.unsynced_from.is_none();
        if let Some(Err(error)) = writer.active.as_mut().filter(|_| synced).map(FrameWriter::end) {
            tracing::debug!(output = self.name, %error, "mark the end of a file of the buffer");
        }
    }

    /// Ends the files that are being written, durably: the buffer closes.
    pub(crate) fn end_files(&self, writer: &mut Writer) {
        for lane in Lane::ALL {
            let writer = &mut writer.lanes[lane as usize];
            self.mark_end(writer);
            let active = writer.active.as_ref().filter(|_| self.plan.sync != SyncPolicy::Never);
            if let Some(Err(error)) = active.map(FrameWriter::sync) {
                tracing::debug!(output = self.name, %error, "sync the end of a file of the buffer");
            }
            self.end_file(writer, lane);
        }
    }

    /// The active file takes nothing more.
    fn end_file(&self, writer: &mut LaneWriter, lane: Lane) {
        if let Some(file) = writer.active.take()
            && let Some(index) = self.state().lane_mut(lane).files.get_mut(&file.number())
        {
            index.active = false;
        }
    }

    /// The active file cannot be trusted any more.
    fn give_up(&self, writer: &mut LaneWriter, lane: Lane) {
        let number = writer.active.as_ref().map(FrameWriter::number);
        let from = writer.unsynced_from.take().filter(|_| self.plan.sync == SyncPolicy::Interval);
        writer.rewrite = number.zip(from).or(writer.rewrite);
        self.end_file(writer, lane);
    }

    /// Makes durable what was written to the active file of a lane.
    fn sync_lane(
        &self,
        disk: &Arc<dyn Disk>,
        writer: &mut LaneWriter,
        lane: Lane,
    ) -> sawyer_disk::Result<()> {
        self.rewrite(disk, writer, lane)?;
        if self.plan.sync == SyncPolicy::Never || writer.unsynced_from.is_none() {
            return Ok(());
        }
        if let Some(file) = &writer.active {
            self.meters.syncs.inc();
            if let Err(error) = file.sync() {
                self.meters.failures.inc();
                self.give_up(writer, lane);
                tracing::warn!(output = self.name, %error, "sync the buffer; it is written to a new file");
                return self.rewrite(disk, writer, lane);
            }
        }
        writer.unsynced_from = None;
        Ok(())
    }

    /// Writes again what was in a file that was given up. It becomes a file with the number of its first entry,
    /// so whatever stands in the old one from there on is ignored.
    fn rewrite(&self, disk: &Arc<dyn Disk>, writer: &mut LaneWriter, lane: Lane) -> sawyer_disk::Result<()> {
        let Some((old, from)) = writer.rewrite else { return Ok(()) };
        let entries = self.entries_in(lane, old, from);
        if entries.is_empty() {
            writer.rewrite = None;
            return Ok(());
        }
        let file = self.reader(disk, lane, old)?;
        let mut seqs = Vec::new();
        let mut payloads = Vec::new();
        for (seq, frame) in entries {
            match frame.read(&*file)? {
                Some(payload) => {
                    seqs.push(seq);
                    payloads.push([payload]);
                }
                None => self.lose_entry(lane, seq, "the checksum does not fit after a failed sync"),
            }
        }
        if !seqs.is_empty() {
            let mut new = self.create(disk, lane, from)?;
            let written = new.append(&payloads).and_then(|frames| new.sync().map(|()| frames));
            let frames = match written {
                Ok(frames) => frames,
                Err(error) => {
                    if from != old {
                        let _ = disk.remove_file(&path_of(lane, from));
                    }
                    return Err(error);
                }
            };
            let mut state = self.state();
            let file = FileIndex { active: true, ..FileIndex::default() };
            state.lane_mut(lane).files.insert(from, file);
            for (seq, frame) in seqs.into_iter().zip(frames) {
                state.move_to(lane, seq, Place { file: from, frame });
            }
            writer.active = Some(new);
        }
        writer.rewrite = None;
        Ok(())
    }

    /// Entries of a file that are not done.
    fn entries_in(&self, lane: Lane, file: u64, from: u64) -> Vec<(u64, Frame)> {
        let state = self.state();
        let places = state.lane(lane).entries.range(from..).filter_map(|(seq, e)| Some((*seq, e.place?)));
        places.filter(|(_, place)| place.file == file).map(|(seq, place)| (seq, place.frame)).collect()
    }

    /// Syncs what was written, if it is time or the buffer closes.
    pub(crate) fn sync_if_due(&self, writer: &mut Writer, closing: bool) {
        let Some(disk) = &self.disk else { return };
        let now = self.clock.now();
        let due = is_due(writer.synced, now, self.plan.sync_interval);
        if !writer.has_unsynced() || !(due || closing) {
            return;
        }
        writer.synced = now;
        for lane in Lane::ALL {
            if let Err(error) = self.sync_lane(disk, &mut writer.lanes[lane as usize], lane) {
                self.meters.failures.inc();
                self.note_failing(&error);
            }
        }
    }

    /// Ends files whose entries are all done, so that they can be removed. One that never held any stays: it is
    /// where the next entry goes.
    pub(crate) fn end_idle_files(&self, writer: &mut Writer) {
        for lane in Lane::ALL {
            let writer = &mut writer.lanes[lane as usize];
            let used = writer.active.as_ref().filter(|file| file.len() > HEADER_BYTES as u64);
            let Some(number) = used.map(FrameWriter::number) else { continue };
            let idle = self.state().lane(lane).files.get(&number).is_some_and(|file| file.live == 0);
            if idle {
                writer.unsynced_from = None;
                self.end_file(writer, lane);
            }
        }
    }

    /// Removes files that hold nothing any more; says whether there were any.
    pub(crate) fn remove_files(&self) -> bool {
        let Some(disk) = &self.disk else { return false };
        let mut removed = false;
        for lane in Lane::ALL {
            let removable = self.state().lane(lane).removable();
            for number in removable {
                match disk.remove_file(&path_of(lane, number)) {
                    Err(error) if !error.is_not_found() => {
                        self.note_failing(&error);
                        break;
                    }
                    _ => self.state().lane_mut(lane).forget_file(number),
                }
                removed = true;
            }
        }
        removed
    }
}

fn parts_of<'a>(head: &'a [u8], pending: &'a Pending) -> [&'a [u8]; 4] {
    let note = &pending.content.note;
    [head, note.reason.as_bytes(), note.detail.as_bytes(), &pending.content.payload]
}
