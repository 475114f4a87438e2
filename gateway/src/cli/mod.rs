//! The command line: what there is, what it answers, and how it ends.
//!
//! Owns arguments, exit codes and the form of answers: data on standard output, logs on standard error. Must not hold rules
//! of its own: it asks `config`, `check` and `task`.

mod answer;
mod capture;
mod check;
#[cfg(test)]
mod codes;
mod config;
mod decode;
mod dlq;
mod exit;
mod live;
mod module;
mod objects;
mod replay;
mod run;
mod secrets;
mod slot;
mod task;
mod version;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

pub use exit::Exit;

use crate::observe::log;

const HELP: &str = "\
Exit codes:
  0  done (check: nothing FAILED)
  1  unexpected internal error
  2  usage or configuration
  3  definite failure: a person must act (check: an item FAILED)
  4  transient failure: a peer could not be reached
  5  a verification failed: the demo's, golden files, a bench's budget, a replay's digest

With --json an answer is one JSON object on standard output; a failure is {\"error\":{\"code\",\"class\",\"tried\",\"why\",\"mend\"}},
for a refused task file with \"problems\":[{\"path\",\"rule\",\"value\"}]. Codes are explained in docs/errors.md, the task file in
docs/configuration.md.";

/// Streams committed changes from PostgreSQL through WebAssembly modules to Kafka
#[derive(Debug, Parser)]
#[command(name = "millrace", version, after_help = HELP, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a task until SIGTERM or SIGINT
    Run(run::Options),
    /// Checks both peers and the settings of a task; changes nothing
    Check(check::Options),
    /// The task file: its schema, or its effective values
    #[command(subcommand)]
    Config(config::Command),
    /// The life of running tasks: status, start, pause, resume, reset, stop
    #[command(subcommand)]
    Task(task::Command),
    /// The replication slot of a task
    #[command(subcommand)]
    Slot(slot::Command),
    /// The tables of a task: what there is to choose from, lists of them, and changing the selection
    #[command(subcommand)]
    Objects(objects::Command),
    /// Runs the whole way with servers of its own, and checks what arrived
    Demo(Demo),
    /// Transform modules: tests, benches, and what a component is
    #[command(subcommand)]
    Module(module::Command),
    /// Writes what a task's source sends from now on into a file of events
    Capture(capture::Options),
    /// Runs captured events through a chain: the same records on every run
    Replay(replay::Options),
    /// Dead letters: changes that a stage could not handle
    #[command(subcommand)]
    Dlq(dlq::Command),
    /// Prints recorded payloads of a replication stream as JSON lines
    Decode(decode::Options),
    /// Prints the version
    Version(Json),
}

#[derive(Debug, Args)]
struct Json {
    /// Answers in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct TaskFile {
    /// The task file
    #[arg(value_name = "TASK.toml")]
    file: PathBuf,
    #[command(flatten)]
    json: Json,
}

#[derive(Debug, Args)]
struct Demo {
    #[command(flatten)]
    options: crate::demo::Options,
    #[command(flatten)]
    json: Json,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let exit = match Cli::parse().command {
        Command::Run(options) => run::run(&options),
        Command::Check(options) => check::run(&options),
        Command::Config(command) => config::run(&command),
        Command::Task(command) => task::run(&command),
        Command::Slot(command) => slot::run(&command),
        Command::Objects(command) => objects::run(&command),
        Command::Demo(demo) => self::demo(&demo),
        Command::Module(command) => module::run(&command),
        Command::Capture(options) => capture::run(&options),
        Command::Replay(options) => replay::run(&options),
        Command::Dlq(command) => dlq::run(&command),
        Command::Decode(options) => decode::run(&options),
        Command::Version(json) => version::run(json.json),
    };
    exit.into()
}

/// Logging of the commands that answer and end: their answer says what is wrong, the clients' own lines would only repeat it.
fn quiet() {
    // It fails only where logging has begun already.
    let _ = log::init(log::Form::Text, "error,librdkafka=off,rdkafka=off");
}

/// The runtime of a command. Two threads: one for the data path's reader, one for timers and endpoints.
fn block_on<F: Future>(future: F) -> Result<F::Output, Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime {
        Ok(runtime) => {
            let output = runtime.block_on(future);
            // A resolver thread that hangs must not keep the process.
            runtime.shutdown_timeout(std::time::Duration::from_secs(1));
            Ok(output)
        }
        Err(error) => {
            eprintln!("cannot start the runtime: {error}");
            Err(Exit::Internal)
        }
    }
}

fn demo(options: &Demo) -> Exit {
    quiet();
    let json = options.json.json;
    match block_on(crate::demo::run(&options.options, json)) {
        Ok(Ok(crate::demo::Ending::Refuted)) => Exit::Refuted,
        Ok(Ok(_)) => Exit::Done,
        Ok(Err(failure)) => answer::failure(&failure, json),
        Err(exit) => exit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_its_help_has_every_exit_code() {
        Cli::command().debug_assert();
        let help = Cli::command().render_long_help().to_string();
        for exit in Exit::ALL {
            assert!(help.contains(&format!("  {}  ", exit.code())), "{exit:?}");
        }
    }

    #[test]
    fn every_command_but_run_answers_in_json() {
        for args in [
            &["check", "t", "--confirm", "sink.topics"][..],
            &["config", "schema"],
            &["config", "reference"],
            &["config", "print", "t"],
            &["objects", "template", "-o", "l.xlsx"],
            &["objects", "list", "t"],
            &["objects", "search", "t", "orders"],
            &["objects", "check", "t", "--detail", "d.csv"],
            &["objects", "export", "t", "-o", "l.csv"],
            &["objects", "set", "t", "--import", "l.csv"],
            &["slot", "list", "t"],
            &["slot", "drop", "t", "--without-position"],
            &["task", "status", "t", "u"],
            &["task", "start", "t", "--at", "2026-12-24T18:00:00Z"],
            &["task", "start-time", "t", "--at", "2026-12-24T18:00:00Z"],
            &["task", "check", "t"],
            &["task", "information", "t"],
            &["task", "passwords", "t"],
            &["task", "pause", "t", "u"],
            &["task", "resume", "t", "u"],
            &["task", "reset", "t", "--yes"],
            &["task", "stop", "t", "--yes"],
            &["task", "forced-stop", "t", "--yes"],
            &["task", "delete", "t", "--yes"],
            &["demo"],
            &["capture", "t", "-o", "f"],
            &["replay", "f", "--chain", "t.toml"],
            &["module", "new", "m", "--stage", "map"],
            &["module", "build", "m"],
            &["module", "test", "m"],
            &["module", "list"],
            &["module", "swap", "format", "m.wasm", "--config", "{}", "--no-wait"],
            &["module", "rollback", "map.0", "--version", "3"],
            &["module", "bench", "m"],
            &["module", "inspect", "m"],
            &["module", "verify", "m"],
            &["dlq", "list", "t"],
            &["dlq", "show", "t", "--at", "0/7"],
            &["dlq", "replay", "t", "--all"],
            &["version"],
        ] {
            let with: Vec<&str> = ["millrace"].into_iter().chain(args.iter().copied()).chain(["--json"]).collect();
            assert!(Cli::try_parse_from(&with).is_ok(), "{with:?}");
        }
        assert!(
            Cli::try_parse_from(["millrace", "run", "t", "--log", "json", "--log-level", "info", "--exit-on-halt"])
                .is_ok()
        );
        assert!(Cli::try_parse_from(["millrace", "run", "t", "--log", "xml"]).is_err());
    }
}
