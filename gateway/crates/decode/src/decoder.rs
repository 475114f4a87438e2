//! One decoder for a reader, whatever plugin the source has.
//!
//! Owns the conversation between a reader and the decoder of its stream: payload in, changes out, and what the decoder wants to know
//! of the catalogue in between. Must not know sockets or who asks the catalogue.

use crate::{
    Cut, mppdb,
    mppdb::{CatalogueTable, Mppdb},
    pgoutput,
    pgoutput::{ErrorKind, PgOutput},
};
use millrace_batch::{Batch, Failure, Lsn};

/// What a payload leads to. Everything but [`Step::Done`] wants the same payload again, after it was acted upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The payload is read whole: go on with the next frame. The batch may have got changes, transaction ends, or nothing.
    Done,
    /// The batch has reached a bound of [`Cut`]: hand it on, then give an empty one with the same payload.
    Cut,
    /// The catalogue must be asked; give [`Decoder::answer`], then the same payload.
    Ask(Ask),
    /// A transaction fills its memory and the spill. Read nothing more (TCP then holds the source back). Where other shards use the
    /// spill too, try the same payload again after some time; where none does, [`Decoder::too_large`] is the failure to end with.
    Full,
}

/// What the catalogue must be asked for. The transaction the stream stands in ([`Decoder::xid`]) must be visible to the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The columns of a table's primary key, in key order: [`Answer::Keys`].
    Keys {
        /// OID of the table.
        oid: u32,
    },
    /// A table by its names, unquoted: [`Answer::Table`].
    Table {
        /// Schema.
        schema: String,
        /// Table.
        table: String,
    },
}

/// The catalogue's answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Columns of the primary key, in key order; empty without one.
    Keys(Vec<String>),
    /// What the catalogue knows; [`CatalogueTable::gone`] where it knows none of that name.
    Table(CatalogueTable),
}

/// What a transaction that is not complete, or complete and not handed on, takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Changes.
    pub changes: u64,
    /// Bytes in memory.
    pub memory: u64,
    /// Bytes in the spill.
    pub spilled: u64,
}

/// Decoder of one connection's stream.
///
/// A reader hands each `XLogData` payload to [`Decoder::payload`] until that says [`Step::Done`]. What the decoder appended to the
/// batch is whole changes and transaction ends in commit order, also where it says something else or fails. After a failure the
/// stream is over: reconnect with a new decoder.
#[derive(Debug)]
pub enum Decoder {
    /// pgoutput, of PostgreSQL.
    PgOutput(Box<PgOutputStream>),
    /// mppdb_decoding, of GaussDB and openGauss (or of a PostgreSQL server with a plugin that writes the same).
    Mppdb(Box<Mppdb>),
}

/// [`PgOutput`] with what it remembers between two calls with the same payload.
#[derive(Debug)]
pub struct PgOutputStream {
    decoder: PgOutput,
    cut: Cut,
    /// The payload is in the batch; what is missing is the answer of the caller.
    read: bool,
    asked: Option<u32>,
}

impl Decoder {
    /// A decoder of pgoutput.
    pub fn pgoutput(decoder: PgOutput, cut: Cut) -> Decoder {
        Decoder::PgOutput(Box::new(PgOutputStream { decoder, cut, read: false, asked: None }))
    }

    /// A decoder of mppdb_decoding.
    pub fn mppdb(decoder: Mppdb) -> Decoder {
        Decoder::Mppdb(Box::new(decoder))
    }

    /// Reads the payload of one `XLogData` into the batch, from where it was left. `wal_start` is the first LSN of the header.
    ///
    /// # Errors
    /// What cannot be read faithfully, and a spill that fails. All are definite but the spill's.
    #[inline]
    pub fn payload(&mut self, wal_start: Lsn, payload: &[u8], batch: &mut Batch) -> Result<Step, Failure> {
        match self {
            Decoder::PgOutput(stream) => stream.payload(wal_start, payload, batch),
            Decoder::Mppdb(decoder) => Ok(match decoder.payload(wal_start, payload, batch)? {
                mppdb::Payload::Done => Step::Done,
                mppdb::Payload::Cut => Step::Cut,
                mppdb::Payload::Full => Step::Full,
                mppdb::Payload::TableNeeded => {
                    let (schema, table) = decoder.needed().unwrap_or_default();
                    Step::Ask(Ask::Table { schema: schema.to_owned(), table: table.to_owned() })
                }
            }),
        }
    }

