//! `millrace decode`: recorded payloads of a replication stream as JSON lines, for bug reports and for recordings of other servers.
//!
//! Owns the two forms of input: lines of hex, and JSON lines whose `hex` field holds it. Must not know the layouts: the
//! decoders of the gateway read them.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use millrace_batch::Failure;
use millrace_decode::{LineLayout, decode_line, mppdb};
use serde_json::{Value, json};

use super::{Exit, Json, answer};

/// Longest line taken: a recorded message of 64 MiB in hex.
const LINE_LIMIT: u64 = 128 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Layout {
    /// mppdb_decoding, serial: JSON with SQL literals
    Serial,
    /// mppdb_decoding, parallel, style b
    B,
    /// mppdb_decoding, parallel, style j
    J,
    /// mppdb_decoding, parallel, style t
    T,
    /// pgoutput, protocol 1 and 2
    Pgoutput,
}

#[derive(Debug, Args)]
pub(super) struct Options {
    /// How the payloads were encoded
    #[arg(long, value_enum)]
    layout: Layout,
    /// Recorded payloads, one a line: hex, or a JSON object with a field "hex"; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    json: Json,
}

/// Prints one JSON object per record, or per line that cannot be read; goes on behind a bad line, and says so in the exit code.
pub(super) fn run(options: &Options) -> Exit {
    let failed = |why: io::Error| {
        let tried = format!("reading {}", options.file.display());
        let failure = Failure::definite("input_unreadable", tried, why.to_string(), "name a readable file");
        answer::failure(&failure, options.json.json);
        Exit::Usage
    };
    let input: Box<dyn BufRead> = if options.file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        match File::open(&options.file) {
            Ok(file) => Box::new(BufReader::new(file)),
            Err(error) => return failed(error),
        }
    };
    match decode(options.layout, input, &mut io::stdout().lock()) {
        Ok(0) => Exit::Done,
        Ok(_) => Exit::Definite,
        Err(error) => failed(error),
    }
}

/// Decodes every line; gives the number of lines that could not be read.
fn decode(layout: Layout, mut input: impl BufRead, out: &mut impl Write) -> io::Result<usize> {
    let mut bad = 0;
    let mut line = String::new();
    // Messages between StreamStart and StreamStop carry a transaction number that others do not have.
    let mut in_stream = false;
    for number in 1.. {
        line.clear();
        if input.by_ref().take(LINE_LIMIT).read_line(&mut line)? == 0 {
            break;
        }
        if line.trim().is_empty() {
            continue;
        }
        match payload(&line).and_then(|bytes| decode_line(of(layout, in_stream), &bytes)) {
            Ok(records) => {
                for record in records {
                    match record.record {
                        "stream_start" => in_stream = true,
                        "stream_stop" => in_stream = false,
                        _ => {}
                    }
                    writeln!(out, "{}", json!(record))?;
                }
            }
            Err(failure) => {
                bad += 1;
                writeln!(out, "{}", json!({ "line": number, "error": failure }))?;
            }
        }
    }
    Ok(bad)
}

fn of(layout: Layout, in_stream: bool) -> LineLayout {
    match layout {
        Layout::Serial => LineLayout::Mppdb(mppdb::Layout::Serial),
        Layout::B => LineLayout::Mppdb(mppdb::Layout::Binary),
        Layout::J => LineLayout::Mppdb(mppdb::Layout::Json),
        Layout::T => LineLayout::Mppdb(mppdb::Layout::Text),
        Layout::Pgoutput => LineLayout::PgOutput { in_stream },
    }
}

fn payload(line: &str) -> Result<Vec<u8>, Failure> {
    let line = line.trim();
    let refuse = |why: &str| {
        let mend = "one payload a line: hex, or a JSON object with a field \"hex\"";
        Failure::definite("input_unreadable", "reading a line", why, mend)
    };
    let object: Option<Value> = match line.starts_with('{') {
        true => Some(serde_json::from_str(line).map_err(|error| refuse(&error.to_string()))?),
        false => None,
    };
    let hex = match &object {
        Some(object) => object.get("hex").and_then(Value::as_str).ok_or_else(|| refuse("the object has no hex"))?,
        None => line,
    };
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = hex.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect::<Option<Vec<u8>>>().ok_or_else(|| refuse("it is not an even number of hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(layout: Layout, input: &str) -> (usize, Vec<Value>) {
        let mut out = Vec::new();
        let bad = decode(layout, input.as_bytes(), &mut out).expect("memory");
        let text = String::from_utf8(out).expect("JSON is UTF-8");
        (bad, text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect())
    }

    #[test]
    fn hex_and_json_lines_give_records_and_a_bad_line_stops_nothing() {
        // Begin of pgoutput as a real server sent it: final LSN, commit time, xid.
        let begin = "42000000000f032e00000303e6745adc780000000000004e83";
        let begin = &begin[..2 + 40];
        let input = format!("{begin}\n\nzz\n{{\"hex\":\"{begin}\"}}\n{{\"no\":1}}\n");
        let (bad, records) = lines(Layout::Pgoutput, &input);
        assert_eq!(bad, 2);
        assert_eq!(records[0]["record"], "begin");
        assert_eq!(records[0], records[2]);
        assert_eq!((records[1]["line"].clone(), records[3]["line"].clone()), (json!(3), json!(5)));
        assert_eq!(records[1]["error"]["code"], "input_unreadable");
    }

    #[test]
    fn a_serial_row_shows_names_and_values() {
        let text = r#"{"table_name":"public.t","op_type":"INSERT","columns_name":["id"],"columns_type":["integer"],"columns_val":["7"],"old_keys_name":[],"old_keys_type":[],"old_keys_val":[]}"#;
        let (bad, records) = lines(Layout::Serial, &hex(text));
        assert_eq!((bad, records[0]["record"].clone()), (0, json!("insert")), "{records:?}");
        assert_eq!(records[0]["columns"][0]["value"], "7");
    }

    fn hex(text: &str) -> String {
        text.bytes().map(|byte| format!("{byte:02x}")).collect()
    }
}
