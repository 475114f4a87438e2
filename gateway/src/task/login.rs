//! One log-in at a time, and none after a refusal.
//!
//! Owns the memory of a refused log-in. All connections of a task use one password: what one shard was told, the others need not ask, and
//! a server counts every wrong password towards locking the account.

use std::future::Future;

use millrace_batch::Failure;
use tokio::sync::Mutex;

/// Codes of refusals that every other log-in of this user would meet too.
const REFUSALS: [&str; 8] = [
    "account_locked",
    "account_not_valid",
    "authentication_failed",
    "initial_user",
    "password_expired",
    "password_missing",
    "role_cannot_log_in",
    "role_missing",
];

/// Whether a failure is the refusal of a log-in.
pub(super) fn is_refusal(code: &str) -> bool {
    REFUSALS.contains(&code)
}

/// Where every log-in of a task passes.
#[derive(Debug, Default)]
pub struct Gate(Mutex<Option<Failure>>);

impl Gate {
    /// Does work that logs in, unless an earlier log-in was refused: then that refusal is the answer.
    pub async fn pass<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let mut refused = self.0.lock().await;
        if let Some(failure) = &*refused {
            return Err(failure.clone());
        }
        let done = work.await;
        if let Err(failure) = &done
            && is_refusal(failure.code)
        {
            *refused = Some(failure.clone());
        }
        done
    }

    /// A person vouches for the password: the next log-in is tried.
    pub async fn reopen(&self) {
        *self.0.lock().await = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refusal_is_met_once() {
        let gate = Gate::default();
        let fail = |code| async move { Err::<(), _>(Failure::definite(code, "t", "w", "m")) };
        assert_eq!(gate.pass(fail("slot_lost")).await.unwrap_err().code, "slot_lost");
        assert_eq!(gate.pass(async { Ok(1) }).await, Ok(1), "not a refusal of the log-in");
        assert_eq!(gate.pass(fail("authentication_failed")).await.unwrap_err().code, "authentication_failed");
        let never = async { panic!("a second log-in") };
        assert_eq!(gate.pass::<()>(never).await.unwrap_err().code, "authentication_failed");
        gate.reopen().await;
        assert_eq!(gate.pass(async { Ok(1) }).await, Ok(1), "a person said so");
    }
}
