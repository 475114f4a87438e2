//! What exists in the simulated database: tables, columns, roles, settings.
//!
//! The model answers catalogue queries, shapes the workload and names columns in the stream. It knows nothing of wire formats.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How the serial, j and t layouts write a value of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Literal {
    /// As it is: integers, floats, numeric, oid.
    Bare,
    /// `true` and `false` for `t` and `f`.
    Boolean,
    /// `B'101'`.
    Bits,
    /// Between quotes, quotes doubled.
    Quoted,
}

/// A built-in type: name as `format_type` prints it, OID, OID of its array.
#[derive(Debug)]
pub struct Type {
    /// Name.
    pub name: &'static str,
    /// OID (`pg_type.h` of openGauss).
    pub oid: u32,
    /// Literal form.
    pub literal: Literal,
}

const fn ty(name: &'static str, oid: u32, literal: Literal) -> Type {
    Type { name, oid, literal }
}

/// The types tables can be made of; all that the vendor lists as synchronised, and a few more.
pub const TYPES: &[Type] = &[
    ty("integer", 23, Literal::Bare),
    ty("tinyint", 5545, Literal::Bare),
    ty("smallint", 21, Literal::Bare),
    ty("bigint", 20, Literal::Bare),
    ty("numeric", 1700, Literal::Bare),
    ty("real", 700, Literal::Bare),
    ty("double precision", 701, Literal::Bare),
    ty("character", 1042, Literal::Quoted),
    ty("character varying", 1043, Literal::Quoted),
    ty("nvarchar2", 3969, Literal::Quoted),
    ty("bit", 1560, Literal::Bits),
    ty("bit varying", 1562, Literal::Bits),
    ty("blob", 88, Literal::Quoted),
    ty("bytea", 17, Literal::Quoted),
    ty("clob", 90, Literal::Quoted),
    ty("raw", 86, Literal::Quoted),
    ty("text", 25, Literal::Quoted),
    ty("json", 114, Literal::Quoted),
    ty("boolean", 16, Literal::Boolean),
    ty("date", 1082, Literal::Quoted),
    ty("smalldatetime", 9003, Literal::Quoted),
    ty("time without time zone", 1083, Literal::Quoted),
    ty("time with time zone", 1266, Literal::Quoted),
    ty("timestamp without time zone", 1114, Literal::Quoted),
    ty("timestamp with time zone", 1184, Literal::Quoted),
    ty("interval", 1186, Literal::Quoted),
    ty("box", 603, Literal::Quoted),
    ty("cidr", 650, Literal::Quoted),
    ty("circle", 718, Literal::Quoted),
    ty("inet", 869, Literal::Quoted),
    ty("lseg", 601, Literal::Quoted),
    ty("macaddr", 829, Literal::Quoted),
    ty("money", 790, Literal::Quoted),
    ty("path", 602, Literal::Quoted),
    ty("point", 600, Literal::Quoted),
    ty("polygon", 604, Literal::Quoted),
    ty("tsquery", 3615, Literal::Quoted),
    ty("tsvector", 3614, Literal::Quoted),
    ty("refcursor", 1790, Literal::Quoted),
    ty("uuid", 2950, Literal::Quoted),
    ty("integer[]", 1007, Literal::Quoted),
    ty("text[]", 1009, Literal::Quoted),
    ty("numeric[]", 1231, Literal::Quoted),
    ty("oid", 26, Literal::Bare),
    ty("name", 19, Literal::Quoted),
    ty("jsonb", 3802, Literal::Quoted),
    ty("xml", 142, Literal::Quoted),
];

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name, unquoted.
    pub name: String,
    /// Type as `format_type` prints it without modifier.
    pub type_name: Cow<'static, str>,
    /// OID of the type.
    pub type_oid: u32,
    /// How the type's values are written.
    pub literal: Literal,
    /// `NOT NULL`.
    pub not_null: bool,
}

