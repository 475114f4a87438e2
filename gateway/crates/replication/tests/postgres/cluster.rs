//! Private PostgreSQL clusters on free ports, ended with the test process whatever happens to it.

use millrace_replication::{ConnectOptions, Host, Secret, SqlConnection, SslMode, connect_sql};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// The cluster most tests share: wal_level logical, TLS, every authentication method.
pub static MAIN: LazyLock<Cluster> = LazyLock::new(|| {
    let cluster = Cluster::start("main", "wal_level = logical\nmax_wal_senders = 30\nmax_replication_slots = 60\n");
    cluster.psql("postgres", ROLES);
    cluster
});

/// A cluster as it comes: wal_level replica, and room for one replication connection and one slot.
pub static UNPREPARED: LazyLock<Cluster> = LazyLock::new(|| {
    let settings = "wal_level = replica\nmax_wal_senders = 1\nmax_replication_slots = 1\n";
    Cluster::start("unprepared", settings)
});

/// A cluster that may be stopped, and whose slots may retain next to nothing.
pub static FRAGILE: LazyLock<Cluster> = LazyLock::new(|| {
    Cluster::start(
        "fragile",
        "wal_level = logical\nmax_slot_wal_keep_size = 1\nmin_wal_size = 32MB\nmax_wal_size = 32MB\n",
    )
});

const ROLES: &str = "
    CREATE ROLE trust_user LOGIN REPLICATION;
    SET password_encryption = 'md5';
    CREATE ROLE md5_user LOGIN REPLICATION PASSWORD 'md5 secret';
    SET password_encryption = 'scram-sha-256';
    CREATE ROLE clear_user LOGIN REPLICATION PASSWORD 'clear secret';
    CREATE ROLE scram_user LOGIN REPLICATION PASSWORD 'scram sécret';
    CREATE ROLE tls_user LOGIN REPLICATION PASSWORD 'tls secret';
    CREATE ROLE plain_user LOGIN REPLICATION PASSWORD 'plain secret';
    CREATE ROLE cert_user LOGIN REPLICATION;
    CREATE ROLE reader LOGIN;
    CREATE ROLE stranger LOGIN REPLICATION;
    CREATE ROLE locked NOLOGIN;
    CREATE ROLE odd_user LOGIN REPLICATION;
    ALTER ROLE odd_user SET datestyle = 'German';
    ALTER ROLE odd_user SET timezone = 'Asia/Tokyo';
    ALTER ROLE odd_user SET bytea_output = 'escape';
    ALTER ROLE odd_user SET statement_timeout = '1ms';
    ALTER ROLE odd_user SET wal_sender_timeout = '900ms';";

const HBA: &str = "
local     all all                            trust
host      all trust_user,reader,locked,odd_user 127.0.0.1/32 trust
host      all clear_user   127.0.0.1/32      password
host      all md5_user     127.0.0.1/32      md5
host      all scram_user   127.0.0.1/32      scram-sha-256
hostssl   all tls_user     127.0.0.1/32      scram-sha-256
hostnossl all plain_user   127.0.0.1/32      scram-sha-256
hostssl   all cert_user    127.0.0.1/32      cert
host      all nobody_knows 127.0.0.1/32      scram-sha-256
";

/// One running server.
pub struct Cluster {
    pub port: u16,
    pub home: PathBuf,
}

/// Homes of all clusters, for the end of the process.
static STARTED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Directory of the server's programs: `pg_config --bindir`, else the newest under Debian's.
pub fn programs() -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    let find = || {
        if let Ok(out) = Command::new("pg_config").arg("--bindir").output() {
            let path = PathBuf::from(String::from_utf8_lossy(&out.stdout).trim());
            if path.join("initdb").exists() {
                return path;
            }
        }
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> =
            versions.map(|entry| entry.path().join("bin")).filter(|path| path.join("initdb").exists()).collect();
        found.sort();
        found.pop().expect("these tests need a PostgreSQL server: install the package `postgresql`")
    };
    FOUND.get_or_init(find).clone()
}

/// A command that runs as `postgres` where we are root, which initdb and the server refuse to be.
fn unprivileged(program: &Path, options: &[&str]) -> Command {
    let root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n");
    let mut command = Command::new("setpriv");
    if root {
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
    }
    command.args(options).arg(program).current_dir("/").stdin(Stdio::null());
    command
}

pub fn run(command: &mut Command) -> String {
    let out = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{command:?}: {}\n{stdout}\n{stderr}", out.status);
    stdout.into_owned()
}

