//! Log lines: text for people, JSON for machines, both on standard error.

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, fmt, util::SubscriberInitExt};

use super::console;

/// Form of the log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object per line; failures carry code, tried, why and mend.
    Json,
}

/// Starts logging for the whole process. `level` is a level or a list of directives of `tracing`'s filter, as
/// `info,millrace_sink=debug`.
///
/// # Errors
/// A text for the person who gave the level.
pub fn init(form: Form, level: &str) -> Result<(), String> {
    // librdkafka's own lines repeat every attempt; what matters of them the sink says itself.
    let quiet =
        if level.contains("rdkafka") { "" } else { ",librdkafka=error,rdkafka=error,millrace_sink::librdkafka=warn" };
    let filter = EnvFilter::builder()
        .parse(format!("{level}{quiet}"))
        .map_err(|error| format!("--log-level {level:?}: {error}"))?;
    let lines = fmt().with_env_filter(filter).with_writer(|| console::LogLine);
    let started = match form {
        Form::Text => lines.with_ansi(console::is_terminal()).with_target(false).finish().try_init(),
        Form::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).finish().try_init()
        }
    };
    started.map_err(|error| error.to_string())
}
