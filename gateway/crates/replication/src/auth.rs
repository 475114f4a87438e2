//! Authentication as a state machine: bodies of `R` messages in, bodies of `p` messages out. Sans-IO.
//!
//! Codes are those of PostgreSQL's documentation, "Message Formats", Authentication*; those of GaussDB and openGauss are
//! answered by [`crate::gauss`]. Must not know sockets; learns of TLS only the channel binding data. Fails closed: a server
//! that skips a step it began is refused.

use crate::gauss;
use crate::message::{Body, Malformed};
use crate::options::{ChannelBinding, Dialect, Secret};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{self, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256};

/// Most PBKDF2 rounds we compute for a server (PostgreSQL's default is 4096): a hostile one must not burn our CPU.
const MAX_SCRAM_ITERATIONS: u64 = 1_000_000;

/// Log-in went wrong on our side, or the server broke the exchange.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The server wants a method this client does not have.
    #[error("the server asks for authentication method {0}, which this client does not have")]
    Unsupported(String),
    /// The server speaks another dialect than the one it was addressed in.
    #[error("the server is of another family than its dialect says: {0}")]
    WrongDialect(&'static str),
    /// The server wants a password and none is configured.
    #[error("the server asks for a password ({0}) and none is configured")]
    PasswordMissing(&'static str),
    /// Channel binding is required and the server's method cannot give it.
    #[error("channel binding is required, but {0}")]
    ChannelBinding(&'static str),
    /// The server did not prove that it knows the password, or broke the exchange.
    #[error("the server broke the {method} exchange: {reason}")]
    Exchange {
        /// Name of the method.
        method: &'static str,
        /// What it did.
        reason: String,
    },
}

impl From<Malformed> for AuthError {
    fn from(reason: Malformed) -> Self {
        AuthError::Exchange { method: "authentication", reason: reason.to_owned() }
    }
}

/// What to do after an authentication message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send this body in a `p` message.
    Send(Vec<u8>),
    /// Read on.
    Wait,
    /// Logged in.
    Done,
}

enum State {
    Start,
    PasswordSent,
    ScramFirst(Box<ScramSha256>),
    ScramFinal(Box<ScramSha256>),
    ScramVerified,
}

/// One log-in.
pub(crate) struct Authenticator<'a> {
    user: &'a str,
    password: Option<&'a Secret>,
    binding: ChannelBinding,
    /// `tls-server-end-point` data; `None` without TLS or for a certificate without a digest.
    end_point: Option<Vec<u8>>,
    dialect: Dialect,
    state: State,
    bound: bool,
}

impl<'a> Authenticator<'a> {
    pub(crate) fn new(
        user: &'a str,
        password: Option<&'a Secret>,
        binding: ChannelBinding,
        end_point: Option<Vec<u8>>,
    ) -> Self {
        let dialect = Dialect::default();
        Self { user, password, binding, end_point, dialect, state: State::Start, bound: false }
    }

    /// Knows the methods of this family too.
    pub(crate) fn with_dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Takes a NegotiateProtocolVersion: the server speaks an older minor version, or ignores an option.
    pub(crate) fn negotiate(&self) -> Result<(), AuthError> {
        match self.dialect {
            Dialect::PostgreSql => Ok(()),
            // This family refuses a version it does not have; it never bargains.
            Dialect::GaussDb => Err(AuthError::WrongDialect("it offers another version as PostgreSQL does")),
        }
    }

