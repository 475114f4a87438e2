//! Passwords as the server stores them, and the exchanges that prove them.
//!
//! Which exchange happens depends on the line of the hba file, on how the password is stored and on the protocol version of the
//! client; the table in [`Exchange::choose`] is the recorded one. Bytes in, bytes out.

mod accounts;
mod keys;

pub use accounts::{Account, Accounts, Verdict};

use keys::{Keys, Method, md5_hex};

/// Method of the hba line that matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hba {
    /// No password. (A real server asks on 127.0.0.1 all the same.)
    Trust,
    /// Nobody gets in.
    Reject,
    /// There is no line for this kind of connection.
    Missing,
    /// `md5`.
    Md5,
    /// `sha256`.
    Sha256,
    /// `sha256`, asked of a password stored as MD5 with the sub-method the drivers know and no recorded server used: code 10,
    /// method 1.
    Sha256OfMd5,
    /// `sm3`.
    Sm3,
    /// The password itself. Not the family's habit; for clients that must refuse or warn.
    Cleartext,
}

/// A password as it is stored (`password_encryption_type` at the time it was set).
#[derive(Debug, Clone)]
pub enum Stored {
    /// 0: MD5 with the name of the role.
    Md5(String),
    /// 2.
    Sha256(Scram),
    /// 1: both, so that old clients can log in.
    Combined(String, Scram),
    /// 3.
    Sm3(Scram),
}

/// Salt, count and keys of a stored password.
#[derive(Debug, Clone)]
pub struct Scram {
    salt: [u8; 32],
    iterations: u32,
    keys: Keys,
}

/// How a password shall be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encryption {
    /// `md5`.
    Md5,
    /// `sha256`: the default.
    #[default]
    Sha256,
    /// Both.
    Combined,
    /// `sm3`.
    Sm3,
}

/// Salt of roles that do not exist: the server answers as if they did.
fn mock_salt(user: &str) -> [u8; 32] {
    let mut salt = [0; 32];
    for (at, byte) in md5_hex(&[b"mock", user.as_bytes()]).bytes().enumerate() {
        salt[at % 32] = byte;
    }
    salt
}

impl Stored {
    /// Stores a password.
    ///
    /// # Errors
    /// OpenSSL refused; SM3 is missing in some builds.
    pub fn new(
        user: &str,
        password: &str,
        encryption: Encryption,
        salt: [u8; 32],
        iterations: u32,
    ) -> Result<Stored, openssl::error::ErrorStack> {
        let md5 = || md5_hex(&[password.as_bytes(), user.as_bytes()]);
        let scram = |method| {
            let keys = Keys::derive(method, password, &salt, iterations)?;
            Ok(Scram { salt, iterations, keys })
        };
        Ok(match encryption {
            Encryption::Md5 => Stored::Md5(md5()),
            Encryption::Sha256 => Stored::Sha256(scram(Method::Sha256)?),
            Encryption::Combined => Stored::Combined(md5(), scram(Method::Sha256)?),
            Encryption::Sm3 => Stored::Sm3(scram(Method::Sm3)?),
        })
    }
}

/// What is asked of the client and how its answer is judged.
#[derive(Debug, Clone)]
pub enum Exchange {
    /// Nothing.
    None,
    /// Code 3; the text itself, to be compared with the stored form.
    Cleartext(Option<Box<Stored>>),
    /// Code 5.
    Md5(Option<String>),
    /// Code 10 with method 1.
    Sha256OfMd5(String),
    /// Code 11.
    Md5Sha256(Scram),
    /// Code 10 (`Sha256`) or 13; `None` where no answer can be right.
    Proof(Method, Option<Scram>, [u8; 32], u32),
    /// Code 13 with an empty token, as the server sends where the hba line says `md5` and the password is stored with SM3.
    EmptyToken([u8; 32], u32),
}

const COUNT: u32 = 10_000;

