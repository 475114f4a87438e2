//! The default modules, built into the gateway.
//!
//! Owns the bytes only: they are loaded and checked like any other component. `guest-sdk/build.sh` makes them from `transforms/`.

/// `transforms/select`: a filter that takes tables by name.
pub const SELECT: &[u8] = include_bytes!("../../../../transforms/prebuilt/select.wasm");
/// `transforms/topic-router`: the documented topic and partition policies.
pub const TOPIC_ROUTER: &[u8] = include_bytes!("../../../../transforms/prebuilt/topic-router.wasm");
/// `transforms/drs-json`: the documented JSON envelope.
pub const DRS_JSON: &[u8] = include_bytes!("../../../../transforms/prebuilt/drs-json.wasm");
