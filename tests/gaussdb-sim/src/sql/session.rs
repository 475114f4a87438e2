//! A session: messages in, answers out, settings, transactions, cancellation.

use super::answer::{Answer, binary, parameter};
use super::queries::{self, Asker, Found};
use super::text::{Argument, Token, statements};
use crate::catalogue::Locator;
use crate::connection::{Door, Transport};
use crate::creation;
use crate::error::SqlError;
use crate::log::{Cell, Op, RowChange};
use crate::startup::{Session, Start};
use crate::wire::{self, Body};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

/// What a session knows; also serves SQL on a walsender connection.
#[derive(Debug)]
pub(crate) struct SqlSession<'a> {
    door: &'a Door,
    session: &'a mut Session,
    cancel: Arc<Notify>,
    /// `I`, `T` or `E`.
    pub(crate) state: u8,
}

/// What a statement left open, by number of parameter.
#[derive(Debug, Clone, Default)]
struct Portal {
    statement: Vec<Token>,
    parameters: Vec<Option<String>>,
    binary: bool,
}

#[derive(Debug, Clone, Default)]
struct Prepared {
    statement: Vec<Token>,
    types: Vec<u32>,
}

impl<'a> SqlSession<'a> {
    pub(crate) fn new(door: &'a Door, session: &'a mut Session) -> SqlSession<'a> {
        SqlSession { door, session, cancel: Arc::new(Notify::new()), state: b'I' }
    }

    /// Runs a script by the simple protocol.
    pub(crate) async fn simple(&mut self, sql: &str, severity: &str, out: &mut Vec<u8>) -> bool {
        let Some(statements) = statements(sql) else {
            wire::error(out, severity, &SqlError::new("42601", "unterminated quoted string"));
            return false;
        };
        if statements.is_empty() {
            wire::message(out, b'I', |_| {});
        }
        for statement in statements {
            match self.statement(&statement, &[]).await {
                Ok(answer) => {
                    if !answer.fields.is_empty() {
                        wire::row_description(out, &answer.fields, false, -1);
                        answer.rows.iter().for_each(|row| wire::data_row(out, row));
                    }
                    wire::complete(out, &answer.tag);
                }
                Err(error) => {
                    if self.state == b'T' {
                        self.state = b'E';
                    }
                    wire::error(out, severity, &error);
                    return false;
                }
            }
        }
        true
    }

    fn asker(&self) -> Asker<'_> {
        Asker { door: self.door, session: self.session }
    }

    async fn statement(&mut self, statement: &[Token], parameters: &[Option<String>]) -> Result<Answer, SqlError> {
        if self.session.expired {
            let text = format!(
                "Please use \"ALTER ROLE user_name IDENTIFIED BY 'password' REPLACE 'old password';\" to modify the expired password of user {} before operation!",
                self.session.user
            );
            return Err(SqlError::new("28P02", text));
        }
        let words: Vec<&str> =
            statement.iter().map(|token| if let Token::Word(word) = token { word } else { "" }).collect();
        match words.as_slice() {
            ["begin", ..] | ["start", "transaction", ..] => {
                self.state = b'T';
                return Ok(Answer::done(if words[0] == "begin" { "BEGIN" } else { "START TRANSACTION" }));
            }
            ["commit" | "end", ..] => {
                let failed = std::mem::replace(&mut self.state, b'I') == b'E';
                return Ok(Answer::done(if failed { "ROLLBACK" } else { "COMMIT" }));
            }
            ["rollback" | "abort", ..] => {
                self.state = b'I';
                return Ok(Answer::done("ROLLBACK"));
            }
            _ if self.state == b'E' => {
                let text = "current transaction is aborted, commands ignored until end of transaction block";
                return Err(SqlError::new("25P02", text));
            }
            ["insert", "into", ..] => return self.insert(statement),
            ["set", ..] => return self.set(statement),
            ["reset", ..] => return Ok(Answer::done("RESET")),
            ["deallocate", ..] => return Ok(Answer::done("DEALLOCATE")),
            ["discard", ..] => return Ok(Answer::done("DISCARD ALL")),
            _ => {}
        }
        match queries::find(statement) {
            Some(Found::Create(slot, plugin)) => {
                self.create_slot(&resolve(&slot, parameters)?, &resolve(&plugin, parameters)?).await
            }
            Some(Found::Query(query, arguments)) => {
                let arguments: Vec<String> =
                    arguments.iter().map(|argument| resolve(argument, parameters)).collect::<Result<_, _>>()?;
                (query.rows)(&self.asker(), &arguments).map(|rows| Answer::rows(query.fields, rows))
            }
            None => {
                if let ["show", name] = words.as_slice() {
                    return queries::show(&self.asker(), name);
                }
                Err(SqlError::new("0A000", format!("gaussdb-sim does not know this statement: {}", shown(statement))))
            }
        }
    }

    /// `INSERT INTO schema.table VALUES (literals)`, committed at once: enough for a heartbeat. Through a coordinator the row goes to the node of
    /// its key, or to every node.
    fn insert(&self, statement: &[Token]) -> Result<Answer, SqlError> {
        let unknown =
            || SqlError::new("0A000", format!("gaussdb-sim does not know this statement: {}", shown(statement)));
        let [
            _,
            _,
            Token::Word(schema),
            Token::Word(dot),
            Token::Word(name),
            Token::Word(values),
            Token::Word(open),
            row @ ..,
            Token::Word(close),
        ] = statement
        else {
            return Err(unknown());
        };
        if [dot, values, open, close].map(String::as_str) != [".", "values", "(", ")"] {
            return Err(unknown());
        }
        let cell = |tokens: &[Token]| match tokens {
            [Token::Text(text) | Token::Number(text)] => Ok(Some(text.as_str().into())),
            [Token::Word(null)] if null == "null" => Ok(None),
            _ => Err(unknown()),
        };
        let cells = row.split(|token| matches!(token, Token::Word(comma) if comma == ","));
        let new: Vec<Cell> = cells.map(cell).collect::<Result<_, _>>()?;
        let shared = &self.door.shared;
        let catalogue = shared.catalogue();
        let missing = || SqlError::new("42P01", format!("relation \"{schema}.{name}\" does not exist"));
        let table = Arc::clone(catalogue.table(schema, name).ok_or_else(missing)?);
        if new.len() != table.columns.len() {
            return Err(SqlError::new("42601", "INSERT has another number of expressions than target columns"));
        }
        let key = table.key.first().and_then(|&at| new[at].as_deref()).unwrap_or_default();
        let hash = key.bytes().fold(0usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte)));
        let nodes: Vec<_> = shared.data_nodes().collect();
        let here = nodes.iter().position(|node| Arc::ptr_eq(node, &self.door.node));
        let target = here.unwrap_or(hash % nodes.len());
        let everywhere = here.is_none() && table.locator == Locator::Replicated;
        let change = RowChange { table, op: Op::Insert, new, old: Vec::new() };
        let part = |node| if everywhere || node == target { vec![change.clone()] } else { Vec::new() };
        shared.commit((0..nodes.len()).map(part).collect());
        Ok(Answer::done("INSERT 0 1"))
    }

    /// `SET [SESSION] name = value` and `TO`.
    fn set(&mut self, statement: &[Token]) -> Result<Answer, SqlError> {
        let mut words = statement.iter().skip(1).filter_map(|token| match token {
            Token::Word(word) if matches!(word.as_str(), "session" | "local" | "=" | "to" | ",") => None,
            Token::Word(word) | Token::Text(word) | Token::Number(word) => Some(word.clone()),
            Token::Parameter(_) => None,
        });
        let name = words.next().ok_or_else(|| SqlError::new("42601", "syntax error at end of input"))?;
        let value = words.collect::<Vec<_>>().join(", ");
        self.session.settings.insert(name, value);
        Ok(Answer::done("SET"))
    }

    fn statement_timeout(&self) -> Option<Duration> {
        let text = self.session.settings.get("statement_timeout")?;
        duration(text).filter(|bound| !bound.is_zero())
    }

    async fn create_slot(&mut self, slot: &str, plugin: &str) -> Result<Answer, SqlError> {
        if !self.asker().may_replicate() {
            return Err(crate::walsender::no_privilege());
        }
        let (timeout, cancel) = (self.statement_timeout(), Arc::clone(&self.cancel));
        let given_up = async move {
            let wait = async {
                match timeout {
                    Some(bound) => tokio::time::sleep(bound).await,
                    None => std::future::pending().await,
                }
            };
            let cancelled =
                |why: &str| SqlError::new("57014", format!("canceling statement due to {why}")).internal(15_528);
            tokio::select! {
                () = wait => cancelled("statement timeout"),
                () = cancel.notified() => cancelled("user request"),
            }
        };
        let database = self.session.database.clone();
        let point = creation::create(self.door, slot, plugin, &database, given_up).await?;
        let fields = [("slotname", 25), ("xlog_position", 25)];
        Ok(Answer::rows(&fields, vec![vec![Some(slot.to_owned()), Some(point.to_string())]]))
    }
}

