//! Log-in challenges of the family (`sendAuthRequest` in its `auth.cpp`): body of `R` in, body of `p` out.

use super::proof::{Keys, Method, hex, sha256_of_md5};
use crate::auth::AuthError;
use crate::message::{Body, Malformed};

/// Bounds on the iteration count a server may ask for. Below the least its `auth_iteration_count` can be set to, a hostile
/// server would get a proof that is cheap to try passwords on; above the greatest we accept, it would burn our CPU.
const ITERATIONS: std::ops::RangeInclusive<u32> = 2_048..=1_000_000;

/// Counts to assume where a message carries none, in the order to try: today's default and that of old releases.
const ASSUMED_ITERATIONS: [u32; 2] = [10_000, 2_048];

const SHA256: i32 = 10;
const MD5_SHA256: i32 = 11;
const SM3: i32 = 13;

/// Whether an `R` message is one of the family's own. Code 10 is also SASL, as in PostgreSQL: that body is text and begins
/// with the name of a mechanism, ours with the high byte of a small number.
pub(crate) fn is_challenge(code: i32, rest: &[u8]) -> bool {
    match code {
        SHA256 => rest.first() == Some(&0),
        _ => matches!(code, MD5_SHA256 | SM3),
    }
}

/// Answers a challenge that [`is_challenge`] knows; `rest` is the body behind the code.
///
/// # Errors
/// A broken body, a count out of bounds, a sub-method nobody has, or a server's signature that this password does not give.
pub(crate) fn answer(code: i32, rest: &[u8], user: &str, password: &str) -> Result<Vec<u8>, AuthError> {
    let mut body = Body(rest);
    let text = match code {
        MD5_SHA256 => {
            let salt = Salt::read(&mut body)?;
            let (nonce, iterations) = (last_four(body)?, ASSUMED_ITERATIONS[0]);
            Keys::derive(Method::Sha256, password, &salt.bytes, iterations)?.md5_sha256(salt.text, iterations, nonce)?
        }
        _ => match (code, body.i32()?) {
            (SHA256, 1) => sha256_of_md5(user, password, last_four(body)?)?,
            // Also for passwords stored in both forms.
            (SHA256, 2) => proof(Method::Sha256, body, password)?,
            (SM3, 3) => proof(Method::Sm3, body, password)?,
            (code, method) => return Err(AuthError::Unsupported(format!("{code} with sub-method {method}"))),
        },
    };
    Ok([text.as_bytes(), b"\0"].concat())
}

/// The three forms differ by what follows the token: nothing (clients of 3.50), the count (3.51 and later) or the server's
/// signature (3.49 and before).
fn proof(method: Method, mut body: Body<'_>, password: &str) -> Result<String, AuthError> {
    let salt = Salt::read(&mut body)?;
    let token = body.take(8)?;
    if token == [0; 8] {
        // As openGauss does when `md5` in its hba file meets a password stored with SM3.
        let reason =
            "its token is empty: the method of the hba line does not fit how the password is stored".to_owned();
        return Err(AuthError::Exchange { method: method.name(), reason });
    }
    let token = unhex(token).ok_or("the token is not hexadecimal")?;
    let keys = match body.0.len() {
        0 => Keys::derive(method, password, &salt.bytes, ASSUMED_ITERATIONS[0])?,
        4 => {
            let asked = body.i32()?;
            let count = u32::try_from(asked).ok().filter(|count| ITERATIONS.contains(count));
            let count = count.ok_or_else(|| AuthError::Exchange {
                method: method.name(),
                reason: format!("it asks for {asked} hash rounds, {ITERATIONS:?} are accepted"),
            })?;
            Keys::derive(method, password, &salt.bytes, count)?
        }
        64 => signed(method, password, &salt, &token, body.0)?,
        _ => return Err(AuthError::from("the challenge has none of the known lengths")),
    };
    Ok(hex(&keys.proof(&token)?))
}

/// The signature says which count the password was stored with, and whether the server knows it at all. A proof that cannot
/// be right is not sent: it would count as a failed log-in.
fn signed(method: Method, password: &str, salt: &Salt<'_>, token: &[u8], signature: &[u8]) -> Result<Keys, AuthError> {
    for count in ASSUMED_ITERATIONS {
        let keys = Keys::derive(method, password, &salt.bytes, count)?;
        let expected = hex(&keys.server_signature(token)?);
        // Both sides have 64 bytes; the comparison takes the same time wherever they differ.
        if openssl::memcmp::eq(expected.as_bytes(), signature) {
            return Ok(keys);
        }
    }
    Err(AuthError::Exchange {
        method: method.name(),
        reason: format!(
            "its signature does not belong to this password under {} or {} hash rounds: wrong password or unknown role",
            ASSUMED_ITERATIONS[0], ASSUMED_ITERATIONS[1]
        ),
    })
}

