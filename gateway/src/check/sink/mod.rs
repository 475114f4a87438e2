//! Items about Kafka.

mod facts;
mod judge;

pub(super) use facts::{Facts, gather};
pub(super) use judge::{IDS, Wanted, judge, wanted_topics};

#[cfg(test)]
mod tests;
