//! The same WAL in every layout means the same.

use crate::database::Database;
use crate::stream::{Change, Reading, Transaction, Value, Variant};
use millrace_batch::{ReplicaIdentity, marks};
use millrace_decode::mppdb::Layout;
use millrace_decode::{Cut, NoSpill};

const SCHEMA: &str = r#"
CREATE TABLE finish (n int);
CREATE TABLE def (id int8 PRIMARY KEY, v text, n numeric, big text);
ALTER TABLE def ALTER big SET STORAGE EXTERNAL;
CREATE TABLE whole (a int, b text, big text);
ALTER TABLE whole REPLICA IDENTITY FULL;
ALTER TABLE whole ALTER big SET STORAGE EXTERNAL;
CREATE TABLE two (b int, v text, a int, PRIMARY KEY (a, b));
CREATE TABLE idx (id int NOT NULL, v text);
CREATE UNIQUE INDEX idx_id ON idx (id);
ALTER TABLE idx REPLICA IDENTITY USING INDEX idx_id;
CREATE SCHEMA "OddS";
CREATE TABLE "OddS"."Tab""le.x" ("a b" int PRIMARY KEY, "q""q" text, "select" text, "Großes" text);
CREATE TYPE mood AS ENUM ('sad', 'so ''so''');
CREATE DOMAIN price AS numeric(8, 3);
CREATE DOMAIN flag AS boolean;
CREATE TABLE types (
  id int PRIMARY KEY, i2 int2, i4 int4, i8 int8, n numeric, r real, d double precision, c char(5), vc varchar(20), t text,
  b1 bit(1), vb bit varying, by bytea, j json, jb jsonb, bo boolean, da date, ti time, tz timetz, ts timestamp, tt timestamptz,
  iv interval, box box, ci cidr, cc circle, ine inet, ls lseg, ma macaddr, mo money, pa path, po point, pg polygon,
  tq tsquery, tv tsvector, rc refcursor, u uuid, ai int[], an numeric[], ar real[], ad double precision[], at text[], att timestamptz[],
  ab boolean[], ch "char", o oid, m mood, p price, f flag, na name);
CREATE PUBLICATION everything FOR ALL TABLES;
"#;

