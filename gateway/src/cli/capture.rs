//! `millrace capture`.

use std::{io::Read, path::PathBuf};

use clap::Args;
use millrace_batch::Failure;
use millrace_module::{ToolError, mask::Masker};
use serde_json::json;

use super::{Exit, TaskFile, answer, block_on, quiet, secrets};
use crate::{
    config::Span,
    task::capture::{Wanted, capture},
};

/// Longest key that is read, in bytes.
const KEY_LIMIT: u64 = 64 << 10;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    task: TaskFile,
    /// File to write; it appears when the capture is over
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Shard to read: the data node with this number, in the order of their names from 0, of a distributed GaussDB
    #[arg(long, value_name = "N", default_value_t = 0)]
    shard: u16,
    /// Stops after this many changes
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Stops after this time: 30s, 5m
    #[arg(long = "for", value_name = "TIME")]
    duration: Option<Span>,
    /// Replaces values by others of the same type and length; equal values stay equal
    #[arg(long)]
    mask: bool,
    /// With --mask: file whose content decides the replacements, so that captures masked with it agree  [default: random]
    #[arg(long, value_name = "FILE", requires = "mask")]
    mask_key: Option<PathBuf>,
}

pub(super) fn run(options: &Options) -> Exit {
    quiet();
    let json = options.task.json.json;
    let task = match secrets::load(&options.task.file) {
        Ok(task) => task,
        Err(problems) => return answer::problems(&problems, json),
    };
    let masker = match masker(options) {
        Ok(masker) => masker,
        Err(error) => return answer::failure(&Failure::from(error), json),
    };
    let wanted = Wanted {
        shard: options.shard,
        file: &options.output,
        limit: options.limit,
        duration: options.duration.map(Span::get),
        masker,
    };
    let stop = async {
        // Without a handler the capture goes on until a limit.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let ready = || eprintln!("capturing; Ctrl-C ends it");
    match block_on(async { capture(&task, &wanted, stop, ready).await }) {
        Ok(Ok(captured)) => {
            let file = options.output.display().to_string();
            if json {
                answer::object(&json!({ "file": file, "masked": options.mask, "captured": captured }));
            } else {
                let (changes, tables, ends) = (captured.changes, captured.relations, captured.transactions);
                answer::text(&format!(
                    "{file}: {changes} changes of {tables} table versions, {ends} transactions ended"
                ));
            }
            Exit::Done
        }
        Ok(Err(failure)) => answer::failure(&failure, json),
        Err(exit) => exit,
    }
}

fn masker(options: &Options) -> Result<Option<Masker>, ToolError> {
    if !options.mask {
        return Ok(None);
    }
    let (path, limit) = match &options.mask_key {
        Some(path) => (path.clone(), KEY_LIMIT),
        None => (PathBuf::from("/dev/urandom"), 32),
    };
    let mut key = Vec::new();
    let read = std::fs::File::open(&path).and_then(|file| file.take(limit).read_to_end(&mut key));
    match read {
        Ok(0) => Err(ToolError::file(&path, "it is empty")),
        Ok(_) => Ok(Some(Masker::new(&key))),
        Err(error) => Err(ToolError::file(&path, error)),
    }
}
