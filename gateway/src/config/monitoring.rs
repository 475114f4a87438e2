//! `[monitoring]`: when a delay is an alarm, and where operations are written down.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Problems, Span};

/// `[monitoring]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Monitoring {
    /// Delay from commit to acknowledgement above which the task is shown as late; 1s to 1h.
    #[serde(default = "one_minute")]
    pub delay_threshold: Span,
    /// How long the delay must stay above it before it is an alarm: logged, and `millrace_delay_alarm` is 1.
    #[serde(default = "six_minutes")]
    pub delay_alarm_after: Span,
    /// File that gets one JSON line for each operation on the task: time, who, what, result. They are in the log too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_file: Option<PathBuf>,
}

fn one_minute() -> Span {
    Span::secs(60)
}

fn six_minutes() -> Span {
    Span::secs(360)
}

impl Default for Monitoring {
    fn default() -> Monitoring {
        Monitoring { delay_threshold: one_minute(), delay_alarm_after: six_minutes(), audit_file: None }
    }
}

impl Monitoring {
    pub(super) fn check(&self, problems: &mut Problems) {
        problems.span("monitoring.delay_threshold", self.delay_threshold, Span::secs(1), Span::secs(3600));
        problems.span("monitoring.delay_alarm_after", self.delay_alarm_after, Span::secs(0), Span::secs(86_400));
    }
}
