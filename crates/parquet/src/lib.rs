//! Records as a Parquet file, for engines that read columns.
//!
//! Owns: which columns there are, of which types, and what goes where that fits none of them. Does not own: which records.
//! Source: the [format](https://parquet.apache.org/docs/file-format/) and its
//! [logical types](https://github.com/apache/parquet-format/blob/master/LogicalTypes.md).
//! Invariant: every field of every record is in the file, in its column or in [`OTHER`]; what is in memory is bounded by one
//! row group, however long the file becomes.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use sawyer_codec::json_out;
use sawyer_model::{RecordRef, ValueRef};

mod column;
mod plan;

#[cfg(test)]
mod tests;

pub use plan::Plan;

use column::Column;

/// The column of a record's name.
const ID: &str = json_out::ID;
/// The column of the time at which a record happened.
const TIMESTAMP: &str = "timestamp";
/// The column of the time at which it was first seen.
const OBSERVED: &str = "observed";
/// The column of fields that have none of their own, or a value that does not fit into it: a JSON object.
pub const OTHER: &str = "_other";

/// Rows of a group at most.
const GROUP_ROWS_MAX: usize = 128 << 10;

/// Bytes of the values of a group, behind which it is written.
const GROUP_BYTES: usize = 32 << 20;

/// Writes records, each a row.
pub struct Writer<W: Write + Send> {
    file: SerializedFileWriter<W>,
    plan: Plan,
    ids: Column,
    timestamps: Column,
    observed: Column,
    columns: Vec<Column>,
    other: Column,
    /// What of a record fits into no column.
    rest: Vec<u8>,
    text: Vec<u8>,
    rows: usize,
    /// About how many bytes of memory the values of the group take.
    bytes: usize,
}

impl<W: Write + Send> Writer<W> {
    /// Begins a file with the columns of a plan.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn new(sink: W, plan: Plan) -> io::Result<Self> {
        let times = [TIMESTAMP, OBSERVED].map(|name| ColumnPath::from(name.to_owned()));
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("sawyer ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).map_err(io_error)?))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_column_dictionary_enabled(ColumnPath::from(ID.to_owned()), false);
        for time in times {
            properties = properties
                .set_column_dictionary_enabled(time.clone(), false)
                .set_column_encoding(time, Encoding::DELTA_BINARY_PACKED);
        }
        let file =
            SerializedFileWriter::new(sink, plan.schema().map_err(io_error)?, Arc::new(properties.build()))
                .map_err(io_error)?;
        let columns = plan.kinds().map(Column::new).collect();
        Ok(Self {
            file,
            plan,
            ids: Column::new(plan::Kind::Text),
            timestamps: Column::new(plan::Kind::Timestamp),
            observed: Column::new(plan::Kind::Timestamp),
            columns,
            other: Column::new(plan::Kind::Text),
            rest: Vec::new(),
            text: Vec::new(),
            rows: 0,
            bytes: 0,
        })
    }

    /// Adds a record. It may be in memory until [`Writer::finish`].
    ///
    /// # Errors
    /// Those of the sink.
    pub fn add(&mut self, record: RecordRef<'_>) -> io::Result<()> {
        let row = self.rows as u32;
        self.text.clear();
        json_out::write_id(record.id(), &mut self.text);
        self.bytes += self.ids.push_text(row, &self.text);
        self.bytes += self.timestamps.push_time(row, record.timestamp());
        self.bytes += self.observed.push_time(row, record.observed());
        for (name, value) in record.fields() {
            self.field(row, name, value);
        }
        if !self.rest.is_empty() {
            self.rest.push(b'}');
            self.bytes += self.other.push_text(row, &self.rest);
            self.rest.clear();
        }
        self.rows += 1;
        if self.rows >= GROUP_ROWS_MAX || self.bytes >= GROUP_BYTES {
            self.write_group()?;
        }
        Ok(())
    }

    /// Writes what is left, and what is said about the file as a whole; gives the sink back.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn finish(mut self, key: &str, about: String) -> io::Result<W> {
        if self.rows > 0 {
            self.write_group()?;
        }
        self.file.append_key_value_metadata(KeyValue::new(key.to_owned(), about));
        self.file.into_inner().map_err(io_error)
    }

    fn field(&mut self, row: u32, name: &str, value: ValueRef<'_>) {
        if value == ValueRef::Null || self.plan.leaves_out(name) {
            return;
        }
        let column = self.plan.find(name).map(|at| &mut self.columns[at]);
        if let Some(bytes) = column.and_then(|column| column.push(row, value, &mut self.text)) {
            self.bytes += bytes;
            return;
        }
        self.rest.push(if self.rest.is_empty() { b'{' } else { b',' });
        json_out::write_string(name, &mut self.rest);
        self.rest.push(b':');
        json_out::write_value(value, &mut self.rest);
    }

    fn write_group(&mut self) -> io::Result<()> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let mut group = self.file.next_row_group().map_err(io_error)?;
        let first = [&mut self.ids, &mut self.timestamps, &mut self.observed];
        for column in first.into_iter().chain(&mut self.columns).chain([&mut self.other]) {
            let mut writer = group.next_column().map_err(io_error)?.expect("as many as the schema has");
            column.write(rows, &mut writer).map_err(io_error)?;
            writer.close().map_err(io_error)?;
        }
        group.close().map_err(io_error)?;
        Ok(())
    }
}

/// The sink's own error where that is what it was.
fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}
