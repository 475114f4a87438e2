//! Module files that change, and SIGHUP.
//!
//! Owns when a changed file is taken: only after two looks in a row found the same whole content, so that a file in the middle of being
//! written is left alone; a file that is gone is told of and the module goes on. Must not judge the content: the swap does.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use millrace_host::{Digest, defaults};
use serde_json::Value;

use super::{Change, Request, Source, StageChange, Swaps, Trigger};
use crate::{
    config::{self, Module, Task},
    swap::Place,
};

/// What tells a changed file without reading it: size, time of change in nanoseconds, inode.
type Stamp = (u64, i128, u64);

/// One look at a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Gone,
    There(Stamp, Digest),
}

/// What a look means.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Nothing,
    /// A new content, seen twice.
    Changed(Digest),
    /// It was there before.
    Vanished,
}

/// What is known of one file.
#[derive(Debug, Default)]
struct File {
    /// The last look.
    last: Option<Look>,
    /// The content that was taken, or refused, last.
    settled: Option<Digest>,
    settled_stamp: Option<Stamp>,
    vanished: bool,
}

impl File {
    /// Takes a look in. Where nothing says what was loaded, the first content ever seen is taken for it.
    fn see(&mut self, look: Look) -> Meaning {
        let before = self.last.replace(look);
        match look {
            Look::Gone if self.settled.is_some() && !self.vanished => {
                self.vanished = true;
                Meaning::Vanished
            }
            Look::Gone => Meaning::Nothing,
            Look::There(stamp, digest) if before == Some(look) || self.settled.is_none() => {
                self.vanished = false;
                self.settled_stamp = Some(stamp);
                let first = self.settled.is_none();
                if self.settled.replace(digest) == Some(digest) || first {
                    Meaning::Nothing
                } else {
                    Meaning::Changed(digest)
                }
            }
            Look::There(..) => Meaning::Nothing,
        }
    }
}

/// The files of a task's modules.
#[derive(Debug, Default)]
pub(super) struct Watch(BTreeMap<PathBuf, File>);

fn stamp(path: &Path) -> Option<Stamp> {
    let file = fs::metadata(path).ok()?;
    let nanos = i128::from(file.mtime()) * 1_000_000_000 + i128::from(file.mtime_nsec());
    Some((file.len(), nanos, file.ino()))
}

impl Watch {
    /// Says what was loaded from a file that was not looked at yet: it may have changed between the load and the first look.
    fn loaded(&mut self, path: &Path, digest: Digest) {
        self.0.entry(path.to_path_buf()).or_insert_with(|| File { settled: Some(digest), ..File::default() });
    }

    /// Looks at these files; gives those with a new content and those that are gone. Blocking; a file that has the stamp of its
    /// settled content is not read.
    fn look(&mut self, paths: &[PathBuf], limit: u64) -> Vec<(PathBuf, Option<Digest>)> {
        self.0.retain(|path, _| paths.contains(path));
        let mut found = Vec::new();
        for path in paths {
            let file = self.0.entry(path.clone()).or_default();
            let look = match stamp(path) {
                Some(stamp) if file.settled_stamp == Some(stamp) && !file.vanished => continue,
                Some(stamp) if stamp.0 <= limit => match fs::read(path) {
                    Ok(bytes) => Look::There(stamp, Digest::of(&bytes)),
                    Err(_) => Look::Gone,
                },
                // Larger than a component may be: the swap would say so, but reading it is not worth it.
                Some(stamp) => Look::There(stamp, Digest::of(b"")),
                None => Look::Gone,
            };
            match file.see(look) {
                Meaning::Nothing => {}
                Meaning::Changed(digest) => found.push((path.clone(), Some(digest))),
                Meaning::Vanished => found.push((path.clone(), None)),
            }
        }
        found
    }
}

/// The operator's modules with their places.
fn modules(task: &Task) -> Vec<(Place, Module)> {
    let modules = &task.modules;
    let filters = modules.filter.iter().enumerate().map(|(at, module)| (Place::Filter(at), module));
    let maps = modules.map.iter().enumerate().map(|(at, module)| (Place::Map(at), module));
    let route = modules.route.iter().map(|module| (Place::Route, module));
    let format = modules.format.iter().map(|module| (Place::Format, module));
    filters.chain(maps).chain(route).chain(format).map(|(place, module)| (place, module.clone())).collect()
}

impl Swaps {
    /// Looks at the module files, where the task says so, and asks for swaps to what changed.
    pub(super) async fn look(&self, mut watch: Watch) -> Watch {
        let (task, current) = {
            let state = self.state();
            (state.task.clone(), state.current.clone())
        };
        let (true, Some(current)) = (task.modules.watch, current) else { return watch };
        let limit = current.loaded.engine.limits().component_bytes as u64;
        let modules = modules(&task);
        for (place, module) in &modules {
            // What stands there in place of the file's module says nothing of the file; a built-in module has none.
            let own = !current.loaded.over.contains_key(place) && defaults::built_in(&module.path).is_none();
            if let Some(stage) = place.get(&current.loaded.spec).filter(|_| own) {
                watch.loaded(&module.path, stage.module.digest());
            }
        }
        let paths: Vec<PathBuf> = modules.iter().map(|(_, module)| module.path.clone()).collect();
        let looked = tokio::task::spawn_blocking(move || {
            let found = watch.look(&paths, limit);
            (watch, found)
        });
        let Ok((watch, found)) = looked.await else { return Watch::default() };
        for (path, digest) in found {
            let Some(digest) = digest else {
                tracing::warn!(code = "module_file_gone", path = %path.display(), "a module's file is gone; the module goes on");
                continue;
            };
            tracing::info!(code = "module_file_changed", path = %path.display(), %digest, "a module's file changed");
            for (place, module) in modules.iter().filter(|(_, module)| module.path == path) {
                let change = StageChange {
                    place: *place,
                    source: Source::File(path.clone()),
                    pin: module.sha256.map(|pin| pin.0).or(Some(digest.0)),
                    config: Some(module.config_json()),
                };
                let trigger = Trigger::File { path: path.clone() };
                // Its outcome is logged and in the history.
                drop(self.enqueue(Request { change: Change::File(change), drain: false, trigger }, true));
            }
        }
        watch
    }