/// A duration with the server's units; milliseconds without one.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let count: u64 = text[..digits].parse().ok()?;
    let millis = match text[digits..].trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    count.checked_mul(millis).map(Duration::from_millis)
}

fn resolve(argument: &Argument, parameters: &[Option<String>]) -> Result<String, SqlError> {
    match argument {
        Argument::Literal(text) => Ok(text.clone()),
        Argument::Parameter(number) => {
            let value = number.checked_sub(1).and_then(|at| parameters.get(at)).cloned().flatten();
            value.ok_or_else(|| SqlError::new("0A000", "gaussdb-sim takes no NULL parameters"))
        }
    }
}

fn shown(statement: &[Token]) -> String {
    let token = |token: &Token| match token {
        Token::Word(word) | Token::Number(word) => word.clone(),
        Token::Text(text) => format!("'{text}'"),
        Token::Parameter(number) => format!("${number}"),
    };
    statement.iter().map(token).collect::<Vec<_>>().join(" ")
}

/// Serves an ordinary session to its end.
///
/// # Errors
/// A broken connection.
pub(crate) async fn run(door: Door, start: Start) -> io::Result<()> {
    let Start { mut transport, mut session } = start;
    let process = (session.pid, session.key);
    let mut sql = SqlSession::new(&door, &mut session);
    let cancels = &door.shared.cancels;
    cancels.lock().unwrap_or_else(PoisonError::into_inner).insert(process, Arc::clone(&sql.cancel));
    let ended = converse(&mut transport, &mut sql).await;
    cancels.lock().unwrap_or_else(PoisonError::into_inner).remove(&process);
    ended
}

