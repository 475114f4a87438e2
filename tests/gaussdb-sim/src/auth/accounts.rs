//! Roles that can log in, their failures, and the lock that too many of them close.

use super::{Encryption, Hba, Stored};
use crate::catalogue::Role;
use std::collections::BTreeMap;

/// A role with its password.
#[derive(Debug, Clone)]
pub struct Account {
    /// The role.
    pub role: Role,
    /// The password as stored.
    pub stored: Stored,
    /// Wrong passwords since the last right one.
    pub failures: u32,
    /// All log-ins that were tried, right or wrong.
    pub attempts: u64,
    /// Locked by an administrator or by failures.
    pub locked: bool,
    /// `VALID UNTIL` has passed.
    pub outdated: bool,
    /// The password is expired: queries are refused.
    pub expired: bool,
    /// `CONNECTION LIMIT 0`.
    pub no_connections: bool,
}

impl Account {
    /// An account whose password is stored in the default form.
    ///
    /// # Errors
    /// OpenSSL refused.
    pub fn new(role: Role, password: &str, encryption: Encryption) -> Result<Account, openssl::error::ErrorStack> {
        let stored = Stored::new(&role.name, password, encryption, super::mock_salt(&role.name), super::COUNT)?;
        let (locked, outdated, expired, no_connections) = (false, false, false, false);
        Ok(Account { role, stored, failures: 0, attempts: 0, locked, outdated, expired, no_connections })
    }
}

/// What became of a log-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// In.
    Accepted,
    /// Wrong password or unknown role.
    Denied,
    /// Too many wrong ones.
    Locked,
    /// Past `VALID UNTIL`.
    Outdated,
}

/// The accounts of a cluster; its nodes share them here.
#[derive(Debug)]
pub struct Accounts {
    by_name: BTreeMap<String, Account>,
    /// Method of the hba line for SQL.
    pub sql: Hba,
    /// Method of the hba line `replication`.
    pub replication: Hba,
    /// `failed_login_attempts`: so many are forgiven; 0 never locks.
    pub forgiven: u32,
}

impl Accounts {
    /// No accounts, `sha256` for everybody, ten failures forgiven.
    pub fn new() -> Accounts {
        Accounts { by_name: BTreeMap::new(), sql: Hba::Sha256, replication: Hba::Sha256, forgiven: 10 }
    }

    /// Adds an account or replaces it.
    pub fn add(&mut self, account: Account) {
        self.by_name.insert(account.role.name.clone(), account);
    }

    /// An account.
    pub fn get(&self, user: &str) -> Option<&Account> {
        self.by_name.get(user)
    }

    /// An account, to change.
    pub fn get_mut(&mut self, user: &str) -> Option<&mut Account> {
        self.by_name.get_mut(user)
    }

    /// Takes note of a log-in whose password was right or wrong. A locked account is told so whatever the password.
    pub fn judge(&mut self, user: &str, right: bool) -> Verdict {
        let forgiven = self.forgiven;
        let Some(account) = self.by_name.get_mut(user) else { return Verdict::Denied };
        account.attempts += 1;
        if account.locked {
            return Verdict::Locked;
        }
        if !right {
            // Eleven attempts at a limit of ten: the eleventh already hears of the lock.
            account.failures += 1;
            account.locked = forgiven > 0 && account.failures > forgiven;
            return if account.locked { Verdict::Locked } else { Verdict::Denied };
        }
        account.failures = 0;
        if account.outdated { Verdict::Outdated } else { Verdict::Accepted }
    }
}

impl Default for Accounts {
    fn default() -> Self {
        Accounts::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_attempt_meets_the_lock() {
        let mut accounts = Accounts::new();
        accounts.add(Account::new(Role::replication("u"), "pw", Encryption::Md5).unwrap());
        assert_eq!(accounts.judge("u", false), Verdict::Denied);
        assert_eq!(accounts.judge("u", true), Verdict::Accepted, "a right one clears the count");
        for _ in 0..10 {
            assert_eq!(accounts.judge("u", false), Verdict::Denied);
        }
        assert_eq!(accounts.judge("u", false), Verdict::Locked);
        assert_eq!(accounts.judge("u", true), Verdict::Locked);
        assert_eq!(accounts.get("u").unwrap().attempts, 14);
        assert_eq!(accounts.judge("nobody", true), Verdict::Denied);
    }
}
