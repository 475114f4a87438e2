//! The few requests a registry is asked, over HTTP/1.1.
//!
//! Owns connections, TLS, logins and bounds. A connection serves one request: there are a few per table, once.

use std::{fmt::Write, path::Path, sync::Mutex, time::Duration};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Uri,
    body::Bytes,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use millrace_batch::Failure;
use openssl::{
    pkey::PKey,
    ssl::{SslConnector, SslMethod},
    x509::{X509, store::X509StoreBuilder},
};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    runtime::Runtime,
};
use zeroize::Zeroizing;

use super::RegistryConfig;
use crate::stores;

/// Largest answer, bytes.
const ANSWER_LIMIT: usize = 4 << 20;
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// An answer.
pub(super) struct Answer {
    pub status: u16,
    body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// What the registry says, cut to what a person reads.
    pub fn message(&self) -> String {
        let told = self.json().and_then(|told| Some(told["message"].as_str()?.to_owned()));
        let text = told.unwrap_or_else(|| String::from_utf8_lossy(&self.body).into_owned());
        text.chars().take(500).collect()
    }
}

struct Address {
    uri: Uri,
    host: String,
    port: u16,
    tls: bool,
    /// Of the address, without a slash at its end.
    path: String,
}

pub(super) struct Client {
    addresses: Vec<Address>,
    tls: Option<SslConnector>,
    login: Option<Zeroizing<String>>,
    timeout: Duration,
    /// Requests run on it one at a time; it has no threads of its own.
    runtime: Mutex<Option<Runtime>>,
}

