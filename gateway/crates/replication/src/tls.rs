//! TLS by OpenSSL, with libpq's modes. One stack with the Kafka client, so roots and old servers behave the same on both sides.

use crate::error::Error;
use crate::options::{ConnectOptions, Secret, SslMode};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{Ssl, SslConnector, SslMethod, SslRef, SslVerifyMode, SslVersion};
use openssl::x509::{X509, X509VerifyResult};
use std::path::Path;
use std::pin::Pin;
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

fn config_error(what: impl Into<String>) -> impl FnOnce(ErrorStack) -> Error {
    move |source| Error::TlsConfig { what: what.into(), reason: source.to_string() }
}

fn read_file(option: &str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path)
        .map_err(|source| Error::TlsConfig { what: format!("{option} {}", path.display()), reason: source.to_string() })
}

fn private_key(path: &Path, passphrase: Option<&Secret>) -> Result<PKey<Private>, Error> {
    let pem = read_file("client_key", path)?;
    // An empty passphrase instead of none: OpenSSL would ask for one at the terminal.
    let passphrase = passphrase.map_or("", Secret::expose);
    PKey::private_key_from_pem_passphrase(&pem, passphrase.as_bytes())
        .map_err(config_error(format!("client_key {}", path.display())))
}

/// Prepares a session for one host: who is trusted, what is verified, which client certificate is shown.
fn session(options: &ConnectOptions, host: &str) -> Result<Ssl, Error> {
    let general = || config_error("TLS set-up");
    let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(general())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2)).map_err(general())?;
    // The server writes one record per row; reading ahead takes many records with one system call.
    builder.set_read_ahead(true);
    let mode = match options.sslmode {
        SslMode::Require if options.root_cert.is_some() => SslMode::VerifyCa,
        mode => mode,
    };
    if mode < SslMode::VerifyCa {
        builder.set_verify(SslVerifyMode::NONE);
    } else if let Some(path) = &options.root_cert {
        let what = format!("root_cert {}", path.display());
        let roots = X509::stack_from_pem(&read_file("root_cert", path)?).map_err(config_error(what.as_str()))?;
        if roots.is_empty() {
            return Err(Error::TlsConfig { what, reason: "the file holds no certificate".to_owned() });
        }
        let mut store = openssl::x509::store::X509StoreBuilder::new().map_err(general())?;
        for root in roots {
            store.add_cert(root).map_err(config_error(what.as_str()))?;
        }
        builder.set_cert_store(store.build());
    }
    if let Some(path) = &options.client_cert {
        let what = format!("client_cert {}", path.display());
        read_file("client_cert", path)?;
        builder.set_certificate_chain_file(path).map_err(config_error(what))?;
        let key = options.client_key.as_deref().ok_or_else(|| Error::TlsConfig {
            what: "client_key".to_owned(),
            reason: "a client certificate needs its key".to_owned(),
        })?;
        let private = private_key(key, options.client_key_passphrase.as_ref())?;
        builder.set_private_key(&private).map_err(config_error(format!("client_key {}", key.display())))?;
        builder.check_private_key().map_err(config_error("client_key does not belong to client_cert"))?;
    }
    let mut configuration = builder.build().configure().map_err(general())?;
    configuration.set_verify_hostname(mode == SslMode::VerifyFull);
    configuration.into_ssl(host).map_err(general())
}

/// Speaks TLS on a socket where the server has agreed to it. `place` is host and port for messages.
pub(crate) async fn connect(
    options: &ConnectOptions,
    host: &str,
    place: &str,
    socket: TcpStream,
) -> Result<SslStream<TcpStream>, Error> {
    let failed = |reason: String| Error::TlsHandshake { host: place.to_owned(), reason };
    let mut stream = SslStream::new(session(options, host)?, socket).map_err(|stack| failed(stack.to_string()))?;
    match Pin::new(&mut stream).connect().await {
        Ok(()) => Ok(stream),
        Err(error) => {
            let verified = stream.ssl().verify_result();
            if verified != X509VerifyResult::OK {
                return Err(Error::TlsCertificate {
                    host: place.to_owned(),
                    reason: verified.error_string().to_owned(),
                });
            }
            if error.ssl_error().is_some() {
                return Err(failed(error.to_string()));
            }
            match error.into_io_error() {
                Ok(io) => Err(Error::io(format!("TLS with {place}"), io)),
                // OpenSSL's way to say that the peer hung up in the middle.
                Err(_) => Err(Error::Closed { during: format!("TLS with {place}") }),
            }
        }
    }
}

/// `tls-server-end-point` data of RFC 5929 section 4.1: the certificate's hash by its own signature's digest, SHA-256
/// where that is MD5 or SHA-1. `None` where the signature has no digest of its own (Ed25519).
pub(crate) fn end_point(ssl: &SslRef) -> Option<Vec<u8>> {
    let certificate = ssl.peer_certificate()?;
    let signature = certificate.signature_algorithm().object().nid();
    let digest = match signature.signature_algorithms()?.digest {
        Nid::MD5 | Nid::SHA1 => MessageDigest::sha256(),
        nid => MessageDigest::from_nid(nid)?,
    };
    certificate.digest(digest).ok().map(|bytes| bytes.to_vec())
}
