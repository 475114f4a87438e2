//! Order of records, answers to questions, ids, limits and resuming, in every layout that can carry a stream.

use millrace_batch::{Batch, Cell, Failure, Lsn, RelationLog, ReplicaIdentity, marks};
use millrace_decode::Start;
use millrace_decode::mppdb::{CatalogueColumn, CatalogueTable, Frame, Layout, Limits, Mppdb, RecordError, Step};

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
    };
    CatalogueTable {
        oid: 7,
        identity: ReplicaIdentity::Full,
        columns: [("id", "integer", 23), ("v", "clob", 90)].map(column).to_vec(),
        key_columns: keys.iter().map(|key| (*key).to_owned()).collect(),
    }
}

impl Stream {
    fn new(end_lsn: Lsn, transaction_bytes: usize) -> Stream {
        let start = Start { shard: 1, shards: 3, database: "og".to_owned(), end_lsn, next_id: 10 };
        let log = RelationLog::new();
        let decoder = Mppdb::new(Layout::Serial, start, log.clone(), Limits { transaction_bytes });
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
                self.decoder.set_table("s", "t", catalogue(&["id"]));
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
    assert!(stream.decoder.release(&mut stream.batch, usize::MAX));
    let batch = &stream.batch;
    assert_eq!((batch.ids(), batch.ordinals()), (&[31, 34, 37][..], &[0, 1, 2][..]));
    assert_eq!((batch.ops(), batch.commit_times()[2], batch.xids()[0]), (&[0, 1, 3][..], 1_000_000, 5));
    assert_eq!(batch.marks(), [marks::NEW, marks::NEW | marks::OLD | marks::OLD_KEY_ONLY, 0]);
    assert_eq!([batch.old_cell(1, 0), batch.old_cell(1, 1)], [Cell::Text(b"1"), Cell::Unsent]);
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
    let mut parts = Stream::new(Lsn(0), 1 << 20);
    for stream in [&mut whole, &mut parts] {
        stream.send(1, "BEGIN 5").unwrap();
        for n in 0..20 {
            stream.known(2, &insert(&n.to_string())).unwrap();
        }
        stream.commit(50).unwrap();
    }
    assert!(whole.decoder.release(&mut whole.batch, usize::MAX));
    let (mut ids, mut ordinals, mut calls) = (Vec::new(), Vec::new(), 0);
    loop {
        let done = parts.decoder.release(&mut parts.batch, 300);
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
    // However small the weight, an empty batch takes a change.
    let mut tight = Stream::new(Lsn(0), 1 << 20);
    tight.send(1, "BEGIN 5").unwrap();
    tight.known(2, &insert("1")).unwrap();
    tight.known(3, &insert("2")).unwrap();
    tight.commit(50).unwrap();
    assert!(!tight.decoder.release(&mut tight.batch, 0));
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
    assert!(stream.decoder.release(&mut stream.batch, usize::MAX));
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
    assert!(stream.decoder.release(&mut stream.batch, usize::MAX));
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
    assert!(stream.decoder.release(&mut stream.batch, usize::MAX));
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
    stream.decoder.set_table("s", "t", catalogue(&["gone"]));
    let error = stream.send(4, &wider).unwrap_err();
    assert_eq!(error.code(), "key_disagreement");
    stream.decoder.set_table("s", "t", catalogue(&["n"]));
    assert_eq!(stream.send(4, &wider), Ok(Step::Row));
    assert_eq!(stream.log.len(), 2);
    // Back to what was known: the catalogue is asked, the version is a new one of its time.
    let old = row("DELETE", &[], &[("w", "1")]);
    assert_eq!(stream.known(5, &old).unwrap_err().code(), "decode_unknown_column");
    stream.commit(9).unwrap();
    assert!(stream.decoder.release(&mut stream.batch, usize::MAX));
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
    assert!(stream.decoder.release(&mut stream.batch, usize::MAX));
    assert_eq!(stream.batch.len(), taken);
}

#[test]
fn a_commit_without_position_is_refused() {
    let start = Start { shard: 0, shards: 1, database: "og".to_owned(), end_lsn: Lsn(0), next_id: 0 };
    let mut decoder = Mppdb::new(Layout::Json, start, RelationLog::new(), Limits { transaction_bytes: 1000 });
    let frame = |text: &'static str| Frame { lsn: None, bytes: text.as_bytes() };
    decoder.record(Lsn(1), frame("BEGIN CSN: 1 first_lsn: 0/1 xid: 5")).unwrap();
    let error = decoder.record(Lsn(1), frame("commit xid: 5 (at 1970-01-01 00:00:01+00)")).unwrap_err();
    assert_eq!(error.code(), "decode_no_commit_lsn");
}
