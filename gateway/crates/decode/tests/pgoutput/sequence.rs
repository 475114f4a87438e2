//! Which messages may stand where, and what tables and keys must agree on.

use crate::encode::{self, Value, text};
use millrace_batch::{Batch, Cell, Failure, Lsn, RelationLog, marks};
use millrace_decode::pgoutput::{DecodeError, ErrorKind, PgOutput, Start, Step};

const INT: u32 = 23;
const TEXT: u32 = 25;

struct Stream {
    decoder: PgOutput,
    batch: Batch,
    log: RelationLog,
}

impl Stream {
    fn new() -> Stream {
        Stream::resumed(Lsn(0), RelationLog::new())
    }

    fn resumed(end_lsn: Lsn, log: RelationLog) -> Stream {
        let start = Start { shard: 0, shards: 1, database: "db".to_owned(), end_lsn, next_id: 0 };
        Stream { decoder: PgOutput::new(start, log.clone()), batch: Batch::new(0), log }
    }

    /// Hands a message in; an error must leave no trace.
    fn send(&mut self, payload: Vec<u8>) -> Result<Step, DecodeError> {
        let (before, next) = (self.batch.clone(), self.decoder.next_id());
        let result = self.decoder.message(Lsn(0x77), &payload, &mut self.batch);
        if let Err(error) = &result {
            assert_eq!((&before, next), (&self.batch, self.decoder.next_id()));
            assert_eq!((error.message_type(), error.wal_start()), (payload[0], Lsn(0x77)));
            assert!(Failure::from(error.clone()).is_definite());
        }
        result
    }

    fn ok(&mut self, payload: Vec<u8>) -> Step {
        self.send(payload).unwrap()
    }

    fn refused(&mut self, payload: Vec<u8>) -> &'static str {
        self.send(payload).unwrap_err().code()
    }

    /// A described table (key `id`, value `v`) inside a transaction that commits at 100.
    fn with_table(identity: u8) -> Stream {
        let mut stream = Stream::new();
        assert_eq!(stream.ok(encode::begin(100, 0, 7)), Step::Begin);
        assert_eq!(stream.ok(table(identity)), Step::KeysNeeded { oid: 1 });
        stream.decoder.set_keys(1, &keys(&["id"])).unwrap();
        stream
    }
}

fn keys(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn table(identity: u8) -> Vec<u8> {
    encode::relation(1, "s", "t", identity, &[("id", INT, true), ("v", TEXT, identity == b'f')])
}

fn insert(values: &[Value]) -> Vec<u8> {
    encode::row(b'I', 1, &[(b'N', values)])
}

#[test]
fn rows_stand_in_transactions_and_their_tables_are_known() {
    let mut stream = Stream::new();
    assert_eq!(stream.refused(insert(&[])), "decode_out_of_sequence");
    assert_eq!(stream.refused(encode::truncate(&[1])), "decode_out_of_sequence");
    assert_eq!(stream.refused(encode::commit(1, 2, 0)), "decode_out_of_sequence");
    assert_eq!(stream.refused(encode::origin(1, "o")), "decode_out_of_sequence");
    assert_eq!(stream.refused(encode::logical(true, 1, b"")), "decode_out_of_sequence");
    stream.ok(encode::begin(100, 0, 7));
    assert_eq!(stream.refused(encode::begin(200, 0, 8)), "decode_out_of_sequence");
    assert_eq!(stream.refused(insert(&[])), "decode_unknown_relation");
    assert_eq!(stream.refused(encode::truncate(&[1])), "decode_unknown_relation");
    assert_eq!(stream.ok(table(b'd')), Step::KeysNeeded { oid: 1 });
    assert_eq!(stream.refused(insert(&[text("1"), Value::Null])), "decode_keys_pending");
    stream.decoder.set_keys(1, &keys(&["id"])).unwrap();
    assert_eq!(stream.ok(insert(&[text("1"), Value::Null])), Step::Row);
    assert_eq!(stream.refused(encode::truncate(&[1, 2])), "decode_unknown_relation");
    assert_eq!(stream.ok(encode::origin(1, "o")), Step::Nothing);
    assert_eq!(stream.refused(encode::commit(101, 102, 0)), "decode_out_of_sequence");
    assert_eq!(stream.refused(encode::commit(100, 100, 0)), "decode_out_of_sequence");
    assert_eq!(stream.ok(encode::commit(100, 108, 0)), Step::Commit);
    assert!(!stream.decoder.in_transaction());
    assert_eq!(stream.refused(encode::begin(107, 0, 8)), "decode_out_of_sequence");
    assert_eq!(stream.ok(encode::begin(108, 0, 8)), Step::Begin);
}

#[test]
fn a_tuple_has_the_columns_of_its_table() {
    let mut stream = Stream::with_table(b'd');
    let error = stream.send(insert(&[text("1")])).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::ColumnCount { table: "s.t".to_owned(), expected: 2, got: 1 });
    assert_eq!(error.offset(), 6);
    assert_eq!(stream.refused(encode::row(b'I', 1, &[(b'K', &[text("1"), Value::Null])])), "decode_bad_message");
    let mut binary = insert(&[text("1"), Value::Null]);
    binary[8] = b'b';
    assert_eq!(stream.refused(binary), "binary_not_requested");
}

