//! Trust and key stores as Java tools write them, turned into the PEM texts that librdkafka takes.
//!
//! Owns reading of JKS, PKCS12 and PEM; which one a file is is told by its content, since `.jks` files are PKCS12 from Java 9 on. Must
//! not know Kafka. JKS layout and key protection: `sun.security.provider.JavaKeyStore` and `KeyProtector` of OpenJDK.

use std::{fs, path::Path};

use millrace_batch::Failure;
use openssl::{hash::MessageDigest, pkcs12::Pkcs12, pkey::PKey, provider::Provider, x509::X509};
use zeroize::Zeroizing;

use crate::Secret;

/// Largest store file, bytes.
const FILE_LIMIT: u64 = 4 << 20;
const JKS_MAGIC: u32 = 0xfeed_feed;
const JCEKS_MAGIC: u32 = 0xcece_cece;
/// What the digest of a JKS file is salted with.
const WHITENER: &[u8] = b"Mighty Aphrodite";
const SHA1: usize = 20;

/// A client's certificate with its chain, and the key.
#[derive(Debug)]
pub(crate) struct Identity {
    /// PEM: the certificate, then what signed it.
    pub certificates: String,
    /// PEM of the key, not encrypted.
    pub key: Secret,
}

/// The certificates of a trust store, as PEM.
pub(crate) fn trusted(path: &Path, password: Option<&Secret>) -> Result<String, Failure> {
    let store = Reading { path, what: "trust store" };
    let bytes = store.bytes()?;
    let certificates = match kind(&bytes) {
        Kind::Pem => X509::stack_from_pem(&bytes).map_err(|error| store.unreadable(error))?,
        Kind::Pkcs12 => store.pkcs12(&bytes, password)?.1,
        Kind::Jks => {
            let entries = store.jks(&bytes, password)?;
            let trusted = entries.into_iter().filter(|entry| entry.key.is_none());
            let parsed: Result<Vec<X509>, _> = trusted.flat_map(|entry| entry.chain).map(X509::from_der).collect();
            parsed.map_err(|error| store.unreadable(error))?
        }
        Kind::Other(why) => return Err(store.refused(why)),
    };
    if certificates.is_empty() {
        return Err(store.refused("it holds no certificate to trust"));
    }
    pem_of(&certificates).map_err(|error| store.unreadable(error))
}

/// The client certificate and key of a key store. `key_password`: of the key inside, where it has one of its own.
pub(crate) fn identity(
    path: &Path,
    password: Option<&Secret>,
    key_password: Option<&Secret>,
) -> Result<Identity, Failure> {
    let store = Reading { path, what: "key store" };
    let bytes = store.bytes()?;
    let key_password = key_password.or(password);
    let (key, chain) = match kind(&bytes) {
        Kind::Pem => {
            let secret = key_password.map_or("", Secret::expose).as_bytes();
            let key = PKey::private_key_from_pem_passphrase(&bytes, secret).map_err(|error| store.unreadable(error))?;
            (key, X509::stack_from_pem(&bytes).map_err(|error| store.unreadable(error))?)
        }
        Kind::Pkcs12 => {
            let (key, chain) = store.pkcs12(&bytes, password)?;
            (key.ok_or_else(|| store.refused("it holds no key"))?, chain)
        }
        Kind::Jks => {
            let entries = store.jks(&bytes, password)?;
            let mut keys = entries.into_iter().filter(|entry| entry.key.is_some());
            let (Some(entry), None) = (keys.next(), keys.next()) else {
                return Err(store.refused("it must hold exactly one key"));
            };
            let secret = Zeroizing::new(wide(key_password.map_or("", Secret::expose)));
            let plain = unprotect(entry.key.unwrap_or_default(), &secret);
            let plain =
                plain.ok_or_else(|| store.refused("the password of the key is wrong, or the key is damaged"))?;
            let key = PKey::private_key_from_der(&plain).map_err(|error| store.unreadable(error))?;
            let chain: Result<Vec<X509>, _> = entry.chain.into_iter().map(X509::from_der).collect();
            (key, chain.map_err(|error| store.unreadable(error))?)
        }
        Kind::Other(why) => return Err(store.refused(why)),
    };
    match chain.first().map(|own| own.public_key()) {
        Some(Ok(public)) if public.public_eq(&key) => {}
        _ => return Err(store.refused("its first certificate does not belong to its key")),
    }
    let key = key.private_key_to_pem_pkcs8().map(Zeroizing::new).map_err(|error| store.unreadable(error))?;
    let key = std::str::from_utf8(&key).map_err(|_| store.refused("its key cannot be written as PEM"))?;
    let certificates = pem_of(&chain).map_err(|error| store.unreadable(error))?;
    Ok(Identity { certificates, key: Secret::new(key) })
}

