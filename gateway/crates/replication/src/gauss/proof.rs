//! Keys and proofs of the family's password methods (`sha2.cpp` of the openGauss server).
//!
//! A relative of SCRAM that predates RFC 7677: PBKDF2 with HMAC-SHA1, one round trip, and no proof of the server's in the
//! form that current protocol versions use.

use crate::auth::AuthError;
use openssl::error::ErrorStack;
use openssl::hash::{MessageDigest, hash};
use openssl::pkcs5::pbkdf2_hmac;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use zeroize::Zeroizing;

/// Digest behind the stored key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// Codes 10 and 11.
    Sha256,
    /// Code 13.
    Sm3,
}

impl Method {
    pub(super) fn name(self) -> &'static str {
        match self {
            Method::Sha256 => "SHA256",
            Method::Sm3 => "SM3",
        }
    }

    fn digest(self) -> Result<MessageDigest, AuthError> {
        match self {
            Method::Sha256 => Ok(MessageDigest::sha256()),
            Method::Sm3 => MessageDigest::from_name("SM3")
                .ok_or_else(|| AuthError::Unsupported("SM3 (13): this OpenSSL is built without it".to_owned())),
        }
    }

    /// The server's label, misspelt in one of the two methods since the first release.
    fn server_label(self) -> &'static [u8] {
        match self {
            Method::Sha256 => b"Sever Key",
            Method::Sm3 => b"Server Key",
        }
    }
}

fn crypto(error: ErrorStack) -> AuthError {
    AuthError::Unsupported(format!("a method OpenSSL refuses to compute: {error}"))
}

fn hmac_sha256(key: &[u8], data: &[u8]) -> Result<[u8; 32], AuthError> {
    let key = PKey::hmac(key).map_err(crypto)?;
    let mut signer = Signer::new(MessageDigest::sha256(), &key).map_err(crypto)?;
    let mut out = [0; 32];
    signer.sign_oneshot(&mut out, data).map_err(crypto)?;
    Ok(out)
}

/// Lower-case hexadecimal text.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// What a password gives under one salt and count.
pub(super) struct Keys {
    client: Zeroizing<[u8; 32]>,
    stored: Zeroizing<[u8; 32]>,
    server: Zeroizing<[u8; 32]>,
}

impl Keys {
    /// Derives the keys; costs `2 * iterations` rounds of HMAC-SHA1.
    pub(super) fn derive(method: Method, password: &str, salt: &[u8], iterations: u32) -> Result<Self, AuthError> {
        let digest = method.digest()?;
        let mut salted = Zeroizing::new([0; 32]);
        let rounds = iterations as usize;
        pbkdf2_hmac(password.as_bytes(), salt, rounds, MessageDigest::sha1(), &mut *salted).map_err(crypto)?;
        let client = Zeroizing::new(hmac_sha256(&*salted, b"Client Key")?);
        let server = Zeroizing::new(hmac_sha256(&*salted, method.server_label())?);
        let mut stored = Zeroizing::new([0; 32]);
        stored.copy_from_slice(&hash(digest, &*client).map_err(crypto)?);
        Ok(Self { client, stored, server })
    }

    /// The client's proof for a token of the server.
    pub(super) fn proof(&self, token: &[u8]) -> Result<[u8; 32], AuthError> {
        let mut proof = hmac_sha256(&*self.stored, token)?;
        proof.iter_mut().zip(self.client.iter()).for_each(|(mask, key)| *mask ^= key);
        Ok(proof)
    }

    /// What a server that knows the stored password says of the token (clients of 3.0 only).
    pub(super) fn server_signature(&self, token: &[u8]) -> Result<[u8; 32], AuthError> {
        hmac_sha256(&*self.server, token)
    }

    /// Answer to MD5_SHA256 (11): the stored text of the password, hashed with the salt of this log-in. That text ends in
    /// [`iteration_suffix`], which no source says and the running server demands.
    pub(super) fn md5_sha256(&self, salt_hex: &str, iterations: u32, salt: [u8; 4]) -> Result<String, AuthError> {
        let suffix = iteration_suffix(iterations);
        let keys = Zeroizing::new(format!("{salt_hex}{}{}", hex(&*self.server), hex(&*self.stored)));
        let stored = Zeroizing::new([keys.as_bytes(), &suffix, &salt].concat());
        Ok(format!("md5{}", hex(&hash(MessageDigest::md5(), &stored).map_err(crypto)?)))
    }
}

/// How a stored password tells its iteration count: eleven letters, to each of which one decimal digit of the count is added,
/// units first.
fn iteration_suffix(mut iterations: u32) -> [u8; 11] {
    let mut suffix = *b"ecdfdcefade";
    for letter in &mut suffix {
        *letter += (iterations % 10) as u8;
        iterations /= 10;
    }
    suffix
}

/// Answer to SHA256 (10) with sub-method 1, for passwords stored as MD5.
pub(super) fn sha256_of_md5(user: &str, password: &str, salt: [u8; 4]) -> Result<String, AuthError> {
    let both = Zeroizing::new([password.as_bytes(), user.as_bytes()].concat());
    let inner = Zeroizing::new(hex(&hash(MessageDigest::md5(), &both).map_err(crypto)?));
    let outer = hash(MessageDigest::sha256(), &[inner.as_bytes(), &salt].concat()).map_err(crypto)?;
    Ok(format!("sha256{}", hex(&outer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Salt, token, count, proof and signature computed by two other implementations (Python's hashlib, py-opengauss).
    #[test]
    fn proofs_equal_those_of_other_implementations() {
        let counting: Vec<u8> = (0..32).collect();
        let halves = [[0; 16], [0xff; 16]].concat();
        let cases = [
            (
                "Gauss@123",
                counting.as_slice(),
                [1, 2, 3, 4],
                "9b5a237a61ea01356f780059f012a52901bec8a55ba04b9a8d135cfc228d1699",
                "58a0507fed937360de9b43f55a72f6e9508ecd13255a8441af02a9ca691de210",
            ),
            (
                "pässwörd#1",
                halves.as_slice(),
                [0; 4],
                "339e6b4f33d315d09eb94b617773e31fe3753d1b59a6091f443d0d3a5b8647c1",
                "6308e6d6d138803d1eddae976f427fcf0ea73497eec4b02bd1f4d2bcfb65a9f6",
            ),
        ];
        for (password, salt, token, proof, signature) in cases {
            let keys = Keys::derive(Method::Sha256, password, salt, 10_000).unwrap();
            assert_eq!(hex(&keys.proof(&token).unwrap()), proof, "{password}");
            assert_eq!(hex(&keys.server_signature(&token).unwrap()), signature, "{password}");
        }
        let sm3 = Keys::derive(Method::Sm3, "Gauss@123", &counting, 10_000).unwrap();
        assert_eq!(
            hex(&sm3.proof(&[1, 2, 3, 4]).unwrap()),
            "ba0515cc97ebf9a5541af112b96a378caf279e9ae831ffc2139d41722e6e26fe"
        );
    }

    #[test]
    fn suffixes_are_those_the_server_accepted() {
        assert_eq!(&iteration_suffix(10_000), b"ecdfecefade");
        assert_eq!(&iteration_suffix(20_000), b"ecdffcefade");
        assert_eq!(&iteration_suffix(2_048), b"mgdhdcefade");
    }

    #[test]
    fn md5_inside_sha256() {
        let got = sha256_of_md5("cdc", "Gauss@123", [10, 11, 12, 13]).unwrap();
        assert_eq!(got, "sha256907619027cf5660888ae27547b37caa618d04fe96c183a571f09b2f152347d77");
    }
}
