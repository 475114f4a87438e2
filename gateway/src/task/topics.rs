//! The Kafka side of a task before data moves: client settings, the sink, and the topics known beforehand.
//!
//! Owns the step from `[sink]` and `[route]` to the sink crate's types, and asking every published table for its topics before the
//! stream starts, so that a missing right or a bad factor is told then. Must not produce.

use std::{path::PathBuf, sync::Arc};

use millrace_batch::{
    Column, Failure, Relation, ReplicaIdentity, jdbc_code_of_array, jdbc_code_of_unknown, type_by_oid,
};
use millrace_host::{Chain, SchemaTable, TopicId, TopicTable};
use millrace_replication::{SqlConnection, catalog};
use millrace_sink::{
    Blackhole, Compression, Framing, KafkaConfig, Kerberos, Producer, Protocol, Registry, RegistryConfig, Sasl,
    SaslMechanism, Secret, Sink, Store, Tls, TokenSource, TopicWanted, Topics,
};

use super::attempt::blocking;
use crate::{
    config::{self, Task},
    pipeline::{Frames, Places, Subject, Wish, catalogue_column},
};

/// Client settings of a task; secrets are resolved here.
pub fn kafka_config(task: &Task) -> Result<KafkaConfig, Failure> {
    let sink = &task.sink;
    let size = |size: config::Size| usize::try_from(size.get()).unwrap_or(usize::MAX);
    let mut kafka = KafkaConfig::new(sink.brokers.iter().map(ToString::to_string));
    kafka.protocol = match sink.protocol {
        config::Protocol::Plaintext => Protocol::Plaintext,
        config::Protocol::Ssl => Protocol::Ssl,
        config::Protocol::SaslPlaintext => Protocol::SaslPlaintext,
        config::Protocol::SaslSsl => Protocol::SaslSsl,
    };
    kafka.tls = tls(sink)?;
    kafka.sasl = sasl(sink)?;
    kafka.compression = match sink.compression {
        config::Compression::None => Compression::None,
        config::Compression::Lz4 => Compression::Lz4,
        config::Compression::Zstd => Compression::Zstd,
        config::Compression::Snappy => Compression::Snappy,
        config::Compression::Gzip => Compression::Gzip,
    };
    kafka.client_id = format!("millrace-{}", task.task.name);
    kafka.linger = sink.linger.get();
    kafka.queue_bytes = size(sink.queue);
    kafka.max_message_bytes = size(sink.max_message);
    kafka.batch_bytes = kafka.batch_bytes.min(kafka.max_message_bytes);
    kafka.extra = sink.properties.clone();
    Ok(kafka)
}

/// Client of the task's schema registry; nothing is asked yet.
///
/// # Errors
/// Definite `secret_unavailable`, `registry_config`, `kafka_store`.
pub(crate) fn registry(registry: &config::Registry) -> Result<Registry, Failure> {
    let secret = |source: &Option<config::SecretSource>| source.as_ref().map(own_secret).transpose();
    let store = |path: &Option<PathBuf>, password| match path {
        Some(path) => Ok::<_, Failure>(Some(Store { path: path.clone(), password: secret(password)? })),
        None => Ok(None),
    };
    Registry::new(&RegistryConfig {
        urls: registry.urls.clone(),
        username: registry.username.clone(),
        password: secret(&registry.password)?,
        token: secret(&registry.token)?,
        ca: registry.ca.clone(),
        trust_store: store(&registry.trust_store, &registry.trust_store_password)?,
        key_store: store(&registry.key_store, &registry.key_store_password)?,
        register: registry.register,
        timeout: registry.timeout.get(),
    })
}

/// What stands before the datum of a record; none where nothing does. `schemas` and `topics`: of the chain whose records it is for.
///
/// # Errors
/// As [`registry`].
pub(crate) fn frames(task: &Task, schemas: SchemaTable, topics: TopicTable) -> Result<Option<Frames>, Failure> {
    let framing = match task.sink.framing {
        config::Framing::Raw => return Ok(None),
        config::Framing::SingleObject => Framing::SingleObject,
        config::Framing::Registry => Framing::Registry,
    };
    let subject = match task.registry.as_ref().map(|registry| registry.subject) {
        None | Some(config::Subject::Topic) => Subject::Topic,
        Some(config::Subject::Record) => Subject::Record,
        Some(config::Subject::TopicRecord) => Subject::TopicRecord,
    };
    let registry = task.registry.as_ref().map(registry).transpose()?;
    Ok(Some(Frames::new(framing, registry, subject, schemas, topics)))
}

