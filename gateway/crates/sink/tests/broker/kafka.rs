//! A private Apache Kafka broker (single node, KRaft) from published jars.

use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{OnceLock, mpsc},
    time::{Duration, Instant},
};

/// User and password of the SASL listener.
pub const LOGIN: (&str, &str) = ("alice", "alice-pw");

/// A broker; killed when the test process ends, however it ends.
pub struct Kafka {
    pid: u32,
    port: u16,
    sasl_port: u16,
    _dir: tempfile::TempDir,
}

/// What a broker of its own kind builds on.
pub struct Listeners {
    pub sasl_port: u16,
}

/// The broker that tests share which do not disturb it.
pub fn shared() -> &'static Kafka {
    static SHARED: OnceLock<Kafka> = OnceLock::new();
    SHARED.get_or_init(Kafka::start)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

/// Folder of the jars.
pub fn libs() -> PathBuf {
    let libs = std::env::var_os("MILLRACE_KAFKA_LIBS").map_or_else(|| root().join(".cache/kafka/libs"), PathBuf::from);
    assert!(
        libs.join("kafka-clients-4.4.0.jar").is_file() || libs.is_dir(),
        "no jars of Apache Kafka in {}: `make test` fetches them (tests/setup.sh), or MILLRACE_KAFKA_LIBS names their folder",
        libs.display()
    );
    libs
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Kafka {
    /// Formats a data folder and starts a broker on free ports.
    pub fn start() -> Kafka {
        Kafka::start_with(&|_| String::new(), &[])
    }

    /// As [`Self::start`]; `more` makes further lines of server.properties from the plain and SASL listeners, `users` are options of the format.
    pub fn start_with(more: &dyn Fn(&Listeners) -> String, users: &[&str]) -> Kafka {
        let dir = tempfile::tempdir().unwrap();
        let (port, sasl_port, controller) = (free_port(), free_port(), free_port());
        let sources = root().join("tests/kafka");
        let template = std::fs::read_to_string(sources.join("server.properties")).unwrap();
        let (user, password) = LOGIN;
        // A later line of a properties file wins over an earlier one.
        let properties = format!(
            "{template}
listeners=PLAINTEXT://127.0.0.1:@BROKER@,CONTROLLER://127.0.0.1:@CONTROLLER@,SASL_PLAINTEXT://127.0.0.1:{sasl_port}
advertised.listeners=PLAINTEXT://127.0.0.1:@BROKER@,SASL_PLAINTEXT://127.0.0.1:{sasl_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}=\"{password}\";
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
"
        )
        .replace("@BROKER@", &port.to_string())
        .replace("@CONTROLLER@", &controller.to_string())
        .replace("@DATA@", &dir.path().join("data").display().to_string());
        let listeners = Listeners { sasl_port };
        let properties = format!("{properties}{}\n", more(&listeners))
            .replace("@BROKER@", &port.to_string())
            .replace("@CONTROLLER@", &controller.to_string());
        let properties_path = dir.path().join("server.properties");
        std::fs::write(&properties_path, properties).unwrap();
        let class_path = format!("{}/*", libs().display());

        let format = Command::new("java")
            .args(["-XX:TieredStopAtLevel=1", "-cp", &class_path, "kafka.tools.StorageTool", "format", "--standalone"])
            .args(["-t", "AAAAAAAAAAAAAAAAAAAAAA", "-c"])
            .arg(&properties_path)
            .args(users)
            .output()
            .unwrap();
        assert!(format.status.success(), "format: {}", String::from_utf8_lossy(&format.stderr));

        // setpriv makes the kernel kill the broker with its parent thread, hence a thread that never ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        let archive = libs().with_file_name("kafka.jsa");
        if archive.is_file() {
            command.arg(format!("-XX:SharedArchiveFile={}", archive.display()));
        }
        command.arg(format!("-Dlog4j2.configurationFile={}", sources.join("log4j2.yaml").display()));
        command.args(["-cp", &class_path, "kafka.Kafka"]).arg(&properties_path).stdin(Stdio::null());
        let log_path = dir.path().join("broker.log");
        let log = File::create(&log_path).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let mut child = command.spawn().unwrap();
            tell.send(child.id()).unwrap();
            let _ = child.wait();
        });
        let pid = told.recv().unwrap();
        let deadline = Instant::now() + Duration::from_secs(120);
        // The port is bound before the broker serves, so only its log tells.
        loop {
            let log = std::fs::read_to_string(&log_path).unwrap();
            if log.contains("Kafka Server started") {
                break;
            }
            assert!(Instant::now() < deadline && Path::new(&format!("/proc/{pid}")).exists(), "no broker:\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
        Kafka { pid, port, sasl_port, _dir: dir }
    }

    /// `host:port` without login.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `host:port` with SASL PLAIN.
    pub fn sasl_address(&self) -> String {
        format!("127.0.0.1:{}", self.sasl_port)
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").args(["-s", name, &self.pid.to_string()]).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.signal("KILL");
    }
}