fn last_four(mut body: Body<'_>) -> Result<[u8; 4], AuthError> {
    let salt = body.take(4)?;
    let salt = <[u8; 4]>::try_from(salt).map_err(|_| "the salt is too short")?;
    if body.0.is_empty() { Ok(salt) } else { Err(AuthError::from("bytes after the salt")) }
}

/// Salt of the stored password, 32 bytes as text.
struct Salt<'a> {
    text: &'a str,
    bytes: Vec<u8>,
}

impl<'a> Salt<'a> {
    fn read(body: &mut Body<'a>) -> Result<Self, Malformed> {
        let text = body.take(64)?;
        let bytes = unhex(text).ok_or("the salt is not hexadecimal")?;
        let text = std::str::from_utf8(text).map_err(|_| "the salt is not hexadecimal")?;
        Ok(Self { text, bytes })
    }
}

/// Bytes of a hexadecimal text of even length.
fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pair = |pair: &[u8]| Some((digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?) as u8);
    text.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SALT: &[u8] = b"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn challenge(method: i32, parts: &[&[u8]]) -> Vec<u8> {
        [method.to_be_bytes().as_slice(), &parts.concat()].concat()
    }

    #[test]
    fn the_three_forms_of_sha256_give_one_proof() {
        let proof = b"9b5a237a61ea01356f780059f012a52901bec8a55ba04b9a8d135cfc228d1699\0".to_vec();
        let signature = b"58a0507fed937360de9b43f55a72f6e9508ecd13255a8441af02a9ca691de210";
        let count = 10_000u32.to_be_bytes();
        for tail in [count.as_slice(), b"", signature] {
            let body = challenge(2, &[SALT, b"01020304", tail]);
            assert_eq!(answer(SHA256, &body, "cdc", "Gauss@123"), Ok(proof.clone()));
        }
        let body = challenge(2, &[SALT, b"01020304", signature]);
        let refused = answer(SHA256, &body, "cdc", "Wrong@123").unwrap_err();
        assert!(refused.to_string().contains("wrong password"), "{refused}");
    }

    #[test]
    fn the_count_is_bounded_before_any_work() {
        for count in [0, 1, 2_047, 1_000_001, u32::MAX] {
            let body = challenge(2, &[SALT, b"01020304", &count.to_be_bytes()]);
            let refused = answer(SHA256, &body, "cdc", "pw").unwrap_err();
            assert!(refused.to_string().contains("hash rounds"), "{refused}");
        }
        let body = challenge(2, &[SALT, b"01020304", &2_048u32.to_be_bytes()]);
        assert!(answer(SHA256, &body, "cdc", "pw").is_ok());
    }

    #[test]
    fn broken_challenges_are_refused() {
        let whole = challenge(2, &[SALT, b"01020304", &2_048u32.to_be_bytes()]);
        for length in (0..whole.len()).filter(|length| *length != whole.len() - 4) {
            assert!(answer(SHA256, &whole[..length], "cdc", "pw").is_err(), "{length} bytes");
        }
        for body in [challenge(0, &[SALT]), challenge(3, &[SALT, b"01020304"]), challenge(1, &[b"12345"])] {
            assert!(answer(SHA256, &body, "cdc", "pw").is_err());
        }
        assert!(answer(SM3, &challenge(2, &[SALT, b"01020304"]), "cdc", "pw").is_err());
        assert!(answer(MD5_SHA256, &[SALT, b"123"].concat(), "cdc", "pw").is_err());
        let mut odd = whole.clone();
        odd[10] = b'g';
        assert!(answer(SHA256, &odd, "cdc", "pw").is_err());
    }

    #[test]
    fn sasl_is_told_apart() {
        assert!(!is_challenge(SHA256, b"SCRAM-SHA-256\0\0"));
        assert!(!is_challenge(SHA256, b""));
        assert!(is_challenge(SHA256, &challenge(2, &[])));
        assert!(!is_challenge(5, b"1234") && is_challenge(SM3, b"") && is_challenge(MD5_SHA256, b""));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(code in prop::sample::select(vec![SHA256, MD5_SHA256, SM3]), method in 0i32..4,
                                rest in prop::collection::vec(any::<u8>(), 0..160)) {
            let _ = answer(code, &rest, "cdc", "pw");
            let _ = answer(code, &challenge(method, &[&rest]), "cdc", "pw");
        }
    }
}