impl Column {
    /// A column of a type in [`TYPES`].
    ///
    /// # Panics
    /// When the type is not one of them: a mistake in a test, not input.
    pub fn new(name: &str, type_name: &str) -> Column {
        let found = TYPES.iter().find(|known| known.name == type_name);
        let Some(found) = found else { panic!("no such type: {type_name}") };
        let (type_name, type_oid, literal) = (Cow::Borrowed(found.name), found.oid, found.literal);
        Column { name: name.to_owned(), type_name, type_oid, literal, not_null: false }
    }
}

/// What the log keeps of the old row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The primary key (`d`).
    Default,
    /// The whole row (`f`).
    Full,
    /// Nothing (`n`).
    Nothing,
    /// These columns, by index (`i`).
    Index(Vec<usize>),
}

impl Identity {
    /// `relreplident`.
    pub fn letter(&self) -> char {
        match self {
            Identity::Default => 'd',
            Identity::Full => 'f',
            Identity::Nothing => 'n',
            Identity::Index(_) => 'i',
        }
    }
}

/// How the rows of a table are spread over the data nodes (`pgxc_class.pclocatortype`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locator {
    /// By the hash of the first key column: each row lives on one node.
    Hash,
    /// Every node has every row.
    Replicated,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// OID, the same on every node here.
    pub oid: u32,
    /// Schema, unquoted.
    pub schema: String,
    /// Name, unquoted.
    pub name: String,
    /// Columns in table order.
    pub columns: Vec<Column>,
    /// Primary key: indices of columns in key order; empty without one.
    pub key: Vec<usize>,
    /// Replica identity.
    pub identity: Identity,
    /// Distribution.
    pub locator: Locator,
    /// `relpersistence`: `p` lasting, `u` unlogged, `g` and `t` temporary.
    pub persistence: char,
    /// `reloptions`, as `{orientation=row,compression=no}` lists them.
    pub options: Vec<String>,
    /// `partstrategy` of a partitioned table: `r`, `i` (interval), `l`, `h`.
    pub partition_strategy: Option<char>,
    /// Names of constraints that may be checked late.
    pub deferrable: Vec<String>,
    /// Names of generated columns.
    pub generated: Vec<String>,
}

impl Table {
    /// A lasting row table with identity `default`, spread by hash. Columns are `name type` pairs; the first `key` columns are
    /// the primary key.
    pub fn new(schema: &str, name: &str, columns: &[(&str, &str)], key: usize) -> Table {
        let mut columns: Vec<Column> = columns.iter().map(|(name, kind)| Column::new(name, kind)).collect();
        columns.iter_mut().take(key).for_each(|column| column.not_null = true);
        Table {
            oid: 0,
            schema: schema.to_owned(),
            name: name.to_owned(),
            columns,
            key: (0..key).collect(),
            identity: Identity::Default,
            locator: Locator::Hash,
            persistence: 'p',
            options: vec!["orientation=row".to_owned(), "compression=no".to_owned()],
            partition_strategy: None,
            deferrable: Vec::new(),
            generated: Vec::new(),
        }
    }

    /// The same table with another replica identity.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Table {
        self.identity = identity;
        self
    }

    /// The same table on every node.
    #[must_use]
    pub fn replicated(mut self) -> Table {
        self.locator = Locator::Replicated;
        self
    }

    /// Columns of an old image, by index in table order.
    pub fn identity_columns(&self) -> Vec<usize> {
        let mut columns = match &self.identity {
            Identity::Default => self.key.clone(),
            Identity::Full => (0..self.columns.len()).collect(),
            Identity::Nothing => Vec::new(),
            Identity::Index(columns) => columns.clone(),
        };
        columns.sort_unstable();
        columns
    }
}

/// What a role may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Name.
    pub name: String,
    /// `SYSADMIN`.
    pub sysadmin: bool,
    /// `REPLICATION`.
    pub replication: bool,
    /// Member of `gs_role_replication`.
    pub member_of_replication: bool,
    /// `LOGIN`.
    pub login: bool,
    /// Schemas without `USAGE` and tables (`schema.table`) without `SELECT`; a system administrator reads them all the same.
    pub denied: Vec<String>,
}

