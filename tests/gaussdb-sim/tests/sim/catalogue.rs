//! Every catalogue query of the gateway, answered from the model.

use crate::client::{cluster, connect_options, create_slot};
use millrace_gaussdb_sim::{Options, Product, Table};
use millrace_replication::catalog::gauss::{self, NodeKind};
use millrace_replication::{Deployment, Product as Found, connect_sql};
use std::time::Duration;

#[tokio::test]
async fn a_coordinator_knows_the_cluster() {
    let cluster = cluster(Options { workload: None, ..Options::new() });
    let sql = connect_sql(&connect_options(cluster.port())).await.unwrap();
    let server = gauss::server(&sql).await.unwrap();
    assert_eq!(server.product.map(|found| found.product), Some(Found::GaussDb));
    assert_eq!((server.deployment, server.encoding.as_str()), (Some(Deployment::Distributed), "UTF8"));
    let nodes = gauss::nodes(&sql).await.unwrap();
    let data: Vec<_> = nodes.iter().filter(|node| node.kind == NodeKind::Data).collect();
    assert_eq!((nodes.len(), data.len()), (4, 3));
    let port = |node: usize| data[node].hosts[0].1;
    assert_eq!([port(0), port(1), port(2)], [cluster.data_port(0), cluster.data_port(1), cluster.data_port(2)]);
    let spread = gauss::node_tables(&sql).await.unwrap();
    let replicated: Vec<_> = spread.iter().filter(|table| table.replicated).map(|table| table.name.as_str()).collect();
    assert_eq!(replicated, ["countries"]);
    cluster.failover(1);
    let nodes = gauss::nodes(&sql).await.unwrap();
    let moved = nodes.iter().find(|node| node.name == "dn_6002").unwrap();
    assert_eq!(moved.hosts[0].1, cluster.data_port(1), "the catalogue names the new primary first");
}

#[tokio::test]
async fn a_data_node_answers_for_itself() {
    let cluster = cluster(Options { workload: None, ..Options::new() });
    create_slot(&cluster, 2, "s").await;
    let sql = connect_sql(&connect_options(cluster.data_port(2))).await.unwrap();
    assert!(gauss::server_role(&sql).await.unwrap().is_primary());
    let slot = gauss::slot(&sql, "s").await.unwrap().unwrap();
    assert_eq!((slot.plugin.as_deref(), slot.active), (Some("mppdb_decoding"), false));
    assert!(slot.confirmed_flush_lsn.is_some() && slot.retained_bytes.is_some());
    assert_eq!(gauss::slot(&sql, "other").await.unwrap(), None);
    gauss::drop_slot(&sql, "s").await.unwrap();
    assert!(cluster.slots(2).is_empty());
    let standby = cluster.instance_ports(2)[1];
    let sql = connect_sql(&connect_options(standby)).await.unwrap();
    assert!(!gauss::server_role(&sql).await.unwrap().is_primary());
}

#[tokio::test]
async fn settings_roles_and_tables_come_from_the_model() {
    let mut options = Options { product: Product::Centralized, data_nodes: 1, workload: None, ..Options::new() };
    let mut columnar = Table::new("sales", "facts", &[("id", "bigint")], 1);
    columnar.options = vec!["orientation=column".into(), "compression=low".into()];
    options.catalogue.add(columnar);
    options.catalogue.database_settings.insert("datestyle".into(), "German".into());
    let cluster = cluster(options);
    let sql = connect_sql(&connect_options(cluster.port())).await.unwrap();
    let settings = gauss::settings(&sql).await.unwrap();
    assert_eq!((settings["wal_level"].as_str(), settings["max_replication_slots"].as_str()), ("logical", "64"));
    assert_eq!(gauss::database_settings(&sql).await.unwrap()["datestyle"], "German");
    let role = gauss::role(&sql).await.unwrap();
    assert!(role.replication && !role.administrator && role.may_connect && role.name == "cdc");
    cluster.change_role("cdc", |role| role.denied.push("sales.orders".into()));
    cluster.change_catalogue(|catalogue| {
        catalogue.settings.insert("wal_level".into(), "replica".into());
    });
    let tables = gauss::tables(&sql).await.unwrap();
    let table = |name: &str| tables.iter().find(|table| table.name == name).unwrap();
    assert!(table("facts").columnar && table("facts").compressed);
    assert!(!table("orders").selectable && table("order_lines").selectable);
    assert!(!table("audit").primary_key && table("Order Notes").primary_key);
    assert_eq!(gauss::settings(&sql).await.unwrap()["wal_level"], "replica");
    let refused = gauss::create_slot(&sql, "s", "mppdb_decoding", Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(refused.failure().code, "wal_level");
}

#[tokio::test]
async fn an_unknown_statement_is_named() {
    let cluster = cluster(Options { workload: None, ..Options::new() });
    let sql = connect_sql(&connect_options(cluster.port())).await.unwrap();
    let error = sql.simple_query("SELECT * FROM nowhere").await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.message(), "gaussdb-sim does not know this statement: select * from nowhere");
}

/// Enough SQL for a heartbeat.
#[tokio::test]
async fn a_row_is_inserted_where_its_key_lives() {
    let cluster = cluster(Options { workload: None, ..Options::new() });
    let sql = connect_sql(&connect_options(cluster.port())).await.unwrap();
    sql.batch_execute("INSERT INTO sales.order_lines VALUES (7, 1, 'it''s', NULL)").await.unwrap();
    let counts = || cluster.truth().iter().map(|truth| truth.transactions.len()).sum::<usize>();
    assert_eq!(counts(), 1);
    sql.batch_execute("INSERT INTO sales.countries VALUES ('nl', 'Nederland')").await.unwrap();
    assert_eq!(counts(), 4, "a replicated table has the row on every node");
    let csns: Vec<u64> = cluster.truth().iter().map(|truth| truth.transactions.last().unwrap().csn).collect();
    assert!(csns.iter().all(|csn| *csn == csns[0]), "{csns:?}");
    let short = sql.batch_execute("INSERT INTO sales.countries VALUES ('nl')").await.unwrap_err();
    assert_eq!(short.code().unwrap().code(), "42601");
}

/// The extended protocol, for clients that prefer it.
#[tokio::test]
async fn prepared_statements_are_answered_in_binary() {
    let cluster = cluster(Options { workload: None, ..Options::new() });
    let sql = connect_sql(&connect_options(cluster.data_port(0))).await.unwrap();
    let row = sql.query_one("SELECT count(*) FROM pg_catalog.pg_get_replication_slots()", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);
    let oid = cluster.catalogue().tables[0].oid;
    let columns = format!(
        "SELECT a.attnum, a.attname, a.atttypid, format_type(a.atttypid, NULL) FROM pg_attribute a \
         WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
    );
    let rows = sql.query(&columns, &[]).await.unwrap();
    assert_eq!((rows[0].get::<_, i16>(0), rows[0].get::<_, &str>(1), rows[0].get::<_, u32>(2)), (1, "id", 20));
}
