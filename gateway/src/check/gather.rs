//! The order of a check: source, brokers, position, then the verdicts.

use std::time::Duration;

use millrace_batch::Failure;
use millrace_replication::{ReplicationConnection, connect_sql};

use super::{Item, Report, gaussdb, position, registry, sink, source};
use crate::{
    config::{Decoding, SinkKind, SourceKind, Task},
    task,
};

/// How long all questions to the source may take together, the connection not counted.
const PATIENCE: Duration = Duration::from_secs(60);

/// Checks a task. Never fails as a whole: what cannot be looked at is an item of the report.
pub async fn check(task: &Task) -> Report {
    let mut items = Vec::new();
    if task.source.kind == SourceKind::Gaussdb {
        let stored = position::stored(task).await;
        let of_shard = |shard: u16| stored.as_ref().map(|known| known.get(&shard).cloned()).map_err(String::clone);
        let sent = gaussdb::check(task, &of_shard, &mut items).await;
        let sent: Option<Vec<&source::Table>> = sent.as_ref().map(|sent| sent.iter().collect());
        let wanted = sink::wanted_topics(task, sent.as_deref());
        brokers(task, &wanted, &mut items).await;
        items.extend(registry::item(task).await);
        return Report::new(task.task.name.to_string(), &task.check.confirm, items);
    }
    let source = source_facts(task, &mut items).await;
    let sent = source.as_ref().map(|(facts, _)| source::sent(task, facts));
    let wanted = sink::wanted_topics(task, sent.as_deref());
    let kafka = match task.sink.kind {
        SinkKind::Kafka => Some(sink::gather(task, wanted.names(task)).await),
        SinkKind::Blackhole => None,
    };
    let stored = match &kafka {
        Some(Err(_)) => Err("the brokers cannot be reached".to_owned()),
        _ => position::stored(task).await.map(|mut known| known.remove(&0)),
    };
    match &source {
        Some((facts, system)) => {
            items.extend(source::judge(
                task,
                facts,
                system,
                stored.as_ref().map(Option::as_ref).map_err(String::as_str),
            ));
        }
        None => items.extend(source::IDS.map(|id| Item::skipped(id, "the source cannot be asked"))),
    }
    sink_items(task, kafka, &wanted, &mut items);
    items.extend(registry::item(task).await);
    Report::new(task.task.name.to_string(), &task.check.confirm, items)
}

/// Asks the brokers, and judges them.
async fn brokers(task: &Task, wanted: &sink::Wanted, items: &mut Vec<Item>) {
    let kafka = match task.sink.kind {
        SinkKind::Kafka => Some(sink::gather(task, wanted.names(task)).await),
        SinkKind::Blackhole => None,
    };
    sink_items(task, kafka, wanted, items);
}

fn sink_items(task: &Task, kafka: Option<Result<sink::Facts, Failure>>, wanted: &sink::Wanted, items: &mut Vec<Item>) {
    match kafka {
        Some(Ok(facts)) => {
            items.push(Item::passed("sink.connection", format!("reached {}", task.sink.bootstrap_servers())));
            items.extend(sink::judge(task, &facts, wanted));
        }
        Some(Err(failure)) => {
            items.push(Item::failure("sink.connection", &failure));
            items.extend(sink::IDS.map(|id| Item::skipped(id, "the brokers cannot be asked")));
        }
        None => items.push(Item::skipped("sink.connection", "the sink is a black hole")),
    }
}

/// The catalogue's facts and the system identifier.
async fn source_facts(task: &Task, items: &mut Vec<Item>) -> Option<(source::Facts, String)> {
    let id = "source.connection";
    let options = match task::source::connect_options(task) {
        Ok(options) => options,
        Err(failure) => {
            items.push(Item::failure(id, &failure));
            return None;
        }
    };
    let client = match connect_sql(&options).await {
        Ok(client) => client,
        Err(error) => {
            items.push(Item::failure(id, &error.failure()));
            return None;
        }
    };
    items.push(Item::passed(id, format!("logged in as {} to {}", task.source.user, task.source.database)));
    // Only pgoutput has one.
    let publication = (task.source.decoding == Decoding::Pgoutput).then(|| task.source.publication.as_str());
    let asked = source::gather(&client, task.source.slot.as_str(), publication);
    let facts = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(facts)) => facts,
        Ok(Err(error)) => {
            items.push(Item::failure("source.catalogue", &unanswered(error.to_string())));
            return None;
        }
        Err(_) => {
            items.push(Item::failure("source.catalogue", &unanswered(format!("no answer within {PATIENCE:?}"))));
            return None;
        }
    };
    // The connection that streams is judged by other rules: the role attribute, and its own lines of pg_hba.conf.
    let id = "source.replication_connection";
    let system = async {
        let mut connection = ReplicationConnection::connect(&options).await?;
        let system = connection.identify_system().await?;
        connection.close().await;
        Ok::<_, millrace_replication::Error>(system)
    };
    match system.await {
        Ok(system) => {
            items.push(Item::passed(id, format!("system {}, timeline {}", system.system_id, system.timeline)));
            Some((facts, system.system_id))
        }
        Err(error) => {
            items.push(Item::failure(id, &error.failure()));
            // The rest of the catalogue still says what is wrong.
            Some((facts, String::new()))
        }
    }
}

fn unanswered(why: String) -> Failure {
    Failure::transient("source_query", "reading the catalogue", why, "try again; look at the server's log")
}