fn pem_of(certificates: &[X509]) -> Result<String, openssl::error::ErrorStack> {
    let mut text = String::new();
    for certificate in certificates {
        text.push_str(&String::from_utf8_lossy(&certificate.to_pem()?));
    }
    Ok(text)
}

enum Kind {
    Pem,
    Pkcs12,
    Jks,
    Other(&'static str),
}

fn kind(bytes: &[u8]) -> Kind {
    match bytes.first_chunk().map(|start| u32::from_be_bytes(*start)) {
        Some(JKS_MAGIC) => Kind::Jks,
        Some(JCEKS_MAGIC) => {
            Kind::Other("it is a JCEKS store; convert it: keytool -importkeystore -deststoretype PKCS12")
        }
        // An ASN.1 sequence.
        Some(start) if start >> 24 == 0x30 => Kind::Pkcs12,
        _ if bytes.windows(10).any(|window| window == b"-----BEGIN") => Kind::Pem,
        _ => Kind::Other("it is neither JKS nor PKCS12 nor PEM"),
    }
}

/// One entry of a JKS store, in DER.
struct Entry<'a> {
    /// The protected key; `None` for a certificate to trust.
    key: Option<&'a [u8]>,
    chain: Vec<&'a [u8]>,
}

/// A file that is being read, for what is said when it fails.
struct Reading<'a> {
    path: &'a Path,
    what: &'static str,
}

impl Reading<'_> {
    fn refused(&self, why: impl Into<String>) -> Failure {
        Failure::definite(
            "kafka_store",
            format!("reading the {} {}", self.what, self.path.display()),
            why,
            "correct the path, the passwords, or the store (JKS, PKCS12 or PEM)",
        )
    }

    fn unreadable(&self, error: impl std::fmt::Display) -> Failure {
        self.refused(error.to_string())
    }

    fn bytes(&self) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let size = fs::metadata(self.path).map_err(|error| self.unreadable(error))?.len();
        if size > FILE_LIMIT {
            return Err(self.refused(format!("it has {size} bytes, at most {FILE_LIMIT} are read")));
        }
        fs::read(self.path).map(Zeroizing::new).map_err(|error| self.unreadable(error))
    }

    #[allow(clippy::type_complexity, reason = "used twice, right above")]
    fn pkcs12(
        &self,
        bytes: &[u8],
        password: Option<&Secret>,
    ) -> Result<(Option<PKey<openssl::pkey::Private>>, Vec<X509>), Failure> {
        // Stores of tools older than Java 8u301 use RC2, which lies in this provider; where it is not installed, these fail.
        let _legacy = Provider::try_load(None, "legacy", true).ok();
        let store = Pkcs12::from_der(bytes).map_err(|error| self.unreadable(error))?;
        let parsed = store.parse2(password.map_or("", Secret::expose));
        let parsed = parsed
            .map_err(|error| self.refused(format!("the password is wrong, or the store is damaged ({error})")))?;
        let chain = parsed.cert.into_iter().chain(parsed.ca.into_iter().flatten()).collect();
        Ok((parsed.pkey, chain))
    }

    fn jks<'b>(&self, bytes: &'b [u8], password: Option<&Secret>) -> Result<Vec<Entry<'b>>, Failure> {
        let damaged = || self.refused("the store is damaged");
        let (content, digest) = bytes.split_at_checked(bytes.len().saturating_sub(SHA1)).ok_or_else(damaged)?;
        if let Some(password) = password {
            let secret = Zeroizing::new(wide(password.expose()));
            if sha1(&[&secret, WHITENER, content]) != digest {
                return Err(self.refused("the password is wrong, or the store is damaged"));
            }
        }
        entries(content).ok_or_else(damaged)
    }
}