fn tls(sink: &config::Sink) -> Result<Tls, Failure> {
    let secret = |source: &Option<config::SecretSource>| source.as_ref().map(own_secret).transpose();
    let store = |path: &Option<PathBuf>, password| match path {
        Some(path) => Ok::<_, Failure>(Some(Store { path: path.clone(), password: secret(password)? })),
        None => Ok(None),
    };
    Ok(Tls {
        ca: sink.ca.clone(),
        trust_store: store(&sink.trust_store, &sink.trust_store_password)?,
        cert: sink.cert.clone(),
        key: sink.key.clone(),
        key_store: store(&sink.key_store, &sink.key_store_password)?,
        key_password: secret(&sink.key_password)?,
        verify_host: sink.verify_host,
    })
}

fn sasl(sink: &config::Sink) -> Result<Option<Sasl>, Failure> {
    let Some(mechanism) = sink.sasl_mechanism else { return Ok(None) };
    let mechanism = match mechanism {
        config::SaslMechanism::Plain => SaslMechanism::Plain,
        config::SaslMechanism::ScramSha256 => SaslMechanism::ScramSha256,
        config::SaslMechanism::ScramSha512 => SaslMechanism::ScramSha512,
        config::SaslMechanism::OauthBearer => {
            return Ok(match &sink.token {
                // Read anew at every login, so that whoever keeps the file fresh needs no restart.
                Some(config::SecretSource::File(path)) => Some(Sasl::Token(TokenSource::File(path.clone()))),
                Some(source) => Some(Sasl::Token(TokenSource::Text(own_secret(source)?))),
                None => None,
            });
        }
        config::SaslMechanism::Gssapi => {
            let (Some(principal), Some(keytab)) = (&sink.kerberos_principal, &sink.kerberos_keytab) else {
                return Ok(None);
            };
            return Ok(Some(Sasl::Kerberos(Kerberos {
                principal: principal.clone(),
                keytab: keytab.clone(),
                service: sink.kerberos_service.clone(),
            })));
        }
    };
    let (Some(username), Some(password)) = (&sink.username, &sink.password) else { return Ok(None) };
    Ok(Some(Sasl::Password { mechanism, username: username.clone(), password: own_secret(password)? }))
}

fn own_secret(source: &config::SecretSource) -> Result<Secret, Failure> {
    Ok(Secret::new(source.resolve()?.expose()))
}

/// Starts the sink of a session, with access to the cluster's topics where it has any.
pub(crate) async fn open_sink(
    task: &Task,
    kafka: Option<&KafkaConfig>,
) -> Result<(Arc<Sink>, Option<Topics>), Failure> {
    let Some(kafka) = kafka.cloned() else {
        let limit = usize::try_from(task.sink.max_message.get()).unwrap_or(usize::MAX);
        return Ok((Arc::new(Sink::Blackhole(Blackhole::new(limit))), None));
    };
    blocking("starting the Kafka sink", move || {
        let topics = Topics::connect(&kafka)?;
        Ok((Arc::new(Sink::Kafka(Producer::start(&kafka)?)), Some(topics)))
    })
    .await
}

/// What a topic must be that the gateway creates.
pub(crate) fn wish(task: &Task) -> Wish {
    let route = task.route.clone();
    let limits = (route.partitions.get() as u32, route.replication_factor.get() as i32);
    Wish {
        create: route.create_topics,
        most: route.max_topics.to_usize(),
        remake: true,
        topic: Box::new(move |name| TopicWanted {
            name: name.to_owned(),
            partitions: limits.0,
            replication_factor: limits.1,
            settings: route.topic_settings.clone(),
        }),
    }
}

/// The topic of dead letters, where the task has one.
pub(crate) fn dead_letters(task: &Task, table: &TopicTable) -> Result<Option<TopicId>, Failure> {
    let Some(dead_letters) = &task.dead_letters else { return Ok(None) };
    let topic = dead_letters.topic.as_str();
    let refused = |error: millrace_host::TopicError| {
        Failure::definite(
            "dead_letters_missing",
            "naming the topic of dead letters",
            error.to_string(),
            "correct dead_letters.topic",
        )
    };
    table.intern(topic).map(Some).map_err(refused)
}

