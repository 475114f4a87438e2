//! Walsender connections: replication commands, SQL as the initial user, streams.
//!
//! Every error here is FATAL: it is told, ReadyForQuery follows, and the connection ends.

mod command;
mod keepalive;
mod options;
mod stream;

use crate::connection::Door;
use crate::creation::{self, no_such_slot, slot_is_active};
use crate::error::SqlError;
use crate::sql::SqlSession;
use crate::startup::Start;
use crate::wire::{self, Body, Field};
use command::Command;
use std::io;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// Who may not use slots is told this.
pub(crate) fn no_privilege() -> SqlError {
    let text =
        "must be system admin or replication role or a member of the gs_role_replication role to use replication slots";
    SqlError::new("42501", text)
}

/// A walsender that hears nothing for so long before a stream starts closes the connection.
const IDLE: Duration = Duration::from_secs(30);

/// What a command gave.
enum Outcome {
    /// Rows of a replication command.
    Rows(&'static [(&'static str, u32)], Vec<Option<String>>),
    /// Dropped: two tags.
    Dropped,
    /// Start streaming.
    Stream(stream::Plan),
}

/// Serves a walsender connection to its end.
///
/// # Errors
/// A broken connection.
pub(crate) async fn run(door: Door, start: Start) -> io::Result<()> {
    let Start { mut transport, mut session } = start;
    loop {
        let Ok(read) = tokio::time::timeout(IDLE, wire::read(&mut transport)).await else { return Ok(()) };
        let Some((tag, body)) = read? else { return Ok(()) };
        let mut out = Vec::new();
        match tag {
            b'Q' => {}
            b'X' => return Ok(()),
            // The extended protocol gets no answer at all.
            _ => continue,
        }
        let text = Body(&body).text().unwrap_or_default().to_owned();
        let outcome = match command::parse(&text) {
            Ok(Command::Sql) if session.logical => {
                let mut sql = SqlSession::new(&door, &mut session);
                let fine = sql.simple(&text, "FATAL", &mut out).await;
                wire::ready(&mut out, sql.state);
                transport.write_all(&out).await?;
                transport.flush().await?;
                if fine {
                    continue;
                }
                return transport.shutdown().await;
            }
            Ok(Command::Sql) => Err(SqlError::new("55000", "not connected to database")),
            // A slot may take its time: a client that goes away meanwhile is noticed.
            Ok(command @ Command::Create { .. }) => tokio::select! {
                made = run_command(&door, &session, command) => made,
                _ = wire::read(&mut transport) => return Ok(()),
            },
            Ok(command) => run_command(&door, &session, command).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(Outcome::Rows(fields, row)) => {
                let field = |(name, oid): &(&str, u32)| Field { name: (*name).to_owned(), oid: *oid };
                let fields: Vec<Field> = fields.iter().map(field).collect();
                wire::row_description(&mut out, &fields, false, 0);
                wire::data_row(&mut out, &row);
                wire::complete(&mut out, "SELECT");
                wire::ready(&mut out, b'I');
            }
            Ok(Outcome::Dropped) => {
                wire::complete(&mut out, "DROP_REPLICATION_SLOT");
                wire::complete(&mut out, "SELECT");
                wire::ready(&mut out, b'I');
            }
            Ok(Outcome::Stream(plan)) => return stream::run(&door, transport, plan).await,
            Err(error) => {
                wire::error(&mut out, "FATAL", &error);
                wire::ready(&mut out, b'I');
                transport.write_all(&out).await?;
                transport.flush().await?;
                return transport.shutdown().await;
            }
        }
        transport.write_all(&out).await?;
        transport.flush().await?;
    }
}

const TEXT: u32 = 25;
const INT4: u32 = 23;

async fn run_command(door: &Door, session: &crate::startup::Session, command: Command) -> Result<Outcome, SqlError> {
    let text = |value: &dyn ToString| Some(value.to_string());
    Ok(match command {
        Command::IdentifySystem => {
            let at = door.shared.nodes.iter().position(|node| std::sync::Arc::ptr_eq(node, &door.node)).unwrap_or(0);
            let system = 215_046_882_207_063_210 + at as u64;
            let database = session.logical.then(|| session.database.clone());
            let fields = &[("systemid", TEXT), ("timeline", INT4), ("xlogpos", TEXT), ("dbname", TEXT)];
            Outcome::Rows(fields, vec![text(&system), text(&1), text(&door.node.feed.end()), database])
        }
        Command::IdentifyVersion => {
            let fields = &[("sversion", INT4), ("pversion", TEXT), ("term", INT4)];
            Outcome::Rows(fields, vec![text(&90_204), text(&"MPPDB"), text(&1)])
        }
        Command::IdentifyMode => Outcome::Rows(&[("smode", INT4)], vec![text(&if door.is_primary() { 1 } else { 3 })]),
        Command::IdentifyMaxLsn => {
            let value = format!("{}|{}", door.node.name, door.node.feed.end());
            Outcome::Rows(&[("recptr", TEXT)], vec![Some(value)])
        }
        Command::IdentifyAz => Outcome::Rows(&[("azname", TEXT)], vec![text(&"")]),
        Command::Create { slot, plugin, use_snapshot } => {
            if use_snapshot {
                let text = "CREATE_REPLICATION_SLOT ... USE_SNAPSHOT must be called inside a transaction";
                return Err(SqlError::new("42809", text));
            }
            let never = std::future::pending();
            let point = creation::create(door, &slot, &plugin, &session.database, never).await?;
            let snapshot = format!("0000000D-{:08X}-1", door.shared.number());
            let fields =
                &[("slot_name", TEXT), ("consistent_point", TEXT), ("snapshot_name", TEXT), ("output_plugin", TEXT)];
            Outcome::Rows(fields, vec![Some(slot), text(&point), Some(snapshot), Some(plugin)])
        }
        Command::Drop { slot } => {
            let mut slots = door.node.slots();
            match slots.get(&slot) {
                None => return Err(no_such_slot(&slot)),
                Some(found) if found.active => return Err(slot_is_active(&slot)),
                Some(_) => slots.remove(&slot),
            };
            Outcome::Dropped
        }
        Command::Advance { slot, flush } => {
            // An older position is told back and moves nothing.
            if door.node.slots().get(&slot).is_none() {
                return Err(no_such_slot(&slot));
            }
            door.node.confirm(&slot, flush);
            Outcome::Rows(&[("slot_name", TEXT), ("confirmed_flush", TEXT)], vec![Some(slot), text(&flush)])
        }
        Command::Start { slot, from, options } => {
            Outcome::Stream(stream::Plan::new(door, session, &slot, from, &options)?)
        }
        Command::StartPhysical { slot } => {
            if door.node.slots().get(&slot).is_none() {
                return Err(no_such_slot(&slot));
            }
            let text = "cannot use a logical replication slot for physical replication";
            return Err(SqlError::new("55000", text));
        }
        Command::Sql => return Err(SqlError::new("55000", "not connected to database")),
    })
}
