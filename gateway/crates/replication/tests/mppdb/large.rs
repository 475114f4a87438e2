//! A transaction far larger than the decoder's memory.

use crate::database::Database;
use crate::stream::{Reading, Variant};
use millrace_decode::mppdb::Layout;
use millrace_decode::{Cut, Spill};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

const ROWS: u64 = 300_000;
const MEMORY: usize = 4 << 20;

/// The plainest spill: a file that only grows.
#[derive(Debug)]
struct Plain {
    file: File,
    cleared: bool,
}

impl Spill for Plain {
    fn append(&mut self, parts: &[&[u8]]) -> io::Result<bool> {
        assert!(!self.cleared, "one large transaction only");
        parts.iter().try_for_each(|part| self.file.write_all(part))?;
        Ok(true)
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, offset)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.cleared = true;
        Ok(())
    }
}

#[tokio::test]
async fn three_hundred_thousand_rows_in_one_transaction_in_bounded_memory() {
    let database = Database::new("large").await;
    database.exec("CREATE TABLE finish (n int); CREATE TABLE t (id int8 PRIMARY KEY, v text, at timestamptz)").await;
    let slot = format!("mppdb_{}", database.name);
    database.exec(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'mppdb_decoding')")).await;
    database.exec(&format!(
        "INSERT INTO t SELECT n, 'value ' || n || repeat('.', (n % 50)::int), now() FROM generate_series(1, {ROWS}) n"
    )).await;
    // The plugin sends a batch with its third commit at the latest.
    for _ in 0..3 {
        database.exec("INSERT INTO finish VALUES (1)").await;
    }
    for variant in [Variant::mppdb(Layout::Serial, false), Variant::mppdb(Layout::Binary, true)] {
        let spill = Box::new(Plain { file: tempfile::tempfile().unwrap(), cleared: false });
        let cut = Cut { changes: 4096, bytes: 1 << 20 };
        {
            let mut reading = Reading::mppdb(&database, &variant, cut, MEMORY, spill).await;
            let (mut rows, mut commits, mut spilled) = (0, 0, 0);
            let mut most = 0;
            reading
                .read(|batch, _, decoder| {
                    let held = decoder.held();
                    (most, spilled) = (most.max(held.memory), spilled.max(held.spilled));
                    assert!(batch.len() <= cut.changes);
                    for n in 0..batch.len() {
                        rows += 1;
                        if rows <= ROWS {
                            let text = rows.to_string();
                            assert_eq!(batch.new_cell(n, 0), millrace_batch::Cell::Text(text.as_bytes()));
                            assert_eq!((batch.ids()[n], u64::from(batch.ordinals()[n])), (rows, rows - 1));
                        }
                    }
                    commits += batch.commits().len();
                    commits >= 2
                })
                .await;
            assert!(rows > ROWS);
            assert!(spilled > 10 << 20, "{spilled} bytes were spilled");
            assert!(most < 3 * MEMORY as u64, "{most} bytes in memory");
            println!(
                "{variant:?}: {} payloads, {} bytes, {spilled} spilled, {most} in memory",
                reading.payloads, reading.bytes
            );
        }
    }
}
