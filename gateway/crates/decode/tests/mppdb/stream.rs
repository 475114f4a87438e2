//! Order of records, answers to questions, ids, limits and resuming, in every layout that can carry a stream.

use millrace_batch::{Batch, Cell, Failure, Lsn, RelationLog, ReplicaIdentity, marks};
use millrace_decode::mppdb::{CatalogueColumn, CatalogueTable, Frame, Layout, Mppdb, Options, RecordError, Step};
use millrace_decode::{Cut, NoSpill, Start};

struct Stream {
    decoder: Mppdb,
    log: RelationLog,
    batch: Batch,
}

fn catalogue(keys: &[&str]) -> CatalogueTable {
    let column = |(name, type_name, type_oid): (&str, &str, u32)| CatalogueColumn {
        name: name.to_owned(),
        type_name: type_name.to_owned(),
        type_oid,
        ..CatalogueColumn::default()
    };
    CatalogueTable {
        oid: 7,
        identity: ReplicaIdentity::Full,
        columns: [("id", "integer", 23), ("v", "clob", 90)].map(column).to_vec(),
        key_columns: keys.iter().map(|key| (*key).to_owned()).collect(),
    }
}

impl Stream {
    fn new(end_lsn: Lsn, memory: usize) -> Stream {
        Stream::cut(end_lsn, memory, Cut::NEVER)
    }

    fn cut(end_lsn: Lsn, memory: usize, cut: Cut) -> Stream {
        let start = Start { shard: 1, shards: 3, database: "og".to_owned(), end_lsn, next_id: 10 };
        let log = RelationLog::new();
        let options = Options { memory, cut, ..Options::new(Layout::Serial) };
        let decoder = Mppdb::new(options, start, log.clone(), Box::new(NoSpill));
        Stream { decoder, log, batch: Batch::new(1) }
    }

    fn send(&mut self, lsn: u64, line: &str) -> Result<Step, RecordError> {
        let next = self.decoder.next_id();
        let result = self.decoder.record(Lsn(lsn), Frame { lsn: None, bytes: line.as_bytes() });
        if let Err(error) = &result {
            assert_eq!((next, error.wal_start()), (self.decoder.next_id(), Lsn(lsn)));
            assert!(Failure::from(error.clone()).is_definite());
        }
        result
    }

    /// Sends a line and answers for its table.
    fn known(&mut self, lsn: u64, line: &str) -> Result<Step, RecordError> {
        match self.send(lsn, line) {
            Ok(Step::TableNeeded) => {
                assert_eq!(self.decoder.needed(), Some(("s", "t")));
                self.decoder.set_table(catalogue(&["id"]));
                self.send(lsn, line)
            }
            other => other,
        }
    }

    fn commit(&mut self, lsn: u64) -> Result<Step, RecordError> {
        self.send(lsn, "COMMIT 5 (at 1970-01-01 00:00:01+00) CSN 9")
    }

    fn refused(&mut self, lsn: u64, line: &str) -> &'static str {
        self.known(lsn, line).unwrap_err().code()
    }
}

fn row(op: &str, new: &[(&str, &str)], old: &[(&str, &str)]) -> String {
    let list = |values: Vec<&str>| serde_json::to_string(&values).unwrap();
    let side = |prefix: &str, names: &str, columns: &[(&str, &str)]| {
        let types = columns.iter().map(|(name, _)| if *name == "v" { "text" } else { "integer" });
        format!(
            ",\"{prefix}{names}_name\":{},\"{prefix}{names}_type\":{},\"{prefix}{names}_val\":{}",
            list(columns.iter().map(|(name, _)| *name).collect()),
            list(types.collect()),
            list(columns.iter().map(|(_, value)| *value).collect())
        )
    };
    format!("{{\"table_name\":\"s.t\",\"op_type\":\"{op}\"{}{}}}", side("", "columns", new), side("old_", "keys", old))
}

fn insert(id: &str) -> String {
    row("INSERT", &[("id", id), ("v", "'x'")], &[])
}