    /// SIGHUP: reads the task file again and swaps to the chain it names; other changes need a restart and are named.
    pub(crate) async fn reload(&self, file: &Path) {
        let before = self.state().task.clone();
        let refused = |why: String| {
            tracing::error!(
                code = "config_invalid",
                "SIGHUP: the task file is refused, everything goes on as it was: {why}"
            );
        };
        let after = match config::load(file) {
            Ok(after) if after.task.name == before.task.name => after,
            Ok(_) => return refused("task.name changed: start another process for another task".to_owned()),
            Err(problems) => return refused(problems.to_string()),
        };
        for section in restarts(&before.to_json(), &after.to_json()) {
            tracing::warn!(
                code = "restart_needed",
                section,
                "SIGHUP: this section changed and is read at a restart only"
            );
        }
        // Of the rest only what makes the chain is taken.
        let task = Task {
            objects: after.objects,
            route: after.route,
            format: after.format,
            modules: after.modules,
            ..(*before).clone()
        };
        let request = Request { change: Change::Task(Box::new(task)), drain: false, trigger: Trigger::Signal };
        drop(self.enqueue(request, true));
    }
}

/// Sections that differ and are not taken while the task runs.
fn restarts(before: &Value, after: &Value) -> Vec<String> {
    let live = ["objects", "route", "format", "modules"];
    let sections = after.as_object().into_iter().flatten();
    let other = sections.filter(|(name, value)| !live.contains(&name.as_str()) && before[name.as_str()] != **value);
    other.map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(size: u64, content: &str) -> Look {
        Look::There((size, 0, 0), Digest::of(content.as_bytes()))
    }

    #[test]
    fn a_content_counts_when_it_was_seen_twice() {
        let mut file = File::default();
        assert_eq!(file.see(there(1, "loaded")), Meaning::Nothing);
        assert_eq!(file.see(there(2, "half")), Meaning::Nothing);
        assert_eq!(file.see(there(3, "whole")), Meaning::Nothing, "it is still being written");
        assert_eq!(file.see(there(3, "whole")), Meaning::Changed(Digest::of(b"whole")));
        assert_eq!(file.see(there(3, "whole")), Meaning::Nothing, "once");
        assert_eq!(file.see(Look::Gone), Meaning::Vanished);
        assert_eq!(file.see(Look::Gone), Meaning::Nothing, "once");
        assert_eq!(file.see(there(3, "whole")), Meaning::Nothing);
        assert_eq!(file.see(there(3, "whole")), Meaning::Nothing, "back as it was");
        assert_eq!(file.see(Look::Gone), Meaning::Vanished);
        assert_eq!(file.see(there(4, "other")), Meaning::Nothing);
        assert_eq!(file.see(there(4, "other")), Meaning::Changed(Digest::of(b"other")));
    }

    #[test]
    fn a_file_that_changes_before_the_first_look_has_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("m.wasm");
        let paths = [path.clone()];
        let mut watch = Watch::default();
        fs::write(&path, "later").expect("written");
        let look = |watch: &mut Watch| {
            watch.loaded(&path, Digest::of(b"loaded"));
            watch.look(&paths, 100)
        };
        assert_eq!(look(&mut watch), []);
        assert_eq!(look(&mut watch), [(path.clone(), Some(Digest::of(b"later")))]);
        assert_eq!(look(&mut watch), [], "what was loaded is said of a new file only");
    }

    #[test]
    fn files_on_disk() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("m.wasm");
        let paths = [path.clone()];
        let mut watch = Watch::default();
        fs::write(&path, "one").expect("written");
        assert_eq!(watch.look(&paths, 100), []);
        fs::write(&path, "three").expect("written");
        assert_eq!(watch.look(&paths, 100), []);
        assert_eq!(watch.look(&paths, 100), [(path.clone(), Some(Digest::of(b"three")))]);
        assert_eq!(watch.look(&paths, 100), []);
        fs::remove_file(&path).expect("removed");
        assert_eq!(watch.look(&paths, 100), [(path, None)]);
    }

    #[test]
    fn what_needs_a_restart_is_named() {
        let before = serde_json::json!({ "sink": { "a": 1 }, "modules": { "b": 1 }, "task": 1 });
        let after = serde_json::json!({ "sink": { "a": 2 }, "modules": { "b": 2 }, "task": 1 });
        assert_eq!(restarts(&before, &after), ["sink"]);
    }
}
