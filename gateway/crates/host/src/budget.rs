//! Memory, tables and instances of one instance of a component against their limits.

use crate::limits::Limits;
use crate::usage::{LimitKind, Usage};
use std::sync::Arc;
use wasmtime::ResourceLimiter;

/// Most linear memories of one component: each of its core modules may have one.
const MEMORIES: usize = 16;

/// What an instance has and may have. Counted in [`Usage`] as it grows; given back when it is dropped with its store.
pub(crate) struct Budget {
    memory_bytes: usize,
    memory_used: usize,
    table_elements: usize,
    tables: usize,
    instances: usize,
    usage: Arc<Usage>,
    /// The limit that was hit; wasmtime's own error says less.
    denied: Option<(LimitKind, String)>,
}

impl Budget {
    pub(crate) fn new(limits: &Limits, usage: Arc<Usage>) -> Budget {
        usage.started();
        Budget {
            memory_bytes: limits.memory_bytes,
            memory_used: 0,
            table_elements: limits.table_elements,
            tables: limits.tables,
            instances: limits.instances,
            usage,
            denied: None,
        }
    }

    /// Bytes of linear memory it holds.
    pub(crate) fn memory_used(&self) -> usize {
        self.memory_used
    }

    /// The limit that was hit during the call, and in which words.
    pub(crate) fn denied(&mut self) -> Option<(LimitKind, String)> {
        self.denied.take()
    }

    /// Ends the call for what is no growth of memory or tables.
    pub(crate) fn end(&mut self, limit: LimitKind, why: String) -> wasmtime::Error {
        self.denied = Some((limit, why.clone()));
        wasmtime::Error::msg(why)
    }

    /// An error instead of `false`: a guest whose allocation fails quietly ends as a bare `unreachable` that explains nothing.
    fn deny(&mut self, limit: LimitKind, why: String) -> wasmtime::Result<bool> {
        Err(self.end(limit, why))
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        self.usage.ended(self.memory_used);
    }
}

impl ResourceLimiter for Budget {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        // All memories of the instance count together.
        let by = desired.saturating_sub(current);
        let used = self.memory_used.saturating_add(by);
        if used > self.memory_bytes {
            let why = format!("it needs more than its memory limit of {} bytes", self.memory_bytes);
            return self.deny(LimitKind::Memory, why);
        }
        self.memory_used = used;
        self.usage.memory(by, used);
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > self.table_elements {
            let why = format!("it needs a table of more than its limit of {} elements", self.table_elements);
            return self.deny(LimitKind::Table, why);
        }
        self.usage.table(desired);
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.tables
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}