#[test]
fn a_transaction_gets_position_time_and_ids_at_its_end() {
    let mut stream = Stream::new(Lsn(0), 1 << 20);
    assert_eq!(stream.send(1, "BEGIN 5"), Ok(Step::Begin));
    assert_eq!(stream.known(2, &insert("1")), Ok(Step::Row));
    let update = row("UPDATE", &[("id", "2"), ("v", "null")], &[("id", "1")]);
    assert_eq!(stream.known(3, &update), Ok(Step::Row));
    assert_eq!(stream.known(4, "table s.t: TRUNCATE: (no-flags)"), Ok(Step::Truncate));
    assert!(stream.decoder.in_transaction());
    assert_eq!(stream.commit(50), Ok(Step::Commit));
    assert!(stream.decoder.in_transaction());
    assert_eq!(stream.refused(51, "BEGIN 6"), "decode_out_of_sequence");
    assert_eq!(stream.decoder.release(&mut stream.batch), Ok(true));
    let batch = &stream.batch;
    assert_eq!((batch.ids(), batch.ordinals()), (&[31, 34, 37][..], &[0, 1, 2][..]));
    assert_eq!((batch.ops(), batch.commit_times()[2], batch.xids()[0]), (&[0, 1, 3][..], 1_000_000, 5));
    assert_eq!(batch.marks(), [marks::NEW, marks::NEW | marks::OLD | marks::OLD_KEY_ONLY, 0]);
    assert_eq!([batch.old_cell(1, 0), batch.old_cell(1, 1)], [Cell::Text(b"1"), Cell::Unsent]);
    assert_eq!(batch.csns(), [9; 3]);
    let commit = batch.commits()[0];
    assert_eq!((commit.end_lsn, commit.commit_lsn, commit.next_id, commit.after), (Lsn(50), Lsn(50), 13, 3));
    // The catalogue knows better than the record what a clob is.
    let relation = stream.log.get(0).unwrap();
    assert_eq!((relation.columns[1].type_name.as_str(), relation.columns[1].jdbc_type), ("clob", 2005));
    assert_eq!(relation.key_columns(), [0]);
}

#[test]
fn a_release_in_parts_is_the_whole() {
    let mut whole = Stream::new(Lsn(0), 1 << 20);
    let mut parts = Stream::cut(Lsn(0), 1 << 20, Cut { changes: 7, bytes: 10 });
    for stream in [&mut whole, &mut parts] {
        stream.send(1, "BEGIN 5").unwrap();
        for n in 0..20 {
            stream.known(2, &insert(&n.to_string())).unwrap();
        }
        stream.commit(50).unwrap();
    }
    assert_eq!(whole.decoder.release(&mut whole.batch), Ok(true));
    let (mut ids, mut ordinals, mut calls) = (Vec::new(), Vec::new(), 0);
    loop {
        let done = parts.decoder.release(&mut parts.batch).unwrap();
        calls += 1;
        ids.extend_from_slice(parts.batch.ids());
        ordinals.extend_from_slice(parts.batch.ordinals());
        assert_eq!(parts.batch.commits().len(), usize::from(done));
        assert!(!parts.batch.is_empty());
        parts.batch.clear();
        if done {
            break;
        }
    }
    assert!(calls > 3);
    // However small the bound, an empty batch takes a change.
    let mut tight = Stream::cut(Lsn(0), 1 << 20, Cut { changes: 0, bytes: 0 });
    tight.send(1, "BEGIN 5").unwrap();
    tight.known(2, &insert("1")).unwrap();
    tight.known(3, &insert("2")).unwrap();
    tight.commit(50).unwrap();
    assert_eq!(tight.decoder.release(&mut tight.batch), Ok(false));
    assert_eq!(tight.batch.len(), 1);
    assert_eq!((&ids[..], &ordinals[..]), (whole.batch.ids(), whole.batch.ordinals()));
}

#[test]
fn what_an_earlier_run_had_is_skipped_and_takes_no_ids() {
    let mut stream = Stream::new(Lsn(50), 1 << 20);
    for end in [40, 50] {
        stream.send(1, "BEGIN 5").unwrap();
        stream.known(2, &insert("1")).unwrap();
        assert_eq!(stream.commit(end), Ok(Step::Skipped));
    }
    stream.send(51, "BEGIN 5").unwrap();
    stream.known(52, &insert("2")).unwrap();
    assert_eq!(stream.commit(60), Ok(Step::Commit));
    assert_eq!(stream.decoder.release(&mut stream.batch), Ok(true));
    assert_eq!((stream.batch.ids(), stream.batch.new_cell(0, 0)), (&[31][..], Cell::Text(b"2")));
}

