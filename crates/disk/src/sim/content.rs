//! The bytes of one simulated file: as processes see them, and as they would be found after a loss of power.
//!
//! Owns: which unsynced bytes may have reached the medium, and in what shape.
//! Does not own: names (`tree`), and when something happens (`state`).
//! Invariant: bytes that were synced and not truncated since are never changed by anything but `flip_bit`.

use super::random::Random;

/// Bytes that a drive writes whole.
const SECTOR_BYTES: usize = 512;

#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    /// What readers get: the page cache.
    live: Vec<u8>,
    /// What is on the medium.
    durable: Vec<u8>,
    /// Bytes in front of which the system thinks that `durable` has what `live` has.
    clean_len: usize,
    /// The shortest length since the medium last learned of a truncation. Content behind a cut is written only
    /// after the cut itself: file systems free blocks in the journal before they use them again.
    cut: Option<usize>,
}

impl Content {
    pub(super) fn live(&self) -> &[u8] {
        &self.live
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.live.extend_from_slice(bytes);
    }

    /// Cuts to `len`, which is not above the present length.
    pub(super) fn truncate(&mut self, len: usize) {
        debug_assert!(len <= self.live.len(), "a file does not grow by truncation");
        self.live.truncate(len);
        self.clean_len = self.clean_len.min(len);
        if len < self.durable.len() {
            self.cut = Some(self.cut.map_or(len, |cut| cut.min(len)));
        }
    }

    /// Brings everything to the medium.
    pub(super) fn sync(&mut self) {
        self.apply_cut();
        self.durable.resize(self.live.len(), 0);
        self.durable[self.clean_len..].copy_from_slice(&self.live[self.clean_len..]);
        self.clean_len = self.live.len();
    }

    /// A sync that failed: some reaches the medium, and the system marks all of it clean, so that the rest will
    /// never be written, and the next sync succeeds.
    pub(super) fn fail_sync(&mut self, random: &mut Random, tears_sectors: bool) {
        self.write_some(random, tears_sectors);
        self.clean_len = self.live.len();
    }

    /// What a system may do by itself at any time before a sync: nothing, everything, or a part.
    pub(super) fn write_back(&mut self, random: &mut Random, tears_sectors: bool) {
        match random.below(4) {
            0 => {}
            1 => self.sync(),
            _ => self.write_some(random, tears_sectors),
        }
    }

    /// Forgets what is not on the medium.
    pub(super) fn lose_power(&mut self) {
        self.live.clone_from(&self.durable);
        self.clean_len = self.live.len();
        self.cut = None;
    }

    /// Damages one bit, in the cache and on the medium; false if there is none at this offset.
    pub(super) fn flip_bit(&mut self, offset: usize, bit: u8) -> bool {
        if let Some(byte) = self.durable.get_mut(offset) {
            *byte ^= 1 << (bit % 8);
        }
        self.live.get_mut(offset).map(|byte| *byte ^= 1 << (bit % 8)).is_some()
    }

    fn apply_cut(&mut self) {
        if let Some(cut) = self.cut.take() {
            self.durable.truncate(cut);
        }
    }

    /// Brings a random part to the medium: first a length, then any of the sectors within it.
    fn write_some(&mut self, random: &mut Random, tears_sectors: bool) {
        if self.cut.is_some() && random.percent(50) {
            return;
        }
        self.apply_cut();
        let len = self.choose_len(random);
        self.durable.resize(len, 0);
        let mut start = self.clean_len;
        while start < len {
            let end = ((start / SECTOR_BYTES + 1) * SECTOR_BYTES).min(len);
            let written = match random.below(10) {
                0..=4 => end - start,
                5 if tears_sectors => random.below(end - start),
                _ => 0,
            };
            self.durable[start..start + written].copy_from_slice(&self.live[start..start + written]);
            start = end;
        }
    }

    /// A length between that on the medium and the present one: all, up to a sector, or any.
    fn choose_len(&self, random: &mut Random) -> usize {
        let (least, most) = (self.durable.len(), self.live.len());
        let any = least + random.below(most - least + 1);
        match random.below(3) {
            0 => most,
            1 => least.max(any / SECTOR_BYTES * SECTOR_BYTES),
            _ => any,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_power_loss(content: &Content, seed: u64) -> Vec<u8> {
        let mut content = content.clone();
        content.write_back(&mut Random::new(seed), true);
        content.lose_power();
        content.live
    }

    #[test]
    fn synced_bytes_stay_under_any_unsynced_tail() {
        let mut content = Content::default();
        content.append(&[1; 700]);
        content.sync();
        content.append(&[2; 3000]);
        for seed in 0..500 {
            assert_eq!(after_power_loss(&content, seed)[..700], [1; 700], "seed={seed}");
        }
    }

    #[test]
    fn unsynced_bytes_come_in_every_bad_shape() {
        let mut content = Content::default();
        content.append(&[1; 4 * SECTOR_BYTES]);
        let found: Vec<_> = (0..500).map(|seed| after_power_loss(&content, seed)).collect();
        let sector = |bytes: &[u8], number: usize| bytes.get(number * SECTOR_BYTES).copied();
        assert!(found.iter().any(Vec::is_empty), "nothing kept");
        assert!(found.iter().any(|f| *f == [1; 4 * SECTOR_BYTES]), "all kept");
        assert!(
            found.iter().any(|f| f.len() == 4 * SECTOR_BYTES && f.iter().all(|b| *b == 0)),
            "length only"
        );
        assert!(found.iter().any(|f| sector(f, 0) == Some(0) && sector(f, 1) == Some(1)), "out of order");
        assert!(found.iter().any(|f| f.len() % SECTOR_BYTES != 0), "cut within a sector");
        assert!(found.iter().any(|f| sector(f, 0) == Some(1) && f.get(511) == Some(&0)), "torn sector");
    }

    #[test]
    fn truncation_reaches_the_medium_before_what_is_written_over_it() {
        let mut content = Content::default();
        content.append(&[1; 1024]);
        content.sync();
        content.truncate(100);
        content.append(&[2; 50]);
        let mut kept_old = 0;
        for seed in 0..500 {
            let found = after_power_loss(&content, seed);
            assert_eq!(found[..100], [1; 100], "seed={seed}");
            if found.len() > 150 {
                assert_eq!(found, [1; 1024], "seed={seed}: new bytes in front of old ones");
                kept_old += 1;
            }
        }
        assert!(kept_old > 0, "an unsynced truncation may be undone");
    }

    #[test]
    fn a_sync_after_a_failed_one_brings_nothing_back() {
        let lost = (0..100).filter(|seed| {
            let mut content = Content::default();
            content.append(&[1; 2048]);
            content.fail_sync(&mut Random::new(*seed), true);
            assert_eq!(content.live, [1; 2048], "the cache still shows the bytes");
            content.sync();
            content.lose_power();
            content.live != [1; 2048]
        });
        assert!(lost.count() > 50);
    }
}