#[test]
fn images_are_those_the_identity_gives() {
    let row = [text("1"), text("v")];
    let key = [text("1"), Value::Null];
    let mut stream = Stream::with_table(b'd');
    assert_eq!(stream.refused(insert(&[text("1"), Value::Unchanged])), "decode_bad_message");
    assert_eq!(stream.refused(encode::row(b'D', 1, &[(b'O', &row)])), "decode_bad_message");
    assert_eq!(stream.refused(encode::row(b'D', 1, &[(b'K', &row)])), "decode_bad_message");
    assert_eq!(stream.refused(encode::row(b'U', 1, &[(b'K', &key)])), "decode_truncated");
    assert_eq!(stream.ok(encode::row(b'U', 1, &[(b'K', &key), (b'N', &[text("2"), Value::Unchanged])])), Step::Row);
    assert_eq!(stream.batch.marks(), [marks::NEW | marks::OLD | marks::OLD_KEY_ONLY]);
    let cells = [
        stream.batch.new_cell(0, 0),
        stream.batch.new_cell(0, 1),
        stream.batch.old_cell(0, 0),
        stream.batch.old_cell(0, 1),
    ];
    assert_eq!(cells, [Cell::Text(b"2"), Cell::Unsent, Cell::Text(b"1"), Cell::Unsent]);

    let mut stream = Stream::with_table(b'f');
    assert_eq!(stream.refused(encode::row(b'D', 1, &[(b'K', &key)])), "decode_bad_message");
    assert_eq!(stream.ok(encode::row(b'D', 1, &[(b'O', &key)])), Step::Row);
    assert_eq!((stream.batch.marks(), stream.batch.old_cell(0, 1)), (&[marks::OLD][..], Cell::Null));

    let mut stream = Stream::new();
    stream.ok(encode::begin(100, 0, 7));
    stream.ok(encode::relation(1, "s", "t", b'n', &[("id", INT, false), ("v", TEXT, false)]));
    stream.decoder.set_keys(1, &keys(&["id"])).unwrap();
    assert_eq!(stream.refused(encode::row(b'D', 1, &[(b'K', &key)])), "decode_bad_message");
    assert_eq!(stream.ok(insert(&row)), Step::Row);
}

#[test]
fn an_update_of_the_key_is_split_before_ids_are_given() {
    let key = [text("1"), Value::Null];
    let update = encode::row(b'U', 1, &[(b'K', &key), (b'N', &[text("2"), text("v")])]);
    let plain = encode::row(b'U', 1, &[(b'N', &[text("2"), text("w")])]);
    let mut stream = Stream::with_table(b'd');
    stream.ok(update.clone());
    stream.ok(plain.clone());
    assert_eq!((stream.batch.ops(), stream.batch.ids(), stream.decoder.key_changes()), (&[1, 1][..], &[0, 1][..], 1));

    let mut stream = Stream::with_table(b'd');
    let Stream { decoder, .. } = stream;
    stream = Stream { decoder: decoder.splitting_key_changes(true), batch: Batch::new(0), log: stream.log };
    stream.ok(update);
    stream.ok(plain);
    stream.ok(insert(&[text("3"), Value::Null]));
    let Stream { batch, decoder, .. } = &stream;
    assert_eq!((batch.ops(), batch.ids(), batch.ordinals()), (&[2, 0, 1, 0][..], &[0, 1, 2, 3][..], &[0, 1, 2, 3][..]));
    assert_eq!(batch.marks()[..2], [marks::OLD | marks::OLD_KEY_ONLY, marks::NEW]);
    let cells = [batch.old_cell(0, 0), batch.old_cell(0, 1), batch.new_cell(1, 0), batch.new_cell(1, 1)];
    assert_eq!(cells, [Cell::Text(b"1"), Cell::Unsent, Cell::Text(b"2"), Cell::Text(b"v")]);
    assert_eq!((decoder.next_id(), decoder.key_changes()), (4, 1));
}

