//! What a module may use.
//!
//! Owns the numbers and why they are what they are. Enforced in `instance` (time, output, fuel), `budget` (memory, tables), `engine` (stack), `module`
//! (component size) and `log` (lines).

use crate::usage::LimitKind;
use std::time::Duration;

/// Limits of every instance of a module. The defaults suit modules compiled from Rust or C; raise them by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest one `announce` or `process` may take on the wall clock; granularity 10 ms. Default 1 s: a batch of 256 changes
    /// takes 0.1-0.5 ms in a compiled module and about 15 ms in an interpreted one.
    pub call_timeout: Duration,
    /// Longest one start may take: instantiation, `about` or `init`. Default 5 s: interpreters start in milliseconds, but on a busy machine.
    pub init_timeout: Duration,
    /// Most linear memory of one instance, in bytes. Default 128 MiB: a batch, its projection and its output several times over.
    pub memory_bytes: usize,
    /// Most bytes of one call's answer, and as many again by its calls of the host (what it logs). Default 64 MiB, far above a batch of the widest rows Kafka takes.
    pub output_bytes: usize,
    /// Most records and headers one call may make. Default 65 536, 256 for each change of a usual batch: the host keeps more for a
    /// record than the few bytes it takes a module to ask for one.
    pub records: usize,
    /// Log lines of one instance that reach the gateway's log per second; more are counted, not written. Default 20.
    pub log_lines_per_second: u32,
    /// Most fuel one call may burn, about one unit per instruction: the same work costs the same on every machine, which time does not.
    /// Default none: it makes every module about a third slower. Read when the engine is made. A start may burn as much more as
    /// `init_timeout` is longer.
    pub fuel: Option<u64>,
    /// Most bytes of a component. Default 32 MiB: a Python component is 18.5 MB, a JavaScript one 12 MB, a Rust one 0.07 MB.
    pub component_bytes: usize,
    /// Most elements of one table of an instance. Default 100 000: function tables of interpreters have some 20 000.
    pub table_elements: usize,
    /// Most tables of an instance. Default 64.
    pub tables: usize,
    /// Most core instances of a component. Default 64: a component is a handful of core modules.
    pub instances: usize,
    /// Most bytes of guest stack. Default 512 KiB: must fit the host thread's own stack (2 MiB by default) with room for the host.
    /// Read when the engine is made; an instance cannot have another.
    pub stack_bytes: usize,
}

impl Limits {
    /// What a limit is set to, in its unit (seconds, bytes, records, elements, fuel, lines a second); None where there is none.
    pub fn value(&self, limit: LimitKind) -> Option<f64> {
        Some(match limit {
            LimitKind::Time => self.call_timeout.as_secs_f64(),
            LimitKind::Memory => self.memory_bytes as f64,
            LimitKind::Output => self.output_bytes as f64,
            LimitKind::Records => self.records as f64,
            LimitKind::Table => self.table_elements as f64,
            LimitKind::Stack => self.stack_bytes as f64,
            LimitKind::Fuel => self.fuel? as f64,
            LimitKind::Log => f64::from(self.log_lines_per_second),
        })
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            call_timeout: Duration::from_secs(1),
            init_timeout: Duration::from_secs(5),
            memory_bytes: 128 << 20,
            output_bytes: 64 << 20,
            records: 65_536,
            log_lines_per_second: 20,
            fuel: None,
            component_bytes: 32 << 20,
            table_elements: 100_000,
            tables: 64,
            instances: 64,
            stack_bytes: 512 << 10,
        }
    }
}
