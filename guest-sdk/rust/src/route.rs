//! The route stage: which topic and partition a change goes to.

use crate::{
    Batch, Change, Interest, Module, Relation, RoutePlan,
    bindings::exports::millrace::transform::route::Routes as Answer, tables::Tables,
};

/// Decides where changes go.
pub trait Route: Module + Sized {
    /// What the module keeps for one table; handed back with each of its changes.
    type Table: 'static;

    /// Makes the stage from its config.
    ///
    /// # Errors
    /// A text with the path in the config.
    fn init(config: &str) -> Result<Self, String>;

    /// Decides for a table what can be decided once.
    ///
    /// # Errors
    /// Why the table cannot be handled; the task does not go on with it.
    fn announce(&mut self, table: &Relation) -> Result<(RoutePlan, Self::Table), String>;

    /// Says where one change goes, by one call of a method of `to`. Called for tables of plan [`RoutePlan::PerChange`] only.
    ///
    /// # Errors
    /// Why this change cannot be routed; its neighbours are unharmed.
    fn route(&mut self, _table: &Self::Table, _change: &Change<'_>, _to: &mut Routes) -> Result<(), String> {
        Err("this module routes by table only".to_owned())
    }
}

/// Takes the answers of [`Route::route`].
pub struct Routes {
    answer: Answer,
}

impl Routes {
    /// Sends the change to a partition of this number.
    pub fn number(&mut self, topic: &str, partition: u32) {
        // Kafka counts partitions in an int32: what does not fit is refused by the host as out of range.
        self.push(topic, i32::try_from(partition).unwrap_or(i32::MAX));
    }

    /// Sends the change to the partition that the hash of these bytes names; they also are the record key, unless the
    /// format stage gives another.
    pub fn hash_of(&mut self, topic: &str, bytes: &[u8]) {
        self.answer.arena.extend_from_slice(bytes);
        self.push(topic, -1);
    }

    fn push(&mut self, topic: &str, partition: i32) {
        let Answer { topics, arena, topic_of, partitions, hash_ends, .. } = &mut self.answer;
        // Few topics per batch, and mostly the one of the change before.
        let index = topics.iter().rposition(|t| t == topic).unwrap_or_else(|| {
            topics.push(topic.to_owned());
            topics.len() - 1
        });
        topic_of.push(index as u32);
        partitions.push(partition);
        hash_ends.push(arena.len() as u32);
    }
}

/// Runs a [`Route`] on packed batches.
pub struct Routing<M: Route> {
    module: M,
    tables: Tables<M::Table>,
}

impl<M: Route> Routing<M> {
    /// See [`Route::init`].
    ///
    /// # Errors
    /// Those of the module.
    pub fn init(config: &str) -> Result<Self, String> {
        Ok(Self { module: M::init(config)?, tables: Tables::new() })
    }

    /// See [`Route::announce`].
    ///
    /// # Errors
    /// Those of the module.
    pub fn announce(&mut self, relation: Relation) -> Result<RoutePlan, String> {
        let (plan, table) = self.module.announce(&relation)?;
        let interest = if let RoutePlan::PerChange(interest) = &plan { interest } else { &Interest::NOTHING };
        self.tables.announce(relation, interest, table);
        Ok(plan)
    }

    /// Routes every change of a batch.
    #[must_use]
    pub fn process(&mut self, batch: &Batch) -> Answer {
        let changes = batch.ops.len();
        let mut routes = Routes {
            answer: Answer {
                topics: Vec::new(),
                arena: Vec::new(),
                topic_of: Vec::with_capacity(changes),
                partitions: Vec::with_capacity(changes),
                hash_ends: Vec::with_capacity(changes),
                faults: Vec::new(),
            },
        };
        let mut faults = Vec::new();
        let Self { module, tables } = self;
        tables.each_change(batch, &mut faults, |index, table, change| {
            let before = routes.answer.arena.len();
            let result = module.route(table, change, &mut routes).and_then(|()| match routes.answer.topic_of.len() {
                n if n == index + 1 => Ok(()),
                n => Err(format!("the module gave {} routes for one change", n - index)),
            });
            if result.is_err() {
                routes.answer.topic_of.truncate(index);
                routes.answer.partitions.truncate(index);
                routes.answer.hash_ends.truncate(index);
                routes.answer.arena.truncate(before);
                // The lists keep one element per change; what stands at a fault is ignored.
                routes.push("", 0);
            }
            result
        });
        // An unannounced relation never reached the closure, so its places are filled here.
        while routes.answer.topic_of.len() < changes {
            routes.push("", 0);
        }
        Answer { faults, ..routes.answer }
    }
}