#[test]
fn values_are_canonical_or_refused_and_never_shown() {
    let mut stream = Stream::new();
    stream.ok(encode::begin(100, 0, 7));
    stream.ok(encode::relation(1, "s", "t", b'd', &[("b", 16, false), ("x", 17, false)]));
    stream.decoder.set_keys(1, &[]).unwrap();
    let row = |b: &str, x: &str| insert(&[text(b), text(x)]);
    for (b, x) in
        [("true", "\\x"), ("T", "\\x"), ("", "\\x"), ("t", ""), ("t", "\\x0"), ("t", "\\xAB"), ("t", "\\001secret")]
    {
        let error = stream.send(row(b, x)).unwrap_err();
        assert_eq!(error.code(), "decode_bad_value");
        assert!(!Failure::from(error).to_string().contains("secret"));
    }
    stream.ok(row("t", "\\x"));
    stream.ok(row("f", "\\x00ff"));
    let cell = |change, column| stream.batch.new_cell(change, column);
    assert_eq!([cell(0, 0), cell(0, 1)], [Cell::Text(b"true"), Cell::Text(b"")]);
    assert_eq!([cell(1, 0), cell(1, 1)], [Cell::Text(b"false"), Cell::Text(b"00ff")]);
}

#[test]
fn the_stream_and_the_catalogue_agree_on_keys() {
    let columns = [("a", INT, true), ("b", INT, true), ("v", TEXT, false)];
    let cases: [(u8, &[&str], bool); 9] = [
        (b'd', &["b", "a"], true),
        (b'd', &["a"], false),
        (b'd', &["a", "b", "v"], false),
        (b'd', &["a", "c"], false),
        (b'd', &["a", "a"], false),
        (b'i', &["v"], true),
        (b'i', &["w"], false),
        (b'f', &[], true),
        (b'n', &["a"], true),
    ];
    for (identity, names, agree) in cases {
        let mut stream = Stream::new();
        stream.ok(encode::relation(1, "s", "t", identity, &columns));
        let result = stream.decoder.set_keys(1, &keys(names));
        assert_eq!(
            result.as_ref().map_err(DecodeError::code).err(),
            (!agree).then_some("key_disagreement"),
            "{names:?}"
        );
        assert_eq!(stream.log.len(), usize::from(agree));
        if agree {
            let found = stream.log.get(0).unwrap();
            let found: Vec<&str> = found.key_columns().iter().map(|index| columns[usize::from(*index)].0).collect();
            assert_eq!(found, names);
        }
    }
    assert_eq!(Stream::new().decoder.set_keys(1, &[]).unwrap_err().code(), "decode_unknown_relation");
}

#[test]
fn an_equal_description_is_no_new_version() {
    let mut stream = Stream::with_table(b'd');
    assert_eq!(stream.ok(table(b'd')), Step::Nothing);
    assert_eq!(stream.log.len(), 1);
    // What the flags cannot show is asked again; the same answer is the same version.
    assert_eq!(stream.ok(table(b'f')), Step::KeysNeeded { oid: 1 });
    stream.decoder.set_keys(1, &keys(&["id"])).unwrap();
    assert_eq!(stream.ok(table(b'f')), Step::KeysNeeded { oid: 1 });
    stream.decoder.set_keys(1, &keys(&["id"])).unwrap();
    assert_eq!(stream.log.len(), 2);
    assert_eq!(stream.ok(table(b'f')), Step::KeysNeeded { oid: 1 });
    stream.decoder.set_keys(1, &keys(&["v"])).unwrap();
    assert_eq!(stream.log.len(), 3);
    // Another connection, the same log.
    let mut again = Stream::resumed(Lsn(0), stream.log.clone());
    again.ok(table(b'f'));
    again.decoder.set_keys(1, &keys(&["v"])).unwrap();
    assert_eq!(again.log.len(), 3);
    again.ok(encode::begin(100, 0, 7));
    again.ok(insert(&[text("1"), Value::Null]));
    assert_eq!(again.batch.relations(), [2]);
}

