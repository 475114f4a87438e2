//! `mppdb_decoding`, the plugin of GaussDB and openGauss: serial decoding and the parallel styles b, j and t.
//!
//! Owns how a payload splits into records, how records read, and (with [`Mppdb`]) how transactions whose LSN is known only at
//! their end become changes in batches. Formats: openGauss 6.0 (`contrib/mppdb_decoding`, `parallel_decode.cpp`), checked
//! against recordings of a running server. Must not know how payloads travel or who asks the catalogue.

mod assembler;
mod binary;
mod canonical;
mod date;
mod decoder;
mod error;
mod json;
mod literal;
mod row;
mod scan;
mod tables;
mod text;
mod time;
mod types;

pub use canonical::Numbers;
pub use decoder::{Mppdb, Options, Payload, Step};
pub use error::{Reason, RecordError};
pub use row::{Row, RowColumn};
pub use types::{CatalogueColumn, CatalogueTable};

use millrace_batch::Lsn;
use scan::Scan;

/// How the server renders changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Serial decoding: a line or a JSON object in each payload.
    Serial,
    /// Parallel decoding, `decode-style` b.
    Binary,
    /// Parallel decoding, `decode-style` j.
    Json,
    /// Parallel decoding, `decode-style` t.
    Text,
}

/// One record. The row of [`Record::Row`] is in the scratch space given to [`parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A transaction starts.
    Begin {
        /// Transaction number, where the server tells.
        xid: Option<u64>,
        /// Commit sequence number, where the server tells.
        csn: Option<u64>,
        /// LSN of the transaction's first change, where the server tells.
        first_lsn: Option<Lsn>,
        /// Commit time in microseconds since the Unix epoch, where the server tells.
        commit_time: Option<i64>,
    },
    /// A transaction ends.
    Commit {
        /// Transaction number, where the server tells.
        xid: Option<u64>,
        /// Commit sequence number, where the server tells.
        csn: Option<u64>,
        /// Commit time in microseconds since the Unix epoch, where the server tells.
        commit_time: Option<i64>,
        /// LSN right behind the commit record, where the record tells; serial decoding tells it in the `XLogData` header.
        end_lsn: Option<Lsn>,
    },
    /// A row.
    Row,
    /// Tables were emptied: schema and table of each, unquoted.
    Truncate(Vec<(Vec<u8>, Vec<u8>)>),
}

/// One record's bytes, and the LSN that stands in front of it in batched payloads and in style b.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// LSN of the record; of a COMMIT, the end of the transaction.
    pub lsn: Option<Lsn>,
    /// The record.
    pub bytes: &'a [u8],
}

impl Layout {
    /// Whether records stand behind their length and LSN.
    fn is_framed(self, batched: bool) -> bool {
        self == Layout::Binary || (batched && self != Layout::Serial)
    }
}

/// Splits a payload into records. `batched`: the stream was started with `sending-batch=1`.
///
/// # Errors
/// The iterator ends behind the first error.
pub fn frames(layout: Layout, batched: bool, payload: &[u8]) -> Frames<'_> {
    Frames { layout, framed: layout.is_framed(batched), payload, at: Some(0), first: true }
}

/// Iterator of [`frames`].
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    layout: Layout,
    framed: bool,
    payload: &'a [u8],
    at: Option<usize>,
    first: bool,
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut at = self.at.take()?;
        let first = std::mem::take(&mut self.first);
        let frame = next_frame(self.layout, self.framed, self.payload, &mut at, first).transpose()?;
        self.at = frame.is_ok().then_some(at);
        Some(frame)
    }
}

/// The record at a place of a payload, and the place behind it. Length zero ends a batch that a timer flushed; a separator F ends any
/// other payload of style b, and the place is then the payload's end.
#[inline]
fn next_frame<'a>(
    layout: Layout,
    framed: bool,
    payload: &'a [u8],
    at: &mut usize,
    first: bool,
) -> Result<Option<Frame<'a>>, RecordError> {
    if !framed {
        *at = payload.len();
        return Ok(first.then_some(Frame { lsn: None, bytes: payload }));
    }
    if layout == Layout::Binary && !first && *at == payload.len() {
        return Ok(None);
    }
    let mut scan = Scan::behind(payload, *at);
    let length = scan.u32("the length of a record")? as usize;
    if length == 0 {
        scan.finish()?;
        *at = payload.len();
        return Ok(None);
    }
    let Some(length) = length.checked_sub(8) else {
        return Err(scan.error(Reason::Malformed("the length of a record")));
    };
    let lsn = Some(Lsn(scan.u64("an LSN")?));
    let frame = Some(Frame { lsn, bytes: scan.take(length, "a record")? });
    if layout == Layout::Binary {
        match scan.u8("a separator")? {
            // Another record or a zero length must follow.
            b'P' if scan.rest().is_empty() => return Err(scan.error(Reason::Truncated("the length of a record"))),
            b'P' => {}
            b'F' if matches!(scan.rest(), [] | [0, 0, 0, 0]) => {
                *at = payload.len();
                return Ok(frame);
            }
            b'F' => return Err(scan.error(Reason::Trailing(scan.rest().len()))),
            other => return Err(scan.error(Reason::BadField { field: "a separator", value: u32::from(other) })),
        }
    }
    *at = scan.at();
    Ok(frame)
}

