//! Items about Kafka.

mod facts;
mod items;
mod judge;

pub(super) use facts::{Facts, gather};
use judge::some;
pub(super) use judge::{IDS, Wanted, judge, wanted_topics};

#[cfg(test)]
mod tests;
