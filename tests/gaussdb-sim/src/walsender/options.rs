//! Options of START_REPLICATION: what each mode takes, and how it refuses the rest.

use super::command::Pair;
use crate::error::SqlError;
use crate::render::{DecodeOptions, Style};
use crate::sql::duration;

/// Options that GaussDB documents and openGauss does not know. They are taken without effect.
const GAUSSDB_ONLY: &[&str] = &[
    "include-user",
    "exclude-users",
    "exclude-userids",
    "dynamic-resolution",
    "enable-heartbeat",
    "enable-ddl-decoding",
    "enable-ddl-json-format",
    "skip-generated-columns",
    "decode-sequence",
    "desc-memory-limit",
    "restart-lsn",
    "logical-receiver-num",
    "slice-id",
];

/// How a stream's options came out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) error: SqlError,
    /// Serial decoding answers `W` first: its plugin reads options later.
    pub(super) after_start: bool,
}

fn unparsed(name: &str, value: &str) -> SqlError {
    let text = format!("could not parse value \"{value}\" for parameter \"{name}\"");
    SqlError::new("22023", text).module("LOGICAL_DECODE").detail("N/A")
}

/// As `parse_bool` of the server: any beginning of a word that is one word's only.
fn boolean(text: &str) -> Option<bool> {
    let text = text.to_lowercase();
    let begins = |word: &str, least: usize| text.len() >= least && word.starts_with(&text);
    if begins("true", 1) || begins("yes", 1) || begins("on", 2) || text == "1" {
        Some(true)
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || text == "0" {
        Some(false)
    } else {
        None
    }
}

/// Number of decoders a stream asks for; the server's default where it does not ask.
fn decoders(options: &[Pair], default: &str) -> Result<u32, SqlError> {
    let preset =
        default.split(',').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == "parallel-decode-num");
    let named = options.iter().find(|(name, _)| name == "parallel-decode-num").and_then(|(_, value)| value.as_deref());
    let Some(text) = named.or(preset.map(|(_, value)| value)) else { return Ok(1) };
    let number = text.parse().ok().filter(|number| (1..=20).contains(number));
    number.ok_or_else(|| unparsed("parallel-decode-num", text))
}

/// Reads the options of a stream from `slot`. `default` is `logical_decode_options_default`; `gaussdb` takes what only that product
/// documents; `standby` is whether this server is one.
pub(super) fn read(
    slot: &str,
    options: &[Pair],
    default: &str,
    gaussdb: bool,
    standby: bool,
) -> Result<DecodeOptions, Refused> {
    let decoders = decoders(options, default).map_err(|error| Refused { error, after_start: false })?;
    let parallel = decoders > 1;
    let mut out = DecodeOptions::new(if parallel { Style::Binary } else { Style::Serial });
    for (name, value) in options {
        set(&mut out, name, value.as_deref(), parallel, gaussdb, standby).map_err(|error| {
            let context = format!("slot \"{slot}\", output plugin \"mppdb_decoding\", in the startup callback");
            // The walsender's own words come without it.
            let error = if parallel || error.sqlstate == "42809" { error } else { error.context(context) };
            Refused { error, after_start: !parallel }
        })?;
    }
    Ok(out)
}

