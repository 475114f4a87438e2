//! The source as the configuration names it: options for connections, slot and stream.
//!
//! Owns the step from `[source]` to the replication client's options; secrets are resolved here, at the last moment, so that a
//! changed secret file is seen by the next attempt. Must not connect.

use std::{sync::Arc, time::Duration};

use millrace_batch::Failure;
use millrace_decode::{Encoding, Start, mppdb, mppdb::Layout, pgoutput::PgOutput};
use millrace_replication::{ConnectOptions, Dialect, Host, Pgoutput, PluginOption, Secret, SslMode, StreamOptions};

use crate::{
    config::{self, DecodeStyle, Decoding, HostAddress, SourceKind, Task},
    pipeline::SpillRoom,
};

/// Options for every connection to the servers a task names.
pub fn connect_options(task: &Task) -> Result<ConnectOptions, Failure> {
    options_at(task, &task.source.hosts)
}

/// Options for every connection to these servers.
pub fn options_at(task: &Task, hosts: &[HostAddress]) -> Result<ConnectOptions, Failure> {
    let source = &task.source;
    let mut hosts = hosts.iter().map(|address| match address {
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
    options.dialect = match source.kind {
        SourceKind::Postgresql => Dialect::PostgreSql,
        SourceKind::Gaussdb => Dialect::GaussDb,
    };
    options.replication_port = source.replication_port.and_then(|port| u16::try_from(port.to_usize()).ok());
    Ok(options)
}

/// How the stream of a task is read.
pub fn stream_options(task: &Task) -> StreamOptions {
    StreamOptions {
        max_message: usize::try_from(task.source.max_message.get()).unwrap_or(usize::MAX),
        coalesce: Some(Duration::from_millis(1)),
        feedback_interval: Some(task.source.status_interval.get()),
        // GaussDB and openGauss answer every status update, whatever they are decoding.
        silence: match task.source.kind {
            SourceKind::Gaussdb => Duration::from_secs(60),
            SourceKind::Postgresql => StreamOptions::default().silence,
        },
        ..StreamOptions::default()
    }
}

/// Name of the decoding in the position record: what must stay the same for ids to come again.
pub fn decoding_name(task: &Task) -> &'static str {
    match (task.source.decoding, task.source.parallel.style) {
        (Decoding::Pgoutput, _) => "pgoutput",
        (Decoding::Serial, _) => "serial",
        (Decoding::Parallel, DecodeStyle::B) => "parallel-b",
        (Decoding::Parallel, DecodeStyle::J) => "parallel-j",
        (Decoding::Parallel, DecodeStyle::T) => "parallel-t",
    }
}

/// Options of the output plugin. Everything a server could preset otherwise is named.
pub fn plugin_options(task: &Task) -> Vec<PluginOption> {
    let source = &task.source;
    let mut options: Vec<(&str, String)> = match source.decoding {
        Decoding::Pgoutput => return Pgoutput::new([source.publication.to_string()]).options(),
        // A server may be set to decode in parallel where nobody says otherwise. Empty transactions need not be told: keepalives
        // move an idle position on.
        Decoding::Serial => vec![("parallel-decode-num", "1".into()), ("skip-empty-xacts", "1".into())],
        // Here keepalives may not, so empty transactions must.
        Decoding::Parallel => vec![
            ("parallel-decode-num", source.parallel.threads.to_usize().to_string()),
            ("decode-style", decoding_name(task).trim_start_matches("parallel-").to_owned()),
            ("sending-batch", u8::from(source.parallel.batch).to_string()),
            ("skip-empty-xacts", "0".into()),
        ],
    };
    options.push(("include-xids", "1".into()));
    options.push(("include-timestamp", "1".into()));
    // The plugin's default hides what another replication wrote here.
    options.push(("only-local", "0".into()));
    if let Some(list) = white_list(task) {
        options.push(("white-table-list", list));
    }
    for (name, value) in &source.plugin_options {
        options.retain(|(known, _)| known != name);
        options.push((name, value.clone()));
    }
    options.into_iter().map(|(name, value)| (name.to_owned(), Some(value))).collect()
}

/// The tables to send, where every pattern can be said in the plugin's words. What is excluded is left out here, not there.
fn white_list(task: &Task) -> Option<String> {
    let entries: Option<Vec<String>> = task.objects.include.iter().map(config::Pattern::white_list_entry).collect();
    let entries = entries.filter(|entries| task.source.white_list && !entries.iter().any(|entry| entry == "*.*"));
    entries.map(|entries| entries.join(","))
}

/// The decoder of a task's stream, behind what an earlier run had. `encoding`: that of the database, as the server names it.
pub fn decoder(
    task: &Task,
    encoding: &str,
    start: Start,
    relations: millrace_batch::RelationLog,
    spill: &Arc<SpillRoom>,
) -> Result<millrace_decode::Decoder, Failure> {
    let cut = cut(task);
    if task.source.decoding == Decoding::Pgoutput {
        let decoder = PgOutput::new(start, relations).splitting_key_changes(task.route.split_key_changes);
        return Ok(millrace_decode::Decoder::pgoutput(decoder, cut));
    }
    let layout = match (task.source.decoding, task.source.parallel.style) {
        (Decoding::Parallel, DecodeStyle::B) => Layout::Binary,
        (Decoding::Parallel, DecodeStyle::J) => Layout::Json,
        (Decoding::Parallel, DecodeStyle::T) => Layout::Text,
        _ => Layout::Serial,
    };
    let options = mppdb::Options {
        batched: task.source.decoding == Decoding::Parallel && task.source.parallel.batch,
        encoding: Encoding::by_name(encoding)?,
        numbers: match task.source.numbers {
            config::Numbers::Canonical => mppdb::Numbers::Canonical,
            config::Numbers::AsSent => mppdb::Numbers::AsSent,
        },
        memory: usize::try_from(task.source.transaction_memory.get()).unwrap_or(usize::MAX),
        cut,
        split_key_changes: task.route.split_key_changes,
        ..mppdb::Options::new(layout)
    };
    Ok(millrace_decode::Decoder::mppdb(mppdb::Mppdb::new(options, start, relations, Box::new(spill.open()?))))
}

/// Room on disk for transactions of all shards.
pub fn spill(task: &Task) -> SpillRoom {
    let own = || std::env::temp_dir().join(format!("millrace-{}", task.task.name));
    let folder = task.source.spill.folder.clone().unwrap_or_else(own);
    SpillRoom::new(&folder, task.source.spill.limit.get())
}

/// When a batch is full.
pub fn cut(task: &Task) -> millrace_decode::Cut {
    millrace_decode::Cut {
        changes: task.pipeline.batch_changes.to_usize(),
        bytes: usize::try_from(task.pipeline.batch_bytes.get()).unwrap_or(usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(lines: &str) -> Task {
        let text = format!(
            "task.name = 'shop'\nsource.kind = 'gaussdb'\nsource.hosts = ['a:8000']\nsource.database = 'd'\n\
             source.user = 'u'\nsink.kind = 'blackhole'\nposition.store = 'file'\nposition.path = 'p'\n{lines}"
        );
        config::parse(&text, std::path::Path::new("/")).unwrap()
    }

    fn said(lines: &str) -> String {
        let pair = |(name, value): PluginOption| format!("{name}={}", value.unwrap_or_default());
        plugin_options(&task(lines)).into_iter().map(pair).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_plugin_is_told_everything_it_could_presume() {
        assert_eq!(
            said(""),
            "parallel-decode-num=1 skip-empty-xacts=1 include-xids=1 include-timestamp=1 only-local=0"
        );
        assert_eq!(
            said("source.decoding = 'parallel'\nsource.parallel.style = 'j'\nobjects.include = ['a.B', 'c.*']"),
            "parallel-decode-num=4 decode-style=j sending-batch=1 skip-empty-xacts=0 include-xids=1 \
             include-timestamp=1 only-local=0 white-table-list=a.B,c.*"
        );
        let own =
            said("source.plugin_options = { only-local = '1', 'max-txn-in-memory' = '8' }\nobjects.include = ['a.b*']");
        assert!(own.ends_with("include-timestamp=1 max-txn-in-memory=8 only-local=1"), "{own}");
    }

    #[test]
    fn the_family_decides_where_to_connect() {
        let options = connect_options(&task("source.replication_port = 9001")).unwrap();
        assert_eq!((options.dialect, options.replication_port), (Dialect::GaussDb, Some(9001)));
        assert_eq!(decoding_name(&task("source.decoding = 'parallel'")), "parallel-b");
    }
}