impl Role {
    /// A role with the attribute `REPLICATION` and the right to read everything.
    pub fn replication(name: &str) -> Role {
        Role {
            name: name.to_owned(),
            sysadmin: false,
            replication: true,
            member_of_replication: false,
            login: true,
            denied: Vec::new(),
        }
    }

    /// Whether it may use slots and stream.
    pub fn may_replicate(&self) -> bool {
        self.sysadmin || self.replication || self.member_of_replication
    }

    /// Whether it has `USAGE` on the schema.
    pub fn uses_schema(&self, schema: &str) -> bool {
        self.sysadmin || !self.denied.iter().any(|denied| denied == schema)
    }

    /// Whether it has `SELECT` on the table.
    pub fn reads(&self, table: &Table) -> bool {
        let name = format!("{}.{}", table.schema, table.name);
        self.sysadmin || !self.denied.contains(&name)
    }
}

/// The database of a cluster.
#[derive(Debug, Clone)]
pub struct Catalogue {
    /// Database.
    pub database: String,
    /// Server encoding.
    pub encoding: String,
    /// `datcompatibility`: `A`, `B`, `C`, `PG`, `M`.
    pub compatibility: String,
    /// Tables, in the order of their OIDs.
    pub tables: Vec<Arc<Table>>,
    /// Settings by lower-case name, values as `SHOW` prints them.
    pub settings: BTreeMap<String, String>,
    /// `ALTER DATABASE ... SET`: what parallel decoding obeys.
    pub database_settings: BTreeMap<String, String>,
}

/// OID of the first table; below are the system's.
const FIRST_OID: u32 = 16_384;

impl Catalogue {
    /// A UTF-8 database in A compatibility with the settings of the recorded server.
    pub fn new(database: &str) -> Catalogue {
        let settings = [
            ("wal_level", "logical"),
            ("enable_slot_log", "on"),
            ("max_replication_slots", "64"),
            ("max_wal_senders", "32"),
            ("enableseparationofduty", "off"),
            ("enable_thread_pool", "on"),
            ("logical_decode_options_default", ""),
            ("logical_sender_timeout", "30s"),
            ("wal_sender_timeout", "6s"),
            ("ssl", "off"),
            ("extra_float_digits", "0"),
            ("behavior_compat_options", ""),
            ("enable_xlog_prune", "on"),
            ("max_size_for_xlog_prune", "2147483647kB"),
            ("max_keep_log_seg", "0"),
            ("server_version", "9.2.4"),
            ("server_version_num", "90204"),
            ("sql_compatibility", "A"),
            ("is_sysadmin", "off"),
            ("statement_timeout", "0"),
            ("lock_timeout", "0"),
            ("search_path", "\"$user\",public"),
            ("password_encryption_type", "2"),
            ("failed_login_attempts", "10"),
            ("listen_addresses", "127.0.0.1"),
            ("lc_monetary", "C"),
            ("max_connections", "200"),
            ("autovacuum", "on"),
        ];
        Catalogue {
            database: database.to_owned(),
            encoding: "UTF8".to_owned(),
            compatibility: "A".to_owned(),
            tables: Vec::new(),
            settings: settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            database_settings: BTreeMap::new(),
        }
    }

    /// Adds a table and gives it its OID.
    pub fn add(&mut self, mut table: Table) -> Arc<Table> {
        // A table has a type of its own and an index, which take numbers too.
        table.oid = FIRST_OID + 6 * self.tables.len() as u32;
        let table = Arc::new(table);
        self.tables.push(Arc::clone(&table));
        table
    }

    /// A table by its names.
    pub fn table(&self, schema: &str, name: &str) -> Option<&Arc<Table>> {
        self.tables.iter().find(|table| table.schema == schema && table.name == name)
    }

    /// The table of an OID.
    pub fn table_by_oid(&self, oid: u32) -> Option<&Arc<Table>> {
        self.tables.iter().find(|table| table.oid == oid)
    }

    /// Schemas of the tables, without repetition.
    pub fn schemas(&self) -> Vec<&str> {
        let mut schemas: Vec<&str> = self.tables.iter().map(|table| table.schema.as_str()).collect();
        schemas.sort_unstable();
        schemas.dedup();
        schemas
    }
}
