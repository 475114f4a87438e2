//! What the machine's actions come to: jobs made, versions prepared, armed, installed, refused and rolled back, and the history of it.
//!
//! Owns the way from an action to the stream, the answer and the log. Must not decide an order: that is the machine's.

use super::*;

impl State {
    pub(super) fn job(
        &mut self,
        request: Request,
        answer: Option<oneshot::Sender<Result<Swapped, Failure>>>,
    ) -> Ticket {
        self.ticket += 1;
        let (began, pause) = (Instant::now(), Duration::ZERO);
        let job = Job {
            request,
            answer,
            began,
            ready: None,
            failure: None,
            pause,
            noted: false,
            crossed: false,
            disarmed: Vec::new(),
        };
        self.jobs.insert(self.ticket, job);
        self.ticket
    }

    /// Takes an event in and carries out what follows from it.
    pub(super) fn on(&mut self, swaps: &Swaps, event: Event) {
        for action in self.machine.on(event) {
            self.act(swaps, action);
        }
        swaps.0.observe.metrics.swaps_pending(self.machine.pending().count());
    }

    pub(super) fn act(&mut self, swaps: &Swaps, action: Action) {
        match action {
            Action::Admit(shard) => {
                if let Some(door) = self.doors.remove(&shard) {
                    // A session that gave up is told as closed.
                    let _ = door.send(self.current.clone());
                }
            }
            Action::Prepare(ticket, shards) => self.prepare(swaps, ticket, &shards),
            Action::Arm(ticket, shard) => self.arm(swaps, ticket, shard),
            Action::Disarm(ticket, shard) => {
                if let Some(job) = self.jobs.get_mut(&ticket) {
                    job.disarmed.push(shard);
                }
                if let Some(link) = self.links.get(&shard) {
                    link.turn.withdraw();
                    link.switch.disarm();
                }
            }
            Action::Install(ticket) => {
                if let Some(ready) = self.jobs.get(&ticket).and_then(|job| job.ready.clone()) {
                    self.install(swaps, ready.version.clone());
                    self.on_trial = ready.generations.values().filter(|g| g.trial.is_some()).cloned().collect();
                    if !self.on_trial.is_empty() {
                        let (swaps, trial) = (swaps.clone(), self.task.modules.swap.trial.get());
                        tokio::spawn(async move {
                            tokio::time::sleep(trial).await;
                            swaps.state().on(&swaps, Event::TrialOver(ticket));
                        });
                    }
                }
            }
            Action::Done(ticket) => self.done(swaps, ticket),
            Action::Refuse(ticket, refusal) => self.refuse(swaps, ticket, refusal),
            Action::EndTrial(version) => {
                for generation in self.on_trial.extract_if(.., |generation| generation.version == version) {
                    generation.trial.iter().for_each(crate::pipeline::Trial::end);
                }
            }
            Action::RollBack(of, reason) => self.roll_back(swaps, of, reason),
        }
    }

    pub(super) fn prepare(&mut self, swaps: &Swaps, ticket: Ticket, shards: &[u16]) {
        let links: BTreeMap<u16, Link> =
            self.links.iter().filter(|(shard, _)| shards.contains(shard)).map(|(s, link)| (*s, link.clone())).collect();
        let (Some(job), current) = (self.jobs.get(&ticket), self.current.clone()) else { return };
        let (request, automatic) = (job.request.clone(), matches!(job.request.trigger, Trigger::Automatic { .. }));
        let canary = matches!(job.request.change, Change::Canary(..));
        let trial = !automatic && (canary || !self.task.modules.swap.trial.get().is_zero());
        let tools = Tools {
            task: self.task.clone(),
            store: Swaps::store(&self.task),
            faults: trial.then(|| swaps.0.faults.clone()),
        };
        let swaps = swaps.clone();
        tokio::spawn(async move {
            let made = crate::task::attempt::blocking("preparing a swap", move || match current {
                Some(current) => prepare(ticket, &current, &request, &links, &tools),
                None => Err(Failure::transient(
                    "swap_not_started",
                    "preparing a swap",
                    "the task has not loaded its modules yet",
                    "try again in a moment, or look at /readyz",
                )),
            })
            .await;
            let mut state = swaps.state();
            let Some(job) = state.jobs.get_mut(&ticket) else { return };
            let event = match made {
                Ok(ready) => {
                    job.ready = Some(Arc::new(ready));
                    Event::Prepared(ticket)
                }
                Err(failure) => {
                    job.failure = Some(failure);
                    Event::Refused(ticket)
                }
            };
            state.on(&swaps, event);
        });
    }

