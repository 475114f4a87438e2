//! Canaries: a new version that answers for a part of the changes.
//!
//! Owns starting one, its report, and its end. A canary begins and ends as a swap does, to and from a version that has it beside the
//! chain at work: at a transaction boundary, in the queue with the others, with a number and a line in the history. What a restart
//! runs, and what a session begins with, is the version at work alone.

use std::{net::IpAddr, sync::Arc};

use millrace_batch::Failure;
use serde_json::{Value, json};

use super::{Asked, Change, Request, StageChange, State, Swaps, Trigger, Version, prepare::Trying};
use crate::{
    swap::{Event, Place, Share, Ticket},
    task::{
        modules::{Loaded, digests},
        now_millis,
    },
};

/// The canary of a task, or what it found before it ended.
pub(super) struct Run {
    place: Place,
    version: Arc<Version>,
    since_ms: i64,
    /// Why it does not answer any more.
    ended: Option<&'static str>,
    /// Why it is about to end.
    why: Option<&'static str>,
    /// Its end was asked for because a session began without it.
    ending: bool,
}

fn none(place: Place) -> Failure {
    let tried = format!("looking for the canary of {place}");
    Failure::definite("canary_unknown", tried, "there is none", "PUT /v1/modules/{stage}/canary starts one")
}

impl Swaps {
    /// Asks for what `change` says, for a part of the changes.
    pub(crate) fn canary(&self, change: StageChange, share: Share, drain: bool, peer: IpAddr) -> Asked {
        let change = Change::Canary(change, share);
        self.enqueue(Request { change, drain, trigger: Trigger::Http { peer } }, true)
    }

    /// What the canary of a stage has found.
    pub(crate) fn canary_report(&self, place: Place) -> Result<Value, Failure> {
        let state = self.state();
        state.canary.as_ref().filter(|run| run.place == place).map(Run::show).ok_or_else(|| none(place))
    }

    /// Asks for the version at work alone, where the canary of a stage answers for a part; `None` where it does not any more.
    pub(crate) fn end_canary(&self, place: Place, peer: IpAddr) -> Result<Option<Asked>, Failure> {
        let change = {
            let mut state = self.state();
            let run = state.canary.as_mut().filter(|run| run.place == place).ok_or_else(|| none(place))?;
            if run.ended.is_some() {
                return Ok(None);
            }
            run.why = Some("it was ended");
            Change::Whole(Box::new(run.version.loaded.clone()))
        };
        Ok(Some(self.enqueue(Request { change, drain: false, trigger: Trigger::Http { peer } }, false)))
    }
}

impl State {
    /// The chain of the canary of a stage.
    pub(super) fn canary_of(&self, place: Place) -> Option<&Loaded> {
        let run = self.canary.as_ref().filter(|run| run.place == place)?;
        run.trying().map(|trying| &trying.loaded)
    }

    /// A version is installed: with a canary, or without the one before.
    pub(super) fn canary_changes(&mut self, version: &Arc<Version>) {
        if let Some(run) = self.canary.as_mut().filter(|run| run.ended.is_none()) {
            run.ended = Some(run.why.unwrap_or("other modules were swapped in"));
        }
        let place = self.jobs.get(&version.number).and_then(|job| job.request.change.place());
        if let (Some(_), Some(place)) = (&version.canary, place) {
            let (version, since_ms) = (version.clone(), now_millis());
            self.canary = Some(Run { place, version, since_ms, ended: None, why: None, ending: false });
        }
    }

    /// The canary of this version is about to end.
    pub(super) fn canary_ends(&mut self, version: Ticket, why: &'static str) {
        if let Some(run) = self.canary.as_mut().filter(|run| run.version.number == version) {
            run.why = Some(why);
        }
    }

    /// Its end came to nothing.
    pub(super) fn canary_stays(&mut self) {
        if let Some(run) = &mut self.canary {
            (run.ending, run.why) = (false, None);
        }
    }

    /// A session begins with the version at work alone; then the canary ends in the others too.
    pub(super) fn canary_over(&mut self, swaps: &Swaps) {
        let running = self.canary.as_mut().filter(|run| run.ended.is_none() && !run.ending);
        let (Some(run), false) = (running, self.machine.is_stopping()) else { return };
        (run.ending, run.why) = (true, Some("a session ended"));
        let of = run.version.number;
        let change = Change::Whole(Box::new(run.version.loaded.clone()));
        let trigger = Trigger::Automatic { of, reason: "session_ended" };
        let ticket = self.job(Request { change, drain: false, trigger }, None);
        self.on(swaps, Event::AskBack { ticket, of });
    }
}

impl Run {
    fn trying(&self) -> Option<&Trying> {
        self.version.canary.as_ref()
    }

    pub(super) fn show(&self) -> Value {
        let Some(trying) = self.trying() else { return Value::Null };
        let stage = self.place.get(&trying.loaded.spec);
        let config = stage.map(|stage| digests(stage).config_digest.trim_start_matches("sha256:").to_owned());
        json!({
            "number": self.version.number,
            "stage": self.place.to_string(),
            "name": stage.map(|stage| stage.module.about().name.clone()),
            "sha256": stage.map(|stage| stage.module.digest().to_string()),
            "config_sha256": config,
            "share": trying.canary.share,
            "since_ms": self.since_ms,
            "running": self.ended.is_none(),
            "ended": self.ended,
            "report": *trying.canary.report(),
        })
    }
}