/// What is made sure of before the stream starts.
pub(crate) struct Ready {
    /// The topics.
    pub places: Arc<Places>,
    /// The schemas, where something stands before a datum.
    pub frames: Option<Arc<Frames>>,
    /// A topic that is needed whatever the tables are.
    pub also: Option<TopicId>,
}

/// Asks the chain where every published table goes and what it is written in, and makes sure of these schemas and topics and of
/// `ready.also`. Tables whose route depends on the change, and tables made later, are asked for when they come. Gives the tables.
pub(crate) async fn before_start(
    task: &Task,
    catalogue: &SqlConnection,
    mut scratch: Chain,
    ready: Ready,
) -> Result<Arc<[Relation]>, Failure> {
    let relations: Arc<[Relation]> = relations(task, catalogue).await.map_err(|error| error.failure())?.into();
    blocking("making sure of the topics", move || {
        let Ready { places, frames, also } = ready;
        let mut topics: Vec<TopicId> = also.into_iter().collect();
        for relation in relations.iter() {
            scratch.announce(relation).map_err(|error| error.failure())?;
            let own = scratch.topics_of(relation.id);
            // Before any topic is made: a schema that is refused is a reason to make none.
            if let (Some(frames), Some(schemas)) = (&frames, scratch.schemas_of(relation.id)) {
                frames.ensure(own, schemas, &format!("{}.{}", relation.schema, relation.table))?;
            }
            topics.extend(own);
        }
        topics.sort_unstable();
        topics.dedup();
        if !topics.is_empty() {
            places.ensure(&topics)?;
        }
        Ok(relations)
    })
    .await
}

/// The tables that will be sent, as far as they can be listed beforehand.
async fn relations(task: &Task, catalogue: &SqlConnection) -> Result<Vec<Relation>, millrace_replication::Error> {
    let mut relations = Vec::new();
    if task.source.decoding == config::Decoding::Pgoutput {
        let published = catalog::published_tables(catalogue, &[task.source.publication.as_str()]).await?;
        for (id, published) in published.into_iter().enumerate() {
            let columns = catalog::columns(catalogue, published.table.oid).await?;
            let columns = columns.into_iter().filter(|column| !column.generated).map(published_column).collect();
            relations.push(relation(task, id as u32, published.table, columns));
        }
    } else if task.source.kind == config::SourceKind::Gaussdb {
        let tables = catalog::gauss::tables(catalogue).await?.into_iter();
        let sent = tables.filter(|table| task.selects(&table.schema, &table.name) && table.is_decoded());
        for (id, table) in sent.enumerate() {
            let Some(found) = catalog::stream_table(catalogue, &table.schema, &table.name).await? else { continue };
            let columns = found.columns.into_iter().map(|column| catalogue_column(column).describe()).collect();
            let table = catalog::Table {
                oid: found.oid,
                schema: table.schema,
                name: table.name,
                replica_identity: found.replica_identity,
                primary_key: found.primary_key,
                identity_index: Vec::new(),
                selectable: table.selectable,
            };
            relations.push(relation(task, id as u32, table, columns));
        }
    }
    Ok(relations)
}

/// A column of a published table, without its key position.
fn published_column(column: catalog::Column) -> Column {
    let known = type_by_oid(column.type_oid);
    let array = column.type_name.ends_with("[]");
    Column {
        key_position: 0,
        type_name: known.map_or(column.type_name, |info| info.name.to_owned()),
        type_oid: column.type_oid,
        type_modifier: -1,
        jdbc_type: known.map_or(if array { jdbc_code_of_array() } else { jdbc_code_of_unknown() }, |info| info.jdbc),
        name: column.name,
    }
}

/// A table as the stream will describe it, near enough for its route.
fn relation(task: &Task, id: u32, table: catalog::Table, mut columns: Vec<Column>) -> Relation {
    for column in &mut columns {
        let place = table.primary_key.iter().position(|key| *key == column.name);
        column.key_position = place.map_or(0, |place| place as u16 + 1);
    }
    Relation {
        id,
        source_oid: table.oid,
        database: task.source.database.to_string(),
        columns,
        identity: match table.replica_identity {
            catalog::ReplicaIdentity::Default => ReplicaIdentity::Default,
            catalog::ReplicaIdentity::Full => ReplicaIdentity::Full,
            catalog::ReplicaIdentity::Index => ReplicaIdentity::Index,
            catalog::ReplicaIdentity::Nothing => ReplicaIdentity::Nothing,
        },
        schema: table.schema,
        table: table.name,
    }
}
