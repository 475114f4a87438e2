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
    /// A numeric that declares no scale.
    Precise,
    /// A numeric of this precision and scale.
    Scaled(u32, u32),
    /// A numeric as a number.
    Approximate,
    /// Text under a schema name; empty: none.
    Text(&'static str),
    /// A bit(1).
    Bit,
    /// With the declared length, 0 where there is none.
    Bits(u32),
    /// With the form of the text, which is base64 for Connect's own bytes.
    Bytes(BinaryText, bool),
    /// Days.
    Date(&'static str),
    Time(Unit),
    ZonedTime,
    Timestamp(Unit),
    ZonedTimestamp,
    MicroDuration,
    Interval,
    Point,
    Array(Box<Kind>, u8),
}

/// Unit of times, and whose type it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Unit {
    /// Debezium's microseconds.
    Micros,
    /// Debezium's milliseconds, which hold what the column declares.
    Millis,
    /// Kafka Connect's milliseconds, which may cut off.
    Connect,
}

impl Kind {
    /// `modifier`: as the catalogue keeps it, -1 where there is none or the source does not tell.
    pub(super) fn of(type_name: &str, modifier: i32, options: &Options) -> Self {
        if let Some(element) = type_name.strip_suffix("[]") {
            // All types but one have commas between elements.
            let delimiter = if element == "box" { b';' } else { b',' };
            return Self::Array(Box::new(Self::of(element, modifier, options)), delimiter);
        }
        // Digits of the second that the column declares; both types have six without a declaration.
        let millis = (0..=3).contains(&modifier);
        let (time, timestamp) = match options.time {
            TimePrecision::Connect => (Unit::Connect, Unit::Connect),
            TimePrecision::Adaptive if millis => (Unit::Millis, Unit::Millis),
            TimePrecision::AdaptiveTimeMicroseconds if millis => (Unit::Micros, Unit::Millis),
            TimePrecision::Adaptive | TimePrecision::AdaptiveTimeMicroseconds => (Unit::Micros, Unit::Micros),
        };
        match type_name {
            "boolean" => Self::Boolean,
            "smallint" | "tinyint" => Self::Integer(16),
            "integer" => Self::Integer(32),
            "bigint" | "oid" => Self::Integer(64),
            "real" => Self::Float,
            "double precision" => Self::Double,
            "numeric" => match options.decimal {
                DecimalMode::Precise => scaled(modifier).map_or(Self::Precise, |(p, s)| Self::Scaled(p, s)),
                DecimalMode::Double => Self::Approximate,
                DecimalMode::String => Self::Text(""),
            },
            "bit" if modifier == 1 => Self::Bit,
            "bit" | "bit varying" => Self::Bits(u32::try_from(modifier).unwrap_or(0)),
            "bytea" | "blob" | "raw" => match options.binary {
                BinaryMode::Bytes => Self::Bytes(BinaryText::Base64, true),
                BinaryMode::Base64 => Self::Bytes(BinaryText::Base64, false),
                BinaryMode::Base64UrlSafe => Self::Bytes(BinaryText::Base64Url, false),
                BinaryMode::Hex => Self::Bytes(BinaryText::Lower, false),
            },
            "date" => Self::Date(if time == Unit::Connect {
                "org.apache.kafka.connect.data.Date"
            } else {
                "io.debezium.time.Date"
            }),
            "time without time zone" => Self::Time(time),
            "time with time zone" => Self::ZonedTime,
            "timestamp without time zone" | "smalldatetime" => Self::Timestamp(timestamp),
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
            Self::Boolean | Self::Bit => plain("boolean"),
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
            Self::Scaled(precision, scale) => {
                let parameters = format!("{{\"scale\":\"{scale}\",\"connect.decimal.precision\":\"{precision}\"}}");
                format!("{},\"parameters\":{parameters}", named("bytes", "org.apache.kafka.connect.data.Decimal"))
            }
            Self::Bits(length) => {
                // What stands for a column that declares no length.
                let length = if *length == 0 { i32::MAX as u32 } else { *length };
                format!("{},\"parameters\":{{\"length\":\"{length}\"}}", named("bytes", "io.debezium.data.Bits"))
            }
            Self::Bytes(_, true) => plain("bytes"),
            Self::Bytes(_, false) => plain("string"),
            Self::Date(name) => named("int32", name),
            Self::Time(Unit::Micros) => named("int64", "io.debezium.time.MicroTime"),
            Self::Time(Unit::Millis) => named("int32", "io.debezium.time.Time"),
            Self::Time(Unit::Connect) => named("int32", "org.apache.kafka.connect.data.Time"),
            Self::ZonedTime => named("string", "io.debezium.time.ZonedTime"),
            Self::Timestamp(Unit::Micros) => named("int64", "io.debezium.time.MicroTimestamp"),
            Self::Timestamp(Unit::Millis) => named("int64", "io.debezium.time.Timestamp"),
            Self::Timestamp(Unit::Connect) => named("int64", "org.apache.kafka.connect.data.Timestamp"),
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
            Self::Scaled(_, scale) => decimal::scaled(text, *scale as usize, json),
            Self::Bit => value::bit(text, json),
            Self::Bits(_) => value::bits(text, json),
            // Inside arrays the text is the database's own, with a prefix.
            Self::Bytes(form, _) => form.append_json(text.strip_prefix(b"\\x").unwrap_or(text), json.buffer()),
            Self::Date(_) => super::time::date(text, json),
            Self::Time(unit) => super::time::time(text, *unit != Unit::Micros, json),
            Self::ZonedTime => super::time::zoned_time(text, json),
            Self::Timestamp(unit) => super::time::timestamp(text, *unit != Unit::Micros, json),
            Self::ZonedTimestamp => super::time::zoned_timestamp(text, json),
            Self::MicroDuration => interval::micros(text, json),
            Self::Interval => interval::iso(text, json),
            Self::Point => value::point(text, json),
            Self::Array(element, delimiter) => array::write(element, *delimiter, text, json),
        }
    }
}

