//! The questions to the catalogue.

use crate::cluster::MAIN;
use millrace_replication::catalog::{self, Operations, PublicationTables, ReplicaIdentity, create_publication_sql};
use millrace_replication::{connect_sql, quote_literal};

#[tokio::test]
async fn server_settings_and_role() {
    let sql = MAIN.sql("postgres").await;
    let server = catalog::server(&sql).await.unwrap();
    assert!(server.version_num >= 100_000 && server.version.starts_with("PostgreSQL"), "{server:?}");
    assert_eq!((server.database.as_str(), server.encoding.as_str(), server.in_recovery), ("postgres", "UTF8", false));
    let settings = catalog::Settings::read(&sql).await.unwrap();
    assert_eq!(settings.wal_level, "logical");
    assert_eq!((settings.max_replication_slots, settings.max_wal_senders), (60, 30));
    assert_eq!(settings.wal_sender_timeout, Some(std::time::Duration::from_secs(60)));
    assert_eq!(settings.max_slot_wal_keep_size_mib, None);
    assert!(settings.allows_plugin("pgoutput"));
    assert!(catalog::wal_flush_position(&sql).await.unwrap().0 > 0);
    assert_eq!(catalog::setting(&sql, "wal_level").await.unwrap().as_deref(), Some("logical"));
    assert_eq!(catalog::setting(&sql, "no_such_setting").await.unwrap(), None);

    let role = catalog::role(&sql).await.unwrap();
    assert!(role.superuser && role.may_replicate() && role.may_create_in_database);
    let reader = connect_sql(&MAIN.tcp("reader", "postgres")).await.unwrap();
    let role = catalog::role(&reader).await.unwrap();
    assert_eq!((role.name.as_str(), role.may_replicate(), role.may_create_in_database), ("reader", false, false));
}

#[tokio::test]
async fn tables_and_publications() {
    let database = MAIN.database("catalogue");
    MAIN.psql(
        &database,
        r#"CREATE SCHEMA "Sh op";
           CREATE TABLE "Sh op"."Or'der" (a int, "B" text, c numeric(10,2) NOT NULL, PRIMARY KEY ("B", a) INCLUDE (c));
           CREATE TABLE bare (x int, y int GENERATED ALWAYS AS (x * 2) STORED);
           CREATE TABLE uniq (x int NOT NULL, y text, z text); CREATE UNIQUE INDEX u ON uniq (x);
           ALTER TABLE uniq REPLICA IDENTITY USING INDEX u; ALTER TABLE uniq DROP COLUMN y;
           ALTER TABLE bare REPLICA IDENTITY FULL;
           CREATE PUBLICATION listed FOR TABLE "Sh op"."Or'der" ("B", a), uniq WHERE (x > 5) WITH (publish = 'insert, delete');
           GRANT USAGE ON SCHEMA "Sh op" TO reader; GRANT SELECT ON uniq TO reader;"#,
    );
    let sql = MAIN.sql(&database).await;
    let order = catalog::table(&sql, "Sh op", "Or'der").await.unwrap().unwrap();
    assert_eq!(order.primary_key, ["B", "a"]);
    assert_eq!(order.replica_identity, ReplicaIdentity::Default);
    assert_eq!(catalog::primary_key(&sql, order.oid).await.unwrap(), ["B", "a"]);
    assert!(catalog::primary_key(&sql, 1).await.unwrap().is_empty());
    let uniq = catalog::table(&sql, "public", "uniq").await.unwrap().unwrap();
    assert_eq!((uniq.replica_identity, uniq.identity_index), (ReplicaIdentity::Index, vec!["x".to_owned()]));
    let bare = catalog::table(&sql, "public", "bare").await.unwrap().unwrap();
    assert_eq!((bare.replica_identity, bare.primary_key.len()), (ReplicaIdentity::Full, 0));
    assert_eq!(catalog::table(&sql, "public", "nothing").await.unwrap(), None);

    let columns = catalog::columns(&sql, order.oid).await.unwrap();
    let shown: Vec<_> = columns.iter().map(|c| (c.name.as_str(), c.type_name.as_str(), c.not_null)).collect();
    assert_eq!(shown, [("a", "integer", true), ("B", "text", true), ("c", "numeric(10,2)", true)]);
    assert!(catalog::columns(&sql, bare.oid).await.unwrap()[1].generated);

    let listed = catalog::publication(&sql, "listed").await.unwrap().unwrap();
    let operations = Operations { insert: true, update: false, delete: true, truncate: false };
    assert_eq!((listed.all_tables, listed.operations, listed.via_root), (false, operations, false));
    assert_eq!(catalog::publication(&sql, "nothing").await.unwrap(), None);

    let reader = connect_sql(&MAIN.tcp("reader", &database)).await.unwrap();
    let tables = catalog::published_tables(&reader, &["listed"]).await.unwrap();
    let shown: Vec<_> = tables
        .iter()
        .map(|t| (t.table.name.as_str(), t.column_list, t.row_filter.is_some(), t.table.selectable))
        .collect();
    assert_eq!(shown, [("Or'der", true, false, false), ("uniq", false, true, true)]);
    assert_eq!(tables[0].columns.as_ref().unwrap().len(), 2);
    assert_eq!(tables[1].row_filter.as_deref(), Some("(x > 5)"));

    let everything = create_publication_sql("All", &PublicationTables::All, Operations::ALL, true);
    sql.batch_execute(&everything).await.unwrap();
    let all = catalog::publication(&sql, "All").await.unwrap().unwrap();
    assert!(all.all_tables && all.via_root && all.operations == Operations::ALL);
    assert_eq!(catalog::published_tables(&sql, &["All", "listed"]).await.unwrap().len(), 5);
    let tables = PublicationTables::Listed(vec![("Sh op".into(), "Or'der".into())]);
    sql.batch_execute(&create_publication_sql("o", &tables, Operations::ALL, false)).await.unwrap();

    // What we quote, the server reads back the same.
    for text in ["plain", "it's", "back\\slash", "\"double\"", "naïve"] {
        let row = sql.query_one(&format!("SELECT {}", quote_literal(text)), &[]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), text);
    }
}
