//! The sink against brokers.
fn main() {}
