//! Keys of a stored password (`sha2.cpp` of the server).

use openssl::error::ErrorStack;
use openssl::hash::{MessageDigest, hash};
use openssl::pkcs5::pbkdf2_hmac;
use openssl::pkey::PKey;
use openssl::sign::Signer;

/// Digest behind the stored key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// SHA-256.
    Sha256,
    /// SM3.
    Sm3,
}

impl Method {
    /// Code of the authentication request.
    pub(super) fn code(self) -> u32 {
        match self {
            Method::Sha256 => 10,
            Method::Sm3 => 13,
        }
    }

    /// Number of the method in its body.
    pub(super) fn number(self) -> u32 {
        match self {
            Method::Sha256 => 2,
            Method::Sm3 => 3,
        }
    }

    fn digest(self) -> Result<MessageDigest, ErrorStack> {
        match self {
            Method::Sha256 => Ok(MessageDigest::sha256()),
            Method::Sm3 => MessageDigest::from_name("SM3").ok_or_else(ErrorStack::get),
        }
    }
}

/// The keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    stored: [u8; 32],
    server: [u8; 32],
}

fn hmac(key: &[u8], data: &[u8]) -> Result<[u8; 32], ErrorStack> {
    let key = PKey::hmac(key)?;
    let mut out = [0; 32];
    Signer::new(MessageDigest::sha256(), &key)?.sign_oneshot(&mut out, data)?;
    Ok(out)
}

fn digest(method: Method, data: &[u8]) -> Result<[u8; 32], ErrorStack> {
    let mut out = [0; 32];
    out.copy_from_slice(&hash(method.digest()?, data)?);
    Ok(out)
}

/// Lower-case hexadecimal text.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing to memory does not fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    text.chunks(2).map(|pair| Some((digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?) as u8)).collect()
}

/// MD5 of the parts, as text; empty where a FIPS build of OpenSSL has none, which proves nothing to anybody.
pub(super) fn md5_hex(parts: &[&[u8]]) -> String {
    hash(MessageDigest::md5(), &parts.concat()).map_or_else(|_| String::new(), |md5| hex(&md5))
}

/// SHA-256 of the parts, as text.
pub(super) fn sha256_hex(parts: &[&[u8]]) -> String {
    hex(&openssl::sha::sha256(&parts.concat()))
}

impl Keys {
    /// Derives the keys of a password.
    pub fn derive(method: Method, password: &str, salt: &[u8], iterations: u32) -> Result<Keys, ErrorStack> {
        let mut salted = [0; 32];
        pbkdf2_hmac(password.as_bytes(), salt, iterations as usize, MessageDigest::sha1(), &mut salted)?;
        // The server misspells one of the two labels.
        let label: &[u8] = if method == Method::Sha256 { b"Sever Key" } else { b"Server Key" };
        let client = hmac(&salted, b"Client Key")?;
        Ok(Keys { stored: digest(method, &client)?, server: hmac(&salted, label)? })
    }

    /// What a 3.0 client is told, to prove the server.
    pub(super) fn server_signature(&self, token: &[u8]) -> [u8; 32] {
        hmac(&self.server, token).unwrap_or_default()
    }

    /// Whether an answer, 64 hexadecimal digits, proves the password: it gives the client key, whose digest is stored.
    pub(super) fn is_proof(&self, method: Method, token: &[u8], answer: &[u8]) -> bool {
        let (Some(proof), Ok(mask)) = (unhex(answer), hmac(&self.stored, token)) else { return false };
        let client: Vec<u8> = proof.iter().zip(mask).map(|(proof, mask)| proof ^ mask).collect();
        proof.len() == 32 && digest(method, &client).is_ok_and(|stored| stored == self.stored)
    }

    /// The stored password as text, which code 11 hashes: salt, server key, stored key and the count, hidden in a suffix.
    pub(super) fn stored_text(&self, salt: &[u8], iterations: u32) -> String {
        let mut suffix = *b"ecdfdcefade";
        let mut rest = iterations;
        for letter in &mut suffix {
            *letter += (rest % 10) as u8;
            rest /= 10;
        }
        format!("{}{}{}{}", hex(salt), hex(&self.server), hex(&self.stored), String::from_utf8_lossy(&suffix))
    }
}
