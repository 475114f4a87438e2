//! The error a person sees, wherever it came from.
//!
//! Owns the shape only: a stable code, whether waiting can help, what was tried, why it failed and the mend. Crates keep
//! their own thiserror enums and turn them into this at their edge. Must not hold row values or secrets (I9).

use std::fmt;

/// Whether waiting can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// A person must act; trying again changes nothing or does harm (a locked account, a lost slot).
    Definite,
    /// Retried with back-off: the network, a restart, a busy peer.
    Transient,
}

/// One failure at the edge of the gateway.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Failure {
    /// Stable, lower-case, snake-case name; the key of the runbook in `docs/errors.md`.
    pub code: &'static str,
    /// Whether waiting can help.
    pub class: Class,
    /// What the gateway was doing.
    pub tried: String,
    /// What came back, with the raw text of the peer where there was one.
    pub why: String,
    /// The statement, setting or step that mends it.
    pub mend: String,
}

impl Failure {
    /// A failure that needs a person.
    pub fn definite(
        code: &'static str,
        tried: impl Into<String>,
        why: impl Into<String>,
        mend: impl Into<String>,
    ) -> Failure {
        Failure { code, class: Class::Definite, tried: tried.into(), why: why.into(), mend: mend.into() }
    }

    /// A failure that is retried with back-off.
    pub fn transient(
        code: &'static str,
        tried: impl Into<String>,
        why: impl Into<String>,
        mend: impl Into<String>,
    ) -> Failure {
        Failure { code, class: Class::Transient, tried: tried.into(), why: why.into(), mend: mend.into() }
    }

    /// True where a person must act.
    pub fn is_definite(&self) -> bool {
        self.class == Class::Definite
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}: {}", self.code, self.tried, self.why)?;
        if !self.mend.is_empty() {
            write!(f, " (mend: {})", self.mend)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_code_attempt_reason_and_mend() {
        let failure = Failure::definite("slot_missing", "starting the stream", "no slot \"a\"", "create it");
        assert_eq!(failure.to_string(), "[slot_missing] starting the stream: no slot \"a\" (mend: create it)");
        assert!(failure.is_definite());
    }
}
