//! Router: a topic and a key by the values of columns, per table.
//!
//! A rule whose topic has no column in it costs nothing per change: the host hashes the key columns itself. Only a topic that is
//! made of values is asked for, and then with those columns alone.

mod config;
mod template;

use config::{Config, Rule};
use millrace_guest::{
    Cell, Change, Escape, Hashed, Image, Interest, JsonWriter, Module, Op, Partition, Relation, Route, RoutePlan,
    Routes, Selection, Target, topic,
};

use crate::template::Part;

/// The module.
pub struct RouteByColumn {
    config: Config,
    /// Room for a topic's name, and for a key.
    topic: String,
    key: Vec<u8>,
}

/// What is settled of a table whose topics are made of values. Positions are those of the listed columns.
pub struct Table {
    /// The topic, with a position in place of each column.
    parts: Vec<Filled>,
    key: Vec<usize>,
    /// Names of the listed columns, for messages.
    names: Vec<String>,
    /// Hashed where there is no key column, and of a truncate.
    whole: String,
}

enum Filled {
    Text(String),
    Cell(usize),
}

impl Module for RouteByColumn {
    const NAME: &'static str = "route-by-column";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");
}

impl Route for RouteByColumn {
    /// `None`: the plan says all.
    type Table = Option<Table>;

    fn init(config: &str) -> Result<Self, String> {
        Ok(Self { config: Config::parse(config)?, topic: String::new(), key: Vec::new() })
    }

    fn announce(&mut self, table: &Relation) -> Result<(RoutePlan, Self::Table), String> {
        let Relation { database, schema, table: name, .. } = table;
        let number = self.config.rules.iter().position(|rule| rule.tables.iter().any(|p| p.matches([schema, name])));
        let number = number
            .ok_or_else(|| format!("no rule names table {schema}.{name}; add one, or leave it out of the selection"))?;
        let rule = &self.config.rules[number];
        let why = |why: String| format!("rules[{number}] on table {schema}.{name}: {why}");
        let key = match &rule.key {
            Some(key) => key.iter().map(|name| index(table, name)).collect::<Result<Vec<_>, _>>().map_err(why)?,
            None => table.key(),
        };
        if rule.key.is_some() {
            key.iter().try_for_each(|&index| check_old(table, index)).map_err(why)?;
        }
        let whole = format!("{database}.{schema}.{name}");
        if rule.topic.columns().next().is_some() {
            let (reads, table) = self.per_change(table, rule, &key, whole).map_err(why)?;
            return Ok((RoutePlan::PerChange(reads), Some(table)));
        }
        let name = rule.topic.expand(database, schema, name);
        let topic = self.named(&name).map_err(|e| why(format!("topic {name:?}: {e}")))?;
        let plan = if key.is_empty() {
            RoutePlan::Fixed(Target { topic, partition: Partition::HashOf(whole.into_bytes()) })
        } else {
            RoutePlan::ByColumns(Hashed { topic, columns: key })
        };
        Ok((plan, None))
    }

