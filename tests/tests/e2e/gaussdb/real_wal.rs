//! Real transactions through `mppdb_decoding`: a PostgreSQL server with the test plugin. The family of the server and the plugin vary
//! independently.

use crate::stage::{SOON, Stage};
use millrace_tests::gateway::Gateway;
use millrace_tests::oracle::Oracle;
use millrace_tests::postgres::Postgres;
use millrace_tests::shop::{self, Workload};
use millrace_tests::{seed, servers};
use std::time::Duration;

#[test]
fn real_transactions_agree_with_the_oracle_in_serial_and_parallel() {
    let postgres = Postgres::start_with_mppdb_decoding("");
    for (decoding, style) in [("serial", "b"), ("parallel", "b"), ("parallel", "j"), ("parallel", "t")] {
        let purpose = format!("mppdb_{decoding}_{style}");
        let stage = Stage::on(&postgres, servers::kafka(), &purpose, shop::SCHEMA);
        let oracle = Oracle::observe(&stage.database, &shop::TABLES).with_old_keys();
        let mut task = stage.task.clone();
        task.unset("source.publication");
        task.text("source.decoding", decoding).set("source.parallel", &format!("{{ style = \"{style}\" }}"));
        let mut gateway = Gateway::ready(&task);
        let workload = Workload::start(&stage.database, seed(&purpose), 4, Duration::ZERO);
        stage.database.wait_until("SELECT count(*) > 1500 FROM truth.history", "t", Duration::from_secs(60));
        workload.stop();
        let topics = oracle.topics(&stage.database);
        let mut reader = stage.kafka.reader(&topics.iter().map(String::as_str).collect::<Vec<_>>());
        let records = reader.exactly(oracle.count(&stage.database), SOON);
        let agreement = oracle.compare(&stage.database, records);
        assert_eq!(agreement.repeats, 0, "nothing is sent twice where nothing fails");
        gateway.stop_cleanly();
    }
}
