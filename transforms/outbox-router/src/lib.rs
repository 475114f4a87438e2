//! Messages out of an outbox table: topic by the kind of aggregate, key by its id, value as the application wrote it.
//!
//! One component for three places of a chain, each with the same config: as a filter it keeps the inserts, as a router it names
//! the topic, as a format it writes the payload. An outbox row that an application deletes again is no message.

mod config;

use config::{Columns, Config, Updates};
use millrace_guest::{
    Cell, Cells, Change, Filter, FilterPlan, Format, FormatPlan, Image, Interest, Key, Map, MapPlan, Module, Op,
    Records, Relation, Route, RoutePlan, Routes, Selection, Which, topic,
};

/// The module.
pub struct OutboxRouter {
    config: Config,
    /// Room for a topic's name.
    topic: String,
}

impl Module for OutboxRouter {
    const NAME: &'static str = "outbox-router";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");
}

fn init(config: &str) -> Result<OutboxRouter, String> {
    Ok(OutboxRouter { config: Config::parse(config)?, topic: String::new() })
}

impl OutboxRouter {
    /// Refuses tables that are no outbox: what they hold would be lost or wrong here.
    fn check(&self, table: &Relation) -> Result<(), String> {
        if self.config.tables.iter().any(|p| p.matches([&table.schema, &table.table])) {
            return Ok(());
        }
        Err(format!("table {}.{} is no outbox by `tables`; leave it out of the selection", table.schema, table.table))
    }

    /// Cells of the new image, listed.
    fn reads(table: &Relation, columns: &[&str]) -> Result<Interest, String> {
        let index = |name: &&str| {
            let found = (0..).zip(&table.columns).find(|(_, c)| c.name == **name);
            found.map(|(i, _)| i).ok_or_else(|| {
                format!("table {}.{} has no column {name:?}; name it in `columns`", table.schema, table.table)
            })
        };
        let listed = columns.iter().map(index).collect::<Result<Vec<u16>, _>>()?;
        Ok(Interest { new: Selection::Listed(listed), old: Selection::Nothing })
    }
}

fn text<'a>(change: &Change<'a>, position: usize, name: &str) -> Result<&'a [u8], String> {
    let cell = change.new_image().and_then(|image| image.get(position)).and_then(Cell::text);
    cell.ok_or_else(|| format!("column {name:?} of an outbox row is NULL"))
}

impl Filter for OutboxRouter {
    type Table = ();

    fn init(config: &str) -> Result<Self, String> {
        init(config)
    }

    fn announce(&mut self, table: &Relation) -> Result<(FilterPlan, ()), String> {
        self.check(table)?;
        Ok((FilterPlan::PerChange(Interest::NOTHING), ()))
    }

    fn keep(&mut self, (): &(), change: &Change<'_>) -> Result<bool, String> {
        match change.op() {
            Op::Insert => Ok(true),
            Op::Update if self.config.updates == Updates::Fault => {
                Err("an outbox row was updated; a message that was sent cannot change".to_owned())
            }
            Op::Update | Op::Delete | Op::Truncate => Ok(false),
        }
    }
}

/// There is nothing to map; the world of all stages asks for it.
impl Map for OutboxRouter {
    type Table = ();

    fn init(config: &str) -> Result<Self, String> {
        init(config)
    }

    fn announce(&mut self, _: &Relation) -> Result<(MapPlan, ()), String> {
        Ok((MapPlan::Unchanged, ()))
    }

    fn write(&mut self, (): &(), _: &Change<'_>, _: Which, _: Option<Image<'_>>, _: &mut Cells) -> Result<(), String> {
        Err("this module maps nothing".to_owned())
    }
}

impl Route for OutboxRouter {
    type Table = ();

    fn init(config: &str) -> Result<Self, String> {
        init(config)
    }

    fn announce(&mut self, table: &Relation) -> Result<(RoutePlan, ()), String> {
        self.check(table)?;
        let Columns { aggregate_type, aggregate_id, .. } = &self.config.columns;
        Ok((RoutePlan::PerChange(Self::reads(table, &[aggregate_type, aggregate_id])?), ()))
    }

    fn route(&mut self, (): &(), change: &Change<'_>, to: &mut Routes) -> Result<(), String> {
        if change.op() != Op::Insert {
            return Err("only inserts are messages: name this module as a filter too".to_owned());
        }
        let Columns { aggregate_type, aggregate_id, .. } = &self.config.columns;
        let value = std::str::from_utf8(text(change, 0, aggregate_type)?)
            .map_err(|e| format!("column {aggregate_type:?}: not UTF-8 at byte {}", e.valid_up_to()))?;
        let (before, after) = &self.config.topic;
        self.topic.clear();
        for part in [before.as_str(), value, after.as_str()] {
            self.topic.push_str(part);
        }
        topic::check(&self.topic).map_err(|why| format!("topic {:?}: {why}", self.topic))?;
        to.hash_of(&self.topic, text(change, 1, aggregate_id)?);
        Ok(())
    }
}

impl Format for OutboxRouter {
    type Table = ();

    fn init(config: &str) -> Result<Self, String> {
        init(config)
    }

    fn announce(&mut self, table: &Relation) -> Result<(FormatPlan, ()), String> {
        self.check(table)?;
        let config = &self.config;
        let mut columns = vec![config.columns.payload.as_str(), &config.columns.id];
        columns.extend(config.headers.values().map(String::as_str));
        Ok((Self::reads(table, &columns)?.into(), ()))
    }

    fn format(&mut self, (): &(), change: &Change<'_>, out: &mut Records) -> Result<(), String> {
        if change.op() != Op::Insert {
            return Err("only inserts are messages: name this module as a filter too".to_owned());
        }
        let image = change.new_image().ok_or("an insert without a row")?;
        let mut record = out.begin(Key::Hashed);
        match image.get(0) {
            Some(Cell::Text(payload)) => record.value().extend_from_slice(payload),
            // An application deletes an aggregate so, for compacted topics.
            Some(Cell::Null) => record.tombstone(),
            Some(Cell::Unchanged) | None => return Err("the payload was not sent".to_owned()),
        }
        record.header("id", text(change, 1, &self.config.columns.id)?);
        for (position, name) in (2..).zip(self.config.headers.keys()) {
            // A header that is not there says NULL.
            if let Some(Cell::Text(value)) = image.get(position) {
                record.header(name, value);
            }
        }
        record.finish();
        Ok(())
    }
}

millrace_guest::export!(OutboxRouter: transform);

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");

    #[test]
    fn golden_filter() {
        millrace_guest::golden::filter::<OutboxRouter>(&format!("{FOLDER}/filter"));
    }

    #[test]
    fn golden_route() {
        millrace_guest::golden::route::<OutboxRouter>(&format!("{FOLDER}/route"));
    }

    #[test]
    fn golden_format() {
        millrace_guest::golden::format::<OutboxRouter>(&format!("{FOLDER}/format"));
    }
}
