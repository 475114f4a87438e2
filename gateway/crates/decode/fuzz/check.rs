//! What must hold for any bytes; shared by the fuzz target and the tests.

use millrace_batch::{Batch, Lsn, RelationLog};
use millrace_decode::pgoutput::{Message, PgOutput, Start, Step};

/// A stream of messages, each behind its length in 16 bits, network byte order.
pub fn pgoutput(mut data: &[u8]) {
    let mut messages = Vec::new();
    while let Some((length, rest)) = data.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        messages.push(&rest[..length]);
        data = &rest[length..];
    }
    stream(&messages);
}

/// A stream of messages.
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
