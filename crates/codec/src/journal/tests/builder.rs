//! Writes small journal files, so that tests can have any of their forms and damage them.
//!
//! Owns: header, data, entry and entry array objects.
//! Does not own: hash tables, which this crate's reader does not use.
//! Invariant: what it writes is what systemd's format description says.

/// How a value is stored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Packing {
    Plain,
    Zstd,
    Lz4,
    Xz,
    BrokenLz4,
    BrokenZstd,
    BrokenXz,
}

/// `MESSAGE=` and three hundred times `abc `, as liblzma packs it without a checksum, which is how journald does.
const XZ: &[u8] = b"\xfd\x37\x7a\x58\x5a\x00\x00\x00\xff\x12\xd9\x41\x02\x00\x21\x01\x16\x00\x00\x00\x74\x2f\xe5\xa3\xe0\x04\xb7\x00\x19\x5d\x00\x26\x91\x46\xc0\xd1\x94\x57\xe4\x92\xeb\x2b\xa6\x1f\xe7\x29\x28\xab\x6c\xac\xdf\x04\x11\xb9\x30\x00\x00\x00\x00\x00\x00\x01\x2d\xb8\x09\x00\x00\x00\x6a\xce\xd8\x25\xa8\x00\x0a\xfc\x02\x00\x00\x00\x00\x00\x59\x5a";

/// Entries in one array; small, so that chains are tested.
const ARRAY_CAPACITY: usize = 4;
const HEADER_BYTES: usize = 264;

pub(super) struct Builder {
    bytes: Vec<u8>,
    compact: bool,
    entries: Vec<u64>,
    arrays: Vec<u64>,
}

impl Builder {
    pub(super) fn new(compact: bool) -> Self {
        Self { bytes: vec![0; HEADER_BYTES], compact, entries: Vec::new(), arrays: Vec::new() }
    }

    pub(super) fn entry_offsets(&self) -> &[u64] {
        &self.entries
    }

    pub(super) fn entry(&mut self, fields: &[&[u8]]) {
        let data: Vec<u64> = fields.iter().map(|field| self.data(field, 0)).collect();
        self.link(&data);
    }

    pub(super) fn packed_entry(&mut self, field: &[u8], packing: Packing) {
        let (payload, flags) = match packing {
            Packing::Plain => (field.to_vec(), 0),
            Packing::Zstd => (zstd::bulk::compress(field, 3).unwrap(), 4),
            Packing::Lz4 => (lz4(field, field.len()), 2),
            Packing::Xz => {
                assert_eq!(field, [b"MESSAGE=".as_slice(), &b"abc ".repeat(300)].concat());
                (XZ.to_vec(), 1)
            }
            Packing::BrokenXz => (b"\xfd7zXZ\0".to_vec(), 1),
            Packing::BrokenLz4 => (lz4(field, 1 << 40), 2),
            Packing::BrokenZstd => (b"not zstd".to_vec(), 4),
        };
        let data = self.data(&payload, flags);
        self.link(&[data]);
    }

    /// What is left of the last entry if the machine stops before its place in the array is on disk.
    pub(super) fn unlink_last(&mut self) {
        let place = self.last_place();
        self.bytes[place].fill(0);
    }

    /// Where the array has the last entry.
    fn last_place(&self) -> std::ops::Range<usize> {
        let width = if self.compact { 4 } else { 8 };
        let place =
            *self.arrays.last().unwrap() as usize + 24 + (self.entries.len() - 1) % ARRAY_CAPACITY * width;
        place..place + width
    }

    fn object(&mut self, kind: u8, flags: u8, body: &[u8]) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let offset = self.bytes.len() as u64;
        self.bytes.extend_from_slice(&[kind, flags, 0, 0, 0, 0, 0, 0]);
        self.bytes.extend_from_slice(&(body.len() as u64 + 16).to_le_bytes());
        self.bytes.extend_from_slice(body);
        offset
    }

    fn data(&mut self, payload: &[u8], flags: u8) -> u64 {
        let head = if self.compact { 56 } else { 48 };
        let body = [&vec![0; head][..], payload].concat();
        self.object(1, flags, &body)
    }

    fn link(&mut self, data: &[u64]) {
        let seqnum = self.entries.len() as u64 + 1;
        let mut body = Vec::new();
        for number in [seqnum, 1_763_600_000_000_000 + seqnum, seqnum, 1, 2, 0xAB] {
            body.extend_from_slice(&number.to_le_bytes());
        }
        for offset in data {
            self.push_offset(&mut body, *offset);
            if !self.compact {
                body.extend_from_slice(&[0; 8]);
            }
        }
        let offset = self.object(3, 0, &body);
        if self.entries.len().is_multiple_of(ARRAY_CAPACITY) {
            let width = if self.compact { 4 } else { 8 };
            let array = self.object(6, 0, &vec![0; 8 + ARRAY_CAPACITY * width]);
            if let Some(last) = self.arrays.last() {
                let next = *last as usize + 16;
                self.bytes[next..next + 8].copy_from_slice(&array.to_le_bytes());
            }
            self.arrays.push(array);
        }
        let mut item = Vec::new();
        self.push_offset(&mut item, offset);
        self.entries.push(offset);
        let place = self.last_place();
        self.bytes[place].copy_from_slice(&item);
    }

    fn push_offset(&self, out: &mut Vec<u8>, offset: u64) {
        let width = if self.compact { 4 } else { 8 };
        out.extend_from_slice(&offset.to_le_bytes()[..width]);
    }

    /// The file as it stands.
    pub(super) fn finish(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[..8].copy_from_slice(b"LPKSHHRH");
        bytes[12] = if self.compact { 0x1F } else { 0x0F };
        bytes[24..40].fill(1);
        let mut put = |at: usize, number: u64| bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        let count = self.entries.len() as u64;
        put(88, HEADER_BYTES as u64);
        put(96, (self.bytes.len() - HEADER_BYTES) as u64);
        put(136, self.entries.last().copied().unwrap_or(0));
        put(152, count);
        put(160, count);
        put(168, 1);
        put(176, self.arrays.first().copied().unwrap_or(0));
        bytes
    }
}

/// An LZ4 block of literals alone, behind the length it claims to have.
fn lz4(field: &[u8], length: usize) -> Vec<u8> {
    let mut block = (length as u64).to_le_bytes().to_vec();
    block.push(0xF0);
    let mut rest = field.len() - 15;
    while rest >= 255 {
        block.push(255);
        rest -= 255;
    }
    block.push(rest as u8);
    block.extend_from_slice(field);
    block
}