    /// Notes the modules first and puts the version in place then, so that a restart after the first record of the version runs
    /// it too; where it drains, the reader has both noted together at the boundary.
    pub(super) fn arm(&mut self, swaps: &Swaps, ticket: Ticket, shard: u16) {
        let ready = self.jobs.get(&ticket).and_then(|job| job.ready.clone());
        let (Some(ready), Some(link)) = (ready, self.links.get(&shard).cloned()) else { return };
        let Some(generation) = ready.generations.get(&shard).cloned() else { return };
        let (swaps, patience) = (swaps.clone(), self.task.modules.swap.drain_timeout.get());
        tokio::spawn(async move {
            let modules = link.active(&ready.version.loaded);
            let mut noted = true;
            let drain = if ready.drain {
                Some(Drain { modules, patience })
            } else {
                noted = link.turn.ask(Lsn(0), modules).await.is_ok();
                None
            };
            let (done, told) = oneshot::channel();
            let answer = if noted {
                link.switch.arm(Armed { generation: generation.clone(), drain, done });
                told.await.ok()
            } else {
                None
            };
            let mut state = swaps.state();
            let Some(job) = state.jobs.get_mut(&ticket) else { return };
            job.noted |= noted;
            let event = match answer {
                Some(Ok(stood)) => {
                    job.pause = job.pause.max(stood);
                    job.crossed = true;
                    Event::Crossed(ticket, shard)
                }
                Some(Err(failure)) => {
                    job.failure = Some(failure);
                    Event::NotCrossed(ticket, shard)
                }
                None if job.disarmed.contains(&shard) => {
                    job.disarmed.retain(|taken| *taken != shard);
                    Event::NotCrossed(ticket, shard)
                }
                // The session is ending, which is told by whoever ran it.
                None => return,
            };
            state.on(&swaps, event);
        });
    }

    pub(super) fn install(&mut self, swaps: &Swaps, version: Arc<Version>) {
        self.end_shadow("other modules were swapped in");
        self.canary_changes(&version);
        let observe = &swaps.0.observe;
        observe.status.modules(version.loaded.live());
        observe.metrics.active_modules(&version.loaded.live());
        self.versions.insert(version.number, version.clone());
        while self.versions.len() > VERSIONS {
            self.versions.pop_first();
        }
        let number = version.number;
        self.current = Some(version);
        swaps.0.installed.send_replace(number);
    }

    pub(super) fn done(&mut self, swaps: &Swaps, ticket: Ticket) {
        let Some(job) = self.jobs.remove(&ticket) else { return };
        let Some(ready) = job.ready.as_ref() else { return };
        if let Change::Task(task) = &job.request.change {
            self.task = Arc::new((**task).clone());
        }
        let taking = ready.generations.values().map(|generation| generation.taking()).max().unwrap_or_default();
        let pause = job.pause + taking;
        let outcome = if job.crossed { Outcome::Done } else { Outcome::NextStart };
        let entry = self.entry(ticket, &job, Some(&ready.version.loaded), outcome, None, pause);
        tracing::info!(
            code = "module_swapped",
            version = ticket,
            stage = entry.stage,
            name = entry.name,
            sha256 = entry.sha256,
            trigger = ?entry.trigger,
            drained = ready.drain,
            pause_us = entry.pause_us,
            took_ms = entry.took_ms,
            "modules swapped"
        );
        let observe = &swaps.0.observe.metrics;
        observe.swapped(outcome.as_str(), job.crossed.then_some(pause));
        self.remember(entry);
        if let Some(answer) = job.answer {
            let at_next_start = !job.crossed;
            let _ = answer.send(Ok(Swapped {
                version: ticket,
                pause_us: micros(pause),
                drained: ready.drain && job.crossed,
                at_next_start,
            }));
        }
    }

