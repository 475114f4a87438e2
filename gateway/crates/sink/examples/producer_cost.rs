//! CPU per record of producing to a real broker: `producer_cost BROKERS [RECORDS [BROKER_PID]]`.
//!
//! Values are JSON documents of about 850 bytes, all different, to 8 partitions. Costs are of this process, all threads (the
//! client's and the compression included), and of the broker where its process id is given, from /proc/PID/stat. The topic is made, and not removed.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use millrace_sink::{Compression, Header, KafkaConfig, OutRecord, Producer, SendError, Sink, TopicWanted, Topics};

const PARTITIONS: u32 = 8;
/// Clock ticks of /proc/self/stat (`sysconf(_SC_CLK_TCK)`, 100 on Linux).
const TICKS: f64 = 100.0;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let brokers = args.next().ok_or("usage: producer_cost BROKERS [RECORDS [BROKER_PID]]")?;
    let records: u64 = args.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let broker = args.next();
    let topic = format!("producer-cost-{}", std::process::id());
    let wanted =
        TopicWanted { name: topic.clone(), partitions: PARTITIONS, replication_factor: 1, settings: BTreeMap::new() };
    Topics::connect(&KafkaConfig::new([&brokers]))?.ensure(&[wanted])?;
    let values: Vec<Vec<u8>> = (0..16_384u64).map(document).collect();
    println!("values of {} bytes; us CPU per record, thousand records per second, batch KiB", values[0].len());
    for (name, compression, header, linger_ms, batch_kib) in [
        ("none", Compression::None, false, 5, 512),
        ("none", Compression::None, true, 5, 512),
        ("none", Compression::None, true, 5, 976),
        ("none", Compression::None, true, 5, 128),
        ("none", Compression::None, true, 20, 512),
        ("lz4", Compression::Lz4, true, 5, 512),
        ("zstd", Compression::Zstd, true, 5, 512),
        ("snappy", Compression::Snappy, true, 5, 512),
    ] {
        let config = KafkaConfig {
            compression,
            linger: Duration::from_millis(linger_ms),
            batch_bytes: batch_kib << 10,
            ..KafkaConfig::new([&brokers])
        };
        let sink = Sink::Kafka(Producer::start(&config)?);
        let (cpu, broker_cpu, rate) = measure(&sink, &topic, &values, header, records, broker.as_deref())?;
        println!(
            "{name:7} header {header:5} linger {linger_ms:2} batch {batch_kib:4}: {cpu:5.2} us, broker {broker_cpu:5.2} us, {rate:5.0} k/s"
        );
    }
    Ok(())
}

fn measure(
    sink: &Sink,
    topic: &str,
    values: &[Vec<u8>],
    header: bool,
    records: u64,
    broker: Option<&str>,
) -> Result<(f64, f64, f64), Box<dyn std::error::Error>> {
    let topic = sink.topic(topic, None)?;
    let headers = [Header { name: "millrace", value: &[7; 23] }];
    let headers = if header { &headers[..] } else { &[] };
    let cpu_now = || Ok::<_, Box<dyn std::error::Error>>((cpu_seconds("self")?, broker.map_or(Ok(0.0), cpu_seconds)?));
    let mut cpu = (0.0, 0.0);
    let mut begin = Instant::now();
    // The first tenth warms up: connections, producer id, metadata.
    let warm = records / 10;
    for seq in 0..warm + records {
        if seq == warm {
            sink.flush(Duration::from_secs(60))?;
            (cpu, begin) = (cpu_now()?, Instant::now());
        }
        let key = (seq * 2_654_435_761 % 1_000_003).to_string();
        let value = &values[seq as usize % values.len()];
        let partition = (seq % u64::from(PARTITIONS)) as i32;
        let record =
            OutRecord { partition, key: Some(key.as_bytes()), value: Some(value), headers, timestamp_ms: 0, seq };
        loop {
            match sink.send(&topic, &record) {
                Ok(()) => break,
                Err(SendError::QueueFull) => std::thread::sleep(Duration::from_micros(500)),
                Err(SendError::Failed(failure)) => return Err(failure.into()),
            }
        }
    }
    sink.flush(Duration::from_secs(60))?;
    let (n, end) = (records as f64, cpu_now()?);
    Ok(((end.0 - cpu.0) * 1e6 / n, (end.1 - cpu.1) * 1e6 / n, n / begin.elapsed().as_secs_f64() / 1000.0))
}

/// User and system time of a process.
fn cpu_seconds(pid: &str) -> Result<f64, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no name in /proc/PID/stat")?;
    let ticks: Vec<f64> = fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS)
}

/// A change of an order as a consumer sees it.
fn document(n: u64) -> Vec<u8> {
    let mut state = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let row = |next: &mut dyn FnMut(u64) -> u64| {
        let note: String = (0..5).map(|_| format!("{:08x} ", next(1 << 32))).collect();
        let (customer, total, cents) = (next(1_000_000), next(10_000), next(100));
        let (day, minute, second, micros) = (next(28) + 1, next(60), next(60), next(1_000_000));
        format!(
            "{{\"id\":\"{n}\",\"customer_id\":\"{customer}\",\"status\":\"shipped\",\"total\":\"{total}.{cents:02}\",\
             \"currency\":\"EUR\",\"note\":\"{note}\",\"address\":\"{note}\",\"paid\":\"true\",\
             \"created_at\":\"2026-11-{day:02} 12:{minute:02}:{second:02}.{micros:06}\",\
             \"changed_at\":\"2026-11-{day:02} 12:{second:02}:{minute:02}.{micros:06}\"}}"
        )
    };
    let (before, after) = (row(&mut next), row(&mut next));
    let types = "{\"id\":-5,\"customer_id\":-5,\"status\":12,\"total\":3,\"currency\":1,\"note\":12,\"created_at\":93,\"paid\":16}";
    format!("{{\"columns\":{types},\"commit_time\":{},\"op\":\"UPDATE\",\"schema\":\"public\",\"table\":\"orders\",\"database\":\"shop\",\"xid\":{},\"before\":{before},\"after\":{after}}}", 1_700_000_000_000 + n, next(1 << 32)).into_bytes()
}