/// Precision and scale of a numeric: `((precision << 16) | scale) + 4`, the scale a signed number of eleven bits. A negative scale
/// and one beyond the precision have no such schema.
fn scaled(modifier: i32) -> Option<(u32, u32)> {
    let packed = u32::try_from(modifier.checked_sub(4)?).ok()?;
    let (precision, scale) = (packed >> 16, packed & 0xffff);
    (scale <= precision).then_some((precision, scale))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::BinaryMode;

    fn options(time: TimePrecision) -> Options {
        Options {
            decimal: DecimalMode::Precise,
            time,
            interval: IntervalMode::Numeric,
            binary: BinaryMode::Bytes,
            placeholder: None,
        }
    }

    #[test]
    fn what_a_column_declares_decides() {
        use TimePrecision::{Adaptive, AdaptiveTimeMicroseconds, Connect};
        let of = |name: &str, modifier: i32, time| Kind::of(name, modifier, &options(time));
        // numeric(10,2), numeric, numeric(5,-2) and numeric(2,4) of PostgreSQL 15
        for (modifier, kind) in [
            (((10 << 16) | 2) + 4, Kind::Scaled(10, 2)),
            (-1, Kind::Precise),
            (((5 << 16) | (-2 & 0x7ff)) + 4, Kind::Precise),
            (((2 << 16) | 4) + 4, Kind::Precise),
        ] {
            assert_eq!(of("numeric", modifier, Adaptive), kind, "{modifier}");
        }
        for (modifier, time, kind) in [
            (-1, Adaptive, Kind::Timestamp(Unit::Micros)),
            (3, Adaptive, Kind::Timestamp(Unit::Millis)),
            (6, Adaptive, Kind::Timestamp(Unit::Micros)),
            (0, AdaptiveTimeMicroseconds, Kind::Timestamp(Unit::Millis)),
            (0, Connect, Kind::Timestamp(Unit::Connect)),
        ] {
            assert_eq!(of("timestamp without time zone", modifier, time), kind, "{modifier}");
        }
        assert_eq!(of("time without time zone", 3, Adaptive), Kind::Time(Unit::Millis));
        assert_eq!(of("time without time zone", 3, AdaptiveTimeMicroseconds), Kind::Time(Unit::Micros));
        assert_eq!(of("bit", 1, Adaptive), Kind::Bit);
        assert_eq!(of("bit", 8, Adaptive), Kind::Bits(8));
        assert_eq!(of("bit", -1, Adaptive), Kind::Bits(0));
        assert_eq!(of("bit varying", 1, Adaptive), Kind::Bits(1));
        assert_eq!(
            of("timestamp without time zone[]", 2, Adaptive),
            Kind::Array(Box::new(Kind::Timestamp(Unit::Millis)), b',')
        );
    }
}
