//! The registry's client against a real registry (Apicurio Registry in memory), and against answers a real one gives on bad days only.

use std::{
    fs::File,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{OnceLock, mpsc},
    time::{Duration, Instant},
};

use millrace_sink::{Frame, Framing, Registry, RegistryConfig, SchemaLanguage, SchemaText, Secret, Store};

use crate::kafka::free_port;

struct Running {
    plain: String,
    tls: String,
    pid: u32,
    _dir: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-s", "KILL", &self.pid.to_string()]).status();
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn stores(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores").join(name)
}

fn registry() -> &'static Running {
    static SHARED: OnceLock<Running> = OnceLock::new();
    SHARED.get_or_init(|| {
        let home = root().join(".cache/registry");
        assert!(home.join("runner.jar").is_file(), "no schema registry in {}: run tests/setup.sh", home.display());
        let (plain, tls) = (free_port(), free_port());
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        for (name, value) in [
            ("quarkus.http.host", "127.0.0.1".to_owned()),
            ("quarkus.http.port", plain.to_string()),
            ("quarkus.http.ssl-port", tls.to_string()),
            ("quarkus.http.ssl.certificate.key-store-file", stores("broker.p12").display().to_string()),
            ("quarkus.http.ssl.certificate.key-store-password", "changeit".to_owned()),
        ] {
            command.arg(format!("-D{name}={value}"));
        }
        command.arg("-jar").arg(home.join("runner.jar")).current_dir(dir.path()).stdin(Stdio::null());
        let log = File::create(dir.path().join("log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let (tell, told) = mpsc::channel();
        // The kernel ends the registry with its parent thread, hence a thread that never ends.
        std::thread::spawn(move || {
            let mut child = command.spawn().unwrap();
            tell.send(child.id()).unwrap();
            let _ = child.wait();
        });
        let running = Running {
            plain: format!("http://127.0.0.1:{plain}/apis/ccompat/v7"),
            tls: format!("https://localhost:{tls}/apis/ccompat/v7"),
            pid: told.recv().unwrap(),
            _dir: dir,
        };
        let client = Registry::new(&RegistryConfig::new([&running.plain])).unwrap();
        let deadline = Instant::now() + Duration::from_secs(120);
        while let Err(failure) = client.probe() {
            assert!(Instant::now() < deadline, "no registry: {failure}");
            std::thread::sleep(Duration::from_millis(100));
        }
        running
    })
}

fn avro(fields: &str) -> SchemaText {
    SchemaText {
        language: SchemaLanguage::Avro,
        name: "shop.Order".to_owned(),
        text: format!(r#"{{"type":"record","name":"shop.Order","fields":[{fields}]}}"#),
    }
}

const ID: &str = r#"{"name":"id","type":"long"}"#;

#[test]
fn a_schema_is_registered_once_and_found_again() {
    let config = RegistryConfig::new([&registry().plain]);
    let client = Registry::new(&config).unwrap();
    let schema = avro(ID);
    let id = client.id_of("orders-value", &schema).unwrap();
    assert_eq!(client.id_of("orders-value", &schema).unwrap(), id);
    // Another process finds it; under another subject it keeps its number.
    let another = Registry::new(&config).unwrap();
    assert_eq!(another.id_of("orders-value", &schema).unwrap(), id);
    assert_eq!(another.id_of("odd subject/ü-value", &schema).unwrap(), id);
    let frame = Frame::of(Framing::Registry, Some(&client), "orders-value", &schema).unwrap();
    assert_eq!(frame.as_bytes(), [&[0][..], &id.to_be_bytes()].concat());
    let json = SchemaText {
        language: SchemaLanguage::Json,
        name: "a".into(),
        text: r#"{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}"#.into(),
    };
    assert_ne!(client.id_of("json-value", &json).unwrap(), id);
}

#[test]
fn what_the_registry_does_not_take_is_told_before_anything_is_produced() {
    let running = registry();
    let client = Registry::new(&RegistryConfig::new([&running.plain])).unwrap();
    client.id_of("strict-value", &avro(ID)).unwrap();
    // The registry's default is no check; a subject with one refuses a field without a default.
    let rule = put(&running.plain, "config/strict-value", r#"{"compatibility":"BACKWARD"}"#);
    assert!(rule.contains("BACKWARD"), "{rule}");
    let failure = client.id_of("strict-value", &avro(r#"{"name":"other","type":"int"}"#)).unwrap_err();
    assert_eq!((failure.code, failure.is_definite()), ("schema_incompatible", true), "{failure}");
    assert!(failure.why.contains("other"), "{failure}");
    let grown = format!(r#"{ID},{{"name":"note","type":["null","string"],"default":null}}"#);
    client.id_of("strict-value", &avro(&grown)).unwrap();

    let failure = client.id_of("broken-value", &avro(r#"{"name":"x","type":"strong"}"#)).unwrap_err();
    assert!(["schema_refused", "schema_incompatible"].contains(&failure.code) && failure.is_definite(), "{failure}");

    let mut config = RegistryConfig::new([&running.plain]);
    config.register = false;
    let failure = Registry::new(&config).unwrap().id_of("nobody-value", &avro(ID)).unwrap_err();
    assert_eq!((failure.code, failure.is_definite()), ("schema_not_registered", true));
    config.urls = vec![running.plain.replace("ccompat", "nothing")];
    assert_eq!(Registry::new(&config).unwrap().probe().unwrap_err().code, "registry_config");
}

fn put(url: &str, path: &str, body: &str) -> String {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, prefix) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let length = body.len();
    let head =
        format!("PUT /{prefix}/{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json");
    write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn tls_is_verified() {
    let mut config = RegistryConfig::new([&registry().tls]);
    config.trust_store = Some(Store { path: stores("trust.jks"), password: Some(Secret::new("changeit")) });
    Registry::new(&config).unwrap().probe().unwrap();
    config.trust_store = None;
    config.ca = Some(stores("stranger.pem"));
    let failure = Registry::new(&config).unwrap().probe().unwrap_err();
    assert!(failure.why.contains("TLS") && failure.code == "registry_unreachable", "{failure}");
    config.ca = Some(stores("authority.pem"));
    config.urls = vec![registry().tls.replace("localhost", "127.0.0.2")];
    assert!(Registry::new(&config).unwrap().probe().is_err());
}

/// Answers each connection with the next of these texts.
fn scripted(answers: &'static [&'static str]) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap();
            let _ = tell.send(String::from_utf8_lossy(&request[..read]).into_owned());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (address, told)
}

#[test]
fn bad_days() {
    let code = |answers, change: &dyn Fn(&mut RegistryConfig)| {
        let (address, told) = scripted(answers);
        let mut config = RegistryConfig::new([address]);
        config.timeout = Duration::from_secs(2);
        change(&mut config);
        let failure = Registry::new(&config).unwrap().id_of("s", &avro(ID)).err();
        (failure.map(|failure| (failure.code, failure.is_definite())), told.recv().unwrap_or_default())
    };
    let nothing: &dyn Fn(&mut RegistryConfig) = &|_| {};
    let refused = ["HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"].as_slice();
    let login: &dyn Fn(&mut RegistryConfig) =
        &|config| (config.username, config.password) = (Some("u".into()), Some(Secret::new("p")));
    let (told, request) = code(refused, login);
    assert_eq!(told, Some(("registry_authentication", true)));
    assert!(request.contains("authorization: Basic dTpw"), "{request}");
    let (_, request) = code(refused, &|config| config.token = Some(Secret::new("t0k")));
    assert!(request.contains("authorization: Bearer t0k"), "{request}");
    assert_eq!(
        code(&["HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"], nothing).0,
        Some(("registry_unreachable", false))
    );
    assert_eq!(code(&["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"], nothing).0, Some(("registry_config", true)));
    assert_eq!(code(&["nonsense\r\n\r\n"], nothing).0, Some(("registry_unreachable", false)));
    assert_eq!(
        code(&["HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n{"], nothing).0,
        Some(("registry_unreachable", false))
    );

    // The second address answers where the first is away.
    let (address, _told) = scripted(&["HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{\"id\":7}"]);
    let config = RegistryConfig::new([format!("http://127.0.0.1:{}", free_port()), address]);
    assert_eq!(Registry::new(&config).unwrap().id_of("s", &avro(ID)).unwrap(), 7);
}
