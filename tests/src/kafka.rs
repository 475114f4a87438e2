//! Private Apache Kafka brokers (single node, KRaft) in scratch folders.

use crate::process::{Process, ProcessSignal};
use crate::sql::runtime;
use crate::topics::Reader;
use crate::{eventually, ports, scratch};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How the broker's JVM is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jvm {
    /// Small heap and the first compiler only: starts in a second and leaves the cores to the test.
    Light,
    /// For measurements: 1 GiB and the full compiler.
    Full,
}

/// A broker that belongs to whoever started it.
pub struct Kafka {
    dir: PathBuf,
    port: u16,
    sasl_port: Option<u16>,
    jvm: Jvm,
    process: Option<Process>,
    admin: AdminClient<DefaultClientContext>,
}

impl Kafka {
    /// Starts an empty broker; `properties` are lines for server.properties.
    pub fn start(jvm: Jvm, properties: &str) -> Self {
        Self::start_on(jvm, properties, ports::free(), None)
    }

    fn start_on(jvm: Jvm, properties: &str, port: u16, sasl_port: Option<u16>) -> Self {
        let dir = scratch::folder("kafka");
        let values = [
            ("@BROKER@", port.to_string()),
            ("@CONTROLLER@", ports::free().to_string()),
            ("@DATA@", dir.join("data").display().to_string()),
        ];
        let text = std::fs::read_to_string(sources().join("server.properties")).expect("read server.properties");
        // A later line of a properties file wins over an earlier one.
        let mut text = format!("{text}\n{properties}\n");
        for (mark, value) in &values {
            text = text.replace(mark, value);
        }
        std::fs::write(dir.join("server.properties"), text).expect("write server.properties");
        let admin = client(port).create().expect("create an admin client");
        let mut broker = Self { dir, port, sasl_port, jvm, process: None, admin };
        let mut format = broker.java();
        // Any 22-character base64 UUID serves as cluster id.
        format.args(["kafka.tools.StorageTool", "format", "--standalone", "-t"]).arg(cluster_id());
        let out = format.arg("-c").arg(broker.dir.join("server.properties")).output().expect("run java");
        assert!(out.status.success(), "format of the broker's data folder: {}", String::from_utf8_lossy(&out.stderr));
        broker.start_again();
        broker
    }

    /// As [`Self::start`], with one more listener that wants SASL PLAIN; `jaas` is its login module.
    pub fn start_sasl(jvm: Jvm, jaas: &str) -> Self {
        let (plain, sasl) = (ports::free(), ports::free());
        let properties = format!(
            "listeners=PLAINTEXT://127.0.0.1:@BROKER@,CONTROLLER://127.0.0.1:@CONTROLLER@,SASL_PLAINTEXT://127.0.0.1:{sasl}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:@BROKER@,SASL_PLAINTEXT://127.0.0.1:{sasl}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT\n\
             sasl.enabled.mechanisms=PLAIN\nlistener.name.sasl_plaintext.plain.sasl.jaas.config={jaas}\n"
        );
        Self::start_on(jvm, &properties, plain, Some(sasl))
    }

