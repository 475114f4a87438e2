//! `[dead_letters]`: the topic of changes that a stage cannot handle.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Modules, OnError, Problems, TopicName};

/// `[dead_letters]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadLetters {
    /// The topic; it is created as route.create_topics says, and must not be one of the task's other topics.
    pub topic: TopicName,
}

/// A policy that names dead letters needs a topic for them.
pub(super) fn check(dead_letters: Option<&DeadLetters>, modules: &Modules, problems: &mut Problems) {
    if dead_letters.is_some() {
        return;
    }
    let rule = "needs dead_letters.topic";
    if modules.on_error == OnError::DeadLetter {
        problems.refuse(&["modules.on_error"], rule);
    }
    for (path, module) in modules.all() {
        if module.on_error == Some(OnError::DeadLetter) {
            problems.refuse(&[&format!("{path}.on_error")], rule);
        }
    }
}