/// A Java string's UTF-16, as the digests take passwords.
fn wide(password: &str) -> Vec<u8> {
    password.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// SHA-1 over parts one after another. The store's format wants it; it protects against damage, not against forgers.
fn sha1(parts: &[&[u8]]) -> Vec<u8> {
    let mut whole = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    for part in parts {
        whole.extend_from_slice(part);
    }
    openssl::hash::hash(MessageDigest::sha1(), &whole).map(|digest| digest.to_vec()).unwrap_or_default()
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn number(bytes: &mut &[u8]) -> Option<usize> {
    take(bytes, 4)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes) as usize)
}

fn short_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take(bytes, 2)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))?;
    take(bytes, usize::from(length))
}

fn entries(mut content: &[u8]) -> Option<Vec<Entry<'_>>> {
    let bytes = &mut content;
    let (_magic, version, count) = (number(bytes)?, number(bytes)?, number(bytes)?);
    let certificate = |bytes: &mut &[u8]| -> Option<usize> {
        if version == 2 {
            short_text(bytes)?;
        }
        number(bytes)
    };
    let mut found = Vec::new();
    for _ in 0..count {
        let tag = number(bytes)?;
        let _alias = short_text(bytes)?;
        let _date = take(bytes, 8)?;
        let (key, certificates) = match tag {
            1 => {
                let length = number(bytes)?;
                (Some(take(bytes, length)?), number(bytes)?)
            }
            2 => (None, 1),
            _ => return None,
        };
        let mut chain = Vec::new();
        for _ in 0..certificates {
            let length = certificate(bytes)?;
            chain.push(take(bytes, length)?);
        }
        found.push(Entry { key, chain });
    }
    Some(found)
}

/// Takes the protection off a key: an exclusive or with a chain of SHA-1 digests, then a digest that proves the password.
fn unprotect(protected: &[u8], password: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let data = octets(protected)?;
    let (salt, rest) = data.split_at_checked(SHA1)?;
    let (hidden, proof) = rest.split_at_checked(rest.len().checked_sub(SHA1)?)?;
    let mut plain = Zeroizing::new(Vec::with_capacity(hidden.len()));
    let mut pad = salt.to_vec();
    for block in hidden.chunks(SHA1) {
        pad = sha1(&[password, &pad]);
        plain.extend(block.iter().zip(&pad).map(|(hidden, pad)| hidden ^ pad));
    }
    (sha1(&[password, &plain]) == proof).then_some(plain)
}

/// The octets of an `EncryptedPrivateKeyInfo`: a sequence of an algorithm (skipped, JKS has one) and an octet string.
fn octets(der: &[u8]) -> Option<&[u8]> {
    let (0x30, whole, _) = element(der)? else { return None };
    let (0x30, _, rest) = element(whole)? else { return None };
    let (0x04, data, _) = element(rest)? else { return None };
    Some(data)
}

