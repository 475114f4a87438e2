//! One log-in as a state machine: messages of the server in, answers out. Sans-IO.
//!
//! Owns what may come when between the start-up packet and the first ReadyForQuery, and keeps what the server tells there.

use crate::auth::{Authenticator, Step};
use crate::error::Error;
use crate::message;
use std::collections::BTreeMap;

/// What to do after a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Send these bytes, then read on.
    Send(Vec<u8>),
    /// Read on.
    Read,
    /// The server is ready for a query.
    Ready,
}

/// What the server told at log-in.
#[derive(Debug, Default)]
pub(crate) struct Greeting {
    /// ParameterStatus values.
    pub(crate) parameters: BTreeMap<String, String>,
    /// Process and cancel key, 0 where the server gave none.
    pub(crate) backend: (i32, i32),
    /// AuthenticationOk to ReadyForQuery as received, for a client that expects them.
    pub(crate) bytes: Vec<u8>,
}

/// A log-in under way.
pub(crate) struct LogIn<'a> {
    host: &'a str,
    during: &'a str,
    auth: Authenticator<'a>,
    /// Somebody on the way can read what is sent.
    exposed: bool,
    logged_in: bool,
    greeting: Greeting,
}

impl<'a> LogIn<'a> {
    /// `host` and `during` are for messages; `exposed` is true on a network connection without TLS.
    pub(crate) fn new(host: &'a str, during: &'a str, auth: Authenticator<'a>, exposed: bool) -> Self {
        Self { host, during, auth, exposed, logged_in: false, greeting: Greeting::default() }
    }

    /// Takes the next message of the server.
    pub(crate) fn take(&mut self, tag: u8, body: &[u8]) -> Result<Next, Error> {
        let malformed = Error::malformed(self.during);
        let host = self.host;
        let refused = |source| Error::Auth { host: host.to_owned(), source };
        match tag {
            b'R' if !self.logged_in => {
                if self.exposed && body == [0, 0, 0, 3] {
                    tracing::warn!(%host, "the server asks for the password in the clear on a connection without TLS");
                }
                let step = self.auth.step(body).map_err(refused)?;
                return Ok(match step {
                    Step::Send(answer) => Next::Send(message::tagged(b'p', &answer)),
                    Step::Wait => Next::Read,
                    Step::Done => {
                        self.logged_in = true;
                        self.greeting.bytes = message::tagged(b'R', &[0; 4]);
                        Next::Read
                    }
                });
            }
            b'E' => return Err(Error::server(self.during, message::error_response(body))),
            b'N' => tracing::info!(%host, notice = %message::error_response(body), "notice at log-in"),
            b'v' if !self.logged_in => self.auth.negotiate().map_err(refused)?,
            b'S' if self.logged_in => {
                let (name, value) = message::parameter_status(body).map_err(&malformed)?;
                self.greeting.parameters.insert(name, value);
            }
            b'K' if self.logged_in => self.greeting.backend = message::backend_key(body).map_err(&malformed)?,
            b'Z' if self.logged_in => {}
            tag => return Err(Error::protocol(self.during, format!("message `{}` out of turn", tag.escape_ascii()))),
        }
        if self.logged_in {
            self.greeting.bytes.extend(message::tagged(tag, body));
        }
        Ok(if tag == b'Z' { Next::Ready } else { Next::Read })
    }

    /// What the server told, once it is ready.
    pub(crate) fn into_greeting(self) -> Greeting {
        self.greeting
    }
}
