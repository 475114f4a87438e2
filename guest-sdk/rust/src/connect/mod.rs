//! Values as Kafka Connect's JSON converter writes them, by the type mapping that Debezium documents for PostgreSQL.
//!
//! Owns the mapping from a column's type to its JSON value and to its Connect schema. Knows no envelope. Types are told apart by
//! name and modifier. What the stream does not tell is not guessed: where a source does not send lengths and scales, numerics carry
//! their own scale and bits are bytes of any length.

mod array;
mod decimal;
mod interval;
mod kind;
mod time;
mod value;

use kind::Kind;

use crate::{Cell, Escape, Image, JsonWriter, Members, Relation};

/// Form of numeric columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum DecimalMode {
    /// Unscaled bytes, exact; without declared scale a struct of those and the scale. NaN is refused.
    #[default]
    Precise,
    /// A JSON number with the digits as they came; NaN and the infinities as text.
    Double,
    /// The text as it came.
    String,
}

/// Form of dates, times and timestamps without zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum TimePrecision {
    /// Microseconds; milliseconds of columns that declare at most three digits.
    #[default]
    Adaptive,
    /// The same, but times of day always in microseconds.
    AdaptiveTimeMicroseconds,
    /// Kafka Connect's own types: milliseconds, what is finer is cut off.
    Connect,
}

/// Form of intervals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum IntervalMode {
    /// Microseconds, a month taken as 30.4375 days.
    #[default]
    Numeric,
    /// `P1Y2M3DT4H5M6.78S`
    String,
}

/// Form of bytea, blob and raw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "config", derive(serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum BinaryMode {
    /// Bytes, which the JSON converter writes as base64.
    #[default]
    Bytes,
    /// A string of base64.
    Base64,
    /// A string of base64 for URLs.
    Base64UrlSafe,
    /// A string of lower-case hexadecimal digits.
    Hex,
}

/// What the mapping leaves open.
#[derive(Clone, Debug)]
pub struct Options {
    /// Numerics.
    pub decimal: DecimalMode,
    /// Dates and times.
    pub time: TimePrecision,
    /// Intervals.
    pub interval: IntervalMode,
    /// Binary columns.
    pub binary: BinaryMode,
    /// Stands for text and bytes that the source did not send; `None` leaves their members out.
    pub placeholder: Option<String>,
}

/// Columns of a table as members of an object. Reads images that have every column.
#[derive(Clone, Debug)]
pub struct Columns {
    members: Members,
    columns: Vec<Prepared>,
}

#[derive(Clone, Debug)]
struct Prepared {
    /// Place of the cell in an image.
    position: usize,
    kind: Kind,
    /// The JSON that stands for a value that was not sent.
    placeholder: Option<Box<[u8]>>,
}

impl Columns {
    /// Prepares some columns of a table, named by index, in this order.
    #[must_use]
    pub fn new(table: &Relation, indexes: &[u16], options: &Options) -> Self {
        let column = |&index: &u16| &table.columns[usize::from(index)];
        let prepared = |index: &u16| {
            let kind = Kind::of(&column(index).type_name, column(index).type_modifier, options);
            let placeholder = options.placeholder.as_deref().and_then(|text| kind.placeholder(text));
            Prepared { position: usize::from(*index), kind, placeholder }
        };
        Self {
            members: Members::new(indexes.iter().map(|i| column(i).name.as_str()), Escape::Plain),
            columns: indexes.iter().map(prepared).collect(),
        }
    }

    /// Writes the new image's cells as `,"name":value` each; [`JsonWriter::close`] makes an object of them. A cell that was not
    /// sent is taken from the old image, then from the placeholder where its type has one, and is left out else.
    ///
    /// # Errors
    /// A cell that is not of its type, with its column; what was written stays in the buffer.
    pub fn members(&self, image: &Image<'_>, old: Option<&Image<'_>>, json: &mut JsonWriter<'_>) -> Result<(), String> {
        for (i, Prepared { position, placeholder, .. }) in self.columns.iter().enumerate() {
            match (sent(image, *position).or_else(|| old.and_then(|old| sent(old, *position))), placeholder) {
                (Some(cell), _) => self.member(i, cell, json)?,
                (None, Some(placeholder)) => {
                    self.name(i, json);
                    json.raw(placeholder);
                }
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// Writes the cells of one image that were sent, and no others: what an old image does not have is not part of it.
    ///
    /// # Errors
    /// As [`members`](Self::members).
    pub fn sent_members(&self, image: &Image<'_>, json: &mut JsonWriter<'_>) -> Result<(), String> {
        for (i, Prepared { position, .. }) in self.columns.iter().enumerate() {
            if let Some(cell) = sent(image, *position) {
                self.member(i, cell, json)?;
            }
        }
        Ok(())
    }

    /// Writes the cells of an image, all of which must have been sent, as an object: a key.
    ///
    /// # Errors
    /// As [`members`](Self::members), or a cell that was not sent.
    pub fn key(&self, image: &Image<'_>, json: &mut JsonWriter<'_>) -> Result<(), String> {
        let opening = json.buffer().len();
        for (i, Prepared { position, .. }) in self.columns.iter().enumerate() {
            let cell = sent(image, *position)
                .ok_or_else(|| self.of_column(i, "the source did not send it, and it is in the key"))?;
            self.member(i, cell, json)?;
        }
        json.close(opening);
        Ok(())
    }

    fn member(&self, i: usize, cell: Cell<'_>, json: &mut JsonWriter<'_>) -> Result<(), String> {
        self.name(i, json);
        match cell.text() {
            Some(text) => self.columns[i].kind.write(text, json).map_err(|why| self.of_column(i, &why)),
            None => {
                json.raw(b"null");
                Ok(())
            }
        }
    }

    fn name(&self, i: usize, json: &mut JsonWriter<'_>) {
        json.raw(b",");
        json.raw(self.members.name(i));
        json.raw(b":");
    }

    #[cold]
    fn of_column(&self, i: usize, error: &str) -> String {
        format!("column {}: {error}", String::from_utf8_lossy(self.members.name(i)))
    }

    /// The Connect schemas of the columns as the JSON converter writes them, for the `fields` of a struct: without brackets,
    /// commas between. Columns of the primary key are not optional; of others the stream does not tell.
    #[must_use]
    pub fn schema_fields(&self, table: &Relation) -> String {
        let field = |(i, Prepared { position, kind, .. }): (usize, &Prepared)| {
            let optional = table.columns[*position].key_position == 0;
            format!("{{{},\"field\":{}}}", kind.schema(optional), String::from_utf8_lossy(self.members.name(i)))
        };
        self.columns.iter().enumerate().map(field).collect::<Vec<_>>().join(",")
    }
}

/// A cell, unless the source did not send it.
fn sent<'a>(image: &Image<'a>, position: usize) -> Option<Cell<'a>> {
    image.get(position).filter(|cell| *cell != Cell::Unchanged)
}
