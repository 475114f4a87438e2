//! `[check]`: what a person has said about the pre-check of a task.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Problems;

/// `[check]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Items whose ALARM was seen and is accepted, by their names in the answer of millrace check.
    #[serde(default)]
    pub confirm: Vec<String>,
    /// Whether an item that the managed service refuses and this gateway can live with is FAILED instead of ALARM.
    #[serde(default)]
    pub strict: bool,
    /// Whether a first start, which makes the slot, is refused below 100 %.
    #[serde(default = "yes")]
    pub at_start: bool,
}

fn yes() -> bool {
    true
}

impl Default for Check {
    fn default() -> Check {
        Check { confirm: Vec::new(), strict: false, at_start: true }
    }
}

impl Check {
    pub(super) fn check(&self, problems: &mut Problems) {
        for (number, name) in self.confirm.iter().enumerate() {
            if !crate::check::NAMES.contains(&name.as_str()) {
                let known = crate::check::NAMES.iter();
                let nearest = known.min_by_key(|known| super::keys::distance(name, known)).copied().unwrap_or_default();
                let rule = format!("is no item of the check; did you mean {nearest}?");
                problems.add(format!("check.confirm[{number}]"), rule, Some(format!("{name:?}")));
            }
        }
    }
}
