//! What most tests begin with: a database with tables, a publication of them, and a task that reads it.

use millrace_tests::kafka::Kafka;
use millrace_tests::postgres::Postgres;
use millrace_tests::servers;
use millrace_tests::sql::Database;
use millrace_tests::task::Task;
use millrace_tests::topics::{Reader, Record};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// How long a record may take to arrive on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

/// A database, its task, and the broker.
pub struct Stage<'a> {
    pub database: Arc<Database>,
    pub kafka: &'a Kafka,
    pub task: Task,
}

impl Stage<'static> {
    /// On the shared servers. `schema` is SQL that makes the tables.
    pub fn new(purpose: &str, schema: &str) -> Self {
        Stage::on(servers::postgres(), servers::kafka(), purpose, schema)
    }
}

impl<'a> Stage<'a> {
    /// On these servers.
    pub fn on(postgres: &Postgres, kafka: &'a Kafka, purpose: &str, schema: &str) -> Self {
        let database = Arc::new(postgres.database(purpose));
        database.exec(schema);
        let task = Task::new(&database, kafka);
        let stage = Stage { database, kafka, task };
        stage.publish();
        stage
    }

    /// Publishes every table of schema public that can be, under the task's name.
    fn publish(&self) {
        let tables = self.database.rows(
            "SELECT quote_ident(relname) FROM pg_class WHERE relnamespace='public'::regnamespace \
             AND relkind IN ('r','p') AND relpersistence='p' AND NOT relispartition ORDER BY 1",
        );
        let tables: Vec<String> =
            tables.into_iter().filter_map(|row| row[0].clone()).map(|t| format!("public.{t}")).collect();
        let of = if tables.is_empty() { String::new() } else { format!(" FOR TABLE {}", tables.join(", ")) };
        self.database.exec(&format!("CREATE PUBLICATION {}{of}", self.task.slot()));
    }

    /// Default topic of a table of schema public.
    pub fn topic(&self, table: &str) -> String {
        format!("{}-public-{table}", self.database.name())
    }

    /// Reads the default topics of these tables of schema public.
    pub fn reader(&self, tables: &[&str]) -> Reader {
        let topics: Vec<String> = tables.iter().map(|table| self.topic(table)).collect();
        self.kafka.reader(&topics.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// A field of the task's slot.
    pub fn slot_field(&self, column: &str) -> Option<String> {
        let slot = self.task.slot();
        self.database.one(&format!("SELECT max({column}::text) FROM pg_replication_slots WHERE slot_name='{slot}'"))
    }
}

/// Operation and new image (old image for a delete) of each record, in short.
pub fn summary(records: &[Record]) -> Vec<(String, Value)> {
    let short = |record: &Record| {
        let envelope = record.json();
        let image = if envelope["data"].is_null() { &envelope["old"][0] } else { &envelope["data"][0] };
        (envelope["type"].as_str().expect("a type").to_owned(), image.clone())
    };
    records.iter().map(short).collect()
}