impl Client {
    pub fn new(config: &RegistryConfig) -> Result<Client, Failure> {
        let bad = |why: String| {
            Failure::definite("registry_config", "reading the registry's settings", why, "correct [registry]")
        };
        let addresses = config.urls.iter().map(|url| address(url).map_err(&bad)).collect::<Result<Vec<_>, _>>()?;
        if addresses.is_empty() {
            return Err(bad("no address is given".to_owned()));
        }
        let tls = addresses.iter().any(|address| address.tls).then(|| connector(config)).transpose()?;
        let login = match (&config.username, &config.password, &config.token) {
            (Some(user), Some(password), None) if !user.contains(':') => {
                let pair = Zeroizing::new(format!("{user}:{}", password.expose()));
                Some(Zeroizing::new(format!("Basic {}", openssl::base64::encode_block(pair.as_bytes()))))
            }
            (None, None, Some(token)) => Some(Zeroizing::new(format!("Bearer {}", token.expose()))),
            (None, None, None) => None,
            _ => {
                return Err(bad(
                    "username and password go together, without a colon in the user; or a token alone".to_owned()
                ));
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = Mutex::new(Some(runtime.map_err(|error| bad(error.to_string()))?));
        Ok(Client { addresses, tls, login, timeout: config.timeout, runtime })
    }

    pub fn get(&self, path: &str) -> Result<Answer, String> {
        self.first(Method::GET, path, Bytes::new())
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<Answer, String> {
        self.first(Method::POST, path, Bytes::from(body.to_string()))
    }

    /// The first address that answers.
    fn first(&self, method: Method, path: &str, body: Bytes) -> Result<Answer, String> {
        let runtime = self.runtime.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(runtime) = &*runtime else { return Err("the client is gone".to_owned()) };
        let mut said = String::new();
        for address in &self.addresses {
            let asked = self.ask(address, method.clone(), path, body.clone());
            let answer = runtime.block_on(async { tokio::time::timeout(self.timeout, asked).await });
            match answer.unwrap_or_else(|_| Err(format!("no answer in {:?}", self.timeout))) {
                // A server that is up and cannot serve is no reason to give up while there are others.
                Ok(answer) if answer.status >= 500 && self.addresses.len() > 1 => {
                    let _ = write!(said, "{}: status {}; ", address.uri, answer.status);
                }
                Ok(answer) => return Ok(answer),
                Err(why) => {
                    let _ = write!(said, "{}: {why}; ", address.uri);
                }
            }
        }
        Err(said.trim_end_matches("; ").to_owned())
    }

    async fn ask(&self, address: &Address, method: Method, path: &str, body: Bytes) -> Result<Answer, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(|error| text(&error))?;
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/{path}", address.path))
            .header(HOST, address.uri.authority().map_or("", |authority| authority.as_str()))
            .header(ACCEPT, MEDIA_TYPE)
            .header(CONTENT_TYPE, MEDIA_TYPE);
        let request = match &self.login {
            Some(login) => request.header(AUTHORIZATION, login.as_str()),
            None => request,
        };
        // A header that is refused would be printed with its value.
        let request = request.body(Full::new(body)).map_err(|_| "the request cannot be written".to_owned())?;
        match self.tls.as_ref().filter(|_| address.tls) {
            None => exchange(stream, request).await,
            Some(tls) => {
                let ssl = tls.configure().and_then(|ssl| ssl.into_ssl(&address.host)).map_err(|error| text(&error))?;
                let mut stream = tokio_openssl::SslStream::new(ssl, stream).map_err(|error| text(&error))?;
                std::pin::Pin::new(&mut stream).connect().await.map_err(|error| format!("TLS: {error}"))?;
                exchange(stream, request).await
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Whoever lets go last may be a task of another runtime, where ending this one must not wait.
        let runtime = self.runtime.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(runtime) = runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<Answer, String> {
    let text = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    let answered = async {
        let answer = sender.send_request(request).await.map_err(text)?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), ANSWER_LIMIT).collect().await.map_err(|error| error.to_string())?;
        Ok(Answer { status, body: body.to_bytes() })
    };
    tokio::pin!(connection, answered);
    tokio::select! {
        answer = &mut answered => answer,
        // The connection may be closed right behind the answer.
        ended = &mut connection => match ended {
            Ok(()) => answered.await,
            Err(error) => Err(error.to_string()),
        },
    }
}

/// Why a text is no address of a registry, if it is none.
pub fn refused_registry_url(url: &str) -> Option<String> {
    address(url).err()
}

fn address(url: &str) -> Result<Address, String> {
    let uri: Uri = url.parse().map_err(|_| format!("{url:?} is no address"))?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(format!("{url:?} must begin with http:// or https://")),
    };
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) || uri.query().is_some() {
        return Err("an address holds neither a user nor a query".to_owned());
    }
    let host = uri.host().ok_or_else(|| format!("{url:?} has no host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let path = uri.path().trim_end_matches('/').to_owned();
    Ok(Address { host, port, tls, path, uri })
}

fn connector(config: &RegistryConfig) -> Result<SslConnector, Failure> {
    let failed = |error: openssl::error::ErrorStack| {
        Failure::definite(
            "registry_config",
            "preparing TLS to the schema registry",
            error.to_string(),
            "correct the files of [registry]",
        )
    };
    let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(failed)?;
    let ca = match (&config.trust_store, &config.ca) {
        (Some(store), _) => Some(stores::trusted(&store.path, store.password.as_ref())?),
        (None, Some(path)) => Some(stores::trusted(Path::new(path), None)?),
        (None, None) => None,
    };
    if let Some(pem) = ca {
        let mut trusted = X509StoreBuilder::new().map_err(failed)?;
        for certificate in X509::stack_from_pem(pem.as_bytes()).map_err(failed)? {
            trusted.add_cert(certificate).map_err(failed)?;
        }
        builder.set_cert_store(trusted.build());
    }
    if let Some(store) = &config.key_store {
        let identity = stores::identity(&store.path, store.password.as_ref(), None)?;
        let mut chain = X509::stack_from_pem(identity.certificates.as_bytes()).map_err(failed)?.into_iter();
        if let Some(own) = chain.next() {
            builder.set_certificate(&own).map_err(failed)?;
        }
        for signer in chain {
            builder.add_extra_chain_cert(signer).map_err(failed)?;
        }
        let key = PKey::private_key_from_pem(identity.key.expose().as_bytes()).map_err(failed)?;
        builder.set_private_key(&key).map_err(failed)?;
    }
    Ok(builder.build())
}

/// A path segment with everything but unreserved characters (RFC 3986) escaped.
pub(super) fn encoded(segment: &str) -> String {
    let mut out = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    #[tokio::test]
    async fn a_client_may_be_let_go_inside_a_runtime() {
        drop(Client::new(&RegistryConfig::new(["http://r"])).unwrap());
    }

    #[test]
    fn addresses_and_logins_are_checked() {
        let good = address("https://[::1]:8081/apis/ccompat/v7/").unwrap();
        assert_eq!(
            (good.host.as_str(), good.port, good.tls, good.path.as_str()),
            ("::1", 8081, true, "/apis/ccompat/v7")
        );
        assert_eq!(address("http://r").unwrap().port, 80);
        for bad in ["r:8081", "ftp://r", "http://u:p@r", "http://r?x=1", "http://", ""] {
            assert!(address(bad).is_err(), "{bad}");
        }
        let refused = |change: &dyn Fn(&mut RegistryConfig)| {
            let mut config = RegistryConfig::new(["http://r"]);
            change(&mut config);
            Client::new(&config).err().map(|failure| failure.code)
        };
        assert_eq!(refused(&|_| {}), None);
        assert_eq!(refused(&|config| config.urls.clear()), Some("registry_config"));
        assert_eq!(refused(&|config| config.username = Some("u".into())), Some("registry_config"));
        assert_eq!(refused(&|config| config.token = Some(Secret::new("t"))), None);
        assert_eq!(encoded("a b/ü.c-d"), "a%20b%2F%C3%BC.c-d");
    }
}
