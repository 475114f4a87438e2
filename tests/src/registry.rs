//! A private schema registry: Apicurio Registry, in memory, with the API of Confluent's.

use crate::process::{Process, ProcessSignal};
use crate::{eventually, http, ports, scratch};
use serde_json::Value;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// Path of the API in the registry.
const API: &str = "/apis/ccompat/v7";

/// A registry that belongs to whoever started it.
pub struct SchemaRegistry {
    address: SocketAddr,
    _process: Process,
}

/// The registry that all tests of a run share.
pub fn shared() -> &'static SchemaRegistry {
    static SHARED: OnceLock<SchemaRegistry> = OnceLock::new();
    SHARED.get_or_init(SchemaRegistry::start)
}

impl SchemaRegistry {
    /// Starts an empty one and waits until it serves.
    pub fn start() -> Self {
        let jar = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/registry/runner.jar");
        assert!(jar.is_file(), "no schema registry at {}: run tests/setup.sh", jar.display());
        let (dir, port) = (scratch::folder("registry"), ports::free());
        let mut command = Command::new("java");
        command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dquarkus.http.host=127.0.0.1"]);
        command.arg(format!("-Dquarkus.http.port={port}")).arg("-jar").arg(jar.canonicalize().expect("the jar"));
        let log = File::create(dir.join("registry.log")).expect("create the registry's log");
        command.current_dir(&dir).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("duplicate the log's handle")).stderr(log);
        let process = Process::spawn("registry", command, ProcessSignal::KILL);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        eventually("the schema registry serves", Duration::from_secs(120), || {
            http::get(address, &format!("{API}/subjects")).ok().filter(|(status, _)| *status == 200)
        });
        Self { address, _process: process }
    }

    /// Host and port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a task file has as address.
    pub fn url(&self) -> String {
        format!("http://{}{API}", self.address)
    }

    /// Asks the API; the answer must be a success.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let headers = [("content-type", "application/vnd.schemaregistry.v1+json")];
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let answer =
            http::request(self.address, method, &format!("{API}/{path}"), &headers, &body, Duration::from_secs(20));
        let (status, text) = answer.unwrap_or_else(|e| panic!("{method} {path}: {e}"));
        assert_eq!(status, 200, "{method} {path}: {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }
}