    /// Takes the body of an `R` message and says what to do.
    pub(crate) fn step(&mut self, body: &[u8]) -> Result<Step, AuthError> {
        let mut body = Body(body);
        let code = body.i32()?;
        match (code, std::mem::replace(&mut self.state, State::Start)) {
            (0, State::Start | State::PasswordSent | State::ScramVerified) => {
                if self.binding == ChannelBinding::Require && !self.bound {
                    return Err(AuthError::ChannelBinding("the server let us in without it"));
                }
                Ok(Step::Done)
            }
            (3, State::Start) => {
                self.refuse_unbound("the server asks for a cleartext password")?;
                let password = self.password("cleartext")?;
                Ok(self.password_sent([password.as_bytes(), b"\0"].concat()))
            }
            (5, State::Start) => {
                self.refuse_unbound("the server asks for an MD5 password")?;
                let password = self.password("MD5")?;
                let salt = body.take(4)?;
                let salt = [salt[0], salt[1], salt[2], salt[3]];
                let hash = md5_hash(self.user.as_bytes(), password.as_bytes(), salt);
                Ok(self.password_sent([hash.as_bytes(), b"\0"].concat()))
            }
            (code, State::Start) if gauss::is_challenge(code, body.0) => self.gauss(code, body.0),
            (12, State::Start) if self.dialect == Dialect::GaussDb => {
                Err(AuthError::Unsupported("SHA256_RFC (12)".to_owned()))
            }
            (14, State::Start) if self.dialect == Dialect::GaussDb => {
                Err(AuthError::Unsupported("IAM (14)".to_owned()))
            }
            (10, State::Start) => self.start_scram(body),
            (11, State::ScramFirst(mut scram)) => {
                check_iterations(body.0)?;
                scram.update(body.0).map_err(scram_error)?;
                let answer = scram.message().to_vec();
                self.state = State::ScramFinal(scram);
                Ok(Step::Send(answer))
            }
            (12, State::ScramFinal(mut scram)) => {
                scram.finish(body.0).map_err(scram_error)?;
                self.state = State::ScramVerified;
                Ok(Step::Wait)
            }
            (2, _) => Err(AuthError::Unsupported("Kerberos V5 (2)".to_owned())),
            (7 | 8, _) => Err(AuthError::Unsupported(format!("GSSAPI ({code})"))),
            (9, _) => Err(AuthError::Unsupported("SSPI (9)".to_owned())),
            (0 | 3 | 5 | 10 | 11 | 12, _) => Err(AuthError::Exchange {
                method: "authentication",
                reason: format!("message {code} came out of turn"),
            }),
            _ => Err(AuthError::Unsupported(format!("number {code}"))),
        }
    }

    fn password_sent(&mut self, body: Vec<u8>) -> Step {
        self.state = State::PasswordSent;
        Step::Send(body)
    }