    pub(super) fn refuse(&mut self, swaps: &Swaps, ticket: Ticket, refusal: Refusal) {
        let Some(mut job) = self.jobs.remove(&ticket) else { return };
        self.canary_stays();
        let failure = match (refusal, job.failure.take()) {
            (Refusal::Failed, Some(failure)) => failure,
            (Refusal::Full, _) => Failure::transient(
                "swap_queue_full",
                "asking for a swap",
                format!("{} wait already", self.task.modules.swap.queue.get()),
                "wait for them: GET /v1/modules lists what is pending",
            ),
            (Refusal::Moot, _) => Failure::transient("swap_moot", "rolling back", "another version runs by now", ""),
            (Refusal::Stopping, _) => stopping(),
            (Refusal::Failed, None) => Failure::transient(
                "swap_interrupted",
                "changing to the new version",
                "the session ended before its next transaction boundary",
                "swap again; the version before it goes on",
            ),
        };
        if job.noted
            && let Some(current) = &self.current
        {
            // A record that names the version must not outlive its refusal. Where a session is gone its end sees to that.
            for link in self.links.values() {
                drop(link.turn.ask(Lsn(0), link.active(&current.loaded)));
            }
        }
        let loaded = job.ready.as_ref().map(|ready| &ready.version.loaded);
        let entry = self.entry(ticket, &job, loaded, Outcome::Refused, Some(failure.clone()), Duration::ZERO);
        tracing::warn!(
            code = failure.code,
            tried = %failure.tried,
            why = %failure.why,
            mend = %failure.mend,
            version = ticket,
            stage = entry.stage,
            trigger = ?entry.trigger,
            "swap refused: {failure}; the version before it goes on"
        );
        swaps.0.observe.metrics.swapped(Outcome::Refused.as_str(), None);
        self.remember(entry);
        if let Some(answer) = job.answer {
            let _ = answer.send(Err(failure));
        }
    }

    pub(super) fn roll_back(&mut self, swaps: &Swaps, of: Ticket, reason: crate::swap::Reason) {
        let before = self.versions.get(&of).and_then(|version| self.versions.get(&version.before)).cloned();
        let Some(before) = before else { return };
        let failure = Failure::definite(
            "swap_rolled_back",
            format!("running version {of} of the modules"),
            format!("it spent its budget of {}", reason.as_str()),
            "mend the module; modules.swap has the budgets",
        );
        tracing::error!(
            code = failure.code,
            tried = %failure.tried,
            why = %failure.why,
            mend = %failure.mend,
            version = of,
            to = before.number,
            "{failure}; rolling back"
        );
        swaps.0.observe.metrics.swapped(Outcome::RolledBack.as_str(), None);
        if let Some(entry) = self.history.iter_mut().find(|entry| entry.version == of) {
            entry.outcome = Outcome::RolledBack;
            entry.failure = Some(failure);
        }
        self.canary_ends(of, "it spent its budget");
        let change = Change::Whole(Box::new(before.loaded.clone()));
        let trigger = Trigger::Automatic { of, reason: reason.as_str() };
        let ticket = self.job(Request { change, drain: false, trigger }, None);
        self.on(swaps, Event::AskBack { ticket, of });
    }

    pub(super) fn entry(
        &self,
        version: Ticket,
        job: &Job,
        loaded: Option<&Loaded>,
        outcome: Outcome,
        failure: Option<Failure>,
        pause: Duration,
    ) -> Entry {
        let place = job.request.change.place();
        let canary = match &job.request.change {
            Change::Canary(_, share) => Some(share.clone()),
            _ => None,
        };
        let of_canary = job.ready.as_ref().and_then(|ready| ready.version.canary.as_ref()).map(|trying| &trying.loaded);
        let loaded = of_canary.or(loaded);
        let stage = place.zip(loaded).and_then(|(place, loaded)| place.get(&loaded.spec));
        let hex = |text: String| text.trim_start_matches("sha256:").to_owned();
        Entry {
            version,
            at_ms: now_millis(),
            canary,
            stage: place.map(|place: Place| place.to_string()),
            trigger: job.request.trigger.clone(),
            name: stage.map(|stage| stage.module.about().name.clone()),
            sha256: stage.map(|stage| stage.module.digest().to_string()),
            config_sha256: stage.map(|stage| hex(digests(stage).config_digest)),
            outcome,
            failure,
            pause_us: micros(pause),
            took_ms: u64::try_from(job.began.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }

    pub(super) fn remember(&mut self, entry: Entry) {
        self.history.push_back(entry);
        if self.history.len() > HISTORY {
            self.history.pop_front();
        }
    }
}
