//! The token of an OAUTHBEARER login, read anew each time librdkafka asks for one.
//!
//! Owns where the token comes from and what of it the protocol needs beside its text: until when it holds and whose it is. Must not
//! judge it; that is the brokers' affair. Claims as in RFC 7519; the exchange with the broker is RFC 7628.

use std::{
    ffi::CString,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rdkafka::{
    bindings as sys,
    client::{Client, ClientContext, OAuthToken},
    types::RDKafkaRespErr as Answer,
};
use zeroize::Zeroizing;

use crate::Secret;

/// Largest token, bytes: brokers read at most this much of a login message.
const TOKEN_LIMIT: u64 = 512 << 10;
/// How long a token without `exp` is taken to hold.
const HOLDS: Duration = Duration::from_secs(3600);

/// Where the token of a login is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// The token itself.
    Text(Secret),
    /// A file that somebody keeps fresh; read at every login and refresh.
    File(PathBuf),
}

impl TokenSource {
    /// The token now.
    pub(crate) fn read(&self) -> Result<OAuthToken, String> {
        let text = match self {
            TokenSource::Text(secret) => Zeroizing::new(secret.expose().to_owned()),
            TokenSource::File(path) => {
                let unreadable =
                    |error: std::io::Error| format!("the token file {} cannot be read: {error}", path.display());
                let size = std::fs::metadata(path).map_err(unreadable)?.len();
                if size > TOKEN_LIMIT {
                    return Err(format!(
                        "the token file {} has {size} bytes, at most {TOKEN_LIMIT} are read",
                        path.display()
                    ));
                }
                Zeroizing::new(std::fs::read_to_string(path).map_err(unreadable)?)
            }
        };
        let token = text.trim();
        if token.is_empty() || token.contains(['\0', '\u{1}']) {
            return Err("the token is empty, or has characters that no token has".to_owned());
        }
        let claims = claims(token).unwrap_or_default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let until_ms =
            claims["exp"].as_f64().map_or((now + HOLDS).as_millis() as i64, |seconds| (seconds * 1000.0) as i64);
        if until_ms <= now.as_millis() as i64 {
            return Err("the token has expired".to_owned());
        }
        let principal = claims["sub"].as_str().unwrap_or_default().replace('\0', "");
        Ok(OAuthToken { token: token.to_owned(), principal_name: principal, lifetime_ms: until_ms })
    }

    /// Gives a client its token where nothing serves its events (rdkafka's admin client).
    pub(crate) fn give<C: ClientContext>(&self, client: &Client<C>) -> Result<(), String> {
        let OAuthToken { token, principal_name, lifetime_ms } = self.read()?;
        let text = |text: String| CString::new(text).map_err(|_| "the token has a NUL".to_owned());
        let (token, principal) = (text(token)?, text(principal_name)?);
        let mut said = [0u8; 512];
        // SAFETY: the client is alive, both texts are NUL-terminated and copied by the call, there are no extensions, and the
        // buffer for the error is as long as is said.
        let answer = unsafe {
            sys::rd_kafka_oauthbearer_set_token(
                client.native_ptr(),
                token.as_ptr(),
                lifetime_ms,
                principal.as_ptr(),
                std::ptr::null_mut(),
                0,
                said.as_mut_ptr().cast(),
                said.len(),
            )
        };
        if answer == Answer::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Ok(());
        }
        let end = said.iter().position(|byte| *byte == 0).unwrap_or(said.len());
        Err(String::from_utf8_lossy(&said[..end]).into_owned())
    }
}

/// The claims of a JSON web token, unverified. `None` for any other kind of token.
fn claims(token: &str) -> Option<serde_json::Value> {
    let mut part = token.split('.').nth(1)?.replace('-', "+").replace('_', "/");
    while part.len() % 4 != 0 {
        part.push('=');
    }
    serde_json::from_slice(&openssl::base64::decode_block(&part).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        let part = |text: &str| {
            openssl::base64::encode_block(text.as_bytes()).replace('=', "").replace('+', "-").replace('/', "_")
        };
        format!("{}.{}.", part(r#"{"alg":"none"}"#), part(claims))
    }

    #[test]
    fn claims_tell_whose_it_is_and_how_long_it_holds() {
        let read = |text: &str| TokenSource::Text(Secret::new(text)).read();
        let good = read(&format!(" {}\n", token(r#"{"sub":"al\u00efce","exp":4102444800}"#))).unwrap();
        assert_eq!((good.principal_name.as_str(), good.lifetime_ms), ("al\u{ef}ce", 4_102_444_800_000));
        assert!(read("opaque").unwrap().lifetime_ms > 1_700_000_000_000);
        assert!(read(&token(r#"{"exp":1}"#)).err().unwrap().contains("expired"));
        assert!(read(" ").is_err() && read("a\u{1}b").is_err());
    }

    #[test]
    fn a_file_is_read_each_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let source = TokenSource::File(file.path().to_owned());
        assert!(source.read().is_err());
        std::fs::write(file.path(), "one").unwrap();
        assert_eq!(source.read().unwrap().token, "one");
        std::fs::write(file.path(), "two\n").unwrap();
        assert_eq!(source.read().unwrap().token, "two");
        assert!(TokenSource::File("/no/such".into()).read().err().unwrap().contains("/no/such"));
    }
}