    fn password(&self, method: &'static str) -> Result<&'a str, AuthError> {
        self.password.map(Secret::expose).ok_or(AuthError::PasswordMissing(method))
    }

    fn refuse_unbound(&self, why: &'static str) -> Result<(), AuthError> {
        if self.binding == ChannelBinding::Require { Err(AuthError::ChannelBinding(why)) } else { Ok(()) }
    }

    /// The family's own challenges; in PostgreSQL their codes mean something else or nothing.
    fn gauss(&mut self, code: i32, rest: &[u8]) -> Result<Step, AuthError> {
        if self.dialect != Dialect::GaussDb {
            return Err(match code {
                11 => {
                    AuthError::Exchange { method: "authentication", reason: "message 11 came out of turn".to_owned() }
                }
                10 => AuthError::WrongDialect("it asks for SHA256 as GaussDB and openGauss do"),
                _ => AuthError::Unsupported(format!("number {code}")),
            });
        }
        self.refuse_unbound("the server asks for a method of GaussDB, which has none")?;
        let method = match code {
            11 => "MD5_SHA256",
            13 => "SM3",
            _ => "SHA256",
        };
        let password = self.password(method)?;
        Ok(self.password_sent(gauss::answer(code, rest, self.user, password)?))
    }

    fn start_scram(&mut self, mut body: Body<'_>) -> Result<Step, AuthError> {
        let (mut plain, mut plus, mut offered) = (false, false, Vec::new());
        loop {
            let name = body.text()?;
            match name.as_str() {
                "" => break,
                SCRAM_SHA_256 => plain = true,
                SCRAM_SHA_256_PLUS => plus = true,
                _ => {}
            }
            offered.push(name);
        }
        let end_point = self.end_point.take().filter(|_| self.binding != ChannelBinding::Disable);
        let (mechanism, binding) = match end_point {
            Some(data) if plus => (SCRAM_SHA_256_PLUS, sasl::ChannelBinding::tls_server_end_point(data)),
            // Tells the server that we could: a middleman who removed PLUS from its offer is found out.
            Some(_) if plain => (SCRAM_SHA_256, sasl::ChannelBinding::unrequested()),
            None if plain => (SCRAM_SHA_256, sasl::ChannelBinding::unsupported()),
            _ => return Err(AuthError::Unsupported(format!("SASL {}", offered.join(", ")))),
        };
        self.bound = mechanism == SCRAM_SHA_256_PLUS;
        if !self.bound {
            self.refuse_unbound("the server offers only SCRAM-SHA-256 without it")?;
        }
        let scram = Box::new(ScramSha256::new(self.password("SCRAM-SHA-256")?.as_bytes(), binding));
        let first = scram.message();
        let mut out = [mechanism.as_bytes(), b"\0"].concat();
        out.extend((first.len() as u32).to_be_bytes());
        out.extend(first);
        self.state = State::ScramFirst(scram);
        Ok(Step::Send(out))
    }
}

fn scram_error(error: std::io::Error) -> AuthError {
    AuthError::Exchange { method: "SCRAM-SHA-256", reason: error.to_string() }
}

/// Reads `i=` of the server's first message before any work is done for it (RFC 5802 section 5.1).
fn check_iterations(first: &[u8]) -> Result<(), AuthError> {
    let text = String::from_utf8_lossy(first);
    let count = text.split(',').find_map(|part| part.strip_prefix("i=")).and_then(|n| n.parse::<u64>().ok());
    match count {
        Some(count) if count <= MAX_SCRAM_ITERATIONS => Ok(()),
        Some(count) => Err(AuthError::Exchange {
            method: "SCRAM-SHA-256",
            reason: format!("it asks for {count} hash rounds, more than {MAX_SCRAM_ITERATIONS}"),
        }),
        None => Err(AuthError::Exchange { method: "SCRAM-SHA-256", reason: "no iteration count".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(code: i32, rest: &[u8]) -> Vec<u8> {
        [code.to_be_bytes().as_slice(), rest].concat()
    }

    const BOTH: &[u8] = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";

    #[test]
    fn cleartext_and_md5_bodies() {
        let secret = Secret::new("Gauss@123");
        let mut auth = Authenticator::new("cdc", Some(&secret), ChannelBinding::Prefer, None);
        assert_eq!(auth.step(&message(3, b"")), Ok(Step::Send(b"Gauss@123\0".to_vec())));
        assert_eq!(auth.step(&message(0, b"")), Ok(Step::Done));
        let mut auth = Authenticator::new("cdc", Some(&secret), ChannelBinding::Prefer, None);
        // md5(md5(password + user) + salt), computed independently with md5sum.
        let expected = b"md56b996ce539b05f9e5d31555c9416ebce\0".to_vec();
        assert_eq!(auth.step(&message(5, &[10, 11, 12, 13])), Ok(Step::Send(expected)));
        assert!(auth.step(&message(5, &[10, 11, 12, 13])).is_err(), "a second challenge is out of turn");
    }

    #[test]
    fn refuses_what_it_does_not_have() {
        let mut auth = Authenticator::new("cdc", None, ChannelBinding::Prefer, None);
        assert_eq!(auth.step(&message(3, b"")), Err(AuthError::PasswordMissing("cleartext")));
        for code in [2, 7, 9, 13, 99] {
            let mut auth = Authenticator::new("cdc", None, ChannelBinding::Prefer, None);
            assert!(matches!(auth.step(&message(code, b"")), Err(AuthError::Unsupported(_))), "{code}");
        }
        let mut auth = Authenticator::new("cdc", None, ChannelBinding::Prefer, None);
        assert!(matches!(auth.step(&message(10, b"SCRAM-SHA-512\0\0")), Err(AuthError::Unsupported(_))));
    }

    #[test]
    fn channel_binding_decides_the_mechanism() {
        let secret = Secret::new("pw");
        let first = |binding, end_point: Option<&[u8]>, offer: &[u8]| {
            let mut auth = Authenticator::new("cdc", Some(&secret), binding, end_point.map(<[u8]>::to_vec));
            auth.step(&message(10, offer)).map(|step| match step {
                Step::Send(body) => String::from_utf8_lossy(&body).into_owned(),
                other => format!("{other:?}"),
            })
        };
        let plus = first(ChannelBinding::Prefer, Some(b"hash"), BOTH).unwrap();
        assert!(plus.starts_with("SCRAM-SHA-256-PLUS\0") && plus.contains("p=tls-server-end-point,,"), "{plus}");
        let no_tls = first(ChannelBinding::Prefer, None, BOTH).unwrap();
        assert!(no_tls.starts_with("SCRAM-SHA-256\0") && no_tls.contains("n,,"), "{no_tls}");
        let stripped = first(ChannelBinding::Prefer, Some(b"hash"), b"SCRAM-SHA-256\0\0").unwrap();
        assert!(stripped.contains("y,,"), "{stripped}");
        assert!(matches!(first(ChannelBinding::Require, None, BOTH), Err(AuthError::ChannelBinding(_))));
        assert!(first(ChannelBinding::Disable, Some(b"hash"), BOTH).unwrap().starts_with("SCRAM-SHA-256\0"));
    }

    /// Its challenges share their codes with SASL; both are answered.
    #[test]
    fn scram_of_the_other_family() {
        let secret = Secret::new("pw");
        let new =
            || Authenticator::new("cdc", Some(&secret), ChannelBinding::Prefer, None).with_dialect(Dialect::GaussDb);
        let mut auth = new();
        let Ok(Step::Send(first)) = auth.step(&message(10, BOTH)) else { panic!("no SCRAM") };
        assert!(first.starts_with(b"SCRAM-SHA-256\0"));
        // Within SCRAM 11 is its next message, not a challenge of the family.
        let refused = auth.step(&message(11, &[b'0'; 68])).unwrap_err();
        assert!(refused.to_string().contains("SCRAM"), "{refused}");
        for (code, name) in [(12, "SHA256_RFC"), (14, "IAM")] {
            let refused = new().step(&message(code, b"")).unwrap_err();
            assert!(refused.to_string().contains(name), "{refused}");
        }
    }

    #[test]
    fn a_server_may_not_skip_its_proof() {
        let secret = Secret::new("pw");
        let mut auth = Authenticator::new("cdc", Some(&secret), ChannelBinding::Prefer, None);
        auth.step(&message(10, BOTH)).unwrap();
        assert!(matches!(auth.step(&message(0, b"")), Err(AuthError::Exchange { .. })));
        let mut auth = Authenticator::new("cdc", Some(&secret), ChannelBinding::Require, None);
        assert!(matches!(auth.step(&message(0, b"")), Err(AuthError::ChannelBinding(_))));
    }

    #[test]
    fn hash_rounds_are_bounded() {
        assert!(check_iterations(b"r=abc,s=def,i=4096").is_ok());
        assert!(check_iterations(b"r=abc,s=def,i=4000000000").is_err());
        assert!(check_iterations(b"r=abc,s=def").is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..4)) {
            let secret = Secret::new("pw");
            let mut auth = Authenticator::new("cdc", Some(&secret), ChannelBinding::Prefer, None);
            for body in bodies {
                if auth.step(&body).is_err() { break; }
            }
        }
    }
}
