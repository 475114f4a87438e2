//! What must hold for any bytes; shared by the fuzz target and the tests.

use millrace_batch::{Batch, Lsn, RelationLog, ReplicaIdentity};
use millrace_decode::mppdb::{self, CatalogueTable, Layout, Limits, Mppdb};
use millrace_decode::pgoutput::{Message, PgOutput, Start, Step};

/// A stream of pgoutput messages, each behind its length in 16 bits, network byte order.
pub fn pgoutput(data: &[u8]) {
    stream(&split(data));
}

/// A stream of mppdb_decoding payloads behind a byte that chooses the layout, each behind its length as above.
pub fn mppdb(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let layout = [Layout::Serial, Layout::Binary, Layout::Json, Layout::Text][usize::from(kind & 3)];
    payloads(layout, kind & 4 != 0, &split(data));
}

fn split(mut data: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while let Some((length, rest)) = data.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        messages.push(&rest[..length]);
        data = &rest[length..];
    }
    messages
}

/// A stream of payloads; the catalogue knows no table.
pub fn payloads<T: AsRef<[u8]>>(layout: Layout, batched: bool, payloads: &[T]) {
    let start = Start { shard: 0, shards: 1, database: "db".to_owned(), end_lsn: Lsn(0), next_id: 0 };
    let mut decoder = Mppdb::new(layout, start, RelationLog::new(), Limits { transaction_bytes: 1 << 20 });
    let mut batch = Batch::new(0);
    for (n, payload) in (1..).zip(payloads) {
        for frame in mppdb::frames(layout, batched, payload.as_ref()) {
            let Ok(frame) = frame else { break };
            let (next, inside) = (decoder.next_id(), decoder.in_transaction());
            let mut step = decoder.record(Lsn(n), frame);
            // A TRUNCATE may name many tables; each is asked for once.
            while step == Ok(mppdb::Step::TableNeeded) {
                let (schema, table) = decoder.needed().map(|(s, t)| (s.to_owned(), t.to_owned())).expect("a table");
                let (columns, key_columns) = (Vec::new(), Vec::new());
                let answer = CatalogueTable { oid: 0, identity: ReplicaIdentity::Full, columns, key_columns };
                decoder.set_table(&schema, &table, answer);
                step = decoder.record(Lsn(n), frame);
            }
            match step {
                Ok(mppdb::Step::Commit) => {
                    assert!(decoder.release(&mut batch, usize::MAX));
                    assert_eq!(batch.len() as u64, decoder.next_id() - next);
                    assert_eq!((batch.commits().len(), decoder.in_transaction()), (1, false));
                    batch.clear();
                }
                Ok(_) => assert_eq!(decoder.next_id(), next),
                Err(error) => {
                    assert_eq!((decoder.next_id(), decoder.in_transaction()), (next, inside));
                    assert!(error.offset() <= frame.bytes.len());
                }
            }
        }
    }
}

/// A stream of pgoutput messages.
pub fn stream<T: AsRef<[u8]>>(messages: &[T]) {
    let start = Start { shard: 0, shards: 1, database: "db".to_owned(), end_lsn: Lsn(0), next_id: 0 };
    let mut decoder = PgOutput::new(start, RelationLog::new());
    let mut batch = Batch::new(0);
    for message in messages.iter().map(AsRef::as_ref) {
        for in_stream in [false, true] {
            if let Err(error) = Message::parse(message, in_stream) {
                assert!(error.offset() <= message.len());
            }
        }
        let (before, next, inside) = (batch.clone(), decoder.next_id(), decoder.in_transaction());
        match decoder.message(Lsn(1), message, &mut batch) {
            Ok(step) => {
                assert!(Message::parse(message, false).is_ok() || (step == Step::Nothing && inside), "{step:?}");
                if let Step::KeysNeeded { oid } = step {
                    // A damaged description may be refused; its rows then are.
                    let _ = decoder.set_keys(oid, &flagged(message));
                }
                let changes = batch.len() - before.len();
                assert!(changes == 0 || matches!(step, Step::Row | Step::Truncate));
                assert!(changes == 1 || step != Step::Row);
                assert_eq!(batch.commits().len() - before.commits().len(), usize::from(step == Step::Commit));
                assert_eq!(decoder.next_id() - next, changes as u64);
            }
            Err(error) => {
                assert_eq!(batch, before);
                assert_eq!((decoder.next_id(), decoder.in_transaction()), (next, inside));
                assert!(error.offset() <= message.len());
            }
        }
        if batch.len() > 20 {
            batch.clear();
        }
    }
}

/// Columns a Relation message flags as the identity.
pub fn flagged(payload: &[u8]) -> Vec<String> {
    let Ok(Message::Relation { columns, .. }) = Message::parse(payload, false) else { panic!("no Relation message") };
    columns.iter().filter(|column| column.identity).map(|column| column.name.to_owned()).collect()
}
