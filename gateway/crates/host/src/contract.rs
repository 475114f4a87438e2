//! The one binding of the transform contract.
//!
//! Owns what `bindgen!` makes of world `transform` and the trait that lets one piece of code run any of the four stages.
//! Must not know plans, batches or policies.

// Generated code: its public items carry the comments of the WIT file where the contract has any.
#[allow(missing_docs, clippy::all, reason = "written by bindgen from the contract, which has the documentation")]
mod generated {
    wasmtime::component::bindgen!({
        world: "transform",
        path: "../../../wit/v1.0",
        additional_derives: [PartialEq],
        imports: { default: trappable },
    });
}

pub(crate) use generated::exports::millrace::transform::{describe, filter, format, map, route};
pub(crate) use generated::millrace::transform::{counter, log, types};

use crate::StageKind;
use crate::instance::State;
use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

/// Package the contract's interfaces belong to, with the slash that follows it in an interface name.
pub(crate) const PACKAGE: &str = "millrace:transform/";
/// Major version of the contract this gateway speaks; minor versions only add.
pub(crate) const MAJOR: u64 = 1;

/// One stage interface as a component exports it.
pub(crate) trait Interface: Sized {
    /// Which stage it is.
    const KIND: StageKind;
    /// What `announce` answers.
    type Plan: PartialEq;
    /// What `process` answers.
    type Answer;

    /// Finds the exports in an instance; an error where the interface is missing or has another shape.
    fn load(store: &mut Store<State>, pre: &InstancePre<State>, instance: &Instance) -> wasmtime::Result<Self>;
    /// True where the component exports an interface of this name.
    fn exported(pre: &InstancePre<State>) -> bool;
    /// Calls `init`.
    fn init(&self, store: &mut Store<State>, config: &str) -> wasmtime::Result<Result<(), String>>;
    /// Calls `announce`.
    fn announce(
        &self,
        store: &mut Store<State>,
        relation: &types::Relation,
    ) -> wasmtime::Result<Result<Self::Plan, String>>;
    /// Takes the faults out of an answer.
    fn take_faults(answer: &mut Self::Answer) -> Vec<types::Fault>;
    /// Bytes of an answer's lists, as they crossed.
    fn output_bytes(answer: &Self::Answer) -> usize;
    /// Calls `process`.
    fn process(&self, store: &mut Store<State>, batch: &types::Batch) -> wasmtime::Result<Self::Answer>;
}

macro_rules! interface {
    ($module:ident, $kind:ident, $plan:ty, $answer:ty, $($list:ident),+) => {
        impl Interface for $module::Guest {
            const KIND: StageKind = StageKind::$kind;
            type Plan = $plan;
            type Answer = $answer;

            fn load(store: &mut Store<State>, pre: &InstancePre<State>, instance: &Instance) -> wasmtime::Result<Self> {
                $module::GuestIndices::new(pre)?.load(store, instance)
            }

            fn exported(pre: &InstancePre<State>) -> bool {
                $module::GuestIndices::new(pre).is_ok()
            }

            fn init(&self, store: &mut Store<State>, config: &str) -> wasmtime::Result<Result<(), String>> {
                self.call_init(store, config)
            }

            fn announce(
                &self,
                store: &mut Store<State>,
                relation: &types::Relation,
            ) -> wasmtime::Result<Result<Self::Plan, String>> {
                self.call_announce(store, relation)
            }

            fn take_faults(answer: &mut Self::Answer) -> Vec<types::Fault> {
                std::mem::take(&mut answer.faults)
            }

            fn output_bytes(answer: &Self::Answer) -> usize {
                0 $(+ size_of_val(answer.$list.as_slice()))+
            }

            fn process(&self, store: &mut Store<State>, batch: &types::Batch) -> wasmtime::Result<Self::Answer> {
                self.call_process(store, batch)
            }
        }
    };
}

interface!(filter, Filter, filter::Plan, filter::Verdicts, keep);
interface!(map, Map, map::Plan, map::Mapped, data, ends, dropped);
interface!(route, Route, route::Plan, route::Routes, arena, topic_of, partitions, hash_ends);
interface!(format, Format, format::Plan, format::Records, arena, changes, key_ends, value_ends, topic_of, marks);

/// A table as the contract shows it.
pub(crate) fn relation(relation: &millrace_batch::Relation) -> types::Relation {
    types::Relation {
        id: relation.id,
        database: relation.database.clone(),
        schema: relation.schema.clone(),
        table: relation.table.clone(),
        identity: relation.identity.code(),
        columns: relation
            .columns
            .iter()
            .map(|column| types::Column {
                name: column.name.clone(),
                type_name: column.type_name.clone(),
                type_oid: column.type_oid,
                type_modifier: column.type_modifier,
                jdbc_type: column.jdbc_type,
                key_position: column.key_position,
            })
            .collect(),
    }
}

/// Indexes of the primary key's columns, in key order.
pub(crate) fn key_columns(relation: &types::Relation) -> Vec<u16> {
    let mut keys: Vec<(u16, u16)> = relation
        .columns
        .iter()
        .enumerate()
        .filter(|(_, column)| column.key_position > 0)
        .map(|(index, column)| (column.key_position, index as u16))
        .collect();
    keys.sort_unstable();
    keys.into_iter().map(|(_, index)| index).collect()
}

#[cfg(test)]
mod tests {
    use crate::Digest;
    use std::path::Path;

    /// Every released version of the contract: folder, file, SHA-256. A line is added here, none is ever changed.
    const RELEASED: [(&str, &str, &str); 1] =
        [("v1.0", "transform.wit", "4503c7804d4569d88565ab0c1114cdbad5088217999078e8acc35bef3f2d9363")];

    #[test]
    fn released_contracts_are_never_edited() {
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../wit");
        let mut files: Vec<(String, String, String)> = Vec::new();
        for folder in std::fs::read_dir(&wit).unwrap().map(|entry| entry.unwrap().path()) {
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            if !folder.is_dir() || name == "next" {
                continue;
            }
            for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                let digest = Digest::of(&std::fs::read(&file).unwrap()).to_string();
                files.push((name.clone(), file.file_name().unwrap().to_string_lossy().into_owned(), digest));
            }
        }
        files.sort();
        let released = RELEASED.map(|(folder, file, digest)| (folder.to_owned(), file.to_owned(), digest.to_owned()));
        assert_eq!(files, released, "a released contract stays as it is; what comes belongs into wit/next");
    }
}
