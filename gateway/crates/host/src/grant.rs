//! What a task may grant to a module beyond `log`.

use crate::contract;

/// A capability that a module imports and an operator grants by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grant {
    /// Counters of the module's own among the gateway's metrics.
    Counter,
}

impl Grant {
    /// All there are.
    pub const ALL: [Grant; 1] = [Grant::Counter];

    /// Its name in a task file, which is that of the interface in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Grant::Counter => "counter",
        }
    }

    /// The grant of this name.
    pub fn named(name: &str) -> Option<Grant> {
        Grant::ALL.into_iter().find(|grant| grant.as_str() == name)
    }

    /// The grant that an import of a component asks for; None where nobody can grant it.
    pub fn of_import(import: &str) -> Option<Grant> {
        let interface = import.strip_prefix(contract::PACKAGE)?;
        Grant::named(interface.split_once('@').map_or(interface, |(name, _)| name))
    }
}
