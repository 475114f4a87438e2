//! The modules that are built into the gateway: the defaults, and those a task file names as `builtin:NAME`.
//!
//! Owns the bytes only: they are loaded and checked like any other component. `guest-sdk/build.sh` makes them from `transforms/`.

/// `transforms/select`: a filter that takes tables by name.
pub const SELECT: &[u8] = include_bytes!("../../../../transforms/prebuilt/select.wasm");
/// `transforms/topic-router`: the documented topic and partition policies.
pub const TOPIC_ROUTER: &[u8] = include_bytes!("../../../../transforms/prebuilt/topic-router.wasm");
/// `transforms/drs-json`: the documented JSON envelope.
pub const DRS_JSON: &[u8] = include_bytes!("../../../../transforms/prebuilt/drs-json.wasm");

/// `transforms/drs-avro`: the same envelope in Avro.
pub const DRS_AVRO: &[u8] = include_bytes!("../../../../transforms/prebuilt/drs-avro.wasm");

/// Every built-in module by its name, about 1.5 MB together. The others under `transforms` are for fewer, or larger.
pub const BUILT_IN: [(&str, &[u8]); 8] = [
    ("select", SELECT),
    ("topic-router", TOPIC_ROUTER),
    ("drs-json", DRS_JSON),
    ("drs-avro", DRS_AVRO),
    ("debezium-json", include_bytes!("../../../../transforms/prebuilt/debezium-json.wasm")),
    ("canal-json", include_bytes!("../../../../transforms/prebuilt/canal-json.wasm")),
    ("flatten", include_bytes!("../../../../transforms/prebuilt/flatten.wasm")),
    ("mask", include_bytes!("../../../../transforms/prebuilt/mask.wasm")),
];

/// What stands before the name of a built-in module where a path is expected.
pub const BUILT_IN_PREFIX: &str = "builtin:";

/// The component of a built-in module, by the text a task file gives for a path: `builtin:mask`. `None` where the text is no such
/// name, an error where there is no such module.
///
/// # Errors
/// The names there are.
pub fn built_in(path: &std::path::Path) -> Option<Result<&'static [u8], String>> {
    let name = path.to_str()?.strip_prefix(BUILT_IN_PREFIX)?;
    let found = BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes);
    Some(found.ok_or_else(|| {
        let names: Vec<_> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        format!("no module {name:?} is built in; there are {}", names.join(", "))
    }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn names_are_found_or_listed() {
        assert_eq!(built_in(Path::new("builtin:mask")).unwrap().unwrap()[..4], *b"\0asm");
        assert!(built_in(Path::new("builtin:musk")).unwrap().unwrap_err().contains("canal-json, flatten, mask"));
        assert!(built_in(Path::new("/modules/mask.wasm")).is_none());
    }
}