/// Values of the table `types`, each with a row of its own.
const VALUES: &[(&str, &[&str])] = &[
    ("i2", &["-32768", "0"]),
    ("i4", &["2147483647"]),
    ("i8", &["-9223372036854775808"]),
    ("n", &["0.5", "-0.50", "0", "0.0001", "12.3400", "'NaN'", "1e20", "-0.00000000000000000001"]),
    ("r", &["0.1", "-0.5", "1e20", "1e-10", "123456", "1234567", "'Infinity'", "'NaN'", "'-0'", "0.0001"]),
    (
        "d",
        &[
            "0.1",
            "1.1",
            "1e15",
            "1e14",
            "123456789012345.5",
            "-0.00001",
            "0.0001",
            "1e300",
            "5e-324",
            "'-Infinity'",
            "100",
            "0.3",
        ],
    ),
    ("c", &["'ab'", "''"]),
    ("vc", &["'null'", "''", "NULL"]),
    (
        "t",
        &[
            r"'it''s'",
            r"'\'",
            r#"'"quoted" {"a":[1,2]}'"#,
            r"E'line\nand\ttab\r\x01\x1f\x7f'",
            "'  '",
            "'ünïcödé 日本 🎉'",
            "'B''101'''",
            "' new-tuple: x'",
        ],
    ),
    ("b1", &["B'1'"]),
    ("vb", &["B'0101'", "B''"]),
    ("by", &[r"'\x00ff27'", "''"]),
    ("j", &[r#"'{"a": "b\\n\"c"}'"#]),
    ("jb", &[r#"'{"a":[1,null,"x''y"]}'"#]),
    ("bo", &["true", "false", "NULL"]),
    ("da", &["'2021-12-16'", "'infinity'", "'0044-03-15 BC'", "'12021-12-16'"]),
    ("ti", &["'12:31:49.344365'"]),
    ("tz", &["'12:31:49.3+08'", "'00:00:00-03:30'"]),
    ("ts", &["'2021-12-16 12:31:49.344365'", "'2021-12-16'", "'-infinity'", "'0001-01-01 BC'"]),
    ("tt", &["'2021-12-16 12:31:49.344365+08'", "'infinity'", "'0001-12-31 23:59:59.5+00 BC'"]),
    ("iv", &["'1 year 2 mons -3 days 04:05:06.7'", "'0'", "'-1 mon'", "'100 hours'"]),
    ("box", &["'(2,2),(0.5,0)'"]),
    ("ci", &["'192.168.0.0/24'"]),
    ("cc", &["'<(0,0.5),1>'"]),
    ("ine", &["'::1'"]),
    ("ls", &["'[(0,0),(1,1)]'"]),
    ("ma", &["'08:00:2b:01:02:03'"]),
    ("mo", &["12.34", "-0.05"]),
    ("pa", &["'((0,0),(1,1))'"]),
    ("po", &["'(0.5,-0.5)'"]),
    ("pg", &["'((0,0),(1,1),(1,0))'"]),
    ("tq", &["'''fff'' | ''a b'''"]),
    ("tv", &["'''a'':1 ''b c'':2'"]),
    ("rc", &["'cursor'"]),
    ("u", &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"]),
    ("ai", &["'{1,2,NULL}'", "'{}'", "'[2:3]={1,2}'"]),
    ("an", &["'{0.5,-0.5,NaN,NULL}'", "'{{0.5,10},{-0.25,0}}'"]),
    ("ar", &["'{0.1,-0.5,Infinity,NULL}'"]),
    ("ad", &["'{0.1,1e300,NaN}'"]),
    ("at", &[r#"'{"a b","c\"d",NULL,"null","e,f"}'"#]),
    ("att", &["'{2021-12-16 12:31:49+08,NULL,infinity}'"]),
    ("ab", &["'{t,f,NULL}'"]),
    ("ch", &["'x'"]),
    ("o", &["4294967295"]),
    ("m", &["'so ''so'''"]),
    ("p", &["0.125"]),
    ("f", &["true"]),
    ("na", &["'pg_class'"]),
];

async fn prepare(name: &str) -> Database {
    let database = Database::new(name).await;
    database.exec(SCHEMA).await;
    // One slot is made before the next transaction begins, so both start at the same place.
    for (slot, plugin) in [("pg", "pgoutput"), ("mppdb", "mppdb_decoding")] {
        let name = format!("{slot}_{}", database.name);
        database.exec(&format!("SELECT pg_create_logical_replication_slot('{name}', '{plugin}')")).await;
    }
    database
}

/// Transactions of every kind; those of a list are one transaction each.
async fn run(database: &Database, statements: &[&str]) {
    for statement in statements {
        database.exec(&format!("BEGIN; {statement}; COMMIT")).await;
    }
}

async fn finish(database: &Database) {
    // The plugin sends a batch with its third commit at the latest.
    run(database, &["INSERT INTO finish VALUES (1)"; 3]).await;
}

const WORK: &[&str] = &[
    "INSERT INTO def VALUES (1, 'one', 0.5, repeat('x', 9000)), (2, NULL, NULL, NULL), (3, 'null', 10.10, '')",
    // An unchanged TOAST value, an unchanged key, a changed one.
    "UPDATE def SET v = 'uno' WHERE id = 1; UPDATE def SET id = 22 WHERE id = 2; UPDATE def SET big = repeat('y', 9000) WHERE id = 3",
    "DELETE FROM def WHERE id = 3",
    "SELECT 1",
    "INSERT INTO whole VALUES (1, 'a', repeat('z', 5000)), (NULL, NULL, NULL); UPDATE whole SET b = 'b' WHERE a = 1; DELETE FROM whole",
    "INSERT INTO two VALUES (1, 'x', 9); UPDATE two SET v = 'y'; UPDATE two SET b = 2; DELETE FROM two",
    "INSERT INTO idx VALUES (1, 'x'); UPDATE idx SET v = 'y'; UPDATE idx SET id = 2; DELETE FROM idx",
    // Released, rolled back, nested and mixed sub-transactions.
    "INSERT INTO def VALUES (10, 'top'); SAVEPOINT a; INSERT INTO def VALUES (11, 'a'); SAVEPOINT b; INSERT INTO def VALUES (12, 'b'); \
     ROLLBACK TO b; INSERT INTO def VALUES (13, 'after b'); RELEASE a; SAVEPOINT c; DELETE FROM def WHERE id = 10; ROLLBACK TO c; \
     INSERT INTO def VALUES (14, 'end')",
    "INSERT INTO def VALUES (99, 'never'); ROLLBACK; BEGIN",
    r#"INSERT INTO "OddS"."Tab""le.x" VALUES (1, 'q', 's', 'g'); UPDATE "OddS"."Tab""le.x" SET "q""q" = 'it''s "x"'; DELETE FROM "OddS"."Tab""le.x""#,
    // A large row, and one transaction with rows of many tables.
    "INSERT INTO def VALUES (20, repeat('wide ', 700000))",
    "INSERT INTO def SELECT n, 'row ' || n, n / 7.0 FROM generate_series(1000, 1400) n; UPDATE def SET v = v || '!' WHERE id >= 1000; \
     INSERT INTO whole SELECT n, 'x' FROM generate_series(1, 50) n; DELETE FROM def WHERE id BETWEEN 1100 AND 1200",
];

async fn work(database: &Database) {
    run(database, WORK).await;
    for (n, (column, value)) in
        VALUES.iter().flat_map(|(column, values)| values.iter().map(move |value| (column, value))).enumerate()
    {
        database.exec(&format!("INSERT INTO types (id, {column}) VALUES ({n}, {value})")).await;
    }
    run(database, &["UPDATE types SET t = 'u' WHERE id % 7 = 0; DELETE FROM types WHERE id % 2 = 0"]).await;
}

/// What mppdb_decoding says of the transactions pgoutput told: an update always has its old key, and unchanged TOAST values are there.
fn expected(mut transactions: Vec<Transaction>, seen: &[Transaction], truncates: bool) -> Vec<Transaction> {
    let mut id = 1;
    for (transaction, seen) in transactions.iter_mut().zip(seen) {
        transaction.changes.retain(|change| truncates || change.op != 3);
        for (change, seen) in transaction.changes.iter_mut().zip(&seen.changes) {
            change.id = id;
            id += 1;
            if change.op == 1 && change.old.is_empty() {
                let keys: Vec<usize> = match change.identity {
                    ReplicaIdentity::Index => vec![0],
                    _ => change.keys.iter().map(|key| usize::from(*key)).collect(),
                };
                let key =
                    |(place, value): (usize, &Value)| if keys.contains(&place) { value.clone() } else { Value::Unsent };
                change.old = change.new.iter().enumerate().map(key).collect();
                change.marks |= marks::OLD | marks::OLD_KEY_ONLY;
            }
            for (value, seen) in change.new.iter_mut().zip(&seen.new) {
                // Values outside the row are long runs of one letter here.
                if let (Value::Unsent, Value::Text(text)) = (&value, seen)
                    && text.len() >= 5000
                    && text.bytes().all(|byte| byte == text.as_bytes()[0])
                {
                    *value = seen.clone();
                }
            }
        }
    }
    transactions
}

/// pgoutput's names of types outside the built-in range carry their schema, as do the catalogue's where it is not on the path.
fn same_columns(left: &Change, right: &Change) -> bool {
    let bare = |name: &str| name.strip_prefix("public.").unwrap_or(name).to_owned();
    let columns =
        |change: &Change| change.columns.iter().map(|(name, kind)| (name.clone(), bare(kind))).collect::<Vec<_>>();
    columns(left) == columns(right)
}

fn compare(expected: &[Transaction], seen: &[Transaction], what: &str) {
    for (want, got) in expected.iter().zip(seen) {
        for (want, got) in want.changes.iter().zip(&got.changes) {
            assert!(same_columns(want, got), "{what}\n{want:?}\n{got:?}");
            let got = Change { columns: want.columns.clone(), ..got.clone() };
            assert!(*want == got, "{what}\n{want:?}\n{got:?}");
        }
        assert_eq!(want.changes.len(), got.changes.len(), "{what}: {:?}", want.end_lsn);
        assert_eq!((want.xid, want.end_lsn, want.commit_time), (got.xid, got.end_lsn, got.commit_time), "{what}");
    }
    assert_eq!(expected.len(), seen.len(), "{what}");
}

fn variants() -> Vec<Variant> {
    let mut out = vec![Variant::mppdb(Layout::Serial, false), Variant::mppdb(Layout::Binary, false)];
    out.extend([Layout::Binary, Layout::Json, Layout::Text].map(|layout| Variant::mppdb(layout, true)));
    out
}

/// Transactions without changes: pgoutput leaves them out, as the plugin does when asked.
fn skip_empty(mut variant: Variant) -> Variant {
    variant.more.push(("skip-empty-xacts", "1"));
    variant
}

#[tokio::test]
async fn every_layout_says_what_pgoutput_says() {
    let database = prepare("same").await;
    work(&database).await;
    finish(&database).await;
    let tiny = Cut { changes: 3, bytes: 2000 };
    let plain = Reading::pgoutput(&database, Cut::NEVER).await.transactions().await;
    let changes: usize = plain.iter().map(|transaction| transaction.changes.len()).sum();
    assert!(plain.len() > 100 && changes > 1000, "{} transactions, {changes} changes", plain.len());
    for variant in variants() {
        for cut in [Cut::NEVER, tiny] {
            let variant = skip_empty(variant.clone());
            let mut reading = Reading::mppdb(&database, &variant, cut, 16 << 20, Box::new(NoSpill)).await;
            let seen = reading.transactions().await;
            compare(&expected(plain.clone(), &seen, true), &seen, &format!("{variant:?} {cut:?}"));
            if variant.batched {
                assert!(reading.payloads < seen.len() as u64, "{} payloads", reading.payloads);
            }
        }
    }
}

/// TRUNCATE is a line of serial decoding; the parallel styles do not tell it.
#[tokio::test]
async fn truncate_is_told_by_serial_decoding() {
    let database = prepare("truncate").await;
    run(
        &database,
        &[
            "INSERT INTO def VALUES (1); INSERT INTO whole VALUES (1)",
            "TRUNCATE def, whole, \"OddS\".\"Tab\"\"le.x\"",
            "INSERT INTO def VALUES (1); TRUNCATE def RESTART IDENTITY CASCADE; INSERT INTO def VALUES (2)",
        ],
    )
    .await;
    finish(&database).await;
    let plain = Reading::pgoutput(&database, Cut::NEVER).await.transactions().await;
    assert_eq!(plain.iter().flat_map(|t| &t.changes).filter(|change| change.op == 3).count(), 4);
    for variant in variants() {
        let mut reading = Reading::mppdb(&database, &variant, Cut::NEVER, 16 << 20, Box::new(NoSpill)).await;
        let mut seen = reading.transactions().await;
        let mut plain = plain.clone();
        if variant.layout != Layout::Serial {
            // What is left of the TRUNCATE alone is an empty transaction.
            plain[1].changes.clear();
        }
        for transaction in plain.iter_mut().chain(&mut seen) {
            // The order of tables in one TRUNCATE is the statement's in both.
            transaction.changes.iter_mut().for_each(|change| change.id = 0);
        }
        let mut want = expected(plain, &seen, variant.layout == Layout::Serial);
        want.iter_mut().flat_map(|transaction| &mut transaction.changes).for_each(|change| change.id = 0);
        compare(&want, &seen, &format!("{variant:?}"));
    }
}

/// Without skip-empty-xacts every transaction of the database has an end, which a parallel stream needs to advance.
#[tokio::test]
async fn empty_transactions_have_an_end() {
    let database = prepare("empty").await;
    database.exec("CREATE TABLE before_empty (n int)").await;
    run(&database, &["INSERT INTO def VALUES (1)"]).await;
    database.exec("CREATE TABLE after_empty (n int)").await;
    finish(&database).await;
    for variant in variants() {
        let mut reading = Reading::mppdb(&database, &variant, Cut::NEVER, 16 << 20, Box::new(NoSpill)).await;
        let seen = reading.transactions().await;
        let counts: Vec<usize> = seen.iter().map(|transaction| transaction.changes.len()).collect();
        assert_eq!(counts, [0, 1, 0], "{variant:?}");
        assert!(seen.windows(2).all(|pair| pair[0].end_lsn < pair[1].end_lsn));
        drop(reading);
        let listed = Variant { more: vec![("white-table-list", "public.finish, OddS.*")], ..variant.clone() };
        let mut reading = Reading::mppdb(&database, &listed, Cut::NEVER, 16 << 20, Box::new(NoSpill)).await;
        let seen = reading.transactions().await;
        assert!(seen.iter().all(|transaction| transaction.changes.is_empty()), "{variant:?}");
    }
}

/// A primary key that moves to other columns, and an identity that changes, without a change of columns.
#[tokio::test]
async fn a_key_that_moves_is_noticed() {
    let database = prepare("moved").await;
    run(&database, &["INSERT INTO def VALUES (1, 'a'); UPDATE def SET n = 1"]).await;
    let variant = skip_empty(Variant::mppdb(Layout::Serial, false));
    let mut reading = Reading::mppdb(&database, &variant, Cut::NEVER, 1 << 20, Box::new(NoSpill)).await;
    let move_key = "ALTER TABLE def DROP CONSTRAINT def_pkey; ALTER TABLE def ALTER v SET NOT NULL; ALTER TABLE def ADD PRIMARY KEY (v)";
    database.exec(move_key).await;
    run(&database, &["UPDATE def SET n = 2"]).await;
    database.exec("ALTER TABLE def REPLICA IDENTITY FULL").await;
    run(&database, &["UPDATE def SET n = 3"]).await;
    finish(&database).await;
    let seen = reading.transactions().await;
    let updates: Vec<_> = seen.iter().flat_map(|t| &t.changes).filter(|change| change.op == 1).collect();
    assert_eq!(updates.len(), 3);
    // Asked when the stream had all of it in front: the catalogue of the time of reading.
    assert_eq!(updates[1].keys, [1]);
    assert_eq!((&updates[2].keys[..], updates[2].identity), (&[1][..], ReplicaIdentity::Full));
    assert_eq!(updates[2].marks & marks::OLD_KEY_ONLY, 0);
}