impl Cluster {
    pub fn start(name: &str, settings: &str) -> Self {
        let home = std::env::temp_dir().join(format!("millrace-replication-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(&home).unwrap();
        remember(&home);
        crate::certificates::make(&home);
        run(Command::new("chmod").arg("-R").arg("a+rwX").arg(&home));
        // The server insists that nobody else reads its key.
        let data = home.join("data");
        let auth = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"];
        run(unprivileged(&programs().join("initdb"), &[]).arg("-D").arg(&data).args(auth));
        for file in ["server.crt", "server.key", "ca.crt"] {
            run(unprivileged(Path::new("cp"), &[]).arg(home.join(file)).arg(data.join(file)));
        }
        run(unprivileged(Path::new("chmod"), &[]).arg("600").arg(data.join("server.key")));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = format!(
            "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nfsync = off\nssl = on\n\
             ssl_ca_file = 'ca.crt'\nlog_min_messages = warning\n{settings}",
            home.display()
        );
        fs::OpenOptions::new()
            .append(true)
            .open(data.join("postgresql.conf"))
            .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
            .unwrap();
        fs::write(data.join("pg_hba.conf"), HBA).unwrap();
        let cluster = Self { port, home };
        cluster.launch();
        cluster
    }

    /// Starts the server from a thread that never ends: the kernel ends the server with the thread that started it.
    fn launch(&self) {
        let (data, log) = (self.home.join("data"), self.home.join("log"));
        let ended = Arc::new(AtomicBool::new(false));
        let tell = ended.clone();
        std::thread::spawn(move || {
            let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
            let mut server = unprivileged(&programs().join("postgres"), &["--pdeathsig", "QUIT"]);
            let mut child = server.arg("-D").arg(data).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
            let _ = child.wait();
            tell.store(true, Ordering::SeqCst);
            loop {
                std::thread::park();
            }
        });
        let started = Instant::now();
        let ready = || {
            Command::new(programs().join("pg_isready"))
                .args(["-q", "-h"])
                .arg(&self.home)
                .args(["-p", &self.port.to_string()])
                .status()
                .is_ok_and(|status| status.success())
        };
        while !ready() {
            let log = || fs::read_to_string(self.home.join("log")).unwrap_or_default();
            let waiting = !ended.load(Ordering::SeqCst) && started.elapsed() < Duration::from_secs(60);
            assert!(waiting, "the server does not start:\n{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops and starts the server (`fast` ends streams in order, `immediate` does not).
    pub fn restart(&self, mode: &str) {
        self.stop(mode);
        self.launch();
    }

    pub fn stop(&self, mode: &str) {
        let mut stop = unprivileged(&programs().join("pg_ctl"), &[]);
        run(stop.arg("-D").arg(self.home.join("data")).args(["-w", "-t", "30", "-m", mode, "stop"]));
    }

    /// Runs statements as superuser over the Unix socket; unaligned rows.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let mut command = Command::new(programs().join("psql"));
        command.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-h"]);
        run(command.arg(&self.home).args(["-p", &self.port.to_string(), "-c", sql])).trim().to_owned()
    }

    /// A fresh database.
    pub fn database(&self, name: &str) -> String {
        self.psql("postgres", &format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0"));
        name.to_owned()
    }

    /// Options for TCP without TLS.
    pub fn tcp(&self, user: &str, database: &str) -> ConnectOptions {
        let mut options = ConnectOptions::new(Host::Tcp("127.0.0.1".into()), self.port, user, database);
        options.sslmode = SslMode::Disable;
        options
    }

    pub fn with_password(&self, user: &str, password: &str) -> ConnectOptions {
        ConnectOptions { password: Some(Secret::new(password)), ..self.tcp(user, "postgres") }
    }

    /// Options for TLS, verified in full against our root.
    pub fn tls(&self, user: &str, password: Option<&str>) -> ConnectOptions {
        let mut options = ConnectOptions::new(Host::Tcp("localhost".into()), self.port, user, "postgres");
        options.password = password.map(Secret::new);
        options.root_cert = Some(self.home.join("ca.crt"));
        options
    }

    /// Options for the Unix socket, as superuser.
    pub fn unix(&self, database: &str) -> ConnectOptions {
        ConnectOptions::new(Host::Unix(self.home.clone()), self.port, "postgres", database)
    }

    pub async fn sql(&self, database: &str) -> SqlConnection {
        connect_sql(&self.unix(database)).await.unwrap()
    }
}

/// Notes a cluster's home for [`end`], and registers that once.
fn remember(home: &Path) {
    static REGISTER: OnceLock<()> = OnceLock::new();
    REGISTER.get_or_init(|| {
        // SAFETY: `end` is a plain function that lives as long as the program and does not unwind: it ignores errors.
        unsafe { libc::atexit(end) };
    });
    STARTED.lock().unwrap().push(home.to_owned());
}

/// Ends the servers and removes their files when the test process exits.
extern "C" fn end() {
    let Ok(homes) = STARTED.lock() else { return };
    for home in homes.iter() {
        let pid = fs::read_to_string(home.join("data/postmaster.pid")).unwrap_or_default();
        if let Some(pid) = pid.lines().next() {
            let _ = Command::new("kill").args(["-QUIT", pid]).status();
            let started = Instant::now();
            while home.join("data/postmaster.pid").exists() && started.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let _ = fs::remove_dir_all(home);
    }
}
