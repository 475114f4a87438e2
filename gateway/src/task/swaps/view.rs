//! What people see of the modules and their swaps.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Entry, Swaps, Trigger};
use crate::{
    swap::{Phase, Spent, Ticket},
    task::modules::digests,
};

/// A module at work.
#[derive(Clone, Debug, Serialize)]
struct Running {
    /// Its place, as `PUT /v1/modules/{stage}` takes it.
    stage: String,
    /// Name the module gives itself.
    name: String,
    /// Version the module gives itself.
    module_version: String,
    /// Digest of the component, hexadecimal.
    sha256: String,
    /// Digest of its configuration, hexadecimal.
    config_sha256: String,
    /// Whether it keeps state from change to change.
    stateful: bool,
    /// Whether it was swapped in, in place of what the task file names.
    swapped: bool,
    /// Whether it is a default module with the task file's configuration.
    built_in: bool,
}

/// A swap that is not done.
#[derive(Clone, Debug, Serialize)]
struct Waiting {
    version: Ticket,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<String>,
    trigger: Trigger,
    phase: Phase,
    waits_ms: u64,
}

impl Swaps {
    /// The answer of `GET /v1/modules`.
    pub fn view(&self) -> Value {
        let state = self.state();
        let running: Vec<Running> = state
            .current
            .iter()
            .flat_map(|version| {
                let loaded = &version.loaded;
                loaded.stages().map(|(place, stage)| {
                    let about = stage.module.about();
                    let swapped = loaded.over.contains_key(&place);
                    Running {
                        stage: place.to_string(),
                        name: about.name.clone(),
                        module_version: about.version.clone(),
                        sha256: stage.module.digest().to_string(),
                        config_sha256: digests(stage).config_digest.trim_start_matches("sha256:").to_owned(),
                        stateful: about.stateful,
                        swapped,
                        built_in: loaded.is_default(place) && !swapped,
                    }
                })
            })
            .collect();
        let waiting: Vec<Waiting> = state
            .machine
            .pending()
            .filter_map(|(version, phase)| {
                let job = state.jobs.get(&version)?;
                Some(Waiting {
                    version,
                    stage: job.request.change.place().map(|place| place.to_string()),
                    trigger: job.request.trigger.clone(),
                    phase,
                    waits_ms: u64::try_from(job.began.elapsed().as_millis()).unwrap_or(u64::MAX),
                })
            })
            .collect();
        let batches =
            || state.on_trial.iter().filter_map(|g| g.trial.as_ref()).map(|trial| trial.batches()).sum::<u64>();
        let trial = state.machine.trial().map(|(version, Spent { traps, deadlines, errors })| {
            json!({ "version": version, "batches": batches(), "traps": traps, "deadlines": deadlines, "errors": errors })
        });
        let history: Vec<&Entry> = state.history.iter().rev().collect();
        json!({
            "version": state.machine.installed(),
            "modules": running,
            "pending": waiting,
            "trial": trial,
            "canary": state.canary.as_ref().map(super::canary::Run::show),
            "rollback_to": state.versions.keys().collect::<Vec<_>>(),
            "history": history,
        })
    }
}
