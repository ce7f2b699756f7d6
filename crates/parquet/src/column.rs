//! The values of a column, until their group of rows is written.

use bytes::Bytes;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedColumnWriter;
use sawyer_codec::json_out;
use sawyer_model::{Timestamp, ValueRef};

use crate::plan::Kind;

/// Bytes of a value beside its text: a number or an end, and its row.
const VALUE_BYTES: usize = 12;

/// Values are kept with the rows that have one, so that a column that few records have takes little.
#[derive(Debug)]
pub(crate) struct Column {
    rows: Vec<u32>,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Bools(Vec<bool>),
    Ints(Vec<i64>),
    Times(Vec<i64>),
    Floats(Vec<f64>),
    /// All texts one behind the other, and where each ends.
    Texts(Vec<u8>, Vec<u32>),
}

impl Column {
    pub(crate) fn new(kind: Kind) -> Self {
        let values = match kind {
            Kind::Bool => Values::Bools(Vec::new()),
            Kind::Int => Values::Ints(Vec::new()),
            Kind::Timestamp => Values::Times(Vec::new()),
            Kind::Float => Values::Floats(Vec::new()),
            Kind::Text => Values::Texts(Vec::new(), Vec::new()),
        };
        Self { rows: Vec::new(), values }
    }

    /// Adds the value of a row, if it is one that this column can hold as it is; says about how many bytes of memory it takes.
    pub(crate) fn push(&mut self, row: u32, value: ValueRef<'_>, text: &mut Vec<u8>) -> Option<usize> {
        match (&mut self.values, value) {
            (Values::Bools(values), ValueRef::Bool(value)) => values.push(value),
            (Values::Ints(values), ValueRef::Int(value)) => values.push(value),
            (Values::Times(values), ValueRef::Timestamp(value)) => values.push(value.nanos()),
            (Values::Floats(values), ValueRef::Float(value)) => values.push(value),
            (Values::Floats(values), ValueRef::Int(value)) if is_exact(value) => values.push(value as f64),
            (Values::Texts(..), ValueRef::Str(value)) => return Some(self.push_text(row, value.as_bytes())),
            (Values::Texts(..), value) => {
                text.clear();
                json_out::write_value(value, text);
                return Some(self.push_text(row, text));
            }
            _ => return None,
        }
        self.rows.push(row);
        Some(VALUE_BYTES)
    }

    pub(crate) fn push_time(&mut self, row: u32, time: Timestamp) -> usize {
        if let Values::Times(values) = &mut self.values {
            values.push(time.nanos());
            self.rows.push(row);
        }
        VALUE_BYTES
    }

    pub(crate) fn push_text(&mut self, row: u32, text: &[u8]) -> usize {
        if let Values::Texts(texts, ends) = &mut self.values {
            texts.extend_from_slice(text);
            ends.push(texts.len() as u32);
            self.rows.push(row);
        }
        VALUE_BYTES + text.len()
    }

    /// Writes what there is for so many rows, and begins again.
    pub(crate) fn write(
        &mut self,
        rows: usize,
        writer: &mut SerializedColumnWriter<'_>,
    ) -> Result<(), ParquetError> {
        let mut levels = vec![0_i16; rows];
        for row in self.rows.drain(..) {
            levels[row as usize] = 1;
        }
        let levels = Some(levels.as_slice());
        match &mut self.values {
            Values::Bools(values) => {
                writer.typed::<BoolType>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Ints(values) | Values::Times(values) => {
                writer.typed::<Int64Type>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Floats(values) => {
                writer.typed::<DoubleType>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Texts(texts, ends) => {
                let texts = Bytes::from(std::mem::take(texts));
                let starts = std::iter::once(0).chain(ends.iter().copied());
                let values: Vec<ByteArray> = starts
                    .zip(ends.iter())
                    .map(|(start, end)| texts.slice(start as usize..*end as usize).into())
                    .collect();
                writer.typed::<ByteArrayType>().write_batch(&values, levels, None)?;
                ends.clear();
            }
        }
        Ok(())
    }
}

/// Whether a number can be a float without becoming another one.
fn is_exact(number: i64) -> bool {
    number.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS
}
