//! Task files for the gateway.

use crate::kafka::Kafka;
use crate::postgres::{PASSWORD, USER};
use crate::scratch;
use crate::sql::Database;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A task file being put together: tables of keys with values in TOML's own spelling.
#[derive(Debug, Clone)]
pub struct Task {
    name: String,
    dir: PathBuf,
    tables: BTreeMap<String, BTreeMap<String, String>>,
    extra: String,
}

impl Task {
    /// A task that reads `database` as the role [`USER`] and writes to `kafka`. Slot, publication and positions carry its name;
    /// everything the tests do not depend on keeps its default.
    pub fn new(database: &Database, kafka: &Kafka) -> Self {
        let mut task = Self::bare(database.name());
        task.text("source.kind", "postgresql")
            .set("source.hosts", &format!("[\"127.0.0.1:{}\"]", database.port()))
            .text("source.database", database.name())
            .text("source.user", USER)
            .text("source.password", PASSWORD)
            .text("source.sslmode", "disable")
            .text("source.slot", &task_slot(database.name()))
            .text("source.publication", &task_slot(database.name()))
            .set("objects.include", "[\"public.*\"]")
            .text("sink.kind", "kafka")
            .set("sink.brokers", &format!("[\"{}\"]", kafka.address()))
            .text("position.store", "topic")
            .text("position.topic", &format!("{}-positions", database.name()))
            .text("position.interval", "200ms");
        task
    }

    /// A task with a name, an admin port of the system's choice and nothing else.
    pub fn bare(name: &str) -> Self {
        let mut task =
            Self { name: name.to_owned(), dir: scratch::folder(name), tables: BTreeMap::new(), extra: String::new() };
        let status = task.status_file().display().to_string();
        task.text("task.name", name).text("admin.listen", "127.0.0.1:0").text("admin.status_file", &status);
        // What a first start would refuse has tests of its own; the others begin where nobody was asked.
        task.set("check.at_start", "false");
        let cache = scratch_cache().display().to_string();
        task.text("modules.cache", &cache);
        task
    }

    /// Sets `table.key` to a value in TOML's spelling.
    pub fn set(&mut self, path: &str, value: &str) -> &mut Self {
        let (table, key) = path.rsplit_once('.').expect("table.key");
        self.tables.entry(table.to_owned()).or_default().insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets `table.key` to a string.
    pub fn text(&mut self, path: &str, value: &str) -> &mut Self {
        // TOML's basic strings have JSON's escapes.
        self.set(path, &serde_json::Value::from(value).to_string())
    }

    /// Takes `table.key` out.
    pub fn unset(&mut self, path: &str) -> &mut Self {
        let (table, key) = path.rsplit_once('.').expect("table.key");
        self.tables.get_mut(table).and_then(|keys| keys.remove(key)).expect("the key was set");
        self
    }

    /// The value of `table.key` in TOML's spelling.
    pub fn value(&self, path: &str) -> &str {
        let (table, key) = path.rsplit_once('.').expect("table.key");
        self.tables.get(table).and_then(|keys| keys.get(key)).expect("the key was set")
    }

    /// Text put behind the tables as it is.
    pub fn append(&mut self, text: &str) -> &mut Self {
        self.extra.push_str(text);
        self
    }

    /// Name of the task.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Name of its slot and publication.
    pub fn slot(&self) -> String {
        task_slot(&self.name)
    }

    /// Folder of its files.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the gateway writes its admin address when it is up.
    pub fn status_file(&self) -> PathBuf {
        self.dir.join("status.json")
    }

    /// Writes the file and gives its path.
    pub fn write(&self) -> PathBuf {
        let path = self.dir.join("task.toml");
        self.write_to(&path);
        path
    }

    /// Writes the file to `path`.
    pub fn write_to(&self, path: &Path) {
        let mut text = String::new();
        for (table, keys) in &self.tables {
            text += &format!("[{table}]\n");
            for (key, value) in keys {
                text += &format!("{key} = {value}\n");
            }
        }
        text += &self.extra;
        std::fs::write(path, text).expect("write the task file");
    }
}

/// Name of the slot and publication of a task named `task`.
pub fn task_slot(task: &str) -> String {
    format!("millrace_{task}")
}

/// One module cache for the run, so that the modules are compiled once.
fn scratch_cache() -> &'static Path {
    static CACHE: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    CACHE.get_or_init(|| scratch::folder("modules"))
}
