//! Private PostgreSQL servers in scratch folders.

use crate::process::{Exit, Process, ProcessSignal};
use crate::sql::{Database, Session};
use crate::{eventually, mppdb_plugin, ports, scratch};
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The role the gateway connects as: LOGIN REPLICATION, member of pg_read_all_data.
pub const USER: &str = "millrace";
/// Its password.
pub const PASSWORD: &str = "correct horse";

/// Settings of every test server. Durability is off: these servers are killed, but the machine is not.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
wal_level = logical
max_wal_senders = 60
max_replication_slots = 250
max_connections = 200
fsync = off
full_page_writes = off
shared_buffers = 128MB
max_wal_size = 4GB
deadlock_timeout = 50ms
password_encryption = scram-sha-256
timezone = 'Asia/Shanghai'
logging_collector = off
log_line_prefix = '%m [%p] %q%a '
";

const HBA: &str = "
local all postgres trust
host all postgres 127.0.0.1/32 trust
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
";

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Ends sessions in order; waits until walsenders have sent what there is.
    Fast,
    /// As in a crash; recovery follows.
    Immediate,
}

/// A server that belongs to whoever started it.
#[derive(Debug)]
pub struct Postgres {
    dir: PathBuf,
    port: u16,
    process: Option<Process>,
}

static DATABASES: AtomicU32 = AtomicU32::new(0);

impl Postgres {
    /// Starts a new empty server; `settings` are lines for postgresql.conf.
    pub fn start(settings: &str) -> Self {
        Self::start_on(template(), settings, |_| {})
    }

    /// As [`Self::start`], with a system identifier of its own: servers started otherwise are copies of one cluster.
    pub fn start_unrelated() -> Self {
        Self::start_on(&init("pg-unrelated"), "", |_| {})
    }

    /// As [`Self::start`], with the certificate `server.pem`, its key `server.key` and the authority `authority.pem` of
    /// `certificates`, and lines of pg_hba.conf before the usual ones. The map `gateway` lets a certificate for the role [`USER`]
    /// log in as `certified`.
    pub fn start_with_tls(certificates: &Path, hba: &str) -> Self {
        let settings =
            "ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.key'\nssl_ca_file = 'authority.pem'";
        Self::start_on(template(), settings, |data| {
            for name in ["server.pem", "server.key", "authority.pem"] {
                let file = data.join(name);
                std::fs::copy(certificates.join(name), &file).expect("copy a certificate");
                hand_over(&file);
                std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("set the mode of a key");
            }
            std::fs::write(data.join("pg_hba.conf"), format!("{hba}\n{HBA}")).expect("write pg_hba.conf");
            std::fs::write(data.join("pg_ident.conf"), format!("gateway {USER} certified\n"))
                .expect("write pg_ident.conf");
        })
    }

    /// As [`Self::start`], with the output plugin `mppdb_decoding` of `tests/mppdb-plugin`, which is built for it.
    pub fn start_with_mppdb_decoding(settings: &str) -> Self {
        let folder = mppdb_plugin::folder();
        let server = Self::start(&format!("dynamic_library_path = '$libdir:{}'\n{settings}", folder.display()));
        // Minor releases of 2026 and newer name the plugins a slot may have; older servers know no such setting.
        let admin = server.admin();
        if admin.one("SELECT count(*) FROM pg_settings WHERE name = 'output_plugin_libraries'").as_deref() == Some("1")
        {
            admin.exec("ALTER SYSTEM SET output_plugin_libraries = pgoutput, test_decoding, mppdb_decoding");
            admin.exec("SELECT pg_reload_conf()");
            server.database_named("postgres").wait_until(
                "SELECT setting LIKE '%mppdb_decoding%' FROM pg_settings WHERE name = 'output_plugin_libraries'",
                "t",
                Duration::from_secs(10),
            );
        }
        server
    }

    fn start_on(cluster: &Path, settings: &str, prepare: impl FnOnce(&Path)) -> Self {
        let dir = scratch::folder("pg");
        hand_over(&dir);
        let copy = Command::new("cp").arg("-a").arg(cluster).arg(dir.join("data")).status().expect("run cp");
        assert!(copy.success(), "cannot copy the cluster template");
        let port = ports::free();
        let own = format!("{SETTINGS}port = {port}\nunix_socket_directories = '{}'\n{settings}\n", dir.display());
        std::fs::write(dir.join("data/millrace.conf"), own).expect("write the server's settings");
        prepare(&dir.join("data"));
        let mut server = Self { dir, port, process: None };
        server.start_again();
        server.database_named("postgres").exec(&format!(
            "CREATE ROLE {USER} LOGIN REPLICATION PASSWORD '{PASSWORD}'; GRANT pg_read_all_data TO {USER}"
        ));
        server
    }

