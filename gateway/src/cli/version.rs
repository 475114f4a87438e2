//! `millrace version`.

use serde_json::json;

use super::{Exit, answer};

pub(super) fn run(json: bool) -> Exit {
    let version = env!("CARGO_PKG_VERSION");
    if json {
        let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
        answer::object(&json!({ "name": "millrace", "version": version, "librdkafka": librdkafka }));
    } else {
        answer::text(&format!("millrace {version}"));
    }
    Exit::Done
}