    fn route(&mut self, table: &Self::Table, change: &Change<'_>, to: &mut Routes) -> Result<(), String> {
        let table = table.as_ref().ok_or("this table is routed by its plan")?;
        if change.op() == Op::Truncate {
            return Err(
                "a truncate has no row to take the topic from; leave truncates out of the publication".to_owned()
            );
        }
        let (new, old) = (change.new_image(), change.old_image());
        // An unchanged large value stands in the old row.
        let cell = |position: usize| {
            let row = new.as_ref().or(old.as_ref());
            let sent = |image: &Image<'_>| image.get(position).filter(|cell| *cell != Cell::Unchanged).is_some();
            let from = row.filter(|row| sent(row)).or_else(|| old.as_ref().filter(|old| sent(old)));
            from.and_then(|image| image.get(position))
        };
        self.topic.clear();
        for part in &table.parts {
            match part {
                Filled::Text(text) => self.topic.push_str(text),
                Filled::Cell(position) => {
                    let name = &table.names[*position];
                    let text = match cell(*position) {
                        Some(Cell::Text(text)) => std::str::from_utf8(text)
                            .map_err(|e| format!("column {name:?}: not UTF-8 at byte {}", e.valid_up_to()))?,
                        Some(Cell::Null) => {
                            self.config.null.as_deref().ok_or_else(|| format!("column {name:?} is NULL; set `null`"))?
                        }
                        _ => return Err(format!("column {name:?} was not sent by the source")),
                    };
                    self.topic.push_str(text);
                }
            }
        }
        if let Err(why) = topic::check(&self.topic) {
            if !self.config.sanitize {
                return Err(format!("topic {:?}: {why}; set sanitize = true to alter it", self.topic));
            }
            self.topic = topic::sanitize(&self.topic);
        }
        self.key.clear();
        let cells = table.key.iter().map(|&position| {
            let name = &table.names[position];
            cell(position).ok_or_else(|| format!("column {name:?} of the key was not sent by the source"))
        });
        match table.key.as_slice() {
            [] => self.key.extend_from_slice(table.whole.as_bytes()),
            [_] => {
                for cell in cells {
                    self.key.extend_from_slice(cell?.text().unwrap_or_default());
                }
            }
            _ => {
                // As the host writes several columns itself.
                let mut json = JsonWriter::new(&mut self.key, Escape::Plain);
                for (i, cell) in cells.enumerate() {
                    json.raw(if i == 0 { b"[" } else { b"," });
                    match cell?.text() {
                        Some(text) => json.string(text)?,
                        None => json.raw(b"null"),
                    }
                }
                json.raw(b"]");
            }
        }
        to.hash_of(&self.topic, &self.key);
        Ok(())
    }
}

impl RouteByColumn {
    fn named(&self, name: &str) -> Result<String, String> {
        match topic::check(name) {
            Ok(()) => Ok(name.to_owned()),
            Err(_) if self.config.sanitize => Ok(topic::sanitize(name)),
            Err(why) => Err(format!("{why}; set sanitize = true to alter it")),
        }
    }

    fn per_change(
        &self,
        table: &Relation,
        rule: &Rule,
        key: &[u16],
        whole: String,
    ) -> Result<(Interest, Table), String> {
        let mut listed: Vec<u16> = Vec::new();
        let mut position = |index: u16| {
            listed.iter().position(|&i| i == index).unwrap_or_else(|| {
                listed.push(index);
                listed.len() - 1
            })
        };
        let mut parts = Vec::new();
        for part in rule.topic.parts() {
            parts.push(match part {
                Part::Column(name) => {
                    let index = index(table, name)?;
                    check_old(table, index)?;
                    Filled::Cell(position(index))
                }
                part => Filled::Text(part.expand(&table.database, &table.schema, &table.table)),
            });
        }
        let mut places = Vec::new();
        for &index in key {
            check_old(table, index)?;
            places.push(position(index));
        }
        let names = listed.iter().map(|&i| table.columns[usize::from(i)].name.clone()).collect();
        let reads = Interest { new: Selection::Listed(listed.clone()), old: Selection::Listed(listed) };
        Ok((reads, Table { parts, key: places, names, whole }))
    }
}

/// A delete tells the value of a column where the whole old row is sent, or the column is of the key. Where it does not, a delete
/// would be sent to another topic than the row, or to none.
fn check_old(table: &Relation, index: u16) -> Result<(), String> {
    /// Replica identities: default, full.
    const DEFAULT: u8 = 0;
    const FULL: u8 = 1;
    let column = &table.columns[usize::from(index)];
    let known = table.identity == FULL || (table.identity == DEFAULT && column.key_position > 0);
    if known {
        return Ok(());
    }
    Err(format!(
        "a delete does not tell column {:?}; run ALTER TABLE \"{}\".\"{}\" REPLICA IDENTITY FULL",
        column.name, table.schema, table.table
    ))
}

fn index(table: &Relation, name: &str) -> Result<u16, String> {
    let found = (0..).zip(&table.columns).find(|(_, column)| column.name == name);
    found.map(|(index, _)| index).ok_or_else(|| format!("it has no column {name:?}"))
}

millrace_guest::export!(RouteByColumn: route);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        millrace_guest::golden::route::<RouteByColumn>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
    }
}