fn set(
    out: &mut DecodeOptions,
    name: &str,
    value: Option<&str>,
    parallel: bool,
    gaussdb: bool,
    standby: bool,
) -> Result<(), SqlError> {
    let text = value.unwrap_or_default();
    let bad = || unparsed(name, text);
    let flag = |valueless| value.map_or(Some(valueless), boolean).ok_or_else(bad);
    let number = |range: std::ops::RangeInclusive<u64>| {
        text.parse().ok().filter(|number| range.contains(number)).ok_or_else(bad)
    };
    match name {
        "include-xids" => out.xids = flag(true)?,
        "include-timestamp" => out.timestamp = flag(false)?,
        "skip-empty-xacts" => out.skip_empty = flag(false)?,
        "only-local" => out.only_local = flag(true)?,
        "include-originid" => out.origin = flag(false)?,
        "force-binary" if !parallel => {
            flag(false)?;
        }
        "standby-connection" => {
            if flag(false)? && !standby {
                return Err(SqlError::new("42809", "walsender closed because of role is primary.").internal(18_442));
            }
        }
        "max-txn-in-memory" | "max-reorderbuffer-in-memory" => {
            number(0..=100)?;
        }
        "sender-timeout" => {
            let invalid = || {
                SqlError::new("22023", format!("invalid value for parameter \"logical_sender_timeout\": \"{text}\""))
            };
            out.timeout = Some(duration(text).ok_or_else(invalid)?);
        }
        "white-table-list" => {
            let entry = |entry: &str| {
                let (schema, table) = entry.trim().split_once('.')?;
                Some((schema.to_owned(), table.to_owned()))
            };
            out.tables = Some(text.split(',').map(entry).collect::<Option<_>>().ok_or_else(bad)?);
        }
        "parallel-decode-num" => {}
        "decode-style" if parallel => {
            out.style = match text.as_bytes().first() {
                Some(b'b') => Style::Binary,
                Some(b'j') => Style::Json,
                Some(b't') => Style::Text,
                _ => return Err(bad()),
            };
        }
        "sending-batch" if parallel => out.batch = number(0..=1)? == 1,
        "parallel-queue-size" if parallel => {
            if !number(2..=1024)?.is_power_of_two() {
                let text = "option parallel-queue-size should be a power of two";
                return Err(SqlError::new("22023", text).module("LOGICAL_DECODE").detail("N/A"));
            }
        }
        _ if gaussdb && GAUSSDB_ONLY.contains(&name) => {}
        _ => {
            let text = format!("option \"{name}\" = \"{text}\" is unknown");
            return Err(SqlError::new("22023", text).module("LOGICAL_DECODE").detail("N/A"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(options: &[(&str, &str)]) -> Result<DecodeOptions, Refused> {
        let options: Vec<Pair> = options.iter().map(|(name, value)| ((*name).into(), Some((*value).into()))).collect();
        read("s", &options, "", false, false)
    }

    /// Refusals as recorded, and where they come.
    #[test]
    fn refusals() {
        for (options, text, after_start) in [
            (vec![("white-table-list", "o1")], "could not parse value \"o1\" for parameter \"white-table-list\"", true),
            (
                vec![("decode-style", "j"), ("parallel-decode-num", "1")],
                "option \"decode-style\" = \"j\" is unknown",
                true,
            ),
            (
                vec![("parallel-decode-num", "0")],
                "could not parse value \"0\" for parameter \"parallel-decode-num\"",
                false,
            ),
            (
                vec![("parallel-decode-num", "two")],
                "could not parse value \"two\" for parameter \"parallel-decode-num\"",
                false,
            ),
            (vec![("include-xids", "2")], "could not parse value \"2\" for parameter \"include-xids\"", true),
            (vec![("include-user", "1")], "option \"include-user\" = \"1\" is unknown", true),
            (
                vec![("parallel-decode-num", "2"), ("decode-style", "B")],
                "could not parse value \"B\" for parameter \"decode-style\"",
                false,
            ),
            (
                vec![("parallel-decode-num", "2"), ("sending-batch", "2")],
                "could not parse value \"2\" for parameter \"sending-batch\"",
                false,
            ),
            (
                vec![("parallel-decode-num", "2"), ("parallel-queue-size", "100")],
                "option parallel-queue-size should be a power of two",
                false,
            ),
            (
                vec![("parallel-decode-num", "2"), ("force-binary", "0")],
                "option \"force-binary\" = \"0\" is unknown",
                false,
            ),
            (vec![("sender-timeout", "abc")], "invalid value for parameter \"logical_sender_timeout\": \"abc\"", true),
            (vec![("standby-connection", "1")], "walsender closed because of role is primary.", true),
        ] {
            let refused = ask(&options).unwrap_err();
            assert_eq!((refused.error.message.as_str(), refused.after_start), (text, after_start));
        }
    }

    #[test]
    fn options_that_are_taken() {
        let style = |options: &[(&str, &str)]| ask(options).unwrap().style;
        assert_eq!(style(&[]), Style::Serial);
        assert_eq!(style(&[("parallel-decode-num", "2")]), Style::Binary);
        assert_eq!(style(&[("parallel-decode-num", "20"), ("decode-style", "json")]), Style::Json);
        let blank = ask(&[("white-table-list", "public.o1, s2.*"), ("include-xids", "yes")]).unwrap();
        assert_eq!(blank.tables.unwrap()[1], ("s2".to_owned(), "*".to_owned()));
        let preset = read("s", &[("decode-style".into(), Some("t".into()))], "parallel-decode-num=3", false, false);
        assert_eq!(preset.unwrap().style, Style::Text);
        assert_eq!(read("s", &[("slice-id".into(), Some("0".into()))], "", true, false).unwrap().style, Style::Serial);
    }
}
