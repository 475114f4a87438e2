//! The pgoutput decoder against recordings of a real PostgreSQL and against random streams.

mod damage;
mod encode;
mod golden;
mod random;
mod render;
mod sequence;
