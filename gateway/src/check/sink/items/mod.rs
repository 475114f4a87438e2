//! One item a file: what it looks at, its verdict, and the command that mends it. Pure; the questions are in `facts`.

pub(super) mod auto_create;
pub(super) mod message_size;
pub(super) mod position_store;
pub(super) mod replication_factor;
pub(super) mod topic_names;
pub(super) mod topic_settings;
pub(super) mod topics;
pub(super) mod version;