/// Tag, content and what follows, of the first element.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if bytes.len() > 4 {
            return None;
        }
        (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores").join(name)
    }

    fn secret(text: &str) -> Option<Secret> {
        Some(Secret::new(text))
    }

    fn names(pem: &str) -> Vec<String> {
        let stack = X509::stack_from_pem(pem.as_bytes()).unwrap();
        let name = |x: &X509| x.subject_name().entries().next().unwrap().data().to_string().unwrap();
        let mut names: Vec<String> = stack.iter().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn every_kind_of_trust_store_gives_the_same_certificates() {
        for name in ["trust.jks", "trust.p12"] {
            let pem = trusted(&file(name), secret("changeit").as_ref()).unwrap();
            assert_eq!(names(&pem), ["authority", "client"], "{name}");
        }
        assert_eq!(names(&trusted(&file("authority.pem"), None).unwrap()), ["authority"]);
        // A JKS store may be read without its password, as Java does; nothing proves then that it is whole.
        assert_eq!(names(&trusted(&file("trust.jks"), None).unwrap()).len(), 2);
    }

    #[test]
    fn every_kind_of_key_store_gives_the_same_key_and_chain() {
        let mut keys = Vec::new();
        for (name, own) in
            [("client.jks", Some("keypass1")), ("client.p12", None), ("legacy.p12", None), ("client.pem", None)]
        {
            let identity = identity(&file(name), secret("changeit").as_ref(), own.and_then(secret).as_ref()).unwrap();
            assert_eq!(names(&identity.certificates), ["authority", "client"], "{name}");
            assert!(!format!("{identity:?}").contains("PRIVATE"));
            keys.push(identity.key.expose().to_owned());
        }
        assert!(keys.iter().all(|key| *key == keys[0] && key.starts_with("-----BEGIN PRIVATE KEY")));
    }

    #[test]
    fn wrong_passwords_and_files_are_told_without_them() {
        let why = |failure: Failure| {
            assert_eq!((failure.code, failure.is_definite()), ("kafka_store", true));
            assert!(!failure.to_string().contains("not-the-one"), "{failure}");
            failure.why
        };
        for name in ["trust.jks", "trust.p12"] {
            assert!(
                why(trusted(&file(name), secret("not-the-one").as_ref()).unwrap_err()).contains("password is wrong"),
                "{name}"
            );
        }
        let own = secret("not-the-one");
        assert!(
            why(identity(&file("client.jks"), secret("changeit").as_ref(), own.as_ref()).unwrap_err())
                .contains("password of the key")
        );
        assert!(
            why(identity(&file("trust.jks"), secret("changeit").as_ref(), None).unwrap_err())
                .contains("exactly one key")
        );
        assert!(why(identity(&file("trust.p12"), secret("changeit").as_ref(), None).unwrap_err()).contains("no key"));
        assert!(why(trusted(&file("other.jks"), None).unwrap_err()).contains("JCEKS"));
        assert!(why(trusted(&file("make.sh"), None).unwrap_err()).contains("neither"));
        assert!(why(trusted(&file("none"), None).unwrap_err()).contains("No such file"));
    }

    proptest! {
        #[test]
        fn damaged_stores_give_an_error(at in 0..2_000usize, flip in 1u8..) {
            for name in ["client.jks", "trust.jks", "client.p12"] {
                let mut bytes = fs::read(file(name)).unwrap();
                let at = at % bytes.len();
                bytes[at] ^= flip;
                let damaged = tempfile::NamedTempFile::new().unwrap();
                fs::write(damaged.path(), &bytes).unwrap();
                // The one byte no check covers: the tag of the empty parameters of the MAC's own digest, which nobody reads.
                if (name, at) == ("client.p12", 1414) {
                    continue;
                }
                // A JKS store's digest and a PKCS12 store's MAC notice every change but those that make it another kind of file.
                prop_assert!(trusted(damaged.path(), secret("changeit").as_ref()).is_err() , "{name} at {at}");
                fs::write(damaged.path(), &bytes[..at]).unwrap();
                prop_assert!(identity(damaged.path(), secret("changeit").as_ref(), secret("keypass1").as_ref()).is_err());
                let _ = entries(&bytes);
                let _ = unprotect(&bytes, b"x");
            }
        }
    }
}
