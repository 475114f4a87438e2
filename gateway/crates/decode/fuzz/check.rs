//! What must hold for any bytes; shared by the fuzz target and the tests.

use millrace_batch::{Batch, Lsn, RelationLog, ReplicaIdentity};
use millrace_decode::mppdb::{self, CatalogueTable, Layout, Mppdb, Options};
use millrace_decode::pgoutput::{Message, PgOutput, Start, Step};
use millrace_decode::{Cut, Decoder, Encoding, NoSpill};

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
    records(layout, batched, payloads);
    let options = Options { batched, memory: 200, ..Options::new(layout) };
    let whole = through_decoder(options, Box::new(Memory::default()), payloads);
    // Small batches, and other text where the encoding is another: the same transactions.
    let cut = Cut { changes: 2, bytes: 50 };
    let parts = through_decoder(Options { cut, ..options }, Box::new(Memory::default()), payloads);
    assert_eq!(whole, parts);
    if let Ok(encoding) = Encoding::by_name("GB18030") {
        through_decoder(Options { encoding, ..options }, Box::new(NoSpill), payloads);
    }
}

/// A spill in memory.
#[derive(Debug, Default)]
pub struct Memory(pub Vec<u8>);

impl millrace_decode::Spill for Memory {
    fn append(&mut self, parts: &[&[u8]]) -> std::io::Result<bool> {
        parts.iter().for_each(|part| self.0.extend_from_slice(part));
        Ok(true)
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> std::io::Result<()> {
        into.copy_from_slice(&self.0[offset as usize..][..into.len()]);
        Ok(())
    }

    fn clear(&mut self) -> std::io::Result<()> {
        self.0.clear();
        Ok(())
    }
}

/// Ids, operations, numbers of cells, values, and ends of transactions.
pub type Seen = (Vec<u64>, Vec<u8>, Vec<u16>, Vec<u8>, Vec<Lsn>);

/// Everything a decoder appends until it refuses something.
pub fn through_decoder<T: AsRef<[u8]>>(
    options: Options,
    spill: Box<dyn millrace_decode::Spill>,
    payloads: &[T],
) -> Seen {
    let start = Start { shard: 0, shards: 1, database: "db".to_owned(), end_lsn: Lsn(0), next_id: 0 };
    let mut decoder = Decoder::mppdb(Mppdb::new(options, start, RelationLog::new(), spill));
    let (mut batch, mut seen) = (Batch::new(0), Seen::default());
    'stream: for (n, payload) in (1..).zip(payloads) {
        loop {
            let step = decoder.payload(Lsn(n), payload.as_ref(), &mut batch);
            if batch.len() > options.cut.changes {
                assert_eq!(batch.len(), options.cut.changes, "a cut batch grows");
            }
            match step {
                Ok(millrace_decode::Step::Done) => break,
                Ok(millrace_decode::Step::Ask(_)) => {
                    decoder
                        .answer(millrace_decode::Answer::Table(CatalogueTable::gone()))
                        .expect("a table was asked for");
                }
                Ok(millrace_decode::Step::Cut) => drain(&mut batch, &mut seen),
                Ok(millrace_decode::Step::Full) | Err(_) => break 'stream,
            }
        }
    }
    drain(&mut batch, &mut seen);
    seen
}

fn drain(batch: &mut Batch, seen: &mut Seen) {
    seen.0.extend_from_slice(batch.ids());
    seen.1.extend_from_slice(batch.ops());
    seen.2.extend(batch.new_cells().iter().zip(batch.old_cells()).map(|(new, old)| new + old));
    seen.3.extend_from_slice(batch.data());
    seen.4.extend(batch.commits().iter().map(|commit| commit.end_lsn));
    batch.clear();
}

/// A stream of records, one after another.
fn records<T: AsRef<[u8]>>(layout: Layout, batched: bool, payloads: &[T]) {
    let start = Start { shard: 0, shards: 1, database: "db".to_owned(), end_lsn: Lsn(0), next_id: 0 };
    let mut decoder = Mppdb::new(Options::new(layout), start, RelationLog::new(), Box::new(NoSpill));
    let mut batch = Batch::new(0);
    for (n, payload) in (1..).zip(payloads) {
        for frame in mppdb::frames(layout, batched, payload.as_ref()) {
            let Ok(frame) = frame else { break };
            let (next, inside) = (decoder.next_id(), decoder.in_transaction());
            let mut step = decoder.record(Lsn(n), frame);
            // A TRUNCATE may name many tables; each is asked for once.
            while step == Ok(mppdb::Step::TableNeeded) {
                assert!(decoder.needed().is_some());
                let identity = ReplicaIdentity::Full;
                decoder.set_table(CatalogueTable { identity, ..CatalogueTable::gone() });
                step = decoder.record(Lsn(n), frame);
            }
            match step {
                Ok(mppdb::Step::Commit) => {
                    assert_eq!(decoder.release(&mut batch), Ok(true));
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
