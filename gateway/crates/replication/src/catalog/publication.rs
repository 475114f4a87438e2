//! Publications and what they cover.

use super::get;
use super::table::{ReplicaIdentity, Table, key_columns};
use crate::error::Error;
use crate::quote::{quote_ident, quote_qualified};
use tokio_postgres::Client;

/// Operations a publication sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operations {
    /// `insert`.
    pub insert: bool,
    /// `update`.
    pub update: bool,
    /// `delete`.
    pub delete: bool,
    /// `truncate` (PostgreSQL 11).
    pub truncate: bool,
}

impl Operations {
    /// All of them.
    pub const ALL: Operations = Operations { insert: true, update: true, delete: true, truncate: true };

    /// Their names, separated by commas, as the option `publish` takes them.
    pub fn names(self) -> String {
        let all =
            [(self.insert, "insert"), (self.update, "update"), (self.delete, "delete"), (self.truncate, "truncate")];
        all.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
    }
}

/// A publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// OID.
    pub oid: u32,
    /// Name.
    pub name: String,
    /// `FOR ALL TABLES`, those of the future included.
    pub all_tables: bool,
    /// What it sends.
    pub operations: Operations,
    /// Changes of a partition are sent as those of the partitioned table (PostgreSQL 13).
    pub via_root: bool,
}

/// Looks a publication up; `None` where there is none.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn publication(client: &Client, name: &str) -> Result<Option<Publication>, Error> {
    let during = "looking up the publication";
    let sql = "SELECT p.oid, p.pubname::text, p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete,
                      COALESCE((pg_catalog.to_jsonb(p)->>'pubtruncate')::bool, false),
                      COALESCE((pg_catalog.to_jsonb(p)->>'pubviaroot')::bool, false)
               FROM pg_catalog.pg_publication p WHERE p.pubname = $1::text";
    let row = client.query_opt(sql, &[&name]).await.map_err(|error| Error::sql(during, error))?;
    let Some(row) = row else { return Ok(None) };
    let operations = Operations {
        insert: get(&row, 3, during)?,
        update: get(&row, 4, during)?,
        delete: get(&row, 5, during)?,
        truncate: get(&row, 6, during)?,
    };
    Ok(Some(Publication {
        oid: get(&row, 0, during)?,
        name: get(&row, 1, during)?,
        all_tables: get(&row, 2, during)?,
        operations,
        via_root: get(&row, 7, during)?,
    }))
}

/// A table as a publication sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedTable {
    /// Publication that covers it; a table in two of them is listed twice.
    pub publication: String,
    /// The table.
    pub table: Table,
    /// Columns that are sent, where the server tells (PostgreSQL 15): all of them unless a column list says otherwise.
    pub columns: Option<Vec<String>>,
    /// A column list leaves out some columns.
    pub column_list: bool,
    /// Condition on the rows that are sent (PostgreSQL 15).
    pub row_filter: Option<String>,
}

/// Tables these publications cover now, ordered by schema, name and publication.
///
/// # Errors
/// A failed query, as [`Error`].
pub async fn published_tables(client: &Client, publications: &[&str]) -> Result<Vec<PublishedTable>, Error> {
    let during = "listing the tables of the publication";
    let sql = format!(
        "SELECT p.pubname::text, c.oid, n.nspname::text, c.relname::text, c.relreplident::text, {}, {},
                pg_catalog.has_table_privilege(c.oid, 'SELECT'),
                CASE WHEN p.row ? 'attnames'
                     THEN ARRAY(SELECT pg_catalog.jsonb_array_elements_text(p.row->'attnames')) END,
                p.row->>'rowfilter',
                COALESCE(pg_catalog.jsonb_array_length(NULLIF(p.row->'attnames', 'null')) <
                         (SELECT count(*) FROM pg_catalog.pg_attribute a
                          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                            AND COALESCE(pg_catalog.to_jsonb(a)->>'attgenerated', '') = ''), false)
         FROM (SELECT t.pubname, t.schemaname, t.tablename, pg_catalog.to_jsonb(t) AS row
               FROM pg_catalog.pg_publication_tables t WHERE t.pubname::text = ANY($1)) p
         JOIN pg_catalog.pg_namespace n ON n.nspname = p.schemaname
         JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
         ORDER BY n.nspname, c.relname, p.pubname",
        key_columns("c.oid", "i.indisprimary"),
        key_columns("c.oid", "i.indisreplident AND c.relreplident = 'i'"),
    );
    let rows = client.query(&sql, &[&publications]).await.map_err(|error| Error::sql(during, error))?;
    let read = |row| {
        Ok(PublishedTable {
            publication: get(row, 0, during)?,
            table: Table {
                oid: get(row, 1, during)?,
                schema: get(row, 2, during)?,
                name: get(row, 3, during)?,
                replica_identity: ReplicaIdentity::read(get(row, 4, during)?, during)?,
                primary_key: get(row, 5, during)?,
                identity_index: get(row, 6, during)?,
                selectable: get(row, 7, during)?,
            },
            columns: get(row, 8, during)?,
            row_filter: get(row, 9, during)?,
            column_list: get(row, 10, during)?,
        })
    };
    rows.iter().map(read).collect()
}

/// What a publication to be created covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicationTables {
    /// All tables, those of the future included. Needs a superuser.
    All,
    /// These tables, as (schema, name).
    Listed(Vec<(String, String)>),
}

/// The statement that creates a publication. `via_root` needs PostgreSQL 13.
pub fn create_publication_sql(
    name: &str,
    tables: &PublicationTables,
    operations: Operations,
    via_root: bool,
) -> String {
    let covers = match tables {
        PublicationTables::All => "ALL TABLES".to_owned(),
        PublicationTables::Listed(list) => {
            let names: Vec<String> = list.iter().map(|(schema, name)| quote_qualified(schema, name)).collect();
            format!("TABLE {}", names.join(", "))
        }
    };
    let root = if via_root { ", publish_via_partition_root = true" } else { "" };
    format!("CREATE PUBLICATION {} FOR {covers} WITH (publish = '{}'{root});", quote_ident(name), operations.names())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publication_statement() {
        let tables = PublicationTables::Listed(vec![("shop".into(), "Or\"ders".into()), ("a".into(), "b".into())]);
        let operations = Operations { truncate: false, ..Operations::ALL };
        assert_eq!(
            create_publication_sql("p", &tables, operations, true),
            "CREATE PUBLICATION \"p\" FOR TABLE \"shop\".\"Or\"\"ders\", \"a\".\"b\" WITH (publish = 'insert, update, delete', publish_via_partition_root = true);"
        );
        assert!(create_publication_sql("p", &PublicationTables::All, operations, false).contains("FOR ALL TABLES"));
    }
}
