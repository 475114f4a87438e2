//! The names of all items, for `check.confirm`.

/// Every item there can be, sorted.
pub(crate) const NAMES: [&str; 43] = [
    "position.store",
    "registry.connection",
    "sink.auto_create",
    "sink.brokers",
    "sink.connection",
    "sink.message_size",
    "sink.replication_factor",
    "sink.topic_names",
    "sink.topic_settings",
    "sink.topics",
    "sink.version",
    "source.catalogue",
    "source.column_types",
    "source.connection",
    "source.decoding",
    "source.deferrable_constraints",
    "source.encoding",
    "source.filters",
    "source.generated_columns",
    "source.interval_partitions",
    "source.long_transactions",
    "source.nodes",
    "source.object_names",
    "source.operations",
    "source.output_plugin",
    "source.publication",
    "source.published_tables",
    "source.replica_identity",
    "source.replication_connection",
    "source.replication_slots",
    "source.role",
    "source.schema_usage",
    "source.select_privilege",
    "source.session_settings",
    "source.slot",
    "source.slot_log",
    "source.slot_name",
    "source.table_kinds",
    "source.tables",
    "source.unlogged_tables",
    "source.version",
    "source.wal_level",
    "source.wal_senders",
];

#[cfg(test)]
mod tests {
    #[test]
    fn every_item_of_the_sources_is_listed_and_none_is_made_up() {
        let mut found = std::collections::BTreeSet::new();
        let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/check"))];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                if path.is_dir() {
                    folders.push(path);
                } else if name != "names.rs" && name != "tests.rs" {
                    let text = std::fs::read_to_string(path).unwrap();
                    let product = text.split("#[cfg(test)]").next().unwrap().to_owned();
                    let quoted = product.split('"').skip(1).step_by(2);
                    let named = quoted.filter(|name| {
                        ["source.", "sink.", "position.", "registry."].iter().any(|group| name.starts_with(group))
                            && name.bytes().all(|b| b.is_ascii_lowercase() || b"._".contains(&b))
                    });
                    found.extend(named.map(str::to_owned));
                }
            }
        }
        // Keys of the task file that reasons name.
        let keys = ["position.replication_factor"];
        found.retain(|name| !keys.contains(&name.as_str()));
        assert_eq!(found.into_iter().collect::<Vec<_>>(), super::NAMES);
    }
}
