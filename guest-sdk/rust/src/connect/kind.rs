//! From a column's type to the kind of its values and to its Connect schema.

use super::{BinaryMode, DecimalMode, IntervalMode, Options, TimePrecision};
use crate::{BinaryText, Escape, JsonWriter};

/// How the values of a column are written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Boolean,
    /// Bits of a signed integer.
    Integer(u8),
    Float,
    Double,
    Precise,
    /// A numeric as a number.
    Approximate,
    /// Text under a schema name; empty: none.
    Text(&'static str),
    Bits,
    /// With the form of the text, which is base64 for Connect's own bytes.
    Bytes(BinaryText, bool),
    /// Days.
    Date(&'static str),
    /// Microseconds, or milliseconds.
    Time {
        millis: bool,
    },
    ZonedTime,
    Timestamp {
        millis: bool,
    },
    ZonedTimestamp,
    MicroDuration,
    Interval,
    Point,
    Array(Box<Kind>, u8),
}

impl Kind {
    pub(super) fn of(type_name: &str, options: &Options) -> Self {
        if let Some(element) = type_name.strip_suffix("[]") {
            // All types but one have commas between elements.
            let delimiter = if element == "box" { b';' } else { b',' };
            return Self::Array(Box::new(Self::of(element, options)), delimiter);
        }
        let millis = options.time == TimePrecision::Connect;
        match type_name {
            "boolean" => Self::Boolean,
            "smallint" | "tinyint" => Self::Integer(16),
            "integer" => Self::Integer(32),
            "bigint" | "oid" => Self::Integer(64),
            "real" => Self::Float,
            "double precision" => Self::Double,
            "numeric" => match options.decimal {
                DecimalMode::Precise => Self::Precise,
                DecimalMode::Double => Self::Approximate,
                DecimalMode::String => Self::Text(""),
            },
            "bit" | "bit varying" => Self::Bits,
            "bytea" | "blob" | "raw" => match options.binary {
                BinaryMode::Bytes => Self::Bytes(BinaryText::Base64, true),
                BinaryMode::Base64 => Self::Bytes(BinaryText::Base64, false),
                BinaryMode::Base64UrlSafe => Self::Bytes(BinaryText::Base64Url, false),
                BinaryMode::Hex => Self::Bytes(BinaryText::Lower, false),
            },
            "date" => Self::Date(if millis { "org.apache.kafka.connect.data.Date" } else { "io.debezium.time.Date" }),
            "time without time zone" => Self::Time { millis },
            "time with time zone" => Self::ZonedTime,
            "timestamp without time zone" | "smalldatetime" => Self::Timestamp { millis },
            "timestamp with time zone" => Self::ZonedTimestamp,
            "interval" => match options.interval {
                IntervalMode::Numeric => Self::MicroDuration,
                IntervalMode::String => Self::Interval,
            },
            "point" => Self::Point,
            "json" | "jsonb" => Self::Text("io.debezium.data.Json"),
            "xml" => Self::Text("io.debezium.data.Xml"),
            "uuid" => Self::Text("io.debezium.data.Uuid"),
            _ => Self::Text(""),
        }
    }

    /// The JSON that stands for a value that was not sent; only text and bytes have one, since any number would be a lie.
    pub(super) fn placeholder(&self, text: &str) -> Option<Box<[u8]>> {
        let mut out = Vec::new();
        match self {
            Self::Text(_) => out.extend_from_slice(crate::quoted(text, Escape::Plain).as_bytes()),
            Self::Bytes(form, _) => {
                let digits: String = text.bytes().map(|b| format!("{b:02x}")).collect();
                form.append_json(digits.as_bytes(), &mut out).ok()?;
            }
            Self::Array(element, _) => {
                out.push(b'[');
                out.extend_from_slice(&element.placeholder(text)?);
                out.push(b']');
            }
            _ => return None,
        }
        Some(out.into())
    }

    /// The schema's members, without braces: the caller adds the field's name.
    pub(super) fn schema(&self, optional: bool) -> String {
        let plain = |of: &str| format!("\"type\":\"{of}\",\"optional\":{optional}");
        let named = |of: &str, name: &str| format!("{},\"name\":\"{name}\",\"version\":1", plain(of));
        match self {
            Self::Boolean => plain("boolean"),
            Self::Integer(bits) => plain(&format!("int{bits}")),
            Self::Float => plain("float"),
            Self::Double | Self::Approximate => plain("double"),
            Self::Precise => {
                let fields = "\"fields\":[{\"type\":\"int32\",\"optional\":false,\"field\":\"scale\"},\
                              {\"type\":\"bytes\",\"optional\":false,\"field\":\"value\"}]";
                format!(
                    "\"type\":\"struct\",{fields},\"optional\":{optional},\"name\":\"io.debezium.data.VariableScaleDecimal\",\
                     \"version\":1"
                )
            }
            Self::Text("") => plain("string"),
            Self::Text(name) => named("string", name),
            // The length of a column that declares none.
            Self::Bits => {
                format!("{},\"parameters\":{{\"length\":\"2147483647\"}}", named("bytes", "io.debezium.data.Bits"))
            }
            Self::Bytes(_, true) => plain("bytes"),
            Self::Bytes(_, false) => plain("string"),
            Self::Date(name) => named("int32", name),
            Self::Time { millis: false } => named("int64", "io.debezium.time.MicroTime"),
            Self::Time { millis: true } => named("int32", "org.apache.kafka.connect.data.Time"),
            Self::ZonedTime => named("string", "io.debezium.time.ZonedTime"),
            Self::Timestamp { millis: false } => named("int64", "io.debezium.time.MicroTimestamp"),
            Self::Timestamp { millis: true } => named("int64", "org.apache.kafka.connect.data.Timestamp"),
            Self::ZonedTimestamp => named("string", "io.debezium.time.ZonedTimestamp"),
            Self::MicroDuration => named("int64", "io.debezium.time.MicroDuration"),
            Self::Interval => named("string", "io.debezium.time.Interval"),
            Self::Point => {
                let field = |of: &str, optional: bool, name: &str| {
                    format!("{{\"type\":\"{of}\",\"optional\":{optional},\"field\":\"{name}\"}}")
                };
                let fields = [
                    field("double", false, "x"),
                    field("double", false, "y"),
                    field("bytes", true, "wkb"),
                    field("int32", true, "srid"),
                ];
                format!(
                    "\"type\":\"struct\",\"fields\":[{}],\"optional\":{optional},\
                     \"name\":\"io.debezium.data.geometry.Point\",\"version\":1",
                    fields.join(",")
                )
            }
            Self::Array(element, _) => {
                format!("\"type\":\"array\",\"items\":{{{}}},\"optional\":{optional}", element.schema(true))
            }
        }
    }

    /// Writes one value.
    ///
    /// # Errors
    /// The text is not of this kind.
    pub(super) fn write(&self, text: &[u8], json: &mut JsonWriter<'_>) -> Result<(), String> {
        use super::{array, decimal, interval, value};
        match self {
            Self::Text(_) => json.string(text).map_err(String::from),
            Self::Boolean => value::boolean(text, json),
            Self::Integer(_) => value::integer(text, json),
            Self::Float | Self::Double | Self::Approximate => value::number(text, json),
            Self::Precise => decimal::precise(text, json),
            Self::Bits => value::bits(text, json),
            // Inside arrays the text is the database's own, with a prefix.
            Self::Bytes(form, _) => form.append_json(text.strip_prefix(b"\\x").unwrap_or(text), json.buffer()),
            Self::Date(_) => super::time::date(text, json),
            Self::Time { millis } => super::time::time(text, *millis, json),
            Self::ZonedTime => super::time::zoned_time(text, json),
            Self::Timestamp { millis } => super::time::timestamp(text, *millis, json),
            Self::ZonedTimestamp => super::time::zoned_timestamp(text, json),
            Self::MicroDuration => interval::micros(text, json),
            Self::Interval => interval::iso(text, json),
            Self::Point => value::point(text, json),
            Self::Array(element, delimiter) => array::write(element, *delimiter, text, json),
        }
    }
}