    /// Starts the server after [`Self::stop`] and waits until it answers.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the server runs already");
        let log = File::options().create(true).append(true).open(self.log_path()).expect("open the server's log");
        let mut command = program("postgres");
        command.arg("-D").arg(self.dir.join("data")).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("duplicate the log's handle")).stderr(log);
        // SIGQUIT: an immediate shutdown, which takes the children along and frees the shared memory.
        let mut process = Process::spawn("postgres", command, ProcessSignal::QUIT);
        let database = self.database_named("postgres");
        eventually("PostgreSQL answers", Duration::from_secs(60), || {
            assert!(process.exit().is_none(), "PostgreSQL ended at start:\n{}", self.log());
            database.try_session().ok()
        });
        self.process = Some(process);
    }

    /// Stops the server and waits for its end.
    pub fn stop(&mut self, how: Stop) {
        let mut process = self.process.take().expect("the server runs");
        process.signal(match how {
            Stop::Fast => ProcessSignal::INT,
            Stop::Immediate => ProcessSignal::QUIT,
        });
        let exit = process.wait(Duration::from_secs(60));
        assert!(how == Stop::Immediate || exit == Exit::Code(0), "PostgreSQL ended with {exit:?}:\n{}", self.log());
    }

    /// Stop and start with other settings appended (lines for postgresql.conf).
    pub fn restart_with(&mut self, settings: &str) {
        use std::io::Write;
        self.stop(Stop::Fast);
        let mut file =
            File::options().append(true).open(self.dir.join("data/millrace.conf")).expect("open the settings");
        writeln!(file, "{settings}").expect("write the server's settings");
        self.start_again();
    }

    /// A new database with a name of its own.
    pub fn database(&self, purpose: &str) -> Database {
        let name = format!("{purpose}_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        // One at a time: two copies of template1 at once refuse each other.
        static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.admin().exec(&format!("CREATE DATABASE \"{name}\""));
        self.database_named(&name)
    }

    /// A database that exists.
    pub fn database_named(&self, name: &str) -> Database {
        Database::new(name, self.dir.clone(), self.port)
    }

    /// A session to the maintenance database.
    pub fn admin(&self) -> Session {
        self.database_named("postgres").session()
    }

    /// TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("server.log")
    }
}

/// A PostgreSQL program, to be run as a user that may run a server: root may not.
pub fn program(name: &str) -> Command {
    let mut command = Command::new(bin_dir().join(name));
    if rustix::process::geteuid().is_root() {
        let (uid, gid) = server_user();
        command.uid(uid).gid(gid);
    }
    command
}

/// A PostgreSQL client program, run as ourselves.
pub fn client_program(name: &str) -> Command {
    Command::new(bin_dir().join(name))
}

/// The folder of the newest installed server's programs.
pub(crate) fn bin_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let version = |dir: &PathBuf| dir.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
        let newest =
            debian.map(|entry| entry.path()).filter(|dir| dir.join("bin/postgres").exists()).max_by_key(version);
        if let Some(dir) = newest {
            return dir.join("bin");
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .find(|dir| dir.join("postgres").exists())
            .expect("no PostgreSQL server is installed: run tests/setup.sh")
    })
}

/// User and group id of the user `postgres`.
fn server_user() -> (u32, u32) {
    let passwd = std::fs::read_to_string("/etc/passwd").expect("read /etc/passwd");
    let line = passwd.lines().find(|line| line.starts_with("postgres:")).expect("the packages made a user postgres");
    let fields: Vec<&str> = line.split(':').collect();
    (fields[2].parse().expect("a user id"), fields[3].parse().expect("a group id"))
}

pub(crate) fn hand_over(dir: &Path) {
    if rustix::process::geteuid().is_root() {
        let (uid, gid) = server_user();
        std::os::unix::fs::chown(dir, Some(uid), Some(gid)).expect("give a folder to the server's user");
    }
}

/// A cluster made once per run; copying it takes a tenth of making another.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| init("pg-template"))
}

/// Makes a cluster in a new folder.
fn init(name: &str) -> PathBuf {
    let dir = scratch::folder(name);
    hand_over(&dir);
    let data = dir.join("data");
    let out = program("initdb")
        .args([
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--auth=trust",
            "--no-sync",
            "--no-instructions",
            "-D",
        ])
        .arg(&data)
        .current_dir("/")
        .output()
        .expect("run initdb");
    assert!(out.status.success(), "initdb: {}", String::from_utf8_lossy(&out.stderr));
    std::fs::write(data.join("pg_hba.conf"), HBA).expect("write pg_hba.conf");
    let conf = data.join("postgresql.conf");
    let text = std::fs::read_to_string(&conf).expect("read postgresql.conf");
    std::fs::write(conf, text + "\ninclude = 'millrace.conf'\n").expect("write postgresql.conf");
    data
}
