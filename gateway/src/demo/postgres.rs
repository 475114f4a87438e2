//! The demo's source: a private PostgreSQL server in the scratch folder.
//!
//! Owns finding the programs, making the cluster, starting and stopping the server. Knows nothing of the shop in it.

use super::scratch::{DATA, Scratch};
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio_postgres::{Client, Config, NoTls};

use millrace_batch::Failure;

/// Role the demo and the gateway connect as: the cluster's superuser.
pub const USER: &str = "millrace";
/// The shop's database.
pub const DATABASE: &str = "shop";

/// Durability is off: the cluster is thrown away within the minute. Commits stay synchronous, since WAL is sent once it is
/// flushed, and for asynchronous ones that is up to 600 ms later.
const SETTINGS: &str = "
wal_level = logical
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 20
max_wal_senders = 4
max_replication_slots = 4
shared_buffers = 32MB
fsync = off
full_page_writes = off
timezone = 'UTC'
log_timezone = 'UTC'
logging_collector = off
";

/// A running private server.
#[derive(Debug)]
pub struct Postgres {
    child: Child,
    port: u16,
    password: String,
    password_file: PathBuf,
    version: String,
    log: PathBuf,
}

impl Postgres {
    /// Makes a cluster in `scratch`, starts its server on a free loopback port and waits until it answers.
    ///
    /// # Errors
    /// `demo_source` with the mend: no server programs, no user to run them as, or what the server itself said.
    pub async fn start(scratch: &Scratch) -> Result<Postgres, Failure> {
        let programs = Programs::find()?;
        let broken = |what: &str, error: std::io::Error| failed(what, error.to_string());
        let data = scratch.path().join(DATA);
        let password = random_password().map_err(|e| broken("making a password", e))?;
        let password_file = scratch.path().join("password");
        std::fs::DirBuilder::new().mode(0o700).create(&data).map_err(|e| broken("making the data folder", e))?;
        let mut file = File::options();
        file.write(true).create_new(true).mode(0o600);
        let mut file = file.open(&password_file).map_err(|e| broken("writing the password file", e))?;
        std::io::Write::write_all(&mut file, password.as_bytes())
            .map_err(|e| broken("writing the password file", e))?;
        if let Some((uid, gid)) = programs.run_as {
            scratch.let_others_pass().map_err(|e| broken("opening the scratch folder", e))?;
            for path in [&data, &password_file] {
                chown(path, Some(uid), Some(gid))
                    .map_err(|e| broken("giving the data folder to the server's user", e))?;
            }
        }
        let initdb = programs
            .command("initdb")
            .args(["-U", USER, "-E", "UTF8", "--locale=C", "--auth=scram-sha-256", "--no-sync"])
            .arg("--pwfile")
            .arg(&password_file)
            .arg("-D")
            .arg(&data)
            .output()
            .map_err(|e| broken("running initdb", e))?;
        if !initdb.status.success() {
            return Err(failed("running initdb", String::from_utf8_lossy(&initdb.stderr).trim().to_owned()));
        }
        let log = scratch.path().join("postgres.log");
        // Between asking for a free port and listening on it somebody else may take it.
        let mut last = String::new();
        for _ in 0..3 {
            let port = free_port().map_err(|e| broken("looking for a free port", e))?;
            let child = programs.serve(&data, port, &log).map_err(|e| broken("starting the server", e))?;
            let mut server = Postgres {
                child,
                port,
                password: password.clone(),
                password_file: password_file.clone(),
                version: String::new(),
                log: log.clone(),
            };
            match server.until_it_answers().await {
                Ok(version) => {
                    server.version = version;
                    return Ok(server);
                }
                Err(why) => last = why,
            }
        }
        Err(failed("starting the server", last))
    }

    /// A session in `database`.
    ///
    /// # Errors
    /// The server's or the driver's, as text.
    pub async fn connect(&self, database: &str) -> Result<Client, Failure> {
        self.try_connect(database).await.map_err(|e| failed("connecting to the demo's database", format!("{e:?}")))
    }

    /// TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The file that holds the password, for the task's configuration.
    pub fn password_file(&self) -> &Path {
        &self.password_file
    }

    /// Version as the server says it, such as `15.10`.
    pub fn version(&self) -> &str {
        &self.version
    }

    async fn try_connect(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user(USER).password(&self.password).dbname(database);
        config.application_name("millrace-demo").connect_timeout(Duration::from_secs(5));
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(async move {
            // Its error reaches whoever uses the client.
            let _ = connection.await;
        });
        Ok(client)
    }