    /// Answers [`Step::Ask`].
    ///
    /// # Errors
    /// `key_disagreement` where stream and answer cannot belong together.
    pub fn answer(&mut self, answer: Answer) -> Result<(), Failure> {
        match (self, answer) {
            (Decoder::PgOutput(stream), Answer::Keys(keys)) => match stream.asked.take() {
                Some(oid) => Ok(stream.decoder.set_keys(oid, &keys)?),
                None => Ok(()),
            },
            (Decoder::Mppdb(decoder), Answer::Table(table)) => {
                decoder.set_table(table);
                Ok(())
            }
            _ => Err(Failure::transient(
                "internal",
                "answering a decoder",
                "the answer is for another plugin",
                "report this with the log",
            )),
        }
    }

    /// Whether the stream stands inside a transaction, or one waits to be handed on.
    pub fn in_transaction(&self) -> bool {
        match self {
            Decoder::PgOutput(stream) => stream.decoder.in_transaction(),
            Decoder::Mppdb(decoder) => decoder.in_transaction(),
        }
    }

    /// Whether the end of the WAL in a keepalive that comes now may become a position, to be confirmed when everything before it is
    /// durable: pgoutput and serial decoding between transactions; parallel decoding never, because its keepalives run ahead of
    /// transactions still to be sent.
    pub fn keepalive_is_position(&self) -> bool {
        match self {
            Decoder::PgOutput(stream) => !stream.decoder.in_transaction() && !stream.read,
            Decoder::Mppdb(decoder) => decoder.keepalive_is_position(),
        }
    }

    /// Number of the transaction the stream stands in; none between transactions.
    pub fn xid(&self) -> Option<u64> {
        match self {
            Decoder::PgOutput(stream) => stream.decoder.xid().map(u64::from),
            Decoder::Mppdb(decoder) => decoder.xid(),
        }
    }

    /// The `n` of the next id.
    pub fn next_id(&self) -> u64 {
        match self {
            Decoder::PgOutput(stream) => stream.decoder.next_id(),
            Decoder::Mppdb(decoder) => decoder.next_id(),
        }
    }

    /// Updates of a primary key so far, as far as the source sent the old key.
    pub fn key_changes(&self) -> u64 {
        match self {
            Decoder::PgOutput(stream) => stream.decoder.key_changes(),
            Decoder::Mppdb(decoder) => decoder.key_changes(),
        }
    }

    /// What an incomplete transaction takes; nothing in pgoutput, whose rows go straight to batches.
    pub fn held(&self) -> Held {
        match self {
            Decoder::PgOutput(_) => Held::default(),
            Decoder::Mppdb(decoder) => decoder.held(),
        }
    }

    /// The failure behind [`Step::Full`].
    pub fn too_large(&self) -> Failure {
        let Held { changes, memory, spilled } = self.held();
        Failure::definite(
            "spill_full",
            "keeping a transaction until its end is known",
            format!(
                "its first {changes} changes take {memory} bytes of memory and {spilled} of the spill, which has no more room"
            ),
            "give the spill more room, then start again: the transaction is read from its beginning",
        )
    }
}

impl PgOutputStream {
    #[inline]
    fn payload(&mut self, wal_start: Lsn, payload: &[u8], batch: &mut Batch) -> Result<Step, Failure> {
        if let Some(oid) = self.asked {
            return Ok(Step::Ask(Ask::Keys { oid }));
        }
        if std::mem::take(&mut self.read) {
            return Ok(Step::Done);
        }
        match self.decoder.message(wal_start, payload, batch) {
            Ok(pgoutput::Step::KeysNeeded { oid }) => {
                (self.read, self.asked) = (true, Some(oid));
                Ok(Step::Ask(Ask::Keys { oid }))
            }
            Ok(pgoutput::Step::Row | pgoutput::Step::Truncate | pgoutput::Step::Commit)
                if self.cut.is_reached(batch) =>
            {
                self.read = true;
                Ok(Step::Cut)
            }
            Ok(_) => Ok(Step::Done),
            // The row fits an empty batch.
            Err(error) if *error.kind() == ErrorKind::BatchFull && !batch.is_empty() => Ok(Step::Cut),
            Err(error) => Err(error.into()),
        }
    }
}
