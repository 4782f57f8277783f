//! Apache Parquet: a row an event, a column a field, groups of rows that are small enough to hold.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::Source;
use super::event::{Event, Field, Value};

/// A group of rows is written at this many.
const ROWS: usize = 1 << 16;

/// Or at this many bytes of text.
const BYTES: usize = 16 << 20;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Number,
    /// Microseconds since 1970, UTC.
    Instant,
    Numbers,
}

fn type_of(field: Field) -> Type {
    match field {
        Field::Time | Field::First | Field::Last => Type::Instant,
        Field::Groups => Type::Numbers,
        Field::TargetLength
        | Field::Status
        | Field::In
        | Field::Out
        | Field::Us
        | Field::Uid
        | Field::Gid
        | Field::Pid
        | Field::Login
        | Field::Ruid
        | Field::Count
        | Field::Offset => Type::Number,
        _ => Type::Text,
    }
}

/// The columns, as Parquet's own language of types has them. The machine comes first.
fn schema() -> String {
    let mut schema = "message access {\n  required binary host (STRING);\n".to_owned();
    for field in Field::ALL {
        let name = field.name();
        // Writing into memory does not fail.
        let _ = match type_of(*field) {
            Type::Text => writeln!(schema, "  optional binary {name} (STRING);"),
            Type::Number => writeln!(schema, "  optional int64 {name};"),
            Type::Instant => writeln!(schema, "  optional int64 {name} (TIMESTAMP(MICROS,true));"),
            Type::Numbers => writeln!(
                schema,
                "  optional group {name} (LIST) {{ repeated group list {{ required int64 element; }} }}"
            ),
        };
    }
    schema + "}\n"
}

/// The values of one column in the group at hand.
#[derive(Debug, Default)]
struct Column {
    texts: Vec<ByteArray>,
    numbers: Vec<i64>,
    /// How much of each value's path is there: 0 for none, 1 for a value or an empty list, 2 for a list's item.
    there: Vec<i16>,
    /// 1 where an item follows another of its list.
    again: Vec<i16>,
}

/// A file that is being written.
pub(super) struct Table<W: Write + Send> {
    file: SerializedFileWriter<W>,
    hosts: Column,
    columns: Vec<Column>,
    rows: usize,
    bytes: usize,
}

impl<W: Write + Send> Table<W> {
    /// Begins it.
    pub(super) fn new(to: W) -> io::Result<Table<W>> {
        let schema = parse_message_type(&schema()).map_err(failed)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(format!("peergate version {}", env!("CARGO_PKG_VERSION")))
            .build();
        let file = SerializedFileWriter::new(to, Arc::new(schema), Arc::new(properties)).map_err(failed)?;
        let columns = Field::ALL.iter().map(|_| Column::default()).collect();
        Ok(Table { file, hosts: Column::default(), columns, rows: 0, bytes: 0 })
    }

    /// Adds a row.
    pub(super) fn add(&mut self, event: &Event<'_>, source: &Source) -> io::Result<()> {
        self.hosts.texts.push(source.host.as_str().into());
        for (field, column) in Field::ALL.iter().zip(&mut self.columns) {
            self.bytes += column.add(event.field(*field));
        }
        self.rows += 1;
        if self.rows >= ROWS || self.bytes >= BYTES { self.write_group() } else { Ok(()) }
    }

    /// Ends the file.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.write_group()?;
        self.file.close().map_err(failed)?;
        Ok(())
    }

    fn write_group(&mut self) -> io::Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.file.next_row_group().map_err(failed)?;
        let mut to = group.next_column().map_err(failed)?.ok_or_else(missing)?;
        to.typed::<ByteArrayType>().write_batch(&self.hosts.texts, None, None).map_err(failed)?;
        to.close().map_err(failed)?;
        for (field, column) in Field::ALL.iter().zip(&self.columns) {
            let mut to = group.next_column().map_err(failed)?.ok_or_else(missing)?;
            let (there, again) = (Some(&*column.there), Some(&*column.again));
            match type_of(*field) {
                Type::Text => to.typed::<ByteArrayType>().write_batch(&column.texts, there, None),
                Type::Number | Type::Instant => {
                    to.typed::<Int64Type>().write_batch(&column.numbers, there, None)
                }
                Type::Numbers => to.typed::<Int64Type>().write_batch(&column.numbers, there, again),
            }
            .map_err(failed)?;
            to.close().map_err(failed)?;
        }
        group.close().map_err(failed)?;
        self.hosts = Column::default();
        self.columns.iter_mut().for_each(|column| *column = Column::default());
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

impl Column {
    /// Adds a value, or that there is none; how many bytes of text it has.
    fn add(&mut self, value: Option<&Value<'_>>) -> usize {
        let Some(value) = value else {
            self.there.push(0);
            self.again.push(0);
            return 0;
        };
        match value {
            Value::Word(_) => {
                let text = value.meant();
                self.texts.push(text.as_bytes().to_vec().into());
                self.there.push(1);
                return text.len();
            }
            Value::Number(number) => {
                self.numbers.push(*number);
                self.there.push(1);
            }
            Value::Instant(at) => {
                self.numbers.push(i64::try_from(at.micros()).unwrap_or(i64::MAX));
                self.there.push(1);
            }
            Value::Numbers(list) if list.is_empty() => {
                self.there.push(1);
                self.again.push(0);
            }
            Value::Numbers(list) => {
                for (i, number) in list.iter().enumerate() {
                    self.numbers.push((*number).into());
                    self.there.push(2);
                    self.again.push(i16::from(i > 0));
                }
            }
        }
        0
    }
}

/// What the file's writer is told of, so that a full disk or a reader who left is known as that.
fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other.to_string()),
        },
        other => io::Error::other(other),
    }
}

fn missing() -> io::Error {
    io::Error::other("a column is missing")
}
