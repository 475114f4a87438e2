//! What the source says about itself: one look at the catalogue.

use std::collections::BTreeMap;

use millrace_replication::{
    Error as Failed,
    catalog::gauss::{Mark, deferrable_constraints, undocumented_types},
};
use tokio_postgres::{Client, Error, Row};

/// Output of the gathering; judged by the other files of this folder.
#[derive(Clone, Debug, Default)]
pub(in crate::check) struct Facts {
    /// `server_version_num`.
    pub version: i32,
    /// Settings that exist on this server.
    pub settings: BTreeMap<String, String>,
    /// Role attributes: REPLICATION, SUPERUSER.
    pub replication: bool,
    pub superuser: bool,
    /// Whether settings kept for administrators are shown.
    pub reads_settings: bool,
    /// CREATE on the database.
    pub may_create: bool,
    /// Slots in use, all databases.
    pub slots_used: i64,
    /// Connections that read WAL.
    pub senders_used: i64,
    pub slot: Option<Slot>,
    pub publication: Option<Publication>,
    pub tables: Vec<Table>,
    pub long_transactions: Vec<LongTransaction>,
    /// Constraints that may be checked late, and columns of types that are not documented; of all tables.
    pub deferrable: Vec<Mark>,
    pub types: Vec<Mark>,
}

/// The task's slot.
#[derive(Clone, Debug, Default)]
pub(in crate::check) struct Slot {
    pub plugin: String,
    pub database: String,
    pub active_pid: Option<i32>,
    pub wal_status: Option<String>,
    pub confirmed: String,
    pub retained: i64,
}

/// The task's publication.
#[derive(Clone, Debug, Default)]
pub(in crate::check) struct Publication {
    pub all_tables: bool,
    pub via_root: bool,
    /// Operations it leaves out.
    pub left_out: Vec<&'static str>,
}

/// A table, as the stream would name it.
#[derive(Clone, Debug, Default)]
pub(in crate::check) struct Table {
    pub schema: String,
    pub name: String,
    pub partitioned: bool,
    pub is_partition: bool,
    pub unlogged: bool,
    /// `relreplident`: d, f, i or n.
    pub identity: String,
    pub primary_key: bool,
    pub may_use: bool,
    pub may_select: bool,
    pub generated_columns: i64,
    pub published: bool,
    pub row_filter: bool,
    pub column_list: bool,
}

impl Table {
    pub(in crate::check) fn qualified(&self) -> String {
        millrace_replication::quote_qualified(&self.schema, &self.name)
    }
}

/// A transaction old enough to hold up the making of a slot. Its query is not read: it may hold values of rows (I9).
#[derive(Clone, Debug, Default)]
pub(in crate::check) struct LongTransaction {
    /// Process id; absent for a prepared transaction.
    pub pid: Option<i32>,
    /// Identifier of a prepared transaction.
    pub gid: Option<String>,
    pub seconds: i64,
}

// `to_jsonb(row)->>'column'` reads columns that older servers do not have.
const SERVER: &str = "SELECT current_setting('server_version_num')::int4, \
    (SELECT rolreplication FROM pg_roles WHERE rolname = current_user), \
    (SELECT rolsuper FROM pg_roles WHERE rolname = current_user), \
    has_database_privilege(current_database(), 'CREATE'), \
    (SELECT count(*) FROM pg_replication_slots), \
    (SELECT count(*) FROM pg_stat_replication), \
    pg_has_role('pg_read_all_settings', 'USAGE')";

const SETTINGS: &str = "SELECT name, setting FROM pg_settings WHERE name IN \
    ('wal_level', 'max_replication_slots', 'max_wal_senders', 'output_plugin_libraries', 'wal_sender_timeout', \
     'max_slot_wal_keep_size')";

const SLOT: &str = "SELECT coalesce(plugin, ''), coalesce(database, ''), active_pid, to_jsonb(s)->>'wal_status', \
    coalesce(confirmed_flush_lsn::text, '0/0'), \
    coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, \
        restart_lsn), 0)::int8 \
    FROM pg_replication_slots s WHERE slot_name = $1";

const PUBLICATION: &str = "SELECT puballtables, pubinsert, pubupdate, pubdelete, \
    coalesce((to_jsonb(p)->>'pubviaroot')::bool, false) FROM pg_publication p WHERE pubname = $1";

