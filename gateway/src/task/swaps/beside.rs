//! Shadows: a new version beside the one at work.
//!
//! Owns the one shadow of a task: starting it, its report, and putting it in the place of what it was compared with. It makes no
//! record that is sent, so it needs no transaction boundary and no queue.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use millrace_batch::Failure;
use serde_json::{Value, json};

use super::{
    Asked, Change, Request, StageChange, State, Swaps, Trigger,
    prepare::{Tools, Version, prepare},
};
use crate::{
    pipeline::Shadow,
    swap::{Place, Report, Ticket},
    task::{modules::digests, now_millis},
};

/// The shadow of a task, or what it found before it ended.
pub(super) struct Run {
    number: Ticket,
    place: Place,
    version: Arc<Version>,
    report: Arc<Mutex<Report>>,
    since_ms: i64,
    /// Why it does not run any more.
    ended: Option<&'static str>,
}

fn none(place: Place) -> Failure {
    let tried = format!("looking for the shadow of {place}");
    Failure::definite("shadow_unknown", tried, "there is none", "PUT /v1/modules/{stage}/shadow starts one")
}

impl Swaps {
    /// Starts a shadow: what `change` asks for runs beside the version at work, instead of the shadow before.
    pub(crate) async fn shadow(&self, change: StageChange, peer: IpAddr) -> Result<Value, Failure> {
        let place = change.place;
        let (number, current, links, tools) = {
            let mut state = self.state();
            state.ticket += 1;
            let tools = Tools { task: state.task.clone(), store: Swaps::store(&state.task), faults: None };
            (state.ticket, state.current.clone(), state.links.clone(), tools)
        };
        let nobody = |why: &str| {
            let mend = "wait until /readyz says 200, then start it again";
            Failure::transient("swap_not_started", format!("starting a shadow of {place}"), why, mend)
        };
        let Some(current) = current.filter(|_| !links.is_empty()) else {
            return Err(nobody("the task does not stream"));
        };
        let request = Request { change: Change::Stage(change), drain: false, trigger: Trigger::Http { peer } };
        let base = current.clone();
        let ready = crate::task::attempt::blocking("preparing a shadow", move || {
            prepare(number, &current, &request, &links, &tools)
        })
        .await?;
        let report: Arc<Mutex<Report>> = Arc::default();
        let mut state = self.state();
        if state.current.as_ref().is_none_or(|now| now.number != base.number) {
            return Err(nobody("other modules were swapped in meanwhile"));
        }
        for (shard, generation) in &ready.generations {
            if let Some(link) = state.links.get(shard) {
                let shadow = Shadow::new(number, generation.take_chains(), report.clone());
                link.switch.follow(Some(Arc::new(shadow)));
            }
        }
        let (version, since_ms) = (ready.version, now_millis());
        tracing::info!(code = "shadow_started", stage = %place, number, "a new version runs beside the one at work");
        let run = Run { number, place, version, report, since_ms, ended: None };
        let shown = run.show();
        state.shadow = Some(run);
        Ok(shown)
    }

    /// What the shadow of a stage has found.
    pub(crate) fn shadow_report(&self, place: Place) -> Result<Value, Failure> {
        let state = self.state();
        state.shadow.as_ref().filter(|run| run.place == place).map(Run::show).ok_or_else(|| none(place))
    }

    /// Ends the shadow of a stage; gives what it found.
    pub(crate) fn end_shadow(&self, place: Place) -> Result<Value, Failure> {
        let mut state = self.state();
        if state.shadow.as_ref().is_none_or(|run| run.place != place) {
            return Err(none(place));
        }
        state.end_shadow("it was ended");
        let shown = state.shadow.take().map(|run| run.show());
        shown.ok_or_else(|| none(place))
    }

    /// Asks for what the canary of a stage, or its shadow, runs, in the place of the version at work.
    pub(crate) fn promote(&self, place: Place, peer: IpAddr) -> Result<Asked, Failure> {
        let (stage, over) = {
            let state = self.state();
            let shadow = || state.shadow.as_ref().filter(|run| run.place == place).map(|run| &run.version.loaded);
            let loaded = state.canary_of(place).or_else(shadow).ok_or_else(|| none(place))?;
            let stage = place.get(&loaded.spec).cloned().ok_or_else(|| none(place))?;
            (stage, loaded.over.get(&place).cloned())
        };
        let change = Change::Back(place, Box::new(stage), over);
        Ok(self.enqueue(Request { change, drain: false, trigger: Trigger::Http { peer } }, true))
    }
}

impl State {
    /// Ends the shadow, where there is one; its report stays.
    pub(super) fn end_shadow(&mut self, why: &'static str) {
        if let Some(run) = self.shadow.as_mut().filter(|run| run.ended.is_none()) {
            run.ended = Some(why);
            self.links.values().for_each(|link| link.switch.follow(None));
        }
    }
}

impl Run {
    fn show(&self) -> Value {
        let stage = self.place.get(&self.version.loaded.spec);
        let config = stage.map(|stage| digests(stage).config_digest.trim_start_matches("sha256:").to_owned());
        json!({
            "number": self.number,
            "stage": self.place.to_string(),
            "name": stage.map(|stage| stage.module.about().name.clone()),
            "sha256": stage.map(|stage| stage.module.digest().to_string()),
            "config_sha256": config,
            "since_ms": self.since_ms,
            "running": self.ended.is_none(),
            "ended": self.ended,
            "report": *self.report.lock().unwrap_or_else(PoisonError::into_inner),
        })
    }
}
