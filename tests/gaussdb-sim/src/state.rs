//! The state folder: slots and logs of the nodes, so that a simulator that is started again goes on where it was.
//!
//! For each node `NAME.slots.json`, replaced at every checkpoint, and `NAME.log.jsonl`, to which each commit is added.

use crate::catalogue::Catalogue;
use crate::error::Error;
use crate::log::Transaction;
use crate::slots::{Slot, Slots};
use crate::text::Lsn;
use crate::truth::{from_json, to_json};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// The files of one node.
#[derive(Debug)]
pub(crate) struct NodeFiles {
    slots: PathBuf,
    log: PathBuf,
}

impl NodeFiles {
    pub(crate) fn new(folder: &Path, node: &str) -> Result<NodeFiles, Error> {
        fs::create_dir_all(folder).map_err(Error::io(format!("making {}", folder.display())))?;
        Ok(NodeFiles {
            slots: folder.join(format!("{node}.slots.json")),
            log: folder.join(format!("{node}.log.jsonl")),
        })
    }

    /// The slots of an earlier run; none where there was none.
    pub(crate) fn read_slots(&self) -> Result<Slots, Error> {
        let text = match fs::read_to_string(&self.slots) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Slots::default()),
            read => read.map_err(Error::io(format!("reading {}", self.slots.display())))?,
        };
        let broken = |reason: &str| Error::State { file: self.slots.display().to_string(), reason: reason.to_owned() };
        let value: Value = serde_json::from_str(&text).map_err(|error| broken(&error.to_string()))?;
        let read = |(name, slot): (&String, &Value)| {
            let lsn = |field: &str| slot[field].as_str().and_then(Lsn::parse);
            let slot = Slot {
                plugin: slot["plugin"].as_str()?.to_owned(),
                database: slot["database"].as_str()?.to_owned(),
                restart: lsn("restart_lsn")?,
                confirmed: Some(lsn("confirmed_flush")?),
                active: false,
            };
            Some((name.clone(), slot))
        };
        let slots = value.as_object().and_then(|slots| slots.iter().map(read).collect::<Option<BTreeMap<_, _>>>());
        slots.map(Slots::restore).ok_or_else(|| broken("not the slots of a simulator"))
    }

    /// Replaces the file; a crash in between leaves the old one.
    pub(crate) fn write_slots(&self, slots: &BTreeMap<String, Slot>) -> Result<(), Error> {
        let one = |(name, slot): (&String, &Slot)| {
            let value = json!({
                "plugin": slot.plugin, "database": slot.database, "restart_lsn": slot.restart.to_string(),
                "confirmed_flush": slot.confirmed.unwrap_or_default().to_string(),
            });
            (name.clone(), value)
        };
        let value = Value::Object(slots.iter().map(one).collect());
        let aside = self.slots.with_extension("new");
        fs::write(&aside, value.to_string()).map_err(Error::io(format!("writing {}", aside.display())))?;
        fs::rename(&aside, &self.slots).map_err(Error::io(format!("writing {}", self.slots.display())))
    }

    /// The transactions of earlier runs in order. A last line that was cut by a crash was never seen by anybody: it is cut off.
    pub(crate) fn read_log(&self, catalogue: &Catalogue) -> Result<Vec<Transaction>, Error> {
        let file = match File::open(&self.log) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened.map_err(Error::io(format!("reading {}", self.log.display())))?,
        };
        let mut input = BufReader::new(file);
        let (mut out, mut whole, mut line) = (Vec::new(), 0, String::new());
        loop {
            line.clear();
            let read = input.read_line(&mut line).map_err(Error::io(format!("reading {}", self.log.display())))?;
            if read == 0 || !line.ends_with('\n') {
                break;
            }
            let value = serde_json::from_str(&line).ok();
            let transaction = value.and_then(|value| from_json(&value, catalogue));
            out.push(transaction.ok_or_else(|| Error::State {
                file: self.log.display().to_string(),
                reason: format!("line {} is no transaction of these tables", out.len() + 1),
            })?);
            whole += read as u64;
        }
        let cut = OpenOptions::new().write(true).open(&self.log).and_then(|file| file.set_len(whole));
        cut.map_err(Error::io(format!("writing {}", self.log.display())))?;
        Ok(out)
    }

    /// Adds transactions.
    pub(crate) fn append(&self, transactions: &[std::sync::Arc<Transaction>]) -> Result<(), Error> {
        let failed = || format!("writing {}", self.log.display());
        let file = OpenOptions::new().create(true).append(true).open(&self.log).map_err(Error::io(failed()))?;
        let mut out = std::io::BufWriter::new(file);
        for transaction in transactions {
            writeln!(out, "{}", to_json(transaction)).map_err(Error::io(failed()))?;
        }
        out.flush().map_err(Error::io(failed()))
    }
}