const TABLES: &str = "SELECT n.nspname::text, c.relname::text, c.relkind = 'p', c.relispartition, c.relpersistence = 'u', \
    c.relreplident::text, \
    EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary), \
    has_schema_privilege(n.oid, 'USAGE'), has_table_privilege(c.oid, 'SELECT'), \
    (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
        AND coalesce(to_jsonb(a)->>'attgenerated', '') <> ''), \
    t.tablename IS NOT NULL, \
    to_jsonb(t)->>'rowfilter' IS NOT NULL, \
    coalesce(jsonb_array_length(CASE jsonb_typeof(to_jsonb(t)->'attnames') WHEN 'array' THEN to_jsonb(t)->'attnames' END) < \
        (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
            AND coalesce(to_jsonb(a)->>'attgenerated', '') = ''), false) \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    LEFT JOIN pg_publication_tables t ON t.pubname = $1 AND t.schemaname = n.nspname AND t.tablename = c.relname \
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' \
        AND n.nspname !~ '^pg_' ORDER BY 1, 2";

/// Age from which a transaction counts as long; the managed service's limit for making a slot.
const LONG: &str = "SELECT pid, NULL::text, extract(epoch FROM now() - xact_start)::int8 FROM pg_stat_activity \
    WHERE xact_start < now() - interval '300 seconds' AND pid <> pg_backend_pid() AND backend_type = 'client backend' \
    UNION ALL SELECT NULL, gid, extract(epoch FROM now() - prepared)::int8 FROM pg_prepared_xacts \
    WHERE prepared < now() - interval '300 seconds' ORDER BY 3 DESC LIMIT 20";

/// Every table outside the system schemas.
pub(in crate::check) async fn tables_of(client: &Client, publication: Option<&str>) -> Result<Vec<Table>, Error> {
    client.query(TABLES, &[&publication]).await?.iter().map(table_of).collect()
}

/// Asks everything; without a publication, every table is as it is sent by a plugin that needs none. Fails as a whole: a server that
/// answers one of these answers all.
pub(in crate::check) async fn gather(client: &Client, slot: &str, publication: Option<&str>) -> Result<Facts, Failed> {
    let during = "reading the catalogue";
    let facts = ask(client, slot, publication).await.map_err(|error| Failed::sql(during, error))?;
    Ok(Facts { deferrable: deferrable_constraints(client).await?, types: undocumented_types(client).await?, ..facts })
}

async fn ask(client: &Client, slot: &str, publication: Option<&str>) -> Result<Facts, Error> {
    let server = client.query_one(SERVER, &[]).await?;
    let settings = client.query(SETTINGS, &[]).await?;
    let slot = client.query_opt(SLOT, &[&slot]).await?;
    let made = client.query_opt(PUBLICATION, &[&publication]).await?;
    let tables = client.query(TABLES, &[&publication]).await?;
    let long = client.query(LONG, &[]).await?;
    Ok(Facts {
        version: server.try_get(0)?,
        replication: server.try_get(1)?,
        superuser: server.try_get(2)?,
        may_create: server.try_get(3)?,
        slots_used: server.try_get(4)?,
        senders_used: server.try_get(5)?,
        reads_settings: server.try_get(6)?,
        settings: settings.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, Error>>()?,
        slot: slot.map(|row| slot_of(&row)).transpose()?,
        publication: made.map(|row| publication_of(&row)).transpose()?,
        tables: tables.iter().map(table_of).collect::<Result<_, Error>>()?,
        long_transactions: long
            .iter()
            .map(|row| Ok(LongTransaction { pid: row.try_get(0)?, gid: row.try_get(1)?, seconds: row.try_get(2)? }))
            .collect::<Result<_, Error>>()?,
        ..Facts::default()
    })
}

fn slot_of(row: &Row) -> Result<Slot, Error> {
    Ok(Slot {
        plugin: row.try_get::<_, String>(0)?,
        database: row.try_get(1)?,
        active_pid: row.try_get(2)?,
        wal_status: row.try_get(3)?,
        confirmed: row.try_get(4)?,
        retained: row.try_get(5)?,
    })
}

fn publication_of(row: &Row) -> Result<Publication, Error> {
    let mut left_out = Vec::new();
    for (index, operation) in [(1, "insert"), (2, "update"), (3, "delete")] {
        if !row.try_get::<_, bool>(index)? {
            left_out.push(operation);
        }
    }
    Ok(Publication { all_tables: row.try_get(0)?, via_root: row.try_get(4)?, left_out })
}

fn table_of(row: &Row) -> Result<Table, Error> {
    Ok(Table {
        schema: row.try_get(0)?,
        name: row.try_get(1)?,
        partitioned: row.try_get(2)?,
        is_partition: row.try_get(3)?,
        unlogged: row.try_get(4)?,
        identity: row.try_get(5)?,
        primary_key: row.try_get(6)?,
        may_use: row.try_get(7)?,
        may_select: row.try_get(8)?,
        generated_columns: row.try_get(9)?,
        published: row.try_get(10)?,
        row_filter: row.try_get(11)?,
        column_list: row.try_get(12)?,
    })
}