#[test]
fn keys_are_asked_for_until_answered_and_where_the_flags_do_not_show_their_order() {
    let mut stream = Stream::new();
    let pair = || encode::relation(1, "s", "t", b'd', &[("a", INT, true), ("b", INT, true)]);
    assert_eq!(stream.ok(pair()), Step::KeysNeeded { oid: 1 });
    assert_eq!(stream.ok(pair()), Step::KeysNeeded { oid: 1 });
    stream.decoder.set_keys(1, &keys(&["a", "b"])).unwrap();
    assert_eq!(stream.ok(pair()), Step::KeysNeeded { oid: 1 });
    stream.decoder.set_keys(1, &keys(&["b", "a"])).unwrap();
    let orders: Vec<_> = (0..2).map(|id| stream.log.get(id).unwrap().key_columns()).collect();
    assert_eq!(orders, [[0, 1], [1, 0]]);
    let single = || encode::relation(2, "s", "u", b'd', &[("a", INT, true)]);
    assert_eq!(stream.ok(single()), Step::KeysNeeded { oid: 2 });
    assert_eq!(stream.ok(single()), Step::KeysNeeded { oid: 2 });
}

#[test]
fn skipped_transactions_give_tables_and_no_changes() {
    let mut stream = Stream::resumed(Lsn(108), RelationLog::new());
    assert_eq!(stream.ok(encode::begin(100, 0, 7)), Step::Nothing);
    assert!(stream.decoder.in_transaction());
    assert_eq!(stream.ok(table(b'd')), Step::KeysNeeded { oid: 1 });
    stream.decoder.set_keys(1, &keys(&["id"])).unwrap();
    assert_eq!(stream.ok(insert(&[text("1"), Value::Null])), Step::Nothing);
    assert_eq!(stream.ok(encode::truncate(&[1])), Step::Nothing);
    assert_eq!(stream.ok(encode::logical(true, 90, b"")), Step::Nothing);
    let error = stream.send(encode::commit(100, 116, 0)).unwrap_err();
    assert_eq!(error.code(), "decode_position_inside_transaction");
    assert_eq!(stream.ok(encode::commit(100, 108, 0)), Step::Nothing);
    assert_eq!((stream.batch.commits().len(), stream.decoder.next_id()), (0, 0));
    assert_eq!(stream.ok(encode::begin(108, 0, 8)), Step::Begin);
    assert_eq!(stream.ok(insert(&[text("1"), Value::Null])), Step::Row);
}

#[test]
fn ids_and_times_have_ends() {
    let limit = 1 << 53;
    let start = Start { shard: 1, shards: 2, database: String::new(), end_lsn: Lsn(0), next_id: limit / 2 - 1 };
    let mut stream = Stream { decoder: PgOutput::new(start, RelationLog::new()), ..Stream::new() };
    stream.ok(encode::begin(100, 0, 7));
    stream.ok(table(b'd'));
    stream.decoder.set_keys(1, &keys(&["id"])).unwrap();
    assert_eq!(stream.refused(encode::truncate(&[1, 1])), "decode_exhausted");
    stream.ok(insert(&[text("1"), Value::Null]));
    assert_eq!(stream.batch.ids(), [limit - 1]);
    assert_eq!(stream.refused(insert(&[text("1"), Value::Null])), "decode_exhausted");

    let mut stream = Stream::new();
    assert_eq!(stream.refused(encode::begin(100, i64::MAX, 7)), "decode_bad_message");
    stream.ok(encode::begin(100, -946_684_800_000_000, 7));
    stream.ok(encode::commit(100, 108, 0));
    assert_eq!(stream.batch.commits()[0].commit_time, 0);
}

#[test]
fn logical_messages_say_where_they_stand() {
    let mut stream = Stream::new();
    let outside = Step::LogicalMessage { lsn: Lsn(50), transactional: false };
    assert_eq!(stream.ok(encode::logical(false, 50, b"x")), outside);
    stream.ok(encode::begin(100, 0, 7));
    let inside = Step::LogicalMessage { lsn: Lsn(60), transactional: true };
    assert_eq!(stream.ok(encode::logical(true, 60, b"x")), inside);
    assert_eq!((stream.batch.len(), stream.decoder.next_id()), (0, 0));
}

#[test]
fn what_was_not_asked_for_is_refused() {
    let mut stream = Stream::new();
    for payload in [&b"S\0\0\0\x01\x01"[..], b"E", b"A\0\0\0\x01\0\0\0\x01"] {
        assert_eq!(stream.refused(payload.to_vec()), "streaming_not_requested");
    }
    // Two-phase commit of protocol 3, and openGauss's Begin with its 64-bit xid.
    assert_eq!(stream.refused(b"P".to_vec()), "decode_bad_message");
    let mut begin = encode::begin(100, 0, 7);
    begin.extend([0; 4]);
    assert_eq!(stream.refused(begin), "decode_bad_message");
}