async fn converse(transport: &mut Transport, sql: &mut SqlSession<'_>) -> io::Result<()> {
    let mut extended = Extended::default();
    let mut out = Vec::new();
    while let Some((tag, body)) = wire::read(transport).await? {
        match tag {
            b'Q' => {
                let text = Body(&body).text().unwrap_or_default().to_owned();
                sql.simple(&text, "ERROR", &mut out).await;
                wire::ready(&mut out, sql.state);
            }
            b'S' => {
                extended.failed = false;
                wire::ready(&mut out, sql.state);
            }
            b'X' => break,
            // After an error everything is skipped up to the next Sync.
            _ if extended.failed => {}
            b'H' => {}
            _ => {
                if let Err(error) = extended.message(tag, &body, sql, &mut out).await {
                    extended.failed = true;
                    if sql.state == b'T' {
                        sql.state = b'E';
                    }
                    wire::error(&mut out, "ERROR", &error);
                }
            }
        }
        if matches!(tag, b'Q' | b'S' | b'H') {
            transport.write_all(&out).await?;
            transport.flush().await?;
            out.clear();
        }
    }
    Ok(())
}

/// State of the extended protocol.
#[derive(Debug, Default)]
struct Extended {
    prepared: HashMap<String, Prepared>,
    portals: HashMap<String, Portal>,
    failed: bool,
}