#[test]
fn records_stand_where_they_may() {
    let mut stream = Stream::new(Lsn(0), 1 << 20);
    assert_eq!(stream.refused(1, &insert("1")), "decode_out_of_sequence");
    assert_eq!(stream.refused(1, "table s.t: TRUNCATE: cascade"), "decode_out_of_sequence");
    assert_eq!(stream.commit(1).unwrap_err().code(), "decode_out_of_sequence");
    stream.send(1, "BEGIN 5").unwrap();
    assert_eq!(stream.refused(1, "BEGIN 6"), "decode_out_of_sequence");
    assert_eq!(stream.refused(9, "COMMIT 6 (at 1970-01-01 00:00:01+00)"), "decode_out_of_sequence");
    assert_eq!(stream.refused(9, "COMMIT 5"), "decode_missing_option");
    assert_eq!(stream.refused(9, "{\"TDDL\":\"DROP TABLE x\"}"), "decode_schema_change");
    assert_eq!(stream.commit(9), Ok(Step::Commit));
    assert_eq!(stream.decoder.release(&mut stream.batch), Ok(true));
    stream.send(9, "BEGIN 5").unwrap();
    assert_eq!(stream.commit(9).unwrap_err().code(), "decode_out_of_sequence");
    assert_eq!(stream.commit(10), Ok(Step::Commit));
}

#[test]
fn rows_the_server_could_not_decode_are_no_empty_rows() {
    let mut stream = Stream::new(Lsn(0), 1 << 20);
    stream.send(1, "BEGIN 5").unwrap();
    for empty in [row("INSERT", &[], &[]), row("UPDATE", &[], &[("id", "1")]), row("DELETE", &[], &[])] {
        assert_eq!(stream.refused(2, &empty), "decode_empty_image");
    }
    assert_eq!(stream.known(2, &row("UPDATE", &[("id", "1"), ("v", "'x'")], &[])), Ok(Step::Row));
    // Some servers give a delete its row on the new side too.
    let both = [("id", "1"), ("v", "'x'")];
    assert_eq!(stream.known(2, &row("DELETE", &both, &both)), Ok(Step::Row));
    stream.commit(9).unwrap();
    assert_eq!(stream.decoder.release(&mut stream.batch), Ok(true));
    assert_eq!((stream.batch.marks(), stream.batch.new_cells()), (&[marks::NEW, marks::OLD][..], &[2, 0][..]));
}

#[test]
fn other_columns_ask_the_catalogue_again() {
    let mut stream = Stream::new(Lsn(0), 1 << 20);
    stream.send(1, "BEGIN 5").unwrap();
    stream.known(2, &insert("1")).unwrap();
    assert_eq!(stream.send(3, &insert("2")), Ok(Step::Row));
    let wider = row("INSERT", &[("id", "3"), ("v", "'x'"), ("n", "4")], &[]);
    assert_eq!(stream.send(4, &wider), Ok(Step::TableNeeded));
    // Not answered, not taken.
    assert_eq!(stream.send(4, &wider), Ok(Step::TableNeeded));
    stream.decoder.set_table(catalogue(&["gone"]));
    let error = stream.send(4, &wider).unwrap_err();
    assert_eq!(error.code(), "key_disagreement");
    assert_eq!(stream.send(4, &wider), Ok(Step::TableNeeded));
    stream.decoder.set_table(catalogue(&["n"]));
    assert_eq!(stream.send(4, &wider), Ok(Step::Row));
    assert_eq!(stream.log.len(), 2);
    // Back to what was known: the catalogue is asked, the version is a new one of its time.
    let old = row("DELETE", &[], &[("w", "1")]);
    assert_eq!(stream.known(5, &old).unwrap_err().code(), "decode_unknown_column");
    stream.commit(9).unwrap();
    assert_eq!(stream.decoder.release(&mut stream.batch), Ok(true));
    assert_eq!(stream.batch.relations(), [0, 0, 1]);
}

