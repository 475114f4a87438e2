//! What a start runs where modules had been swapped in.
//!
//! Owns the comparison of the position record with the task file: what was swapped in runs again as long as the task file says what
//! it said then. Where it says something else since, a person has wanted two things, and the start asks. `modules.on_restart` says
//! beforehand which counts. A gateway with newer default modules has changed nothing a person wanted.

use std::sync::Arc;

use millrace_batch::Failure;
use millrace_host::{Digest, Module};
use millrace_position::{ActiveModule, Over};

use crate::{
    config::{OnRestart, Task},
    swap::Place,
    task::{
        module_store::Kept,
        modules::{Loaded, digests, grants},
    },
};

/// What to do about one place.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    /// The task file's module runs.
    Task,
    /// What was swapped in runs again.
    Active,
    /// A person must say.
    Ask,
}

/// Decides from what the task file names now, what it named at the swap, and what ran.
fn choose(named: &Over, then: &Over, ran: &Over, is_default: bool, on_restart: OnRestart) -> Choice {
    // The component of a default module belongs to the gateway, so only its configuration is the task file's word.
    let says_the_same = named.config_digest == then.config_digest && (is_default || named.digest == then.digest);
    match on_restart {
        _ if named == ran => Choice::Task,
        OnRestart::Task => Choice::Task,
        OnRestart::Active => Choice::Active,
        OnRestart::Refuse if says_the_same => Choice::Active,
        OnRestart::Refuse => Choice::Ask,
    }
}

/// The chain of the task file with what had been swapped in. Blocking: reads the module store.
pub(crate) fn restore(task: &Task, mut loaded: Loaded, ran: &[ActiveModule]) -> Result<Loaded, Failure> {
    for (place, module) in places(ran) {
        let Some(then) = &module.over else { continue };
        let ran = Over { digest: module.digest.clone(), config_digest: module.config_digest.clone() };
        let on_restart = task.modules.on_restart;
        let choice = match place.get(&loaded.spec) {
            Some(stage) => choose(&digests(stage), then, &ran, loaded.is_default(place), on_restart),
            // The stage is gone from the task file, so only the task file can count.
            None if on_restart == OnRestart::Task => Choice::Task,
            None => Choice::Ask,
        };
        match choice {
            Choice::Task => {}
            Choice::Active => {
                loaded = bring_back(task, &loaded, place, &ran)?;
                tracing::info!(
                    code = "module_restored",
                    stage = %place,
                    digest = ran.digest,
                    "running the module that was swapped in before the restart"
                );
            }
            Choice::Ask => {
                return Err(Failure::definite(
                    "modules_disagree",
                    format!("choosing the module of stage {place}"),
                    format!(
                        "{} (configuration {}) was swapped in and ran, and the task file has changed this stage since",
                        ran.digest, ran.config_digest
                    ),
                    "set modules.on_restart = \"task\" to run what the task file names, or \"active\" to run what ran",
                ));
            }
        }
    }
    Ok(loaded)
}

/// Places of the record's modules: it lists them in the order of the chain.
fn places(ran: &[ActiveModule]) -> impl Iterator<Item = (Place, &ActiveModule)> {
    let (mut filters, mut maps) = (0, 0);
    ran.iter().filter_map(move |module| {
        let place = match module.stage.as_str() {
            "filter" => {
                filters += 1;
                if filters == 1 { Place::Select } else { Place::Filter(filters - 2) }
            }
            "map" => {
                maps += 1;
                Place::Map(maps - 1)
            }
            "route" => Place::Route,
            "format" => Place::Format,
            _ => return None,
        };
        Some((place, module))
    })
}

fn bring_back(task: &Task, loaded: &Loaded, place: Place, ran: &Over) -> Result<Loaded, Failure> {
    let gone = |what: &str| {
        Failure::definite(
            "module_store",
            format!("bringing back the module of stage {place}"),
            what,
            "set modules.store to the directory it was kept in, or modules.on_restart = \"task\"",
        )
    };
    let stage = place.get(&loaded.spec).ok_or_else(|| gone("the task's chain has no such stage"))?;
    let store = super::Swaps::store(task).ok_or_else(|| gone("there is no module store"))?;
    let digest = |text: &str| Digest::parse(text).ok_or_else(|| gone("the position names no digest"));
    let limit = loaded.engine.limits().component_bytes;
    let named = digests(stage);
    let module = if named.digest == ran.digest {
        stage.module.clone()
    } else {
        let digest = digest(&ran.digest)?;
        let bytes = store.load(Kept::Component, &digest, limit)?;
        Arc::new(Module::load_with(&loaded.engine, &place.to_string(), &bytes, Some(digest.0), &grants(task, place))?)
    };
    let config = if named.config_digest == ran.config_digest {
        stage.config_json.clone()
    } else {
        let bytes = store.load(Kept::Config, &digest(&ran.config_digest)?, limit)?;
        String::from_utf8(bytes).map_err(|_| gone("its configuration is not UTF-8"))?
    };
    loaded.with(place, module, config, true).ok_or_else(|| gone("the task's chain has no such stage"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(digest: &str, config: &str) -> Over {
        Over { digest: digest.into(), config_digest: config.into() }
    }

    #[test]
    fn what_ran_runs_again_until_the_task_file_says_something_new() {
        use OnRestart::{Active, Refuse, Task};
        let (then, ran) = (over("a", "1"), over("b", "2"));
        for (named, is_default, on_restart, expected) in [
            (over("a", "1"), false, Refuse, Choice::Active),
            (over("b", "2"), false, Refuse, Choice::Task),
            (over("c", "1"), false, Refuse, Choice::Ask),
            (over("a", "3"), false, Refuse, Choice::Ask),
            (over("c", "1"), false, Active, Choice::Active),
            (over("c", "1"), false, Task, Choice::Task),
            // Another default module came with another gateway; its configuration is a person's.
            (over("c", "1"), true, Refuse, Choice::Active),
            (over("c", "3"), true, Refuse, Choice::Ask),
            // Told that the task file is the truth, it always is.
            (over("a", "1"), false, Task, Choice::Task),
        ] {
            assert_eq!(choose(&named, &then, &ran, is_default, on_restart), expected, "{named:?} {on_restart:?}");
        }
    }

    #[test]
    fn the_record_lists_places_in_the_order_of_the_chain() {
        let module = |stage: &str| ActiveModule {
            stage: stage.into(),
            name: String::new(),
            digest: String::new(),
            config_digest: String::new(),
            over: None,
        };
        let ran = ["filter", "filter", "map", "map", "route", "format"].map(module);
        let found: Vec<Place> = places(&ran).map(|(place, _)| place).collect();
        let expected = [Place::Select, Place::Filter(0), Place::Map(0), Place::Map(1), Place::Route, Place::Format];
        assert_eq!(found, expected);
    }
}