impl Extended {
    async fn message(
        &mut self,
        tag: u8,
        body: &[u8],
        sql: &mut SqlSession<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), SqlError> {
        let broken = || SqlError::new("08P01", "insufficient data left in message");
        let mut body = Body(body);
        match tag {
            b'P' => {
                let (name, text) = (body.text().ok_or_else(broken)?, body.text().ok_or_else(broken)?);
                let count = body.u16().ok_or_else(broken)?;
                let mut types = Vec::new();
                for _ in 0..count {
                    types.push(body.i32().ok_or_else(broken)? as u32);
                }
                let mut statements = statements(text).unwrap_or_default();
                if statements.len() > 1 {
                    return Err(SqlError::new("42601", "cannot insert multiple commands into a prepared statement"));
                }
                let statement = statements.pop().unwrap_or_default();
                let parameters =
                    statement.iter().filter_map(|token| if let Token::Parameter(n) = token { Some(*n) } else { None });
                // All values the known queries leave open can be told as text.
                types.resize(parameters.max().unwrap_or(0).max(types.len()), 25);
                types.iter_mut().filter(|oid| **oid == 0).for_each(|oid| *oid = 25);
                self.prepared.insert(name.to_owned(), Prepared { statement, types });
                wire::message(out, b'1', |_| {});
            }
            b'B' => {
                let (portal, name) = (body.text().ok_or_else(broken)?, body.text().ok_or_else(broken)?);
                let prepared =
                    self.prepared.get(name).ok_or_else(|| SqlError::new("26000", "no such prepared statement"))?;
                let formats = formats(&mut body).ok_or_else(broken)?;
                let count = usize::from(body.u16().ok_or_else(broken)?);
                let mut parameters = Vec::new();
                for at in 0..count {
                    let length = body.i32().ok_or_else(broken)?;
                    let is_binary = *formats.get(at).or(formats.first()).unwrap_or(&0) == 1;
                    let oid = prepared.types.get(at).copied().unwrap_or(25);
                    parameters.push(match usize::try_from(length) {
                        Ok(length) => {
                            let bytes = body.take(length).ok_or_else(broken)?;
                            let unknown =
                                || SqlError::new("0A000", format!("gaussdb-sim takes no parameter of type {oid}"));
                            Some(parameter(oid, is_binary, bytes).ok_or_else(unknown)?)
                        }
                        Err(_) => None,
                    });
                }
                let results = self::formats(&mut body).ok_or_else(broken)?;
                let statement = prepared.statement.clone();
                let binary = results.first() == Some(&1);
                self.portals.insert(portal.to_owned(), Portal { statement, parameters, binary });
                wire::message(out, b'2', |_| {});
            }
            b'D' => {
                let kind = body.take(1).ok_or_else(broken)?;
                let name = body.text().ok_or_else(broken)?;
                if kind == b"S" {
                    let prepared =
                        self.prepared.get(name).ok_or_else(|| SqlError::new("26000", "no such prepared statement"))?;
                    wire::message(out, b't', |out| {
                        out.extend_from_slice(&(prepared.types.len() as u16).to_be_bytes());
                        prepared.types.iter().for_each(|oid| out.extend_from_slice(&oid.to_be_bytes()));
                    });
                    describe(&queries::describe(&sql.asker(), &prepared.statement)?, false, out);
                } else {
                    let portal = self.portals.get(name).ok_or_else(|| SqlError::new("34000", "no such portal"))?;
                    describe(&queries::describe(&sql.asker(), &portal.statement)?, portal.binary, out);
                }
            }
            b'E' => {
                let name = body.text().ok_or_else(broken)?;
                let portal = self.portals.get(name).cloned().ok_or_else(|| SqlError::new("34000", "no such portal"))?;
                let answer = sql.statement(&portal.statement, &portal.parameters).await?;
                for row in &answer.rows {
                    let cell = |(field, value): (&wire::Field, &Option<String>)| {
                        let Some(value) = value else { return Ok(None) };
                        if !portal.binary {
                            return Ok(Some(value.clone().into_bytes()));
                        }
                        let unknown =
                            || SqlError::new("0A000", format!("gaussdb-sim has no binary form of type {}", field.oid));
                        binary(field.oid, value).map(Some).ok_or_else(unknown)
                    };
                    let row: Vec<_> = answer.fields.iter().zip(row).map(cell).collect::<Result<_, _>>()?;
                    wire::data_row(out, &row);
                }
                wire::complete(out, &answer.tag);
            }
            b'C' => {
                let kind = body.take(1).ok_or_else(broken)?;
                let name = body.text().ok_or_else(broken)?;
                if kind == b"S" {
                    self.prepared.remove(name).map(drop)
                } else {
                    self.portals.remove(name).map(drop)
                };
                wire::message(out, b'3', |_| {});
            }
            tag => return Err(SqlError::new("08P01", format!("invalid frontend message type {tag}"))),
        }
        Ok(())
    }
}

fn describe(fields: &[wire::Field], binary: bool, out: &mut Vec<u8>) {
    if fields.is_empty() {
        wire::message(out, b'n', |_| {});
    } else {
        wire::row_description(out, fields, binary, -1);
    }
}

fn formats(body: &mut Body<'_>) -> Option<Vec<u16>> {
    let count = body.u16()?;
    (0..count).map(|_| body.u16()).collect()
}