impl Exchange {
    /// What the server asks for. `stored` is `None` for an unknown role; `minor` the minor protocol version (51 of 3.51).
    pub fn choose(hba: Hba, stored: Option<&Stored>, user: &str, minor: u16) -> Exchange {
        let never = |method| Exchange::Proof(method, None, mock_salt(user), COUNT);
        let proof = |method, scram: &Scram| Exchange::Proof(method, Some(scram.clone()), scram.salt, scram.iterations);
        match (hba, stored) {
            (Hba::Trust | Hba::Reject | Hba::Missing, _) => Exchange::None,
            (Hba::Cleartext, stored) => Exchange::Cleartext(stored.cloned().map(Box::new)),
            (_, None) if minor < 50 => Exchange::Md5(None),
            (_, None) => never(Method::Sha256),
            (Hba::Sha256OfMd5, Some(Stored::Md5(md5) | Stored::Combined(md5, _))) => Exchange::Sha256OfMd5(md5.clone()),
            (Hba::Sm3, Some(Stored::Sm3(scram))) => proof(Method::Sm3, scram),
            (Hba::Sm3, Some(_)) => never(Method::Sm3),
            (Hba::Md5, Some(Stored::Sm3(_))) => Exchange::EmptyToken(mock_salt(user), COUNT),
            (Hba::Sha256 | Hba::Sha256OfMd5, Some(Stored::Sm3(_))) => never(Method::Sm3),
            (_, Some(Stored::Md5(md5))) | (Hba::Md5, Some(Stored::Combined(md5, _))) => {
                Exchange::Md5(Some(md5.clone()))
            }
            (Hba::Sha256, Some(Stored::Combined(md5, _))) if minor < 50 => Exchange::Md5(Some(md5.clone())),
            (Hba::Md5, Some(Stored::Sha256(scram))) => Exchange::Md5Sha256(scram.clone()),
            (Hba::Sha256 | Hba::Sha256OfMd5, Some(Stored::Sha256(scram) | Stored::Combined(_, scram))) => {
                proof(Method::Sha256, scram)
            }
        }
    }

    /// Body of the `R` message; `None` where nothing is asked. `token` is what makes this log-in differ from others.
    pub fn request(&self, minor: u16, token: [u8; 4]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let code = |out: &mut Vec<u8>, code: u32| out.extend_from_slice(&code.to_be_bytes());
        match self {
            Exchange::None => return None,
            Exchange::Cleartext(_) => code(&mut out, 3),
            Exchange::Md5(_) => {
                code(&mut out, 5);
                out.extend_from_slice(&token);
            }
            Exchange::Sha256OfMd5(_) => {
                code(&mut out, 10);
                code(&mut out, 1);
                out.extend_from_slice(&token);
            }
            Exchange::Md5Sha256(scram) => {
                code(&mut out, 11);
                out.extend_from_slice(keys::hex(&scram.salt).as_bytes());
                out.extend_from_slice(&token);
            }
            Exchange::Proof(method, scram, salt, iterations) => {
                code(&mut out, method.code());
                code(&mut out, method.number());
                out.extend_from_slice(keys::hex(salt).as_bytes());
                out.extend_from_slice(keys::hex(&token).as_bytes());
                let signature = || scram.as_ref().map_or([0; 32], |scram| scram.keys.server_signature(&token));
                match minor {
                    0..50 => out.extend_from_slice(keys::hex(&signature()).as_bytes()),
                    50 => {}
                    _ => code(&mut out, *iterations),
                }
            }
            Exchange::EmptyToken(salt, iterations) => {
                code(&mut out, 13);
                code(&mut out, 3);
                out.extend_from_slice(keys::hex(salt).as_bytes());
                out.extend_from_slice(&[0; 8]);
                match minor {
                    0..50 => out.extend_from_slice(&[b'0'; 64]),
                    50 => {}
                    _ => code(&mut out, *iterations),
                }
            }
        }
        Some(out)
    }

    /// Whether the client's answer proves the password. Terminators are cut off before: none, one and two were accepted.
    pub fn proves(&self, token: [u8; 4], answer: &[u8]) -> bool {
        match self {
            Exchange::None => true,
            Exchange::Cleartext(Some(stored)) => stored.is(answer),
            Exchange::Md5(Some(inner)) => answer == format!("md5{}", md5_hex(&[inner.as_bytes(), &token])).as_bytes(),
            Exchange::Sha256OfMd5(inner) => {
                answer == format!("sha256{}", keys::sha256_hex(&[inner.as_bytes(), &token])).as_bytes()
            }
            Exchange::Md5Sha256(scram) => {
                let stored = scram.keys.stored_text(&scram.salt, scram.iterations);
                answer == format!("md5{}", md5_hex(&[stored.as_bytes(), &token])).as_bytes()
            }
            Exchange::Proof(method, Some(scram), ..) => scram.keys.is_proof(*method, &token, answer),
            Exchange::Cleartext(None) | Exchange::Md5(None) | Exchange::Proof(..) | Exchange::EmptyToken(..) => false,
        }
    }
}

impl Stored {
    fn is(&self, password: &[u8]) -> bool {
        let Ok(password) = std::str::from_utf8(password) else { return false };
        let (method, scram) = match self {
            // Without the name the inner hash cannot be made anew.
            Stored::Md5(_) => return false,
            Stored::Sha256(scram) | Stored::Combined(_, scram) => (Method::Sha256, scram),
            Stored::Sm3(scram) => (Method::Sm3, scram),
        };
        Keys::derive(method, password, &scram.salt, scram.iterations).is_ok_and(|keys| keys == scram.keys)
    }
}
