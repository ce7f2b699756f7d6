//! Whether texts of a shape can have some letters.
//!
//! Owns: [`Needle`], letters that are looked for in literals, across the edges of slots, and in entries.
//! Does not own: what is asked (`sawyer_query`), which texts are asked one by one (`select`).
//! Invariant: if a text of a shape has the letters, one of the two ways is said to be possible, or an entry has them.

use super::facts::folds;
use super::{Piece, Shapes, Slot};

/// Longer letters are looked for by their start.
const LETTERS_MAX: usize = 63;

/// In which ways texts of a shape can have the letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Possible {
    /// All of them have, in what they have together.
    pub(super) in_literal: bool,
    /// Some may have, in numbers or ids, or where a slot and a literal meet.
    pub(super) in_slots: bool,
}

/// See the head of the module. Finds by keeping a bit for each start of the letters that ends at a place (Baeza-Yates
/// and Gonnet, 1992).
pub(super) struct Needle {
    pub(super) letters: Box<str>,
    pub(super) any_case: bool,
    /// Letters beyond ASCII whose case is ignored may be anywhere.
    pub(super) anywhere: bool,
    /// For each byte the places at which the letters have it.
    places: Box<[u64; 256]>,
    goal: u64,
    digits: Class,
    hex: Class,
    uuid: Class,
    /// The entries that have the letters, ascending.
    pub(super) having: Vec<u32>,
    /// Whether any entry has all letters that are looked for, while there are more.
    start_in_entry: bool,
}

/// Bytes that a slot may have.
#[derive(Clone, Copy, Debug, Default)]
struct Class {
    places: u64,
    /// How many of the first letters are of the class.
    starts: u32,
}

impl Needle {
    /// For the texts of a group.
    pub(super) fn new(letters: &str, any_case: bool, shapes: &Shapes) -> Self {
        let bytes = &letters.as_bytes()[..letters.len().min(LETTERS_MAX)];
        let mut places = Box::new([0u64; 256]);
        for (at, byte) in bytes.iter().enumerate() {
            places[usize::from(*byte)] |= 1 << at;
            if any_case {
                places[usize::from(byte.to_ascii_uppercase())] |= 1 << at;
                places[usize::from(byte.to_ascii_lowercase())] |= 1 << at;
            }
        }
        let class = |is_of: &dyn Fn(u8) -> bool| Class {
            places: (0..=u8::MAX)
                .filter(|byte| is_of(*byte))
                .fold(0, |all, byte| all | places[usize::from(byte)]),
            starts: 0,
        };
        let with_starts = |class: Class| Class {
            starts: (!class.places).trailing_zeros().min(bytes.len() as u32),
            ..class
        };
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let anywhere = letters.is_empty() || any_case && !letters.is_ascii();
        let entry_count = shapes.entry_ends.len();
        let having = if anywhere {
            (0..entry_count as u32).collect()
        } else {
            shapes.facts().having(shapes, letters, any_case)
        };
        let start = &letters[..letters.floor_char_boundary(LETTERS_MAX)];
        let is_cut = !anywhere && start.len() < letters.len();
        let start_in_entry = is_cut && !shapes.facts().having(shapes, start, any_case).is_empty();
        Self {
            letters: letters.into(),
            any_case,
            anywhere,
            start_in_entry,
            goal: 1 << bytes.len(),
            digits: with_starts(class(&|byte| byte.is_ascii_digit())),
            hex: with_starts(class(&is_hex)),
            uuid: with_starts(class(&|byte| byte == b'-' || is_hex(byte))),
            places,
            having,
        }
    }

    /// The ways in which texts of a shape can have the letters, piece by piece.
    pub(super) fn go_over(&self, shapes: &Shapes, shape: usize) -> Possible {
        let mut found = Possible::default();
        if self.anywhere {
            return Possible { in_slots: true, ..found };
        }
        let mut open = 1u64;
        for piece in shapes.pieces(shape) {
            match piece {
                Piece::Literal(range) => {
                    let text = shapes.literal(range);
                    if self.may_fold(text) {
                        return Possible { in_slots: true, ..found };
                    }
                    let mut own = 1u64;
                    for byte in text.bytes() {
                        let places = self.places[usize::from(byte)];
                        own = (own & places) << 1 | 1;
                        open = (open & places) << 1 | 1;
                        if open & self.goal != 0 {
                            if own & self.goal != 0 {
                                return Possible { in_literal: true, ..found };
                            }
                            found.in_slots = true;
                        }
                    }
                }
                Piece::Slot(slot) => {
                    let (class, least, most) = match slot {
                        Slot::Entry { .. } | Slot::Listed { .. } => {
                            // What was begun may go on in an entry, and any start may stand at its end, or all that is looked
                            // for in it.
                            found.in_slots |= open & !1 != 0 || self.start_in_entry;
                            open = self.goal - 1;
                            continue;
                        }
                        Slot::Decimal { least, width } => {
                            (self.digits, digits_of(*least), digits_of(most_of(*least, *width)))
                        }
                        Slot::Padded { digits, .. } => (self.digits, u32::from(*digits), u32::from(*digits)),
                        Slot::Hex { digits } => (self.hex, *digits, *digits),
                        Slot::Uuid => (self.uuid, 36, 36),
                    };
                    let (goes_on, holds) = self.through(open, class, least, most);
                    found.in_slots |= holds;
                    open = goes_on;
                }
            }
        }
        found
    }

    /// Goes through a slot of bytes of a class: what may be open behind it, and whether the letters may end within.
    fn through(&self, open: u64, class: Class, least: u32, most: u32) -> (u64, bool) {
        let mut holds = class.starts >= self.goal.trailing_zeros() && most >= self.goal.trailing_zeros();
        let mut begun = open & !1;
        let mut behind = 1;
        for length in 1..=most {
            begun = (begun & class.places) << 1;
            holds |= begun & self.goal != 0;
            if length >= least {
                behind |= begun;
            }
            if begun == 0 {
                break;
            }
        }
        let fresh = class.starts.min(most).min(self.goal.trailing_zeros().saturating_sub(1));
        behind |= ((1u64 << fresh) - 1) << 1;
        (behind & (self.goal - 1) | 1, holds)
    }

    /// Whether case-folding may make one of the letters of something that is not ASCII.
    fn may_fold(&self, text: &str) -> bool {
        self.any_case && folds(text)
    }
}

/// How many digits a number has.
pub(super) fn digits_of(number: u64) -> u32 {
    number.checked_ilog10().unwrap_or(0) + 1
}

/// The greatest number of a slot.
pub(super) fn most_of(least: u64, width: u32) -> u64 {
    let most = if width >= 64 { u64::MAX } else { (1 << width) - 1 };
    least.saturating_add(most)
}