    /// The version once it answers, or what it said before it ended.
    async fn until_it_answers(&mut self) -> Result<String, String> {
        let begin = Instant::now();
        loop {
            if let Ok(client) = self.try_connect("postgres").await {
                let version = client.query_one("SHOW server_version", &[]).await.map_err(|e| e.to_string())?;
                let text: String = version.get(0);
                // Debian adds its package version in parentheses.
                return Ok(text.split(' ').next().unwrap_or_default().to_owned());
            }
            let ended = self.child.try_wait().map_err(|e| e.to_string())?;
            if ended.is_some() || begin.elapsed() > Duration::from_secs(30) {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(3).collect();
                return Err(tail.into_iter().rev().collect::<Vec<_>>().join("; "));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // An immediate shutdown takes the server's children and shared memory along, which SIGKILL would not. std sends no
        // other signal, and kill is part of every shell. The id is still this child's: it has not been waited for.
        let stopped = Command::new("sh").args(["-c", "kill -QUIT \"$1\"", "sh", &self.child.id().to_string()]).status();
        if !stopped.is_ok_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// Where the server's programs are, and as whom they run.
struct Programs {
    bin: PathBuf,
    run_as: Option<(u32, u32)>,
}

impl Programs {
    fn find() -> Result<Programs, Failure> {
        let bin = find_bin().ok_or_else(|| {
            Failure::definite(
                "demo_source",
                "looking for PostgreSQL's server programs",
                "no initdb and postgres in pg_config --bindir, /usr/lib/postgresql/*/bin or on the PATH",
                "install a PostgreSQL server, on Debian: apt-get install postgresql",
            )
        })?;
        // /proc/self belongs to the effective user; std has no call for it.
        let root = std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
        if !root {
            return Ok(Programs { bin, run_as: None });
        }
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let run_as = ids_of("postgres", &passwd).ok_or_else(|| {
            Failure::definite(
                "demo_source",
                "choosing a user for the database server, which refuses to run as root",
                "there is no user postgres",
                "run the demo as an ordinary user, or add a user postgres",
            )
        })?;
        Ok(Programs { bin, run_as: Some(run_as) })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        // "/" because the server's user may not be allowed where we stand; C, because its words are shown to people as they are.
        command.current_dir("/").env("LC_ALL", "C").stdin(Stdio::null());
        if let Some((uid, gid)) = self.run_as {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn serve(&self, data: &Path, port: u16, log: &Path) -> std::io::Result<Child> {
        std::fs::write(data.join("postgresql.auto.conf"), format!("{SETTINGS}port = {port}\n"))?;
        let log = File::options().create(true).append(true).open(log)?;
        // A group of its own: Ctrl-C on the terminal is for the demo, which then stops the server in order.
        self.command("postgres").arg("-D").arg(data).stdout(log.try_clone()?).stderr(log).process_group(0).spawn()
    }
}

fn find_bin() -> Option<PathBuf> {
    let usable = |dir: &PathBuf| dir.join("initdb").is_file() && dir.join("postgres").is_file();
    let config = Command::new("pg_config").arg("--bindir").stderr(Stdio::null()).output().ok();
    let named = config.map(|out| PathBuf::from(String::from_utf8_lossy(&out.stdout).trim()));
    if let Some(dir) = named.filter(usable) {
        return Some(dir);
    }
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path());
    let version = |dir: &PathBuf| dir.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest = debian.filter(|dir| usable(&dir.join("bin"))).max_by_key(version).map(|dir| dir.join("bin"));
    newest.or_else(|| std::env::split_paths(&std::env::var_os("PATH")?).find(usable))
}

/// User and group id of `user` in a file of passwd(5).
fn ids_of(user: &str, passwd: &str) -> Option<(u32, u32)> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(user))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// 32 hexadecimal digits: the port is open to every user of the machine for as long as the demo runs.
fn random_password() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    std::io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn failed(tried: &str, why: String) -> Failure {
    Failure::definite(
        "demo_source",
        tried,
        why,
        "the demo needs a PostgreSQL 10 or newer that it can start; see the message",
    )
}

#[cfg(test)]
mod tests {
    use super::ids_of;

    #[test]
    fn ids_come_from_the_line_of_exactly_that_user() {
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\npostgresql:x:5:6::/:/bin/sh\npostgres:x:104:112:x:/var/lib:/bin/bash\n";
        assert_eq!(ids_of("postgres", passwd), Some((104, 112)));
        assert_eq!(ids_of("root", passwd), Some((0, 0)));
        assert_eq!(ids_of("nobody", passwd), None);
        assert_eq!(ids_of("postgres", "postgres:x:x:1"), None);
    }
}