/// Reads one record; a row's columns go to `row`, whose buffers are kept.
///
/// # Errors
/// Anything that is not exactly of the layout.
pub fn parse(layout: Layout, frame: Frame<'_>, row: &mut Row) -> Result<Record, RecordError> {
    row.start(frame.bytes);
    let mut scan = Scan::new(frame.bytes);
    let record = match layout {
        Layout::Binary => binary::record(&mut scan, frame.lsn.unwrap_or_default(), row)?,
        Layout::Serial | Layout::Json | Layout::Text => line(&mut scan, layout, frame, row)?,
    };
    scan.finish()?;
    Ok(record)
}

fn line(scan: &mut Scan<'_>, layout: Layout, frame: Frame<'_>, row: &mut Row) -> Result<Record, RecordError> {
    if scan.peek() == Some(b'{')
        && layout != Layout::Text
        && !scan.rest().starts_with(b"{\"TDDL\"")
        && !scan.rest().starts_with(b"{\"JDDL\"")
    {
        json::row(scan, row)?;
        return Ok(Record::Row);
    }
    if scan.eat("{\"TDDL\"") || scan.eat("{\"JDDL\"") || scan.eat("prefix: deparse,") {
        return Err(scan.error(Reason::Ddl));
    }
    if scan.eat("table ") {
        if layout == Layout::Text {
            text::row(scan, row)?;
            return Ok(Record::Row);
        }
        let tables = text::truncate(scan.rest()).ok_or_else(|| scan.error(Reason::Malformed("a TRUNCATE line")))?;
        scan.take(scan.rest().len(), "a TRUNCATE line")?;
        return Ok(Record::Truncate(tables));
    }
    if scan.eat_any_case("BEGIN") {
        return begin(scan);
    }
    if scan.eat_any_case("COMMIT") {
        return commit(scan, frame.lsn);
    }
    Err(scan.error(Reason::Expected("BEGIN, COMMIT or a row")))
}

/// `BEGIN 16020`, `BEGIN CSN: 2358 first_lsn: 0/CFE6220 xid: 1010023 commit_time: ... origin_id: 1`; every part may be absent.
fn begin(scan: &mut Scan<'_>) -> Result<Record, RecordError> {
    let (mut xid, mut csn, mut first_lsn, mut commit_time) = (None, None, None, None);
    if scan.rest().starts_with(b" ") && scan.rest().get(1).is_some_and(u8::is_ascii_digit) {
        scan.expect(" ")?;
        xid = Some(scan.number("an xid")?);
    }
    while !scan.rest().is_empty() {
        if scan.eat_any_case(" CSN: ") {
            csn = Some(scan.number("a CSN")?);
        } else if scan.eat(" first_lsn: ") || scan.eat(" commit_lsn: ") {
            // Old servers print the label commit_lsn with the value of first_lsn.
            let length = scan.rest().iter().position(|byte| *byte == b' ').unwrap_or(scan.rest().len());
            let text = std::str::from_utf8(scan.take(length, "the first LSN")?).unwrap_or_default();
            first_lsn = Some(text.parse().map_err(|_| scan.error(Reason::Malformed("the first LSN")))?);
        } else if scan.eat(" xid: ") {
            xid = Some(scan.number("an xid")?);
        } else if scan.eat(" commit_time: ") {
            let rest = scan.rest();
            let length = rest.windows(12).position(|window| window == b" origin_id: ").unwrap_or(rest.len());
            let time = time::micros(scan.take(length, "a commit time")?);
            commit_time = Some(time.ok_or_else(|| scan.error(Reason::Malformed("a commit time")))?);
        } else if scan.eat(" ORIGIN_ID ") || scan.eat(" origin_id: ") {
            scan.number("an origin")?;
        } else {
            return Err(scan.error(Reason::Malformed("a BEGIN line")));
        }
    }
    Ok(Record::Begin { xid, csn, first_lsn, commit_time })
}

/// `COMMIT 16020 (at 2024-02-05 14:46:35.203057+08) CSN 2155`, `commit xid: 1010023`; every part may be absent.
fn commit(scan: &mut Scan<'_>, end_lsn: Option<Lsn>) -> Result<Record, RecordError> {
    let (mut xid, mut csn, mut commit_time) = (None, None, None);
    while !scan.rest().is_empty() {
        if scan.eat(" (at ") {
            let time = time::micros(scan.until(b')', "a commit time")?);
            commit_time = Some(time.ok_or_else(|| scan.error(Reason::Malformed("a commit time")))?);
        } else if scan.eat(" CSN: ") || scan.eat(" CSN ") {
            csn = Some(scan.number("a CSN")?);
        } else if scan.eat_any_case(" xid: ") || (xid.is_none() && scan.eat(" ")) {
            xid = Some(scan.number("an xid")?);
        } else {
            return Err(scan.error(Reason::Malformed("a COMMIT line")));
        }
    }
    Ok(Record::Commit { xid, csn, commit_time, end_lsn })
}