#[test]
fn a_transaction_beyond_the_cap_is_not_taken() {
    let mut stream = Stream::new(Lsn(0), 200);
    stream.send(1, "BEGIN 5").unwrap();
    let mut taken = 0;
    while stream.known(2, &insert("1")).unwrap() == Step::Row {
        taken += 1;
        assert!(taken < 100);
    }
    assert!(taken > 0);
    assert_eq!(stream.send(2, &insert("1")), Ok(Step::Full));
    assert_eq!(stream.commit(9), Ok(Step::Commit));
    assert_eq!(stream.decoder.release(&mut stream.batch), Ok(true));
    assert_eq!(stream.batch.len(), taken);
}

#[test]
fn a_commit_without_position_is_refused() {
    let start = Start { shard: 0, shards: 1, database: "og".to_owned(), end_lsn: Lsn(0), next_id: 0 };
    let mut decoder = Mppdb::new(Options::new(Layout::Json), start, RelationLog::new(), Box::new(NoSpill));
    let frame = |text: &'static str| Frame { lsn: None, bytes: text.as_bytes() };
    decoder.record(Lsn(1), frame("BEGIN CSN: 1 first_lsn: 0/1 xid: 5")).unwrap();
    let error = decoder.record(Lsn(1), frame("commit xid: 5 (at 1970-01-01 00:00:01+00)")).unwrap_err();
    assert_eq!(error.code(), "decode_no_commit_lsn");
}

/// A spill with a cap that counts what is asked of it, and can fail.
#[derive(Clone, Debug, Default)]
struct Capped(std::sync::Arc<std::sync::Mutex<Place>>);

#[derive(Debug, Default)]
struct Place {
    bytes: Vec<u8>,
    cap: usize,
    clears: usize,
    fails: bool,
}

