//! `millrace run`.

use std::{path::PathBuf, sync::Arc};

use clap::Args;

use super::{Exit, answer, block_on, secrets};
use crate::{
    admin::Admin,
    config::{OnHalt, SinkKind, Task},
    observe::{About, Audit, Observe, log},
    task::{self, Life, Outcome, Swaps},
};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The task file
    #[arg(value_name = "TASK.toml")]
    file: PathBuf,
    /// Form of the log lines
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    log: log::Form,
    /// error, warn, info, debug or trace; also per target, as info,millrace_sink=debug
    #[arg(long, default_value = "info", value_name = "LEVEL")]
    log_level: String,
    /// Leaves with exit code 3 after a definite failure, as pipeline.on_halt = "exit"
    #[arg(long)]
    exit_on_halt: bool,
}

pub(super) fn run(options: &Options) -> Exit {
    if let Err(error) = log::init(options.log, &options.log_level) {
        eprintln!("{error}");
        return Exit::Usage;
    }
    let mut task = match secrets::load(&options.file) {
        Ok(task) => task,
        Err(problems) => {
            let failure = answer::refused(&problems);
            tracing::error!(
                code = failure.code,
                tried = failure.tried,
                why = failure.why,
                mend = failure.mend,
                "{failure}"
            );
            return Exit::Usage;
        }
    };
    if options.exit_on_halt {
        task.pipeline.on_halt = OnHalt::Exit;
    }
    block_on(serve(task, options)).unwrap_or_else(|exit| exit)
}

async fn serve(task: Task, options: &Options) -> Exit {
    let observe = Arc::new(Observe::new(about(&task)));
    let positions = task.position.path.as_deref().and_then(std::path::Path::parent).map(std::path::Path::to_path_buf);
    observe.watch(&task.monitoring, task.source.spill.folder.clone().or(positions).unwrap_or_else(std::env::temp_dir));
    let swaps = Swaps::new(&task, observe.clone());
    let audit = match Audit::open(task.task.name.as_str(), task.monitoring.audit_file.clone()) {
        Ok(audit) => audit,
        Err(failure) => {
            observe.halted(&failure);
            return Exit::Definite;
        }
    };
    let life = Life::new(&task, Some(options.file.clone()), observe.clone(), audit);
    let admin = match Admin::bind(&task.admin, observe.clone()).await {
        Ok(admin) => {
            let admin = admin.with_modules(&task.admin, swaps.clone()).with_task_file(options.file.clone());
            admin.with_life(&task.admin, life.clone())
        }
        Err(failure) => {
            observe.halted(&failure);
            return Exit::Definite;
        }
    };
    let endpoints = tokio::spawn(admin.serve());
    let report = tokio::spawn(observe.clone().report());
    let outcome = task::run(task, Some(options.file.clone()), observe, swaps, life).await;
    // The status line goes before the last word, the endpoints after it.
    report.abort();
    let _ = report.await;
    endpoints.abort();
    match outcome {
        Outcome::Stopped => Exit::Done,
        Outcome::Halted(_) => Exit::Definite,
    }
}

fn about(task: &Task) -> About {
    let sink = match task.sink.kind {
        SinkKind::Kafka => format!("kafka {}", task.sink.bootstrap_servers()),
        SinkKind::Blackhole => "blackhole".to_owned(),
    };
    About {
        task: task.task.name.to_string(),
        slot: task.source.slot.to_string(),
        database: task.source.database.to_string(),
        sink,
    }
}
