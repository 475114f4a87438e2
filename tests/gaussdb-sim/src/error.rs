//! Errors: those a server tells its client, and those of the tool itself.

/// An error as the server tells it. Its severity depends on where it happens: everything on a walsender connection is FATAL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// SQLSTATE.
    pub sqlstate: &'static str,
    /// Message.
    pub message: String,
    /// Internal number (field `c`); mostly 0.
    pub internal: u32,
    /// Module (field `d`).
    pub module: &'static str,
    /// Detail, hint and context (field `W`), where there are any.
    pub more: Option<Box<Particulars>>,
}

/// What some errors say besides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Particulars {
    /// Detail.
    pub detail: Option<String>,
    /// Hint.
    pub hint: Option<String>,
    /// Context.
    pub context: Option<String>,
}

impl SqlError {
    /// An error of module `BACKEND` without particulars.
    pub fn new(sqlstate: &'static str, message: impl Into<String>) -> SqlError {
        SqlError { sqlstate, message: message.into(), internal: 0, module: "BACKEND", more: None }
    }

    /// The same with an internal number.
    #[must_use]
    pub fn internal(mut self, internal: u32) -> SqlError {
        self.internal = internal;
        self
    }

    /// The same from another module.
    #[must_use]
    pub fn module(mut self, module: &'static str) -> SqlError {
        self.module = module;
        self
    }

    /// The same with a detail.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> SqlError {
        self.more.get_or_insert_default().detail = Some(detail.into());
        self
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> SqlError {
        self.more.get_or_insert_default().hint = Some(hint.into());
        self
    }

    /// The same with a context.
    #[must_use]
    pub fn context(mut self, context: impl Into<String>) -> SqlError {
        self.more.get_or_insert_default().context = Some(context.into());
        self
    }
}

/// What keeps a simulator from running.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No port, no file.
    #[error("{during}: {source}")]
    Io {
        /// What was tried.
        during: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// OpenSSL refused to make a certificate or a hash.
    #[error("OpenSSL: {0}")]
    OpenSsl(#[from] openssl::error::ErrorStack),
    /// The state folder holds something else.
    #[error("{file}: {reason}; remove the state folder to begin anew")]
    State {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Options that do not go together.
    #[error("{0}")]
    Options(String),
}

impl Error {
    pub(crate) fn io(during: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        move |source| Error::Io { during: during.into(), source }
    }
}