impl millrace_decode::Spill for Capped {
    fn append(&mut self, parts: &[&[u8]]) -> std::io::Result<bool> {
        let mut place = self.0.lock().unwrap();
        if place.fails {
            return Err(std::io::Error::other("no space left on device"));
        }
        if place.bytes.len() + parts.iter().map(|part| part.len()).sum::<usize>() > place.cap {
            return Ok(false);
        }
        parts.iter().for_each(|part| place.bytes.extend_from_slice(part));
        Ok(true)
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> std::io::Result<()> {
        let place = self.0.lock().unwrap();
        into.copy_from_slice(&place.bytes[offset as usize..][..into.len()]);
        Ok(())
    }

    fn clear(&mut self) -> std::io::Result<()> {
        let mut place = self.0.lock().unwrap();
        place.bytes.clear();
        place.clears += 1;
        Ok(())
    }
}

fn spilling(memory: usize, cap: usize) -> (Stream, Capped) {
    let spill = Capped::default();
    spill.0.lock().unwrap().cap = cap;
    let mut stream = Stream::new(Lsn(0), memory);
    let start = Start { shard: 1, shards: 3, database: "og".to_owned(), end_lsn: Lsn(0), next_id: 10 };
    let options = Options { memory, cut: Cut { changes: 64, bytes: 4096 }, ..Options::new(Layout::Serial) };
    stream.decoder = Mppdb::new(options, start, stream.log.clone(), Box::new(spill.clone()));
    (stream, spill)
}

/// Thousands of rows through a few kilobytes of memory: the same changes in the same order, in parts.
#[test]
fn a_transaction_larger_than_memory_comes_out_whole() {
    let (mut stream, spill) = spilling(8 << 10, 1 << 24);
    for round in 0..3_u64 {
        stream.send(1, "BEGIN 5").unwrap();
        let rows = [3000, 0, 100][round as usize];
        let mut most = 0;
        for n in 0..rows {
            assert_eq!(stream.known(2, &insert(&n.to_string())), Ok(Step::Row));
            most = most.max(stream.decoder.held().memory);
        }
        assert!(most < 9 << 10);
        assert_eq!((stream.decoder.held().spilled > 0, stream.decoder.held().changes), (rows > 1000, rows));
        assert_eq!(stream.commit(50 + round), Ok(Step::Commit));
        let mut seen = 0;
        loop {
            let done = stream.decoder.release(&mut stream.batch).unwrap();
            most = most.max(stream.decoder.held().memory);
            for n in 0..stream.batch.len() {
                assert_eq!(stream.batch.new_cell(n, 0), Cell::Text(seen.to_string().as_bytes()));
                assert_eq!((u64::from(stream.batch.ordinals()[n]), stream.batch.xids()[n]), (seen, 5));
                assert_eq!(stream.batch.ids()[n], 3 * (stream.decoder.next_id() - rows + seen) + 1);
                seen += 1;
            }
            assert!(stream.batch.len() <= 64 && stream.batch.commits().len() == usize::from(done));
            stream.batch.clear();
            if done {
                break;
            }
        }
        assert_eq!(seen, rows);
        assert!(most < 18 << 10, "{most}");
        assert_eq!(stream.decoder.held(), millrace_decode::Held::default());
        assert!(spill.0.lock().unwrap().bytes.is_empty());
    }
    assert_eq!(spill.0.lock().unwrap().clears, 1, "a small transaction asks nothing of the spill");
    assert_eq!(stream.decoder.next_id(), 3110);
}

#[test]
fn a_full_spill_takes_nothing_and_loses_nothing() {
    let (mut stream, spill) = spilling(1000, 3000);
    stream.send(1, "BEGIN 5").unwrap();
    let mut taken = 0;
    while stream.known(2, &insert("7")).unwrap() == Step::Row {
        taken += 1;
    }
    assert_eq!(stream.send(2, &insert("7")), Ok(Step::Full));
    assert_eq!(stream.decoder.held().changes, taken);
    // Room comes back: the same record is taken.
    spill.0.lock().unwrap().cap = 1 << 20;
    assert_eq!(stream.send(2, &insert("8")), Ok(Step::Row));
    spill.0.lock().unwrap().fails = true;
    let error = loop {
        if let Err(error) = stream.decoder.record(Lsn(2), Frame { lsn: None, bytes: insert("9").as_bytes() }) {
            break error;
        }
        taken += 1;
    };
    assert_eq!(error.code(), "spill_failed");
    assert!(!Failure::from(error).is_definite());
    spill.0.lock().unwrap().fails = false;
    assert_eq!(stream.commit(9), Ok(Step::Commit));
    spill.0.lock().unwrap().bytes[40] ^= 1;
    let damaged = stream.decoder.release(&mut stream.batch).unwrap_err();
    assert_eq!((damaged.code(), stream.batch.len()), ("spill_failed", 0));
    spill.0.lock().unwrap().bytes[40] ^= 1;
    let mut seen = 0;
    while !stream.decoder.release(&mut stream.batch).unwrap() {
        seen += stream.batch.len() as u64;
        stream.batch.clear();
    }
    assert_eq!(seen + stream.batch.len() as u64, taken + 1);
}

/// A key or an identity that changed without a change of columns shows in the columns of old images.
#[test]
fn another_old_image_asks_the_catalogue_again() {
    let mut stream = Stream::new(Lsn(0), 1 << 20);
    let answer = |keys: &[&str], identity| CatalogueTable { identity, ..catalogue(keys) };
    let whole = [("id", "1"), ("v", "'x'")];
    stream.send(1, "BEGIN 5").unwrap();
    assert_eq!(stream.send(2, &insert("1")), Ok(Step::TableNeeded));
    stream.decoder.set_table(answer(&["id"], ReplicaIdentity::Default));
    assert_eq!(stream.send(2, &insert("1")), Ok(Step::Row));
    assert_eq!(stream.send(3, &row("UPDATE", &whole, &[("id", "1")])), Ok(Step::Row));
    assert_eq!(stream.send(4, &row("DELETE", &[], &[("id", "1")])), Ok(Step::Row));
    let other = row("DELETE", &[], &[("v", "'x'")]);
    assert_eq!(stream.send(5, &other), Ok(Step::TableNeeded));
    stream.decoder.set_table(answer(&["v"], ReplicaIdentity::Default));
    assert_eq!(stream.send(5, &other), Ok(Step::Row));
    let full = row("UPDATE", &whole, &whole);
    assert_eq!(stream.send(6, &full), Ok(Step::TableNeeded));
    stream.decoder.set_table(answer(&["v"], ReplicaIdentity::Full));
    assert_eq!(stream.send(6, &full), Ok(Step::Row));
    assert_eq!(stream.send(7, &full), Ok(Step::Row));
    stream.commit(9).unwrap();
    assert_eq!(stream.decoder.release(&mut stream.batch), Ok(true));
    assert_eq!(stream.batch.relations(), [0, 0, 0, 1, 2, 2]);
    let keys = |id| stream.log.get(id).unwrap().key_columns();
    assert_eq!([keys(0), keys(1), keys(2)], [[0], [1], [1]]);
}

#[test]
fn an_update_of_the_key_is_split_before_ids_are_given() {
    let old = [("id", "1"), ("v", "'x'")];
    let lines = [
        row("UPDATE", &[("id", "2"), ("v", "'y'")], &old),
        row("UPDATE", &[("id", "1"), ("v", "'y'")], &old),
        insert("3"),
    ];
    for split in [false, true] {
        let mut stream = Stream::new(Lsn(0), 1 << 20);
        let start = Start { shard: 1, shards: 3, database: "og".to_owned(), end_lsn: Lsn(0), next_id: 10 };
        let options = Options { split_key_changes: split, ..Options::new(Layout::Serial) };
        stream.decoder = Mppdb::new(options, start, stream.log.clone(), Box::new(NoSpill));
        stream.send(1, "BEGIN 5").unwrap();
        for (number, line) in lines.iter().enumerate() {
            assert_eq!(stream.known(2 + number as u64, line), Ok(Step::Row));
        }
        stream.commit(9).unwrap();
        assert_eq!(stream.decoder.release(&mut stream.batch), Ok(true));
        let Stream { batch, decoder, .. } = &stream;
        assert_eq!(decoder.key_changes(), 1);
        if split {
            assert_eq!((batch.ops(), batch.ordinals()), (&[2, 0, 1, 0][..], &[0, 1, 2, 3][..]));
            assert_eq!((batch.ids(), decoder.next_id()), (&[31, 34, 37, 40][..], 14));
            assert_eq!([batch.old_cell(0, 0), batch.new_cell(1, 0)], [Cell::Text(b"1"), Cell::Text(b"2")]);
        } else {
            assert_eq!((batch.ops(), batch.ids(), decoder.next_id()), (&[1, 1, 0][..], &[31, 34, 37][..], 13));
        }
    }
}

/// Rows of a dropped table come under its old name; the catalogue knows nothing any more.
#[test]
fn a_dropped_table_keeps_its_key() {
    let mut stream = Stream::new(Lsn(0), 1 << 20);
    stream.send(1, "BEGIN 5").unwrap();
    assert_eq!(stream.known(2, &insert("1")), Ok(Step::Row));
    let wider = row("INSERT", &[("id", "3"), ("v", "'x'"), ("n", "4")], &[]);
    assert_eq!(stream.send(3, &wider), Ok(Step::TableNeeded));
    stream.decoder.set_table(CatalogueTable::gone());
    assert_eq!(stream.send(3, &wider), Ok(Step::Row));
    let relation = stream.log.get(1).unwrap();
    assert_eq!((relation.key_columns(), relation.identity, relation.source_oid), (vec![0], ReplicaIdentity::Full, 7));
    let types = relation.columns.iter().map(|column| (column.type_name.as_str(), column.jdbc_type)).collect::<Vec<_>>();
    assert_eq!(types, [("integer", 4), ("text", 12), ("integer", 4)]);
    let twice = row("INSERT", &[("id", "3"), ("id", "4")], &[]);
    assert_eq!(stream.known(4, &twice).unwrap_err().code(), "decode_bad_message");
}

#[test]
fn keepalives_are_positions_between_transactions_of_serial_decoding_only() {
    let mut stream = Stream::new(Lsn(0), 1 << 20);
    assert!(stream.decoder.keepalive_is_position());
    stream.send(1, "BEGIN 5").unwrap();
    assert!(!stream.decoder.keepalive_is_position());
    stream.commit(9).unwrap();
    assert!(!stream.decoder.keepalive_is_position());
    assert_eq!(stream.decoder.release(&mut stream.batch), Ok(true));
    assert!(stream.decoder.keepalive_is_position());
    for layout in [Layout::Binary, Layout::Json, Layout::Text] {
        let start = Start { shard: 0, shards: 1, database: "og".to_owned(), end_lsn: Lsn(0), next_id: 0 };
        let decoder = Mppdb::new(Options::new(layout), start, RelationLog::new(), Box::new(NoSpill));
        assert!(!decoder.keepalive_is_position());
    }
}

/// Names and values of a GBK database, one with a trail byte that looks like a backslash.
#[test]
fn a_gbk_database_comes_out_in_utf8() {
    let start = Start { shard: 0, shards: 1, database: "og".to_owned(), end_lsn: Lsn(0), next_id: 0 };
    let encoding = millrace_decode::Encoding::by_name("GBK").unwrap();
    let options = Options { encoding, ..Options::new(Layout::Text) };
    let log = RelationLog::new();
    let mut decoder = Mppdb::new(options, start, log.clone(), Box::new(NoSpill));
    let mut batch = Batch::new(0);
    let mut send = |bytes: &[u8]| {
        let frame = Frame { lsn: Some(Lsn(9)), bytes };
        let step = decoder.record(Lsn(9), frame);
        if step != Ok(Step::TableNeeded) {
            return step.map(|_| ()).map_err(|error| error.code());
        }
        assert_eq!(decoder.needed(), Some(("s", "乗")));
        let (name, type_name) = ("键".to_owned(), "text".to_owned());
        let key = CatalogueColumn { name, type_name, type_oid: 25, ..CatalogueColumn::default() };
        let key_columns = vec!["键".to_owned()];
        decoder.set_table(CatalogueTable { oid: 1, identity: ReplicaIdentity::Full, columns: vec![key], key_columns });
        decoder.record(Lsn(9), frame).map(|_| ()).map_err(|error| error.code())
    };
    assert_eq!(send(b"BEGIN CSN: 1 first_lsn: 0/1 xid: 5"), Ok(()));
    assert_eq!(send(b"table s \x81\x5C INSERT: \"\xBC\xFC\"[text]:'\x81\x5C''a' n[numeric]:.5"), Ok(()));
    assert_eq!(send(b"table s \x81\x5C INSERT: \"\xBC\xFC\"[text]:'\x81 ' n[numeric]:.5"), Err("decode_bad_encoding"));
    assert_eq!(send(b"commit xid: 5 (at 1970-01-01 00:00:01+00)"), Ok(()));
    assert_eq!(decoder.release(&mut batch), Ok(true));
    assert_eq!(batch.data(), "乗'a0.5".as_bytes());
    let relation = log.get(0).unwrap();
    assert_eq!(
        (relation.table.as_str(), relation.columns[0].name.as_str(), relation.key_columns()),
        ("乗", "键", vec![0])
    );
}

/// A row with the names of the row before takes its shape over; not where that row was refused before it had one.
#[test]
fn a_refused_row_lends_its_shape_to_nobody() {
    let mut stream = Stream::new(Lsn(0), 1 << 20);
    stream.send(1, "BEGIN 5").unwrap();
    assert_eq!(stream.known(2, &insert("1")), Ok(Step::Row));
    let other = |value: &str| insert(value).replace("\"s.t\"", "\"s.u\"");
    assert_eq!(stream.send(3, &other("'1")).unwrap_err().code(), "decode_bad_message");
    assert_eq!(stream.send(4, &other("2")), Ok(Step::TableNeeded));
    assert_eq!(stream.decoder.needed(), Some(("s", "u")));
    stream.decoder.set_table(catalogue(&["id"]));
    assert_eq!(stream.send(4, &other("2")), Ok(Step::Row));
    assert_eq!(stream.send(5, &other("3")), Ok(Step::Row));
    assert_eq!(stream.send(6, &insert("4")), Ok(Step::Row));
    assert_eq!(stream.send(7, &insert("5")), Ok(Step::Row));
    stream.commit(9).unwrap();
    assert_eq!(stream.decoder.release(&mut stream.batch), Ok(true));
    assert_eq!(stream.batch.relations(), [0, 1, 1, 0, 0]);
}
