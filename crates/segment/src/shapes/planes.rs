//! The variables of texts column by column: the same variable of all texts of a shape lies together, for what is compressed
//! as a whole afterwards.
//!
//! Owns: turning the bits of a portion into planes, and back.
//! Does not own: compressing (`squeeze`), what asks a portion; it only knows bits.
//! Invariant: the bits that come back are those that went in, and never more than were allowed for.

use super::{Piece, Shapes, Slot};
use crate::bits::{BitWriter, packed_bytes, unpack_at, width_of};
use crate::bytes::{Put, Reader};
use crate::error::{Damage, Decoded};
use crate::ints::planes;

/// Numbers are differences between neighbours.
const DELTAS: u8 = 0x80;

/// The variables of one slot.
enum Column {
    Numbers(Vec<u64>),
    /// Digits of ids, two a byte.
    Digits(Vec<u8>),
}

/// How many bytes the digits of an id take; none if a slot is a number.
fn digit_bytes(slot: &Slot) -> Option<usize> {
    matches!(slot, Slot::Hex { .. } | Slot::Uuid).then(|| slot.bits().div_ceil(8))
}

impl Shapes {
    fn slots(&self, shape: usize) -> impl Iterator<Item = &Slot> {
        self.pieces(shape).iter().filter_map(|piece| match piece {
            Piece::Slot(slot) => Some(slot),
            Piece::Literal(_) => None,
        })
    }

    /// The planes of `count` texts of which these are the bits, as `write` made them.
    pub(super) fn to_planes(&self, packed: &[u8], count: usize) -> Vec<u8> {
        let width = width_of(self.shapes.len() as u64);
        let ids: Vec<u64> = (0..count).map(|at| unpack_at(packed, width, at * width as usize)).collect();
        let mut columns: Vec<Vec<Column>> = Vec::new();
        columns.resize_with(self.shapes.len(), Vec::new);
        let mut bit = packed_bytes(count, width) * 8;
        for id in ids.iter().filter(|id| **id > 0) {
            let shape = *id as usize - 1;
            let columns = &mut columns[shape];
            if columns.is_empty() {
                columns.extend(self.slots(shape).map(|slot| match digit_bytes(slot) {
                    Some(_) => Column::Digits(Vec::new()),
                    None => Column::Numbers(Vec::new()),
                }));
            }
            for (slot, column) in self.slots(shape).zip(columns) {
                match column {
                    Column::Numbers(numbers) => {
                        numbers.push(unpack_at(packed, slot.bits() as u32, bit));
                        bit += slot.bits();
                    }
                    Column::Digits(digits) => {
                        let mut left = slot.bits() as u32;
                        while left > 0 {
                            let some = left.min(8);
                            digits.push(unpack_at(packed, some, bit) as u8);
                            (bit, left) = (bit + some as usize, left - some);
                        }
                    }
                }
            }
        }
        let mut out = Vec::new();
        put_numbers(&mut out, &ids);
        for column in columns.iter().flatten() {
            match column {
                Column::Numbers(numbers) => put_numbers(&mut out, numbers),
                Column::Digits(digits) => out.extend_from_slice(digits),
            }
        }
        out
    }

    /// The bits of `count` texts; no more than `bytes_max` bytes.
    pub(super) fn to_bits(&self, bytes: &[u8], count: usize, bytes_max: u64) -> Decoded<Vec<u8>> {
        let mut reader = Reader::new(bytes);
        let ids = read_numbers(&mut reader, count)?;
        let mut texts = vec![0usize; self.shapes.len() + 1];
        let mut bits = 0u64;
        for id in &ids {
            let known =
                usize::try_from(*id).ok().and_then(|id| Some((texts.get_mut(id)?, self.id_bits.get(id)?)));
            let (texts, id_bits) = known.ok_or(Damage::expected("the number of a shape"))?;
            *texts += 1;
            bits += u64::from(*id_bits);
        }
        if bits / 8 > bytes_max {
            return Err(Damage::expected("variables within bounds"));
        }
        let mut columns: Vec<Vec<Column>> = Vec::with_capacity(self.shapes.len());
        for (shape, texts) in texts[1..].iter().enumerate() {
            let column = |slot: &Slot| match digit_bytes(slot) {
                _ if *texts == 0 => Ok(Column::Digits(Vec::new())),
                Some(bytes) => Ok(Column::Digits(reader.take(bytes * texts)?.to_vec())),
                None => Ok(Column::Numbers(read_numbers(&mut reader, *texts)?)),
            };
            columns.push(self.slots(shape).map(column).collect::<Decoded<_>>()?);
        }
        reader.end()?;
        self.write_bits(&ids, &columns)
    }

    fn write_bits(&self, ids: &[u64], columns: &[Vec<Column>]) -> Decoded<Vec<u8>> {
        let mut packed = Vec::new();
        crate::bits::pack(&mut packed, ids.iter().copied(), width_of(self.shapes.len() as u64));
        let mut bits = BitWriter::new(&mut packed);
        let mut next = vec![0usize; self.shapes.len()];
        for id in ids.iter().filter(|id| **id > 0) {
            let shape = *id as usize - 1;
            let at = next[shape];
            next[shape] += 1;
            for (slot, column) in self.slots(shape).zip(&columns[shape]) {
                let width = slot.bits() as u32;
                match column {
                    Column::Numbers(numbers) => put_bits(&mut bits, numbers[at], width)?,
                    Column::Digits(digits) => {
                        let bytes = width.div_ceil(8) as usize;
                        for (byte, digits) in (0..).step_by(8).zip(&digits[at * bytes..(at + 1) * bytes]) {
                            put_bits(&mut bits, u64::from(*digits), (width - byte).min(8))?;
                        }
                    }
                }
            }
        }
        bits.finish();
        Ok(packed)
    }
}

fn put_bits(bits: &mut BitWriter<'_>, number: u64, width: u32) -> Decoded<()> {
    if width < u64::BITS && number >> width != 0 {
        return Err(Damage::expected("a number of as many bits as its slot has"));
    }
    bits.put(number, width);
    Ok(())
}

fn put_numbers(out: &mut Vec<u8>, numbers: &[u64]) {
    let Some(first) = numbers.first() else { return };
    let pairs = numbers.windows(2).map(|pair| planes::zigzag(pair[1].wrapping_sub(pair[0]) as i64));
    let deltas: Vec<u64> = std::iter::once(planes::zigzag(*first as i64)).chain(pairs).collect();
    let (form, numbers) =
        if planes::cost(&deltas) < planes::cost(numbers) { (DELTAS, &*deltas) } else { (0, numbers) };
    out.put_u8(form | planes::width_of(numbers));
    planes::put(out, numbers);
}

fn read_numbers(reader: &mut Reader<'_>, count: usize) -> Decoded<Vec<u64>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let head = reader.u8()?;
    let width = usize::from(head & !DELTAS);
    if width > size_of::<u64>() {
        return Err(Damage::expected("numbers of at most 64 bits"));
    }
    let bytes = width.checked_mul(count).ok_or(Damage::expected("more bytes"))?;
    let mut numbers = planes::all(reader.take(bytes)?, count);
    if head & DELTAS != 0 {
        let mut last = 0u64;
        for number in &mut numbers {
            last = last.wrapping_add(planes::unzigzag(*number) as u64);
            *number = last;
        }
    }
    Ok(numbers)
}
