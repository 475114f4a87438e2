//! The changes that wait in the server's WAL while slots hold it.

use millrace_tests::gateway::Gateway;
use millrace_tests::kafka::Kafka;
use millrace_tests::postgres::Postgres;
use millrace_tests::sql::Database;
use millrace_tests::task::Task;
use std::time::Instant;

/// Ten columns of the usual types; half of the changes are inserts, four tenths updates, one tenth deletes, ten rows a
/// transaction.
const SCHEMA: &str = "
CREATE TABLE ledger(
  id bigint PRIMARY KEY, account bigint NOT NULL, name varchar(40) NOT NULL, amount numeric(12,2) NOT NULL, currency char(3) NOT NULL,
  memo text, booked_at timestamptz NOT NULL, valued_at timestamp NOT NULL, version int NOT NULL, open boolean NOT NULL);
CREATE TABLE pulse(id int PRIMARY KEY);
CREATE PROCEDURE fill(transactions bigint) LANGUAGE plpgsql AS $$
BEGIN
  FOR t IN 1..transactions LOOP
    INSERT INTO ledger SELECT t*5+n, (t*7919+n)%100000, 'customer '||(t*31+n)%5000, ((t*37+n)%1000000)/100.0, 'EUR',
      'transfer '||md5((t*5+n)::text), clock_timestamp(), localtimestamp, 0, n%2=0 FROM generate_series(1,5) n;
    UPDATE ledger SET amount=amount+1, version=version+1, open=NOT open WHERE id BETWEEN (t-1)*5+1 AND (t-1)*5+4;
    DELETE FROM ledger WHERE id=(t-1)*5+5;
    COMMIT;
  END LOOP;
END $$;
-- What the first transaction updates and deletes.
INSERT INTO ledger SELECT n, n, 'customer', 1, 'EUR', 'first', now(), localtimestamp, 0, true FROM generate_series(1,5) n;
CREATE PUBLICATION bench FOR TABLE ledger, pulse;
";

/// Slots, tasks and their database. Each slot is drained once.
pub struct Backlog {
    /// Where the changes are.
    pub database: Database,
    /// Slots for `pg_recvlogical`, one a round.
    pub ceiling_slots: Vec<String>,
    /// Tasks that acknowledge at once.
    pub blackhole: Vec<Task>,
    /// Tasks that write to the broker.
    pub kafka: Vec<Task>,
}

impl Backlog {
    /// Makes the tables and every slot. The gateway makes its own: each task is started once and stopped.
    pub fn prepare(postgres: &Postgres, kafka: &Kafka, rounds: usize) -> Self {
        let database = postgres.database("bench");
        database.exec(SCHEMA);
        let task = |kind: &str, round: usize| {
            let mut task = Task::new(&database, kafka);
            let name = format!("{}_{kind}{round}", database.name());
            task.text("task.name", &name)
                .text("source.publication", "bench")
                .text("source.slot", &format!("millrace_{name}"));
            task.set("objects.include", r#"["public.*"]"#)
                .set("route.partitions", "4")
                .set("route.partition_policy", "2");
            task.text("route.topic_name_format", &format!("{name}.$database$.$schema$.$tablename$"));
            let positions = task.dir().join("positions").display().to_string();
            task.unset("position.topic").text("position.store", "file").text("position.path", &positions);
            if kind == "blackhole" {
                task.text("sink.kind", "blackhole");
            }
            let mut gateway = Gateway::ready(&task);
            gateway.stop_cleanly();
            task
        };
        let blackhole = (0..rounds).map(|round| task("blackhole", round)).collect();
        let kafka = (0..rounds).map(|round| task("kafka", round)).collect();
        let ceiling_slots: Vec<String> = (0..rounds).map(|round| format!("ceiling_{round}")).collect();
        for slot in &ceiling_slots {
            database.exec(&format!("SELECT pg_create_logical_replication_slot('{slot}','pgoutput')"));
        }
        Self { database, ceiling_slots, blackhole, kafka }
    }

    /// Makes the changes; gives the seconds it took.
    pub fn fill(&self, changes: u64) -> f64 {
        let start = Instant::now();
        self.database.exec(&format!("CALL fill({})", changes / 10));
        self.database.exec("CHECKPOINT");
        start.elapsed().as_secs_f64()
    }

    /// Topic of the changes of a broker task.
    pub fn topic(&self, round: usize) -> String {
        format!("{}_kafka{round}.{}.public.ledger", self.database.name(), self.database.name())
    }
}
