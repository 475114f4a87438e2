//! How fast the simulator sends: a flood in every layout to a reader that only counts bytes. `rate [ROWS]`, 2,000,000 by default.
//!
//! Prints rows and megabytes per second. Simulator and reader share the machine, so this is the least a client can be fed with.

use millrace_gaussdb_sim::{Cluster, Flood, Hba, Options, Product};
use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

/// Rows of a transaction.
const ROWS: u64 = 100;

fn message(tag: Option<u8>, body: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = tag.into_iter().collect();
    out.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    out.extend_from_slice(body);
    out
}

/// Reads messages up to one of this tag.
fn until(socket: &mut TcpStream, wanted: u8) -> std::io::Result<()> {
    loop {
        let mut head = [0; 5];
        socket.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let mut body = vec![0; length - 4];
        socket.read_exact(&mut body)?;
        if head[0] == b'E' {
            return Err(std::io::Error::other(String::from_utf8_lossy(&body).into_owned()));
        }
        if head[0] == wanted {
            return Ok(());
        }
    }
}

fn query(socket: &mut TcpStream, sql: &str, answer: u8) -> std::io::Result<()> {
    socket.write_all(&message(Some(b'Q'), format!("{sql}\0").as_bytes()))?;
    until(socket, answer)
}

fn main() -> Result<(), Box<dyn Error>> {
    let rows: u64 = std::env::args().nth(1).map_or(Ok(2_000_000), |rows| rows.parse())?;
    for (name, options) in [
        ("serial", ""),
        ("b", "(\"parallel-decode-num\" '4')"),
        ("b, batched", "(\"parallel-decode-num\" '4', \"sending-batch\" '1')"),
        ("j, batched", "(\"parallel-decode-num\" '4', \"decode-style\" 'j', \"sending-batch\" '1')"),
        ("t, batched", "(\"parallel-decode-num\" '4', \"decode-style\" 't', \"sending-batch\" '1')"),
    ] {
        let mut cluster = Options { product: Product::Centralized, data_nodes: 1, standbys: false, ..Options::new() };
        (cluster.sql_hba, cluster.replication_hba) = (Hba::Trust, Hba::Trust);
        let table = cluster.catalogue.add(Flood::example_table());
        cluster.flood = Some(Flood::new(Arc::clone(&table), ROWS, rows.div_ceil(ROWS)));
        let cluster = Cluster::start(cluster)?;
        let mut socket = TcpStream::connect(("127.0.0.1", cluster.port() + 1))?;
        let startup = b"\x00\x03\x003user\0cdc\0database\0shop\0replication\0database\0\0";
        socket.write_all(&message(None, startup))?;
        until(&mut socket, b'Z')?;
        query(&mut socket, "CREATE_REPLICATION_SLOT s LOGICAL mppdb_decoding", b'Z')?;
        query(&mut socket, &format!("START_REPLICATION SLOT s LOGICAL 0/0 {options}"), b'W')?;
        let (began, mut bytes, mut buffer) = (Instant::now(), 0, vec![0; 1 << 20]);
        // A batch that is not full waits for its timer: the last second is not counted.
        while cluster.rows_sent(0) < rows {
            bytes += socket.read(&mut buffer)?;
        }
        let seconds = began.elapsed().as_secs_f64();
        println!("{name:<11} {:>10.0} rows/s {:>6.0} MB/s", rows as f64 / seconds, bytes as f64 / 1e6 / seconds);
    }
    Ok(())
}
