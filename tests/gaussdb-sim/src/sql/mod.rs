//! Ordinary SQL sessions: the simple and the extended protocol over the statements the simulator knows.

mod answer;
mod queries;
mod session;
mod text;

pub(crate) use session::{SqlSession, duration, run};