    /// Starts the broker after [`Self::stop`] or [`Self::kill`] on the data it has, and waits until it serves.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the broker runs already");
        let log = File::create(self.log_path()).expect("create the broker's log");
        let mut command = self.java();
        command.arg("kafka.Kafka").arg(self.dir.join("server.properties")).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("duplicate the log's handle")).stderr(log);
        let mut process = Process::spawn("kafka", command, ProcessSignal::KILL);
        // The port is bound before the broker serves, so only its log tells.
        eventually("Kafka starts", Duration::from_secs(120), || {
            let log = self.log();
            assert!(process.exit().is_none(), "Kafka ended at start:\n{log}");
            log.contains("Kafka Server started").then_some(())
        });
        self.process = Some(process);
    }

    fn java(&self) -> Command {
        let cache = cache();
        assert!(cache.join("libs").is_dir(), "the jars of Kafka are missing: run tests/setup.sh");
        let mut command = Command::new("java");
        command.arg(format!("-XX:SharedArchiveFile={}", cache.join("kafka.jsa").display()));
        match self.jvm {
            Jvm::Light => command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]),
            Jvm::Full => command.args(["-Xmx1g", "-XX:+UseSerialGC"]),
        };
        command.arg(format!("-Dlog4j2.configurationFile={}", sources().join("log4j2.yaml").display()));
        command.arg("-cp").arg(format!("{}/libs/*", cache.display()));
        command
    }

    /// Clean stop.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("the broker runs");
        process.signal(ProcessSignal::TERM);
        process.wait(Duration::from_secs(60));
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.take().expect("the broker runs").kill();
    }

    /// SIGSTOP: connections stay open and nothing is answered.
    pub fn freeze(&mut self) {
        self.process.as_mut().expect("the broker runs").signal(ProcessSignal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&mut self) {
        self.process.as_mut().expect("the broker runs").signal(ProcessSignal::CONT);
    }

    /// Process id of the broker.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the broker runs").pid()
    }

    /// `host:port` for clients.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `host:port` of the SASL listener.
    pub fn sasl_address(&self) -> String {
        format!("127.0.0.1:{}", self.sasl_port.expect("the broker was started with SASL"))
    }

    /// What the broker has logged since its last start.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("broker.log")
    }

    /// Creates a topic with one replica and waits until clients see it.
    pub fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let answers = runtime().block_on(self.admin.create_topics([&topic], &AdminOptions::new()));
        for answer in answers.expect("ask for a topic") {
            answer.unwrap_or_else(|(name, code)| panic!("topic {name} not created: {code:?}"));
        }
        eventually("the new topic is known", Duration::from_secs(10), || {
            self.topics().contains_key(name).then_some(())
        });
    }

    /// Raises a topic's partition count to `count` and waits until clients see it.
    pub fn add_partitions(&self, name: &str, count: usize) {
        let answers =
            runtime().block_on(self.admin.create_partitions([&NewPartitions::new(name, count)], &AdminOptions::new()));
        for answer in answers.expect("ask for partitions") {
            answer.unwrap_or_else(|(name, code)| panic!("no more partitions for {name}: {code:?}"));
        }
        let seen = || (self.topics().get(name) == Some(&count)).then_some(());
        eventually("the new partitions are known", Duration::from_secs(10), seen);
    }

    /// Deletes a topic and waits until clients do not see it any more.
    pub fn delete_topic(&self, name: &str) {
        let answers = runtime().block_on(self.admin.delete_topics(&[name], &AdminOptions::new()));
        for answer in answers.expect("ask for the end of a topic") {
            answer.unwrap_or_else(|(name, code)| panic!("topic {name} not deleted: {code:?}"));
        }
        eventually("the topic is gone", Duration::from_secs(10), || (!self.topics().contains_key(name)).then_some(()));
    }

    /// The topics there are, with their partition counts, without the broker's own.
    pub fn topics(&self) -> BTreeMap<String, usize> {
        let consumer: BaseConsumer = client(self.port).create().expect("create a consumer");
        let metadata = consumer.fetch_metadata(None, Duration::from_secs(20)).expect("fetch the cluster's metadata");
        let own = metadata.topics().iter().filter(|topic| !topic.name().starts_with("__"));
        own.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect()
    }

    /// A setting of a topic as the broker has it.
    pub fn topic_setting(&self, topic: &str, name: &str) -> Option<String> {
        use rdkafka::admin::ResourceSpecifier;
        let answers =
            runtime().block_on(self.admin.describe_configs([&ResourceSpecifier::Topic(topic)], &AdminOptions::new()));
        let resource = answers.expect("describe a topic").pop().expect("one answer").expect("the topic's settings");
        resource.get(name).and_then(|entry| entry.value.clone())
    }

    /// A function that gives the sum of a topic's end offsets, 0 while the topic does not exist.
    pub fn end_offsets(&self, topic: &str) -> impl FnMut() -> u64 + use<> {
        let consumer: BaseConsumer = client(self.port).create().expect("create a consumer");
        let topic = topic.to_owned();
        let mut partitions = 0;
        let limit = Duration::from_secs(5);
        move || {
            if partitions == 0 {
                let Ok(metadata) = consumer.fetch_metadata(Some(&topic), limit) else { return 0 };
                partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
            }
            let ends = (0..i32::try_from(partitions).expect("a partition count"))
                .filter_map(|partition| consumer.fetch_watermarks(&topic, partition, limit).ok());
            ends.map(|(_, end)| u64::try_from(end).unwrap_or(0)).sum()
        }
    }

    /// Reads `topics` from their beginning. They need not exist yet.
    pub fn reader(&self, topics: &[&str]) -> Reader {
        Reader::new(client(self.port).create().expect("create a consumer"), topics)
    }
}

/// Settings of every test client.
fn client(port: u16) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", format!("127.0.0.1:{port}"))
        .set("group.id", "millrace-tests")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "20")
        .set("reconnect.backoff.max.ms", "200")
        // Broken connections are what some tests make on purpose.
        .set("log.connection.close", "false")
        .set_log_level(rdkafka::config::RDKafkaLogLevel::Critical);
    config
}

fn cluster_id() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(21).chain(['A']).collect()
}

/// Folder of the broker's configuration sources.
fn sources() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/kafka"))
}

/// Folder that setup.sh fills.
fn cache() -> PathBuf {
    // The same spelling as setup.sh uses: the class data archive is valid for one class path only.
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/kafka");
    cache.canonicalize().unwrap_or(cache)
}
