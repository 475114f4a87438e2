//! End-to-end tests: a real PostgreSQL, or a simulated GaussDB cluster (`gaussdb::`), the gateway's program as a child process, a real Apache
//! Kafka.
//!
//! Each test has its own database, slot, publication and topics on shared servers, and private servers where it stops,
//! reconfigures or blocks one. What is compared is what a consumer reads; see `millrace_tests::oracle` for the truth.

mod avro;
mod capture;
mod check;
mod connect;
mod crash;
mod demo;
mod gaussdb;
mod harness;
mod hostile;
mod life;
mod objects;
mod outage;
mod refusals;
mod routing;
mod schema;
mod settings;
mod shipped;
mod stage;
mod swap;
mod task;
mod transactions;
mod types;
