//! The schema registry: whether it answers and lets us in. Whether it takes the schemas is told by the start, which registers them.

use super::Item;
use crate::{config::Task, task};

/// Id of the item.
const ID: &str = "registry.connection";

/// The item, where the task has a registry.
pub(super) async fn item(task: &Task) -> Option<Item> {
    let settings = task.registry.clone()?;
    let urls = settings.urls.join(", ");
    // Its client blocks.
    let probed = tokio::task::spawn_blocking(move || task::topics::registry(&settings)?.probe()).await;
    Some(match probed {
        Ok(Ok(())) => Item::passed(ID, format!("reached {urls}")),
        Ok(Err(failure)) => Item::failure(ID, &failure),
        Err(error) => Item::failed(ID, error.to_string(), "-- report this with the log"),
    })
}
