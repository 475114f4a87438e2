//! Who may change something over HTTP: this machine, or whoever bears `admin.token` where there is one.
//!
//! A page in a browser on this machine is not this machine: requests with an `Origin` are refused.

use std::net::IpAddr;

use axum::{
    Json,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use millrace_batch::Failure;
use serde_json::json;

use crate::config::SecretSource;

/// Lets a request pass that may change something.
///
/// # Errors
/// Definite `admin_forbidden`; definite `secret_unavailable` where the token cannot be read.
pub(super) fn permitted(token: Option<&SecretSource>, peer: IpAddr, headers: &HeaderMap) -> Result<(), Failure> {
    let refuse =
        |why: &str, mend: &str| Err(Failure::definite("admin_forbidden", "changing something over HTTP", why, mend));
    if headers.contains_key(header::ORIGIN) {
        return refuse("the request comes from a page in a browser", "use a command-line client");
    }
    let Some(token) = token else {
        if peer.to_canonical().is_loopback() {
            return Ok(());
        }
        return refuse(
            "it comes from another machine, and there is no admin.token",
            "set admin.token, or ask on this machine",
        );
    };
    let expected = token.resolve()?;
    let borne = headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    if borne.is_some_and(|borne| same(borne, expected.expose().as_bytes())) {
        return Ok(());
    }
    refuse(
        "it bears no token, or a wrong one",
        "send the header Authorization: Bearer TOKEN with the token of admin.token",
    )
}

/// Compares in a time that tells nothing of where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    !b.is_empty() && a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (x, y)| differ | (x ^ y)) == 0
}

/// The answer to a request that came to nothing.
pub(super) fn refused(code: StatusCode, failure: Failure) -> Response {
    (code, Json(json!({ "error": failure }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn who_may_change_something() {
        let (here, there): (IpAddr, IpAddr) = ("127.0.0.1".parse().unwrap(), "192.0.2.7".parse().unwrap());
        let token = SecretSource::Literal(Secret::new("sesame".to_owned()));
        let empty = SecretSource::Literal(Secret::new(String::new()));
        let bears = |text: &str| headers(&[("authorization", text)]);
        let may = |token: Option<&SecretSource>, peer, headers: &HeaderMap| permitted(token, peer, headers).is_ok();
        assert!(may(None, here, &headers(&[])));
        assert!(may(None, "::ffff:127.0.0.1".parse().unwrap(), &headers(&[])));
        assert!(!may(None, there, &headers(&[])));
        assert!(!may(None, here, &headers(&[("origin", "http://evil.example")])));
        for peer in [here, there] {
            assert!(may(Some(&token), peer, &bears("Bearer sesame")));
            assert!(!may(Some(&token), peer, &headers(&[])));
            assert!(!may(Some(&token), peer, &bears("Bearer sesamE")));
            assert!(!may(Some(&token), peer, &bears("Bearer sesame2")));
            assert!(!may(Some(&token), peer, &bears("sesame")));
            assert!(!may(Some(&empty), peer, &bears("Bearer ")), "an empty token opens nothing");
        }
    }
}
