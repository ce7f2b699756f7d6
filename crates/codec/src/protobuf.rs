//! Reads protobuf messages field by field, without generated code.
//!
//! Source: the encoding at protobuf.dev/programming-guides/encoding.
//! Owns: tags, wire types and lengths. Does not own: which field means what (`otlp`, `loki_push`).
//! Invariant: takes no memory; any bytes give fields or an error, never a panic.

/// Bytes that are no protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// The message ends within a field.
    #[error("the message ends within a field, at byte {0}")]
    Short(usize),
    /// A number of more than 64 bits.
    #[error("a number has too many bytes, at byte {0}")]
    Number(usize),
    /// A tag with the field number 0, or a wire type that is not in use.
    #[error("no field begins at byte {0}")]
    Tag(usize),
    /// A text that is not UTF-8.
    #[error("a name is not UTF-8")]
    Utf8,
    /// Messages within messages, too deep.
    #[error("values are nested too deeply")]
    Deep,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wire<'a> {
    /// A number, a boolean, an enumeration.
    Number(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Four bytes.
    Fixed32(u32),
    /// A text, bytes or a message.
    Bytes(&'a [u8]),
}

impl<'a> Wire<'a> {
    /// The bytes of a text or message; nothing if it is a number, as if the field were unknown.
    #[must_use]
    pub fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The number, however wide it was written.
    #[must_use]
    pub fn number(self) -> Option<u64> {
        match self {
            Self::Number(number) | Self::Fixed64(number) => Some(number),
            Self::Fixed32(number) => Some(number.into()),
            Self::Bytes(_) => None,
        }
    }
}

/// The fields of a message, in order: their numbers and what they hold. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// The fields of a message.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn field(&mut self) -> Result<(u32, Wire<'a>), ProtobufError> {
        let start = self.at;
        let tag = self.number()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0);
        let number = number.ok_or(ProtobufError::Tag(start))?;
        let wire = match tag & 7 {
            0 => Wire::Number(self.number()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().expect("eight bytes"))),
            2 => {
                let length = self.number()?;
                let length = usize::try_from(length).map_err(|_| ProtobufError::Short(self.at))?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().expect("four bytes"))),
            _ => return Err(ProtobufError::Tag(start)),
        };
        Ok((number, wire))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ProtobufError> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..length).ok_or(ProtobufError::Short(self.at))?;
        self.at += length;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, ProtobufError> {
        let start = self.at;
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or(ProtobufError::Short(start))?;
            self.at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(ProtobufError::Number(start))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Wire<'a>), ProtobufError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.at = self.bytes.len();
        }
        Some(field)
    }
}

/// Appends a field with a number.
pub fn write_number(field: u32, number: u64, out: &mut Vec<u8>) {
    varint(u64::from(field) << 3, out);
    varint(number, out);
}

/// Appends a field with a text, bytes or a message.
pub fn write_bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(field) << 3 | 2, out);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends a field with eight bytes.
pub fn write_fixed64(field: u32, number: u64, out: &mut Vec<u8>) {
    varint(u64::from(field) << 3 | 1, out);
    out.extend_from_slice(&number.to_le_bytes());
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<(u32, Wire<'_>)>, ProtobufError> {
        Fields::new(bytes).collect()
    }

    #[test]
    fn fields_come_in_order() {
        let mut bytes = Vec::new();
        write_number(1, 300, &mut bytes);
        write_bytes(2, b"text", &mut bytes);
        write_fixed64(11, 7, &mut bytes);
        bytes.extend([0x45, 1, 0, 0, 0]);
        let wanted = [
            (1, Wire::Number(300)),
            (2, Wire::Bytes(b"text")),
            (11, Wire::Fixed64(7)),
            (8, Wire::Fixed32(1)),
        ];
        assert_eq!(fields(&bytes).unwrap(), wanted);
    }

    #[test]
    fn wrong_bytes_are_told_with_their_place() {
        assert_eq!(fields(&[0x08]), Err(ProtobufError::Short(1)));
        assert_eq!(fields(&[0x0a, 5, b'x']), Err(ProtobufError::Short(2)));
        assert_eq!(fields(&[0x0b]), Err(ProtobufError::Tag(0)));
        assert_eq!(fields(&[0x00, 1]), Err(ProtobufError::Tag(0)));
        let long = [[0x08].as_slice(), &[0xff; 11]].concat();
        assert_eq!(fields(&long), Err(ProtobufError::Number(1)));
        assert_eq!(
            fields(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
            Err(ProtobufError::Short(11))
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(Fields::new(&bytes).count() <= bytes.len());
        }
    }
}
