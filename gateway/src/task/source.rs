//! The source as the configuration names it: options for a connection.
//!
//! Owns the step from `[source]` to the replication client's options; secrets are resolved here, at the last moment, so that a
//! changed secret file is seen by the next attempt. Must not connect.

use std::time::Duration;

use millrace_batch::Failure;
use millrace_replication::{ConnectOptions, Host, Secret, SslMode, StreamOptions};

use crate::config::{self, HostAddress, Task};

/// Options for every connection to the source of a task.
pub fn connect_options(task: &Task) -> Result<ConnectOptions, Failure> {
    let source = &task.source;
    let mut hosts = source.hosts.iter().map(|address| match address {
        HostAddress::Tcp { host, port } => (Host::Tcp(host.clone()), *port),
        HostAddress::Unix { directory, port } => (Host::Unix(directory.clone()), *port),
    });
    let Some((host, port)) = hosts.next() else {
        return Err(Failure::definite("config_invalid", "reading source.hosts", "no host is named", "name one"));
    };
    let mut options = ConnectOptions::new(host, port, source.user.as_str(), source.database.as_str());
    options.hosts.extend(hosts);
    options.password = match &source.password {
        Some(password) => Some(Secret::new(password.resolve()?.expose())),
        None => None,
    };
    options.sslmode = match source.sslmode {
        config::SslMode::Disable => SslMode::Disable,
        config::SslMode::Allow => SslMode::Allow,
        config::SslMode::Prefer => SslMode::Prefer,
        config::SslMode::Require => SslMode::Require,
        config::SslMode::VerifyCa => SslMode::VerifyCa,
        config::SslMode::VerifyFull => SslMode::VerifyFull,
    };
    options.root_cert = source.root_cert.clone();
    options.client_cert = source.client_cert.clone();
    options.client_key = source.client_key.clone();
    options.connect_timeout = source.connect_timeout.get();
    options.application_name = format!("millrace {}", task.task.name);
    Ok(options)
}

/// How the stream of a task is read.
pub fn stream_options(task: &Task) -> StreamOptions {
    StreamOptions {
        max_message: usize::try_from(task.source.max_message.get()).unwrap_or(usize::MAX),
        coalesce: Some(Duration::from_millis(1)),
        feedback_interval: Some(task.source.status_interval.get()),
        ..StreamOptions::default()
    }
}
